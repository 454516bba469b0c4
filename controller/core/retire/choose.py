"""One pool's retirements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from controller.core.actions import Retire
from controller.core.backoff import Limit
from controller.core.capacity import Capacity, Offer, space
from controller.core.demand import Demand, can_launch
from controller.core.learn import Learned
from controller.core.model import Pool
from controller.core.naming import spec_digest
from controller.core.reasons import Reason
from controller.core.retire.consequences import Consequences, follow
from controller.core.retire.surplus import (
    MayRetire,
    Surplus,
    excess,
    give_back,
    idle_too_long,
    warm_runners,
    worn_out,
)
from controller.core.retire.why import LEFT_ALONE, may_retire, why_retire
from controller.core.runners import Runner
from controller.core.view import PoolView


@dataclass(frozen=True, slots=True, kw_only=True)
class Retirements:
    """What is ended, and what that leaves.

    Attributes:
        actions: Retirements.
        left: What the pool has without these runners: launches are chosen by it.
        after: Back-offs, tracks, the Hub's limit, and what people hear of.
        surplus: Since when the pool has had more than it wants.
    """

    actions: Sequence[Retire]
    left: Capacity
    after: Consequences
    surplus: Surplus


def choose_retirements(
    view: PoolView, learned: Learned, capacity: Capacity, offer: Offer, demand: Demand
) -> Retirements:
    """End what must not go on: past a deadline, without its other half, unfit for the spec,
    worn out, or surplus.

    Args:
        view: What is known of the pool.
        learned: What it has learned.
        capacity: What it has.
        offer: Which flavors may be launched.
        demand: Its share of the queue.
    """
    pool, now, tracks = view.pool, view.now, learned.tracks
    after = Consequences(backoffs=learned.backoffs, tracks=tracks, limit=learned.limit)
    surplus = Surplus(None, view.memory.gave_back_at)
    if not view.runners:
        return Retirements(actions=(), left=capacity, after=after, surplus=surplus)

    def may(runner: Runner) -> bool:
        return may_retire(runner, tracks[runner.name], view.snapshot, now)

    chosen: list[tuple[Runner, Reason]] = _must_end(view, capacity, demand, may)
    for runner, reason in chosen:
        after = follow(after, pool, runner, reason, offered=offer.flavors, billed=learned.billed, now=now)
    left = capacity.without([runner for runner, _ in chosen])
    old = _worn_out(view, left, after.limit, may)
    left = left.without(old)
    chosen += [(runner, Reason.WarmRecycled) for runner in old]
    if evidence_complete(view, demand):
        found, surplus = _surplus(view, left, demand, may)
        left = left.without([runner for runner, _ in found])
        chosen += found
    actions = [retirement(pool, runner, reason) for runner, reason in chosen]
    return Retirements(actions=actions, left=left, after=after, surplus=surplus)


def evidence_complete(view: PoolView, demand: Demand) -> bool:
    """Return whether everything that the pool may be wanted for was read: else nothing is surplus."""
    return (
        demand.complete
        and view.github is not None
        and view.github.complete
        and view.hub is not None
        and view.hub.complete
    )


def retirement(pool: Pool, runner: Runner, reason: Reason) -> Retire:
    """Return the action that ends a runner."""
    registration, hf_job = runner.registration, runner.hf_job
    return Retire(
        pool_uid=pool.uid,
        name=runner.name,
        scope=runner.footprint.registrations,
        account=runner.footprint.account,
        registration_id=registration.id if registration and not runner.track.deregistered else None,
        # What another user made may be a copy: without its registration ours ends by itself, a copy
        # is not ours to end.
        hf_job_id=hf_job.id if hf_job and not hf_job.foreign else None,
        flavor=runner.flavor,
        pool=pool.key,
        reason=reason,
    )


def _must_end(
    view: PoolView, capacity: Capacity, demand: Demand, may: MayRetire
) -> list[tuple[Runner, Reason]]:
    """Return the runners that must end whatever is wanted."""
    pool, spec = view.pool, spec_digest(view.pool)
    all_suspected = demand.suspected == len(demand.queued)
    patient = warm_runners(pool, capacity) if all_suspected else frozenset()
    found = []
    for runner in view.runners:
        if runner.phase in LEFT_ALONE:
            continue
        reason = why_retire(
            pool,
            runner,
            snapshot=view.snapshot,
            spec=spec,
            oldest_wait=demand.oldest_wait,
            now=view.now,
            patient=runner.name in patient,
        )
        if reason is not None and may(runner):
            found.append((runner, reason))
    return found


def _worn_out(view: PoolView, left: Capacity, limit: Limit | None, may: MayRetire) -> Sequence[Runner]:
    pool = view.pool

    def none_can_come() -> bool:
        if any(runner.retiring for runner in view.runners):
            return False
        return space(view, left.live, limit) <= 0 or not can_launch(pool, view.snapshot)

    return worn_out(
        pool,
        left,
        longest_job=view.memory.longest_job,
        may_retire=may,
        none_can_come=none_can_come,
        now=view.now,
    )


def _surplus(
    view: PoolView, left: Capacity, demand: Demand, may: MayRetire
) -> tuple[list[tuple[Runner, Reason]], Surplus]:
    """Return what nobody wants any more, the cheapest to lose first. A queue that could not
    be read may want it all.
    """
    pool, memory, now, queued = view.pool, view.memory, view.now, len(demand.queued)

    def too_many(capacity: Capacity) -> int:
        return excess(pool, capacity, queued=queued, longest_job=memory.longest_job, now=now)

    before = Surplus(memory.surplus_since, memory.gave_back_at)
    more = too_many(left)
    given_back, surplus = give_back(left, before, excess=more, may_retire=may, now=now)
    if given_back:
        left = left.without([runner for runner, _ in given_back])
        more = too_many(left)
    idle = idle_too_long(pool, left, excess=more, may_retire=may, now=now)
    return [*given_back, *((runner, Reason.IdleDeadline) for runner in idle)], surplus
