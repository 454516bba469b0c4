"""The nouns of the controller: pools, workflow jobs, registrations, HF Jobs, runners, and one snapshot of them all.

All values are frozen. Times named ``*_at`` are seconds on the clock that the field's text names; durations are seconds.
Ages across two machines' clocks are never subtracted: an :class:`Observation` carries the time of the server that
answered, so that a job's age is the server's own arithmetic plus our monotonic clock since then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Generic, TypeVar

from controller.core.reasons import Reason
from controller.core.stop_switch import Stopped

T = TypeVar("T")

NOTHING: Mapping[str, str] = MappingProxyType({})


# ------------------------------------------------------------------------------------------------------------- failures
class Disposition(Enum):
    """What a failure means for the next try."""

    RETRY = "it may pass: try again after a back-off"
    WAIT = "we were told to wait"
    PERSON = "a person must act; slow retries notice when they have"
    GONE = "the thing does not exist"
    CAPACITY = "no hardware of this kind now: try another kind"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a call failed, in words for the person who can act.

    Attributes:
        reason: Stable word.
        message: A sentence with the next step; never a secret.
        disposition: What it means for the next try.
        request_id: The upstream's request id, when it sent one.
        retry_after: Seconds that the upstream asked us to wait.
        in_doubt: The request may have taken effect although it failed (lost answer, 5xx, timeout after sending).
    """

    reason: Reason
    message: str
    disposition: Disposition = Disposition.RETRY
    request_id: str | None = None
    retry_after: float | None = None
    in_doubt: bool = False

    # ----------------------------------------------------------------------------------------------------------------- pools

    @property
    def lasting(self) -> bool:
        """It ends only when a person does something."""
        return self.disposition in (Disposition.PERSON, Disposition.GONE)


@dataclass(frozen=True, slots=True, order=True)
class PoolKey:
    """A RunnerPool's namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class SecretRef:
    """A Secret by namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"


class ScopeKind(StrEnum):
    """Where runners are registered."""

    REPOSITORY = "repository"
    ORGANIZATION = "organization"
    ENTERPRISE = "enterprise"


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Scope:
    """Where runners are registered: one repository, organization or enterprise.

    Attributes:
        kind: Which of the three.
        owner: Organization, user or enterprise slug, lower case.
        repository: Repository name without its owner, lower case; empty unless ``kind`` is a repository.
    """

    kind: ScopeKind
    owner: str
    repository: str = ""

    @property
    def path(self) -> str:
        """The REST prefix, such as ``repos/acme/lib`` (github.md §3.1)."""
        match self.kind:
            case ScopeKind.REPOSITORY:
                return f"repos/{self.owner}/{self.repository}"
            case ScopeKind.ORGANIZATION:
                return f"orgs/{self.owner}"
            case ScopeKind.ENTERPRISE:
                return f"enterprises/{self.owner}"

    def __str__(self) -> str:
        """The REST prefix."""
        return self.path


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class GitHubSource:
    """One set of credentials on one GitHub host for one owner: in App terms, one installation.

    Everything that is shared between pools on GitHub's side (token, quota, polling) is shared per source.

    Attributes:
        api_url: REST base without a trailing slash (``https://api.github.com``, ``https://ghe.example/api/v3``).
        secret: The Secret with the credentials.
        owner: Owner or enterprise slug, lower case.
        enterprise: ``owner`` is an enterprise.
    """

    api_url: str
    secret: SecretRef
    owner: str
    enterprise: bool = False
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Hash once: every pass looks up lists by this for each pool, and hashing nested values is the dear part."""
        object.__setattr__(self, "_hash", hash((self.api_url, self.secret, self.owner, self.enterprise)))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True, slots=True, order=True)
class RegistrationScope:
    """Where one list of registrations comes from."""

    source: GitHubSource
    scope: Scope
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Hash once, see :class:`GitHubSource`."""
        object.__setattr__(self, "_hash", hash((self.source, self.scope)))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class HubAccount:
    """One namespace on the Hub as seen with one token.

    Attributes:
        endpoint: Base URL without a trailing slash (``https://huggingface.co``).
        namespace: User or organization that owns and pays for the HF Jobs.
        secret: The Secret with the token.
    """

    endpoint: str
    namespace: str
    secret: SecretRef
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Hash once, see :class:`GitHubSource`."""
        object.__setattr__(self, "_hash", hash((self.endpoint, self.namespace, self.secret)))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Place:
    """Where runners leave their two halves, whoever looks there: it names no credential.

    Attributes:
        api_url: GitHub's REST base.
        scope: Where runners are registered.
        endpoint: The Hub's base URL.
        namespace: Who owns and pays for the HF Jobs.
    """

    api_url: str
    scope: Scope
    endpoint: str
    namespace: str

    def __str__(self) -> str:
        """For people: both services."""
        return f"{self.scope} at {self.api_url} with namespace {self.namespace} at {self.endpoint}"


@dataclass(frozen=True, slots=True, order=True)
class Footprint:
    """A place as one pool's credentials see it: one list of registrations and one list of HF Jobs.

    A pool judges by the lists that its own credentials brought, and by no others: who else looks at the same place, with
    whatever rights, says nothing about it. A pool that is edited to another repository or namespace keeps its older
    footprints (in its status, so that they survive a restart) until both lists are seen without it.
    """

    registrations: RegistrationScope
    account: HubAccount
    place: Place = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make the place once: a pass compares it for each runner."""
        place = Place(
            api_url=self.registrations.source.api_url,
            scope=self.registrations.scope,
            endpoint=self.account.endpoint,
            namespace=self.account.namespace,
        )
        object.__setattr__(self, "place", place)


