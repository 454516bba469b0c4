"""One pool's launches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from controller.core import allowance
from controller.core.actions import Launch
from controller.core.backoff import Backoff
from controller.core.capacity import (
    Capacity,
    Offer,
    flavors_to_launch,
    ready_to_launch,
    space,
    to_replace,
    wanted_warm,
)
from controller.core.demand import Demand
from controller.core.naming import fresh_names
from controller.core.retire.choose import Retirements
from controller.core.runners import Runner
from controller.core.suspect import Suspected
from controller.core.suspicion import Suspicions
from controller.core.view import PoolView


@dataclass(frozen=True, slots=True, kw_only=True)
class Launches:
    """What is launched.

    Attributes:
        actions: Launches.
        trusted: How many queued jobs wait for a runner, and are neither under suspicion nor
            about to be read for it.
        taken: How many queued jobs seem to be taken by now.
        held_by: What keeps more from being launched now; None where nothing does.
        suspicions: With the start that these launches are for jobs under suspicion.
    """

    actions: Sequence[Launch]
    trusted: int
    taken: int
    held_by: Backoff | None
    suspicions: Suspicions


@dataclass(frozen=True, slots=True)
class Decisions:
    """What a pass has decided for one pool, by its share of the queue.

    Attributes:
        demand: The pool's share of the queue.
        suspected: The same, divided by suspicion.
        retirements: What is ended.
        launches: What is launched.
    """

    demand: Demand
    suspected: Suspected
    retirements: Retirements
    launches: Launches


def choose_launches(
    view: PoolView, retirements: Retirements, suspected: Suspected, offer: Offer, demand: Demand
) -> Launches:
    """Launch what is missing, within ``maxRunners``, each on the first flavor that may be tried.

    Args:
        view: What is known of the pool.
        retirements: What is ended: launches replace none of it that is still wanted.
        suspected: The pool's queue, divided by suspicion.
        offer: Which flavors may be launched.
        demand: The pool's share of the queue.
    """
    pool, now, left, after = view.pool, view.now, retirements.left, retirements.after
    taken = taken_unseen(view.runners, demand)
    trusted = waiting_for_a_runner(suspected, taken, now)
    staying = len(left.usable) - len(to_replace(pool, left, view.memory.longest_job, now))
    for_trusted = max(0, trusted + wanted_warm(pool) - staying)
    missing = for_trusted + starts_under_suspicion(suspected, left, trusted, now)
    known = suspected.suspicions
    if missing <= 0 or not ready_to_launch(view):
        return Launches(actions=(), trusted=trusted, taken=taken, held_by=None, suspicions=known)
    wanted = max(0, min(missing, space(view, left.live, after.limit)))
    choice = flavors_to_launch(wanted, left, offer, after.backoffs, now)
    names = fresh_names(pool, view.controller_id, view.entropy)
    actions = [Launch(pool, flavor, name) for flavor, name in zip(choice.flavors, names, strict=False)]
    held = len(actions) < wanted or missing > wanted
    if len(actions) > for_trusted:
        known = allowance.started(known, suspected.divided, actions[-1].name, now)
    return Launches(
        actions=actions,
        trusted=trusted,
        taken=taken,
        held_by=choice.held_by if held else None,
        suspicions=known,
    )


def taken_unseen(runners: Iterable[Runner], demand: Demand) -> int:
    """Return how many queued jobs our runners have taken since the queue was read.

    1. The queue is read: job J is queued.
    2. Our idle runner R takes J.
    3. The runners are read: R is busy. Until the queue is read again, J would look unserved although R
       has it, and a second runner would be launched. Where the queue has named R's job, that job was
       not among the queued ones.
    """
    if not demand.queued:
        return 0
    found = 0
    for runner in runners:
        track = runner.track
        if track.taken_at is not None and track.workflow_job is None and track.taken_at > demand.asked_at:
            found += 1
    return found


def waiting_for_a_runner(suspected: Suspected, taken: int, now: float) -> int:
    """Return how many queued jobs wait for a runner.

    Jobs under suspicion are not among them, nor are those that are about to be read for it.

    Args:
        suspected: The pool's queue, divided by suspicion.
        taken: How many queued jobs seem to be taken by now (:func:`taken_unseen`).
        now: Monotonic seconds.
    """
    questioned = allowance.in_question(suspected.suspicions, now)
    return max(0, sum([job.id not in questioned for job in suspected.divided.trusted]) - taken)


def starts_under_suspicion(suspected: Suspected, left: Capacity, trusted: int, now: float) -> int:
    """Return how many runners may be started to see whether jobs under suspicion are given out by now."""
    if not suspected.divided.groups:
        return 0
    return allowance.count_starts(
        suspected.divided, spare=len(left.usable) - trusted, idle=bool(left.idle), now=now
    )
