"""Plays one plan: pools, jobs, faults and disturbances first, then the quiet end of
:mod:`tests.seeds.ending`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from controller.core.actions import Retire
from controller.core.hosts import Hosts
from controller.core.plan import Plan as ActionPlan
from controller.simulate.check import Judge
from controller.simulate.engine import GITHUB, HUB, NoRecorder, Process, Simulation
from controller.simulate.invariants import INTERNAL, Violation
from controller.simulate.loop import Deadlock, Livelock, run_virtual
from controller.simulate.machine import Boot
from controller.simulate.serving import HOSTILE_GITHUB, HOSTILE_HUB
from hf_runner_simulators.clock import EPOCH, LoopClock
from hf_runner_simulators.faults import Call
from hf_runner_simulators.github.http import GitHubSite
from hf_runner_simulators.github.model import JobSpec, Scope
from hf_runner_simulators.http import Site
from hf_runner_simulators.hub.running import Run
from tests.seeds.ending import Ending
from tests.seeds.hostile import LIES, Hostile
from tests.seeds.nemesis import WINDOW, PlannedNemesis
from tests.seeds.plan import REPOSITORIES, SLOW_CONNECT, JobPlan, Plan, PoolPlan
from tests.seeds.tenants import robot, set_up
from tests.seeds.trace import write_down
from tests.seeds.trouble import TOKEN, Trouble
from tests.seeds.views import NamespaceView, namespace_views

ZOMBIES = 0.2
"""Share of plans with a run that reads queued for ever and has no jobs."""

CONFLICTS, LOST_WRITES = 0.1, 0.02
"""Shares of the requests about one pool that meet a change of somebody else's, and whose answer is lost."""

SLOW_CONNECTIONS, LONGEST_CONNECTION = 0.05, 4.0
"""Share of requests with an effect whose connection takes long, and the seconds that it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a plan.

    Attributes:
        plan: What was played.
        violations: Broken invariants, the first one first.
        fired: Ids of the faults and disturbances that struck.
        marks: How often something rare was reached.
        digest: Of everything that happened, byte for byte.
        trace: Lines in order of time.
        seconds: Virtual seconds.
        requests: Exchanges.
        launches: HF Jobs that were made.
        asked: Numbers of the exchanges, and whether each was a read.
        told: By namespace, what its pools launched and what its people were told.
    """

    plan: Plan
    violations: tuple[Violation, ...]
    fired: tuple[str, ...]
    marks: Mapping[str, int]
    digest: str
    trace: tuple[str, ...] = ()
    seconds: float = 0.0
    requests: int = 0
    launches: int = 0
    asked: Mapping[str, bool] = field(default_factory=dict)
    views: Mapping[str, NamespaceView] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """An invariant broke."""
        return bool(self.violations)


def play(plan: Plan) -> Outcome:
    """Play a plan in virtual time. Deterministic: equal plans give equal outcomes, trace and all."""
    with _collected_logs() as records:
        judge = Judge()
        scene = Scene(plan, judge)
        try:
            run_virtual(scene.play())
        except (Deadlock, Livelock) as stuck:
            judge.violations.append(Violation(invariant=INTERNAL, at=0.0, message=repr(stuck)))
        gc.collect()  # tasks whose exception nobody took complain when they are collected
        return scene.outcome(records)


@contextmanager
def _collected_logs() -> Iterator[list[logging.LogRecord]]:
    """Collect what is logged meanwhile, instead of printing it."""
    records: list[logging.LogRecord] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    root, collector = logging.getLogger(), Collector()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = [collector]
    root.setLevel(logging.INFO)
    try:
        yield records
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@dataclass(slots=True)
class _Lease:
    """The lease: at most one incarnation has it."""

    holder: str | None = None


@dataclass(frozen=True, slots=True)
class _Holding:
    """One incarnation's view of the lease."""

    lease: _Lease
    name: str
    transitions: int

    @property
    def identity(self) -> str:
        return self.name

    def holds(self) -> bool:
        return self.lease.holder == self.name

    def led_after(self, moment: float) -> bool | None:
        del moment
        return None

    def lose(self, why: str) -> None:
        del why
        if self.holds():
            self.lease.holder = None


