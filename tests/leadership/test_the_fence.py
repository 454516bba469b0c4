"""The last question before a request leaves: asked when the connection stands, not when the
executor began.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import httpx2
import pytest

from controller.adapters.fence import fence
from controller.adapters.huggingface.session import open_session
from controller.core.reasons import Reason
from controller.core.stop_switch import Stopped
from controller.ports import Fenced, LaunchStopped


class Lead:
    def __init__(self) -> None:
        self.answers = True

    def holds(self) -> bool:
        return self.answers


class Server:
    """Takes connections and notes what is written into them."""

    def __init__(self) -> None:
        self.received: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.received.append(head)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
            await writer.drain()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Server, str]]:
    made = Server()
    async with await asyncio.start_server(made.serve, "127.0.0.1", 0) as listening:
        yield made, f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


def clients(lead: Lead, identity: str = "") -> list[httpx.AsyncClient | httpx2.AsyncClient]:
    hook = fence(lead, identity=identity)
    return [httpx.AsyncClient(event_hooks={"request": [hook]}), open_session(before_send=hook)]


@pytest.mark.parametrize("which", [0, 1], ids=["httpx", "huggingface_hub"])
async def test_an_effect_goes_out_while_we_lead_and_says_who_sent_it(which: int) -> None:
    async with served() as (server, url), clients(Lead(), "pod-a_1")[which] as client:
        assert (await client.post(url)).status_code == 200
    assert b"(pod-a_1)" in server.received[0]


@pytest.mark.parametrize("which", [0, 1], ids=["httpx", "huggingface_hub"])
async def test_nothing_is_written_when_leadership_ends_while_the_connection_is_made(which: int) -> None:
    """1. The executor asks: yes. 2. The connection is opened. 3. The lease ends. 4. Nothing
    may be written.
    """
    asked: list[bool] = []

    class Ending(Lead):
        def holds(self) -> bool:
            asked.append(not asked)  # yes to the first question, no to all that follow
            return asked[-1]

    async with served() as (server, url), clients(Ending())[which] as client:
        with pytest.raises(Fenced):
            await client.post(url)
    assert asked == [True, False]
    assert server.received == []


@pytest.mark.parametrize("which", [0, 1], ids=["httpx", "huggingface_hub"])
async def test_a_kept_connection_is_fenced_as_a_new_one(which: int) -> None:
    lead = Lead()
    async with served() as (server, url), clients(lead)[which] as client:
        await client.post(url)
        lead.answers = False
        with pytest.raises(Fenced):
            await client.delete(url)
    assert len(server.received) == 1


@pytest.mark.parametrize("which", [0, 1], ids=["httpx", "huggingface_hub"])
async def test_reads_and_tokens_need_no_leadership(which: int) -> None:
    lead = Lead()
    lead.answers = False
    async with served() as (server, url), clients(lead)[which] as client:
        await client.get(url)
        await client.post(f"{url}/app/installations/7/access_tokens")
    assert len(server.received) == 2


async def test_a_launch_is_kept_back_when_the_stop_switch_is_turned_while_the_connection_is_made() -> None:
    """1. The executor asks: nothing is stopped. 2. The connection is opened. 3. The switch is turned.
    4. Nothing may be written.
    """
    asked: list[str] = []

    def stopped(account: str) -> Stopped | None:
        asked.append(account)
        return Stopped(reason=Reason.StopSwitchOn, message="why") if len(asked) > 1 else None

    async with (
        served() as (server, url),
        open_session(before_send=fence(Lead(), stopped=stopped)) as client,
    ):
        with pytest.raises(LaunchStopped, match="why"):
            await client.post(f"{url}/api/jobs/ac%C3%A9me")
    assert asked == ["ac\N{LATIN SMALL LETTER E WITH ACUTE}me"] * 2
    assert server.received == []


@pytest.mark.parametrize(
    "path", ["/api/jobs/acme/6b019cd5fd44eefd778d23c3/cancel", "/repos/acme/lib/actions"]
)
async def test_the_stop_switch_keeps_nothing_back_that_launches_nothing(path: str) -> None:
    async with (
        served() as (server, url),
        open_session(
            before_send=fence(Lead(), stopped=lambda _: Stopped(reason=Reason.StopSwitchOn, message="why"))
        ) as client,
    ):
        await client.post(f"{url}{path}")
    assert len(server.received) == 1
