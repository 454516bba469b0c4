"""Tells people: status when it changed, Events on transitions, one log line per event.

A pool whose status cannot be written delays no other (invariant 10); it is tried again at the next pass.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.core.model import PoolKey
from controller.core.notices import Notice
from controller.ports import Clock, Events, StatusWriter, UpstreamError

log = logging.getLogger(__name__)

QUIET = 2.0
"""Seconds between two writes of one pool's status, conditions apart."""

VOLATILE_AFTER = 60.0
"""Seconds after which a status is written although only amounts that tick by themselves have changed."""

RETRY_AFTER = 10.0

PARALLEL = 8


@dataclass(slots=True, kw_only=True)
class _Published:
    status: Mapping[str, Any]
    at: float
    not_before: float = 0.0


class Publisher:
    """Writes what changed and remembers what it wrote."""

    def __init__(
        self,
        *,
        statuses: StatusWriter,
        events: Events,
        clock: Clock,
        first_sight: Callable[[str], Mapping[str, Any]],
    ) -> None:
        """Build a publisher.

        Args:
            statuses: Where statuses go.
            events: Where Events go.
            clock: Time.
            first_sight: Returns the status that a pool had when this process first saw it, by uid: what an earlier process
                said still stands, and is not told again.
        """
        self._first_sight = first_sight
        self._statuses = statuses
        self._events = events
        self._clock = clock
        self._published: dict[str, _Published] = {}
        self._gate = asyncio.Semaphore(PARALLEL)
        self.pending = False
        """Something changed that was not written yet: :data:`QUIET` was not over."""

    def previous(self, uid: str) -> Mapping[str, Any]:
        """Return the status that people see now."""
        known = self._published.get(uid)
        return known.status if known else self._first_sight(uid)

    def has_spoken(self, uid: str) -> bool:
        """Return whether this process has said anything of a pool yet."""
        return uid in self._published

    async def publish(
        self, statuses: Mapping[str, tuple[PoolKey, Mapping[str, Any]]], *, later: Collection[str] = ()
    ) -> None:
        """Write the statuses, by pool uid, that changed and are not kept for later; forget pools that are not among them."""
        for uid in [uid for uid in self._published if uid not in statuses]:
            del self._published[uid]
        self.pending = False
        due = [
            (uid, key, status)
            for uid, (key, status) in statuses.items()
            if uid not in later and self._due(uid, status)
        ]
        await asyncio.gather(*(self._write(uid, key, status) for uid, key, status in due))

    def _due(self, uid: str, status: Mapping[str, Any]) -> bool:
        known = self._published.get(uid)
        if known is None:
            return True
        now = self._clock.mono()
        if now < known.not_before:
            return False
        if _said(status) == _said(known.status):
            return status != known.status and now - known.at >= VOLATILE_AFTER
        due = _judged(status) != _judged(known.status) or now - known.at >= QUIET
        self.pending |= not due
        return due

    async def _write(self, uid: str, key: PoolKey, status: Mapping[str, Any]) -> None:
        now = self._clock.mono()
        try:
            async with self._gate:
                await self._statuses.write(namespace=key.namespace, name=key.name, uid=uid, status=status)
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
            log.exception("status not written", extra={"pool": str(key), "reason": "InternalError"})
            self._postpone(uid, now)
            return
        previous = self.previous(uid)
        self._published[uid] = _Published(status=status, at=now)
        try:
            await self._tell_transitions(uid, key, previous, status)
        except Exception:
            log.exception("transition not told", extra={"pool": str(key), "reason": "InternalError"})

    def _postpone(self, uid: str, now: float) -> None:
        """Try a pool's status again after a while."""
        known = self._published.get(uid)
        if known is None:
            seen = self._first_sight(uid)
            self._published[uid] = _Published(status=seen, at=now, not_before=now + RETRY_AFTER)
        else:
            known.not_before = now + RETRY_AFTER

    async def _tell_transitions(
        self, uid: str, key: PoolKey, previous: Mapping[str, Any], status: Mapping[str, Any]
    ) -> None:
        """Emit one Event when a pool becomes ready, or not ready for another reason."""
        before = _ready(previous)
        after = _ready(status)
        if after is None or (before is not None and before[:2] == after[:2]):
            return
        if before is None and (after[0] == "True" or after[1] == "Pending"):
            return  # first sight of a healthy or unread pool: nothing happened
        ready, reason, message = after
        warning = ready != "True" and reason not in ("Pending", "Draining", "Drained")
        log.log(
            logging.WARNING if warning else logging.INFO,
            "pool is %s",
            "ready" if ready == "True" else "not ready",
            extra={"pool": str(key), "reason": reason, "detail": message if warning else ""},
        )
        await self._events.emit(
            namespace=key.namespace,
            name=key.name,
            uid=uid,
            warning=warning,
            reason=reason,
            action="Reconcile",
            message=message,
        )

    async def tell(self, notices: Sequence[Notice], keys: Mapping[str, PoolKey]) -> None:
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


def _ready(status: Mapping[str, Any]) -> tuple[str, str, str] | None:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Ready":
            return condition["status"], condition["reason"], condition["message"]
    return None


def _judged(status: Mapping[str, Any]) -> Any:  # noqa: ANN401 - compared only
    """Return what tools wait for."""
    conditions = status.get("conditions") or ()
    return status.get("observedGeneration"), [(c["type"], c["status"], c["reason"]) for c in conditions]


def _said(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a status without what changes by the mere passing of time."""
    return {key: value for key, value in status.items() if key != "cost"}
