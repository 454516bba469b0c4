"""Two minutes of work with a bit of everything: two replicas on a real API server, six
pools, and services that fail.

Nothing here is asserted of the controller: the scene exists so that every query of the
dashboard has something to show.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

from controller.adapters.kube.client import connect
from controller.simulate.machine import Boot
from hf_runner_simulators.hub.job import Stage
from hf_runner_simulators.hub.running import Run
from tools.chaos.cluster import LEASE, STOP_SWITCH, Cluster
from tools.chaos.replicas import Replica
from tools.chaos.storm import HASTE, SHORT_LEASE
from tools.chaos.world import OWNER, World, open_world
from tools.monitoring.prometheus import Prometheus, configuration, free_port, running

NAMESPACE: Final = "ci"
REPOSITORIES: Final = ("lib", "kernels", "train")
SETTLES_WITHIN: Final = 60.0
"""Seconds for the replicas to start, to elect one, and to be scraped."""

IMAGE_UNSUITABLE: Final = 65
"""Exit code of the bootstrap when the image lacks what a runner needs (docs/bootstrap.md)."""

POOLS: Final[dict[str, dict[str, Any]]] = {
    "t4": {"flavors": ["t4-small", "t4-medium"], "maxRunners": 4},
    # The Hub has one a10g-large only: the second runner meets the scheduling deadline and the
    # third one is a smaller one.
    "a10g": {
        "flavors": ["a10g-large", "a10g-small"],
        "maxRunners": 3,
        "deadlines": {"idle": "15s", "scheduling": "10s"},
    },
    "h200": {"flavors": ["h200"], "maxRunners": 1},
    "broken-image": {"flavors": ["cpu-basic"], "maxRunners": 1},
    "personal": {"flavors": ["t4-small"], "maxRunners": 1},
    "nightly": {"flavors": ["l4x1"], "maxRunners": 2, "paused": True},
    "new-team": {"flavors": ["t4-small"], "huggingface": {"namespace": OWNER, "tokenSecret": "not-made-yet"}},
}


def _boot(run: Run) -> Boot:
    if run.spec.flavor == "cpu-basic":
        return Boot(seconds=0.5, exit_code=IMAGE_UNSUITABLE)
    return Boot(seconds=Random(run.job_id).uniform(0.5, 3.0))


@dataclass(slots=True, kw_only=True)
class Scene:
    """What plays.

    Attributes:
        world: The services.
        cluster: The namespace.
        replicas: Two, of which one leads.
        prometheus: Scrapes both.
        ports: Where each shows ``/metrics``.
        began: When the first load came, epoch seconds.
        say: Told what happens.
    """

    world: World
    cluster: Cluster
    replicas: Sequence[Replica]
    prometheus: Prometheus
    ports: Sequence[int]
    began: float
    say: Callable[[str], None]

    async def play(self, seconds: float) -> None:
        """Apply the pools and live through load and trouble for some time."""
        random = Random(7)
        async with asyncio.TaskGroup() as tasks:
            for label, low, high, work in (
                ("t4", 1.5, 4.0, 9.0),
                ("a10g", 2.0, 5.0, 12.0),
                ("h200", 8.0, 14.0, 15.0),
            ):
                tasks.create_task(self._load(label, seconds, random=random, between=(low, high), work=work))
            tasks.create_task(self._trouble(seconds))
        await asyncio.sleep(3)  # the newest scrape has seen it all

    async def _load(
        self, label: str, seconds: float, *, random: Random, between: tuple[float, float], work: float
    ) -> None:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            if sum(label in job["labels"] for job in self.world.undone()) < 10:
                self.world.queue(random.choice(REPOSITORIES), label, seconds=random.uniform(0.4 * work, work))
            await asyncio.sleep(random.uniform(*between))

    async def _trouble(self, seconds: float) -> None:
        """Let things go wrong at shares of the time, so that a shorter scene has them too."""
        self.world.queue("lib", "broken-image", count=2)
        self.world.queue("lib", "nightly", count=3)
        self.world.queue("train", "b200", count=1)
        self.say(
            "one pool has a broken image, one is paused, one lacks its Secret, one has a token that ends soon, and one job asks for a label that no pool has"
        )
        await asyncio.sleep(seconds * 0.05)
        lost = sum([await self._lose_a_busy_runner() for _ in range(3)])
        self.say(
            f"the Hub loses {lost} HF Jobs under their workflow jobs, which are run again a minute later"
        )
        await asyncio.sleep(seconds * 0.2)
        self.world.queue("lib", "t4", count=12, seconds=6.0)
        self.say("a burst of 12 workflow jobs")
        await asyncio.sleep(seconds * 0.35)
        self.world.sites[0].rules.add({"route": "GET *", "kind": "status", "status": 502, "times": 6})
        self.say("GitHub answers with errors")
        await asyncio.sleep(seconds * 0.1)
        self.world.sites[1].rules.add(
            {"route": "GET /api/jobs/{namespace}", "kind": "status", "status": 503, "times": 4}
        )
        self.say("the Hub answers with errors")
        await asyncio.sleep(seconds * 0.05)
        await self.cluster.stop_switch().put("", "a drill")
        self.say("somebody stops all launches")
        await asyncio.sleep(seconds * 0.05)
        await self.cluster.stop_switch().take_back("")
        self.say("launches go on, and a pool is deleted")
        await self.cluster.delete_pool("h200")
        holder = await self.cluster.holder()
        for replica in self.replicas:
            if holder and f"identity={holder}" in replica.log_text():
                replica.signal(signal.SIGKILL)
                self.say("the leader is killed")
                await replica.ended(10)
                await asyncio.sleep(2)
                replica.start()

    async def _lose_a_busy_runner(self) -> bool:
        ends = time.monotonic() + 15
        while time.monotonic() < ends:
            for job_id in list(self.world.hub.platform.live):
                shift = self.world.machine.shifts.get(job_id)
                if shift is not None and shift.workflow_job is not None and shift.done_at is None:
                    self.world.hub.end(job_id, stage=Stage.ERROR, message="Node lost")
                    self.world.machine.kill(job_id)
                    return True
            await asyncio.sleep(0.2)
        return False


@asynccontextmanager
async def open_scene(
    *, kubeconfig: Path, directory: Path, say: Callable[[str], None]
) -> AsyncIterator[Scene]:
    """Start services, namespace, pools, two replicas and Prometheus, and wait until one
    leads and both are scraped.

    Args:
        kubeconfig: An administrator's, of an API server of ``tools.controlplane``.
        directory: For logs and data.
        say: Told what happens.

    Raises:
        ProgramMissing: There is no Prometheus on this machine.
        TimeoutError: The replicas do not settle.
    """
    ports = {f"hf-runner-controller-{number}": free_port() for number in (1, 2)}
    async with AsyncExitStack() as stack:
        config = configuration(ports, namespace="hf-runner-controller")
        prometheus = stack.enter_context(running(config, directory))
        say(f"Prometheus is at {prometheus.url}")
        world = await stack.enter_async_context(open_world(REPOSITORIES, boot=_boot))
        _may_rerun(world)
        # Rate limits as on github.com, though the address makes it an Enterprise Server; a lost job
        # fails in seconds, not minutes.
        world.github.turn(
            ghes_rate_limits=True, secondary_points_per_minute=None, lease_seconds=8.0, linger_seconds=2.0
        )
        world.hub.turn({"capacity": {"a10g-large": 1}, "scheduling_seconds": 1.5, "jitter": 0.5})
        kube = await stack.enter_async_context(await connect(kubeconfig=str(kubeconfig)))
        cluster = Cluster(kube=kube, namespace=NAMESPACE)
        await cluster.prepare(world)
        for name, spec in POOLS.items():
            pool = world.pool(NAMESPACE, name, retry={"interrupted": 1}, **spec)
            pool["spec"]["huggingface"]["endpoint"] = world.hub_url
            if name == "personal":
                pool["spec"]["github"]["credentialsSecret"] = "personal"
            await cluster.apply(pool)
        replicas = []
        for number, port in enumerate(ports.values(), start=1):
            arguments = (
                *("--namespace", NAMESPACE, "--controller-id", "scene", *HASTE, *SHORT_LEASE),
                *("--leader-elect", "--lease-namespace", NAMESPACE, "--lease-name", LEASE),
                *("--stop-switch", STOP_SWITCH, "--stop-switch-namespace", NAMESPACE),
                *("--web-port", str(port)),
                *("--github-host", world.github_url, "--hub-endpoint", world.hub_url, "--allow-http"),
            )
            replica = Replica(number=number, kubeconfig=kubeconfig, directory=directory, arguments=arguments)
            replicas.append(await stack.enter_async_context(replica.ready()))
            replica.start()
        async with asyncio.timeout(SETTLES_WITHIN):
            while prometheus.scraped() < len(ports) or not prometheus.now("hfrunners_pool_max_runners"):  # noqa: ASYNC110
                await asyncio.sleep(0.5)
        say("two replicas are scraped, and one of them leads")
        yield Scene(
            world=world,
            cluster=cluster,
            replicas=replicas,
            prometheus=prometheus,
            ports=tuple(ports.values()),
            began=time.time(),
            say=say,
        )


def _may_rerun(world: World) -> None:
    """Let the App run failed jobs again, which pools with ``retry.interrupted`` ask for."""
    accounts = world.github.accounts
    row = accounts.installation_of(world.app_id, OWNER)
    accounts.change_installation(row.id, permissions={**row.permissions, "actions": "write"})
