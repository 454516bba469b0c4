"""What a pass says of one pool, for its status and the metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from controller.core.backoff import Backoff
from controller.core.causes import Check
from controller.core.demand import Demand
from controller.core.drained import Awaited
from controller.core.explain import Waiting
from controller.core.intents import Blocked
from controller.core.ledger import NOTHING, Bill, Ended
from controller.core.lifecycle import Phase
from controller.core.memory import PoolMemory
from controller.core.model import Failure, Pool, TokenEnd, WorkflowJob
from controller.core.passed_over import Wanted
from controller.core.runners import Runner
from controller.core.suspicion import Group


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolReport:
    """One pool after a pass.

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
        token_end: When the personal access token of its Secret ends; None where it has no
            end, or none is known.
        observed: Everything that the pool needs was seen at least once.
        drained: The pool is being deleted or drained, and has nothing left anywhere.
        awaited: The places that keep a pool from going that is being deleted or drained.
        usd_per_hour: What its billed runners cost now.
        worst_case_usd: What its runners can still cost if the controller never looks again.
        memory: What was accounted so far.
        ended: HF Jobs of the pool that ended since the last pass, with the newest list of
            the account of each.
        bill: What was booked for HF Jobs that ended, and priced, in this pass.
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
    ended: Sequence[Ended] = ()
    bill: Bill = NOTHING
    completed: Mapping[str, WorkflowJob] = field(default_factory=dict)
    token_end: TokenEnd | None = None
    suspected: Sequence[Group] = ()
    to_read: Sequence[Wanted] = ()
    to_check: Check | None = None

    def count(self, *phases: Phase) -> int:
        """Return how many runners are in these phases."""
        return sum(1 for runner in self.runners if runner.phase in phases)
