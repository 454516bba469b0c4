"""The observer and the real adapter in front of the simulated GitHub, with what nobody knows
of GitHub turned both ways.
"""

from __future__ import annotations

import asyncio
from typing import Any, Self

import pytest

from controller.core.model import JobStatus
from controller.core.reasons import Reason
from controller.observe.queue import QueueObserver
from controller.observe.queue_discovery import Patterns
from hf_runner_simulators.github.model import JobSpec
from hf_runner_simulators.github.model import Scope as SimScope
from tests.adapters.github.scene import Scene, source, virtual

RUNS = "GET /repos/{owner}/{repo}/actions/runs"
MINT = "POST /app/installations/{installation_id}/access_tokens"
LIB = SimScope("repo", "acme/lib")


class Watching:
    """The observer of a scene's ``acme`` while the context is open."""

    def __init__(self, scene: Scene, *include: str, **options: Any) -> None:
        self.github = scene.connect(**options)
        self.changes = 0
        self.observer = QueueObserver(
            source=source(), queue=self.github, clock=scene.ours, changed=self._count
        )
        self.observer.want([Patterns(include or ("acme/lib",))])

    def _count(self) -> None:
        self.changes += 1

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.observer.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait((self._task,))
        assert self._task.cancelled(), self._task.exception()
        await self.github.close()

    def jobs(self, name: str = "acme/lib") -> list[tuple[str, JobStatus]]:
        return [(job.name, job.status) for job in self.observer.observations()[name].items]


class Runner:
    """A registered runner of ``acme/lib`` that takes jobs when told to."""

    def __init__(self, scene: Scene, name: str = "r-1") -> None:
        made = scene.world.runners.generate_jit_config(LIB, name=name, labels=["gpu"])
        self.listeners = scene.world.listeners
        self.session = self.listeners.connect(made.encoded, leased=False)

    def take(self) -> int:
        job = self.listeners.poll(self.session.token)
        assert job is not None
        return job.id

    def finish(self, job_id: int) -> None:
        self.listeners.finish(self.session.token, job_id, "success")


@pytest.mark.parametrize("later_jobs_requeue_run", [True, False])
@virtual
async def test_a_chain_of_jobs_is_seen_link_by_link(later_jobs_requeue_run: bool) -> None:
    scene = Scene(later_jobs_requeue_run=later_jobs_requeue_run)
    async with Watching(scene) as watching:
        await asyncio.sleep(5)
        scene.world.workflows.queue_run(
            "acme/lib", [JobSpec(name="a", labels=("gpu",)), JobSpec(name="b", labels=("gpu",), needs=("a",))]
        )
        await asyncio.sleep(15)
        assert watching.jobs() == [("a", JobStatus.QUEUED)]
        runner = Runner(scene)
        job = runner.take()
        await asyncio.sleep(45)
        assert watching.jobs() == [("a", JobStatus.IN_PROGRESS)]
        assert watching.observer.observations()["acme/lib"].items[0].runner_name == "r-1"
        runner.finish(job)
        await asyncio.sleep(45)
        assert watching.jobs() == [("b", JobStatus.QUEUED)]


@pytest.mark.parametrize(
    "knobs",
    [
        {"list_lag_seconds": 20.0},
        {"jobs_appear_after_seconds": 20.0},
        {"not_modified_costs_points": False},
        {"unassigned_runner": "zero"},
    ],
    ids=str,
)
@virtual
async def test_a_job_is_seen_although_lists_lag(knobs: dict[str, Any]) -> None:
    scene = Scene(**knobs)
    async with Watching(scene) as watching:
        await asyncio.sleep(5)
        scene.world.workflows.queue_jobs("acme/lib", ["gpu"], count=5)
        await asyncio.sleep(75)
        assert watching.jobs() == [("work", JobStatus.QUEUED)] * 5


@virtual
async def test_held_back_jobs_are_shown_as_such_and_as_queued_once_released() -> None:
    scene = Scene()
    scene.world.workflows.queue_run(
        "acme/lib",
        [JobSpec(name="now", labels=("gpu",)), JobSpec(name="gated", labels=("gpu",), status="waiting")],
    )
    async with Watching(scene) as watching:
        await asyncio.sleep(5)
        assert watching.jobs() == [("now", JobStatus.QUEUED), ("gated", JobStatus.WAITING)]
        gated = watching.observer.observations()["acme/lib"].items[1]
        scene.world.workflows.release(gated.id)
        await asyncio.sleep(20)
        assert watching.jobs() == [("now", JobStatus.QUEUED), ("gated", JobStatus.QUEUED)]


