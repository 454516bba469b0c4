"""Runs and jobs as the queue shows them."""

from __future__ import annotations

from typing import Any

import pytest

from hf_runner_simulators.github.model import JobSpec
from tests.sim.github.scene import LABELS, Scene

HOUR = 3_600.0


def spec(name: str = "work", **more: object) -> JobSpec:
    return JobSpec(name=name, **{"labels": LABELS, **more})  # type: ignore[arg-type]


def test_a_queued_job_shows_its_labels_and_no_runner(scene: Scene) -> None:
    job = scene.queue("self-hosted", "GPU-T4")
    shown = scene.get(f"/repos/acme/api/actions/jobs/{job.id}").body
    assert shown["labels"] == ["self-hosted", "GPU-T4"]
    assert (shown["status"], shown["conclusion"], shown["completed_at"]) == ("queued", None, None)
    assert [shown[f"runner_{key}"] for key in ("id", "name", "group_id", "group_name")] == [None] * 4
    assert shown["started_at"] == shown["created_at"]
    assert shown["check_run_url"].endswith(f"/check-runs/{job.id}")


def test_an_unassigned_runner_may_read_zero(scene: Scene) -> None:
    scene.world.turn(unassigned_runner="zero")
    job = scene.queue()
    shown = scene.get(f"/repos/acme/api/actions/jobs/{job.id}").body
    assert [shown[f"runner_{key}"] for key in ("id", "name", "group_id", "group_name")] == [0, "", 0, ""]


def test_a_job_that_names_only_a_group_shows_neither_labels_nor_group(scene: Scene) -> None:
    (job,) = scene.world.workflows.queue_jobs("acme/api", [], group="gpu")
    shown = scene.get(f"/repos/acme/api/actions/jobs/{job.id}").body
    assert shown["labels"] == []
    assert "gpu" not in str(shown)


def test_runs_are_listed_newest_first(scene: Scene) -> None:
    first, second = scene.queue(), scene.queue()
    assert [row["id"] for row in scene.runs()] == [second.run_id, first.run_id]


def test_runs_are_listed_of_their_own_repository_only(scene: Scene) -> None:
    scene.queue(repository="acme/web")
    assert scene.runs() == []
    run_id = scene.runs(repository="acme/web")[0]["id"]
    assert scene.get(f"/repos/acme/api/actions/runs/{run_id}").status == 404


def test_a_filter_takes_one_status_or_conclusion(scene: Scene) -> None:
    done, _ = scene.queue(), scene.queue()
    runner = scene.runner().connect()
    runner.finish(runner.take())
    assert [row["id"] for row in scene.runs("completed")] == [done.run_id]
    assert [row["id"] for row in scene.runs("success")] == [done.run_id]
    assert len(scene.runs("queued")) == 1
    assert scene.runs("failure") == []


def test_runs_can_be_filtered_by_event_and_branch(scene: Scene) -> None:
    nightly = scene.run(spec(), event="schedule", head_branch="main")
    scene.run(spec(), event="push", head_branch="topic")
    assert [row["id"] for row in scene.runs(event="schedule")] == [nightly.id]
    assert [row["id"] for row in scene.runs("queued", branch="main")] == [nightly.id]


# -- a run's status
# ---------------------------------------------------------------------------------------------------


def test_one_queued_job_makes_the_run_read_queued_whatever_the_others_do(scene: Scene) -> None:
    run = scene.run(spec("a"), spec("b"), spec("c"))
    first, second = scene.runner("r1").connect(), scene.runner("r2").connect()
    first.finish(first.take())
    second.take()
    assert [job["status"] for job in scene.jobs(run.id)] == ["completed", "in_progress", "queued"]
    assert scene.get(f"/repos/acme/api/actions/runs/{run.id}").body["status"] == "queued"
    assert scene.runs("in_progress") == []


def test_a_run_without_queued_jobs_reads_in_progress_and_then_completed(scene: Scene) -> None:
    job = scene.queue()
    runner = scene.runner().connect()
    runner.take()
    assert [row["id"] for row in scene.runs("in_progress")] == [job.run_id]
    runner.finish(job, "failure")
    (row,) = scene.runs("completed")
    assert (row["status"], row["conclusion"]) == ("completed", "failure")


def test_a_waiting_job_is_no_demand_until_it_is_approved(scene: Scene) -> None:
    run = scene.run(spec(status="waiting"))
    runner = scene.runner().connect()
    assert runner.poll() is None
    assert [row["id"] for row in scene.runs("waiting")] == [run.id]
    (job,) = scene.jobs(run.id)
    scene.world.workflows.release(job["id"])
    assert runner.take().id == job["id"]


