"""What happens at a moment beside faults of single requests: processes that die, users who
edit, clouds that fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from controller.core.model import PoolKey
from controller.execute.spec import RunnerVersion
from controller.simulate.engine import SCOPES, Process
from hf_runner_simulators.clock import LoopClock
from hf_runner_simulators.github.model import Level
from hf_runner_simulators.hub.job import Phase, Stage
from tests.seeds.plan import REPOSITORIES, Disturbance, PoolPlan

if TYPE_CHECKING:
    from tests.seeds import scene

CANCEL_REASONS = (
    "NO_CREDITS",
    "NO_SUBSCRIPTION",
    "RESOURCE_GROUP_LIMIT",
    "SPEND_LIMIT",
    "PLATFORM_MAINTENANCE",
)
"""Why the platform cancels: what its description names, and one that it does not."""

TOKEN = "ghp_" + "simulated" * 4
"""The personal access token of plans without an App."""

_VICTIMS = (Phase.PLACED, Phase.BOOTING, Phase.RUNNING)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Makes disturbances happen; each kind is a method of its name in :mod:`tests.seeds.plan`."""

    scene: scene.Scene

    async def happen(self, what: Disturbance) -> None:
        """Let one happen, and end if it has a duration."""
        self.scene.fired.append(what.id)
        self.scene.note(f"{what.id} for {what.seconds:g} s")
        self.scene.judge.marks[what.kind] += 1
        kinds: Mapping[str, Callable[[Disturbance], Awaitable[None]]] = {
            "stop": self._stop,
            "kill": self._kill,
            "jump": self._jump,
            "resize": self._resize,
            "lengthen": self._lengthen,
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
            "times_out": self._times_out,
            "permission_lost": self._permission_lost,
            "starve": self._starve,
            "refuse": self._refuse,
            "mistype_owner": self._mistype,
            "mistype_namespace": self._mistype,
            "mistype_flavor": self._mistype,
            "rename": self._rename,
            "namespace_ends": self._namespace_ends,
        }
        await kinds[what.kind](what)

    # ---------------------------------------------------------------------------------------------- processes
    def _process(self, what: Disturbance) -> Process | None:
        replicas = [process for process in self.scene.sim.replicas if process.incarnation.alive]
        return replicas[int(what.share * len(replicas))] if replicas else None

    async def _stop(self, what: Disturbance) -> None:
        process = self._process(what)
        if process is not None:
            await self.scene.end_process(process, what.share, graceful=True)

    async def _kill(self, what: Disturbance) -> None:
        process = self._process(what)
        if process is not None:
            process.incarnation.alive = False
            await self.scene.end_process(process, what.share, graceful=False)

    async def _jump(self, what: Disturbance) -> None:
        process = self._process(what)
        if process is not None and isinstance(process.clock, LoopClock):
            process.clock.jump(600 * what.share - 300)

    async def _hand_over(self, what: Disturbance) -> None:
        """The lease goes, and another replica begins its term; the old leader does not notice at once."""
        scene, lease = self.scene, self.scene.lease
        leader = next((p for p in scene.sim.replicas if p.incarnation.name == lease.holder), None)
        if scene.plan.replicas == 1 or leader is None:
            return
        lease.holder = None
        await asyncio.sleep(min(5.0, what.seconds))
        scene.take_over()
        await asyncio.sleep(30 * what.share)
        if leader.incarnation.alive:
            scene.note(f"{leader.incarnation.name} notices")
            await scene.sim.crash(leader)

    # -------------------------------------------------------------------------------------------------- users
    def _pool(self, what: Disturbance) -> PoolPlan:
        pools = self.scene.plan.pools
        return pools[int(what.share * len(pools))]

    def _edit(self, pool: PoolPlan, *, url: str | None = None, **changes: Any) -> None:
        body = self.scene.sim.cluster.pools.get(PoolKey(pool.namespace, pool.name))
        if body is None or "deletionTimestamp" in body["metadata"]:
            return
        spec = {**body["spec"], **changes}
        github = dict(spec.pop("github"))
        path = str(github.pop("url")).split("/", 3)[3]
        labels = spec.pop("labels")
        self.scene.apply(pool, url or path, labels, {**spec, "github": github})

    async def _resize(self, what: Disturbance) -> None:
        self._edit(self._pool(what), maxRunners=1 + int(4 * what.share))

    async def _lengthen(self, what: Disturbance) -> None:
        """Give runners the time to start and to do something, after all."""
        pool = self._pool(what)
        self._edit(pool, deadlines={**pool.spec["deadlines"], "lifetime": "30m"})

    async def _pause(self, what: Disturbance) -> None:
        pool = self._pool(what)
        self._edit(pool, paused=True)
        await asyncio.sleep(what.seconds)
        self._edit(pool, paused=False)

    async def _move(self, what: Disturbance) -> None:
        pool = self._pool(what)
        if "/" in pool.url:
            self._edit(pool, url="acme/app" if pool.url == "acme/lib" else "acme/lib")
            await asyncio.sleep(what.seconds)
            self._edit(pool, url=pool.url)

    async def _recreate(self, what: Disturbance) -> None:
        pool, cluster = self._pool(what), self.scene.sim.cluster
        key = PoolKey(pool.namespace, pool.name)
        body = cluster.pools.get(key)
        if body is None or "deletionTimestamp" in body["metadata"]:
            return
        self.scene.sim.delete(key)
        self.scene.judge.pools_changed()
        while key in cluster.pools:  # noqa: ASYNC110 - polled like kubectl does
            await asyncio.sleep(5.0)
        self.scene.apply(pool, pool.url, pool.labels, pool.spec)

    async def _mistype(self, what: Disturbance) -> None:
        """Somebody writes a name wrong, and corrects it after a while."""
        pool = self._pool(what)
        spec = dict(pool.spec)
        if what.kind == "mistype_owner":
            self._edit(pool, url=f"acmee/{pool.url.partition('/')[2]}".rstrip("/"))
        elif what.kind == "mistype_namespace":
            body = self.scene.sim.cluster.pools[PoolKey(pool.namespace, pool.name)]
            self._edit(pool, huggingface={**body["spec"]["huggingface"], "namespace": "acmee"})
        else:
            self._edit(pool, flavors=["t4-smal"])
        await asyncio.sleep(what.seconds)
        if PoolKey(pool.namespace, pool.name) in self.scene.sim.cluster.pools:
            self.scene.apply(pool, pool.url, pool.labels, spec)

    async def _rename(self, what: Disturbance) -> None:
        """A repository has another name for a while; its jobs are queued under it."""
        accounts, names = self.scene.sim.github.accounts, self.scene.renamed
        old = REPOSITORIES[int(what.share * len(REPOSITORIES))]
        owner, _, name = old.partition("/")
        names[old] = f"{owner}/{name}-2"
        accounts.rename_repository(old, f"{name}-2")
        await asyncio.sleep(what.seconds)
        accounts.rename_repository(names.pop(old), name)

    async def _namespace_ends(self, what: Disturbance) -> None:
        """All objects of the namespace are deleted, as when it is: pools stay until they are
        drained, Secrets go at once.
        """
        sim = self.scene.sim
        keys = sorted(sim.cluster.pools)
        if what.share < 0.5:
            self.scene.drop_secrets()
        for key in keys:
            sim.delete(key)
        self.scene.judge.pools_changed()
        await asyncio.sleep(what.seconds)
        self.scene.drop_secrets()

    # ------------------------------------------------------------------------------------------------- clouds
    async def _lose_container(self, what: Disturbance) -> None:
        message = "Job failed with exit code: 137. Reason: OOMKilled"
        self._end_one(what, stage=Stage.ERROR, message=message)

    async def _platform_cancels(self, what: Disturbance) -> None:
        reason = CANCEL_REASONS[int(len(CANCEL_REASONS) * what.share)]
        if self._end_one(what, stage=Stage.CANCELED, cancel_reason=reason):
            self.scene.judge.marks[f"platform cancels: {reason}"] += 1

    async def _times_out(self, what: Disturbance) -> None:
        self._end_one(what, stage=Stage.ERROR, message="Job timeout")

    def _end_one(self, what: Disturbance, **how: Any) -> bool:
        hub, judge = self.scene.sim.hub, self.scene.judge
        jobs = hub.platform.live.values()
        live = [job for job in jobs if job.phase in _VICTIMS and job.id not in judge.foreign]
        if not live:
            return False
        job = live[int(what.share * len(live))]
        judge.killed.add(job.id)
        shift = self.scene.sim.machine.shifts.get(job.id)
        busy = shift is not None and shift.workflow_job is not None and shift.done_at is None
        judge.marks[f"{what.kind} while {'busy' if busy else job.phase}"] += 1
        hub.end(job.id, **how)
        return True

    async def _no_credit(self, what: Disturbance) -> None:
        hub = self.scene.sim.hub
        self.scene.judge.killed |= set(hub.platform.live)
        hub.setup({"namespaces": {"acme": {"credits": 0}}})
        await asyncio.sleep(what.seconds)
        hub.setup({"namespaces": {"acme": {"credits": 1_000}}})

    async def _token_revoked(self, what: Disturbance) -> None:
        hub = self.scene.sim.hub
        access = {"user": "robot", "namespaces": {"acme": "write"}, "plan": "team"}
        hub.setup({"tokens": {"hf_sim": None}})
        await asyncio.sleep(what.seconds)
        hub.setup({"tokens": {"hf_sim": access}})

    async def _permission_lost(self, what: Disturbance) -> None:
        """A token that expires, or an App that may not administer any more; mended by a
        person after a while.
        """
        access = self.scene.sim.github.access
        if not self.scene.plan.app:
            access.revoke_token(TOKEN)
            await asyncio.sleep(what.seconds)
            access.add_user_token(TOKEN, "robot", scopes=SCOPES)
            return
        self._administrate("read")
        await asyncio.sleep(what.seconds)
        self._administrate("write")

    def _administrate(self, level: Level) -> None:
        accounts = self.scene.sim.github.accounts
        for row in list(accounts.installations.values()):
            permissions = {**row.permissions, "administration": level}
            accounts.change_installation(row.id, permissions=permissions)

    async def _starve(self, what: Disturbance) -> None:
        """GitHub lets runners of the present version register and listen, and gives them nothing."""
        github = self.scene.sim.github
        github.turn(starved_versions=[RunnerVersion().version])
        await asyncio.sleep(what.seconds)
        github.turn(starved_versions=[])

    async def _refuse(self, what: Disturbance) -> None:
        """The organization's runner group does not admit the repositories."""
        github = self.scene.sim.github
        github.turn(group_refuses=list(REPOSITORIES))
        await asyncio.sleep(what.seconds)
        github.turn(group_refuses=[])

    async def _no_capacity(self, what: Disturbance) -> None:
        self.scene.sim.hub.turn({"capacity": {"t4-small": 0, "a10g-small": 0}})
        await asyncio.sleep(what.seconds)
        self.scene.sim.hub.turn({"capacity": {}})

    async def _service_down(self, what: Disturbance) -> None:
        service = what.kind.removesuffix("_down")
        self.scene.nemesis.down.add(service)
        await asyncio.sleep(what.seconds)
        self.scene.nemesis.down.discard(service)

    async def _broken_image(self, what: Disturbance) -> None:
        self.scene.broken_images = True
        await asyncio.sleep(what.seconds)
        self.scene.broken_images = False

    async def _no_cluster(self, what: Disturbance) -> None:
        self.scene.sim.cluster.down = True
        await asyncio.sleep(what.seconds)
        self.scene.sim.cluster.down = False
