"""One pool's plan: the stages in their order, with what each hands to the next
(:mod:`controller.core.plan`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from controller.core.actions import Action
from controller.core.backoff import POOL
from controller.core.capacity import Capacity, Offer, capacity_of, offer_of, room_of, unlisted
from controller.core.demand import Demand, Room
from controller.core.drained import Awaited, note_empty, what_is_awaited
from controller.core.explain import explain, failure_of
from controller.core.groups import missing_group, names_a_group
from controller.core.launch import Decisions, choose_launches
from controller.core.learn import Learned, learn
from controller.core.losses import Losses, follow_up, lost_unwatched
from controller.core.memory import PoolMemory
from controller.core.model import Observation
from controller.core.notices import Notice
from controller.core.report import PoolReport
from controller.core.retire.choose import choose_retirements
from controller.core.spending import known_prices, spending
from controller.core.suspect import suspect
from controller.core.variables import refused_variable, variables_seen
from controller.core.view import PoolView


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one pool before the queue is shared out among the pools of its namespace.

    Attributes:
        view: What the lists show.
        learned: What happened since the last pass.
        capacity: What it has.
        offer: Which of its flavors may be launched.
    """

    view: PoolView
    learned: Learned
    capacity: Capacity
    offer: Offer

    @property
    def room(self) -> Room:
        """How many more jobs the pool can take now."""
        learned = self.learned
        return room_of(self.view, self.capacity, self.offer, learned.backoffs, learned.limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlan:
    """One pool's part of a plan.

    Attributes:
        actions: What to do.
        notices: What people hear of once.
        memory: For the next pass.
        report: For its status and the metrics.
    """

    actions: Sequence[Action]
    notices: Sequence[Notice]
    memory: PoolMemory
    report: PoolReport


def know(view: PoolView) -> Known:
    """Take in what happened to a pool, and count what it has."""
    return Known(view, learn(view), capacity_of(view.runners), offer_of(view.pool, view.offered))


def plan_pool(known: Known, demand: Demand) -> PoolPlan:
    """Decide what is done for one pool, with its share of the queue."""
    view, learned, offer, pool = known.view, known.learned, known.offer, known.view.pool
    suspected = suspect(view, learned, demand)
    if suspected.count:
        demand = replace(demand, suspected=suspected.count)
    retirements = choose_retirements(view, learned, known.capacity, offer, demand)
    launches = choose_launches(view, retirements, suspected, offer, demand)
    decided = Decisions(demand, suspected, retirements, launches)
    losses, reruns, messages = follow_up(
        view.memory.losses,
        pool=pool,
        lost=[*learned.losses, *lost_unwatched(pool, view.runners, view.snapshot)],
        running=view.running,
        results=view.reruns,
        now=view.now,
        wall=view.wall,
    )
    notices = [
        *learned.notices,
        *retirements.after.notices,
        *(
            Notice(pool_uid=pool.uid, reason=one.reason, message=one.message, warning=one.warning)
            for one in messages
        ),
    ]
    memory = remember(view, learned, decided, losses)
    return PoolPlan(
        actions=[*retirements.actions, *launches.actions, *reruns],
        notices=notices,
        memory=memory,
        report=report(known, decided, memory),
    )


def remember(view: PoolView, learned: Learned, decided: Decisions, losses: Losses) -> PoolMemory:
    """Return what the next pass needs to know of a pool."""
    before, bill, retirements = view.memory, learned.bill, decided.retirements
    after = retirements.after
    return PoolMemory(
        backoffs=after.backoffs,
        surplus_since=retirements.surplus.since,
        gave_back_at=retirements.surplus.gave_back_at,
        draining_since=before.draining_since,
        drain_request=before.drain_request,
        drain_requested_at=before.drain_requested_at,
        spent_usd=before.spent_usd + sum(bill.usd.values()),
        unpriced_seconds=bill.unpriced_seconds,
        booked=bill.booked,
        losses=losses,
        tracks=after.tracks,
        usd=known_prices(view.pool, view.runners, view.usd),
        copies=learned.copies,
        empty_since=note_empty(
            view.pool,
            view.snapshot,
            runners=view.runners,
            open_places=view.intents.places,
            known=before.empty_since,
        ),
        suspicions=decided.launches.suspicions,
        longest_job=max(before.longest_job, longest_job(view, decided.demand.server_ahead)),
        limit=after.limit,
    )


def longest_job(view: PoolView, server_ahead: float | None) -> float:
    """Return for how many seconds the oldest job that runs now has been running; no more
    than a runner's whole life.

    Args:
        view: What is known of the pool.
        server_ahead: GitHub's clock less our monotonic one, in seconds; None while that is not known.
    """
    if server_ahead is None:
        return 0.0
    started = [
        runner.workflow_job.started_at
        for runner in view.runners
        if runner.workflow_job is not None and runner.workflow_job.started_at is not None
    ]
    if not started:
        return 0.0
    return min(max(0.0, view.now + server_ahead - min(started)), view.pool.deadlines.lifetime)


def report(known: Known, decided: Decisions, memory: PoolMemory) -> PoolReport:
    """Sum one pool's pass up."""
    view, offer, pool, snapshot = known.view, known.offer, known.view.pool, known.view.snapshot
    demand, suspected, launches = decided.demand, decided.suspected, decided.launches
    # Flavors that are not offered keep a pool from serving only where no other is left.
    mistakes = (
        missing_group(pool, snapshot),
        refused_variable(pool, snapshot),
        None if offer.flavors else offer.unknown,
    )
    failures = [failure for failure in mistakes if failure is not None]
    costs = spending(pool, view.runners, launches.actions, hub=view.hub, usd=view.usd, now=view.now)
    awaited = awaited_places(view, memory)
    return PoolReport(
        pool=pool,
        demand=demand,
        runners=view.runners,
        launching=len(launches.actions),
        waiting=explain(view, decided, failures),
        failures=failures,
        unknown_flavor=offer.unknown,
        offered=offer.flavors,
        backoff=launches.held_by or memory.backoffs.get(POOL),
        unwritten=view.intents.blocked,
        github=failure_of(view.github),
        hub=failure_of(view.hub),
        token_end=snapshot.token_ends.get(pool.source),
        github_seen_at=_seen_at(view.github),
        hub_seen_at=_seen_at(view.hub),
        observed=observed(view, demand),
        drained=awaited is not None and not awaited,
        awaited=awaited or (),
        usd_per_hour=costs.usd_per_hour,
        worst_case_usd=costs.worst_case_usd,
        memory=memory,
        ended=view.ended,
        bill=known.learned.bill,
        completed=view.completed,
        suspected=suspected.divided.groups,
        to_read=suspected.to_read,
        to_check=suspected.to_check,
    )


def awaited_places(view: PoolView, memory: PoolMemory) -> Sequence[Awaited] | None:
    """Return the places that keep the pool from going, if it is to go; None if it is not."""
    if not view.pool.leaving or memory.draining_since is None:
        return None
    return what_is_awaited(
        view.pool,
        view.snapshot,
        since=memory.draining_since,
        runners=view.runners,
        open_places=view.intents.places,
        unlisted=unlisted(view),
        empty_since=memory.empty_since,
        now=view.now,
        wall=view.wall,
    )


def observed(view: PoolView, demand: Demand) -> bool:
    """Return whether everything that the pool needs was seen at least once."""
    pool, snapshot = view.pool, view.snapshot
    if pool.refused is not None:
        return True  # nothing that a list could show changes what is said of it
    if not (_answered(view.github) and _answered(view.hub) and variables_seen(pool, snapshot)):
        return False
    if not (demand.complete or demand.unreadable):
        return False
    return not names_a_group(pool) or pool.footprint.registrations in snapshot.groups


def _answered(seen: Observation[Any] | None) -> bool:
    return seen is not None and seen.answered


def _seen_at(seen: Observation[Any] | None) -> float | None:
    """Return when the items were asked for; a list that never succeeded has none."""
    return seen.asked_at if seen is not None and seen.answered else None
