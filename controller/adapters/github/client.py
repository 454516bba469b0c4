"""The HTTP side of one GitHub source: every request goes through here.

A request takes a token, waits for its turn, is sent once, and its answer is checked; only what provably had no effect is
sent again (a renewed token after a 401, a redirect within the host, an API version that the server does not know).
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlencode, urljoin, urlsplit

import httpx

from controller import __version__
from controller.adapters.github.answer import Answer, error_message, shown_url
from controller.adapters.github.auth import (
    AppCredentials,
    Credentials,
    FixedToken,
    InstallationTokens,
    Token,
    Tokens,
)
from controller.adapters.github.errors import error_for, malformed, transport_error
from controller.adapters.github.limits import POINTS_PER_MINUTE, Pacer, Quotas, points
from controller.adapters.github.pages import Page, PageCache, has_moved, read_page
from controller.core.model import Disposition, Failure, GitHubSource, Observation
from controller.core.reasons import Reason
from controller.ports import Clock, Quota

T = TypeVar("T")

API_VERSION = "2022-11-28"
"""The only version that every GitHub Enterprise Server knows (github.md §4)."""

TIMEOUT = httpx.Timeout(connect=5.0, read=20.0, write=10.0, pool=5.0)
"""Seconds. GitHub itself cuts a request after 10 s (github.md §1.5)."""

WHOLE_TIMEOUT = 60.0
"""Seconds for a request altogether, for answers that trickle."""

MAX_IN_FLIGHT = 16
"""Requests at a time of one source: GitHub allows 100 in all, and advises few."""

MOST_PAGES = 200
"""Pages of one list: twice the 10,000 runners that a group may have."""

SEARCH_CAP = 1_000
"""Rows that a filtered list of runs has at most, whatever its total (github.md §1.1)."""

MOST_REDIRECTS = 3
MOST_STUBBORN = 1_024

Meter = Callable[[Answer, float], None]
"""Told of each answer, and of the seconds that it took."""


def is_loopback(host: str) -> bool:
    """Return whether what is sent to a host stays on this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """One request, but for its token.

    Attributes:
        method: Upper-case method.
        url: Where to.
        route: The path's template.
        body: Sent as JSON.
        effect: Goes before reads when the pace is the limit.
        registration: Is charged to the quota for registrations.
    """

    method: str
    url: str
    route: str
    body: Mapping[str, object] | None = None
    effect: bool = False
    registration: bool = False


