"""The wire to one GitHub: one request out, one bounded answer in.

Nothing here decides anything. A body is read piece by piece and counted after it is unpacked, so that a few
kilobytes that unpack to gigabytes are noticed at the eighth megabyte; it is parsed and read where it was
counted, and thrown away.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from controller import __version__
from controller.adapters.addresses import as_sent
from controller.adapters.github.answer import Answer, error_message, server_time, shown_url
from controller.adapters.github.errors import NotAllowedError, transport_error
from controller.adapters.github.fields import FieldError
from controller.adapters.incoming import PAGE_BYTES, UnreadableError, parse_json
from controller.adapters.offloop import SMALL, Workers
from controller.adapters.proxies import Proxies, Routes
from controller.adapters.unpack import ACCEPTED, EncodingError, unpacked
from controller.core.hosts import Hosts, Service
from controller.ports import Clock

TIMEOUT = httpx.Timeout(connect=5.0, read=20.0, write=10.0, pool=5.0)
"""Seconds. GitHub itself cuts a request after 10 s.
https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api#timeouts"""

WHOLE_TIMEOUT = 60.0
"""Seconds for a request altogether, for answers that trickle."""

LARGE_AT_A_TIME = 4
"""Answers of more than :data:`controller.adapters.offloop.SMALL` bytes that one account has in hand at a
time: with the small ones of 16 requests, 36 MB."""

Read = Callable[[Any], Any]
"""Makes a value of a JSON document; raises :class:`.fields.FieldError` where it cannot."""

Meter = Callable[[Answer], None]
"""Told of each answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, but for its token.

    Attributes:
        method: Upper-case method.
        url: Where to.
        route: The path's template.
        body: Sent as JSON.
        read: Makes the answer's value of a success; None where its status is all that matters.
        effect: Goes before reads when the pace is the limit.
        registration: Is charged to the quota for registrations.
    """

    method: str
    url: str
    route: str
    body: Mapping[str, object] | None = None
    read: Read | None = None
    effect: bool = False
    registration: bool = False

    @property
    def ends(self) -> bool:
        """It ends what was launched, or shows that it has ended, and can do nothing else."""
        return (self.method, self.route.partition("?")[0]) in _ENDINGS


_ENDINGS = frozenset(
    {
        ("GET", "{scope}/actions/runners"),
        ("DELETE", "{scope}/actions/runners/{id}"),
        # What an App needs for a token, without which it can ask nothing.
        ("GET", "{kind}/{owner}/installation"),
        ("GET", "app/installations/{id}"),
        ("POST", "app/installations/{id}/access_tokens"),
    }
)


