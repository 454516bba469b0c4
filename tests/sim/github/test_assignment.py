"""Which runner gets which job."""

from __future__ import annotations

import pytest

from hf_runner_simulators.github.model import JobSpec, Scope
from tests.sim.github.scene import ACME, API, LABELS, Scene


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (("gpu",), True),
        (("GPU", "Self-Hosted"), True),
        (("self-hosted", "linux", "gpu"), True),
        (("self-hosted", "linux", "gpu", "x64"), False),
        (("gpu,linux",), False),
    ],
)
def test_a_job_goes_to_a_runner_that_has_all_its_labels(
    scene: Scene, asked: tuple[str, ...], given: bool
) -> None:
    scene.queue(*asked)
    assert (scene.runner(labels=("Self-Hosted", "Linux", "gpu")).connect().poll() is not None) is given


def test_a_superset_steals(scene: Scene) -> None:
    job = scene.queue("gpu")
    assert scene.runner("mine", ("gpu", "a100", "other-pool")).connect().take().id == job.id


def test_a_job_goes_to_any_matching_idle_runner(scene: Scene) -> None:
    runners = [scene.runner(f"r{n}").connect() for n in range(8)]
    jobs = [scene.queue() for _ in range(8)]
    taken = [runner.take().id for runner in runners]
    assert sorted(taken) == [job.id for job in jobs]
    assert taken != sorted(taken), "the choice does not follow the order of registration"


def test_the_longest_queued_job_goes_first(scene: Scene) -> None:
    first = scene.queue()
    scene.queue()
    assert scene.runner().connect().take().id == first.id


def test_a_job_queued_before_its_runner_exists_waits_for_it(scene: Scene) -> None:
    job = scene.queue()
    scene.wait(3_600)
    assert scene.runner().connect().take().id == job.id


def test_a_registration_that_never_connected_gets_nothing(scene: Scene) -> None:
    scene.runner()
    job = scene.queue()
    scene.wait(61)
    assert scene.job(job.id).status == "queued"


def test_one_runner_gets_one_job(scene: Scene) -> None:
    scene.queue()
    scene.queue()
    runner = scene.runner().connect()
    job = runner.take()
    assert runner.poll() is None
    runner.finish(job)
    assert len(scene.runs("queued")) == 1


def test_assignment_can_take_a_moment(scene: Scene) -> None:
    scene.world.turn(assignment_seconds=1.0)
    scene.queue()
    runner = scene.runner().connect()
    assert runner.poll() is None
    scene.wait(1)
    assert runner.poll() is not None


# -- scopes and groups
# ------------------------------------------------------------------------------------------------


def test_a_repositorys_runner_serves_that_repository_only(scene: Scene) -> None:
    scene.queue(repository="acme/web")
    assert scene.runner(scope=API).connect().poll() is None
    job = scene.queue(repository="acme/api")
    assert scene.job(job.id).offered_to is not None


def test_an_organizations_runner_serves_its_private_repositories_only(scene: Scene) -> None:
    scene.world.accounts.add_repository("other/app")
    scene.queue(repository="other/app")
    scene.queue(repository="acme/site")
    runner = scene.runner().connect()
    assert runner.poll() is None
    job = scene.queue(repository="acme/web")
    assert runner.take().id == job.id


def test_public_repositories_need_a_group_that_allows_them(scene: Scene) -> None:
    scene.world.accounts.change_group(ACME, 1, allows_public_repositories=True)
    job = scene.queue(repository="acme/site")
    assert scene.runner().connect().take().id == job.id


def test_a_public_repositorys_own_runner_is_bound_by_no_group(scene: Scene) -> None:
    job = scene.queue(repository="acme/site")
    assert scene.runner(scope=Scope("repo", "acme/site")).connect().take().id == job.id


def test_a_group_serves_its_selected_repositories_only(scene: Scene) -> None:
    group = scene.world.accounts.add_group(ACME, "gpu", visibility="selected", selected=["Acme/API"])
    scene.queue(repository="acme/web")
    runner = scene.runner(group=group.id).connect()
    assert runner.poll() is None
    job = scene.queue(repository="acme/api")
    assert runner.take().id == job.id


