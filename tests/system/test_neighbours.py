"""One pool's trouble is no other pool's (invariant 10)."""

from __future__ import annotations

from controller.sim.engine import HUB
from tests.system.test_whole import Scene, play


def test_a_missing_hub_secret_hides_the_hardware_from_nobody_else() -> None:
    async def act(scene: Scene) -> None:
        # The account that sorts first once paid for the list of hardware.
        absent = {"namespace": "acme", "tokenSecret": "absent", "endpoint": HUB}
        scene.sim.pool("bad", url="acme/lib", labels=["bad"], huggingface=absent)
        scene.sim.pool("mistyped", url="acme/lib", labels=["hf-t4"], flavors=["t4-smal"])
        scene.sim.start()
        await scene.pass_time(30.0)
        assert scene.condition("Ready", "bad")["reason"] == "SecretMissing"
        assert scene.condition("Ready", "mistyped")["reason"] == "UnknownFlavor"

    play(act)
