"""Passes over scripted ports: what is handed on, in which order, and what one pool's
trouble costs the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from controller.api.status.model import RunnerPoolStatus
from controller.core.actions import Launch
from controller.core.causes import Check
from controller.core.conditions import ConditionType
from controller.core.evidence import LIST_LAG
from controller.core.hosts import DEFAULT_HOSTS
from controller.core.model import (
    Footprint,
    GitHubSource,
    HFJob,
    HubAccount,
    Observation,
    Pool,
    PoolKey,
    RegistrationScope,
    SecretRef,
    Snapshot,
    Stage,
    WorkflowJob,
)
from controller.core.naming import hf_labels, runner_name
from controller.core.passed_over import Wanted
from controller.core.plan import Plan
from controller.pools import PoolRegistry
from controller.reconcile.loop import Reconciler
from controller.reconcile.publish import Publisher
from controller.simulate.loop import run_virtual
from tests.core.build import CONTROLLER, FLAVORS, SERVER, job
from tests.execute.scripted import World
from tests.observe.test_pools import body


def described(name: str, namespace: str = "ci", **changes: Any) -> dict[str, Any]:
    """A RunnerPool of acme/lib."""
    return body(
        metadata__name=name, metadata__namespace=namespace, metadata__uid=f"uid-{namespace}-{name}", **changes
    )


class Sight:
    """Observers that see what a test says."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.queued: list[WorkflowJob] = []
        self.hf_jobs: dict[HubAccount, list[HFJob]] = {}
        self.ended: dict[HubAccount, list[HFJob]] = {}
        self.blind: set[RegistrationScope] = set()
        self.kept: list[set[tuple[HubAccount, str]]] = []
        self.looks: list[Snapshot] = []
        self.pools: Sequence[Pool] = ()

    def watch(self, pools: Sequence[Pool]) -> bool:
        changed = [p.footprints for p in pools] != [p.footprints for p in self.pools]
        self.pools = pools
        return changed

    def want(
        self,
        wanted: Mapping[GitHubSource, Sequence[Wanted]],
        checks: Mapping[GitHubSource, Sequence[Check]],
    ) -> None:
        """Read nothing."""

    def set_pace(
        self,
        busy: Mapping[Footprint, bool],
        repositories: Mapping[GitHubSource, set[str]],
        runs: Mapping[GitHubSource, set[int]],
    ) -> None:
        """Look no more often."""

    def seen(self, items: Iterable[Any]) -> Observation[Any]:
        return Observation(items=tuple(items), asked_at=self.world.clock.mono(), server_time=SERVER)

    def snapshot(self) -> Snapshot:
        places = [place for pool in self.pools for place in pool.footprints]
        accounts = {place.account for place in places}
        taken = Snapshot(
            queues={(p.source, "acme/lib"): self.seen(self.queued) for p in self.pools},
            registrations={
                place.registrations: self.seen(())
                for place in places
                if place.registrations not in self.blind
            },
            hf_jobs={account: self.seen(self.hf_jobs.get(account, ())) for account in accounts},
            ended={account: tuple(jobs) for account, jobs in self.ended.items()},
            flavors={account.endpoint: self.seen(FLAVORS) for account in accounts},
            pools_known=True,
        )
        self.looks.append(taken)
        return taken

    def acknowledge(self, snapshot: Snapshot, *, kept: Collection[tuple[HubAccount, str]] = ()) -> None:
        assert snapshot is self.looks[-1]
        self.kept.append(set(kept))


class Recorder:
    """What was measured."""

    def __init__(self) -> None:
        self.left_out: list[tuple[str, str]] = []
        self.failed = 0
        self.conditions: Mapping[PoolKey, Mapping[ConditionType, bool]] = {}

    def passed(self, done: Plan, seconds: float) -> None:
        """Not looked at."""

    def measured(self, facts: Sequence[Any]) -> None:
        """Not looked at."""

    def intended(self, pool: PoolKey, seconds: float) -> None:
        """Not looked at."""

    def judged(self, conditions: Mapping[PoolKey, Mapping[ConditionType, bool]]) -> None:
        self.conditions = conditions

    def failed_pass(self) -> None:
        self.failed += 1

    def failed_pool(self, pool: PoolKey, part: str) -> None:
        self.left_out.append((str(pool), part))


