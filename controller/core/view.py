"""What a pass is given, and what of it concerns one pool: the values that every stage of a
plan reads and none changes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from controller.core.actions import Result
from controller.core.demand import running_jobs
from controller.core.drained import heed_drain_request
from controller.core.effects import InFlight
from controller.core.intents import PoolIntents
from controller.core.ledger import Ended
from controller.core.memory import Memory, PoolMemory, first_memory
from controller.core.model import (
    GitHubSource,
    HFJob,
    HubAccount,
    Observation,
    Pool,
    Registration,
    Snapshot,
    WorkflowJob,
)
from controller.core.money import prices
from controller.core.naming import LABEL_POOL_UID, LABEL_RUNNER, label_value
from controller.core.ownership import Marked, find_marked, halves_of, is_of_pool
from controller.core.retry import RerunResult
from controller.core.runners import Runner, find_copies, join_runners
from controller.core.stop_switch import NO_SWITCH, StopSwitch

NO_INTENTS = PoolIntents()

_NO_JOBS: Mapping[str, WorkflowJob] = {}
_NO_PRICES: Mapping[str, float] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanInput:
    """Everything that one pass may know.

    Attributes:
        pools: Every pool, valid ones only.
        snapshot: What exists.
        in_flight: Effects that may not show yet, by runner name.
        intents: By pool uid.
        results: Effects that ended since the last pass.
        reruns: Looks at runs that ended since the last pass.
        memory: From the last pass.
        now: Monotonic seconds.
        wall: Epoch seconds; used only to compare with a pool's own ``last_launch_at``.
        began: Monotonic seconds when this process began.
        switch: The stop switch as it was read last.
        controller_id: Who we are.
        entropy: Text that no other pass has or had: from it come the names of this pass's runners.
    """

    pools: Sequence[Pool]
    snapshot: Snapshot
    in_flight: Mapping[str, InFlight] = field(default_factory=dict)
    intents: Mapping[str, PoolIntents] = field(default_factory=dict)
    results: Sequence[Result] = ()
    reruns: Sequence[RerunResult] = ()
    memory: Memory = field(default_factory=Memory)
    switch: StopSwitch = NO_SWITCH
    now: float
    wall: float
    began: float = float("-inf")
    controller_id: str
    entropy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """The lists of a pass, sorted once for all pools.

    What one pool's credentials show is never taken for what another's would.

    Attributes:
        marked: Everything that carries this controller's mark.
        running: Workflow jobs that run, by source and runner.
        completed: Workflow jobs that were seen completed since the last pass, by source and runner.
        ended: HF Jobs that ended since the last pass, by account and the label with the pool's uid.
        results: Effects that ended since the last pass, by pool uid.
        reruns: Looks at runs that ended since the last pass, by pool uid.
        usd: Prices in US dollars per second, by endpoint and flavor.
        offered: Names of all flavors that are listed, also those without a price, by endpoint.
    """

    marked: Marked
    running: Mapping[GitHubSource, Mapping[str, WorkflowJob]]
    completed: Mapping[GitHubSource, Mapping[str, WorkflowJob]]
    ended: Mapping[tuple[HubAccount, str], Sequence[HFJob]]
    results: Mapping[str, Sequence[Result]]
    reruns: Mapping[str, Sequence[RerunResult]]
    usd: Mapping[str, Mapping[str, float]]
    offered: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolView:
    """What a pass knows of one pool before anything is learned or decided.

    Attributes:
        pool: The pool, as it is to be treated now: stopped or draining, if somebody has asked for that.
        memory: From the last pass.
        snapshot: All lists.
        runners: The pool's own, by name.
        running: Workflow jobs that run, by runner, as the pool's own credentials show them.
        completed: Workflow jobs that were seen completed since the last pass, by runner.
        ended: HF Jobs of the pool that ended since the last pass.
        copies: Live HF Jobs that carry the name of one of its runners and are not the one
            that we made, by id.
        in_flight: Effects on its runners that may not show yet, by runner.
        results: Effects that ended since the last pass.
        reruns: Looks at runs that ended since the last pass.
        intents: Launches that are written down.
        github: The registrations at the place where it launches now.
        hub: The HF Jobs there.
        offered: Names of all flavors that its endpoint lists.
        usd: Prices in US dollars per second, by flavor.
        now: Monotonic seconds.
        wall: Epoch seconds of the same moment.
        began: Monotonic seconds when this process began.
        controller_id: Who we are.
        entropy: Text that no other pass has or had.
    """

    pool: Pool
    memory: PoolMemory
    snapshot: Snapshot
    runners: Sequence[Runner]
    running: Mapping[str, WorkflowJob]
    completed: Mapping[str, WorkflowJob]
    ended: Sequence[Ended]
    copies: Mapping[str, HFJob]
    in_flight: Mapping[str, InFlight]
    results: Sequence[Result]
    reruns: Sequence[RerunResult]
    intents: PoolIntents
    github: Observation[Registration] | None
    hub: Observation[HFJob] | None
    offered: Sequence[str]
    usd: Mapping[str, float]
    now: float
    wall: float
    began: float
    controller_id: str
    entropy: str


def sort_lists(given: PlanInput) -> Lists:
    """Sort the lists of a pass."""
    snapshot = given.snapshot
    results: dict[str, list[Result]] = defaultdict(list)
    for result in given.results:
        results[result.pool_uid].append(result)
    reruns: dict[str, list[RerunResult]] = defaultdict(list)
    for rerun in given.reruns:
        reruns[rerun.pool_uid].append(rerun)
    ended: dict[tuple[HubAccount, str], list[HFJob]] = defaultdict(list)
    for account, jobs in snapshot.ended.items():
        for job in jobs:
            ended[account, job.labels.get(LABEL_POOL_UID, "")].append(job)
    completed = {
        source: {job.runner_name: job for job in jobs if job.runner_name}
        for source, jobs in snapshot.completed.items()
    }
    return Lists(
        marked=find_marked(snapshot, given.in_flight, given.controller_id),
        running=running_jobs(snapshot),
        completed=completed,
        ended=ended,
        results=results,
        reruns=reruns,
        usd=prices(snapshot.flavors),
        offered={
            endpoint: [flavor.name for flavor in seen.items] for endpoint, seen in snapshot.flavors.items()
        },
    )


def view_pool(pool: Pool, given: PlanInput, lists: Lists) -> PoolView:
    """Return what a pass knows of one pool, with its runners joined from its own lists."""
    now, snapshot, intents = given.now, given.snapshot, given.intents.get(pool.uid, NO_INTENTS)
    memory = given.memory.pools.get(pool.uid) or first_memory(
        pool, launching=bool(intents.open), now=now, wall=given.wall
    )
    pool = replace(pool, stopped=given.switch.stops_for(pool.hub.namespace))
    pool, memory = heed_drain_request(pool, memory, now)
    halves = halves_of(pool, lists.marked)
    running, completed = _running(pool, lists), _completed(pool, lists)
    ended = _ended(pool, memory, lists, snapshot)
    runners = join_runners(
        pool,
        halves,
        snapshot,
        running=running,
        served=completed,
        tracks=memory.tracks,
        ended={job.labels[LABEL_RUNNER]: job for job, _ in ended},
        copies=memory.copies,
        now=now,
    )
    endpoint = pool.hub.endpoint
    offered = lists.offered.get(endpoint, ())
    return PoolView(
        pool=pool,
        memory=memory,
        snapshot=snapshot,
        runners=runners,
        running=running,
        completed=completed,
        ended=ended,
        copies=find_copies(halves, runners),
        in_flight=lists.marked.in_flight.get(pool.uid, {}),
        results=lists.results.get(pool.uid, ()),
        reruns=lists.reruns.get(pool.uid, ()),
        intents=intents,
        github=snapshot.registrations.get(pool.footprint.registrations),
        hub=snapshot.hf_jobs.get(pool.hub),
        offered=offered,
        usd=_prices(memory.usd, lists.usd.get(endpoint, _NO_PRICES), offered),
        now=now,
        wall=given.wall,
        began=given.began,
        controller_id=given.controller_id,
        entropy=given.entropy,
    )


def _running(pool: Pool, lists: Lists) -> Mapping[str, WorkflowJob]:
    """Return running jobs by runner, as the pool's own credentials show them, at its former places too."""
    if not pool.former:
        return lists.running.get(pool.source, _NO_JOBS)
    found: dict[str, WorkflowJob] = {}
    for footprint in reversed(pool.footprints):
        found.update(lists.running.get(footprint.registrations.source, _NO_JOBS))
    return found


