"""What is known of one pool's intents: those that are open, and the launches that wait to be written down."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from controller.core.intents import Blocked, Intent, Term
from controller.core.model import Failure, Pool


@dataclass(slots=True)
class OpenIntent:
    """An intent of which something may be left.

    Attributes:
        intent: As it is written, or will be.
        finished_at: When its launch ended, in monotonic seconds; None while it is under way.
    """

    intent: Intent
    finished_at: float | None


@dataclass(slots=True)
class Batch:
    """Launches of one pass that wait until they are written down.

    Attributes:
        intents: Theirs.
        decided_at: When they were decided on, in monotonic seconds.
        done: Gets None once they are written, or why they must not begin.
    """

    intents: tuple[Intent, ...]
    decided_at: float
    done: asyncio.Future[Failure | None]

    def end(self, failure: Failure | None) -> None:
        """Say how the write ended, unless nobody waits any more."""
        if not self.done.done():
            self.done.set_result(failure)


@dataclass(slots=True)
class Page:
    """All about one pool's intents.

    Attributes:
        pool: As it is now.
        open: By the runner's name.
        known: Names of other processes' intents that were taken over, and that our first
            write may therefore replace.
        shown: Names of open ones whose runner has been seen to serve.
        lists_after: Monotonic seconds; nothing is launched before lists are younger, because the
            process before wrote no intents.
        waiting: What the next write takes along.
        untidy: The status tells of intents that are over, or may.
        written_at: When it was written last, in monotonic seconds.
        failures: Writes that failed in a row.
        blocked: Why nothing can be written at present.
        later_term: A later term that the status tells of, and when that was first seen, in monotonic seconds.
        task: The writer, while it writes.
    """

    pool: Pool
    open: dict[str, OpenIntent] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    shown: set[str] = field(default_factory=set)
    lists_after: float | None = None
    waiting: list[Batch] = field(default_factory=list)
    untidy: bool = False
    written_at: float = 0.0
    failures: int = 0
    blocked: Blocked | None = None
    later_term: tuple[Term, float] | None = None
    task: asyncio.Task[None] | None = None

    def move(self, pool: Pool) -> None:
        """Take in the pool as it is now; where its Secrets changed, the new ones show what
        becomes of its launches.
        """
        if pool.footprints != self.pool.footprints:
            for entry in self.open.values():
                entry.intent = replace(entry.intent, place=pool.through(entry.intent.place))
        self.pool = pool
