"""What the controller needs from the outside world, declared by its consumers.

Adapters implement these protocols over HTTP; in simulations the adapters are the same, and a cluster in memory implements those of
Kubernetes. Every method that talks
to somebody raises :class:`UpstreamError`, and nothing else, for whatever the other side does; each has its own timeout.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from controller.core.endings import Endings
from controller.core.intents import Written
from controller.core.model import (
    Admission,
    Failure,
    Flavor,
    GitHubSource,
    HFJob,
    HubAccount,
    JobStatus,
    Observation,
    PoolKey,
    Registration,
    RunnerGroup,
    Scope,
    SecretRef,
    TokenEnd,
    Volume,
    WorkflowJob,
)
from controller.core.reasons import Reason
from controller.core.retry import RunRecord
from controller.core.stop_switch import Stop, Stopped


class UpstreamError(Exception):
    """A call to GitHub, the Hub or Kubernetes failed; ``failure`` says how, and never holds a secret."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.reason}: {failure.message}")
        self.failure = failure


class Clock(Protocol):
    """Time as the controller sees it."""

    def wall(self) -> float:
        """Return seconds since the Unix epoch, UTC. May jump."""

    def mono(self) -> float:
        """Return seconds on a clock that never goes back. Its origin means nothing."""


# ---------------------------------------------------------------------------------------------------------------- GitHub
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

    All calls are conditional where GitHub allows it: an unchanged answer costs no primary quota and returns an equal value.
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
        """Return when the personal access token that is in use ends, as the last answer told; None where it has no end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRead:
    """One workflow job as GitHub shows it by its id; ``spaced`` where a label has a space before or behind it."""

    status: JobStatus
    spaced: bool = False


class Jobs(Protocol):
    """Single workflow jobs, as one source sees them: lists may show what is so no more."""

    async def job(self, repository: str, job_id: int) -> JobRead:
        """Return a job, read by its id. GitHub's 404 is a failure: it may also be a right that was lost."""

    async def run(self, repository: str, run_id: int) -> RunRecord | None:
        """Return a run, with the jobs of its newest attempt once it has ended; None when GitHub does not know it."""


class Causes(Protocol):
    """What may keep GitHub from giving a waiting job to an idle runner."""

    async def admission(self, scope: Scope, group: str | None, repository: str) -> Admission:
        """Return whether a runner group (None for the default one) of an organization or enterprise admits a repository."""

    async def version_ended(self, scope: Scope, version: str) -> bool:
        """Return whether GitHub serves a version of actions/runner no more, by its own clock and its announcement."""


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
        """List the runner groups of an organization or enterprise, to the last page; a repository has none to list."""

    async def find(self, scope: Scope, name: str) -> Registration | None:
        """Return the registration of exactly this name, or None. For effects whose answer was lost."""

    async def register(
        self, scope: Scope, *, name: str, labels: Sequence[str], group: str | None
    ) -> JitConfig:
        """Register a runner. Not idempotent and never retried inside.

        A failure with ``in_doubt`` may have registered the name: look with :meth:`find`, deregister what is there (its
        secret is lost), and use a new name. ``group`` is a group's name, None for the default group.
        """

    async def deregister(self, scope: Scope, runner_id: int) -> Removal:
        """Remove a registration: the only safe test of idleness (github.md §3.4).

        GitHub answers 204 (``DONE``), 404 (``GONE``) or 422 (``BUSY``). Only 204 says that the runner has no job: GitHub takes
        the records of some runners away when their job starts. Idempotent.
        """


class Runs(Protocol):
    """Runs that lost a job with its HF Job."""

    async def run(self, repository: str, run_id: int) -> RunRecord | None:
        """Return a run, with the jobs of its newest attempt once it has ended; None when GitHub does not know it."""

    async def rerun_failed(self, repository: str, run_id: int) -> bool:
        """Ask GitHub to run a run's failed jobs again, and those that need them, as its next attempt.

        Returns False when the run has not ended, or runs again already. Raises ``RerunRefused`` when it can never be run
        again. Not idempotent, and never retried inside: after a failure with ``in_doubt`` the run's attempt tells.
        """


class GitHub(Queue, Jobs, Causes, Runners, Runs, Protocol):
    """Everything that one source offers."""

    async def close(self) -> None:
        """Close connections. Idempotent."""


