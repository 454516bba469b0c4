from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from hf_runner_simulators.clock import LoopClock
from hf_runner_simulators.doors import open_socket
from hf_runner_simulators.exchange import Exchange
from tests.sim.doors.toy_site import Counter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def site() -> Counter:
    return Counter()


@pytest.fixture
async def exchange(site: Counter) -> Exchange:
    return Exchange(site, clock=LoopClock(time=time.monotonic))


@pytest.fixture
async def client(exchange: Exchange) -> AsyncIterator[httpx.AsyncClient]:
    async with open_socket(exchange) as origin, httpx.AsyncClient(base_url=origin, timeout=120) as client:
        yield client


async def test_a_request_arrives_whole(client: httpx.AsyncClient) -> None:
    answer = await client.get("/echo?a=1&a=&b=x%20y%26z", headers={"X-A": "b"})
    assert answer.json() == {
        "query": [["a", "1"], ["a", ""], ["b", "x y&z"]],
        "origin": str(client.base_url).rstrip("/"),
        "x": "b",
    }
    assert (await client.get("/counters/a%2Fb")).json()["name"] == "a/b"


async def test_a_connection_is_kept_alive_over_errors_and_streams(client: httpx.AsyncClient) -> None:
    ports = set()
    for path in ("/counters/a", "/nowhere", "/ticks/0", "/counters/a"):
        answer = await client.get(path)
        ports.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
    assert len(ports) == 1


async def test_a_lost_answer_cuts_the_connection_after_the_effect(
    client: httpx.AsyncClient, site: Counter
) -> None:
    await client.post("/_sim/faults", json={"route": "POST *", "kind": "lost_answer"})
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        await client.post("/counters/a")
    assert site.values == {"a": 1}
    assert (await client.get("/counters/a")).json()["value"] == 1


async def test_a_lost_request_cuts_the_connection_before_the_effect(
    client: httpx.AsyncClient, site: Counter
) -> None:
    await client.post("/_sim/faults", json={"route": "POST *", "kind": "lost_request"})
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        await client.post("/counters/a")
    assert site.values == {}


async def test_a_hang_lasts_as_long_as_the_clients_patience(client: httpx.AsyncClient) -> None:
    await client.post("/_sim/faults", json={"route": "POST *", "kind": "hang"})
    with pytest.raises(httpx.ReadTimeout):
        await client.post("/counters/a", timeout=0.1)


async def test_an_effect_comes_though_its_client_has_gone(client: httpx.AsyncClient, site: Counter) -> None:
    await client.post("/_sim/faults", json={"route": "POST *", "kind": "delay", "seconds": 0.3})
    with pytest.raises(httpx.ReadTimeout):
        await client.post("/counters/a", timeout=0.05)
    async with asyncio.timeout(120):
        while not site.values:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_truncated_answer_is_whole_http(client: httpx.AsyncClient) -> None:
    await client.post("/_sim/faults", json={"route": "GET *", "kind": "truncate"})
    answer = await client.get("/counters/a")
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    with pytest.raises(ValueError, match=r"(?i)unterminated|expecting"):
        answer.json()


async def test_a_bug_of_the_simulator_is_a_500_that_says_so_and_is_in_the_report(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/bug")
    assert answer.status_code == 500
    assert "bug in the simulator" in answer.text
    assert "KeyError" in (await client.get("/_sim/report")).json()["bugs"][0]


async def test_the_door_closes_though_a_stream_and_a_hang_are_open(exchange: Exchange) -> None:
    async with open_socket(exchange) as origin, httpx.AsyncClient(base_url=origin) as client:
        exchange.rules.add({"route": "POST *", "kind": "hang"})
        hang = asyncio.create_task(client.post("/counters/a"))
        async with client.stream("GET", "/ticks/1000") as answer:
            assert await anext(answer.aiter_bytes()) == b"data: 0\n\n"
            hang.cancel()
