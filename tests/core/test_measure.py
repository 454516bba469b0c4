"""What passes let be told, and what they must not tell twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from controller.core.actions import Result, Retire
from controller.core.effects import Effect
from controller.core.facts import OTHER, Fact, Measure, Seen
from controller.core.measure import KEPT_FOR, MOST_REMEMBERED, Chronicle
from controller.core.memory import Memory
from controller.core.model import (
    Disposition,
    Failure,
    GitHubSource,
    HFJob,
    HubAccount,
    JobStatus,
    Pool,
    PoolKey,
    SecretRef,
    Snapshot,
    Stage,
)
from controller.core.naming import hf_labels
from controller.core.plan import Plan, plan
from controller.core.reasons import Reason
from controller.core.view import PlanInput
from tests.core.build import (
    ACCOUNT,
    CONTROLLER,
    NOW,
    SERVER,
    SOURCE,
    hf_job,
    job,
    name_of,
    pool,
    registration,
    running,
    seen,
    snapshot,
    started,
)


class Passes:
    """One process."""

    def __init__(self, *, began: float = NOW - 1000) -> None:
        self.chronicle = Chronicle(began=began)
        self.began = began
        self.memory = Memory()

    def plan(
        self, view: Snapshot, *pools: Pool, now: float = NOW, results: tuple[Result, ...] = ()
    ) -> tuple[PlanInput, Plan]:
        given = PlanInput(
            pools=list(pools or (pool(),)),
            snapshot=view,
            results=results,
            memory=self.memory,
            began=self.began,
            now=now,
            wall=SERVER,
            controller_id=CONTROLLER,
            entropy="a pass",
        )
        done = plan(given)
        self.memory = done.memory
        return given, done

    def run(self, view: Snapshot, *pools: Pool, now: float = NOW, results: tuple[Result, ...] = ()) -> Seen:
        return self.chronicle.follow(*self.plan(view, *pools, now=now, results=results))


def counted(told: Seen) -> Counter[tuple[Measure, tuple[str, ...]]]:
    return Counter((fact.measure, fact.labels) for fact in told.facts)


def value(told: Seen, measure: Measure) -> float:
    (found,) = [fact.value for fact in told.facts if fact.measure is measure]
    return found


def at_work() -> Snapshot:
    """A runner that has been running for a minute, whose job was queued 30 s and started 10
    s before the list.
    """
    mine = pool()
    return snapshot(
        jobs=[running(1, name_of(mine))],
        registrations=[registration(mine, online=True, busy=True)],
        hf_jobs=[started(mine, seconds_ago=60)],
    )


def test_a_job_that_runs_is_timed_at_once_and_never_again() -> None:
    process = Passes()
    told = process.run(at_work())
    assert value(told, Measure.QUEUE_TO_START) == pytest.approx(20, abs=0.01)
    assert value(told, Measure.QUEUE_TO_ONLINE) == pytest.approx(20, abs=0.01)
    assert value(told, Measure.HF_SCHEDULING) == pytest.approx(5)
    assert value(told, Measure.RUNNER_BOOT) == pytest.approx(50, abs=0.01)
    (start,) = told.starts
    assert (start.workflow_job.id, start.hf_job_id, start.runner) == (1, "hf-aaaa", name_of(pool()))
    assert process.run(at_work()).facts == []


def test_the_boot_of_a_runner_that_idles_ends_with_the_list_that_shows_it_online() -> None:
    mine = pool()
    hf_jobs = [started(mine, seconds_ago=60)]
    waits = snapshot(registrations=[registration(mine)], hf_jobs=hf_jobs)
    online = snapshot(registrations=[registration(mine, online=True)], hf_jobs=hf_jobs)
    process = Passes()
    assert (Measure.RUNNER_BOOT, ("t4-small",)) not in counted(process.run(waits))
    told = process.run(online)
    assert counted(told)[Measure.RUNNER_BOOT, ("t4-small",)] == 1
    assert value(told, Measure.RUNNER_BOOT) == pytest.approx(60, abs=0.01)


def test_the_boot_of_a_runner_that_took_a_job_ends_with_the_jobs_start_though_a_later_list_shows_it() -> None:
    mine = pool()
    late = snapshot(
        jobs=[replace(running(1, name_of(mine)), started_at=SERVER - 40)],
        registrations=[registration(mine, online=True)],
        hf_jobs=[started(mine, seconds_ago=60)],
    )
    assert value(Passes().run(late), Measure.RUNNER_BOOT) == pytest.approx(20, abs=0.01)


def test_a_boot_that_is_known_only_after_the_end_is_counted_under_the_hardware_that_ended() -> None:
    mine = pool()
    ended = replace(started(mine, seconds_ago=60), stage=Stage.COMPLETED, finished_at=SERVER - 1)
    process = Passes()
    process.run(snapshot(ended=[ended]))
    late = snapshot(registrations=[registration(mine, online=True)])
    assert counted(process.run(late, now=NOW + 5))[Measure.RUNNER_BOOT, ("t4-small",)] == 1


@pytest.mark.parametrize(
    ("began", "told"),
    [
        (
            NOW - 100,
            {Measure.HF_SCHEDULING, Measure.RUNNER_BOOT, Measure.QUEUE_TO_START, Measure.QUEUE_TO_ONLINE},
        ),
        (NOW - 30, {Measure.QUEUE_TO_START, Measure.QUEUE_TO_ONLINE}),
        (NOW - 5, set()),
    ],
)
def test_what_happened_before_this_process_is_left_to_the_one_before(
    began: float, told: set[Measure]
) -> None:
    assert {fact.measure for fact in Passes(began=began).run(at_work()).facts} == told


def test_a_job_that_was_only_ever_seen_completed_is_timed_by_its_runner_that_is_gone() -> None:
    mine, process = pool(), Passes()
    process.run(snapshot(registrations=[registration(mine)], hf_jobs=[started(mine)]))
    ended = replace(started(mine), stage=Stage.COMPLETED, finished_at=SERVER - 1)
    process.run(snapshot(ended=[ended]), now=NOW + 5)
    completed = replace(running(1, name_of(mine)), status=JobStatus.COMPLETED)
    view = replace(snapshot(), completed={SOURCE: (completed,)})
    told = process.run(view, now=NOW + 10)
    assert value(told, Measure.QUEUE_TO_START) == pytest.approx(20, abs=0.01)
    assert process.run(view, now=NOW + 15).facts == []


def test_a_completed_job_of_a_runner_that_nobody_remembers_is_not_told_again() -> None:
    mine, process = pool(), Passes()
    process.run(at_work())
    process.run(snapshot(), now=NOW + 5)
    process.run(snapshot(), now=NOW + 10 + KEPT_FOR)
    completed = replace(running(1, name_of(mine)), status=JobStatus.COMPLETED)
    view = replace(snapshot(), completed={SOURCE: (completed,)})
    assert process.run(view, now=NOW + 15 + KEPT_FOR).facts == []
    assert process.chronicle.remembered == 0


def scheduled(seconds: float) -> HFJob:
    return hf_job(pool(), created_at=SERVER - seconds)


def test_a_runner_past_its_deadline_is_stuck_once_however_often_it_must_be_retired() -> None:
    process = Passes()
    view = snapshot(jobs=[job()], registrations=[registration(pool())], hf_jobs=[scheduled(650)])
    seen_first = process.run(view)
    first = counted(seen_first)
    assert first[Measure.STUCK, ("scheduling",)] == value(seen_first, Measure.STUCK) == 1
    assert first[Measure.LAUNCH_FAILURE, ("t4-small", "SchedulingDeadline")] == 1
    again = counted(process.run(view, now=NOW + 5))
    assert (
        again[Measure.STUCK, ("scheduling",)]
        == again[Measure.LAUNCH_FAILURE, ("t4-small", "SchedulingDeadline")]
        == 0
    )


def test_a_deadline_that_was_over_before_this_process_began_was_told_before() -> None:
    process = Passes(began=NOW - 20)
    view = snapshot(jobs=[job()], registrations=[registration(pool())], hf_jobs=[scheduled(650)])
    told = counted(process.run(view))
    assert told[Measure.STUCK, ("scheduling",)] == 0
    assert told[Measure.NOTICE, ("SchedulingDeadline",)] == 1


def test_an_end_is_billed_once_and_not_if_it_came_before_this_process() -> None:
    ended = replace(started(pool(), seconds_ago=100), stage=Stage.COMPLETED, finished_at=SERVER - 40)
    process = Passes()
    told = process.run(snapshot(ended=[ended]))
    assert value(told, Measure.BILLED) == 60
    assert value(told, Measure.COST) == pytest.approx(0.0067)
    assert process.run(snapshot(ended=[ended])).facts == []
    assert Passes(began=NOW - 30).run(snapshot(ended=[ended])).facts == []


def test_an_end_before_its_price_is_known_is_told_at_once_and_its_cost_when_it_is() -> None:
    ended = replace(started(pool(), seconds_ago=100), stage=Stage.COMPLETED, finished_at=SERVER - 40)
    process = Passes()
    told = process.run(replace(snapshot(ended=[ended]), flavors={}))
    assert (value(told, Measure.BILLED), counted(told)[Measure.COST, ("t4-small",)]) == (60, 0)
    assert value(process.run(snapshot()), Measure.COST) == pytest.approx(0.0067)
    assert process.run(snapshot()).facts == []


def launch_failed(reason: Reason) -> Result:
    failure = Failure(reason=reason, message="no", disposition=Disposition.RETRY)
    return Result(
        name=name_of(pool()), pool_uid=pool().uid, effect=Effect.LAUNCH, flavor="t4-small", failure=failure
    )


def test_a_launch_that_was_refused_is_a_failure_and_one_that_another_leader_kept_back_is_none() -> None:
    refused = Passes().run(snapshot(), results=(launch_failed(Reason.HubForbidden),))
    assert counted(refused) == {(Measure.LAUNCH_FAILURE, ("t4-small", "HubForbidden")): 1}
    assert Passes().run(snapshot(), results=(launch_failed(Reason.Pending),)).facts == []


@pytest.mark.parametrize(("had_a_job", "failures"), [(True, 0), (False, 1)])
@pytest.mark.parametrize("code", [73, 78])
def test_an_hf_job_that_fails_is_a_failed_launch_unless_its_runner_had_a_job(
    had_a_job: bool, failures: int, code: int
) -> None:
    process = Passes()
    if had_a_job:
        process.run(at_work())
    over = replace(
        started(pool(), seconds_ago=60),
        stage=Stage.ERROR,
        message=f"Job failed with exit code: {code}. Reason: Error",
        finished_at=SERVER,
    )
    told = Counter(fact.measure for fact in process.run(snapshot(ended=[over]), now=NOW + 5).facts)
    assert told[Measure.LAUNCH_FAILURE] == failures
    assert told[Measure.VERSION_REFUSED] == (failures if code == 73 else 0)


@pytest.mark.parametrize(
    ("pool_uid", "reason", "registration_id", "hf_job_id", "kinds"),
    [
        ("uid-t4", Reason.OrphanedRegistration, 7, None, ["registration"]),
        ("uid-t4", Reason.OrphanedHFJob, None, "hf-1", ["hf_job"]),
        ("", Reason.PoolDeleted, 7, "hf-1", ["registration", "hf_job"]),
        ("uid-t4", Reason.IdleDeadline, 7, "hf-1", []),
    ],
)
def test_an_orphan_is_counted_when_it_is_gone(
    pool_uid: str, reason: Reason, registration_id: int | None, hf_job_id: str | None, kinds: list[str]
) -> None:
    mine = pool()
    retire = Retire(
        name=name_of(mine),
        pool_uid=pool_uid,
        scope=mine.footprint.registrations,
        account=ACCOUNT,
        registration_id=registration_id,
        hf_job_id=hf_job_id,
        reason=reason,
    )
    done = Result(name=retire.name, pool_uid=pool_uid, effect=Effect.RETIRE, retire=retire)
    told = Passes().run(snapshot(), results=(done,))
    assert [fact.labels for fact in told.facts if fact.measure is Measure.ORPHAN] == [
        (kind,) for kind in kinds
    ]
    ended = [fact.labels for fact in told.facts if fact.measure is Measure.RETIREMENT]
    assert ended == [(str(reason),)] * bool(pool_uid), "a runner without a pool is nobody's"
    for unfinished in (replace(done, busy=True), replace(done, failure=Failure(reason=reason, message="no"))):
        assert Passes().run(snapshot(), results=(unfinished,)).facts == []


def test_a_launch_on_a_later_flavor_gives_up_every_earlier_one() -> None:
    mine = pool(flavors=("a10g-small", "gone", "t4-small"))
    told = Passes().run(snapshot(jobs=[job()]), mine)
    assert counted(told) == {(Measure.LAUNCH, ("a10g-small",)): 1}
    process = Passes()
    view = snapshot(hf_jobs=seen([]), registrations=seen([]), jobs=[job()])
    out = Failure(reason=Reason.FlavorOutOfCapacity, message="none", disposition=Disposition.CAPACITY)
    failed = Result(
        name=name_of(mine), pool_uid=mine.uid, effect=Effect.LAUNCH, flavor="a10g-small", failure=out
    )
    told = process.run(view, mine, results=(failed,))
    facts = counted(told)
    assert facts[Measure.LAUNCH, ("t4-small",)] == 1
    assert facts[Measure.FALLBACK, ("a10g-small",)] == facts[Measure.FALLBACK, ("gone",)] == 1
    assert facts[Measure.FALLBACK, ("t4-small",)] == 0


# --------------------------------------------------------------------------------- tenants and their services
EVIL_HUB = HubAccount(
    endpoint="https://hub.evil.example", namespace="mallory", secret=SecretRef("mallory", "any")
)
EVIL_SOURCE = GitHubSource(
    api_url="https://evil.example/api/v3", secret=SecretRef("mallory", "any"), owner="mallory"
)
EVIL = pool("evil", key=PoolKey("mallory", "evil"), source=EVIL_SOURCE, hub=EVIL_HUB, labels=("evil",))


def of_evil_hub(*ended: HFJob) -> Snapshot:
    """The other pool's work, beside what the hostile Hub tells of HF Jobs that ended."""
    base = at_work()
    return replace(
        base,
        hf_jobs={**base.hf_jobs, EVIL_HUB: seen()},
        ended={**base.ended, EVIL_HUB: tuple(ended)},
    )


