"""GitHub's routes about an App, its installations, and the service itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hf_runner_simulators.github.errors import DOCS, Refusal
from hf_runner_simulators.github.inquiry import Inquiry, Route, RouteAnswer
from hf_runner_simulators.github.limits import CORE, REGISTRATION
from hf_runner_simulators.github.render_accounts import iso
from hf_runner_simulators.github.world import GitHubWorld

Table = Iterator[tuple[str, str, Route]]

_APPS = f"{DOCS}/apps/apps"


def app_table(world: GitHubWorld) -> Table:
    """Return method, template and route of each."""
    return _App(world).table()


class _App:
    def __init__(self, world: GitHubWorld) -> None:
        self._world = world

    def table(self) -> Table:
        """Routes about the App, its installations, and the service itself."""
        yield "GET", "/app", Route(answer=self.app, app=True, docs=_APPS)
        yield "GET", "/app/installations", Route(answer=self.installations, app=True, docs=_APPS)
        yield (
            "GET",
            "/app/installations/{installation_id}",
            Route(answer=self.installation, app=True, docs=_APPS),
        )
        yield (
            "POST",
            "/app/installations/{installation_id}/access_tokens",
            Route(answer=self.token, app=True, docs=_APPS),
        )
        for template in (
            "/orgs/{org}/installation",
            "/users/{username}/installation",
            "/enterprises/{enterprise}/installation",
            "/repos/{owner}/{repo}/installation",
        ):
            # An Enterprise Server describes no installations on its enterprise.
            since = None if "enterprise" in template else (0, 0)
            yield "GET", template, Route(answer=self.find, app=True, docs=_APPS, server_since=since)
        yield "GET", "/rate_limit", Route(answer=self.rate_limit, free=True)
        yield "GET", "/meta", Route(answer=self.meta)

    def app(self, asked: Inquiry) -> RouteAnswer:
        app = self._world.accounts.apps[asked.caller.id]
        count = len(self._mine(asked))
        return RouteAnswer(payload=asked.render.app(app, count))

    def _mine(self, asked: Inquiry) -> list[Any]:
        return [row for row in self._world.accounts.installations.values() if row.app_id == asked.caller.id]

    def installations(self, asked: Inquiry) -> RouteAnswer:
        rows, headers = asked.page(self._mine(asked))
        app = self._world.accounts.apps[asked.caller.id]
        return RouteAnswer(payload=[asked.render.installation(row, app) for row in rows], headers=headers)

    def installation(self, asked: Inquiry) -> RouteAnswer:
        number = asked.number("installation_id")
        row = next((row for row in self._mine(asked) if row.id == number), None)
        if row is None:
            raise Refusal(404, "Not Found")
        return RouteAnswer(payload=asked.render.installation(row, self._world.accounts.apps[row.app_id]))

    def find(self, asked: Inquiry) -> RouteAnswer:
        parts = asked.parts
        account = parts.get("org") or parts.get("username") or parts.get("enterprise") or parts["owner"]
        row = self._world.accounts.installation_of(asked.caller.id, account)
        wrong = ("org" in parts and row.target != "Organization") or (
            "username" in parts and row.target != "User"
        )
        if wrong or ("enterprise" in parts and row.target != "Enterprise"):
            raise Refusal(404, "Not Found")
        if "repo" in parts:
            names = [r.name.lower() for r in self._world.access.installation_repositories(row)]
            if parts["repo"].lower() not in names:
                raise Refusal(404, "Not Found")
        return RouteAnswer(payload=asked.render.installation(row, self._world.accounts.apps[row.app_id]))

    def token(self, asked: Inquiry) -> RouteAnswer:
        body = asked.body()
        issued = self._world.access.create_token(
            asked.caller,
            asked.number("installation_id"),
            repositories=body.get("repositories"),
            repository_ids=body.get("repository_ids"),
            permissions=body.get("permissions"),
        )
        narrowed = (
            issued.repositories if issued.repositories is not None else issued.installation.repositories
        )
        payload: dict[str, Any] = {
            "token": issued.token,
            "expires_at": iso(issued.expires_at),
            "permissions": dict(issued.permissions),
            "repository_selection": "all" if narrowed is None else "selected",
        }
        if issued.repositories is not None:
            rows = [self._world.store.repository(name) for name in sorted(issued.repositories)]
            payload["repositories"] = [asked.render.full_repository(row) for row in rows]
        return RouteAnswer(payload=payload, status=201)

    def rate_limit(self, asked: Inquiry) -> RouteAnswer:
        if asked.enterprise_server and not self._world.knobs.ghes_rate_limits:
            raise Refusal(404, "Rate limiting is not enabled.")
        limits = {}
        for resource in (CORE, REGISTRATION):
            bucket = self._world.limits.bucket(asked.caller, resource)
            limits[resource] = {
                "limit": bucket.limit,
                "used": bucket.used,
                "remaining": bucket.remaining,
                "reset": bucket.reset,
            }
        search = {"limit": 30, "used": 0, "remaining": 30, "reset": int(self._world.time.now) + 60}
        payload: dict[str, Any] = {"resources": {**limits, "search": search}}
        if asked.api_version == "2022-11-28":
            payload["rate"] = limits[CORE]
        return RouteAnswer(payload=payload)

    def meta(self, asked: Inquiry) -> RouteAnswer:
        payload: dict[str, Any] = {"verifiable_password_authentication": not asked.enterprise_server}
        if asked.enterprise_server:
            payload["installed_version"] = self._world.knobs.ghes_version
        return RouteAnswer(payload=payload)