class Told:
    """Statuses and Events, as an API server takes them."""

    def __init__(self) -> None:
        self.statuses: dict[str, Mapping[str, Any]] = {}

    async def write(self, *, namespace: str, name: str, uid: str, status: Mapping[str, Any]) -> None:
        self.statuses[f"{namespace}/{name}"] = status

    async def emit(self, **_: object) -> None:
        """Not looked at."""

    def ready(self, pool: str) -> tuple[str, str]:
        (found,) = [each for each in self.statuses[pool]["conditions"] if each["type"] == "Ready"]
        return found["status"], found["reason"]


class Scene:
    """A reconciler among scripted ports, over the real executor and registry. Make it
    inside a running loop.
    """

    def __init__(self, *bodies: dict[str, Any]) -> None:
        self.world = World()
        self.said: dict[str, RunnerPoolStatus] = {}
        self.registry = PoolRegistry(hosts=DEFAULT_HOSTS, changed=lambda: None)
        self.sight, self.recorder, self.told = Sight(self.world), Recorder(), Told()
        self.reconciler = Reconciler(
            registry=self.registry,
            observatory=self.sight,
            executor=self.world.executor,
            intents=self.world.log,
            publisher=Publisher(
                statuses=self.told,
                events=self.told,
                clock=self.world.clock,
                first_sight=lambda uid: self.said.get(uid, RunnerPoolStatus()),
            ),
            connections=self.world.connections,
            leadership=self.world.leads,
            clock=self.world.clock,
            controller_id=CONTROLLER,
            token=lambda: f"pass-{len(self.sight.looks)}",
            recorder=self.recorder,
            wake=asyncio.Event(),
            hosts=DEFAULT_HOSTS,
        )
        self.registry.replace_all(bodies)
        self.sight.watch(self.registry.pools)
        for each in self.registry.pools:
            self.world.store.put(each)

    def pool(self, key: str) -> Pool:
        (found,) = [each for each in self.registry.pools if str(each.key) == key]
        return found

    async def step(self, *, after: float = 1.0) -> Plan:
        await asyncio.sleep(after)
        done = await self.reconciler.step()
        await asyncio.sleep(0.5)
        return done


def play(act: Callable[[Scene], Awaitable[None]], *bodies: dict[str, Any]) -> None:
    async def main() -> None:
        scene = Scene(*(bodies or (described("t4"),)))
        await act(scene)
        await scene.world.executor.close(0.0)

    run_virtual(main())


def launched(done: Plan) -> list[str]:
    return [str(action.pool.key) for action in done.actions if isinstance(action, Launch)]


def hf_job(of: Pool, number: int = 1, **changes: Any) -> HFJob:
    name = runner_name(of, CONTROLLER, f"n{number}")
    made = HFJob(
        id=f"hf-{of.key.namespace}-{number}",
        stage=Stage.RUNNING,
        flavor="t4-small",
        labels=hf_labels(of, CONTROLLER, name),
        created_at=SERVER - 60,
        started_at=SERVER - 50,
    )
    return replace(made, **changes)


