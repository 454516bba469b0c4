"""A site with just enough state to tell whether an effect took place."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hf_runner_simulators.http import Request, Response, Router, json_response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Counter:
    """``POST /counters/{name}`` adds one, ``GET`` reads it; ``/ticks`` streams; ``/bug`` raises."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self.router = Router()
        self.router.add("POST", "/counters/{name}", self.add)
        self.router.add("GET", "/counters/{name}", self.read)
        self.router.add("GET", "/ticks/{pause}", self.ticks)
        self.router.add("GET", "/echo", self.echo)
        self.router.add("GET", "/bug", self.bug)
        self.router.add("GET", "/_sim/report", self.report)

    def handle(self, request: Request) -> Response:
        found = self.router.match(request)
        if found is None:
            return json_response({"error": "Not Found"}, status=404)
        _, handler, params = found
        return handler(request, **params)

    def add(self, request: Request, name: str) -> Response:
        self.values[name] = self.values.get(name, 0) + 1
        return self.read(request, name)

    def read(self, request: Request, name: str) -> Response:
        return json_response({"name": name, "value": self.values.get(name, 0)})

    def ticks(self, request: Request, pause: str) -> Response:
        async def stream() -> AsyncIterator[bytes]:
            for n in range(3):
                yield f"data: {n}\n\n".encode()
                await asyncio.sleep(float(pause))

        return Response(status=200, headers={"Content-Type": "text/event-stream"}, stream=stream())

    def echo(self, request: Request) -> Response:
        return json_response(
            {"query": request.query, "origin": request.origin, "x": request.headers.get("x-a")}
        )

    def bug(self, request: Request) -> Response:
        msg = "a simulator's own fault"
        raise KeyError(msg)

    def report(self, request: Request) -> Response:
        return json_response({"values": self.values})
