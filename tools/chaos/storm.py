"""Replicas under load and under fire for some time, and a verdict on what became of the work."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random

from controller.adapters.kube.client import connect
from tools.chaos.cluster import LEASE, Cluster
from tools.chaos.replicas import Replica
from tools.chaos.world import World, open_world

POOLS, REPOSITORIES = ("alpha", "beta"), ("lib", "kernels", "train")
NAMESPACE = "chaos"
HASTE = ("--github-poll-seconds", "2", "--hub-poll-seconds", "1", "--github-points-per-minute", "0")
SHORT_LEASE = ("--lease-duration", "5", "--lease-renew-deadline", "3", "--lease-retry-period", "0.8")
"""A third of the default durations, so that a minute holds many terms."""

PATIENCE = 240.0
"""Seconds for what is left to be done when the storm is over: doubtful registrations are removed
after a minute or two."""

MOST_WAITING = 30
"""Workflow jobs that may wait while another burst is queued."""


class Storm:
    """One storm.

    Args:
        world: The services.
        cluster: The namespace.
        replicas: Started here, and again whenever their process has ended.
        seed: Of the choice of troubles and of the load; the machine's own timing is not in it.
        say: Told what happens.
    """

    def __init__(
        self,
        *,
        world: World,
        cluster: Cluster,
        replicas: Sequence[Replica],
        seed: int,
        say: Callable[[str], None],
    ) -> None:
        self._world = world
        self._cluster = cluster
        self._replicas = replicas
        self._random = Random(seed)
        self._say = say
        self._began = time.monotonic()
        self._troubles: Counter[str] = Counter()
        self._starts = 0

    async def rage(self, seconds: float) -> list[str]:
        """Live through it; return what was wrong in the end, nothing if all is well."""
        self._world_is_as_new()
        for pool in POOLS:
            await self._cluster.apply(self._world.pool(NAMESPACE, pool, maxRunners=6))
        keeper = asyncio.create_task(self._keep_running())
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._load(seconds))
                tasks.create_task(self._trouble(seconds))
            self._report(f"calm; {len(self._world.undone())} workflow jobs are not done yet")
            wrong = await self._wind_up()
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        return wrong + await self._stop() + self._judge()

    def _world_is_as_new(self) -> None:
        if self._world.jobs():
            raise RuntimeError("this world was used before")

    async def _load(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            if len(self._world.undone()) < MOST_WAITING:
                self._world.queue(
                    self._random.choice(REPOSITORIES),
                    self._random.choice(POOLS),
                    count=self._random.randint(1, 4),
                    seconds=self._random.uniform(0.5, 10.0),
                )
            await asyncio.sleep(self._random.uniform(0.5, 3.0))

    async def _trouble(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            await asyncio.sleep(self._random.uniform(2.0, 9.0))
            one = await self._victim()
            kind = self._random.choice(["kill", "kill", "kill", "terminate", "stop", "cut off"])
            if one.running:
                self._troubles[kind] += 1
                self._report(f"{kind} replica {one.number}")
                await self._strike(one, kind)

    async def _victim(self) -> Replica:
        """Choose the leader mostly: the others have little to lose."""
        if self._random.random() < 0.8:
            holder = await self._cluster.holder()
            for replica in self._replicas:
                if holder and f"identity={holder}" in replica.log_text():
                    return replica
        return self._random.choice(self._replicas)

    async def _strike(self, one: Replica, kind: str) -> None:
        match kind:
            case "kill":
                one.signal(signal.SIGKILL)
            case "terminate":
                one.signal(signal.SIGTERM)
            case "stop":
                one.signal(signal.SIGSTOP)
                await asyncio.sleep(self._random.uniform(1.0, 9.0))
                one.signal(signal.SIGCONT)
            case _:
                one.proxy.freeze()
                await asyncio.sleep(self._random.uniform(1.0, 9.0))
                one.proxy.thaw()

    async def _keep_running(self) -> None:
        """Start what ended, as a kubelet does."""
        while True:
            for replica in self._replicas:
                if not replica.running:
                    replica.start()
                    self._starts += 1
            await asyncio.sleep(0.5)

    # --------------------------------------------------------------------------------------------- afterwards
    async def _wind_up(self) -> list[str]:
        """Let the work end, then delete the pools and let everything go."""
        if not await self._until(lambda: _now(not self._world.undone())):
            undone = self._world.undone()
            return [f"{len(undone)} workflow jobs lost, such as {undone[0]}"]
        self._report("all workflow jobs done; deleting the pools")
        await self._cluster.delete_pools()
        if not await self._until(self._pools_are_gone):
            return [f"pools that do not go: {await self._cluster.pools()}"]
        await self._until(lambda: _now(not any(self._world.left())), patience=15.0)
        return []

    async def _pools_are_gone(self) -> bool:
        return not await self._cluster.pools()

    async def _until(self, met: Callable[[], Awaitable[bool]], patience: float = PATIENCE) -> bool:
        ends = time.monotonic() + patience
        while not await met():
            if time.monotonic() > ends:
                return False
            await asyncio.sleep(0.5)
        return True

    async def _stop(self) -> list[str]:
        for replica in self._replicas:
            replica.signal(signal.SIGTERM)
        codes = [await replica.ended(30.0) for replica in self._replicas]
        return [f"exit codes after SIGTERM: {codes}"] if any(codes) else []

    def _judge(self) -> list[str]:
        world, wrong = self._world, []
        live, registrations = world.left()
        if live:
            wrong.append(f"HF Jobs left: {live}")
        if registrations:
            wrong.append(f"registrations left: {registrations}")
        wrong += [f"killed: {one}" for one in world.machine.killed_busy]
        terms = world.terms()
        if again := [replica for replica, times in Counter(terms).items() if times > 1]:
            wrong.append(f"acted although another had taken over: {again}; the order was {terms}")
        for replica in self._replicas:
            if "Traceback" in (log_text := replica.log_text()):
                wrong.append(f"replica {replica.number} logged a traceback:\n{_traceback(log_text)}")
        jobs, acts = world.jobs(), world.acts()
        troubles = ", ".join(f"{count} x {kind}" for kind, count in sorted(self._troubles.items()))
        self._report(f"troubles: {troubles}; {self._starts} process starts, {len(set(terms))} replicas acted")
        self._report(
            f"chaos: {len(jobs)} workflow jobs, {len(jobs) - len(world.undone())} completed, "
            f"{len(world.hub.platform.jobs)} HF Jobs, {len(acts)} effects, {len(live)} HF Jobs left, "
            f"{len(registrations)} registrations left, {len(world.machine.killed_busy)} busy runners killed, "
            f"{len(again)} fenced replicas that acted"
        )
        return wrong

    def _report(self, text: str) -> None:
        self._say(f"{time.monotonic() - self._began:6.1f}s {text}")


async def _now(answer: bool) -> bool:
    return answer


def _traceback(log_text: str) -> str:
    start = log_text.index("Traceback")
    return log_text[max(0, start - 300) : start + 3_000]


@asynccontextmanager
async def open_storm(
    *, kubeconfig: Path, directory: Path, seed: int, replicas: int, say: Callable[[str], None]
) -> AsyncIterator[Storm]:
    """Prepare a storm: services, namespace, and replicas that nothing runs in yet.

    Args:
        kubeconfig: An administrator's, of an API server of ``tools.controlplane``.
        directory: For logs.
        seed: Of :class:`Storm`.
        replicas: How many.
        say: Told what happens.
    """
    arguments = (
        *("--namespace", NAMESPACE, "--controller-id", "chaos", *HASTE, *SHORT_LEASE),
        *("--leader-elect", "--lease-namespace", NAMESPACE, "--lease-name", LEASE),
    )
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(open_world(REPOSITORIES))
        hosts = ("--github-host", world.github_url, "--hub-endpoint", world.hub_url, "--allow-http")
        kube = await stack.enter_async_context(await connect(kubeconfig=str(kubeconfig)))
        cluster = Cluster(kube=kube, namespace=NAMESPACE)
        await cluster.prepare(world)
        made = [
            await stack.enter_async_context(
                Replica(
                    number=number,
                    kubeconfig=kubeconfig,
                    directory=directory,
                    arguments=(*arguments, *hosts),
                ).ready()
            )
            for number in range(1, replicas + 1)
        ]
        yield Storm(world=world, cluster=cluster, replicas=made, seed=seed, say=say)
