"""The HTTP face of the simulated GitHub: which edition is played, who asks, what it costs, what may be
cached, how refusals read.

The routes themselves are in ``routes`` (GitHub's) and ``control`` (``/_sim/``, ours).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import formatdate
from functools import partial
from typing import Any
from urllib.parse import urlencode

from hf_runner_simulators.github import queries
from hf_runner_simulators.github.access import ACCEPTED_SCOPES
from hf_runner_simulators.github.control import Control
from hf_runner_simulators.github.errors import Refusal, not_found
from hf_runner_simulators.github.inquiry import Inquiry, Route, RouteAnswer
from hf_runner_simulators.github.model import ANONYMOUS, Caller
from hf_runner_simulators.github.render import Render
from hf_runner_simulators.github.render_accounts import compact
from hf_runner_simulators.github.routes import table
from hf_runner_simulators.github.routing import RELEASES, GitHubRouter, prefix_of
from hf_runner_simulators.github.world import GitHubWorld
from hf_runner_simulators.http import Request, Response

API_VERSIONS = ("2022-11-28", "2026-03-10")
MUTATION_POINTS = 5
NO_USER_AGENT = (
    "Request forbidden by administrative rules. Please make sure your request has a User-Agent header "
    "(https://docs.github.com/en/rest/overview/resources-in-the-rest-api#user-agent-required)."
)
VARY = "Accept, Authorization, Cookie, X-GitHub-OTP, Accept-Encoding, Accept, X-Requested-With"


class GitHubSite:
    """GitHub behind one origin.

    The knob ``edition`` says which GitHub this is. github.com answers at ``/`` and, for clients that
    take every host of its own for an Enterprise Server, at ``/api/v3`` too. An Enterprise Server has
    its API at ``/api/v3`` only.

    Args:
        world: Whose verbs the routes call.
    """

    def __init__(self, world: GitHubWorld) -> None:
        self.world = world
        self.router = GitHubRouter(world.store)
        self._renders: dict[tuple[str, str], Render] = {}
        for method, template, route in table(world):
            self.router.add(method, template, partial(self._serve, route, template))
        self.router.add("GET", RELEASES + "/{tag}/{filename}", self._download)
        self._control = Control(world)

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        self.world.time.advance()
        other = self._control.handle(request)
        if other is not None:
            return other
        if not request.headers.get("user-agent"):
            return Response(status=403, headers={"Content-Type": "text/html"}, body=NO_USER_AGENT.encode())
        found = self.router.match(request)
        if found is None:
            return self._serve(Route(answer=_nowhere), "", request)
        return found[1](request, **found[2])

    def _download(self, request: Request, *, tag: str, filename: str) -> Response:  # noqa: ARG002 - a mirror has its own tags
        archive = self.world.archives.named(filename)
        if archive is None:
            return self._serve(Route(answer=_nowhere), "", request)
        return Response(status=200, headers={"Content-Type": "application/gzip"}, body=archive.content)

    def _serve(self, route: Route, template: str, request: Request, **parts: str) -> Response:
        caller, charged = ANONYMOUS, False
        points = 1 if request.method == "GET" else MUTATION_POINTS
        limited = not self.enterprise_server or self.world.knobs.ghes_rate_limits
        try:
            if not self._has(route, request):
                raise not_found()
            caller = self.world.access.authenticate(request.headers.get("authorization", ""))
            if limited:
                self.world.limits.check(caller, route.resource, points=points, free=route.free)
            charged = limited
            asked = self._inquire(route, request, caller, parts)
            if template:
                queries.check(request, template)
            answer = route.answer(asked)
        except Refusal as refusal:
            answer = self._refused(refusal, route, request)
        headers = {**self._common(request), **_guards(route, caller), **answer.headers}
        response = _respond(request, answer, headers)
        unchanged = response.status == 304
        if charged:
            free_of_points = unchanged and not self.world.knobs.not_modified_costs_points
            self.world.limits.charge(
                caller,
                route.resource,
                points=0 if free_of_points else points,
                requests=0 if route.free or unchanged else 1,
            )
        if limited:
            headers |= self.world.limits.headers(caller, route.resource)
        return response

    @property
    def enterprise_server(self) -> bool:
        """Whether an Enterprise Server is played."""
        return self.world.knobs.edition == "enterprise-server"

    def _has(self, route: Route, request: Request) -> bool:
        """Tell whether the edition that is played has a route at this path."""
        if not self.enterprise_server:
            return True
        major, minor = self.world.knobs.ghes_version.split(".")[:2]
        since = route.server_since
        return bool(prefix_of(request.path)) and since is not None and (int(major), int(minor)) >= since

    def _inquire(self, route: Route, request: Request, caller: Caller, parts: Mapping[str, str]) -> Inquiry:
        version = request.headers.get("x-github-api-version", API_VERSIONS[0])
        if version not in API_VERSIONS:
            raise Refusal(400, f"{version!r} is not a supported API version.")
        if route.app and caller.kind != "app":
            raise Refusal(401, "A JSON web token could not be decoded")
        if not route.app and caller.kind == "app":
            raise Refusal(401, "Requires authentication")
        repository = None
        if route.need is not None:
            if "owner" in parts:
                name = f"{parts['owner']}/{parts['repo']}"
                repository = self.world.access.repository(caller, name, route.need)
            else:
                account = parts.get("org") or parts.get("enterprise") or parts.get("username", "")
                if "org" in parts and self.world.store.owner(account).kind != "Organization":
                    raise not_found()
                self.world.access.account(caller, account, route.need)
        return Inquiry(
            request=request,
            caller=caller,
            parts=parts,
            render=self._render(request),
            api_version=version,
            path=self.router.canonical(request.path),
            enterprise_server=self.enterprise_server,
            repository=repository,
        )

    def _render(self, request: Request) -> Render:
        key = (request.origin, prefix_of(request.path))
        if key not in self._renders:
            self._renders[key] = Render(store=self.world.store, origin=key[0], prefix=key[1])
        return self._renders[key]

    def _common(self, request: Request) -> dict[str, str]:
        now = self.world.time.now
        trace = self.world.store.keyed("request", self.world.store.next_id("request")).upper()
        headers = {
            "Date": formatdate(now, usegmt=True),
            "X-GitHub-Request-Id": f"{trace[:4]}:{trace[4:10]}:{trace[10:17]}:{trace[17:24]}:{int(now):X}",
            "X-GitHub-Media-Type": "github.v3; format=json",
            "X-GitHub-Api-Version-Selected": request.headers.get("x-github-api-version", API_VERSIONS[0]),
        }
        if self.enterprise_server:
            headers["X-GitHub-Enterprise-Version"] = self.world.knobs.ghes_version
        return headers

    def _refused(self, refusal: Refusal, route: Route, request: Request) -> RouteAnswer:
        if refusal.redirect is not None:
            return self._redirected(refusal.redirect, route, request)
        payload: dict[str, Any] = {
            "message": refusal.message,
            "documentation_url": route.docs if refusal.docs is None else refusal.docs,
            "status": str(refusal.status),
        }
        if refusal.errors is not None:
            payload["errors"] = refusal.errors
        return RouteAnswer(payload=payload, status=refusal.status, headers=refusal.headers)

    def _redirected(self, target: str, route: Route, request: Request) -> RouteAnswer:
        """Lead on to the present name. GitHub keeps the method of what is no GET: 301 would
        let a client turn it into one.
        """
        path = request.path.removeprefix(prefix_of(request.path))
        rest = "/".join(path.split("/")[4:])
        query = urlencode(request.query)
        url = (
            self._render(request).api + target + (f"/{rest}" if rest else "") + (f"?{query}" if query else "")
        )
        status, message = (
            (301, "Moved Permanently") if request.method == "GET" else (307, "Temporary Redirect")
        )
        payload = {"message": message, "url": url, "documentation_url": route.docs}
        return RouteAnswer(payload=payload, status=status, headers={"Location": url})


def _guards(route: Route, caller: Caller) -> dict[str, str]:
    """Say what a route accepts, on success too, and on every route what a classic token has and
    when a personal one ends.

    The end is written as google/go-github reads it (``parseTokenExpiration``), which knows of two forms.
    https://github.blog/changelog/2021-07-26-expiration-options-for-personal-access-tokens/
    """
    headers = {} if caller.scopes is None else {"X-OAuth-Scopes": ", ".join(caller.scopes)}
    if caller.ends_at is not None:
        end = datetime.fromtimestamp(int(caller.ends_at), UTC)
        headers["GitHub-Authentication-Token-Expiration"] = end.strftime("%Y-%m-%d %H:%M:%S UTC")
    if route.need is None:
        return headers
    headers["X-Accepted-GitHub-Permissions"] = str(route.need)
    if caller.scopes is not None:
        headers["X-Accepted-OAuth-Scopes"] = ACCEPTED_SCOPES[route.need.permission]
    return headers


def _respond(request: Request, answer: RouteAnswer, headers: dict[str, str]) -> Response:
    """Spell the answer out, with these headers and some that it adds to them; a read that has not changed
    since the caller's tag has no body.
    """
    if answer.payload is None and answer.text is None:
        return Response(status=answer.status, headers=headers)
    body = (compact(answer.payload) if answer.text is None else answer.text).encode()
    headers["Content-Type"] = "application/json; charset=utf-8"
    if request.method == "GET" and answer.status == 200:
        tag = etag(request, body)
        headers |= {"ETag": tag, "Cache-Control": "private, max-age=60, s-maxage=60", "Vary": VARY}
        if _matches(request.headers.get("if-none-match", ""), tag):
            return Response(status=304, headers=headers)
    return Response(status=answer.status, headers=headers, body=body)


def etag(request: Request, body: bytes) -> str:
    """Return the weak tag: it depends on the credentials, so a new token changes every one (seen).

    The formula is the undocumented one that others inferred: SHA-256 over the values of
    three headers and the body.
    """
    varies = "".join(request.headers.get(name, "") + ":" for name in ("accept", "authorization", "cookie"))
    return f'W/"{hashlib.sha256(varies.encode() + body).hexdigest()}"'


def _matches(if_none_match: str, tag: str) -> bool:
    asked = [item.strip().removeprefix("W/") for item in if_none_match.split(",")]
    return tag.removeprefix("W/") in asked or "*" in asked


def _nowhere(_: Inquiry) -> RouteAnswer:
    raise Refusal(404, "Not Found")