class GroupOnlyJobs(StrEnum):
    """What a pool does about jobs that name only a runner group."""

    IGNORE = "Ignore"
    SERVE = "Serve"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Seconds after which a runner that makes no progress is ended (``spec.deadlines``)."""

    scheduling: float = 600.0
    registration: float = 300.0
    idle: float = 120.0
    lifetime: float = 21_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretEnv:
    """One environment variable of the runner that comes from a Secret and travels as an HF secret."""

    name: str
    secret: SecretRef
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSight:
    """What is known of a Secret that ``secretEnv`` names; never a value.

    Attributes:
        labelled: It has the label without which no runner gets it (:mod:`controller.core.variables`).
        keys: Its keys.
        failure: Why it could not be read; the rest is empty then.
    """

    labelled: bool = False
    keys: frozenset[str] = frozenset()
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A bucket or repository mounted into the runner (hf-jobs.md §1.1)."""

    type: str
    source: str
    mount_path: str
    revision: str | None = None
    read_only: bool = True
    path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerTemplate:
    """What every HF Job of a pool is made from, flavor apart."""

    image: str | None = None
    env: tuple[tuple[str, str], ...] = ()
    secret_env: tuple[SecretEnv, ...] = ()
    volumes: tuple[Volume, ...] = ()
    ssh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A RunnerPool, parsed and validated.

    Attributes:
        key: Namespace and name, for people.
        uid: Kubernetes UID: the identity. A pool that is deleted and made again under the same name is another pool.
        generation: ``metadata.generation`` that these values come from.
        created_at: ``metadata.creationTimestamp`` as epoch seconds; the older pool wins a tie.
        url: ``spec.github.url`` as written.
        source: Credentials and host.
        scope: Where runners are registered.
        runner_group: Group name, or None for the default group.
        include: Lower-case globs over ``owner/repo``; empty for a repository scope.
        exclude: Lower-case globs over ``owner/repo``.
        labels: Lower-case, sorted, unique; exactly what runners are registered with.
        group_only: What to do about jobs that name only a group.
        hub: Who pays.
        flavors: In order of preference.
        template: What HF Jobs are made from.
        max_runners: Upper bound of live HF Jobs.
        min_idle: Runners kept idle beside those that serve demand.
        deadlines: Seconds.
        retry_interrupted: The last attempt of a run whose failed jobs are run again after an interruption; 0 for never.
        paused: Launch nothing.
        stopped: Why the stop switch lets it launch nothing; None while it is off (:func:`controller.core.plan.plan` says so).
        deleting: ``metadata.deletionTimestamp`` is set.
        drain_request: Who asks for draining writes something new here again and again; empty when nobody does.
        draining: Somebody does ask (:func:`controller.core.plan.plan` says so).
        refused: Why the spec's hosts are given no credentials (:mod:`controller.core.hosts`): nothing is launched, and what was launched
            is ended. None where they are allowed.
        former: Older footprints that may still hold runners of this pool.
        last_launch_at: Epoch seconds of the newest launch, as the pool's status tells; None if it never launched.
        ends_by: For each place where something was launched, or was seen alive, epoch seconds by which all of it has met the Hub's
            timeout. A place that is not named never had anything of the pool.
        interruptions: Workflow jobs that were lost lately, as the pool's status tells.
        suspicions: Jobs that nobody was given, as the pool's status tells.
        footprint: Where runners that this spec launches leave their two halves.
    """

    key: PoolKey
    uid: str
    generation: int
    created_at: float
    url: str
    source: GitHubSource
    scope: Scope
    runner_group: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    labels: tuple[str, ...]
    group_only: GroupOnlyJobs = GroupOnlyJobs.IGNORE
    hub: HubAccount
    flavors: tuple[str, ...]
    template: RunnerTemplate = field(default_factory=RunnerTemplate)
    max_runners: int = 10
    min_idle: int = 0
    deadlines: Deadlines = field(default_factory=Deadlines)
    retry_interrupted: int = 0
    paused: bool = False
    stopped: Stopped | None = field(default=None, compare=False)
    deleting: bool = False
    drain_request: str = ""
    draining: bool = False
    refused: Failure | None = None
    former: tuple[Footprint, ...] = ()
    last_launch_at: float | None = None
    ends_by: tuple[tuple[Place, float], ...] = ()
    interruptions: tuple[Interruption, ...] = field(default=(), compare=False)
    suspicions: tuple[PastSuspicion, ...] = field(default=(), compare=False)
    footprint: Footprint = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make the footprint once: a pass asks for it at every turn."""
        object.__setattr__(self, "footprint", Footprint(RegistrationScope(self.source, self.scope), self.hub))

    @property
    def footprints(self) -> tuple[Footprint, ...]:
        """Everywhere the pool may have runners: where it launches now, then its former places.

        Where the spec's hosts are refused, what it names is no such place, unless something was launched there before.
        """
        if self.refused is not None and self.bound(self.footprint.place) is None:
            return self.former
        return (self.footprint, *self.former)

    def bound(self, place: Place) -> float | None:
        """Return epoch seconds by which all that was launched to a place has ended; None if nothing ever was."""
        return next((ends_by for known, ends_by in self.ends_by if known == place), None)

    def through(self, known: Footprint) -> Footprint:
        """Return a place as the pool's credentials see it now: its Secrets may have changed since something was launched there."""
        return next((own for own in self.footprints if own.place == known.place), known)

    @property
    def leaving(self) -> bool:
        """Whether the pool launches nothing and lets its runners end, as it is being deleted or drained."""
        return self.deleting or self.draining

    @property
    def stops_serving(self) -> bool:
        """Whether its free runners are ended and busy ones finish: it is :attr:`leaving`, or names a host that is not allowed."""
        return self.leaving or self.refused is not None

    @property
    def held(self) -> bool:
        """Whether a person wants nothing launched: by ``spec.paused``, by the stop switch, or by the lists of hosts."""
        return self.paused or self.stopped is not None or self.refused is not None


