"""Which runners must end: one alone, compared with what is wanted, and what follows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.core.actions import Retire
from controller.core.backoff import POOL, Backoff, Limit
from controller.core.effects import Effect
from controller.core.lifecycle import Phase, Track
from controller.core.memory import Memory, PoolMemory
from controller.core.model import Disposition, Failure, Pool, Snapshot
from controller.core.naming import spec_digest
from controller.core.reasons import Reason
from controller.core.retire.choose import retirement
from controller.core.retire.consequences import Consequences, follow
from controller.core.retire.surplus import (
    FLAP_WINDOW,
    GIVE_BACK_HOLD,
    Surplus,
    excess,
    give_back,
    idle_too_long,
    warm_runners,
    worn_out,
)
from controller.core.retire.why import ENDING_GRACE, LOST_GRACE, may_retire, why_retire
from controller.core.runners import Runner
from tests.core.build import (
    NOW,
    OUTAGE,
    elsewhere,
    hf_job,
    launching,
    name_of,
    pool,
    registration,
    run_plan,
    seen,
    snapshot,
    started,
)
from tests.core.stages import having, runner

P = pool()
LONG = NOW - 5_000
LISTS = snapshot()


def reason(one: Runner, of: Pool = P, view: Snapshot = LISTS, **changes: Any) -> Reason | None:
    return why_retire(
        of, one, **{"snapshot": view, "spec": spec_digest(of), "oldest_wait": 0.0, "now": NOW, **changes}
    )


def half(token: str, **track: Any) -> Runner:
    """A registration whose HF Job is gone."""
    known = Track(phase=Phase.ORPHANED, since=NOW - 5, **track)
    return runner(token, Phase.ORPHANED, hf_job=None, flavor="", track=known)


def lonely(token: str) -> Runner:
    """An HF Job whose registration is gone."""
    return runner(token, Phase.ORPHANED, registration=None)


def deregistered(since: float) -> Runner:
    track = Track(phase=Phase.FINISHED, since=since, deregistered=True)
    return runner("aaaa", Phase.FINISHED, registration=None, track=track)


LEAVING, DRAINED = pool(deleting=True), pool(draining=True)
REFUSED = pool(refused=Failure(reason=Reason.HostNotAllowed, message="no", disposition=Disposition.PERSON))


@pytest.mark.parametrize(
    ("one", "of", "expected"),
    [
        (runner("aaaa", Phase.IDLE), P, None),
        (runner("aaaa", Phase.BUSY, since=LONG), LEAVING, None),
        (runner("aaaa", Phase.REGISTERED, since=LONG), LEAVING, None),
        (runner("aaaa", Phase.IDLE), LEAVING, Reason.PoolDeleted),
        (runner("aaaa", Phase.IDLE), DRAINED, Reason.PoolDrained),
        (runner("aaaa", Phase.IDLE), REFUSED, Reason.HostNotAllowed),
        (runner("aaaa", Phase.IDLE), pool(labels=("other",)), Reason.PoolChanged),
        (runner("aaaa", Phase.IDLE), pool(flavors=("a10g-small",)), Reason.PoolChanged),
        (runner("aaaa", Phase.IDLE, footprint=elsewhere(P)), P, Reason.PoolChanged),
        (lonely("aaaa"), P, Reason.OrphanedHFJob),
        (half("aaaa"), P, Reason.OrphanedRegistration),
        (half("aaaa", launch_unanswered=True), P, Reason.LaunchInDoubt),
        (runner("aaaa", Phase.LOST, hf_job=None, since=NOW - LOST_GRACE), P, None),
        (runner("aaaa", Phase.LOST, hf_job=None, since=NOW - LOST_GRACE - 1), P, Reason.OrphanedRegistration),
        (runner("aaaa", Phase.FINISHED, hf_job=None, since=LONG), P, None),
        (runner("aaaa", Phase.FINISHED, since=NOW - ENDING_GRACE), P, None),
        (runner("aaaa", Phase.FINISHED, since=NOW - ENDING_GRACE - 1), P, Reason.NeverExited),
        (runner("aaaa", Phase.FINISHED, since=NOW - 30), LEAVING, None),
        (runner("aaaa", Phase.FINISHED, since=NOW - 90), LEAVING, Reason.PoolDeleted),
        (deregistered(NOW - 30), P, None),
        (deregistered(NOW - 90), P, Reason.EndedUnseen),
    ],
    ids=[
        "an idle one stays",
        "a busy one is left alone",
        "one whose launch is under way is left alone",
        "the pool is deleted",
        "the pool is drained",
        "its host is refused",
        "other labels",
        "another flavor",
        "another place",
        "an HF Job alone",
        "a registration alone",
        "a launch without an answer",
        "lost, and GitHub need not know yet",
        "lost for long",
        "finished, and GitHub removes the record",
        "finished, and may end by itself",
        "finished, and never ends",
        "finished in a pool that leaves, a moment ago",
        "finished in a pool that leaves",
        "deregistered a moment ago",
        "deregistered, and lists show it still",
    ],
)
def test_a_runner_is_retired_because(one: Runner, of: Pool, expected: Reason | None) -> None:
    assert reason(one, of) is expected


@pytest.mark.parametrize(
    ("one", "changes", "expected"),
    [
        (runner("aaaa", Phase.SCHEDULING, age=602.0), {}, Reason.SchedulingDeadline),
        (runner("aaaa", Phase.SCHEDULING, age=600.0), {}, None),
        (runner("aaaa", Phase.SCHEDULING, age=602.0), {"view": snapshot(hf_jobs=seen(failure=OUTAGE))}, None),
        (runner("aaaa", Phase.STARTING, age=362.0), {}, Reason.RegistrationDeadline),
        (runner("aaaa", Phase.STARTING, age=360.0), {}, None),
        (runner("aaaa", Phase.STARTING, age=362.0), {"view": snapshot(registrations=None)}, None),
        (runner("aaaa", Phase.IDLE, since=NOW - 122), {"oldest_wait": 121.0}, Reason.NotPickedUp),
        (runner("aaaa", Phase.IDLE, since=NOW - 122), {"oldest_wait": 120.0}, None),
        (runner("aaaa", Phase.IDLE, since=NOW - 120), {"oldest_wait": 999.0}, None),
        (runner("aaaa", Phase.IDLE, since=NOW - 122), {"oldest_wait": 999.0, "patient": True}, None),
        (
            runner("aaaa", Phase.IDLE, since=NOW - 122),
            {"oldest_wait": 999.0, "view": snapshot(registrations=seen(at=NOW - 3))},
            None,
        ),
    ],
    ids=[
        "not scheduled in time",
        "just in time",
        "the list of HF Jobs is not complete",
        "not online in time",
        "a list that lags may miss that it is",
        "registrations were never listed",
        "it idles beside a job that waits",
        "the job has not waited for long",
        "it has not idled for long",
        "it idles on purpose",
        "the list is older than its deadline",
    ],
)
def test_a_deadline_is_over_or_not(one: Runner, changes: dict[str, Any], expected: Reason | None) -> None:
    assert reason(one, **changes) is expected


FREE = Track(phase=Phase.IDLE, since=LONG)
GONE = {"alone_since": NOW - 200, "alone_at": NOW - 1}


def gone(**track: Any) -> Runner:
    known = Track(**{"phase": Phase.ORPHANED, "since": LONG, "gone_at": NOW - 30, **GONE, **track})
    return lonely("aaaa")._replace(track=known)


@pytest.mark.parametrize(
    ("one", "known", "expected"),
    [
        (runner("aaaa", Phase.IDLE), FREE, True),
        (runner("aaaa", Phase.IDLE, undisturbed=False), FREE, False),
        (runner("aaaa", Phase.IDLE), replace(FREE, retry_at=NOW + 1), False),
        (runner("aaaa", Phase.IDLE), replace(FREE, retry_at=NOW), True),
        (lonely("aaaa"), FREE, False),
        (gone(), FREE, False),
        (gone(job_done=True), FREE, True),
        (gone(deregistered=True), FREE, True),
        (gone()._replace(hf_job=hf_job(P)), FREE, False),
    ],
    ids=[
        "GitHub can be asked",
        "an effect of ours is under way",
        "GitHub said a moment ago that it is busy",
        "that is long ago",
        "its registration is missing for a moment",
        "its registration is gone, and it may have a job",
        "GitHub showed that its job is completed",
        "GitHub agreed to its end",
        "it is scheduled, and the list need not show more",
    ],
)
def test_a_retirement_can_be_tried_or_not_where(one: Runner, known: Track, expected: bool) -> None:
    # The queue was read a second ago, so it need not name a job that has just started.
    assert may_retire(one, known, LISTS, NOW) is expected


def test_a_retirement_names_both_halves_and_never_a_strangers_hf_job() -> None:
    one = runner("aaaa", Phase.IDLE)
    action = retirement(P, one, Reason.PoolDrained)
    assert (action.registration_id, action.hf_job_id) == (registration(P).id, started(P).id)
    assert one.hf_job is not None
    copy = one._replace(hf_job=replace(one.hf_job, foreign=True))
    assert retirement(P, copy, Reason.PoolDrained).hf_job_id is None
    agreed = one._replace(track=replace(one.track, deregistered=True))
    assert retirement(P, agreed, Reason.PoolDrained).registration_id is None


# ---------------------------------------------------------------------------------------------------- surplus
def idle(token: str, *, idled: float) -> Runner:
    return runner(token, Phase.IDLE, since=NOW - idled)


def yes(_: Runner) -> bool:
    return True


def test_the_runners_that_have_idled_for_the_shortest_are_the_warm_ones() -> None:
    capacity = having([idle("aaaa", idled=50), idle("bbbb", idled=5)])
    assert warm_runners(pool(min_idle=1), capacity) == {idle("bbbb", idled=5).name}
    assert warm_runners(P, capacity) == frozenset()


@pytest.mark.parametrize(
    ("runners", "of", "queued", "expected"),
    [
        ([idle("aaaa", idled=5)], P, 0, 1),
        ([idle("aaaa", idled=5)], P, 1, 0),
        ([idle("aaaa", idled=5)], pool(min_idle=1), 0, 0),
        ([idle("aaaa", idled=5)], pool(min_idle=1, paused=True), 0, 1),
        ([half("aaaa"), runner("bbbb", Phase.REGISTERED, hf_job=None)], P, 0, 0),
        ([runner("aaaa", Phase.BUSY), runner("bbbb", Phase.BUSY)], pool(max_runners=1), 0, 1),
    ],
    ids=[
        "nobody wants it",
        "a job waits",
        "minIdle",
        "paused",
        "halves do not count",
        "maxRunners was lowered",
    ],
)
def test_how_many_runners_are_too_many(runners: list[Runner], of: Pool, queued: int, expected: int) -> None:
    assert max(0, excess(of, having(runners), queued=queued, longest_job=0.0, now=NOW)) == expected


COMING = [runner("aaaa", Phase.STARTING), runner("bbbb", Phase.SCHEDULING), idle("cccc", idled=500)]


def test_what_is_not_billed_is_given_back_first_and_what_idles_is_not() -> None:
    found, surplus = give_back(having(COMING), Surplus(), excess=3, may_retire=yes, now=NOW)
    assert [why for _, why in found] == [Reason.SurplusUnbilled, Reason.SurplusStarting]
    assert surplus == Surplus(NOW, NOW)


@pytest.mark.parametrize(
    ("before", "given_back"),
    [
        (Surplus(None, None), 1),
        (Surplus(None, NOW - 5), 0),
        (Surplus(NOW - GIVE_BACK_HOLD, NOW - 5), 1),
        (Surplus(None, NOW - FLAP_WINDOW), 1),
    ],
    ids=["never before", "a moment ago", "a moment ago, and it lasts", "long ago"],
)
def test_capacity_is_given_back_at_once_unless_some_was(before: Surplus, given_back: int) -> None:
    found, after = give_back(having(COMING), before, excess=1, may_retire=yes, now=NOW)
    assert len(found) == given_back
    assert after.since == (before.since if before.since is not None else NOW)


def test_where_nothing_is_too_much_the_surplus_is_over() -> None:
    found, after = give_back(having(COMING), Surplus(NOW - 9, NOW - 50), excess=0, may_retire=yes, now=NOW)
    assert (found, after) == ((), Surplus(None, NOW - 50))


def test_idle_runners_end_after_their_deadline_the_longest_idle_first_and_no_more_than_too_many() -> None:
    runners = [idle("aaaa", idled=130), idle("bbbb", idled=500), idle("cccc", idled=120)]
    capacity = having(runners)
    found = idle_too_long(P, capacity, excess=3, may_retire=yes, now=NOW)
    assert [one.name for one in found] == [runners[1].name, runners[0].name]
    assert len(idle_too_long(P, capacity, excess=1, may_retire=yes, now=NOW)) == 1
    assert idle_too_long(P, capacity, excess=0, may_retire=yes, now=NOW) == ()


KEEPS_ONE = pool(min_idle=1)
"""Its lifetime is an hour, so a warm runner is replaced after half an hour, and ends after
three quarters at most."""


@pytest.mark.parametrize(
    ("runners", "none_can_come", "ended"),
    [
        ([idle("aaaa", idled=1_700)], True, 0),
        ([idle("aaaa", idled=1_900)], False, 0),
        ([idle("aaaa", idled=1_900), idle("bbbb", idled=5)], False, 1),
        ([idle("aaaa", idled=2_800)], False, 1),
        ([idle("aaaa", idled=1_900)], True, 1),
        ([idle("aaaa", idled=1_900), runner("bbbb", Phase.STARTING)], True, 0),
    ],
    ids=[
        "young enough",
        "its replacement is awaited",
        "its replacement is online",
        "too old to wait for one",
        "no replacement can come",
        "one is on its way",
    ],
)
def test_a_warm_runner_is_replaced(runners: list[Runner], none_can_come: bool, ended: int) -> None:
    found = worn_out(
        KEEPS_ONE,
        having(runners),
        longest_job=0.0,
        may_retire=yes,
        none_can_come=lambda: none_can_come,
        now=NOW,
    )
    assert [one.name for one in found] == [one.name for one in runners[:ended]]


# ----------------------------------------------------------------------------------------------- consequences
def after(
    one: Runner, why: Reason, *, offered: tuple[str, ...] = ("t4-small",), billed: int = 0
) -> Consequences:
    nothing = Consequences(backoffs={}, tracks={one.name: one.track}, limit=None)
    return follow(nothing, P, one, why, offered=offered, billed=billed, now=NOW)


@pytest.mark.parametrize(
    ("one", "why", "backoffs", "notices"),
    [
        (runner("aaaa", Phase.IDLE), Reason.IdleDeadline, [], []),
        (runner("aaaa", Phase.IDLE), Reason.PoolDeleted, [], []),
        (
            runner("aaaa", Phase.SCHEDULING),
            Reason.SchedulingDeadline,
            ["t4-small"],
            [Reason.SchedulingDeadline],
        ),
        (runner("aaaa", Phase.STARTING), Reason.RegistrationDeadline, [POOL], [Reason.RegistrationDeadline]),
        (runner("aaaa", Phase.IDLE), Reason.NotPickedUp, [], [Reason.NotPickedUp]),
        (runner("aaaa", Phase.FINISHED), Reason.NeverExited, [], [Reason.NeverExited]),
        (half("aaaa"), Reason.OrphanedRegistration, [], []),
        (half("aaaa", unproven_end="t4-small"), Reason.OrphanedRegistration, [POOL], [Reason.RunnerFailed]),
    ],
    ids=[
        "nobody needed it",
        "the pool goes",
        "it was not scheduled",
        "it was not online in time",
        "it was not given the job",
        "it never ended",
        "its HF Job is gone",
        "it ended well and had never served",
    ],
)
def test_what_follows_when_a_runner_is_retired_because(
    one: Runner, why: Reason, backoffs: list[str], notices: list[Reason]
) -> None:
    found = after(one, why)
    assert list(found.backoffs) == backoffs
    assert [notice.reason for notice in found.notices] == notices
    assert found.tracks[one.name].unproven_end == ""


def test_a_runner_that_is_not_scheduled_while_others_run_shows_the_hubs_limit_once() -> None:
    one = runner("aaaa", Phase.SCHEDULING)
    first = after(one, Reason.SchedulingDeadline, billed=2)
    assert first.limit == Limit(running=2, at=NOW)
    assert not first.backoffs
    assert [notice.reason for notice in first.notices] == [Reason.AtHubLimit]
    again = follow(first, P, one, Reason.SchedulingDeadline, offered=("t4-small",), billed=2, now=NOW)
    assert len(again.notices) == 1


def test_while_another_flavor_can_be_tried_no_limit_is_assumed() -> None:
    one = runner("aaaa", Phase.SCHEDULING)
    found = after(one, Reason.SchedulingDeadline, offered=("t4-small", "a10g-small"), billed=2)
    assert found.limit is None
    assert set(found.backoffs) == {"t4-small"}
    known = Backoff(failures=1, until=NOW, at=NOW, failure=OUTAGE)
    both = replace(found, backoffs={"t4-small": known, "a10g-small": known}, notices=())
    more = follow(
        both, P, one, Reason.SchedulingDeadline, offered=("t4-small", "a10g-small"), billed=2, now=NOW
    )
    assert more.limit is not None


def test_a_failed_start_is_told_of_by_its_hf_job_or_without_one_by_its_name() -> None:
    one = runner("aaaa", Phase.STARTING)
    (whole,) = after(one, Reason.RegistrationDeadline).notices
    (alone,) = after(one._replace(hf_job=None), Reason.RegistrationDeadline).notices
    assert whole.message.startswith("HF Job hf-aaaa on t4-small")
    assert alone.message.startswith(one.name)


@pytest.mark.parametrize(("another_ends", "replaced"), [(True, set()), (False, {Reason.WarmRecycled})])
def test_a_warm_runner_in_a_full_pool_is_not_ended_while_another_one_that_ends_makes_room(
    another_ends: bool, replaced: set[Reason]
) -> None:
    of = pool(min_idle=1, max_runners=2 if another_ends else 1)
    jobs = [started(of, seconds_ago=3_000)]
    listed = [registration(of, online=True)]
    tracks = {name_of(of): Track(phase=Phase.IDLE, since=NOW - 2_000, online_at=NOW - 2_900)}
    flying = {}
    if another_ends:
        jobs.append(started(of, "bbbb"))
        listed.append(registration(of, "bbbb", online=True))
        tracks[name_of(of, "bbbb")] = Track(phase=Phase.IDLE, since=NOW - 60, online_at=NOW - 60)
        flying = launching(of, "bbbb", effect=Effect.RETIRE)
    view = snapshot(registrations=listed, hf_jobs=jobs)
    memory = Memory(pools={of.uid: PoolMemory(tracks=tracks)})
    done = run_plan([of], view, memory=memory, in_flight=flying)
    assert {one.reason for one in done.actions if isinstance(one, Retire)} == replaced