@dataclass(frozen=True, slots=True)
class _Notes(NoRecorder):
    """Writes down why runners are ended; the trace shows it, and nothing is judged by it."""

    scene: Scene

    def passed(self, done: ActionPlan, seconds: float) -> None:
        """Take in a pass."""
        del seconds
        for action in done.actions:
            if isinstance(action, Retire):
                self.scene.judge.marks[str(action.reason)] += 1
                self.scene.note(f"to end {action.name}: {action.reason}")


@dataclass(slots=True)
class Scene:
    """One run under way."""

    plan: Plan
    judge: Judge
    lease: _Lease = field(default_factory=_Lease)
    fired: list[str] = field(default_factory=list)
    happenings: list[tuple[float, str]] = field(default_factory=list)
    jobs: dict[int, JobPlan] = field(default_factory=dict)
    """By run: a run has one job, which may be run again."""
    writes: int = 0
    starts: int = 0
    asked_of_the_cluster: int = 0
    pending: int = 0
    reviews: int = 0
    """Jobs that somebody has not approved yet, which may take days."""
    cancelled: set[int] = field(default_factory=set)
    digest: str = ""
    trace: tuple[str, ...] = ()
    seconds: float = 0.0
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    broken_images: bool = False
    renamed: dict[str, str] = field(default_factory=dict)
    """Repositories that have another name at the moment."""
    views: Mapping[str, NamespaceView] = field(default_factory=dict)
    sim: Simulation = field(init=False)
    nemesis: PlannedNemesis = field(init=False)

    # ----------------------------------------------------------------------------------------------- the play
    async def play(self) -> None:
        """Play the plan to its end, or to the first broken invariant."""
        plan = self.plan
        self.nemesis = PlannedNemesis(plan, start=EPOCH, judge=self.judge, crash=self._crash)
        sim = self.sim = Simulation(
            seed=plan.seed,
            boot=self._boot,
            hub_knobs=dict(plan.hub),
            github_knobs=dict(plan.github),
            github_interval=plan.intervals[0],
            hub_interval=plan.intervals[1],
            github_nemeses=[self.nemesis],
            hub_nemeses=[self.nemesis],
            latency=self._latency,
            connects_in=self._connects_in,
            wrap=self._wrap,
            # Who runs the controller has allowed the hosts that lie: nothing would be asked of them else.
            hosts=Hosts.listed(github=[GITHUB, HOSTILE_GITHUB], hub=[HUB, HOSTILE_HUB], allow_http=True),
        )
        self.judge.sim = sim
        self.judge.holds = lambda caller: plan.replicas == 1 or self.lease.holder == caller
        sim.set_up(REPOSITORIES, token=None if plan.app else TOKEN)
        # A wrong image is expected today wherever the hardware list fails; judged everywhere, it would
        # hide all that comes after.
        self.judge.images = plan.world in ("hardware-unknown", "odd-prices")
        self.judge.secrets |= set_up(sim, plan)
        self.judge.robots = {"robot"} | {
            robot(pool.namespace, pool.spec.get("huggingface", {}).get("tokenSecret", "hf-token"))
            for pool in plan.pools
        }
        for row in list(sim.github.accounts.installations.values()):
            permissions = {**row.permissions, "actions": "write"}
            sim.github.accounts.change_installation(row.id, permissions=permissions)
        self.judge.secrets |= {"hf_sim", TOKEN, "PRIVATE KEY"}
        sim.cluster.written = self._written
        sim.cluster.trouble = self._trouble_in_the_cluster
        self._plant()
        for pool in plan.pools:
            self.apply(pool, pool.url, pool.labels, pool.spec)
        self._mark_uncertain_facts()
        self._start()
        for number, job in enumerate(plan.jobs):
            self._later(job.at, self._queue(job, number))
        trouble = Trouble(self)
        for disturbance in plan.disturbances:
            if plan.allows(disturbance.id):
                self._later(disturbance.at, trouble.happen(disturbance))
        try:
            await Ending(self).judge()
        finally:
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)
            self.trace, self.digest = write_down(sim, self.happenings)
            self.seconds = sim.clock.mono()
            await sim.close()
        for bug in sim.bugs:
            self.judge.fail(INTERNAL, bug)

    def _mark_uncertain_facts(self) -> None:
        """Count what is otherwise than usual in this world, so that a table can tell what was played."""
        github, hub, marks = self.plan.github, self.plan.hub, self.judge.marks
        marks["lists lag"] += bool(github.get("list_lag_seconds") or hub.get("list_stale_seconds"))
        marks["lists reordered"] += "shuffled" in (github.get("list_order"), hub.get("list_order"))
        marks["busy lies"] += bool(github.get("busy_reads_false"))
        marks["label filter means OR"] += hub.get("label_match") == "any"
        marks["clock wrong"] += abs(self.plan.skew) > 60
        marks["two replicas"] += self.plan.replicas == 2
        marks[f"world {self.plan.world}"] += bool(self.plan.world)

    def _later(self, at: float, work: Any) -> None:
        self.pending += 1
        self.tasks.append(asyncio.create_task(self._after(at, work)))

    async def _after(self, at: float, work: Any) -> None:
        try:
            await asyncio.sleep(max(0.0, at - self.sim.clock.mono()))
            await work
        finally:
            work.close()
            self.pending -= 1

    def note(self, what: str) -> None:
        """Write down what the plan does, for the trace."""
        self.happenings.append((self.sim.clock.mono(), what))

    def _wrap(self, site: Site) -> Site:
        """Let the judge see what is asked of a service, and a hostile tenant's own service
        answer at its own origin.
        """
        watched = self.judge.watch(site)
        github = isinstance(site, GitHubSite)
        origin, token = (HOSTILE_GITHUB, TOKEN) if github else (HOSTILE_HUB, "hf_sim")
        if not any(
            str(pool.spec.get("github", {}).get("url", "")).startswith(HOSTILE_GITHUB)
            for pool in self.plan.pools
        ):
            return watched
        return Hostile(watched, origin=origin, token=lambda: token, lie=LIES[origin])

    def drop_secrets(self) -> None:
        """Delete the Secrets of all pools. Idempotent."""
        for pool in self.plan.pools:
            github, hub = pool.spec.get("github", {}), pool.spec.get("huggingface", {})
            for name in (github.get("credentialsSecret", "github-app"), hub.get("tokenSecret", "hf-token")):
                self.sim.cluster.set_secret(pool.namespace, name, None)

    def keep_views(self) -> None:
        """Keep what each namespace's people have seen so far."""
        self.views = namespace_views(self.sim, self.judge)

    def _written(self, text: str) -> None:
        self.writes += 1
        self.judge.look_for_secrets("a status or an Event", [text])

    # ---------------------------------------------------------------------------------------------- the scene
    def apply(self, pool: PoolPlan, url: str, labels: Iterable[str], spec: Mapping[str, Any]) -> None:
        """Create or change a RunnerPool; ``url``, ``labels`` and ``spec`` may differ from
        the planned ones.
        """
        given = json.loads(json.dumps(dict(spec)))
        self.sim.pool(pool.name, url=url, labels=list(labels), namespace=pool.namespace, **given)
        self.judge.pools_changed()

    def _plant(self) -> None:
        """Put strangers beside us that look like us as much as strangers can."""
        scope = Scope("repo", "acme/lib")
        for name in ("nobodys-runner", "pool-0-hfr-abcdef-00000000-aaaaaaaaaa"):
            made = self.sim.github.runners.generate_jit_config(scope, name=name, labels=["self-hosted"])
            self.judge.foreign.add(f"runner {made.runner.id}")
        if self.plan.u("zombie") < ZOMBIES and self.plan.profile != "calm":
            self.sim.github.workflows.queue_zombie("acme/lib")
            self.judge.marks["run queued for ever without jobs"] += 1
        looks: tuple[dict[str, str], ...] = (
            {},
            {"managed-by": "hf-runner-controller", "controller": "other", "runner": "x"},
            {"managed-by": "hf-runner-controller", "controller": "sim", "runner": "not-a-name-of-ours"},
            {"controller": "sim", "pool-uid": "00000000-0000-4000-8000-000000000001"},
        )
        self.judge.marks["strangers beside us"] += 1
        for labels in looks:
            payload = {"dockerImage": "x", "command": ["true"], "flavor": "cpu-basic", "labels": labels}
            job = self.sim.hub.create("hf_sim", "acme", {**payload, "timeoutSeconds": 86_400})
            self.judge.foreign.add(job.id)

    async def _queue(self, job: JobPlan, number: int) -> None:
        workflows = self.sim.github.workflows
        spec = JobSpec(
            name=f"job-{number}",
            labels=job.labels,
            seconds=job.seconds,
            result=job.result,
            never_runs=job.ghost,
            status="queued" if job.approved_after is None else "waiting",
        )
        repository = self.renamed.get(job.repository, job.repository)
        run = workflows.queue_run(repository, [spec], workflow=f"w{number}")
        (job_id,) = self.sim.github.store.jobs_of[run.id]
        self.jobs[run.id] = job
        if job.approved_after is not None:
            self.reviews += 1
            await asyncio.sleep(job.approved_after)
            self.reviews -= 1
            workflows.release(job_id)
        if job.cancel_after is not None:
            await asyncio.sleep(job.cancel_after)
            self.cancelled.add(run.id)
            self.judge.marks[f"workflow cancelled {self._phase_of(job_id)}"] += 1
            workflows.cancel_run(run.id)

    def _phase_of(self, job_id: int) -> str:
        """Say how far the work for a job has come, as far as one can tell: no runner is for one job."""
        row = self.sim.github.store.jobs[job_id]
        if row.status != "queued":
            return row.status
        live = [j for j in self.sim.hub.platform.live.values() if j.id not in self.judge.foreign]
        return f"queued, HF Job {live[-1].phase}" if live else "queued, no HF Job"

    def _boot(self, run: Run) -> Boot:
        if self.judge.is_foreign(self.sim.hub.platform.jobs[run.job_id]):
            return Boot(seconds=1e9)
        name = run.labels.get("runner", "")
        if self.plan.boots_in is not None:
            return Boot(seconds=self.plan.boots_in)
        seconds = 3 + 30 * self.plan.u("boots in", name)
        if self.broken_images:
            code = (65, 67, 71, 73, 0)[int(5 * self.plan.u("ends with", name))]
            self.judge.marks[f"image exits {code}"] += 1
            return Boot(seconds=seconds, exit_code=code)
        return Boot(seconds=seconds)

    def _latency(self, call: Call) -> tuple[float, float]:
        if self.plan.profile == "calm":
            return 0.05, 0.05
        key = f"{call.route}{call.request.path}{call.at:.3f}"
        slow = 20.0 if self.plan.u("slow", key) < 0.01 else 1.0
        return (
            0.01 + 0.15 * self.plan.u("there", key) * slow,
            0.01 + 0.15 * self.plan.u("back", key) * slow,
        )

    def _connects_in(self, method: str, path: str) -> float:
        """Return how long a connection takes: seconds, now and then, in which the lease may end."""
        fault_id = f"{SLOW_CONNECT}:{method} {path}@{int(self.sim.clock.mono() // WINDOW)}"
        drawn = self.sim.clock.mono() < self.plan.calm_at and self.plan.u(fault_id) < SLOW_CONNECTIONS
        if fault_id not in self.plan.forced and not (drawn and self.plan.allows(fault_id)):
            return 0.0
        self.fired.append(fault_id)
        self.judge.marks["slow connection"] += 1
        return LONGEST_CONNECTION

    def _trouble_in_the_cluster(self, request: str) -> str:
        """Return what happens to one request for a pool: now and then somebody else is
        quicker, or the answer is lost.
        """
        self.asked_of_the_cluster += 1
        if self.plan.profile == "calm" or self.sim.clock.mono() >= self.plan.calm_at:
            return ""
        fault_id = f"cluster:{request}#{self.asked_of_the_cluster}"
        drawn = self.plan.u(fault_id)
        trouble = "moved" if drawn < CONFLICTS else "lost" if drawn < CONFLICTS + LOST_WRITES else ""
        if not trouble or not self.plan.allows(fault_id):
            return ""
        self.fired.append(fault_id)
        self.judge.marks[f"pool {trouble}"] += 1
        return trouble

    # ---------------------------------------------------------------------------------------- the controllers
    def _start(self) -> None:
        self.starts += 1
        first = self.starts == 1
        skew = self.plan.skew if first else 600 * self.plan.u("skew", self.starts) - 300
        if self.plan.profile == "calm":
            skew = 0.0
        drift = 0.0 if first else 1e-4 * self.plan.u("drift", self.starts)
        clock = LoopClock(time=asyncio.get_running_loop().time, epoch=EPOCH + skew, drift=drift)
        name = f"controller-{self.starts}"
        alone = self.plan.replicas == 1
        process = self.sim.start(
            leadership=None if alone else _Holding(self.lease, name, self.starts),
            clock=clock,
            recorder=_Notes(self),
        )
        assert process.incarnation.name == name
        self.lease.holder = name
        self.note(f"{name} starts, {skew:+.0f} s")

    def _crash(self, name: str, share: float) -> None:
        """Kill an incarnation at once; what it left is taken away, and another started, a little later."""
        process = next((p for p in self.sim.replicas if p.incarnation.name == name), None)
        if process is None or not process.incarnation.alive:
            return
        process.incarnation.alive = False
        self._later(0.0, self.end_process(process, share, graceful=False))

    async def end_process(self, process: Process, share: float, *, graceful: bool) -> None:
        """End an incarnation; if it led, start another one a little later."""
        name = process.incarnation.name
        self.note(f"{name} {'stops' if graceful else 'dies'}")
        self.judge.marks["stop" if graceful else "crash"] += 1
        await (self.sim.stop(process) if graceful else self.sim.crash(process))
        if self.lease.holder == name:
            self.lease.holder = None
            await asyncio.sleep(60 * share * share if self.plan.replicas == 1 else 10 * share)
            self.take_over()

    def take_over(self) -> None:
        """Let the next controller start, unless somebody leads: one that follows is nothing
        but a watcher of the lease.
        """
        if self.lease.holder is None:
            self._start()

    def outcome(self, records: Iterable[logging.LogRecord]) -> Outcome:
        """Judge what was logged, and return everything."""
        if hasattr(self, "sim"):
            for record in records:
                text = f"{record.getMessage()} {_extra(record)}"
                self.judge.look_for_secrets("a log line", [text])
                if record.levelno >= logging.ERROR:
                    cause = record.exc_info[1] if record.exc_info else None
                    self.judge.fail(INTERNAL, f"{text.splitlines()[0]}: {cause!r}")
        exchanges = (self.sim.github_exchange, self.sim.hub_exchange)
        return Outcome(
            plan=self.plan,
            violations=tuple(self.judge.violations),
            fired=(*self.nemesis.fired, *self.fired),
            marks=dict(sorted(self.judge.marks.items())),
            digest=self.digest,
            trace=self.trace,
            seconds=self.seconds,
            requests=sum(len(exchange.log) for exchange in exchanges),
            launches=self.judge.launches,
            asked=dict(self.nemesis.asked),
            views=self.views,
        )


_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}


def _extra(record: logging.LogRecord) -> str:
    return " ".join(f"{k}={v}" for k, v in record.__dict__.items() if k not in _STANDARD)
