"""The same behaviour for httpx and httpx2, in virtual time."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import pytest

from controller.simulate.loop import Deadlock, run_virtual
from hf_runner_simulators.clock import LoopClock
from hf_runner_simulators.doors import Incarnation, SimTransport, SimTransport2
from hf_runner_simulators.exchange import Exchange, SimulatorBug
from tests.sim.doors.toy_site import Counter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hf_runner_simulators.exchange import Latency

LIBRARIES = [(httpx, SimTransport), (httpx2, SimTransport2)]


class Rig:
    """A counter site and a client of it, inside a running virtual loop."""

    def __init__(self, library: Any, transport: Any, latency: Latency | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.site = Counter()
        self.exchange = Exchange(self.site, clock=LoopClock(time=self.loop.time), latency=latency)
        self.incarnation = Incarnation(name="a-0")
        self.library = library
        self.client = library.AsyncClient(
            transport=transport(self.exchange, incarnation=self.incarnation),
            base_url="https://site.example",
            timeout=library.Timeout(10, connect=3),
        )

    def fault(self, **rule: Any) -> None:
        self.exchange.rules.add(rule)

    async def raises(self, error: str, method: str = "POST") -> float:
        """Assert that a request fails so, and return how long it took."""
        began = self.loop.time()
        with pytest.raises(getattr(self.library, error)):
            await self.client.request(method, "/counters/a")
        return self.loop.time() - began


@pytest.fixture(params=LIBRARIES, ids=["httpx", "httpx2"])
def play(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Run a scenario that gets a rig, in virtual time."""
    library, transport = request.param

    def run(scenario: Callable[[Rig], Awaitable[Any]], latency: Latency | None = None) -> Any:
        async def main() -> Any:
            return await scenario(Rig(library, transport, latency))

        return run_virtual(main())

    return run


def test_a_request_arrives_whole(play: Any) -> None:
    async def scenario(rig: Rig) -> Any:
        answer = await rig.client.get(
            "/echo", params=[("a", "1"), ("a", ""), ("b", "x y&z")], headers={"X-A": "b"}
        )
        assert "Date" in answer.headers
        return answer.json()

    assert play(scenario) == {
        "query": [["a", "1"], ["a", ""], ["b", "x y&z"]],
        "origin": "https://site.example",
        "x": "b",
    }


def test_latency_passes_in_virtual_time(play: Any) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.client.get("/counters/a")
        assert rig.loop.time() == pytest.approx(0.4)
        assert rig.exchange.log[0].at - LoopClock(time=lambda: 0).wall() == pytest.approx(0.1)

    play(scenario, latency=lambda _: (0.1, 0.3))


def test_a_lost_request_has_no_effect_and_a_lost_answer_has_and_the_client_cannot_tell(play: Any) -> None:
    async def scenario(rig: Rig) -> None:
        rig.fault(route="POST /counters/{name}", kind="lost_request")
        await rig.raises("ReadError")
        assert rig.site.values == {}
        rig.fault(route="POST /counters/{name}", kind="lost_answer")
        await rig.raises("ReadError")
        assert rig.site.values == {"a": 1}
        assert (await rig.client.post("/counters/a")).json()["value"] == 2

    play(scenario)


def test_a_connection_that_is_refused_or_never_made_proves_that_nothing_was_sent(play: Any) -> None:
    async def scenario(rig: Rig) -> None:
        rig.fault(route="*", kind="unreachable")
        assert await rig.raises("ConnectError") == 0
        rig.fault(route="*", kind="blackhole")
        assert await rig.raises("ConnectTimeout") == 3
        assert rig.site.values == {}

    play(scenario)


@pytest.mark.parametrize(("when", "effects"), [("before", {}), ("after", {"a": 1})])
def test_a_hang_ends_in_the_clients_read_timeout(play: Any, when: str, effects: dict[str, int]) -> None:
    async def scenario(rig: Rig) -> None:
        rig.fault(route="*", kind="hang", when=when)
        assert await rig.raises("ReadTimeout") == 10
        assert rig.site.values == effects

    play(scenario)


