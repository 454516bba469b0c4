"""What GitHub shows: workflow jobs, registrations and runner groups."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class JobStatus(StrEnum):
    """A workflow job's status (docs/facts.md#job-status)."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    WAITING = "waiting"
    PENDING = "pending"
    REQUESTED = "requested"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowJob:
    """GitHub's unit of work.

    Attributes:
        id: Job id.
        run_id: Id of the run that holds it.
        run_attempt: 1 for the first try.
        repository: ``owner/repo``, lower case.
        name: As shown by GitHub.
        labels: Lower-case, sorted; empty when the job names only a group.
        status: GitHub's word.
        created_at: Epoch seconds on GitHub's clock. A job may wait for a reviewer, a timer or its concurrency
            group for weeks before it is queued, and GitHub does not tell when that was: ``started_at`` of a
            queued job is its ``created_at``.
        queued_at: Epoch seconds on GitHub's clock since when it counts as queued: when it was seen to become
            so; of a job that was queued when it was first seen, its ``created_at``, or that first sight where
            GitHub would have ended it since. None where it was never seen queued.
        seen_queued_at: Epoch seconds on GitHub's clock of the first look that showed it queued: it has
            been so at least since then.
        started_at: Epoch seconds on GitHub's clock; meaningful once a runner took the job.
        runner_name: Who runs it, or None.
        runner_id: GitHub's id of the runner that has it, None where it does not tell.
        repository_id: GitHub's id of the repository, which stays when the repository is renamed;
            None where it does not tell.
        html_url: The job's page.
    """

    id: int
    run_id: int
    run_attempt: int
    repository: str
    name: str
    labels: tuple[str, ...]
    status: JobStatus
    created_at: float
    queued_at: float | None = None
    seen_queued_at: float | None = None
    started_at: float | None = None
    runner_name: str | None = None
    runner_id: int | None = None
    repository_id: int | None = None
    html_url: str = ""

    @property
    def waits_since(self) -> float:
        """Epoch seconds on GitHub's clock from which its wait counts; its creation where
        nothing better was seen.
        """
        return self.created_at if self.queued_at is None else self.queued_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A self-hosted runner as GitHub lists it.

    Attributes:
        id: GitHub's runner id.
        name: Unique within its scope while it exists.
        online: ``status`` was ``online``. A hint: live runners have been seen offline
            (docs/facts.md#online-and-busy-are-hints).
        busy: GitHub's ``busy``. A hint, never a proof.
        labels: Lower-case, sorted.
        version: Of actions/runner, as its Listener told GitHub; empty before it was online, or
            where GitHub does not tell.
    """

    id: int
    name: str
    online: bool
    busy: bool
    labels: tuple[str, ...] = ()
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLook:
    """One workflow job, read by its id.

    Attributes:
        status: GitHub's word at the newest read that succeeded; ``completed`` also where
            GitHub knows the job no more.
        asked_at: Monotonic seconds when that read was sent.
        run_ended: How its run has ended (GitHub's word), None while it goes on or was not read.
        spaced: One of its labels has a space before or behind it, which GitHub compares too.
    """

    status: JobStatus
    asked_at: float
    run_ended: str | None = None
    spaced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Whether a runner group gives its runners the jobs of a repository.

    Attributes:
        group: The group's name.
        excluded: The group admits only repositories that were selected, and this one was not.
        refuses_public: The repository is public, and the group refuses public repositories.
        workflows: The group admits only these workflows; None for any.
    """

    group: str
    excluded: bool = False
    refuses_public: bool = False
    workflows: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerGroup:
    """A runner group of an organization or enterprise, and who may use its runners.

    Attributes:
        id: GitHub's.
        name: As written.
        default: Runners join it when no group is named.
        visibility: GitHub's word: ``all``, ``selected`` (only those that were selected may) or ``private``;
            empty where GitHub does not tell.
        allows_public_repositories: Public repositories may use it too.
        restricted_to_workflows: Only :attr:`workflows` may use it.
        workflows: ``owner/repo/path@ref`` that alone may use it; empty where it is not restricted.
    """

    id: int
    name: str
    default: bool = False
    visibility: str = ""
    allows_public_repositories: bool = False
    restricted_to_workflows: bool = False
    workflows: tuple[str, ...] = ()

    @property
    def selected(self) -> bool:
        """Only repositories, or organizations of an enterprise, that were selected may use it."""
        return self.visibility == "selected"

    @property
    def public(self) -> bool:
        """A public repository may use it: allowed, and not shut out by a visibility of
        private repositories alone.
        """
        return self.allows_public_repositories and self.visibility != "private"