def test_a_run_with_pending_legs_reads_pending_though_it_holds_queued_jobs(scene: Scene) -> None:
    run = scene.run(spec("a"), spec("b", status="pending"))
    assert [row["id"] for row in scene.runs("pending")] == [run.id]
    assert scene.runs("queued") == []
    assert [job["status"] for job in scene.jobs(run.id)] == ["queued", "pending"]


def test_later_jobs_appear_when_their_needs_are_met(scene: Scene) -> None:
    run = scene.run(spec("build"), spec("test", needs=("build",)), spec("ship", needs=("test",)))
    runner = scene.runner("r1").connect()
    assert [job["name"] for job in scene.jobs(run.id)] == ["build"]
    runner.finish(runner.take())
    assert [(job["name"], job["status"]) for job in scene.jobs(run.id)] == [
        ("build", "completed"),
        ("test", "queued"),
    ]
    assert [row["id"] for row in scene.runs("queued")] == [run.id]


def test_a_later_job_may_be_queued_in_a_run_that_reads_in_progress(scene: Scene) -> None:
    scene.world.turn(later_jobs_requeue_run=False)
    run = scene.run(spec("build"), spec("test", needs=("build",)))
    runner = scene.runner("r1").connect()
    runner.finish(runner.take())
    assert [row["id"] for row in scene.runs("in_progress")] == [run.id]
    assert scene.jobs(run.id)[1]["status"] == "queued"


def test_jobs_whose_needs_failed_are_skipped(scene: Scene) -> None:
    run = scene.run(spec("build"), spec("test", needs=("build",)), spec("ship", needs=("test",)))
    runner = scene.runner("r1").connect()
    runner.finish(runner.take(), "failure")
    assert [job["conclusion"] for job in scene.jobs(run.id)] == ["failure", "skipped", "skipped"]
    assert scene.runs("completed")[0]["conclusion"] == "failure"


def test_a_concurrency_group_holds_one_run_and_one_pending(scene: Scene) -> None:
    first, second, third = (scene.run(spec(), concurrency="deploy") for _ in range(3))
    statuses = {row["id"]: (row["status"], row["conclusion"]) for row in scene.runs()}
    assert statuses == {
        first.id: ("queued", None),
        second.id: ("completed", "cancelled"),
        third.id: ("pending", None),
    }
    assert scene.jobs(third.id) == []
    runner = scene.runner().connect()
    runner.finish(runner.take())
    assert [row["id"] for row in scene.runs("queued")] == [third.id]


def test_hosted_jobs_run_on_githubs_own_machines(scene: Scene) -> None:
    run = scene.run(spec("lint", labels=("ubuntu-latest",), seconds=20), spec("gpu", needs=("lint",)))
    runner = scene.runner(labels=("ubuntu-latest", *LABELS)).connect()
    assert runner.poll() is None
    scene.wait(6)
    (lint,) = scene.jobs(run.id)
    assert (lint["status"], lint["runner_group_name"]) == ("in_progress", "GitHub Actions")
    scene.wait(20)
    assert runner.take().spec.name == "gpu"


@pytest.mark.parametrize(
    "labels", [("gpu", "ubuntu-22.04"), ("ubuntu-22.04-gpu",), ("self-hosted", "ubuntu-22.04")]
)
def test_a_job_with_a_label_beside_githubs_own_is_for_whoever_has_both(
    scene: Scene, labels: tuple[str, ...]
) -> None:
    job = scene.queue(*labels)
    scene.wait(60)
    assert scene.runner(labels=labels).connect().take().id == job.id


# -- what is odd about it
# ---------------------------------------------------------------------------------------------


def test_a_zombie_run_reads_queued_for_ever_and_cannot_be_ended(scene: Scene) -> None:
    run = scene.world.workflows.queue_zombie("acme/api")
    path = f"/repos/acme/api/actions/runs/{run.id}"
    scene.wait(21 * 24 * HOUR)
    scene.token = scene.new_token()
    assert [row["id"] for row in scene.runs("queued")] == [run.id]
    assert scene.jobs(run.id) == []
    assert scene.post(f"{path}/cancel").status == 403
    scene.world.accounts.change_installation(scene.installation.id, permissions={"actions": "write"})
    refused = scene.post(f"{path}/cancel")
    assert (refused.status, refused.message) == (
        409,
        "Cannot cancel a workflow run that has not been queued yet.",
    )
    assert scene.post(f"{path}/force-cancel").status == 409
    assert scene.post(f"{path}/rerun").message == "This workflow is already running"


def test_a_job_can_stay_queued_in_a_run_that_reads_completed(scene: Scene) -> None:
    run = scene.run(spec(never_runs=True))
    scene.world.workflows.freeze_run(run.id, "completed", "startup_failure")
    assert scene.runner().connect().poll() is None
    assert scene.runs("queued") == []
    assert [row["conclusion"] for row in scene.runs("completed")] == ["startup_failure"]
    assert scene.jobs(run.id)[0]["status"] == "queued"


