"""The plan of a pass: everything that is known in, everything to do out.

:func:`plan` is a pure function. It looks at all pools at once, because pools of one namespace share the jobs
that they match. Each pool goes through the same stages; a stage takes frozen values and returns one, and
nothing else passes between them. One value is filled in steps: a pool's ``Demand``, by the sharing of the
queue, and after that nobody changes it. The stages come in this order, because each needs what those before
it return:

1. :func:`~controller.core.view.view_pool`: a pool's own runners, joined from the lists that
   its credentials brought.
2. :func:`~controller.core.learn.learn`: what happened since the last pass. Back-offs and tracks
   must be up to date before anything is decided by them: a launch that has failed must hold back
   the next one in this very pass.
3. :func:`~controller.core.capacity.capacity_of`: what the pool has.
4. :func:`~controller.core.demand.match_demand`: the queue, shared out among the pools of a namespace. It asks
   each for its room, so all of them have learned and counted by then.
5. :func:`~controller.core.suspect.suspect`: which of a pool's jobs are given to nobody. Runners are not
   judged by those jobs, and few are launched for them.
6. :func:`~controller.core.retire.choose.choose_retirements`: what must end. It leaves less capacity, and
   perhaps a new back-off, which launches must respect: a runner that is retired because it never came online
   is replaced only after a pause.
7. :func:`~controller.core.launch.choose_launches`: what is missing, by what retirements have left.
8. :func:`~controller.core.losses.follow_up`: runs that lost a job, from the losses that were learned.
9. What is said of all that: :func:`~controller.core.explain.explain` gives each job that still waits a
   reason, by what is launched; :func:`~controller.core.spending.spending` counts the launches too;
   :func:`~controller.core.drained.what_is_awaited` says whether a pool that leaves may go.

Each pool goes through its stages behind a guard of its own: what goes wrong with one pool, for whatever its
services answered, ends that pool's part of the pass and no other's (:attr:`Plan.faults`). What is about
runners of no pool (:mod:`controller.core.retire.strays`) has a guard of its own, too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from controller.core.actions import Action, Retire
from controller.core.demand import Demand, Room, match_demand, view_queues
from controller.core.lifecycle import Track
from controller.core.memory import Memory
from controller.core.model import Pool
from controller.core.notices import Notice
from controller.core.pool_plan import Known, know, plan_pool
from controller.core.report import PoolReport
from controller.core.retire.strays import StrayKey, find_strays, stray_retirements
from controller.core.stop_switch import NO_SWITCH, StopSwitch
from controller.core.view import Lists, PlanInput, sort_lists, view_pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do, what to say, and what to remember.

    Attributes:
        actions: What to do.
        reports: By pool uid.
        notices: What to say once.
        memory: For the next pass.
        faults: Mistakes of ours, by the uid of the pool that each is about. Such a pool has no report, its
            memory is that of the last pass, and nothing is done for it.
        strays_fault: A mistake of ours about runners that no pool claims; nothing is done for them.
        switch: The stop switch by which it was planned.
    """

    actions: Sequence[Action]
    reports: Mapping[str, PoolReport]
    notices: Sequence[Notice]
    memory: Memory
    faults: Mapping[str, Exception] = field(default_factory=dict)
    strays_fault: Exception | None = None
    switch: StopSwitch = NO_SWITCH


def plan(given: PlanInput) -> Plan:
    """Decide what to do now. Pure: equal inputs give equal plans."""
    lists = sort_lists(given)
    pools = {pool.uid: pool for pool in sorted(given.pools, key=lambda pool: (pool.created_at, pool.uid))}
    guard = _Guard()
    known = guard.each(pools, lambda uid: know(view_pool(pools[uid], given, lists)))
    shared: dict[str, Demand] = {}
    for ours in _by_namespace(known.values()):
        shared |= share_queue(ours, given, lists, guard)
    known = {uid: one for uid, one in known.items() if uid in shared}
    planned = guard.each(known, lambda uid: plan_pool(known[uid], shared[uid]))

    stray_actions, strays, strays_fault = retire_strays(given, lists)
    memories = {uid: one for uid, one in given.memory.pools.items() if uid in guard.faults}
    memories |= {uid: one.memory for uid, one in planned.items()}
    return Plan(
        actions=[*(action for one in planned.values() for action in one.actions), *stray_actions],
        reports={uid: one.report for uid, one in planned.items()},
        notices=[notice for one in planned.values() for notice in one.notices],
        memory=Memory(pools=memories, strays=strays),
        faults=guard.faults,
        strays_fault=strays_fault,
        switch=given.switch,
    )


