"""Which repositories one source has, and which of them the pools' patterns select."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from controller.core.labels import covered, is_glob
from controller.core.model import Failure, Observation
from controller.observe.failed import still_seen
from controller.observe.queue_schedule import Cadence, Pressure, Watch, fraction
from controller.ports import Clock, Queue, Repository


class Patterns(NamedTuple):
    """Which repositories one pool covers: lower-case globs over ``owner/repo``. A plain pair does as well."""

    include: tuple[str, ...]
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What a list of repositories showed.

    Attributes:
        different: There are others than before, or the list fails otherwise.
        pushed: Those that were pushed to since the list before: a push often brings a run.
    """

    different: bool
    pushed: tuple[str, ...]


class Discovery:
    """The newest list of the owner's repositories, read only while some pattern is a glob."""

    def __init__(self, *, owner: str, queue: Queue, clock: Clock, cadence: Cadence) -> None:
        """Build one that has listed nothing; ``owner`` is GitHub's user or organization."""
        self._owner = owner
        self._queue = queue
        self._clock = clock
        self._cadence = cadence
        self._wanted: frozenset[tuple[tuple[str, ...], tuple[str, ...]]] = frozenset()
        self._seen: Observation[str] | None = None
        self._pushed: dict[str, str] = {}
        self.watch = Watch(name=f"{owner} (repositories)", next_at=clock.mono())
        """When the list is due."""
        self.needed = False
        """Some pattern is a glob."""

    def want(self, patterns: Iterable[tuple[tuple[str, ...], tuple[str, ...]]]) -> bool:
        """Take in pairs of included and excluded globs; return whether they are others than before."""
        wanted = frozenset(patterns)
        if wanted == self._wanted:
            return False
        self._wanted = wanted
        self.needed = any(is_glob(glob) for include, _ in wanted for glob in include)
        return True

    def observation(self, stopped: Failure | None) -> Observation[str] | None:
        """Return the names that globs select from, or None where none was needed or answered yet.

        Args:
            stopped: What stops the whole source at present: what is not refreshed must not look complete.
        """
        if self._seen is None or not self.needed:
            return None
        if stopped is not None and self._seen.failure is None:
            return replace(self._seen, failure=stopped)
        return self._seen

    def selected(self) -> set[str]:
        """Return the names of the repositories that the patterns select."""
        visible = self._seen.items if self._seen else ()
        return {name for include, exclude in self._wanted for name in covered(include, exclude, visible)}

    def newest_first(self, names: Iterable[str]) -> list[str]:
        """Return names in the order of their last pushes, the newest first."""
        return sorted(sorted(names), key=lambda name: self._pushed.get(name, ""), reverse=True)

    async def look(self, pressure: Callable[[], Pressure]) -> Found:
        """List the repositories once.

        Raises:
            UpstreamError: See :class:`controller.ports.Queue`; then :meth:`failed` is to be called.
        """
        found = await self._queue.repositories(self._owner)
        now = self._clock.mono()
        watch = self.watch
        watch.looks += 1
        watch.looked_at, watch.failures, watch.failure = now, 0, None
        slower = 1.0 if pressure() is Pressure.NONE else 2.0
        spread = 1 + self._cadence.jitter * (2 * fraction(watch.name, watch.looks) - 1)
        watch.next_at = now + self._cadence.discovery * slower * spread
        names = {repository.full_name for repository in found.items if repository.usable}
        if found.failure is not None and self._seen is not None:
            names.update(self._seen.items)  # the list moved under us: absence means nothing
        before = self._seen
        self._seen = Observation(
            items=tuple(sorted(names)),
            asked_at=found.asked_at,
            server_time=found.server_time,
            failure=found.failure,
        )
        different = before is None or (before.items, before.failure) != (self._seen.items, self._seen.failure)
        return Found(different, self._note_pushes(found.items))

    def failed(self, failure: Failure, now: float, server_time: float) -> None:
        """Keep the list that there is, with the failure of one that was asked for ``now``,
        in monotonic seconds.
        """
        self._seen = still_seen(self._seen, failure, asked_at=now, server_time=server_time)

    def _note_pushes(self, found: Iterable[Repository]) -> tuple[str, ...]:
        before, self._pushed = self._pushed, {one.full_name: one.pushed_at for one in found}
        return tuple(name for name, at in self._pushed.items() if name in before and before[name] != at)
