"""From a path to a route: Enterprise Server prefix, links by numeric id, templates."""

from __future__ import annotations

import re
from dataclasses import replace

from hf_runner_simulators.github.archive import FILENAME
from hf_runner_simulators.github.state import Store
from hf_runner_simulators.http import Handler, Request, Router

ENTERPRISE_PREFIX = "/api/v3"
RELEASES = "/actions/runner/releases/download"
"""Where github.com keeps the runner's archives. Here any path that ends in a tag and an archive's name leads
to them, so that a mirror's base URL can be tried too."""
_BY_ID = re.compile(r"/(?P<kind>repositories|organizations)/(?P<id>\d+)(?P<rest>(/.*)?)\Z")


def prefix_of(path: str) -> str:
    """Return ``/api/v3`` where a path begins with it, else nothing."""
    return ENTERPRISE_PREFIX if path == ENTERPRISE_PREFIX or path.startswith(ENTERPRISE_PREFIX + "/") else ""


class GitHubRouter(Router):
    """Routes of api.github.com, also reached below ``/api/v3`` and through ``/repositories/{id}``."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store
        self._by_shape: dict[tuple[str, int], Router] = {}

    def add(self, method: str, template: str, handler: Handler) -> None:
        """Register a handler; only templates of one method and depth are compared with a path."""
        shape = (method, template.count("/"))
        self._by_shape.setdefault(shape, Router()).add(method, template, handler)

    def match(self, request: Request) -> tuple[str, Handler, dict[str, str]] | None:
        """Find the route: its template (without prefix), its handler, and the path's parts."""
        path = self.canonical(request.path)
        router = self._by_shape.get((request.method, path.count("/")))
        if router is None:
            return None
        return router.match(request if path == request.path else replace(request, path=path))

    def canonical(self, path: str) -> str:
        """Return the path below the API root, by name."""
        path = path.removeprefix(prefix_of(path))
        if FILENAME.match(path.rpartition("/")[2]):
            return RELEASES + "/" + "/".join(path.split("/")[-2:])
        found = _BY_ID.match(path)
        if found is None:
            return path
        number, rest = int(found["id"]), found["rest"]
        if found["kind"] == "organizations":
            login = next((owner.login for owner in self._store.owners.values() if owner.id == number), None)
            return path if login is None else f"/orgs/{login}{rest}"
        repository = self._store.repositories.get(number)
        return path if repository is None else f"/repos/{repository.full_name}{rest}"
