"""``secretEnv``: a runner gets a Secret only where the Secret itself says so."""

from __future__ import annotations

from controller.core.variables import LABEL, VALUE
from controller.simulate.engine import NAMESPACE
from tests.system.test_whole import Scene, play, t4

DATA = {"password": "correct-horse"}
VARIABLES = [{"name": "LOOT", "secret": "postgres-superuser", "key": "password"}]


def got(scene: Scene) -> list[str | None]:
    """Return what each HF Job was given under the name."""
    return [job.spec.secrets.get("LOOT") for job in scene.sim.hub.platform.jobs.values()]


def test_a_pools_author_gets_no_secret_that_nobody_meant_for_runners() -> None:
    async def act(scene: Scene) -> None:
        scene.sim.cluster.set_secret(NAMESPACE, "postgres-superuser", DATA)
        t4(scene, secretEnv=VARIABLES)
        scene.sim.start()
        scene.queue()
        await scene.pass_time(1800)
        assert got(scene) == []
        assert scene.registrations() == 0
        for kind in ("Ready", "Stalled"):
            said = scene.condition(kind)
            assert (said["status"], said["reason"]) == (str(kind == "Stalled"), "SecretNotLabelled")
            assert said["message"].endswith(
                "kubectl label secret postgres-superuser --namespace ci hfrunners.dev/runner-env=true"
            )
        assert scene.reasons() == {"SecretNotLabelled": 1}

    play(act)


def test_a_pool_serves_within_seconds_once_its_secret_is_labelled() -> None:
    async def act(scene: Scene) -> None:
        scene.sim.cluster.set_secret(NAMESPACE, "postgres-superuser", DATA)
        t4(scene, secretEnv=VARIABLES)
        scene.sim.start()
        scene.queue()
        await scene.pass_time(600)
        scene.sim.cluster.set_secret(NAMESPACE, "postgres-superuser", DATA, {LABEL: VALUE})
        await scene.until(lambda: bool(got(scene)), within=10)
        assert got(scene) == ["correct-horse"]
        assert scene.condition("Ready")["status"] == "True"

    play(act)


def test_a_label_that_is_taken_off_stops_launches_and_no_runner() -> None:
    async def act(scene: Scene) -> None:
        scene.sim.cluster.set_secret(NAMESPACE, "postgres-superuser", DATA, {LABEL: VALUE})
        t4(scene, secretEnv=VARIABLES)
        scene.sim.start()
        scene.queue(seconds=600)
        await scene.until(lambda: any(j["status"] == "in_progress" for j in scene.jobs()), within=300)
        scene.sim.cluster.set_secret(NAMESPACE, "postgres-superuser", DATA)
        await scene.pass_time(65)
        scene.queue()
        await scene.until(lambda: scene.conclusions()["success"] == 1, within=700)
        await scene.pass_time(120)
        assert len(got(scene)) == 1
        assert scene.reasons() == {"SecretNotLabelled": 1}
        scene.sim.cluster.set_secret(NAMESPACE, "postgres-superuser", DATA, {LABEL: VALUE})
        await scene.until(lambda: scene.conclusions()["success"] == 2, within=400)

    play(act)


def test_a_namespace_whose_secrets_may_not_be_read_is_served_within_seconds_once_they_may() -> None:
    async def act(scene: Scene) -> None:
        t4(scene)
        scene.sim.cluster.unreadable.add(NAMESPACE)
        scene.sim.start()
        scene.queue()
        await scene.pass_time(900)
        assert scene.condition("Ready")["reason"] == "SecretForbidden"
        assert got(scene) == []
        scene.sim.cluster.unreadable.clear()
        await scene.until(lambda: scene.condition("Ready")["status"] == "True", within=15)
        await scene.until(lambda: scene.conclusions()["success"] == 1, within=400)

    play(act)
