"""Cancel, force-cancel, re-run."""

from __future__ import annotations

import pytest

from hf_runner_simulators.github.model import JobSpec
from tests.sim.github.scene import LABELS, Scene

RUNS = "/repos/acme/api/actions/runs"


@pytest.fixture
def scene() -> Scene:
    """The App may write here."""
    made = Scene()
    permissions = {**made.installation.permissions, "actions": "write"}
    made.world.accounts.change_installation(made.installation.id, permissions=permissions)
    return made


def test_cancelling_ends_queued_jobs_at_once(scene: Scene) -> None:
    job = scene.queue()
    assert scene.post(f"{RUNS}/{job.run_id}/cancel").status == 202
    assert scene.job(job.id).conclusion == "cancelled"
    assert scene.runs("cancelled")[0]["id"] == job.run_id
    assert scene.runner().connect().poll() is None


def test_cancelling_asks_a_runner_that_works(scene: Scene) -> None:
    job = scene.queue()
    runner = scene.runner().connect()
    runner.take()
    scene.post(f"{RUNS}/{job.run_id}/cancel")
    assert scene.job(job.id).status == "in_progress"
    assert runner.renew(job) is True
    runner.finish(job, "cancelled")
    assert scene.job(job.id).conclusion == "cancelled"


def test_a_runner_that_does_not_answer_a_cancel_has_five_minutes(scene: Scene) -> None:
    job = scene.queue()
    runner = scene.runner().connect(leased=False)
    runner.take()
    scene.post(f"{RUNS}/{job.run_id}/cancel")
    scene.wait(300)
    assert scene.job(job.id).status == "in_progress"
    assert runner.delete().status == 422
    scene.wait(1)
    assert scene.job(job.id).conclusion == "cancelled"
    assert runner.delete().status == 204


def test_cancelling_a_completed_run_is_accepted_or_refused(scene: Scene) -> None:
    job = scene.queue()
    scene.world.workflows.cancel_run(job.run_id)
    assert scene.post(f"{RUNS}/{job.run_id}/cancel").status == 202
    scene.world.turn(cancel_completed_conflicts=True)
    assert scene.post(f"{RUNS}/{job.run_id}/cancel").status == 409
    assert scene.post(f"{RUNS}/{job.run_id}/force-cancel").status == 409


def test_force_cancel_asks_nobody(scene: Scene) -> None:
    job = scene.queue()
    runner = scene.runner().connect()
    runner.take()
    assert scene.post(f"{RUNS}/{job.run_id}/force-cancel").status == 202
    assert scene.job(job.id).conclusion == "cancelled"
    assert runner.renew(job) is True


def test_force_cancel_is_slow_after_a_plain_cancel(scene: Scene) -> None:
    job = scene.queue()
    scene.runner().connect(leased=False).take()
    scene.post(f"{RUNS}/{job.run_id}/cancel")
    scene.post(f"{RUNS}/{job.run_id}/force-cancel")
    scene.wait(119)
    assert scene.job(job.id).status == "in_progress"
    scene.wait(1)
    assert scene.job(job.id).conclusion == "cancelled"


def test_cancelling_a_pending_run_frees_its_place(scene: Scene) -> None:
    spec = JobSpec(name="a", labels=LABELS)
    first = scene.run(spec, concurrency="deploy")
    second = scene.run(spec, concurrency="deploy")
    scene.post(f"{RUNS}/{second.id}/cancel")
    scene.post(f"{RUNS}/{first.id}/cancel")
    third = scene.run(spec, concurrency="deploy")
    assert [row["id"] for row in scene.runs("queued")] == [third.id]


def test_later_jobs_of_a_cancelled_run_never_come(scene: Scene) -> None:
    run = scene.run(JobSpec(name="a", labels=LABELS), JobSpec(name="b", labels=LABELS, needs=("a",)))
    scene.post(f"{RUNS}/{run.id}/cancel")
    assert [(job["name"], job["conclusion"]) for job in scene.jobs(run.id)] == [("a", "cancelled")]


# -- running again
# ----------------------------------------------------------------------------------------------------


def failed(scene: Scene, *results: str) -> int:
    run = scene.run(*(JobSpec(name=f"j{n}", labels=LABELS) for n in range(len(results))))
    for n, result in enumerate(results):
        runner = scene.runner(f"{run.id}-{n}").connect()
        runner.finish(runner.take(), result)
    return run.id