def test_an_effect_may_come_after_the_client_has_given_up(play: Any) -> None:
    async def scenario(rig: Rig) -> None:
        rig.fault(route="*", kind="delay", seconds=25)
        await rig.raises("ReadTimeout")
        assert rig.site.values == {}
        await asyncio.sleep(20)
        assert rig.site.values == {"a": 1}

    play(scenario)


def test_a_client_that_is_cancelled_does_not_stop_the_site_half_way(play: Any) -> None:
    async def scenario(rig: Rig) -> None:
        rig.fault(route="*", kind="delay", seconds=5)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await rig.client.post("/counters/a")
        await rig.client.aclose()
        await asyncio.sleep(10)
        assert rig.site.values == {"a": 1}

    play(scenario)


@pytest.mark.parametrize(("when", "effects"), [("before", {}), ("after", {"a": 1})])
def test_an_error_status_says_nothing_about_the_effect(play: Any, when: str, effects: dict[str, int]) -> None:
    async def scenario(rig: Rig) -> None:
        rig.fault(
            route="*",
            kind="status",
            status=429,
            when=when,
            headers={"Retry-After": "7"},
            body={"error": "slow"},
        )
        answer = await rig.client.post("/counters/a")
        assert (answer.status_code, answer.headers["Retry-After"], answer.json()) == (
            429,
            "7",
            {"error": "slow"},
        )
        assert rig.site.values == effects

    play(scenario)


def test_a_truncated_answer_is_whole_http_and_half_json(play: Any) -> None:
    async def scenario(rig: Rig) -> None:
        rig.fault(route="*", kind="truncate")
        answer = await rig.client.get("/counters/a")
        assert answer.status_code == 200
        with pytest.raises(ValueError, match=r"(?i)unterminated|expecting"):
            answer.json()

    play(scenario)


def test_a_malformed_answer_is_a_proxys_page_or_what_the_rule_says(play: Any) -> None:
    async def scenario(rig: Rig) -> None:
        rig.fault(route="*", kind="malformed")
        assert (await rig.client.get("/counters/a")).text.startswith("<html>")
        rig.fault(route="*", kind="malformed", body={"items": None})
        assert (await rig.client.get("/counters/a")).json() == {"items": None}

    play(scenario)


def test_rules_choose_by_path_query_header_body_caller_and_turn(play: Any) -> None:
    async def scenario(rig: Rig) -> None:
        async def status(name: str = "a", **options: Any) -> int:
            answer: Any = await rig.client.post(f"/counters/{name}", **options)
            return int(answer.status_code)

        rig.fault(route="POST *", kind="status", match={"path": {"name": "b*"}}, times=None)
        rig.fault(route="*", kind="status", match={"query": {"label": "pool=*"}}, times=None)
        rig.fault(route="*", kind="status", match={"headers": {"Authorization": "Bearer bad"}}, times=None)
        rig.fault(route="*", kind="status", match={"body": {"labels": {"pool": "gpu"}}}, times=None)
        rig.fault(route="*", kind="status", match={"caller": "b-*"}, times=None)
        assert [await status("a"), await status("b1"), await status("b2")] == [200, 503, 503]
        assert await status(params=[("label", "x=1"), ("label", "pool=x")]) == 503
        assert await status(headers={"Authorization": "Bearer bad"}) == 503
        assert await status(json={"labels": {"pool": "gpu", "n": "1"}}) == 503
        assert await status(json={"labels": {"pool": "cpu"}}) == 200
        rig.incarnation.name = "b-1"
        assert await status() == 503
        rig.incarnation.name = "a-0"
        rig.exchange.rules.clear()
        rig.fault(route="*", kind="status", skip=1, times=2)
        assert [await status() for _ in range(5)] == [200, 503, 503, 200, 200]

    play(scenario)


def test_after_a_crash_no_request_of_the_dead_returns_and_none_begins(play: Any) -> None:
    async def scenario(rig: Rig) -> None:
        ended: list[str] = []

        async def ask(name: str) -> None:
            try:
                await rig.client.post(f"/counters/{name}")
            except Exception as error:  # noqa: BLE001
                ended.append(type(error).__name__)
            else:
                ended.append("answered")

        running = asyncio.create_task(ask("running"))
        await asyncio.sleep(0.15)  # past the effect, before the answer
        rig.incarnation.alive = False
        new = asyncio.create_task(ask("new"))
        await asyncio.sleep(1000)
        assert ended == []
        assert rig.site.values == {"running": 1}
        for task in (running, new):
            task.cancel()

    play(scenario, latency=lambda _: (0.1, 0.1))


