"""Workflow runs and jobs: how they are queued, listed, cancelled, re-run, and what a run's status says of its jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

from controller.sim.github.errors import Refusal, not_found
from controller.sim.github.model import JobSpec, JobStatus, Repository, WorkflowJob, WorkflowRun
from controller.sim.github.state import Store, verb

UNFINISHED = frozenset({"queued", "in_progress", "pending", "waiting", "requested"})
MONTH_SECONDS = 30 * 86_400
MAX_RERUNS = 50
RESULT_CAP = 1_000
"""Filtered run lists end here (docs)."""


class Workflows:
    """Verbs on runs and jobs. Verbs that take ids raise Refusal 404 for what does not exist."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.time = store.time
        self._later: dict[int, list[JobSpec]] = {}
        self.on_queued: Callable[[int], None] = lambda _job_id: None
        self.on_over: Callable[[WorkflowJob], None] = lambda _job: None

    # -- queueing -------------------------------------------------------------------------------------------------

    @verb
    def queue_run(
        self,
        full_name: str,
        specs: Sequence[JobSpec],
        *,
        workflow: str = "CI",
        event: str = "push",
        head_branch: str = "main",
        concurrency: str | None = None,
    ) -> WorkflowRun:
        """Trigger a workflow: one run with these jobs.

        A run in a concurrency group that is taken is ``pending``, without jobs, and replaces an older pending one.
        """
        repository = self._store.repository(full_name)
        names = [spec.name for spec in specs]
        if len(set(names)) != len(names):
            raise ValueError("two jobs of a run have the same name")
        run = self._new_run(repository, workflow=workflow, event=event, head_branch=head_branch)
        run = self._store.runs.put(run.id, replace(run, concurrency=concurrency))
        self._later[run.id] = list(specs)
        self._store.unfinished_runs[repository.id][run.id] = None
        if concurrency is not None and (rivals := self._group(run)):
            for rival in rivals:
                if rival.status == "pending":
                    self._end_pending(rival)
            return self._store.runs.put(run.id, replace(run, concurrency=concurrency, status="pending"))
        self._create_due(run.id)
        return self._refresh(run.id)

    @verb
    def queue_jobs(
        self,
        full_name: str,
        labels: Iterable[str],
        *,
        count: int = 1,
        seconds: float = 60.0,
        result: Literal["success", "failure"] = "success",
        group: str | None = None,
        command: str | None = None,
        name: str = "work",
        workflow: str = "CI",
        same_run: bool = False,
    ) -> list[WorkflowJob]:
        """Queue equal jobs, each in its own run, or as one matrix."""
        spec = JobSpec(
            name=name, labels=tuple(labels), seconds=seconds, result=result, group=group, command=command
        )
        if same_run:
            specs = [replace(spec, name=f"{name} ({n})" if count > 1 else name) for n in range(count)]
            runs = [self.queue_run(full_name, specs, workflow=workflow)]
        else:
            runs = [self.queue_run(full_name, [spec], workflow=workflow) for _ in range(count)]
        return [job for run in runs for job in self.jobs(run.id)]

    @verb
    def queue_zombie(
        self, full_name: str, *, status: JobStatus = "queued", workflow: str = "CI"
    ) -> WorkflowRun:
        """Make a run that reads ``queued`` for ever, has no jobs, and cannot be cancelled (seen in 2026)."""
        repository = self._store.repository(full_name)
        run = self._new_run(repository, workflow=workflow, event="push", head_branch="main")
        self._store.unfinished_runs[repository.id][run.id] = None
        return self._store.runs.put(run.id, replace(run, zombie=True, status=status))

    @verb
    def freeze_run(self, run_id: int, status: str, conclusion: str | None = None) -> WorkflowRun:
        """Let the run's record show this whatever its jobs do: run and job records disagree at times (seen)."""
        run = replace(self.run(run_id), frozen=(status, conclusion))
        if status in UNFINISHED:
            self._store.unfinished_runs[run.repository_id][run_id] = None
        return self._store.runs.put(run_id, run)

    @verb
    def release(self, job_id: int) -> WorkflowJob:
        """Approve a ``waiting`` job, or let a ``pending`` one have its concurrency slot: it is queued now."""
        job = self.job(job_id)
        if job.status in ("waiting", "pending"):
            job = self._store.jobs.put(job_id, replace(job, status="queued", queued_at=self.time.now))
            self.enqueue(job)
            self._refresh(job.run_id)
        return self._store.jobs[job_id]

    def _new_run(self, repository: Repository, *, workflow: str, event: str, head_branch: str) -> WorkflowRun:
        now = self.time.now
        run = WorkflowRun(
            id=self._store.next_id("run", 17_000_000_001),
            repository_id=repository.id,
            number=self._store.next_id(f"run number {repository.id} {workflow}"),
            workflow=workflow,
            event=event,
            head_branch=head_branch,
            created_at=now,
            updated_at=now,
            started_at=now,
        )
        self._store.runs_of[repository.id].append(run.id)
        return run

    def _group(self, run: WorkflowRun) -> list[WorkflowRun]:
        keys = self._store.unfinished_runs[run.repository_id]
        rows = [self._store.runs[key] for key in keys if key != run.id]
        return [row for row in rows if row.concurrency == run.concurrency and row.concurrency is not None]

    # -- jobs come to life ----------------------------------------------------------------------------------------

    def _create_due(self, run_id: int) -> None:
        """Create the jobs whose needs are met; skip those whose needs failed."""
        progress = True
        while progress:
            progress = False
            done = {
                job.spec.name: job.conclusion for job in self._latest(run_id) if job.status == "completed"
            }
            for spec in list(self._later.get(run_id, [])):
                if not set(spec.needs) <= set(done):
                    continue
                self._later[run_id].remove(spec)
                skipped = any(done[name] != "success" for name in spec.needs)
                self._create(run_id, spec, skipped=skipped)
                progress = progress or skipped

    def _create(self, run_id: int, spec: JobSpec, *, skipped: bool = False) -> None:
        run, now = self._store.runs[run_id], self.time.now
        job = WorkflowJob(
            id=self._store.next_id("job", 48_000_000_001),
            run_id=run_id,
            repository_id=run.repository_id,
            attempt=run.attempt,
            spec=spec,
            status="completed" if skipped else spec.status,
            conclusion="skipped" if skipped else None,
            created_at=now,
            queued_at=now,
            started_at=now if skipped else None,
            completed_at=now if skipped else None,
        )
        self._store.jobs.put(job.id, job)
        self._store.jobs_of[run_id].append(job.id)
        self.enqueue(job)

    def enqueue(self, job: WorkflowJob) -> None:
        """A queued job becomes available to runners, and ends if none takes it within the cap."""
        if job.status != "queued":
            return
        if job.hosted:
            self.time.after(self._store.knobs.hosted_seconds, partial(self._run_hosted, job.id))
        elif not job.spec.never_runs:
            self._store.queued[job.id] = None
            left = job.queued_at + self._store.knobs.queue_cap_seconds - self.time.now
            self.time.after(max(0.0, left), partial(self._cap, job.id))
            self.on_queued(job.id)

    def _cap(self, job_id: int) -> None:
        job = self._store.jobs[job_id]
        if job.status == "queued" and self.time.now - job.queued_at >= self._store.knobs.queue_cap_seconds:
            self.conclude(job_id, self._store.knobs.queue_cap_conclusion)

    def _run_hosted(self, job_id: int) -> None:
        job = self._store.jobs[job_id]
        if job.status == "queued":
            number = 1_000_000_000 + job_id % 1_000_000
            self.start(
                job_id,
                runner_id=number,
                runner_name=f"GitHub Actions {number}",
                group_id=0,
                group_name="GitHub Actions",
            )
            end = partial(self._end_hosted, job_id)
            self.time.after(job.spec.seconds, end)

    def _end_hosted(self, job_id: int) -> None:
        if self._store.jobs[job_id].status == "in_progress":
            self.conclude(job_id, self._store.jobs[job_id].spec.result, reported=True)

    def start(
        self, job_id: int, *, runner_id: int, runner_name: str, group_id: int, group_name: str
    ) -> WorkflowJob:
        """A runner begins; its name and the time are stamped on the record."""
        job = replace(
            self._store.jobs[job_id],
            status="in_progress",
            started_at=self.time.now,
            runner_id=runner_id,
            runner_name=runner_name,
            runner_group_id=group_id,
            runner_group_name=group_name,
            offered_to=None,
        )
        self._store.jobs.put(job_id, job)
        self._refresh(job.run_id)
        limit = job.spec.timeout if job.spec.timeout is not None else self._store.knobs.job_timeout_seconds
        self.time.after(limit, partial(self._stop_running, job_id))
        return self._store.jobs[job_id]

    def _stop_running(self, job_id: int) -> None:
        if self._store.jobs[job_id].status == "in_progress":
            self.cancel_job(job_id)

    def conclude(self, job_id: int, conclusion: str, *, reported: bool = False, log: str = "") -> WorkflowJob:
        """End a job; its run follows."""
        before = self._store.jobs[job_id]
        now = self.time.now
        job = self._store.jobs.put(
            job_id,
            replace(
                before,
                status="completed",
                conclusion=conclusion,
                completed_at=now,
                started_at=before.started_at if before.started_at is not None else now,
                offered_to=None,
                reported=reported,
                log=log,
            ),
        )
        self._store.queued.pop(job_id, None)
        self.on_over(replace(job, offered_to=before.offered_to))
        self._create_due(job.run_id)
        self._refresh(job.run_id)
        return job

    # -- the run's record -----------------------------------------------------------------------------------------

    def _refresh(self, run_id: int) -> WorkflowRun:
        run = self._store.runs[run_id]
        if run.zombie:
            return run
        status, conclusion = self._status(run)
        if (status, conclusion) != (run.status, run.conclusion):
            run = replace(run, status=status, conclusion=conclusion)
        run = self._store.runs.put(run_id, replace(run, updated_at=self.time.now))
        if status == "completed":
            if run.shown[0] not in UNFINISHED:
                self._store.unfinished_runs[run.repository_id].pop(run_id, None)
            self._start_pending(run)
        return run

    def _status(self, run: WorkflowRun) -> tuple[JobStatus, str | None]:
        """``queued`` takes precedence over ``in_progress``; a run with pending legs reads ``pending`` (seen)."""
        jobs = self._latest(run.id)
        states = {job.status for job in jobs}
        if not jobs:
            return "queued", None
        if states == {"completed"} and not self._later.get(run.id):
            return "completed", _conclusion([job.conclusion for job in jobs])
        if "pending" in states and "in_progress" not in states:
            return "pending", None
        if "queued" in states:
            later = any(job.spec.needs for job in jobs if job.status == "queued")
            if not later or self._store.knobs.later_jobs_requeue_run:
                return "queued", None
        if "in_progress" in states or "completed" in states:
            return (
                ("waiting", None)
                if states <= {"waiting", "completed"} and "waiting" in states
                else ("in_progress", None)
            )
        return ("waiting" if "waiting" in states else "queued"), None

    def _latest(self, run_id: int) -> list[WorkflowJob]:
        """Of each job name, the newest execution: a re-run hides the one before."""
        newest: dict[str, WorkflowJob] = {}
        for key in self._store.jobs_of[run_id]:
            newest[self._store.jobs[key].spec.name] = self._store.jobs[key]
        return sorted(newest.values(), key=lambda job: job.id)

    def _end_pending(self, run: WorkflowRun) -> None:
        self._later.pop(run.id, None)
        ended = replace(run, status="completed", conclusion="cancelled", updated_at=self.time.now)
        self._store.runs.put(run.id, ended)
        self._store.unfinished_runs[run.repository_id].pop(run.id, None)

    def _start_pending(self, ended: WorkflowRun) -> None:
        for run in self._group(ended):
            if run.status == "pending" and not self._store.jobs_of[run.id]:
                self._create_due(run.id)
                self._refresh(run.id)
                return

    def reference(self, job: WorkflowJob) -> str:
        """``owner/repo/path@ref`` of the job's workflow, as groups restrict them."""
        run = self._store.runs[job.run_id]
        return (
            f"{self._store.repositories[job.repository_id].full_name}/{run.path}@refs/heads/{run.head_branch}"
        )

    # -- looking --------------------------------------------------------------------------------------------------

    @verb
    def run(self, run_id: int, repository: Repository | None = None) -> WorkflowRun:
        """Return one run, of that repository if one is named."""
        run = self._store.runs.as_of(run_id, self._store.knobs.get_lag_seconds)
        if run is None or (repository is not None and run.repository_id != repository.id):
            raise not_found()
        return run

    @verb
    def job(self, job_id: int, repository: Repository | None = None) -> WorkflowJob:
        """Return one job, of that repository if one is named."""
        job = self._store.jobs.as_of(job_id, self._store.knobs.get_lag_seconds)
        if job is None or (repository is not None and job.repository_id != repository.id):
            raise not_found()
        return job

    @verb
    def runs(
        self, /, repository: Repository, *, status: str | None = None, **equal: str
    ) -> list[WorkflowRun]:
        """List runs, newest first; ``status`` may also name a conclusion.

        Args:
            repository: Whose runs.
            status: One status or conclusion, or None for all.
            equal: ``event`` and ``head_branch`` to filter by.
        """
        lag = self._store.knobs.list_lag_seconds
        fresh = lag <= 0 and status in UNFINISHED
        keys: Iterable[int] = (
            self._store.unfinished_runs[repository.id] if fresh else self._store.runs_of[repository.id]
        )
        rows = [row for key in keys if (row := self._store.runs.as_of(key, lag)) is not None]
        wanted = [
            row
            for row in rows
            if (status is None or status in row.shown) and all(getattr(row, k) == v for k, v in equal.items())
        ]
        wanted.sort(key=lambda row: row.id, reverse=True)
        return wanted[:RESULT_CAP] if status is not None or equal else wanted

    @verb
    def jobs(self, run_id: int, *, attempt: int | None = None, every: bool = False) -> list[WorkflowJob]:
        """List a run's jobs: the latest execution of each, one attempt's, or every one."""
        run = self.run(run_id)
        if self.time.now - run.created_at < self._store.knobs.jobs_appear_after_seconds:
            return []
        lag = self._store.knobs.list_lag_seconds
        rows = [
            row
            for key in self._store.jobs_of[run_id]
            if (row := self._store.jobs.as_of(key, lag)) is not None
        ]
        if attempt is not None:
            if not 1 <= attempt <= run.attempt:
                raise not_found()
            return [row for row in rows if row.attempt == attempt]
        if every:
            return rows
        return sorted({row.spec.name: row for row in rows}.values(), key=lambda row: row.id)

    # -- cancelling -----------------------------------------------------------------------------------------------

    @verb
    def cancel_run(self, run_id: int) -> None:
        """Cancel: queued jobs end now, running ones when their runner answers, or after the grace.

        Raises:
            Refusal: 409, a zombie; or a completed run, if the knob says so.
        """
        run = self.run(run_id)
        if run.zombie:
            raise Refusal(409, "Cannot cancel a workflow run that has not been queued yet.")
        if run.status == "completed":
            if self._store.knobs.cancel_completed_conflicts:
                raise Refusal(409, "Cannot cancel a workflow run that is completed.")
            return
        if run.status == "pending" and not self._store.jobs_of[run_id]:
            self._end_pending(run)
            return
        self._later.pop(run_id, None)
        for job in self._latest(run_id):
            self.cancel_job(job.id)

    @verb
    def force_cancel_run(self, run_id: int) -> None:
        """End the run and its jobs without asking the runners; slower after a plain cancel (seen).

        Raises:
            Refusal: 409, a zombie or a completed run.
        """
        run = self.run(run_id)
        if run.zombie:
            raise Refusal(409, "Cannot cancel a workflow run that has not been queued yet.")
        if run.status == "completed":
            raise Refusal(409, "Cannot cancel a workflow run that is completed.")
        asked = any(job.cancel_at is not None for job in self._latest(run_id))
        if asked:
            self.time.after(
                self._store.knobs.force_cancel_after_cancel_seconds, partial(self._end_all, run_id)
            )
        else:
            self._end_all(run_id)

    def _end_all(self, run_id: int) -> None:
        self._later.pop(run_id, None)
        if self._store.runs[run_id].status == "pending" and not self._store.jobs_of[run_id]:
            self._end_pending(self._store.runs[run_id])
        for job in self._latest(run_id):
            if job.status != "completed":
                self.conclude(job.id, "cancelled")

    @verb
    def cancel_job(self, job_id: int) -> None:
        """Cancel one job, as fail-fast, a timeout or a concurrency group do; REST has no such route. Idempotent."""
        job = self._store.jobs[job_id]
        if job.status == "in_progress" and job.cancel_at is None and not job.hosted:
            self._store.jobs.put(job_id, replace(job, cancel_at=self.time.now))
            self.time.after(self._store.knobs.cancel_grace_seconds, partial(self._cancel_due, job_id))
        elif job.status != "completed" and job.cancel_at is None:
            self.conclude(job_id, "cancelled")

    def _cancel_due(self, job_id: int) -> None:
        if self._store.jobs[job_id].status != "completed":
            self.conclude(job_id, "cancelled")

    # -- running again --------------------------------------------------------------------------------------------

    @verb
    def rerun(self, run_id: int, *, failed_only: bool = False) -> WorkflowRun:
        """Start another attempt with new job ids. Not idempotent.

        Raises:
            Refusal: 403, it is still running, too old, or (failed jobs only) nothing failed.
        """
        run = self.run(run_id)
        if run.status != "completed" or run.zombie:
            raise Refusal(403, "This workflow is already running")
        if self.time.now - run.created_at > MONTH_SECONDS:
            raise Refusal(403, "Unable to retry this workflow run because it was created over a month ago")
        again = [job for job in self._latest(run_id) if not failed_only or job.conclusion != "success"]
        if not again or run.attempt > MAX_RERUNS:
            raise Refusal(403, "This workflow run cannot be retried")
        return self._attempt(run, [job.spec for job in again])

    @verb
    def rerun_job(self, job_id: int) -> WorkflowRun:
        """Run one job and those that need it again, in a new attempt. Not idempotent.

        Raises:
            Refusal: 403, the run is still running or cannot be retried.
        """
        job = self.job(job_id)
        run = self._store.runs[job.run_id]
        if run.status != "completed":
            raise Refusal(403, "The workflow run containing this job is already running")
        if self.time.now - run.created_at > MONTH_SECONDS or run.attempt > MAX_RERUNS:
            raise Refusal(403, "This workflow run cannot be retried")
        names = {job.spec.name}
        specs = [row.spec for row in self._latest(run.id)]
        for _ in specs:
            names |= {spec.name for spec in specs if names & set(spec.needs)}
        return self._attempt(run, [spec for spec in specs if spec.name in names])

    def _attempt(self, run: WorkflowRun, specs: list[JobSpec]) -> WorkflowRun:
        again = {spec.name for spec in specs}
        run = replace(
            run, attempt=run.attempt + 1, started_at=self.time.now, conclusion=None, status="queued"
        )
        self._store.runs.put(run.id, run)
        self._store.unfinished_runs[run.repository_id][run.id] = None
        # Needs outside the attempt are met already; inside, they count anew.
        now, later = (
            [s for s in specs if not again & set(s.needs)],
            [s for s in specs if again & set(s.needs)],
        )
        self._later[run.id] = later
        for spec in now:
            self._create(run.id, spec)
        return self._refresh(run.id)


def _conclusion(conclusions: list[str | None]) -> str:
    for worst in ("failure", "timed_out", "cancelled", "success"):
        if worst in conclusions:
            return "failure" if worst == "timed_out" else worst
    return "skipped"
