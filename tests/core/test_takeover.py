"""A process that has just begun to act, and what the one before it may have launched last."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.core.evidence import LIST_LAG
from controller.core.lifecycle import Effect, InFlight, Phase
from controller.core.model import Pool
from controller.core.reasons import Reason
from controller.core.report import Launch, Memory, Plan, Release, Result

from .build import (
    NOW,
    OUTAGE,
    hf_job,
    job,
    launching,
    name_of,
    pool,
    registration,
    run_plan,
    seen,
    snapshot,
    started,
)

JOBS = [job(n) for n in range(5)]


def launched(done: Plan) -> list[bool]:
    """Return for each launch whether it is held back."""
    return [action.held for action in done.actions if isinstance(action, Launch)]


def released(done: Plan) -> dict[str, bool]:
    return {action.name: action.wanted for action in done.actions if isinstance(action, Release)}


def begun(**known: object) -> Memory:
    """Memory of a process that began five seconds ago."""
    return Memory(began=NOW - 5, **known)  # type: ignore[arg-type]


def holding(p: Pool) -> dict[str, InFlight]:
    """A runner that is registered and held back."""
    return launching(p, "sounding", since=NOW - 2, held=True)


class TestSounding:
    def test_the_first_launch_of_a_pool_is_held_back_and_alone(self) -> None:
        p = pool(max_runners=10)
        done = run_plan([p], snapshot(jobs=JOBS), memory=Memory())
        assert launched(done) == [True]
        starting, pending = done.reports[p.uid].waiting
        assert (starting.reason, starting.count) == (Reason.RunnerStarting, 1)
        assert (pending.reason, pending.count) == (Reason.Pending, 4)

    def test_while_it_is_under_way_other_pools_take_their_own(self) -> None:
        a, b = pool("a", labels=("a",)), pool("b", labels=("b",))
        view = snapshot(jobs=[job(1, labels=("a",)), job(2, labels=("b",))])
        assert launched(run_plan([a, b], view, memory=begun())) == [True, True]
        assert launched(run_plan([a, b], view, memory=begun(), in_flight=holding(a))) == [True]

    def test_what_one_pool_finds_serves_the_others_of_its_scope_and_no_other_scope(self) -> None:
        a, b = pool("a", labels=("a",)), pool("b", labels=("b",), min_idle=1)
        c = pool("c", labels=("c",), min_idle=1)
        c = replace(c, scope=replace(c.scope, repository="other"))
        view = snapshot(registrations=[registration(a, "sounding")])
        views = {**view.registrations, c.footprint.registrations: seen(at=NOW - 1)}
        done = run_plan([a, b, c], replace(view, registrations=views), memory=begun(), in_flight=holding(a))
        assert launched(done) == [False, True]

    def test_once_a_list_shows_its_registration_it_goes_on_and_so_do_the_others(self) -> None:
        p = pool(max_runners=10)
        view = snapshot(jobs=JOBS, registrations=[registration(p, "sounding")])
        done = run_plan([p], view, memory=begun(), in_flight=holding(p))
        assert released(done) == {name_of(p, "sounding"): True}
        assert launched(done) == [False] * 4
        assert p.footprint.registrations in done.memory.sounded

    def test_a_list_that_does_not_show_it_yet_holds_it_back(self) -> None:
        p = pool(max_runners=10)
        done = run_plan([p], snapshot(jobs=JOBS), memory=begun(), in_flight=holding(p))
        assert (released(done), launched(done)) == ({}, [])

    def test_a_runner_of_an_earlier_process_that_is_being_ended_proves_nothing(self) -> None:
        p = pool(max_runners=10)
        (effect,) = holding(p).values()
        ending = {effect.name: replace(effect, effect=Effect.RETIRE, held=False)}
        view = snapshot(jobs=JOBS, registrations=[registration(p, "sounding")])
        done = run_plan([p], view, memory=begun(), in_flight=ending)
        assert p.footprint.registrations not in done.memory.sounded

    def test_where_an_earlier_process_left_no_room_it_is_given_up(self) -> None:
        p = pool(max_runners=1)
        view = snapshot(jobs=JOBS, registrations=[registration(p, "sounding"), registration(p, "earlier")])
        done = run_plan([p], view, memory=begun(), in_flight=holding(p))
        assert (released(done), launched(done)) == ({name_of(p, "sounding"): False}, [])
        assert {one.reason for one in done.reports[p.uid].waiting} == {
            Reason.RunnerStarting,
            Reason.AtMaxRunners,
        }

    def test_when_nobody_needs_it_any_more_it_is_given_up(self) -> None:
        p = pool()
        view = snapshot(registrations=[registration(p, "sounding")])
        done = run_plan([p], view, memory=begun(), in_flight=holding(p))
        assert released(done) == {name_of(p, "sounding"): False}

    @pytest.mark.parametrize("change", [{"paused": True}, {"deleting": True}])
    def test_a_pool_that_may_not_launch_any_more_gives_it_up_without_waiting(
        self, change: dict[str, bool]
    ) -> None:
        p = pool(**change)
        done = run_plan([p], snapshot(jobs=JOBS), memory=begun(), in_flight=holding(p))
        assert released(done) == {name_of(p, "sounding"): False}

    def test_it_waits_until_the_hub_tells_what_lives(self) -> None:
        p = pool(max_runners=10)
        unknown = seen(failure=OUTAGE)
        view = snapshot(jobs=JOBS, registrations=[registration(p, "sounding")], hf_jobs=unknown)
        assert released(run_plan([p], view, memory=begun(), in_flight=holding(p))) == {}

    @pytest.mark.parametrize(("after", "held"), [(LIST_LAG - 1, [True]), (LIST_LAG + 1, [False] * 5)])
    def test_lists_that_are_a_minute_younger_than_the_start_need_none(
        self, after: float, held: list[bool]
    ) -> None:
        p = pool(max_runners=10)
        view = snapshot(jobs=JOBS, registrations=seen(at=NOW + after))
        done = run_plan([p], view, memory=Memory(began=NOW), now=NOW + after + 1)
        assert launched(done) == held


class TestWhatNoListShows:
    def test_a_runner_whose_registration_is_not_listed_yet_is_not_ended(self) -> None:
        p = pool(deleting=True)
        view = snapshot(hf_jobs=[started(p)])
        assert not run_plan([p], view).actions

    def test_it_is_ended_once_the_lists_prove_that_there_is_none(self) -> None:
        p = pool(deleting=True)
        memory = remembering(
            name_of(p), phase=Phase.STARTING, since=NOW - 100, alone_since=NOW - LIST_LAG - 2
        )
        done = run_plan([p], snapshot(hf_jobs=[started(p)]), memory=memory)
        assert len(done.actions) == 1

    def test_surplus_is_given_back_only_where_the_registration_shows(self) -> None:
        p = pool(max_runners=3)
        view = snapshot(
            registrations=[registration(p, "listed")], hf_jobs=[hf_job(p, "listed"), hf_job(p, "unlisted")]
        )
        assert [action.name for action in run_plan([p], view).actions] == [name_of(p, "listed")]  # type: ignore[union-attr]

    @pytest.mark.parametrize(("after", "drained"), [(LIST_LAG - 1, False), (LIST_LAG + 1, True)])
    def test_a_pool_that_launched_goes_when_a_list_had_the_time_to_show_it(
        self, after: float, drained: bool
    ) -> None:
        first = run_plan([pool()], snapshot(), results=[launch_of(pool())])
        p = pool(deleting=True)
        second = run_plan([p], snapshot(), memory=first.memory, now=NOW + 1)
        assert self.empty(p, second, after) is drained

    def test_a_launch_that_a_list_has_shown_keeps_no_pool(self) -> None:
        p = pool()
        shown = snapshot(registrations=[registration(p)])
        first = run_plan([p], shown, results=[launch_of(p)])
        p = pool(deleting=True)
        second = run_plan([p], snapshot(), memory=first.memory, now=NOW + 1)
        assert self.empty(p, second, 5)

    @pytest.mark.parametrize(("after", "drained"), [(LIST_LAG - 1, False), (LIST_LAG + 1, True)])
    def test_a_pool_that_was_there_at_the_start_goes_no_sooner_than_an_earlier_launch_would_show(
        self, after: float, drained: bool
    ) -> None:
        p = pool(deleting=True)
        first = run_plan([p], snapshot(), memory=Memory())
        assert self.empty(p, first, after) is drained

    def test_unless_a_list_has_shown_already_what_is_younger(self) -> None:
        p = pool(deleting=True)
        first = run_plan([p], snapshot(), memory=Memory())
        shown = snapshot(registrations=[registration(pool("other"), "sounding")])
        second = run_plan([p], shown, memory=first.memory, in_flight=holding(pool("other")), now=NOW + 1)
        assert self.empty(p, second, 5)

    def test_a_pool_that_was_made_since_the_start_may_go_at_once(self) -> None:
        before = run_plan([], snapshot(), memory=Memory(), now=NOW - 5)
        p = pool(deleting=True)
        first = run_plan([p], snapshot(), memory=before.memory)
        assert self.empty(p, first, 5)

    def empty(self, p: Pool, before: Plan, after: float) -> bool:
        """Return whether the pool may go when lists of that moment show nothing."""
        at = NOW + after
        view = snapshot(jobs=seen(at=at), registrations=seen(at=at), hf_jobs=seen(at=at))
        return run_plan([p], view, memory=before.memory, now=at + 1).reports[p.uid].drained


def launch_of(p: Pool) -> Result:
    return Result(name=name_of(p), pool_uid=p.uid, effect=Effect.LAUNCH, flavor="t4-small")
