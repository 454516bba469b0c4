"""A RunnerPool, parsed and validated."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from controller.core.model.failures import Failure
from controller.core.model.history import Interruption, PastSuspicion
from controller.core.model.places import (
    Footprint,
    GitHubSource,
    HubAccount,
    Place,
    RegistrationScope,
    Scope,
    SecretRef,
)
from controller.core.stop_switch import Stopped


@dataclass(frozen=True, slots=True, order=True)
class PoolKey:
    """A RunnerPool's namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"


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
    """A bucket or repository mounted into the runner (docs/facts.md#hf-job-request)."""

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
        uid: Kubernetes UID: the identity. A pool that is deleted and made again under the
            same name is another pool.
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
        retry_interrupted: The last attempt of a run whose failed jobs are run again after an
            interruption; 0 for never.
        paused: Launch nothing.
        stopped: Why the stop switch lets it launch nothing; None while it is off
            (:func:`controller.core.plan.plan` says so).
        deleting: ``metadata.deletionTimestamp`` is set.
        drain_request: Who asks for draining writes something new here again and again;
            empty when nobody does.
        draining: Somebody does ask (:func:`controller.core.plan.plan` says so).
        refused: Why the spec's hosts are given no credentials (:mod:`controller.core.hosts`): nothing is
            launched, and what was launched is ended. None where they are allowed.
        former: Older footprints that may still hold runners of this pool.
        last_launch_at: Epoch seconds of the newest launch, as the pool's status tells; None
            if it never launched.
        ends_by: For each place where something was launched, or was seen alive, epoch seconds by which all of
            it has met the Hub's timeout. A place that is not named never had anything of the pool.
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

        Where the spec's hosts are refused, what it names is no such place, unless something
        was launched there before.
        """
        if self.refused is not None and self.bound(self.footprint.place) is None:
            return self.former
        return (self.footprint, *self.former)

    def bound(self, place: Place) -> float | None:
        """Return epoch seconds by which all that was launched to a place has ended; None if
        nothing ever was.
        """
        return next((ends_by for known, ends_by in self.ends_by if known == place), None)

    def through(self, known: Footprint) -> Footprint:
        """Return a place as the pool's credentials see it now: its Secrets may have changed since
        something was launched there.
        """
        return next((own for own in self.footprints if own.place == known.place), known)

    @property
    def leaving(self) -> bool:
        """Whether the pool launches nothing and lets its runners end, as it is being deleted or drained."""
        return self.deleting or self.draining

    @property
    def stops_serving(self) -> bool:
        """Whether its free runners are ended and busy ones finish: it is :attr:`leaving`, or names a
        host that is not allowed.
        """
        return self.leaving or self.refused is not None

    @property
    def held(self) -> bool:
        """Whether a person wants nothing launched: by ``spec.paused``, by the stop switch,
        or by the lists of hosts.
        """
        return self.paused or self.stopped is not None or self.refused is not None
