"""A fleet for :func:`controller.core.plan.plan`: pools with runners in every phase, and the
lists that show them.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from controller.core.memory import Memory
from controller.core.model import (
    Deadlines,
    Flavor,
    GitHubSource,
    HFJob,
    HubAccount,
    JobStatus,
    Observation,
    Pool,
    PoolKey,
    Registration,
    Scope,
    ScopeKind,
    SecretRef,
    Snapshot,
    Stage,
    WorkflowJob,
)
from controller.core.naming import hf_labels, runner_name
from controller.core.view import PlanInput

K = TypeVar("K")
T = TypeVar("T")

CONTROLLER = "benchmark"
SERVER = 1_800_000_000.0
"""Epoch seconds on every server's clock at monotonic time 0."""

FLAVORS = (
    Flavor(name="t4-small", usd_per_minute=0.0067),
    Flavor(name="t4-medium", usd_per_minute=0.01),
    Flavor(name="a10g-small", usd_per_minute=0.0167),
)
PHASES = ("scheduling", "starting", "idle", "idle", "busy", "busy", "busy", "busy", "busy", "busy")
"""Of ten runners."""

POOLS_PER_OWNER = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Pools, and everything that the services show of them at monotonic time 0."""

    pools: Sequence[Pool]
    snapshot: Snapshot

    def input(self, now: float, memory: Memory) -> PlanInput:
        """Return what a pass at ``now`` sees: lists of a second ago, their rows read anew as from an answer.

        The rows are other objects each time, with strings of their own, since that is what a parser makes of
        an answer: no cache may be measured that only works on the very same objects.
        """

        def again(lists: Mapping[K, Observation[T]]) -> dict[K, Observation[T]]:
            return {
                key: replace(
                    seen,
                    items=pickle.loads(pickle.dumps(seen.items)),
                    asked_at=now - 1,
                    server_time=SERVER + now - 1,
                )
                for key, seen in lists.items()
            }

        snapshot = replace(
            self.snapshot,
            queues=again(self.snapshot.queues),
            registrations=again(self.snapshot.registrations),
            hf_jobs=again(self.snapshot.hf_jobs),
        )
        return PlanInput(
            pools=self.pools,
            snapshot=snapshot,
            memory=memory,
            now=now,
            wall=SERVER + now,
            controller_id=CONTROLLER,
            entropy=str(now),
        )


def make_fleet(*, pools: int, runners_per_pool: int, queued_per_pool: int) -> Fleet:
    """Return a fleet: one repository for each pool, an owner and an account for each :data:`POOLS_PER_OWNER`.

    Args:
        pools: How many.
        runners_per_pool: Each; their phases repeat :data:`PHASES`.
        queued_per_pool: Workflow jobs that wait.
    """
    made = [_pool(number, min_idle=min(2, runners_per_pool)) for number in range(pools)]
    queues, registrations = {}, {}
    hf_jobs: dict[HubAccount, list[HFJob]] = {}
    for number, pool in enumerate(made):
        listed: list[Registration] = []
        jobs: list[WorkflowJob] = []
        account = hf_jobs.setdefault(pool.hub, [])
        for place in range(runners_per_pool):
            name = runner_name(pool, CONTROLLER, f"{number}x{place}")
            phase = PHASES[place % len(PHASES)]
            account.append(_hf_job(pool, name, phase))
            online = phase in ("idle", "busy")
            listed.append(
                Registration(
                    id=number * 1000 + place,
                    name=name,
                    online=online,
                    busy=phase == "busy",
                    labels=pool.labels,
                )
            )
            if phase == "busy":
                jobs.append(_workflow_job(pool, len(jobs), JobStatus.IN_PROGRESS, name))
        jobs += [_workflow_job(pool, len(jobs) + i, JobStatus.QUEUED, None) for i in range(queued_per_pool)]
        registrations[pool.footprint.registrations] = _seen(listed)
        queues[pool.source, f"{pool.scope.owner}/{pool.scope.repository}"] = _seen(jobs)
    return Fleet(
        pools=made,
        snapshot=Snapshot(
            queues=queues,
            registrations=registrations,
            hf_jobs={account: _seen(jobs) for account, jobs in hf_jobs.items()},
            ended=dict.fromkeys(hf_jobs, ()),
            flavors={made[0].hub.endpoint: _seen(FLAVORS)},
            pools_known=True,
        ),
    )


def _pool(number: int, *, min_idle: int) -> Pool:
    owner = f"owner-{number // POOLS_PER_OWNER}"
    repository = f"repository-{number}"
    return Pool(
        key=PoolKey("ci", f"pool-{number}"),
        uid=f"00000000-0000-4000-8000-{number:012d}",
        generation=1,
        created_at=float(number),
        url=f"https://github.com/{owner}/{repository}",
        source=GitHubSource(
            api_url="https://api.github.com", secret=SecretRef("ci", f"github-{owner}"), owner=owner
        ),
        scope=Scope(kind=ScopeKind.REPOSITORY, owner=owner, repository=repository),
        labels=("hf-t4", "linux"),
        hub=HubAccount(
            endpoint="https://huggingface.co", namespace=owner, secret=SecretRef("ci", f"hf-{owner}")
        ),
        flavors=("t4-small", "t4-medium"),
        max_runners=10,
        min_idle=min_idle,
        deadlines=Deadlines(idle=3600.0, lifetime=86_400.0),
    )


def _hf_job(pool: Pool, name: str, phase: str) -> HFJob:
    scheduled = phase == "scheduling"
    return HFJob(
        id=f"hf-{name}",
        stage=Stage.SCHEDULING if scheduled else Stage.RUNNING,
        flavor=pool.flavors[0],
        labels=dict(hf_labels(pool, CONTROLLER, name)),
        created_at=SERVER - 20,
        started_at=None if scheduled else SERVER - 10,
        timeout=90_000.0,
        url=f"https://huggingface.co/jobs/{pool.hub.namespace}/hf-{name}",
    )


def _workflow_job(pool: Pool, number: int, status: JobStatus, runner: str | None) -> WorkflowJob:
    id_ = int(pool.uid[-12:]) * 1_000 + number
    return WorkflowJob(
        id=id_,
        run_id=id_,
        run_attempt=1,
        repository=f"{pool.scope.owner}/{pool.scope.repository}",
        name="tests",
        labels=("hf-t4",),
        status=status,
        created_at=SERVER - 30,
        started_at=None if runner is None else SERVER - 5,
        runner_name=runner,
        html_url=f"{pool.url}/actions/runs/{number}",
    )


def _seen(items: Sequence[T]) -> Observation[T]:
    return Observation(items=tuple(items), asked_at=-1.0, server_time=SERVER - 1)
