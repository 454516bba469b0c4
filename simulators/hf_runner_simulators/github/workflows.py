"""Workflow runs and jobs: how they are queued, listed, cancelled, re-run, and what a run's
status says of its jobs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

from hf_runner_simulators.github.errors import Refusal, not_found
from hf_runner_simulators.github.lifecycle import UNFINISHED, Lifecycle
from hf_runner_simulators.github.model import JobSpec, JobStatus, Repository, WorkflowJob, WorkflowRun
from hf_runner_simulators.github.state import Store, verb

MONTH_SECONDS = 30 * 86_400
MAX_RERUNS = 50
RESULT_CAP = 1_000
"""Filtered run lists end here (docs)."""


class Workflows:
    """Verbs on runs and jobs. Verbs that take ids raise Refusal 404 for what does not exist.

    One method per verb, which is more than 15.
    """

    def __init__(self, store: Store, life: Lifecycle) -> None:
        self._store = store
        self._life = life
        self.time = store.time

    # -- queueing
    # -------------------------------------------------------------------------------------------------

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

        A run in a concurrency group that is taken is ``pending``, without jobs, and replaces an older pending
        one: GitHub's default. Groups with ``queue: max``, which keep up to 100 of them, are not simulated.
        """
        repository = self._store.repository(full_name)
        names = [spec.name for spec in specs]
        if len(set(names)) != len(names):
            raise ValueError("two jobs of a run have the same name")
        if any(not spec.labels and spec.group is None for spec in specs):
            raise ValueError("a job names labels, a group, or both")
        run = self._life.new_run(repository, workflow=workflow, event=event, head_branch=head_branch)
        run = self._store.runs.put(run.id, replace(run, concurrency=concurrency))
        self._life.later[run.id] = list(specs)
        self._store.unfinished_runs[repository.id][run.id] = None
        if concurrency is not None and (rivals := self._life.rivals(run)):
            for rival in rivals:
                if rival.status == "pending":
                    self._life.end_pending(rival)
            waiting = replace(run, concurrency=concurrency, status="pending")
            return self._begun(self._store.runs.put(run.id, waiting))
        self._life.create_due(run.id)
        return self._begun(self._life.refresh(run.id))

    def _begun(self, run: WorkflowRun) -> WorkflowRun:
        """Keep the row of a run that lists will show as it is now for ever."""
        if self._store.struck(self._store.knobs.frozen_run_rows, "frozen row", run.id):
            self._store.frozen_rows[run.repository_id][run.id] = run
        return run

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
        return [self._store.jobs[key] for run in runs for key in self._store.jobs_of[run.id]]

    @verb
    def queue_zombie(
        self, full_name: str, *, status: JobStatus = "queued", workflow: str = "CI"
    ) -> WorkflowRun:
        """Make a run that reads ``queued`` for ever, has no jobs, and cannot be cancelled (seen in 2026)."""
        repository = self._store.repository(full_name)
        run = self._life.new_run(repository, workflow=workflow, event="push", head_branch="main")
        self._store.unfinished_runs[repository.id][run.id] = None
        return self._store.runs.put(run.id, replace(run, zombie=True, status=status))

    @verb
    def freeze_run(self, run_id: int, status: str, conclusion: str | None = None) -> WorkflowRun:
        """Let the run's record show this whatever its jobs do: run and job records disagree
        at times (seen).
        """
        run = replace(self._live_run(run_id), frozen=(status, conclusion))
        if status in UNFINISHED:
            self._store.unfinished_runs[run.repository_id][run_id] = None
        return self._store.runs.put(run_id, run)

    @verb
    def release(self, job_id: int) -> WorkflowJob:
        """Approve a ``waiting`` job, or let a ``pending`` one have its concurrency slot: it is queued now."""
        job = self._live_job(job_id)
        if job.status in ("waiting", "pending"):
            job = self._store.jobs.put(job_id, replace(job, status="queued", queued_at=self.time.now))
            self._life.enqueue(job)
            self._life.refresh(job.run_id)
        return self._store.jobs[job_id]

    def _live_run(self, run_id: int) -> WorkflowRun:
        run = self._store.runs.get(run_id)
        if run is None:
            raise not_found()
        return run

    def _live_job(self, job_id: int) -> WorkflowJob:
        job = self._store.jobs.get(job_id)
        if job is None:
            raise not_found()
        return job

    # -- looking
    # --------------------------------------------------------------------------------------------------

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
        lag = max(self._store.knobs.list_lag_seconds, self._store.knobs.runs_lag)
        fresh = lag <= 0 and status in UNFINISHED
        frozen = self._store.frozen_rows[repository.id]
        keys: Iterable[int] = (
            self._store.unfinished_runs[repository.id] | dict.fromkeys(frozen)
            if fresh
            else self._store.runs_of[repository.id]
        )
        rows = [frozen.get(key, row) for key in keys if (row := self._store.runs.as_of(key, lag)) is not None]
        wanted = [
            row
            for row in rows
            if (status is None or status in row.shown) and all(getattr(row, k) == v for k, v in equal.items())
        ]
        wanted.sort(key=lambda row: row.id, reverse=True)
        return self._store.ordered(wanted[:RESULT_CAP] if status is not None or equal else wanted)

    @verb
    def first_runs(self, repository: Repository) -> list[WorkflowRun]:
        """Return the first run of each of a repository's workflows, oldest first."""
        first: dict[str, WorkflowRun] = {}
        for key in self._store.runs_of[repository.id]:
            run = self._store.runs[key]
            first.setdefault(run.workflow, run)
        return list(first.values())

    @verb
    def jobs(self, run_id: int, *, attempt: int | None = None, every: bool = False) -> list[WorkflowJob]:
        """List a run's jobs: the latest execution of each, one attempt's, or every one."""
        run = self._live_run(run_id)
        if self.time.now - run.created_at < self._store.knobs.jobs_appear_after_seconds:
            return []
        lag = max(self._store.knobs.list_lag_seconds, self._store.knobs.jobs_lag)
        rows = [
            row
            for key in self._store.jobs_of[run_id]
            if (row := self._store.jobs.as_of(key, lag)) is not None
        ]
        if attempt is not None:
            if not 1 <= attempt <= run.attempt:
                raise not_found()
            rows = [row for row in rows if row.attempt == attempt]
        elif not every:
            rows = sorted({row.spec.name: row for row in rows}.values(), key=lambda row: row.id)
        return self._store.ordered(rows)

    @verb
    def log(self, job_id: int) -> str:
        """Return what a job's steps printed, as far as its listener sent it."""
        return self._live_job(job_id).log

    # -- cancelling
    # -----------------------------------------------------------------------------------------------

    @verb
    def cancel_run(self, run_id: int) -> None:
        """Cancel: queued jobs end now, running ones when their runner answers, or after the grace.

        Raises:
            Refusal: 409, a zombie; or a completed run, if the knob says so.
        """
        run = self._live_run(run_id)
        if run.zombie:
            raise Refusal(409, "Cannot cancel a workflow run that has not been queued yet.")
        if run.status == "completed":
            if self._store.knobs.cancel_completed_conflicts:
                raise Refusal(409, "Cannot cancel a workflow run that is completed.")
            return
        if run.status == "pending" and not self._store.jobs_of[run_id]:
            self._life.end_pending(run)
            return
        self._life.later.pop(run_id, None)
        for job in self._life.latest(run_id):
            self._life.stop(job.id)

    @verb
    def force_cancel_run(self, run_id: int) -> None:
        """End the run and its jobs without asking the runners; slower after a plain cancel (seen).

        Raises:
            Refusal: 409, a zombie or a completed run.
        """
        run = self._live_run(run_id)
        if run.zombie:
            raise Refusal(409, "Cannot cancel a workflow run that has not been queued yet.")
        if run.status == "completed":
            raise Refusal(409, "Cannot cancel a workflow run that is completed.")
        asked = any(job.cancel_at is not None for job in self._life.latest(run_id))
        if asked:
            self.time.after(
                self._store.knobs.force_cancel_after_cancel_seconds, partial(self._end_all, run_id)
            )
        else:
            self._end_all(run_id)

    def _end_all(self, run_id: int) -> None:
        self._life.later.pop(run_id, None)
        if self._store.runs[run_id].status == "pending" and not self._store.jobs_of[run_id]:
            self._life.end_pending(self._store.runs[run_id])
        for job in self._life.latest(run_id):
            if job.status != "completed":
                self._life.conclude(job.id, "cancelled")

    @verb
    def cancel_job(self, job_id: int) -> None:
        """Cancel one job, as fail-fast, a timeout or a concurrency group do; REST has no
        such route. Idempotent.
        """
        self._life.stop(self._live_job(job_id).id)

    # -- running again
    # --------------------------------------------------------------------------------------------

    @verb
    def rerun(self, run_id: int, *, failed_only: bool = False) -> WorkflowRun:
        """Start another attempt with new job ids. Not idempotent.

        Raises:
            Refusal: 403, it is still running, too old, or (failed jobs only) nothing failed.
        """
        run = self._live_run(run_id)
        if run.status != "completed" or run.zombie:
            raise Refusal(403, "This workflow is already running")
        if self.time.now - run.created_at > MONTH_SECONDS:
            raise Refusal(403, "Unable to retry this workflow run because it was created over a month ago")
        again = [job for job in self._life.latest(run_id) if not failed_only or job.conclusion != "success"]
        if not again or run.attempt > MAX_RERUNS:
            raise Refusal(403, "This workflow run cannot be retried")
        return self._attempt(run, [job.spec for job in again])

    @verb
    def rerun_job(self, job_id: int) -> WorkflowRun:
        """Run one job and those that need it again, in a new attempt. Not idempotent.

        Raises:
            Refusal: 403, the run is still running or cannot be retried.
        """
        job = self._live_job(job_id)
        run = self._store.runs[job.run_id]
        if run.status != "completed":
            raise Refusal(403, "The workflow run containing this job is already running")
        if self.time.now - run.created_at > MONTH_SECONDS or run.attempt > MAX_RERUNS:
            raise Refusal(403, "This workflow run cannot be retried")
        names = {job.spec.name}
        specs = [row.spec for row in self._life.latest(run.id)]
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
        self._life.later[run.id] = later
        for spec in now:
            self._life.create(run.id, spec)
        return self._life.refresh(run.id)
