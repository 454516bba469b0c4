"""How long :func:`controller.core.plan.plan` thinks: a whole fleet at work, and pools where nothing happens.

In milliseconds of processor time, so that other programs on the machine disturb as little as they can.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator

from benchmarks.fleet import Fleet, make_fleet
from benchmarks.report import Figure
from controller.core.labels import label_set
from controller.core.memory import Memory
from controller.core.naming import digest, origin
from controller.core.plan import plan

PASS_SECONDS = 5.0
"""Monotonic seconds from one pass to the next."""


def figures(*, quick: bool) -> Iterator[Figure]:
    """Measure passes over a busy fleet and over idle ones."""
    pools, starts, passes = (10, 1, 4) if quick else (1_000, 3, 8)
    busy = make_fleet(pools=pools, runners_per_pool=10, queued_per_pool=2)
    first, later = [], []
    for _ in range(starts):
        begun, *rest = _passes(busy, passes)
        first.append(begun)
        later += rest
    what = f"plan(), {pools:,} pools, {pools * 10:,} runners"
    yield Figure(
        what=what, unit="ms", values=later, aim=100, note="second pass onward; every row is a new object"
    )
    yield Figure(
        what=f"{what}, first pass", unit="ms", values=first, note="after a restart: nothing is remembered"
    )
    for idle in (pools // 10, pools):
        _, *rest = _passes(make_fleet(pools=idle, runners_per_pool=0, queued_per_pool=0), passes)
        yield Figure(what=f"plan(), {idle:,} idle pool{'s' if idle > 1 else ''}", unit="ms", values=rest)


def _passes(fleet: Fleet, count: int) -> list[float]:
    """Return the milliseconds of passes in a row, each remembering the one before, the first nothing.

    The collector's debt for making a pass's input is settled before its time is taken; what the pass
    itself makes it collect counts.
    """
    for cached in (origin, digest, label_set):
        cached.cache_clear()
    taken = []
    memory = Memory()
    for number in range(count):
        given = fleet.input(number * PASS_SECONDS, memory)
        gc.collect()
        began = time.process_time()
        done = plan(given)
        taken.append((time.process_time() - began) * 1000)
        memory = done.memory
        assert not done.actions, "the fleet is meant to be as it should be"
    return taken
