"""HF Jobs whose registration is gone: GitHub takes some away when the job starts, so each may be at work."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from controller.core.actions import Result
from controller.core.effects import Effect
from controller.core.evidence import LIST_LAG
from controller.core.memory import Memory
from controller.core.model import HFJob, Observation, Pool, Scope, ScopeKind, WorkflowJob
from controller.core.plan import Plan
from controller.core.reasons import Reason
from controller.core.retire.why import ENDING_GRACE

from .build import (
    NOW,
    OUTAGE,
    REPO,
    SOURCE,
    hf_job,
    job,
    name_of,
    pool,
    registration,
    run_plan,
    running,
    seen,
    snapshot,
    started,
)

REPOSITORY = pool()
ORGANIZATION = pool(scope=Scope(kind=ScopeKind.ORGANIZATION, owner="acme"), include=(REPO,))
ENTERPRISE = pool(
    source=replace(SOURCE, enterprise=True),
    scope=Scope(kind=ScopeKind.ENTERPRISE, owner="acme"),
    include=(REPO,),
)
GONE_AT = NOW + LIST_LAG + 10
"""When the list was asked for that proves the registration of :func:`missed` to be gone."""


def at(
    of: Pool,
    moment: float,
    before: Plan | None = None,
    *,
    live: Iterable[HFJob] = (),
    jobs: Observation[WorkflowJob] | None = None,
    shown: bool = False,
    **more: Any,
) -> Plan:
    """One pass over lists that were asked for at a moment, the queue perhaps at another one."""
    registrations = seen([registration(of, online=True)] if shown else [], at=moment)
    view = snapshot(
        jobs=seen(at=moment) if jobs is None else jobs,
        registrations=None,
        hf_jobs=seen(live, at=moment),
        **more,
    )
    view = replace(view, registrations={of.footprint.registrations: registrations})
    if of.source != SOURCE:
        view = replace(view, queues={(of.source, REPO): view.queues[SOURCE, REPO]})
    return run_plan([of], view, memory=before.memory if before else Memory(), now=moment + 1)


def missed(of: Pool, live: HFJob, *, online: bool = False, **more: Any) -> Plan:
    """The last of the passes that prove a registration to be gone."""
    before = at(of, NOW, live=[live], shown=online, **more)
    before = at(of, NOW + 5, before, live=[live])
    return at(of, GONE_AT, before, live=[live])


def ended(done: Plan) -> dict[str, Reason]:
    return {action.name: action.reason for action in done.actions if hasattr(action, "reason")}


ORPHANED = {name_of(REPOSITORY): Reason.OrphanedHFJob}


@pytest.mark.parametrize("later", [0, LIST_LAG, LIST_LAG + 1])
def test_a_repositorys_runner_goes_only_by_a_queue_that_was_asked_for_a_lag_after_the_gap(
    later: float,
) -> None:
    before = missed(REPOSITORY, started(REPOSITORY))
    done = at(REPOSITORY, GONE_AT + 200, before, live=[started(REPOSITORY)], jobs=seen(at=GONE_AT + later))
    assert ended(done) == (ORPHANED if later > LIST_LAG else {})


@pytest.mark.parametrize("oldest", [GONE_AT, -math.inf], ids=["read before", "never read"])
def test_a_queue_with_a_run_that_was_not_read_since_proves_nothing(oldest: float) -> None:
    queue = replace(seen(at=GONE_AT + 199), oldest_part_at=oldest)
    before = missed(REPOSITORY, started(REPOSITORY))
    done = at(REPOSITORY, GONE_AT + 200, before, live=[started(REPOSITORY)], jobs=queue)
    assert ended(done) == {}


def test_a_queue_that_cannot_be_read_proves_nothing() -> None:
    queue = seen(at=GONE_AT + 199, failure=OUTAGE)
    before = missed(REPOSITORY, started(REPOSITORY))
    assert ended(at(REPOSITORY, GONE_AT + 200, before, live=[started(REPOSITORY)], jobs=queue)) == {}


def test_a_runner_that_the_queue_names_is_at_work() -> None:
    before = missed(REPOSITORY, started(REPOSITORY))
    queue = seen([running(1, name_of(REPOSITORY))], at=GONE_AT + 199)
    assert ended(at(REPOSITORY, GONE_AT + 200, before, live=[started(REPOSITORY)], jobs=queue)) == {}


def test_a_runner_that_was_seen_with_a_job_is_at_work_until_the_job_is_seen_completed() -> None:
    """A run can be shown completed while its job goes on."""
    live, work = started(REPOSITORY), seen([running(1, name_of(REPOSITORY))], at=NOW)
    before = missed(REPOSITORY, live, online=True, jobs=work)
    late = GONE_AT + LIST_LAG + ENDING_GRACE + 1
    before = at(REPOSITORY, late, before, live=[live])
    assert ended(before) == {}
    over = {SOURCE: (running(1, name_of(REPOSITORY)),)}
    done = at(REPOSITORY, late + 1, before, live=[live], completed=over)
    assert ended(done) == {name_of(REPOSITORY): Reason.NeverExited}


@pytest.mark.parametrize("of", [ORGANIZATION, ENTERPRISE], ids=["organization", "enterprise"])
@pytest.mark.parametrize("online", [False, True])
@pytest.mark.parametrize(
    "change", [{}, {"deleting": True}, {"draining": True, "drain_request": "1"}], ids=str
)
def test_a_runner_of_many_repositories_is_never_ended_because_nothing_shows(
    of: Pool, online: bool, change: dict[str, Any]
) -> None:
    live = started(of)
    before = missed(of, live, online=online)
    for later in (100, 1_000, 3_000):
        before = at(replace(of, **change), GONE_AT + later, before, live=[live])
        assert ended(before) == {}


@pytest.mark.parametrize("of", [ORGANIZATION, ENTERPRISE], ids=["organization", "enterprise"])
def test_a_runner_of_many_repositories_whose_job_is_over_is_ended_if_it_stays(of: Pool) -> None:
    live = started(of)
    before = missed(of, live, online=True)
    before = at(of, GONE_AT + 1, before, live=[live], completed={of.source: (running(1, name_of(of)),)})
    assert ended(before) == {}
    done = at(of, GONE_AT + ENDING_GRACE + 10, before, live=[live])
    assert ended(done) == {name_of(of): Reason.NeverExited}


@pytest.mark.parametrize(
    "of", [REPOSITORY, ORGANIZATION, ENTERPRISE], ids=["repository", "organization", "enterprise"]
)
def test_what_github_agreed_to_needs_no_other_proof(of: Pool) -> None:
    live = started(of)
    before = at(of, NOW, live=[live], shown=True)
    agreed = Result(name=name_of(of), pool_uid=of.uid, effect=Effect.RETIRE, deregistered=True)
    for later in (2, 10, 2 * LIST_LAG, 4 * LIST_LAG):
        view = replace(
            snapshot(jobs=None, registrations=None, hf_jobs=seen([live], at=NOW + later)),
            registrations={of.footprint.registrations: seen(at=NOW + later)},
        )
        results = [agreed] if later == 2 else []
        before = run_plan([of], view, memory=before.memory, results=results, now=NOW + later + 1)
    assert list(ended(before)) == [name_of(of)]


@pytest.mark.parametrize("later", [LIST_LAG - 1, LIST_LAG + 1])
def test_a_container_that_has_not_started_a_lag_after_the_gap_has_no_job(later: float) -> None:
    before = missed(ORGANIZATION, hf_job(ORGANIZATION))
    done = at(ORGANIZATION, GONE_AT + later, before, live=[hf_job(ORGANIZATION)], jobs=seen([job()], at=NOW))
    assert ended(done) == (ORPHANED if later > LIST_LAG else {})


def test_one_that_was_waiting_for_its_machine_when_the_gap_was_proved_may_have_started_before() -> None:
    """The Hub's list lags: it showed the HF Job waiting while its runner had come online
    and had taken a job.
    """
    before = missed(ORGANIZATION, hf_job(ORGANIZATION))
    assert ended(before) == {}
    assert ended(at(ORGANIZATION, GONE_AT + 200, before, live=[started(ORGANIZATION)])) == {}
