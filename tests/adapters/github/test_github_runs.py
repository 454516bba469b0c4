"""Runs that lost a job, against the simulated GitHub: how they ended, and running their failed jobs again."""

from __future__ import annotations

import asyncio

import pytest

from controller.adapters.github import GitHubConnection
from controller.core.model import Disposition, Failure
from controller.core.reasons import Reason
from controller.core.retry import JobRecord, RunRecord
from controller.ports import Run, UpstreamError
from hf_runner_simulators.github.model import JobSpec
from tests.adapters.github.scene import LIB as LIB_SCOPE
from tests.adapters.github.scene import Scene, Script, answer, virtual

RUN = "GET /repos/{owner}/{repo}/actions/runs/{run_id}"
RERUN = "POST /repos/{owner}/{repo}/actions/runs/{run_id}/rerun-failed-jobs"
LIB = "acme/lib"


def may_write(scene: Scene) -> GitHubConnection:
    permissions = {**scene.installation.permissions, "actions": "write"}
    scene.world.accounts.change_installation(scene.installation.id, permissions=permissions)
    return scene.connect()


def queue(scene: Scene, *names: str) -> int:
    return scene.world.workflows.queue_run(LIB, [JobSpec(name=name, labels=("gpu",)) for name in names]).id


async def end(scene: Scene, *results: str) -> None:
    """Run the queued jobs, oldest first."""
    github, listeners = scene.connect(), scene.world.listeners
    for n, result in enumerate(results):
        name = f"r-{scene.clock.mono()}-{n}"
        made = await github.register(LIB_SCOPE, name=name, labels=["gpu"], group=None)
        session = listeners.connect(made.encoded).token
        job = listeners.poll(session)
        assert job is not None
        listeners.finish(session, job.id, result)


async def refused(github: GitHubConnection, run_id: int) -> Failure:
    with pytest.raises(UpstreamError) as caught:
        await github.rerun_failed(LIB, run_id)
    return caught.value.failure


@virtual
async def test_a_run_that_goes_on_costs_one_request_and_tells_no_end() -> None:
    scene = Scene()
    run_id = queue(scene, "a", "b")
    assert await scene.connect().run(LIB, run_id) == RunRecord(attempt=1, conclusion=None)
    assert scene.count(RUN) == 1
    assert not [route for route in scene.routes() if "attempts" in route]


@virtual
async def test_a_run_that_has_ended_comes_with_the_jobs_of_its_newest_attempt() -> None:
    scene = Scene()
    github = may_write(scene)
    run_id = queue(scene, "a", "b")
    await end(scene, "success", "failure")
    seen = await github.run(LIB, run_id)
    assert seen is not None
    assert (seen.attempt, seen.conclusion) == (1, "failure")
    assert [job.conclusion for job in sorted(seen.jobs, key=lambda job: job.id)] == ["success", "failure"]
    assert all(job.completed_at is not None for job in seen.jobs)
    assert await github.rerun_failed(LIB, run_id)
    assert await github.run(LIB, run_id) == RunRecord(attempt=2, conclusion=None)


@virtual
async def test_jobs_that_the_queue_has_read_before_are_read_anew() -> None:
    scene = Scene()
    github = scene.connect()
    run_id = queue(scene, "a")
    await end(scene, "failure")
    await github.jobs(LIB, Run(id=run_id, attempt=1, status="completed", created_at=0.0, updated_at=""))
    seen = await github.run(LIB, run_id)
    assert seen is not None
    assert [job.conclusion for job in seen.jobs] == ["failure"]


@virtual
async def test_a_record_that_says_ended_while_its_job_goes_on_is_shown_as_it_is() -> None:
    scene = Scene()
    run_id = queue(scene, "a")
    scene.world.workflows.freeze_run(run_id, status="completed", conclusion="success")
    seen = await scene.connect().run(LIB, run_id)
    assert seen is not None
    assert seen.conclusion == "success"
    assert [job.conclusion for job in seen.jobs] == [None]


@virtual
async def test_a_run_that_is_gone_is_none() -> None:
    assert await Scene().connect().run(LIB, 404) is None


