"""How many requests watching costs, with idle repositories and with jobs: an hour in
virtual time, in seconds.

The whole controller less kopf, with its real clients, against the simulated services
(``controller/simulate/engine.py``); GitHub's with the limits of github.com.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

from benchmarks.report import Figure
from controller.simulate.engine import Simulation
from controller.simulate.loop import run_virtual
from hf_runner_simulators.exchange import Exchange

HOUR = 3_600.0
SETTLING = 600.0
"""Seconds before it: every repository has been read, and has its place in the interval."""

LONG = 4 * HOUR
"""Seconds that a workflow job works: longer than anybody looks."""

JOBS = {10: 1_000.0, 50: 1_500.0, 200: 3_500.0}
"""The most requests per hour for so many workflow jobs that wait, or run, each in a run of its own."""


def figures(*, quick: bool) -> Iterator[Figure]:
    """Count the requests of one hour for owners of several sizes."""
    for repositories in (3,) if quick else (10, 100, 500):
        github, hub = run_virtual(_hour(repositories))
        changed, same = github["200"], github["304"]
        other = github.total() - changed - same
        yield Figure(
            what=f"GitHub requests, {repositories} idle repositories",
            unit="/h",
            values=[github.total()],
            note=f"{changed} answered 200 (charged), {same} answered 304 (free)"
            + (f", {other} others (tokens)" if other else "")
            + f"; {github.total() / 60:.0f} a minute",
        )
        yield Figure(
            what=f"Hub requests, {repositories} idle repositories",
            unit="/h",
            values=[hub.total()],
            note=f"{hub['200']} answered 200",
        )

    for jobs, aim in {2: None}.items() if quick else JOBS.items():
        for state, most in (("waiting, no hardware", jobs), ("waiting, maxRunners 0", 0), ("running", jobs)):
            github = run_virtual(second_hour(jobs, max_runners=most, hardware=state == "running"))
            yield Figure(
                what=f"GitHub requests, {jobs} jobs {state}",
                unit="/h",
                values=[github.total()],
                aim=aim,
                note=f"{github.total() - github['304']} charged; one repository, a run for each job",
            )


async def second_hour(jobs: int, *, max_runners: int, hardware: bool) -> Counter[str]:
    """Return GitHub's answers by status in the second hour after so many jobs were queued."""
    simulation = Simulation(hub_knobs=None if hardware else {"capacity": {"t4-small": 0}})
    simulation.set_up(["acme/lib"])
    simulation.pool("t4", url="acme/lib", labels=["hf-t4"], maxRunners=max_runners)
    try:
        simulation.start()
        await asyncio.sleep(SETTLING)
        simulation.github.workflows.queue_jobs("acme/lib", ["hf-t4"], count=jobs, seconds=LONG)
        await asyncio.sleep(HOUR)
        before = _answers(simulation.github_exchange)
        await asyncio.sleep(HOUR)
        return _answers(simulation.github_exchange) - before
    finally:
        await simulation.close()


async def _hour(repositories: int) -> tuple[Counter[str], Counter[str]]:
    """Return the requests of an hour by status: at GitHub, and at the Hub."""
    simulation = Simulation()
    simulation.set_up([f"acme/repository-{number}" for number in range(repositories)])
    simulation.pool("t4", url="acme", labels=["hf-t4"], github={"repositories": {"include": ["*"]}})
    try:
        simulation.start()
        await asyncio.sleep(SETTLING)
        before = _answers(simulation.github_exchange), _answers(simulation.hub_exchange)
        await asyncio.sleep(HOUR)
        after = _answers(simulation.github_exchange), _answers(simulation.hub_exchange)
    finally:
        await simulation.close()
    return after[0] - before[0], after[1] - before[1]


def _answers(exchange: Exchange) -> Counter[str]:
    statuses: Counter[str] = Counter()
    for entry in exchange.log:
        statuses[str(entry.status)] += 1
    return statuses
