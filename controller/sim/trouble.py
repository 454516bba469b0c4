"""What happens at a moment beside faults of single requests: processes that die, users who edit, clouds that fail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from controller.core.model import PoolKey
from controller.sim.clock import LoopClock
from controller.sim.engine import NAMESPACE, Process
from controller.sim.hub.job import Phase, Stage
from controller.sim.plan import Disturbance, PoolPlan

if TYPE_CHECKING:
    from controller.sim import stage

_VICTIMS = (Phase.PLACED, Phase.BOOTING, Phase.RUNNING)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Makes disturbances happen; each kind is a method of its name in :data:`controller.sim.plan.DISTURBANCES`."""

    stage: stage.Stage

    async def happen(self, what: Disturbance) -> None:
        """Let one happen, and end if it has a duration."""
        self.stage.fired.append(what.id)
        self.stage.note(f"{what.id} for {what.seconds:g} s")
        self.stage.judge.marks[what.kind] += 1
        kinds: Mapping[str, Callable[[Disturbance], Awaitable[None]]] = {
            "stop": self._stop,
            "kill": self._kill,
            "jump": self._jump,
            "resize": self._resize,
            "pause": self._pause,
            "recreate": self._recreate,
            "move": self._move,
            "lose_container": self._lose_container,
            "platform_cancels": self._platform_cancels,
            "no_credit": self._no_credit,
            "token_revoked": self._token_revoked,
            "no_capacity": self._no_capacity,
            "github_down": self._service_down,
            "hub_down": self._service_down,
            "handover": self._hand_over,
            "broken_image": self._broken_image,
            "no_cluster": self._no_cluster,
        }
        await kinds[what.kind](what)

    # --------------------------------------------------------------------------------------------------------- processes
    def _process(self, what: Disturbance) -> Process | None:
        replicas = [process for process in self.stage.sim.replicas if process.incarnation.alive]
        return replicas[int(what.share * len(replicas))] if replicas else None

    async def _stop(self, what: Disturbance) -> None:
        process = self._process(what)
        if process is not None:
            await self.stage.bury(process, what.share, graceful=True)

    async def _kill(self, what: Disturbance) -> None:
        process = self._process(what)
        if process is not None:
            process.incarnation.alive = False
            await self.stage.bury(process, what.share, graceful=False)

    async def _jump(self, what: Disturbance) -> None:
        process = self._process(what)
        if process is not None and isinstance(process.clock, LoopClock):
            process.clock.jump(600 * what.share - 300)

    async def _hand_over(self, what: Disturbance) -> None:
        """The lease goes, and somebody else gets it, or the only one left again."""
        baton = self.stage.baton
        before, baton.holder = baton.holder, None
        await asyncio.sleep(min(5.0, what.seconds))
        alive = [process.incarnation.name for process in self.stage.sim.replicas]
        if baton.holder is None and alive:
            baton.holder = next((name for name in alive if name != before), alive[0])

    # -------------------------------------------------------------------------------------------------------------- users
    def _pool(self, what: Disturbance) -> PoolPlan:
        pools = self.stage.plan.pools
        return pools[int(what.share * len(pools))]

    def _edit(self, name: str, *, url: str | None = None, **changes: Any) -> None:  # noqa: ANN401 - manifest fields
        body = self.stage.sim.cluster.pools.get(PoolKey(NAMESPACE, name))
        if body is None or "deletionTimestamp" in body["metadata"]:
            return
        spec = {**body["spec"], **changes}
        github = dict(spec.pop("github"))
        spec.pop("huggingface")
        path = url or str(github.pop("url")).split("/", 3)[3]
        labels = spec.pop("labels")
        kept = {key: value for key, value in github.items() if key == "repositories"}
        self.stage.apply(name, path, labels, {**spec, **({"github": kept} if kept else {})})

    async def _resize(self, what: Disturbance) -> None:
        self._edit(self._pool(what).name, maxRunners=1 + int(4 * what.share))

    async def _pause(self, what: Disturbance) -> None:
        name = self._pool(what).name
        self._edit(name, paused=True)
        await asyncio.sleep(what.seconds)
        self._edit(name, paused=False)

    async def _move(self, what: Disturbance) -> None:
        pool = self._pool(what)
        if "/" in pool.url:
            self._edit(pool.name, url="acme/app" if pool.url == "acme/lib" else "acme/lib")
            await asyncio.sleep(what.seconds)
            self._edit(pool.name, url=pool.url)

    async def _recreate(self, what: Disturbance) -> None:
        pool, cluster = self._pool(what), self.stage.sim.cluster
        key = PoolKey(NAMESPACE, pool.name)
        body = cluster.pools.get(key)
        if body is None or "deletionTimestamp" in body["metadata"]:
            return
        self.stage.sim.delete(key)
        self.stage.judge.pools_changed()
        while key in cluster.pools:  # noqa: ASYNC110 - polled like kubectl does
            await asyncio.sleep(5.0)
        self.stage.apply(pool.name, pool.url, pool.labels, pool.spec)

    # ------------------------------------------------------------------------------------------------------------- clouds
    async def _lose_container(self, what: Disturbance) -> None:
        message = "Job failed with exit code: 137. Reason: OOMKilled"
        self._end_one(what, stage=Stage.ERROR, message=message)

    async def _platform_cancels(self, what: Disturbance) -> None:
        reason = ("PLATFORM_MAINTENANCE", "SPEND_LIMIT", "NO_CREDITS")[int(3 * what.share)]
        self._end_one(what, stage=Stage.CANCELED, cancel_reason=reason)

    def _end_one(self, what: Disturbance, **how: Any) -> None:  # noqa: ANN401 - arguments of World.end
        hub, judge = self.stage.sim.hub, self.stage.judge
        jobs = hub.platform.live.values()
        live = [job for job in jobs if job.phase in _VICTIMS and job.id not in judge.foreign]
        if live:
            job = live[int(what.share * len(live))]
            judge.killed.add(job.id)
            hub.end(job.id, **how)

    async def _no_credit(self, what: Disturbance) -> None:
        hub = self.stage.sim.hub
        self.stage.judge.killed |= set(hub.platform.live)
        hub.setup({"namespaces": {"acme": {"credits": 0}}})
        await asyncio.sleep(what.seconds)
        hub.setup({"namespaces": {"acme": {"credits": 1_000}}})

    async def _token_revoked(self, what: Disturbance) -> None:
        hub = self.stage.sim.hub
        access = {"user": "robot", "namespaces": {"acme": "write"}, "plan": "team"}
        hub.setup({"tokens": {"hf_sim": None}})
        await asyncio.sleep(what.seconds)
        hub.setup({"tokens": {"hf_sim": access}})

    async def _no_capacity(self, what: Disturbance) -> None:
        self.stage.sim.hub.turn({"capacity": {"t4-small": 0, "a10g-small": 0}})
        await asyncio.sleep(what.seconds)
        self.stage.sim.hub.turn({"capacity": {}})

    async def _service_down(self, what: Disturbance) -> None:
        service = what.kind.removesuffix("_down")
        self.stage.nemesis.down.add(service)
        await asyncio.sleep(what.seconds)
        self.stage.nemesis.down.discard(service)

    async def _broken_image(self, what: Disturbance) -> None:
        self.stage.broken_images = True
        await asyncio.sleep(what.seconds)
        self.stage.broken_images = False

    async def _no_cluster(self, what: Disturbance) -> None:
        self.stage.sim.cluster.down = True
        await asyncio.sleep(what.seconds)
        self.stage.sim.cluster.down = False
