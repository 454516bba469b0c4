"""What the real client does not ask, over the in-process door and in virtual time."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx2
import jsonschema
import pytest

from controller.simulate.loop import run_virtual
from hf_runner_simulators.clock import LoopClock
from hf_runner_simulators.doors import SimTransport2
from hf_runner_simulators.exchange import Exchange
from hf_runner_simulators.hub.flavors import FLAVORS
from hf_runner_simulators.hub.http import HubSite
from hf_runner_simulators.hub.machines import ScriptedMachine
from hf_runner_simulators.hub.world import World
from tests.sim.hub.conftest import SETUP, TOKEN, script
from tests.sim.hub.job_schema import HARDWARE, JOB

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SPEC = {"dockerImage": "ubuntu", "command": ["for-ever"], "flavor": "cpu-basic"}

EVERYTHING = {
    "spaceId": "acme/tool",
    "command": ["for-ever"],
    "arguments": ["a"],
    "environment": {"A": "1"},
    "secrets": {"B": "token-marker", "A": "token-marker"},
    "flavor": "h200x8",
    "arch": "amd64",
    "timeoutSeconds": 100,
    "attempts": 2,
    "labels": {"managed-by": "us", "bare": ""},
    "volumes": [
        {"type": "model", "source": "a/b", "mountPath": "/m", "revision": "r", "readOnly": True, "path": "p"}
    ],
    "expose": {"ports": [80, 81], "portsPublic": [81]},
    "ssh": {"enabled": True},
    "network": {"group": "g", "aliases": ["a"]},
    "resourceGroupId": "5e9ecfc04957053f60648a3e",
    "surprise": {"unknown": "fields are dropped"},
}


class Client:
    def __init__(self, http: httpx2.AsyncClient, site: HubSite, exchange: Exchange) -> None:
        self.http = http
        self.site = site
        self.exchange = exchange

    async def answer(self, method: str, path: str, *, expect: int = 200, **options: Any) -> Any:
        response = await self.http.request(method, path, **options)
        assert response.status_code == expect, response.text
        return response.json() if response.content else None

    async def run(self, **spec: Any) -> Any:
        return await self.answer("POST", "/api/jobs/acme", json=SPEC | spec)


def play(scenario: Callable[[Client], Awaitable[Any]], seed: str = "0") -> Any:
    async def main() -> Any:
        clock = LoopClock(time=asyncio.get_running_loop().time)
        site = HubSite(World(clock=clock, machine=ScriptedMachine(script), seed=seed))
        exchange = Exchange(site, clock=clock)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx2.AsyncClient(
            transport=SimTransport2(exchange), base_url="https://hub.example", headers=headers, timeout=60
        ) as http:
            client = Client(http, site, exchange)
            await client.answer("POST", "/_sim/setup", json=SETUP, expect=204)
            result = await scenario(client)
        assert exchange.bugs == []
        return result

    return run_virtual(main())


def test_every_answer_has_the_documented_shape_at_every_point_of_a_jobs_life() -> None:
    async def scenario(client: Client) -> None:
        checker = jsonschema.Draft202012Validator(JOB)
        bare = {"spaceId": "a/b", "flavor": "cpu-basic"}
        bodies = [SPEC, bare, EVERYTHING, SPEC | {"command": ["work", "10", "3"], "attempts": 2}]
        jobs = [await client.answer("POST", "/api/jobs/acme", json=body) for body in bodies]
        jobs.append(await client.answer("POST", f"/api/jobs/acme/{jobs[0]['id']}/duplicate"))
        seen = set()
        for _ in range(12):
            for job in jobs:
                shown = await client.answer("GET", f"/api/jobs/acme/{job['id']}")
                checker.validate(shown)
                seen.add(shown["status"]["stage"])
            for listed in await client.answer("GET", "/api/jobs/acme"):
                checker.validate(listed)
            await asyncio.sleep(15)
        checker.validate(await client.answer("POST", f"/api/jobs/acme/{jobs[0]['id']}/cancel"))
        await asyncio.sleep(10)
        gone = await client.answer("GET", f"/api/jobs/acme/{jobs[0]['id']}")
        checker.validate(gone)
        assert seen | {gone["status"]["stage"]} == {"SCHEDULING", "RUNNING", "ERROR", "CANCELED"}

    play(scenario)


def test_hardware_has_the_documented_shape() -> None:
    async def scenario(client: Client) -> None:
        jsonschema.Draft202012Validator(HARDWARE).validate(await client.answer("GET", "/api/jobs/hardware"))

    play(scenario)
    assert len(FLAVORS) == 26


def test_a_secret_is_known_by_its_name_only_wherever_one_looks() -> None:
    async def scenario(client: Client) -> None:
        job = await client.answer("POST", "/api/jobs/acme", json=EVERYTHING)
        assert job["secrets"] == ["A", "B"]
        bad: dict[str, dict[str, Any]] = {
            "x": {"labels": {"x.y": "token-marker"}},
            "y": {"secrets": {"B": {"token-marker": "token-marker"}}},
        }
        refused = [
            await client.answer("POST", "/api/jobs/acme", json=EVERYTHING | wrong, expect=400)
            for wrong in bad.values()
        ]
        everything = [
            job,
            refused,
            await client.answer("GET", "/api/jobs/acme"),
            await client.answer("GET", "/_sim/report"),
            await client.answer("GET", "/_sim/log"),
            repr(client.site.world.platform.jobs),
        ]
        assert "token-marker" not in json.dumps(everything)

    play(scenario)


@pytest.mark.parametrize(
    "wrong",
    [
        {"dockerImage": None},
        {"spaceId": "a/b"},
        {"flavor": None},
        {"flavor": "zero-a10g"},
        {"command": "run"},
        {"timeoutSeconds": 0},
        {"timeoutSeconds": "1h"},
        {"attempts": 0},
        {"arch": "riscv"},
        {"labels": {"": "x"}},
        {"labels": {"a/b": "x"}},
        {"labels": {"a": "x:y"}},
        {"volumes": [{"type": "floppy", "source": "a/b", "mountPath": "/m"}]},
        {"volumes": [{"type": "model", "source": "a/b", "mountPath": "m"}]},
        {"expose": {"ports": [80], "portsPublic": [81]}},
        {"expose": {"ports": [0]}},
        {"network": {"group": "G"}},
        {"network": {"group": "g" * 47}},
        {"network": {"group": "g", "aliases": ["a" * 35]}},
    ],
    ids=str,
)
def test_what_a_specification_may_not_say(wrong: dict[str, Any]) -> None:
    async def scenario(client: Client) -> None:
        refused = await client.answer("POST", "/api/jobs/acme", json=SPEC | wrong, expect=400)
        assert refused["error"].startswith("Invalid request")
        assert client.site.world.report()["jobs"] == []

    play(scenario)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null"])
def test_what_is_no_specification_at_all(body: bytes) -> None:
    async def scenario(client: Client) -> None:
        await client.answer("POST", "/api/jobs/acme", content=body, expect=400)

    play(scenario)


def test_a_timeout_may_have_a_maximum() -> None:
    async def scenario(client: Client) -> None:
        await client.answer("POST", "/_sim/knobs", json={"max_timeout_seconds": 3600})
        await client.run(timeoutSeconds=3600)
        refused = await client.answer(
            "POST", "/api/jobs/acme", json=SPEC | {"timeoutSeconds": 3601}, expect=400
        )
        assert "3600" in refused["error"]

    play(scenario)


def test_access_is_checked_before_anything_is_launched() -> None:
    async def scenario(client: Client) -> None:
        granted = await client.answer("POST", "/api/jobs/acme/auth-check/write")
        assert (granted["namespace"]["name"], granted["user"]["name"]) == ("acme", "bot")
        reader = {"Authorization": "Bearer hf_reader"}
        await client.answer("POST", "/api/jobs/acme/auth-check/read", headers=reader)
        await client.answer("POST", "/api/jobs/acme/auth-check/write", headers=reader, expect=403)
        await client.answer(
            "POST", "/api/jobs/acme/auth-check/write", headers={"Authorization": ""}, expect=401
        )
        job = await client.run()
        await client.answer("POST", f"/api/jobs/acme/{job['id']}/auth-check/read")
        await client.answer("POST", "/api/jobs/acme/6a2aa7cec4f53f9fc5aa4cff/auth-check/read", expect=404)

    play(scenario)


@pytest.mark.parametrize("path", ["/cancel", "/duplicate"])
def test_a_reader_changes_nothing(path: str) -> None:
    async def scenario(client: Client) -> None:
        job = await client.run()
        reader = {"Authorization": "Bearer hf_reader"}
        await client.answer("GET", f"/api/jobs/acme/{job['id']}", headers=reader)
        await client.answer("POST", f"/api/jobs/acme/{job['id']}{path}", headers=reader, expect=403)
        await client.answer(
            "PUT", f"/api/jobs/acme/{job['id']}/labels", json={"labels": {}}, headers=reader, expect=403
        )

    play(scenario)


def test_a_token_may_be_revoked_and_a_role_taken_away() -> None:
    async def scenario(client: Client) -> None:
        role = {"tokens": {TOKEN: {"user": "bot", "namespaces": {"acme": "read"}}}}
        await client.answer("POST", "/_sim/setup", json=role, expect=204)
        await client.answer("POST", "/api/jobs/acme", json=SPEC, expect=403)
        await client.answer("POST", "/_sim/setup", json={"tokens": {TOKEN: None}}, expect=204)
        await client.answer("GET", "/api/jobs/acme", expect=401)

    play(scenario)


def test_jobs_are_counted() -> None:
    async def scenario(client: Client) -> None:
        for _ in range(3):
            await client.run()
        await client.run(command=["work", "0", "0"])
        await asyncio.sleep(60)
        assert await client.answer("GET", "/api/jobs/acme/count") == {"count": 4}
        assert await client.answer("GET", "/api/jobs/acme/count?stage=RUNNING") == {"count": 3}

    play(scenario)


def test_the_next_page_is_an_absolute_url_with_the_same_filters() -> None:
    async def scenario(client: Client) -> None:
        await client.answer("POST", "/_sim/knobs", json={"page_size": 1})
        for pool in ("a", "b", "a"):
            await client.run(labels={"pool": pool})
        first = await client.http.get("/api/jobs/acme", params={"label": "pool=a", "stage": "SCHEDULING"})
        following = first.links["next"]["url"]
        assert following.startswith(
            "https://hub.example/api/jobs/acme?label=pool%3Da&stage=SCHEDULING&cursor="
        )
        second = await client.http.get(following)
        assert [len(first.json()), len(second.json())] == [1, 1]
        assert "Link" not in second.headers

    play(scenario)


@pytest.mark.parametrize("query", ["stage=PAUSED", "cursor=%25%25", "cursor=bm90LWEtbnVtYmVy"])
def test_a_list_refuses_what_it_does_not_understand(query: str) -> None:
    async def scenario(client: Client) -> None:
        await client.answer("GET", f"/api/jobs/acme?{query}", expect=400)

    play(scenario)


def test_a_quota_is_per_token_and_renewed_with_its_window() -> None:
    async def scenario(client: Client) -> None:
        await client.answer(
            "POST", "/_sim/knobs", json={"rate_limits": {"anonymous": 1, "free": 1, "pro": 1}}
        )
        await client.answer("GET", "/api/jobs/acme")
        refused = await client.http.get("/api/jobs/acme")
        assert refused.status_code == 429
        await client.answer("GET", "/api/jobs/acme", headers={"Authorization": "Bearer hf_reader"})
        reset = int(refused.headers["RateLimit"].rpartition("t=")[2])
        await asyncio.sleep(reset - 1)
        await client.answer("GET", "/api/jobs/acme", expect=429)
        await asyncio.sleep(1.001)
        await client.answer("GET", "/api/jobs/acme")

    play(scenario)


def test_a_log_is_streamed_with_comments_in_its_silence_and_ends_with_the_command() -> None:
    async def scenario(client: Client) -> None:
        job = await client.run(command=["work", "100", "0", "hello"])
        loop = asyncio.get_running_loop()
        texts, comments = [], 0
        async with client.http.stream("GET", f"/api/jobs/acme/{job['id']}/logs") as answer:
            assert answer.headers["Content-Type"] == "text/event-stream"
            async for line in answer.aiter_lines():
                comments += line == ": keep-alive"
                if line.startswith("data: {"):
                    texts.append((round(loop.time()), json.loads(line.removeprefix("data: "))["data"]))
        assert [(at, text[:18]) for at, text in texts] == [
            (35, "===== Job started "),
            (35, "hello"),
            (135, "===== Job finished"),
        ]
        assert comments == 4  # at 30 s, and at 30, 60 and 90 s after the first lines

    play(scenario)


def test_the_log_of_a_job_that_never_ran_is_empty() -> None:
    async def scenario(client: Client) -> str:
        job = await client.run()
        await client.answer("POST", f"/api/jobs/acme/{job['id']}/cancel")
        await asyncio.sleep(5)
        return (await client.http.get(f"/api/jobs/acme/{job['id']}/logs")).text

    assert play(scenario) == ""


def test_tail_is_a_number() -> None:
    async def scenario(client: Client) -> None:
        job = await client.run()
        await client.answer("GET", f"/api/jobs/acme/{job['id']}/logs?tail=all", expect=400)

    play(scenario)


def test_metrics_flow_while_a_job_runs_and_fall_silent_without_ending() -> None:
    async def scenario(client: Client) -> None:
        job = await client.run(command=["work", "5", "0"])
        async with client.http.stream("GET", f"/api/jobs/acme/{job['id']}/metrics", timeout=10) as answer:
            with pytest.raises(httpx2.ReadTimeout):  # it is still scheduling
                await anext(answer.aiter_lines())
        samples = 0
        async with client.http.stream("GET", f"/api/jobs/acme/{job['id']}/metrics", timeout=40) as answer:
            async for line in answer.aiter_lines():
                samples += line == "event: metric"
                if asyncio.get_running_loop().time() > 200:
                    break
        assert samples == 5

    play(scenario)


def test_the_stream_of_events_says_nothing_that_nobody_documented() -> None:
    async def scenario(client: Client) -> str:
        job = await client.run(command=["work", "20", "0"])
        return (await client.http.get(f"/api/jobs/acme/{job['id']}/events")).text

    assert set(play(scenario).split("\n\n")) == {": keep-alive", ""}


def test_a_job_is_ended_by_the_operator_of_the_simulation() -> None:
    async def scenario(client: Client) -> None:
        job = await client.run()
        await asyncio.sleep(50)
        end = {"stage": "CANCELED", "cancelReason": "SPEND_LIMIT"}
        await client.answer("POST", f"/_sim/jobs/{job['id']}/end", json=end, expect=204)
        shown = await client.answer("GET", f"/api/jobs/acme/{job['id']}")
        assert shown["status"]["cancelReason"] == "SPEND_LIMIT"
        await client.answer("POST", f"/_sim/jobs/{job['id']}/end", json=end, expect=400)
        await client.answer("POST", "/_sim/jobs/none/end", json=end, expect=400)

    play(scenario)


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("knobs", {"page_sise": 1}),
        ("knobs", {"page_size": 0}),
        ("knobs", []),
        ("setup", {"tokens": {"t": {"user": "u", "namespaces": {"n": "admin"}}}}),
        ("setup", None),
    ],
)
def test_a_mistake_in_the_simulations_settings_is_told_and_changes_nothing(route: str, body: Any) -> None:
    async def scenario(client: Client) -> None:
        before = await client.answer("GET", "/_sim/knobs")
        assert (await client.answer("POST", f"/_sim/{route}", json=body, expect=400))["error"]
        assert await client.answer("GET", "/_sim/knobs") == before
        await client.answer("GET", "/_sim/nothing", expect=404)

    play(scenario)


def test_unknown_routes_are_404_and_show_in_the_counts() -> None:
    async def scenario(client: Client) -> None:
        await client.answer("DELETE", "/api/jobs/acme/1", expect=404)
        await client.answer("GET", "/api/agent-harnesses", expect=404)
        routes = (await client.answer("GET", "/_sim/report"))["requests"]["routes"]
        assert routes == {"DELETE (no such route)": {"404": 1}, "GET /api/agent-harnesses": {"404": 1}}

    play(scenario)


def test_a_fault_strikes_one_flavor_of_many() -> None:
    async def scenario(client: Client) -> None:
        rule = {
            "route": "POST /api/jobs/{namespace}",
            "match": {"body": {"flavor": "h200*"}},
            "kind": "status",
            "status": 503,
            "body": {"error": "no capacity"},
            "times": None,
        }
        await client.answer("POST", "/_sim/faults", json=rule, expect=201)
        await client.run()
        refused = await client.answer("POST", "/api/jobs/acme", json=SPEC | {"flavor": "h200x2"}, expect=503)
        assert refused == {"error": "no capacity"}

    play(scenario)


def test_two_runs_of_one_scenario_are_the_same_bytes() -> None:
    async def scenario(client: Client) -> bytes:
        await client.answer("POST", "/_sim/knobs", json={"jitter": 0.9, "list_order": "shuffled"})
        for _ in range(5):
            await client.run(command=["work", "10", "0"])
            await asyncio.sleep(7)
        listed = await client.http.get("/api/jobs/acme")
        report = await client.http.get("/_sim/report")
        return repr(sorted(listed.headers.items())).encode() + listed.content + report.content

    assert play(scenario, "a") == play(scenario, "a") != play(scenario, "b")