# ---------------------------------------------------------------------------------------------------------------- GitHub
class JobStatus(StrEnum):
    """A workflow job's status (github.md §2.1)."""

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
        created_at: Epoch seconds on GitHub's clock. A job may wait for a reviewer, a timer or its concurrency group for weeks before it
            is queued, and GitHub does not tell when that was: ``started_at`` of a queued job is its ``created_at``.
        queued_at: Epoch seconds on GitHub's clock since when it counts as queued: when it was seen to become so; of a job that was
            queued when it was first seen, its ``created_at``, or that first sight where GitHub would have ended it since. None where
            it was never seen queued.
        seen_queued_at: Epoch seconds on GitHub's clock of the first look that showed it queued: it has been so at least since then.
        started_at: Epoch seconds on GitHub's clock; meaningful once a runner took the job.
        runner_name: Who runs it, or None.
        runner_id: GitHub's id of the runner that has it, None where it does not tell.
        repository_id: GitHub's id of the repository, which stays when the repository is renamed; None where it does not tell.
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
        """Epoch seconds on GitHub's clock from which its wait counts; its creation where nothing better was seen."""
        return self.created_at if self.queued_at is None else self.queued_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A self-hosted runner as GitHub lists it.

    Attributes:
        id: GitHub's runner id.
        name: Unique within its scope while it exists.
        online: ``status`` was ``online``. A hint: live runners have been seen offline (github.md §3.4).
        busy: GitHub's ``busy``. A hint, never a proof.
        labels: Lower-case, sorted.
        version: Of actions/runner, as its Listener told GitHub; empty before it was online, or where GitHub does not tell.
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
        status: GitHub's word at the newest read that succeeded; ``completed`` also where GitHub knows the job no more.
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


class SuspicionLevel(StrEnum):
    """What a suspicion falls on (:mod:`controller.core.suspicion`)."""

    JOB = "Job"
    REPOSITORY = "Repository"
    POOL = "Pool"


