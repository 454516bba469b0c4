"""What a pass lets be counted and timed, case by case: when a runner was online, what a message counts, and
when that happened which it reports.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.core.actions import Result, Retire
from controller.core.effects import Effect
from controller.core.facts import Fact, Measure, Seen
from controller.core.measure import Chronicle
from controller.core.model import Disposition, Failure, HFJob, JobStatus, Pool, Registration, Snapshot, Stage
from controller.core.notices import Notice
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
    name_of,
    pool,
    registration,
    running,
    seen,
    snapshot,
    started,
)

P = pool()
NAME = name_of(P)


class Process:
    """One process whose passes remember nothing but what is measured."""

    def __init__(self, *, began: float = NOW - 10_000) -> None:
        self.chronicle = Chronicle(began=began)

    def follow(
        self,
        view: Snapshot,
        *,
        of: Pool = P,
        now: float = NOW,
        notices: tuple[Notice, ...] = (),
        results: tuple[Result, ...] = (),
        report: dict[str, Any] | None = None,
    ) -> Seen:
        """Measure one pass that sends these messages, and changes its report of the pool like this."""
        given = PlanInput(
            pools=[of],
            snapshot=view,
            results=results,
            now=now,
            wall=SERVER + now - NOW,
            controller_id=CONTROLLER,
            entropy="a pass",
        )
        done: Plan = replace(plan(given), notices=notices)
        if report is not None:
            done = replace(done, reports={of.uid: replace(done.reports[of.uid], **report)})
        measured = self.chronicle.follow(given, done)
        assert measured.faults == {}
        return measured


def facts(of: Seen, measure: Measure) -> list[tuple[float, tuple[str, ...]]]:
    return [(round(one.value, 6), one.labels) for one in of.facts if one.measure is measure]


def lists(listed: Registration, *jobs: Any, at: float = NOW - 1) -> Snapshot:
    return snapshot(jobs=jobs, registrations=seen([listed], at=at), hf_jobs=[started(P, seconds_ago=60)])


# ------------------------------------------------------------------------------------------ being online
@pytest.mark.parametrize(
    ("shown", "boots"),
    [
        ({"online": True}, [(60, ("t4-small",))]),
        ({"online": True, "busy": True}, [(60, ("t4-small",))]),
        ({"busy": True}, [(60, ("t4-small",))]),
        ({}, []),
    ],
    ids=["it is online", "it is online and busy", "it is busy, so it was online", "it is offline"],
)
def test_a_boot_ends_when_a_list_first_shows_the_runner_online(
    shown: dict[str, Any], boots: list[tuple[float, tuple[str, ...]]]
) -> None:
    process = Process()
    assert facts(process.follow(lists(registration(P, **shown))), Measure.RUNNER_BOOT) == boots
    assert (
        facts(process.follow(lists(registration(P, **shown), at=NOW), now=NOW + 1), Measure.RUNNER_BOOT) == []
    )


@pytest.mark.parametrize(
    ("started_at", "ahead", "boot"),
    [
        (SERVER - 10, SERVER - NOW + 1, 50),
        (SERVER + 5, SERVER - NOW + 1, 60),
        (None, SERVER - NOW + 1, 60),
        (SERVER - 10, None, 60),
    ],
    ids=["its job started before the list", "after it", "nobody says when", "GitHub's clock is not known"],
)
def test_a_runner_was_online_at_the_latest_when_its_job_started_or_a_list_showed_it(
    started_at: float | None, ahead: float | None, boot: float
) -> None:
    work = replace(running(1, NAME), started_at=started_at)
    view = lists(registration(P, online=True, busy=True), work)
    process = Process()
    given = plan(
        PlanInput(pools=[P], snapshot=view, now=NOW, wall=SERVER, controller_id=CONTROLLER, entropy="a pass")
    )
    demand = replace(given.reports[P.uid].demand, server_ahead=ahead)
    assert facts(process.follow(view, report={"demand": demand}), Measure.RUNNER_BOOT) == [
        (boot, ("t4-small",))
    ]


@pytest.mark.parametrize(
    ("listed_at", "to_online"),
    [(NOW - 1, 20), (NOW - 26, 5), (NOW - 500, 0)],
    ids=[
        "its job started before a list showed it",
        "it was online before",
        "it was online before the job came",
    ],
)
def test_a_job_waited_for_its_runner_until_that_was_online(listed_at: float, to_online: float) -> None:
    process = Process()
    process.follow(lists(registration(P, online=True), at=listed_at), now=listed_at + 1)
    found = process.follow(lists(registration(P, online=True, busy=True), running(1, NAME)))
    assert facts(found, Measure.QUEUE_TO_ONLINE) == [(pytest.approx(to_online, abs=0.01), ())]
    assert facts(found, Measure.QUEUE_TO_START) == [(pytest.approx(20, abs=0.01), ())]


def test_no_duration_is_less_than_nothing_though_clocks_differ() -> None:
    odd = replace(started(P, seconds_ago=2), created_at=SERVER)
    work = replace(running(1, NAME), created_at=SERVER - 5)
    view = snapshot(jobs=[work], registrations=[registration(P, online=True, busy=True)], hf_jobs=[odd])
    found = Process().follow(view)
    for measure in (
        Measure.HF_SCHEDULING,
        Measure.RUNNER_BOOT,
        Measure.QUEUE_TO_START,
        Measure.QUEUE_TO_ONLINE,
    ):
        ((value, _),) = facts(found, measure)
        assert value == 0


def test_what_only_its_end_has_shown_of_a_runner_counts_when_its_job_is_seen() -> None:
    process = Process()
    over = replace(started(P, seconds_ago=60), stage=Stage.COMPLETED, finished_at=SERVER - 1)
    assert facts(process.follow(snapshot(ended=[over])), Measure.HF_SCHEDULING) == [(5, ("t4-small",))]
    done = replace(running(1, NAME), status=JobStatus.COMPLETED)
    found = process.follow(replace(snapshot(), completed={SOURCE: (done,)}), now=NOW + 5)
    assert facts(found, Measure.RUNNER_BOOT) == [(50, ("t4-small",))]
    assert [one.hf_job_id for one in found.starts] == ["hf-aaaa"]


def test_an_hf_job_that_ended_before_it_began_to_run_has_no_durations() -> None:
    over = replace(hf_job(P), stage=Stage.ERROR, finished_at=SERVER - 1)
    assert facts(Process().follow(snapshot(ended=[over])), Measure.HF_SCHEDULING) == []


# --------------------------------------------------------------------------------- messages and results
def notice(reason: Reason, **changes: Any) -> Notice:
    base: dict[str, Any] = {"warning": True, "runner": NAME}
    return Notice(pool_uid=P.uid, reason=reason, message="because", **{**base, **changes})


FAILED = replace(
    started(P, seconds_ago=60),
    stage=Stage.ERROR,
    message="Job failed with exit code: 78. Reason: Error",
    finished_at=SERVER - 5,
)


def counts(of: Seen) -> set[Fact]:
    return {one for one in of.facts if one.measure is not Measure.NOTICE}


def fact(measure: Measure, *labels: str) -> Fact:
    return Fact(measure, 1.0, P.key, labels)


@pytest.mark.parametrize(
    ("sent", "counted"),
    [
        (notice(Reason.JobsRerun, warning=False, runner=""), {fact(Measure.RETRY)}),
        (notice(Reason.RunnerLost, runner=""), {fact(Measure.LOST, "RunnerLost")}),
        (notice(Reason.AtHubLimit, runner=""), set()),
        (notice(Reason.RunnerLost), {fact(Measure.LOST, "RunnerLost")}),
        (notice(Reason.RunnerLost, hf_job=FAILED), {fact(Measure.LOST, "RunnerFailed")}),
        (
            notice(Reason.SchedulingDeadline, hf_job=hf_job(P)),
            {
                fact(Measure.STUCK, "scheduling"),
                fact(Measure.LAUNCH_FAILURE, "t4-small", "SchedulingDeadline"),
            },
        ),
        (
            notice(Reason.RegistrationDeadline, hf_job=started(P)),
            {
                fact(Measure.STUCK, "registration"),
                fact(Measure.LAUNCH_FAILURE, "t4-small", "RegistrationDeadline"),
            },
        ),
        (
            notice(Reason.NotPickedUp, hf_job=started(P)),
            {fact(Measure.STUCK, "idle"), fact(Measure.LAUNCH_FAILURE, "t4-small", "NotPickedUp")},
        ),
        (notice(Reason.LifetimeDeadline, hf_job=started(P)), {fact(Measure.STUCK, "lifetime")}),
        (notice(Reason.EndedAfterJob, hf_job=FAILED), set()),
        (
            notice(Reason.RunnerVersionRefused, hf_job=FAILED),
            {
                fact(Measure.VERSION_REFUSED),
                fact(Measure.LAUNCH_FAILURE, "t4-small", "RunnerVersionRefused"),
            },
        ),
        (notice(Reason.RunnerFailed, hf_job=FAILED, warning=False), set()),
        (
            notice(Reason.RunnerFailed, hf_job=replace(FAILED, flavor="made-up")),
            {fact(Measure.LAUNCH_FAILURE, "other", "RunnerFailed")},
        ),
        (notice(Reason.RunnerFailed), {fact(Measure.LAUNCH_FAILURE, "other", "RunnerFailed")}),
    ],
    ids=[
        "jobs run again",
        "a loss whose runner is not known",
        "another message that is about no runner",
        "a loss that nobody saw",
        "a loss whose cause the Hub tells",
        "not scheduled",
        "not online",
        "not given a job",
        "its lifetime is over",
        "an end after its job",
        "a version that GitHub refuses",
        "a failure that is no warning",
        "a failure on hardware that the spec does not name",
        "a failure of a runner of which nothing is known",
    ],
)
def test_a_message_counts(sent: Notice, counted: set[Fact]) -> None:
    process = Process()
    first = process.follow(snapshot(), notices=(sent,))
    assert counts(first) == counted
    assert facts(first, Measure.NOTICE) == [(1.0, (str(sent.reason),))]
    again = process.follow(snapshot(), notices=(sent,), now=NOW + 5)
    assert facts(again, Measure.NOTICE) == [(1.0, (str(sent.reason),))], "each message is one more"
    assert counts(again) == (set() if sent.runner else counted), "a runner gives each of its facts once"


def test_a_failure_without_an_hf_job_is_of_the_flavor_that_the_runner_was_seen_with() -> None:
    process = Process()
    process.follow(lists(registration(P)))
    found = process.follow(snapshot(), notices=(notice(Reason.RunnerFailed),), now=NOW + 5)
    assert facts(found, Measure.LAUNCH_FAILURE) == [(1.0, ("t4-small", "RunnerFailed"))]


@pytest.mark.parametrize(
    ("sent", "seconds_ago"),
    [
        (notice(Reason.SchedulingDeadline), 0),
        (notice(Reason.RunnerFailed, hf_job=replace(FAILED, finished_at=SERVER - 40)), 41),
        (notice(Reason.SchedulingDeadline, hf_job=hf_job(P, created_at=SERVER - 650)), 51),
        (notice(Reason.RegistrationDeadline, hf_job=started(P, seconds_ago=340)), 41),
        (notice(Reason.RegistrationDeadline, hf_job=hf_job(P, created_at=SERVER - 650)), 0),
        (notice(Reason.NotPickedUp, hf_job=started(P, seconds_ago=340)), 0),
    ],
    ids=[
        "no HF Job tells: now",
        "when the HF Job ended",
        "when the deadline for its scheduling was over",
        "when the deadline for its registration was over",
        "one that does not run tells no time: now",
        "another deadline: now",
    ],
)
def test_what_a_message_reports_happened(sent: Notice, seconds_ago: float) -> None:
    """One second after that and the clock's error, a new process no more counts it; one before, it does."""

    def counted(began: float) -> bool:
        found = Process(began=began).follow(snapshot(), notices=(sent,))
        return bool(facts(found, Measure.LAUNCH_FAILURE))

    happened = NOW - seconds_ago
    assert (counted(happened - 2), counted(happened)) == (True, False)


