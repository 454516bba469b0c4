"""The adapter and the observer against the simulated Hub: every unknown of the Hub, every
fault of the line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from controller.adapters.credential import Fixed
from controller.adapters.huggingface.errors import HubError
from controller.adapters.huggingface.flavors import HubHardware
from controller.adapters.huggingface.jobs import HubJobs
from controller.adapters.huggingface.session import TIMEOUTS, open_session
from controller.core.hosts import Hosts
from controller.core.model import Disposition, HubAccount, SecretRef, Stage
from controller.core.reasons import Reason
from controller.observe.hub import INTERVAL, HubObserver
from controller.ports import Hub, LaunchSpec
from controller.simulate.loop import run_virtual
from hf_runner_simulators.clock import LoopClock
from hf_runner_simulators.doors import SimTransport2
from hf_runner_simulators.exchange import Exchange
from hf_runner_simulators.hub.http import HubSite
from hf_runner_simulators.hub.knobs import Knobs
from hf_runner_simulators.hub.machines import Outcome, ScriptedMachine
from hf_runner_simulators.hub.world import World

CREATE, LIST = "POST /api/jobs/{namespace}", "GET /api/jobs/{namespace}"
INSPECT, CANCEL = "GET /api/jobs/{namespace}/{job_id}", "POST /api/jobs/{namespace}/{job_id}/cancel"
OURS = {"managed-by": "hf-runner-controller", "controller": "c1"}
ACCOUNT = HubAccount(endpoint="https://hub.example", namespace="acme", secret=SecretRef("ci", "hf"))
HOSTS = Hosts.listed(github=[], hub=[ACCOUNT.endpoint])


def spec(name: str = "r1", **changes: Any) -> LaunchSpec:
    given: dict[str, Any] = {
        "image": "ghcr.io/acme/runner:1",
        "command": ("run",),
        "flavor": "t4-small",
        "labels": {**OURS, "runner": name, "name": name},
        "environment": {"POOL": "gpu"},
        "secrets": {"JIT": "anVzdCBhIHNlY3JldA"},
        "timeout": 3600,
        **changes,
    }
    return LaunchSpec(**given)


class Lab:
    """A simulated Hub under virtual time, and the adapter in front of it."""

    def __init__(self, session: Any, world: World, exchange: Exchange, clock: LoopClock) -> None:
        self.session, self.world, self.exchange, self.clock = session, world, exchange, clock
        self.hub: Hub = self.as_user("hf_writer")

    def as_user(self, token: str, namespace: str = "acme") -> HubJobs:
        account = HubAccount(endpoint=ACCOUNT.endpoint, namespace=namespace, secret=ACCOUNT.secret)
        return HubJobs(
            account=account, credential=Fixed(token), session=self.session, clock=self.clock, hosts=HOSTS
        )

    def break_(self, route: str, kind: str, **rule: Any) -> None:
        assert self.exchange.rules.add({"route": route, "kind": kind, **rule}) == 1

    @property
    def alive(self) -> set[str]:
        """Ids of the jobs that live, as the world knows it."""
        self.world.advance()
        return set(self.world.platform.live)

    async def failure(self, call: Awaitable[Any]) -> HubError:
        with pytest.raises(HubError) as caught:
            await call
        return caught.value


def virtual(scenario: Callable[[Lab], Awaitable[None]], **knobs: Any) -> None:
    """Run a scenario against a Hub with these knobs."""

    async def main() -> None:
        clock = LoopClock(time=asyncio.get_running_loop().time)
        machine = ScriptedMachine(
            lambda run: Outcome(seconds=60 if "short" in (run.spec.command or ()) else None)
        )
        world = World(clock=clock, machine=machine, knobs=Knobs(**knobs))
        world.setup(
            {
                "tokens": {
                    "hf_writer": {"user": "bot", "namespaces": {"acme": "write", "bot": "write"}},
                    "hf_reader": {"user": "eve", "namespaces": {"acme": "read"}},
                },
                "namespaces": {
                    "acme": {"type": "org", "credits": 50.0},
                    "bot": {"type": "user", "credits": 0.0},
                },
            }
        )
        exchange = Exchange(HubSite(world), clock=clock)
        async with open_session(transport=SimTransport2(exchange)) as session:
            await scenario(Lab(session, world, exchange, clock))
        assert exchange.bugs == []

    run_virtual(main())


UNKNOWNS: list[dict[str, Any]] = [
    {},
    {"page_size": 1},
    {"page_size": 2, "paging": "offset"},
    {"label_match": "any"},
    {"list_order": "oldest", "page_size": 2},
    {"list_order": "shuffled", "page_size": 2},
    {"cancel_terminal_status": 200},
    {"cancel_terminal_status": 400},
    {"cancel_terminal_status": 404},
    {"finished_at_on_cancel": True},
]


@pytest.mark.parametrize("knobs", UNKNOWNS, ids=str)
def test_a_runners_life_is_seen_whatever_the_hub_is_like(knobs: dict[str, Any]) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.hub.launch(spec("stranger", labels={"managed-by": "someone-else", "name": "x"}))
        launched = [await lab.hub.launch(spec(f"r{n}")) for n in range(5)]
        assert {job.stage for job in launched} == {Stage.SCHEDULING}
        listed = await lab.hub.live(OURS)
        assert listed.complete
        assert {job.id for job in listed.items} == {job.id for job in launched}
        first = launched[0]
        assert (first.flavor, first.timeout, first.creator) == ("t4-small", 3600, "bot")
        assert first.labels["runner"] == "r0"
        assert first.url == f"https://hub.example/jobs/acme/{first.id}"
        assert first.created_at == pytest.approx(listed.server_time, abs=2)

        await asyncio.sleep(60)
        running = await lab.hub.inspect(first.id)
        assert running is not None
        assert running.stage is Stage.RUNNING
        assert running.started_at is not None

        await lab.hub.cancel(first.id)
        await asyncio.sleep(10)
        await lab.hub.cancel(first.id)
        gone = await lab.hub.inspect(first.id)
        assert gone is not None
        assert gone.stage is Stage.CANCELED
        assert {job.id for job in (await lab.hub.live(OURS)).items} == {job.id for job in launched[1:]}
        assert [job.id for job in await lab.hub.find({**OURS, "runner": "r0"})] == [first.id]
        assert await lab.hub.find({**OURS, "runner": "never"}) == []

    virtual(scenario, **knobs)


@pytest.mark.parametrize(
    ("kind", "rule", "exists"),
    [
        ("lost_answer", {}, True),
        ("lost_request", {}, False),
        ("hang", {"when": "after"}, True),
        ("hang", {"when": "before"}, False),
        ("delay", {"when": "after", "seconds": 300}, True),
        ("status", {"when": "after", "status": 500}, True),
        ("status", {"when": "before", "status": 502}, False),
        ("truncate", {}, True),
        ("malformed", {}, True),
    ],
)
def test_a_launch_whose_answer_was_spoilt_is_in_doubt_and_found_by_its_label(
    kind: str, rule: dict[str, Any], exists: bool
) -> None:
    async def scenario(lab: Lab) -> None:
        lab.break_(CREATE, kind, **rule)
        error = await lab.failure(lab.hub.launch(spec()))
        assert error.failure.in_doubt
        assert error.failure.reason in (Reason.HubUnavailable, Reason.HubMalformed)
        found = await lab.hub.find({**OURS, "runner": "r1"})
        assert len(found) == (1 if exists else 0)
        assert lab.alive == {job.id for job in found}, "sent once"

    virtual(scenario)


@pytest.mark.parametrize("kind", ["unreachable", "blackhole"])
def test_a_launch_over_a_connection_never_made_is_not_in_doubt(kind: str) -> None:
    async def scenario(lab: Lab) -> None:
        lab.break_(CREATE, kind)
        error = await lab.failure(lab.hub.launch(spec()))
        assert not error.failure.in_doubt
        assert lab.alive == set()

    virtual(scenario)


def test_an_effect_that_lands_after_we_gave_up_is_in_doubt_and_shows_later() -> None:
    async def scenario(lab: Lab) -> None:
        read = TIMEOUTS.read or 0
        lab.break_(CREATE, "delay", when="before", seconds=read + 30)
        assert (await lab.failure(lab.hub.launch(spec()))).failure.in_doubt
        assert await lab.hub.find({**OURS, "runner": "r1"}) == []
        await asyncio.sleep(40)
        assert len(await lab.hub.find({**OURS, "runner": "r1"})) == 1

    virtual(scenario)


@pytest.mark.parametrize("kind", ["lost_answer", "lost_request", "unreachable"])
def test_a_short_break_in_the_line_goes_unnoticed_by_readers(kind: str) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.hub.launch(spec())
        for route in (LIST, INSPECT, CANCEL):
            lab.break_(route, kind)
        (job,) = (await lab.hub.live(OURS)).items
        assert await lab.hub.inspect(job.id) is not None
        await lab.hub.cancel(job.id)
        await asyncio.sleep(10)
        assert lab.alive == set()

    virtual(scenario)


@pytest.mark.parametrize("kind", ["truncate", "malformed"])
def test_a_spoilt_page_never_reads_as_an_empty_one(kind: str) -> None:
    async def scenario(lab: Lab) -> None:
        for number in range(3):
            await lab.hub.launch(spec(f"r{number}"))
        lab.break_(LIST, kind, skip=1)
        assert (await lab.failure(lab.hub.live(OURS))).failure.reason is Reason.HubMalformed

    virtual(scenario, page_size=1)


def test_money_rights_and_words_each_have_their_reason() -> None:
    async def scenario(lab: Lab) -> None:
        forbidden = (await lab.failure(lab.as_user("hf_reader").launch(spec()))).failure
        assert forbidden.reason is Reason.HubForbidden
        unknown = (await lab.failure(lab.as_user("hf_nobody").live(OURS))).failure
        assert unknown.reason is Reason.HubUnauthorized
        flavor = (await lab.failure(lab.hub.launch(spec(flavor="t4")))).failure
        assert flavor.reason is Reason.HubRejected
        assert "t4" in flavor.message
        poor = (await lab.failure(lab.as_user("hf_writer", "bot").launch(spec()))).failure
        assert poor.reason is Reason.HubPaymentRequired
        for failure in (forbidden, unknown, flavor, poor):
            assert failure.disposition is Disposition.PERSON
            assert not failure.in_doubt
            assert failure.request_id

    virtual(scenario)


def test_the_documented_rate_limit_is_waited_for_without_asking() -> None:
    async def scenario(lab: Lab) -> None:
        for _ in range(20):
            await lab.hub.live(OURS)
        failure = (await lab.failure(lab.hub.live(OURS))).failure
        assert failure.reason is Reason.HubRateLimited
        assert failure.retry_after is not None
        assert failure.retry_after <= 300
        asked = len(lab.exchange.log)
        await lab.failure(lab.hub.cancel("x"))
        assert len(lab.exchange.log) == asked
        assert (await lab.as_user("hf_reader").live(OURS)).complete, "others go on"
        await asyncio.sleep(failure.retry_after)
        assert (await lab.hub.live(OURS)).complete

    virtual(scenario, rate_limits={"anonymous": 20, "free": 20})


def test_the_hubs_hardware_is_read_with_its_prices() -> None:
    async def scenario(lab: Lab) -> None:
        hardware = HubHardware(session=lab.session, endpoint=ACCOUNT.endpoint, clock=lab.clock, hosts=HOSTS)
        flavors = {flavor.name: flavor for flavor in (await hardware.flavors()).items}
        assert flavors["cpu-basic"].usd_per_minute == pytest.approx(0.000167)
        assert flavors["h200x8"].usd_per_minute == pytest.approx(40 / 60, rel=0.01)
        assert flavors["t4-small"].accelerator == "T4"

    virtual(scenario)


# -------------------------------------------------------------------------------------------------- observing
@pytest.mark.parametrize(
    "knobs",
    [*UNKNOWNS, {"list_stale_seconds": 25.0}, {"paging": "offset", "page_size": 1}],
    ids=str,
)
def test_the_observer_never_counts_fewer_than_live_and_tells_each_end_once(knobs: dict[str, Any]) -> None:
    async def scenario(lab: Lab) -> None:
        observer = HubObserver(hub=lab.hub, labels=OURS, clock=lab.clock)
        watching = asyncio.create_task(observer.run())
        told: list[tuple[str, Stage]] = []
        launched = 0
        for tick in range(60):
            if tick < 20:
                command = ("short",) if tick % 2 else ("run",)
                observer.note(await lab.hub.launch(spec(f"r{tick}", command=command)))
                launched += 1
            if tick == 45:
                for job in observer.observation.items if observer.observation else ():
                    await lab.hub.cancel(job.id)
            await asyncio.sleep(INTERVAL / 2)
            told += [(job.id, job.stage) for job in observer.ended()]
            observer.acknowledge([job.id for job in observer.ended()])
            if tick and observer.observation is not None and observer.observation.complete:
                assert lab.alive <= {job.id for job in observer.observation.items}
        await asyncio.sleep(200)
        told += [(job.id, job.stage) for job in observer.ended()]
        watching.cancel()
        assert len(told) == launched == len({job_id for job_id, _ in told})
        assert {stage for _, stage in told} == {Stage.COMPLETED, Stage.CANCELED}
        assert observer.observation is not None
        assert observer.observation.items == ()

    virtual(scenario, **knobs)