_T = TypeVar("_T")


class _Guard:
    """Keeps what goes wrong with one pool from all others.

    Attributes:
        faults: What was raised, by pool uid.
    """

    def __init__(self) -> None:
        self.faults: dict[str, Exception] = {}

    def each(self, uids: Iterable[str], stage: Callable[[str], _T]) -> dict[str, _T]:
        """Return what a stage returns for each pool; those for which it raises are left out."""
        found = {}
        for uid in uids:
            try:
                found[uid] = stage(uid)
            except Exception as error:  # noqa: BLE001 - whatever it is, it concerns this pool alone
                self.faults[uid] = error
        return found


def _by_namespace(known: Iterable[Known]) -> Sequence[Sequence[Known]]:
    found: dict[str, list[Known]] = defaultdict(list)
    for one in known:
        found[one.view.pool.key.namespace].append(one)
    return [found[namespace] for namespace in sorted(found)]


def share_queue(ours: Sequence[Known], given: PlanInput, lists: Lists, guard: _Guard) -> Mapping[str, Demand]:
    """Share the queued jobs of one namespace out among its pools.

    Where that raises, each pool is asked alone, and those for which it raises are left out. If it raises only
    for several together, none of their namespace is planned.
    """
    try:
        return _share(ours, given, lists)
    except Exception:  # noqa: BLE001 - found by asking each pool alone
        alone = {one.view.pool.uid: one for one in ours}
        sound = guard.each(alone, lambda uid: _share_with_one(alone[uid], given, lists))
        rest = [alone[uid] for uid in sound]
    try:
        return _share(rest, given, lists)
    except Exception as error:  # noqa: BLE001 - only together do they fail: that concerns their namespace alone
        guard.faults.update((one.view.pool.uid, error) for one in rest)
        return {}


def _share(ours: Sequence[Known], given: PlanInput, lists: Lists) -> Mapping[str, Demand]:
    known = {one.view.pool.uid: one for one in ours}
    pools = [one.view.pool for one in ours]
    demand = {pool.uid: view_queues(pool, given.snapshot, given.now) for pool in pools}

    def room(pool: Pool) -> Room:
        return known[pool.uid].room

    match_demand(pools, demand, given.snapshot, room=room, usd_per_second=lists.usd)
    return demand


def _share_with_one(one: Known, given: PlanInput, lists: Lists) -> Room:
    """Ask one pool everything that :func:`_share` asks it among others; raises whatever is wrong with it."""
    _share([one], given, lists)
    return one.room


def retire_strays(
    given: PlanInput, lists: Lists
) -> tuple[Sequence[Retire], Mapping[StrayKey, Track], Exception | None]:
    """Decide about runners that no pool claims; what goes wrong with them may cost no pool its pass."""
    try:
        actions, tracks = stray_retirements(
            find_strays(given.pools, lists.marked),
            given.snapshot,
            given.memory.strays,
            running=lists.running,
            in_flight=_effects_without_pool(given, lists),
            now=given.now,
        )
    except Exception as error:  # noqa: BLE001
        return (), given.memory.strays, error
    return actions, tracks, None


def _effects_without_pool(given: PlanInput, lists: Lists) -> set[str]:
    """Return the runners with an effect under way whose pool does not exist."""
    known = {pool.uid for pool in given.pools}
    return {name for uid, effects in lists.marked.in_flight.items() if uid not in known for name in effects}
