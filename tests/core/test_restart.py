"""How long the status that an earlier process wrote stands."""

from __future__ import annotations

import pytest

from controller.core.report import PoolReport
from controller.core.restart import STATUS_STANDS, earlier_status_stands
from tests.core.build import pool, run_plan, snapshot


def unseen() -> PoolReport:
    """What the first pass of a process reports that has read no list yet."""
    of = pool(generation=3)
    return run_plan([of], snapshot(jobs=None, registrations=None, hf_jobs=None)).reports[of.uid]


@pytest.mark.parametrize(
    ("generation", "written", "running_for", "stands"),
    [
        (3, False, 0.0, True),
        (3, False, STATUS_STANDS - 1, True),
        (3, False, STATUS_STANDS, False),
        (3, True, 0.0, False),
        (2, False, 0.0, False),
        (None, False, 0.0, False),
    ],
    ids=["at once", "just in time", "too long ago", "we have written", "of an older spec", "never written"],
)
def test_it_stands_for_a_minute_while_not_everything_was_looked_at(
    generation: int | None, written: bool, running_for: float, stands: bool
) -> None:
    report = unseen()
    assert not report.observed
    assert (
        earlier_status_stands(report, generation=generation, written=written, running_for=running_for)
        is stands
    )


def test_it_stands_no_longer_once_everything_was_looked_at() -> None:
    of = pool(generation=3)
    report = run_plan([of], snapshot()).reports[of.uid]
    assert not earlier_status_stands(report, generation=3, written=False, running_for=0.0)