def test_failed_jobs_run_again_under_new_ids_in_a_new_attempt(scene: Scene) -> None:
    run_id = failed(scene, "success", "failure")
    before = scene.jobs(run_id)
    scene.wait(60)
    assert scene.post(f"{RUNS}/{run_id}/rerun-failed-jobs").status == 201
    (run,) = scene.runs("queued")
    assert (run["run_attempt"], run["previous_attempt_url"][-10:]) == (2, "attempts/1")
    assert run["run_started_at"] > run["created_at"], "only run_started_at is reset"
    latest = scene.jobs(run_id)
    assert [(job["name"], job["status"], job["run_attempt"]) for job in latest] == [
        ("j0", "completed", 1),
        ("j1", "queued", 2),
    ]
    assert latest[1]["id"] != before[1]["id"]


def test_the_latest_filter_hides_the_attempt_before(scene: Scene) -> None:
    run_id = failed(scene, "failure")
    scene.post(f"{RUNS}/{run_id}/rerun-failed-jobs")
    assert [job["run_attempt"] for job in scene.jobs(run_id)] == [2]
    assert [job["run_attempt"] for job in scene.jobs(run_id, filter="all")] == [1, 2]
    attempts = [scene.get(f"{RUNS}/{run_id}/attempts/{n}/jobs") for n in (1, 2, 3)]
    assert [reply.status for reply in attempts] == [200, 200, 404]
    assert [job["conclusion"] for job in attempts[0].body["jobs"]] == ["failure"]


def test_a_run_can_run_again_whole(scene: Scene) -> None:
    run_id = failed(scene, "success", "success")
    assert scene.post(f"{RUNS}/{run_id}/rerun").status == 201
    assert [job["status"] for job in scene.jobs(run_id)] == ["queued", "queued"]


def test_a_job_runs_again_with_those_that_need_it(scene: Scene) -> None:
    specs = [
        JobSpec(name=name, labels=LABELS, needs=needs)
        for name, needs in (("a", ()), ("b", ("a",)), ("c", ()))
    ]
    run = scene.run(*specs)
    for n in range(3):
        runner = scene.runner(f"r{n}").connect()
        runner.finish(runner.take())
    first = next(job for job in scene.jobs(run.id) if job["name"] == "a")
    assert scene.post(f"/repos/acme/api/actions/jobs/{first['id']}/rerun").status == 201
    runner = scene.runner("again").connect()
    again = runner.take()
    assert again.spec.name == "a"
    assert scene.post(f"/repos/acme/api/actions/jobs/{first['id']}/rerun").message == (
        "The workflow run containing this job is already running"
    )
    runner.finish(again)
    assert {job["name"]: job["run_attempt"] for job in scene.jobs(run.id)} == {"a": 2, "b": 2, "c": 1}


def test_a_re_run_goes_through_the_needs_in_their_order(scene: Scene) -> None:
    names = ("a", "b", "c")
    needs = ((), ("a",), ("b",))
    run = scene.run(
        *(JobSpec(name=name, labels=LABELS, needs=need) for name, need in zip(names, needs, strict=True))
    )
    for attempt in (1, 2):
        for name in names:
            assert [job["name"] for job in scene.jobs(run.id) if job["status"] == "queued"] == [name]
            runner = scene.runner(f"{name}{attempt}").connect()
            runner.finish(runner.take())
        assert scene.runs("completed")[0]["run_attempt"] == attempt
        scene.post(f"{RUNS}/{run.id}/rerun")


def test_a_cancelled_run_can_run_its_jobs_again(scene: Scene) -> None:
    job = scene.queue()
    scene.world.workflows.cancel_run(job.run_id)
    assert scene.post(f"{RUNS}/{job.run_id}/rerun-failed-jobs").status == 201


def test_what_cannot_run_again_says_why(scene: Scene) -> None:
    job = scene.queue()
    path = f"{RUNS}/{job.run_id}/rerun-failed-jobs"
    assert scene.post(path).message == "This workflow is already running"
    runner = scene.runner().connect()
    runner.finish(runner.take())
    refused = scene.post(path)
    assert (refused.status, refused.message) == (403, "This workflow run cannot be retried")
    scene.wait(31 * 86_400)
    scene.token = scene.new_token()
    assert scene.post(path).message.startswith(
        "Unable to retry this workflow run because it was created over a month ago"
    )


def test_a_run_runs_again_fifty_times_at_most(scene: Scene) -> None:
    run_id = failed(scene, "failure")
    for _ in range(50):
        scene.world.workflows.rerun(run_id)
        scene.world.workflows.cancel_run(run_id)
    assert scene.post(f"{RUNS}/{run_id}/rerun").status == 403


def test_reading_permission_is_not_enough(scene: Scene) -> None:
    job = scene.queue()
    scene.world.accounts.change_installation(scene.installation.id, permissions={"actions": "read"})
    assert scene.post(f"{RUNS}/{job.run_id}/cancel").status == 403
