"""Every launch that is written down, or will be: before it begins, and until evidence shows
what became of it.

Why a write may be refused, and what that protects from, is explained in
:mod:`controller.execute.intent_writer`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from controller.core.effects import InFlight
from controller.core.evidence import LIST_LAG
from controller.core.intents import (
    MOST_INTENTS,
    Intent,
    PoolIntents,
    Term,
    Written,
    ended_intents,
    next_term,
    outlived,
    served_by,
    wrote_nothing_down,
)
from controller.core.model import Failure, Footprint, Pool, PoolKey, Snapshot
from controller.core.money import timeout_seconds
from controller.core.naming import is_named_for
from controller.execute.intent_page import Batch, OpenIntent, Page
from controller.execute.intent_writer import GONE, TOO_MANY, IntentWriter
from controller.ports import Clock, Intents, Leader

TIDY_EVERY = 30.0
"""Seconds between two writes of one pool that only remove intents."""


class IntentLog:
    """The launches of every pool that are written down, or will be."""

    def __init__(
        self,
        *,
        store: Intents,
        clock: Clock,
        leader: Leader,
        adopted: Callable[[str, Sequence[Intent]], None],
        changed: Callable[[], None],
        took: Callable[[PoolKey, float], None],
    ) -> None:
        """Build an empty log.

        Args:
            store: Where they are written.
            clock: Time.
            leader: Asked before every write, and told when a later term is found.
            adopted: Called with a pool's uid and launches of other processes that count from now on.
            changed: Called when planning could go another way now.
            took: Called with the pool and the seconds from a decision until it was written.
        """
        self._clock = clock
        self._leader = leader
        self._adopted = adopted
        self._pages: dict[str, Page] = {}
        self._writer = IntentWriter(
            store=store, clock=clock, leader=leader, adopt=self._take_over, changed=changed, took=took
        )

    # ---------------------------------------------------------------------------------- what is known already
    def begin(self, terms: Callable[[], Iterable[Term | None]]) -> None:
        """Choose this process's term, from those of all pools that there are. The first call counts."""
        if self._writer.term is None:
            self._writer.term = next_term(self._leader.transitions, terms(), holder=self._leader.identity)

    def update_pools(self, pools: Sequence[Pool], first_sight: Callable[[str], Written]) -> None:
        """Take in the pools that there are: what was written of a new one counts, and one
        that is gone is forgotten.

        Args:
            pools: All of them.
            first_sight: What a pool's status said when this process first saw it, by uid.
        """
        present = {pool.uid for pool in pools}
        for uid in [uid for uid in self._pages if uid not in present]:
            page = self._pages.pop(uid)
            if page.task is not None:
                page.task.cancel()
            for batch in page.waiting:
                batch.end(GONE)
        for pool in pools:
            if pool.uid not in self._pages:
                page = self._pages[pool.uid] = Page(pool)
                said = first_sight(pool.uid)
                if wrote_nothing_down(said, launched_at=pool.last_launch_at):
                    page.lists_after = self._clock.mono() + LIST_LAG
                self._take_over(page, [i for i in said.intents if is_named_for(i.name, pool.uid)])
            self._pages[pool.uid].move(pool)

    def _take_over(self, page: Page, intents: Sequence[Intent]) -> None:
        """Count other processes' launches, of which it is not known what became of them."""
        now = self._clock.mono()
        ours = [replace(intent, place=page.pool.through(intent.place)) for intent in intents]
        for intent in ours:
            page.known.add(intent.name)
            page.open[intent.name] = OpenIntent(intent, now)
        if ours:
            self._adopted(page.pool.uid, ours)

    def for_plan(self) -> Mapping[str, PoolIntents]:
        """Return what the plan must know, by pool uid."""
        return {
            uid: PoolIntents(
                open=frozenset(page.open),
                places=frozenset(entry.intent.place.place for entry in page.open.values()),
                lists_after=page.lists_after,
                blocked=page.blocked,
            )
            for uid, page in self._pages.items()
        }

    def reaches(self, uid: str, place: Footprint) -> bool:
        """Return whether a launch of a pool to this place may still show there."""
        page = self._pages.get(uid)
        return page is not None and any(
            entry.intent.place.place == place.place for entry in page.open.values()
        )

    # --------------------------------------------------------------------------------------- what is to begin
    async def write(self, uid: str, intents: Sequence[Intent]) -> Failure | None:
        """Return once a pool's launches are written down: None, or why they must not begin.

        The intents of one call share one write, with those of other calls that came while
        the last one was under way.
        """
        page = self._pages.get(uid)
        if page is None:
            return GONE
        if len(page.open) + len(intents) + sum(len(each.intents) for each in page.waiting) > MOST_INTENTS:
            return TOO_MANY
        done: asyncio.Future[Failure | None] = asyncio.get_running_loop().create_future()
        page.waiting.append(Batch(tuple(intents), self._clock.mono(), done))
        self._writer.start(page)
        return await done

    def record_end(self, uid: str, name: str, *, left: bool) -> None:
        """Record that a launch has ended, whether it succeeded or failed.

        Args:
            uid: Its pool.
            name: The runner.
            left: Something of it is there, or may be.
        """
        page = self._pages.get(uid)
        entry = page.open.get(name) if page is not None else None
        if page is None or entry is None:
            return
        if left:
            entry.finished_at = self._clock.mono()
        else:
            del page.open[name]
            page.untidy = True

    def review(self, in_flight: Mapping[str, InFlight], snapshot: Snapshot) -> Sequence[str]:
        """Forget intents that evidence has ended; return the names of those that nothing
        can have come of any more.
        """
        given_up = []
        for page in self._pages.values():
            if not page.open:
                continue
            timeout = float(timeout_seconds(page.pool.deadlines))
            old = [
                name
                for name, entry in page.open.items()
                if entry.finished_at is not None
                and outlived(entry.intent, timeout=timeout, wall=self._clock.wall())
            ]
            given_up += old
            page.shown |= served_by(page.pool, snapshot) & page.open.keys()
            told = ((entry.intent, entry.finished_at) for entry in page.open.values())
            ended = ended_intents(told, in_flight, snapshot, shown=page.shown)
            for name in {*old, *ended}:
                del page.open[name]
                page.untidy = True
            page.shown &= page.open.keys()
        return given_up

    def tidy(self) -> None:
        """Write where intents are only to be removed, or where it is time to see whether
        writing works again.
        """
        now = self._clock.mono()
        for page in self._pages.values():
            due = page.untidy and now - page.written_at >= TIDY_EVERY
            if page.blocked is not None:
                due = now >= page.blocked.until
            if due:
                self._writer.start(page)

    async def close(self, grace: float) -> None:
        """Write nothing any more, but what ended since the last write: who acts next need not
        find out what became of it.

        Args:
            grace: Seconds for that. What is cut off then was written or not, and either is safe.
        """
        if grace > 0 and self._leader.holds():
            for page in self._pages.values():
                if page.untidy and page.blocked is None:
                    self._writer.start(page)
        tasks = [page.task for page in self._pages.values() if page.task is not None]
        if tasks and grace > 0:
            await asyncio.wait(tasks, timeout=grace)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
