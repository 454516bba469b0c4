"""What becomes of runs and jobs once they are there: created, queued, started, concluded, and
the run's status with them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from hf_runner_simulators.github.model import JobSpec, JobStatus, Repository, WorkflowJob, WorkflowRun
from hf_runner_simulators.github.state import Store

UNFINISHED = frozenset({"queued", "in_progress", "pending", "waiting", "requested"})


class Lifecycle:
    """The transitions; no verbs, for only the verbs of workflows and the dispatcher cause them.

    One method per transition, which is more than 15: each may cause the next.

    Attributes:
        later: Per run, the jobs that wait for others.
        on_queued: Called with a job's id when runners may have it.
        on_over: Called with a job that was just concluded.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.time = store.time
        self.later: dict[int, list[JobSpec]] = {}
        self.on_queued: Callable[[int], None] = lambda _job_id: None
        self.on_over: Callable[[WorkflowJob], None] = lambda _job: None

    def new_run(self, repository: Repository, *, workflow: str, event: str, head_branch: str) -> WorkflowRun:
        """Number a run and list it, without jobs yet; the caller writes its row."""
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

    def rivals(self, run: WorkflowRun) -> list[WorkflowRun]:
        """Return the other unfinished runs of a run's concurrency group."""
        keys = self._store.unfinished_runs[run.repository_id]
        rows = [self._store.runs[key] for key in keys if key != run.id]
        return [row for row in rows if row.concurrency == run.concurrency and row.concurrency is not None]

    def create_due(self, run_id: int) -> None:
        """Create the jobs whose needs are met; skip those whose needs failed."""
        progress = True
        while progress:
            progress = False
            waiting = list(self.later.get(run_id, []))
            names = {
                spec.name for spec in waiting
            }  # in a re-run, these have an older execution that does not count
            done = {
                job.spec.name: job.conclusion
                for job in self.latest(run_id)
                if job.status == "completed" and job.spec.name not in names
            }
            for spec in waiting:
                if not set(spec.needs) <= set(done):
                    continue
                self.later[run_id].remove(spec)
                skipped = any(done[name] != "success" for name in spec.needs)
                self.create(run_id, spec, skipped=skipped)
                progress = progress or skipped

    def create(self, run_id: int, spec: JobSpec, *, skipped: bool = False) -> None:
        """Create a job of the run's present attempt."""
        run, now = self._store.runs[run_id], self.time.now
        job_id = self._store.next_id("job", 48_000_000_001)
        if self._store.struck(self._store.knobs.ghost_jobs, "ghost", job_id):
            spec = replace(spec, never_runs=True)
        job = WorkflowJob(
            id=job_id,
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
        if self._store.jobs[job_id].status == "queued":
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
        self.refresh(job.run_id)
        limit = job.spec.timeout if job.spec.timeout is not None else self._store.knobs.job_timeout_seconds
        self.time.after(limit, partial(self._stop_running, job_id))
        return self._store.jobs[job_id]

    def _stop_running(self, job_id: int) -> None:
        if self._store.jobs[job_id].status == "in_progress":
            self.stop(job_id)

    def stop(self, job_id: int) -> None:
        """Cancel: at once where no runner has the job; else the runner is asked, and given its grace."""
        job = self._store.jobs[job_id]
        if job.status == "completed":
            return
        if job.status == "in_progress" and not job.hosted:
            self._store.jobs.put(job_id, replace(job, cancel_at=self.time.now))
            self.time.after(self._store.knobs.cancel_grace_seconds, partial(self._grace_over, job_id))
        else:
            self.conclude(job_id, "cancelled")

    def _grace_over(self, job_id: int) -> None:
        if self._store.jobs[job_id].status != "completed":
            self.conclude(job_id, "cancelled")

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
        self.create_due(job.run_id)
        self.refresh(job.run_id)
        return job

    # -- the run's record
    # -----------------------------------------------------------------------------------------

    def refresh(self, run_id: int) -> WorkflowRun:
        """Bring a run's record in line with its jobs."""
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
        """``queued`` takes precedence over ``in_progress``; a run with pending legs reads
        ``pending`` (seen).
        """
        jobs = self.latest(run.id)
        states = {job.status for job in jobs}
        if not jobs:
            return "queued", None
        if states == {"completed"} and not self.later.get(run.id):
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

    def latest(self, run_id: int) -> list[WorkflowJob]:
        """Of each job name, the newest execution: a re-run hides the one before."""
        newest: dict[str, WorkflowJob] = {}
        for key in self._store.jobs_of[run_id]:
            newest[self._store.jobs[key].spec.name] = self._store.jobs[key]
        return sorted(newest.values(), key=lambda job: job.id)

    def end_pending(self, run: WorkflowRun) -> None:
        """Cancel a run that never got its concurrency slot."""
        self.later.pop(run.id, None)
        ended = replace(run, status="completed", conclusion="cancelled", updated_at=self.time.now)
        self._store.runs.put(run.id, ended)
        self._store.unfinished_runs[run.repository_id].pop(run.id, None)

    def _start_pending(self, ended: WorkflowRun) -> None:
        for run in self.rivals(ended):
            if run.status == "pending" and not self._store.jobs_of[run.id]:
                self.create_due(run.id)
                self.refresh(run.id)
                return

    def reference(self, job: WorkflowJob) -> str:
        """``owner/repo/path@ref`` of the job's workflow, as groups restrict them."""
        run = self._store.runs[job.run_id]
        return (
            f"{self._store.repositories[job.repository_id].full_name}/{run.path}@refs/heads/{run.head_branch}"
        )


def _conclusion(conclusions: list[str | None]) -> str:
    for worst in ("failure", "timed_out", "cancelled", "success"):
        if worst in conclusions:
            return "failure" if worst == "timed_out" else worst
    return "skipped"