# ------------------------------------------------------------------------------------------------------------------- Hub
@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSpec:
    """One HF Job to be made.

    Attributes:
        image: Docker image, or a Space's URL.
        command: Replaces the image's entrypoint.
        flavor: Hardware name.
        labels: Make the job ours and findable; ``[A-Za-z0-9_-]`` only, 100 characters at most.
        environment: Readable by everybody in the namespace.
        secrets: Write-only on the Hub; kept out of ``repr``.
        timeout: Seconds after which the Hub ends the job, always sent.
        volumes: Mounts.
        ssh: Open a debug shell.
    """

    image: str
    command: tuple[str, ...]
    flavor: str
    labels: Mapping[str, str]
    environment: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)
    timeout: int
    volumes: tuple[Volume, ...] = ()
    ssh: bool = False


class Hub(Protocol):
    """HF Jobs of one account."""

    async def live(self, labels: Mapping[str, str]) -> Observation[HFJob]:
        """List live HF Jobs that carry all the labels, to the last page; labels are checked on our side too."""

    async def find(self, labels: Mapping[str, str]) -> Sequence[HFJob]:
        """Return HF Jobs of any stage that carry all the labels: for launches of which it is not known what became of them."""

    async def inspect(self, job_id: str) -> HFJob | None:
        """Return one HF Job, or None when the Hub knows it no more."""

    async def launch(self, spec: LaunchSpec) -> HFJob:
        """Create an HF Job. Not idempotent and never retried inside.

        A failure with ``in_doubt`` may have created it: look with :meth:`find` by the runner's label.
        """

    async def cancel(self, job_id: str) -> None:
        """Ask the Hub to end a job; one that ended already, or is unknown, is no error. Idempotent, asynchronous."""

    async def close(self) -> None:
        """Close connections. Idempotent."""


class Hardware(Protocol):
    """What one Hub endpoint has on offer, for everybody."""

    async def flavors(self) -> Observation[Flavor]:
        """List hardware and prices. Needs no credentials, so that nobody's bad Secret hides it from the others."""


# ------------------------------------------------------------------------------------------------------------ Kubernetes
@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A Secret as it was read.

    Attributes:
        data: Decoded values by key, kept out of ``repr``.
        labels: Of the object, which say what its owner lets it be used for.
    """

    data: Mapping[str, str] = field(repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)


class Secrets(Protocol):
    """Reads the Secrets that pools name."""

    async def read(self, ref: SecretRef) -> Secret:
        """Return a Secret as it is now. Values never reach a log line or an exception.

        Raises:
            UpstreamError: ``SecretMissing`` (404), ``SecretForbidden`` (403), ``KubernetesForbidden`` (401), ``KubernetesUnavailable``.
        """


class StatusWriter(Protocol):
    """Writes a pool's status."""

    async def write(self, *, namespace: str, name: str, uid: str, status: Mapping[str, object]) -> None:
        """Apply the whole status server-side as our field manager; a pool that is gone (or is another uid) is no error."""


class IntentsMoved(Exception):  # noqa: N818 - an answer, not a failure
    """The pool is not as it was known to be; nothing was written. Read it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredIntents:
    """The intents of one pool, as the API server holds or held them.

    Attributes:
        uid: Of the object.
        version: Its ``resourceVersion``: every change of anything in the object makes a new one.
        written: What its status says.
    """

    uid: str
    version: str
    written: Written


class Intents(Protocol):
    """Where intents are kept: the pools' statuses."""

    def newest(self, uid: str) -> StoredIntents | None:
        """Return the newest state of a pool that any answer has shown, None if none has. It may be out of date."""

    async def read(self, key: PoolKey) -> StoredIntents | None:
        """Return a pool's intents as they are now (no cache answers), None when there is no such object."""

    async def replace(self, key: PoolKey, known: StoredIntents, written: Written) -> StoredIntents:
        """Write all intents and the term of a pool, on top of what is known, and leave the rest of its status alone.

        Not idempotent: of two equal calls the second raises. After a failure with ``in_doubt`` it may have been written.

        Raises:
            IntentsMoved: The object is not of the known version any more.
            UpstreamError: Anything else.
        """


class Events(Protocol):
    """Tells people through Kubernetes Events."""

    async def emit(
        self, *, namespace: str, name: str, uid: str, warning: bool, reason: str, action: str, message: str
    ) -> None:
        """Publish one Event about a pool; equal ones are counted up in a series. Failures are logged, never raised."""


