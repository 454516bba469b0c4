"""What a scenario file says: pools, a workload, a world, and what is expected of them.

The pools are the RunnerPool manifests that users apply. Times are durations from the scenario's start, as
manifests write them (``90s``, ``1h30m``); in the models they are seconds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, JsonValue

from controller.api.duration import seconds as parse_seconds
from controller.api.rules import SiblingRule, Strict, broken
from controller.simulate.keyed import lognormal, uniform
from hf_runner_simulators.faults import Call, Fault, FaultKind, Match, When
from hf_runner_simulators.hub.flavors import FLAVORS

MOST_JOBS = 100_000
"""Workflow jobs of one scenario; a guard against a rate with the wrong unit."""


# ------------------------------------------------------------------------------------------------ small types
def _time(given: object) -> float:
    if not isinstance(given, str):
        raise broken("write a duration such as 90s, 10m, 1h30m or 2d")
    try:
        return parse_seconds(given)
    except ValueError:
        raise broken("write a duration such as 90s, 10m, 1h30m or 2d") from None


def _rate(given: object) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)/([mhd])", given) if isinstance(given, str) else None
    if found is None or float(found[1]) == 0:
        raise broken("write a rate such as 12/h, 0.5/m or 200/d")
    return float(found[1]) / {"m": 60, "h": 3_600, "d": 86_400}[found[2]]


def _listed(given: object) -> object:
    return [given] if isinstance(given, str) else given


def _spread(given: object) -> object:
    return {"fixed": given} if isinstance(given, str) else given


def _repository(given: str) -> str:
    if re.fullmatch(r"[\w.-]+/[\w.-]+", given) is None:
        raise broken("write OWNER/REPOSITORY")
    return given


def _flavor(given: str) -> str:
    if given not in FLAVORS:
        raise broken(f"there is no such flavor; there are {', '.join(FLAVORS)}")
    return given


Time = Annotated[float, BeforeValidator(_time)]
Rate = Annotated[float, BeforeValidator(_rate)]
Share = Annotated[float, Field(ge=0, le=1)]
Repository = Annotated[str, BeforeValidator(_repository)]
FlavorName = Annotated[str, BeforeValidator(_flavor)]


def _one_of(*names: str) -> SiblingRule:
    """Return the rule that exactly one of these fields is given; the last one is declared last."""
    shown = ", ".join(names[:-1]) + f" and {names[-1]}"
    return SiblingRule(
        at=names[-1],
        needs=names[:-1],
        cel="",
        message=f"give exactly one of {shown}",
        holds=lambda known: sum(known[name] is not None for name in names) == 1,
    )


class Lognormal(Strict):
    """Durations with a long tail: half below ``median``, one in twenty above ``p95``."""

    median: Annotated[Time, Field(gt=0)]
    p95: Annotated[Time, Field(gt=0)]

    RULES: ClassVar[tuple[SiblingRule, ...]] = (
        SiblingRule(
            at="p95",
            needs=("median",),
            cel="",
            message="write a p95 that is longer than the median",
            holds=lambda known: known["p95"] > known["median"],
        ),
    )


class Spread(Strict):
    """A duration: ``5m``, ``{uniform: [1m, 9m]}`` or ``{lognormal: {median: 4m, p95: 20m}}``."""

    fixed: Time | None = None
    uniform: Annotated[list[Time], Field(min_length=2, max_length=2)] | None = None
    lognormal: Lognormal | None = None

    RULES: ClassVar[tuple[SiblingRule, ...]] = (
        _one_of("fixed", "uniform", "lognormal"),
        SiblingRule(
            at="uniform",
            cel="",
            message="write [shortest, longest]",
            holds=lambda known: known["uniform"] is None or known["uniform"][0] <= known["uniform"][1],
        ),
    )

    def draw(self, seed: int, *key: object) -> float:
        """Return seconds that depend on the seed and the key only."""
        if self.uniform is not None:
            low, high = self.uniform
            return low + (high - low) * uniform(seed, *key)
        if self.lognormal is not None:
            return lognormal(self.lognormal.median, self.lognormal.p95, seed, *key)
        assert self.fixed is not None
        return self.fixed


Drawn = Annotated[Spread, BeforeValidator(_spread)]


class Window(Strict):
    """A part of the scenario: from ``from`` (the start unless said) until ``to`` (the end unless said)."""

    start: Time = Field(default="0s", alias="from", validate_default=True)
    end: Time | None = Field(default=None, alias="to")

    RULES: ClassVar[tuple[SiblingRule, ...]] = (
        SiblingRule(
            at="end",
            needs=("start",),
            cel="",
            message="must come after from",
            holds=lambda known: known["end"] is None or known["end"] > known["start"],
        ),
    )

    def covers(self, at: float) -> bool:
        """Tell whether a time, in seconds from the start, is in the window."""
        return self.start <= at and (self.end is None or at < self.end)


# --------------------------------------------------------------------------------------------------- workload
class Cancel(Strict):
    """Which jobs somebody cancels, and how long after they were queued."""

    after: Drawn
    share: Share = 1.0


class Work(Window):
    """Some workflow jobs: when they come, and what they are like."""

    name: Annotated[str, Field(min_length=1, max_length=100)] = Field(
        default="work", description="As GitHub shows the jobs."
    )
    repository: Annotated[list[Repository], BeforeValidator(_listed), Field(min_length=1)] | None = None
    labels: Annotated[list[str], BeforeValidator(_listed)] = Field(
        default_factory=list, description="``runs-on``; none for jobs that name only a group."
    )
    group: str | None = None
    count: Annotated[int, Field(ge=1, le=1_000)] = Field(
        default=1,
        description="Jobs at each arrival, each in a run of its own, or in one run with ``matrix``.",
    )
    matrix: bool = False
    duration: Drawn = Field(default="1m", validate_default=True)
    timeout: Time | None = Field(
        default=None, description="``timeout-minutes``; GitHub's six hours if absent."
    )
    fails: Share = Field(default=0.0, description="Share of jobs whose own steps fail.")
    cancel: Cancel | None = None
    at: Annotated[list[Time], BeforeValidator(_listed), Field(min_length=1)] | None = None
    every: Annotated[Time, Field(gt=0)] | None = None
    rate: Rate | None = Field(default=None, description="Mean arrivals; they come as independent events do.")
    trace: str | None = Field(default=None, description="A CSV file beside the scenario.")

    RULES: ClassVar[tuple[SiblingRule, ...]] = (
        *Window.RULES,
        _one_of("at", "every", "rate", "trace"),
        SiblingRule(
            at="trace",
            needs=("repository",),
            cel="",
            message="give repository; only a trace names them itself",
            holds=lambda known: known["trace"] is not None or known["repository"] is not None,
        ),
        SiblingRule(
            at="matrix",
            needs=("count",),
            cel="",
            message="GitHub allows 256 jobs per matrix: lower count",
            holds=lambda known: not known["matrix"] or known["count"] <= 256,
        ),
    )


# ------------------------------------------------------------------------------------------------------ world
class Latency(Strict):
    """Seconds that a request takes, half on each way."""

    github: Drawn = Field(default={"uniform": ["0.05s", "0.3s"]}, validate_default=True)
    hub: Drawn = Field(default={"uniform": ["0.05s", "0.3s"]}, validate_default=True)


class Capacity(Window):
    """How many machines of a flavor there are for a while."""

    flavor: FlavorName
    machines: Annotated[int, Field(ge=0)]


class BadImage(Window):
    """Containers that end before they are a runner, with one of the bootstrap's exit codes
    (docs/bootstrap.md).
    """

    pool: str | None = None
    share: Share = 1.0
    exit_code: Annotated[int, Field(ge=1, le=255)] = 65


class Kill(Window):
    """HF Jobs that die while a workflow job runs on them."""

    pool: str | None = None
    after: Drawn = Field(default="1m", validate_default=True)
    share: Share = 1.0
    times: Annotated[int, Field(ge=1)] | None = None
    message: str = "Job failed with exit code: 137. Reason: OOMKilled"
    cancel_reason: str | None = Field(default=None, description="The platform cancels it and says this.")


class Failing(Window):
    """Requests that fail: all that match, or a share of them."""

    site: Literal["github", "hub"]
    route: str = Field(default="*", description="Glob over ``METHOD /template``.")
    match: Annotated[Match, Field(default_factory=Match)]
    kind: Annotated[FaultKind, Field(strict=False)] = FaultKind.STATUS
    when: When = "before"
    status: Annotated[int, Field(ge=400, le=599)] = 503
    headers: dict[str, str] = Field(default_factory=dict)
    body: JsonValue = None
    delay: Time = Field(default="0s", validate_default=True)
    rate: Share = 1.0
    times: Annotated[int, Field(ge=1)] | None = None

    def covers_call(self, call: Call) -> bool:
        """Tell whether the fault is for this request, whatever the time."""
        return fnmatchcase(call.route, self.route) and self.match.covers(call)

    def fault(self) -> Fault:
        """Return what it does."""
        return Fault(
            kind=self.kind,
            when=self.when,
            status=self.status,
            headers=self.headers,
            body=self.body,
            seconds=self.delay,
        )


class Balance(Strict):
    """The Hub credit is set to this many dollars in every namespace."""

    at: Time
    usd: Annotated[float, Field(ge=0)]


class Outage(Strict):
    """The controller is killed, and started again ``down`` later; never if that is absent."""

    at: Time
    down: Annotated[Time, Field(gt=0)] | None = None


class World(Strict):
    """Everything that is not the controller."""

    credit_usd: Annotated[float, Field(ge=0)] = Field(default=1_000.0, description="In each Hub namespace.")
    balances: list[Balance] = Field(default_factory=list)
    repositories: list[Repository] = Field(
        default_factory=list, description="Repositories that exist besides those that the workload names."
    )
    latency: Latency = Field(default_factory=Latency)
    scheduling: Time = Field(default="5s", validate_default=True)
    scheduling_by_flavor: dict[FlavorName, Time] = Field(default_factory=dict)
    image: Time = Field(default="30s", validate_default=True)
    image_by_flavor: dict[FlavorName, Time] = Field(default_factory=dict)
    jitter: Annotated[float, Field(ge=0, lt=1)] = 0.2
    registration: Drawn = Field(default={"uniform": ["5s", "15s"]}, validate_default=True)
    capacity: list[Capacity] = Field(default_factory=list)
    bad_images: list[BadImage] = Field(default_factory=list)
    kills: list[Kill] = Field(default_factory=list)
    deprecated: Window | None = Field(default=None, description="GitHub refuses the runner's version.")
    faults: list[Failing] = Field(default_factory=list)
    github: dict[str, JsonValue] = Field(default_factory=dict, description="Knobs of the simulated GitHub.")
    hub: dict[str, JsonValue] = Field(default_factory=dict, description="Knobs of the simulated Hub.")


class Controller(Strict):
    """The controller itself."""

    github_interval: Annotated[Time, Field(gt=0)] = Field(default="12s", validate_default=True)
    hub_interval: Annotated[Time, Field(gt=0)] = Field(default="10s", validate_default=True)
    outages: list[Outage] = Field(default_factory=list)

    RULES: ClassVar[tuple[SiblingRule, ...]] = (
        SiblingRule(
            at="outages",
            cel="",
            message="each must come after the one before has ended",
            holds=lambda known: _in_turn(known["outages"]),
        ),
    )


def _in_turn(outages: Sequence[Outage]) -> bool:
    ends = [one.at + (float("inf") if one.down is None else one.down) for one in outages]
    return all(end < later.at for end, later in zip(ends, outages[1:], strict=False))


class ScenarioFile(Strict):
    """The whole file; pools and expectations are looked at by :mod:`controller.simulate.scenario_file`."""

    description: str = ""
    seed: Annotated[int, Field(ge=0)] = 0
    until: Annotated[Time, Field(gt=0)] = Field(default="24h", validate_default=True)
    pools: Annotated[list[dict[str, Any]], Field(min_length=1)]
    workload: Annotated[list[Work], Field(min_length=1)]
    world: World = Field(default_factory=World)
    controller: Controller = Field(default_factory=Controller)
    expect: dict[str, Any] = Field(default_factory=dict)
