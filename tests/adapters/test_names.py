"""Names are looked up beside each other: those that nobody answers for delay only who asks for them."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from controller.adapters.names import THREADS_FOR_OTHERS, THREADS_FOR_PROMPT, Loop, Names

ANSWER = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443))]


class Servers:
    """Answers for ``good`` at once unless told otherwise, and says nothing about others
    until it is released.
    """

    def __init__(self) -> None:
        self.released = threading.Event()
        self.silent_too: set[str] = set()
        self.gone: set[str] = set()
        self.asked: list[Any] = []
        self.under_way = self.most = 0
        self._lock = threading.Lock()
        self._loop, self._changed = asyncio.get_running_loop(), asyncio.Event()

    def count(self, change: int) -> None:
        with self._lock:
            self.under_way += change
            self.most = max(self.most, self.under_way)
        with suppress(RuntimeError):  # the test has ended
            self._loop.call_soon_threadsafe(self._changed.set)

    async def until(self, under_way: int) -> None:
        while self.under_way != under_way:
            self._changed.clear()
            await self._changed.wait()

    def look_up(self, host: Any, *_: Any) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        if host == "good" and host not in self.silent_too | self.gone:
            return list(ANSWER)
        if host in self.gone:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        self.count(1)
        self.released.wait(60)
        self.count(-1)
        raise socket.gaierror(socket.EAI_AGAIN, "nobody answers")


@asynccontextmanager
async def asking(names: Names, *hosts: str, port: int = 443) -> AsyncIterator[list[asyncio.Task[Any]]]:
    tasks = [asyncio.create_task(names.resolve(host, port)) for host in hosts]
    await asyncio.sleep(0)
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    made = Servers()
    yield made
    made.released.set()


async def test_names_that_nobody_answers_for_do_not_delay_one_that_was_answered(servers: Servers) -> None:
    names = Names(look_up=servers.look_up)
    await names.resolve("good", 443)
    async with asking(names, *(f"silent{n}" for n in range(100))):
        await servers.until(THREADS_FOR_OTHERS.most)
        assert await names.resolve("good", 443) == ANSWER
    assert servers.most == THREADS_FOR_OTHERS.most


async def test_a_name_that_fell_silent_goes_on_with_its_last_addresses(servers: Servers) -> None:
    names = Names(look_up=servers.look_up, prompt=0.01)
    await names.resolve("good", 443)
    servers.silent_too.add("good")
    assert await names.resolve("good", 443) == ANSWER
    servers.released.set()
    assert await names.resolve("good", 443) == ANSWER, "its servers say that they are out of reach"


async def test_a_name_has_no_more_than_its_own_threads_whatever_its_ports(servers: Servers) -> None:
    names = Names(look_up=servers.look_up)
    tasks = [asyncio.create_task(names.resolve("silent", port)) for port in range(1, 50)]
    await servers.until(2)
    assert await names.resolve("good", 443) == ANSWER
    assert servers.most == 2
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_who_asks_for_the_same_name_at_once_shares_one_look_up(servers: Servers) -> None:
    names = Names(look_up=servers.look_up)
    async with asking(names, *["silent"] * 20) as tasks:
        await servers.until(1)
        servers.released.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {socket.gaierror}
    assert servers.asked == ["silent"]


async def test_a_name_that_does_not_exist_any_more_is_unknown(servers: Servers) -> None:
    names = Names(look_up=servers.look_up)
    await names.resolve("good", 443)
    servers.gone.add("good")
    with pytest.raises(socket.gaierror, match="unknown"):
        await names.resolve("good", 443)


async def test_who_gives_up_before_its_turn_is_not_asked_for(servers: Servers) -> None:
    names = Names(look_up=servers.look_up)
    async with asking(names, *(f"silent{n}" for n in range(THREADS_FOR_OTHERS.most))):
        await servers.until(THREADS_FOR_OTHERS.most)
        async with asking(names, "good", "late"):
            pass
        servers.released.set()
        await servers.until(0)
        assert await names.resolve("good", 443) == ANSWER, (
            "one that gave up leaves nothing behind for the next"
        )
    assert "late" not in servers.asked


def test_whoever_connects_on_the_loop_asks_there() -> None:
    with asyncio.Runner(loop_factory=Loop) as runner:

        async def main() -> set[Any]:
            found = await asyncio.get_running_loop().getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
            return {address[0] for *_, address in found}

        assert runner.run(main()) & {"127.0.0.1", "::1"}
    assert THREADS_FOR_PROMPT.most < THREADS_FOR_OTHERS.most