class Fenced(Exception):  # noqa: N818 - not a failure: somebody else leads now
    """This process may not act any more; nothing was sent."""


class LaunchStopped(Fenced):
    """The stop switch is on; nothing was sent.

    Args:
        stopped: Why.
    """

    def __init__(self, stopped: Stopped) -> None:
        super().__init__(stopped.message)
        self.stopped = stopped


class StopSwitches(Protocol):
    """Where the stop switch is kept."""

    async def read(self) -> Sequence[Stop]:
        """Return what is stopped now; nothing where nobody ever stopped anything."""


class Leadership(Protocol):
    """Whether this process may act."""

    def holds(self) -> bool:
        """Return whether effects are allowed at this instant; asked before every single one."""


class Leader(Leadership, Protocol):
    """Leadership of a process that decides, and writes down that it was it."""

    @property
    def identity(self) -> str:
        """Who this is; no other process ever had the same."""

    @property
    def transitions(self) -> int:
        """How often the Lease had changed hands when this process got it; 0 for one that runs without an election."""

    def led_after(self, moment: float) -> bool | None:
        """Return whether the Lease is known to have been this process's at some time after a moment, in monotonic seconds.

        None for a process that runs without an election: nothing can tell.
        """

    def lose(self, why: str) -> None:
        """Allow no effect from now on, and let the process end: another one has decided something later. Idempotent."""


class Connections(Protocol):
    """Clients for whatever credentials a pool names.

    Returned clients read the Secret when they are used, notice when it changed, and raise :class:`UpstreamError` with
    ``SecretMissing``, ``SecretForbidden`` or ``SecretMalformed`` like any other failure: a rotated Secret needs no restart.
    """

    def github(self, source: GitHubSource) -> GitHub:
        """Return the client of one source; the same object each time, so that token, quota and cache are shared."""

    def hub(self, account: HubAccount) -> Hub:
        """Return the client of one account; the same object each time."""

    def hardware(self, endpoint: str) -> Hardware:
        """Return the list of one endpoint's hardware."""

    async def secret(self, ref: SecretRef) -> Secret:
        """Read a Secret, at most some seconds old."""

    def hold(self, secrets: Collection[SecretRef]) -> None:
        """Go on using what these Secrets, and no others, held last if they can be read no more: only pools that leave name them."""

    def let_end(self, endings: Endings) -> None:
        """Let these credentials, and no others, end what was launched with them at hosts that are not allowed any more."""

    async def secret_changed(self, ref: SecretRef) -> bool:
        """Read a Secret now, and return whether it has changed since it was read last; all clients use what it holds now."""

    async def keep(self, sources: Collection[GitHubSource], accounts: Collection[HubAccount]) -> None:
        """Close and forget all other clients, which are opened anew when somebody needs them. Idempotent."""


# ---------------------------------------------------------------------------------------------------------------- metrics
class Meter(Protocol):
    """Where calls to GitHub and the Hub are counted. Never raises, never waits."""

    def answered(self, who: GitHubSource | HubAccount, status: int) -> None:
        """Count one answer with its HTTP status."""

    def failed(self, who: GitHubSource | HubAccount, reason: Reason) -> None:
        """Count one call that failed, whether or not it was sent."""


class Unmetered:
    """Counts nothing."""

    def answered(self, who: GitHubSource | HubAccount, status: int) -> None:
        """Ignore an answer."""

    def failed(self, who: GitHubSource | HubAccount, reason: Reason) -> None:
        """Ignore a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSight:
    """How well one source is seen.

    Attributes:
        source: Which.
        poll_age: Seconds since the oldest complete look at a repository at work, else since the newest at any.
        quota: As the last answer told it.
        token_end: Of its personal access token, likewise; None where it has no end, or none is known.
    """

    source: GitHubSource
    poll_age: float
    quota: Quota | None
    token_end: TokenEnd | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSight:
    """How well one account is seen; ``list_age`` is the seconds since its newest complete list was asked for."""

    account: HubAccount
    list_age: float


class Sights(Protocol):
    """How old what is known is, at this moment."""

    def sources(self) -> Iterable[SourceSight]:
        """Return every source that is polled."""

    def listed(self) -> Iterable[AccountSight]:
        """Return every account that is listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A release of actions/runner.

    Attributes:
        version: Without a ``v``.
        served_until: Epoch seconds until which GitHub gives jobs to it, at least; None where nothing is known of it.
    """

    version: str
    served_until: float | None
