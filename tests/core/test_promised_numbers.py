"""Numbers that people can observe, or that documentation promises: each test names the number, so that
whoever changes one meets its promise.
"""

from __future__ import annotations

import pytest

from controller.core import (
    allowance,
    backoff,
    causes,
    contradictions,
    credentials,
    demand,
    drained,
    evidence,
    explain,
    groups,
    intents,
    learn,
    ledger,
    losses,
    measure,
    money,
    overlap,
    passed_over,
    restart,
    retry,
    stop_switch,
    suspicion,
    warm,
)
from controller.core.retire import strays, surplus, why
from controller.core.stop_switch import ALL, read_stops

MINUTE, HOUR, DAY = 60, 3_600, 86_400


@pytest.mark.parametrize(
    ("seconds", "promised"),
    [
        (allowance.PAUSES, (0, 10 * MINUTE, 45 * MINUTE)),
        (allowance.READ_WITHIN, 30),
        (backoff.DELAYS, (5, 15, MINUTE, 3 * MINUTE, 10 * MINUTE)),
        (backoff.LIMIT_KEPT, HOUR),
        (contradictions.SHORTEST_SCHEDULING, MINUTE),
        (contradictions.SHORTEST_REGISTRATION, 30),
        (contradictions.SHORTEST_IDLE, MINUTE),
        (contradictions.LEAST_WARM, 10 * MINUTE),
        (credentials.EXPIRES_SOON, 14 * DAY),
        (demand.QUEUE_CAP_SECONDS, DAY),
        (demand.GONE_AFTER, 10 * MINUTE),
        (drained.DRAIN_REQUEST_SECONDS, MINUTE),
        (drained.PATIENCE, 30),
        (drained.LONGEST, 6 * DAY),
        (evidence.LIST_LAG, MINUTE),
        (learn.REFUSAL_DELAYS, (30, MINUTE, 2 * MINUTE, 5 * MINUTE)),
        (ledger.CLOCK_ERROR, 1),
        (ledger.KEPT_FOR, 15 * MINUTE),
        (losses.LOOK_AFTER, MINUTE),
        (losses.LOOK_AT_LEAST, 5 * MINUTE),
        (losses.ASK_A_PERSON, 10 * MINUTE),
        (losses.AWAITED, DAY),
        (losses.TOLD, HOUR),
        (losses.NAMED_WITHIN, 15 * MINUTE),
        (measure.KEPT_FOR, 15 * MINUTE),
        (money.SAFETY_SECONDS, MINUTE),
        (passed_over.HAND_OUT, MINUTE),
        (passed_over.GONE_KEPT, HOUR),
        (passed_over.SPAN_KEPT, 5 * MINUTE),
        (passed_over.READ_AGAIN, 5 * MINUTE),
        (restart.STATUS_STANDS, MINUTE),
        (retry.FAIL_FAST_WITHIN, 10 * MINUTE),
        (retry.SAME_MOMENT, 5),
        (strays.STRAY_GRACE, 5 * MINUTE),
        (surplus.GIVE_BACK_HOLD, 20),
        (surplus.FLAP_WINDOW, 2 * MINUTE),
        (suspicion.HOUR, HOUR),
        (suspicion.REMEMBERED, DAY),
        (why.ENDING_GRACE, 5 * MINUTE),
        (why.LOST_GRACE, 15 * MINUTE),
    ],
)
def test_so_many_seconds_are_promised(seconds: object, promised: object) -> None:
    assert seconds == promised


@pytest.mark.parametrize(
    ("limit", "promised"),
    [
        (backoff.STALLED_AFTER, 4),
        (backoff.MOST_BLAMED, 16),
        (causes.MOST_CHECKED, 3),
        (contradictions.LONGEST_NAME, 63),
        (explain.MOST_UNREADABLE, 5),
        (groups.MOST_NAMES, 400),
        (intents.MOST_INTENTS, 1_000),
        (intents.MOST_TERMS, 10**12),
        (losses.MOST_WATCHED, 256),
        (measure.MOST_REMEMBERED, 1_000),
        (overlap.MOST, 5),
        (passed_over.SHARE_OF_IDLE, 0.5),
        (passed_over.MOST_FOLLOWED, 256),
        (passed_over.MOST_READ, 8),
        (stop_switch.MOST_WHY, 300),
        (stop_switch.MOST_ACCOUNT, 96),
        (stop_switch.MOST_STOPS, 100),
        (stop_switch.MOST_SHOWN, 3),
        (suspicion.MOST_SUSPICIONS, 32),
        (suspicion.MOST_STARTS, 4),
        (warm.KEPT_SHARE, 0.5),
        (warm.KEPT_AT_MOST, 0.9),
        (warm.ROOM, 2),
    ],
)
def test_so_many_are_promised(limit: float, promised: float) -> None:
    assert limit == promised


def test_of_a_reason_to_stop_launches_the_first_300_characters_are_shown() -> None:
    (stop,) = read_stops({ALL: "x" * 400}, where="here", undo={})
    assert stop.why == "x" * 299 + "…"


def test_of_an_account_that_is_stopped_the_first_96_characters_are_shown() -> None:
    (stop,) = read_stops({f"account.{'x' * 100}": ""}, where="here", undo={})
    assert stop.account == "x" * 95 + "…"
