"""The smallest HTTP that a simulated site needs: a request, a response and a route table.

A site is a plain class whose verbs are synchronous functions: each one is atomic, and time passes only
between them. Sockets, the in-process transport and faults live in the doors, so that both doors lead to
exactly the same behaviour.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import unquote

JSON = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as a site sees it.

    Attributes:
        method: Upper-case method.
        path: Percent-encoded path, without the query.
        query: Decoded query pairs in their order; a key may repeat.
        headers: Names in lower case.
        body: Raw body.
        origin: ``scheme://host:port`` under which the caller reached the site; answers
            build their links from it.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    origin: str

    def param(self, name: str, default: str = "") -> str:
        """Return the last value of a query parameter."""
        return next((v for k, v in reversed(self.query) if k == name), default)

    def params(self, name: str) -> tuple[str, ...]:
        """Return all values of a repeated query parameter."""
        return tuple(v for k, v in self.query if k == name)

    def json(self) -> JSON:
        """Parse the body.

        Raises:
            ValueError: The body is not JSON.
        """
        return json.loads(self.body or b"null")


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One answer; ``stream`` replaces ``body`` for server-sent events."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    stream: AsyncIterator[bytes] | None = None


def json_response(payload: JSON, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with compact JSON, the way both services send it."""
    body = json.dumps(payload, separators=(",", ":")).encode()
    return Response(
        status=status,
        headers={"Content-Type": "application/json; charset=utf-8", **(headers or {})},
        body=body,
    )


class Site(Protocol):
    """A simulated service behind one origin."""

    @property
    def router(self) -> Router:
        """The route table; the exchange names requests and aims faults by its templates."""

    def handle(self, request: Request) -> Response:
        """Answer one request; synchronous, so that an effect is whole or absent."""


Handler = Callable[..., Response]


class Router:
    """Method and path templates (``/repos/{owner}/{repo}``) to handlers, first match wins.

    A handler is called with the request and the path's decoded parts as keyword arguments.
    """

    def __init__(self) -> None:
        self._routes: list[tuple[str, re.Pattern[str], str, Handler]] = []

    def add(self, method: str, template: str, handler: Handler) -> None:
        """Register a handler; the template is also the route's name in reports."""
        pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template) + r"\Z")
        self._routes.append((method, pattern, template, handler))

    def match(self, request: Request) -> tuple[str, Handler, dict[str, str]] | None:
        """Find the route: its template, its handler, and the path's parts."""
        for method, pattern, template, handler in self._routes:
            if method == request.method and (found := pattern.match(request.path)):
                return template, handler, {k: unquote(v) for k, v in found.groupdict().items()}
        return None