class Client:
    """Requests of one source.

    Args:
        source: Host and owner.
        credentials: The source's.
        clock: Time.
        transport: Where requests go instead of the network; closed with the client.
        tls: Shared between clients, since making one costs 16 ms and a megabyte; None makes one.
        points_per_minute: Bound of the pace; None where the server has no limits.
        max_in_flight: Requests at a time.
        allow_http: Allow plain http to hosts other than this machine.
        meter: Told of every answer.
        before_send: Awaited before each request; what it raises keeps the request from being sent.

    Raises:
        ValueError: Plain http where it is not allowed.
    """

    def __init__(
        self,
        *,
        source: GitHubSource,
        credentials: Credentials,
        clock: Clock,
        transport: httpx.AsyncBaseTransport | None = None,
        tls: ssl.SSLContext | None = None,
        points_per_minute: int | None = POINTS_PER_MINUTE,
        max_in_flight: int = MAX_IN_FLIGHT,
        allow_http: bool = False,
        meter: Meter | None = None,
        before_send: Callable[[httpx.Request], Awaitable[None]] | None = None,
    ) -> None:
        address = urlsplit(source.api_url)
        if address.scheme != "https" and not (allow_http or is_loopback(address.hostname or "")):
            raise ValueError(f"{shown_url(source.api_url)}: plain http is not allowed")
        self.source = source
        self.clock = clock
        self._base = source.api_url.rstrip("/") + "/"
        self._origin = (address.scheme, address.netloc)
        self._meter = meter
        self._pacer = Pacer(clock=clock, points_per_minute=points_per_minute, max_in_flight=max_in_flight)
        self._quotas = Quotas(clock=clock, slow_down=self._pacer.slow_down)
        # A JWT's calls are charged to the App, not to the installation.
        self._app_quotas = Quotas(clock=clock, slow_down=self._pacer.slow_down)
        self._cache = PageCache(clock=clock)
        self._stubborn: set[str] = set()  # URLs that answered 401 to a fresh token too
        self._api_version = {"X-GitHub-Api-Version": API_VERSION}
        self._date: tuple[str, float] = ("", 0.0)
        self._tokens: Tokens = (
            InstallationTokens(
                credentials=credentials,
                owner=source.owner,
                enterprise=source.enterprise,
                clock=clock,
                send=self._send_as_app,
            )
            if isinstance(credentials, AppCredentials)
            else FixedToken(credentials)
        )
        self._http = httpx.AsyncClient(
            transport=transport,
            verify=tls if tls is not None else True,
            timeout=TIMEOUT,
            event_hooks={"request": [before_send] if before_send else []},
            limits=httpx.Limits(max_connections=max_in_flight, max_keepalive_connections=max_in_flight),
            headers={
                "Accept": "application/vnd.github+json",
                "User-Agent": f"hf-runner-controller/{__version__}",
            },
        )

    @property
    def has_app(self) -> bool:
        """The credentials are a GitHub App's."""
        return isinstance(self._tokens, InstallationTokens)

    async def permissions(self) -> Mapping[str, str] | None:
        """Return what the App's installation was granted, by the API's names; None where the credentials are no App's.

        Raises:
            GitHubError: No token can be had.
        """
        if not isinstance(self._tokens, InstallationTokens):
            return None
        await self._tokens.current()
        return self._tokens.permissions

    def quota(self) -> Quota | None:
        """Return what the last answer said of the hourly quota that polling uses."""
        return self._quotas.quota()

    async def close(self) -> None:
        """Close connections. Idempotent."""
        if isinstance(self._tokens, InstallationTokens):
            await self._tokens.close()
        await self._http.aclose()

    # -------------------------------------------------------------------------------------------------------------- calls
    async def call(
        self,
        method: str,
        route: str,
        *,
        body: Mapping[str, object] | None = None,
        effect: bool = False,
        registration: bool = False,
        **fields: object,
    ) -> Answer:
        """Send one request and return its success.

        Args:
            method: Upper-case method.
            route: Path template below the API's base; ``fields`` fill it.
            body: Sent as JSON.
            effect: Goes before reads when the pace is the limit.
            registration: Is charged to the quota for registrations.
            fields: Values for the template, as they are.

        Raises:
            GitHubError: Anything but a success.
        """
        request = _Request(
            method=method,
            url=self._base + route.format(**fields),
            route=route,
            body=body,
            effect=effect,
            registration=registration,
        )
        token = await self._tokens.current()
        return await self._authorized(request, token, {})

    async def listed(
        self,
        route: str,
        *,
        params: Mapping[str, str | int],
        rows: str | None,
        parse: Callable[[Any], T],
        key: Callable[[T], object],
        cap: int | None = None,
        fresh: bool = False,
        **fields: object,
    ) -> Observation[T]:
        """Read a list to its last page, each page conditionally.

        A list whose pages moved while they were read is read once more. If it moved again, the observation holds what was
        seen, with the failure ``GitHubListMoved``: absence means nothing then.

        Args:
            route: Path template below the API's base.
            params: Query, the page apart.
            rows: Key of the rows in the answer, or None for an answer that is the array itself.
            parse: Makes a value of a row; may raise KeyError, TypeError or ValueError.
            key: Identity of a value: one that is seen twice counts once, as seen last.
            cap: Most rows that the server lists, whatever its total.
            fresh: An effect waits for this list: it goes before other reads, and is neither stored nor taken from the store.
            fields: Values for the template, as they are.

        Raises:
            GitHubError: A page failed, and so the whole list.
        """
        query = urlencode({**params, "per_page": 100})
        start = _Request(
            method="GET", url=f"{self._base}{route.format(**fields)}?{query}", route=route, effect=fresh
        )
        seen = await self._read_through(start, rows, parse, key=key, cap=cap)
        return seen if seen.complete else await self._read_through(start, rows, parse, key=key, cap=cap)

    async def _read_through(
        self,
        start: _Request,
        rows: str | None,
        parse: Callable[[Any], T],
        *,
        key: Callable[[T], object],
        cap: int | None,
    ) -> Observation[T]:
        found: dict[object, T] = {}
        totals: list[int] = []
        page, first = await self._page(start, rows, parse)
        answer, turned = first, 1
        while True:
            found.update((key(value), value) for value in page.rows)
            if page.total is not None:
                totals.append(page.total if cap is None else min(page.total, cap))
            if page.next is None:
                break
            if urlsplit(page.next)[:2] != self._origin:
                raise malformed(answer, "its next page is on another host")
            if turned == MOST_PAGES:
                raise malformed(answer, f"its list does not end within {MOST_PAGES} pages")
            turned += 1
            page, answer = await self._page(replace(start, url=page.next), rows, parse)
        return Observation(
            items=tuple(found.values()),
            asked_at=first.asked_at,
            server_time=first.server_time,
            failure=_moved(first) if has_moved(totals, len(found)) else None,
        )

    async def _page(
        self, request: _Request, rows: str | None, parse: Callable[[Any], T]
    ) -> tuple[Page[T], Answer]:
        token = await self._tokens.current()
        # An effect's list is nobody else's: the store may hold the same URL, parsed to other values by another reader.
        known = None if request.effect else self._cache.get(request.url, token.generation)
        condition = {"If-None-Match": known[0]} if known else {}
        # Should the token be renewed on the way, its generation's ETag is sent with the new one, and costs a full answer.
        answer = await self._authorized(request, token, condition)
        if answer.status == 304:
            if known is None:
                raise malformed(answer, "a 304 that nobody asked for")
            return known[1], answer
        page = read_page(answer, rows, parse)
        etag = answer.headers.get("etag")
        if etag and not request.effect:
            self._cache.put(request.url, token.generation, etag, page)
        return page, answer

    # -------------------------------------------------------------------------------------------------------- one request
    async def _authorized(self, request: _Request, token: Token, headers: Mapping[str, str]) -> Answer:
        """Send with the shared token; renew it once when it is refused: a 401 proves that there was no effect.

        A URL that refuses a fresh token too is not the token's fault. It is remembered, so that one such repository does
        not cost all the others their stored pages, time after time.
        """
        answer = await self._checked(request, token, headers)
        if answer.status == 401 and request.url not in self._stubborn and self._tokens.refused(token):
            token = await self._tokens.current()
            answer = await self._checked(request, token, headers)
            if answer.status == 401 and len(self._stubborn) < MOST_STUBBORN:
                self._stubborn.add(request.url)
        if answer.status != 401:
            self._stubborn.discard(request.url)
        if answer.status >= 400:
            raise error_for(answer)
        return answer

    async def _checked(self, request: _Request, token: Token, headers: Mapping[str, str]) -> Answer:
        """Send once under the limits, and learn from the answer.

        Raises:
            RateLimitedError: Before or after sending.
        """
        self._check_limits(request)
        async with self._pacer.turn(cost=points(request.method), effect=request.effect):
            self._check_limits(request)  # another may have met a limit while this one waited
            answer = await self._followed(request, token.value, headers)
        limited = self._quotas.learn(answer, registration=request.registration)
        if limited is not None:
            raise limited
        return answer

    def _check_limits(self, request: _Request) -> None:
        self._quotas.check(method=request.method, url=request.url, registration=request.registration)

    async def _send_as_app(self, method: str, path: str, secret: str) -> Answer:
        """Carry an App's call, for its installation or a token. Everything else waits for it, so it goes first."""
        route = re.sub(r"/\d+/", "/{id}/", path) if method == "POST" else "{kind}/{owner}/installation"
        request = _Request(method=method, url=self._base + path, route=route, effect=True)
        self._app_quotas.check(method=method, url=request.url, registration=False)
        async with self._pacer.turn(cost=points(method), effect=True):
            answer = await self._followed(request, secret, {})
        limited = self._app_quotas.learn(answer, registration=False)
        if limited is not None:
            raise limited
        return answer

    async def _followed(self, request: _Request, secret: str, headers: Mapping[str, str]) -> Answer:
        """Send, and send again where an answer shows that there was no effect: moved, or an unknown API version.

        A repository that was renamed is answered with a redirect to its number (github.md §4). The method stays, and the
        token goes to no other host.
        """
        answer = await self._sent(request, secret, headers)
        for _ in range(MOST_REDIRECTS):
            if answer.status == 400 and self._api_version and "version" in answer.message.lower():
                self._api_version = {}
            elif answer.status in (301, 302, 307, 308):
                url = urljoin(request.url, answer.headers.get("location", ""))
                if urlsplit(url)[:2] != self._origin:
                    host = urlsplit(url).hostname
                    raise malformed(answer, f"a redirect to another host, {host}", in_doubt=False)
                request = replace(request, url=url)
            else:
                return answer
            answer = await self._sent(request, secret, headers)
        if answer.status < 400 and answer.status in (301, 302, 307, 308):
            raise malformed(answer, "one redirect too many", in_doubt=False)
        return answer

    async def _sent(self, request: _Request, secret: str, headers: Mapping[str, str]) -> Answer:
        asked_at = self.clock.mono()
        authorized = {**headers, **self._api_version, "Authorization": f"Bearer {secret}"}
        failed: Exception
        try:
            async with asyncio.timeout(WHOLE_TIMEOUT):
                response = await self._http.request(
                    request.method, request.url, json=request.body, headers=authorized
                )
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            failed = error
        else:
            answer = Answer(
                method=request.method,
                route=request.route,
                sent_to=request.url,
                status=response.status_code,
                headers=response.headers,
                body=response.content,
                asked_at=asked_at,
                server_time=self._server_time(response.headers.get("date", "")),
                message=error_message(response.content, secret) if response.status_code >= 400 else "",
            )
            if self._meter is not None:
                self._meter(answer, self.clock.mono() - asked_at)
            return answer
        # Outside of the handler: httpx hangs the request, with its headers, on its exceptions.
        raise transport_error(failed, method=request.method, url=shown_url(request.url))

    def _server_time(self, date: str) -> float:
        """Read a ``Date`` header; answers of the same second share the work."""
        if date != self._date[0]:
            try:
                self._date = date, parsedate_to_datetime(date).timestamp()
            except ValueError:
                return self.clock.wall()
        return self._date[1] if date else self.clock.wall()


def _moved(answer: Answer) -> Failure:
    return Failure(
        reason=Reason.GitHubListMoved,
        message=f"GET {answer.url} changed while its pages were read; it is read again.",
        disposition=Disposition.RETRY,
        request_id=answer.request_id,
    )
