"""Requests of one GitHub source: every one of them goes through here.

A request takes a token, waits for its turn, is sent once, and its answer is checked; only what provably had no effect is
sent again (a renewed token after a 401, a redirect on the same origin, an API version that the server does not know).
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, cast
from urllib.parse import urlencode

import httpx

from controller.adapters.github.answer import Answer
from controller.adapters.github.auth import (
    AppCredentials,
    Credentials,
    FixedToken,
    InstallationTokens,
    Token,
    Tokens,
)
from controller.adapters.github.errors import error_for, malformed
from controller.adapters.github.fields import Row
from controller.adapters.github.limits import MAX_IN_FLIGHT, POINTS_PER_MINUTE, Limits, Shares, points
from controller.adapters.github.pages import Page, PageCache, has_moved, read_page
from controller.adapters.github.wire import Meter, Read, Request, Wire
from controller.adapters.offloop import AT_ONCE, SHARED, Workers
from controller.core.hosts import DEFAULT_HOSTS, Hosts
from controller.core.model import Disposition, Failure, GitHubSource, Observation, TokenEnd
from controller.core.reasons import Reason
from controller.ports import Clock, Quota

T = TypeVar("T")

API_VERSION = "2022-11-28"
"""The only version that every GitHub Enterprise Server knows.
https://docs.github.com/rest/about-the-rest-api/api-versions"""

MOST_PAGES = 200
"""Pages of one list: twice the 10,000 runners that a group may have."""

MOST_BYTES = 256 * 2**20
"""Bytes of all pages of one list, unpacked. Only their rows are kept, page by page."""

SEARCH_CAP = 1_000
"""Rows that a filtered list of runs has at most, whatever its total.
https://docs.github.com/rest/actions/workflow-runs#list-workflow-runs-for-a-repository"""

MOST_REDIRECTS = 3
MOST_STUBBORN = 1_024

REDIRECTS = frozenset({301, 302, 307, 308})
"""A renamed repository is answered with 301 to a GET and 307 to anything else. None of them has had an effect, so method and
body stay what they were.
https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api#follow-redirects"""


