"""Builders with defaults: a test names only what it is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from controller.core.actions import Result
from controller.core.drained import ends_by
from controller.core.effects import Effect, InFlight
from controller.core.intents import PoolIntents
from controller.core.lifecycle import Track
from controller.core.memory import Memory, PoolMemory
from controller.core.model import (
    Deadlines,
    Disposition,
    Failure,
    Flavor,
    Footprint,
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
from controller.core.plan import Plan, plan
from controller.core.reasons import Reason
from controller.core.view import PlanInput

CONTROLLER = "test-controller"
NOW = 1_000.0
SERVER = 1_800_000_000.0
"""Epoch seconds on GitHub's and the Hub's clock at :data:`NOW`."""

SOURCE = GitHubSource(api_url="https://api.github.com", secret=SecretRef("ci", "github-app"), owner="acme")
ACCOUNT = HubAccount(endpoint="https://huggingface.co", namespace="acme", secret=SecretRef("ci", "hf-token"))
REPO = "acme/lib"
FLAVORS = (
    Flavor(name="cpu-basic", usd_per_minute=0.000167),
    Flavor(name="t4-small", usd_per_minute=0.0067, accelerator="T4"),
    Flavor(name="t4-medium", usd_per_minute=0.01, accelerator="T4"),
    Flavor(name="a10g-small", usd_per_minute=0.0167, accelerator="A10G"),
)
OUTAGE = Failure(reason=Reason.GitHubUnavailable, message="GitHub answered 502")
REFUSED = Failure(reason=Reason.GitHubUnauthorized, message="bad token", disposition=Disposition.PERSON)


def pool(name: str = "t4", **changes: Any) -> Pool:
    """A pool of repository acme/lib with label hf-t4 on t4-small."""
    base = Pool(
        key=PoolKey("ci", name),
        uid=f"uid-{name}",
        generation=1,
        created_at=100.0,
        url="https://github.com/acme/lib",
        source=SOURCE,
        scope=Scope(kind=ScopeKind.REPOSITORY, owner="acme", repository="lib"),
        labels=("hf-t4",),
        hub=ACCOUNT,
        flavors=("t4-small",),
        max_runners=4,
        deadlines=Deadlines(scheduling=600, registration=300, idle=120, lifetime=3600),
    )
    return replace(base, **changes)


def job(number: int = 1, **changes: Any) -> WorkflowJob:
    """A queued job of acme/lib that asks for hf-t4."""
    base = WorkflowJob(
        id=number,
        run_id=number,
        run_attempt=1,
        repository=REPO,
        name=f"job {number}",
        labels=("hf-t4",),
        status=JobStatus.QUEUED,
        created_at=SERVER - 30 + number / 1000,
        html_url=f"https://github.com/acme/lib/actions/runs/{number}/job/{number}",
    )
    return replace(base, **changes)


def running(number: int, runner: str) -> WorkflowJob:
    """A job that a runner runs."""
    return job(number, status=JobStatus.IN_PROGRESS, runner_name=runner, started_at=SERVER - 10)


def name_of(of: Pool, token: str = "aaaa") -> str:
    """A runner's name."""
    return runner_name(of, CONTROLLER, token)


def registration(of: Pool, token: str = "aaaa", **changes: Any) -> Registration:
    """A registration, offline and free."""
    base = Registration(
        id=int.from_bytes(token.encode(), "big"),
        name=name_of(of, token),
        online=False,
        busy=False,
        labels=of.labels,
    )
    return replace(base, **changes)


def hf_job(of: Pool, token: str = "aaaa", **changes: Any) -> HFJob:
    """A live HF Job that is scheduled since ten seconds."""
    base = HFJob(
        id=f"hf-{token}",
        stage=Stage.SCHEDULING,
        flavor=of.flavors[0],
        labels=hf_labels(of, CONTROLLER, name_of(of, token)),
        created_at=SERVER - 10,
        timeout=4260,
        url=f"https://huggingface.co/jobs/acme/hf-{token}",
    )
    return replace(base, **changes)


def started(of: Pool, token: str = "aaaa", *, seconds_ago: float = 5.0) -> HFJob:
    """A running HF Job."""
    return hf_job(
        of, token, stage=Stage.RUNNING, created_at=SERVER - seconds_ago - 5, started_at=SERVER - seconds_ago
    )


def seen(
    items: Iterable[Any] = (), *, at: float = NOW - 1, failure: Failure | None = None
) -> Observation[Any]:
    """One list, asked for a second ago."""
    return Observation(items=tuple(items), asked_at=at, server_time=SERVER, failure=failure)


def snapshot(
    *,
    jobs: Iterable[WorkflowJob] | Observation[WorkflowJob] | None = (),
    registrations: Iterable[Registration] | Observation[Registration] | None = (),
    hf_jobs: Iterable[HFJob] | Observation[HFJob] | None = (),
    ended: Iterable[HFJob] = (),
    **changes: Any,
) -> Snapshot:
    """A whole view of acme/lib; None leaves a list out as never observed."""

    def listed(value: Any) -> Observation[Any] | None:
        return value if value is None or isinstance(value, Observation) else seen(value)

    where = pool().footprint.registrations
    queue, regs, live = listed(jobs), listed(registrations), listed(hf_jobs)
    base = Snapshot(
        queues={} if queue is None else {(SOURCE, REPO): queue},
        registrations={} if regs is None else {where: regs},
        hf_jobs={} if live is None else {ACCOUNT: live},
        ended={ACCOUNT: tuple(ended)},
        flavors={ACCOUNT.endpoint: seen(FLAVORS)},
        pools_known=True,
    )
    return replace(base, **changes)


def run_plan(
    pools: Iterable[Pool],
    view: Snapshot,
    *,
    memory: Memory | None = None,
    in_flight: Mapping[str, InFlight] | None = None,
    results: Iterable[Result] = (),
    now: float = NOW,
    entropy: str = "a pass",
    intents: Mapping[str, PoolIntents] | None = None,
) -> Plan:
    """One pass."""
    return plan(
        PlanInput(
            pools=list(pools),
            snapshot=view,
            in_flight=in_flight or {},
            intents=intents or {},
            results=tuple(results),
            memory=memory or Memory(),
            now=now,
            wall=SERVER + now - NOW,
            controller_id=CONTROLLER,
            entropy=entropy,
        )
    )


def launching(of: Pool, token: str = "aaaa", **changes: Any) -> dict[str, InFlight]:
    """A launch that is under way since a second, as the executor tells it."""
    base = InFlight(
        name=name_of(of, token),
        pool_uid=of.uid,
        footprint=of.footprint,
        effect=Effect.LAUNCH,
        flavor=of.flavors[0],
        since=NOW - 1,
    )
    return {base.name: replace(base, **changes)}


def remembering(name: str, *, of: Pool | None = None, **track: Any) -> Memory:
    """Memory that knows one runner, of the pool that most tests have."""
    uid = (of or pool()).uid
    return Memory(pools={uid: PoolMemory(tracks={name: Track(**track)})})


def launched(of: Pool, at: float | None) -> Pool:
    """A pool that launched at all of its places at a moment in epoch seconds, or never."""
    if at is None:
        return of
    by = ends_by(of, at)
    return replace(of, last_launch_at=at, ends_by=tuple((where.place, by) for where in of.footprints))


def elsewhere(of: Pool) -> Footprint:
    """Another place."""
    return replace(of.footprint, account=replace(of.hub, namespace="elsewhere"))
