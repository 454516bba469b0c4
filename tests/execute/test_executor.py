"""Effects in their order, cut off between any two steps, refused, doubted, fenced, and given back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from controller.core.actions import Result, Retire
from controller.core.effects import Effect, InFlight
from controller.core.model import (
    Failure,
    HubAccount,
    Interruption,
    Pool,
    RunnerTemplate,
    SecretEnv,
    SecretRef,
    Stage,
)
from controller.core.reasons import Reason
from controller.core.retry import Rerun
from controller.core.stop_switch import NEVER_READ
from controller.core.variables import LABEL, VALUE
from controller.execute.guards import EFFECT_TIMEOUT
from controller.ports import Fenced, Secret
from controller.simulate.loop import run_virtual
from tests.core.build import name_of, pool
from tests.execute.scripted import LOST, REFUSED, World

P = pool()
NAME = name_of(P)


def play(act: Callable[[World], Awaitable[None]], *, parallel: int = 16) -> None:
    async def main() -> None:
        world = World(parallel=parallel)
        world.know(P)
        await act(world)
        await world.executor.close(0.0)

    run_virtual(main())


def retire(
    of: Pool = P,
    token: str = "aaaa",
    *,
    registration: int | None = 1,
    hf_job: str | None = "hf-aaaa",
    account: HubAccount | None = P.hub,
) -> Retire:
    return Retire(
        pool_uid=of.uid,
        name=name_of(of, token),
        scope=of.footprint.registrations,
        account=account,
        registration_id=registration,
        hf_job_id=hf_job,
        flavor="t4-small",
        pool=of.key,
        reason=Reason.IdleDeadline,
    )


async def launched(w: World, *tokens: str, seconds: float = 5.0) -> list[Result]:
    w.launch(P, *(tokens or ("aaaa",)))
    await w.quiet(seconds)
    return list(w.executor.take_results())


def steps(w: World) -> list[str]:
    return [call.split()[0] for call in w.script.calls if call.split()[0] not in ("read", "write", "secret")]


def in_flight(w: World) -> InFlight | None:
    return w.executor.in_flight.get(NAME)


def only(results: list[Result]) -> Failure:
    (result,) = results
    assert result.failure is not None
    return result.failure


class TestALaunch:
    def test_it_registers_first_then_asks_for_the_hf_job_and_counts_until_lists_show_it(self) -> None:
        async def act(w: World) -> None:
            (result,) = await launched(w)
            assert (result.name, result.failure, result.effect) == (NAME, None, Effect.LAUNCH)
            assert steps(w) == ["register", "launch"]
            flight = in_flight(w)
            assert flight is not None
            assert flight.finished_at is not None
            assert flight.hf_job == w.hub.made["hf-aaaa"]
            assert (flight.flavor, result.flavor) == (P.flavors[0], P.flavors[0])
            assert w.launched == ["hf-aaaa"]
            w.executor.forget([NAME])
            assert w.executor.in_flight == {}

        play(act)

    @pytest.mark.parametrize(
        ("secret", "reason"),
        [
            (Secret(data={"OTHER": "x"}, labels={LABEL: VALUE}), Reason.SecretMalformed),
            (Secret(data={"KEY": "x"}), Reason.SecretNotLabelled),
            (Secret(data={"KEY": "x"}, labels={LABEL: "false"}), Reason.SecretNotLabelled),
        ],
        ids=["without the key", "without the label", "labelled otherwise"],
    )
    def test_a_secret_that_gives_no_variable_leaves_nothing_to_undo(
        self, secret: Secret, reason: Reason
    ) -> None:
        async def act(w: World) -> None:
            ref = SecretRef("ci", "mine")
            w.secrets[ref] = secret
            env = (SecretEnv(name="KEY", secret=ref, key="KEY"),)
            wants = replace(P, template=RunnerTemplate(secret_env=env))
            w.launch(wants, "aaaa")
            await w.quiet()
            failure = only(list(w.executor.take_results()))
            assert failure.reason is reason
            assert steps(w) == []
            assert w.log.for_plan()[P.uid].open == frozenset()

        play(act)

    def test_one_that_was_planned_before_the_stop_switch_was_turned_is_not_begun(self) -> None:
        async def act(w: World) -> None:
            w.switch = NEVER_READ
            assert only(await launched(w)).reason is Reason.StopSwitchUnread
            assert steps(w) == []
            assert in_flight(w) is None
            assert w.log.for_plan()[P.uid].open == frozenset()

        play(act)

    def test_one_that_registered_before_the_stop_switch_was_turned_takes_its_registration_back(self) -> None:
        async def act(w: World) -> None:
            w.script.after["register"] = lambda: setattr(w, "switch", NEVER_READ)
            assert only(await launched(w)).reason is Reason.StopSwitchUnread
            assert steps(w) == ["register", "deregister"]
            assert (w.github.registered, in_flight(w)) == ({}, None)
            assert w.log.for_plan()[P.uid].open == frozenset()

        play(act)

    def test_a_refused_registration_asks_for_no_hf_job_and_looks_for_nothing(self) -> None:
        async def act(w: World) -> None:
            w.script.fail("register", REFUSED)
            assert only(await launched(w)).reason is REFUSED.reason
            assert steps(w) == ["register"]
            assert in_flight(w) is None
            assert w.log.for_plan()[P.uid].open == frozenset()

        play(act)

    @pytest.mark.parametrize(
        "error",
        [LOST, replace(REFUSED, reason=Reason.RunnerNameTaken), ZeroDivisionError("what is this")],
        ids=["a lost answer", "a name that is taken", "an answer that nobody foresaw"],
    )
    def test_a_registration_in_doubt_is_looked_up_and_taken_back(self, error: Failure | Exception) -> None:
        async def act(w: World) -> None:
            w.script.fail("register", error)
            failure = only(await launched(w))
            assert not failure.in_doubt
            assert steps(w) == ["register", "find-registration", "deregister"]
            assert w.github.registered == {}
            assert in_flight(w) is None
            assert w.log.for_plan()[P.uid].open == frozenset()

        play(act)

    def test_a_registration_that_cannot_be_taken_back_keeps_its_intent(self) -> None:
        async def act(w: World) -> None:
            w.script.fail("launch", REFUSED)
            w.script.fail("deregister", LOST)
            await launched(w)
            assert w.github.registered
            assert w.log.for_plan()[P.uid].open == {NAME}

        play(act)

    def test_a_registration_that_is_busy_when_it_is_taken_back_keeps_its_intent(self) -> None:
        async def act(w: World) -> None:
            w.script.fail("launch", REFUSED)
            w.script.after["launch"] = lambda: w.github.busy.update(w.github.registered.values())
            await launched(w)
            assert steps(w) == ["register", "launch", "deregister"]
            assert w.log.for_plan()[P.uid].open == {NAME}

        play(act)

    def test_a_mistake_of_ours_in_one_launch_is_told_as_its_failure_and_concerns_no_other(self) -> None:
        async def act(w: World) -> None:
            w.script.fail("secret", ZeroDivisionError("what is this"))
            env = (SecretEnv(name="KEY", secret=SecretRef("ci", "mine"), key="KEY"),)
            wants = replace(P, template=RunnerTemplate(secret_env=env))
            w.launch(wants, "aaaa")
            w.launch(P, "bbbb")
            await w.quiet()
            failures = {each.name: each.failure for each in w.executor.take_results()}
            failure = failures[NAME]
            assert failure is not None
            assert (failure.reason, failure.in_doubt) == (Reason.InternalError, False)
            assert failures[name_of(P, "bbbb")] is None
            assert in_flight(w) is None

        play(act)

    def test_a_refused_hf_job_takes_its_registration_back(self) -> None:
        async def act(w: World) -> None:
            w.script.fail("launch", REFUSED)
            assert only(await launched(w)).reason is REFUSED.reason
            assert steps(w) == ["register", "launch", "deregister"]
            assert (w.github.registered, in_flight(w)) == ({}, None)
            assert w.log.for_plan()[P.uid].open == frozenset()

        play(act)

    @pytest.mark.parametrize("error", [LOST, KeyError("id")], ids=["lost", "an answer that nobody foresaw"])
    def test_an_hf_job_whose_answer_cannot_be_read_is_found_by_its_label(
        self, error: Failure | Exception
    ) -> None:
        async def act(w: World) -> None:
            w.script.fail("launch", error)
            (result,) = await launched(w)
            assert result.failure is None
            assert steps(w) == ["register", "launch", "find-hf-job"]
            flight = in_flight(w)
            assert flight is not None
            assert flight.hf_job is not None
            assert w.github.registered

        play(act)

    @pytest.mark.parametrize("error", [LOST, KeyError("id")], ids=["lost", "an answer that nobody foresaw"])
    @pytest.mark.parametrize(
        "search",
        [None, LOST, REFUSED, ValueError("no JSON")],
        ids=["no trace", "no answer", "a refusal", "a bug"],
    )
    def test_one_of_which_nothing_shows_counts_keeps_its_registration_and_is_never_sent_again(
        self, error: Failure | Exception, search: Failure | Exception | None
    ) -> None:
        async def act(w: World) -> None:
            w.hub.listed = False
            w.script.fail("launch", error)
            w.script.fail("find-hf-job", search)
            assert only(await launched(w, seconds=300)).in_doubt
            assert w.script.count("launch") == 1
            assert w.script.count("deregister") == 0
            flight = in_flight(w)
            assert flight is not None
            assert flight.finished_at is not None
            assert w.log.for_plan()[P.uid].open == {NAME}

        play(act)

    def test_an_hf_job_that_has_ended_already_is_not_the_one_that_was_looked_for(self) -> None:
        async def act(w: World) -> None:
            def end() -> None:
                w.hub.made = {each.id: replace(each, stage=Stage.ERROR) for each in w.hub.made.values()}

            w.script.after["launch"] = end
            w.script.fail("launch", LOST)
            assert only(await launched(w)).in_doubt

        play(act)

    @pytest.mark.parametrize("step", ["register", "launch"])
    def test_a_step_that_hangs_is_in_doubt_after_a_while(self, step: str) -> None:
        async def act(w: World) -> None:
            w.script.gates[step] = asyncio.Event()
            w.launch(P, "aaaa")
            await w.quiet(EFFECT_TIMEOUT - 1)
            assert w.executor.take_results() == []
            await w.quiet(5)
            assert only(list(w.executor.take_results())).in_doubt
            assert in_flight(w) is not None

        play(act)


class TestWhoLeadsNoMore:
    @pytest.mark.parametrize("after", ["write", "register"])
    def test_takes_no_further_step(self, after: str) -> None:
        async def act(w: World) -> None:
            def lose() -> None:
                w.leads.mine = False

            w.script.after[after] = lose
            failure = only(await launched(w))
            assert failure.reason is Reason.Pending
            assert steps(w) == ([] if after == "write" else ["register"])
            assert in_flight(w) is None

        play(act)

    def test_a_registration_that_the_fence_held_back_leaves_no_intent_behind(self) -> None:
        async def act(w: World) -> None:
            w.script.fail("register", Fenced())
            await launched(w)
            assert w.log.for_plan()[P.uid].open == frozenset()

        play(act)

    def test_deregisters_nothing(self) -> None:
        async def act(w: World) -> None:
            w.leads.mine = False
            w.executor.submit([retire()])
            await w.quiet()
            assert steps(w) == []

        play(act)

    def test_cancels_nothing_after_it_has_deregistered(self) -> None:
        async def act(w: World) -> None:
            def lose() -> None:
                w.leads.mine = False

            w.script.after["deregister"] = lose
            w.executor.submit([retire()])
            await w.quiet()
            assert w.hub.cancelled == []

        play(act)


class TestARetirement:
    def test_it_deregisters_first_and_cancels_then(self) -> None:
        async def act(w: World) -> None:
            began = w.clock.mono()
            w.executor.submit([retire()])
            await w.quiet()
            assert steps(w) == ["deregister", "cancel"]
            flight = in_flight(w)
            assert flight is not None
            assert flight.finished_at is not None
            assert flight.finished_at > flight.since == began

        play(act)

    def test_a_busy_runner_is_left_alone(self) -> None:
        async def act(w: World) -> None:
            w.github.busy.add(1)
            w.executor.submit([retire()])
            await w.quiet()
            assert steps(w) == ["deregister"]
            (result,) = w.executor.take_results()
            assert (result.busy, result.failure) == (True, None)
            assert in_flight(w) is None

        play(act)

    def test_a_runner_whose_registration_is_gone_may_have_a_job_and_is_left_alone(self) -> None:
        """GitHub takes the records of some runners away when their job starts, and a list
        that lags still shows them.
        """

        async def act(w: World) -> None:
            w.github.gone.add(1)
            w.executor.submit([retire()])
            await w.quiet()
            assert steps(w) == ["deregister"]
            (result,) = w.executor.take_results()
            assert (result.busy, result.failure, result.deregistered) == (False, None, False)

        play(act)

    @pytest.mark.parametrize("error", [None, REFUSED, LOST], ids=["cancelled", "refused", "in doubt"])
    def test_that_github_agreed_is_told_whatever_becomes_of_the_hf_job(self, error: Failure | None) -> None:
        async def act(w: World) -> None:
            if error is not None:
                w.script.fail("cancel", error)
            w.executor.submit([retire()])
            await w.quiet()
            (result,) = w.executor.take_results()
            assert (result.deregistered, result.failure) == (True, error)

        play(act)

    def test_that_github_agreed_is_told_once(self) -> None:
        async def act(w: World) -> None:
            w.script.fail("cancel", REFUSED)
            w.executor.submit([retire()])
            await w.quiet()
            w.executor.submit([retire(registration=None)])
            await w.quiet()
            assert [result.deregistered for result in w.executor.take_results()] == [True, False]

        play(act)

    @pytest.mark.parametrize("listed", [True, False])
    def test_a_registration_that_no_list_shows_is_looked_up_before_anything_is_cancelled(
        self, listed: bool
    ) -> None:
        async def act(w: World) -> None:
            w.github.listed = listed
            w.github.registered[NAME] = 9
            w.github.busy.add(9)
            w.executor.submit([retire(registration=None)])
            await w.quiet()
            assert steps(w)[0] == "find-registration"
            assert w.hub.cancelled == ([] if listed else ["hf-aaaa"])

        play(act)

    @pytest.mark.parametrize("error", [REFUSED, LOST, IndexError()], ids=["refused", "lost", "unforeseen"])
    def test_where_github_has_not_agreed_nothing_is_cancelled(self, error: Failure | Exception) -> None:
        async def act(w: World) -> None:
            w.script.fail("deregister", error)
            w.executor.submit([retire()])
            await w.quiet()
            assert w.hub.cancelled == []
            (result,) = w.executor.take_results()
            assert result.failure is not None
            assert (in_flight(w) is None) is not result.failure.in_doubt

        play(act)

    @pytest.mark.parametrize("half", ["registration", "hf_job"])
    def test_one_half_alone_is_ended_without_the_other(self, half: str) -> None:
        async def act(w: World) -> None:
            alone = retire(hf_job=None, account=None) if half == "registration" else retire(registration=None)
            w.executor.submit([alone])
            await w.quiet()
            expected = ["deregister"] if half == "registration" else ["find-registration", "cancel"]
            assert steps(w) == expected

        play(act)

    def test_a_runner_that_has_an_effect_under_way_gets_no_second_one(self) -> None:
        async def act(w: World) -> None:
            w.script.gates["launch"] = asyncio.Event()
            w.launch(P, "aaaa")
            await w.quiet(1)
            w.executor.submit([retire()])
            await w.quiet(1)
            assert "deregister" not in steps(w)
            w.script.gates["launch"].set()
            await w.quiet(1)
            w.executor.submit([retire()])
            await w.quiet(1)
            assert steps(w)[-2:] == ["deregister", "cancel"]

        play(act)


class TestGates:
    def test_no_more_launches_than_allowed_are_under_way_at_once(self) -> None:
        async def act(w: World) -> None:
            await launched(w, *(f"n{n:02}" for n in range(10)))
            assert w.script.most["launch"] <= 3
            assert w.script.count("launch") == 10

        play(act, parallel=3)

    def test_launches_that_hang_delay_neither_retirements_nor_another_account(self) -> None:
        async def act(w: World) -> None:
            other = pool("other", hub=replace(P.hub, namespace="elsewhere"))
            w.know(P, other)
            w.script.gates["register"] = asyncio.Event()
            w.launch(P, "aaaa", "bbbb")
            await w.quiet(1)
            w.executor.submit([retire(token="gone")])
            w.launch(other, "cccc")
            await w.quiet(1)
            assert w.hub.cancelled == ["hf-aaaa"]
            assert w.script.under_way["register"] == 2

        play(act, parallel=1)

    def test_runners_without_a_pool_at_a_host_that_hangs_delay_none_at_another(self) -> None:
        async def act(w: World) -> None:
            far = replace(P.source, api_url="https://ghe.example/api/v3")
            there = replace(P.footprint.registrations, source=far)
            w.script.gates["deregister"] = asyncio.Event()
            w.executor.submit([replace(retire(account=None, token="bbbb"), pool_uid="", scope=there)])
            await w.quiet(1)
            del w.script.gates["deregister"]
            w.executor.submit([replace(retire(account=None, token="cccc", registration=2), pool_uid="")])
            await w.quiet(1)
            (result,) = w.executor.take_results()
            assert result.name == name_of(P, "cccc")

        play(act, parallel=1)

    def test_a_look_at_a_run_that_hangs_keeps_no_other_source_from_the_run_of_the_same_name(self) -> None:
        async def act(w: World) -> None:
            far = pool("far", source=replace(P.source, api_url="https://ghe.example/api/v3"))
            lost = Interruption(repository="acme/lib", run_id=7, attempt=1, job_id=1, at=0.0)
            w.script.gates["run"] = asyncio.Event()
            w.executor.submit([Rerun(far, lost)])
            await w.quiet(1)
            w.executor.submit([Rerun(P, lost), Rerun(P, lost)])
            await w.quiet(1)
            assert w.script.under_way["run"] == 2

        play(act)

    def test_a_run_is_looked_at_again_once_the_look_before_has_ended(self) -> None:
        async def act(w: World) -> None:
            lost = Interruption(repository="acme/lib", run_id=7, attempt=1, job_id=1, at=0.0)
            for _ in range(2):
                w.executor.submit([Rerun(P, lost)])
                await w.quiet(1)
                (result,) = w.executor.take_reruns()
                assert result.failure is not None
                assert result.failure.reason is Reason.GitHubNotFound
            assert w.script.count("run") == 2

        play(act)

    def test_waiting_for_a_write_takes_no_turn_of_the_place(self) -> None:
        async def act(w: World) -> None:
            other = pool("other")
            w.know(P, other)
            gate = w.script.gates["write"] = asyncio.Event()
            w.launch(P, "aaaa")
            await w.quiet(1)
            del w.script.gates["write"]
            w.launch(other, "bbbb")
            await w.quiet(1)
            assert list(w.github.registered) == [name_of(other, "bbbb")]
            gate.set()

        play(act, parallel=1)


class TestClosing:
    def test_what_is_under_way_may_end_and_the_rest_is_cut_off(self) -> None:
        async def act(w: World) -> None:
            w.launch(P, "aaaa")
            await w.quiet(0.03)
            began = w.clock.mono()
            await w.executor.close(5.0)
            assert w.script.count("launch") == 1
            assert w.clock.mono() - began < 1
            w.script.gates["register"] = asyncio.Event()
            w.launch(P, "bbbb")
            await w.quiet(1)
            began = w.clock.mono()
            await w.executor.close(5.0)
            assert w.clock.mono() - began == pytest.approx(5.0)
            assert w.script.count("launch") == 1

        play(act)

    @pytest.mark.parametrize("step", ["write", "register", "launch"])
    def test_cut_off_at_any_step_it_leaves_what_the_next_process_can_see(self, step: str) -> None:
        async def act(w: World) -> None:
            w.script.gates[step] = asyncio.Event()
            w.launch(P, "aaaa")
            await w.quiet(1)
            await w.executor.close(0.0)
            assert w.script.count("deregister") == 0
            told = w.stored(P)
            something = bool(w.github.registered or w.hub.made)
            assert told == [NAME] or not something

        play(act)

    def test_a_launch_that_is_cut_off_does_not_take_the_others_write_with_it(self) -> None:
        async def act(w: World) -> None:
            w.script.gates["write"] = asyncio.Event()
            w.launch(P, "aaaa", "bbbb")
            await w.quiet(1)
            task = next(t for t in asyncio.all_tasks() if t.get_name() == f"launch:{NAME}")
            task.cancel()
            await w.quiet(1)
            w.script.gates["write"].set()
            await w.quiet()
            assert list(w.github.registered) == [name_of(P, "bbbb")]

        play(act)

    def test_a_write_that_nobody_waits_for_any_more_holds_up_none_that_came_after_it(self) -> None:
        async def act(w: World) -> None:
            w.script.gates["write"] = asyncio.Event()
            writes: list[asyncio.Task[Any]] = []
            for token in ("aaaa", "bbbb", "cccc"):
                w.launch(P, token)
                writes += [
                    one
                    for one in asyncio.all_tasks()
                    if one.get_name() == f"write:{P.uid}" and one not in writes
                ]
                await w.quiet(1)
            assert len(writes) == 3
            writes[1].cancel()
            await w.quiet(1)
            w.script.gates["write"].set()
            await w.quiet()
            assert set(w.github.registered) == {name_of(P, "aaaa"), name_of(P, "cccc")}

        play(act)