class Client:
    """Requests of one source.

    Args:
        source: Host and owner.
        credentials: The source's.
        clock: Time.
        transport: Where requests go instead of the network; closed with the client.
        tls: Shared between clients, since making one costs 16 ms and a megabyte; None makes one.
        shares: Limits of accounts, shared with other clients; None shares with nobody.
        workers: Parse what is large; None takes the process's own, or works at once where ``transport`` is given.
        points_per_minute: Bound of the account's pace; None where the server has no limits.
        max_in_flight: Requests of the account at a time.
        hosts: To which hosts requests may go; one to any other fails with ``HostNotAllowed``, unsent.
        may_end: Returns whether requests that only end what was launched may go to the source's host although it is not among them.
        meter: Told of every answer.
        before_send: Awaited before each request; what it raises keeps the request from being sent.
    """

    def __init__(
        self,
        *,
        source: GitHubSource,
        credentials: Credentials,
        clock: Clock,
        transport: httpx.AsyncBaseTransport | None = None,
        tls: ssl.SSLContext | None = None,
        shares: Shares | None = None,
        workers: Workers | None = None,
        points_per_minute: int | None = POINTS_PER_MINUTE,
        max_in_flight: int = MAX_IN_FLIGHT,
        hosts: Hosts = DEFAULT_HOSTS,
        may_end: Callable[[], bool] = lambda: False,
        meter: Meter | None = None,
        before_send: Callable[[httpx.Request], Awaitable[None]] | None = None,
    ) -> None:
        self.source = source
        self.clock = clock
        self._base = source.api_url.rstrip("/") + "/"
        self._new_limits = partial(
            Limits, clock=clock, points_per_minute=points_per_minute, max_in_flight=max_in_flight
        )
        self._shares = Shares() if shares is None else shares
        self._limits = self._new_limits()
        # A JWT's calls are charged to the App, not to the installation.
        self._app_limits = self._new_limits()
        self._cache = PageCache(clock=clock)
        self._token_end: TokenEnd | None = None
        self._stubborn: set[str] = set()  # URLs that answered 401 to a fresh token too
        self._api_version = {"X-GitHub-Api-Version": API_VERSION}
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
        self._wire = Wire(
            clock=clock,
            transport=transport,
            tls=tls,
            max_connections=max_in_flight,
            workers=workers or (SHARED if transport is None else AT_ONCE),
            meter=meter,
            before_send=before_send,
            hosts=hosts,
            may_end=may_end,
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
        return self._limits.quotas.quota()

    def token_end(self) -> TokenEnd | None:
        """Return when the personal access token ends, as the last answer that could tell said; None where it has no end."""
        return self._token_end

    def _learn_end(self, answer: Answer) -> None:
        """Learn from an answer to a personal access token; an App's are renewed long before their end.

        A 304 and a refusal need not repeat what a success says, so only a success without the header says that there is no end.
        """
        end = answer.token_end
        if end is not None:
            self._token_end = TokenEnd(at=end, asked_at=answer.asked_at, server_time=answer.server_time)
        elif answer.succeeded:
            self._token_end = None

    async def close(self) -> None:
        """Close connections. Idempotent."""
        if isinstance(self._tokens, InstallationTokens):
            await self._tokens.close()
        await self._wire.close()

    # -------------------------------------------------------------------------------------------------------------- calls
    async def call(
        self,
        method: str,
        route: str,
        *,
        body: Mapping[str, object] | None = None,
        read: Read | None = None,
        effect: bool = False,
        registration: bool = False,
        **fields: object,
    ) -> Answer:
        """Send one request and return its success; its ``value`` is what ``read`` made of it.

        Args:
            method: Upper-case method.
            route: Path template below the API's base; ``fields`` fill it.
            body: Sent as JSON.
            read: Makes a value of the JSON, and may raise :class:`.fields.FieldError`; may run in a thread. None where the
                status is all that matters.
            effect: Goes before reads when the pace is the limit.
            registration: Is charged to the quota for registrations.
            fields: Values for the template, as they are.

        Raises:
            GitHubError: Anything but a success that can be read.
        """
        request = Request(
            method=method,
            url=self._base + route.format(**fields),
            route=route,
            body=body,
            read=read,
            effect=effect,
            registration=registration,
        )
        return _readable(await self._authorized(request, await self._tokens.current(), {}))

    async def value(self, method: str, route: str, read: Callable[[Row], T], **options: Any) -> T:  # noqa: ANN401 -- as of call
        """Send one request whose success is a JSON object, and return what ``read`` makes of it; see :meth:`call`."""
        answer = await self.call(method, route, read=lambda found: read(Row(found)), **options)
        return cast("T", answer.value)

    async def listed(
        self,
        route: str,
        *,
        params: Mapping[str, str | int],
        rows: str | None,
        parse: Callable[[Row], T],
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
            parse: Makes a value of a row; what it raises (:class:`.fields.FieldError`) fails the list; may run in a thread.
            key: Identity of a value: one that is seen twice counts once, as seen last.
            cap: Most rows that the server lists, whatever its total.
            fresh: An effect waits for this list: it goes before other reads, and is neither stored nor taken from the store.
            fields: Values for the template, as they are.

        Raises:
            GitHubError: A page failed, and so the whole list.
        """
        query = urlencode({**params, "per_page": 100})
        start = Request(
            method="GET",
            url=f"{self._base}{route.format(**fields)}?{query}",
            route=route,
            read=partial(read_page, key=rows, parse=parse),
            effect=fresh,
        )
        seen = await self._read_through(start, key=key, cap=cap)
        return seen if seen.complete else await self._read_through(start, key=key, cap=cap)

    async def _read_through(
        self, start: Request, *, key: Callable[[T], object], cap: int | None
    ) -> Observation[T]:
        found: dict[object, T] = {}
        totals: list[int] = []
        uncounted = False
        page, first = await self._page(start)
        answer, turned, size = first, 1, first.size
        while True:
            found.update((key(value), value) for value in page.rows)
            if page.total is not None:
                totals.append(page.total if cap is None else min(page.total, cap))
            uncounted |= page.counted and page.total is None
            if page.next is None:
                break
            if page.next == answer.sent_to:
                raise malformed(answer, "its next page is itself")
            if turned == MOST_PAGES or size > MOST_BYTES:
                raise malformed(answer, f"its list does not end within {turned} pages and {size >> 20} MB")
            turned += 1
            page, answer = await self._page(replace(start, url=page.next))
            size += answer.size
        return Observation(
            items=tuple(found.values()),
            asked_at=first.asked_at,
            server_time=first.server_time,
            # A count that cannot be read proves nothing of what may have slipped between two pages; one page is whole by itself.
            failure=_moved(first) if has_moved(totals, len(found)) or (uncounted and turned > 1) else None,
        )

    async def _page(self, request: Request) -> tuple[Page[Any], Answer]:
        token = await self._tokens.current()
        # An effect's list is nobody else's: the store may hold the same URL, parsed to other values by another reader.
        known = None if request.effect else self._cache.get(request.url, token.generation)
        condition = {"If-None-Match": known[0]} if known else {}
        # Should the token be renewed on the way, its generation's ETag is sent with the new one, and costs a full answer.
        answer = await self._authorized(request, token, condition)
        if answer.status == 304 and known is not None:
            return known[1], answer
        page = replace(cast("Page[Any]", _readable(answer).value), next=answer.next_page)
        if answer.etag and not request.effect:
            self._cache.put(request.url, token.generation, answer.etag, page)
        return page, answer

    # -------------------------------------------------------------------------------------------------------- one request
    async def _authorized(self, request: Request, token: Token, headers: Mapping[str, str]) -> Answer:
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
        if answer.status == 403 and self._tokens.lacks(token):
            newer = await self._tokens.current()
            if newer.generation != token.generation:  # a 403 proves as well that there was no effect
                answer = await self._checked(request, newer, headers)
        return _success(answer)

    async def _checked(self, request: Request, token: Token, headers: Mapping[str, str]) -> Answer:
        """Send once under the account's limits, and learn from the answer.

        Raises:
            RateLimitedError: Before or after sending.
        """
        self._limits = self._shares.of(f"{self._base} {token.account}", self._new_limits)
        answer = await self._limited(request, self._limits, token.value, headers)
        if not self.has_app:
            self._learn_end(answer)
        return answer

    async def _send_as_app(
        self, method: str, path: str, secret: str, body: Mapping[str, Any] | None, read: Read
    ) -> Answer:
        """Carry an App's call, for its installation or a token. Everything else waits for it, so it goes first."""
        # An owner's name may be of digits alone, as an id is.
        of_the_app = path.startswith("app/")
        route = re.sub(r"/\d+(?=/|$)", "/{id}", path) if of_the_app else "{kind}/{owner}/installation"
        request = Request(
            method=method, url=self._base + path, route=route, read=read, effect=True, body=body
        )
        answer = await self._limited(request, self._app_limits, secret, {})
        return answer if answer.status >= 400 else _readable(_success(answer))

    async def _limited(
        self, request: Request, limits: Limits, secret: str, headers: Mapping[str, str]
    ) -> Answer:
        limits.check(request)
        async with limits.pacer.turn(cost=points(request.method), effect=request.effect, asker=self.source):
            limits.check(request)  # another may have met a limit while this one waited
            answer = await self._followed(request, limits, secret, headers)
        limited = limits.quotas.learn(answer, registration=request.registration)
        if limited is not None:
            raise limited
        return answer

    async def _followed(
        self, request: Request, limits: Limits, secret: str, headers: Mapping[str, str]
    ) -> Answer:
        """Send, and send again where an answer shows that there was no effect: moved, or an unknown API version."""
        sent = 0
        while True:
            answer = await self._wire.send(
                request, secret=secret, headers={**headers, **self._api_version}, large=limits.large
            )
            sent += 1
            if answer.status == 400 and self._api_version and "version" in answer.message.lower():
                self._api_version = {}
            elif answer.status in REDIRECTS:
                url = answer.redirected
                if url is None:
                    raise malformed(answer, "a redirect to another host", in_doubt=False)
                request = replace(request, url=url)
            else:
                return answer
            if sent > MOST_REDIRECTS:
                raise malformed(answer, "one redirect too many", in_doubt=False)


def _success(answer: Answer) -> Answer:
    """Return an answer that is a success, or a 304."""
    if answer.status >= 400:
        raise error_for(answer)
    if not answer.succeeded and answer.status != 304:
        raise malformed(answer, "a status that the call does not have")
    return answer


def _readable(answer: Answer) -> Answer:
    """Return a success whose value could be read."""
    if answer.status == 304:
        raise malformed(answer, "a 304 that nobody asked for")
    if answer.problem:
        raise malformed(answer, answer.problem)
    return answer


def _moved(answer: Answer) -> Failure:
    return Failure(
        reason=Reason.GitHubListMoved,
        message=f"GET {answer.url} changed while its pages were read; it is read again.",
        disposition=Disposition.RETRY,
        request_id=answer.request_id,
    )
