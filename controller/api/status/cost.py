"""What a pool costs, as an estimate from list prices."""

from __future__ import annotations

from collections.abc import Mapping

from controller.api.status.model import Cost
from controller.api.status.values import dollars
from controller.core.report import PoolReport


def cost(report: PoolReport, usd_per_second: Mapping[str, float]) -> Cost | None:
    """Return what a pool costs, None while a price that is needed for it is not known.

    A flavor that is not offered any more costs what it did, or nothing if it was never offered; one that is
    offered without a price may cost anything.

    Args:
        report: The pool after the pass.
        usd_per_second: Prices by flavor, as far as they are known now.
    """
    usd = {**report.memory.usd, **usd_per_second}
    priced = [usd[flavor] for flavor in report.pool.flavors if flavor in usd]
    if not priced or any(flavor not in usd for flavor in report.offered):
        return None
    return Cost(
        usd_per_hour=dollars(report.usd_per_hour),
        max_usd_per_hour=dollars(max(priced) * 3600 * report.pool.max_runners),
        worst_case_usd=dollars(report.worst_case_usd),
        spent_usd=dollars(report.memory.spent_usd),
    )
