from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from huggingface_hub import HfApi, close_session, constants

from hf_runner_simulators.clock import LoopClock
from hf_runner_simulators.doors import open_socket
from hf_runner_simulators.exchange import Exchange
from hf_runner_simulators.hub.http import HubSite
from hf_runner_simulators.hub.knobs import Knobs
from hf_runner_simulators.hub.machines import Outcome, ScriptedMachine
from hf_runner_simulators.hub.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hf_runner_simulators.hub.running import Run

TOKEN = "hf_simulatedtoken"

SETUP = {
    "tokens": {
        TOKEN: {"user": "bot", "namespaces": {"bot": "write", "acme": "write"}, "plan": "pro"},
        "hf_reader": {"user": "eve", "namespaces": {"acme": "read"}},
    },
    "namespaces": {"acme": {"type": "org", "credits": 100.0}},
}

QUICK = Knobs(
    scheduling_seconds=0.02,
    boot_seconds=0.02,
    cancel_seconds=0.02,
    stage_lag_seconds=0.02,
    log_poll_seconds=0.02,
)
"""For tests in real time."""


def script(run: Run) -> Outcome:
    """``["work", SECONDS, CODE, LINE...]`` does that; any other command runs for ever."""
    match run.spec.command:
        case ["work", seconds, code, *lines]:
            return Outcome(seconds=float(seconds), code=int(code), lines=tuple(lines))
        case _:
            return Outcome(seconds=None, lines=("working",))


@dataclass
class ServedHub:
    """A Hub on a socket, in a thread of its own because the real client blocks."""

    origin: str
    api: HfApi
    http: httpx.Client

    def sim(self, route: str, payload: Any) -> None:
        self.http.post(f"/_sim/{route}", json=payload).raise_for_status()

    def report(self) -> Any:
        return self.http.get("/_sim/report").json()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServedHub]:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    with (
        served() as origin,
        httpx.Client(base_url=origin, headers={"Authorization": f"Bearer {TOKEN}"}) as http,
    ):
        http.post("/_sim/setup", json=SETUP).raise_for_status()
        yield ServedHub(origin, HfApi(endpoint=origin, token=TOKEN), http)
        assert http.get("/_sim/report").json()["bugs"] == []
    close_session()


@contextmanager
def served() -> Iterator[str]:
    started = threading.Event()
    origins: list[str] = []
    stop: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        stop.extend((loop, stopped))
        clock = LoopClock(time=loop.time, epoch=time.time() - loop.time())
        site = HubSite(World(clock=clock, machine=ScriptedMachine(script), knobs=QUICK))
        async with open_socket(Exchange(site, clock=clock)) as origin:
            origins.append(origin)
            started.set()
            await stopped.wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    try:
        assert started.wait(10)
        yield origins[0]
    finally:
        stop[0].call_soon_threadsafe(stop[1].set)
        thread.join(10)
        assert not thread.is_alive()