@dataclass(frozen=True, slots=True, kw_only=True)
class PastSuspicion:
    """A suspicion as the pool's status tells it.

    Attributes:
        level: What it falls on.
        repository: Lower-case ``owner/repo``; empty for the pool.
        job_id: Of the job; 0 for a repository or the pool.
        since: Epoch seconds on the controller's clock.
        starts: Epoch seconds of the newest starts under it.
        rises_to: How wide a suspicion it may count for.
    """

    level: SuspicionLevel
    repository: str = ""
    job_id: int = 0
    since: float
    starts: tuple[float, ...] = ()
    rises_to: SuspicionLevel = SuspicionLevel.POOL


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerGroup:
    """A runner group of an organization or enterprise, and who may use its runners.

    Attributes:
        id: GitHub's.
        name: As written.
        default: Runners join it when no group is named.
        visibility: GitHub's word: ``all``, ``selected`` (only those that were selected may) or ``private``; empty where GitHub does
            not tell.
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
        """A public repository may use it: allowed, and not shut out by a visibility of private repositories alone."""
        return self.allows_public_repositories and self.visibility != "private"


class RerunState(StrEnum):
    """How far a run's re-run has come."""

    OFF = "Off"
    PENDING = "Pending"
    DONE = "Done"
    NOT_NEEDED = "NotNeeded"
    REFUSED = "Refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruption:
    """A workflow job that was lost because its HF Job ended under it; the first one stands for all of its run's attempt.

    Attributes:
        repository: ``owner/repo``, lower case.
        run_id: The run.
        attempt: The run's attempt in which it was lost.
        job_id: The workflow job.
        job_name: As shown by GitHub.
        job_url: Its page.
        at: Epoch seconds on the controller's clock.
        rerun: What becomes of the run.
        note: What GitHub did not tell about the run, and what was made of that; mostly empty.
        by_hub: The Hub ended the HF Job of its own accord, by its reason.
    """

    repository: str
    run_id: int
    attempt: int
    job_id: int
    job_name: str = ""
    job_url: str = ""
    at: float
    rerun: RerunState = RerunState.OFF
    note: str = ""
    by_hub: bool = False


# ------------------------------------------------------------------------------------------------------------------- Hub
class Stage(StrEnum):
    """An HF Job's stage (hf-jobs.md §1.2)."""

    SCHEDULING = "SCHEDULING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"
    ERROR = "ERROR"
    DELETED = "DELETED"
    UNKNOWN = "UNKNOWN"

    @property
    def ended(self) -> bool:
        """The stage is terminal. A stage that we do not know counts as live: nothing is concluded from it."""
        return self in _ENDED


_ENDED = frozenset({Stage.COMPLETED, Stage.CANCELED, Stage.ERROR, Stage.DELETED})


