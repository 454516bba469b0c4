"""What every condition says: of a pool that is well, and of one that is not, each with what else it changes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.api.status.conditions import PATIENCE
from controller.api.status.model import Condition, RunnerPoolStatus
from controller.api.status.values import MOST_MESSAGE, Instant, iso
from controller.core.backoff import POOL, STALLED_AFTER, Backoff
from controller.core.conditions import ConditionType as C
from controller.core.contradictions import contradictions
from controller.core.drained import Awaited
from controller.core.explain import Waiting
from controller.core.intents import Blocked
from controller.core.lifecycle import Phase
from controller.core.model import Disposition, Failure, PoolKey, SuspicionLevel, TokenEnd
from controller.core.overlap import Overlap
from controller.core.reasons import Reason
from controller.core.report import PoolReport
from controller.core.stop_switch import Stopped
from controller.core.suspicion import Group, Suspicion
from tests.api.status.healthy import Said, asked, built, differences, healthy, remembering, report, said
from tests.core.build import NOW, SERVER, hf_job, job, pool, run_plan, snapshot

OUTAGE = Failure(reason=Reason.GitHubUnavailable, message="GitHub answered 502.", request_id="47:11")
SECRET = Failure(
    reason=Reason.SecretMissing,
    message="Make Secret a.",
    disposition=Disposition.PERSON,
    request_id="never shown",
)
REFUSED = Failure(reason=Reason.HostNotAllowed, message="Host evil.example.", disposition=Disposition.PERSON)
GONE = Failure(reason=Reason.GitHubNotFound, message="No such thing.", disposition=Disposition.GONE)
OUTAGE_SAID = ("GitHubUnavailable", "GitHub answered 502. (request id 47:11)")
SECRET_SAID = ("SecretMissing", "Make Secret a.")
REFUSED_SAID = ("HostNotAllowed", "Host evil.example.")


def plain(status: str, reason: Reason) -> Said:
    """A condition with its reason's general sentence."""
    return status, reason.name, reason.meaning


def of(**changes: object) -> PoolReport:
    """The report of a pool that differs in itself."""
    return report(pool=replace(healthy().pool, **changes))  # type: ignore[arg-type]


def test_a_pool_that_is_well_says_so_in_every_condition() -> None:
    assert said(healthy()) == {
        C.READY: plain("True", Reason.Serving),
        C.RECONCILING: plain("False", Reason.UpToDate),
        C.STALLED: plain("False", Reason.Serving),
        C.LAUNCHES_ALLOWED: plain("True", Reason.LaunchesAllowed),
        C.GITHUB_REACHABLE: plain("True", Reason.Reachable),
        C.HUB_REACHABLE: plain("True", Reason.Reachable),
        C.REPOSITORIES_READABLE: plain("True", Reason.Readable),
        C.LAUNCHES_SUCCEED: plain("True", Reason.LaunchesSucceed),
        C.INTENTS_WRITTEN: plain("True", Reason.IntentsWritten),
        C.JOBS_UNINTERRUPTED: plain("True", Reason.JobsUninterrupted),
        C.LABELS_DISTINCT: plain("True", Reason.LabelsDistinct),
        C.SPEC_CONSISTENT: plain("True", Reason.SpecConsistent),
        C.FLAVORS_OFFERED: plain("True", Reason.FlavorsOffered),
        C.CREDENTIALS_VALID: plain("True", Reason.CredentialsValid),
    }
    assert list(said(healthy())) == list(C)


# ------------------------------------------------------------------------------------------------- what a person must mend
STALLED = [
    ("refused", of(refused=REFUSED), REFUSED_SAID),
    ("failure", report(failures=[OUTAGE, SECRET, REFUSED]), SECRET_SAID),
    ("github", report(github=SECRET), SECRET_SAID),
    ("hub", report(hub=SECRET), SECRET_SAID),
    (
        "no repository, for good",
        report(demand=asked(unreadable=[("acme/lib", GONE)], reach=("acme/lib",))),
        ("GitHubNotFound", "No such thing."),
    ),
    (
        "back-off by a person's mistake",
        remembering(backoffs={"t4": Backoff(failures=1, until=NOW, at=NOW, failure=SECRET)}),
        ("SecretMissing", "1 launch failed: Make Secret a."),
    ),
    (
        "failed often",
        remembering(backoffs={POOL: Backoff(failures=STALLED_AFTER, until=NOW, at=NOW, failure=OUTAGE)}),
        (OUTAGE_SAID[0], f"{STALLED_AFTER} launches in a row failed: {OUTAGE_SAID[1]}"),
    ),
]


