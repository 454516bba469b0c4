"""What the observer of an account's HF Jobs concludes, and what it never does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from controller.core.model import Disposition, Failure, HFJob, Observation, Stage
from controller.core.reasons import Reason
from controller.observe.hub import AT_ONCE, IDLE_INTERVAL, INSPECTIONS, INTERVAL, SPACING, HubObserver
from controller.observe.hub_jobs import MOST_ENDED, MOST_KNOWN, REMEMBERED, TRIES
from controller.ports import UpstreamError
from controller.simulate.loop import run_virtual
from hf_runner_simulators.clock import LoopClock

DOWN = Failure(reason=Reason.HubUnavailable, message="down")


def job(job_id: str, stage: Stage = Stage.RUNNING) -> HFJob:
    return HFJob(id=job_id, stage=stage, flavor="t4-small", created_at=1.0)


class FakeHub:
    """Lists and inspects what a test puts there; takes a tenth of a second for each."""

    def __init__(self, clock: LoopClock) -> None:
        self.clock = clock
        self.listed: dict[str, HFJob] = {}
        self.jobs: dict[str, HFJob | None] = {}
        self.failure: Failure | None = None
        self.partial: Failure | None = None
        self.bug: Exception | None = None
        self.inspect_failure: Failure | None = None
        self.lists: list[float] = []
        self.inspected: list[str] = []
        self.at_once = self.most_at_once = 0

    def put(self, *jobs: HFJob) -> None:
        for one in jobs:
            self.listed[one.id] = self.jobs[one.id] = one

    def finish(self, job_id: str, stage: Stage = Stage.COMPLETED) -> None:
        self.listed.pop(job_id, None)
        self.jobs[job_id] = job(job_id, stage)

    async def live(self, labels: Mapping[str, str]) -> Observation[HFJob]:
        assert labels == {"managed-by": "us"}
        asked_at, items = self.clock.mono(), tuple(self.listed.values())
        self.lists.append(asked_at)
        await asyncio.sleep(0.1)
        if self.bug is not None:
            raise self.bug
        if self.failure is not None:
            raise UpstreamError(self.failure)
        return Observation(
            items=items, asked_at=asked_at, server_time=self.clock.wall(), failure=self.partial
        )

    async def inspect(self, job_id: str) -> HFJob | None:
        self.inspected.append(job_id)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.1)
        self.at_once -= 1
        if self.inspect_failure is not None:
            raise UpstreamError(self.inspect_failure)
        return self.jobs.get(job_id)


class Rig:
    def __init__(self) -> None:
        self.clock = LoopClock(time=asyncio.get_running_loop().time)
        self.hub = FakeHub(self.clock)
        self.changes = 0
        self.observer = HubObserver(
            hub=self.hub, labels={"managed-by": "us"}, clock=self.clock, changed=self._changed
        )

    def _changed(self) -> None:
        self.changes += 1

    async def look(self) -> float:
        """One step, some time after the last."""
        await asyncio.sleep(SPACING)
        return await self.observer.step()

    @property
    def live(self) -> list[str]:
        assert self.observer.observation is not None
        return [one.id for one in self.observer.observation.items]

    @property
    def ended(self) -> list[tuple[str, Stage]]:
        return [(one.id, one.stage) for one in self.observer.ended()]


def virtual(scenario: Callable[[Rig], Awaitable[None]]) -> Callable[[], None]:
    """Run a test in virtual time."""

    def test() -> None:
        async def main() -> None:
            await scenario(Rig())

        run_virtual(main())

    test.__name__ = scenario.__name__
    return test


@virtual
async def test_nothing_is_known_before_the_first_look(rig: Rig) -> None:
    assert rig.observer.observation is None
    rig.observer.note(job("a"))
    assert rig.observer.observation is None


@virtual
async def test_a_complete_list_is_an_observation_as_old_as_its_question(rig: Rig) -> None:
    rig.hub.put(job("b"), job("a", Stage.SCHEDULING))
    await rig.look()
    observed = rig.observer.observation
    assert observed is not None
    assert observed.complete
    assert rig.live == ["a", "b"]
    assert observed.asked_at == rig.hub.lists[-1]


@virtual
async def test_a_job_that_leaves_the_list_is_inspected_once_and_handed_over(rig: Rig) -> None:
    rig.hub.put(job("a"), job("b"))
    await rig.look()
    rig.hub.finish("a", Stage.ERROR)
    await rig.look()
    assert rig.live == ["b"]
    assert rig.ended == [("a", Stage.ERROR)]
    await rig.look()
    assert rig.hub.inspected == ["a"]


@virtual
async def test_an_ended_job_stays_until_a_pass_acknowledges_it(rig: Rig) -> None:
    rig.hub.put(job("a"))
    await rig.look()
    rig.hub.finish("a")
    await rig.look()
    assert rig.ended == rig.ended == [("a", Stage.COMPLETED)]
    await rig.look()
    assert rig.ended == [("a", Stage.COMPLETED)]
    rig.observer.acknowledge(["a", "never heard of"])
    assert rig.ended == []
    rig.observer.acknowledge(["a"])


@virtual
async def test_a_job_that_a_list_forgot_is_still_live(rig: Rig) -> None:
    rig.hub.put(job("a"))
    await rig.look()
    del rig.hub.listed["a"]
    await rig.look()
    assert rig.live == ["a"]
    assert rig.ended == []
    rig.hub.put(job("a"))
    await rig.look()
    assert rig.live == ["a"]


@virtual
async def test_a_stage_that_only_an_inspection_shows_is_taken_over(rig: Rig) -> None:
    rig.hub.put(job("a"))
    await rig.look()
    del rig.hub.listed["a"]
    rig.hub.jobs["a"] = job("a", Stage.UNKNOWN)
    await rig.look()
    assert [one.stage for one in rig.observer.observation.items] == [Stage.UNKNOWN]  # type: ignore[union-attr]


@virtual
async def test_a_failed_list_keeps_the_last_one_and_concludes_nothing(rig: Rig) -> None:
    rig.hub.put(job("a"))
    await rig.look()
    asked_at = rig.observer.observation.asked_at  # type: ignore[union-attr]
    rig.hub.finish("a")
    rig.hub.failure = DOWN
    await rig.look()
    observed = rig.observer.observation
    assert observed is not None
    assert (observed.failure, observed.complete, observed.asked_at) == (DOWN, False, asked_at)
    assert rig.live == ["a"]
    assert rig.hub.inspected == []
    rig.hub.failure = None
    await rig.look()
    assert rig.ended == [("a", Stage.COMPLETED)]
    assert rig.observer.observation.complete  # type: ignore[union-attr]


@virtual
async def test_an_account_that_fails_from_the_start_has_an_observation_that_says_so(rig: Rig) -> None:
    rig.hub.failure = DOWN
    await rig.look()
    assert rig.observer.observation is not None
    assert rig.observer.observation.failure == DOWN
    assert rig.live == []


@virtual
async def test_an_incomplete_list_adds_what_it_shows_and_takes_nothing_away(rig: Rig) -> None:
    rig.hub.put(job("a"), job("b"))
    await rig.look()
    rig.hub.finish("a")
    rig.hub.put(job("c"))
    rig.hub.partial = DOWN
    await rig.look()
    assert rig.live == ["a", "b", "c"]
    assert rig.hub.inspected == []
    assert not rig.observer.observation.complete  # type: ignore[union-attr]


@virtual
async def test_a_launch_that_ends_between_two_lists_is_not_missed(rig: Rig) -> None:
    await rig.look()
    rig.observer.note(job("quick", Stage.SCHEDULING))
    assert rig.live == ["quick"], "it counts at once"
    rig.hub.finish("quick", Stage.ERROR)
    await rig.look()
    assert rig.ended == [("quick", Stage.ERROR)]
    assert rig.live == []


@virtual
async def test_a_launch_during_a_list_is_not_missing_from_it(rig: Rig) -> None:
    await rig.look()
    async with asyncio.TaskGroup() as group:
        group.create_task(rig.observer.step())
        await asyncio.sleep(0.05)
        rig.observer.note(job("new", Stage.SCHEDULING))
    assert rig.hub.inspected == []
    assert rig.live == ["new"]


@virtual
async def test_an_unknown_job_is_gone_only_when_the_hub_says_so_twice(rig: Rig) -> None:
    await rig.look()
    rig.observer.note(job("a"))
    await rig.look()
    assert rig.live == ["a"], "a replica may not have seen it yet"
    await rig.look()
    assert rig.live == []
    assert rig.ended == [("a", Stage.DELETED)]


@virtual
async def test_a_failed_inspection_is_tried_again_and_given_up_in_the_end(rig: Rig) -> None:
    rig.hub.put(job("a"))
    await rig.look()
    rig.hub.finish("a")
    rig.hub.inspect_failure = DOWN
    for _ in range(TRIES - 1):
        await rig.look()
        assert rig.live == ["a"]
    await rig.look()
    assert rig.live == []
    assert rig.ended == [("a", Stage.UNKNOWN)]
    assert "down" in str(rig.observer.ended()[0].message)


@virtual
async def test_a_failed_inspection_that_succeeds_later_tells_the_end(rig: Rig) -> None:
    rig.hub.put(job("a"))
    await rig.look()
    rig.hub.finish("a")
    rig.hub.inspect_failure = DOWN
    await rig.look()
    rig.hub.inspect_failure = None
    await rig.look()
    assert rig.ended == [("a", Stage.COMPLETED)]


@virtual
async def test_a_list_from_the_past_does_not_bring_the_dead_back(rig: Rig) -> None:
    rig.hub.put(job("a"))
    await rig.look()
    rig.hub.finish("a")
    await rig.look()
    rig.observer.acknowledge(["a"])
    rig.hub.listed["a"] = job("a")
    await rig.look()
    rig.observer.note(job("a"))
    assert rig.live == []
    del rig.hub.listed["a"]
    await rig.look()
    assert rig.ended == [], "its end is told once"


@virtual
async def test_what_was_given_up_may_live_after_all(rig: Rig) -> None:
    await rig.look()
    rig.observer.note(job("a"))
    await rig.look()
    await rig.look()
    assert rig.ended == [("a", Stage.DELETED)]
    rig.hub.put(job("a"))
    await rig.look()
    assert rig.live == ["a"]


@virtual
async def test_the_memory_of_the_dead_is_bounded(rig: Rig) -> None:
    rig.hub.put(job("a"))
    await rig.look()
    rig.hub.finish("a")
    await rig.look()
    await asyncio.sleep(REMEMBERED)
    await rig.look()
    assert not rig.observer._jobs._over


@virtual
async def test_a_hub_that_makes_up_new_jobs_in_every_list_fills_no_memory_and_is_not_called_complete(
    rig: Rig,
) -> None:
    for number in range(4):
        rig.hub.listed = {}
        rig.hub.put(*(job(f"{number}-{n}") for n in range(MOST_KNOWN // 2)))
        await rig.look()
    assert len(rig.live) == MOST_KNOWN
    seen = rig.observer.observation
    assert seen is not None
    assert not seen.complete


@virtual
async def test_ended_jobs_that_nobody_accounts_are_bounded_too(rig: Rig) -> None:
    for number in range(MOST_ENDED // INSPECTIONS + 2):
        rig.hub.put(*(job(f"{number:04}-{n:03}") for n in range(INSPECTIONS)))
        await rig.look()
        for job_id in list(rig.hub.listed):
            rig.hub.finish(job_id)
        await rig.look()
    assert len(rig.ended) == MOST_ENDED
    assert rig.ended[-1][0].startswith(f"{number:04}")


@virtual
async def test_many_ends_at_once_are_inspected_in_bounded_portions(rig: Rig) -> None:
    rig.hub.put(*(job(f"j{n:03}") for n in range(INSPECTIONS + 5)))
    await rig.look()
    for job_id in list(rig.hub.listed):
        rig.hub.finish(job_id)
    assert await rig.look() == SPACING, "the rest is due as soon as may be"
    assert len(rig.ended) == INSPECTIONS
    assert rig.hub.most_at_once == AT_ONCE
    assert len(rig.live) == 5
    await rig.look()
    assert len(rig.ended) == INSPECTIONS + 5
    assert rig.live == []


@virtual
async def test_only_news_wakes_the_planner(rig: Rig) -> None:
    await rig.look()
    assert rig.changes == 1
    await rig.look()
    assert rig.changes == 1
    rig.hub.put(job("a"))
    await rig.look()
    assert rig.changes == 2
    rig.hub.failure = DOWN
    await rig.look()
    await rig.look()
    assert rig.changes == 3
    rig.hub.failure = None
    rig.hub.finish("a")
    await rig.look()
    assert rig.changes == 4


# ------------------------------------------------------------------------------------------------------- pace
async def watch(rig: Rig, seconds: float) -> list[float]:
    """Let the observer run for some time and return when it listed, counted from its start."""
    start, task = rig.clock.mono(), asyncio.create_task(rig.observer.run())
    await asyncio.sleep(seconds)
    task.cancel()
    return [round(at - start, 6) for at in rig.hub.lists if at >= start]


@virtual
async def test_lists_come_each_interval_while_something_lives(rig: Rig) -> None:
    rig.observer.set_hot(hot=False)
    rig.hub.put(job("a"))
    assert await watch(rig, 3.5 * INTERVAL) == [0, INTERVAL, 2 * INTERVAL, 3 * INTERVAL]


@virtual
async def test_the_age_of_the_list_is_told_from_the_first_moment_on(rig: Rig) -> None:
    rig.hub.failure = DOWN
    task = asyncio.create_task(rig.observer.run())
    await asyncio.sleep(0)
    ages = [rig.observer.list_age()]
    await asyncio.sleep(50)
    ages.append(rig.observer.list_age())
    rig.hub.failure = None
    await asyncio.sleep(100)
    ages.append(rig.observer.list_age())
    task.cancel()
    assert ages[:2] == [0, 50]
    assert ages[2] <= IDLE_INTERVAL


@virtual
async def test_lists_come_more_rarely_when_nothing_lives_or_is_wanted(rig: Rig) -> None:
    rig.observer.set_hot(hot=False)
    assert await watch(rig, 2.5 * IDLE_INTERVAL) == [0, IDLE_INTERVAL, 2 * IDLE_INTERVAL]


@virtual
async def test_demand_and_launches_are_answered_soon_but_never_in_a_storm(rig: Rig) -> None:
    rig.observer.set_hot(hot=False)
    task = asyncio.create_task(rig.observer.run())
    await asyncio.sleep(20)
    rig.observer.set_hot(hot=True)
    for number in range(100):
        await asyncio.sleep(0.05)
        rig.observer.note(job(f"launched-{number}"))
    task.cancel()
    since = [round(at - 20, 6) for at in rig.hub.lists if at >= 20]
    assert since[0] == 0
    assert all(b - a >= SPACING for a, b in pairwise(since))
    assert len(since) == 3


@virtual
async def test_a_launch_during_a_look_is_not_lost(rig: Rig) -> None:
    rig.observer.set_hot(hot=False)
    task = asyncio.create_task(rig.observer.run())
    await asyncio.sleep(0.05)
    rig.observer.note(job("a"))
    await asyncio.sleep(SPACING)
    task.cancel()
    assert len(rig.hub.lists) == 2


@virtual
async def test_failures_back_off_to_the_idle_interval(rig: Rig) -> None:
    rig.hub.failure = DOWN
    listed = await watch(rig, 250)
    assert [b - a for a, b in pairwise(listed)] == [10, 20, 40, 60, 60]


@virtual
async def test_a_rate_limit_is_waited_for(rig: Rig) -> None:
    rig.hub.failure = replace(
        DOWN, reason=Reason.HubRateLimited, disposition=Disposition.WAIT, retry_after=200.0
    )
    assert await watch(rig, 250) == [0, 200]


def test_a_mistake_of_ours_neither_ends_the_observer_nor_looks_like_an_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        rig = Rig()
        rig.hub.put(job("a"))
        await rig.look()
        rig.hub.bug = KeyError("surprise")
        listed: list[Any] = await watch(rig, INTERVAL + 1)
        assert len(listed) == 2
        observed = rig.observer.observation
        assert observed is not None
        assert observed.failure is not None
        assert observed.failure.reason is Reason.InternalError
        assert rig.live == ["a"]

    run_virtual(main())
    assert "surprise" in caplog.text
