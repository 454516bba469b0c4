"""The judges of a storm see what they are there to see."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from controller.simulate.machine import Shift
from tools.chaos.replicas import Proxy
from tools.chaos.world import OWNER, World, open_world

A, B = "pod-a_aaaaaaaaaa", "pod-b_bbbbbbbbbb"


async def act(world: World, replica: str) -> None:
    """Do something with an effect, as a replica; that it is refused makes no difference."""
    async with httpx.AsyncClient(headers={"User-Agent": f"hf-runner-controller/1 ({replica})"}) as http:
        await http.delete(f"{world.github_url}/api/v3/repos/{OWNER}/lib/actions/runners/1")


async def test_terms_show_a_replica_that_acts_after_another_took_over() -> None:
    async with open_world(["lib"]) as world:
        for replica in (A, A, B):
            await act(world, replica)
        assert world.terms() == [A, B]
        await act(world, A)
        assert world.terms() == [A, B, A]


async def test_looking_is_no_act() -> None:
    async with open_world(["lib"]) as world:
        async with httpx.AsyncClient(headers={"User-Agent": f"x ({A})"}) as http:
            await http.get(f"{world.github_url}/api/v3/repos/{OWNER}/lib/actions/runners")
        assert world.acts() == []


@pytest.mark.parametrize(
    ("shift", "noticed"),
    [
        (Shift(), False),
        (Shift(online_at=1.0, workflow_job=7), True),
        (Shift(online_at=1.0, workflow_job=7, done_at=2.0), False),
    ],
)
async def test_a_runner_that_is_killed_in_the_middle_of_its_job_is_noticed(
    shift: Shift, noticed: bool
) -> None:
    async with open_world(["lib"]) as world:
        machine = world.machine
        machine.shifts["hf-1"] = shift
        machine._tasks["hf-1"] = asyncio.create_task(asyncio.sleep(60))
        machine.kill("hf-1")
        machine.kill("hf-1")
        assert len(machine.killed_busy) == noticed


async def test_a_frozen_way_holds_everything_back_until_it_thaws() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        proxy = Proxy("127.0.0.1", server.sockets[0].getsockname()[1])
        async with proxy.serving():
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(b"one")
            assert await reader.read(100) == b"one"
            proxy.freeze()
            writer.write(b"two")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await reader.read(100)
            proxy.thaw()
            assert await reader.read(100) == b"two"
            writer.close()
            await writer.wait_closed()