@pytest.mark.parametrize(("report", "said"), [row[1:] for row in STALLED], ids=[row[0] for row in STALLED])
def test_what_a_person_must_mend_stalls_the_pool_and_makes_it_not_ready(
    report: PoolReport, said: tuple[str, str]
) -> None:
    found = differences(report)
    assert found[C.STALLED] == ("True", *said)
    assert found[C.READY] == ("False", *said)
    assert C.RECONCILING not in found


NOT_STALLED = [
    ("outage", report(github=OUTAGE, hub=OUTAGE, failures=[OUTAGE])),
    ("one repository of two", report(demand=asked(unreadable=[("a/b", SECRET)], reach=("a/b", "a/c")))),
    ("for now", report(demand=asked(unreadable=[("a/b", GONE), ("a/c", OUTAGE)], reach=("a/b", "a/c")))),
    ("no repository at all", report(demand=asked(unreadable=[], reach=()))),
    (
        "seldom",
        remembering(backoffs={"t4": Backoff(failures=STALLED_AFTER - 1, until=NOW, at=NOW, failure=OUTAGE)}),
    ),
]


@pytest.mark.parametrize("report", [row[1] for row in NOT_STALLED], ids=[row[0] for row in NOT_STALLED])
def test_what_may_pass_by_itself_stalls_nobody(report: PoolReport) -> None:
    found = differences(report)
    assert C.STALLED not in found
    assert C.READY not in found


def test_a_pool_whose_hosts_are_refused_is_asked_nothing() -> None:
    refused = of(refused=REFUSED)
    asked_before = differences(replace(refused, github_seen_at=NOW, hub_seen_at=NOW))
    unknown = ("Unknown", *REFUSED_SAID)
    assert differences(replace(refused, github_seen_at=None, hub_seen_at=None)) == {
        C.READY: ("False", *REFUSED_SAID),
        C.STALLED: ("True", *REFUSED_SAID),
        C.GITHUB_REACHABLE: unknown,
        C.HUB_REACHABLE: unknown,
        C.REPOSITORIES_READABLE: unknown,
        C.FLAVORS_OFFERED: unknown,
        C.CREDENTIALS_VALID: unknown,
    }
    assert not {C.GITHUB_REACHABLE, C.HUB_REACHABLE} & asked_before.keys()


# ------------------------------------------------------------------------------------------------------------ in and out
def test_a_pool_that_was_not_looked_at_is_pending() -> None:
    pending = plain("Unknown", Reason.Pending)
    assert differences(report(observed=False)) == {
        C.READY: plain("False", Reason.Pending),
        C.RECONCILING: plain("True", Reason.Pending),
        C.GITHUB_REACHABLE: pending,
        C.HUB_REACHABLE: pending,
        C.CREDENTIALS_VALID: pending,
    }


def test_a_pool_that_was_not_looked_at_and_waits_for_a_person_is_not_being_reconciled() -> None:
    found = differences(report(observed=False, failures=[SECRET]))
    assert found[C.RECONCILING] == found[C.READY] == ("False", *SECRET_SAID)
    leaving = differences(replace(of(deleting=True), observed=False, failures=[SECRET]))
    assert leaving[C.RECONCILING][:2] == ("True", "Draining")


def leaving(**changes: object) -> PoolReport:
    """The report of a pool that is being deleted and has something left."""
    return replace(of(deleting=True), drained=False, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("busy", "waits"),
    [
        (0, ""),
        (1, " 1 running workflow job is waited for, each up to deadlines.lifetime."),
        (2, " 2 running workflow jobs are waited for, each up to deadlines.lifetime."),
    ],
)
def test_a_pool_that_leaves_says_for_how_many_workflow_jobs_it_waits(busy: int, waits: str) -> None:
    mine = pool()
    (one,) = run_plan([mine], snapshot(hf_jobs=[hf_job(mine)])).reports[mine.uid].runners
    runners = [one, *(one._replace(name=f"busy-{n}", phase=Phase.BUSY) for n in range(busy))]
    draining = ("Draining", Reason.Draining.meaning + waits)
    assert differences(leaving(runners=runners)) == {
        C.READY: ("False", *draining),
        C.RECONCILING: ("True", *draining),
    }


