"""From a queued job that was seen to the creation of its HF Job, for one job and for a burst.

The Hub answers in 300 ms and GitHub in 100 ms. A burst is measured twice: with the limit of 900 points per minute that GitHub
documents (a registration costs 5, so that 180 fit into a minute at most and the rest waits by design), and without limits, as
an Enterprise Server has none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.bed import Bed, bed, until
from benchmarks.report import Figure

CREATE = "POST /api/jobs/{namespace}"
JOBS = "GET /repos/{owner}/{repo}/actions/runs/{run_id}/attempts/{attempt_number}/jobs"
BURST = 200


async def figures(kubeconfig: Path, *, quick: bool) -> AsyncIterator[Figure]:
    """Measure single launches and bursts."""
    runs, burst = (1, 5) if quick else (3, BURST)
    async with bed(kubeconfig) as scene:
        repositories = [f"acme/{kind}-{n}" for n in range(runs) for kind in ("single", "free", "paced")]
        await scene.set_up(repositories)
        await scene.answer_after("hub", 0.3)
        await scene.answer_after("github", 0.1)
        single = [(await _launches(scene, f"single-{n}", 1))[-1] for n in range(runs)]
        yield Figure(what="queued job seen to HF POST, one job", unit="s", values=single, aim=1.0)
        free = [await _launches(scene, f"free-{n}", burst) for n in range(runs)]
        what = f"queued jobs seen to HF POST, burst of {burst}"
        yield Figure(
            what=f"{what}, the last, no limit", unit="s", values=[times[-1] for times in free], aim=10.0
        )
        paced = await _launches(scene, "paced-0", burst, points=900)
        yield Figure(
            what=f"{what}, the last, 900 points/min",
            unit="s",
            values=[paced[-1]],
            note=f"{sum(1 for seconds in paced if seconds <= 10)} of {len(paced)} within 10 s",
        )


async def _launches(scene: Bed, name: str, count: int, *, points: int = 0) -> list[float]:
    """Queue jobs for a pool of its own and a fresh operator; return the seconds to each HF POST, in order."""
    await scene.apply(name, repository=f"acme/{name}", labels=[name], maxRunners=count)
    options = ("--github-points-per-minute", str(points), "--github-poll-seconds", "2")
    async with scene.operator(*options) as operator:
        await operator.first_pass()
        await until("all pools ready", scene.ready)
        before = len(await _log(scene, "hub", CREATE))
        queued = {"repository": f"acme/{name}", "labels": [name], "count": count, "seconds": 3600.0}
        reads = len(await _log(scene, "github", JOBS))
        await scene.ask("github", "POST", "jobs", queued)

        async def posted() -> bool:
            return len(await _log(scene, "hub", CREATE)) - before >= count

        await until(f"{count} HF Jobs", posted, every=0.2, within=180.0)
        seen = (await _log(scene, "github", JOBS))[reads:]
        posts = (await _log(scene, "hub", CREATE))[before:]
    return [max(0.0, at - seen[0]) for at in posts]


async def _log(scene: Bed, site: str, route: str) -> list[float]:
    """Return when a route was answered well, oldest first."""
    entries: list[dict[str, Any]] = await scene.ask(site, "GET", "log")
    return [_epoch(entry["at"]) for entry in entries if entry["route"] == route and entry["status"] == 200]


def _epoch(at: object) -> float:
    return at if isinstance(at, float) else datetime.fromisoformat(str(at)).replace(tzinfo=UTC).timestamp()
