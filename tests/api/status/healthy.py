"""A pool of which everything is well, for tests that say what another one differs in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from controller.api.status.build import build_status
from controller.api.status.model import RunnerPoolStatus
from controller.api.status.values import Instant
from controller.core.conditions import ConditionType
from controller.core.demand import Demand
from controller.core.overlap import Overlap
from controller.core.report import PoolReport
from tests.core.build import NOW, SERVER, pool, run_plan, snapshot

START = Instant(mono=NOW, wall=SERVER)

Said = tuple[str, str, str]
"""Status, reason and message of a condition."""


@cache
def healthy() -> PoolReport:
    """The report of a pool that serves an empty queue."""
    return run_plan([pool()], snapshot()).reports[pool().uid]


def report(**changes: Any) -> PoolReport:
    """The same with changes."""
    return replace(healthy(), **changes)


def remembering(**changes: Any) -> PoolReport:
    """The same with other things in its memory."""
    return report(memory=replace(healthy().memory, **changes))


def asked(**changes: Any) -> Demand:
    """What the pool is asked for, with changes."""
    return replace(healthy().demand, **changes)


def built(
    of: PoolReport,
    *,
    previous: RunnerPoolStatus | None = None,
    overlaps: Sequence[Overlap] = (),
    usd_per_second: dict[str, float] | None = None,
    now: Instant = START,
) -> RunnerPoolStatus:
    """The status of a pool."""
    return build_status(
        of,
        previous=previous or RunnerPoolStatus(),
        overlaps=overlaps,
        usd_per_second=usd_per_second or {},
        start=START,
        now=now,
    )


def said(of: PoolReport, *, overlaps: Sequence[Overlap] = ()) -> dict[ConditionType, Said]:
    """What each condition says."""
    conditions = built(of, overlaps=overlaps).conditions or []
    return {one.type: (one.status, str(one.reason), one.message) for one in conditions}


def differences(of: PoolReport, *, overlaps: Sequence[Overlap] = ()) -> dict[ConditionType, Said]:
    """Those conditions that say another thing than a healthy pool's."""
    fine = said(healthy())
    return {type_: now for type_, now in said(of, overlaps=overlaps).items() if now != fine[type_]}
