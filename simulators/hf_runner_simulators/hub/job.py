"""One job of the simulated Hub: what happened to it and when, and how the API shows it at a given moment."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum, auto
from typing import Any, Literal

from hf_runner_simulators.http import JSON
from hf_runner_simulators.hub.billing import CostMeter
from hf_runner_simulators.hub.flavors import FLAVORS, PORT_MICRO_USD_PER_MINUTE
from hf_runner_simulators.hub.knobs import Knobs
from hf_runner_simulators.hub.odd import oddly
from hf_runner_simulators.hub.spec import Expose, JobSpec


class Stage(StrEnum):
    """What the API calls a job's state. There is none for queueing, nor for the image's
    download: both are SCHEDULING.
    """

    SCHEDULING = "SCHEDULING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"
    ERROR = "ERROR"
    DELETED = "DELETED"


LIVE = frozenset({Stage.SCHEDULING, Stage.RUNNING})


class Phase(StrEnum):
    """A job's true state, which the API shows only in part."""

    WAITING = auto()
    """No machine is free."""
    PLACED = auto()
    """A machine is being prepared; not billed."""
    BOOTING = auto()
    """The image is downloaded; billed."""
    RUNNING = auto()
    """The command runs."""
    ENDED = auto()
    """Nothing is left but the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A user or an organization, as answers name it."""

    id: str
    name: str
    type: Literal["user", "org"]

    def to_json(self) -> dict[str, str]:
        """Return the short form."""
        return {"id": self.id, "name": self.name, "type": self.type}


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """From ``at`` on the API shows this stage; seconds since the Unix epoch."""

    at: float
    stage: Stage
    message: str | None = None
    cancel_reason: str | None = None


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a job's output."""

    at: float
    text: str


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """A job. Times are seconds since the Unix epoch, None until they happen.

    Attributes:
        ordinal: 1 for the world's first job, and so on.
        phase: Its true state.
        attempt: The running attempt; more than 1 only where ``attempts`` was asked for.
        moments: What the API shows from when on; never empty, in order of time.
        ended_at: The true end; the API shows the stage a little later.
        placed: Whether it holds a machine.
        cancelling: A cancel was accepted.
        outcome: How it ended; in ``moments`` a little later.
        log_closed: No further line will come.
        copy_of: The job that this one is a copy of, or None.
        odd: Its free fields are shown odd.
    """

    id: str
    ordinal: int
    owner: Principal
    creator: Principal
    initiator: JSON
    spec: JobSpec
    labels: dict[str, str] | None
    expose: Expose | None
    created_at: float
    moments: list[Moment]
    phase: Phase = Phase.WAITING
    attempt: int = 1
    placed: bool = False
    cancelling: bool = False
    started_at: float | None = None
    ended_at: float | None = None
    outcome: Moment | None = None
    log: list[LogLine] = field(default_factory=list)
    log_closed: bool = False
    copy_of: str | None = None
    odd: bool = False
    meter: CostMeter = field(default_factory=CostMeter)

    @property
    def rate(self) -> int:
        """What it costs while it is billed: micro-dollars per minute."""
        ports = PORT_MICRO_USD_PER_MINUTE if self.expose and self.expose.ports else 0
        return FLAVORS[self.spec.flavor].micro_usd_per_minute + ports

    @property
    def ended(self) -> bool:
        """Whether the API shows a stage that it cannot leave."""
        return self.moments[-1].stage not in LIVE

    def moment(self, at: float) -> Moment | None:
        """Return what the API shows at a moment, or None before the job existed."""
        if at >= self.moments[-1].at:
            return self.moments[-1]
        index = bisect_right(self.moments, at, key=lambda moment: moment.at)
        return self.moments[index - 1] if index else None

    def has_label(self, key: str, value: str) -> bool:
        """Tell whether the job carries this label."""
        return (self.labels or {}).get(key) == value

    def as_it_is(self) -> JobSpec:
        """Return what a copy of the job asks for."""
        return self.spec.model_copy(update={"labels": self.labels, "expose": self.expose})

    def to_json(self, at: float, *, knobs: Knobs, origin: str) -> JSON:
        """Return the API's form at a moment when the job existed.

        Labels and ports are shown as they are now, whatever the moment.
        """
        shown = self.moment(at) or self.moments[0]
        spec = self.spec
        known: dict[str, Any] = {
            "id": self.id,
            "type": "job",
            "createdAt": iso(self.created_at),
            "owner": {**self.owner.to_json(), "avatarUrl": f"{origin}/avatars/{self.owner.id}.svg"},
            "createdBy": {"id": self.creator.id, "name": self.creator.name},
            "initiator": self._initiator(origin),
            "dockerImage": spec.docker_image,
            "spaceId": spec.space_id,
            "command": spec.command,
            "arguments": spec.arguments,
            "arch": spec.arch,
            "environment": spec.environment,
            "secrets": sorted(spec.secrets) or None,
            "flavor": spec.flavor,
            "timeout": spec.timeout_seconds,
            "retry": spec.attempts - 1 if "attempts" in spec.model_fields_set else None,
            "labels": self.labels,
            "volumes": spec.volumes and [volume.to_json() for volume in spec.volumes],
            "expose": self.expose and self.expose.to_json(),
            "network": spec.network and spec.network.to_json(),
            "resourceGroupId": spec.resource_group_id,
            **self._times(at, shown, knobs),
        }
        body = {k: v for k, v in known.items() if v is not None} | {"status": self._status(shown, knobs)}
        return oddly(body) if self.odd else body

    def _initiator(self, origin: str) -> JSON:
        """Users and organizations come with their picture (the Hub's API description), duplicated
        jobs with their id alone.
        """
        if self.initiator.get("type") not in ("user", "org"):
            return self.initiator
        return {**self.initiator, "avatarUrl": f"{origin}/avatars/{self.initiator['id']}.svg"}

    def _times(self, at: float, shown: Moment, knobs: Knobs) -> dict[str, Any]:
        started = self.started_at if self.started_at is not None and self.started_at <= at else None
        ended = self.ended_at if shown.stage not in LIVE else None
        hidden = shown.stage is Stage.CANCELED and not knobs.finished_at_on_cancel
        until = at if ended is None else ended
        durations = {
            "schedulingSecs": None if started is None else int(started - self.created_at),
            "runningSecs": None if started is None or hidden else int(until - started),
            "totalSecs": None if hidden else int(until - self.created_at),
        }
        return {
            "startedAt": started and iso(started),
            "finishedAt": None if ended is None or hidden else iso(ended),
            "durations": {k: v for k, v in durations.items() if v is not None},
        }

    def _status(self, shown: Moment, knobs: Knobs) -> dict[str, Any]:
        known = {
            "cancelReason": shown.cancel_reason,
            "failureCount": self.attempt - 1 or None,
            "exposeUrls": self.expose
            and [f"https://{self.id}--{port}.hf.jobs" for port in self.expose.ports],
            "sshUrl": f"ssh://{self.id}@ssh.hf.jobs" if self.spec.ssh and self.spec.ssh.enabled else None,
        }
        word = shown_stage(shown, knobs)
        message = shown.message if word == shown.stage else None
        return {"stage": word, "message": message} | {k: v for k, v in known.items() if v}


def shown_stage(shown: Moment, knobs: Knobs) -> str:
    """Return the word that the API shows for a moment's stage."""
    ended_by_itself = shown.stage in (Stage.COMPLETED, Stage.ERROR)
    return knobs.new_stage if knobs.new_stage and ended_by_itself else shown.stage.value


def iso(at: float) -> str:
    """Return a moment as the Hub writes it: UTC, milliseconds, ``Z``."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
