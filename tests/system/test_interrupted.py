"""HF Jobs that end under a workflow job: told, and run again where the pool asks for it; never
twice, never against a person.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hf_runner_simulators.github.model import JobSpec
from hf_runner_simulators.hub.job import Stage
from tests.system.test_whole import Scene, play, t4

RERUN = "POST /repos/{owner}/{repo}/actions/runs/{run_id}/rerun-failed-jobs"
LEASE = 600.0
"""Seconds until GitHub fails a job whose runner is gone."""


def grant(scene: Scene) -> None:
    """Let the App write Actions."""
    accounts = scene.sim.github.accounts
    for installation in list(accounts.installations.values()):
        permissions = {**installation.permissions, "actions": "write"}
        accounts.change_installation(installation.id, permissions=permissions)


def reruns(scene: Scene, status: int | None = None) -> int:
    return sum(e.route == RERUN and status in (None, e.status) for e in scene.sim.github_exchange.log)


def working(scene: Scene) -> list[dict[str, Any]]:
    return [dict(job) for job in scene.jobs() if job["status"] == "in_progress"]


async def kill_in_mid_job(scene: Scene, **end: Any) -> int:
    """End the HF Jobs under all workflow jobs that run; return the run."""
    await scene.until(lambda: bool(working(scene)), within=300)
    await scene.pass_time(40)
    runs = {job["run_id"] for job in working(scene)}
    for hf_job in list(scene.sim.hub.report()["live"]):
        message = "Job failed with exit code: 137. Reason: OOMKilled"
        scene.sim.hub.end(hf_job, **{"stage": Stage.ERROR, "message": message, **end})
    (run,) = runs
    return int(run)


async def until_failed(scene: Scene, count: int) -> None:
    """Wait until GitHub has failed so many jobs whose runner was gone."""
    await scene.until(lambda: scene.conclusions()["failure"] == count, within=LEASE + 60)


def interrupted(act: Callable[[Scene], Awaitable[None]], *, n: int = 1, **options: Any) -> None:
    """Play a scene with a pool that runs interrupted jobs again at most ``n`` times."""

    async def started(scene: Scene) -> None:
        grant(scene)
        t4(scene, retry={"interrupted": n})
        scene.sim.start()
        await act(scene)

    play(started, **options)


def test_a_job_whose_hf_job_is_killed_runs_again_once_its_run_has_ended() -> None:
    async def act(scene: Scene) -> None:
        scene.queue(seconds=300, name="train")
        await kill_in_mid_job(scene)
        await scene.until(lambda: "RunnerLost" in scene.events(), within=60)
        await scene.pass_time(5)
        condition = scene.condition("JobsUninterrupted")
        assert (condition["status"], condition["reason"]) == ("False", "RunnerLost")
        assert "/actions/runs/" in condition["message"]
        await until_failed(scene, 1)
        assert reruns(scene) == 0
        await scene.until(lambda: scene.conclusions()["success"] == 1, within=600)
        await scene.until_quiet()
        assert reruns(scene) == 1
        assert {"RunnerLost", "JobsRerun"} <= scene.events()
        (told,) = scene.status()["interruptions"]
        assert (told["attempt"], told["rerun"]) == (1, "Done")
        await scene.pass_time(3600)
        assert scene.condition("JobsUninterrupted")["status"] == "True"
        assert "interruptions" not in scene.status()

    interrupted(act)


def test_without_being_asked_nothing_runs_again() -> None:
    async def act(scene: Scene) -> None:
        scene.queue(seconds=300)
        await kill_in_mid_job(scene)
        await scene.pass_time(LEASE + 1800)
        assert scene.conclusions() == {"failure": 1}
        assert reruns(scene) == 0
        assert scene.condition("JobsUninterrupted")["status"] == "False"

    interrupted(act, n=0)


@pytest.mark.parametrize("n", [1, 2])
def test_a_job_that_is_killed_every_time_runs_again_so_often_and_no_more(n: int) -> None:
    async def act(scene: Scene) -> None:
        scene.queue(seconds=300)
        for attempt in range(n + 1):
            await kill_in_mid_job(scene)
            await until_failed(scene, attempt + 1)
        await scene.pass_time(1800)
        assert reruns(scene) == n
        assert scene.conclusions() == {"failure": n + 1}

    interrupted(act, n=n)


def test_a_job_that_fails_by_itself_is_left_alone() -> None:
    async def act(scene: Scene) -> None:
        scene.queue(seconds=60, result="failure")
        await scene.until(lambda: scene.conclusions()["failure"] == 1, within=300)
        await scene.pass_time(600)
        assert reruns(scene) == 0

    interrupted(act)


@pytest.mark.parametrize("force", [True, False])
def test_a_run_that_a_person_cancels_after_the_loss_is_left_alone(force: bool) -> None:
    async def act(scene: Scene) -> None:
        scene.queue(seconds=3000)
        run = await kill_in_mid_job(scene)
        await scene.pass_time(120)
        workflows = scene.sim.github.workflows
        (workflows.force_cancel_run if force else workflows.cancel_run)(run)
        await scene.until(lambda: scene.conclusions()["cancelled"] == 1, within=400)
        await scene.pass_time(1800)
        assert reruns(scene) == 0
        (told,) = scene.status()["interruptions"]
        assert told["rerun"] == "NotNeeded"

    interrupted(act)


def cancelling_the_rest(after: float, then: Callable[[Scene], None]) -> None:
    """Somebody cancels a run, of which a job was lost, so many seconds after GitHub has failed that job."""

    async def act(scene: Scene) -> None:
        workflows = scene.sim.github.workflows
        here, elsewhere = ("hf-t4",), ("somebody-elses",)
        names = ("train (t4)", "any name (that people choose)")  # they mean nothing
        run = workflows.queue_run(
            "acme/lib",
            [
                JobSpec(name=n, labels=ls, seconds=3000)
                for n, ls in zip(names, (here, elsewhere), strict=True)
            ],
        )
        await kill_in_mid_job(scene)
        await until_failed(scene, 1)
        await scene.pass_time(after)
        workflows.cancel_run(run.id)
        assert workflows.run(run.id).conclusion == "failure"
        await scene.pass_time(1800)
        then(scene)

    interrupted(act)


def test_a_run_that_a_person_cancels_later_is_left_alone_though_its_record_says_failure() -> None:
    def then(scene: Scene) -> None:
        assert reruns(scene) == 0
        (told,) = scene.status()["interruptions"]
        assert told["rerun"] == "NotNeeded"
        assert "somebody meant it" in told["note"]

    cancelling_the_rest(900, then)


def test_a_job_that_was_cancelled_just_after_another_failed_leaves_the_choice_to_the_pool() -> None:
    def then(scene: Scene) -> None:
        assert reruns(scene) == 1
        (told,) = [one for one in scene.status()["interruptions"] if one["attempt"] == 1]
        assert told["rerun"] == "Done"
        assert "GitHub does not tell" in told["note"]

    cancelling_the_rest(30, then)


def test_a_run_is_run_again_only_when_its_other_jobs_have_ended() -> None:
    async def act(scene: Scene) -> None:
        long, short = (
            JobSpec(name=name, labels=("hf-t4",), seconds=s) for name, s in (("long", 3000), ("x", 300))
        )
        scene.sim.github.workflows.queue_run("acme/lib", [short, long])
        await scene.until(lambda: len(working(scene)) == 2, within=300)
        (lost,) = (job for job in working(scene) if job["name"] == "x")
        (hf_job,) = (job for job in scene.hf_jobs() if job["labels"]["runner"] == lost["runner_name"])
        await scene.pass_time(40)
        scene.sim.hub.end(
            hf_job["id"], stage=Stage.ERROR, message="Job failed with exit code: 1. Reason: Error"
        )
        await scene.until(lambda: scene.conclusions()["success"] == 1, within=3200)
        assert scene.conclusions() == {"failure": 1, "success": 1}
        assert reruns(scene) == 0
        await scene.until(lambda: scene.conclusions()["success"] == 2, within=1200)
        assert reruns(scene) == 1

    interrupted(act)


@pytest.mark.parametrize(
    ("after", "down"), [(5, 20), (5, 1800), (120, 900), (590, 20), (610, 20), (640, 20), (660, 20)]
)
def test_a_restart_in_between_neither_forgets_nor_repeats(after: int, down: int) -> None:
    async def act(scene: Scene) -> None:
        scene.queue(seconds=300)
        await kill_in_mid_job(scene)
        await scene.until(lambda: "RunnerLost" in scene.events(), within=60)
        await scene.pass_time(after)
        await scene.sim.crash()
        await scene.pass_time(down)
        scene.sim.start()
        await scene.until(lambda: scene.conclusions()["success"] == 1, within=LEASE + 900)
        await scene.pass_time(1200)
        assert reruns(scene) == 1
        assert scene.conclusions() == {"failure": 1, "success": 1}

    interrupted(act)


@pytest.mark.parametrize(
    "fault", [{"kind": "lost_answer"}, {"kind": "status", "status": 502, "when": "after"}]
)
def test_a_request_whose_answer_was_lost_is_not_made_again(fault: dict[str, Any]) -> None:
    async def act(scene: Scene) -> None:
        scene.fault("github", route=RERUN, times=1, **fault)
        scene.queue(seconds=300)
        await kill_in_mid_job(scene)
        await scene.until(lambda: scene.conclusions()["success"] == 1, within=LEASE + 900)
        await scene.pass_time(1200)
        assert reruns(scene) == 1
        assert "JobsRerun" in scene.events()

    interrupted(act)


@pytest.mark.parametrize("fault", [{"kind": "lost_request"}, {"kind": "status", "status": 502}])
def test_a_request_that_was_lost_is_made_again(fault: dict[str, Any]) -> None:
    async def act(scene: Scene) -> None:
        scene.fault("github", route=RERUN, times=1, **fault)
        scene.queue(seconds=300)
        await kill_in_mid_job(scene)
        await scene.until(lambda: scene.conclusions()["success"] == 1, within=LEASE + 900)
        assert reruns(scene) == 2
        assert scene.conclusions() == {"failure": 1, "success": 1}

    interrupted(act)


def test_a_record_that_ended_before_its_job_is_not_believed() -> None:
    async def act(scene: Scene) -> None:
        scene.queue(seconds=300)
        run = await kill_in_mid_job(scene)
        scene.sim.github.workflows.freeze_run(run, status="completed", conclusion="success")
        await scene.pass_time(300)
        (told,) = scene.status()["interruptions"]
        assert told["rerun"] == "Pending"
        assert reruns(scene) == 0

    interrupted(act)


def test_a_missing_permission_is_named_and_the_run_is_run_again_once_it_is_granted() -> None:
    async def act(scene: Scene) -> None:
        t4(scene, retry={"interrupted": 1})
        scene.sim.start()
        scene.queue(seconds=300)
        await kill_in_mid_job(scene)
        await scene.until(lambda: "PermissionMissing" in scene.events(), within=LEASE + 200)
        await scene.pass_time(5)
        condition = scene.condition("JobsUninterrupted")
        assert condition["reason"] == "PermissionMissing"
        assert "actions=write" in condition["message"]
        assert scene.condition("Ready")["status"] == "True"
        grant(scene)
        await scene.until(lambda: scene.conclusions()["success"] == 1, within=1500)
        assert reruns(scene, 201) == 1

    play(act)


def test_an_hf_job_that_is_killed_while_the_controller_is_down_is_told_and_run_again() -> None:
    async def act(scene: Scene) -> None:
        scene.queue(seconds=300)
        await scene.until(lambda: bool(working(scene)), within=300)
        await scene.sim.crash()
        await kill_in_mid_job(scene)
        await scene.pass_time(200)
        scene.sim.start()
        await scene.until(lambda: "RunnerLost" in scene.events(), within=200)
        await scene.until(lambda: scene.conclusions()["success"] == 1, within=LEASE + 900)
        assert scene.conclusions() == {"failure": 1, "success": 1}
        assert reruns(scene) == 1
        assert sum(event.reason == "RunnerLost" for event in scene.sim.cluster.events) == 1

    interrupted(act)
