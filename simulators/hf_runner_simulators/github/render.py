"""Rows as GitHub's JSON. Every link leads to the origin that the caller used."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from hf_runner_simulators.github.model import WorkflowJob, WorkflowRun
from hf_runner_simulators.github.odd import odd_job, odd_run
from hf_runner_simulators.github.render_accounts import JSON, AccountRender, compact, iso, maybe, node_id
from hf_runner_simulators.github.state import Store
from hf_runner_simulators.odd_words import COUNT

MAX_TEXTS = 4_096
"""Rows that are kept spelt out, at most 11 kB each; run and job ids share no number."""


class Render(AccountRender):
    """Builds all answers for one API root: those about runs and jobs besides.

    One method per kind of answer, which is more than 15.
    """

    def __init__(self, *, store: Store, origin: str, prefix: str) -> None:
        super().__init__(store=store, origin=origin, prefix=prefix)
        self._texts: dict[int, tuple[tuple[object, ...], str]] = {}

    def run(self, run: WorkflowRun) -> JSON:
        """A workflow run."""
        shown = self._run(run)
        return shown if not self.strikes("run", run.id) else {**shown, **odd_run(run.id)}

    def strikes(self, kind: str, key: object) -> bool:
        """Tell whether the free fields of a row are odd."""
        return self._store.struck(self._store.knobs.odd_words, "odd", kind, key)

    def count(self, rows: int, path: str) -> int:
        """How many rows a list says that there are; nobody needs to believe it."""
        return COUNT if self.strikes("list", path) else rows

    def _run(self, run: WorkflowRun) -> JSON:
        repository = self._store.repositories[run.repository_id]
        minimal = self.minimal_repository(repository)
        url = f"{self.api}/repos/{repository.full_name}/actions/runs/{run.id}"
        sha = self.sha(run)
        status, conclusion = run.shown
        actor = self.owner(self._store.owners[repository.owner.lower()])
        author = {"name": repository.owner, "email": f"{repository.owner}@users.noreply.example.com"}
        workflow_id = self.workflow_id(run)
        return {
            "id": run.id,
            "name": run.workflow,
            "node_id": node_id("WFR", run.id),
            "head_branch": run.head_branch,
            "head_sha": sha,
            "path": run.path,
            "display_title": f"{run.workflow} #{run.number}",
            "run_number": run.number,
            "event": run.event,
            "status": status,
            "conclusion": conclusion,
            "workflow_id": workflow_id,
            "check_suite_id": self.check_suite_id(run),
            "check_suite_node_id": node_id("CS", self.check_suite_id(run)),
            "url": url,
            "html_url": f"{self.web}/{repository.full_name}/actions/runs/{run.id}",
            "pull_requests": [],
            "created_at": iso(run.created_at),
            "updated_at": iso(run.updated_at),
            "actor": actor,
            "triggering_actor": actor,
            "run_attempt": run.attempt,
            "referenced_workflows": [],
            "run_started_at": iso(run.started_at),
            "jobs_url": f"{url}/jobs",
            "logs_url": f"{url}/logs",
            "check_suite_url": f"{self.api}/repos/{repository.full_name}/check-suites/{self.check_suite_id(run)}",
            "artifacts_url": f"{url}/artifacts",
            "cancel_url": f"{url}/cancel",
            "rerun_url": f"{url}/rerun",
            "previous_attempt_url": f"{url}/attempts/{run.attempt - 1}" if run.attempt > 1 else None,
            "workflow_url": f"{self.api}/repos/{repository.full_name}/actions/workflows/{workflow_id}",
            "head_commit": {
                "id": sha,
                "tree_id": sha[::-1],
                "message": "Change",
                "timestamp": iso(run.created_at),
                "author": author,
                "committer": author,
            },
            "repository": minimal,
            "head_repository": minimal,
        }

    def workflow_id(self, run: WorkflowRun) -> int:
        """The number of a run's workflow."""
        return int(self._store.keyed("workflow", run.repository_id, run.workflow)[:7], 16)

    def check_suite_id(self, run: WorkflowRun) -> int:
        """The number of a run's check suite."""
        return run.id + 1_000_000

    def actor(self, run: WorkflowRun) -> str:
        """The login of who started a run."""
        return self._store.owners[self._store.repositories[run.repository_id].owner.lower()].login

    def workflow(self, first: WorkflowRun) -> JSON:
        """A workflow, by its first run."""
        repository, number = self._store.repositories[first.repository_id], self.workflow_id(first)
        web = f"{self.web}/{repository.full_name}"
        return {
            "id": number,
            "node_id": node_id("W", number),
            "name": first.workflow,
            "path": first.path,
            "state": "active",
            "created_at": iso(repository.created_at),
            "updated_at": iso(repository.created_at),
            "url": f"{self.api}/repos/{repository.full_name}/actions/workflows/{number}",
            "html_url": f"{web}/blob/main/{first.path}",
            "badge_url": f"{web}/workflows/{quote(first.workflow)}/badge.svg",
        }

    def run_text(self, run: WorkflowRun) -> str:
        """A workflow run, spelt out."""
        inputs = (run, self._store.repositories[run.repository_id], self._store.knobs)
        return self._spelt(run.id, inputs, lambda: self.run(run))

    def job_text(self, job: WorkflowJob) -> str:
        """A workflow job, spelt out."""
        inputs = (job, self._store.repositories[job.repository_id], self._store.knobs)
        return self._spelt(job.id, inputs, lambda: self.job(job))

    def _spelt(self, key: int, inputs: tuple[object, ...], make: Callable[[], JSON]) -> str:
        """Spell a row out once per version: rows are replaced, never changed, so identity
        tells versions apart.
        """
        held = self._texts.get(key)
        if held is None or any(a is not b for a, b in zip(held[0], inputs, strict=True)):
            if len(self._texts) >= MAX_TEXTS:
                self._texts.clear()
            held = (inputs, compact(make()))
            self._texts[key] = held
        return held[1]

    def sha(self, run: WorkflowRun) -> str:
        """The commit that a run tests."""
        return self._store.keyed("sha", run.repository_id, run.id)[:40]

    def job(self, job: WorkflowJob) -> JSON:
        """A workflow job."""
        shown = self._job(job)
        return shown if not self.strikes("job", job.id) else {**shown, **odd_job(job.id)}

    def _job(self, job: WorkflowJob) -> JSON:
        run = self._store.runs[job.run_id]
        repository = self._store.repositories[job.repository_id]
        url = f"{self.api}/repos/{repository.full_name}"
        zero = job.runner_id is None and self._store.knobs.unassigned_runner == "zero"
        return {
            "id": job.id,
            "run_id": job.run_id,
            "workflow_name": run.workflow,
            "head_branch": run.head_branch,
            "run_url": f"{url}/actions/runs/{job.run_id}",
            "run_attempt": job.attempt,
            "node_id": node_id("CR", job.id),
            "head_sha": self.sha(run),
            "url": f"{url}/actions/jobs/{job.id}",
            "html_url": f"{self.web}/{repository.full_name}/actions/runs/{job.run_id}/job/{job.id}",
            "status": job.status,
            "conclusion": job.conclusion,
            "created_at": iso(job.created_at),
            "started_at": iso(job.created_at if job.started_at is None else job.started_at),
            "completed_at": maybe(job.completed_at),
            "name": job.spec.name,
            "steps": self._steps(job),
            "check_run_url": f"{url}/check-runs/{job.id}",
            "labels": list(job.spec.labels),
            "runner_id": 0 if zero else job.runner_id,
            "runner_name": "" if zero else job.runner_name,
            "runner_group_id": 0 if zero else job.runner_group_id,
            "runner_group_name": "" if zero else job.runner_group_name,
        }

    def _steps(self, job: WorkflowJob) -> list[JSON]:
        """A step stays ``in_progress`` when its runner vanished: the only trace of that (seen)."""
        if job.runner_id is None:
            return []
        started, ended = maybe(job.started_at), maybe(job.completed_at)
        first = _step(
            "Set up job", number=1, state="completed", conclusion="success", times=(started, started)
        )
        if not job.reported:
            return [
                first,
                _step("Run work", number=2, state="in_progress", conclusion=None, times=(started, None)),
            ]
        return [
            first,
            _step("Run work", number=2, state="completed", conclusion=job.conclusion, times=(started, ended)),
            _step("Complete job", number=3, state="completed", conclusion="success", times=(ended, ended)),
        ]


def _step(
    name: str, *, number: int, state: str, conclusion: str | None, times: tuple[str | None, str | None]
) -> JSON:
    return {
        "name": name,
        "status": state,
        "conclusion": conclusion,
        "number": number,
        "started_at": times[0],
        "completed_at": times[1],
    }