def made_up(number: int, *, of: Pool = EVIL, flavor: str = "") -> HFJob:
    name = name_of(of, f"x{number}")
    return replace(
        hf_job(of),
        id=f"made-up-{number}",
        labels=hf_labels(of, CONTROLLER, name),
        flavor=flavor or f"flavor-{number}",
        stage=Stage.ERROR,
        message="Job failed with exit code: 78",
        created_at=SERVER - 60,
        started_at=SERVER - 50,
        finished_at=SERVER - 3,
    )


def facts_of(told: Seen, mine: Pool) -> list[Fact]:
    return [fact for fact in told.facts if fact.pool == mine.key]


def test_the_hubs_own_word_for_hardware_that_the_spec_does_not_name_is_no_label() -> None:
    process = Passes()
    told = process.run(of_evil_hub(*(made_up(number) for number in range(50))), pool(), EVIL)
    labels = {label for fact in facts_of(told, EVIL) for label in fact.labels}
    assert not [label for label in labels if label.startswith("flavor-")]
    assert counted(told)[Measure.BILLED, (OTHER,)] == 50


def test_a_hub_that_makes_up_ended_jobs_for_ever_fills_no_memory() -> None:
    process = Passes()
    for round_ in range(5):
        jobs = (made_up(1_000 * round_ + number, flavor=f"f{round_}-{number}") for number in range(1_000))
        process.run(of_evil_hub(*jobs), pool(), EVIL, now=NOW + 5 * round_)
    assert process.chronicle.remembered <= MOST_REMEMBERED + 4 * EVIL.max_runners + 1


