"""One request to the Hub: bounded in time and size, errors as failures, rate limits remembered instead of slept through."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx2
from huggingface_hub.utils import (  # type: ignore[attr-defined] # documented, not in __all__
    build_hf_headers,
    get_async_session,
)

from controller import __version__
from controller.adapters.huggingface.errors import HubError, epoch, malformed, no_answer, refusal, request_id
from controller.core.model import Disposition, Failure
from controller.core.reasons import Reason
from controller.ports import Clock

TIMEOUTS = httpx2.Timeout(connect=5.0, read=20.0, write=20.0, pool=5.0)
"""Seconds; huggingface_hub sets none (hf-jobs.md §5.3). The Hub has been seen to take seconds for a launch."""

DEADLINE = 45.0
"""Seconds for one whole request: a server that drips its body keeps the read timeout from ever firing."""

LARGEST_BODY = 32 * 2**20
"""Bytes of an answer; a page of jobs is some hundred kB. The endpoint is the user's word, our memory is everybody's."""

PAUSE = 0.5
"""Seconds before the one repetition of a request that can be repeated."""

JSON = Any


def open_session(
    *,
    transport: httpx2.AsyncBaseTransport | None = None,
    before_send: Callable[[httpx2.Request], Awaitable[None]] | None = None,
) -> httpx2.AsyncClient:
    """Make the HTTP session that all accounts share; the caller closes it.

    It is huggingface_hub's own, so that what a user sets up for that (proxies, certificates, offline mode) holds here too;
    but with timeouts, and without redirects: those would carry a launch's secrets to another host.

    Args:
        transport: Takes the place of the network, for simulations and tests.
        before_send: Awaited before each request; what it raises keeps the request from being sent.
    """
    if transport is not None:
        session = httpx2.AsyncClient(transport=transport, timeout=TIMEOUTS, trust_env=False)
    else:
        session = get_async_session()
        session.timeout = TIMEOUTS
        session.follow_redirects = False
    if before_send is not None:
        hooks = session.event_hooks
        session.event_hooks = {**hooks, "request": [*hooks["request"], before_send]}
    return session


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
    """

    call: str
    payload: JSON
    server_time: float
    next: str | None
    request_id: str | None


class Wire:
    """Requests to one endpoint with one token.

    A 429 closes the wire until the window that it names: calls then fail at once, unsent, and nobody else is held up.

    Args:
        session: From :func:`open_session`; shared.
        endpoint: Base URL without a trailing slash.
        token: Bearer token, printable ASCII; None for public routes.
        clock: Time.
        meter: Told of the HTTP status of every answer.
    """

    def __init__(
        self,
        *,
        session: httpx2.AsyncClient,
        endpoint: str,
        token: str | None,
        clock: Clock,
        meter: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._session = session
        self._endpoint = endpoint
        self._clock = clock
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
            "GET", path, query=query if isinstance(query, str) else urlencode(query)
        )

    async def post(
        self,
        path: str,
        *,
        body: JSON = None,
        repeatable: bool = False,
        secrets: Iterable[str] = (),
    ) -> Answer:
        """Change something.

        Args:
            path: Below the endpoint, percent-encoded.
            body: To be sent as JSON.
            repeatable: Doing it twice does no harm: then it is repeated once if it fails quickly, else never.
            secrets: Values in the body that no message may repeat.
        """
        if repeatable:
            return await self._repeatable("POST", path, body=body)
        return await self._limited("POST", path, body=body, secrets=secrets)

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
        url = f"{self._endpoint}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = {**self._headers, "accept": "text/event-stream"}
        timeout = httpx2.Timeout(
            connect=TIMEOUTS.connect, read=silence, write=TIMEOUTS.write, pool=TIMEOUTS.pool
        )
        opened = False
        try:
            async with self._session.stream("GET", url, headers=headers, timeout=timeout) as response:
                opened = response.is_success
                if not response.is_success:
                    raise refusal(
                        call=call,
                        status=response.status_code,
                        headers=response.headers,
                        body=await _body(response, call=call, effect=False),
                        effect=False,
                        secrets=self._secrets,
                    )
                async for line in response.aiter_lines():
                    yield line
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError) as error:
            if not (opened and isinstance(error, httpx2.ReadTimeout)):
                raise no_answer(call=call, error=error, effect=False, secrets=self._secrets) from None

    async def _repeatable(self, method: str, path: str, *, query: str = "", body: JSON = None) -> Answer:
        try:
            return await self._limited(method, path, query=query, body=body)
        except HubError as error:
            if not error.soon:
                raise
        await asyncio.sleep(PAUSE)
        return await self._limited(method, path, query=query, body=body)

    async def _limited(
        self, method: str, path: str, *, query: str = "", body: JSON = None, secrets: Iterable[str] = ()
    ) -> Answer:
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
        try:
            return await self._send(method, path, query=query, body=body, secrets=secrets)
        except HubError as error:
            if error.status == 429 and error.failure.retry_after is not None:
                self._closed_until[method if error.limit else ""] = (
                    self._clock.mono() + error.failure.retry_after
                )
            raise

    async def _send(
        self, method: str, path: str, *, query: str, body: JSON, secrets: Iterable[str]
    ) -> Answer:
        call, effect, masked = f"{method} {path}", method != "GET", (*self._secrets, *secrets)
        headers = {**self._headers, "accept": "application/json"}
        content = None
        if body is not None:
            content = json.dumps(body, separators=(",", ":")).encode()
            headers["content-type"] = "application/json"
        url = f"{self._endpoint}{path}" + (f"?{query}" if query else "")
        try:
            async with (
                asyncio.timeout(DEADLINE),
                self._session.stream(method, url, headers=headers, content=content) as response,
            ):
                self._meter(response.status_code)
                raw = await _body(response, call=call, effect=effect)
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError) as error:
            raise no_answer(call=call, error=error, effect=effect, secrets=masked) from None
        if not response.is_success:
            raise refusal(
                call=call,
                status=response.status_code,
                headers=response.headers,
                body=raw,
                effect=effect,
                secrets=masked,
            )
        date = epoch(response.headers.get("date", ""))
        return Answer(
            call=call,
            payload=_parse(raw, call=call, headers=response.headers, effect=effect),
            server_time=date if date is not None else self._clock.wall(),
            next=_next(response, call=call),
            request_id=request_id(response.headers),
        )


async def _body(response: httpx2.Response, *, call: str, effect: bool) -> bytes:
    chunks, size = [], 0
    async for chunk in response.aiter_bytes():
        chunks.append(chunk)
        size += len(chunk)
        if size > LARGEST_BODY:
            raise malformed(call=call, why=f"it is longer than {LARGEST_BODY} bytes", effect=effect)
    return b"".join(chunks)


def _next(response: httpx2.Response, *, call: str) -> str | None:
    """Return the query of the ``Link`` to the next page; only lists have one, so nothing is in doubt."""
    link = response.links.get("next", {}).get("url")
    try:
        return httpx2.URL(link).query.decode() if link else None
    except (httpx2.InvalidURL, UnicodeDecodeError):
        raise malformed(
            call=call, why="its link to the next page is no URL", headers=response.headers
        ) from None


def _parse(raw: bytes, *, call: str, headers: Mapping[str, str], effect: bool) -> JSON:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        kind = headers.get("content-type", "no content type").split(";")[0]
        why = f"{len(raw)} bytes of {kind} are not JSON"
        raise malformed(call=call, why=why, headers=headers, effect=effect) from None
