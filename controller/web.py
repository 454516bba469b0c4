"""Probes, metrics and, on request, the newest plan over HTTP.

Whoever reaches the port may ask as often as they like, and must not keep the event loop, and with it the
probes, from their work: a page is made at most once a second, in a thread, for everybody who asks meanwhile.

kopf's own ``/healthz`` proves only that a loop turns (docs/facts.md#kopf-health); these say
whether the work is done.
"""

from __future__ import annotations

import asyncio
import errno
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

Problem = Callable[[], str | None]
"""Returns what is wrong, or None."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

LARGE = 1024
"""Bytes from which a page is compressed."""

PAUSE = 1.0
"""Seconds from the beginning of one page to that of the next; Prometheus asks every few."""

MOST_WAITING = 256
"""Requests for one page that wait at once; who comes beyond is told to come again."""

MOST_SENDING = 16
"""Answers with one page that are being sent at once: what clients have not taken yet is held in
memory, a page for each."""

LONGEST_SENDING = 10.0
"""Seconds that a client may take over a page, as Prometheus gives itself by default (``scrape_timeout``)."""


OVERDUE = 60.0
"""Seconds without a pass, or without a look at the Lease, after which the process calls itself dead."""


def overdue(age: float, what: str) -> str | None:
    """Return that something did not happen for too long, if it did not; ``age`` is in seconds."""
    return f"no {what} for {age:.0f} s" if age > OVERDUE else None


class Health:
    """What the probes say; replaced as the process goes through its phases."""

    def __init__(self) -> None:
        self._live: tuple[Problem, ...] = ()
        self._ready: tuple[Problem, ...] = (lambda: "starting",)

    def now(self, *, live: tuple[Problem, ...], ready: tuple[Problem, ...]) -> None:
        """Judge by these from now on; who is not live is not ready either."""
        self._live, self._ready = live, (*live, *ready)

    def live(self) -> str | None:
        """Return what makes a restart worth while, if anything."""
        return _all(self._live)

    def ready(self) -> str | None:
        """Return what keeps the process from doing its work, if anything."""
        return _all(self._ready)


def _all(problems: tuple[Problem, ...]) -> str | None:
    return "; ".join(wrong for problem in problems if (wrong := problem())) or None


@dataclass(frozen=True, slots=True)
class _Made:
    """A page as it is, and compressed; nothing where it is too small for that."""

    plain: bytes
    packed: bytes


class _Page:
    """One page that many may ask for at once: it is made for all who wait, and no two begin
    within ``pause`` seconds.

    So nobody gets a page that is older than the request, whoever asks alone waits for nothing, and whoever
    asks in a loop is slowed down.
    """

    def __init__(self, make: Callable[[], Awaitable[bytes]], content_type: str, pause: float) -> None:
        self._make = make
        self._content_type = content_type
        self._pause = pause
        self._next: asyncio.Task[_Made] | None = None
        self._may_begin_at = 0.0
        self._waiting = 0
        self._making = asyncio.Lock()
        self._sending = asyncio.Semaphore(MOST_SENDING)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Send the page; 503 while too many others wait for it."""
        if self._waiting >= MOST_WAITING:
            return web.Response(text="too many ask at once\n", status=503, headers={"Retry-After": "1"})
        self._waiting += 1
        try:
            if self._next is None:
                self._next = asyncio.create_task(self._made(), name="page")
            made = await self._next
            async with self._sending:
                return await self._send(request, made)
        finally:
            self._waiting -= 1

    async def _made(self) -> _Made:
        clock = asyncio.get_running_loop()
        async with self._making:
            try:
                await asyncio.sleep(self._may_begin_at - clock.time())
            finally:
                # Who comes from here on asks for a page that begins later.
                self._may_begin_at = clock.time() + self._pause
                self._next = None
            plain = await self._make()
            packed = await asyncio.to_thread(gzip.compress, plain, 1) if len(plain) >= LARGE else b""
            return _Made(plain, packed)

    async def _send(self, request: web.Request, made: _Made) -> web.StreamResponse:
        packed = bool(made.packed) and "gzip" in request.headers.get("Accept-Encoding", "").lower()
        response = web.Response(
            body=made.packed if packed else made.plain,
            headers={"Content-Type": self._content_type, "Vary": "Accept-Encoding"}
            | ({"Content-Encoding": "gzip"} if packed else {}),
        )
        try:
            async with asyncio.timeout(LONGEST_SENDING):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass  # it has left; nobody else is to read of it
        return response


@asynccontextmanager
async def serving(
    *,
    host: str,
    port: int,
    health: Health,
    metrics: Callable[[], Awaitable[bytes]],
    plan: Callable[[], object] | None = None,
    pause: float = PAUSE,
) -> AsyncIterator[int]:
    """Serve ``/livez``, ``/readyz``, ``/metrics`` and perhaps ``/debug/plan`` while the context is open.

    Args:
        host: Address to bind; empty for all of this machine's, of IPv4 and of IPv6.
        port: 0 takes a free one.
        health: What the probes say.
        metrics: The page for Prometheus.
        plan: Returns the newest plan, fit for JSON, and is called in a thread; None where
            it is not to be seen.
        pause: Seconds between two pages of a kind.

    Yields:
        The port.

    Raises:
        OSError: The address cannot be bound.
    """

    def probe(problem: Problem) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(_: web.Request) -> web.StreamResponse:
            wrong = problem()
            return web.Response(text=f"{wrong}\n" if wrong else "ok\n", status=503 if wrong else 200)

        return answer

    def as_json() -> bytes:
        assert plan is not None
        return f"{json.dumps(plan(), indent=1)}\n".encode()

    async def newest_plan() -> bytes:
        return await asyncio.to_thread(as_json)

    pages = {"/metrics": _Page(metrics, CONTENT_TYPE, pause)}
    if plan is not None:
        pages["/debug/plan"] = _Page(newest_plan, "application/json; charset=utf-8", pause)
    site = web.Application()
    site.router.add_get("/livez", probe(health.live))
    site.router.add_get("/readyz", probe(health.ready))
    for path, page in pages.items():
        site.router.add_get(path, page.answer)
    runner = web.AppRunner(site, access_log=None)
    await runner.setup()
    try:
        yield await _listen(runner, host, port)
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int) -> int:
    """Listen, on both families where no address is given, and return the port.

    A cluster with IPv6 alone asks the pod at an IPv6 address, one with IPv4 alone may have a kernel without
    IPv6. One socket for both (``IPV6_V6ONLY`` off) would do where there is IPv6, but asyncio switches that
    off; so there are two, of one port.

    Raises:
        OSError: Nothing can be bound, or the given address cannot.
    """
    if host:
        await web.TCPSite(runner, host, port).start()
        return int(runner.addresses[0][1])
    failed: OSError | None = None
    for anything in ("0.0.0.0", "::"):  # noqa: S104 - probes and metrics are for others to ask
        try:
            await web.TCPSite(runner, anything, port).start()
        except OSError as error:
            if error.errno not in _NO_SUCH_FAMILY:
                raise
            failed = error
        else:
            port = int(runner.addresses[0][1])
    if not runner.addresses:
        assert failed is not None
        raise failed
    return port


_NO_SUCH_FAMILY = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})
"""What a kernel says that has no IPv6, or no IPv4."""
