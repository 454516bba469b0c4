"""How slow and how odd the services and containers of a plan are; who asks gets the same answer for the same plan."""

from __future__ import annotations

from dataclasses import dataclass

from controller.simulate.machine import Boot
from controller.simulate.serving import HOSTILE_GITHUB, HOSTILE_HUB
from hf_runner_simulators.faults import Call
from hf_runner_simulators.github.http import GitHubSite
from hf_runner_simulators.http import Site
from hf_runner_simulators.hub.running import Run
from tests.seeds.hostile import LIES, Hostile
from tests.seeds.nemesis import WINDOW
from tests.seeds.plan import SLOW_CONNECT
from tests.seeds.scene import TOKEN, Scene

CONFLICTS, LOST_WRITES = 0.1, 0.02
"""Shares of the requests about one pool that meet a change of somebody else's, and whose answer is lost."""

SLOW_CONNECTIONS, LONGEST_CONNECTION = 0.05, 4.0
"""Share of requests with an effect whose connection takes long, and the seconds that it takes."""


@dataclass(slots=True)
class Conditions:
    """What a scene's engine asks for at each container, request and connection."""

    scene: Scene
    asked_of_the_cluster: int = 0

    def boot(self, run: Run) -> Boot:
        """Return how a container behaves."""
        if self.scene.judge.is_foreign(self.scene.sim.hub.platform.jobs[run.job_id]):
            return Boot(seconds=1e9)
        name = run.labels.get("runner", "")
        if self.scene.plan.boots_in is not None:
            return Boot(seconds=self.scene.plan.boots_in)
        seconds = 3 + 30 * self.scene.plan.u("boots in", name)
        if self.scene.broken_images:
            code = (65, 67, 71, 73, 0)[int(5 * self.scene.plan.u("ends with", name))]
            self.scene.judge.marks[f"image exits {code}"] += 1
            return Boot(seconds=seconds, exit_code=code)
        return Boot(seconds=seconds)

    def latency(self, call: Call) -> tuple[float, float]:
        """Return the seconds of a request's way there and of its answer's way back."""
        if self.scene.plan.profile == "calm":
            return 0.05, 0.05
        key = f"{call.route}{call.request.path}{call.at:.3f}"
        slow = 20.0 if self.scene.plan.u("slow", key) < 0.01 else 1.0
        return (
            0.01 + 0.15 * self.scene.plan.u("there", key) * slow,
            0.01 + 0.15 * self.scene.plan.u("back", key) * slow,
        )

    def connects_in(self, method: str, path: str) -> float:
        """Return how long a connection takes: seconds, now and then, in which the lease may end."""
        fault_id = f"{SLOW_CONNECT}:{method} {path}@{int(self.scene.sim.clock.mono() // WINDOW)}"
        drawn = (
            self.scene.sim.clock.mono() < self.scene.plan.calm_at
            and self.scene.plan.u(fault_id) < SLOW_CONNECTIONS
        )
        if fault_id not in self.scene.plan.forced and not (drawn and self.scene.plan.allows(fault_id)):
            return 0.0
        self.scene.fired.append(fault_id)
        self.scene.judge.marks["slow connection"] += 1
        return LONGEST_CONNECTION

    def trouble_in_the_cluster(self, request: str) -> str:
        """Return what happens to one request for a pool: now and then somebody else is
        quicker, or the answer is lost.
        """
        self.asked_of_the_cluster += 1
        if self.scene.plan.profile == "calm" or self.scene.sim.clock.mono() >= self.scene.plan.calm_at:
            return ""
        fault_id = f"cluster:{request}#{self.asked_of_the_cluster}"
        drawn = self.scene.plan.u(fault_id)
        trouble = "moved" if drawn < CONFLICTS else "lost" if drawn < CONFLICTS + LOST_WRITES else ""
        if not trouble or not self.scene.plan.allows(fault_id):
            return ""
        self.scene.fired.append(fault_id)
        self.scene.judge.marks[f"pool {trouble}"] += 1
        return trouble

    def wrap(self, site: Site) -> Site:
        """Let the judge see what is asked of a service, and a hostile tenant's own service
        answer at its own origin.
        """
        watched = self.scene.judge.watch(site)
        github = isinstance(site, GitHubSite)
        origin, token = (HOSTILE_GITHUB, TOKEN) if github else (HOSTILE_HUB, "hf_sim")
        if not any(
            str(pool.spec.get("github", {}).get("url", "")).startswith(HOSTILE_GITHUB)
            for pool in self.scene.plan.pools
        ):
            return watched
        return Hostile(watched, origin=origin, token=lambda: token, lie=LIES[origin])
