"""One request to the Hub: bounded in time and size, errors as failures, rate limits remembered instead of slept through."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

import httpx2
from huggingface_hub.utils import (  # type: ignore[attr-defined] # documented, not in __all__
    build_hf_headers,
    get_async_session,
)

from controller import __version__
from controller.adapters import incoming
from controller.adapters.addresses import as_sent
from controller.adapters.huggingface import body as bodies
from controller.adapters.huggingface.errors import (
    LARGEST_ERROR,
    Asked,
    HubError,
    malformed,
    no_answer,
    not_sent,
    refusal,
    request_id,
)
from controller.adapters.huggingface.values import JSON, words
from controller.adapters.offloop import AT_ONCE, SHARED, Workers
from controller.adapters.proxies import Proxies, Routes2
from controller.adapters.shares import NoTurnError, Share, Shares
from controller.adapters.unpack import ACCEPTED, EncodingError
from controller.core.hosts import DEFAULT_HOSTS, Hosts, Service
from controller.core.model import Disposition, Failure, HubAccount
from controller.core.reasons import Reason
from controller.ports import Clock, Fenced

T = TypeVar("T")

_log = logging.getLogger(__name__)

TIMEOUTS = httpx2.Timeout(connect=5.0, read=20.0, write=20.0, pool=5.0)
"""Seconds; huggingface_hub sets none (hf-jobs.md §5.3). The Hub has been seen to take seconds for a launch."""

DEADLINE = 45.0
"""Seconds for one whole request: a server that drips its body keeps the read timeout from ever firing."""

LARGEST_BODY = incoming.PAGE_BYTES
"""Bytes of an unpacked answer. The endpoint is the user's word, our memory is everybody's."""

PAUSE = 0.5
"""Seconds before the one repetition of a request that can be repeated."""

MOST_OF_ACCOUNT = 16
"""Requests of one account under way at once, each with a connection of its own; the executor starts no more effects either.
They hold 12 MiB of answers at most: sixteen small ones, and one large one at a time."""

MOST_OF_TENANT_AT_ENDPOINT, MOST_OF_TENANT = 32, 64
"""The same for all accounts whose Secrets are in one Kubernetes namespace, at one endpoint and altogether. Whoever may make pools
there can make accounts without end, by naming Hub namespaces; those of other Kubernetes namespaces have turns of their own."""

MOST_OF_PUBLIC = 2
"""The same for what is asked of one endpoint without a token."""


class Session(httpx2.AsyncClient):
    """The HTTP session that all accounts share, with a share for each.

    Attributes:
        shares: Whose turn it is.
        workers: Parse large answers.
    """

    shares: Shares
    workers: Workers


def open_session(
    *,
    transport: httpx2.AsyncBaseTransport | None = None,
    before_send: Callable[[httpx2.Request], Awaitable[None]] | None = None,
) -> Session:
    """Make the HTTP session that all accounts share; the clients over it leave it open, and the caller closes it.

    Requests go through huggingface_hub's own hook, so that offline mode holds here too, and certificates are taken from the
    environment as it takes them. Otherwise it is our own:

    - proxies are chosen by the rule that all our clients share;
    - timeouts, and no redirects, which would carry a launch's secrets to another host;
    - no cookies, which would carry one account's identity into another's request;
    - no hook that reads a refusal whole, however large it is;
    - no bound on connections in common, which one user could exhaust: each has a share (:data:`MOST_OF_ACCOUNT`).

    Args:
        transport: Takes the place of the network, for simulations and tests.
        before_send: Awaited before each request; what it raises keeps the request from being sent.
    """
    hooks = [] if transport is not None else list(get_async_session().event_hooks["request"])
    if before_send is not None:
        hooks.append(before_send)
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=100)

    def through(proxy: str | None) -> httpx2.AsyncHTTPTransport:
        return httpx2.AsyncHTTPTransport(limits=limits, proxy=proxy)

    session = Session(
        transport=transport if transport is not None else Routes2(Proxies(), through),
        timeout=TIMEOUTS,
        trust_env=False,
        follow_redirects=False,
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
        event_hooks={"request": hooks},
    )
    session.shares = Shares()
    session.workers = SHARED if transport is None else AT_ONCE  # virtual time has no threads
    return session


def shares_of(endpoint: str, account: HubAccount | None) -> Sequence[Share]:
    """Return the shares that requests for an account take turns of, from the narrow to the wide; None asks without a token."""
    if account is None:
        return (Share(("public", endpoint), MOST_OF_PUBLIC),)
    tenant = account.secret.namespace
    return (
        Share(("account", account), MOST_OF_ACCOUNT),
        Share(("tenant at endpoint", tenant, endpoint), MOST_OF_TENANT_AT_ENDPOINT),
        Share(("tenant", tenant), MOST_OF_TENANT),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A successful answer.

    Attributes:
        call: Method and path that it answers.
        payload: Parsed JSON.
        server_time: Epoch seconds on the Hub's clock, or on ours when the answer does not tell.
        next: Query of the next page, or None on the last. Only the query is taken from the ``Link``: our token goes to our
            endpoint alone, also where a proxy leaves the Hub's own address in the link.
        request_id: The Hub's id of the request.
        size: Bytes of the unpacked body.
    """

    call: str
    payload: JSON
    server_time: float
    next: str | None
    request_id: str | None
    size: int