def test_a_job_that_names_a_group_is_given_to_that_group_only(scene: Scene) -> None:
    group = scene.world.accounts.add_group(ACME, "gpu")
    job = scene.queue("self-hosted", group="gpu")
    assert scene.runner("r1").connect().poll() is None
    assert scene.runner("r2", scope=API).connect().poll() is None
    runner = scene.runner("r3", group=group.id).connect()
    assert runner.take().id == job.id
    shown = scene.get(f"/repos/acme/api/actions/jobs/{job.id}").body
    assert (shown["runner_name"], shown["runner_group_id"], shown["runner_group_name"]) == (
        "r3",
        group.id,
        "gpu",
    )


def test_a_group_only_job_goes_to_any_runner_of_the_group(scene: Scene) -> None:
    group = scene.world.accounts.add_group(ACME, "gpu")
    (job,) = scene.world.workflows.queue_jobs("acme/api", [], group="gpu")
    assert scene.runner("r1").connect().poll() is None
    assert scene.runner("r2", ("whatever",), group=group.id).connect().take().id == job.id


def test_a_group_can_be_restricted_to_workflows(scene: Scene) -> None:
    wanted = "acme/api/.github/workflows/gpu.yml@refs/heads/main"
    group = scene.world.accounts.add_group(ACME, "gpu", workflows=[wanted])
    runner = scene.runner(group=group.id).connect()
    for workflow, branch in (("CI", "main"), ("gpu", "topic")):
        scene.run(JobSpec(name="a", labels=LABELS), workflow=workflow, head_branch=branch)
    assert runner.poll() is None
    run = scene.run(JobSpec(name="a", labels=LABELS), workflow="GPU")
    assert runner.take().run_id == run.id


def test_an_enterprises_runner_serves_its_organizations(scene: Scene) -> None:
    accounts = scene.world.accounts
    accounts.add_organization("big-corp", enterprise="big")
    accounts.add_repository("big-corp/app")
    big = Scope("enterprise", "big")
    scene.queue(repository="acme/api")
    runner = scene.runner(scope=big).connect()
    assert runner.poll() is None
    job = scene.queue(repository="big-corp/app")
    assert runner.take().id == job.id
    selected = accounts.add_group(big, "one", visibility="selected", selected=["other-corp"])
    scene.queue(repository="big-corp/app")
    assert scene.runner("r2", scope=big, group=selected.id).connect().poll() is None


# -- offers that come to nothing
# --------------------------------------------------------------------------------------


def test_a_job_that_is_not_picked_up_in_a_minute_goes_to_another_runner(scene: Scene) -> None:
    dead = scene.runner("dead").connect()
    job = scene.queue()
    dead.kill()
    assert scene.job(job.id).offered_to == dead.id
    scene.wait(59)
    alive = scene.runner("alive").connect()
    assert alive.poll() is None
    assert scene.job(job.id).status == "queued"
    scene.wait(1)
    assert alive.take().id == job.id


def test_a_runner_that_comes_back_after_its_offer_lapsed_is_asked_again(scene: Scene) -> None:
    slow = scene.runner().connect()
    job = scene.queue()
    scene.wait(90)
    assert scene.job(job.id).offered_to is None
    assert slow.take().id == job.id


def test_a_silent_runner_is_offered_nothing(scene: Scene) -> None:
    runner = scene.runner().connect()
    scene.wait(61)
    job = scene.queue()
    assert scene.job(job.id).offered_to is None
    assert runner.shown()["status"] == "offline"
    assert runner.take().id == job.id


def test_an_offered_job_that_is_cancelled_frees_its_runner(scene: Scene) -> None:
    runner = scene.runner().connect()
    job = scene.queue()
    scene.world.workflows.cancel_job(job.id)
    other = scene.queue()
    assert scene.job(job.id).conclusion == "cancelled"
    assert runner.take().id == other.id


def test_whether_a_runner_with_an_offer_can_be_deleted_is_a_knob(scene: Scene) -> None:
    runner = scene.runner().connect()
    job = scene.queue()
    assert runner.delete().status == 422
    scene.world.turn(offer_blocks_delete=False)
    assert runner.delete().status == 204
    assert scene.job(job.id).status == "queued"
    assert scene.runner("r2").connect().take().id == job.id
