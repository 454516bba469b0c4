"""Values that stages of a plan take, with defaults: a test names only what it is about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from controller.core.capacity import Capacity, capacity_of
from controller.core.effects import InFlight
from controller.core.lifecycle import Phase, Track
from controller.core.memory import PoolMemory
from controller.core.model import Pool, Snapshot
from controller.core.runners import Runner
from controller.core.view import PlanInput, PoolView, sort_lists, view_pool
from tests.core.build import CONTROLLER, NOW, SERVER, hf_job, name_of, pool, registration, started


def view_of(
    view: Snapshot,
    *,
    of: Pool | None = None,
    memory: PoolMemory | None = None,
    in_flight: dict[str, InFlight] | None = None,
    **given: Any,
) -> PoolView:
    """Return what a pass knows of one pool."""
    mine = of or pool()
    base = {"now": NOW, "wall": SERVER, "controller_id": CONTROLLER, "entropy": "a pass"}
    whole = PlanInput(pools=[mine], snapshot=view, in_flight=in_flight or {}, **{**base, **given})
    if memory is not None:
        whole.memory.pools[mine.uid] = memory  # type: ignore[index]
    return view_pool(mine, whole, sort_lists(whole))


def runner(
    token: str, phase: Phase, *, since: float = NOW - 10, of: Pool | None = None, **changes: Any
) -> Runner:
    """Return a runner in a phase, whole: registered and with an HF Job."""
    mine = of or pool()
    waits = phase is Phase.SCHEDULING
    base = Runner(
        name=name_of(mine, token),
        phase=phase,
        footprint=mine.footprint,
        registration=registration(mine, token, online=phase is Phase.IDLE),
        hf_job=hf_job(mine, token) if waits else started(mine, token),
        workflow_job=None,
        flavor="t4-small",
        age=NOW - since,
        track=Track(phase=phase, since=since),
        undisturbed=True,
    )
    return base._replace(**changes)


def having(runners: Iterable[Runner]) -> Capacity:
    """Return what a pool has."""
    return capacity_of(list(runners))
