"""Reading GitHub's queue: repositories, runs that are not completed, and their jobs (github.md §1, §2)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from controller.adapters.github.accounts import Accounts
from controller.adapters.github.client import SEARCH_CAP, Client
from controller.adapters.github.errors import NotFoundError
from controller.core.labels import normalized
from controller.core.model import JobStatus, Observation, WorkflowJob
from controller.ports import Quota, Repository, Run

_KNOWN = {status.value: status for status in JobStatus}


class GitHubQueue:
    """Implements :class:`controller.ports.Queue`."""

    def __init__(self, client: Client, accounts: Accounts) -> None:
        self._client = client
        self._accounts = accounts

    async def repositories(self, owner: str) -> Observation[Repository]:
        """List the owner's repositories that the credentials can see.

        An App lists its installation. A token lists the organization; for a personal account it lists what its user can
        reach, since only that list holds private repositories.
        """
        if self._client.has_app:
            seen = await self._list_repositories("installation/repositories", rows="repositories")
        elif self._client.source.enterprise:
            seen = await self._list_repositories("user/repos", affiliation="organization_member")
        elif self._accounts.known_personal(owner):
            seen = await self._list_repositories("user/repos", affiliation="owner,collaborator")
        else:
            seen = await self._of_organization(owner)
        if self._client.source.enterprise:
            return seen
        mine = tuple(r for r in seen.items if r.full_name.startswith(f"{owner.lower()}/"))
        return replace(seen, items=mine)

    async def _of_organization(self, owner: str) -> Observation[Repository]:
        failed: NotFoundError
        try:
            return await self._list_repositories("orgs/{owner}/repos", owner=owner, type="all", sort="pushed")
        except NotFoundError as error:
            failed = error
        if not await self._accounts.is_personal(owner, otherwise=failed):
            raise failed
        return await self._list_repositories("user/repos", affiliation="owner,collaborator")

    async def _list_repositories(
        self, route: str, *, rows: str | None = None, owner: str = "", **params: str
    ) -> Observation[Repository]:
        return await self._client.listed(
            route, params=params, rows=rows, parse=parse_repository, key=lambda r: r.full_name, owner=owner
        )

    async def runs(self, repository: str, status: str) -> Observation[Run]:
        """List runs of one status; GitHub lists the newest thousand of them."""
        return await self._client.listed(
            "repos/{repository}/actions/runs",
            params={"status": status, "exclude_pull_requests": "true"},
            rows="workflow_runs",
            parse=_run,
            key=lambda run: run.id,
            cap=SEARCH_CAP,
            repository=repository,
        )

    async def jobs(self, repository: str, run: Run) -> Observation[WorkflowJob]:
        """List the jobs of a run's attempt.

        The attempt is named, since "the latest" may become another one while pages are read (live-facts.md 14).
        """
        return await self._client.listed(
            "repos/{repository}/actions/runs/{run}/attempts/{attempt}/jobs",
            params={},
            rows="jobs",
            parse=lambda row: _job(row, repository, run),
            key=lambda job: job.id,
            repository=repository,
            run=run.id,
            attempt=run.attempt,
        )

    def quota(self) -> Quota | None:
        """Return what the last answer said."""
        return self._client.quota()


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def parse_repository(row: Any) -> Repository:  # noqa: ANN401 -- JSON
    """Return what a row says of a repository."""
    return Repository(
        full_name=str(row["full_name"]).lower(),
        pushed_at=str(row.get("pushed_at") or ""),
        usable=not (row.get("archived") or row.get("disabled")),
        public=row.get("private") is False,
    )


def _run(row: Any) -> Run:  # noqa: ANN401 -- JSON
    return Run(
        id=int(row["id"]),
        attempt=int(row.get("run_attempt") or 1),
        status=str(row["status"]),
        created_at=_epoch(row["created_at"]),
        updated_at=str(row["updated_at"]),
    )


def _job(row: Any, repository: str, run: Run) -> WorkflowJob:  # noqa: ANN401 -- JSON
    # A status that we do not know is no demand, and not the end either: pending is what comes closest.
    status = _KNOWN.get(row["status"], JobStatus.PENDING)
    created_at = row.get("created_at")
    started_at = row.get("started_at")
    return WorkflowJob(
        id=int(row["id"]),
        run_id=run.id,
        run_attempt=int(row.get("run_attempt") or run.attempt),
        repository=repository,
        name=str(row["name"]),
        labels=normalized(row["labels"]),
        status=status,
        created_at=_epoch(created_at) if created_at else run.created_at,
        started_at=_epoch(started_at) if started_at else None,
        runner_name=row.get("runner_name") or None,
        html_url=row.get("html_url") or "",
    )