def test_without_a_list_of_its_account_an_end_is_counted_when_it_is_reported() -> None:
    sent = notice(Reason.RunnerFailed, hf_job=FAILED)
    found = Process(began=NOW - 2).follow(snapshot(hf_jobs=None), notices=(sent,))
    assert facts(found, Measure.LAUNCH_FAILURE) == [(1.0, ("t4-small", "RunnerFailed"))]


def result(effect: Effect, **changes: Any) -> Result:
    return Result(name=NAME, pool_uid=P.uid, effect=effect, flavor="t4-small", **changes)


def failure(reason: Reason) -> Failure:
    return Failure(reason=reason, message="no", disposition=Disposition.RETRY)


@pytest.mark.parametrize("why", [Reason.Pending, Reason.StopSwitchOn, Reason.StopSwitchUnread])
def test_a_launch_that_was_not_tried_is_no_failure(why: Reason) -> None:
    found = Process().follow(snapshot(), results=(result(Effect.LAUNCH, failure=failure(why)),))
    assert facts(found, Measure.LAUNCH_FAILURE) == []


def test_a_launch_that_succeeds_and_a_retirement_that_fails_are_no_failed_launches() -> None:
    refused = result(Effect.RETIRE, failure=failure(Reason.GitHubForbidden))
    found = Process().follow(snapshot(), results=(result(Effect.LAUNCH), refused))
    assert facts(found, Measure.LAUNCH_FAILURE) == []


