"""The rows of the simulated GitHub: immutable values, replaced whole whenever something happens to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ScopeKind = Literal["repo", "org", "enterprise"]
Level = Literal["read", "write"]
ForkApproval = Literal[
    "first_time_contributors_new_to_github", "first_time_contributors", "all_external_contributors"
]
JobStatus = Literal["queued", "in_progress", "completed", "waiting", "pending", "requested"]

HOSTED_LABELS = frozenset(
    {
        "ubuntu-latest", "ubuntu-26.04", "ubuntu-24.04", "ubuntu-22.04", "ubuntu-slim",
        "ubuntu-26.04-arm", "ubuntu-24.04-arm", "ubuntu-22.04-arm",
        "windows-latest", "windows-2025", "windows-2025-vs2026", "windows-2022", "windows-11-arm",
        "macos-latest", "macos-26", "macos-15", "macos-14", "macos-26-intel", "macos-15-intel",
        "macos-latest-large", "macos-26-large", "macos-15-large", "macos-14-large",
        "macos-latest-xlarge", "macos-26-xlarge", "macos-15-xlarge", "macos-14-xlarge",
    }
)  # fmt: skip
"""Labels of GitHub's own machines, standard and larger: a job that asks for these alone is never given to
a self-hosted runner here.

https://docs.github.com/en/actions/reference/runners/github-hosted-runners
https://docs.github.com/en/actions/reference/runners/larger-runners
"""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a runner is registered: ``acme/api``, ``acme`` or an enterprise's slug, in lower case."""

    kind: ScopeKind
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """An organization or a user.

    Attributes:
        enterprise: Slug of the enterprise that owns an organization.
        members: Ids of the users whose own tokens reach what is private in an organization;
            None for those of every user.
    """

    id: int
    login: str
    kind: Literal["Organization", "User"]
    enterprise: str | None = None
    members: frozenset[int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Enterprise:
    """An enterprise account."""

    id: int
    slug: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """What everybody is answered who asks for a repository: a permission lost, an IP allow
    list, a legal block.
    """

    status: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository; ``pushed_at`` and ``created_at`` in epoch seconds. ``fork_approval``: whose pull
    requests wait for approval.
    """

    id: int
    owner: str
    name: str
    created_at: float
    pushed_at: float
    private: bool = True
    archived: bool = False
    disabled: bool = False
    actions_enabled: bool = True
    runners_enabled: bool = True
    fork_approval: ForkApproval = "first_time_contributors"
    blocked: Blocked | None = None

    @property
    def full_name(self) -> str:
        """``owner/name``."""
        return f"{self.owner}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerGroup:
    """A runner group of an organization or enterprise, or the single one of a repository.

    Attributes:
        visibility: ``all``, ``private`` (no public repositories) or ``selected``.
        selected: Full names of repositories (organization) or logins of organizations
            (enterprise), lower case.
        workflows: ``owner/repo/path@ref`` that alone may use the group; empty means any.
        hosted: The group holds GitHub-hosted machines and takes no registrations.
    """

    id: int
    scope: Scope
    name: str
    default: bool = False
    visibility: Literal["all", "private", "selected"] = "all"
    selected: frozenset[str] = frozenset()
    allows_public_repositories: bool = False
    workflows: tuple[str, ...] = ()
    hosted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A GitHub App; ``public_key`` is PEM."""

    id: int
    client_id: str
    slug: str
    owner: str
    public_key: str = field(repr=False)
    permissions: Mapping[str, Level]
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """An App on an account; ``repositories`` is None when it sees all of them, else lower-case full names."""

    id: int
    app_id: int
    account: str
    target: Literal["Organization", "User", "Enterprise"]
    permissions: Mapping[str, Level]
    repositories: frozenset[str] | None = None
    suspended_at: float | None = None
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sent a request.

    Attributes:
        kind: ``app`` (JWT), ``installation``, ``user`` (personal access token) or ``anonymous``.
        id: App id, installation id or user id; rate limits are counted per kind and id.
        account: Login or slug that the caller belongs to; None for a user token that reaches all accounts.
        permissions: What it may do, by the API's permission names.
        repositories: Lower-case full names, or None for all of the account.
        scopes: Of a classic personal access token, whose refusals GitHub words differently;
            None for all others.
        ends_at: Epoch seconds of a personal access token's end; None for one without.
    """

    kind: Literal["app", "installation", "user", "anonymous"]
    id: int = 0
    account: str | None = None
    permissions: Mapping[str, Level] = field(default_factory=dict)
    repositories: frozenset[str] | None = None
    scopes: tuple[str, ...] | None = None
    ends_at: float | None = None


ANONYMOUS = Caller(kind="anonymous")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """What a workflow file says of one job, and how the job will turn out.

    Attributes:
        name: Unique within its run.
        labels: ``runs-on`` labels; empty for a job that names only a group.
        group: ``runs-on.group``; not visible in any answer.
        seconds: How long a runner works on it.
        result: How the runner concludes it.
        command: Shell command that a stand-in listener runs as a step, before it works ``seconds``.
        needs: Names of the run's jobs that must end first; until then the job is not listed.
        status: ``queued``, or ``waiting`` (environment approval) or ``pending`` (concurrency) until released.
        timeout: ``timeout-minutes`` in seconds, or None for the knob's.
        never_runs: A ghost: reads ``queued`` but is not given to any runner.
    """

    name: str
    labels: tuple[str, ...] = ()
    group: str | None = None
    seconds: float = 60.0
    result: Literal["success", "failure"] = "success"
    command: str | None = None
    needs: tuple[str, ...] = ()
    status: Literal["queued", "waiting", "pending"] = "queued"
    timeout: float | None = None
    never_runs: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRun:
    """A workflow run; times in epoch seconds.

    Attributes:
        zombie: Listed with its status for ever, without jobs, and beyond cancelling.
        frozen: Status and conclusion that the record shows whatever its jobs do.
    """

    id: int
    repository_id: int
    number: int
    workflow: str
    event: str = "push"
    head_branch: str = "main"
    attempt: int = 1
    status: JobStatus = "queued"
    conclusion: str | None = None
    created_at: float
    updated_at: float
    started_at: float
    concurrency: str | None = None
    zombie: bool = False
    frozen: tuple[str, str | None] | None = None

    @property
    def path(self) -> str:
        """The workflow file."""
        return f".github/workflows/{self.workflow.lower().replace(' ', '-')}.yml"

    @property
    def shown(self) -> tuple[str, str | None]:
        """Status and conclusion as answers show them."""
        return self.frozen or (self.status, self.conclusion)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowJob:
    """A workflow job; times in epoch seconds.

    Attributes:
        offered_to: Runner that was told of the job and has not picked it up.
        lease_at: When its runner last said that it is alive; infinite while a listener is taken at its word.
        reported: The runner reported the end, so its steps are closed.
        cancel_at: When somebody asked to cancel it.
        log: What its steps printed, as far as the listener sent it.
    """

    id: int
    run_id: int
    repository_id: int
    attempt: int
    spec: JobSpec
    status: JobStatus
    conclusion: str | None = None
    created_at: float
    queued_at: float
    started_at: float | None = None
    completed_at: float | None = None
    runner_id: int | None = None
    runner_name: str | None = None
    runner_group_id: int | None = None
    runner_group_name: str | None = None
    offered_to: int | None = None
    lease_at: float = 0.0
    reported: bool = False
    cancel_at: float | None = None
    log: str = field(default="", repr=False)

    @property
    def hosted(self) -> bool:
        """The job runs on GitHub's own machines: a runner must have all its labels, and
        these machines have no others.
        """
        labels = {label.lower() for label in self.spec.labels}
        return bool(labels) and labels <= HOSTED_LABELS


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """A registration made from a JIT configuration.

    Attributes:
        labels: In lower case.
        secret: Proof of the JIT configuration.
        session: Open session of its listener.
        leased: Its listener renews leases and polls; else it counts as alive until somebody says otherwise.
        connected_at: Start of its first session.
        job_id: The job that it holds or was offered.
        finished_at: When its job ended: the record lingers from then on.
        gone: Its record was removed when its job started: no request shows it, its listener works on.
    """

    id: int
    scope: Scope
    group_id: int
    name: str
    labels: tuple[str, ...]
    created_at: float
    secret: str = field(repr=False)
    work_folder: str = "_work"
    os: str = "unknown"
    version: str | None = None
    session: str | None = field(default=None, repr=False)
    leased: bool = True
    connected_at: float | None = None
    job_id: int | None = None
    running: bool = False
    finished_at: float | None = None
    gone: bool = False
