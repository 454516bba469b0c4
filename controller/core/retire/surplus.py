"""Runners that nobody wants any more, and warm ones that are to be replaced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from controller.core.capacity import Capacity, idle_for, to_replace, wanted_warm
from controller.core.lifecycle import Phase
from controller.core.model import Pool
from controller.core.reasons import Reason
from controller.core.runners import Runner
from controller.core.warm import idles_at_most

GIVE_BACK_HOLD = 20.0
"""Seconds that surplus must last when some was given back within :data:`FLAP_WINDOW`: demand that
flaps must not thrash."""

FLAP_WINDOW = 120.0

MayRetire = Callable[[Runner], bool]
"""Whether ending a runner could be tried now (:func:`controller.core.retire.why.may_retire`)."""


@dataclass(frozen=True, slots=True)
class Surplus:
    """Since when a pool has had more than it wants.

    Attributes:
        since: Monotonic seconds; None while it has not, or while lists do not tell.
        gave_back_at: Monotonic seconds when a runner was last given back; None before the first.
    """

    since: float | None = None
    gave_back_at: float | None = None


def warm_runners(pool: Pool, capacity: Capacity) -> frozenset[str]:
    """Return the idle runners that ``minIdle`` asks for, those that have idled for the shortest, by name."""
    if not pool.min_idle:
        return frozenset()
    idle = sorted(capacity.idle, key=lambda runner: (-runner.track.since, runner.name))
    return frozenset(runner.name for runner in idle[: pool.min_idle])


def worn_out(
    pool: Pool,
    capacity: Capacity,
    *,
    longest_job: float,
    may_retire: MayRetire,
    none_can_come: Callable[[], bool],
    now: float,
) -> Sequence[Runner]:
    """Return the warm runners whose replacement is online, and one by one those for whom
    none can come before.

    Args:
        pool: The pool.
        capacity: What it has.
        longest_job: Seconds for which a workflow job of it was seen to run at the longest.
        may_retire: Whether ending a runner could be tried now.
        none_can_come: Whether a replacement can neither be launched nor is on its way, once
            nothing is being ended.
        now: Monotonic seconds.
    """
    old = [runner for runner in to_replace(pool, capacity, longest_job, now) if may_retire(runner)]
    if not old:
        return ()
    spare = len(capacity.idle) - wanted_warm(pool)
    late = {runner.name for runner in idle_for(capacity, idles_at_most(pool.deadlines, longest_job), now)}
    found: list[Runner] = []
    for runner in old:
        if spare > 0 or runner.name in late:
            found.append(runner)
            spare -= 1
        elif all_idle(capacity.without(found)) and none_can_come():
            return [*found, runner]
    return found


def all_idle(capacity: Capacity) -> bool:
    """Return whether none of these runners is still on its way."""
    return all(runner.phase is Phase.IDLE for runner in capacity.usable.values())


def excess(pool: Pool, capacity: Capacity, *, queued: int, longest_job: float, now: float) -> int:
    """Return by how many runners the capacity exceeds what is wanted, or what ``maxRunners`` allows.

    Only whole runners count. A half may be what a predecessor, or a launch in doubt, has left: it keeps
    others from being launched until it is collected, but must not cost a runner that is on its way.

    And every queued job counts, also those that seem to be taken by now
    (:func:`controller.core.launch.taken_unseen`): a process that has just started sees a runner busy for the
    first time, and cannot know whether its job is among those that were read. In doubt nothing more is
    launched, and nothing is given back; the next look at the queue shows it.

    Args:
        pool: The pool.
        capacity: What it has.
        queued: Jobs that it is to serve.
        longest_job: Seconds for which a workflow job of it was seen to run at the longest.
        now: Monotonic seconds.
    """
    whole = sum(
        runner.hf_job is not None and runner.registration is not None for runner in capacity.usable.values()
    )
    whole -= len(to_replace(pool, capacity, longest_job, now))  # else their replacements would be given back
    return max(whole - queued - wanted_warm(pool), capacity.staying - pool.max_runners)


def give_back(
    capacity: Capacity, before: Surplus, *, excess: int, may_retire: MayRetire, now: float
) -> tuple[Sequence[tuple[Runner, Reason]], Surplus]:
    """Give back capacity that is not online yet, what is not billed first. Idle runners stay:
    they are paid for already.

    Args:
        capacity: What the pool has.
        before: From the last pass.
        excess: By how many runners that is too much, on complete evidence.
        may_retire: Whether ending a runner could be tried now.
        now: Monotonic seconds.
    """
    if excess <= 0:
        return (), Surplus(None, before.gave_back_at)
    since = before.since if before.since is not None else now
    flapping = before.gave_back_at is not None and now - before.gave_back_at < FLAP_WINDOW
    if flapping and now - since < GIVE_BACK_HOLD:
        return (), Surplus(since, before.gave_back_at)
    coming = (Phase.SCHEDULING, Phase.STARTING)
    spare = [r for r in capacity.usable.values() if r.phase in coming and may_retire(r)]
    spare.sort(key=lambda r: (r.phase is not Phase.SCHEDULING, r.age, r.name))
    found = [
        (r, Reason.SurplusUnbilled if r.phase is Phase.SCHEDULING else Reason.SurplusStarting)
        for r in spare[:excess]
    ]
    return found, Surplus(since, now if found else before.gave_back_at)


def idle_too_long(
    pool: Pool, capacity: Capacity, *, excess: int, may_retire: MayRetire, now: float
) -> Sequence[Runner]:
    """Return idle runners that have waited for longer than ``deadlines.idle``, but for those that are wanted.

    Args:
        pool: The pool.
        capacity: What it has.
        excess: By how many runners that is too much, on complete evidence.
        may_retire: Whether ending a runner could be tried now.
        now: Monotonic seconds.
    """
    if excess <= 0:
        return ()
    deadline = pool.deadlines.idle
    idle = [r for r in capacity.idle if now - r.track.since > deadline and may_retire(r)]
    idle.sort(key=lambda r: (r.track.since, r.name))
    return idle[:excess]