def test_a_retirement_and_a_refused_launch_of_one_runner_count_once() -> None:
    retire = Retire(
        name=NAME,
        pool_uid=P.uid,
        scope=P.footprint.registrations,
        account=ACCOUNT,
        registration_id=7,
        hf_job_id=None,
        reason=Reason.IdleDeadline,
    )
    both = (
        result(Effect.LAUNCH, failure=failure(Reason.HubForbidden)),
        result(Effect.RETIRE, retire=retire),
    )
    process = Process()
    first = process.follow(snapshot(), results=both)
    assert facts(first, Measure.LAUNCH_FAILURE) == [(1.0, ("t4-small", "HubForbidden"))]
    assert facts(first, Measure.RETIREMENT) == [(1.0, ("IdleDeadline",))]
    again = process.follow(snapshot(), results=both, now=NOW + 5)
    assert counts(again) == set()


# ------------------------------------------------------------------------------------------ memory
@pytest.mark.parametrize(("seconds", "remembered"), [(900, 1), (901, 0)])
def test_a_runner_that_is_gone_is_remembered_for_a_quarter_of_an_hour(
    seconds: float, remembered: int
) -> None:
    process = Process()
    process.follow(lists(registration(P)))
    process.follow(snapshot(), now=NOW + 10)
    process.follow(snapshot(), now=NOW + 10 + seconds)
    assert process.chronicle.remembered == remembered


