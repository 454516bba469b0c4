"""The two ways into a simulated site: a socket for real clients, and an in-process
transport for virtual time.

``httpx.ASGITransport`` would not do: it knows no timeouts and no streaming, runs the site in the client's own
task (so that a client's timeout stops the server half-way), and shares its context variables.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NoReturn, TypeVar
from urllib.parse import parse_qsl

import httpx
import httpx2
from aiohttp import web

from hf_runner_simulators.exchange import Exchange, LineError, SimulatorBug, Unroutable, never
from hf_runner_simulators.http import Request, Response

T = TypeVar("T")

MAX_BODY = 64 * 2**20
"""Bytes of a request's body that the socket takes."""


class ReadTimedOut(LineError):  # noqa: N818 -- what happened to the line
    """The client's read timeout is over."""

    client_error = "ReadTimeout"


@dataclass(slots=True, kw_only=True)
class Incarnation:
    """One run of a process, from its start to its crash; all its transports share it.

    Setting ``alive`` to False is the crash: every request of it, running or new, then waits for ever, so that
    no ``finally`` of the dead reaches a site. Requests already on their way still have their effect.
    """

    name: str = ""
    alive: bool = True
    connects_in: Callable[[str, str], float] = lambda _method, _path: 0.0
    """Seconds until the connection for a request with an effect stands; must be deterministic."""


Trace = Callable[[str, dict[str, Any]], Awaitable[None]]
"""What httpx calls when it is about to write a request's head into an open connection,
among other moments."""


@dataclass(slots=True, kw_only=True)
class _Timeouts:
    """A client's timeouts, in seconds; None waits for ever."""

    connect: float | None
    read: float | None

    @classmethod
    def of(cls, extensions: dict[str, Any]) -> _Timeouts:
        given = extensions.get("timeout") or {}
        return cls(connect=given.get("connect"), read=given.get("read"))


@dataclass(slots=True)
class _Line:
    """What both transports do: run the site in its own task, and wait for it as long as the client would."""

    exchange: Exchange
    incarnation: Incarnation
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        # A fresh context: the site must not see the client's variables. The set keeps the task from
        # the garbage collector.
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self.tasks.add(task)
        self.exchange.running.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        self.exchange.running.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may be waiting any more: then it is nobody's business

    async def outcome(self, task: asyncio.Task[T], seconds: float | None) -> T:
        """Wait for the site's side. When the client gives up, or is cancelled, the site goes on."""
        await asyncio.wait((task,), timeout=seconds)
        if not self.incarnation.alive:
            await never()
        if not task.done():
            raise ReadTimedOut("the site did not answer in time")
        return task.result()

    async def send(self, request: Request, timeouts: _Timeouts, trace: Trace | None) -> Response:
        if request.method != "GET" and (
            seconds := self.incarnation.connects_in(request.method, request.path)
        ):
            await asyncio.sleep(seconds)
        if trace is not None:
            await trace("http11.send_request_headers.started", {})
        if not self.incarnation.alive:
            await never()
        task = self.spawn(self.exchange.handle(request, caller=self.incarnation.name))
        try:
            return await self.outcome(task, timeouts.read)
        except Unroutable:
            await (asyncio.sleep(timeouts.connect) if timeouts.connect is not None else never())
            raise

    async def chunks(self, stream: AsyncIterator[bytes], timeouts: _Timeouts) -> AsyncGenerator[bytes]:
        """Read a stream; the read timeout holds for each chunk."""
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        pump = self.spawn(_pump(stream, queue))
        try:
            while True:
                chunk, silent = None, False
                try:
                    async with asyncio.timeout(timeouts.read):
                        chunk = await queue.get()
                except TimeoutError:
                    silent = True
                if not self.incarnation.alive:
                    await never()
                if silent:
                    raise ReadTimedOut("the stream is silent")
                if chunk is None:
                    pump.result()
                    return
                yield chunk
        finally:
            pump.cancel()


async def _pump(stream: AsyncIterator[bytes], queue: asyncio.Queue[bytes | None]) -> None:
    try:
        async for chunk in stream:
            queue.put_nowait(chunk)
    except Exception as error:
        raise SimulatorBug(f"a stream broke: {error!r}") from error
    finally:
        queue.put_nowait(None)


def _raise(library: ModuleType, error: LineError, request: object) -> NoReturn:
    raise getattr(library, error.client_error)(str(error), request=request) from error


def _request(method: str, url: httpx.URL | httpx2.URL, headers: Any, body: bytes) -> Request:  # noqa: ANN401
    return Request(
        method=method.upper(),
        path=url.raw_path.partition(b"?")[0].decode(),
        query=tuple(parse_qsl(url.query.decode(), keep_blank_values=True)),
        headers={name.lower(): value for name, value in headers.items()},
        body=body,
        origin=f"{url.scheme}://{url.netloc.decode()}",
    )


