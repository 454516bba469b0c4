"""When a status is written, and what is told of a change."""

from __future__ import annotations

from typing import Literal

import pytest

from controller.api.status.changes import QUIET, TICKING_AFTER, Due, Published, due, transition
from controller.api.status.model import Condition, Cost, Counts, RunnerPoolStatus
from controller.core.conditions import ConditionType
from controller.core.reasons import Reason

AT = 1_000.0


def status(
    ready: Literal["True", "False", "Unknown"] = "True",
    reason: Reason = Reason.Serving,
    *,
    type_: ConditionType = ConditionType.READY,
    generation: int = 1,
    message: str = "A sentence.",
    queued: int = 0,
    usd: str = "1.00",
) -> RunnerPoolStatus:
    return RunnerPoolStatus(
        observed_generation=generation,
        conditions=[
            Condition(
                type=type_,
                status=ready,
                last_transition_time="2026-11-29T02:00:00Z",
                reason=reason,
                message=message,
            )
        ],
        counts=Counts(queued=queued),
        cost=Cost(usd_per_hour=usd),
    )


KNOWN = status()
CHANGES = [
    ("nothing", status(), 1e6, Due.NOT_NOW),
    ("an amount", status(usd="2.00"), TICKING_AFTER - 0.1, Due.NOT_NOW),
    ("an amount, later", status(usd="2.00"), TICKING_AFTER, Due.NOW),
    ("a count, at once", status(queued=1), 0.0, Due.SOON),
    ("a count", status(queued=1), QUIET - 0.1, Due.SOON),
    ("a count, later", status(queued=1), QUIET, Due.NOW),
    ("a message", status(message="Other words."), 0.0, Due.SOON),
    ("a condition's status", status("Unknown"), 0.0, Due.NOW),
    ("a condition's reason", status(reason=Reason.Paused), 0.0, Due.NOW),
    ("a condition's type", status(type_=ConditionType.STALLED), 0.0, Due.NOW),
    ("the generation", status(generation=2), 0.0, Due.NOW),
]


@pytest.mark.parametrize(
    ("new", "after", "when"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES]
)
def test_when_a_change_is_written(new: RunnerPoolStatus, after: float, when: Due) -> None:
    assert due(new, Published(status=KNOWN, at=AT), now=AT + after) is when


def test_what_was_never_written_is_written_now() -> None:
    assert due(status(), None, now=AT) is Due.NOW


@pytest.mark.parametrize(("now", "when"), [(AT + 9.9, Due.NOT_NOW), (AT + 10, Due.NOW)])
def test_after_a_write_that_failed_even_a_condition_waits(now: float, when: Due) -> None:
    known = Published(status=KNOWN, at=AT, not_before=AT + 10)
    assert due(status("False", Reason.SecretMissing), known, now=now) is when


NOTHING = RunnerPoolStatus()
BROKEN = status("False", Reason.SecretMissing)
TRANSITIONS = [
    ("no change", KNOWN, status(message="Other words.", queued=3), None),
    ("ready again", BROKEN, KNOWN, False),
    ("ready for another reason", KNOWN, status(reason=Reason.Paused), False),
    ("not ready", KNOWN, BROKEN, True),
    ("not ready for another reason", BROKEN, status("False", Reason.SecretForbidden), True),
    ("being drained", KNOWN, status("False", Reason.Draining), False),
    ("drained", KNOWN, status("False", Reason.Drained), False),
    ("not looked at", KNOWN, status("False", Reason.Pending), False),
    ("first sight of a healthy pool", NOTHING, KNOWN, None),
    ("first sight of one that was not looked at", NOTHING, status("False", Reason.Pending), None),
    ("first sight of a broken one", NOTHING, BROKEN, True),
    ("nothing is said of it any more", KNOWN, NOTHING, None),
    ("another condition", NOTHING, status("False", Reason.SecretMissing, type_=ConditionType.STALLED), None),
]


@pytest.mark.parametrize(
    ("before", "after", "warning"), [row[1:] for row in TRANSITIONS], ids=[row[0] for row in TRANSITIONS]
)
def test_which_change_is_an_event(
    before: RunnerPoolStatus, after: RunnerPoolStatus, warning: bool | None
) -> None:
    found = transition(before, after)
    assert (found.warning if found is not None else None) is warning
    assert found is None or found.ready is after.condition(ConditionType.READY)
