"""Launches are written down before they begin; who reads and writes the same pool when,
decides who may go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from controller.core.evidence import LIST_LAG
from controller.core.intents import MOST_INTENTS, MOST_TERMS, Term, Written, unseen_launches
from controller.core.model import Failure, SecretRef, Stage
from controller.core.reasons import Reason
from controller.execute.inherited import ASK_EVERY, AT_ONCE, MOST_QUESTIONS, TIMES
from controller.execute.intent_writer import RETRY_DELAYS, TRIES, WRITE_TIMEOUT
from controller.execute.intents import TIDY_EVERY
from controller.simulate.loop import run_virtual
from tests.core.build import (
    REFUSED,
    SERVER,
    SOURCE,
    hf_job,
    name_of,
    pool,
    registration,
    running,
    seen,
    snapshot,
)
from tests.execute.scripted import DOWN, Leads, World, intent

P = pool()
OTHER = Term(number=7, holder="other")


def play(act: Callable[[World], Awaitable[None]], leads: Leads | None = None) -> None:
    async def main() -> None:
        world = World(leads=leads)
        await act(world)
        await world.executor.close(0.0)

    run_virtual(main())


class TestTheWrite:
    def test_nothing_is_asked_of_github_before_all_launches_of_the_pass_are_written(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.launch(P, "aaaa", "bbbb")
            await w.quiet()
            calls = [call.split()[0] for call in w.script.calls]
            assert calls[:2] == ["read", "write"]
            assert calls.count("write") == 1
            assert sorted(calls[2:4]) == ["register", "register"]
            assert w.stored(P) == [name_of(P, "aaaa"), name_of(P, "bbbb")]

        play(act)

    def test_a_burst_of_200_is_one_write(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.launch(P, *(f"n{n:03}" for n in range(200)))
            await w.quiet()
            assert w.script.count("write") == 1
            assert w.script.count("launch") == 200
            assert [key for key, _ in w.took] == [P.key]

        play(act)

    def test_passes_that_come_while_one_is_written_share_the_next_write(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.script.gates["write"] = asyncio.Event()
            w.launch(P, "aaaa")
            await w.quiet(1)
            for token in ("bbbb", "cccc", "dddd"):
                w.launch(P, token)
                await w.quiet(1)
            w.script.gates["write"].set()
            await w.quiet()
            assert w.script.count("write") == 2
            assert len(w.stored(P)) == 4
            assert w.script.count("launch") == 4

        play(act)

    def test_a_launch_counts_while_it_is_being_written(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.script.gates["write"] = asyncio.Event()
            w.launch(P, "aaaa")
            assert set(w.executor.in_flight) == {name_of(P)}

        play(act)

    def test_pools_are_written_apart(self) -> None:
        async def act(w: World) -> None:
            other = pool("other")
            w.know(P, other)
            w.executor.submit([])
            w.launch(P, "aaaa")
            w.launch(other, "aaaa")
            await w.quiet()
            assert (w.stored(P), w.stored(other)) == ([name_of(P)], [name_of(other)])

        play(act)

    def test_more_than_a_status_has_room_for_is_not_begun(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.launch(P, *(f"n{n:04}" for n in range(MOST_INTENTS + 1)))
            await w.quiet()
            assert w.script.count("register") == 0
            assert {r.failure and r.failure.reason for r in w.executor.take_results()} == {
                Reason.IntentsBlocked
            }

        play(act)


class TestWhatElseChangesThePool:
    def test_other_fields_that_move_are_no_reason_to_wait(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            left = [3]

            def touch() -> None:
                if left[0]:
                    left[0] -= 1
                    w.store.put(P)

            w.script.after["write"] = touch
            w.launch(P, "aaaa")
            await w.quiet(0.5)
            assert w.script.count("write") == 4
            assert w.stored(P) == [name_of(P)]
            assert w.script.count("launch") == 1

        play(act)

    def test_somebody_who_is_always_quicker_blocks_launches_for_a_while_and_not_for_ever(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.script.after["write"] = lambda: w.store.put(P)
            w.launch(P, "aaaa")
            await w.quiet(RETRY_DELAYS[0] / 2)
            assert w.script.count("write") == TRIES
            (result,) = w.executor.take_results()
            assert result.failure is not None
            assert result.failure.reason is Reason.IntentsBlocked
            assert w.executor.in_flight == {}

        play(act)

    @pytest.mark.parametrize("gone", [True, False], ids=["gone", "made anew"])
    def test_a_pool_that_is_gone_or_was_made_anew_launches_nothing(self, gone: bool) -> None:
        async def act(w: World) -> None:
            w.know(P)
            if gone:
                del w.store.objects[P.key]
            else:
                w.store.put(replace(P, uid="another"))
            w.launch(P, "aaaa")
            await w.quiet()
            assert w.script.count("register") == 0
            assert w.script.count("write") == 0
            (result,) = w.executor.take_results()
            assert result.failure is not None
            assert "gone" in result.failure.message

        play(act)


class TestTerms:
    @pytest.mark.parametrize("theirs", [Term(number=9, holder="other"), Term(number=1, holder="other")])
    def test_a_later_term_or_the_same_of_another_process_ends_this_one(self, theirs: Term) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.store.put(P, term=theirs)
            w.launch(P, "aaaa")
            await w.quiet()
            assert "other" in w.leads.lost
            assert w.script.count("write") == w.script.count("register") == 0
            (result,) = w.executor.take_results()
            assert result.failure is not None
            assert result.failure.reason is Reason.Pending

        play(act)

    def test_a_stale_leader_whose_successor_has_written_and_removed_its_intents_again_decides_nothing(
        self,
    ) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.launch(P, "aaaa")
            await w.quiet()
            mine = w.store.objects[P.key].written
            w.store.put(P, *mine.intents, term=Term(number=2, holder="successor"))
            w.launch(P, "bbbb")
            await w.quiet()
            assert w.leads.lost
            assert w.script.count("register") == 1

        play(act)

    def test_a_later_term_that_comes_between_a_read_and_the_write_is_seen_too(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.script.after["write"] = lambda: w.store.put(P, term=Term(number=2, holder="successor"))
            w.launch(P, "aaaa")
            await w.quiet()
            assert w.leads.lost
            assert w.script.count("register") == 0

        play(act)

    def test_intents_of_an_earlier_term_that_this_process_does_not_know_count_and_the_write_is_dropped(
        self,
    ) -> None:
        async def act(w: World) -> None:
            w.know(P, written={P.uid: Written(term=OTHER)})
            w.store.put(P, intent(P, "late"), term=OTHER)
            w.launch(P, "aaaa")
            await w.quiet()
            assert w.script.count("register") == 0
            assert set(w.executor.in_flight) == {name_of(P, "late")}
            assert w.log.for_plan()[P.uid].blocked is None
            w.launch(P, "bbbb")
            await w.quiet()
            assert w.stored(P) == sorted([name_of(P, "bbbb"), name_of(P, "late")])
            assert w.script.count("register") == 1

        play(act)

    @pytest.mark.parametrize(
        ("transitions", "number"),
        [(3, 8), (20, 20)],
        ids=["a Lease that was made anew", "a Lease that counts on"],
    )
    def test_a_term_is_later_than_any_that_the_pools_tell_of(self, transitions: int, number: int) -> None:
        async def act(w: World) -> None:
            w.know(P, written={P.uid: Written(term=OTHER)})
            w.launch(P, "aaaa")
            await w.quiet()
            assert w.store.objects[P.key].written.term == Term(number=number, holder="me")

        play(act, Leads(transitions=transitions))

    def test_a_pool_that_comes_to_sight_later_does_not_raise_the_term(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            new = pool("new")
            w.know(P, new, written={new.uid: Written(term=OTHER)})
            w.launch(new, "aaaa")
            await w.quiet()
            assert w.leads.lost

        play(act)

    def test_a_term_that_somebody_made_up_stops_no_other_pool_and_is_overruled_once_the_lease_was_renewed(
        self,
    ) -> None:
        async def act(w: World) -> None:
            other = pool("other")
            w.know(P, other)
            w.leads.renewed_at = w.clock.mono()
            w.store.put(P, term=Term(number=MOST_TERMS, holder="mallory"))
            w.launch(P, "aaaa")
            w.launch(other, "aaaa")
            await w.quiet(1)
            assert not w.leads.lost
            assert list(w.github.registered) == [name_of(other)]
            assert w.log.for_plan()[P.uid].blocked is not None
            w.leads.renewed_at = w.clock.mono()
            await w.quiet(RETRY_DELAYS[0])
            w.log.tidy()
            await w.quiet(1)
            w.launch(P, "bbbb")
            await w.quiet()
            assert not w.leads.lost
            assert name_of(P, "bbbb") in w.github.registered
            assert w.store.objects[P.key].written.term == Term(number=1, holder="me")

        play(act)

    def test_intents_with_names_of_another_pools_runners_count_nowhere(self) -> None:
        async def act(w: World) -> None:
            victim = pool("victim")
            lie = Written(term=OTHER, intents=(intent(victim),))
            honest = Written(term=OTHER, intents=(intent(victim),))
            w.know(P, victim, written={P.uid: lie, victim.uid: honest})
            assert [flight.pool_uid for flight in w.executor.in_flight.values()] == [victim.uid]
            w.store.put(P, intent(victim, "cccc"), term=OTHER)
            w.launch(P, "bbbb")
            await w.quiet()
            assert w.stored(P) == [name_of(P, "bbbb")]

        play(act)

    def test_who_leads_no_more_writes_nothing(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.leads.mine = False
            w.launch(P, "aaaa")
            await w.quiet()
            assert w.script.calls == []
            (result,) = w.executor.take_results()
            assert result.failure is not None
            assert result.failure.reason is Reason.Pending

        play(act)


class TestWithoutKubernetes:
    def test_nothing_is_launched_and_the_servers_own_words_are_told_once(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.script.fail("read", *[DOWN] * 3)
            for _ in range(3):
                w.launch(P, "aaaa")
                await w.quiet(1)
            blocked = w.log.for_plan()[P.uid].blocked
            assert blocked is not None
            assert "connection refused" in blocked.failure.message
            assert w.script.count("register") == 0
            assert w.executor.in_flight == {}
            assert w.log.for_plan()[P.uid].open == frozenset()

        play(act)
        assert caplog.text.count("intents not written") == 1

    def test_it_is_tried_again_without_a_launch_and_then_all_is_well(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.script.fail("read", DOWN)
            w.launch(P, "aaaa")
            await w.quiet(1)
            wakes = w.wakes
            w.log.tidy()
            await w.quiet(0.5)
            assert w.script.count("read") == 1
            await w.quiet(RETRY_DELAYS[0])
            w.log.tidy()
            await w.quiet(1)
            assert w.log.for_plan()[P.uid].blocked is None
            assert w.wakes > wakes

        play(act)

    def test_tries_come_ever_more_seldom_and_it_is_known_since_when(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.script.fail("write", *[REFUSED] * 6)
            found = []
            for token in range(6):
                w.launch(P, f"n{token}")
                await w.quiet(1)
                blocked = w.log.for_plan()[P.uid].blocked
                assert blocked is not None
                found.append((blocked.since, round(blocked.until - w.clock.mono() + 1)))
            assert [delay for _, delay in found] == [2, 5, 10, 20, 20, 20]
            assert len({since for since, _ in found}) == 1

        play(act)

    def test_what_could_not_be_written_is_not_written_by_a_later_write_either(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.script.fail("write", REFUSED)
            assert await w.log.write(P.uid, [intent(P, "aaaa")]) is not None
            assert await w.log.write(P.uid, [intent(P, "bbbb")]) is None
            assert w.stored(P) == [name_of(P, "bbbb")]

        play(act)

    def test_the_next_try_asks_what_is_there_now(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.script.fail("write", REFUSED)
            w.launch(P, "aaaa")
            await w.quiet(1)
            w.launch(P, "bbbb")
            await w.quiet(1)
            assert w.script.count("read") == 2
            w.launch(P, "cccc")
            await w.quiet(1)
            assert w.script.count("read") == 2

        play(act)

    def test_an_answer_that_was_lost_is_looked_up(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.script.fail("write", replace(DOWN, message="applied"))
            w.launch(P, "aaaa")
            await w.quiet()
            assert w.script.count("write") == 1
            assert w.script.count("launch") == 1

        play(act)

    def test_one_that_was_lost_twice_is_not_looked_up_again_at_once(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.script.fail("write", DOWN, DOWN)
            w.launch(P, "aaaa")
            await w.quiet(1)
            assert w.script.count("write") == 2
            assert w.log.for_plan()[P.uid].blocked is not None
            assert w.github.registered == {}

        play(act)

    def test_a_server_that_hangs_blocks_launches_and_what_it_did_all_the_same_is_removed_later(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.script.gates["write"] = asyncio.Event()
            w.launch(P, "aaaa")
            await w.quiet(WRITE_TIMEOUT + 1)
            assert w.log.for_plan()[P.uid].blocked is not None
            w.store.put(P, intent(P), term=Term(number=1, holder="me"))
            w.script.gates["write"].set()
            await w.quiet(TIDY_EVERY)
            w.log.tidy()
            await w.quiet()
            assert w.stored(P) == []
            assert w.script.count("register") == 0

        play(act)

    @pytest.mark.parametrize("call", ["read", "write"])
    def test_an_answer_that_nobody_foresaw_blocks_the_pool_for_a_while_and_holds_no_launch_for_ever(
        self, call: str
    ) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.script.fail(call, ZeroDivisionError("what is this"))
            w.launch(P, "aaaa")
            await w.quiet(1)
            (result,) = w.executor.take_results()
            assert result.failure is not None
            assert result.failure.reason is Reason.IntentsBlocked
            assert w.executor.in_flight == {}
            await w.quiet(RETRY_DELAYS[0])
            w.launch(P, "bbbb")
            await w.quiet()
            assert w.script.count("launch") == 1

        play(act)

    def test_a_refusal_is_told_with_the_servers_words(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.script.fail("write", REFUSED)
            w.launch(P, "aaaa")
            await w.quiet()
            (result,) = w.executor.take_results()
            assert result.failure is not None
            assert REFUSED.message in result.failure.message

        play(act)


class TestWhatIsNoLongerNeeded:
    def test_a_launch_that_failed_without_doubt_goes_with_the_next_write(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.script.fail("register", REFUSED)
            w.launch(P, "aaaa")
            await w.quiet(1)
            w.launch(P, "bbbb")
            await w.quiet()
            assert w.stored(P) == [name_of(P, "bbbb")]

        play(act)

    def test_without_another_launch_it_goes_by_a_write_of_its_own_and_not_too_soon(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.script.fail("register", REFUSED)
            w.launch(P, "aaaa")
            await w.quiet(1)
            w.log.tidy()
            await w.quiet(1)
            assert w.stored(P) == [name_of(P)]
            await w.quiet(TIDY_EVERY)
            w.log.tidy()
            w.log.tidy()
            await w.quiet(1)
            assert w.stored(P) == []
            assert w.script.count("write") == 2

        play(act)

    def test_one_whose_registration_may_be_left_stays_until_a_list_tells(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.github.listed = False
            w.script.fail("register", replace(REFUSED, in_doubt=True))
            w.launch(P, "aaaa")
            await w.quiet(1)
            assert w.executor.in_flight == {}
            assert w.log.for_plan()[P.uid].open == {name_of(P)}
            w.review(snapshot(registrations=seen(at=w.clock.mono() + LIST_LAG - 5)))
            assert w.log.for_plan()[P.uid].open
            w.review(snapshot(registrations=seen(at=w.clock.mono() + LIST_LAG + 5)))
            assert not w.log.for_plan()[P.uid].open

        play(act)

    def test_a_registration_that_a_list_shows_ends_it_once_the_hf_job_is_no_question_any_more(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.launch(P, "aaaa")
            await w.quiet(1)
            shown = snapshot(registrations=seen([registration(P)], at=w.clock.mono() + 1))
            w.review(shown)
            assert w.log.for_plan()[P.uid].open
            w.executor.forget([name_of(P)])
            w.review(shown)
            assert not w.log.for_plan()[P.uid].open

        play(act)

    def test_a_workflow_job_that_completed_between_two_lists_ends_it_too(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.launch(P, "aaaa")
            await w.quiet()
            nothing = snapshot(registrations=seen(at=w.clock.mono() + 1))
            w.executor.forget([name_of(P)])
            w.review(nothing)
            assert w.log.for_plan()[P.uid].open == {name_of(P)}
            w.review(replace(nothing, completed={SOURCE: (running(1, name_of(P)),)}))
            assert w.log.for_plan()[P.uid].open == set()

        play(act)


class TestAnEarlierProcess:
    def test_its_intents_are_launches_under_way(self) -> None:
        async def act(w: World) -> None:
            w.know(P, written={P.uid: Written(term=OTHER, intents=(intent(P, "aaaa"), intent(P, "bbbb")))})
            flights = w.executor.in_flight
            assert set(flights) == {name_of(P, "aaaa"), name_of(P, "bbbb")}
            assert all(flight.inherited and flight.finished_at is not None for flight in flights.values())
            assert w.log.for_plan()[P.uid].open == set(flights)

        play(act)

    def test_they_stay_written_until_evidence_ends_them(self) -> None:
        async def act(w: World) -> None:
            w.know(P, written={P.uid: Written(term=OTHER, intents=(intent(P, "aaaa"),))})
            w.launch(P, "bbbb")
            await w.quiet()
            assert w.stored(P) == [name_of(P, "aaaa"), name_of(P, "bbbb")]

        play(act)

    def test_they_end_with_the_hubs_own_timeout_where_no_list_comes_any_more(self) -> None:
        async def act(w: World) -> None:
            old = intent(P, "aaaa", at=SERVER - 10 * 3600)
            w.know(P, written={P.uid: Written(term=OTHER, intents=(old, intent(P, "bbbb")))})
            w.review(snapshot(registrations=None, hf_jobs=None))
            assert set(w.executor.in_flight) == {name_of(P, "bbbb")}
            assert w.log.for_plan()[P.uid].open == {name_of(P, "bbbb")}

        play(act)

    def test_one_that_evidence_ended_before_the_first_write_is_no_stranger_in_it(self) -> None:
        async def act(w: World) -> None:
            old = intent(P, "aaaa", at=SERVER - 10 * 3600)
            w.know(P, written={P.uid: Written(term=OTHER, intents=(old,))})
            w.review(snapshot(registrations=None))
            w.launch(P, "bbbb")
            await w.quiet()
            assert w.stored(P) == [name_of(P, "bbbb")]

        play(act)

    def test_a_backup_that_was_restored_is_believed(self) -> None:
        async def act(w: World) -> None:
            first = Written(term=OTHER, intents=(intent(P, "aaaa", at=SERVER - 10 * 3600),))
            w.know(P, written={P.uid: first})
            w.review(snapshot(registrations=None))
            w.launch(P, "bbbb")
            await w.quiet()
            w.store.put(P, *first.intents, term=first.term)
            w.launch(P, "cccc")
            await w.quiet()
            assert not w.leads.lost
            assert name_of(P, "aaaa") in w.executor.in_flight
            assert name_of(P, "cccc") not in w.github.registered
            w.launch(P, "dddd")
            await w.quiet()
            assert w.stored(P) == sorted(name_of(P, token) for token in ("aaaa", "bbbb", "dddd"))

        play(act)

    def test_where_the_pools_secrets_change_its_launches_are_looked_for_with_the_new_ones(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.launch(P, "aaaa")
            await w.quiet()
            now = replace(P, hub=replace(P.hub, secret=SecretRef("ci", "rotated")))
            w.know(now)
            w.launch(now, "bbbb")
            await w.quiet()
            places = {one.place for one in w.store.objects[P.key].written.intents}
            assert places == {now.footprint}

        play(act)

    def test_what_it_left_is_written_under_the_new_term_without_a_launch(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.store.put(P, intent(P, "late"), term=OTHER)
            w.launch(P, "aaaa")
            await w.quiet(TIDY_EVERY)
            w.log.tidy()
            await w.quiet()
            assert w.store.objects[P.key].written.term != OTHER
            assert w.stored(P) == [name_of(P, "late")]

        play(act, Leads(transitions=9))

    def test_one_of_a_version_before_intents_is_waited_out(self) -> None:
        async def act(w: World) -> None:
            launched = replace(P, last_launch_at=SERVER - 5)
            w.know(launched, pool("new"))
            known = w.log.for_plan()
            assert known[P.uid].lists_after == w.clock.mono() + LIST_LAG
            assert known[pool("new").uid].lists_after is None

        play(act)

    def test_a_pool_that_goes_takes_its_waiting_launches_with_it(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.script.gates["write"] = asyncio.Event()
            w.launch(P, "aaaa")
            await w.quiet(1)
            w.launch(P, "bbbb")
            await w.quiet(1)
            w.know()
            await w.quiet(1)
            w.script.gates["write"].set()
            await w.quiet()
            assert w.script.count("register") == 0
            assert w.executor.in_flight == {}

        play(act)

    def test_a_pool_that_nobody_knows_launches_nothing(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.launch(pool("stranger"), "aaaa")
            await w.quiet()
            assert w.script.count("register") == 0
            (result,) = w.executor.take_results()
            assert result.failure is not None

        play(act)

    def test_a_pool_that_goes_during_its_second_write_is_not_written_again(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            gate = w.script.gates["write"] = asyncio.Event()
            for token in ("aaaa", "bbbb"):
                w.launch(P, token)
                await w.quiet(1)
            gate.set()
            gate = w.script.gates["write"] = asyncio.Event()
            await w.quiet(1)
            w.launch(P, "cccc")
            await w.quiet(1)
            assert w.script.count("write") == 2
            w.know()
            gate.set()
            await w.quiet()
            assert w.script.count("write") == 2
            assert [call for call in w.script.calls if call.startswith("register")] == [
                f"register {name_of(P, 'aaaa')}"
            ]

        play(act)


class TestWhatBecameOfThem:
    """What the Hub says of an earlier process's launches; the lists show none of them."""

    NAME = name_of(P, "aaaa")

    def begin(self, w: World, *tokens: str) -> None:
        intents = tuple(intent(P, token) for token in tokens or ("aaaa",))
        w.know(P, written={P.uid: Written(term=OTHER, intents=intents)})

    async def ask(self, w: World) -> None:
        """Make a pass, and let the answers come."""
        listed = snapshot(hf_jobs=seen(at=w.clock.mono() + 1))
        for _ in range(2):
            w.executor.look_for(unseen_launches(w.executor.in_flight, listed, [P]))
            await w.quiet(1)

    def test_one_whose_hf_job_has_ended_counts_no_more(self) -> None:
        async def act(w: World) -> None:
            self.begin(w)
            w.hub.made["old"] = hf_job(P, "aaaa", stage=Stage.COMPLETED)
            await self.ask(w)
            assert w.executor.in_flight == {}
            assert w.wakes

        play(act)

    def test_nobody_asks_on_for_one_that_lists_show_meanwhile(self) -> None:
        async def act(w: World) -> None:
            self.begin(w)
            w.script.gates["find-hf-job"] = asyncio.Event()
            await self.ask(w)
            assert w.script.under_way["find-hf-job"] == 1
            w.executor.look_for({})
            await w.quiet(1)
            assert w.script.under_way["find-hf-job"] == 0
            assert w.executor.in_flight

        play(act)

    def test_its_intent_stays_until_the_registration_is_proved_to_be_gone(self) -> None:
        async def act(w: World) -> None:
            self.begin(w)
            w.hub.made["old"] = hf_job(P, "aaaa", stage=Stage.COMPLETED)
            await self.ask(w)
            assert w.log.for_plan()[P.uid].open == {self.NAME}

        play(act)

    def test_one_of_which_nothing_shows_counts_and_is_asked_for_again_now_and_then(self) -> None:
        async def act(w: World) -> None:
            self.begin(w)
            for _ in range(20):
                await self.ask(w)
                await w.quiet(3)
            assert set(w.executor.in_flight) == {self.NAME}
            assert w.script.count("find-hf-job") == TIMES

        play(act)

    @pytest.mark.parametrize("error", [DOWN, ValueError("an answer that nobody foresaw")])
    def test_a_question_that_fails_is_asked_again(self, error: Failure | Exception) -> None:
        async def act(w: World) -> None:
            self.begin(w)
            w.hub.made["old"] = hf_job(P, "aaaa", stage=Stage.COMPLETED)
            w.script.fail("find-hf-job", error)
            await self.ask(w)
            assert set(w.executor.in_flight) == {self.NAME}
            await w.quiet(ASK_EVERY)
            await self.ask(w)
            assert w.executor.in_flight == {}

        play(act)

    def test_a_thousand_of_them_are_not_asked_for_at_once_nor_all(self) -> None:
        async def act(w: World) -> None:
            self.begin(w, *(f"{number:04d}" for number in range(1000)))
            for _ in range(60):
                await self.ask(w)
            assert w.script.count("find-hf-job") == MOST_QUESTIONS
            assert w.script.most["find-hf-job"] == AT_ONCE

        play(act)

    def test_a_question_under_way_ends_with_the_process(self) -> None:
        async def act(w: World) -> None:
            self.begin(w)
            w.script.gates["find-hf-job"] = asyncio.Event()
            await self.ask(w)
            assert w.script.under_way["find-hf-job"] == 1
            await w.executor.close(0.0)
            assert w.script.under_way["find-hf-job"] == 0

        play(act)