def test_one_that_a_list_shows_again_was_not_gone() -> None:
    process = Process()
    process.follow(lists(registration(P)))
    process.follow(snapshot(), now=NOW + 10)
    process.follow(lists(registration(P)), now=NOW + 800)
    process.follow(snapshot(), now=NOW + 810)
    process.follow(snapshot(), now=NOW + 1_000)
    assert process.chronicle.remembered == 1


def test_of_too_many_the_oldest_is_forgotten() -> None:
    def over(number: int) -> HFJob:
        return replace(
            FAILED, id=f"hf-{number}", labels={**FAILED.labels, "runner": name_of(P, f"x{number}")}
        )

    process = Process()
    process.follow(snapshot(ended=[over(0)]), notices=(notice(Reason.RunnerFailed, runner=name_of(P, "x0")),))
    assert process.chronicle.remembered == 1
    process.follow(snapshot(ended=[over(number) for number in range(1, 1_016)]), now=NOW + 5)
    assert process.chronicle.remembered == 1_016, "1,000, and four times maxRunners"
    late = notice(Reason.RunnerFailed, runner=name_of(P, "x0"))
    assert counts(process.follow(snapshot(), notices=(late,), now=NOW + 6)) == set()
    process.follow(snapshot(ended=[over(1_017), over(1_018)]), now=NOW + 10)
    assert process.chronicle.remembered == 1_016
    assert counts(process.follow(snapshot(), notices=(late,), now=NOW + 11)) != set()


def test_what_was_known_of_a_pool_that_is_deleted_goes_after_a_while() -> None:
    process = Process()
    process.follow(lists(registration(P)))
    other = pool("other")
    process.follow(snapshot(), of=other, now=NOW + 10)
    assert process.chronicle.remembered == 1
    process.follow(snapshot(), of=other, now=NOW + 911)
    assert process.chronicle.remembered == 0
