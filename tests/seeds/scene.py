"""A plan under way: its services and controllers, what has happened so far, and what may be done to it.

Below what makes it happen: :mod:`tests.seeds.trouble` disturbs a scene, :mod:`tests.seeds.ending` judges how it ends, and
:mod:`tests.seeds.play` plays the plan.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.core.actions import Retire
from controller.core.plan import Plan as ActionPlan
from controller.simulate.check import Judge
from controller.simulate.engine import NoRecorder, Process, Simulation
from hf_runner_simulators.clock import EPOCH, LoopClock
from tests.seeds.nemesis import PlannedNemesis
from tests.seeds.plan import JobPlan, Plan, PoolPlan
from tests.seeds.views import NamespaceView, namespace_views

TOKEN = "ghp_" + "simulated" * 4
"""The personal access token of plans without an App."""


@dataclass(slots=True)
class Lease:
    """The lease: at most one incarnation has it."""

    holder: str | None = None


@dataclass(frozen=True, slots=True)
class _Holding:
    """One incarnation's view of the lease."""

    lease: Lease
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
    """One run under way.

    Attributes:
        lease: Of the controllers, where there are two of them.
        fired: Ids of the faults and disturbances that struck, but for those of single exchanges.
        happenings: What the plan did, in seconds since the start.
        writes: How often a status or an Event was written.
        starts: How often a controller was started.
        pending: What was planned and has not ended.
        cancelled: Runs that somebody cancelled.
        broken_images: Containers end before their runner is online.
    """

    plan: Plan
    judge: Judge
    lease: Lease = field(default_factory=Lease)
    fired: list[str] = field(default_factory=list)
    happenings: list[tuple[float, str]] = field(default_factory=list)
    jobs: dict[int, JobPlan] = field(default_factory=dict)
    """By run: a run has one job, which may be run again."""
    writes: int = 0
    starts: int = 0
    pending: int = 0
    reviews: int = 0
    """Jobs that somebody has not approved yet, which may take days."""
    cancelled: set[int] = field(default_factory=set)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    broken_images: bool = False
    renamed: dict[str, str] = field(default_factory=dict)
    """Repositories that have another name at the moment."""
    views: Mapping[str, NamespaceView] = field(default_factory=dict)
    sim: Simulation = field(init=False)
    nemesis: PlannedNemesis = field(init=False)

    def later(self, at: float, work: Any) -> None:
        """Let something happen at a moment of virtual time, in seconds since the start."""
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

    def apply(self, pool: PoolPlan, url: str, labels: Iterable[str], spec: Mapping[str, Any]) -> None:
        """Create or change a RunnerPool; ``url``, ``labels`` and ``spec`` may differ from
        the planned ones.
        """
        given = json.loads(json.dumps(dict(spec)))
        self.sim.pool(pool.name, url=url, labels=list(labels), namespace=pool.namespace, **given)
        self.judge.pools_changed()

    def drop_secrets(self) -> None:
        """Delete the Secrets of all pools. Idempotent."""
        for pool in self.plan.pools:
            github, hub = pool.spec.get("github", {}), pool.spec.get("huggingface", {})
            for name in (github.get("credentialsSecret", "github-app"), hub.get("tokenSecret", "hf-token")):
                self.sim.cluster.set_secret(pool.namespace, name, None)

    def keep_views(self) -> None:
        """Keep what each namespace's people have seen so far."""
        self.views = namespace_views(self.sim, self.judge)

    def start(self) -> None:
        """Start a controller, which leads."""
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

    def crash(self, name: str, share: float) -> None:
        """Kill an incarnation at once; what it left is taken away, and another started, a little later."""
        process = next((p for p in self.sim.replicas if p.incarnation.name == name), None)
        if process is None or not process.incarnation.alive:
            return
        process.incarnation.alive = False
        self.later(0.0, self.end_process(process, share, graceful=False))

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
            self.start()
