"""Turns a scenario's workload into arrivals: keyed by the seed, so that changing one entry
leaves the others alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from controller.simulate.keyed import exponential, uniform
from controller.simulate.scenario import MOST_JOBS, Work
from controller.simulate.scenario_file import Scenario
from controller.simulate.scenario_trace import TraceRow


class TooManyJobs(Exception):  # noqa: N818 - a finding about the user's input
    """A workload has more than :data:`~controller.simulate.scenario.MOST_JOBS` jobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """How one workflow job will go.

    Attributes:
        seconds: How long a runner works on it.
        result: How its own steps end.
        cancel_after: Seconds after which somebody cancels it, or None.
    """

    seconds: float
    result: Literal["success", "failure"]
    cancel_after: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Jobs that are queued at the same moment, all in one run.

    Attributes:
        at: Seconds from the start.
        work: The entry of the workload.
        repository: ``owner/repo``.
        labels: ``runs-on``.
        jobs: One or, for a matrix, several.
    """

    at: float
    work: Work
    repository: str
    labels: tuple[str, ...]
    jobs: tuple[JobPlan, ...]


def arrivals(scenario: Scenario, *, seed: int, until: float) -> list[Arrival]:
    """Return everything that is queued before ``until``, in order of time.

    Raises:
        TooManyJobs: There are so many jobs that something must be mistaken.
    """
    found: list[Arrival] = []
    total = 0
    for index, work in enumerate(scenario.file.workload):
        made = (
            _of_trace(work, scenario.traces[index])
            if work.trace is not None
            else _of_rule(work, seed, index, until)
        )
        for arrival in made:
            total += len(arrival.jobs)
            if total > MOST_JOBS:
                raise TooManyJobs(f"the workload has more than {MOST_JOBS} jobs until {until:.0f} s")
            if work.start <= arrival.at < until and (work.end is None or arrival.at < work.end):
                found.append(arrival)
    return sorted(found, key=lambda arrival: arrival.at)


def _times(work: Work, seed: int, index: int, until: float) -> Iterator[float]:
    end = until if work.end is None else min(until, work.end)
    if work.at is not None:
        yield from sorted(work.at)
    elif work.every is not None:
        number = 0
        while (at := work.start + number * work.every) < end:
            yield at
            number += 1
    elif work.rate is not None:
        at, number = work.start, 0
        while (at := at + exponential(work.rate, seed, "arrival", index, number)) < end:
            yield at
            number += 1


def _of_rule(work: Work, seed: int, index: int, until: float) -> Iterator[Arrival]:
    assert work.repository is not None
    turn = 0
    for number, at in enumerate(_times(work, seed, index, until)):
        plans = [_plan(work, seed, (index, number, n)) for n in range(work.count)]
        for jobs in [tuple(plans)] if work.matrix else [(plan,) for plan in plans]:
            repository = work.repository[turn % len(work.repository)]
            turn += 1
            yield Arrival(at=at, work=work, repository=repository, labels=tuple(work.labels), jobs=jobs)


def _plan(work: Work, seed: int, key: tuple[int, ...]) -> JobPlan:
    cancelled = work.cancel is not None and uniform(seed, "cancelled", *key) < work.cancel.share
    return JobPlan(
        seconds=work.duration.draw(seed, "duration", *key),
        result="failure" if uniform(seed, "fails", *key) < work.fails else "success",
        cancel_after=work.cancel.after.draw(seed, "cancel", *key) if work.cancel and cancelled else None,
    )


def _of_trace(work: Work, rows: Sequence[TraceRow]) -> Iterator[Arrival]:
    for row in rows:
        plan = JobPlan(seconds=row.seconds, result=row.result, cancel_after=row.cancelled_after)
        yield Arrival(
            at=work.start + row.at, work=work, repository=row.repository, labels=row.labels, jobs=(plan,)
        )