@virtual
async def test_a_run_that_goes_on_cannot_be_run_again_yet() -> None:
    scene = Scene()
    github = may_write(scene)
    run_id = queue(scene, "a")
    assert not await github.rerun_failed(LIB, run_id)
    await end(scene, "failure")
    assert await github.rerun_failed(LIB, run_id)
    assert not await github.rerun_failed(LIB, run_id)


@virtual
async def test_a_run_that_can_never_be_run_again_is_refused_in_githubs_words() -> None:
    scene = Scene()
    github = may_write(scene)
    good, old = queue(scene, "a"), queue(scene, "a")
    await end(scene, "success", "failure")
    failure = await refused(github, good)
    assert (failure.reason, failure.disposition) == (Reason.RerunRefused, Disposition.GONE)
    assert "cannot be retried" in failure.message
    await asyncio.sleep(31 * 86_400)
    failure = await refused(scene.connect(), old)
    assert failure.reason is Reason.RerunRefused
    assert "over a month ago" in failure.message


@virtual
async def test_a_missing_permission_is_named() -> None:
    scene = Scene()
    run_id = queue(scene, "a")
    await end(scene, "failure")
    failure = await refused(scene.connect(), run_id)
    assert (failure.reason, failure.disposition) == (Reason.PermissionMissing, Disposition.PERSON)
    assert "actions=write" in failure.message
    assert not failure.in_doubt


@virtual
async def test_another_refusal_is_not_taken_for_one_for_good() -> None:
    script = Script(answer(403, {"message": "Repository access blocked"}))
    failure = await refused(script.connect(), 7)
    assert (failure.reason, failure.disposition) == (Reason.GitHubBlocked, Disposition.PERSON)


@pytest.mark.parametrize("kind", ["lost_answer", "lost_request"])
@virtual
async def test_a_request_without_an_answer_is_in_doubt_and_not_repeated(kind: str) -> None:
    scene = Scene()
    github = may_write(scene)
    run_id = queue(scene, "a")
    await end(scene, "failure")
    scene.fault(route=RERUN, kind=kind, times=1)
    failure = await refused(github, run_id)
    assert failure.in_doubt
    assert scene.count(RERUN) == 1
    seen = await github.run(LIB, run_id)
    assert seen is not None
    assert seen.attempt == (2 if kind == "lost_answer" else 1)


@virtual
async def test_an_unknown_end_is_an_end() -> None:
    row = {"id": 1, "name": "a", "status": "completed", "conclusion": None}
    script = Script(
        answer(200, {"status": "completed", "conclusion": None, "run_attempt": 3}),
        answer(200, {"total_count": 1, "jobs": [row]}),
    )
    seen = await script.connect().run(LIB, 7)
    assert seen == RunRecord(attempt=3, conclusion="neutral", jobs=(JobRecord(id=1, conclusion="neutral"),))
    assert script.requests[1].url.path == "/repos/acme/lib/actions/runs/7/attempts/3/jobs"


@virtual
async def test_a_job_whose_runner_told_of_its_end_differs_from_one_whose_runner_vanished() -> None:
    scene = Scene()
    run_id = queue(scene, "told", "vanished")
    await end(scene, "cancelled")
    made = await scene.connect().register(LIB_SCOPE, name="r", labels=["gpu"], group=None)
    session = scene.world.listeners.connect(made.encoded).token
    assert scene.world.listeners.poll(session) is not None
    scene.world.listeners.kill(session)
    scene.world.workflows.cancel_run(run_id)
    await asyncio.sleep(400)
    seen = await scene.connect().run(LIB, run_id)
    assert seen is not None
    assert [(job.conclusion, job.reported) for job in seen.jobs] == [
        ("cancelled", True),
        ("cancelled", False),
    ]


@pytest.mark.parametrize("steps", [None, [], [None], [{"status": 7}], [{}], ["completed"]], ids=str)
@virtual
async def test_a_job_whose_steps_cannot_be_read_is_not_said_to_be_reported(steps: object) -> None:
    jobs = [{"id": 9, "name": "a", "status": "completed", "conclusion": "cancelled", "steps": steps}]
    run = {"id": 7, "run_attempt": 1, "status": "completed", "conclusion": "cancelled"}
    script = Script(answer(200, run), answer(200, {"total_count": 1, "jobs": jobs}))
    seen = await script.connect().run(LIB, 7)
    assert seen is not None
    assert [job.reported for job in seen.jobs] == [False]
