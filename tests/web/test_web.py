"""The small web server, over a real socket."""

from __future__ import annotations

import aiohttp
import pytest

from controller.web import Health, serving


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


@pytest.mark.parametrize("shown", [False, True])
async def test_the_plan_is_shown_only_where_somebody_asked_for_it(shown: bool) -> None:
    plan = (lambda: {"pools": []}) if shown else None
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
