"""Requests of one GitHub source: every one of them goes through here.

A request takes a token, waits for its turn, is sent once, and its answer is checked; only what provably had
no effect is sent again (a renewed token or a rotated Secret after a 401, a redirect on the same origin, an
API version that the server does not know).
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, cast
from urllib.parse import urlencode

import httpx

from controller.adapters.credential import Credential
from controller.adapters.github.answer import Answer
from controller.adapters.github.credentials import AppCredentials, Credentials
from controller.adapters.github.delivery import Delivery, readable, success
from controller.adapters.github.fields import Row
from controller.adapters.github.installation import InstallationTokens
from controller.adapters.github.limits import MAX_IN_FLIGHT, POINTS_PER_MINUTE, Limits, Shares
from controller.adapters.github.lists import read_through
from controller.adapters.github.pages import Page, PageCache, read_page
from controller.adapters.github.tokens import OwnTokens, PersonalToken, Token, Tokens
from controller.adapters.github.wire import Meter, Read, Request, Wire
from controller.adapters.offloop import AT_ONCE, SHARED, Workers
from controller.core.hosts import DEFAULT_HOSTS, Hosts
from controller.core.model import GitHubSource, Observation, TokenEnd
from controller.core.reasons import Reason
from controller.ports import Clock, Quota

T = TypeVar("T")

SEARCH_CAP = 1_000
"""Rows that a filtered list of runs has at most, whatever its total.
https://docs.github.com/rest/actions/workflow-runs#list-workflow-runs-for-a-repository"""

MOST_STUBBORN = 1_024
"""URLs that are remembered for having refused a fresh token too."""


