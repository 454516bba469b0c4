"""What a route is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode

from hf_runner_simulators.github.access import Need
from hf_runner_simulators.github.errors import DOCS, Refusal
from hf_runner_simulators.github.limits import CORE
from hf_runner_simulators.github.model import Caller, Repository
from hf_runner_simulators.github.render import Render
from hf_runner_simulators.http import Request
from hf_runner_simulators.odd_words import ELSEWHERE

T = TypeVar("T")

MAX_PER_PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteAnswer:
    """What a route answers: ``payload`` as JSON, or ``text`` that is JSON already; with
    neither there is no body.
    """

    payload: Any = None
    text: str | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """One request as a route sees it, checked so far.

    Attributes:
        request: As it came.
        caller: Who sent it.
        parts: Decoded parts of the path.
        render: Answers for this request's root.
        api_version: Selected API version.
        path: Below the API root, by name.
        enterprise_server: An Enterprise Server is played, whatever the URL.
        repository: That the path names and the caller may use, if the route is about one.
    """

    request: Request
    caller: Caller
    parts: Mapping[str, str]
    render: Render
    api_version: str
    path: str
    enterprise_server: bool
    repository: Repository | None = None

    @property
    def repo(self) -> Repository:
        """The repository of a route that is about one."""
        assert self.repository is not None
        return self.repository

    def number(self, name: str) -> int:
        """Return a numeric part of the path.

        Raises:
            Refusal: 404, it is not a number.
        """
        if not self.parts[name].isdigit():
            raise Refusal(404, "Not Found")
        return int(self.parts[name])

    def body(self) -> dict[str, Any]:
        """Return the body, an object; absent counts as empty.

        Raises:
            Refusal: 400, it is not a JSON object.
        """
        try:
            body = self.request.json()
        except ValueError as error:
            raise Refusal(400, "Problems parsing JSON") from error
        if body is None:
            return {}
        if not isinstance(body, dict):
            raise Refusal(400, "Body should be a JSON object")
        return body

    def page(self, rows: Sequence[T]) -> tuple[Sequence[T], dict[str, str]]:
        """Cut out the page that was asked for, and say in ``Link`` where the others are."""
        size = min(MAX_PER_PAGE, _count(self.request.param("per_page"), 30))
        number = _count(self.request.param("page"), 1)
        last = max(1, -(-len(rows) // size))
        links = []
        if 1 < number <= last:
            links += [("prev", number - 1)]
        if number < last:
            links += [("next", number + 1), ("last", last)]
        if number > 1:
            links += [("first", 1)]
        headers = (
            {"Link": ", ".join(f'<{self._url(page)}>; rel="{rel}"' for rel, page in links)} if links else {}
        )
        return rows[(number - 1) * size : number * size], headers

    def _url(self, page: int) -> str:
        # Links of GitHub name a repository by its id.
        path = self.path
        if self.repository is not None:
            rest = path.split("/", 4)[4]
            path = f"/repositories/{self.repository.id}/{rest}"
        query = [(k, v) for k, v in self.request.query if k != "page"]
        # The same share of lists names another host in its links; the rest of the link is right.
        api = (
            self.render.api.replace(self.render.web, ELSEWHERE)
            if self.render.strikes("link", path)
            else self.render.api
        )
        return f"{api}{path}?{urlencode([*query, ('page', str(page))])}"

    def listing(self, key: str, rows: Sequence[T], render: Callable[[T], Any]) -> RouteAnswer:
        """Answer a page under ``key`` with ``total_count``."""
        page, headers = self.page(rows)
        total = self.render.count(len(rows), self.path)
        return RouteAnswer(
            payload={"total_count": total, key: [render(row) for row in page]}, headers=headers
        )

    def spelt_listing(self, key: str, rows: Sequence[T], spell: Callable[[T], str]) -> RouteAnswer:
        """Answer the same from rows that are spelt out already: polling is most of what a simulation does."""
        page, headers = self.page(rows)
        text = f'{{"total_count":{self.render.count(len(rows), self.path)},"{key}":[{",".join(map(spell, page))}]}}'
        return RouteAnswer(text=text, headers=headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How a route is guarded.

    Attributes:
        answer: The handler.
        need: Permission it accepts; None checks nothing but who calls.
        app: It takes an App's JWT, and only that.
        resource: Hourly bucket that it is charged to.
        free: It costs nothing of the hourly bucket.
        docs: Page of GitHub's documentation that refusals name.
        server_since: First Enterprise Server whose description has it; None for one that only github.com has.
    """

    answer: Callable[[Inquiry], RouteAnswer]
    need: Need | None = None
    app: bool = False
    resource: str = CORE
    free: bool = False
    docs: str = DOCS
    server_since: tuple[int, int] | None = (0, 0)


def _count(text: str, default: int) -> int:
    return int(text) if text.isdigit() and int(text) > 0 else default
