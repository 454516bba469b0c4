"""When a status is written, and which change of it is an Event."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from controller.api.status.model import Condition, RunnerPoolStatus
from controller.core.conditions import ConditionType
from controller.core.reasons import Reason

QUIET: Final = 2.0
"""Seconds between two writes of one pool's status, unless a condition changes."""

TICKING_AFTER: Final = 60.0
"""Seconds after which a status is written although only amounts that grow by themselves have changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What people see of a pool.

    Attributes:
        status: Its status.
        at: Monotonic seconds of the last write, or of the first try of one.
        not_before: Monotonic seconds before which no other write is tried, since the last one failed.
    """

    status: RunnerPoolStatus
    at: float
    not_before: float = 0.0


class Due(Enum):
    """When a status is to be written."""

    NOW = auto()
    SOON = auto()
    """When :data:`QUIET` is over."""
    NOT_NOW = auto()
    """Not before something else changes, or time passes: nobody waits for it."""


def due(status: RunnerPoolStatus, published: Published | None, *, now: float) -> Due:
    """Return when a status is to be written.

    Args:
        status: The newest.
        published: What people see; None before this process has written, or tried to.
        now: Monotonic seconds.
    """
    if published is None:
        return Due.NOW
    if now < published.not_before or status == published.status:
        return Due.NOT_NOW
    if _without_amounts(status) == _without_amounts(published.status):
        return Due.NOW if now - published.at >= TICKING_AFTER else Due.NOT_NOW
    if _what_tools_wait_for(status) != _what_tools_wait_for(published.status):
        return Due.NOW
    return Due.NOW if now - published.at >= QUIET else Due.SOON


def _without_amounts(status: RunnerPoolStatus) -> RunnerPoolStatus:
    """Return a status without what changes by the mere passing of time."""
    return status.model_copy(update={"cost": None})


def _what_tools_wait_for(status: RunnerPoolStatus) -> tuple[int, list[tuple[ConditionType, str, Reason]]]:
    """Return what ``kubectl wait``, Helm, Flux and Argo CD judge by."""
    return status.observed_generation, [(c.type, c.status, c.reason) for c in status.conditions or ()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A pool became ready, or not ready for another reason.

    Attributes:
        ready: Its condition now.
        warning: Somebody should look at it.
    """

    ready: Condition
    warning: bool


def transition(before: RunnerPoolStatus, after: RunnerPoolStatus) -> Transition | None:
    """Return what is told of a change of status as an Event, None if nothing is.

    Args:
        before: What people saw.
        after: What they see now.
    """
    was, ready = before.condition(ConditionType.READY), after.condition(ConditionType.READY)
    if ready is None or (was is not None and (was.status, was.reason) == (ready.status, ready.reason)):
        return None
    if was is None and (ready.status == "True" or ready.reason is Reason.Pending):
        return None  # first sight of a healthy pool, or of one that was not looked at: nothing happened
    expected = (Reason.Pending, Reason.Draining, Reason.Drained)
    return Transition(ready=ready, warning=ready.status != "True" and ready.reason not in expected)
