"""Probes and metrics over HTTP.

kopf's own ``/healthz`` proves only that a loop turns (kopf.md §0.6); these say whether the work is done.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

Problem = Callable[[], str | None]
"""Returns what is wrong, or None."""


@asynccontextmanager
async def serving(
    *, host: str, port: int, live: Problem, ready: Problem, metrics: Callable[[], bytes]
) -> AsyncIterator[int]:
    """Serve ``/livez``, ``/readyz`` and ``/metrics`` while the context is open.

    Args:
        host: Address to bind.
        port: 0 takes a free one.
        live: What makes a restart worth while, if anything.
        ready: What keeps the process from doing its work, if anything.
        metrics: The page for Prometheus.

    Yields:
        The port.

    Raises:
        OSError: The address cannot be bound.
    """

    def probe(problem: Problem) -> Callable[[web.Request], object]:
        async def answer(_: web.Request) -> web.Response:
            wrong = problem()
            return web.Response(text=f"{wrong}\n" if wrong else "ok\n", status=503 if wrong else 200)

        return answer

    async def page(_: web.Request) -> web.Response:
        return web.Response(
            body=metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    site = web.Application()
    site.router.add_get("/livez", probe(live))  # type: ignore[arg-type]
    site.router.add_get("/readyz", probe(ready))  # type: ignore[arg-type]
    site.router.add_get("/metrics", page)
    runner = web.AppRunner(site, access_log=None)
    await runner.setup()
    try:
        listener = web.TCPSite(runner, host, port)
        await listener.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