def test_run_and_job_records_can_disagree(scene: Scene) -> None:
    job = scene.queue()
    scene.runner().connect().take()
    scene.world.workflows.freeze_run(job.run_id, "completed", "success")
    assert scene.get(f"/repos/acme/api/actions/runs/{job.run_id}").body["conclusion"] == "success"
    assert scene.jobs(job.run_id)[0]["status"] == "in_progress"


def test_a_run_can_be_frozen_at_queued_after_its_jobs_are_done(scene: Scene) -> None:
    job = scene.queue()
    runner = scene.runner().connect()
    runner.finish(runner.take())
    scene.world.workflows.freeze_run(job.run_id, "queued")
    assert [row["id"] for row in scene.runs("queued")] == [job.run_id]


def test_a_new_runs_jobs_may_appear_later_than_the_run(scene: Scene) -> None:
    scene.world.turn(jobs_appear_after_seconds=4.0)
    job = scene.queue()
    assert [row["id"] for row in scene.runs("queued")] == [job.run_id]
    assert scene.jobs(job.run_id) == []
    scene.wait(4)
    assert [row["id"] for row in scene.jobs(job.run_id)] == [job.id]


def test_lists_can_lag_behind(scene: Scene) -> None:
    scene.world.turn(list_lag_seconds=30.0)
    scene.wait(100)
    job = scene.queue()
    runner = scene.runner()
    assert (scene.runs("queued"), scene.runners()) == ([], [])
    assert scene.get(f"/repos/acme/api/actions/jobs/{job.id}").body["status"] == "queued"
    scene.wait(30)
    assert [row["id"] for row in scene.runs("queued")] == [job.run_id]
    assert [row["name"] for row in scene.runners()] == ["r1"]
    runner.connect().take()
    assert scene.jobs(job.run_id)[0]["status"] == "queued"
    assert len(scene.runs("queued")) == 1
    scene.wait(30)
    assert scene.jobs(job.run_id)[0]["status"] == "in_progress"
    assert scene.runs("queued") == []


def test_lists_can_come_in_another_order(scene: Scene) -> None:
    run_ids = [scene.queue().run_id for _ in range(9)]
    matrix = scene.run(*(spec(f"j{n}") for n in range(9)))
    names = [scene.runner(f"r{n}").name for n in range(9)]

    def lists() -> list[list[Any]]:
        runs = [row["id"] for row in scene.runs("queued") if row["id"] != matrix.id]
        return [
            runs,
            [job["name"] for job in scene.jobs(matrix.id)],
            [row["name"] for row in scene.runners()],
        ]

    usual = lists()
    assert usual == [run_ids[::-1], [f"j{n}" for n in range(9)], names]
    scene.world.turn(list_order="reversed")
    assert lists() == [rows[::-1] for rows in usual]
    scene.world.turn(list_order="shuffled")
    first = lists()
    assert first == lists(), "two pages asked for at once fit together"
    assert [sorted(rows) for rows in first] == [sorted(rows) for rows in usual]
    scene.wait(10)
    assert all(a != b for a, b in zip(first, lists(), strict=True)), "later ones do not"


def test_a_deleted_runner_stays_in_a_lagging_list(scene: Scene) -> None:
    runner = scene.runner()
    scene.wait(60)
    scene.world.turn(list_lag_seconds=30.0)
    assert runner.delete().status == 204
    assert [row["name"] for row in scene.runners()] == ["r1"]
    assert runner.delete().status == 404
    scene.wait(30)
    assert scene.runners() == []


def test_single_records_can_lag_behind_too(scene: Scene) -> None:
    scene.world.turn(get_lag_seconds=30.0)
    job = scene.queue()
    assert scene.get(f"/repos/acme/api/actions/jobs/{job.id}").status == 404
    scene.wait(30)
    scene.runner().connect().take()
    assert scene.get(f"/repos/acme/api/actions/jobs/{job.id}").body["status"] == "queued"


@pytest.mark.parametrize("conclusion", ["cancelled", "failure"])
def test_a_job_that_nobody_takes_ends_after_a_day(scene: Scene, conclusion: str) -> None:
    scene.world.turn(queue_cap_conclusion=conclusion)
    job = scene.queue()
    scene.wait(24 * HOUR - 1)
    assert scene.job(job.id).status == "queued"
    scene.wait(1)
    assert (scene.job(job.id).status, scene.job(job.id).conclusion) == ("completed", conclusion)


def test_events_are_stamped_with_their_own_time_however_late_somebody_looks(scene: Scene) -> None:
    start = scene.clock.wall()
    job = scene.queue()
    scene.wait(30 * 24 * HOUR)
    assert scene.job(job.id).completed_at == start + 24 * HOUR