def test_a_pool_that_is_empty_is_not_being_reconciled_and_says_why_it_is_not_ready() -> None:
    drained = plain("False", Reason.Drained)
    assert differences(replace(of(draining=True), drained=True)) == {C.READY: drained, C.RECONCILING: drained}
    deleted = differences(replace(of(deleting=True), drained=True))
    assert deleted == {kind: plain("False", Reason.Draining) for kind in (C.READY, C.RECONCILING)}


def test_a_pool_that_leaves_names_the_places_that_it_waits_for_and_until_when() -> None:
    place = pool().footprint.place
    found = differences(
        leaving(
            awaited=[
                Awaited(place=place, until=SERVER + 60, failure=SECRET),
                Awaited(place=place, until=SERVER + 30),
                Awaited(place=place, failure=OUTAGE),
            ],
            hub=SECRET,
        )
    )
    waits = "so it is waited for until all that was launched there has met its timeout:"
    message = (
        f"{Reason.Draining.meaning} {place} cannot be read (Make Secret a.), {waits} {iso(SERVER + 60)}."
        f" {place} cannot be read (no answer has come), {waits} {iso(SERVER + 30)}."
    )
    assert found[C.READY] == ("False", "Draining", message)
    assert found[C.STALLED] == (
        "True",
        "SecretMissing",
        f"Make Secret a. The pool goes without it too, by {iso(SERVER + 60)} at the latest.",
    )
    no_time = differences(leaving(hub=SECRET))
    assert no_time[C.STALLED][2] == "Make Secret a. The pool goes without it too."


# ---------------------------------------------------------------------------------------------------------------- outages
@pytest.mark.parametrize(("side", "type_"), [("github", C.GITHUB_REACHABLE), ("hub", C.HUB_REACHABLE)])
@pytest.mark.parametrize(
    ("seen_at", "ready"), [(NOW - PATIENCE, True), (NOW - PATIENCE - 1, False), (None, False)]
)
def test_an_outage_makes_a_pool_not_ready_after_a_while(
    side: str, type_: C, seen_at: float | None, ready: bool
) -> None:
    found = differences(report(**{side: OUTAGE, f"{side}_seen_at": seen_at}))
    expected = {type_: ("False", *OUTAGE_SAID)}
    assert found == (expected if ready else {**expected, C.READY: ("False", *OUTAGE_SAID)})


@pytest.mark.parametrize(("for_seconds", "ready"), [(PATIENCE, True), (PATIENCE + 1, False)])
def test_launches_that_cannot_be_written_make_a_pool_not_ready_after_a_while(
    for_seconds: float, ready: bool
) -> None:
    blocked = Blocked(failure=OUTAGE, since=NOW - for_seconds, until=NOW)
    expected = {C.INTENTS_WRITTEN: ("False", *OUTAGE_SAID)}
    found = differences(report(unwritten=blocked))
    assert found == (expected if ready else {**expected, C.READY: ("False", *OUTAGE_SAID)})


# ---------------------------------------------------------------------------------------------------- stopped and paused
def test_a_pool_that_people_stopped_stays_ready_and_says_by_whom() -> None:
    words = ("StopSwitchOn", "Ann stopped all.")
    found = differences(of(stopped=Stopped(reason=Reason.StopSwitchOn, message=words[1])))
    assert found == {C.READY: ("True", *words), C.LAUNCHES_ALLOWED: ("False", *words)}


def test_a_pool_of_which_nobody_knows_whether_it_is_stopped_is_not_ready() -> None:
    words = ("StopSwitchUnread", "No answer.")
    found = differences(of(stopped=Stopped(reason=Reason.StopSwitchUnread, message=words[1])))
    assert found == {C.READY: ("False", *words), C.LAUNCHES_ALLOWED: ("False", *words)}


