"""From a queued job that was seen to the creation of its HF Job, for one job and for a burst.

The Hub answers in 300 ms and GitHub in 100 ms. A burst, a matrix of 200 jobs, is measured twice: without
limits, as on an Enterprise Server, and with the limit of 900 points per minute that GitHub documents. A
registration costs 5 of them, so that 180 fit into a minute at most and the rest waits by design.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.bed import Bed, bed, until
from benchmarks.report import Figure
from controller.adapters.github.limits import POINTS_PER_MINUTE

CREATE = "POST /api/jobs/{namespace}"
JOBS = "GET /repos/{owner}/{repo}/actions/runs/{run_id}/attempts/{attempt_number}/jobs"
BURST = 200
PAGE = 100
"""Workflow jobs on one page of a list."""

GITHUB_SECONDS, HUB_SECONDS = 0.1, 0.3
WITHIN = 10.0


async def figures(kubeconfig: Path, *, quick: bool) -> AsyncIterator[Figure]:
    """Measure single launches and bursts."""
    singles, bursts, size = (1, 1, 5) if quick else (7, 3, BURST)
    one: list[float] = []
    names = ["single", *(f"burst-{number}" for number in range(bursts))]
    async with _at_work(kubeconfig, names, points=0) as scene:
        for _ in range(singles):
            one += await _launches(scene, "single", 1)
        most = [await _launches(scene, name, size) for name in names[1:]]
    yield Figure(what="queued job seen to HF POST", unit="s", values=one, aim=1.0)
    burst = f"burst of {size} seen to the last HF POST"
    yield Figure(what=f"{burst}, no limit", unit="s", values=[times[-1] for times in most], aim=WITHIN)
    async with _at_work(kubeconfig, ["paced"], points=POINTS_PER_MINUTE) as scene:
        paced = await _launches(scene, "paced", size)
    early = sum(seconds <= WITHIN for seconds in paced)
    yield Figure(
        what=f"{burst}, {POINTS_PER_MINUTE} points a minute",
        unit="s",
        values=[paced[-1]],
        note=f"{early} of {size} within {WITHIN:.0f} s; GitHub lets no more be registered before a minute is over",
    )


@asynccontextmanager
async def _at_work(kubeconfig: Path, names: Sequence[str], *, points: int) -> AsyncIterator[Bed]:
    """Run an operator with a pool for each name, between services that take their time."""
    pace = ("--github-points-per-minute", str(points))
    async with bed(kubeconfig) as scene:
        await scene.set_up([f"acme/{name}" for name in names])
        await scene.answer_after("hub", HUB_SECONDS)
        await scene.answer_after("github", GITHUB_SECONDS)
        for name in names:
            await scene.apply(name, repository=f"acme/{name}", labels=[name], maxRunners=BURST)

        async def ready() -> bool:
            return await scene.ready() == len(names)

        async with scene.operator(*pace, "--github-poll-seconds", "1") as operator:
            await operator.first_pass()
            await until(f"{len(names)} pools to be ready", ready)
            yield scene


async def _launches(scene: Bed, name: str, count: int) -> list[float]:
    """Queue a run of ``count`` jobs; return the seconds from its last page's answer to each
    HF POST, in order.

    The jobs' runners stay scheduled, so each further job needs one more.
    """
    seen, posted = await scene.times("github", JOBS), await scene.times("hub", CREATE)
    job = {
        "repository": f"acme/{name}",
        "labels": [name],
        "count": count,
        "same_run": True,
        "seconds": 3_600.0,
    }
    await scene.ask("github", "POST", "jobs", job)

    async def all_posted() -> bool:
        return sum((await scene.requests("hub")).get(CREATE, {}).values()) >= len(posted) + count

    await until(f"{count} HF Jobs", all_posted, every=0.2)
    pages = math.ceil(count / PAGE)
    shown = (await scene.times("github", JOBS))[len(seen) :][pages - 1] + GITHUB_SECONDS
    return [at - shown for at in (await scene.times("hub", CREATE))[len(posted) :][:count]]