class Client:
    """Requests of one source.

    Args:
        source: Host and owner.
        credential: The source's, followed from one content of its Secret to the next.
        clock: Time.
        transport: Where requests go instead of the network; closed with the client.
        tls: Shared between clients, since making one costs 16 ms and a megabyte; None makes one.
        shares: Limits of accounts, shared with other clients; None shares with nobody.
        workers: Parse what is large; None takes the process's own, or works at once where ``transport`` is
            given.
        points_per_minute: Bound of the account's pace; None where the server has no limits.
        max_in_flight: Requests of the account at a time.
        hosts: To which hosts requests may go; one to any other fails with ``HostNotAllowed``, unsent.
        may_end: Returns whether requests that only end what was launched may go to the source's host although
            it is not among them.
        meter: Told of every answer.
        failed: Told why a call of a port failed.
        before_send: Awaited before each request; what it raises keeps the request from being sent.
    """

    def __init__(
        self,
        *,
        source: GitHubSource,
        credential: Credential[Credentials],
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
        failed: Callable[[Reason], None] = lambda _: None,
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
        self._cache = PageCache(clock=clock)
        self._credential = 0
        self._token_end: TokenEnd | None = None
        self._stubborn: set[str] = set()  # URLs that answered 401 to a fresh token too
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
        self._delivery = Delivery(source=source, wire=self._wire)
        self._tokens = Tokens(credential=credential, own=self._own_tokens)
        self.failed = failed

    def _own_tokens(self, credentials: Credentials, credential: int, generations: Iterator[int]) -> OwnTokens:
        if not isinstance(credentials, AppCredentials):
            return PersonalToken(credentials, credential=credential, generation=next(generations))
        return InstallationTokens(
            credentials=credentials,
            credential=credential,
            generations=generations,
            owner=self.source.owner,
            enterprise=self.source.enterprise,
            clock=self.clock,
            # A JWT's calls are charged to the App, not to the installation.
            send=partial(self._delivery.as_app, limits=self._new_limits()),
        )

    async def token(self) -> Token:
        """Return the token that a request would be sent with now; what was learned with other credentials is
        not believed.

        Raises:
            UpstreamError: There is none.
        """
        return await self._tokens.current()

    def rotated_since(self, token: Token) -> bool:
        """Return whether any request was sent with other credentials than a token's since that was the
        current one.
        """
        return self._credential != token.credential

    async def permissions(self) -> Mapping[str, str] | None:
        """Return what the App's installation was granted, by the API's names; None where the credentials are
        no App's.

        Raises:
            UpstreamError: No token can be had.
        """
        return await self._tokens.permissions()

    def quota(self) -> Quota | None:
        """Return what the last answer said of the hourly quota that polling uses."""
        return self._limits.quotas.quota()

    def token_end(self) -> TokenEnd | None:
        """Return when the personal access token ends, as the last answer that could tell said; None where it
        has no end.
        """
        return self._token_end

    def _learn_end(self, token: Token, answer: Answer) -> None:
        """Learn from an answer to a personal access token; an App's are renewed long before their end.

        A 304 and a refusal need not repeat what a success says, so only a success without the header says
        that there is no end. An answer to a token that was rotated meanwhile says nothing of the new one.
        """
        if not token.personal or token.credential != self._credential:
            return
        end = answer.token_end
        if end is not None:
            self._token_end = TokenEnd(at=end, asked_at=answer.asked_at, server_time=answer.server_time)
        elif answer.succeeded:
            self._token_end = None

    async def close(self) -> None:
        """Close connections. Idempotent."""
        await self._tokens.close()
        await self._wire.close()

    # -------------------------------------------------------------------------------------------------- calls
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
            read: Makes a value of the JSON, and may raise :class:`.fields.FieldError`; may run in a thread.
                None where the status is all that matters.
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
        return readable((await self._authorized(request, await self._tokens.current(), {}))[1])

    async def value(self, method: str, route: str, read: Callable[[Row], T], **options: Any) -> T:  # noqa: ANN401 -- as of call
        """Send one request whose success is a JSON object, and return what ``read`` makes of it; see
        :meth:`call`.
        """
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

        A list whose pages moved while they were read, or that was read with two credentials, is read once
        more. If it moved again, the observation holds what was seen, with the failure ``GitHubListMoved``:
        absence means nothing then.

        Args:
            route: Path template below the API's base.
            params: Query, the page apart.
            rows: Key of the rows in the answer, or None for an answer that is the array itself.
            parse: Makes a value of a row; what it raises (:class:`.fields.FieldError`) fails the list; may
                run in a thread.
            key: Identity of a value: one that is seen twice counts once, as seen last.
            cap: Most rows that the server lists, whatever its total.
            fresh: An effect waits for this list: it goes before other reads, and is neither stored nor taken
                from the store.
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
        once = partial(
            read_through, start.url, lambda url: self._page(replace(start, url=url)), key=key, cap=cap
        )
        seen = await once()
        return seen if seen.complete else await once()

    async def _page(self, request: Request) -> tuple[Page[Any], Answer, int]:
        token = await self._tokens.current()
        # An effect's list is nobody else's: the store may hold the same URL, parsed to other values by
        # another reader.
        known = None if request.effect else self._cache.get(request.url, token.generation)
        condition = {"If-None-Match": known[0]} if known else {}
        # Should the token be renewed on the way, its generation's ETag is sent with the new one, and costs a
        # full answer.
        sent_with, answer = await self._authorized(request, token, condition)
        if answer.status == 304 and known is not None and sent_with.credential == token.credential:
            return known[1], answer, sent_with.credential
        page = replace(cast("Page[Any]", readable(answer).value), next=answer.next_page)
        if answer.etag and not request.effect:
            self._cache.put(request.url, sent_with.generation, answer.etag, page)
        return page, answer, sent_with.credential

    # -------------------------------------------------------------------------------------------- one request
    async def _authorized(
        self, request: Request, token: Token, condition: Mapping[str, str]
    ) -> tuple[Token, Answer]:
        """Send, and return the token that was not refused with the answer: a 401 proves that there was no
        effect.

        1. The shared token is renewed once when it is refused. A URL that refuses a fresh token too is not
           the token's fault. It is remembered, so that one such repository does not cost all the others their
           stored pages, time after time.
        2. Credentials that are refused all the same may have been replaced since their Secret was read.

        No condition is sent with other credentials: it would be about a page that was shown to the last ones.
        """
        answer = await self._sent(request, token, condition)
        if answer.status == 401 and request.url not in self._stubborn and self._tokens.refused(token):
            newer = await self._tokens.current()
            condition = condition if newer.credential == token.credential else {}
            token = newer
            answer = await self._sent(request, token, condition)
            if answer.status == 401 and len(self._stubborn) < MOST_STUBBORN:
                self._stubborn.add(request.url)
        if answer.status == 401 and (rotated := await self._tokens.replaced(token)) is not None:
            token = rotated
            answer = await self._sent(request, token, {})
        if answer.status != 401:
            self._stubborn.discard(request.url)
        if answer.status == 403 and self._tokens.lacks(token):
            newer = await self._tokens.current()
            if newer.generation != token.generation:  # a 403 proves as well that there was no effect
                token = newer
                answer = await self._sent(request, token, {})
        return token, success(answer)

    async def _sent(self, request: Request, token: Token, condition: Mapping[str, str]) -> Answer:
        """Send with one token under its account's limits, and learn from the answer.

        Raises:
            RateLimitedError: Before or after sending.
        """
        if token.credential > self._credential:
            # The first request with other credentials: nothing that answers to the last ones said is true of
            # them.
            self._credential = token.credential
            self._token_end = None
            self._stubborn.clear()
        self._limits = self._shares.of(f"{self._base} {token.account}", self._new_limits)
        answer = await self._delivery.send(request, self._limits, token.value, condition)
        self._learn_end(token, answer)
        return answer
