"""The session that production uses, huggingface_hub's own, over TCP."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator

import pytest
from huggingface_hub import constants

from controller.adapters.credential import Fixed
from controller.adapters.huggingface.errors import HubError
from controller.adapters.huggingface.flavors import HubHardware
from controller.adapters.huggingface.jobs import HubJobs
from controller.adapters.huggingface.session import TIMEOUTS, open_session
from controller.core.hosts import Hosts
from controller.core.model import HubAccount, SecretRef
from controller.ports import LaunchSpec
from hf_runner_simulators.clock import LoopClock
from hf_runner_simulators.doors import open_socket
from hf_runner_simulators.exchange import Exchange
from hf_runner_simulators.hub.http import HubSite
from hf_runner_simulators.hub.machines import ScriptedMachine
from hf_runner_simulators.hub.world import World

LABELS = {"managed-by": "us", "runner": "r1"}
SPEC = LaunchSpec(
    image="ubuntu",
    command=("run",),
    flavor="cpu-basic",
    labels=LABELS,
    environment={},
    secrets={"JIT": "dGhlIHNlY3JldA"},
    timeout=600,
)


def jobs_at(endpoint: str, session: object) -> HubJobs:
    account = HubAccount(endpoint=endpoint, namespace="acme", secret=SecretRef("ci", "hf"))
    clock = LoopClock(time=asyncio.get_running_loop().time)
    hosts = at(endpoint)
    return HubJobs(account=account, credential=Fixed("hf_writer"), session=session, clock=clock, hosts=hosts)  # type: ignore[arg-type]


def at(endpoint: str) -> Hosts:
    """Return the one host that the simulated Hub is at."""
    return Hosts.listed(github=[], hub=[endpoint], allow_http=True)


@pytest.fixture
async def served() -> AsyncIterator[tuple[str, Exchange]]:
    loop = asyncio.get_running_loop()
    clock = LoopClock(time=loop.time, epoch=time.time() - loop.time())
    world = World(clock=clock, machine=ScriptedMachine())
    world.setup(
        {
            "tokens": {"hf_writer": {"user": "bot", "namespaces": {"acme": "write"}}},
            "namespaces": {"acme": {"type": "org", "credits": 10.0}},
        }
    )
    exchange = Exchange(HubSite(world), clock=clock)
    async with open_socket(exchange) as origin:
        yield origin, exchange


async def test_a_job_is_launched_listed_and_cancelled(
    served: tuple[str, Exchange], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with open_session() as session:
        jobs = jobs_at(served[0], session)
        launched = await jobs.launch(SPEC)
        assert [job.id for job in (await jobs.live(LABELS)).items] == [launched.id]
        await jobs.cancel(launched.id)
        clock = LoopClock(time=asyncio.get_running_loop().time)
        hardware = HubHardware(session=session, endpoint=served[0], clock=clock, hosts=at(served[0]))
        assert (await hardware.flavors()).complete
    assert all("agent-harnesses" not in entry.path for entry in served[1].log)
    for secret in ("hf_writer", SPEC.secrets["JIT"]):
        assert secret not in caplog.text


async def test_a_lost_answer_is_in_doubt_and_a_refused_connection_is_not(
    served: tuple[str, Exchange],
) -> None:
    served[1].rules.add({"route": "POST /api/jobs/{namespace}", "kind": "lost_answer"})
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    async with open_session() as session:
        with pytest.raises(HubError) as lost:
            await jobs_at(served[0], session).launch(SPEC)
        with pytest.raises(HubError) as refused:
            await jobs_at(nobody, session).launch(SPEC)
        assert len(await jobs_at(served[0], session).find(LABELS)) == 1
    assert lost.value.failure.in_doubt
    assert not refused.value.failure.in_doubt


async def test_the_shared_session_has_timeouts_and_follows_no_redirect() -> None:
    async with open_session() as session:
        assert session.timeout == TIMEOUTS
        assert None not in (TIMEOUTS.connect, TIMEOUTS.read, TIMEOUTS.write, TIMEOUTS.pool)
        assert not session.follow_redirects


async def test_offline_mode_is_a_failure_like_any_other(
    served: tuple[str, Exchange], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    async with open_session() as session:
        with pytest.raises(HubError, match="HF_HUB_OFFLINE") as caught:
            await jobs_at(served[0], session).launch(SPEC)
    assert not caught.value.failure.in_doubt
