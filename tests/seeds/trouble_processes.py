"""What happens to the controllers of a plan: they are stopped and killed, their clocks jump, their lease changes hands."""

from __future__ import annotations

import asyncio

from controller.simulate.engine import Process
from hf_runner_simulators.clock import LoopClock
from tests.seeds.plan import Disturbance
from tests.seeds.scene import Scene


def _process(scene: Scene, what: Disturbance) -> Process | None:
    replicas = [process for process in scene.sim.replicas if process.incarnation.alive]
    return replicas[int(what.share * len(replicas))] if replicas else None


async def stop(scene: Scene, what: Disturbance) -> None:
    process = _process(scene, what)
    if process is not None:
        await scene.end_process(process, what.share, graceful=True)


async def kill(scene: Scene, what: Disturbance) -> None:
    process = _process(scene, what)
    if process is not None:
        process.incarnation.alive = False
        await scene.end_process(process, what.share, graceful=False)


async def jump(scene: Scene, what: Disturbance) -> None:
    process = _process(scene, what)
    if process is not None and isinstance(process.clock, LoopClock):
        process.clock.jump(600 * what.share - 300)


async def hand_over(scene: Scene, what: Disturbance) -> None:
    """The lease goes, and another replica begins its term; the old leader does not notice at once."""
    lease = scene.lease
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
