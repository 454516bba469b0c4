"""Writes launches down before they begin: one writer for each pool, which merges what comes while it writes.

A write holds only if the object's uid, the intents that the plan read and the term are still those. It names the
``resourceVersion`` on which it rests, so it can take the place of exactly one state, and that one was judged:

* a later term: somebody else leads. Nothing is written, and this process ends, unless its Lease proves the term to be made up
  (:meth:`IntentLog._heed_later_term`): then that pool waits for the proof, and no other one is concerned;
* our own term: only this process writes under it, so everything there is ours. Other fields may have moved (kopf's finalizer,
  an annotation, our own statuses): the write is tried again at once;
* an earlier term, or none: an intent that this process does not know is taken over as a launch under way, and the write is
  dropped. The next pass plans with it. One that has not the name of a runner of this pool is nobody's launch;
* another object, or none: the launches are dropped.

**Why this fences what a stale leader decides.** Asking the Lease before each effect stops a stale leader's *effects*, as far as
clocks run equally fast. It cannot stop a decision from being wrong that rests on an old view. Let A lead and be stopped (a
paused virtual machine, a clock that stands still), B lead after it, and A go on without noticing. A's term is smaller than B's, as B
had read it in the pools before its own first write, or A had never written. For any pool P,

1. *A writes before B's first write.* B's plan did not know A's new intents. B's write is refused, or finds an earlier term with
   unknown intents; it takes them over and plans again. A may carry out what it decided: it is counted. Had B launched for P in
   the meantime, it would have written first.
2. *A writes at the same time.* Both name the same ``resourceVersion``, and one is refused. If that is A, see 3; if B, see 1.
3. *A writes after B's first write.* A's version is old, the answer is 409; A reads the object again, finds the later term, and ends.
   It makes no difference whether B's intents are still there. That is what the term is for: B may have written them, launched,
   seen the runners, and removed them, so that the intents by themselves look as A had left them.

Where both have the *same* number (A had never written, or the Lease was made anew and A took none), the first to write has the
pool, and the other one finds an equal number with another holder, ends, and begins again with a greater one. If A was the first,
its intents are read by B's next process like any predecessor's.

*The Lease is deleted and made anew*: its count begins at 0, and the number comes from the pools. *An election is switched off and on*:
the same; without one the number comes from the pools alone. *Pools are restored from a backup* (same uid): they tell of an earlier
term and of old intents. Who leads now takes over those that it does not know, and writes its own again; a process that starts may
get a number that was used before, and rule "equal number, other holder" holds. Restored under a new uid, a pool is another
pool. *All pools are deleted*: no number is left, and nothing to fight about either. A number is chosen once, before the first pass:
if it rose later, a stale leader that meets a new pool could rise above its successor.

What it does not do: an effect that A had decided, written and *begun to carry out* before it was stopped may reach a service
after A goes on. That is the Lease's part (:mod:`controller.adapters.fence`); the intent is still counted by B until lists that
are a lag younger than B's start prove it absent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from controller.core.effects import InFlight
from controller.core.evidence import LIST_LAG
from controller.core.intents import (
    MOST_INTENTS,
    Blocked,
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
from controller.core.model import Disposition, Failure, Footprint, Pool, PoolKey, Snapshot
from controller.core.money import timeout_seconds
from controller.core.naming import is_named_for
from controller.core.reasons import Reason
from controller.ports import (
    Clock,
    Fenced,
    Intents,
    IntentsMoved,
    Leader,
    StoredIntents,
    UpstreamError,
)

log = logging.getLogger(__name__)

TRIES = 20
"""Writes of one pool that others may be quicker than, one after the other: somebody who annotates a pool ten times a second
is quicker than one write in ten, at 10 ms for a write."""

WRITE_TIMEOUT = 20.0
"""Seconds for all tries together. One call ends after 15 s by itself."""

RETRY_DELAYS = (2.0, 5.0, 10.0, 20.0)
"""Seconds before the next write after one that failed, by the number of failures in a row."""

TIDY_EVERY = 30.0
"""Seconds between two writes of one pool that only remove intents."""

PARALLEL = 16
"""Pools written at once."""


@dataclass(slots=True)
class _Open:
    intent: Intent
    settled_at: float | None


@dataclass(slots=True)
class _Batch:
    intents: tuple[Intent, ...]
    decided_at: float
    done: asyncio.Future[Failure | None]


@dataclass(slots=True)
class _Page:
    """What is known of one pool's intents."""

    pool: Pool
    open: dict[str, _Open] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    shown: set[str] = field(default_factory=set)
    lists_after: float | None = None
    waiting: list[_Batch] = field(default_factory=list)
    untidy: bool = False
    written_at: float = 0.0
    failures: int = 0
    blocked: Blocked | None = None
    later_term: tuple[Term, float] | None = None
    task: asyncio.Task[None] | None = None

    def move(self, pool: Pool) -> None:
        """Take in the pool as it is now; where its Secrets changed, the new ones show what becomes of its launches."""
        if pool.footprints != self.pool.footprints:
            for entry in self.open.values():
                entry.intent = replace(entry.intent, place=pool.through(entry.intent.place))
        self.pool = pool


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
        self._store = store
        self._clock = clock
        self._leader = leader
        self._adopted = adopted
        self._changed = changed
        self._took = took
        self._pages: dict[str, _Page] = {}
        self._gate = asyncio.Semaphore(PARALLEL)
        self._term: Term | None = None

    # ------------------------------------------------------------------------------------------------ what is known already
    def begin(self, terms: Callable[[], Iterable[Term | None]]) -> None:
        """Choose this process's term, from those of all pools that there are. The first call counts."""
        if self._term is None:
            self._term = next_term(self._leader.transitions, terms(), holder=self._leader.identity)

    def keep(self, pools: Sequence[Pool], first_sight: Callable[[str], Written]) -> None:
        """Take in the pools that there are: what was written of a new one counts, and one that is gone is forgotten.

        Args:
            pools: All of them.
            first_sight: What a pool's status said when this process first saw it, by uid.
        """
        present = {pool.uid for pool in pools}
        for uid in [uid for uid in self._pages if uid not in present]:
            page = self._pages.pop(uid)
            if page.task is not None:
                page.task.cancel()
            self._end(page.waiting, _GONE)
        for pool in pools:
            if pool.uid not in self._pages:
                page = self._pages[pool.uid] = _Page(pool)
                said = first_sight(pool.uid)
                if wrote_nothing_down(said, launched_at=pool.last_launch_at):
                    page.lists_after = self._clock.mono() + LIST_LAG
                self._take_over(page, [i for i in said.intents if is_named_for(i.name, pool.uid)])
            self._pages[pool.uid].move(pool)

    def _take_over(self, page: _Page, intents: Sequence[Intent]) -> None:
        """Count other processes' launches, of which it is not known what became of them."""
        now = self._clock.mono()
        ours = [replace(intent, place=page.pool.through(intent.place)) for intent in intents]
        for intent in ours:
            page.known.add(intent.name)
            page.open[intent.name] = _Open(intent, now)
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

    # ----------------------------------------------------------------------------------------------------- what is to begin
    async def write(self, uid: str, intents: Sequence[Intent]) -> Failure | None:
        """Return once a pool's launches are written down: None, or why they must not begin.

        The intents of one call share one write, with those of other calls that came while the last one was under way.
        """
        page = self._pages.get(uid)
        if page is None:
            return _GONE
        if len(page.open) + len(intents) + sum(len(each.intents) for each in page.waiting) > MOST_INTENTS:
            return _TOO_MANY
        done: asyncio.Future[Failure | None] = asyncio.get_running_loop().create_future()
        page.waiting.append(_Batch(tuple(intents), self._clock.mono(), done))
        self._start(uid, page)
        return await done

    def settled(self, uid: str, name: str, *, left: bool) -> None:
        """Take in that a launch has ended, one way or the other.

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
            entry.settled_at = self._clock.mono()
        else:
            del page.open[name]
            page.untidy = True

    def review(self, in_flight: Mapping[str, InFlight], snapshot: Snapshot) -> Sequence[str]:
        """Forget intents that evidence has ended; return the names of those that nothing can have come of any more."""
        given_up = []
        for page in self._pages.values():
            if not page.open:
                continue
            timeout = float(timeout_seconds(page.pool.deadlines))
            old = [
                name
                for name, entry in page.open.items()
                if entry.settled_at is not None
                and outlived(entry.intent, timeout=timeout, wall=self._clock.wall())
            ]
            given_up += old
            page.shown |= served_by(page.pool, snapshot) & page.open.keys()
            told = ((entry.intent, entry.settled_at) for entry in page.open.values())
            ended = ended_intents(told, in_flight, snapshot, shown=page.shown)
            for name in {*old, *ended}:
                del page.open[name]
                page.untidy = True
            page.shown &= page.open.keys()
        return given_up

    def tidy(self) -> None:
        """Write where intents are only to be removed, or where it is time to see whether writing works again."""
        now = self._clock.mono()
        for uid, page in self._pages.items():
            due = page.untidy and now - page.written_at >= TIDY_EVERY
            if page.blocked is not None:
                due = now >= page.blocked.until
            if due:
                self._start(uid, page)

    async def close(self, grace: float) -> None:
        """Write nothing any more, but what ended since the last write: who acts next need not find out what became of it.

        Args:
            grace: Seconds for that. What is cut off then was written or not, and either is safe.
        """
        if grace > 0 and self._leader.holds():
            for uid, page in self._pages.items():
                if page.untidy and page.blocked is None:
                    self._start(uid, page)
        tasks = [page.task for page in self._pages.values() if page.task is not None]
        if tasks and grace > 0:
            await asyncio.wait(tasks, timeout=grace)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ----------------------------------------------------------------------------------------------------------- the writer
    def _start(self, uid: str, page: _Page) -> None:
        if page.task is None:
            page.task = asyncio.create_task(self._work(page), name=f"intents:{uid}")

    async def _work(self, page: _Page) -> None:
        """Write until nobody waits."""
        try:
            first = True
            while first or page.waiting:
                first = False
                batches, page.waiting = page.waiting, []
                try:
                    failure = await self._write(page, [i for batch in batches for i in batch.intents])
                except Fenced:
                    self._end((*batches, *page.waiting), _FENCED)
                    page.waiting = []
                    return
                except asyncio.CancelledError:
                    self._end(batches, _GONE)
                    raise
                self._end(batches, failure)
                if failure is None:
                    for batch in batches:
                        self._took(page.pool.key, self._clock.mono() - batch.decided_at)
        finally:
            page.task = None

    def _end(self, batches: Iterable[_Batch], failure: Failure | None) -> None:
        for batch in batches:
            if not batch.done.done():
                batch.done.set_result(failure)

    async def _write(self, page: _Page, new: Sequence[Intent]) -> Failure | None:
        """Write a pool's intents with some new ones; return why they are not written, and leave them out then."""
        page.untidy = False
        for intent in new:
            page.open[intent.name] = _Open(intent, None)
        try:
            async with self._gate, asyncio.timeout(WRITE_TIMEOUT):
                await self._replace(page)
        except UpstreamError as error:
            failure = self._block(page, error.failure)
        except TimeoutError:
            failure = self._block(page, _SLOW)
        except _Unknown as unknown:
            self._take_over(page, unknown.intents)
            failure = _UNKNOWN
        except _Gone:
            failure = self._block(page, _GONE)
        except Fenced:
            raise
        except Exception:
            # Whatever the answer was: launches that wait for it must not wait for ever, each in a place of maxRunners.
            log.exception(
                "intents not written", extra={"pool": str(page.pool.key), "reason": "InternalError"}
            )
            failure = self._block(page, _MISTAKE)
        else:
            self._unblock(page)
            return None
        for intent in new:
            page.open.pop(intent.name, None)
        page.untidy = True  # some of it may have been written all the same
        return failure

    async def _replace(self, page: _Page) -> None:
        term = self._term
        assert term is not None, "begin() comes before the first pass"
        stored = self._store.newest(page.pool.uid) if page.blocked is None else None
        doubt: UpstreamError | None = None
        for _ in range(TRIES):
            if not self._leader.holds():
                raise Fenced
            fresh = stored is None
            stored = stored or await self._store.read(page.pool.key)
            self._judge(page, term, stored)
            assert stored is not None
            wanted = Written(term=term, intents=_sorted(page.open.values()))
            if fresh and doubt is not None and stored.written == _as_stored(wanted):
                return  # the answer was lost, and nothing else
            try:
                await self._store.replace(page.pool.key, stored, wanted)
            except IntentsMoved:
                stored = None
            except UpstreamError as error:
                if doubt is not None or not error.failure.in_doubt:
                    raise
                stored, doubt = None, error
            else:
                page.written_at = self._clock.mono()
                page.known.clear()
                return
        raise UpstreamError(_BUSY)

    def _judge(self, page: _Page, term: Term, stored: StoredIntents | None) -> None:
        """Raise unless our write may take the place of what is stored; the module says why."""
        if stored is None or stored.uid != page.pool.uid:
            raise _Gone
        theirs = stored.written.term
        if theirs is not None and term.yields_to(theirs):
            self._heed_later_term(page, term, theirs)
        if theirs != term:
            unknown = [
                i
                for i in stored.written.intents
                if is_named_for(i.name, page.pool.uid)
                and i.name not in page.known
                and i.name not in page.open
            ]
            if unknown:
                raise _Unknown(unknown)

    def _heed_later_term(self, page: _Page, term: Term, theirs: Term) -> None:
        """Raise, unless the Lease proves that nobody has begun the later term that a pool tells of.

        Whoever may patch the status of one pool can write any term there, and must not stop the controller for all. A real
        successor held the Lease when it wrote:

        1. A pool tells of a later term.  2. A renewal of our Lease is sent.  3. It succeeds: nobody else has held the Lease. If
        it fails instead, this process ends by that.

        Raises:
            Fenced: There is no election that could tell, so the pool is believed.
            UpstreamError: No renewal has succeeded since.
        """
        if page.later_term is None or page.later_term[0] != theirs:
            page.later_term = (theirs, self._clock.mono())
        led = self._leader.led_after(page.later_term[1])
        if led is None:
            self._leader.lose(
                f"{page.pool.key} was written by {theirs.holder} in term {theirs.number}; this is {term.holder} in {term.number}"
            )
            raise Fenced
        if not led:
            raise UpstreamError(_LATER_TERM)

    def _block(self, page: _Page, failure: Failure) -> Failure:
        now = self._clock.mono()
        delay = RETRY_DELAYS[min(page.failures, len(RETRY_DELAYS) - 1)]
        page.failures += 1
        told = replace(
            failure,
            reason=Reason.IntentsBlocked,
            message=f"Launches are not written down, so none begins: {failure.message}",
            disposition=Disposition.RETRY,
            in_doubt=False,
        )
        if page.blocked is None:
            log.warning(
                "intents not written",
                extra={
                    "pool": str(page.pool.key),
                    "reason": str(failure.reason),
                    "detail": failure.message,
                },
            )
        since = page.blocked.since if page.blocked else now
        page.blocked = Blocked(failure=told, since=since, until=now + delay)
        return told

    def _unblock(self, page: _Page) -> None:
        page.failures, page.later_term = 0, None
        if page.blocked is not None:
            page.blocked = None
            log.info("intents written again", extra={"pool": str(page.pool.key)})
            self._changed()


