"""Adding a pool of another namespace changes nothing for a pool that shares neither HF account nor
GitHub credentials with it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.api.status.build import build_status
from controller.api.status.model import RunnerPoolStatus
from controller.api.status.values import Instant
from controller.core.actions import Launch, Result, Retire
from controller.core.backoff import Backoff
from controller.core.effects import Effect
from controller.core.lifecycle import Phase, Track
from controller.core.memory import Memory, PoolMemory
from controller.core.model import (
    GitHubSource,
    HFJob,
    HubAccount,
    JobStatus,
    Pool,
    PoolKey,
    Registration,
    RegistrationScope,
    Scope,
    ScopeKind,
    SecretRef,
    Snapshot,
    Stage,
    WorkflowJob,
)
from controller.core.overlap import find_overlaps
from controller.core.plan import Plan

from .build import (
    ACCOUNT,
    CONTROLLER,
    FLAVORS,
    NOW,
    OUTAGE,
    REPO,
    SERVER,
    SOURCE,
    hf_job,
    launching,
    name_of,
    pool,
    registration,
    run_plan,
    seen,
)

VICTIM = pool(max_runners=3, min_idle=1, retry_interrupted=2)
TOKENS = ("aaaa", "bbbb", "cccc")
NAMES = [name_of(VICTIM, token) for token in TOKENS]
LOADED = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
"""Whole worlds are drawn, on machines that do other things too."""

SCOPES = st.sampled_from([VICTIM.scope, Scope(kind=ScopeKind.ORGANIZATION, owner="acme")])


def registrations(names: list[str]) -> st.SearchStrategy[list[Registration]]:
    """Lists of registrations under these names, however they lie."""
    each = st.builds(
        Registration,
        id=st.integers(1, 9),
        name=st.sampled_from(names),
        online=st.booleans(),
        busy=st.booleans(),
        labels=st.sampled_from([(), ("hf-t4",), ("nonsense",)]),
    )
    return st.lists(each, max_size=3)


def hf_jobs(of: Pool, *, ended: bool) -> st.SearchStrategy[list[HFJob]]:
    """Lists of HF Jobs with a pool's labels, however they lie."""
    stages = [s for s in Stage if s.ended is ended]
    each = st.builds(
        lambda token, number, stage, age, message: replace(
            hf_job(of, token),
            id=f"hf-{number}",
            stage=stage,
            created_at=SERVER - age - 10,
            started_at=SERVER - age,
            finished_at=SERVER if ended else None,
            message=message,
        ),
        st.sampled_from(TOKENS),
        st.integers(1, 9),
        st.sampled_from(stages),
        st.sampled_from([1, 400, 9000]),
        st.sampled_from([None, "exit code: 73", "exit code: 137", "exit code: 82", "Job timeout"]),
    )
    return st.lists(each, max_size=3)


def jobs(repository: str, names: list[str]) -> st.SearchStrategy[list[WorkflowJob]]:
    """Lists of workflow jobs, some on these runners."""
    each = st.builds(
        WorkflowJob,
        id=st.integers(1, 6),
        run_id=st.integers(1, 3),
        run_attempt=st.just(1),
        repository=st.just(repository),
        name=st.just("test"),
        labels=st.sampled_from([("hf-t4",), ("other",), ()]),
        status=st.sampled_from([JobStatus.QUEUED, JobStatus.IN_PROGRESS]),
        created_at=st.sampled_from([SERVER - 30, SERVER - 900]),
        started_at=st.just(SERVER - 5),
        runner_name=st.sampled_from([None, *names]),
    )
    return st.lists(each, max_size=3, unique_by=lambda job: job.id)


def lists(draw: Any, of: Pool, where: RegistrationScope, account: HubAccount, names: list[str]) -> Snapshot:
    """What one team's credentials show: anything, about the names of the victim's runners too."""
    failure = draw(st.sampled_from([None, None, None, OUTAGE]))
    repository = f"{where.scope.owner}/{where.scope.repository or 'lib'}"
    return Snapshot(
        queues={(where.source, repository): seen(draw(jobs(repository, names)), failure=failure)},
        registrations={where: seen(draw(registrations(names)))},
        hf_jobs={account: seen(draw(hf_jobs(of, ended=False)))},
        ended={account: tuple(draw(hf_jobs(of, ended=True)))},
        completed={where.source: tuple(draw(jobs(repository, names)))},
        flavors={account.endpoint: seen(FLAVORS)},
        pools_known=True,
    )


