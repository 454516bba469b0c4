"""The stop switch in the whole controller, judged by what reaches the services."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from controller.core.model import Failure
from controller.core.reasons import Reason
from controller.core.stop_switch import Stop, read_stops
from controller.ports import UpstreamError
from tests.system.test_whole import Scene, play, t4


class Switch:
    """A stop switch that a test turns."""

    def __init__(self, **data: str) -> None:
        self.data: Mapping[str, object] = data
        self.broken = False

    async def read(self) -> Sequence[Stop]:
        if self.broken:
            raise UpstreamError(Failure(reason=Reason.KubernetesForbidden, message="403"))
        return read_stops(self.data, where="ConfigMap here/switch", undo={})


def test_it_stops_launches_within_seconds_kills_nothing_and_lets_them_go_on() -> None:
    switch = Switch()

    async def act(scene: Scene) -> None:
        t4(scene, maxRunners=2)
        scene.sim.start()
        scene.queue(count=2, seconds=120)
        await scene.until(lambda: scene.condition("Ready")["status"] == "True", within=60)
        await scene.until(lambda: sum(j["status"] == "in_progress" for j in scene.jobs()) == 2, within=200)
        switch.data = {"all": "the budget is used up"}
        await scene.until(lambda: scene.condition("Ready").get("reason") == "StopSwitchOn", within=6)
        scene.queue(count=2, seconds=20)
        await scene.pass_time(600)
        assert scene.conclusions() == {"success": 2, None: 2}
        assert len(scene.hf_jobs()) == 2
        assert scene.live() == 0
        assert scene.reasons() == {"StopSwitchOn": 2}
        switch.data = {}
        await scene.until(lambda: scene.conclusions()["success"] == 4, within=300)

    play(act, stop_switch=switch)


def test_it_outlives_a_restart_and_a_next_leader_that_cannot_read_it_launches_nothing() -> None:
    switch = Switch(all="why")

    async def act(scene: Scene) -> None:
        t4(scene)
        scene.sim.start()
        scene.queue(seconds=20)
        await scene.pass_time(60)
        await scene.sim.crash()
        scene.sim.start()
        await scene.pass_time(60)
        assert scene.hf_jobs() == []
        await scene.sim.crash()
        switch.broken = True
        scene.sim.start()
        await scene.pass_time(120)
        assert scene.hf_jobs() == []
        assert scene.condition("Ready")["reason"] == "StopSwitchUnread"
        switch.broken, switch.data = False, {}
        await scene.until(lambda: scene.conclusions()["success"] == 1, within=300)

    play(act, stop_switch=switch)


def test_an_account_that_is_stopped_harms_no_pool_of_another() -> None:
    switch = Switch(**{"account.acme": "why"})

    async def act(scene: Scene) -> None:
        scene.sim.hub.setup(
            {
                "tokens": {"hf_sim": {"user": "robot", "namespaces": {"other": "write"}, "plan": "team"}},
                "namespaces": {"other": {"type": "org", "credits": 100.0}},
            }
        )
        t4(scene)
        scene.sim.pool("b", url="acme/web", labels=["b"], huggingface={"namespace": "other"})
        scene.sim.start()
        scene.queue(seconds=20)
        scene.queue("acme/web", ("b",), seconds=20)
        await scene.until(lambda: scene.conclusions()["success"] == 1, within=300)
        await scene.pass_time(60)
        assert scene.conclusions() == {"success": 1, None: 1}
        assert scene.condition("LaunchesAllowed")["status"] == "False"
        assert scene.condition("LaunchesAllowed", "b")["status"] == "True"

    play(act, stop_switch=switch)


@pytest.mark.parametrize("slow", ["/api/jobs/acme", "generate-jitconfig"])
def test_a_launch_that_is_planned_but_not_sent_when_it_is_turned_never_goes_out(slow: str) -> None:
    """1. A launch is planned. 2. A connection is opened for it, which takes 30 s. 3. The switch
    is turned. 4. It is ready.
    """
    switch, connecting = Switch(), asyncio.Event()

    def connects_in(method: str, path: str) -> float:
        if method == "POST" and path.endswith(slow):
            connecting.set()
            return 30.0
        return 0.0

    async def act(scene: Scene) -> None:
        t4(scene)
        scene.sim.start()
        scene.queue(seconds=20)
        await scene.until(connecting.is_set, within=60)
        switch.data = {"all": "why"}
        await scene.pass_time(120)
        assert scene.hf_jobs() == []
        assert scene.registrations() == 0
        assert scene.condition("LaunchesSucceed")["status"] == "True"
        switch.data = {}
        await scene.until(lambda: scene.conclusions()["success"] == 1, within=300)
        assert len(scene.hf_jobs()) == 1

    play(act, stop_switch=switch, connects_in=connects_in)
