"""What a pass is given, decides, tells and remembers: values, made and read by :mod:`.plan` and :mod:`.pool_pass`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from controller.core.backoff import Backoff, Limit
from controller.core.demand import Demand
from controller.core.drained import Awaited
from controller.core.effects import Effect, InFlight
from controller.core.gc import Retire, StrayKey
from controller.core.intents import Blocked, PoolIntents
from controller.core.lifecycle import Phase, Track
from controller.core.model import (
    Failure,
    HFJob,
    Observation,
    Place,
    Pool,
    Snapshot,
    TokenEnd,
    WorkflowJob,
)
from controller.core.reasons import Reason
from controller.core.retry import Losses, Rerun, RerunResult
from controller.core.runners import Runner
from controller.core.stop_switch import NO_SWITCH, StopSwitch
from controller.core.suspicion import Check, Group, Suspicions, Wanted


@dataclass(frozen=True, slots=True)
class Launch:
    """Start one runner of a pool on a flavor.

    Attributes:
        pool: The pool.
        flavor: The hardware.
        name: The runner's name, which nothing had before.
    """

    pool: Pool
    flavor: str
    name: str


Action = Launch | Retire | Rerun


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How an effect ended, told by the executor once.

    Attributes:
        name: The runner.
        pool_uid: Its pool.
        effect: What was tried.
        flavor: Of a launch.
        failure: Why it failed, None when it succeeded.
        busy: A retirement met a busy runner and left it.
        deregistered: GitHub agreed to a retirement, whatever came of it afterwards.
        retire: The retirement that this was.
    """

    name: str
    pool_uid: str
    effect: Effect
    flavor: str = ""
    failure: Failure | None = None
    busy: bool = False
    deregistered: bool = False
    retire: Retire | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolMemory:
    """What a pass tells the next one about a pool; losing it delays things and breaks nothing.

    Attributes:
        backoffs: By flavor and :data:`controller.core.backoff.POOL`.
        surplus_since: Monotonic seconds since when capacity has exceeded demand.
        gave_back_at: Monotonic seconds of the newest give-back.
        draining_since: Monotonic seconds when the pool was first seen leaving.
        drain_request: The newest that was seen.
        drain_requested_at: Monotonic seconds when it was first seen.
        spent_usd: Estimated cost of HF Jobs that ended since this process started.
        unpriced_seconds: Of those, billed seconds that are not in the cost yet as no price was known, by flavor.
        losses: Workflow jobs whose HF Job ended under them.
        tracks: By runner.
        usd: Prices by flavor, in US dollars per second, as they were last known.
        copies: Ids of HF Jobs that carry the name of a runner of ours and are not the one that we made.
        empty_since: By place, monotonic seconds of the first of the complete lists that have shown nothing there, one after the
            other.
        suspicions: Workflow jobs that idle runners were not given.
        longest_job: Seconds for which a workflow job was seen to run at the longest, since this process started.
        limit: How many HF Jobs the Hub runs at a time, where that turned out to be fewer than ``maxRunners``.
    """

    backoffs: Mapping[str, Backoff] = field(default_factory=dict)
    surplus_since: float | None = None
    gave_back_at: float | None = None
    draining_since: float | None = None
    drain_request: str = ""
    drain_requested_at: float = 0.0
    spent_usd: float = 0.0
    unpriced_seconds: Mapping[str, float] = field(default_factory=dict)
    losses: Losses = field(default_factory=Losses)
    tracks: Mapping[str, Track] = field(default_factory=dict)
    usd: Mapping[str, float] = field(default_factory=dict)
    copies: frozenset[str] = frozenset()
    empty_since: Mapping[Place, float] = field(default_factory=dict)
    suspicions: Suspicions = field(default_factory=Suspicions)
    longest_job: float = 0.0
    limit: Limit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What one pass hands to the next.

    Attributes:
        pools: By uid.
        strays: Tracks of runners that no pool claims.
    """

    pools: Mapping[str, PoolMemory] = field(default_factory=dict)
    strays: Mapping[StrayKey, Track] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that people should be told once: an Event, a log line, a metric."""

    pool_uid: str
    reason: Reason
    message: str
    warning: bool = False
    runner: str = ""
    hf_job: HFJob | None = None
    workflow_job: WorkflowJob | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Why some queued jobs wait.

    Attributes:
        reason: Why.
        count: How many.
        message: A sentence with the next step.
        until: Monotonic seconds when the next try is due, if that is what they wait for.
        oldest_at: Epoch seconds on GitHub's clock since when the oldest of them is queued; None without any.
        oldest_wait: Seconds that it has waited, on the same clock.
    """

    reason: Reason
    count: int
    message: str
    until: float | None = None
    oldest_at: float | None = None
    oldest_wait: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolReport:
    """One pool after a pass, for its status and the metrics.

    Attributes:
        pool: The pool.
        demand: What it is asked for.
        runners: What it has.
        launching: How many launches this pass adds.
        waiting: Every queued job, by the reason that it waits.
        failures: Mistakes in the spec that only the services could tell, and that keep the pool from serving.
        unknown_flavor: Flavors of the spec that the Hub does not offer, whether others are left or not.
        offered: The pool's flavors that it does offer; all of them while that is not known.
        backoff: What holds launches back in this pass, or would on every flavor; None where nothing does.
        unwritten: Launches could not be written down; None when the last ones could.
        github: Why GitHub could not be read; None when it could.
        hub: Why the Hub could not be read; None when it could.
        github_seen_at: Monotonic seconds of GitHub's newest good list, None before the first.
        hub_seen_at: Likewise for the Hub.
        token_end: When the personal access token of its Secret ends; None where it has no end, or none is known.
        observed: Everything that the pool needs was seen at least once.
        drained: The pool is being deleted or drained, and has nothing left anywhere.
        awaited: The places that keep a pool from going that is being deleted or drained.
        usd_per_hour: What its billed runners cost now.
        worst_case_usd: What its runners can still cost if the controller never looks again.
        memory: What was accounted so far.
        ended: HF Jobs of the pool that ended since the last pass, with the newest list of the account of each.
        completed: Workflow jobs that its own source showed completed since the last pass, by runner.
        suspected: Its queued jobs that are under suspicion.
        to_read: Queued jobs that should be read by their ids.
        to_check: What may be the cause, and should be looked up; None while no job is under suspicion.
    """

    pool: Pool
    demand: Demand
    runners: Sequence[Runner]
    launching: int
    waiting: Sequence[Waiting]
    failures: Sequence[Failure]
    unknown_flavor: Failure | None
    offered: Sequence[str]
    backoff: Backoff | None
    unwritten: Blocked | None
    github: Failure | None
    hub: Failure | None
    github_seen_at: float | None
    hub_seen_at: float | None
    observed: bool
    drained: bool
    awaited: Sequence[Awaited]
    usd_per_hour: float
    worst_case_usd: float
    memory: PoolMemory
    ended: Sequence[tuple[HFJob, Observation[HFJob] | None]] = ()
    completed: Mapping[str, WorkflowJob] = field(default_factory=dict)
    token_end: TokenEnd | None = None
    suspected: Sequence[Group] = ()
    to_read: Sequence[Wanted] = ()
    to_check: Check | None = None

    def count(self, *phases: Phase) -> int:
        """Return how many runners are in these phases."""
        return sum(1 for runner in self.runners if runner.phase in phases)


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
    controller_id: str
    entropy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do, what to say, and what to remember.

    Attributes:
        actions: What to do.
        reports: By pool uid.
        notices: What to say once.
        memory: For the next pass.
        faults: Mistakes of ours, by the uid of the pool that each is about. Such a pool has no report, its memory is that of
            the last pass, and nothing is done for it.
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
