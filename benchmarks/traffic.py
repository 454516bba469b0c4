"""How many requests watching idle repositories costs: an hour in virtual time, in seconds.

The whole controller less kopf, with its real clients, against the simulated services (``controller/sim/engine.py``).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

from benchmarks.report import Figure
from controller.sim.engine import Simulation
from controller.sim.exchange import Exchange
from controller.sim.loop import run_virtual

HOUR = 3_600.0
SETTLING = 600.0
"""Seconds before it: every repository has been read, and has its place in the interval."""


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
