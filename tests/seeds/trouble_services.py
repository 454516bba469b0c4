"""What happens in the services of a plan beside faults of single requests: containers end, credit and permissions are lost."""

from __future__ import annotations

import asyncio
from typing import Any

from controller.execute.spec import RunnerVersion
from controller.simulate.engine import SCOPES
from hf_runner_simulators.github.model import Level
from hf_runner_simulators.hub.job import Phase, Stage
from tests.seeds.plan import REPOSITORIES, Disturbance
from tests.seeds.scene import TOKEN, Scene

CANCEL_REASONS = (
    "NO_CREDITS",
    "NO_SUBSCRIPTION",
    "RESOURCE_GROUP_LIMIT",
    "SPEND_LIMIT",
    "PLATFORM_MAINTENANCE",
)
"""Why the platform cancels: what its description names, and one that it does not."""

_VICTIMS = (Phase.PLACED, Phase.BOOTING, Phase.RUNNING)


async def lose_container(scene: Scene, what: Disturbance) -> None:
    message = "Job failed with exit code: 137. Reason: OOMKilled"
    _end_one(scene, what, stage=Stage.ERROR, message=message)


async def platform_cancels(scene: Scene, what: Disturbance) -> None:
    reason = CANCEL_REASONS[int(len(CANCEL_REASONS) * what.share)]
    if _end_one(scene, what, stage=Stage.CANCELED, cancel_reason=reason):
        scene.judge.marks[f"platform cancels: {reason}"] += 1


async def times_out(scene: Scene, what: Disturbance) -> None:
    _end_one(scene, what, stage=Stage.ERROR, message="Job timeout")


def _end_one(scene: Scene, what: Disturbance, **how: Any) -> bool:
    hub, judge = scene.sim.hub, scene.judge
    jobs = hub.platform.live.values()
    live = [job for job in jobs if job.phase in _VICTIMS and job.id not in judge.foreign]
    if not live:
        return False
    job = live[int(what.share * len(live))]
    judge.killed.add(job.id)
    shift = scene.sim.machine.shifts.get(job.id)
    busy = shift is not None and shift.workflow_job is not None and shift.done_at is None
    judge.marks[f"{what.kind} while {'busy' if busy else job.phase}"] += 1
    hub.end(job.id, **how)
    return True


async def no_credit(scene: Scene, what: Disturbance) -> None:
    hub = scene.sim.hub
    scene.judge.killed |= set(hub.platform.live)
    hub.setup({"namespaces": {"acme": {"credits": 0}}})
    await asyncio.sleep(what.seconds)
    hub.setup({"namespaces": {"acme": {"credits": 1_000}}})


async def token_revoked(scene: Scene, what: Disturbance) -> None:
    hub = scene.sim.hub
    access = {"user": "robot", "namespaces": {"acme": "write"}, "plan": "team"}
    hub.setup({"tokens": {"hf_sim": None}})
    await asyncio.sleep(what.seconds)
    hub.setup({"tokens": {"hf_sim": access}})


async def permission_lost(scene: Scene, what: Disturbance) -> None:
    """A token that expires, or an App that may not administer any more; mended by a
    person after a while.
    """
    access = scene.sim.github.access
    if not scene.plan.app:
        access.revoke_token(TOKEN)
        await asyncio.sleep(what.seconds)
        access.add_user_token(TOKEN, "robot", scopes=SCOPES)
        return
    _administrate(scene, "read")
    await asyncio.sleep(what.seconds)
    _administrate(scene, "write")


def _administrate(scene: Scene, level: Level) -> None:
    accounts = scene.sim.github.accounts
    for row in list(accounts.installations.values()):
        permissions = {**row.permissions, "administration": level}
        accounts.change_installation(row.id, permissions=permissions)


async def starve(scene: Scene, what: Disturbance) -> None:
    """GitHub lets runners of the present version register and listen, and gives them nothing."""
    github = scene.sim.github
    github.turn(starved_versions=[RunnerVersion().version])
    await asyncio.sleep(what.seconds)
    github.turn(starved_versions=[])


async def refuse(scene: Scene, what: Disturbance) -> None:
    """The organization's runner group does not admit the repositories."""
    github = scene.sim.github
    github.turn(group_refuses=list(REPOSITORIES))
    await asyncio.sleep(what.seconds)
    github.turn(group_refuses=[])


async def no_capacity(scene: Scene, what: Disturbance) -> None:
    scene.sim.hub.turn({"capacity": {"t4-small": 0, "a10g-small": 0}})
    await asyncio.sleep(what.seconds)
    scene.sim.hub.turn({"capacity": {}})


async def service_down(scene: Scene, what: Disturbance) -> None:
    service = what.kind.removesuffix("_down")
    scene.nemesis.down.add(service)
    await asyncio.sleep(what.seconds)
    scene.nemesis.down.discard(service)


async def broken_image(scene: Scene, what: Disturbance) -> None:
    scene.broken_images = True
    await asyncio.sleep(what.seconds)
    scene.broken_images = False


async def no_cluster(scene: Scene, what: Disturbance) -> None:
    scene.sim.cluster.down = True
    await asyncio.sleep(what.seconds)
    scene.sim.cluster.down = False
