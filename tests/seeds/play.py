"""Plays one plan: pools, jobs, faults and disturbances first, then the quiet end of
:mod:`tests.seeds.ending`.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from controller.core.hosts import Hosts
from controller.simulate.check import Judge
from controller.simulate.engine import GITHUB, HUB, Simulation
from controller.simulate.invariants import INTERNAL, Violation
from controller.simulate.loop import Deadlock, Livelock, run_virtual
from controller.simulate.serving import HOSTILE_GITHUB, HOSTILE_HUB
from hf_runner_simulators.clock import EPOCH
from hf_runner_simulators.github.model import JobSpec, Scope
from tests.seeds.conditions import Conditions
from tests.seeds.ending import Ending
from tests.seeds.nemesis import PlannedNemesis
from tests.seeds.plan import REPOSITORIES, JobPlan, Plan
from tests.seeds.scene import TOKEN, Scene
from tests.seeds.tenants import robot, set_up
from tests.seeds.trace import write_down
from tests.seeds.trouble import happen
from tests.seeds.views import NamespaceView

ZOMBIES = 0.2
"""Share of plans with a run that reads queued for ever and has no jobs."""


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
        views: By namespace, what its pools launched and what its people were told.
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
        under_way = Play(Scene(plan, judge))
        try:
            run_virtual(under_way.play())
        except (Deadlock, Livelock) as stuck:
            judge.violations.append(Violation(invariant=INTERNAL, at=0.0, message=repr(stuck)))
        gc.collect()  # tasks whose exception nobody took complain when they are collected
        return under_way.outcome(records)


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
class Play:
    """One plan, played on a scene from its beginning to the judgement of its end."""

    scene: Scene
    digest: str = ""
    trace: tuple[str, ...] = ()
    seconds: float = 0.0

    async def play(self) -> None:
        """Play the plan to its end, or to the first broken invariant."""
        scene, plan = self.scene, self.scene.plan
        conditions = Conditions(scene)
        scene.nemesis = PlannedNemesis(plan, start=EPOCH, judge=scene.judge, crash=scene.crash)
        sim = scene.sim = Simulation(
            seed=plan.seed,
            boot=conditions.boot,
            hub_knobs=dict(plan.hub),
            github_knobs=dict(plan.github),
            github_interval=plan.intervals[0],
            hub_interval=plan.intervals[1],
            github_nemeses=[scene.nemesis],
            hub_nemeses=[scene.nemesis],
            latency=conditions.latency,
            connects_in=conditions.connects_in,
            wrap=conditions.wrap,
            # Who runs the controller has allowed the hosts that lie: nothing would be asked of them else.
            hosts=Hosts.listed(github=[GITHUB, HOSTILE_GITHUB], hub=[HUB, HOSTILE_HUB], allow_http=True),
        )
        scene.judge.sim = sim
        scene.judge.holds = lambda caller: plan.replicas == 1 or scene.lease.holder == caller
        sim.set_up(REPOSITORIES, token=None if plan.app else TOKEN)
        # A wrong image is expected today wherever the hardware list fails; judged everywhere, it would
        # hide all that comes after.
        scene.judge.images = plan.world in ("hardware-unknown", "odd-prices")
        scene.judge.secrets |= set_up(sim, plan)
        scene.judge.robots = {"robot"} | {
            robot(pool.namespace, pool.spec.get("huggingface", {}).get("tokenSecret", "hf-token"))
            for pool in plan.pools
        }
        for row in list(sim.github.accounts.installations.values()):
            permissions = {**row.permissions, "actions": "write"}
            sim.github.accounts.change_installation(row.id, permissions=permissions)
        scene.judge.secrets |= {"hf_sim", TOKEN, "PRIVATE KEY"}
        sim.cluster.written = self._written
        sim.cluster.trouble = conditions.trouble_in_the_cluster
        self._plant()
        for pool in plan.pools:
            scene.apply(pool, pool.url, pool.labels, pool.spec)
        self._mark_uncertain_facts()
        scene.start()
        for number, job in enumerate(plan.jobs):
            scene.later(job.at, self._queue(job, number))
        for disturbance in plan.disturbances:
            if plan.allows(disturbance.id):
                scene.later(disturbance.at, happen(scene, disturbance))
        try:
            await Ending(scene).judge()
        finally:
            for task in scene.tasks:
                task.cancel()
            await asyncio.gather(*scene.tasks, return_exceptions=True)
            self.trace, self.digest = write_down(sim, scene.happenings)
            self.seconds = sim.clock.mono()
            await sim.close()
        for bug in sim.bugs:
            scene.judge.fail(INTERNAL, bug)

    def _mark_uncertain_facts(self) -> None:
        """Count what is otherwise than usual in this world, so that a table can tell what was played."""
        scene = self.scene
        github, hub, marks = scene.plan.github, scene.plan.hub, scene.judge.marks
        marks["lists lag"] += bool(github.get("list_lag_seconds") or hub.get("list_stale_seconds"))
        marks["lists reordered"] += "shuffled" in (github.get("list_order"), hub.get("list_order"))
        marks["busy lies"] += bool(github.get("busy_reads_false"))
        marks["label filter means OR"] += hub.get("label_match") == "any"
        marks["clock wrong"] += abs(scene.plan.skew) > 60
        marks["two replicas"] += scene.plan.replicas == 2
        marks[f"world {scene.plan.world}"] += bool(scene.plan.world)

    def _written(self, text: str) -> None:
        scene = self.scene
        scene.writes += 1
        scene.judge.look_for_secrets("a status or an Event", [text])

    # ---------------------------------------------------------------------------------------------- the scene
    def _plant(self) -> None:
        """Put strangers beside us that look like us as much as strangers can."""
        scene = self.scene
        scope = Scope("repo", "acme/lib")
        for name in ("nobodys-runner", "pool-0-hfr-abcdef-00000000-aaaaaaaaaa"):
            made = scene.sim.github.runners.generate_jit_config(scope, name=name, labels=["self-hosted"])
            scene.judge.foreign.add(f"runner {made.runner.id}")
        if scene.plan.u("zombie") < ZOMBIES and scene.plan.profile != "calm":
            scene.sim.github.workflows.queue_zombie("acme/lib")
            scene.judge.marks["run queued for ever without jobs"] += 1
        looks: tuple[dict[str, str], ...] = (
            {},
            {"managed-by": "hf-runner-controller", "controller": "other", "runner": "x"},
            {"managed-by": "hf-runner-controller", "controller": "sim", "runner": "not-a-name-of-ours"},
            {"controller": "sim", "pool-uid": "00000000-0000-4000-8000-000000000001"},
        )
        scene.judge.marks["strangers beside us"] += 1
        for labels in looks:
            payload = {"dockerImage": "x", "command": ["true"], "flavor": "cpu-basic", "labels": labels}
            job = scene.sim.hub.create("hf_sim", "acme", {**payload, "timeoutSeconds": 86_400})
            scene.judge.foreign.add(job.id)

    async def _queue(self, job: JobPlan, number: int) -> None:
        scene = self.scene
        workflows = scene.sim.github.workflows
        spec = JobSpec(
            name=f"job-{number}",
            labels=job.labels,
            seconds=job.seconds,
            result=job.result,
            never_runs=job.ghost,
            status="queued" if job.approved_after is None else "waiting",
        )
        repository = scene.renamed.get(job.repository, job.repository)
        run = workflows.queue_run(repository, [spec], workflow=f"w{number}")
        (job_id,) = scene.sim.github.store.jobs_of[run.id]
        scene.jobs[run.id] = job
        if job.approved_after is not None:
            scene.reviews += 1
            await asyncio.sleep(job.approved_after)
            scene.reviews -= 1
            workflows.release(job_id)
        if job.cancel_after is not None:
            await asyncio.sleep(job.cancel_after)
            scene.cancelled.add(run.id)
            scene.judge.marks[f"workflow cancelled {self._phase_of(job_id)}"] += 1
            workflows.cancel_run(run.id)

    def _phase_of(self, job_id: int) -> str:
        """Say how far the work for a job has come, as far as one can tell: no runner is for one job."""
        scene = self.scene
        row = scene.sim.github.store.jobs[job_id]
        if row.status != "queued":
            return row.status
        live = [j for j in scene.sim.hub.platform.live.values() if j.id not in scene.judge.foreign]
        return f"queued, HF Job {live[-1].phase}" if live else "queued, no HF Job"

    def outcome(self, records: Iterable[logging.LogRecord]) -> Outcome:
        """Judge what was logged, and return everything."""
        scene = self.scene
        if hasattr(scene, "sim"):
            for record in records:
                text = f"{record.getMessage()} {_extra(record)}"
                scene.judge.look_for_secrets("a log line", [text])
                if record.levelno >= logging.ERROR:
                    cause = record.exc_info[1] if record.exc_info else None
                    scene.judge.fail(INTERNAL, f"{text.splitlines()[0]}: {cause!r}")
        exchanges = (scene.sim.github_exchange, scene.sim.hub_exchange)
        return Outcome(
            plan=scene.plan,
            violations=tuple(scene.judge.violations),
            fired=(*scene.nemesis.fired, *scene.fired),
            marks=dict(sorted(scene.judge.marks.items())),
            digest=self.digest,
            trace=self.trace,
            seconds=self.seconds,
            requests=sum(len(exchange.log) for exchange in exchanges),
            launches=scene.judge.launches,
            asked=dict(scene.nemesis.asked),
            views=scene.views,
        )


_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}


def _extra(record: logging.LogRecord) -> str:
    return " ".join(f"{k}={v}" for k, v in record.__dict__.items() if k not in _STANDARD)
