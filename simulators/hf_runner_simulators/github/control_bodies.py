"""What people send to ``/_sim/`` routes of the simulated GitHub; times are epoch seconds, durations seconds."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from hf_runner_simulators.github.model import ForkApproval, JobSpec, Level


class Body(BaseModel):
    """What people send; an unknown field is a mistake."""

    model_config = ConfigDict(extra="forbid", strict=True)


class RepositoryBody(Body):
    """A repository to add."""

    full_name: str
    private: bool = True
    archived: bool = False


class RepositoryChangeBody(Body):
    """What changes of a repository."""

    private: bool | None = None
    archived: bool | None = None
    disabled: bool | None = None
    actions_enabled: bool | None = None
    runners_enabled: bool | None = None
    fork_approval: ForkApproval | None = None
    blocked_status: int | None = None
    blocked_message: str = "Forbidden"
    unblock: bool = False
    name: str | None = None
    owner: str | None = None
    remove: bool = False


class OwnerChangeBody(Body):
    """An owner's new name."""

    login: str


class OrganizationBody(Body):
    """An organization to add."""

    login: str
    enterprise: str | None = None
    members: list[str] | None = None


class GroupBody(Body):
    """A runner group to add."""

    organization: str | None = None
    enterprise: str | None = None
    name: str
    visibility: Literal["all", "private", "selected"] = "all"
    selected: list[str] = Field(default_factory=list)
    allows_public_repositories: bool = False
    workflows: list[str] = Field(default_factory=list)
    hosted: bool = False


class InstallationBody(Body):
    """An installation of an App to add."""

    account: str
    repositories: list[str] | None = None
    permissions: dict[str, Level] | None = None


class InstallationChangeBody(Body):
    """What changes of an installation."""

    repositories: list[str] | None = None
    permissions: dict[str, Level] | None = None
    suspended: bool | None = None
    remove: bool = False


class AppBody(Body):
    """A GitHub App to add."""

    slug: str = "hf-runner-controller"
    private_key: str | None = Field(default=None, repr=False)
    permissions: dict[str, Level] | None = None
    installations: list[InstallationBody] = Field(default_factory=list)


class TokenBody(Body):
    """A token of a user."""

    token: str = Field(repr=False)
    login: str
    permissions: dict[str, Level] | None = None
    scopes: list[str] = Field(default_factory=list)
    account: str | None = None
    repositories: list[str] | None = None
    ends_at: float | None = None


class SetupBody(Body):
    """Everything that a scene begins with."""

    enterprises: list[str] = Field(default_factory=list)
    organizations: list[OrganizationBody] = Field(default_factory=list)
    users: list[str] = Field(default_factory=list)
    repositories: list[RepositoryBody] = Field(default_factory=list)
    groups: list[GroupBody] = Field(default_factory=list)
    apps: list[AppBody] = Field(default_factory=list)
    tokens: list[TokenBody] = Field(default_factory=list)


class SpecBody(Body):
    """What a workflow job asks for, and does."""

    name: str = "work"
    labels: list[str] = Field(default_factory=list)
    group: str | None = None
    seconds: float = Field(default=60.0, ge=0)
    result: Literal["success", "failure"] = "success"
    command: str | None = None
    needs: list[str] = Field(default_factory=list)
    status: Literal["queued", "waiting", "pending"] = "queued"
    timeout: float | None = Field(default=None, gt=0)
    never_runs: bool = False

    def spec(self, name: str) -> JobSpec:
        """Return it under a name."""
        values = self.model_dump()
        return JobSpec(**{**values, "name": name, "labels": tuple(self.labels), "needs": tuple(self.needs)})


class QueueBody(SpecBody):
    """Workflow jobs to queue: ``count`` equal ones, or one run of several."""

    repository: str
    count: int = Field(default=1, ge=1, le=256)
    same_run: bool = False
    workflow: str = "CI"
    event: str = "push"
    head_branch: str = "main"
    concurrency: str | None = None
    jobs: list[SpecBody] | None = None

    def runs(self) -> list[list[JobSpec]]:
        """The jobs of each run."""
        if self.jobs is not None:
            return [[job.spec(job.name) for job in self.jobs]]
        base = SpecBody(**self.model_dump(include=set(SpecBody.model_fields)))
        if self.same_run and self.count > 1:
            return [[base.spec(f"{self.name} ({n})") for n in range(self.count)]]
        return [[base.spec(self.name)] for _ in range(self.count)]


class ZombieBody(Body):
    """A run without jobs that never ends."""

    repository: str
    status: Literal["queued", "pending", "waiting", "requested", "in_progress"] = "queued"


class FreezeBody(Body):
    """What a run's row reads from now on."""

    status: str
    conclusion: str | None = None


class ConnectBody(Body):
    """A stand-in runner that comes online."""

    jit_config: str = Field(repr=False)
    version: str | None = None


class FinishBody(Body):
    """How a job ended on a stand-in runner."""

    result: Literal["success", "failure", "cancelled"]
    log: str = ""
