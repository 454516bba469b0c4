"""Images that take longer than a deadline, and containers that do not end: what they cost,
and what is said of them.
"""

from __future__ import annotations

import asyncio

from tests.system.test_whole import Scene, play, t4

MINUTE = 60.0
HOUR = 3_600.0


def said_of_launches(scene: Scene) -> str:
    return str(scene.condition("LaunchesSucceed").get("message", ""))


def test_an_image_that_takes_twelve_minutes_is_named_beside_the_hardware_and_served_once_the_deadline_is_longer() -> (
    None
):
    async def act(scene: Scene) -> None:
        t4(scene)
        scene.sim.start()
        scene.queue()
        await asyncio.sleep(30 * MINUTE)
        assert "image" in said_of_launches(scene)
        assert "deadlines.scheduling" in said_of_launches(scene)
        await asyncio.sleep(1.5 * HOUR)
        assert scene.conclusions() == {None: 1}
        assert len(scene.hf_jobs()) <= 13  # ten minutes each, and the back-off between them

        t4(scene, deadlines={"scheduling": "20m"})
        await scene.until(lambda: scene.conclusions()["success"] == 1, within=30 * MINUTE)
        await scene.until_quiet()
        assert scene.condition("Ready")["status"] == "True"

    play(act, hub_knobs={"boot_seconds": 12 * MINUTE})


def test_a_container_that_does_not_end_after_its_job_is_ended_and_told_once_and_holds_no_slot() -> None:
    async def act(scene: Scene) -> None:
        t4(scene, maxRunners=1)
        scene.sim.start()
        scene.queue(count=3)
        took = await scene.until(lambda: scene.conclusions()["success"] == 3, within=HOUR)
        assert took < 3 * (5 * MINUTE + 3 * MINUTE)  # each is ended five minutes after its job
        await scene.until_quiet()
        told = [event for event in scene.sim.cluster.events if event.reason == "NeverExited"]
        assert len(told) == 3, "one for each"
        assert all("container" in event.message for event in told)

    play(act, hub_knobs={"never_exits": 1.0})