def test_a_hub_of_another_tenant_says_nothing_of_a_pool_that_does_not_use_it() -> None:
    mine = pool()
    honest = facts_of(Passes().run(at_work(), mine, EVIL), mine)
    lies = [made_up(number, of=mine, flavor="t4-small") for number in range(3)]
    given, done = Passes().plan(of_evil_hub(*lies), mine, EVIL)
    # What the plan itself believes is another matter: here it is the one that heard no lie.
    _, unheard = Passes().plan(at_work(), mine, EVIL)
    told = Passes().chronicle.follow(given, replace(done, notices=unheard.notices))
    assert facts_of(told, mine) == honest


def test_what_a_queue_of_another_tenant_says_of_a_runner_is_not_timed() -> None:
    mine, process = pool(), Passes()
    process.run(snapshot(registrations=[registration(mine)], hf_jobs=[started(mine)]), mine, EVIL)
    lie = replace(running(1, name_of(mine)), status=JobStatus.COMPLETED)
    told = process.run(replace(snapshot(), completed={EVIL_SOURCE: (lie,)}), mine, EVIL, now=NOW + 5)
    assert told.starts == []


def test_a_pool_that_cannot_be_measured_is_named_and_costs_the_others_nothing() -> None:
    mine = pool()
    honest = facts_of(Passes().run(at_work(), mine, EVIL), mine)
    process = Passes()
    given, done = process.plan(of_evil_hub(replace(made_up(1), finished_at=SERVER)), mine, EVIL)
    report = done.reports[EVIL.uid]
    ((bad, view),) = report.ended
    odd: Any = "soon"  # what no adapter should let through
    broken = replace(report, ended=[(replace(bad, started_at=odd), view)])
    done = replace(done, reports={**done.reports, EVIL.uid: broken})
    told = process.chronicle.follow(given, done)
    assert facts_of(told, mine) == honest
    assert list(told.faults) == [EVIL.key]
    assert isinstance(told.faults[EVIL.key], TypeError)
    assert Fact(Measure.FAULT, 1.0, EVIL.key, ("measure",)) in told.facts
