"""What is launched, by what retirements have left and by the jobs that wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from controller.core.actions import Launch
from controller.core.backoff import POOL, Backoff, Limit
from controller.core.capacity import offer_of
from controller.core.demand import Demand
from controller.core.launch import Launches, choose_launches, taken_unseen, waiting_for_a_runner
from controller.core.lifecycle import Phase, Track
from controller.core.model import Pool, Snapshot, SuspicionLevel, WorkflowJob
from controller.core.retire.choose import Retirements
from controller.core.retire.consequences import Consequences
from controller.core.retire.surplus import Surplus
from controller.core.runners import Runner
from controller.core.suspect import Suspected
from controller.core.suspicion import Suspicion, Suspicions, divide
from tests.core.build import NOW, OUTAGE, job, pool, seen, snapshot
from tests.core.stages import having, runner, view_of

P = pool()
HELD = Backoff(failures=1, until=NOW + 30, at=NOW, failure=OUTAGE)


def waiting(count: int) -> list[WorkflowJob]:
    return [job(number) for number in range(1, count + 1)]


def launched(
    jobs: Sequence[WorkflowJob],
    runners: Sequence[Runner] = (),
    *,
    of: Pool = P,
    view: Snapshot | None = None,
    known: Suspicions | None = None,
    backoffs: dict[str, Backoff] | None = None,
    limit: Limit | None = None,
) -> Launches:
    known = known or Suspicions()
    left = Retirements(
        actions=(),
        left=having(runners),
        after=Consequences(backoffs=backoffs or {}, tracks={}, limit=limit),
        surplus=Surplus(),
    )
    demand = Demand(queued=list(jobs), asked_at=NOW - 1)
    suspected = Suspected(suspicions=known, divided=divide(known, jobs))
    pool_view = view_of(view or snapshot(jobs=jobs), of=of)
    return choose_launches(pool_view, left, suspected, offer_of(of, ()), demand)


def flavors(found: Launches) -> list[str]:
    return [action.flavor for action in found.actions if isinstance(action, Launch)]


IDLE, COMING = runner("aaaa", Phase.IDLE), runner("bbbb", Phase.STARTING)


@pytest.mark.parametrize(
    ("jobs", "runners", "changes", "count"),
    [
        (0, (), {}, 0),
        (2, (), {}, 2),
        (2, (IDLE,), {}, 1),
        (2, (IDLE, COMING), {}, 0),
        (9, (), {}, 4),
        (9, (runner("cccc", Phase.BUSY),), {}, 3),
        (0, (), {"of": pool(min_idle=2)}, 2),
        (1, (), {"of": pool(min_idle=1)}, 2),
        (1, (), {"of": pool(min_idle=1, paused=True)}, 0),
        (1, (), {"of": pool(deleting=True)}, 0),
        (1, (), {"view": snapshot(hf_jobs=seen(failure=OUTAGE))}, 0),
        (9, (), {"limit": Limit(running=1, extra=1, at=NOW)}, 2),
        (2, (), {"backoffs": {POOL: HELD}}, 0),
        (2, (), {"backoffs": {"t4-small": HELD}}, 0),
        (2, (), {"backoffs": {"t4-small": HELD}, "of": pool(flavors=("t4-small", "a10g"))}, 2),
    ],
    ids=[
        "no job waits",
        "jobs wait",
        "a runner idles",
        "there is one for each",
        "more wait than maxRunners",
        "one works",
        "minIdle",
        "minIdle beside a job",
        "it is paused",
        "it is deleted",
        "HF Jobs cannot be listed",
        "the Hub runs no more",
        "the pool backs off",
        "its only flavor backs off",
        "its first flavor backs off",
    ],
)
def test_how_many_are_launched_where(
    jobs: int, runners: tuple[Runner, ...], changes: dict[str, Any], count: int
) -> None:
    assert len(launched(waiting(jobs), runners, **changes).actions) == count


def test_the_next_flavor_is_taken_while_the_first_backs_off() -> None:
    found = launched(waiting(1), of=pool(flavors=("t4-small", "a10g")), backoffs={"t4-small": HELD})
    assert flavors(found) == ["a10g"]
    assert found.held_by is None


def test_what_holds_launches_back_is_named_only_where_more_are_wanted() -> None:
    assert launched(waiting(2), backoffs={POOL: HELD}).held_by == HELD
    assert launched(waiting(0), backoffs={POOL: HELD}).held_by is None


def test_every_launch_of_a_pass_has_a_name_of_its_own() -> None:
    names = [action.name for action in launched(waiting(4)).actions]
    assert len(set(names)) == 4


def test_equal_passes_launch_equal_names() -> None:
    assert launched(waiting(2)).actions == launched(waiting(2)).actions


def suspicious(of: WorkflowJob, *starts: float) -> Suspicions:
    one = Suspicion(
        level=SuspicionLevel.JOB,
        repository=of.repository,
        job_id=of.id,
        since=NOW - 2_000,
        starts=starts,
        newest=of.id,
        seen_at=NOW,
    )
    return Suspicions(held=(one,))


@pytest.mark.parametrize(
    ("starts", "runners", "count"),
    [
        ((NOW - 2_000,), (), 1),
        ((NOW - 2_000, NOW - 10), (), 0),
        ((NOW - 2_000,), (IDLE,), 0),
        ((NOW - 2_000,), (COMING,), 0),
    ],
    ids=["one start is due", "none is due", "a runner idles beside it", "a runner is on its way"],
)
def test_for_a_job_under_suspicion(
    starts: tuple[float, ...], runners: tuple[Runner, ...], count: int
) -> None:
    (one,) = waiting(1)
    found = launched([one], runners, known=suspicious(one, *starts))
    assert len(found.actions) == count
    assert len(found.suspicions.held[0].starts) == len(starts) + count


def test_a_job_that_is_about_to_be_read_waits_without_a_launch() -> None:
    jobs = waiting(2)
    known = Suspicions(asked={jobs[0].id: NOW - 5})
    suspected = Suspected(suspicions=known, divided=divide(known, jobs))
    assert waiting_for_a_runner(suspected, 0, NOW) == 1
    assert waiting_for_a_runner(suspected, 0, NOW + 60) == 2
    assert waiting_for_a_runner(suspected, 5, NOW + 60) == 0


@pytest.mark.parametrize(
    ("track", "count"),
    [
        (Track(phase=Phase.BUSY, since=NOW, taken_at=NOW), 1),
        (Track(phase=Phase.BUSY, since=NOW, taken_at=NOW - 5), 0),
        (Track(phase=Phase.BUSY, since=NOW, taken_at=NOW, workflow_job=job()), 0),
        (Track(phase=Phase.IDLE, since=NOW), 0),
    ],
    ids=["took one since the queue was read", "took one before", "has one that was named", "has none"],
)
def test_a_queued_job_seems_taken_if_a_runner(track: Track, count: int) -> None:
    one = runner("aaaa", track.phase, track=track)
    assert taken_unseen([one], Demand(queued=waiting(1), asked_at=NOW - 1)) == count
    assert taken_unseen([one], Demand(asked_at=NOW - 1)) == 0