class TestAPass:
    def test_launches_what_is_queued_and_writes_it_down_first(self) -> None:
        async def act(scene: Scene) -> None:
            scene.sight.queued = [job(1)]
            assert launched(await scene.step()) == ["ci/t4"]
            calls = [call.split()[0] for call in scene.world.script.calls]
            assert calls == ["read", "write", "register", "launch"]

        play(act)

    def test_counts_a_launch_that_is_under_way(self) -> None:
        async def act(scene: Scene) -> None:
            scene.sight.queued = [job(1)]
            await scene.step()
            assert launched(await scene.step()) == []

        play(act)

    def test_names_runners_anew_each_time(self) -> None:
        async def act(scene: Scene) -> None:
            scene.sight.queued = [job(1)]
            first = await scene.step()
            scene.sight.queued = [job(1), job(2)]
            second = await scene.step()
            names = [a.name for done in (first, second) for a in done.actions if isinstance(a, Launch)]
            assert len(set(names)) == 2

        play(act)

    def test_hands_each_result_to_one_plan(self) -> None:
        async def act(scene: Scene) -> None:
            scene.world.script.fail("register", *[ZeroDivisionError() for _ in range(9)])
            scene.sight.queued = [job(1)]
            await scene.step()
            failures = []
            for _ in range(3):
                done = await scene.step(after=0.1)
                (memory,) = done.memory.pools.values()
                failures.append(sum(known.failures for known in memory.backoffs.values()))
            assert failures == [1, 1, 1]

        play(act)

    def test_forgets_an_effect_that_the_lists_show(self) -> None:
        async def act(scene: Scene) -> None:
            scene.sight.queued = [job(1)]
            await scene.step()
            assert len(scene.world.executor.in_flight) == 1
            (made,) = scene.world.hub.made.values()
            scene.sight.hf_jobs[scene.pool("ci/t4").hub] = [made]
            await scene.step()
            assert not scene.world.executor.in_flight

        play(act)

    def test_follows_one_that_failed(self, caplog: pytest.LogCaptureFixture) -> None:
        async def act(scene: Scene) -> None:
            true = scene.sight.snapshot
            broken = [True]

            def snapshot() -> Snapshot:
                if broken.pop() if broken else False:
                    raise ZeroDivisionError
                return true()

            scene.sight.snapshot = snapshot  # type: ignore[method-assign] # a port of the test's own
            passes = asyncio.create_task(scene.reconciler.run())
            await asyncio.sleep(12.0)
            passes.cancel()
            await asyncio.wait({passes})
            assert scene.recorder.failed == 1
            assert scene.reconciler.last_plan is not None

        play(act)
        assert "pass failed" in caplog.text

    def test_is_not_made_by_who_does_not_lead(self) -> None:
        async def act(scene: Scene) -> None:
            scene.world.leads.mine = False
            scene.sight.queued = [job(1)]
            passes = asyncio.create_task(scene.reconciler.run())
            await asyncio.sleep(12.0)
            passes.cancel()
            await asyncio.wait({passes})
            assert scene.sight.looks == []

        play(act)


class TestOnePoolsTrouble:
    """``ci/odd`` meets a mistake of ours that nobody foresaw; ``ci/t4`` and ``team-b/t4`` are beside it."""

    bodies = (
        described("odd", spec__huggingface__namespace="odd"),
        described("t4"),
        described("t4", "team-b", spec__huggingface__namespace="team-b"),
    )

    @staticmethod
    def poison(scene: Scene) -> None:
        """Show an HF Job whose age is no number, which no adapter lets through."""
        odd = scene.pool("ci/odd")
        scene.sight.hf_jobs[odd.hub] = [hf_job(odd, created_at="soon", started_at="soon")]
        scene.sight.queued = [job(1)]

    def test_costs_the_others_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        async def act(scene: Scene) -> None:
            self.poison(scene)
            done = await scene.step()
            assert sorted(launched(done)) == ["ci/t4", "team-b/t4"]
            assert scene.told.ready("ci/t4") == ("True", "Serving")
            assert scene.told.ready("team-b/t4") == ("True", "Serving")

        play(act, *self.bodies)
        assert "pool left out of a pass" in caplog.text

    def test_is_said_in_its_status_and_counted(self) -> None:
        async def act(scene: Scene) -> None:
            self.poison(scene)
            await scene.step()
            assert scene.told.ready("ci/odd") == ("False", "InternalError")
            assert scene.recorder.left_out == [("ci/odd", "plan")]
            assert scene.recorder.failed == 0

        play(act, *self.bodies)

    def test_keeps_what_its_status_said_of_its_runners(self) -> None:
        async def act(scene: Scene) -> None:
            await scene.step()
            before = scene.told.statuses["ci/odd"]["counts"]
            self.poison(scene)
            await scene.step(after=10.0)
            assert scene.told.statuses["ci/odd"]["counts"] == before
            assert scene.told.ready("ci/odd") == ("False", "InternalError")

        play(act, *self.bodies)

    def test_keeps_its_ended_hf_jobs_until_it_can_be_planned(self) -> None:
        async def act(scene: Scene) -> None:
            self.poison(scene)
            for key in ("ci/odd", "ci/t4"):
                of = scene.pool(key)
                over = hf_job(of, 7, stage=Stage.COMPLETED, finished_at=SERVER)
                scene.sight.ended[of.hub] = [replace(over, id=f"over-{key}")]
            await scene.step()
            assert scene.sight.kept == [{(scene.pool("ci/odd").hub, "over-ci/odd")}]
            scene.sight.hf_jobs.clear()
            done = await scene.step()
            assert scene.sight.kept[-1] == set()
            assert done.memory.pools["uid-ci-odd"].spent_usd > 0

        play(act, *self.bodies)

    def test_a_status_that_cannot_be_built_keeps_no_other_from_being_written(self) -> None:
        """What it said before is no list of conditions."""

        async def act(scene: Scene) -> None:
            odd: Any = 7
            scene.said["uid-ci-odd"] = RunnerPoolStatus.model_construct(conditions=odd)
            await scene.step()
            assert scene.recorder.left_out == [("ci/odd", "status")]
            assert scene.told.ready("ci/odd") == ("False", "InternalError")
            assert scene.told.ready("ci/t4") == ("True", "Serving")
            await scene.step(after=10.0)
            assert scene.told.ready("ci/odd") == ("True", "Serving")

        play(act, described("odd"), described("t4"))


