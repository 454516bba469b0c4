"""Which pools the stop switch stops, by what words, and what a pass makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.status.build import build_status
from controller.api.status.model import RunnerPoolStatus
from controller.api.status.values import MOST_MESSAGE, Instant
from controller.core.actions import Launch, Result, Retire
from controller.core.demand import can_launch
from controller.core.effects import Effect
from controller.core.lifecycle import Phase
from controller.core.plan import Plan, plan
from controller.core.reasons import Reason
from controller.core.stop_switch import (
    MOST_STOPS,
    MOST_WHY,
    NEVER_READ,
    NO_SWITCH,
    StopSwitch,
    after_failure,
    after_read,
    read_stops,
)
from controller.core.view import PlanInput
from tests.core.build import (
    ACCOUNT,
    CONTROLLER,
    NOW,
    REFUSED,
    SERVER,
    hf_job,
    job,
    name_of,
    pool,
    registration,
    remembering,
    seen,
    snapshot,
    started,
)

WHERE = "ConfigMap here/switch"
UNDO = {"": "Turn it back."}


def switch(**data: Any) -> StopSwitch:
    """A switch that was read; ``_`` stands for the dot of ``account.``."""
    keys = {key.replace("account_", "account."): value for key, value in data.items()}
    return after_read(read_stops(keys, where=WHERE, undo=UNDO))


ON = switch(all="the budget is used up")


@pytest.mark.parametrize(
    ("data", "stopped"),
    [
        ({}, ()),
        ({"all": "why"}, ("acme", "other")),
        ({"all": ""}, ("acme", "other")),
        ({"all": "true"}, ("acme", "other")),
        ({"all": "false"}, ()),
        ({"all": " False\n"}, ()),
        ({"all": None}, ("acme", "other")),
        ({"account.acme": "why"}, ("acme",)),
        ({"account.ACME": "why"}, ("acme",)),
        ({"account.acme": "false"}, ()),
        ({"account.acme": "why", "account.other": "why"}, ("acme", "other")),
        ({"account.acme": "false", "all": "why"}, ("acme", "other")),
        ({"account.nobody": "why"}, ()),
        # Somebody wanted something stopped, and mistyped it.
        ({"All": "why"}, ("acme", "other")),
        ({"acount.acme": "why"}, ("acme", "other")),
        ({"account.": "why"}, ("acme", "other")),
        ({"acme": "why"}, ("acme", "other")),
        ({"acme": "false"}, ()),
        ({f"account.a{number}": "" for number in range(MOST_STOPS + 1)}, ("acme", "other")),
    ],
)
def test_what_its_keys_stop(data: Mapping[str, object], stopped: tuple[str, ...]) -> None:
    known = after_read(read_stops(data, where=WHERE, undo=UNDO))
    assert tuple(account for account in ("acme", "other") if known.stops_for(account)) == stopped


def test_an_account_is_found_in_any_case() -> None:
    assert switch(account_acme="why").stops_for("ACME") is not None


def test_the_words_say_what_is_stopped_why_by_what_and_how_it_ends() -> None:
    told = ON.stops_for("acme")
    assert told is not None
    assert told.reason is Reason.StopSwitchOn
    assert told.message == (
        "Launches are stopped for all accounts (the budget is used up), by ConfigMap here/switch. Running workflow jobs go on. "
        "Turn it back."
    )


def test_a_mistyped_key_is_named() -> None:
    told = after_read(read_stops({"acount.acme": "why"}, where=WHERE, undo=UNDO)).stops_for("acme")
    assert told is not None
    assert "its key 'acount.acme' is neither all nor account.NAME" in told.message


def test_while_it_cannot_be_read_what_was_on_stays_on_and_what_was_off_stays_off() -> None:
    on, off = after_failure(ON, "no answer"), after_failure(NO_SWITCH, "no answer")
    told = on.stops_for("acme")
    assert told is not None
    assert "stays on: no answer" in told.message
    assert off.stops_for("acme") is None


def test_one_that_was_never_read_may_be_on() -> None:
    told = after_failure(NEVER_READ, "403: get configmaps").stops_for("acme")
    assert told is not None
    assert told.reason is Reason.StopSwitchUnread
    assert told.message.endswith("403: get configmaps")


@given(
    st.dictionaries(
        st.text(max_size=300), st.none() | st.binary(max_size=5) | st.text(max_size=5_000), max_size=5
    )
)
def test_whatever_is_in_it_the_words_are_bounded_and_printable(data: dict[str, object]) -> None:
    for stop in read_stops(data, where=WHERE, undo=UNDO):
        assert stop.why.isprintable()
        assert stop.account.isprintable()
        assert len(stop.why) <= max(MOST_WHY, 200)


# -------------------------------------------------------------------------------------------------- in a pass
def run(*pools: Any, by: StopSwitch, view: Any = None, **more: Any) -> Plan:
    given_ = PlanInput(
        pools=list(pools),
        snapshot=view if view is not None else snapshot(jobs=[job()]),
        switch=by,
        now=NOW,
        wall=SERVER,
        controller_id=CONTROLLER,
        entropy="a pass",
        **more,
    )
    return plan(given_)


def launched(done: Plan) -> list[str]:
    return [action.pool.key.name for action in done.actions if isinstance(action, Launch)]


def conditions(done: Plan, of: Any) -> dict[str, tuple[str, str, str]]:
    now = Instant(mono=NOW, wall=SERVER)
    status = build_status(
        done.reports[of.uid], previous=RunnerPoolStatus(), overlaps=(), usd_per_second={}, start=now, now=now
    ).to_object()
    return {one["type"]: (one["status"], one["reason"], one["message"]) for one in status["conditions"]}


def test_a_pool_that_it_stops_launches_nothing_and_its_jobs_say_why() -> None:
    of = pool(min_idle=1)
    done = run(of, by=ON)
    assert launched(done) == []
    (waiting,) = done.reports[of.uid].waiting
    assert (waiting.reason, waiting.count) == (Reason.StopSwitchOn, 1)
    assert "the budget is used up" in waiting.message
    assert launched(run(of, by=NO_SWITCH)) == ["t4", "t4"]


def test_an_account_that_is_stopped_leaves_its_jobs_to_a_pool_of_another_one() -> None:
    cheap = pool("cheap", flavors=("cpu-basic",))
    other = replace(ACCOUNT, namespace="other")
    dear = pool("dear", hub=other)
    view = snapshot(jobs=[job()])
    view = replace(view, hf_jobs={**view.hf_jobs, other: seen()})
    assert launched(run(cheap, dear, by=NO_SWITCH, view=view)) == ["cheap"]
    assert launched(run(cheap, dear, by=switch(account_acme="why"), view=view)) == ["dear"]


def test_nothing_that_lives_is_ended_by_it() -> None:
    of = pool()
    view = snapshot(
        jobs=[job(1), job(2)],
        registrations=[registration(of, "aaaa"), registration(of, "bbbb", online=True, busy=True)],
        hf_jobs=[hf_job(of, "aaaa"), started(of, "bbbb")],
    )
    assert run(of, by=ON, view=view).actions == []


def test_it_shows_in_ready_and_in_a_condition_of_its_own() -> None:
    of = pool()
    found = conditions(run(of, by=ON), of)
    assert found["Ready"][:2] == ("True", "StopSwitchOn")
    assert found["LaunchesAllowed"][:2] == ("False", "StopSwitchOn")
    assert "the budget is used up" in found["Ready"][2]
    free = conditions(run(of, by=NO_SWITCH), of)
    assert free["Ready"][:2] == ("True", "Serving")
    assert free["LaunchesAllowed"][:2] == ("True", "LaunchesAllowed")


def test_a_pool_that_is_paused_by_its_spec_says_so_in_the_same_condition() -> None:
    of = pool(paused=True)
    assert conditions(run(of, by=NO_SWITCH), of)["LaunchesAllowed"][:2] == ("False", "Paused")


def test_a_pool_with_another_fault_says_both_in_ready() -> None:
    of = pool()
    view = snapshot(jobs=[job()], hf_jobs=seen(failure=REFUSED))
    status, reason, message = conditions(run(of, by=ON, view=view), of)["Ready"]
    assert (status, reason) == ("False", str(REFUSED.reason))
    assert "the budget is used up" in message
    assert REFUSED.message in message


def test_a_switch_that_was_never_read_makes_no_pool_ready() -> None:
    of = pool()
    done = run(of, by=NEVER_READ)
    assert launched(done) == []
    assert conditions(done, of)["Ready"][:2] == ("False", "StopSwitchUnread")


def test_the_words_of_many_long_stops_fit_into_a_status() -> None:
    of = pool()
    many = after_read(
        read_stops(
            {f"account.{'acme'}": "x" * 9_000, "all": "y" * 9_000, "zzz": "z" * 9_000}, where=WHERE, undo=UNDO
        )
    )
    assert len(conditions(run(of, by=many), of)["Ready"][2]) <= MOST_MESSAGE


@pytest.mark.parametrize("reason", [Reason.StopSwitchOn, Reason.StopSwitchUnread])
def test_a_launch_that_it_kept_back_is_no_failure_of_the_flavor(reason: Reason) -> None:
    of = pool()
    kept_back = Result(
        name="x",
        pool_uid=of.uid,
        effect=Effect.LAUNCH,
        flavor="t4-small",
        failure=replace(REFUSED, reason=reason),
    )
    assert run(of, by=NO_SWITCH, results=[kept_back]).memory.pools[of.uid].backoffs == {}


def test_warm_runners_that_are_idle_end_at_their_deadline_while_nothing_may_be_launched() -> None:
    of = pool(min_idle=1)
    view = snapshot(registrations=[registration(of, online=True)], hf_jobs=[started(of, seconds_ago=250)])
    memory = remembering(name_of(of), phase=Phase.IDLE, online_at=NOW - 200, since=NOW - 200)
    ended = [a.reason for a in run(of, by=ON, view=view, memory=memory).actions if isinstance(a, Retire)]
    assert ended == [Reason.IdleDeadline]
    assert run(of, by=NO_SWITCH, view=view, memory=memory).actions == []


def test_can_launch_heeds_it() -> None:
    stopped = replace(pool(), stopped=ON.stops_for("acme"))
    assert can_launch(pool(), snapshot())
    assert not can_launch(stopped, snapshot())