def test_a_pool_that_is_stopped_and_broken_says_both() -> None:
    found = differences(
        replace(of(stopped=Stopped(reason=Reason.StopSwitchOn, message="Ann.")), failures=[SECRET])
    )
    assert found[C.READY] == ("False", "SecretMissing", "Ann. Besides: Make Secret a.")


def test_a_pool_that_is_paused_is_ready_and_launches_nothing() -> None:
    assert differences(of(paused=True)) == {
        C.READY: plain("True", Reason.Paused),
        C.LAUNCHES_ALLOWED: plain("False", Reason.Paused),
    }


def test_a_pool_that_may_have_no_runner_is_ready_to_do_nothing() -> None:
    assert differences(of(max_runners=0))[C.READY] == plain("True", Reason.NoneAllowed)


# ------------------------------------------------------------------------------------------------------------- suspicion
def suspected(queued: int, suspected: int, *, waiting: bool = True, paused: bool = False) -> PoolReport:
    suspicion = Suspicion(level=SuspicionLevel.JOB, repository="acme/lib", job_id=1, since=NOW, seen_at=NOW)
    told = [
        Waiting(reason=Reason.AtMaxRunners, count=1, message="Full."),
        Waiting(reason=Reason.NotPickedUp, count=1, message="GitHub gives job 1 to nobody."),
    ]
    return report(
        pool=replace(healthy().pool, paused=paused),
        suspected=[Group(suspicion=suspicion, jobs=(job(1),))],
        demand=asked(queued=[job(number) for number in range(queued)], suspected=suspected),
        waiting=told if waiting else told[:1],
    )


def test_a_pool_whose_every_job_is_passed_over_is_not_ready() -> None:
    words = ("False", "NotPickedUp", "GitHub gives job 1 to nobody.")
    assert differences(suspected(2, 2)) == {C.READY: words, C.LAUNCHES_SUCCEED: words}
    general = plain("False", Reason.NotPickedUp)
    assert differences(suspected(2, 2, waiting=False)) == {C.READY: general, C.LAUNCHES_SUCCEED: general}


def test_a_pool_that_serves_other_jobs_or_is_paused_stays_ready() -> None:
    assert C.READY not in differences(suspected(2, 1))
    assert differences(suspected(2, 2, paused=True))[C.READY] == plain("True", Reason.Paused)


# --------------------------------------------------------------------------------------------------------- each by itself
def test_the_worst_back_off_is_told_with_its_flavor() -> None:
    def backoffs(*failures: tuple[str, int]) -> PoolReport:
        return remembering(
            backoffs={
                key: Backoff(failures=count, until=NOW, at=NOW, failure=OUTAGE) for key, count in failures
            }
        )

    said = {C.LAUNCHES_SUCCEED: ("False", OUTAGE_SAID[0], f"3 in a row on t4-small: {OUTAGE_SAID[1]}")}
    assert differences(backoffs(("a10g", 2), ("t4-small", 3))) == said
    assert differences(backoffs(("t4-small", 3), ("a10g", 3))) == said
    everywhere = differences(backoffs((POOL, 1)))[C.LAUNCHES_SUCCEED]
    assert everywhere == ("False", OUTAGE_SAID[0], f"1 in a row: {OUTAGE_SAID[1]}")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("a", "a: GitHub answered 502."),
        ("abc", "a: GitHub answered 502.; b: GitHub answered 502.; c: GitHub answered 502."),
        (
            "abcde",
            "a: GitHub answered 502.; b: GitHub answered 502.; c: GitHub answered 502.; and 2 more",
        ),
    ],
)
def test_of_repositories_that_cannot_be_read_three_are_named_and_the_others_counted(
    names: str, message: str
) -> None:
    demand = asked(unreadable=[(name, OUTAGE) for name in names], reach=tuple("abcdefg"))
    expected = {C.REPOSITORIES_READABLE: ("False", "GitHubUnavailable", message)}
    assert differences(report(demand=demand)) == expected


def test_repositories_that_were_not_read_yet_or_do_not_exist_are_told_apart() -> None:
    unread = differences(report(demand=asked(complete=False)))
    assert unread == {C.REPOSITORIES_READABLE: plain("Unknown", Reason.Pending)}
    none = differences(report(demand=asked(reach=())))
    assert none == {C.REPOSITORIES_READABLE: plain("False", Reason.NoRepositories)}
    neither = differences(report(demand=asked(complete=False, reach=())))
    assert neither == unread


