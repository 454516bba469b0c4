"""One pool's trouble is no other pool's (docs/invariants.md#isolation)."""

from __future__ import annotations

from controller.core.model import PoolKey
from controller.reconcile.loop import INTERVAL
from controller.simulate.engine import GITHUB, HUB
from hf_runner_simulators.github.keys import private_key, public_key_of
from hf_runner_simulators.github.model import Scope
from hf_runner_simulators.hub.job import Stage
from tests.system.test_whole import Scene, play, t4


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


def mallory(scene: Scene) -> None:
    """Let a team move in that shares nothing but this controller: an owner, an App, an HF account,
    Secrets and a pool of its own.
    """
    sim = scene.sim
    sim.github.accounts.add_repository("mallory/x")
    app = sim.github.accounts.add_app(public_key=public_key_of(private_key()))
    sim.github.accounts.install(app.id, "mallory")
    sim.hub.setup(
        {
            "tokens": {"hf_mallory": {"user": "mallory", "namespaces": {"mallory": "write"}, "plan": "team"}},
            "namespaces": {"mallory": {"type": "org", "credits": 100.0}},
        }
    )
    sim.cluster.set_secret("mallory", "gh", {"appId": str(app.id), "privateKey": private_key()})
    sim.cluster.set_secret("mallory", "hf", {"token": "hf_mallory"})
    sim.cluster.apply(
        {
            "apiVersion": "hfrunners.dev/v1alpha1",
            "kind": "RunnerPool",
            "metadata": {"namespace": "mallory", "name": "evil"},
            "spec": {
                "github": {"url": f"{GITHUB}/mallory/x", "credentialsSecret": "gh"},
                "huggingface": {"namespace": "mallory", "tokenSecret": "hf", "endpoint": HUB},
                "labels": ["evil"],
                "flavors": ["t4-small"],
            },
        }
    )


def test_an_end_that_a_hub_tells_with_thousands_of_digits_stops_nobody() -> None:
    """Of one tenant's HF Job; the pools of all others go on, and so does its own."""

    async def act(scene: Scene) -> None:
        mallory(scene)
        t4(scene)
        process = scene.sim.start()
        scene.queue("mallory/x", ("evil",), seconds=600.0)
        await scene.until(lambda: any(job["status"] == "in_progress" for job in scene.jobs()), within=200)
        await scene.pass_time(20.0)
        (poisoned,) = scene.hf_jobs()
        scene.sim.hub.end(
            poisoned["id"],
            stage=Stage.ERROR,
            message=f"Job failed with exit code: {'9' * 5_000}. Reason: Error",
        )
        await scene.pass_time(30.0)
        scene.queue()
        scene.queue("mallory/x", ("evil",))
        await scene.until(lambda: scene.conclusions()["success"] == 2, within=300)
        assert process.controller.reconciler.last_pass_at is not None
        assert scene.sim.clock.mono() - process.controller.reconciler.last_pass_at <= INTERVAL
        own = scene.sim.cluster.pools[PoolKey("mallory", "evil")]["status"]["conditions"]
        for condition in (scene.condition("Ready"), *(c for c in own if c["type"] == "Ready")):
            assert (condition["status"], condition["reason"]) == ("True", "Serving")

    play(act)


def test_a_group_that_is_made_later_is_found_within_a_minute_and_its_pool_serves() -> None:
    async def act(scene: Scene) -> None:
        github = {"repositories": {"include": ["acme/lib"]}, "runnerGroup": "gpu"}
        scene.sim.pool("t4", url="acme", labels=["hf-t4"], maxRunners=4, github=github)
        scene.sim.start()
        await scene.until(lambda: scene.condition("Ready").get("reason") == "RunnerGroupMissing", within=60)
        assert "Default" in scene.condition("Ready")["message"]
        assert scene.jobs() == []  # before anybody asked for a runner
        scene.queue(seconds=30)
        await scene.pass_time(30)
        assert [one["reason"] for one in scene.status()["queue"]] == ["RunnerGroupMissing"]
        scene.sim.github.accounts.add_group(Scope("org", "acme"), "gpu")
        await scene.until(lambda: scene.condition("Ready")["status"] == "True", within=60)
        await scene.until(lambda: scene.conclusions()["success"] == 1, within=300)

    play(act)
