"""A name that nobody answers holds up nobody else."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import httpx
import pytest

from controller.adapters.names import Found, Names, NamesLoop

ADDRESS: Found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443))]
OTHER: Found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.2", 443))]


class Servers:
    """Name servers that answer what they know at once, and everything else when they are let go."""

    def __init__(self, **known: Found) -> None:
        self.known = known
        self.asked: list[str] = []
        self.let_go = threading.Event()
        self.waiting = threading.Semaphore(0)

    def look_up(self, host: str, *_: Any) -> Found:
        self.asked.append(host)
        if host not in self.known:
            self.waiting.release()
            self.let_go.wait(30)
        if host not in self.known:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return self.known[host]


async def dead(names: Names, servers: Servers, count: int) -> list[asyncio.Task[Found]]:
    """Ask for names that are never answered, and wait until each of them has its thread."""
    tasks = [asyncio.create_task(names.addresses(f"dead-{n}", 443)) for n in range(count)]
    for _ in tasks:
        await asyncio.to_thread(servers.waiting.acquire)
    return tasks


async def settle(servers: Servers, tasks: list[asyncio.Task[Found]]) -> None:
    servers.let_go.set()
    for failed in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(failed, socket.gaierror)


async def test_names_that_are_never_answered_leave_the_default_executor_alone() -> None:
    servers = Servers(good=ADDRESS)
    names = Names(look_up=servers.look_up, at_a_time=41)
    tasks = await dead(names, servers, 40)
    assert await names.addresses("good", 443) == ADDRESS
    assert await asyncio.to_thread(lambda: 7) == 7
    await settle(servers, tasks)


async def test_a_name_that_was_answered_before_needs_nobody_else() -> None:
    servers = Servers(good=ADDRESS)
    names = Names(look_up=servers.look_up, at_a_time=3, patience=0.01)
    assert await names.addresses("good", 443) == ADDRESS
    tasks = await dead(names, servers, 3)
    assert await names.addresses("good", 443) == ADDRESS
    assert servers.asked.count("good") == 1  # there was no place for it
    await settle(servers, tasks)


async def test_a_new_answer_replaces_the_old_one() -> None:
    servers = Servers(good=ADDRESS)
    names = Names(look_up=servers.look_up, patience=60)
    assert await names.addresses("good", 443) == ADDRESS
    servers.known["good"] = OTHER
    assert await names.addresses("good", 443) == OTHER
    del servers.known["good"]
    servers.let_go.set()
    with pytest.raises(socket.gaierror):
        await names.addresses("good", 443)


async def test_a_name_is_looked_up_once_for_all_who_ask_meanwhile() -> None:
    servers = Servers()
    names = Names(look_up=servers.look_up)
    tasks = [asyncio.create_task(names.addresses("late", 443)) for _ in range(10)]
    await asyncio.to_thread(servers.waiting.acquire)
    tasks[0].cancel()
    servers.known["late"] = ADDRESS
    servers.let_go.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [ADDRESS] * 9
    assert servers.asked == ["late"]


def test_the_loop_looks_up_names_so_for_every_client() -> None:
    async def ask() -> None:
        loop = asyncio.get_running_loop()
        assert (await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM))[0][4] == ("127.0.0.1", 80)
        with pytest.raises(UnicodeError):
            await loop.getaddrinfo("x" * 64 + ".example", 80)
        async with httpx.AsyncClient() as client:
            with pytest.raises(httpx.ConnectError):
                await client.get("http://localhost:1/")
        assert len(loop._names._last) >= 2  # type: ignore[attr-defined]

    with asyncio.Runner(loop_factory=NamesLoop) as runner:
        runner.run(ask())


def test_a_name_that_is_never_answered_does_not_keep_the_process_from_ending() -> None:
    servers = Servers()

    async def leave() -> None:
        names = Names(look_up=servers.look_up)
        tasks = await dead(names, servers, 2)
        for task in tasks:
            task.cancel()

    asyncio.run(leave())
    assert all(t.daemon for t in threading.enumerate() if t.name == "name look-up")
    servers.let_go.set()
