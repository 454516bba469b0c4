"""What can go wrong between a client and a simulated site, and the rules that say when.

A fault is decided once per request, by the first nemesis that strikes;
:class:`hf_runner_simulators.exchange.Exchange` carries it out. :class:`FaultRules` are the nemesis behind
``/_sim/faults``; a seeded plan is another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

from hf_runner_simulators.http import JSON, Request


class FaultKind(StrEnum):
    """How an exchange fails, and what a client may conclude from it."""

    UNREACHABLE = "unreachable"
    """The connection is refused: nothing was sent, the client knows."""
    BLACKHOLE = "blackhole"
    """The connection is never made: nothing was sent, the client knows once its connect timeout is over."""
    LOST_REQUEST = "lost_request"
    """The connection dies before the effect. The client cannot tell this from ``lost_answer``."""
    LOST_ANSWER = "lost_answer"
    """The connection dies after the effect."""
    HANG = "hang"
    """No answer ever: before the effect, or after it."""
    DELAY = "delay"
    """``seconds`` more, before the effect (which may then come after the client has given up) or after it."""
    STATUS = "status"
    """An error instead of the answer: before the effect, or after it ("500, but it was done")."""
    TRUNCATE = "truncate"
    """The answer's body is cut in half, or its stream after the first chunk; HTTP itself is intact."""
    MALFORMED = "malformed"
    """A 200 with another body: the rule's, or a proxy's HTML page."""


When = Literal["before", "after"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One failure of one exchange.

    Attributes:
        kind: What happens.
        when: On which side of the effect, for ``hang``, ``delay`` and ``status``.
        status: HTTP status, for ``status``.
        headers: Headers of the false answer, for ``status`` and ``malformed``.
        body: Its body: text as it is, anything else as JSON. Unset: a plausible one.
        seconds: What it adds to the time until the effect (``early``) or from the effect to the answer.
    """

    kind: FaultKind
    when: When = "before"
    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)
    body: JSON = None
    seconds: float = 0.0

    @property
    def early(self) -> bool:
        """Whether it strikes before the effect."""
        if self.kind in {FaultKind.HANG, FaultKind.DELAY, FaultKind.STATUS}:
            return self.when == "before"
        return self.kind in {FaultKind.UNREACHABLE, FaultKind.BLACKHOLE, FaultKind.LOST_REQUEST}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One exchange about to happen, as a nemesis sees it.

    Attributes:
        route: ``METHOD /template``.
        params: The decoded parts of the path.
        request: The request.
        caller: The incarnation of the process that asks.
        ordinal: 1 for the first call of this route at this site, and so on.
        at: Wall time of the site, seconds since the Unix epoch.
    """

    route: str
    params: Mapping[str, str]
    request: Request
    caller: str
    ordinal: int
    at: float


class Nemesis(Protocol):
    """Decides which exchange fails, and how."""

    def strike(self, call: Call) -> Fault | None:
        """Return the fault for this call, or None. Called exactly once per exchange; must
        be deterministic.
        """


class Match(BaseModel):
    """Which requests of a route a rule is for; what is unset matches everything.

    Texts are globs (``?``, ``*``, ``[..]``). ``body`` matches when all its keys are in the request's JSON
    body, recursively: ``{"flavor": "h200*", "labels": {"pool": "gpu"}}``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: dict[str, str] = Field(default_factory=dict)
    query: dict[str, str] = Field(default_factory=dict)
    headers: dict[str, str] = Field(default_factory=dict)
    body: dict[str, JsonValue] = Field(default_factory=dict)
    caller: str = "*"

    def covers(self, call: Call) -> bool:
        """Tell whether the rule is for this call."""
        request = call.request
        return (
            fnmatchcase(call.caller, self.caller)
            and all(fnmatchcase(call.params.get(name, ""), glob) for name, glob in self.path.items())
            and all(
                any(fnmatchcase(v, glob) for v in request.params(name)) for name, glob in self.query.items()
            )
            and all(fnmatchcase(request.headers.get(n.lower(), ""), glob) for n, glob in self.headers.items())
            and (not self.body or _within(self.body, _json_or_none(request)))
        )


class FaultRule(BaseModel):
    """A rule as ``POST /_sim/faults`` takes it.

    ``route`` is a glob over ``METHOD /template`` (a template's ``{name}`` stands for itself):
    ``POST /api/jobs/{namespace}``, ``GET *``. ``times`` is how often it strikes, 1 unless said, null for
    ever; ``skip`` lets the first matches pass.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    route: str
    kind: FaultKind
    match: Match = Match()
    times: int | None = Field(default=1, ge=1)
    skip: int = Field(default=0, ge=0)
    when: When = "before"
    status: int = Field(default=503, ge=400, le=599)
    headers: dict[str, str] = Field(default_factory=dict)
    body: JsonValue = None
    seconds: float = Field(default=0.0, ge=0)

    def fault(self) -> Fault:
        """Return what the rule does."""
        return Fault(
            kind=self.kind,
            when=self.when,
            status=self.status,
            headers=self.headers,
            body=self.body,
            seconds=self.seconds,
        )


_RULES = TypeAdapter(list[FaultRule])


class FaultRules:
    """Rules in the order in which they were set; the first that covers a call and is not used up strikes."""

    def __init__(self) -> None:
        self._rules: list[tuple[FaultRule, list[int]]] = []  # with [matches seen]

    def add(self, payload: JSON) -> int:
        """Add one rule, or a list of rules, and return how many were added.

        Raises:
            ValueError: A rule is malformed; none is added.
        """
        rules = _RULES.validate_python(payload if isinstance(payload, list) else [payload])
        self._rules += [(rule, [0]) for rule in rules]
        return len(rules)

    def clear(self) -> None:
        """Forget all rules."""
        self._rules.clear()

    def strike(self, call: Call) -> Fault | None:
        """Return the fault of the first rule that is for this call."""
        for rule, seen in self._rules:
            if not fnmatchcase(call.route, rule.route) or not rule.match.covers(call):
                continue
            seen[0] += 1
            struck = seen[0] - rule.skip
            if struck >= 1 and (rule.times is None or struck <= rule.times):
                return rule.fault()
        return None

    def to_json(self) -> JSON:
        """Return the rules with how often each one matched."""
        return [{**rule.model_dump(mode="json"), "matched": seen[0]} for rule, seen in self._rules]


def _json_or_none(request: Request) -> JSON:
    try:
        return request.json()
    except ValueError:
        return None


def _within(wanted: JSON, found: JSON) -> bool:
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(k in found and _within(v, found[k]) for k, v in wanted.items())
    if isinstance(wanted, str) and isinstance(found, str):
        return fnmatchcase(found, wanted)
    return bool(wanted == found)
