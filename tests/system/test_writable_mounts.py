"""A pool that was made before writable mounts were refused where programs are taken from."""

from __future__ import annotations

from tests.system.test_whole import Scene, play


def bucket(path: str) -> list[dict[str, object]]:
    return [{"type": "bucket", "source": "acme/cache", "mountPath": path, "readOnly": False}]


def test_such_a_pool_lets_its_jobs_finish_says_what_to_move_and_serves_again_when_that_is_done() -> None:
    async def act(scene: Scene) -> None:
        scene.sim.pool("t4", url="acme/lib", labels=["hf-t4"])
        scene.sim.start()
        scene.queue(seconds=300)
        await scene.until(lambda: "in_progress" in {job["status"] for job in scene.jobs()}, within=200)

        await scene.sim.crash()  # the version before
        scene.sim.pool("t4", url="acme/lib", labels=["hf-t4"], volumes=bucket("/opt/runner"))
        scene.sim.start()
        scene.queue()
        await scene.pass_time(400)
        assert scene.conclusions() == {"success": 1, None: 1}
        ready = scene.condition("Ready")
        assert (ready["status"], ready["reason"]) == ("False", "InvalidSpec")
        assert (
            "spec.volumes[0].readOnly: /opt/runner: the runner, its tools or the system" in ready["message"]
        )
        assert "mount it below /mnt, /data or /home/runner/.cache" in ready["message"]
        assert len(scene.hf_jobs()) == 1

        scene.sim.pool("t4", url="acme/lib", labels=["hf-t4"], volumes=bucket("/mnt/cache"))
        await scene.until(lambda: scene.conclusions()["success"] == 2, within=300)
        await scene.until_quiet()

    play(act)
