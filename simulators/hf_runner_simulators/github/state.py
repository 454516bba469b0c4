"""Time, tables with a past, and the indexes that the verbs share."""

from __future__ import annotations

import hashlib
import heapq
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import partial, wraps
from typing import Concatenate, Generic, ParamSpec, Protocol, TypeVar

from hf_runner_simulators.clock import Clock
from hf_runner_simulators.github.errors import not_found
from hf_runner_simulators.github.knobs import Knobs
from hf_runner_simulators.github.model import (
    Enterprise,
    Owner,
    Repository,
    Runner,
    RunnerGroup,
    Scope,
    WorkflowJob,
    WorkflowRun,
)
from hf_runner_simulators.github.releases import Calendar

V = TypeVar("V")
P = ParamSpec("P")
R = TypeVar("R")

PAST_SECONDS = 7_200.0
"""How far back a table remembers; longer than any lag that a scenario asks for."""


class Timeline:
    """The world's time: events run at their moment and in order, however late somebody asks.

    Time never goes back here; if the clock does, the world stands still until it has caught up.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._count = 0
        self._busy = False
        self.now = clock.wall()
        """Epoch seconds of the verb or event that is being worked on."""

    def after(self, seconds: float, call: Callable[[], object]) -> None:
        """Have something happen later; ``call`` must check that it is still wanted."""
        self._count += 1
        heapq.heappush(self._due, (self.now + seconds, self._count, call))

    def advance(self) -> None:
        """Let everything happen that is due by now."""
        if self._busy:
            return
        target = max(self.now, self._clock.wall())
        self._busy = True
        try:
            while self._due and self._due[0][0] <= target:
                when, _, call = heapq.heappop(self._due)
                self.now = max(self.now, when)
                call()
        finally:
            self._busy = False
        self.now = target

    def next_due(self) -> float | None:
        """Return when the next event is due (epoch seconds), for an engine that jumps from event to event."""
        return self._due[0][0] if self._due else None


class Timed(Protocol):
    """Anything whose verbs begin by letting due events happen."""

    time: Timeline


T = TypeVar("T", bound=Timed)
N = TypeVar("N", WorkflowRun, WorkflowJob, Runner)


def verb(method: Callable[Concatenate[T, P], R]) -> Callable[Concatenate[T, P], R]:
    """Mark a public verb: it sees the world as of now."""

    @wraps(method)
    def wrapper(self: T, /, *args: P.args, **kwargs: P.kwargs) -> R:
        self.time.advance()
        return method(self, *args, **kwargs)

    return wrapper


class Table(Generic[V]):
    """Rows by id that remember what they were, for lists that lag behind."""

    def __init__(self, time: Timeline) -> None:
        self._time = time
        self._rows: dict[int, V] = {}
        self._past: dict[int, list[tuple[float, V | None]]] = {}

    def __getitem__(self, key: int) -> V:
        return self._rows[key]

    def get(self, key: int) -> V | None:
        """Return the row, or None."""
        return self._rows.get(key)

    def rows(self) -> list[V]:
        """Return all rows, oldest first."""
        return list(self._rows.values())

    def put(self, key: int, row: V) -> V:
        """Write a row."""
        self._rows[key] = row
        self._remember(key, row)
        return row

    def rows_as_of(self, lag: float) -> list[V]:
        """Return all rows as they were ``lag`` seconds ago, oldest first."""
        if lag <= 0:
            return self.rows()
        return [row for key in self._past if (row := self.as_of(key, lag)) is not None]

    def drop(self, key: int) -> None:
        """Delete a row; its past stays readable."""
        if self._rows.pop(key, None) is not None:
            self._remember(key, None)

    def as_of(self, key: int, lag: float) -> V | None:
        """Return the row as it was ``lag`` seconds ago, or None if it was not there."""
        if lag <= 0:
            return self._rows.get(key)
        past = self._past.get(key, [])
        at = bisect_right(past, self._time.now - lag, key=lambda version: version[0])
        return past[at - 1][1] if at else None

    def _remember(self, key: int, row: V | None) -> None:
        past = self._past.setdefault(key, [])
        past.append((self._time.now, row))
        while len(past) > 1 and past[1][0] < self._time.now - PAST_SECONDS:
            past.pop(0)


class Store:
    """All rows and their indexes; the verbs live in the modules beside this one."""

    def __init__(self, *, clock: Clock, seed: str, knobs: Knobs) -> None:
        self.time = Timeline(clock)
        self.seed = seed
        self.knobs = knobs
        self.owners: dict[str, Owner] = {}
        self.enterprises: dict[str, Enterprise] = {}
        self.repositories: dict[int, Repository] = {}
        self.listed: Table[Repository] = Table(self.time)
        self.repository_ids: dict[str, int] = {}
        self.former_names: dict[str, int] = {}
        self.groups: defaultdict[Scope, dict[int, RunnerGroup]] = defaultdict(dict)
        self.runs: Table[WorkflowRun] = Table(self.time)
        self.jobs: Table[WorkflowJob] = Table(self.time)
        self.runners: Table[Runner] = Table(self.time)
        self.runs_of: defaultdict[int, list[int]] = defaultdict(list)
        self.frozen_rows: defaultdict[int, dict[int, WorkflowRun]] = defaultdict(dict)
        self.unfinished_runs: defaultdict[int, dict[int, None]] = defaultdict(dict)
        self.jobs_of: defaultdict[int, list[int]] = defaultdict(list)
        self.runners_of: defaultdict[Scope, dict[int, None]] = defaultdict(dict)
        self.runner_names: dict[tuple[Scope, str], int] = {}
        self.queued: dict[int, None] = {}
        self.idle: dict[int, None] = {}
        self.seen: dict[int, float] = {}
        self._counters: dict[str, int] = {}

    def next_id(self, kind: str, start: int = 1) -> int:
        """Count up, per kind of row."""
        value = self._counters.get(kind, start - 1) + 1
        self._counters[kind] = value
        return value

    def keyed(self, *parts: object) -> str:
        """Return 64 hexadecimal digits that depend on the seed and the parts only."""
        text = "\x1f".join([self.seed, *map(str, parts)])
        return hashlib.blake2b(text.encode(), digest_size=32).hexdigest()

    def struck(self, share: float, *parts: object) -> bool:
        """Tell whether something is among the ``share`` (0 to 1) of things that a knob strikes; always
        the same for the same parts.
        """
        return share > 0 and int(self.keyed(*parts)[:12], 16) < share * 16**12

    @property
    def runner_version(self) -> str:
        """The latest version of actions/runner."""
        return self.calendar.latest(self.time.now)

    @property
    def calendar(self) -> Calendar:
        """The versions of actions/runner."""
        return Calendar(self.knobs.runner_version)

    def put_repository(self, row: Repository) -> Repository:
        """Write a repository that exists; lists that lag remember what it was."""
        self.repositories[row.id] = row
        return self.listed.put(row.id, row)

    def move_scope(self, old: Scope, new: Scope) -> None:
        """Give a scope another name; its groups and runners go with it."""
        if (groups := self.groups.pop(old, None)) is not None:
            self.groups[new] = {key: replace(group, scope=new) for key, group in groups.items()}
        for key in self.runners_of.pop(old, {}):
            self.runners_of[new][key] = None
            if (row := self.runners.get(key)) is not None:
                self.runners.put(key, replace(row, scope=new))
        for scope, name in [key for key in self.runner_names if key[0] == old]:
            self.runner_names[new, name] = self.runner_names.pop((scope, name))

    def forget_later(self, index: dict[int, None], key: int) -> None:
        """Take a dropped row out of an index once no lagging list can ask for it."""
        self.time.after(PAST_SECONDS, partial(index.pop, key, None))

    def ordered(self, rows: list[N]) -> list[N]:
        """Return a list's rows in the order that the knob asks for."""
        match self.knobs.list_order:
            case "usual":
                return rows
            case "reversed":
                return rows[::-1]
            case "shuffled":
                window = int(self.time.now // 10)
                return sorted(rows, key=lambda row: self.keyed("order", window, row.id))

    def repository(self, full_name: str) -> Repository:
        """Find a repository by name.

        Raises:
            Refusal: 404, also under a former name (whether that redirects is the HTTP face's business).
        """
        key = self.repository_ids.get(full_name.lower())
        if key is None:
            raise not_found()
        return self.repositories[key]

    def owner(self, login: str) -> Owner:
        """Find an organization or user.

        Raises:
            Refusal: 404.
        """
        owner = self.owners.get(login.lower())
        if owner is None:
            raise not_found()
        return owner

    def groups_of(self, scope: Scope) -> dict[int, RunnerGroup]:
        """Return the groups of a scope by id; every scope has ``Default``, id 1."""
        groups = self.groups[scope]
        if not groups:
            groups[1] = RunnerGroup(id=1, scope=scope, name="Default", default=True)
        return groups

    def online(self, runner: Runner) -> bool:
        """Whether the runner's listener is connected and was heard of lately."""
        if runner.session is None:
            return False
        return not runner.leased or self.time.now - self.seen[runner.id] <= self.knobs.offline_after_seconds
