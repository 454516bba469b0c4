"""What of a pool's runners speaks for and against its queued jobs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.core.demand import Demand
from controller.core.learn import learn
from controller.core.lifecycle import Phase, Track
from controller.core.memory import PoolMemory
from controller.core.model import JobStatus, Scope, ScopeKind
from controller.core.runners import Runner
from controller.core.suspect import Suspected, idle_spans, started_at, starts, suspect
from controller.core.suspicion import Suspicions
from tests.core.build import (
    NOW,
    OUTAGE,
    SERVER,
    SOURCE,
    job,
    name_of,
    pool,
    registration,
    running,
    seen,
    snapshot,
    started,
)
from tests.core.stages import runner, view_of

P = pool()
NAME = name_of(P)
AHEAD = SERVER - NOW
QUEUED = Track(phase=Phase.IDLE, since=NOW - 60)


def having(*, busy: bool = False, named: bool = False) -> Runner:
    phase = Phase.BUSY if busy else Phase.IDLE
    track = Track(phase=phase, since=NOW, workflow_job=running(7, NAME) if named else None)
    return runner("aaaa", phase, track=track)


@pytest.mark.parametrize(
    ("one", "before", "ahead", "at"),
    [
        (having(), QUEUED, AHEAD, None),
        (having(busy=True), QUEUED, AHEAD, NOW),
        (having(busy=True), replace(QUEUED, phase=Phase.BUSY), AHEAD, None),
        (having(busy=True, named=True), replace(QUEUED, phase=Phase.BUSY), AHEAD, NOW),
        (having(busy=True, named=True), replace(QUEUED, phase=Phase.BUSY, workflow_job=job()), AHEAD, None),
        (having(busy=True), None, AHEAD, None),
        (having(busy=True, named=True), None, AHEAD, NOW - 10),
        (having(busy=True, named=True), None, None, None),
    ],
    ids=[
        "it idles",
        "it is busy now",
        "it was busy before",
        "its job is named now",
        "its job was named before",
        "it is new to us, and nobody names its job",
        "it is new to us, and its job began some time ago",
        "it is new to us, and GitHub's clock is not known",
    ],
)
def test_a_workflow_job_started_on_a_runner(
    one: Runner, before: Track | None, ahead: float | None, at: float | None
) -> None:
    assert started_at(one, before, ahead, NOW) == at


def test_runners_that_served_unseen_and_jobs_that_completed_unseen_are_starts_too() -> None:
    done = replace(running(3, name_of(P, "bbbb")), status=JobStatus.COMPLETED)
    view = view_of(replace(snapshot(), completed={SOURCE: (done,)}))
    found = starts(view, [NAME], AHEAD)
    assert [(one.runner, one.job_id) for one in found] == [(NAME, 0), (name_of(P, "bbbb"), 3)]


def test_the_repository_of_an_unnamed_job_is_known_where_the_pool_serves_only_one() -> None:
    (here,) = starts(view_of(snapshot()), [NAME], AHEAD)
    of = pool(scope=Scope(kind=ScopeKind.ORGANIZATION, owner="acme"))
    (anywhere,) = starts(view_of(snapshot(), of=of), [NAME], AHEAD)
    assert (here.repository, anywhere.repository) == ("acme/lib", "")


def test_a_runner_has_idled_until_the_list_that_shows_it() -> None:
    listed = snapshot(registrations=[registration(P, online=True)], hf_jobs=[started(P)])
    memory = PoolMemory(tracks={NAME: Track(phase=Phase.IDLE, since=NOW - 60, online_at=NOW - 60)})
    (span,) = idle_spans(view_of(listed, memory=memory))
    assert (span.runner, span.since, span.until) == (NAME, NOW - 60, NOW - 1)
    assert idle_spans(view_of(snapshot(registrations=None))) == ()


def test_a_runner_idles_with_the_labels_that_github_shows_and_else_with_those_of_its_pool() -> None:
    for shown, taken in (((), P.labels), (("of", "github"), ("of", "github"))):
        listed = snapshot(registrations=[registration(P, online=True, labels=shown)], hf_jobs=[started(P)])
        memory = PoolMemory(tracks={NAME: Track(phase=Phase.IDLE, since=NOW - 60, online_at=NOW - 60)})
        assert [span.labels for span in idle_spans(view_of(listed, memory=memory))] == [taken]


def test_a_runner_that_is_busy_or_not_online_yet_does_not_idle() -> None:
    for listed in (registration(P, online=True, busy=True), registration(P)):
        assert idle_spans(view_of(snapshot(registrations=[listed], hf_jobs=[started(P)]))) == []


def test_suspicion_falls_on_a_job_beside_which_a_runner_has_idled_for_long() -> None:
    waits, long_ago = job(), NOW - 300
    track = Track(phase=Phase.IDLE, since=long_ago, online_at=long_ago)
    view = snapshot(jobs=[waits], registrations=[registration(P, online=True)], hf_jobs=[started(P)])

    def suspected(queued_since: float) -> Suspected:
        known = Suspicions(queued_since={waits.id: queued_since})
        pool_view = view_of(view, memory=PoolMemory(tracks={NAME: track}, suspicions=known))
        demand = Demand(queued=[waits], server_ahead=AHEAD, asked_at=NOW - 1)
        return suspect(pool_view, learn(pool_view), demand)

    soon, late = suspected(NOW - 5), suspected(long_ago)
    assert (soon.count, soon.to_check, list(soon.divided.trusted)) == (0, None, [waits])
    assert (late.count, list(late.divided.trusted)) == (1, [])
    assert late.to_check is not None


def test_where_nothing_waits_and_nobody_idles_nothing_is_suspected() -> None:
    view = view_of(snapshot(registrations=seen(failure=OUTAGE)))
    found = suspect(view, learn(view), Demand())
    assert (found.count, list(found.to_read), found.to_check) == (0, [], None)


def test_a_runner_that_has_a_job_does_not_idle() -> None:
    listed = snapshot(registrations=[registration(P, online=True, busy=True)], hf_jobs=[started(P)])
    memory = PoolMemory(tracks={NAME: Track(phase=Phase.IDLE, since=NOW - 60, online_at=NOW - 60)})
    assert idle_spans(view_of(listed, memory=memory)) == []
