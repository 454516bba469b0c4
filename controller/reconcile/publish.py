"""Tells people: status when it changed, Events on transitions, one log line per event.

A pool whose status cannot be written delays no other (docs/invariants.md#isolation); it is
tried again at the next pass.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from controller.api.status.changes import Due, Published, due, transition
from controller.api.status.model import RunnerPoolStatus
from controller.core.model import PoolKey
from controller.core.notices import Notice
from controller.core.reasons import Reason
from controller.ports import Clock, Events, StatusWriter, UpstreamError

log = logging.getLogger(__name__)

RETRY_AFTER = 10.0
"""Seconds after a write that failed before the next one of the same pool is tried."""

PARALLEL = 8
"""Writes under way at the same time."""


class Publisher:
    """Writes what changed and remembers what it wrote."""

    def __init__(
        self,
        *,
        statuses: StatusWriter,
        events: Events,
        clock: Clock,
        first_sight: Callable[[str], RunnerPoolStatus],
    ) -> None:
        """Build a publisher.

        Args:
            statuses: Where statuses go.
            events: Where Events go.
            clock: Time.
            first_sight: Returns the status that a pool had when this process first saw it, by uid: what an
                earlier process said still stands, and is not told again.
        """
        self._first_sight = first_sight
        self._statuses = statuses
        self._events = events
        self._clock = clock
        self._published: dict[str, Published] = {}
        self._gate = asyncio.Semaphore(PARALLEL)
        self.pending = False
        """Something changed that is written when :data:`~controller.api.status.changes.QUIET` is over."""

    def previous(self, uid: str) -> RunnerPoolStatus:
        """Return the status that people see now."""
        known = self._published.get(uid)
        return known.status if known else self._first_sight(uid)

    def has_published(self, uid: str) -> bool:
        """Return whether this process has written a status of this pool yet."""
        return uid in self._published

    async def publish(
        self, statuses: Mapping[str, tuple[PoolKey, RunnerPoolStatus]], *, later: Collection[str] = ()
    ) -> None:
        """Write the statuses, by pool uid, that changed and are not kept for later; forget
        pools that are not among them.
        """
        for uid in [uid for uid in self._published if uid not in statuses]:
            del self._published[uid]
        now = self._clock.mono()
        when = {
            uid: due(status, self._published.get(uid), now=now)
            for uid, (_, status) in statuses.items()
            if uid not in later
        }
        self.pending = Due.SOON in when.values()
        await asyncio.gather(
            *(self._write(uid, *statuses[uid]) for uid, found in when.items() if found is Due.NOW)
        )

    async def _write(self, uid: str, key: PoolKey, status: RunnerPoolStatus) -> None:
        now = self._clock.mono()
        try:
            async with self._gate:
                await self._statuses.write(
                    namespace=key.namespace, name=key.name, uid=uid, status=status.to_object()
                )
        except UpstreamError as error:
            log.warning(
                "status not written",
                extra={
                    "pool": str(key),
                    "reason": str(error.failure.reason),
                    "detail": error.failure.message,
                },
            )
            self._postpone(uid, now)
            return
        except Exception:  # what is odd about one pool's status keeps no other pool's from being written
            log.exception("status not written", extra={"pool": str(key), "reason": str(Reason.InternalError)})
            self._postpone(uid, now)
            return
        previous = self.previous(uid)
        self._published[uid] = Published(status=status, at=now)
        try:
            await self._report_transition(uid, key, previous, status)
        except Exception:
            log.exception(
                "transition not told", extra={"pool": str(key), "reason": str(Reason.InternalError)}
            )

    def _postpone(self, uid: str, now: float) -> None:
        """Try a pool's status again after a while."""
        known = self._published.get(uid) or Published(status=self._first_sight(uid), at=now)
        self._published[uid] = replace(known, not_before=now + RETRY_AFTER)

    async def _report_transition(
        self, uid: str, key: PoolKey, previous: RunnerPoolStatus, status: RunnerPoolStatus
    ) -> None:
        """Emit one Event when a pool becomes ready, or not ready for another reason."""
        found = transition(previous, status)
        if found is None:
            return
        ready, reason = found.ready, str(found.ready.reason)
        log.log(
            logging.WARNING if found.warning else logging.INFO,
            "pool is %s",
            "ready" if ready.status == "True" else "not ready",
            extra={
                "pool": str(key),
                "reason": reason,
                "detail": ready.message if found.warning else "",
            },
        )
        await self._events.emit(
            namespace=key.namespace,
            name=key.name,
            uid=uid,
            warning=found.warning,
            reason=reason,
            action="Reconcile",
            message=ready.message,
        )

    async def report(self, notices: Sequence[Notice], keys: Mapping[str, PoolKey]) -> None:
        """Emit one Event and one log line for each thing that happened."""
        for notice in notices:
            key = keys.get(notice.pool_uid)
            log.log(
                logging.WARNING if notice.warning else logging.INFO,
                notice.message,
                extra={
                    "pool": str(key) if key else "",
                    "reason": str(notice.reason),
                    "runner": notice.runner,
                    "hf_job": notice.hf_job.id if notice.hf_job else "",
                    "workflow_job": notice.workflow_job.id if notice.workflow_job else "",
                },
            )
            if key is not None:
                await self._events.emit(
                    namespace=key.namespace,
                    name=key.name,
                    uid=notice.pool_uid,
                    warning=notice.warning,
                    reason=str(notice.reason),
                    action="Retire" if notice.runner else "Reconcile",
                    message=notice.message,
                )
