"""Workflow jobs that GitHub gives to nobody: what they cost, what is said of them, and how soon all is
served once it is mended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hf_runner_simulators.github.model import JobSpec, Scope
from tests.system.test_whole import Scene, play

HOUR = 3_600.0
SPENT_AT_MOST = 3.0
"""US dollars for six hours of an H200, at 5 dollars an hour, with four jobs: about a dozen runners of two
to three minutes each."""


def organization(scene: Scene) -> None:
    """A pool of the whole organization, whose default group refuses public repositories, as GitHub's does."""
    scene.sim.github.accounts.change_repository("acme/lib", private=False)
    scene.sim.pool(
        "t4",
        url="acme",
        labels=["hf-t4"],
        github={"repositories": {"include": ["*"]}},
        maxRunners=8,
        flavors=["h200"],
    )


def statuses(scene: Scene, jobs: Sequence[int]) -> set[str]:
    return {str(job["status"]) for job in scene.jobs() if job["id"] in jobs}


def message(scene: Scene) -> str:
    return str(next(one["message"] for one in scene.status()["queue"] if one["reason"] == "NotPickedUp"))


def test_jobs_that_the_runner_group_refuses_cost_little_and_are_all_served_once_it_admits_them() -> None:
    async def act(scene: Scene) -> None:
        organization(scene)
        scene.sim.start()
        await asyncio.sleep(60)
        refused = scene.queue(count=4)
        await asyncio.sleep(15 * 60)
        assert (scene.condition("Ready")["status"], scene.condition("Ready")["reason"]) == (
            "False",
            "NotPickedUp",
        )
        assert "acme/lib is public, and runner group 'Default' refuses public repositories" in message(scene)

        others = scene.queue("acme/kernels", count=3)
        await scene.until(lambda: statuses(scene, others) == {"completed"}, within=300)
        assert scene.condition("LaunchesSucceed")["reason"] == "NotPickedUp"
        await asyncio.sleep(1.5 * HOUR)
        assert len(scene.hf_jobs()) <= 4 + 3 + 3 + 2
        assert statuses(scene, refused) == {"queued"}

        scene.sim.github.accounts.change_group(Scope("org", "acme"), 1, allows_public_repositories=True)
        await scene.until(lambda: statuses(scene, refused) == {"completed"}, within=10 * 60)
        await scene.until_quiet()
        assert scene.condition("Ready")["status"] == "True"

    play(act)


def test_four_ghosts_cost_about_a_dozen_runners_in_six_hours_and_other_jobs_beside_them_do_not_wait() -> None:
    async def act(scene: Scene) -> None:
        scene.sim.pool("t4", url="acme/lib", labels=["hf-t4"], maxRunners=8, flavors=["h200"])
        scene.sim.start()
        await asyncio.sleep(60)
        ghosts = [JobSpec(name=f"ghost {n}", labels=("hf-t4",), never_runs=True) for n in range(4)]
        scene.sim.github.workflows.queue_run("acme/lib", ghosts)
        await asyncio.sleep(6 * HOUR)
        assert len(scene.hf_jobs()) <= 4 + 9
        assert float(scene.status()["cost"]["spentUsd"]) < SPENT_AT_MOST
        assert scene.condition("Ready")["reason"] == "NotPickedUp"

        healthy = scene.queue(count=2)
        await scene.until(lambda: statuses(scene, healthy) == {"completed"}, within=300)

    play(act)


def test_a_controller_that_is_killed_again_and_again_starts_no_more_runners_for_a_ghost() -> None:
    async def act(scene: Scene) -> None:
        scene.sim.pool("t4", url="acme/lib", labels=["hf-t4"], maxRunners=8)
        scene.sim.start()
        await asyncio.sleep(60)
        ghost = JobSpec(name="ghost", labels=("hf-t4",), never_runs=True)
        scene.sim.github.workflows.queue_run("acme/lib", [ghost])
        for _ in range(18):
            await asyncio.sleep(600)
            await scene.sim.crash()
            await asyncio.sleep(5)
            scene.sim.start()
        assert len(scene.hf_jobs()) <= 4 + 2 * 2 + 1

    play(act)


def test_a_burst_that_all_have_to_wait_for_a_moment_is_not_slowed_down() -> None:
    async def act(scene: Scene) -> None:
        scene.sim.pool("t4", url="acme/lib", labels=["hf-t4"], maxRunners=40)
        scene.sim.start()
        await asyncio.sleep(60)
        scene.queue(count=80, seconds=90.0)
        await scene.until(lambda: scene.conclusions()["success"] == 80, within=900)
        assert len(scene.hf_jobs()) <= 81
        assert "suspicions" not in scene.status()
        await scene.until_quiet()

    play(act)
