"""What the planner does with one snapshot."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.core.actions import Launch, Result, Retire
from controller.core.backoff import DELAYS, POOL, Backoff
from controller.core.drained import DRAIN_REQUEST_SECONDS
from controller.core.effects import Effect, InFlight, still_in_flight
from controller.core.evidence import LIST_LAG
from controller.core.intents import MOST_INTENTS, PoolIntents
from controller.core.lifecycle import Phase
from controller.core.memory import Memory, PoolMemory
from controller.core.model import (
    Disposition,
    Failure,
    Flavor,
    GroupOnlyJobs,
    HFJob,
    Pool,
    RunnerTemplate,
    Snapshot,
    Stage,
)
from controller.core.money import prices
from controller.core.plan import Plan
from controller.core.reasons import Reason
from controller.core.retire.strays import STRAY_GRACE
from controller.core.retire.why import ENDING_GRACE

from .build import (
    ACCOUNT,
    FLAVORS,
    NOW,
    OUTAGE,
    REFUSED,
    REPO,
    SERVER,
    SOURCE,
    elsewhere,
    hf_job,
    job,
    launched,
    launching,
    name_of,
    pool,
    registration,
    remembering,
    run_plan,
    running,
    seen,
    snapshot,
    started,
)


def launches(done: Plan) -> list[str]:
    return [action.flavor for action in done.actions if isinstance(action, Launch)]


def retirements(done: Plan) -> dict[str, Reason]:
    return {action.name: action.reason for action in done.actions if isinstance(action, Retire)}


def waits(done: Plan, name: str = "t4") -> dict[Reason, int]:
    return {waiting.reason: waiting.count for waiting in done.reports[f"uid-{name}"].waiting}


class TestLaunching:
    def test_a_queued_job_gets_one_runner(self) -> None:
        done = run_plan([pool()], snapshot(jobs=[job()]))
        assert launches(done) == ["t4-small"]
        assert waits(done) == {Reason.RunnerStarting: 1}

    def test_nothing_queued_means_nothing_to_do(self) -> None:
        done = run_plan([pool()], snapshot())
        assert list(done.actions) == []

    def test_a_runner_that_is_scheduled_starting_or_idle_is_capacity_enough(self) -> None:
        p = pool()
        for view in (
            snapshot(jobs=[job()], registrations=[registration(p)], hf_jobs=[hf_job(p)]),
            snapshot(jobs=[job()], registrations=[registration(p)], hf_jobs=[started(p)]),
            snapshot(jobs=[job()], registrations=[registration(p, online=True)], hf_jobs=[started(p)]),
        ):
            assert launches(run_plan([p], view)) == []

    def test_a_busy_runner_is_no_capacity_for_the_next_job(self) -> None:
        p = pool()
        view = snapshot(
            jobs=[running(1, name_of(p)), job(2)],
            registrations=[registration(p, online=True, busy=True)],
            hf_jobs=[started(p)],
        )
        assert launches(run_plan([p], view)) == ["t4-small"]

    def test_a_job_that_our_runner_took_after_the_queue_was_read_is_not_launched_for_again(self) -> None:
        p = pool()
        view = snapshot(
            jobs=seen([job()], at=NOW - 9),
            registrations=seen([registration(p, online=True, busy=True)], at=NOW - 1),
            hf_jobs=[started(p)],
        )
        assert launches(run_plan([p], view)) == []

    def test_max_runners_is_never_exceeded_and_the_rest_is_told_why_it_waits(self) -> None:
        done = run_plan([pool(max_runners=2)], snapshot(jobs=[job(n) for n in range(5)]))
        assert len(launches(done)) == 2
        assert waits(done) == {Reason.RunnerStarting: 2, Reason.AtMaxRunners: 3}

    def test_a_runner_that_is_being_retired_still_counts_against_max_runners(self) -> None:
        p = pool(max_runners=1)
        view = snapshot(jobs=[job()], registrations=[registration(p)], hf_jobs=[hf_job(p)])
        retiring = InFlight(
            name=name_of(p), pool_uid=p.uid, footprint=p.footprint, effect=Effect.RETIRE, since=NOW - 1
        )
        assert launches(run_plan([p], view, in_flight={retiring.name: retiring})) == []

    def test_a_launch_under_way_counts_as_capacity(self) -> None:
        p = pool()
        assert launches(run_plan([p], snapshot(jobs=[job()]), in_flight=launching(p, since=NOW))) == []

    def test_a_launch_that_is_acknowledged_and_not_listed_yet_counts_as_capacity(self) -> None:
        p = pool()
        launched = launching(p, since=NOW - 2, finished_at=NOW - 1, hf_job=hf_job(p))
        done = run_plan([p], snapshot(jobs=[job()]), in_flight=launched)
        assert launches(done) == []
        assert done.reports[p.uid].count(Phase.SCHEDULING) == 1

    def test_min_idle_runners_are_kept_beside_those_that_serve_demand(self) -> None:
        assert len(launches(run_plan([pool(min_idle=2)], snapshot(jobs=[job()])))) == 3

    @pytest.mark.parametrize("missing", ["jobs", "registrations", "hf_jobs"])
    def test_nothing_is_launched_before_everything_was_seen_once(self, missing: str) -> None:
        lists: dict[str, Any] = {"jobs": [job()], missing: None}
        assert launches(run_plan([pool()], snapshot(**lists))) == []

    def test_nothing_is_launched_while_the_hub_cannot_be_read_because_the_list_bounds_the_spending(
        self,
    ) -> None:
        hub_away = replace(OUTAGE, reason=Reason.HubUnavailable)
        view = snapshot(jobs=[job()], hf_jobs=seen(failure=hub_away))
        done = run_plan([pool()], view)
        assert launches(done) == []
        assert waits(done) == {Reason.HubUnavailable: 1}

    def test_a_passing_failure_of_the_list_of_runners_does_not_keep_jobs_waiting(self) -> None:
        view = snapshot(jobs=[job()], registrations=seen(failure=OUTAGE))
        assert launches(run_plan([pool()], view)) == ["t4-small"]

    def test_jobs_of_a_queue_that_could_not_be_refreshed_are_not_launched_for(self) -> None:
        done = run_plan([pool()], snapshot(jobs=seen([job()], failure=OUTAGE)))
        assert launches(done) == []
        assert Reason.QueueUnknown in waits(done)

    def test_a_job_that_was_seen_queued_for_longer_than_github_allows_is_no_demand_and_named(self) -> None:
        old = job(seen_queued_at=SERVER - 25 * 3600)
        done = run_plan([pool()], snapshot(jobs=[old]))
        assert launches(done) == []
        assert waits(done) == {Reason.TooOldForGitHub: 1}

    def test_a_job_that_was_made_more_than_a_day_ago_is_served_as_it_may_have_been_approved_since(
        self,
    ) -> None:
        held_back = job(created_at=SERVER - 900 * 3600)
        assert launches(run_plan([pool()], snapshot(jobs=[held_back]))) == ["t4-small"]

    def test_a_wait_counts_from_when_the_job_became_queued(self) -> None:
        approved = job(created_at=SERVER - 900 * 3600, queued_at=SERVER - 40)
        demand = run_plan([pool()], snapshot(jobs=[approved])).reports[pool().uid].demand
        assert demand.oldest_wait == 40

    def test_the_job_that_has_waited_longest_is_named_first_however_old_the_others_are(self) -> None:
        approved, plain = (
            job(1, created_at=SERVER - 9_000, queued_at=SERVER - 10),
            job(2, created_at=SERVER - 60),
        )
        demand = run_plan([pool()], snapshot(jobs=[approved, plain])).reports[pool().uid].demand
        assert [one.id for one in demand.queued] == [2, 1]

    def test_a_job_that_is_too_old_and_that_no_pool_matches_is_named_as_such(self) -> None:
        old = job(seen_queued_at=SERVER - 25 * 3600, labels=("hf-t4", "cuda-99"))
        assert waits(run_plan([pool()], snapshot(jobs=[old]))) == {Reason.NoMatchingPool: 1}

    def test_a_pool_that_may_have_no_runner_launches_nothing_and_says_so(self) -> None:
        done = run_plan([pool(max_runners=0)], snapshot(jobs=[job()]))
        assert launches(done) == []
        assert waits(done) == {Reason.NoneAllowed: 1}

    def test_a_paused_pool_launches_nothing_and_says_so(self) -> None:
        done = run_plan([pool(paused=True)], snapshot(jobs=[job()]))
        assert launches(done) == []
        assert waits(done) == {Reason.Paused: 1}

    @pytest.mark.parametrize("refused", ["registrations", "hf_jobs"])
    def test_a_pool_whose_credentials_are_refused_launches_nothing_and_says_so(self, refused: str) -> None:
        lists: dict[str, Any] = {refused: seen(failure=REFUSED)}
        done = run_plan([pool()], snapshot(jobs=[job()], **lists))
        assert launches(done) == []
        assert waits(done) == {Reason.GitHubUnauthorized: 1}

    def test_jobs_that_a_blocked_pool_matches_too_go_to_one_that_works(self) -> None:
        broken, works = (
            pool("broken", hub=replace(ACCOUNT, namespace="broke")),
            pool("works", created_at=900.0),
        )
        view = snapshot(jobs=[job()])
        view = replace(view, hf_jobs={**view.hf_jobs, broken.hub: seen(failure=REFUSED)})
        done = run_plan([broken, works], view)
        assert [a.pool.uid for a in done.actions if isinstance(a, Launch)] == [works.uid]

    @pytest.mark.parametrize("dark", ["registrations", "hf_jobs"])
    def test_a_service_that_never_answered_was_not_observed(self, dark: str) -> None:
        lists: dict[str, Any] = {dark: replace(seen(failure=OUTAGE), answered=False)}
        report = run_plan([pool()], snapshot(**lists)).reports["uid-t4"]
        assert not report.observed


class TestFlavors:
    def test_an_unknown_flavor_is_named_with_the_nearest_ones_and_a_known_one_is_used(self) -> None:
        p = pool(flavors=("t4-smal", "t4-medium"))
        done = run_plan([p], snapshot(jobs=[job()]))
        assert launches(done) == ["t4-medium"]
        report = done.reports[p.uid]
        assert not report.failures  # it serves
        assert report.unknown_flavor is not None
        assert report.unknown_flavor.reason is Reason.UnknownFlavor
        assert "'t4-smal'" in report.unknown_flavor.message
        assert "t4-small" in report.unknown_flavor.message

    def test_a_flavor_that_leaves_the_list_costs_what_it_did(self) -> None:
        p = pool(flavors=("t4-small", "t4-medium"))
        runner: dict[str, Any] = {
            "registrations": [registration(p, online=True, busy=True)],
            "hf_jobs": [started(p)],
        }
        before = run_plan([p], snapshot(**runner))
        left = {p.hub.endpoint: seen([flavor for flavor in FLAVORS if flavor.name != "t4-small"])}
        after = run_plan([p], replace(snapshot(**runner), flavors=left), memory=before.memory)
        assert before.reports[p.uid].usd_per_hour == pytest.approx(0.402)
        assert after.reports[p.uid].usd_per_hour == before.reports[p.uid].usd_per_hour

    def test_a_flavor_that_is_listed_without_a_price_any_more_costs_nobody_knows_what(self) -> None:
        p = pool()
        runner: dict[str, Any] = {
            "registrations": [registration(p, online=True, busy=True)],
            "hf_jobs": [started(p)],
        }
        before = run_plan([p], snapshot(**runner))
        unpriced = {p.hub.endpoint: seen([Flavor(name="t4-small")])}
        after = run_plan([p], replace(snapshot(**runner), flavors=unpriced), memory=before.memory)
        assert after.reports[p.uid].usd_per_hour == 0
        assert not after.memory.pools[p.uid].usd

    def test_a_flavor_whose_price_is_unknown_is_on_offer_and_costs_nobody_knows_what(self) -> None:
        p = pool(flavors=("t4-small",))
        view = snapshot(jobs=[job()])
        unpriced = seen([Flavor(name="t4-small"), Flavor(name="cpu-basic", usd_per_minute=0.01)])
        done = run_plan([p], replace(view, flavors={p.hub.endpoint: unpriced}))
        assert launches(done) == ["t4-small"]
        assert not done.reports[p.uid].failures
        assert prices({p.hub.endpoint: unpriced}) == {p.hub.endpoint: {"cpu-basic": pytest.approx(0.01 / 60)}}

    def test_a_pool_with_only_unknown_flavors_launches_nothing_and_says_why_its_jobs_wait(self) -> None:
        done = run_plan([pool(flavors=("tpu",))], snapshot(jobs=[job()]))
        assert launches(done) == []
        assert waits(done) == {Reason.UnknownFlavor: 1}

    def test_a_flavor_that_is_out_of_capacity_gives_way_to_the_next_one(self) -> None:
        p = pool(flavors=("t4-small", "t4-medium"))
        no_room = Failure(
            reason=Reason.FlavorOutOfCapacity, message="no capacity", disposition=Disposition.CAPACITY
        )
        result = Result(name="x", pool_uid=p.uid, effect=Effect.LAUNCH, flavor="t4-small", failure=no_room)
        done = run_plan([p], snapshot(jobs=[job()]), results=[result])
        assert launches(done) == ["t4-medium"]

    def test_the_preferred_flavor_is_probed_with_one_runner_when_its_back_off_is_over(self) -> None:
        p = pool(flavors=("t4-small", "t4-medium"))
        held = Backoff(failures=2, until=NOW - 1, at=NOW - 60, failure=OUTAGE)
        memory = Memory(pools={p.uid: PoolMemory(backoffs={"t4-small": held})})
        done = run_plan([p], snapshot(jobs=[job(n) for n in range(3)]), memory=memory)
        assert launches(done) == ["t4-small", "t4-medium", "t4-medium"]


class TestBackingOff:
    def failed(self, p_uid: str = "uid-t4", reason: Reason = Reason.HubRejected) -> Result:
        failure = Failure(reason=reason, message="no such image")
        return Result(name="x", pool_uid=p_uid, effect=Effect.LAUNCH, flavor="t4-small", failure=failure)

    def test_a_failed_launch_holds_the_pool_back_and_the_cause_is_kept(self) -> None:
        p = pool()
        done = run_plan([p], snapshot(jobs=[job()]), results=[self.failed()])
        assert launches(done) == []
        (waiting,) = done.reports[p.uid].waiting
        assert waiting.reason is Reason.BackingOff
        assert "no such image" in waiting.message
        assert waiting.until == NOW + DELAYS[0]

    def test_a_hundred_launches_that_fail_together_count_as_one_failure(self) -> None:
        p = pool(max_runners=100)
        done = run_plan([p], snapshot(), results=[self.failed()] * 100)
        assert done.reports[p.uid].memory.backoffs[POOL].failures == 1

    def test_after_a_failure_one_runner_is_tried_at_a_time(self) -> None:
        p = pool(max_runners=50)
        held = Backoff(failures=1, until=NOW - 1, at=NOW - 6, failure=OUTAGE)
        memory = Memory(pools={p.uid: PoolMemory(backoffs={POOL: held})})
        jobs = [job(n) for n in range(50)]
        assert len(launches(run_plan([p], snapshot(jobs=jobs), memory=memory))) == 1
        view = snapshot(jobs=jobs, registrations=[registration(p)], hf_jobs=[started(p)])
        assert launches(run_plan([p], view, memory=memory)) == []

    def test_a_runner_that_comes_online_ends_the_back_off(self) -> None:
        p = pool()
        held = Backoff(failures=3, until=NOW + 60, at=NOW - 6, failure=OUTAGE)
        memory = Memory(pools={p.uid: PoolMemory(backoffs={POOL: held, "t4-small": held})})
        view = snapshot(
            jobs=[job(1), job(2)], registrations=[registration(p, online=True)], hf_jobs=[started(p)]
        )
        assert launches(run_plan([p], view, memory=memory)) == ["t4-small"]

    def test_one_failing_pool_does_not_hold_another_one_back(self) -> None:
        a, b = pool("a", labels=("a",)), pool("b", labels=("b",))
        view = snapshot(jobs=[job(1, labels=("a",)), job(2, labels=("b",))])
        done = run_plan([a, b], view, results=[self.failed(a.uid)])
        assert [action.pool.uid for action in done.actions if isinstance(action, Launch)] == [b.uid]

    def test_an_image_that_never_works_is_launched_at_most_twelve_times_in_an_hour(self) -> None:
        p, memory, count, now = pool(), Memory(), 0, NOW
        while now < NOW + 3600:
            done = run_plan([p], snapshot(jobs=[job()]), memory=memory, now=now)
            memory = done.memory
            if launches(done):
                count += 1
                done = run_plan([p], snapshot(), memory=memory, now=now, results=[self.failed()])
                memory = done.memory
            now += 1
        assert 5 < count <= 12


class TestRetiring:
    def test_a_busy_runner_is_left_alone_whatever_its_age(self) -> None:
        p = pool()
        view = snapshot(
            registrations=[registration(p, online=True, busy=True)], hf_jobs=[started(p, seconds_ago=90_000)]
        )
        assert retirements(run_plan([p], view)) == {}

    def test_a_runner_whose_job_is_in_progress_is_left_alone_although_github_calls_it_idle(self) -> None:
        p = pool()
        view = snapshot(
            jobs=[running(1, name_of(p))],
            registrations=[registration(p, online=True, busy=False)],
            hf_jobs=[started(p, seconds_ago=90_000)],
        )
        memory = remembering(name_of(p), phase=Phase.IDLE, since=0.0, online_at=0.0)
        assert retirements(run_plan([p], view, memory=memory)) == {}

    def test_an_hf_job_that_is_scheduled_for_too_long_is_given_up_and_its_flavor_held_back(self) -> None:
        p = pool()
        stuck = hf_job(p, created_at=SERVER - 601)
        view = snapshot(jobs=[job()], registrations=[registration(p)], hf_jobs=[stuck])
        done = run_plan([p], view)
        assert retirements(done) == {name_of(p): Reason.SchedulingDeadline}
        assert done.reports[p.uid].memory.backoffs["t4-small"].failure.reason is Reason.SchedulingDeadline
        (told,) = done.notices
        assert told.reason is Reason.SchedulingDeadline
        assert "(deadlines.scheduling 10m)" in told.message
        assert "the image takes longer to pull" in told.message  # the hardware alone is not blamed

    def test_a_start_that_took_too_long_names_the_image_that_somebody_chose(self) -> None:
        p = pool(template=RunnerTemplate(image="ghcr.io/acme/huge:1"))
        stuck = hf_job(p, created_at=SERVER - 601)
        (told,) = run_plan([p], snapshot(registrations=[registration(p)], hf_jobs=[stuck])).notices
        assert "(image ghcr.io/acme/huge:1, deadlines.scheduling 10m)" in told.message

    def test_a_runner_that_never_comes_online_is_given_up(self) -> None:
        p = pool()
        view = snapshot(jobs=[job()], registrations=[registration(p)], hf_jobs=[started(p, seconds_ago=361)])
        assert retirements(run_plan([p], view)) == {name_of(p): Reason.RegistrationDeadline}

    def test_an_idle_runner_waits_for_the_idle_deadline_and_is_then_ended(self) -> None:
        p = pool()
        view = snapshot(registrations=[registration(p, online=True)], hf_jobs=[started(p)])
        fresh = remembering(name_of(p), phase=Phase.IDLE, since=NOW - 119, online_at=NOW - 119)
        stale = remembering(name_of(p), phase=Phase.IDLE, since=NOW - 121, online_at=NOW - 121)
        assert retirements(run_plan([p], view, memory=fresh)) == {}
        assert retirements(run_plan([p], view, memory=stale)) == {name_of(p): Reason.IdleDeadline}

    def test_min_idle_runners_outlive_the_idle_deadline(self) -> None:
        p = pool(min_idle=1)
        view = snapshot(registrations=[registration(p, online=True)], hf_jobs=[started(p)])
        memory = remembering(name_of(p), phase=Phase.IDLE, since=NOW - 121, online_at=NOW - 121)
        assert retirements(run_plan([p], view, memory=memory)) == {}

    def test_an_idle_runner_that_gets_none_of_the_waiting_jobs_is_ended_and_the_cause_suspected(self) -> None:
        p = pool()
        waiting = job(created_at=SERVER - 300)
        view = snapshot(jobs=[waiting], registrations=[registration(p, online=True)], hf_jobs=[started(p)])
        memory = remembering(name_of(p), phase=Phase.IDLE, since=NOW - 121, online_at=NOW - 121)
        assert retirements(run_plan([p], view, memory=memory)) == {name_of(p): Reason.NotPickedUp}

    def test_a_scheduled_runner_whose_job_was_cancelled_is_given_back_at_once(self) -> None:
        p = pool()
        view = snapshot(registrations=[registration(p)], hf_jobs=[hf_job(p)])
        assert retirements(run_plan([p], view)) == {name_of(p): Reason.SurplusUnbilled}

    def test_demand_that_flaps_does_not_thrash(self) -> None:
        p = pool()
        view = snapshot(registrations=[registration(p)], hf_jobs=[hf_job(p)])
        memory = Memory(pools={p.uid: PoolMemory(gave_back_at=NOW - 30)})
        first = run_plan([p], view, memory=memory)
        assert retirements(first) == {}
        later = run_plan([p], view, memory=first.memory, now=NOW + 21)
        assert retirements(later) == {name_of(p): Reason.SurplusUnbilled}

    @pytest.mark.parametrize("broken", ["jobs", "registrations", "hf_jobs"])
    def test_nothing_is_given_back_or_collected_on_an_incomplete_view(self, broken: str) -> None:
        p = pool()
        lists: dict[str, Any] = {
            "jobs": (),
            "registrations": (registration(p, online=True),),
            "hf_jobs": (started(p),),
        }
        view = snapshot(**{**lists, broken: seen(lists[broken], failure=OUTAGE)})
        memory = remembering(name_of(p), phase=Phase.IDLE, since=NOW - 121, online_at=NOW - 121)
        assert retirements(run_plan([p], view, memory=memory)) == {}

    def test_a_repository_that_is_gone_for_good_keeps_no_idle_runner_alive(self) -> None:
        p = pool()
        gone = Failure(reason=Reason.GitHubNotFound, message="404", disposition=Disposition.GONE)
        view = snapshot(
            jobs=seen(failure=gone, at=NOW - 601),
            registrations=[registration(p, online=True)],
            hf_jobs=[started(p)],
        )
        memory = remembering(name_of(p), phase=Phase.IDLE, since=NOW - 121, online_at=NOW - 121)
        assert retirements(run_plan([p], view, memory=memory)) == {name_of(p): Reason.IdleDeadline}

    @pytest.mark.parametrize("disposition", [Disposition.GONE, Disposition.PERSON])
    def test_a_repository_that_is_gone_for_a_moment_costs_no_runner_that_its_jobs_wait_for(
        self, disposition: Disposition
    ) -> None:
        p = pool()
        once = Failure(reason=Reason.GitHubNotFound, message="404", disposition=disposition)
        view = snapshot(
            jobs=seen([job()], failure=once, at=NOW - 20),
            registrations=[registration(p)],
            hf_jobs=[started(p)],
        )
        assert retirements(run_plan([p], view)) == {}

    def test_a_fresh_process_that_meets_a_busy_runner_gives_no_other_back_for_it(self) -> None:
        p = pool()
        view = snapshot(
            jobs=[job()],
            registrations=[registration(p, "busy", online=True, busy=True), registration(p, "real")],
            hf_jobs=[started(p, "busy"), started(p, "real")],
        )
        done = run_plan([p], view)
        assert retirements(done) == {}
        assert launches(done) == []

    def test_a_runner_that_github_called_busy_is_not_asked_about_again_at_once(self) -> None:
        p = pool()
        view = snapshot(registrations=[registration(p)], hf_jobs=[hf_job(p)])
        busy = Result(name=name_of(p), pool_uid=p.uid, effect=Effect.RETIRE, busy=True)
        done = run_plan([p], view, results=[busy])
        assert retirements(done) == {}
        assert retirements(run_plan([p], view, memory=done.memory, now=NOW + 29)) == {}
        assert retirements(run_plan([p], view, memory=done.memory, now=NOW + 31)) != {}

    def test_runners_beyond_a_lowered_max_runners_are_given_back_but_for_the_busy_ones(self) -> None:
        p = pool(max_runners=1)
        view = snapshot(
            jobs=[job(3), running(1, name_of(p, "busy"))],
            registrations=[registration(p, "busy", online=True, busy=True), registration(p, "wait")],
            hf_jobs=[started(p, "busy"), hf_job(p, "wait")],
        )
        assert retirements(run_plan([p], view)) == {name_of(p, "wait"): Reason.SurplusUnbilled}

    def test_a_registration_that_a_dead_predecessor_left_costs_no_runner_that_is_on_its_way(self) -> None:
        p = pool(max_runners=1)
        view = snapshot(
            jobs=[job()],
            registrations=[registration(p, "left"), registration(p, "real")],
            hf_jobs=[started(p, "real")],
        )
        assert retirements(run_plan([p], view)) == {}


class TestHalves:
    def test_an_hf_job_without_a_registration_costs_no_whole_runner(self) -> None:
        p = pool()
        view = snapshot(
            jobs=[job()],
            registrations=[registration(p, "real")],
            hf_jobs=[hf_job(p, "half"), hf_job(p, "real")],
        )
        assert retirements(run_plan([p], view)) == {}

    def test_a_runner_whose_registration_is_not_seen_where_its_pool_moved_to_is_not_looked_for_there(
        self,
    ) -> None:
        p = pool()
        old = replace(
            p.footprint,
            registrations=replace(p.footprint.registrations, scope=replace(p.scope, repository="old")),
        )
        moved = replace(p, former=(old,), labels=("hf-other",))
        assert retirements(run_plan([moved], snapshot(hf_jobs=[started(p)]))) == {}

    def test_a_runner_that_had_its_job_is_no_capacity_although_its_record_still_shows_it_idle(self) -> None:
        p = pool()
        view = snapshot(jobs=[job(2)], registrations=[registration(p, online=True)], hf_jobs=[started(p)])
        memory = remembering(
            name_of(p),
            phase=Phase.BUSY,
            since=NOW - 50,
            online_at=NOW - 50,
            taken_at=NOW - 50,
            workflow_job=job(1),
        )
        assert launches(run_plan([p], view, memory=memory)) == ["t4-small"]

    def test_a_runner_that_had_its_job_is_no_capacity_although_nobody_saw_it_online(self) -> None:
        p = pool()
        view = snapshot(jobs=[job()], registrations=[registration(p)], hf_jobs=[started(p)])
        memory = remembering(name_of(p), phase=Phase.BUSY, since=NOW - 50, taken_at=NOW - 50)
        assert launches(run_plan([p], view, memory=memory)) == ["t4-small"]

    def test_a_runner_whose_job_was_seen_completed_is_no_capacity_although_lists_still_show_it_free(
        self,
    ) -> None:
        p = pool()
        view = snapshot(
            jobs=[job(2)],
            registrations=[registration(p, "served"), registration(p, "free")],
            hf_jobs=[started(p, "served"), hf_job(p, "free")],
            completed={SOURCE: (running(1, name_of(p, "served")),)},
        )
        done = run_plan([p], view)
        assert (launches(done), retirements(done)) == ([], {})
        later = run_plan([p], replace(view, completed={}), memory=done.memory, now=NOW + 30)
        assert (launches(later), retirements(later)) == ([], {})


class TestLaunchesInDoubt:
    def doubtful(self, p: Pool, *, finished: float) -> dict[str, InFlight]:
        return launching(p, "doubt", since=finished - 20, finished_at=finished)

    def test_a_launch_that_may_yet_come_true_takes_its_place_under_max_runners(self) -> None:
        p = pool(max_runners=1)
        done = run_plan([p], snapshot(jobs=[job()]), in_flight=self.doubtful(p, finished=NOW - 5))
        assert launches(done) == []

    def test_no_job_waits_for_a_launch_in_doubt_where_there_is_room(self) -> None:
        p = pool(max_runners=2)
        done = run_plan([p], snapshot(jobs=[job()]), in_flight=self.doubtful(p, finished=NOW - 5))
        assert launches(done) == ["t4-small"]

    def test_its_registration_is_no_capacity_and_is_left_to_the_hf_job_that_may_come(self) -> None:
        p = pool(max_runners=2)
        view = snapshot(jobs=[job()], registrations=[registration(p, "doubt")])
        memory = remembering(name_of(p, "doubt"), phase=Phase.REGISTERED, since=NOW - 100)
        done = run_plan([p], view, in_flight=self.doubtful(p, finished=NOW - 5), memory=memory)
        assert (launches(done), retirements(done)) == (["t4-small"], {})

    def test_its_registration_counts_for_a_process_that_knows_nothing_of_the_launch(self) -> None:
        p = pool(max_runners=1)
        done = run_plan([p], snapshot(jobs=[job()], registrations=[registration(p, "doubt")]))
        assert launches(done) == []

    def test_its_registration_ends_once_the_lists_prove_that_no_hf_job_came(self) -> None:
        p = pool()
        view = snapshot(jobs=[job()], registrations=[registration(p, "doubt")])
        memory = remembering(
            name_of(p, "doubt"),
            phase=Phase.REGISTERED,
            since=NOW - 2 * LIST_LAG,
            alone_since=NOW - LIST_LAG - 2,
        )
        assert retirements(run_plan([p], view, memory=memory)) == {
            name_of(p, "doubt"): Reason.OrphanedRegistration
        }

    def test_ending_it_is_told_as_a_doubt_that_is_over_and_not_as_an_orphan(self) -> None:
        p = pool()
        memory, effect = Memory(), self.doubtful(p, finished=NOW)
        for after in (1, 2, LIST_LAG + 2, LIST_LAG + 3):
            at = NOW + after
            lists = seen([registration(p, "doubt")], at=at), seen(at=at)
            in_flight = effect if after < LIST_LAG else {}
            done = run_plan(
                [p],
                snapshot(registrations=lists[0], hf_jobs=lists[1]),
                memory=memory,
                in_flight=in_flight,
                now=at,
            )
            memory = done.memory
        assert retirements(done) == {name_of(p, "doubt"): Reason.LaunchInDoubt}

    def test_a_runner_that_came_online_is_in_doubt_no_more_although_no_list_shows_its_hf_job(self) -> None:
        p = pool(max_runners=2)
        view = snapshot(jobs=[job()], registrations=[registration(p, "doubt", online=True)])
        done = run_plan([p], view, in_flight=self.doubtful(p, finished=NOW - 5))
        assert launches(done) == []

    def test_it_counts_until_a_list_much_younger_than_our_patience_lacks_it(self) -> None:
        p = pool()
        (effect,) = self.doubtful(p, finished=NOW).values()
        assert still_in_flight(effect, seen(at=NOW + 1), shown=False)
        assert not still_in_flight(effect, seen(at=NOW + LIST_LAG + 1), shown=False)
        assert not still_in_flight(effect, seen(at=NOW + 1), shown=True)

    def test_a_retirement_counts_until_a_younger_list_lacks_its_hf_job_and_no_longer_than_lists_lag(
        self,
    ) -> None:
        (effect,) = launching(pool(), effect=Effect.RETIRE, finished_at=NOW).values()
        assert still_in_flight(effect, seen(at=NOW - 1), shown=False)
        assert still_in_flight(effect, seen(at=NOW + 1, failure=OUTAGE), shown=False)
        assert still_in_flight(effect, seen(at=NOW + 1), shown=True)
        assert not still_in_flight(effect, seen(at=NOW + 1), shown=False)
        assert not still_in_flight(effect, seen(at=NOW + LIST_LAG + 1), shown=True)

    def test_nothing_is_launched_before_the_registrations_were_seen_once(self) -> None:
        p = pool()
        unseen = replace(seen(failure=OUTAGE), answered=False)
        assert launches(run_plan([p], snapshot(jobs=[job()], registrations=unseen))) == []
        assert launches(run_plan([p], snapshot(jobs=[job()], registrations=seen(failure=OUTAGE)))) != []


class TestChangedPools:
    def test_a_free_runner_with_labels_of_an_older_spec_is_replaced(self) -> None:
        p = pool()
        view = snapshot(
            jobs=[job()],
            registrations=[registration(p, online=True, labels=("hf-old",))],
            hf_jobs=[started(p)],
        )
        assert retirements(run_plan([p], view)) == {name_of(p): Reason.PoolChanged}

    def test_a_free_runner_made_from_an_older_image_is_replaced_and_a_busy_one_finishes(self) -> None:
        old = pool()
        new = replace(old, template=replace(old.template, image="ubuntu:26.04"))
        free = snapshot(jobs=[job()], registrations=[registration(old, online=True)], hf_jobs=[started(old)])
        busy = snapshot(registrations=[registration(old, online=True, busy=True)], hf_jobs=[started(old)])
        assert retirements(run_plan([new], free)) == {name_of(old): Reason.PoolChanged}
        assert retirements(run_plan([new], busy)) == {}

    def test_a_pool_edited_to_another_repository_ends_its_free_runners_where_they_are_registered(
        self,
    ) -> None:
        old = pool()
        new = replace(old, scope=replace(old.scope, repository="other"), former=(old.footprint,))
        view = snapshot(registrations=[registration(old, online=True)], hf_jobs=[started(old)])
        (action,) = run_plan([new], view).actions
        assert isinstance(action, Retire)
        assert (action.scope, action.reason) == (old.footprint.registrations, Reason.PoolChanged)


def one_busy_and_one_free(p: Pool) -> Snapshot:
    """A pool with two runners at work, and one job that waits."""
    return snapshot(
        jobs=[job(9), running(1, name_of(p, "busy"))],
        registrations=[
            registration(p, "busy", online=True, busy=True),
            registration(p, "free", online=True),
        ],
        hf_jobs=[started(p, "busy"), started(p, "free")],
    )


class TestNamesOfRunners:
    def test_a_pools_names_do_not_depend_on_what_other_pools_launch(self) -> None:
        a, b = pool("a", labels=("a",)), pool("b", labels=("b",), min_idle=2)
        jobs = [job(1, labels=("a",)), job(2, labels=("a",))]

        def names(*pools: Pool) -> list[str]:
            done = run_plan(pools, snapshot(jobs=jobs))
            return [each.name for each in done.actions if isinstance(each, Launch) and each.pool.uid == a.uid]

        assert names(a) == names(b, a)
        assert len(set(names(a))) == 2

    def test_a_later_pass_uses_no_name_again(self) -> None:
        p = pool(min_idle=2)
        found = [
            action.name
            for entropy in ("one", "two")
            for action in run_plan([p], snapshot(), entropy=entropy).actions
            if isinstance(action, Launch)
        ]
        assert len(set(found)) == len(found) == 4


class TestDeletedPools:
    def test_free_runners_are_ended_and_a_busy_one_is_waited_for(self) -> None:
        p = pool(deleting=True)
        view = one_busy_and_one_free(p)
        done = run_plan([p], view)
        assert retirements(done) == {name_of(p, "free"): Reason.PoolDeleted}
        assert launches(done) == []
        assert not done.reports[p.uid].drained

    def test_it_may_go_once_lists_newer_than_the_deletion_show_nothing(self) -> None:
        p = pool(deleting=True)
        first = run_plan([p], snapshot())
        assert not first.reports[p.uid].drained
        newer = snapshot(jobs=seen(at=NOW + 5), registrations=seen(at=NOW + 5), hf_jobs=seen(at=NOW + 5))
        assert run_plan([p], newer, memory=first.memory, now=NOW + 6).reports[p.uid].drained

    def test_it_may_not_go_while_a_list_fails(self) -> None:
        p = pool(deleting=True)
        first = run_plan([p], snapshot())
        newer = snapshot(registrations=seen(at=NOW + 5), hf_jobs=seen(at=NOW + 5, failure=OUTAGE))
        assert not run_plan([p], newer, memory=first.memory, now=NOW + 6).reports[p.uid].drained

    def test_it_may_not_go_while_a_launch_is_under_way(self) -> None:
        p = pool(deleting=True)
        first = run_plan([p], snapshot())
        newer = snapshot(registrations=seen(at=NOW + 5), hf_jobs=seen(at=NOW + 5))
        done = run_plan([p], newer, memory=first.memory, in_flight=launching(p, since=NOW), now=NOW + 6)
        assert not done.reports[p.uid].drained

    def test_with_refused_credentials_it_goes_at_once_if_it_never_launched_and_else_when_all_has_timed_out(
        self,
    ) -> None:
        view = snapshot(registrations=None, hf_jobs=seen(failure=REFUSED))
        for launched_at, drained in ((None, True), (SERVER - 60, False), (SERVER - 90_000, True)):
            p = launched(pool(deleting=True), launched_at)
            done = run_plan([p], view)
            assert done.reports[p.uid].drained is drained

    def test_refused_credentials_of_a_former_place_keep_it_no_longer_than_what_it_launched_can_live(
        self,
    ) -> None:
        for launched_at, drained in ((SERVER - 60, False), (SERVER - 90_000, True)):
            p = launched(pool(deleting=True, former=(elsewhere(pool()),)), launched_at)
            first = run_plan([p], snapshot())
            view = snapshot(registrations=seen(at=NOW + 5), hf_jobs=seen(at=NOW + 5))
            view = replace(view, hf_jobs={**view.hf_jobs, elsewhere(p).account: seen(failure=REFUSED)})
            done = run_plan([p], view, memory=first.memory, now=NOW + 6)
            assert done.reports[p.uid].drained is drained

    def test_a_host_that_never_answers_again_keeps_it_no_longer_than_what_it_launched_can_live(self) -> None:
        p = launched(pool(deleting=True), SERVER)
        first = run_plan([p], snapshot())
        failing = snapshot(hf_jobs=seen(failure=OUTAGE))
        for later, drained in ((3600, False), (90_000, True)):
            done = run_plan([p], failing, memory=first.memory, now=NOW + later)
            assert done.reports[p.uid].drained is drained


class TestRoomForIntents:
    def test_no_more_is_launched_than_the_status_has_room_for(self) -> None:
        p = pool(max_runners=MOST_INTENTS)
        known = {p.uid: PoolIntents(open=frozenset(f"n{n}" for n in range(MOST_INTENTS - 1)))}
        view = snapshot(jobs=[job(n) for n in range(1, 4)])
        assert len(launches(run_plan([p], view, intents=known))) == 1

    def test_without_any_room_the_jobs_are_told_what_they_wait_for(self) -> None:
        p = pool(max_runners=MOST_INTENTS)
        known = {p.uid: PoolIntents(open=frozenset(f"n{n}" for n in range(MOST_INTENTS)))}
        done = run_plan([p], snapshot(jobs=[job(1)]), intents=known)
        (waiting,) = done.reports[p.uid].waiting
        assert launches(done) == []
        assert (waiting.reason, waiting.count) == (Reason.Pending, 1)


class TestDrainedPools:
    """Pools that somebody asks to drain, by an annotation that keeps changing."""

    def test_they_are_emptied_as_if_they_were_deleted(self) -> None:
        p = pool(drain_request="1")
        view = one_busy_and_one_free(p)
        done = run_plan([p], view)
        assert retirements(done) == {name_of(p, "free"): Reason.PoolDrained}
        assert launches(done) == []
        assert not done.reports[p.uid].drained

    def test_they_are_empty_once_lists_newer_than_the_request_show_nothing(self) -> None:
        p = pool(drain_request="1")
        first = run_plan([p], snapshot())
        assert not first.reports[p.uid].drained
        newer = snapshot(jobs=seen(at=NOW + 5), registrations=seen(at=NOW + 5), hf_jobs=seen(at=NOW + 5))
        assert run_plan([p], newer, memory=first.memory, now=NOW + 6).reports[p.uid].drained

    def test_a_request_that_is_not_renewed_ends_and_one_that_is_goes_on(self) -> None:
        first = run_plan([pool(drain_request="1")], snapshot(jobs=[job(9)]))
        later = NOW + DRAIN_REQUEST_SECONDS
        view = snapshot(jobs=seen([job(9)], at=later), registrations=seen(at=later), hf_jobs=seen(at=later))
        over = run_plan([pool(drain_request="1")], view, memory=first.memory, now=later)
        renewed = run_plan([pool(drain_request="2")], view, memory=first.memory, now=later)
        assert (len(launches(over)), len(launches(renewed))) == (1, 0)

    def test_what_emptied_it_once_does_not_prove_it_empty_the_next_time(self) -> None:
        first = run_plan([pool(drain_request="1")], snapshot())
        between = run_plan([pool()], snapshot(), memory=first.memory, now=NOW + 1)
        old = snapshot(registrations=seen(at=NOW + 2), hf_jobs=seen(at=NOW + 2))
        p = pool(drain_request="2")
        again = run_plan([p], old, memory=between.memory, now=NOW + 3)
        assert not again.reports[p.uid].drained


class TestOrphans:
    def test_a_registration_without_hf_job_is_removed_only_after_the_lists_had_time_to_show_one(self) -> None:
        p = pool()

        def view(at: float) -> object:
            return snapshot(registrations=seen([registration(p)], at=at), hf_jobs=seen(at=at))

        first = run_plan([p], view(NOW - 1))  # type: ignore[arg-type]
        assert retirements(first) == {}
        second = run_plan([p], view(NOW + 5), memory=first.memory, now=NOW + 6)  # type: ignore[arg-type]
        assert retirements(second) == {}
        later = NOW + 6 + LIST_LAG
        third = run_plan([p], view(later), memory=second.memory, now=later + 1)  # type: ignore[arg-type]
        assert retirements(third) == {name_of(p): Reason.OrphanedRegistration}

    def test_a_gap_grows_no_older_while_lists_fail(self) -> None:
        p = pool()
        first = run_plan([p], snapshot(hf_jobs=[started(p)], registrations=seen(at=NOW - 1)), now=NOW)
        second = run_plan(
            [p],
            snapshot(hf_jobs=seen([started(p)], at=NOW + 5), registrations=seen(at=NOW + 5)),
            memory=first.memory,
            now=NOW + 6,
        )
        at = NOW + 10 + LIST_LAG
        for failing, proved in ((OUTAGE, False), (None, True)):
            asked_at = NOW + 5 if failing else at
            view = snapshot(
                hf_jobs=seen([started(p)], at=at),
                registrations=seen(at=asked_at, failure=failing),
            )
            third = run_plan([p], view, memory=second.memory, now=at + 1)
            assert (third.reports[p.uid].runners[0].phase is Phase.ORPHANED) is proved

    def test_a_runner_that_was_online_has_time_to_end_by_itself(self) -> None:
        p = pool()
        view = snapshot(hf_jobs=[started(p)])
        for ago, expected in ((ENDING_GRACE - 1, {}), (ENDING_GRACE + 1, {name_of(p): Reason.NeverExited})):
            memory = remembering(
                name_of(p),
                phase=Phase.FINISHED,
                since=NOW - ago,
                online_at=0.0,
                taken_at=0.0,
                alone_since=NOW - ago,
                job_done=True,
            )
            assert retirements(run_plan([p], view, memory=memory)) == expected

    def test_things_of_another_controller_are_not_even_counted(self) -> None:
        p = pool()
        theirs = hf_job(p, labels={**hf_job(p).labels, "controller": "somebody-else"})
        foreign = registration(p, name="my-own-runner")
        done = run_plan([p], snapshot(registrations=[foreign], hf_jobs=[theirs]))
        assert list(done.actions) == []
        assert list(done.reports[p.uid].runners) == []

    def test_an_hf_job_with_our_labels_and_a_name_that_we_do_not_give_is_not_ours(self) -> None:
        p = pool()
        forged = hf_job(p, labels={**hf_job(p).labels, "runner": "crypto-miner"})
        assert list(run_plan([p], snapshot(hf_jobs=[forged])).reports[p.uid].runners) == []

    def test_a_runner_whose_pool_is_gone_is_retired_after_its_grace(self) -> None:
        gone, left = pool("gone"), pool()
        view = snapshot(registrations=[registration(gone)], hf_jobs=[hf_job(gone)])
        first = run_plan([left], view)
        assert retirements(first) == {}
        later = run_plan([left], view, memory=first.memory, now=NOW + STRAY_GRACE + 1)
        assert retirements(later) == {name_of(gone): Reason.PoolDeleted}

    def test_no_runner_is_a_stray_before_every_pool_is_known(self) -> None:
        gone = pool("gone")
        view = snapshot(registrations=[registration(gone)], hf_jobs=[hf_job(gone)], pools_known=False)
        first = run_plan([pool()], view)
        assert retirements(run_plan([pool()], view, memory=first.memory, now=NOW + 9_999)) == {}


class TestEndings:
    def ended(self, *, message: str | None = None, stage: Stage = Stage.ERROR, **changes: Any) -> object:
        return replace(
            started(pool(), seconds_ago=60),
            stage=stage,
            finished_at=SERVER,
            message=message,
            **changes,
        )

    def test_a_finished_job_is_counted_and_paid_for_once(self) -> None:
        p = pool()
        done = run_plan([p], snapshot(ended=[self.ended(stage=Stage.COMPLETED)]))  # type: ignore[list-item]
        memory = done.reports[p.uid].memory
        assert memory.unpriced_seconds == {}
        assert memory.spent_usd == pytest.approx(0.0067)
        assert list(done.notices) == []

    def test_one_that_tells_no_end_is_paid_for_until_the_list_that_lacked_it(self) -> None:
        p = pool()
        cancelled = replace(started(p, seconds_ago=90), stage=Stage.CANCELED, finished_at=None)
        done = run_plan([p], snapshot(ended=[cancelled]))
        assert done.reports[p.uid].memory.spent_usd == pytest.approx(0.01, abs=0.0001)

    def test_what_ends_before_its_price_is_known_is_paid_for_when_it_is(self) -> None:
        p = pool()
        unpriced = replace(snapshot(ended=[self.ended(stage=Stage.COMPLETED)]), flavors={})  # type: ignore[list-item]
        first = run_plan([p], unpriced)
        second = run_plan([p], snapshot(), memory=first.memory)
        third = run_plan([p], snapshot(), memory=second.memory)
        spent = [done.reports[p.uid].memory.spent_usd for done in (first, second, third)]
        assert spent == [0.0, pytest.approx(0.0067), pytest.approx(0.0067)]

    def test_a_runner_that_ends_before_it_came_online_is_a_failed_launch(self) -> None:
        p = pool()
        broken = self.ended(message="Job failed with exit code: 127. Reason: Error")
        done = run_plan([p], snapshot(jobs=[job()], ended=[broken]))  # type: ignore[list-item]
        assert launches(done) == []
        (notice,) = done.notices
        assert notice.warning
        assert "exit code: 127" in notice.message

    def completed_with_its_record_still_listed(self) -> Plan:
        """Return a pass after a failure, which one runner that serves forgives."""
        p = pool()
        failed = Backoff(failures=1, at=NOW - 600, until=NOW - 300, failure=OUTAGE)
        memory = Memory(pools={p.uid: PoolMemory(backoffs={"t4-small": failed})})
        view = snapshot(
            jobs=[job()],
            registrations=[registration(p)],
            ended=[self.ended(stage=Stage.COMPLETED)],  # type: ignore[list-item]
        )
        done = run_plan([p], view, memory=memory)
        assert "t4-small" in done.reports[p.uid].memory.backoffs
        assert list(done.notices) == []
        return done

    def test_a_success_whose_record_goes_a_little_later_served_between_two_lists(self) -> None:
        p, first = pool(), self.completed_with_its_record_still_listed()
        done = run_plan([p], snapshot(jobs=[job()]), memory=first.memory, now=NOW + 10)
        assert not done.reports[p.uid].memory.backoffs
        assert launches(done) == ["t4-small"]

    def test_a_success_whose_record_lingers_as_busy_took_a_job_that_no_list_had_shown(self) -> None:
        p, first = pool(), self.completed_with_its_record_still_listed()
        lingers = seen([registration(p, busy=True)], at=NOW + 9)
        view = snapshot(jobs=seen([], at=NOW + 9), registrations=lingers, hf_jobs=seen(at=NOW + 9))
        done = run_plan([p], view, memory=first.memory, now=NOW + 10)
        assert list(done.notices) == []
        assert set(done.reports[p.uid].memory.backoffs) == {"t4-small"}
        gone = run_plan([p], snapshot(), memory=done.memory, now=NOW + 20)
        assert not gone.reports[p.uid].memory.backoffs

    def test_a_success_whose_record_stays_never_served(self) -> None:
        p, done = pool(), self.completed_with_its_record_still_listed()
        for at in (NOW + 10, NOW + 20, NOW + 90):
            view = snapshot(
                jobs=seen([job()], at=at - 1),
                registrations=seen([registration(p)], at=at - 1),
                hf_jobs=seen(at=at - 1),
            )
            done = run_plan([p], view, memory=done.memory, now=at)
        assert retirements(done) == {name_of(p): Reason.OrphanedRegistration}
        assert done.reports[p.uid].memory.backoffs[POOL].failure.reason is Reason.RunnerFailed
        assert [notice.reason for notice in done.notices] == [Reason.RunnerFailed]
        gone = run_plan([p], snapshot(), memory=done.memory, now=NOW + 100)
        assert set(gone.reports[p.uid].memory.backoffs) == {"t4-small", POOL}

    def test_an_hf_job_that_dies_while_its_workflow_job_runs_is_reported_as_lost_with_the_cause(self) -> None:
        p = pool()
        view = snapshot(
            jobs=[running(7, name_of(p))],
            registrations=[registration(p, online=True, busy=True)],
            ended=[self.ended(message="Job failed with exit code: 137. Reason: OOMKilled")],  # type: ignore[list-item]
        )
        done = run_plan([p], view)
        (notice,) = done.notices
        assert notice.reason is Reason.RunnerLost
        assert notice.workflow_job is not None
        assert "OOMKilled" in notice.message

    def out_of_time(self) -> HFJob:
        return self.ended(message="Job failed with exit code: 82. Reason: Error")  # type: ignore[return-value]

    def test_a_lifetime_that_is_over_before_the_runner_is_online_slows_the_next_launch_down(self) -> None:
        p = pool()
        memory = remembering(name_of(p), phase=Phase.STARTING, since=NOW - 40)
        view = snapshot(registrations=[registration(p)], ended=[self.out_of_time()], jobs=[job(1)])
        done = run_plan([p], view, memory=memory)
        assert [notice.reason for notice in done.notices] == [Reason.LifetimeDeadline]
        assert done.reports[p.uid].memory.backoffs[POOL].failures == 1
        assert launches(done) == []

    def assert_told_that_its_job_was_cut_short(self, done: Plan) -> None:
        (notice,) = done.notices
        assert (notice.reason, notice.warning) == (Reason.LifetimeDeadline, True)
        assert notice.workflow_job is not None
        assert notice.workflow_job.id == 7
        assert 'acme/lib "job 7" (hf-t4)' in notice.message
        assert "deadlines.lifetime" in notice.message
        assert done.reports[pool().uid].memory.backoffs == {}
        assert done.reports[pool().uid].memory.spent_usd == pytest.approx(0.0067)

    def test_a_job_that_its_runners_lifetime_cut_short_is_told_and_is_no_runner_lost(self) -> None:
        p = pool()
        view = snapshot(
            jobs=[running(7, name_of(p))],
            registrations=[registration(p, online=True, busy=True)],
            ended=[self.out_of_time()],
        )
        self.assert_told_that_its_job_was_cut_short(run_plan([p], view))

    def test_a_job_that_was_cut_short_is_named_though_github_has_forgotten_it_already(self) -> None:
        p = pool()
        busy = snapshot(
            jobs=[running(7, name_of(p))],
            registrations=[registration(p, online=True, busy=True)],
            hf_jobs=[started(p)],
        )
        going = snapshot(hf_jobs=[started(p)])
        before = run_plan([p], going, memory=run_plan([p], busy).memory, now=NOW + 1)
        gone = snapshot(ended=[self.out_of_time()])
        self.assert_told_that_its_job_was_cut_short(run_plan([p], gone, memory=before.memory, now=NOW + 2))

    @pytest.mark.parametrize("listed", [True, False])
    def test_a_job_that_was_cut_short_is_told_of_even_if_no_queue_ever_named_it(self, listed: bool) -> None:
        p = pool()
        registrations = [registration(p, online=True, busy=True)] if listed else []
        memory = Memory() if listed else remembering(name_of(p), phase=Phase.BUSY, since=NOW - 5)
        view = snapshot(registrations=registrations, ended=[self.out_of_time()])
        (notice,) = run_plan([p], view, memory=memory).notices
        assert (notice.reason, notice.workflow_job) == (Reason.LifetimeDeadline, None)

    def test_a_lifetime_that_ends_without_a_job_is_no_news_and_no_failure(self) -> None:
        p = pool()
        memory = remembering(name_of(p), phase=Phase.IDLE, since=NOW - 5, online_at=NOW - 5)
        done = run_plan([p], snapshot(jobs=[job()], ended=[self.out_of_time()]), memory=memory)
        assert list(done.notices) == []
        assert launches(done) == ["t4-small"]

    def test_a_cancellation_by_the_platform_slows_launches_down_even_if_the_runner_was_online(self) -> None:
        p = pool()
        memory = remembering(name_of(p), phase=Phase.IDLE, since=NOW - 5, online_at=NOW - 5)
        broke = self.ended(stage=Stage.CANCELED, cancel_reason="NO_CREDITS")
        done = run_plan([p], snapshot(jobs=[job()], ended=[broke]), memory=memory)  # type: ignore[list-item]
        assert launches(done) == []
        assert done.reports[p.uid].memory.backoffs[POOL].failure.reason is Reason.PlatformCancelled

    @pytest.mark.parametrize("code", [73, 78, 80])
    @pytest.mark.parametrize(
        ("track", "completed"),
        [
            ({"phase": Phase.BUSY, "since": NOW - 90, "online_at": NOW - 100, "taken_at": NOW - 90}, False),
            (
                {"phase": Phase.FINISHED, "since": NOW - 10, "online_at": NOW - 100, "taken_at": NOW - 90},
                False,
            ),
            ({"phase": Phase.STARTING, "since": NOW - 90}, True),
        ],
        ids=["seen busy", "seen busy, then offline", "whose job is only seen completed"],
    )
    def test_whatever_ends_a_runner_that_had_a_job_says_nothing_against_the_next_launch(
        self, track: dict[str, Any], completed: bool, code: int
    ) -> None:
        p = pool()
        over = self.ended(message=f"Job failed with exit code: {code}. Reason: Error")
        view = snapshot(jobs=[job(2)], ended=[over])  # type: ignore[list-item]
        if completed:
            view = replace(view, completed={SOURCE: (running(1, name_of(p)),)})
        done = run_plan([p], view, memory=remembering(name_of(p), **track))
        assert done.reports[p.uid].memory.backoffs == {}
        assert launches(done) == ["t4-small"]
        assert [notice.reason for notice in done.notices] == [Reason.EndedAfterJob]

    def test_a_runner_whose_bootstrap_says_that_it_had_a_job_is_no_failed_launch_though_no_list_knew_it(
        self,
    ) -> None:
        p = pool()
        over = self.ended(message="Job failed with exit code: 83. Reason: Error")
        done = run_plan([p], snapshot(jobs=[job(2)], ended=[over]))  # type: ignore[list-item]
        assert done.reports[p.uid].memory.backoffs == {}
        assert launches(done) == ["t4-small"]

    @pytest.mark.parametrize(
        "track",
        [
            {"phase": Phase.IDLE, "since": NOW - 10, "online_at": NOW - 10},
            {"phase": Phase.FINISHED, "since": NOW - 5, "online_at": NOW - 10, "taken_at": NOW - 5},
        ],
        ids=["while it was idle", "and that went offline first"],
    )
    def test_a_version_that_github_refuses_once_it_is_online_slows_launches_down(
        self, track: dict[str, Any]
    ) -> None:
        p = pool()
        refused = self.ended(message="Job failed with exit code: 73. Reason: Error")
        view = snapshot(jobs=[job()], ended=[refused])  # type: ignore[list-item]
        done = run_plan([p], view, memory=remembering(name_of(p), **track))
        assert launches(done) == []
        assert done.reports[p.uid].memory.backoffs[POOL].failure.reason is Reason.RunnerVersionRefused


class TestUnserved:
    def test_a_job_that_no_pool_matches_is_counted_once_and_named(self) -> None:
        a, b = pool("a", labels=("gpu", "t4")), pool("b", labels=("cpu",))
        done = run_plan([a, b], snapshot(jobs=[job(labels=("gpu", "h200"))]))
        assert waits(done, "a") == {Reason.NoMatchingPool: 1}
        assert waits(done, "b") == {}
        assert "h200" in done.reports["uid-a"].waiting[0].message

    def test_jobs_for_githubs_own_machines_are_nobodys_business(self) -> None:
        done = run_plan(
            [pool()], snapshot(jobs=[job(labels=("ubuntu-latest",)), job(2, labels=("macos-15-xlarge",))])
        )
        assert waits(done) == {}

    @pytest.mark.parametrize(
        "labels", [("gpu", "ubuntu-22.04"), ("ubuntu-22.04-gpu",), ("gpu", "self-hosted")]
    )
    def test_a_job_that_asks_for_more_than_a_machine_of_githubs_is_named(
        self, labels: tuple[str, ...]
    ) -> None:
        assert waits(run_plan([pool()], snapshot(jobs=[job(labels=labels)]))) == {Reason.NoMatchingPool: 1}

    def test_a_job_that_names_only_a_group_is_counted_and_not_launched_for(self) -> None:
        done = run_plan([pool()], snapshot(jobs=[job(labels=())]))
        assert launches(done) == []
        assert waits(done) == {Reason.GroupOnly: 1}

    def test_a_pool_that_serves_its_group_launches_for_a_job_without_labels(self) -> None:
        p = pool(group_only=GroupOnlyJobs.SERVE)
        assert launches(run_plan([p], snapshot(jobs=[job(labels=())]))) == ["t4-small"]


class TestMoney:
    def test_the_worst_case_is_every_timeout_run_to_its_end(self) -> None:
        p = pool()
        view = snapshot(registrations=[registration(p)], hf_jobs=[started(p, seconds_ago=60)])
        report = run_plan([p], view).reports[p.uid]
        assert report.usd_per_hour == pytest.approx(0.0067 * 60)
        assert report.worst_case_usd == pytest.approx((4260 - 61) * 0.0067 / 60)  # one second since the list

    def test_a_scheduled_hf_job_costs_nothing_yet(self) -> None:
        p = pool()
        view = snapshot(jobs=[job()], registrations=[registration(p)], hf_jobs=[hf_job(p)])
        assert run_plan([p], view).reports[p.uid].usd_per_hour == 0


def test_equal_inputs_give_equal_plans_in_any_order_of_pools() -> None:
    pools = [pool(n, labels=(n,), created_at=1.0) for n in "abcdef"]
    jobs = [job(i, labels=(n,)) for i, n in enumerate("fedcba")]
    assert run_plan(pools, snapshot(jobs=jobs)) == run_plan(reversed(pools), snapshot(jobs=jobs))


def test_a_repository_that_two_sources_poll_counts_once() -> None:
    other = replace(SOURCE, secret=replace(SOURCE.secret, name="other"))
    a, b = pool("a"), pool("b", source=other, created_at=200.0)
    view = snapshot(jobs=[job()])
    view = replace(
        view,
        queues={**view.queues, (other, REPO): seen([job()])},
        registrations={**view.registrations, b.footprint.registrations: seen()},
        hf_jobs={ACCOUNT: seen()},
    )
    assert [action.pool.uid for action in run_plan([a, b], view).actions if isinstance(action, Launch)] == [
        a.uid
    ]