def _sorted(entries: Collection[_Open]) -> tuple[Intent, ...]:
    return tuple(entry.intent for entry in sorted(entries, key=lambda entry: entry.intent.name))


def _as_stored(written: Written) -> Written:
    """Return the same as a status keeps it: times in whole seconds."""
    return replace(written, intents=tuple(replace(one, at=float(int(one.at))) for one in written.intents))


def _failure(message: str) -> Failure:
    return Failure(reason=Reason.IntentsBlocked, message=message)


_GONE = _failure("The RunnerPool is gone, or another one has its name now.")
_TOO_MANY = _failure(
    f"{MOST_INTENTS:,} launches of the pool are under way already, and its status has room for no more."
)
_UNKNOWN = _failure(
    "An earlier process had launched more than this one knew of. That is counted now, and planned again."
)
_MISTAKE = _failure(Reason.InternalError.meaning)
_LATER_TERM = _failure(
    "Its status tells of a later term than this process's. Whether another process leads shows when the Lease is renewed."
)
_SLOW = _failure(f"The API server took longer than {WRITE_TIMEOUT:g} seconds.")
_BUSY = _failure(
    f"Somebody else changed the RunnerPool {TRIES} times in a row, each time before it could be written."
)


_FENCED = Failure(reason=Reason.Pending, message="another replica leads now")


class _Gone(Exception):  # noqa: N818 - an answer, not a failure
    """There is no object of the pool's uid."""


class _Unknown(Exception):  # noqa: N818 - an answer, not a failure
    """The pool has intents that nobody has counted."""

    def __init__(self, intents: Sequence[Intent]) -> None:
        super().__init__(len(intents))
        self.intents = intents