@dataclass(frozen=True, slots=True, kw_only=True)
class HFJob:
    """A job on Hugging Face Jobs.

    Attributes:
        id: The Hub's id.
        stage: Where it is.
        flavor: Hardware name.
        labels: As set at launch.
        created_at: Epoch seconds on the Hub's clock.
        started_at: Epoch seconds on the Hub's clock, absent until it runs.
        finished_at: Epoch seconds on the Hub's clock; may stay absent for cancelled jobs.
        timeout: Seconds after which the Hub ends it.
        message: The Hub's own words about the stage.
        cancel_reason: Why the platform cancelled it, for instance ``NO_CREDITS``.
        creator: Name of the user whose token launched it; empty when the answer does not tell.
        foreign: Its creator is another user than the one whose token listed it; None while the Hub has not said whose token that
            is.
        initiator: What made it, in the Hub's word and lower case (``duplicated-job`` for a copy); empty when it does not tell.
        url: The job's page.
    """

    id: str
    stage: Stage
    flavor: str
    labels: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    timeout: float | None = None
    message: str | None = None
    cancel_reason: str | None = None
    creator: str = ""
    foreign: bool | None = False
    initiator: str = ""
    url: str = ""

    @property
    def ended(self) -> bool:
        """It has ended: by its stage, or by its time of end where the stage is a word that this release does not know."""
        return self.stage.ended or (self.stage is Stage.UNKNOWN and self.finished_at is not None)

    @property
    def billed_seconds(self) -> float | None:
        """Seconds between start and end on the Hub's clock, or None while either is unknown."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max(0.0, self.finished_at - self.started_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavor:
    """Hardware on offer (``GET /api/jobs/hardware``).

    Attributes:
        name: What a launch asks for.
        pretty_name: For people.
        usd_per_minute: Price of one minute in US dollars; None where the Hub offers the flavor and its price cannot be read.
        accelerator: Model of the accelerator, empty for CPU flavors.
    """

    name: str
    pretty_name: str = ""
    usd_per_minute: float | None = None
    accelerator: str = ""


# ------------------------------------------------------------------------------------------------------------ snapshots
@dataclass(frozen=True, slots=True, kw_only=True)
class Observation(Generic[T]):
    """One list as it was answered.

    Attributes:
        items: What it held.
        asked_at: Monotonic seconds when the first request of the list was sent: the list shows every effect that was
            acknowledged before, and may miss every later one.
        server_time: Epoch seconds on the answering server's clock (its ``Date`` header), for ages.
        failure: Why the newest try failed. ``items`` are then those of the last good one and prove nothing.
        answered: Some try has succeeded; False while all have failed, so that there are no times to rely on either.
        oldest_part_at: Monotonic seconds when the oldest request was sent that some of the items may come from, where parts are
            read at a pace of their own; minus infinity where one was never read. None where all came with this try.
    """

    items: tuple[T, ...] = ()
    asked_at: float
    server_time: float
    failure: Failure | None = None
    answered: bool = True
    oldest_part_at: float | None = None

    @property
    def complete(self) -> bool:
        """The newest try succeeded to its last page. Only then does absence mean something."""
        return self.failure is None

    @property
    def usable(self) -> bool:
        """Good enough to launch by: once seen, and complete or incomplete for a reason that passes by itself."""
        passing = self.failure is None or self.failure.disposition in (Disposition.RETRY, Disposition.WAIT)
        return self.answered and passing


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEnd:
    """When a personal access token ends, as GitHub told it with an answer.

    Attributes:
        at: Epoch seconds on GitHub's clock.
        asked_at: Monotonic seconds when the answer was asked for.
        server_time: Epoch seconds on GitHub's clock at that moment.
    """

    at: float
    asked_at: float
    server_time: float

    def left(self, now: float) -> float:
        """Return how many seconds are left, negative after the end; ``now`` in monotonic seconds.

        By GitHub's clock: ours may be wrong by more than a token lives.
        """
        return self.at - self.server_time - (now - self.asked_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything that one planning pass may know, taken once.

    A key that is missing was never observed; nothing is concluded from that either.

    Attributes:
        queues: Unfinished workflow jobs (queued, in_progress and pending) by source and lower-case ``owner/repo``.
        registrations: By scope.
        hf_jobs: Live HF Jobs that carry our managed-by label, by account.
        ended: HF Jobs that left the live list since the last pass, each inspected once, by account.
        completed: Workflow jobs of runners like ours that were seen completed since the last pass, by source. They are no
            demand, and may be the only sight of a short one.
        repositories: Lower-case ``owner/repo`` names that a source can see; only for sources whose pools use globs.
        flavors: Hardware on offer by Hub endpoint.
        groups: Runner groups by scope; only of organizations and enterprises.
        looks: Workflow jobs that were read by their ids, by source and id.
        admissions: Looked up lately, by scope, runner group (empty for the default one) and lower-case ``owner/repo``.
        versions_ended: Whether GitHub serves a version of actions/runner no more, looked up lately, by scope and version.
        variables: Secrets that ``secretEnv`` names.
        token_ends: When the personal access token of a source ends, where GitHub tells.
        pools_known: Every RunnerPool of the cluster is among the pools: only then is a runner without a pool a stray.
    """

    queues: Mapping[tuple[GitHubSource, str], Observation[WorkflowJob]] = field(default_factory=dict)
    registrations: Mapping[RegistrationScope, Observation[Registration]] = field(default_factory=dict)
    hf_jobs: Mapping[HubAccount, Observation[HFJob]] = field(default_factory=dict)
    ended: Mapping[HubAccount, tuple[HFJob, ...]] = field(default_factory=dict)
    completed: Mapping[GitHubSource, tuple[WorkflowJob, ...]] = field(default_factory=dict)
    flavors: Mapping[str, Observation[Flavor]] = field(default_factory=dict)
    repositories: Mapping[GitHubSource, Observation[str]] = field(default_factory=dict)
    groups: Mapping[RegistrationScope, Observation[RunnerGroup]] = field(default_factory=dict)
    looks: Mapping[tuple[GitHubSource, int], JobLook] = field(default_factory=dict)
    admissions: Mapping[tuple[RegistrationScope, str, str], Admission] = field(default_factory=dict)
    versions_ended: Mapping[tuple[RegistrationScope, str], bool] = field(default_factory=dict)
    variables: Mapping[SecretRef, SecretSight] = field(default_factory=dict)
    token_ends: Mapping[GitHubSource, TokenEnd] = field(default_factory=dict)
    pools_known: bool = False
