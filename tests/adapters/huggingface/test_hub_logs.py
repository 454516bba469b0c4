"""Logs of HF Jobs from a simulated Hub on a socket: whole, followed, and across broken streams."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from controller.adapters.credential import Fixed
from controller.adapters.huggingface import logs
from controller.adapters.huggingface.errors import HubError
from controller.adapters.huggingface.jobs import HubJobs
from controller.adapters.huggingface.logs import HubLogs
from controller.adapters.huggingface.session import open_session
from controller.core.hosts import Hosts
from controller.core.model import HubAccount, SecretRef
from controller.core.reasons import Reason
from controller.ports import LaunchSpec, UpstreamError
from hf_runner_simulators.clock import LoopClock
from hf_runner_simulators.doors import open_socket
from hf_runner_simulators.exchange import Exchange
from hf_runner_simulators.hub.http import HubSite
from hf_runner_simulators.hub.knobs import Knobs
from hf_runner_simulators.hub.machines import Outcome, ScriptedMachine
from hf_runner_simulators.hub.platform import drive
from hf_runner_simulators.hub.world import World

if TYPE_CHECKING:
    from hf_runner_simulators.hub.running import Run

QUICK = Knobs(
    scheduling_seconds=0.02,
    boot_seconds=0.02,
    stage_lag_seconds=0.3,
    log_poll_seconds=0.02,
    keep_alive_seconds=0.5,
)
LOGS = "GET /api/jobs/{namespace}/{job_id}/logs"


@dataclass
class Lab:
    """One HF Job whose output a test decides."""

    hub: HubLogs
    exchange: Exchange
    runs: list[Run] = field(default_factory=list)
    job_id: str = ""

    async def read(self, *, follow: bool = True, tail: int | None = None) -> list[str]:
        async with asyncio.timeout(120):
            return [line.text async for line in self.hub.lines(self.job_id, follow=follow, tail=tail)]

    async def running(self) -> Run:
        async with asyncio.timeout(120):
            while not self.runs:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return self.runs[0]


@pytest.fixture
async def lab(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    monkeypatch.setattr(logs, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(logs, "SHORT_SILENCE", 0.4)
    loop = asyncio.get_running_loop()
    clock = LoopClock(time=loop.time, epoch=time.time() - loop.time())
    runs: list[Run] = []

    def keep(run: Run) -> Outcome:
        runs.append(run)
        return Outcome(seconds=None, lines=("one", "two", "three"))

    world = World(clock=clock, machine=ScriptedMachine(keep), knobs=QUICK)
    world.setup({"tokens": {"hf_writer": {"user": "bot", "namespaces": {"acme": "write"}}}})
    exchange = Exchange(HubSite(world), clock=clock)
    passing = asyncio.create_task(drive(world.platform))
    async with open_socket(exchange) as origin, open_session() as session:
        account = HubAccount(endpoint=origin, namespace="acme", secret=SecretRef("ci", "hf"))
        hosts = Hosts.listed(github=[], hub=[origin], allow_http=True)
        more = {
            "account": account,
            "credential": Fixed("hf_writer"),
            "session": session,
            "clock": clock,
            "hosts": hosts,
        }
        spec = LaunchSpec(
            image="ubuntu",
            command=("run",),
            flavor="cpu-basic",
            labels={"runner": "r1"},
            environment={},
            secrets={},
            timeout=600,
        )
        job = await HubJobs(**more).launch(spec)  # type: ignore[arg-type]
        yield Lab(hub=HubLogs(**more), exchange=exchange, runs=runs, job_id=job.id)  # type: ignore[arg-type]
    passing.cancel()
    await asyncio.gather(passing, return_exceptions=True)


def said(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith("=====")]


async def test_a_followed_log_ends_when_the_job_has_ended_and_every_line_comes_once(lab: Lab) -> None:
    reading = asyncio.create_task(lab.read())
    run = await lab.running()
    await asyncio.sleep(0.2)
    run.log("four")
    run.exit_after(0.1, 0)
    assert said(await reading) == ["one", "two", "three", "four"]


async def test_streams_that_break_are_taken_up_again_without_a_line_twice_or_less(lab: Lab) -> None:
    lab.exchange.rules.add({"route": LOGS, "kind": "truncate", "times": 3})
    reading = asyncio.create_task(lab.read())
    run = await lab.running()
    for number in range(20):
        run.log(f"line {number}")
        await asyncio.sleep(0.02)
    run.exit_after(0.05, 0)
    assert said(await reading) == ["one", "two", "three", *(f"line {n}" for n in range(20))]
    assert sum(entry.route == LOGS for entry in lab.exchange.log) > 3


async def test_errors_of_the_hub_are_waited_out_while_following_and_told_otherwise(lab: Lab) -> None:
    (await lab.running()).exit_after(0.05, 0)
    lab.exchange.rules.add({"route": LOGS, "kind": "status", "status": 503, "times": 2})
    assert said(await lab.read()) == ["one", "two", "three"]
    lab.exchange.rules.add({"route": LOGS, "kind": "status", "status": 503, "times": 1})
    with pytest.raises(HubError, match="503"):
        await lab.read(follow=False)


async def test_a_live_job_without_a_log_yet_is_waited_for(lab: Lab) -> None:
    lab.exchange.rules.add({"route": LOGS, "kind": "status", "status": 404, "times": 2})
    reading = asyncio.create_task(lab.read())
    (await lab.running()).exit_after(1.0, 0)
    assert said(await reading) == ["one", "two", "three"]


async def test_what_a_live_job_has_printed_is_read_without_waiting_for_its_end(lab: Lab) -> None:
    await lab.running()
    assert said(await lab.read(follow=False)) == ["one", "two", "three"]


async def test_a_job_that_talks_all_the_time_is_still_read_to_now_and_no_further(lab: Lab) -> None:
    run = await lab.running()

    async def talk() -> None:
        while True:
            run.log("and on")
            await asyncio.sleep(0.05)

    talking = asyncio.create_task(talk())
    assert 3 < len(said(await lab.read(follow=False))) < 60
    talking.cancel()


async def test_the_tail_of_a_log_goes_on_where_a_broken_stream_left_it(lab: Lab) -> None:
    run = await lab.running()
    lab.exchange.rules.add({"route": LOGS, "kind": "truncate", "times": 1})
    reading = asyncio.create_task(lab.read(tail=2))
    await asyncio.sleep(0.1)
    run.log("four")
    run.exit_after(0.05, 0)
    assert said(await reading) == ["two", "three", "four"]


async def test_an_unknown_job_is_an_error_and_not_an_empty_log(lab: Lab) -> None:
    lab.job_id = "0" * 24
    with pytest.raises(UpstreamError) as caught:
        await lab.read()
    assert caught.value.failure.reason is Reason.HubNotFound