def _completed(pool: Pool, lists: Lists) -> Mapping[str, WorkflowJob]:
    if not lists.completed:
        return _NO_JOBS
    if not pool.former:
        return lists.completed.get(pool.source, _NO_JOBS)
    found: dict[str, WorkflowJob] = {}
    for source in dict.fromkeys(footprint.registrations.source for footprint in pool.footprints):
        found.update(lists.completed.get(source, _NO_JOBS))
    return found


def _ended(pool: Pool, memory: PoolMemory, lists: Lists, snapshot: Snapshot) -> Sequence[Ended]:
    """Return the pool's HF Jobs that ended since the last pass, with the newest list of the account of each.

    The end of a copy says nothing about its runner.
    """
    found: list[Ended] = []
    if not lists.ended:
        return found
    for account in dict.fromkeys(footprint.account for footprint in pool.footprints):
        for job in lists.ended.get((account, label_value(pool.uid)), ()):
            if job.id in memory.copies or not is_of_pool(job, pool.uid):
                continue
            track = memory.tracks.get(job.labels[LABEL_RUNNER])
            if track is None or track.hf_job_id in ("", job.id):
                found.append((job, snapshot.hf_jobs.get(account)))
    return found


def _prices(
    known: Mapping[str, float], usd: Mapping[str, float], offered: Collection[str]
) -> Mapping[str, float]:
    """Return all prices, also the last ones of flavors that the Hub lists no more: their
    runners cost what they did.

    One that is listed without a price that can be read is none of them: its price is unknown.
    """
    left = {flavor: price for flavor, price in known.items() if flavor not in offered}
    return {**left, **usd} if left else usd
