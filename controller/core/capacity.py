"""What a pool has and may still have: runners that can take a job, and room for more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from controller.core.backoff import Backoff, Choice, Limit, choose_flavors
from controller.core.demand import Room, can_launch
from controller.core.intents import MOST_INTENTS, PoolIntents
from controller.core.labels import nearest
from controller.core.lifecycle import CAN_TAKE_A_JOB, Phase
from controller.core.model import Disposition, Failure, Pool
from controller.core.reasons import Reason
from controller.core.runners import Runner
from controller.core.view import PoolView
from controller.core.warm import may_idle


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a pool has.

    Attributes:
        usable: Runners that can take a job and are not being ended, by name.
        live: Runners that count against ``maxRunners``.
        staying: Runners with an HF Job that are not being ended.
    """

    usable: Mapping[str, Runner]
    live: int
    staying: int

    @property
    def idle(self) -> Sequence[Runner]:
        """Runners that are online and have no job."""
        return [runner for runner in self.usable.values() if runner.phase is Phase.IDLE]

    def without(self, ended: Collection[Runner]) -> Capacity:
        """Return what is left when these runners are ended; they are live until they have."""
        if not ended:
            return self
        names = {runner.name for runner in ended}
        return replace(
            self,
            usable={name: runner for name, runner in self.usable.items() if name not in names},
            staying=self.staying - sum(runner.hf_job is not None for runner in ended),
        )


@dataclass(frozen=True, slots=True)
class Offer:
    """A pool's flavors.

    Attributes:
        flavors: Those that the Hub offers, in order of preference; all of them while that is not known.
        unknown: That some of the spec's are not offered; None while all are.
    """

    flavors: tuple[str, ...]
    unknown: Failure | None = None


def capacity_of(runners: Sequence[Runner]) -> Capacity:
    """Return what a pool has, of all its runners."""
    live = staying = 0
    usable = {}
    for runner in runners:
        live += runner.live
        if runner.retiring:
            continue
        staying += runner.hf_job is not None
        if runner.phase in CAN_TAKE_A_JOB and not runner.unconfirmed:
            usable[runner.name] = runner
    return Capacity(usable, live, staying)


def offer_of(pool: Pool, offered: Collection[str]) -> Offer:
    """Return which of a pool's flavors may be launched.

    Args:
        pool: The pool.
        offered: All flavors that its endpoint lists, also those without a price. Without a list none is unknown: it
            is for prices and typing errors, not for permission.
    """
    if not offered:
        return Offer(pool.flavors)
    unknown = [flavor for flavor in pool.flavors if flavor not in offered]
    if not unknown:
        return Offer(pool.flavors)
    known = list(offered)
    hints = "; ".join(
        f"{flavor!r} is not offered"
        + (f", did you mean {' or '.join(near)}?" if (near := nearest(flavor, known)) else "")
        for flavor in unknown
    )
    flavors = tuple(flavor for flavor in pool.flavors if flavor in offered)
    message = f"spec.flavors: {hints}" + (f". Serving with {', '.join(flavors)}" if flavors else "")
    failure = Failure(reason=Reason.UnknownFlavor, message=message, disposition=Disposition.PERSON)
    return Offer(flavors, failure)


def wanted_warm(pool: Pool) -> int:
    """Return how many runners are wanted beyond the queue.

    None where nothing is to be launched, so that those that are there end when they have idled for long.
    """
    return 0 if pool.held else pool.min_idle


def idle_for(capacity: Capacity, seconds: float, now: float) -> Sequence[Runner]:
    """Return the runners that have idled for longer, those that have for the longest first."""
    since = now - seconds
    found = [runner for runner in capacity.idle if runner.track.since < since]
    return sorted(found, key=lambda runner: (runner.track.since, runner.name))


def to_replace(pool: Pool, capacity: Capacity, longest_job: float, now: float) -> Sequence[Runner]:
    """Return the warm runners with too little of their lifetime left for a long job: replacements come first."""
    if not wanted_warm(pool):
        return ()
    return idle_for(capacity, may_idle(pool.deadlines, longest_job), now)


# ------------------------------------------------------------------------------------------------------ room for more
def ready_to_launch(view: PoolView) -> bool:
    """Return whether the pool may launch and what exists is known, so that nothing is launched twice.

    The list of HF Jobs must be complete now: it bounds the spending. Registrations must have been seen once.
    """
    return (
        can_launch(view.pool, view.snapshot)
        and view.hub is not None
        and view.hub.complete
        and view.github is not None
        and view.github.usable
        and not _unwritten(view.intents, view.now)
        and not unlisted(view)
    )


def _unwritten(intents: PoolIntents, now: float) -> bool:
    """Return whether a launch could not be written down now: then none begins."""
    return intents.blocked is not None and now < intents.blocked.until


def unlisted(view: PoolView) -> bool:
    """Return whether somebody has launched without writing it down, and the lists need not show it yet."""
    after = view.intents.lists_after
    if after is None:
        return False
    lists = (view.github, view.hub)
    return any(seen is None or not seen.complete or seen.asked_at <= after for seen in lists)


def space(view: PoolView, live: int, limit: Limit | None) -> int:
    """Return how many more runners ``maxRunners``, the Hub and the room for intents in the pool's status allow."""
    found = view.pool.max_runners - live
    if found > 0:
        found = min(found, space_to_write(view))
    return found if limit is None else min(found, limit.space(live))


def space_to_write(view: PoolView) -> int:
    """Return for how many more intents the status has room.

    1. A thousand runners are launched and serve short jobs.  2. The lists' lag keeps their intents for a minute more.
    3. A thousand more jobs come. Planned all the same, their launches would be refused one by one, ten times a second.
    """
    begun = {runner.name for runner in view.runners if not runner.undisturbed}
    return max(0, MOST_INTENTS - len(begun | view.intents.open))


def flavors_to_launch(
    wanted: int,
    capacity: Capacity,
    offer: Offer,
    backoffs: Mapping[str, Backoff],
    now: float,
) -> Choice:
    """Choose flavors for this many launches (:func:`~controller.core.backoff.choose_flavors`)."""
    unproven = Counter(r.flavor for r in capacity.usable.values() if r.track.online_at is None)
    return choose_flavors(wanted, offer.flavors, backoffs, unproven, now)


def room_of(
    view: PoolView,
    capacity: Capacity,
    offer: Offer,
    backoffs: Mapping[str, Backoff],
    limit: Limit | None,
) -> Room:
    """Return how many more jobs the pool can take now; the free runners of one that leaves are about to end."""
    free = 0 if view.pool.stops_serving else len(capacity.usable)
    launches, more = 0, space(view, capacity.live, limit)
    if more > 0 and ready_to_launch(view):
        launches = len(flavors_to_launch(more, capacity, offer, backoffs, view.now).flavors)
    taken = [
        runner.track.taken_at
        for runner in view.runners
        if runner.track.workflow_job is None and runner.track.taken_at is not None
    ]
    return Room(free=free, taken=taken, launches=launches)
