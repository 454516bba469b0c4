"""Workflow runs that lost a job: how they ended, and running their failed jobs again (github.md §6)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from controller.adapters.github.client import Client
from controller.adapters.github.errors import ForbiddenError, NotFoundError
from controller.adapters.github.pages import parsed
from controller.core.model import Disposition
from controller.core.reasons import Reason
from controller.core.retry import JobRecord, RunRecord
from controller.ports import UpstreamError

_RUN = "repos/{repository}/actions/runs/{run}"


class GitHubRuns:
    """Implements :class:`controller.ports.Runs`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def run(self, repository: str, run_id: int) -> RunRecord | None:
        """Return a run; its jobs are listed by attempt, since "the latest" may become another one meanwhile."""
        try:
            answer = await self._client.call(
                "GET", f"{_RUN}?exclude_pull_requests=true", repository=repository, run=run_id
            )
        except NotFoundError:
            return None
        seen = parsed(answer, _run)
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


def _run(found: Any) -> RunRecord:  # noqa: ANN401 -- JSON
    ended = found["status"] == "completed"
    return RunRecord(
        attempt=int(found.get("run_attempt") or 1),
        conclusion=str(found.get("conclusion") or "neutral") if ended else None,
    )


def _job(row: Any) -> JobRecord:  # noqa: ANN401 -- JSON
    ended = row["status"] == "completed"
    return JobRecord(
        id=int(row["id"]),
        name=str(row["name"]),
        conclusion=str(row.get("conclusion") or "neutral") if ended else None,
    )