def test_labels_that_another_pool_has_too_are_named_with_the_pool_that_goes_first() -> None:
    t4, a10g, far = (
        Overlap(other=PoolKey("ci", "t4-b"), labels=("gpu", "hf-t4"), goes_first=True),
        Overlap(other=PoolKey("ci", "a10g"), labels=("gpu",), goes_first=False),
        Overlap(other=None, labels=("gpu", "x"), goes_first=True),
    )
    assert differences(healthy(), overlaps=[far, t4, a10g]) == {
        C.LABELS_DISTINCT: (
            "False",
            "LabelsOverlap",
            (
                "jobs that ask for gpu, hf-t4 go to ci/t4-b rather than to this pool; "
                f"jobs that ask for gpu go to this pool rather than to ci/a10g. {Reason.LabelsOverlap.meaning}"
            ),
        )
    }
    shared = differences(healthy(), overlaps=[far])[C.LABELS_DISTINCT]
    assert shared == ("False", "SharedLabels", f"gpu, x: {Reason.SharedLabels.meaning}")


def test_a_flavor_that_is_not_offered_is_told() -> None:
    assert differences(report(unknown_flavor=SECRET)) == {C.FLAVORS_OFFERED: ("False", *SECRET_SAID)}


def test_credentials_that_github_refuses_are_told_before_their_end() -> None:
    refused = replace(OUTAGE, reason=Reason.GitHubUnauthorized)
    end = TokenEnd(at=SERVER + 3_600, asked_at=NOW, server_time=SERVER)
    found = differences(report(github=refused, token_end=end))
    assert found[C.CREDENTIALS_VALID] == ("False", "GitHubUnauthorized", OUTAGE_SAID[1])
    assert C.CREDENTIALS_VALID not in differences(report(github=OUTAGE))
    soon = differences(report(token_end=end))
    assert soon[C.CREDENTIALS_VALID][:2] == ("False", "CredentialsExpire")
    assert soon[C.CREDENTIALS_VALID][2] == (
        f"The token in Secret ci/github-app ends at {iso(SERVER + 3_600)}, in 1 hour. "
        f"{Reason.CredentialsExpire.meaning}"
    )


def test_a_spec_that_contradicts_itself_is_told_with_each_contradiction() -> None:
    odd = replace(healthy().pool, deadlines=replace(healthy().pool.deadlines, lifetime=60.0), min_idle=1)
    found = contradictions(odd)
    assert len(found) == 2
    message = f"{found[0]}. {found[1]}."
    assert differences(report(pool=odd)) == {C.SPEC_CONSISTENT: ("False", "SpecContradiction", message)}


# ------------------------------------------------------------------------------------------------------------ transitions
def at(wall: float, of: PoolReport, previous: RunnerPoolStatus | None = None) -> Condition:
    status = built(of, previous=previous, now=Instant(mono=NOW, wall=wall))
    ready = status.condition(C.READY)
    assert ready is not None
    return ready


def test_a_condition_tells_when_its_status_changed_last_and_not_when_its_words_did() -> None:
    first = built(healthy())
    assert at(SERVER, healthy()).last_transition_time == iso(SERVER)
    assert at(SERVER + 60, healthy(), first).last_transition_time == iso(SERVER)
    paused = at(SERVER + 60, of(paused=True), first)
    assert (paused.reason, paused.last_transition_time) == (Reason.Paused, iso(SERVER))
    newer = at(SERVER + 60, of(generation=7), first)
    assert (newer.observed_generation, newer.last_transition_time) == (7, iso(SERVER))
    broken = at(SERVER + 60, report(failures=[SECRET]), first)
    assert (broken.status, broken.last_transition_time) == ("False", iso(SERVER + 60))


def test_a_condition_that_says_the_same_is_the_same_object() -> None:
    first = built(healthy())
    second = built(healthy(), previous=first)
    assert [a is b for a, b in zip(first.conditions or (), second.conditions or (), strict=True)] == [
        True
    ] * len(C)


def test_a_message_is_cut_to_what_a_status_takes() -> None:
    long = replace(SECRET, message="x" * 2_000)
    assert len(differences(report(failures=[long]))[C.READY][2]) == MOST_MESSAGE
