"""Writes one pool's intents, if what was known when they were planned still holds.

A write holds only if the object's uid, the intents that the plan read and the term are still
those. It names the ``resourceVersion`` on which it rests, so it can take the place of exactly one
state, and that one was judged:

* a later term: somebody else leads. Nothing is written, and this process ends, unless its Lease proves
  the term to be made up (:meth:`IntentWriter._heed_later_term`): then that pool waits for the proof,
  and no other one is concerned;
* our own term: only this process writes under it, so everything there is ours. Other fields may have moved
  (kopf's finalizer, an annotation, our own statuses): the write is tried again at once;
* an earlier term, or none: an intent that this process does not know is taken over as a launch under
  way, and the write is dropped. The next pass plans with it. One that has not the name of a runner of
  this pool is nobody's launch;
* another object, or none: the launches are dropped.

**Why this fences what a stale leader decides.** Asking the Lease before each effect stops a stale leader's
*effects*, as far as clocks run equally fast. It cannot stop a decision from being wrong that rests on an old
view. Let A lead and be stopped (a paused virtual machine, a clock that stands still), B lead after it, and A
go on without noticing. A's term is smaller than B's, as B had read it in the pools before its own first
write, or A had never written. For any pool P,

1. *A writes before B's first write.* B's plan did not know A's new intents. B's write is refused, or finds an
   earlier term with unknown intents; it takes them over and plans again. A may carry out what it decided: it
   is counted. Had B launched for P in the meantime, it would have written first.
2. *A writes at the same time.* Both name the same ``resourceVersion``, and one is refused. If that
   is A, see 3; if B, see 1.
3. *A writes after B's first write.* A's version is old, the answer is 409; A reads the object again, finds
   the later term, and ends. It makes no difference whether B's intents are still there. That is what the term
   is for: B may have written them, launched, seen the runners, and removed them, so that the intents by
   themselves look as A had left them.

Where both have the *same* number (A had never written, or the Lease was made anew and A took none), the first
to write has the pool, and the other one finds an equal number with another holder, ends, and begins again
with a greater one. If A was the first, its intents are read by B's next process like any predecessor's.

*The Lease is deleted and made anew*: its count begins at 0, and the number comes from the pools. *An election
is switched off and on*: the same; without one the number comes from the pools alone. *Pools are restored from
a backup* (same uid): they tell of an earlier term and of old intents. Who leads now takes over those that it
does not know, and writes its own again; a process that starts may get a number that was used before, and rule
"equal number, other holder" holds. Restored under a new uid, a pool is another pool. *All pools are deleted*:
no number is left, and nothing to fight about either. A number is chosen once, before the first pass: if it
rose later, a stale leader that meets a new pool could rise above its successor.

What it does not do: an effect that A had decided, written and *begun to carry out* before it was stopped may
reach a service after A goes on. That is the Lease's part (:mod:`controller.adapters.fence`); the intent is
still counted by B until lists that are a lag younger than B's start prove it absent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from controller.core.intents import MOST_INTENTS, Blocked, Intent, Term, Written
from controller.core.model import Disposition, Failure, PoolKey
from controller.core.naming import is_named_for
from controller.core.reasons import Reason
from controller.execute.intent_page import Batch, OpenIntent, Page
from controller.ports import Clock, Fenced, Intents, IntentsMoved, Leader, StoredIntents, UpstreamError

log = logging.getLogger(__name__)

TRIES = 20
"""Writes of one pool that others may be quicker than, one after the other: somebody who annotates a pool ten
times a second is quicker than one write in ten, at 10 ms for a write."""

WRITE_TIMEOUT = 20.0
"""Seconds for all tries together. One call ends after 15 s by itself."""

RETRY_DELAYS = (2.0, 5.0, 10.0, 20.0)
"""Seconds before the next write after one that failed, by the number of failures in a row."""

PARALLEL = 16
"""Pools written at once."""


class IntentWriter:
    """Writes intents: one write of a pool at a time, which takes along what has come while
    the last one was under way.
    """

    def __init__(
        self,
        *,
        store: Intents,
        clock: Clock,
        leader: Leader,
        adopt: Callable[[Page, Sequence[Intent]], None],
        changed: Callable[[], None],
        took: Callable[[PoolKey, float], None],
    ) -> None:
        """Build a writer; ``term`` is set before the first write.

        Args:
            store: Where intents are written.
            clock: Time.
            leader: Asked before every write, and told when a later term is found.
            adopt: Called with launches of other processes that a pool tells of, and that count from now on.
            changed: Called when planning could go another way now.
            took: Called with the pool and the seconds from a decision until it was written.
        """
        self._store = store
        self._clock = clock
        self._leader = leader
        self._adopt = adopt
        self._changed = changed
        self._took = took
        self._gate = asyncio.Semaphore(PARALLEL)
        self.term: Term | None = None

    def start(self, page: Page) -> None:
        """Write a pool's intents, and those of launches that come while it is written. Idempotent."""
        if page.task is None:
            page.task = asyncio.create_task(self._work(page), name=f"intents:{page.pool.uid}")

    async def _work(self, page: Page) -> None:
        """Write until nobody waits."""
        try:
            first = True
            while first or page.waiting:
                first = False
                batches, page.waiting = page.waiting, []
                try:
                    failure = await self._write(page, [i for batch in batches for i in batch.intents])
                except Fenced:
                    _end((*batches, *page.waiting), _FENCED)
                    page.waiting = []
                    return
                except asyncio.CancelledError:
                    _end(batches, GONE)
                    raise
                _end(batches, failure)
                if failure is None:
                    for batch in batches:
                        self._took(page.pool.key, self._clock.mono() - batch.decided_at)
        finally:
            page.task = None

    async def _write(self, page: Page, new: Sequence[Intent]) -> Failure | None:
        """Write a pool's intents with some new ones; return why they are not written, and
        leave them out then.
        """
        page.untidy = False
        for intent in new:
            page.open[intent.name] = OpenIntent(intent, None)
        try:
            async with self._gate, asyncio.timeout(WRITE_TIMEOUT):
                await self._replace(page)
        except UpstreamError as error:
            failure = self._block(page, error.failure)
        except TimeoutError:
            failure = self._block(page, _SLOW)
        except _Unknown as unknown:
            self._adopt(page, unknown.intents)
            failure = _UNKNOWN
        except _Gone:
            failure = self._block(page, GONE)
        except Fenced:
            raise
        except Exception:
            # Whatever the answer was: launches that wait for it must not wait for ever, each in a place
            # of maxRunners.
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

    async def _replace(self, page: Page) -> None:
        term = self.term
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

    def _judge(self, page: Page, term: Term, stored: StoredIntents | None) -> None:
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

    def _heed_later_term(self, page: Page, term: Term, theirs: Term) -> None:
        """Raise, unless the Lease proves that nobody has begun the later term that a pool tells of.

        Whoever may patch the status of one pool can write any term there, and must not stop the controller
        for all. A real successor held the Lease when it wrote:

        1. A pool tells of a later term.
        2. A renewal of our Lease is sent.
        3. It succeeds: nobody else has held the Lease. If it fails instead, this process ends by that.

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

    def _block(self, page: Page, failure: Failure) -> Failure:
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

    def _unblock(self, page: Page) -> None:
        page.failures, page.later_term = 0, None
        if page.blocked is not None:
            page.blocked = None
            log.info("intents written again", extra={"pool": str(page.pool.key)})
            self._changed()


def _sorted(entries: Collection[OpenIntent]) -> tuple[Intent, ...]:
    return tuple(entry.intent for entry in sorted(entries, key=lambda entry: entry.intent.name))


def _end(batches: Iterable[Batch], failure: Failure | None) -> None:
    for batch in batches:
        batch.end(failure)


def _as_stored(written: Written) -> Written:
    """Return the same as a status keeps it: times in whole seconds."""
    return replace(written, intents=tuple(replace(one, at=float(int(one.at))) for one in written.intents))


def _failure(message: str) -> Failure:
    return Failure(reason=Reason.IntentsBlocked, message=message)


GONE = _failure("The RunnerPool is gone, or another one has its name now.")
TOO_MANY = _failure(
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