@st.composite
def worlds(draw: Any) -> tuple[Snapshot, Memory, dict[str, Any]]:
    """A victim alone: its lists, what is remembered of it, and effects under way."""
    view = lists(draw, VICTIM, VICTIM.footprint.registrations, ACCOUNT, NAMES)
    known = draw(st.sets(st.sampled_from(NAMES)))
    phases = st.sampled_from(list(Phase))
    tracks = {
        name: Track(phase=draw(phases), since=NOW - draw(st.sampled_from([1, 90, 5000]))) for name in known
    }
    failing = Backoff(failures=2, until=NOW + 60, at=NOW - 6, failure=OUTAGE)
    backoffs = draw(st.sampled_from([{}, {"": failing}]))
    memory = Memory(pools={VICTIM.uid: PoolMemory(tracks=tracks, backoffs=backoffs)})
    under_way = draw(st.sampled_from([{}, launching(VICTIM, "cccc"), launching(VICTIM, finished_at=NOW - 5)]))
    return view, memory, under_way


@st.composite
def hostile(draw: Any) -> tuple[Pool, Snapshot]:
    """A pool of another namespace with credentials of its own, perhaps for the very same places,
    and whatever it is shown.
    """
    same_host = draw(st.booleans())
    source = GitHubSource(
        api_url=SOURCE.api_url if same_host else "https://evil.example/api/v3",
        secret=SecretRef("mallory", "any"),
        owner="acme",
    )
    account = HubAccount(
        endpoint=ACCOUNT.endpoint if same_host else "https://hub.evil.example",
        namespace="mallory",
        secret=SecretRef("mallory", "any"),
    )
    other = pool(
        "evil",
        key=PoolKey("mallory", draw(st.sampled_from(["evil", VICTIM.key.name]))),
        created_at=draw(st.sampled_from([1.0, 9e9])),
        source=source,
        scope=draw(SCOPES),
        include=("acme/lib",),
        hub=account,
        flavors=("cpu-basic",),
        max_runners=draw(st.sampled_from([0, 5])),
        labels=draw(st.sampled_from([VICTIM.labels, ("evil",)])),
        paused=draw(st.booleans()),
    )
    view = lists(draw, draw(st.sampled_from([VICTIM, other])), other.footprint.registrations, account, NAMES)
    return other, view


def together(one: Snapshot, two: Snapshot) -> Snapshot:
    """Both teams' lists in one snapshot; hardware is everybody's."""
    return replace(
        one,
        queues={**one.queues, **two.queues},
        registrations={**one.registrations, **two.registrations},
        hf_jobs={**one.hf_jobs, **two.hf_jobs},
        ended={**one.ended, **two.ended},
        completed={**one.completed, **two.completed},
        flavors={**two.flavors, **one.flavors},
    )


def of_victim(done: Plan) -> object:
    """Everything that a plan decides, tells and remembers of the victim, with its status."""
    report = done.reports[VICTIM.uid]
    instant = Instant(mono=NOW, wall=SERVER)
    reports = {uid: report.demand.reach for uid, report in done.reports.items()}
    status = build_status(
        report,
        previous=RunnerPoolStatus(),
        overlaps=find_overlaps([VICTIM], reports, reports, {}).get(VICTIM.uid, ()),
        usd_per_second={},
        start=instant,
        now=instant,
    ).to_object()
    return (
        [a for a in done.actions if (a.pool_uid if isinstance(a, Retire) else a.pool.uid) == VICTIM.uid],
        [notice for notice in done.notices if notice.pool_uid == VICTIM.uid],
        done.memory.pools[VICTIM.uid],
        report,
        status,
    )


@LOADED
@given(world=worlds(), other=hostile(), stray_effect=st.booleans())
def test_a_pool_of_another_namespace_changes_nothing(
    world: tuple[Snapshot, Memory, dict[str, Any]], other: tuple[Pool, Snapshot], stray_effect: bool
) -> None:
    view, memory, under_way = world
    theirs, their_view = other
    more = launching(theirs, effect=Effect.RETIRE) if stray_effect else {}
    results = [Result(name=NAMES[0], pool_uid=theirs.uid, effect=Effect.LAUNCH, failure=OUTAGE)]
    alone = run_plan([VICTIM], view, memory=memory, in_flight=under_way)
    beside = run_plan(
        [theirs, VICTIM],
        together(view, their_view),
        memory=memory,
        in_flight={**under_way, **more},
        results=results,
    )
    assert not beside.faults
    assert of_victim(beside) == of_victim(alone)
    # And what is remembered makes no difference later either.
    again, alone_again = (
        run_plan(pools, lists, memory=done.memory, in_flight=under_way, now=NOW + 70)
        for pools, lists, done in (
            ([theirs, VICTIM], together(view, their_view), beside),
            ([VICTIM], view, alone),
        )
    )
    assert of_victim(again) == of_victim(alone_again)