class Wire:
    """HTTP of one source: connections, bodies, and the wall that no request to another host gets over.

    Args:
        clock: Time.
        transport: Where requests go instead of the network; closed with the wire.
        tls: Shared between wires, since making one costs 16 ms and a megabyte; None makes one.
        max_connections: Connections at a time.
        workers: Parse what is large.
        meter: Told of every answer.
        before_send: Awaited before each request; what it raises keeps the request from being sent.
        hosts: To which hosts requests may go.
        may_end: Returns whether requests that only end things may go to a host that is not among them.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        transport: httpx.AsyncBaseTransport | None,
        tls: ssl.SSLContext | None,
        max_connections: int,
        workers: Workers,
        meter: Meter | None,
        before_send: Callable[[httpx.Request], Awaitable[None]] | None,
        hosts: Hosts,
        may_end: Callable[[], bool],
    ) -> None:
        self._hosts = hosts
        self._may_end = may_end
        self._clock = clock
        self._workers = workers
        self._meter = meter
        limits = httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections)
        verify = tls if tls is not None else True

        def through(proxy: str | None) -> httpx.AsyncHTTPTransport:
            return httpx.AsyncHTTPTransport(verify=verify, limits=limits, proxy=proxy)

        self._http = httpx.AsyncClient(
            transport=transport if transport is not None else Routes(Proxies(), through),
            trust_env=False,  # proxies are chosen by the rule that all our clients share
            timeout=TIMEOUT,
            event_hooks={"request": [before_send] if before_send else []},
            # The REST API needs none, and one that is kept would go out with another token.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            headers={
                "Accept": "application/vnd.github+json",
                "Accept-Encoding": ACCEPTED,
                "User-Agent": f"hf-runner-controller/{__version__}",
            },
        )

    async def close(self) -> None:
        """Close connections. Idempotent."""
        await self._http.aclose()

    async def send(
        self, request: Request, *, secret: str, headers: Mapping[str, str], large: asyncio.Semaphore
    ) -> Answer:
        """Send a request once and return its answer, of whatever status.

        Args:
            request: What to send.
            secret: The token; it appears nowhere else.
            headers: Further headers.
            large: Held while a large body is in hand.

        Raises:
            GitHubError: ``HostNotAllowed``, nothing was sent; ``GitHubUnavailable`` or ``GitHubMalformed``,
                there was no whole answer.
        """
        self._keep_within(request)
        asked_at = self._clock.mono()
        failed: Exception
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(WHOLE_TIMEOUT):
                    sent = self._http.build_request(
                        request.method,
                        request.url,
                        json=request.body,
                        headers={**headers, "Authorization": f"Bearer {secret}"},
                    )
                    response = await self._http.send(sent, stream=True)
                    try:
                        body, problem = await _read(response, held, large)
                    finally:
                        await response.aclose()
            # UnicodeError: a header that cannot be written, before anything is sent.
            except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
                failed = error
            else:
                return await self._answered(
                    request, response, body, problem, secret=secret, asked_at=asked_at
                )
        # Outside of the handler: httpx hangs the request, with its headers, on its exceptions.
        raise transport_error(failed, method=request.method, url=shown_url(request.url))

    def _keep_within(self, request: Request) -> None:
        """Let no request out to a host that is not allowed; each is judged as it would be sent, whoever chose
        its address.

        Raises:
            NotAllowedError: It may not be sent.
        """
        url = as_sent(request.url, httpx.URL)
        ending = request.ends and self._may_end()
        if (refused := self._hosts.refuses(Service.GITHUB, url, ending=ending)) is not None:
            raise NotAllowedError(refused.message, method=request.method, url=shown_url(request.url))

    async def _answered(
        self,
        request: Request,
        response: httpx.Response,
        body: bytes,
        problem: str,
        *,
        secret: str,
        asked_at: float,
    ) -> Answer:
        status, value, message = response.status_code, None, ""
        if status >= 400:
            message = await self._workers.run(len(body), partial(error_message, body, secret))
        elif request.read is None:
            problem = ""  # a status that says all may come with any body
        elif 200 <= status < 300 and not problem:
            value, problem = await self._workers.run(len(body), partial(_valued, body, request.read))
        told = server_time(response.headers)
        answer = Answer(
            method=request.method,
            route=request.route,
            sent_to=request.url,
            status=status,
            headers=response.headers,
            size=len(body),
            value=value,
            problem=problem,
            asked_at=asked_at,
            server_time=self._clock.wall() if told is None else told,
            message=message,
        )
        if self._meter is not None:
            self._meter(answer)
        return answer


async def _read(
    response: httpx.Response, held: AsyncExitStack, large: asyncio.Semaphore
) -> tuple[bytes, str]:
    """Return a body and an empty text, or nothing and why it cannot be used."""
    most = PAGE_BYTES if response.status_code < 400 else SMALL
    parts: list[bytes] = []
    size = 0
    in_hand = False
    try:
        async with aclosing(_pieces(response)) as pieces:
            async for piece in pieces:
                parts.append(piece)
                size += len(piece)
                if size > most:
                    return b"", f"more than {most} bytes"
                if size > SMALL and not in_hand:
                    await held.enter_async_context(large)
                    in_hand = True
    except EncodingError as error:
        return b"", str(error)
    return b"".join(parts), ""


async def _pieces(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    if response.is_stream_consumed:
        yield response.content  # a transport within this process may hand over a whole answer, unpacked
        return
    async for piece in unpacked(response.aiter_raw(), response.headers.get("content-encoding", "")):
        yield piece


def _valued(body: bytes, read: Read) -> tuple[Any, str]:
    """Return the value of a body and an empty text, or none and why, in words that quote nothing of it."""
    problem = "a value of an unknown shape"
    try:
        return read(parse_json(body)), ""
    except FieldError as error:
        problem = str(error)
    except UnreadableError as error:
        problem = _no_json(body, str(error))
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError):
        pass
    return None, problem


def _no_json(body: bytes, why: str) -> str:
    if not body:
        return "an empty body"
    return "HTML" if re.match(rb"\s*<", body) else f"{len(body)} bytes, {why}"
