"""Terms, the evidence that ends an intent, and what a plan makes of intents."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.status.build import build_status, rejected_status
from controller.api.status.model import RunnerPoolStatus
from controller.api.status.stored import read_status
from controller.api.status.values import Instant
from controller.core.actions import Launch, Result
from controller.core.evidence import LIST_LAG
from controller.core.intents import (
    MOST_TERMS,
    Blocked,
    Intent,
    PoolIntents,
    Term,
    Written,
    came_and_ended,
    ended_intents,
    next_term,
    outlived,
    served_by,
    unseen_launches,
    wrote_nothing_down,
)
from controller.core.memory import Memory, PoolMemory
from controller.core.model import Failure, HFJob, JobStatus, Observation, SecretRef, Snapshot, Stage
from controller.core.plan import Plan
from controller.core.reasons import Reason

from .build import (
    NOW,
    OUTAGE,
    SERVER,
    SOURCE,
    hf_job,
    job,
    launching,
    name_of,
    pool,
    registration,
    run_plan,
    running,
    seen,
    snapshot,
)

NUMBERS = st.integers(min_value=0, max_value=MOST_TERMS - 1)
TERMS = st.builds(Term, number=NUMBERS, holder=st.sampled_from("ab"))
BLOCKED = Blocked(
    failure=Failure(reason=Reason.IntentsBlocked, message="the API server answered 503"),
    since=NOW - 5,
    until=NOW + 5,
)


class TestTerms:
    @given(NUMBERS, st.lists(TERMS | st.none()))
    def test_a_process_that_begins_has_a_later_term_than_all_that_it_has_seen(
        self, lease: int, known: list[Term | None]
    ) -> None:
        mine = next_term(lease, known, holder="me")
        assert mine.number >= lease
        assert all(not mine.yields_to(term) and term.yields_to(mine) for term in known if term is not None)

    @given(TERMS, TERMS)
    def test_of_two_terms_of_two_processes_each_that_meets_the_others_write_knows_whether_to_go_on(
        self, one: Term, other: Term
    ) -> None:
        if one == other:
            assert not one.yields_to(other)
        elif one.holder == other.holder or one.number != other.number:
            assert one.yields_to(other) is not other.yields_to(one)
        else:
            assert one.yields_to(other)  # whoever comes second yields

    def test_only_a_launch_that_nobody_wrote_down_tells_of_an_older_version(self) -> None:
        assert wrote_nothing_down(Written(), launched_at=5.0)
        assert not wrote_nothing_down(Written(), launched_at=None)
        assert not wrote_nothing_down(Written(term=Term(number=1, holder="a")), launched_at=5.0)


class TestEvidence:
    P = pool()
    ONE = Intent(name=name_of(P), flavor="t4-small", at=SERVER, place=P.footprint)

    def ended(self, view: Snapshot, *, finished: float | None = NOW, flying: bool = False) -> bool:
        flight = launching(self.P) if flying else {}
        return bool(ended_intents([(self.ONE, finished)], flight, view, shown=set()))

    def test_it_ends_when_a_younger_list_shows_the_registration(self) -> None:
        assert self.ended(snapshot(registrations=seen([registration(self.P)], at=NOW + 1)))

    def test_a_registration_that_was_shown_once_need_not_be_there_any_more(self) -> None:
        shown: set[str] = set()
        first = snapshot(registrations=seen([registration(self.P)], at=NOW))
        assert not ended_intents([(self.ONE, None)], {}, first, shown=shown)
        assert ended_intents([(self.ONE, NOW)], {}, snapshot(registrations=seen(at=NOW + 1)), shown=shown)

    def test_a_list_that_is_not_complete_proves_no_absence(self) -> None:
        assert not self.ended(snapshot(registrations=seen(at=NOW + 1000, failure=OUTAGE)))
        assert not self.ended(snapshot(registrations=None))

    @pytest.mark.parametrize(("after", "ended"), [(LIST_LAG, False), (LIST_LAG + 1, True)])
    def test_it_ends_when_a_list_that_had_the_time_to_show_it_does_not(
        self, after: float, ended: bool
    ) -> None:
        assert self.ended(snapshot(registrations=seen(at=NOW + after))) is ended

    def test_not_while_the_launch_runs_or_its_hf_job_may_still_come(self) -> None:
        shown = snapshot(registrations=seen([registration(self.P)], at=NOW + 1))
        assert not self.ended(shown, finished=None)
        assert not self.ended(shown, flying=True)

    def test_a_runner_whose_job_completed_has_been_there_though_no_list_ever_showed_it(self) -> None:
        done = replace(running(1, name_of(self.P)), status=JobStatus.COMPLETED)
        view = replace(snapshot(), completed={self.P.source: (done, job(2))})
        assert served_by(self.P, view) == {name_of(self.P)}
        theirs = replace(self.P.source, owner="somebody-else")
        assert served_by(self.P, replace(view, completed={theirs: (done,)})) == set()

    @pytest.mark.parametrize(("age", "over"), [(100 + LIST_LAG, False), (101 + LIST_LAG, True)])
    def test_nothing_outlives_the_hubs_own_timeout(self, age: float, over: bool) -> None:
        assert outlived(self.ONE, timeout=100.0, wall=SERVER + age) is over


class TestRunnersThatServedUnseen:
    @pytest.mark.parametrize(
        ("completed", "served"),
        [
            ({}, set()),
            ({SOURCE: (running(1, "one"), running(2, "two"))}, {"one", "two"}),
            ({SOURCE: (job(3),)}, set()),
            ({replace(SOURCE, owner="another"): (running(1, "one"),)}, set()),
        ],
        ids=["nothing completed", "two jobs", "a job without a runner", "what other credentials show"],
    )
    def test_they_are_those_of_completed_jobs_that_the_pools_own_credentials_show(
        self, completed: Any, served: set[str]
    ) -> None:
        assert served_by(pool(), snapshot(completed=completed)) == served

    def test_a_former_place_shows_them_too(self) -> None:
        of = pool()
        before = replace(SOURCE, owner="before")
        there = replace(of.footprint, registrations=replace(of.footprint.registrations, source=before))
        view = snapshot(completed={before: (running(1, "one"),)})
        assert served_by(replace(of, former=(there,)), view) == {"one"}


class TestWhatIsAskedFor:
    P = pool()

    def unseen(self, listed: Observation[HFJob] | None, **flight: Any) -> bool:
        flying = launching(self.P, **{"finished_at": NOW, "inherited": True, **flight})
        found = unseen_launches(flying, snapshot(hf_jobs=listed), [self.P])
        assert found in ({}, {name_of(self.P): self.P.hub})
        return bool(found)

    def test_a_launch_of_an_earlier_process_that_a_younger_list_lacks(self) -> None:
        assert self.unseen(seen(at=NOW + 1))

    @pytest.mark.parametrize("listed", [None, seen(at=NOW - 1), seen(at=NOW + 1, failure=OUTAGE)])
    def test_not_before_a_whole_list_that_is_younger_has_come(
        self, listed: Observation[HFJob] | None
    ) -> None:
        assert not self.unseen(listed)

    def test_not_a_launch_of_our_own(self) -> None:
        assert not self.unseen(seen(at=NOW + 1), inherited=False)

    def test_not_that_of_a_pool_which_is_gone(self) -> None:
        assert unseen_launches(launching(self.P, finished_at=NOW, inherited=True), snapshot(), []) == {}

    def test_at_the_account_as_the_pools_secret_of_today_sees_it(self) -> None:
        today = replace(self.P, hub=replace(self.P.hub, secret=SecretRef("ci", "new-token")))
        view = Snapshot(hf_jobs={today.hub: seen(at=NOW + 1)})
        flying = launching(self.P, finished_at=NOW, inherited=True)
        assert unseen_launches(flying, view, [today]) == {name_of(self.P): today.hub}


class TestWhatTheHubSays:
    P = pool()
    OVER = hf_job(P, stage=Stage.COMPLETED)
    LIVE = hf_job(P)
    FAILED = hf_job(P, stage=Stage.ERROR)

    @pytest.mark.parametrize(
        ("found", "over"),
        [
            ([], False),
            ([LIVE], False),
            ([OVER], True),
            ([FAILED], True),
            ([OVER, replace(LIVE, id="again")], False),
            ([replace(OVER, foreign=True)], False),
            ([replace(OVER, foreign=None)], False),
            ([replace(OVER, initiator="duplicated-job")], False),
            ([OVER, replace(LIVE, id="copy", foreign=True)], True),
            ([hf_job(P, "bbbb", stage=Stage.COMPLETED)], False),
        ],
        ids=[
            "nothing, which may come yet",
            "one that lives",
            "one that ended well",
            "one that failed",
            "one that ended beside one that lives",
            "one of another user",
            "one of nobody knows whom",
            "a copy",
            "ours beside a copy that lives",
            "another runner's",
        ],
    )
    def test_a_launch_is_over_when_the_hf_job_that_we_made_has_ended(
        self, found: list[HFJob], over: bool
    ) -> None:
        assert came_and_ended(name_of(self.P), found) is over


class TestThePlan:
    def plan_with(self, told: PoolIntents, view: Snapshot | None = None, **changes: Any) -> Plan:
        p = pool(max_runners=2, **changes)
        return run_plan([p], view or snapshot(jobs=[job(1)]), intents={p.uid: told})

    def test_jobs_wait_for_what_an_earlier_process_intended_and_it_takes_a_place(self) -> None:
        p = pool(max_runners=2)
        flying = launching(p, finished_at=NOW, inherited=True)
        done = run_plan([p], snapshot(jobs=[job(n) for n in range(5)]), in_flight=flying)
        assert len(done.actions) == 1
        starting, rest = done.reports[p.uid].waiting
        assert (starting.reason, starting.count) == (Reason.RunnerStarting, 2)
        assert (rest.reason, rest.count) == (Reason.AtMaxRunners, 3)

    def test_one_of_our_own_that_is_in_doubt_takes_a_place_and_no_job_waits_for_it(self) -> None:
        p = pool(max_runners=2)
        done = run_plan([p], snapshot(jobs=[job(1), job(2)]), in_flight=launching(p, finished_at=NOW))
        starting, _ = done.reports[p.uid].waiting
        assert (starting.reason, starting.count) == (Reason.RunnerStarting, 1)

    def test_nothing_is_launched_while_it_cannot_be_written_down_and_jobs_are_told_why(self) -> None:
        done = self.plan_with(PoolIntents(blocked=BLOCKED))
        assert done.actions == []
        (waiting,) = done.reports["uid-t4"].waiting
        assert (waiting.reason, waiting.until) == (Reason.IntentsBlocked, NOW + 5)
        assert "503" in waiting.message

    def test_it_is_tried_again_after_a_while(self) -> None:
        done = self.plan_with(PoolIntents(blocked=replace(BLOCKED, until=NOW)))
        assert len(done.actions) == 1

    def test_a_write_that_failed_slows_no_flavor_down(self) -> None:
        p = pool()
        result = Result(
            name="x",
            pool_uid=p.uid,
            effect=launching(p)[name_of(p)].effect,
            flavor="t4-small",
            failure=BLOCKED.failure,
        )
        done = run_plan([p], snapshot(jobs=[job(1)]), results=[result])
        assert not done.reports[p.uid].memory.backoffs
        assert [type(action) for action in done.actions] == [Launch]

    @pytest.mark.parametrize(
        ("github", "hub", "launches"),
        [(-1, 1, 0), (1, -1, 0), (1, 1, 1)],
        ids=["GitHub's list is too old", "the Hub's list is too old", "both are young enough"],
    )
    def test_after_a_version_that_wrote_nothing_down_both_lists_must_show_all_that_it_did(
        self, github: float, hub: float, launches: int
    ) -> None:
        view = snapshot(
            jobs=[job(1)], registrations=seen(at=NOW - 10 + github), hf_jobs=seen(at=NOW - 10 + hub)
        )
        done = self.plan_with(PoolIntents(lists_after=NOW - 10), view)
        assert len(done.actions) == launches
        assert {w.reason for w in done.reports["uid-t4"].waiting} == {
            Reason.RunnerStarting if launches else Reason.Pending
        }

    @pytest.mark.parametrize(
        ("told", "drained"),
        [
            (PoolIntents(), True),
            (PoolIntents(open=frozenset({"t4-hfr-1"}), places=frozenset({pool().footprint.place})), False),
            (PoolIntents(lists_after=NOW), False),
        ],
        ids=["no intent", "an intent that nothing has ended", "an older version launched lately"],
    )
    def test_a_pool_goes_only_when_evidence_has_ended_its_intents(
        self, told: PoolIntents, drained: bool
    ) -> None:
        p = pool(deleting=True)
        memory = Memory(pools={p.uid: PoolMemory(draining_since=NOW - 5)})
        done = run_plan([p], snapshot(), memory=memory, intents={p.uid: told})
        assert done.reports[p.uid].drained is drained

    def test_a_runner_that_an_intent_named_is_joined_with_what_lists_show_of_it(self) -> None:
        p = pool()
        flying = launching(p, finished_at=NOW - 5, inherited=True)
        view = snapshot(registrations=[registration(p)], hf_jobs=[hf_job(p)])
        (runner,) = run_plan([p], view, in_flight=flying).reports[p.uid].runners
        assert runner.hf_job is not None
        assert runner.registration is not None


class TestTheStatus:
    @pytest.mark.parametrize(
        ("after", "ready"), [(0.0, "True"), (120.0, "False")], ids=["at first", "after a while"]
    )
    def test_the_condition_is_false_and_after_a_while_the_pool_is_not_ready(
        self, after: float, ready: str
    ) -> None:
        p = pool()
        done = run_plan([p], snapshot(), intents={p.uid: PoolIntents(blocked=BLOCKED)})
        now = Instant(mono=NOW + after, wall=SERVER + after)
        status = build_status(
            done.reports[p.uid],
            previous=RunnerPoolStatus(),
            overlaps=(),
            usd_per_second={},
            start=now,
            now=now,
        ).to_object()
        told = {each["type"]: each for each in status["conditions"]}
        assert (told["IntentsWritten"]["status"], told["IntentsWritten"]["reason"]) == (
            "False",
            "IntentsBlocked",
        )
        assert told["Ready"]["status"] == ready
        assert not {"intents", "term"} & status.keys()

    def test_the_status_of_a_pool_with_a_bad_spec_repeats_no_intents(self) -> None:
        told = {"intents": [], "term": {"number": 1, "holder": "a"}, "flavorNames": "t4-small"}
        status = rejected_status(
            generation=2, message="no", previous=read_status(told), deleting=False, wall=SERVER
        ).to_object()
        assert not {"intents", "term"} & status.keys()
        assert status["flavorNames"] == "t4-small"
