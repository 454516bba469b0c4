"""The observer of one source's queue, in virtual time: who waits for whom, what a failure
costs, and what it is told.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Self

import pytest

from controller.core.model import (
    Disposition,
    Failure,
    GitHubSource,
    JobStatus,
    Observation,
    SecretRef,
    TokenEnd,
    WorkflowJob,
)
from controller.core.reasons import Reason
from controller.observe.queue import QueueObserver
from controller.observe.queue_discovery import Patterns
from controller.observe.queue_schedule import Cadence
from controller.ports import Quota, Repository, Run, UpstreamError
from controller.simulate.loop import run_virtual
from hf_runner_simulators.clock import LoopClock

SOURCE = GitHubSource(api_url="https://api.github.com", secret=SecretRef("ci", "github"), owner="acme")
DOWN = Failure(reason=Reason.GitHubUnavailable, message="502")
GONE = Failure(reason=Reason.GitHubNotFound, message="404", disposition=Disposition.GONE)
FORBIDDEN = Failure(reason=Reason.PermissionMissing, message="403", disposition=Disposition.PERSON)
DEAD = Failure(reason=Reason.GitHubUnauthorized, message="401", disposition=Disposition.PERSON)
NO_SECRET = Failure(reason=Reason.SecretMissing, message="none", disposition=Disposition.PERSON)
LIMITED = Failure(
    reason=Reason.GitHubRateLimited, message="limit", disposition=Disposition.WAIT, retry_after=1_000.0
)


def virtual(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        run_virtual(test(*args, **kwargs))  # type: ignore[arg-type]

    return run


class FakeGitHub:
    """Holds runs and jobs as a test puts them; each list takes a tenth of a second."""

    def __init__(self) -> None:
        self.clock = LoopClock(time=asyncio.get_running_loop().time)
        self.jobs_of: dict[str, dict[int, list[WorkflowJob]]] = {}
        self.status_of: dict[int, str] = {}
        self.visible: dict[str, Repository] = {}
        self.failures: dict[str, Failure | Exception] = {}
        self.job_failures: dict[int, Failure] = {}
        self.slow: dict[str, float] = {}
        self.moved: Failure | None = None
        self.left: Quota | None = None
        self.calls: list[tuple[float, str, str]] = []
        self.at_once = self.most_at_once = 0
        self.ids = 0

    def queue(
        self, repository: str, *, count: int = 1, status: JobStatus = JobStatus.QUEUED, age: float = 0
    ) -> int:
        """Add a run with jobs, and return its id."""
        self.ids += 1
        jobs = [
            WorkflowJob(
                id=self.ids * 1_000 + n,
                run_id=self.ids,
                run_attempt=1,
                repository=repository,
                name="work",
                labels=("gpu",),
                status=status,
                created_at=self.clock.wall() - age,
            )
            for n in range(count)
        ]
        self.jobs_of.setdefault(repository, {})[self.ids] = jobs
        self.status_of[self.ids] = status.value
        return self.ids

    def set(self, run_id: int, status: JobStatus) -> None:
        self.status_of[run_id] = status.value
        for runs in self.jobs_of.values():
            if run_id in runs:
                runs[run_id] = [replace(job, status=status) for job in runs[run_id]]

    async def _answer(self, kind: str, what: str, repository: str) -> Observation[Any]:
        asked_at = self.clock.mono()
        self.calls.append((asked_at, kind, what))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.slow.get(repository, 0.1))
        finally:
            self.at_once -= 1
        failure = self.failures.get(repository) or self.failures.get("*")
        if isinstance(failure, Failure):
            raise UpstreamError(failure)
        if failure is not None:
            raise failure
        return Observation(asked_at=asked_at, server_time=self.clock.wall() - 0.1)

    async def repositories(self, owner: str) -> Observation[Repository]:
        seen = await self._answer("repositories", owner, owner)
        return replace(seen, items=tuple(self.visible.values()), failure=self.moved)

    async def runs(self, repository: str, status: str) -> Observation[Run]:
        seen = await self._answer("runs", repository, repository)
        rows = [
            Run(
                id=i,
                attempt=1,
                status=status,
                created_at=jobs[0].created_at if jobs else 0.0,
                updated_at=str(jobs),
            )
            for i, jobs in self.jobs_of.get(repository, {}).items()
            if self.status_of[i] == status
        ]
        return replace(seen, items=tuple(rows))

    async def jobs(self, repository: str, run: Run) -> Observation[WorkflowJob]:
        seen = await self._answer("jobs", repository, repository)
        if run.id in self.job_failures:
            raise UpstreamError(self.job_failures[run.id])
        return replace(seen, items=tuple(self.jobs_of[repository][run.id]))

    def quota(self) -> Quota | None:
        return self.left

    def token_end(self) -> TokenEnd | None:
        return None

    def count(self, what: str, *, since: float = 0.0, kind: str | None = None) -> int:
        return sum(1 for at, k, w in self.calls if w == what and at >= since and kind in (None, k))

    def times(self, what: str, kind: str = "runs") -> list[float]:
        """Return the distinct times at which looks at a repository began."""
        found: list[float] = []
        for at, k, w in self.calls:
            if (k, w) == (kind, what) and (not found or at - found[-1] > 1.5):
                found.append(at)
        return found


class Watched:
    """An observer that runs while the context is open."""

    def __init__(
        self, github: FakeGitHub, *names: str, exclude: tuple[str, ...] = (), **cadence: Any
    ) -> None:
        self.github = github
        self.changes = 0
        self.observer = QueueObserver(
            source=SOURCE, queue=github, clock=github.clock, changed=self._count, cadence=Cadence(**cadence)
        )
        self.observer.want([(names, exclude)])

    def _count(self) -> None:
        self.changes += 1

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.observer.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait((self._task,))
        assert self._task.cancelled(), self._task.exception()

    def queued(self, name: str) -> int:
        return sum(job.status is JobStatus.QUEUED for job in self.observer.observations()[name].items)


# ------------------------------------------------------------------------------------------- what it observes
@virtual
async def test_a_queued_job_is_seen_and_said_at_once() -> None:
    github = FakeGitHub()
    github.queue("acme/lib", count=3)
    async with Watched(github, "acme/lib") as watched:
        await asyncio.sleep(1)
        assert watched.queued("acme/lib") == 3
        assert watched.observer.observations()["acme/lib"].complete
        assert watched.changes >= 1


@virtual
async def test_a_repository_that_was_never_read_is_missing_from_the_view() -> None:
    github = FakeGitHub()
    async with Watched(github, "acme/lib") as watched:
        assert watched.observer.observations() == {}
        await asyncio.sleep(1)
        assert list(watched.observer.observations()) == ["acme/lib"]


@virtual
async def test_nothing_is_said_while_nothing_changes() -> None:
    github = FakeGitHub()
    github.queue("acme/lib")
    async with Watched(github, "acme/lib") as watched:
        await asyncio.sleep(30)
        changes = watched.changes
        await asyncio.sleep(600)
        assert watched.changes == changes


@virtual
async def test_a_job_is_followed_from_queued_to_running_to_its_end() -> None:
    github = FakeGitHub()
    run = github.queue("acme/lib")
    async with Watched(github, "acme/lib") as watched:
        await asyncio.sleep(1)
        github.set(run, JobStatus.IN_PROGRESS)
        await asyncio.sleep(15)
        assert [j.status for j in watched.observer.observations()["acme/lib"].items] == [
            JobStatus.IN_PROGRESS
        ]
        github.set(run, JobStatus.COMPLETED)
        await asyncio.sleep(30)
        assert watched.observer.observations()["acme/lib"].items == ()


@virtual
async def test_a_job_that_starts_is_seen_at_the_next_look() -> None:
    github = FakeGitHub()
    run = github.queue("acme/lib")
    async with Watched(github, "acme/lib") as watched:
        await asyncio.sleep(600)
        for _ in range(10):
            github.set(run, JobStatus.IN_PROGRESS)
            await asyncio.sleep(15)
            (seen,) = watched.observer.observations()["acme/lib"].items
            assert seen.status is JobStatus.IN_PROGRESS
            github.set(run, JobStatus.QUEUED)
            await asyncio.sleep(15)
            assert watched.queued("acme/lib") == 1


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.IN_PROGRESS])
@virtual
async def test_what_neither_starts_nor_ends_costs_a_dozen_reads_an_hour_and_the_view_stays_complete(
    status: JobStatus,
) -> None:
    github = FakeGitHub()
    for _ in range(50):
        github.queue("acme/lib", status=status)
    async with Watched(github, "acme/lib") as watched:
        await asyncio.sleep(3_600)
        assert github.count("acme/lib", since=0.0, kind="jobs") <= 50 * 20
        since = github.clock.mono()
        await asyncio.sleep(3_600)
        assert github.count("acme/lib", since=since, kind="jobs") <= 50 * 12
        seen = watched.observer.observations()["acme/lib"]
        assert len(seen.items) == 50
        assert seen.complete
        assert github.clock.mono() - seen.asked_at <= 320
        assert watched.observer.poll_age() < 15


@virtual
async def test_a_burst_of_200_runs_is_read_within_seconds() -> None:
    github = FakeGitHub()
    async with Watched(github, "acme/lib") as watched:
        await asyncio.sleep(5)
        for _ in range(200):
            github.queue("acme/lib")
        await asyncio.sleep(15)
        assert watched.queued("acme/lib") == 200


@virtual
async def test_names_that_nobody_wants_any_more_are_dropped() -> None:
    github = FakeGitHub()
    async with Watched(github, "acme/a", "acme/b") as watched:
        await asyncio.sleep(1)
        watched.observer.want([Patterns(("acme/b", "acme/c"))])
        await asyncio.sleep(1)
        assert list(watched.observer.observations()) == ["acme/b", "acme/c"]
        asked = github.count("acme/a")
        await asyncio.sleep(1_000)
        assert github.count("acme/a") == asked


# ---------------------------------------------------------------------------------------------------- cadence
@virtual
async def test_a_busy_repository_is_looked_at_every_dozen_seconds_and_one_of_many_idle_ones_seldom() -> None:
    github = FakeGitHub()
    github.queue("acme/busy")
    async with Watched(github, "acme/busy", "acme/idle", *(f"acme/r{n}" for n in range(58))):
        await asyncio.sleep(3_600)
    busy, idle = github.times("acme/busy"), github.times("acme/idle")
    gaps = [b - a for a, b in itertools.pairwise(busy)]
    assert 9 < min(gaps) < max(gaps) < 16
    assert 45 <= len(idle) <= 75


@virtual
async def test_five_hundred_idle_repositories_are_spread_and_cost_what_was_promised() -> None:
    github = FakeGitHub()
    names = [f"acme/r{n}" for n in range(500)]
    async with Watched(github, *names) as watched:
        await asyncio.sleep(900)
        began = len(github.calls)
        await asyncio.sleep(900)
        per_hour = 4 * (len(github.calls) - began)
        views = watched.observer.observations()
        oldest = min(seen.asked_at for seen in views.values())
        assert github.clock.mono() - oldest < 365
    assert len(views) == 500
    assert 12_000 < per_hour < 17_000
    per_second = Counter(int(at) for at, *_ in github.calls[began:])
    assert max(per_second.values()) < 40
    assert github.most_at_once <= 12


@virtual
async def test_repositories_where_something_of_ours_works_stay_hot() -> None:
    github = FakeGitHub()
    async with Watched(github, "acme/lib") as watched:
        await asyncio.sleep(5)
        for _ in range(100):
            watched.observer.mark_hot({"acme/lib", "acme/unknown"})
            await asyncio.sleep(12)
        assert len(github.times("acme/lib")) > 80


@virtual
async def test_a_quiet_repository_where_a_runner_of_ours_begins_to_work_is_looked_at_at_once() -> None:
    github = FakeGitHub()
    async with Watched(github, "acme/lib", cold_per_minute=1) as watched:
        await asyncio.sleep(200)
        looks = len(github.times("acme/lib"))
        github.queue("acme/lib", status=JobStatus.IN_PROGRESS)
        watched.observer.mark_hot({"acme/lib"})
        await asyncio.sleep(1)
        assert len(github.times("acme/lib")) == looks + 1
        assert len(watched.observer.observations()["acme/lib"].items) == 1


@virtual
async def test_a_run_that_waits_for_a_person_keeps_its_repository_warm_only() -> None:
    github = FakeGitHub()
    async with Watched(github, "acme/lib", sweep=60, cold_sweep=60, cold_per_minute=1):
        await asyncio.sleep(5)
        github.queue("acme/lib", status=JobStatus.WAITING)
        await asyncio.sleep(500)
        looks = len(github.times("acme/lib"))
        await asyncio.sleep(500)
        more = len(github.times("acme/lib")) - looks
        assert 3 < more < 500 / 20  # while one that is hot is looked at every dozen seconds


@virtual
async def test_a_zombie_run_costs_next_to_nothing() -> None:
    github = FakeGitHub()
    github.queue("acme/lib", count=0)
    async with Watched(github, "acme/lib", cold_per_minute=1) as watched:
        await asyncio.sleep(6 * 3_600)
        assert github.count("acme/lib", kind="jobs") < 20
        looks = len(github.times("acme/lib"))
        await asyncio.sleep(600)
        more = len(github.times("acme/lib")) - looks
        assert more < 600 / 20  # while one that is hot is looked at every dozen seconds
        assert watched.observer.observations()["acme/lib"].items == ()


# --------------------------------------------------------------------------------------------------- slowness
@virtual
async def test_one_slow_repository_delays_no_other() -> None:
    github = FakeGitHub()
    github.slow["acme/slow"] = 45.0
    for name in ("acme/slow", "acme/fast"):
        github.queue(name)
    async with Watched(github, "acme/slow", "acme/fast"):
        await asyncio.sleep(600)
    gaps = [b - a for a, b in zip(github.times("acme/fast"), github.times("acme/fast")[1:], strict=False)]
    assert max(gaps) < 16


@virtual
async def test_a_step_does_what_is_due_and_says_when_to_come_back() -> None:
    github = FakeGitHub()
    github.queue("acme/lib")
    observer = QueueObserver(source=SOURCE, queue=github, clock=github.clock, changed=lambda: None)
    observer.want([Patterns(("acme/lib",))])
    wait = await observer.step()
    assert len(observer.observations()["acme/lib"].items) == 1
    assert 9 < wait < 15
    assert await observer.step() == wait  # nothing was due
    assert github.count("acme/lib", kind="jobs") == 1


# --------------------------------------------------------------------------------------------------- failures
@pytest.mark.parametrize("failure", [DOWN, GONE, FORBIDDEN, DEAD], ids=lambda f: str(f.reason))
@virtual
async def test_a_failing_repository_is_its_own_affair(failure: Failure) -> None:
    github = FakeGitHub()
    github.failures["acme/bad"] = failure
    github.queue("acme/good")
    async with Watched(github, "acme/bad", "acme/good") as watched:
        for _ in range(20):
            await asyncio.sleep(30)
            seen = watched.observer.observations()
            assert seen["acme/good"].complete
            assert seen["acme/bad"].failure == failure
        assert watched.queued("acme/good") == 1
        assert len(github.times("acme/bad")) < 15


@virtual
async def test_a_failure_keeps_what_was_seen_last_and_recovery_is_told() -> None:
    github = FakeGitHub()
    github.queue("acme/lib", count=2)
    async with Watched(github, "acme/lib") as watched:
        await asyncio.sleep(5)
        before = watched.observer.observations()["acme/lib"]
        github.failures["acme/lib"] = DOWN
        await asyncio.sleep(30)
        during = watched.observer.observations()["acme/lib"]
        assert during == replace(
            before, failure=DOWN, asked_at=during.asked_at, server_time=during.server_time
        )
        del github.failures["acme/lib"]
        changes = watched.changes
        await asyncio.sleep(200)
        assert watched.observer.observations()["acme/lib"].complete
        assert watched.changes > changes


@virtual
async def test_a_first_look_that_fails_shows_the_failure_and_no_jobs() -> None:
    github = FakeGitHub()
    github.failures["acme/lib"] = GONE
    async with Watched(github, "acme/lib") as watched:
        await asyncio.sleep(1)
        seen = watched.observer.observations()["acme/lib"]
        assert (seen.items, seen.failure) == ((), GONE)
        assert seen.server_time == pytest.approx(github.clock.wall(), abs=5)


@virtual
async def test_a_run_whose_jobs_cannot_be_read_hides_no_other() -> None:
    github = FakeGitHub()
    bad = github.queue("acme/lib")
    github.queue("acme/lib")
    github.queue("acme/lib")
    github.job_failures[bad] = DOWN
    async with Watched(github, "acme/lib") as watched:
        await asyncio.sleep(600)
        assert watched.observer.observations()["acme/lib"].complete
        assert watched.queued("acme/lib") == 2


@virtual
async def test_jobs_that_cannot_be_read_at_all_are_no_sign_of_no_jobs() -> None:
    github = FakeGitHub()
    run = github.queue("acme/lib")
    async with Watched(github, "acme/lib") as watched:
        await asyncio.sleep(5)
        github.job_failures[run] = DOWN
        for _ in range(60):
            await asyncio.sleep(20)
            seen = watched.observer.observations()["acme/lib"]
            assert seen.failure == DOWN or seen.items
        assert watched.observer.observations()["acme/lib"].failure == DOWN
        del github.job_failures[run]
        await asyncio.sleep(150)
        assert watched.queued("acme/lib") == 1


@pytest.mark.parametrize("failure", [LIMITED, DEAD], ids=lambda f: str(f.reason))
@virtual
async def test_a_failure_of_the_source_stops_it_once_and_shows_everywhere(failure: Failure) -> None:
    github = FakeGitHub()
    names = [f"acme/r{n}" for n in range(100)]
    async with Watched(github, *names) as watched:
        await asyncio.sleep(100)
        github.failures["*"] = failure
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(900)
        asked = sum(at >= began for at, *_ in github.calls)
        assert asked <= 25
        assert watched.observer.failure == failure
        assert {seen.failure for seen in watched.observer.observations().values()} == {failure}
        github.failures.clear()
        await asyncio.sleep(400)
        assert watched.observer.failure is None
        assert all(seen.complete for seen in watched.observer.observations().values())


@pytest.mark.parametrize(("failure", "within"), [(NO_SECRET, 40.0), (DEAD, 60.0)], ids=["Secret", "token"])
@virtual
async def test_credentials_that_were_mended_after_hours_are_used_within_a_minute(
    failure: Failure, within: float
) -> None:
    github = FakeGitHub()
    github.queue("acme/lib")
    github.failures["*"] = failure
    async with Watched(github, "acme/lib") as watched:
        await asyncio.sleep(4 * 3_600)
        tries = [at for at, *_ in github.calls if at > 3_600]
        assert max(later - sooner for sooner, later in itertools.pairwise(tries)) <= within
        github.failures.clear()
        await asyncio.sleep(within)
        assert watched.queued("acme/lib") == 1


@pytest.mark.parametrize("failure", [NO_SECRET, DEAD, FORBIDDEN, GONE], ids=lambda f: str(f.reason))
@virtual
async def test_whoever_says_that_something_was_mended_is_believed_at_once(failure: Failure) -> None:
    github = FakeGitHub()
    github.queue("acme/lib")
    github.failures["*"] = failure
    async with Watched(github, "acme/lib") as watched:
        await asyncio.sleep(3_600)
        assert watched.observer.needs_a_person
        github.failures.clear()
        watched.observer.retry()
        await asyncio.sleep(1)
        assert watched.queued("acme/lib") == 1
        assert not watched.observer.needs_a_person
        assert watched.observer.failure is None


@virtual
async def test_the_first_of_many_refused_repositories_that_answers_again_brings_the_others_forward() -> None:
    github = FakeGitHub()
    names = [f"acme/r{n}" for n in range(100)]
    github.failures |= dict.fromkeys(names, FORBIDDEN)
    async with Watched(github, *names) as watched:
        await asyncio.sleep(2 * 3_600)
        since = github.clock.mono()
        await asyncio.sleep(3_600)
        assert len([at for at, *_ in github.calls if at >= since]) <= 900  # ten a minute, and their jitter
        github.failures.clear()
        await asyncio.sleep(60)
        assert all(seen.complete for seen in watched.observer.observations().values())


@virtual
async def test_an_outage_is_not_asked_about_by_every_repository_and_ends_for_all_at_once() -> None:
    github = FakeGitHub()
    names = [f"acme/r{n}" for n in range(200)]
    async with Watched(github, *names) as watched:
        await asyncio.sleep(200)
        github.failures["*"] = DOWN
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(600)
        assert sum(at >= began for at, *_ in github.calls) < 60
        assert watched.observer.failure == DOWN
        github.failures.clear()
        await asyncio.sleep(90)
        assert watched.observer.failure is None
        assert all(seen.complete for seen in watched.observer.observations().values())


@virtual
async def test_a_bug_in_one_look_ends_no_other(caplog: pytest.LogCaptureFixture) -> None:
    github = FakeGitHub()
    github.failures["acme/bad"] = ZeroDivisionError("a bug")
    github.queue("acme/good")
    async with Watched(github, "acme/bad", "acme/good") as watched:
        await asyncio.sleep(100)
        failure = watched.observer.observations()["acme/bad"].failure
        assert failure is not None
        assert failure.reason is Reason.InternalError
        assert watched.queued("acme/good") == 1
    assert "a bug" in caplog.text


@virtual
async def test_a_cancelled_observer_may_run_again() -> None:
    github = FakeGitHub()
    github.slow["acme/lib"] = 10.0
    watched = Watched(github, "acme/lib")
    async with watched:
        await asyncio.sleep(5)
    github.slow.clear()
    github.queue("acme/lib")
    async with watched:
        await asyncio.sleep(1)
        assert watched.queued("acme/lib") == 1


# ------------------------------------------------------------------------------------------------------ quota
@virtual
async def test_less_than_half_of_the_quota_halves_the_looks() -> None:
    github = FakeGitHub()
    async with Watched(github, "acme/lib"):
        await asyncio.sleep(3_600)
        before = len(github.times("acme/lib"))
        github.left = Quota(limit=100, remaining=40, resets_at=github.clock.wall() + 3_600)
        await asyncio.sleep(3_600)
    after = len(github.times("acme/lib")) - before
    assert after < 0.65 * before


@virtual
async def test_the_last_tenth_is_for_hot_repositories_until_the_reset() -> None:
    github = FakeGitHub()
    github.queue("acme/hot")
    async with Watched(github, "acme/hot", "acme/cold"):
        await asyncio.sleep(100)
        github.left = Quota(limit=100, remaining=5, resets_at=github.clock.wall() + 1_000)
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(990)
        assert github.count("acme/cold", since=began) == 0
        assert github.count("acme/hot", since=began) > 50
        await asyncio.sleep(60)
        assert github.count("acme/cold", since=began) > 0


# -------------------------------------------------------------------------------------------------- discovery
def seen_repositories(*names: str, pushed_at: str = "t0") -> dict[str, Repository]:
    return {name: Repository(full_name=name, pushed_at=pushed_at) for name in names}


@virtual
async def test_globs_select_from_what_the_credentials_can_see() -> None:
    github = FakeGitHub()
    github.visible = seen_repositories("acme/a", "acme/b", "acme/site")
    github.visible["acme/old"] = Repository(full_name="acme/old", usable=False)
    async with Watched(github, "acme/*", exclude=("acme/site",)) as watched:
        assert watched.observer.repositories() is None
        await asyncio.sleep(2)
        assert list(watched.observer.observations()) == ["acme/a", "acme/b"]
        listed = watched.observer.repositories()
        assert listed is not None
        assert listed.items == ("acme/a", "acme/b", "acme/site")
        github.visible |= seen_repositories("acme/new")
        del github.visible["acme/a"]
        await asyncio.sleep(400)
        assert list(watched.observer.observations()) == ["acme/b", "acme/new"]


@virtual
async def test_exact_names_need_no_list_of_repositories() -> None:
    github = FakeGitHub()
    async with Watched(github, "acme/a") as watched:
        await asyncio.sleep(1_000)
        assert github.count("acme", kind="repositories") == 0
        assert watched.observer.repositories() is None


@virtual
async def test_a_push_makes_a_repository_hot() -> None:
    github = FakeGitHub()
    names = [f"acme/r{n}" for n in range(50)]
    github.visible = seen_repositories(*names)
    async with Watched(github, "acme/*"):
        await asyncio.sleep(30)
        github.visible |= seen_repositories("acme/r7", pushed_at="t1")
        await asyncio.sleep(365)
        pushed, other = len(github.times("acme/r7")), len(github.times("acme/r8"))
        await asyncio.sleep(120)
        assert len(github.times("acme/r7")) - pushed > 6
        assert len(github.times("acme/r8")) - other < 4


@virtual
async def test_the_newest_pushes_are_looked_at_first() -> None:
    github = FakeGitHub()
    for n in range(300):
        github.visible[f"acme/r{n}"] = Repository(full_name=f"acme/r{n}", pushed_at=f"{n:04}")
    async with Watched(github, "acme/*"):
        await asyncio.sleep(3)
    first = list(dict.fromkeys(what for _, kind, what in github.calls if kind == "runs"))
    assert first[0] == "acme/r299"
    assert set(first[:10]) == {f"acme/r{n}" for n in range(290, 300)}


@virtual
async def test_a_failed_list_of_repositories_keeps_the_last_one_and_the_polling() -> None:
    github = FakeGitHub()
    github.visible = seen_repositories("acme/a")
    github.queue("acme/a")
    async with Watched(github, "acme/*") as watched:
        await asyncio.sleep(5)
        github.failures["acme"] = FORBIDDEN
        await asyncio.sleep(400)
        listed = watched.observer.repositories()
        assert listed is not None
        assert (listed.items, listed.failure) == (("acme/a",), FORBIDDEN)
        assert watched.queued("acme/a") == 1
        assert watched.observer.observations()["acme/a"].complete


@virtual
async def test_a_list_of_repositories_that_moved_drops_none() -> None:
    github = FakeGitHub()
    github.visible = seen_repositories("acme/a", "acme/b")
    async with Watched(github, "acme/*") as watched:
        await asyncio.sleep(5)
        github.visible = seen_repositories("acme/b", "acme/c")
        github.moved = Failure(reason=Reason.GitHubListMoved, message="moved")
        await asyncio.sleep(400)
        assert list(watched.observer.observations()) == ["acme/a", "acme/b", "acme/c"]
        listed = watched.observer.repositories()
        assert listed is not None
        assert listed.failure == github.moved
        github.moved = None
        await asyncio.sleep(400)
        assert list(watched.observer.observations()) == ["acme/b", "acme/c"]


@virtual
async def test_a_first_list_of_repositories_that_fails_is_said() -> None:
    github = FakeGitHub()
    github.failures["acme"] = FORBIDDEN
    async with Watched(github, "acme/*", "acme/exact") as watched:
        await asyncio.sleep(5)
        listed = watched.observer.repositories()
        assert listed is not None
        assert (listed.items, listed.failure) == ((), FORBIDDEN)
        assert watched.observer.observations()["acme/exact"].complete