class TestTheEnd:
    def test_what_has_ended_is_taken_out_of_the_status_in_good_time(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.launch(P, "aaaa")
            await w.quiet(1)
            w.executor.forget([name_of(P)])
            w.review(snapshot(registrations=seen([registration(P)], at=w.clock.mono() + 1)))
            assert w.stored(P) == [name_of(P)]
            await w.executor.close(1.0)
            assert w.stored(P) == []

        play(act)

    def test_so_is_a_launch_that_was_cut_off_before_it_began_and_no_other(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.script.gates["register"] = asyncio.Event()
            w.launch(P, *(f"n{number:02}" for number in range(17)))
            await w.quiet(1)
            begun = [call.split()[1] for call in w.script.calls if call.startswith("register ")]
            assert len(begun) == 16, "one waits for its turn"
            assert len(w.stored(P)) == 17
            await w.executor.close(1.0)
            assert w.stored(P) == sorted(begun)

        play(act)

    @pytest.mark.parametrize("grace", [0.0, 1.0])
    def test_not_by_a_process_that_may_not_act_any_more_or_has_no_time(self, grace: float) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.launch(P, "aaaa")
            await w.quiet(1)
            w.executor.forget([name_of(P)])
            w.review(snapshot(registrations=seen([registration(P)], at=w.clock.mono() + 1)))
            w.leads.mine = grace == 0.0
            await w.executor.close(grace)
            assert w.stored(P) == [name_of(P)]

        play(act)

    def test_an_api_server_that_hangs_holds_nobody_up(self) -> None:
        async def act(w: World) -> None:
            w.know(P)
            w.launch(P, "aaaa")
            await w.quiet(1)
            w.executor.forget([name_of(P)])
            w.review(snapshot(registrations=seen([registration(P)], at=w.clock.mono() + 1)))
            w.script.gates["write"] = asyncio.Event()
            async with asyncio.timeout(2.0):
                await w.executor.close(1.0)
            assert w.script.under_way["write"] == 0

        play(act)
