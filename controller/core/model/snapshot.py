"""Lists as they were answered, and the snapshot of all of them that one planning pass reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from controller.core.model.failures import Disposition, Failure
from controller.core.model.github import Admission, JobLook, Registration, RunnerGroup, WorkflowJob
from controller.core.model.hub import Flavor, HFJob
from controller.core.model.places import GitHubSource, HubAccount, RegistrationScope, SecretRef
from controller.core.model.pool import SecretSight

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation(Generic[T]):
    """One list as it was answered.

    Attributes:
        items: What it held.
        asked_at: Monotonic seconds when the first request of the list was sent: the list shows every effect
            that was acknowledged before, and may miss every later one.
        server_time: Epoch seconds on the answering server's clock (its ``Date`` header), for ages.
        failure: Why the newest try failed. ``items`` are then those of the last good one and prove nothing.
        answered: Some try has succeeded; False while all have failed, so that there are no
            times to rely on either.
        oldest_part_at: Monotonic seconds when the oldest request was sent that some of the items may come
            from, where parts are read at a pace of their own; minus infinity where one was never read. None
            where all came with this try.
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
        """Good enough to launch by: once seen, and complete or incomplete for a reason that
        passes by itself.
        """
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
        queues: Unfinished workflow jobs (queued, in_progress and pending) by source and
            lower-case ``owner/repo``.
        registrations: By scope.
        hf_jobs: Live HF Jobs that carry our managed-by label, by account.
        ended: HF Jobs that left the live list since the last pass, each inspected once, by account.
        completed: Workflow jobs of runners like ours that were seen completed since the last pass, by source.
            They are no demand, and may be the only sight of a short one.
        repositories: Lower-case ``owner/repo`` names that a source can see; only for
            sources whose pools use globs.
        flavors: Hardware on offer by Hub endpoint.
        groups: Runner groups by scope; only of organizations and enterprises.
        looks: Workflow jobs that were read by their ids, by source and id.
        admissions: Looked up lately, by scope, runner group (empty for the default one) and
            lower-case ``owner/repo``.
        versions_ended: Whether GitHub serves a version of actions/runner no more, looked up
            lately, by scope and version.
        variables: Secrets that ``secretEnv`` names.
        token_ends: When the personal access token of a source ends, where GitHub tells.
        pools_known: Every RunnerPool of the cluster is among the pools: only then is a
            runner without a pool a stray.
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