@virtual
async def test_a_run_whose_legs_are_split_between_pending_and_queued_never_leaves_the_view() -> None:
    scene = Scene()
    specs = [JobSpec(name="a", labels=("gpu",)), JobSpec(name="b", labels=("gpu",), status="pending")]
    scene.world.workflows.queue_run("acme/lib", specs)  # GitHub lists it as pending
    async with Watching(scene) as watching:
        for _ in range(60):
            await asyncio.sleep(10)
            assert ("a", JobStatus.QUEUED) in watching.jobs()


@virtual
async def test_a_run_that_becomes_pending_never_leaves_the_view() -> None:
    scene = Scene()
    (job,) = scene.world.workflows.queue_jobs("acme/lib", ["gpu"])
    async with Watching(scene) as watching:
        await asyncio.sleep(20)
        scene.world.workflows.freeze_run(job.run_id, "pending")
        for _ in range(60):
            await asyncio.sleep(3)
            assert watching.jobs() == [("work", JobStatus.QUEUED)]


@virtual
async def test_a_job_that_stays_queued_in_a_completed_run_is_forgotten() -> None:
    scene = Scene()
    (job,) = scene.world.workflows.queue_jobs("acme/lib", ["gpu"])
    async with Watching(scene) as watching:
        await asyncio.sleep(20)
        assert watching.jobs() == [("work", JobStatus.QUEUED)]
        scene.world.workflows.freeze_run(job.run_id, "completed", "startup_failure")
        await asyncio.sleep(60)
        assert watching.jobs() == []
        assert scene.world.workflows.job(job.id).status == "queued"


@virtual
async def test_a_run_that_is_completed_too_early_does_not_lose_a_re_run() -> None:
    scene = Scene()
    (job,) = scene.world.workflows.queue_jobs("acme/lib", ["gpu"])
    async with Watching(scene) as watching:
        await asyncio.sleep(20)
        scene.world.workflows.force_cancel_run(job.run_id)
        await asyncio.sleep(30)
        assert watching.jobs() == []
        scene.world.workflows.rerun(job.run_id)
        await asyncio.sleep(30)
        (seen,) = watching.observer.observations()["acme/lib"].items
        assert (seen.status, seen.run_attempt) == (JobStatus.QUEUED, 2)
        assert seen.id != job.id


@virtual
async def test_zombies_cost_nothing_of_the_quota_and_make_no_demand() -> None:
    scene = Scene()
    for _ in range(18):
        scene.world.workflows.queue_zombie("acme/lib")
    scene.world.workflows.queue_zombie("acme/lib", status="in_progress")
    async with Watching(scene) as watching:
        await asyncio.sleep(3_000)
        quota = watching.github.quota()
        assert quota is not None
        await asyncio.sleep(400)
        left = watching.github.quota()
        assert left is not None
        assert quota.remaining - left.remaining <= 4  # a look at some other status
        assert watching.jobs() == []


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, Reason.GitHubUnauthorized),
        (403, Reason.GitHubForbidden),
        (404, Reason.GitHubNotFound),
        (502, Reason.GitHubUnavailable),
    ],
)
@virtual
async def test_one_refusing_repository_of_many_stops_no_other(status: int, reason: Reason) -> None:
    scene = Scene()
    for n in range(5):
        scene.world.accounts.add_repository(f"acme/r{n}")
    scene.world.accounts.block_repository("acme/r2", status=status, message="no")
    async with Watching(scene, "acme/r*") as watching:
        await asyncio.sleep(60)
        for n in range(10):
            scene.world.workflows.queue_jobs(f"acme/r{n % 5}", ["gpu"], name=f"j{n}")
            await asyncio.sleep(60)
            seen = watching.observer.observations()
            assert [name for name, view in seen.items() if not view.complete] == ["acme/r2"]
            assert seen["acme/r2"].failure is not None
            assert seen["acme/r2"].failure.reason is reason
        assert {name: len(view.items) for name, view in seen.items() if view.complete} == dict.fromkeys(
            ("acme/r0", "acme/r1", "acme/r3", "acme/r4"), 2
        )
        assert scene.count(MINT) <= 3
        scene.world.accounts.unblock_repository("acme/r2")
        await asyncio.sleep(600)
        assert len(watching.jobs("acme/r2")) == 2


