"""Judges what statuses say about money: the invariant ``money``, as far as the controller keeps books today.

``status.cost.spentUsd`` is an estimate of what ended HF Jobs cost, and starts at nothing with each process.
So it is bounded from above only: by the time from each HF Job's creation to its end, at its price, with some
seconds for lists that lag.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from controller.simulate.check import Judge

SLACK = 90.0
"""Seconds by which the end of an HF Job that tells none may be guessed too late: a list's age, and
the time between lists."""

ROUNDING = 0.01
"""US dollars: statuses round."""


def overspent(judge: Judge, uid: str, status: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the cost that a pool's status tells, or None."""
    assert judge.sim is not None
    said = float(status.get("cost", {}).get("spentUsd", 0.0))
    now = judge.sim.hub.platform.now
    most = sum(
        ((job.ended_at or now) - job.created_at + SLACK) * job.rate / 60 / 1_000_000
        for job in judge.launched
        if (job.labels or {}).get("pool-uid") == uid
    )
    return f"pool {uid} says ${said:.4f}, where ${most:.4f} is the most" if said > most + ROUNDING else None
