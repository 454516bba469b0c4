"""What an operator costs while nothing happens: memory, processor, and the time until it is at work.

Each pool has a repository of its own, which is the most expensive kind: a queue and a list of
runners to watch for every one.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks.bed import Bed, Operator, bed, until
from benchmarks.report import Figure

RUNS, RUNNERS = "GET /repos/{owner}/{repo}/actions/runs", "GET /repos/{owner}/{repo}/actions/runners"
SETTLING = 5.0
"""Seconds after everything was read."""

READ_WITHIN = 180.0

UNLIMITED = ("--github-points-per-minute", "0")
"""With GitHub's 900 points a minute, the first reading of 1,000 repositories would take five minutes."""


async def figures(kubeconfig: Path, *, quick: bool) -> AsyncIterator[Figure]:
    """Measure operators with a growing number of idle pools, one after another."""
    if not sys.platform.startswith("linux"):
        print("left out: idle (reads /proc, which only Linux has)", file=sys.stderr)
        return
    sizes = (2,) if quick else (1, 100, 1_000)
    starts, parts, seconds = (1, 2, 0.5) if quick else (3, 3, 10.0)
    async with bed(kubeconfig) as scene:
        await scene.set_up([f"acme/repository-{number}" for number in range(sizes[-1])])
        there = 0
        for size in sizes:
            await _apply(scene, range(there, size))
            there = size
            started = []
            for _ in range(starts - 1):
                async with scene.operator(*UNLIMITED) as operator:
                    started.append(await operator.first_pass())
            before = await _reads(scene)
            async with scene.operator(*UNLIMITED) as operator:
                started.append(await operator.first_pass())
                await _until_quiet(scene, before, size)
                await asyncio.sleep(0.0 if quick else SETTLING)
                memory, processor, rate = await _rest(scene, operator, parts=parts, seconds=seconds)
            pools = "1 idle pool" if size == 1 else f"{size:,} idle pools"
            megabytes, percent = (150.0, 2.0) if size <= 100 else (None, None)
            yield Figure(what=f"start to first pass, {pools}", unit="s", values=started)
            yield Figure(what=f"RSS, {pools}", unit="MB", values=memory, aim=megabytes)
            yield Figure(
                what=f"CPU, {pools}",
                unit="% of a core",
                values=processor,
                aim=percent,
                note=f"{parts} parts of {seconds:.0f} s each; {rate:.1f} requests a second meanwhile",
            )


async def _apply(scene: Bed, numbers: range) -> None:
    at_once = asyncio.Semaphore(16)

    async def apply(number: int) -> None:
        async with at_once:
            await scene.apply(f"pool-{number}", repository=f"acme/repository-{number}")

    await asyncio.gather(*(apply(number) for number in numbers))


async def _reads(scene: Bed) -> tuple[int, int]:
    """Return how many lists of runs, and of runners, GitHub has answered."""
    routes = await scene.requests("github")
    return sum(routes.get(RUNS, {}).values()), sum(routes.get(RUNNERS, {}).values())


async def _until_quiet(scene: Bed, before: tuple[int, int], size: int) -> None:
    """Wait until every repository's queue and runners have been read once, and every pool
    says that it is ready.
    """

    async def read() -> bool:
        runs, runners = await _reads(scene)
        return runs - before[0] >= 2 * size and runners - before[1] >= size and await scene.ready() == size

    await until(f"{size} pools to be ready", read, every=0.5, within=READ_WITHIN)


async def _rest(
    scene: Bed, operator: Operator, *, parts: int, seconds: float
) -> tuple[list[float], list[float], float]:
    """Return megabytes and percents of a core, once per part, and requests per second to both services."""
    memory, processor = [], []
    asked, began = await _total(scene), time.monotonic()
    for _ in range(parts):
        used, since = operator.cpu_seconds(), time.monotonic()
        await asyncio.sleep(seconds)
        processor.append(100 * (operator.cpu_seconds() - used) / (time.monotonic() - since))
        memory.append(operator.megabytes())
    return memory, processor, (await _total(scene) - asked) / (time.monotonic() - began)


async def _total(scene: Bed) -> int:
    routes = [*(await scene.requests("github")).values(), *(await scene.requests("hub")).values()]
    return sum(sum(counts.values()) for counts in routes)