def test_the_dead_wait_for_ever(play: Any) -> None:
    async def scenario(rig: Rig) -> None:
        rig.incarnation.alive = False
        await rig.client.get("/counters/a")

    with pytest.raises(Deadlock):
        play(scenario)


def test_a_stream_arrives_chunk_by_chunk(play: Any) -> None:
    async def scenario(rig: Rig) -> list[float]:
        async with rig.client.stream("GET", "/ticks/4") as answer:
            return [rig.loop.time() async for line in answer.aiter_lines() if line]

    assert play(scenario) == [0, 4, 8]


def test_the_read_timeout_holds_for_each_chunk_of_a_stream(play: Any) -> None:
    async def scenario(rig: Rig) -> None:
        async with rig.client.stream("GET", "/ticks/11") as answer:
            chunks = answer.aiter_bytes()
            assert await anext(chunks) == b"data: 0\n\n"
            with pytest.raises(rig.library.ReadTimeout):
                await anext(chunks)
        assert rig.loop.time() == 10

    play(scenario)


def test_a_truncated_stream_ends_early(play: Any) -> None:
    async def scenario(rig: Rig) -> str:
        rig.fault(route="GET /ticks/{pause}", kind="truncate")
        answer = await rig.client.get("/ticks/1")
        return str(answer.text)

    assert play(scenario) == "data: 0\n\n"


def test_the_site_does_not_see_the_clients_context(play: Any) -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []

    async def scenario(rig: Rig) -> None:
        rig.site.router.add("GET", "/context", lambda _: seen.append(variable.get()) or rig.site.echo(_))  # type: ignore[func-returns-value]
        variable.set("client")
        await rig.client.get("/context")

    play(scenario)
    assert seen == ["unset"]


def test_a_bug_of_the_simulator_is_never_taken_for_an_upstream_error(play: Any) -> None:
    async def scenario(rig: Rig) -> None:
        with pytest.raises(SimulatorBug, match="KeyError") as caught:
            await rig.client.get("/bug")
        assert not isinstance(caught.value, Exception), (
            "an except clause of the code under test could swallow it"
        )
        assert "a simulator's own fault" in rig.exchange.bugs[0]

    play(scenario)


def test_requests_are_counted_by_route_and_status(play: Any) -> None:
    async def scenario(rig: Rig) -> Any:
        rig.fault(route="POST *", kind="lost_request")
        await rig.raises("ReadError")
        await rig.client.post("/counters/a")
        await rig.client.post("/counters/b")
        await rig.client.get("/elsewhere")
        report = (await rig.client.get("/_sim/report")).json()
        assert report["values"] == {"a": 1, "b": 1}
        assert [e["caller"] for e in (await rig.client.get("/_sim/log")).json()] == ["a-0"] * 4
        return report["requests"]

    assert play(scenario) == {
        "total": 4,
        "routes": {
            "GET (no such route)": {"404": 1},
            "POST /counters/{name}": {"200": 2, "lost_request": 1},
        },
        "faults": {"lost_request": 1},
    }


def test_faults_are_set_listed_and_cleared_over_http(play: Any) -> None:
    async def scenario(rig: Rig) -> None:
        rules = [{"route": "GET *", "kind": "status", "times": None}, {"route": "POST *", "kind": "hang"}]
        assert (await rig.client.post("/_sim/faults", json=rules)).json() == {"added": 2}
        assert (await rig.client.get("/counters/a")).status_code == 503
        listed = (await rig.client.get("/_sim/faults")).json()
        assert [(rule["kind"], rule["matched"]) for rule in listed] == [("status", 1), ("hang", 0)]
        refused = await rig.client.post("/_sim/faults", json={"route": "*", "kind": "earthquake"})
        assert refused.status_code == 400
        assert "lost_answer" in refused.json()["error"]
        await rig.client.delete("/_sim/faults")
        assert (await rig.client.get("/counters/a")).status_code == 200

    play(scenario)
