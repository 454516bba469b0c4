"""What a pass learns of a pool before anything is decided."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.core.actions import Result
from controller.core.backoff import POOL, Backoff, Limit
from controller.core.effects import Effect, InFlight
from controller.core.evidence import LIST_LAG
from controller.core.learn import REFUSAL_DELAYS, after_retirement, asked_to_end, learn
from controller.core.lifecycle import Phase, Track
from controller.core.memory import PoolMemory
from controller.core.model import Failure, HFJob, Snapshot, Stage
from controller.core.reasons import Reason
from tests.core.build import (
    NOW,
    OUTAGE,
    SERVER,
    hf_job,
    name_of,
    pool,
    registration,
    running,
    snapshot,
    started,
)
from tests.core.stages import view_of

P = pool()
NAME = name_of(P)
HELD = Backoff(failures=1, until=NOW - 1, at=NOW - 60, failure=OUTAGE)
BOTH = {POOL: HELD, "t4-small": HELD}


def ended(message: str | None = None) -> HFJob:
    stage = Stage.ERROR if message else Stage.COMPLETED
    return replace(started(P, seconds_ago=60), stage=stage, finished_at=SERVER, message=message)


BROKEN = ended("Job failed with exit code: 78. Reason: Error")


def launch_failed(reason: Reason) -> Result:
    failure = Failure(reason=reason, message="no")
    return Result(name=NAME, pool_uid=P.uid, effect=Effect.LAUNCH, flavor="t4-small", failure=failure)


def retired(**changes: Any) -> Result:
    return Result(name=NAME, pool_uid=P.uid, effect=Effect.RETIRE, **changes)


@pytest.mark.parametrize(
    ("known", "view", "results", "left"),
    [
        ({}, snapshot(), (), set()),
        (BOTH, snapshot(), (), {POOL, "t4-small"}),
        ({}, snapshot(ended=[BROKEN]), (), {POOL}),
        (BOTH, snapshot(ended=[ended()]), (), set()),
        ({"a10g-small": HELD}, snapshot(ended=[ended()]), (), {"a10g-small"}),
        (BOTH, snapshot(registrations=[registration(P, online=True)], hf_jobs=[started(P)]), (), set()),
        ({}, snapshot(), (launch_failed(Reason.FlavorOutOfCapacity),), {"t4-small"}),
        ({}, snapshot(), (launch_failed(Reason.HubForbidden),), {POOL}),
        ({}, snapshot(), (launch_failed(Reason.StopSwitchOn),), set()),
        ({}, snapshot(), (launch_failed(Reason.IntentsBlocked),), set()),
        ({}, snapshot(), (retired(failure=OUTAGE),), set()),
    ],
    ids=[
        "nothing happened",
        "nothing happened, and it backs off",
        "a runner failed",
        "a runner served",
        "a runner of another flavor served",
        "a runner came online",
        "a flavor had no capacity",
        "the Hub refused a launch",
        "the stop switch kept it from being tried",
        "it could not be written down",
        "a retirement failed",
    ],
)
def test_what_holds_launches_back_when(
    known: dict[str, Backoff], view: Snapshot, results: tuple[Result, ...], left: set[str]
) -> None:
    learned = learn(view_of(view, memory=PoolMemory(backoffs=known), results=results))
    assert set(learned.backoffs) == left


def test_a_runner_that_is_blamed_and_shows_with_a_job_is_acquitted() -> None:
    blamed = replace(HELD, blamed=(NAME,))
    view = snapshot(jobs=[running(1, NAME)])
    assert not learn(view_of(view, memory=PoolMemory(backoffs={POOL: blamed}))).backoffs


def test_a_good_end_proves_itself_when_the_registration_goes() -> None:
    track = Track(phase=Phase.FINISHED, since=NOW - 9, unproven_end="t4-small")
    memory = PoolMemory(backoffs=BOTH, tracks={NAME: track})
    gone = learn(view_of(snapshot(), memory=memory))
    assert (gone.backoffs, gone.served) == ({}, [NAME])
    there = learn(view_of(snapshot(registrations=[registration(P)]), memory=memory))
    assert (set(there.backoffs), there.served) == (set(BOTH), [])


def test_a_good_end_with_its_registration_still_listed_is_remembered() -> None:
    learned = learn(view_of(snapshot(ended=[ended()], registrations=[registration(P)])))
    assert learned.tracks[NAME].unproven_end == "t4-small"


FREE = Track(phase=Phase.IDLE, since=NOW - 60)


@pytest.mark.parametrize(
    ("result", "asked", "agreed", "waits"),
    [
        (retired(), True, False, LIST_LAG),
        (retired(deregistered=True), True, True, LIST_LAG),
        (retired(busy=True), False, False, REFUSAL_DELAYS[0]),
        (retired(failure=OUTAGE), False, False, REFUSAL_DELAYS[0]),
        (retired(failure=replace(OUTAGE, in_doubt=True)), True, False, REFUSAL_DELAYS[0]),
        (retired(failure=OUTAGE, deregistered=True), True, True, REFUSAL_DELAYS[0]),
    ],
    ids=["done", "GitHub agreed", "busy", "failed", "no answer", "GitHub agreed, and the Hub failed"],
)
def test_what_a_retirement_leaves_of_a_runner(
    result: Result, asked: bool, agreed: bool, waits: float
) -> None:
    track = after_retirement(FREE, result, NOW)
    assert (track.asked_to_end, track.deregistered) == (asked, agreed)
    assert track.retry_at == NOW + waits


def test_a_runner_that_is_busy_again_and_again_is_asked_ever_more_rarely() -> None:
    track, waits = FREE, []
    for _ in range(5):
        track = after_retirement(track, retired(busy=True), NOW)
        waits.append(track.retry_at - NOW)
    assert waits == [*REFUSAL_DELAYS, REFUSAL_DELAYS[-1]]


def test_we_have_asked_for_an_end_as_soon_as_the_request_may_have_had_an_effect() -> None:
    under_way = InFlight(
        name=NAME, pool_uid=P.uid, footprint=P.footprint, effect=Effect.RETIRE, since=NOW - 1
    )
    known = {NAME: replace(FREE, asked_to_end=True, deregistered=True)}
    assert asked_to_end(view_of(snapshot())) == {}
    assert asked_to_end(view_of(snapshot(), in_flight={NAME: under_way})) == {NAME: False}
    assert asked_to_end(view_of(snapshot(), results=(retired(deregistered=True),))) == {NAME: True}
    assert asked_to_end(view_of(snapshot(), results=(retired(busy=True),))) == {}
    assert asked_to_end(view_of(snapshot(), memory=PoolMemory(tracks=known), results=(retired(),))) == {
        NAME: True
    }


def test_copies_are_reported_once_and_remembered() -> None:
    ours, copy = hf_job(P), replace(hf_job(P), id="copy", foreign=True, creator="mallory")
    view = snapshot(registrations=[registration(P)], hf_jobs=[ours, copy])
    first = learn(view_of(view))
    assert [notice.reason for notice in first.notices] == [Reason.HFJobCopied]
    assert "mallory" in first.notices[0].message
    again = learn(view_of(view, memory=PoolMemory(copies=first.copies)))
    assert (again.copies, again.notices) == (frozenset({"copy"}), [])


def test_the_hubs_limit_is_forgotten_when_it_was_not_met_for_long() -> None:
    new, old = Limit(running=2, at=NOW - 60), Limit(running=2, at=NOW - 4_000)
    assert learn(view_of(snapshot(), memory=PoolMemory(limit=new))).limit == new
    assert learn(view_of(snapshot(), memory=PoolMemory(limit=old))).limit is None
