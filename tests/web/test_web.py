"""The small web server, over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from controller.web import MOST_WAITING, Health, serving


async def page() -> bytes:
    return b"x 1\n"


async def get(port: int, path: str) -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.text(), answer.headers["Content-Type"]


async def test_probes_answer_with_every_reason_and_who_is_not_live_is_not_ready() -> None:
    health, wrong = Health(), {"live": "", "ready": ""}
    async with serving(host="127.0.0.1", port=0, health=health, metrics=page) as port:
        assert (await get(port, "/livez"))[:2] == (200, "ok\n")
        assert (await get(port, "/readyz"))[:2] == (503, "starting\n")
        health.now(live=(lambda: wrong["live"] or None,), ready=(lambda: wrong["ready"] or None,))
        assert (await get(port, "/readyz"))[:2] == (200, "ok\n")
        wrong["ready"] = "RunnerPools are not known"
        assert (await get(port, "/livez"))[0] == 200
        assert (await get(port, "/readyz"))[:2] == (503, "RunnerPools are not known\n")
        wrong["live"] = "no planning pass for 61 s"
        assert (await get(port, "/livez"))[:2] == (503, "no planning pass for 61 s\n")
        assert (await get(port, "/readyz"))[:2] == (
            503,
            "no planning pass for 61 s; RunnerPools are not known\n",
        )


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
async def test_without_an_address_both_families_are_served(address: str) -> None:
    """A kubelet asks a pod at the address that it has, and in a cluster of IPv6 alone that is no other."""
    async with (
        serving(host="", port=0, health=Health(), metrics=page) as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://{address}:{port}/livez") as answer,
    ):
        assert answer.status == 200


async def test_a_port_that_is_taken_is_an_error() -> None:
    async with serving(host="", port=0, health=Health(), metrics=page) as port:
        with pytest.raises(OSError, match="in use"):
            async with serving(host="", port=port, health=Health(), metrics=page):
                pass


@pytest.mark.parametrize("shown", [False, True])
async def test_the_plan_is_shown_only_where_somebody_asked_for_it(shown: bool) -> None:
    plan: Callable[[], dict[str, Any]] | None = (lambda: {"pools": []}) if shown else None
    async with serving(host="127.0.0.1", port=0, health=Health(), metrics=page, plan=plan) as port:
        status, text, kind = await get(port, "/debug/plan")
        assert status == (200 if shown else 404)
        assert (text == '{\n "pools": []\n}\n') == kind.startswith("application/json") == shown


async def test_metrics_have_the_type_that_prometheus_asks_for() -> None:
    async with serving(host="127.0.0.1", port=0, health=Health(), metrics=page) as port:
        assert await get(port, "/metrics") == (200, "x 1\n", "text/plain; version=0.0.4; charset=utf-8")


async def test_a_large_page_comes_whole_and_compressed() -> None:
    async def large() -> bytes:
        return b"x 1\n" * 100_000

    async with (
        serving(host="127.0.0.1", port=0, health=Health(), metrics=large) as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/metrics") as answer,
    ):
        assert answer.headers["Content-Encoding"] in ("gzip", "deflate")
        assert await answer.read() == b"x 1\n" * 100_000


class Gated:
    """A page that is made when the test lets it."""

    def __init__(self) -> None:
        self.asked, self.gate = asyncio.Event(), asyncio.Event()
        self.made = 0

    async def page(self) -> bytes:
        self.made += 1
        self.asked.set()
        await self.gate.wait()
        return f"x {self.made}\n".encode()


async def test_a_flood_of_scrapes_makes_one_page_and_leaves_the_probes_alone() -> None:
    gated = Gated()
    async with serving(host="127.0.0.1", port=0, health=Health(), metrics=gated.page, pause=0) as port:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", connector=connector) as session:

            async def scrape() -> int:
                async with session.get("/metrics") as answer:
                    await answer.read()
                    return answer.status

            scrapes = [asyncio.create_task(scrape()) for _ in range(MOST_WAITING + 1)]
            # All but one wait for a page; the one beyond is sent away, and a probe is answered at once.
            done, waiting = await asyncio.wait(scrapes, return_when=asyncio.FIRST_COMPLETED)
            assert [one.result() for one in done] == [503]
            async with session.get("/livez") as answer:
                assert answer.status == 200
            gated.gate.set()
            assert {await one for one in waiting} == {200}
    assert gated.made <= 2  # who came after the page was begun waits for the next one


async def test_a_client_that_leaves_is_no_error_and_the_next_one_gets_its_page(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gated = Gated()
    async with serving(host="127.0.0.1", port=0, health=Health(), metrics=gated.page, pause=0) as port:
        leaving = asyncio.create_task(get(port, "/metrics"))
        await gated.asked.wait()
        leaving.cancel()
        await asyncio.wait({leaving})
        staying = asyncio.create_task(get(port, "/metrics"))
        gated.gate.set()
        assert (await staying)[0] == 200
    assert caplog.messages == []


async def test_a_page_that_cannot_be_made_is_tried_again_for_the_next_who_asks() -> None:
    tries = []

    async def failing() -> bytes:
        tries.append(1)
        if len(tries) == 1:
            raise ZeroDivisionError
        return b"x 1\n"

    async with serving(host="127.0.0.1", port=0, health=Health(), metrics=failing, pause=0) as port:
        assert (await get(port, "/metrics"))[0] == 500
        assert (await get(port, "/metrics"))[0] == 200
