"""A personal access token that ends: a pool says so two weeks ahead, and a rotation clears it."""

from __future__ import annotations

import asyncio

from controller.simulate.engine import NAMESPACE
from tests.system.test_whole import Scene, play

DAY = 86_400.0


def token(scene: Scene, name: str, *, days: float | None) -> None:
    """Put a new token into the pool's Secret."""
    ends_at = None if days is None else scene.sim.github.time.now + days * DAY
    scene.sim.github.access.add_user_token(name, "octocat", scopes=["repo", "admin:org"], ends_at=ends_at)
    scene.sim.cluster.set_secret(NAMESPACE, "github-app", {"token": name})


def told(scene: Scene) -> tuple[str, str]:
    known = scene.condition("CredentialsValid")
    return known["status"], known["reason"]


def test_a_pool_tells_of_its_tokens_end_14_days_ahead_until_the_secret_is_changed() -> None:
    async def act(scene: Scene) -> None:
        scene.sim.github.accounts.add_user("octocat")
        token(scene, "ghp_first", days=14.1)
        scene.sim.pool("t4", url="acme/lib", labels=["hf-t4"])
        scene.sim.start()
        await asyncio.sleep(60)
        assert told(scene) == ("True", "CredentialsValid")

        await asyncio.sleep(0.2 * DAY)
        assert told(scene) == ("False", "CredentialsExpire")
        message = scene.condition("CredentialsValid")["message"]
        assert f"Secret {NAMESPACE}/github-app ends at 20" in message
        assert "in 13 days." in message
        assert scene.condition("Ready")["status"] == "True"
        scene.queue()
        await scene.until(lambda: scene.conclusions()["success"] == 1, within=300)

        token(scene, "ghp_second", days=90)
        await asyncio.sleep(90)
        assert told(scene) == ("True", "CredentialsValid")

        token(scene, "ghp_third", days=3)
        await asyncio.sleep(90)
        assert told(scene) == ("False", "CredentialsExpire")
        token(scene, "ghp_for_ever", days=None)
        await asyncio.sleep(90)
        assert told(scene) == ("True", "CredentialsValid")

    play(act)


def test_a_token_that_has_ended_is_refused_and_a_new_one_serves_at_once() -> None:
    async def act(scene: Scene) -> None:
        scene.sim.github.accounts.add_user("octocat")
        token(scene, "ghp_first", days=0.01)
        scene.sim.pool("t4", url="acme/lib", labels=["hf-t4"])
        scene.sim.start()
        await asyncio.sleep(0.02 * DAY)
        assert told(scene) == ("False", "GitHubUnauthorized")
        assert scene.condition("Ready")["reason"] == "GitHubUnauthorized"
        token(scene, "ghp_second", days=90)
        await asyncio.sleep(30)
        assert told(scene) == ("True", "CredentialsValid")
        assert scene.condition("Ready")["status"] == "True"

    play(act)
