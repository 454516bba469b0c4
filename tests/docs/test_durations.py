"""The durations that pages promise are those of the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.adapters.kube.election import Timing
from controller.adapters.secret_cache import FRESH_FOR
from controller.observe import secrets, stop_switch
from controller.reconcile import loop

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("of_the_code", "seconds", "page", "promise"),
    [
        (loop.INTERVAL, 5, "architecture.md", "at least every five seconds"),
        (FRESH_FOR, 30, "architecture.md", "looks again every 30 seconds"),
        (secrets.INTERVAL, 5, "architecture.md", "the Secret in question is read every five seconds"),
        (stop_switch.LOOK_INTERVAL, 2, "architecture.md", "which it reads every two seconds"),
        (stop_switch.LOOK_INTERVAL, 2, "operations/pause.md", "Within about two seconds"),
        (Timing().duration, 15, "operations/leadership.md", "`--lease-duration` | 15 |"),
        (Timing().renew_deadline, 10, "operations/leadership.md", "`--lease-renew-deadline` | 10 |"),
        (Timing().retry, 2, "operations/leadership.md", "`--lease-retry-period` | 2 |"),
    ],
)
def test_a_duration_that_a_page_names_is_the_codes(
    of_the_code: float, seconds: float, page: str, promise: str
) -> None:
    assert promise in " ".join((DOCS / page).read_text(encoding="utf-8").split())
    assert of_the_code == seconds
