"""Workflow runs that lost a job: how they ended, and running their failed jobs again (github.md §6)."""

from __future__ import annotations

from dataclasses import replace

from controller.adapters.counted import counted
from controller.adapters.github.errors import ForbiddenError, NotFoundError
from controller.adapters.github.fields import Row
from controller.adapters.github.part import Part
from controller.core.model import Disposition
from controller.core.reasons import Reason
from controller.core.retry import JobRecord, RunRecord
from controller.ports import UpstreamError

_RUN = "repos/{repository}/actions/runs/{run}"


class GitHubRuns(Part):
    """Implements :class:`controller.ports.Runs`."""

    @counted
    async def run(self, repository: str, run_id: int) -> RunRecord | None:
        """Return a run; its jobs are listed by attempt, since "the latest" may become another one
        meanwhile.
        """
        try:
            seen = await self._client.value(
                "GET", f"{_RUN}?exclude_pull_requests=true", _run, repository=repository, run=run_id
            )
        except NotFoundError:
            return None
        if seen.conclusion is None:
            return seen
        jobs = await self._client.listed(
            f"{_RUN}/attempts/{{attempt}}/jobs",
            params={},
            rows="jobs",
            parse=_job,
            key=lambda job: job.id,
            fresh=True,
            repository=repository,
            run=run_id,
            attempt=seen.attempt,
        )
        if jobs.failure is not None:
            raise UpstreamError(jobs.failure)
        return replace(seen, jobs=jobs.items)

    @counted
    async def rerun_failed(self, repository: str, run_id: int) -> bool:
        """Run a run's failed jobs again; see :meth:`controller.ports.Runs.rerun_failed`."""
        try:
            await self._client.call(
                "POST", f"{_RUN}/rerun-failed-jobs", effect=True, repository=repository, run=run_id
            )
        except ForbiddenError as error:
            said, failure = error.github_message.lower(), error.failure
        else:
            return True
        if "already running" in said:
            return False
        if "cannot be retried" in said or "unable to retry" in said:
            failure = replace(failure, reason=Reason.RerunRefused, disposition=Disposition.GONE)
        raise UpstreamError(failure)


def _run(found: Row) -> RunRecord:
    return RunRecord(attempt=found.count("run_attempt", otherwise=1) or 1, conclusion=_conclusion(found))


def _job(row: Row) -> JobRecord:
    steps = row.rows("steps") if row.has("steps") else []
    ended = [isinstance(step, dict) and step.get("status") == "completed" for step in steps]
    return JobRecord(
        id=row.id(),
        conclusion=_conclusion(row),
        completed_at=row.time_or_none("completed_at"),
        reported=bool(ended) and all(ended),
    )


def _conclusion(row: Row) -> str | None:
    """Return how a run or job ended, None before its end."""
    return (row.word_or_none("conclusion") or "neutral") if row.word("status") == "completed" else None
