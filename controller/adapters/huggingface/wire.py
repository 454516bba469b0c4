"""One request to the Hub: bounded in time and size, errors as failures, rate limits remembered instead of
slept through.
"""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TypeVar
from urllib.parse import urlencode

import httpx2

from controller.adapters import incoming
from controller.adapters.addresses import as_sent
from controller.adapters.credential import Content, Credential, Fixed
from controller.adapters.huggingface import body as bodies
from controller.adapters.huggingface.answer import Answer, Bearer, next_query
from controller.adapters.huggingface.errors import (
    HubError,
    NotAllowedError,
    RateLimitedError,
    UnauthorizedError,
)
from controller.adapters.huggingface.refusals import (
    LARGEST_ERROR,
    Asked,
    malformed,
    no_answer,
    not_sent,
    refusal,
    request_id,
)
from controller.adapters.huggingface.session import TIMEOUTS, Session, shares_of
from controller.adapters.huggingface.values import JSON, words
from controller.adapters.shares import NoTurnError, Share
from controller.adapters.unpack import ACCEPTED, EncodingError
from controller.core.hosts import DEFAULT_HOSTS, Hosts, Service
from controller.core.model import HubAccount
from controller.core.reasons import Reason
from controller.ports import Clock, Fenced

T = TypeVar("T")

_log = logging.getLogger(__name__)

DEADLINE = 45.0
"""Seconds for one whole request: a server that drips its body keeps the read timeout from ever firing."""

LARGEST_BODY = incoming.PAGE_BYTES
"""Bytes of an unpacked answer. The endpoint is the user's word, our memory is everybody's."""

PAUSE = 0.5
"""Seconds before the one repetition of a request that can be repeated."""


class Wire:
    """Requests to one endpoint with one credential, followed from one content of its Secret to the next.

    A 429 closes the wire until the window that it names: calls then fail at once, unsent, and nobody else is
    held up. Another token finds it open.

    Args:
        session: From :func:`.session.open_session`; shared.
        endpoint: Base URL without a trailing slash.
        credential: Bearer token, printable ASCII; None for public routes.
        clock: Time.
        account: Whose share of connections is used; None for public routes.
        meter: Told of the HTTP status of every answer.
        hosts: To which hosts requests may go; one to any other fails with ``HostNotAllowed``, unsent.
        may_end: Returns whether reads and cancellations may go to the endpoint although it is not among them:
            they end what was launched there.
    """

    def __init__(
        self,
        *,
        session: Session,
        endpoint: str,
        credential: Credential[str] | None,
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
        self._credential: Credential[str] = credential or Fixed("")
        self._bearer = Bearer(number=0, token="")

    async def credential(self) -> int:
        """Return the number of the content of the Secret that a request would be sent with now.

        Raises:
            UpstreamError: There is none that can be used.
        """
        return (await self._credential.current()).number

    def rotated_since(self, number: int) -> bool:
        """Return whether any request was sent with another content of the Secret than the one of this number,
        which was current.
        """
        return self._bearer.number != number

    def _bearer_of(self, content: Content[str]) -> Bearer:
        if content.number > self._bearer.number:
            self._bearer = Bearer(number=content.number, token=content.value)
        return self._bearer

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
            silence: Seconds without a byte after which the stream ends here, since it may never end by
                itself.

        Raises:
            HubError: It was refused, or broke off.
        """
        call = f"GET {path}"
        self._keep_within(self._url(path, _query(query)))
        bearer = self._bearer_of(await self._credential.current())
        headers = {**bearer.headers, "accept": "text/event-stream", "accept-encoding": ACCEPTED}
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
                        secrets=bearer.secrets,
                    )
                async for line in bodies.lines(response):
                    yield line
        except EncodingError:
            raise malformed(call=call, why="its body cannot be decoded") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError) as error:
            if not (opened and isinstance(error, httpx2.ReadTimeout)):
                raise no_answer(call=call, error=error, asked=Asked.READ, secrets=bearer.secrets) from None

    async def work(self, size: int, work: Callable[[], T]) -> T:
        """Do what takes as long as parsing so many bytes, apart from the event loop where that is long;
        raises what it raises.
        """
        return await self._session.workers.run(size, work)

    def _keep_within(self, url: str, asked: Asked | None = None) -> None:
        """Let no request out to a host that is not allowed; each is judged as it would be sent, whoever chose
        its address.

        Args:
            url: Of the request.
            asked: For what; None for what ends nothing.

        Raises:
            HubError: It may not be sent.
        """
        sent_to = as_sent(url, httpx2.URL)
        ending = asked in (Asked.READ, Asked.CANCEL) and self._may_end()
        if (refused := self._hosts.refuses(Service.HUB, sent_to, ending=ending)) is not None:
            raise NotAllowedError(refused.message)

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
        """Send once, with what replaced the token where it is refused: a 401 proves that there was no
        effect.
        """
        self._keep_within(self._url(path, query), asked)
        content = await self._credential.current()
        once = partial(self._once, method, path, query=query, body=body, asked=asked, secrets=secrets)
        try:
            return await once(self._bearer_of(content))
        except UnauthorizedError:
            newer = await self._credential.replaced(content.number)
            if newer is None:
                raise
        return await once(self._bearer_of(newer))

    async def _once(
        self,
        method: str,
        path: str,
        bearer: Bearer,
        *,
        asked: Asked,
        query: str,
        body: JSON,
        secrets: Iterable[str],
    ) -> Answer:
        now = self._clock.mono()
        until = max(bearer.closed_until.get("", now), bearer.closed_until.get(method, now))
        if until > now:
            raise RateLimitedError(
                f"{method} {path}: not sent. {Reason.HubRateLimited.meaning}", retry_after=until - now
            )
        call, masked = f"{method} {path}", (*bearer.secrets, *secrets)
        try:
            async with self._turn(call):
                return await self._send(
                    method, path, bearer, query=query, body=body, asked=asked, secrets=masked
                )
        except RateLimitedError as error:
            if error.failure.retry_after is not None:
                bearer.closed_until[method if error.limit else ""] = (
                    self._clock.mono() + error.failure.retry_after
                )
            raise
        except (HubError, Fenced):
            raise
        except Exception as error:  # noqa: BLE001 -- after it was sent, whatever goes wrong proves nothing
            named = no_answer(call=call, error=error, asked=asked, secrets=masked)
            if named.failure.reason is Reason.InternalError:
                # Frames alone: the exception's own words may quote what was sent.
                where = "".join(traceback.format_tb(error.__traceback__)[-3:])
                _log.error(named.failure.message, extra={"detail": where})
            raise named from None

    async def _send(
        self,
        method: str,
        path: str,
        bearer: Bearer,
        *,
        query: str,
        body: JSON,
        asked: Asked,
        secrets: Sequence[str],
    ) -> Answer:
        call, url = f"{method} {path}", self._url(path, query)
        headers = {**bearer.headers, "accept": "application/json", "accept-encoding": ACCEPTED}
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
                    next=next_query(answered.get("link", ""), url=url, call=call, asked=asked),
                    request_id=request_id(answered, secrets),
                    size=len(raw),
                    credential=bearer.number,
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
