"""Reading GitHub's queue: repositories, runs that are not completed, and their jobs (github.md §1, §2)."""

from __future__ import annotations

import re
from dataclasses import replace

from controller.adapters.counted import counted
from controller.adapters.github.client import SEARCH_CAP
from controller.adapters.github.errors import NotFoundError
from controller.adapters.github.fields import FieldError, Row
from controller.adapters.github.part import Part
from controller.core.model import JobStatus, Observation, TokenEnd, WorkflowJob
from controller.ports import JobRead, Quota, Repository, Run

_FULL_NAME = re.compile(r"[a-z0-9_.-]{1,100}/[a-z0-9_.-]{1,100}")
_KNOWN = {status.value: status for status in JobStatus}


class GitHubQueue(Part):
    """Implements :class:`controller.ports.Queue`."""

    @counted
    async def repositories(self, owner: str) -> Observation[Repository]:
        """List the owner's repositories that the credentials can see.

        An App lists its installation. A token lists the organization; for a personal account it lists what
        its user can reach, since only that list holds private repositories.
        """
        if not (await self._client.token()).personal:
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

    @counted
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

    @counted
    async def jobs(self, repository: str, run: Run) -> Observation[WorkflowJob]:
        """List the jobs of a run's attempt.

        The attempt is named, since "the latest" may become another one while pages are read (live-facts.md
        14).
        """
        return await self._client.listed(
            "repos/{repository}/actions/runs/{run}/attempts/{attempt}/jobs",
            params={},
            rows="jobs",
            parse=lambda row: _job(row, repository, run, self._client.source.api_url),
            key=lambda job: job.id,
            repository=repository,
            run=run.id,
            attempt=run.attempt,
        )

    @counted
    async def job(self, repository: str, job_id: int) -> JobRead:
        """Return a job, read by its id, before other reads: launches wait for it.

        Raises:
            GitHubError: As any call; also for a 404.
        """
        return await self._client.value(
            "GET",
            "repos/{repository}/actions/jobs/{job}",
            lambda row: JobRead(status=_status(row), spaced=row.spaced("labels")),
            effect=True,
            repository=repository,
            job=job_id,
        )

    def quota(self) -> Quota | None:
        """Return what the last answer said."""
        return self._client.quota()

    def token_end(self) -> TokenEnd | None:
        """Return when the personal access token ends, as the last answer told; None where it has no end."""
        return self._client.token_end()


def parse_repository(row: Row) -> Repository:
    """Return what a row says of a repository.

    Raises:
        FieldError: It is none.
    """
    full_name = row.word("full_name").lower()
    if not _FULL_NAME.fullmatch(full_name):  # it becomes part of paths
        raise FieldError("its 'full_name' is odd")
    return Repository(
        full_name=full_name,
        pushed_at=row.word_or_none("pushed_at") or "",
        usable=not (row.flag("archived", otherwise=False) or row.flag("disabled", otherwise=False)),
        public=not row.flag("private", otherwise=True),
    )


def _run(row: Row) -> Run:
    return Run(
        id=row.id(),
        attempt=row.count("run_attempt", otherwise=1) or 1,
        status=row.word("status"),
        created_at=row.time("created_at"),
        updated_at=row.word("updated_at"),
        repository_id=row.row("repository").id_or_none("id") if row.has("repository") else None,
    )


def _status(row: Row) -> JobStatus:
    """Return a job's status. One that we do not know is no demand, and not the end either: pending is what
    comes closest.
    """
    return _KNOWN.get(row.word("status"), JobStatus.PENDING)


def _job(row: Row, repository: str, run: Run, api_url: str) -> WorkflowJob:
    created_at = row.time_or_none("created_at")
    return WorkflowJob(
        id=row.id(),
        run_id=row.id_or_none("run_id") or run.id,
        run_attempt=row.count("run_attempt", otherwise=0) or run.attempt,
        repository=repository,
        name=row.name(),
        labels=row.labels(),
        status=_status(row),
        created_at=run.created_at if created_at is None else created_at,
        started_at=row.time_or_none("started_at"),
        runner_name=row.name_or_none("runner_name"),
        html_url=row.url("html_url", api_url),
        runner_id=row.id_or_none("runner_id"),
        repository_id=run.repository_id,
    )