class _Stream(httpx.AsyncByteStream, httpx2.AsyncByteStream):
    """A streamed body; either library takes only its own kind."""

    def __init__(self, library: ModuleType, chunks: AsyncGenerator[bytes], request: object) -> None:
        self._library = library
        self._chunks = chunks
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._chunks:
                yield chunk
        except LineError as error:
            _raise(self._library, error, self._request)

    async def aclose(self) -> None:
        """Stop the site's side."""
        await self._chunks.aclose()


class SimTransport(httpx.AsyncBaseTransport):
    """An httpx transport into a site: ``httpx.AsyncClient(transport=SimTransport(exchange))``.

    Timeouts, latency and streams run on the event loop's time, virtual or real. Raises what httpx raises:
    ``ConnectError``, ``ConnectTimeout``, ``ReadError``, ``ReadTimeout``. Closing it stops nothing: a request
    that was sent has its effect.

    Args:
        exchange: The site.
        incarnation: The process that the client lives in; a crash of it silences this transport.
    """

    def __init__(self, exchange: Exchange, *, incarnation: Incarnation | None = None) -> None:
        self._line = _Line(exchange, incarnation or Incarnation())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        timeouts = _Timeouts.of(request.extensions)
        sent = _request(request.method, request.url, request.headers, await request.aread())
        try:
            answer = await self._line.send(sent, timeouts, request.extensions.get("trace"))
        except LineError as error:
            _raise(httpx, error, request)
        headers = list(answer.headers.items())
        if answer.stream is None:
            return httpx.Response(answer.status, headers=headers, content=answer.body, request=request)
        stream = _Stream(httpx, self._line.chunks(answer.stream, timeouts), request)
        return httpx.Response(answer.status, headers=headers, stream=stream, request=request)


class SimTransport2(httpx2.AsyncBaseTransport):
    """The same for httpx2, which huggingface_hub is built on:
    ``httpx2.AsyncClient(transport=SimTransport2(exchange))``.
    """

    def __init__(self, exchange: Exchange, *, incarnation: Incarnation | None = None) -> None:
        self._line = _Line(exchange, incarnation or Incarnation())

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request."""
        timeouts = _Timeouts.of(request.extensions)
        sent = _request(request.method, request.url, request.headers, await request.aread())
        try:
            answer = await self._line.send(sent, timeouts, request.extensions.get("trace"))
        except LineError as error:
            _raise(httpx2, error, request)
        headers = list(answer.headers.items())
        if answer.stream is None:
            return httpx2.Response(answer.status, headers=headers, content=answer.body, request=request)
        stream = _Stream(httpx2, self._line.chunks(answer.stream, timeouts), request)
        return httpx2.Response(answer.status, headers=headers, stream=stream, request=request)


@asynccontextmanager
async def open_socket(exchange: Exchange, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve a site on a TCP socket while the context is open, and yield its origin
    (``http://127.0.0.1:40123``).

    A lost request or answer is a connection that is cut; a connection can be neither refused nor left unmade
    here, so ``unreachable`` cuts it too and ``blackhole`` hangs.

    Args:
        exchange: The site.
        host: Address to bind; a simulated site has no business on any but the loopback.
        port: Port to bind; 0 takes a free one.

    Raises:
        OSError: The address cannot be bound.
    """
    door = _SocketDoor(_Line(exchange, Incarnation()))
    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_route("*", "/{path:.*}", door.answer)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        await door.close()


@dataclass(slots=True)
class _SocketDoor:
    line: _Line

    async def answer(self, received: web.Request) -> web.StreamResponse:
        path, _, query = received.raw_path.partition("?")
        request = Request(
            method=received.method,
            path=path,
            query=tuple(parse_qsl(query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in received.headers.items()},
            body=await received.read(),
            origin=f"{received.scheme}://{received.host}",
        )
        # Shielded: a client that goes away takes its request back no more than a real one does.
        task = self.line.spawn(
            self.line.exchange.handle(request, caller=request.headers.get("user-agent", ""))
        )
        try:
            answer = await asyncio.shield(task)
        except Unroutable:
            await never()
        except LineError:
            return _cut(received)
        except SimulatorBug as bug:
            return web.Response(status=500, text=f"bug in the simulator: {bug}\n")
        if answer.stream is None:
            return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
        return await self._stream(received, answer, answer.stream)

    async def _stream(
        self, received: web.Request, answer: Response, stream: AsyncIterator[bytes]
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        await response.prepare(received)
        with suppress(ConnectionResetError):  # the client has seen enough
            async for chunk in stream:
                await response.write(chunk)
            await response.write_eof()
        return response

    async def close(self) -> None:
        for task in self.line.tasks:
            task.cancel()
        await asyncio.gather(*self.line.tasks, return_exceptions=True)


def _cut(received: web.Request) -> web.Response:
    if received.transport is not None:
        received.transport.abort()
    return web.Response()
