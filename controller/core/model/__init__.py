"""The nouns of the controller: pools, workflow jobs, registrations, HF Jobs, and one snapshot of them all.

All values are frozen. Times named ``*_at`` are seconds on the clock that the field's text names;
durations are seconds. Ages across two machines' clocks are never subtracted: an :class:`Observation`
carries the time of the server that answered, so that a job's age is the server's own arithmetic plus
our monotonic clock since then.

Import these names from this package: which of its modules holds one may change.
"""

from controller.core.model.failures import Disposition, Failure
from controller.core.model.github import Admission, JobLook, JobStatus, Registration, RunnerGroup, WorkflowJob
from controller.core.model.history import Interruption, PastSuspicion, RerunState, SuspicionLevel
from controller.core.model.hub import Flavor, HFJob, Stage
from controller.core.model.places import (
    Footprint,
    GitHubSource,
    HubAccount,
    Place,
    RegistrationScope,
    Scope,
    ScopeKind,
    SecretRef,
)
from controller.core.model.pool import (
    Deadlines,
    GroupOnlyJobs,
    Pool,
    PoolKey,
    RunnerTemplate,
    SecretEnv,
    SecretSight,
    Volume,
)
from controller.core.model.snapshot import Observation, Snapshot, TokenEnd

__all__ = [
    "Admission",
    "Deadlines",
    "Disposition",
    "Failure",
    "Flavor",
    "Footprint",
    "GitHubSource",
    "GroupOnlyJobs",
    "HFJob",
    "HubAccount",
    "Interruption",
    "JobLook",
    "JobStatus",
    "Observation",
    "PastSuspicion",
    "Place",
    "Pool",
    "PoolKey",
    "Registration",
    "RegistrationScope",
    "RerunState",
    "RunnerGroup",
    "RunnerTemplate",
    "Scope",
    "ScopeKind",
    "SecretEnv",
    "SecretRef",
    "SecretSight",
    "Snapshot",
    "Stage",
    "SuspicionLevel",
    "TokenEnd",
    "Volume",
    "WorkflowJob",
]
