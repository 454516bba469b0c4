"""GitHub, as one source sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from controller.core.model import (
    Admission,
    JobStatus,
    Observation,
    Registration,
    RunnerGroup,
    Scope,
    TokenEnd,
    WorkflowJob,
)
from controller.core.retry import RunRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A workflow run that is not completed.

    Attributes:
        id: Run id.
        attempt: 1 for the first try.
        status: GitHub's word (queued, in_progress, pending, ...).
        created_at: Epoch seconds on GitHub's clock.
        updated_at: As GitHub wrote it; compared for equality only.
        repository_id: GitHub's id of its repository; None where GitHub does not tell.
    """

    id: int
    attempt: int
    status: str
    created_at: float
    updated_at: str
    repository_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository that the credentials can see.

    Attributes:
        full_name: ``owner/repo``, lower case.
        pushed_at: As GitHub wrote it; a change makes the repository worth a look, its absence proves nothing.
        usable: Neither archived nor disabled.
        public: Everybody can see it, and send it pull requests.
    """

    full_name: str
    pushed_at: str = ""
    usable: bool = True
    public: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JitConfig:
    """A fresh registration and the secret that lets one Listener become it.

    Attributes:
        registration: The registration, offline.
        encoded: Base64 text for the Listener; a secret, single use, kept out of ``repr``.
    """

    registration: Registration
    encoded: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """The primary rate limit as the last answer told it; ``resets_at`` is epoch seconds on GitHub's clock."""

    limit: int
    remaining: int
    resets_at: float


class Queue(Protocol):
    """GitHub's queue as one source sees it: the poller's needs.

    All calls are conditional where GitHub allows it: an unchanged answer costs no primary quota
    and returns an equal value.
    """

    async def repositories(self, owner: str) -> Observation[Repository]:
        """List the owner's repositories that the credentials can see, to the last page."""

    async def runs(self, repository: str, status: str) -> Observation[Run]:
        """List a repository's runs of one status, to the last page."""

    async def jobs(self, repository: str, run: Run) -> Observation[WorkflowJob]:
        """List the jobs of a run's current attempt, to the last page; completed ones included."""

    def quota(self) -> Quota | None:
        """Return what the last answer said, or None before the first."""

    def token_end(self) -> TokenEnd | None:
        """Return when the personal access token that is in use ends, as the last answer told;
        None where it has no end.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRead:
    """One workflow job as GitHub shows it by its id; ``spaced`` where a label has a space
    before or behind it.
    """

    status: JobStatus
    spaced: bool = False


class Jobs(Protocol):
    """Single workflow jobs, as one source sees them: lists may show what is so no more."""

    async def job(self, repository: str, job_id: int) -> JobRead:
        """Return a job, read by its id. GitHub's 404 is a failure: it may also be a right that was lost."""

    async def run(self, repository: str, run_id: int) -> RunRecord | None:
        """Return a run, with the jobs of its newest attempt once it has ended; None when
        GitHub does not know it.
        """


class Causes(Protocol):
    """What may keep GitHub from giving a waiting job to an idle runner."""

    async def admission(self, scope: Scope, group: str | None, repository: str) -> Admission:
        """Return whether a runner group of an organization or enterprise admits a
        repository; None: the default one.
        """

    async def version_ended(self, scope: Scope, version: str) -> bool:
        """Return whether GitHub serves a version of actions/runner no more, by its own
        clock and its announcement.
        """


class Removal(Enum):
    """What GitHub says when a registration is to be removed."""

    DONE = "removed now: it had no job, and can take none any more"
    GONE = "there is none: removed before, or taken away by GitHub because its job started or ended"
    BUSY = "it runs a job"


class Runners(Protocol):
    """Registrations as one source may change them: the executor's needs."""

    async def registrations(self, scope: Scope) -> Observation[Registration]:
        """List all registrations of a scope, to the last page."""

    async def runner_groups(self, scope: Scope) -> Observation[RunnerGroup]:
        """List the runner groups of an organization or enterprise, to the last page; a
        repository has none to list.
        """

    async def find(self, scope: Scope, name: str) -> Registration | None:
        """Return the registration of exactly this name, or None. For effects whose answer was lost."""

    async def register(
        self, scope: Scope, *, name: str, labels: Sequence[str], group: str | None
    ) -> JitConfig:
        """Register a runner. Not idempotent and never retried inside.

        A failure with ``in_doubt`` may have registered the name: look with :meth:`find`,
        deregister what is there (its secret is lost), and use a new name. ``group`` is a group's
        name, None for the default group.
        """

    async def deregister(self, scope: Scope, runner_id: int) -> Removal:
        """Remove a registration: the only safe test of idleness (docs/facts.md#deregistering-tests-idleness).

        GitHub answers 204 (``DONE``), 404 (``GONE``) or 422 (``BUSY``). Only 204 says that the runner has no
        job: GitHub takes the records of some runners away when their job starts. Idempotent.
        """


class Runs(Protocol):
    """Runs that lost a job with its HF Job."""

    async def run(self, repository: str, run_id: int) -> RunRecord | None:
        """Return a run, with the jobs of its newest attempt once it has ended; None when
        GitHub does not know it.
        """

    async def rerun_failed(self, repository: str, run_id: int) -> bool:
        """Ask GitHub to run a run's failed jobs again, and those that need them, as its next attempt.

        Returns False when the run has not ended, or runs again already. Raises ``RerunRefused`` when it
        can never be run again. Not idempotent, and never retried inside: after a failure with
        ``in_doubt`` the run's attempt tells.
        """


class GitHub(Queue, Jobs, Causes, Runners, Runs, Protocol):
    """Everything that one source offers."""

    async def close(self) -> None:
        """Close connections. Idempotent."""
