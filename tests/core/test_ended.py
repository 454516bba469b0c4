"""What the end of one HF Job says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.core.ended import NOTHING, Case, End, what_it_says
from controller.core.lifecycle import Phase, Track
from controller.core.model import HFJob, Stage
from controller.core.reasons import Reason
from tests.core.build import NOW, SERVER, name_of, pool, registration, running, started

P = pool()
NAME = name_of(P)


def by(message: str = "", *, stage: Stage = Stage.ERROR, **changes: Any) -> HFJob:
    job = replace(started(P, seconds_ago=60), stage=stage, finished_at=SERVER, message=message or None)
    return replace(job, **changes)


def code(number: int) -> HFJob:
    return by(f"Job failed with exit code: {number}. Reason: Error")


WELL, BROKEN, IDLED, OUT_OF_TIME = by(stage=Stage.COMPLETED), code(78), code(75), code(82)
CANCELLED, BY_THE_HUB = by(stage=Stage.CANCELED), by(cancel_reason="spot capacity")
ONLINE = Track(phase=Phase.IDLE, since=NOW - 50, online_at=NOW - 50)
STARTING = Track(phase=Phase.STARTING, since=NOW - 50)
WORKED = replace(ONLINE, phase=Phase.BUSY, workflow_job=running(7, NAME))
WORKING = running(7, NAME)


def says(job: HFJob, track: Track | None = None, **changes: Any) -> End:
    base: dict[str, Any] = {"registration": None, "workflow_job": None}
    return what_it_says(Case(job=job, track=track, **{**base, **changes}), P, NOW)


def what(end: End) -> dict[str, Any]:
    """Return what an end says, by names and reasons alone."""
    return {
        name: value
        for name, value in {
            "served": end.served,
            "unproven": end.unproven,
            "failure": end.failure and end.failure.reason,
            "lost": end.loss and end.loss.reason,
            "idled": bool(end.idled),
            "notice": end.notice and end.notice.reason,
        }.items()
        if value
    }


def failed(reason: Reason) -> dict[str, Any]:
    return {"failure": reason, "notice": reason}


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (says(WELL, STARTING), {"served": True}),
        (says(WELL, ONLINE, registration=registration(P)), {"served": True}),
        (says(WELL, STARTING, registration=registration(P)), {"unproven": True}),
        (says(BROKEN, STARTING), failed(Reason.RunnerFailed)),
        (says(BROKEN, None), failed(Reason.RunnerFailed)),
        (says(BROKEN, ONLINE), {"notice": Reason.RunnerFailed}),
        (says(BROKEN, WORKED), {"notice": Reason.EndedAfterJob}),
        (says(BROKEN, STARTING, completed=True), {"notice": Reason.EndedAfterJob}),
        (says(BY_THE_HUB, ONLINE), failed(Reason.PlatformCancelled)),
        (says(BY_THE_HUB, WORKED), {"notice": Reason.PlatformCancelled}),
        (says(CANCELLED, STARTING), {}),
        (says(IDLED, ONLINE), {"idled": True}),
        (says(IDLED, WORKED), {}),
        (
            says(BROKEN, ONLINE, workflow_job=WORKING),
            {"lost": Reason.RunnerFailed, "notice": Reason.RunnerLost},
        ),
        (
            says(BROKEN, ONLINE, registration=registration(P, busy=True)),
            {"lost": Reason.RunnerFailed, "notice": Reason.RunnerLost},
        ),
        (says(OUT_OF_TIME, ONLINE, workflow_job=WORKING), {"notice": Reason.LifetimeDeadline}),
        (says(OUT_OF_TIME, WORKED), {"notice": Reason.LifetimeDeadline}),
        (says(OUT_OF_TIME, ONLINE), {"idled": True}),
        (says(OUT_OF_TIME, STARTING), failed(Reason.LifetimeDeadline)),
        (says(OUT_OF_TIME, None), {}),
    ],
    ids=[
        "well, and its registration went along",
        "well, after it was online",
        "well, and its registration is listed still",
        "badly, before it was online",
        "badly, and nobody knew it",
        "badly, after it was online",
        "badly, after it had a job",
        "badly, and GitHub showed its job completed",
        "by the Hub, which will meet the next one too",
        "by the Hub, after it had a job",
        "cancelled",
        "it waited in vain",
        "it waited after its job",
        "under a workflow job",
        "while GitHub shows it busy",
        "out of time under a workflow job",
        "out of time, and the track names the job",
        "out of time without a job",
        "out of time before it was online",
        "out of time, and nobody knew it",
    ],
)
def test_what_an_end_says(end: End, expected: dict[str, Any]) -> None:
    assert what(end) == expected


@pytest.mark.parametrize(
    "job", [BROKEN, CANCELLED, OUT_OF_TIME, BY_THE_HUB], ids=["78", "cancelled", "82", "hub"]
)
def test_the_end_that_we_asked_for_says_nothing(job: HFJob) -> None:
    assert says(job, STARTING, asked=True) is NOTHING
    assert says(job, STARTING, asked=True, agreed=True) is NOTHING


def test_a_runner_is_lost_although_we_asked_for_its_end_unless_github_agreed() -> None:
    assert what(says(BROKEN, ONLINE, workflow_job=WORKING, asked=True))["lost"] is Reason.RunnerFailed
    assert says(BROKEN, ONLINE, workflow_job=WORKING, asked=True, agreed=True) is NOTHING


def test_a_runner_that_we_asked_to_end_and_that_ended_well_has_served() -> None:
    assert says(WELL, ONLINE, asked=True).served


def test_a_loss_names_the_job_of_the_queue_or_else_that_of_the_track() -> None:
    track = replace(ONLINE, workflow_job=running(3, NAME))
    by_queue = says(BROKEN, track, workflow_job=WORKING)
    by_track = says(BROKEN, track, registration=registration(P, busy=True))
    assert by_queue.loss is not None and by_queue.loss.workflow_job == WORKING  # noqa: PT018
    assert by_track.loss is not None and by_track.loss.workflow_job == track.workflow_job  # noqa: PT018


def test_a_runner_idled_since_it_was_online_or_for_as_long_as_it_may() -> None:
    known, unknown = says(IDLED, ONLINE), says(IDLED, None)
    assert known.idled is not None
    assert (known.idled.since, known.idled.until) == (NOW - 50, NOW)
    assert unknown.idled is not None
    assert unknown.idled.since == NOW - P.deadlines.idle
