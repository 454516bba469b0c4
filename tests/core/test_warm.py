"""Runners that ``minIdle`` keeps ready: their replacement comes first, while enough of their
lifetime is left for a job.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.core.actions import Launch
from controller.core.lifecycle import Phase, Track
from controller.core.losses import Losses
from controller.core.memory import Memory, PoolMemory
from controller.core.model import Deadlines, JobStatus, Pool, Snapshot, Stage
from controller.core.plan import Plan
from controller.core.reasons import Reason
from controller.core.warm import idles_at_most, may_idle, starts_a_day
from tests.core.build import (
    NOW,
    SERVER,
    hf_job,
    job,
    name_of,
    pool,
    registration,
    run_plan,
    snapshot,
    started,
)

HOUR = Deadlines(idle=120.0, lifetime=3_600.0)


@pytest.mark.parametrize(
    ("longest_job", "seconds"),
    [(0.0, 1_800.0), (900.0, 1_800.0), (1_200.0, 1_200.0), (3_000.0, 360.0), (1e9, 360.0)],
)
def test_what_is_kept_of_the_lifetime_is_half_of_it_or_twice_the_longest_job_that_was_seen(
    longest_job: float, seconds: float
) -> None:
    assert may_idle(HOUR, longest_job) == pytest.approx(seconds)


def test_a_runner_that_nobody_can_replace_idles_until_half_of_what_was_kept_is_gone() -> None:
    assert idles_at_most(HOUR, 0.0) == 2_700.0
    assert idles_at_most(HOUR, 1e9) == pytest.approx(1_980.0)


def test_no_warm_runner_is_replaced_before_the_idle_deadline() -> None:
    assert may_idle(Deadlines(idle=2_000.0, lifetime=3_600.0), 0.0) == 2_000.0


def test_two_warm_runners_with_45_minutes_cost_64_starts_a_day_each() -> None:
    assert starts_a_day(Deadlines(lifetime=2_700.0)) == 64.0


# ------------------------------------------------------------------------------------------ one planning pass
OLD, YOUNG = 1_801.0, 60.0


def warm(idled: dict[str, float], *, longest_job: float = 0.0) -> tuple[Memory, Snapshot]:
    """Runners that idle, by token the seconds for which they have."""
    p = pool()
    tracks = {
        name_of(p, token): Track(phase=Phase.IDLE, since=NOW - s, online_at=NOW - s)
        for token, s in idled.items()
    }
    memory = Memory(pools={p.uid: PoolMemory(tracks=tracks, longest_job=longest_job, losses=Losses())})
    view = snapshot(
        registrations=[registration(p, token, online=True) for token in idled],
        hf_jobs=[started(p, token) for token in idled],
    )
    return memory, view


def ends(done: Plan) -> dict[str, Reason]:
    return {a.name: a.reason for a in done.actions if not isinstance(a, Launch) and hasattr(a, "reason")}


def launches(done: Plan) -> int:
    return sum(isinstance(action, Launch) for action in done.actions)


def play(of: Pool, idled: dict[str, float], **more: float) -> tuple[int, dict[str, Reason]]:
    memory, view = warm(idled, **more)
    done = run_plan([of], view, memory=memory)
    return launches(done), ends(done)


KEEPS_ONE = pool(min_idle=1)


def test_the_replacement_is_launched_and_the_old_one_stays_until_it_is_online() -> None:
    assert play(KEEPS_ONE, {"aaaa": OLD}) == (1, {})


def test_the_old_one_ends_when_its_replacement_is_online() -> None:
    assert play(KEEPS_ONE, {"aaaa": OLD, "bbbb": YOUNG}) == (0, {name_of(KEEPS_ONE): Reason.WarmRecycled})


def test_a_replacement_that_boots_is_neither_given_back_nor_launched_again() -> None:
    memory, view = warm({"aaaa": OLD})
    boots = hf_job(KEEPS_ONE, "bbbb", stage=Stage.SCHEDULING)
    both = snapshot(
        registrations=[registration(KEEPS_ONE, online=True), registration(KEEPS_ONE, "bbbb")],
        hf_jobs=[started(KEEPS_ONE), boots],
    )
    done = run_plan([KEEPS_ONE], both, memory=memory)
    assert (launches(done), ends(done)) == (0, {})
    assert view.queues.keys() == both.queues.keys()


def test_a_warm_runner_with_enough_lifetime_is_left_alone() -> None:
    assert play(KEEPS_ONE, {"aaaa": 1_799.0}) == (0, {})


def test_where_jobs_are_long_it_is_replaced_sooner() -> None:
    assert play(KEEPS_ONE, {"aaaa": 400.0}, longest_job=3_000.0) == (1, {})


def test_the_longest_job_that_was_seen_is_remembered() -> None:
    memory, view = warm({"aaaa": YOUNG})
    busy = job(
        status=JobStatus.IN_PROGRESS, runner_name=name_of(KEEPS_ONE, "cccc"), started_at=SERVER - 1_500.0
    )
    with_job = snapshot(
        jobs=[busy],
        registrations=[
            registration(KEEPS_ONE, online=True),
            registration(KEEPS_ONE, "cccc", online=True, busy=True),
        ],
        hf_jobs=[started(KEEPS_ONE), started(KEEPS_ONE, "cccc")],
    )
    done = run_plan([KEEPS_ONE], with_job, memory=memory)
    kept = done.memory.pools[KEEPS_ONE.uid].longest_job
    assert kept == pytest.approx(1_500.0, abs=30.0)
    again = run_plan([KEEPS_ONE], view, memory=done.memory)
    assert again.memory.pools[KEEPS_ONE.uid].longest_job == kept


def test_where_max_runners_leaves_no_room_one_after_the_other_ends_first() -> None:
    full = pool(min_idle=2, max_runners=2)
    assert play(full, {"aaaa": OLD + 1, "bbbb": OLD}) == (0, {name_of(full): Reason.WarmRecycled})


def test_while_one_is_being_replaced_where_there_is_no_room_the_other_stays() -> None:
    full = pool(min_idle=2, max_runners=2)
    memory, _ = warm({"aaaa": OLD, "bbbb": OLD})
    view = snapshot(
        registrations=[registration(full, online=True), registration(full, "cccc")],
        hf_jobs=[started(full), hf_job(full, "cccc", stage=Stage.SCHEDULING)],
    )
    assert ends(run_plan([full], view, memory=memory)) == {}


def test_a_paused_pool_keeps_nobody_warm() -> None:
    paused = replace(KEEPS_ONE, paused=True)
    assert play(paused, {"aaaa": OLD}) == (0, {name_of(paused): Reason.IdleDeadline})


def test_a_runner_whose_replacement_does_not_come_is_ended_before_it_is_useless() -> None:
    assert play(KEEPS_ONE, {"aaaa": 2_701.0}) == (1, {name_of(KEEPS_ONE): Reason.WarmRecycled})