class Wire:
    """Requests to one endpoint with one token.

    A 429 closes the wire until the window that it names: calls then fail at once, unsent, and nobody else is held up.

    Args:
        session: From :func:`open_session`; shared.
        endpoint: Base URL without a trailing slash.
        token: Bearer token, printable ASCII; None for public routes.
        clock: Time.
        account: Whose share of connections is used; None for public routes.
        meter: Told of the HTTP status of every answer.
        hosts: To which hosts requests may go; one to any other fails with ``HostNotAllowed``, unsent.
        may_end: Returns whether reads and cancellations may go to the endpoint although it is not among them: they end what was
            launched there.
    """

    def __init__(
        self,
        *,
        session: Session,
        endpoint: str,
        token: str | None,
        clock: Clock,
        account: HubAccount | None = None,
        meter: Callable[[int], None] = lambda _: None,
        hosts: Hosts = DEFAULT_HOSTS,
        may_end: Callable[[], bool] = lambda: False,
    ) -> None:
        self._hosts = hosts
        self._may_end = may_end
        self._session = session
        self._endpoint = endpoint
        self._clock = clock
        self._shares = shares_of(endpoint, account)
        self._large = Share(("large", endpoint, account), 1)
        self._meter = meter
        self._secrets = (token,) if token else ()
        self._headers: Mapping[str, str] = build_hf_headers(
            token=token or False, library_name="hf-runner-controller", library_version=__version__
        )
        self._closed_until: dict[str, float] = {}

    async def get(self, path: str, *, query: Sequence[tuple[str, str]] | str = ()) -> Answer:
        """Read something; repeated once if it fails quickly.

        Args:
            path: Below the endpoint, percent-encoded.
            query: Pairs, or the query of an earlier answer's :attr:`Answer.next`.
        """
        return await self._repeatable(
            "GET", path, query=query if isinstance(query, str) else _query(query), asked=Asked.READ
        )

    async def post(
        self,
        path: str,
        *,
        asked: Asked,
        body: JSON = None,
        secrets: Iterable[str] = (),
    ) -> Answer:
        """Ask for something; a launch is sent once, anything else is repeated once if it fails quickly.

        Args:
            path: Below the endpoint, percent-encoded.
            asked: For what.
            body: To be sent as JSON.
            secrets: Values in the body that no message may repeat.
        """
        if asked is Asked.LAUNCH:
            return await self._limited("POST", path, body=body, asked=asked, secrets=secrets)
        return await self._repeatable("POST", path, body=body, asked=asked)

    async def lines(
        self, path: str, *, query: Sequence[tuple[str, str]] = (), silence: float
    ) -> AsyncGenerator[str]:
        """Read a stream line by line until its end; close the iterator to stop before.

        Args:
            path: Below the endpoint, percent-encoded.
            query: Pairs.
            silence: Seconds without a byte after which the stream ends here, since it may never end by itself.

        Raises:
            HubError: It was refused, or broke off.
        """
        call = f"GET {path}"
        self._keep_within(self._url(path, _query(query)))
        headers = {**self._headers, "accept": "text/event-stream", "accept-encoding": ACCEPTED}
        timeout = httpx2.Timeout(
            connect=TIMEOUTS.connect, read=silence, write=TIMEOUTS.write, pool=TIMEOUTS.pool
        )
        opened = False
        try:
            async with (
                self._turn(call),
                self._session.stream(
                    "GET", self._url(path, _query(query)), headers=headers, timeout=timeout
                ) as response,
            ):
                opened = response.is_success
                if not response.is_success:
                    raise refusal(
                        call=call,
                        status=response.status_code,
                        headers=response.headers,
                        body=await _refused_body(response),
                        asked=Asked.READ,
                        secrets=self._secrets,
                    )
                async for line in bodies.lines(response):
                    yield line
        except EncodingError:
            raise malformed(call=call, why="its body cannot be decoded") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError) as error:
            if not (opened and isinstance(error, httpx2.ReadTimeout)):
                raise no_answer(call=call, error=error, asked=Asked.READ, secrets=self._secrets) from None

    async def work(self, size: int, work: Callable[[], T]) -> T:
        """Do what takes as long as parsing so many bytes, apart from the event loop where that is long; raises what it raises."""
        return await self._session.workers.run(size, work)

    def _keep_within(self, url: str, asked: Asked | None = None) -> None:
        """Let no request out to a host that is not allowed; each is judged as it would be sent, whoever chose its address.

        Args:
            url: Of the request.
            asked: For what; None for what ends nothing.

        Raises:
            HubError: It may not be sent.
        """
        sent_to = as_sent(url, httpx2.URL)
        ending = asked in (Asked.READ, Asked.CANCEL) and self._may_end()
        if (refused := self._hosts.refuses(Service.HUB, sent_to, ending=ending)) is not None:
            raise HubError(refused)

    def _url(self, path: str, query: str) -> str:
        return f"{self._endpoint}{path}" + (f"?{query}" if query else "")

    @asynccontextmanager
    async def _turn(self, call: str) -> AsyncIterator[None]:
        try:
            async with self._session.shares.turn(self._shares):
                yield
        except NoTurnError:
            why = "as many requests of this account as may be under way wait for an answer"
            raise not_sent(call=call, why=why) from None

    async def _repeatable(
        self, method: str, path: str, *, asked: Asked, query: str = "", body: JSON = None
    ) -> Answer:
        try:
            return await self._limited(method, path, query=query, body=body, asked=asked)
        except HubError as error:
            if not error.soon:
                raise
        await asyncio.sleep(PAUSE)
        return await self._limited(method, path, query=query, body=body, asked=asked)

    async def _limited(
        self,
        method: str,
        path: str,
        *,
        asked: Asked,
        query: str = "",
        body: JSON = None,
        secrets: Iterable[str] = (),
    ) -> Answer:
        self._keep_within(self._url(path, query), asked)
        now = self._clock.mono()
        until = max(self._closed_until.get("", now), self._closed_until.get(method, now))
        if until > now:
            raise HubError(
                Failure(
                    reason=Reason.HubRateLimited,
                    message=f"{method} {path}: not sent. {Reason.HubRateLimited.meaning}",
                    disposition=Disposition.WAIT,
                    retry_after=until - now,
                )
            )
        call, masked = f"{method} {path}", (*self._secrets, *secrets)
        try:
            async with self._turn(call):
                return await self._send(method, path, query=query, body=body, asked=asked, secrets=masked)
        except HubError as error:
            if error.status == 429 and error.failure.retry_after is not None:
                self._closed_until[method if error.limit else ""] = (
                    self._clock.mono() + error.failure.retry_after
                )
            raise
        except Fenced:
            raise
        except Exception as error:  # noqa: BLE001 -- after it was sent, whatever goes wrong proves nothing
            named = no_answer(call=call, error=error, asked=asked, secrets=masked)
            if named.failure.reason is Reason.InternalError:
                # Frames alone: the exception's own words may quote what was sent.
                where = "".join(traceback.format_tb(error.__traceback__)[-3:])
                _log.error(named.failure.message, extra={"detail": where})
            raise named from None

    async def _send(
        self, method: str, path: str, *, query: str, body: JSON, asked: Asked, secrets: Sequence[str]
    ) -> Answer:
        call, url = f"{method} {path}", self._url(path, query)
        headers = {**self._headers, "accept": "application/json", "accept-encoding": ACCEPTED}
        content = None
        if body is not None:
            content = json.dumps(body, separators=(",", ":")).encode()
            headers["content-type"] = "application/json"
        raw, answered = b"", httpx2.Headers()
        async with AsyncExitStack() as held:

            async def grown() -> None:
                await held.enter_async_context(self._session.shares.turn((self._large,)))

            try:
                async with (
                    asyncio.timeout(DEADLINE),
                    self._session.stream(method, url, headers=headers, content=content) as response,
                ):
                    self._meter(response.status_code)
                    answered = response.headers
                    if not response.is_success:
                        raise refusal(
                            call=call,
                            status=response.status_code,
                            headers=answered,
                            body=await _refused_body(response),
                            asked=asked,
                            secrets=secrets,
                        )
                    raw = await bodies.read(response, limit=LARGEST_BODY, grown=grown)
                payload = await self.work(len(raw), partial(incoming.parse_json, raw))
            except EncodingError:
                why = "its body cannot be decoded"
            except bodies.TooLargeError as error:
                why = str(error)
            except NoTurnError:
                why = "it is large, and another large answer of this account took too long"
            except incoming.UnreadableError as error:
                kind = words(answered.get("content-type"), secrets).split(";")[0] or "no content type"
                why = f"{len(raw)} bytes of {kind} are not JSON: {error}"
            else:
                date = incoming.http_date(answered.get("date"))
                return Answer(
                    call=call,
                    payload=payload,
                    server_time=date if date is not None else self._clock.wall(),
                    next=_next(answered.get("link", ""), url=url, call=call, asked=asked),
                    request_id=request_id(answered, secrets),
                    size=len(raw),
                )
        raise malformed(call=call, why=why, headers=answered, effect=asked.effect, secrets=secrets)


def _query(pairs: Sequence[tuple[str, str]]) -> str:
    return urlencode(pairs, errors="replace")


async def _refused_body(response: httpx2.Response) -> bytes:
    """Return the body of a refusal, or nothing where it cannot be read: its status says enough."""

    async def grown() -> None:
        """Refusals are smaller."""

    try:
        return await bodies.read(response, limit=LARGEST_ERROR, grown=grown)
    except (EncodingError, bodies.TooLargeError):
        return b""


def _next(link: str, *, url: str, call: str, asked: Asked) -> str | None:
    """Return the query of the ``Link`` to the next page.

    A link that cannot be read is an error: without it a list would look whole, and what is on its other pages ended.
    """
    if asked is not Asked.READ or not re.search(r"rel=\"?next\b", link, re.IGNORECASE):
        return None
    following = incoming.next_page(link, url) if len(link) <= incoming.LONGEST_HEADER else None
    query = urlsplit(following).query if following else ""
    if not query or len(query) >= incoming.LONGEST_URL:
        raise malformed(call=call, why="its link to the next page cannot be read")
    return query