class TestAPoolThatMoved:
    """It launches in another Hub namespace now; its former place is kept until lists prove it empty."""

    @staticmethod
    async def move(scene: Scene) -> Footprint:
        await scene.step()
        scene.registry.note_launch("uid-ci-t4", SERVER)
        before = scene.pool("ci/t4").footprint
        scene.registry.upsert(described("t4", spec__huggingface__namespace="other", metadata__generation=2))
        assert scene.pool("ci/t4").former == (before,)
        await scene.step()
        return before

    def test_the_former_place_goes_when_lists_a_lag_younger_show_nothing_there(self) -> None:
        async def act(scene: Scene) -> None:
            await self.move(scene)
            await scene.step(after=LIST_LAG - 5)
            assert scene.pool("ci/t4").former
            await scene.step(after=10)
            assert not scene.pool("ci/t4").former

        play(act)

    def test_it_stays_while_a_runner_shows_there(self) -> None:
        async def act(scene: Scene) -> None:
            before = await self.move(scene)
            scene.sight.hf_jobs[before.account] = [hf_job(scene.pool("ci/t4"))]
            await scene.step(after=LIST_LAG + 10)
            assert scene.pool("ci/t4").former == (before,)

        play(act)

    def test_it_stays_while_a_list_of_it_is_missing(self) -> None:
        async def act(scene: Scene) -> None:
            before = await self.move(scene)
            scene.sight.blind.add(before.registrations)
            await scene.step(after=LIST_LAG + 10)
            assert scene.pool("ci/t4").former == (before,)

        play(act)

    def test_another_secret_for_the_same_place_is_no_move(self) -> None:
        async def act(scene: Scene) -> None:
            await scene.step()
            scene.registry.upsert(
                described("t4", spec__huggingface__tokenSecret="new-token", metadata__generation=2)
            )
            now = scene.pool("ci/t4")
            assert (now.former, now.hub.secret) == ((), SecretRef("ci", "new-token"))

        play(act)


class TestADeletedPool:
    gone: ClassVar = {"metadata__deletionTimestamp": "2026-11-21T09:00:00Z"}

    def test_may_go_when_a_later_list_shows_nothing_of_it(self) -> None:
        async def act(scene: Scene) -> None:
            await scene.step()
            scene.registry.upsert(described("t4", **self.gone))
            key = PoolKey("ci", "t4")
            await scene.step()
            assert not scene.registry.may_go(key, "uid-ci-t4")
            await scene.step()
            assert scene.registry.may_go(key, "uid-ci-t4")

        play(act)

    def test_stays_while_its_launch_is_under_way(self) -> None:
        async def act(scene: Scene) -> None:
            scene.sight.queued = [job(1)]
            scene.world.script.gates["launch"] = asyncio.Event()
            await scene.step()
            scene.registry.upsert(described("t4", **self.gone))
            for _ in range(3):
                await scene.step()
            assert not scene.registry.may_go(PoolKey("ci", "t4"), "uid-ci-t4")

        play(act)
