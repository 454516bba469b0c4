"""Probes, metrics and, on request, the newest plan over HTTP.

kopf's own ``/healthz`` proves only that a loop turns (kopf.md §0.6); these say whether the work is done.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

Problem = Callable[[], str | None]
"""Returns what is wrong, or None."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

LARGE = 64 * 1024
"""Bytes from which a page is compressed in a thread."""


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


@asynccontextmanager
async def serving(
    *,
    host: str,
    port: int,
    health: Health,
    metrics: Callable[[], Awaitable[bytes]],
    plan: Callable[[], object] | None = None,
) -> AsyncIterator[int]:
    """Serve ``/livez``, ``/readyz``, ``/metrics`` and perhaps ``/debug/plan`` while the context is open.

    Args:
        host: Address to bind.
        port: 0 takes a free one.
        health: What the probes say.
        metrics: The page for Prometheus.
        plan: The newest plan, fit for JSON; None where it is not to be seen.

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

    async def page(_: web.Request) -> web.StreamResponse:
        answer = web.Response(
            body=await metrics(), headers={"Content-Type": CONTENT_TYPE}, zlib_executor_size=LARGE
        )
        answer.enable_compression()  # as far as the client takes it
        return answer

    async def debug(_: web.Request) -> web.StreamResponse:
        assert plan is not None
        return web.json_response(plan(), dumps=lambda value: json.dumps(value, indent=1) + "\n")

    site = web.Application()
    site.router.add_get("/livez", probe(health.live))
    site.router.add_get("/readyz", probe(health.ready))
    site.router.add_get("/metrics", page)
    if plan is not None:
        site.router.add_get("/debug/plan", debug)
    runner = web.AppRunner(site, access_log=None)
    await runner.setup()
    try:
        listener = web.TCPSite(runner, host, port)
        await listener.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