@virtual
async def test_an_exhausted_quota_stops_the_source_until_its_reset() -> None:
    scene = Scene(core_limit=60)
    async with Watching(scene) as watching:
        for n in range(80):
            scene.world.workflows.queue_jobs("acme/lib", ["gpu"], name=f"j{n}")
            await asyncio.sleep(12)
        assert (
            watching.observer.failure is None or watching.observer.failure.reason is Reason.GitHubRateLimited
        )
        assert scene.count(RUNS, 403) == 0  # the controller knew before it asked
        await asyncio.sleep(3_600)
        assert len(watching.jobs()) == 80


@virtual
async def test_a_secondary_limit_is_waited_for_and_everything_is_seen_after() -> None:
    scene = Scene(secondary_points_per_minute=100)
    for n in range(60):
        scene.world.accounts.add_repository(f"acme/r{n}")
        scene.world.workflows.queue_jobs(f"acme/r{n}", ["gpu"])
    async with Watching(scene, "acme/*") as watching:
        await asyncio.sleep(600)
        assert sum(len(view.items) for view in watching.observer.observations().values()) == 60
        refused = sum(entry.status == 403 for entry in scene.exchange.log)
        assert refused < len(scene.exchange.log) / 10


@virtual
async def test_hours_of_tokens_that_end_lose_nothing() -> None:
    scene = Scene()
    async with Watching(scene) as watching:
        for hour in range(3):
            (job,) = scene.world.workflows.queue_jobs("acme/lib", ["gpu"], name=f"h{hour}")
            await asyncio.sleep(300)
            assert watching.jobs() == [(f"h{hour}", JobStatus.QUEUED)]
            scene.world.workflows.force_cancel_run(job.run_id)
            await asyncio.sleep(3_300)
            assert watching.jobs() == []
        assert all(entry.status in (200, 201, 202, 304) for entry in scene.exchange.log)
        assert 3 <= scene.count(MINT) <= 4


@virtual
async def test_an_outage_of_ten_minutes_hides_no_job_and_shows_why() -> None:
    scene = Scene()
    scene.world.workflows.queue_jobs("acme/lib", ["gpu"])
    async with Watching(scene) as watching:
        await asyncio.sleep(30)
        scene.fault(route="GET *", kind="status", status=502, times=None)
        await asyncio.sleep(600)
        seen = watching.observer.observations()["acme/lib"]
        assert len(seen.items) == 1
        assert seen.failure is not None
        assert seen.failure.reason is Reason.GitHubUnavailable
        scene.exchange.rules.clear()
        scene.world.workflows.queue_jobs("acme/lib", ["gpu"])
        await asyncio.sleep(130)
        assert watching.observer.observations()["acme/lib"].complete
        assert len(watching.jobs()) == 2


@virtual
async def test_a_renamed_repository_goes_on_being_served() -> None:
    scene = Scene()
    async with Watching(scene) as watching:
        await asyncio.sleep(30)
        scene.world.accounts.rename_repository("acme/lib", "library")
        scene.world.workflows.queue_jobs("acme/library", ["gpu"])
        await asyncio.sleep(80)
        assert watching.jobs() == [("work", JobStatus.QUEUED)]


@pytest.mark.parametrize(("repositories", "most_requests"), [(10, 7_500), (60, 9_500)])
@virtual
async def test_idle_repositories_cost_little_quota(repositories: int, most_requests: int) -> None:
    scene = Scene()
    for n in range(repositories):
        scene.world.accounts.add_repository(f"acme/r{n}")
    async with Watching(scene, "acme/r*"):
        await asyncio.sleep(900)
        asked = len(scene.exchange.log)
        await asyncio.sleep(900)
    log = list(scene.exchange.log)[asked:]
    assert len(log) <= most_requests / 4
    assert sum(entry.status == 200 for entry in log) <= 2 * repositories
