"""What a process that has just started may say of a pool."""

from __future__ import annotations

from controller.core.report import PoolReport

STATUS_STANDS = 60.0
"""Seconds after the start for which the status of an earlier process stands, while not
everything was looked at."""


def earlier_status_stands(
    report: PoolReport, *, generation: int | None, written: bool, running_for: float
) -> bool:
    """Return whether the status that an earlier process wrote of a pool should stand for now.

    A controller that has just started has not looked at everything yet. Calling every pool "not
    ready" for these few seconds, and ready again after them, would wake everybody who waits for
    conditions at each restart.

    Args:
        report: What this pass found.
        generation: Of the pool's spec, as the status that people see now names it; None if there is none.
        written: This process has written a status of the pool before.
        running_for: Seconds since this process started.
    """
    if report.observed or written:
        return False
    return generation == report.pool.generation and running_for < STATUS_STANDS