@LOADED
@given(world=worlds(), other=hostile())
def test_an_action_never_mixes_the_lists_of_two_namespaces(
    world: tuple[Snapshot, Memory, dict[str, Any]], other: tuple[Pool, Snapshot]
) -> None:
    theirs, their_view = other
    view = together(world[0], their_view)
    first = run_plan([theirs], view, memory=world[1])
    for done in (first, run_plan([theirs], view, memory=first.memory, now=NOW + 400)):
        for action in done.actions:
            if isinstance(action, Retire) and action.account is not None:
                assert action.scope.source.secret.namespace == action.account.secret.namespace


class Poisoned(tuple[str, ...]):
    """Labels that cannot be compared: a mistake of ours that nobody foresaw."""

    __slots__ = ()

    def __hash__(self) -> int:
        raise ZeroDivisionError


@pytest.mark.parametrize("namespace", ["mallory", VICTIM.key.namespace])
def test_a_pool_that_cannot_be_planned_keeps_its_memory_and_costs_the_others_nothing(namespace: str) -> None:
    odd = pool(
        "odd", key=PoolKey(namespace, "odd"), labels=Poisoned(("hf-t4",)), hub=replace(ACCOUNT, namespace="x")
    )
    known = PoolMemory(spent_usd=12.0)
    memory = Memory(pools={odd.uid: known})
    job = WorkflowJob(
        id=1,
        run_id=1,
        run_attempt=1,
        repository=REPO,
        name="test",
        labels=("hf-t4",),
        status=JobStatus.QUEUED,
        created_at=SERVER - 30,
    )
    view = Snapshot(
        queues={(SOURCE, REPO): seen([job])},
        registrations={VICTIM.footprint.registrations: seen()},
        hf_jobs={ACCOUNT: seen(), odd.hub: seen(hf_jobs_of_odd(odd))},
        flavors={ACCOUNT.endpoint: seen(FLAVORS)},
        pools_known=True,
    )
    done = run_plan([odd, VICTIM], view, memory=memory)
    assert [type(fault) for fault in done.faults.values()] == [ZeroDivisionError]
    assert odd.uid not in done.reports
    assert done.memory.pools[odd.uid] is known
    alone = run_plan([VICTIM], replace(view, hf_jobs={ACCOUNT: seen()}))
    assert of_victim(done) == of_victim(alone)


def hf_jobs_of_odd(odd: Pool) -> list[HFJob]:
    """A live HF Job, so that the pool's specification must be compared with what the runner was made from."""
    labels = {
        **hf_job(VICTIM).labels,
        "pool-uid": odd.uid,
        "runner": name_of(replace(odd, labels=("hf-t4",))),
        "controller": CONTROLLER,
    }
    return [replace(hf_job(VICTIM), labels=labels)]


class Immeasurable(int):
    """A bound that nothing can be taken from: a mistake of ours that shows only where two
    pools share a job.
    """

    def __sub__(self, other: object) -> int:
        raise ZeroDivisionError


def test_a_pool_whose_room_cannot_be_told_ends_neither_the_pass_nor_its_neighbours_part() -> None:
    odd = pool("odd", max_runners=Immeasurable(3), created_at=1.0)
    beside = pool("beside", created_at=2.0)
    job = WorkflowJob(
        id=1,
        run_id=1,
        run_attempt=1,
        repository=REPO,
        name="test",
        labels=("hf-t4",),
        status=JobStatus.QUEUED,
        created_at=SERVER - 30,
    )
    view = Snapshot(
        queues={(SOURCE, REPO): seen([job])},
        registrations={beside.footprint.registrations: seen()},
        hf_jobs={ACCOUNT: seen()},
        flavors={ACCOUNT.endpoint: seen(FLAVORS)},
        pools_known=True,
    )
    done = run_plan([odd, beside], view)
    assert list(done.faults) == [odd.uid]
    assert [action.pool.uid for action in done.actions if isinstance(action, Launch)] == [beside.uid]


def test_a_stray_that_cannot_be_planned_costs_no_pool_its_pass() -> None:
    gone = pool("gone")
    odd = replace(hf_job(gone), created_at="soon")  # type: ignore[arg-type] # what no adapter lets through
    where = VICTIM.footprint.registrations
    view = Snapshot(
        registrations={where: seen([registration(gone)])},
        hf_jobs={ACCOUNT: seen([odd, replace(hf_job(gone), id="other")])},
        flavors={ACCOUNT.endpoint: seen(FLAVORS)},
        pools_known=True,
    )
    alone = run_plan([VICTIM], replace(view, registrations={where: seen()}, hf_jobs={ACCOUNT: seen()}))
    done = run_plan([VICTIM], view)
    assert isinstance(done.strays_fault, TypeError)
    assert of_victim(done) == of_victim(alone)
