"""GitHub's routes about workflows, runs and jobs, thin over the verbs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from hf_runner_simulators.github.access import Need
from hf_runner_simulators.github.errors import DOCS, Refusal
from hf_runner_simulators.github.inquiry import Inquiry, Route, RouteAnswer
from hf_runner_simulators.github.model import WorkflowJob, WorkflowRun
from hf_runner_simulators.github.world import GitHubWorld

_ACTIONS_READ = Need(permission="actions")
_ACTIONS_WRITE = Need(permission="actions", level="write")
_RUNS = f"{DOCS}/actions/workflow-runs"
_JOBS = f"{DOCS}/actions/workflow-jobs"
_OTHERS = {"workflows": f"{DOCS}/actions/workflows", "artifacts": f"{DOCS}/actions/artifacts"}


def run_table(world: GitHubWorld) -> Iterator[tuple[str, str, Route]]:
    """Return method, template and route of all that is about workflows, runs and jobs."""
    yield from _Runs(world).table()


class _Runs:
    def __init__(self, world: GitHubWorld) -> None:
        self._world = world
        self._verbs = world.workflows

    def table(self) -> Iterator[tuple[str, str, Route]]:
        """Routes about workflow runs and jobs."""
        root = "/repos/{owner}/{repo}/actions"
        reads = {
            "/runs": self.runs,
            "/runs/{run_id}": self.run,
            "/runs/{run_id}/jobs": self.jobs,
            "/runs/{run_id}/attempts/{attempt_number}/jobs": self.attempt_jobs,
            "/jobs/{job_id}": self.job,
            "/runs/{run_id}/artifacts": self.artifacts,
            "/workflows": self.workflows,
            "/workflows/{workflow_id}": self.workflow,
        }
        writes = {
            "/runs/{run_id}/cancel": self.cancel,
            "/runs/{run_id}/force-cancel": self.force_cancel,
            "/runs/{run_id}/rerun": self.rerun,
            "/runs/{run_id}/rerun-failed-jobs": self.rerun_failed,
            "/jobs/{job_id}/rerun": self.rerun_job,
        }
        for path, answer in reads.items():
            yield "GET", root + path, Route(answer=answer, need=_ACTIONS_READ, docs=_page(path))
        for path, answer in writes.items():
            yield "POST", root + path, Route(answer=answer, need=_ACTIONS_WRITE, docs=_page(path))

    def runs(self, asked: Inquiry) -> RouteAnswer:
        given = {"event": asked.request.param("event"), "head_branch": asked.request.param("branch")}
        equal = {name: value for name, value in given.items() if value}
        status = asked.request.param("status") or None
        rows = [row for row in self._verbs.runs(asked.repo, status=status, **equal) if _wanted(asked, row)]
        return asked.spelt_listing("workflow_runs", rows, asked.render.run_text)

    def run(self, asked: Inquiry) -> RouteAnswer:
        return RouteAnswer(payload=asked.render.run(self._verbs.run(asked.number("run_id"), asked.repo)))

    def jobs(self, asked: Inquiry) -> RouteAnswer:
        run = self._verbs.run(asked.number("run_id"), asked.repo)
        rows = self._verbs.jobs(run.id, every=asked.request.param("filter") == "all")
        return asked.spelt_listing("jobs", rows, asked.render.job_text)

    def attempt_jobs(self, asked: Inquiry) -> RouteAnswer:
        run = self._verbs.run(asked.number("run_id"), asked.repo)
        rows: list[WorkflowJob] = self._verbs.jobs(run.id, attempt=asked.number("attempt_number"))
        return asked.spelt_listing("jobs", rows, asked.render.job_text)

    def job(self, asked: Inquiry) -> RouteAnswer:
        return RouteAnswer(payload=asked.render.job(self._verbs.job(asked.number("job_id"), asked.repo)))

    def artifacts(self, asked: Inquiry) -> RouteAnswer:
        """There are none: jobs here upload nothing."""
        self._verbs.run(asked.number("run_id"), asked.repo)
        return asked.listing("artifacts", [], lambda row: row)

    def workflows(self, asked: Inquiry) -> RouteAnswer:
        """Those that had a run, oldest first."""
        rows = self._world.workflows.first_runs(asked.repo)
        return asked.listing("workflows", rows, asked.render.workflow)

    def workflow(self, asked: Inquiry) -> RouteAnswer:
        wanted = asked.parts["workflow_id"]
        for row in self._world.workflows.first_runs(asked.repo):
            if wanted in (str(asked.render.workflow_id(row)), row.path.rpartition("/")[2]):
                return RouteAnswer(payload=asked.render.workflow(row))
        raise Refusal(404, "Not Found")

    def cancel(self, asked: Inquiry) -> RouteAnswer:
        self._verbs.cancel_run(self._verbs.run(asked.number("run_id"), asked.repo).id)
        return RouteAnswer(payload={}, status=202)

    def force_cancel(self, asked: Inquiry) -> RouteAnswer:
        self._verbs.force_cancel_run(self._verbs.run(asked.number("run_id"), asked.repo).id)
        return RouteAnswer(payload={}, status=202)

    def rerun(self, asked: Inquiry) -> RouteAnswer:
        self._verbs.rerun(self._verbs.run(asked.number("run_id"), asked.repo).id)
        return RouteAnswer(payload={}, status=201)

    def rerun_failed(self, asked: Inquiry) -> RouteAnswer:
        self._verbs.rerun(self._verbs.run(asked.number("run_id"), asked.repo).id, failed_only=True)
        return RouteAnswer(payload={}, status=201)

    def rerun_job(self, asked: Inquiry) -> RouteAnswer:
        self._verbs.rerun_job(self._verbs.job(asked.number("job_id"), asked.repo).id)
        return RouteAnswer(payload={}, status=201)


def _page(path: str) -> str:
    return next((page for word, page in _OTHERS.items() if word in path), _JOBS if "/jobs" in path else _RUNS)


def _wanted(asked: Inquiry, run: WorkflowRun) -> bool:
    """Whether a run passes the filters that are not about its state."""
    render = asked.render
    given = {
        "actor": render.actor(run),
        "head_sha": render.sha(run),
        "check_suite_id": str(render.check_suite_id(run)),
    }
    if any((wanted := asked.request.param(name)) and wanted != value for name, value in given.items()):
        return False
    created = asked.request.param("created")
    return not created or _within(created, run.created_at)


def _within(wanted: str, at: float) -> bool:
    """Whether a time is within GitHub's syntax for ranges: ``>=2026-09-01``,
    ``2026-09-01..*``, ``2026-09-01``.

    Raises:
        Refusal: 422, it is no range.
    """
    try:
        if ".." in wanted:
            low, _, high = wanted.partition("..")
            return (low == "*" or at >= _span(low)[0]) and (high == "*" or at < _span(high)[1])
        for sign in (">=", "<=", ">", "<"):
            if wanted.startswith(sign):
                first, after = _span(wanted.removeprefix(sign))
                return {">=": at >= first, "<=": at < after, ">": at >= after, "<": at < first}[sign]
        first, after = _span(wanted)
    except ValueError:
        raise Refusal(422, "Validation Failed", errors=[_error("created")]) from None
    return first <= at < after


def _span(text: str) -> tuple[float, float]:
    """Return when a day or a second begins and when the next one does; a time without a zone is UTC."""
    begins = datetime.fromisoformat(text)
    begins = begins if begins.tzinfo else begins.replace(tzinfo=UTC)
    return begins.timestamp(), begins.timestamp() + (1.0 if "T" in text else 86_400.0)


def _error(name: str) -> dict[str, str]:
    return {"resource": "WorkflowRun", "code": "invalid", "field": name}
