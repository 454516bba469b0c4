"""Tells people through ``events.k8s.io/v1`` Events: repeats counted in a series, each pool within its share,
nobody held up.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from controller.adapters.kube.client import JSON, Client, path_of
from controller.adapters.kube.errors import ConflictError, KubernetesError, NotFoundError
from controller.core.model import Disposition
from controller.core.resource import API_VERSION, GROUP, KIND
from controller.ports import Clock

CONTROLLER = f"{GROUP}/controller"

# client-go's own figures (charts.md §6): a series ends after six quiet minutes, and 4,096 are kept in mind.
SERIES_WINDOW = 360.0
MOST_SERIES = 4096

BURST, REFILL = 25, 60.0
"""Requests that one pool may spend at once, and seconds until it gets another one."""

RESERVE = 5
"""Requests of the burst that only warnings may spend, so that a busy pool's news never drowns its first
failure."""

TRIES, RETRY_PAUSE = 3, 5.0
LONGEST_NOTE = 1024
"""Bytes; the API server refuses more."""

# What differs between two Events that say the same: runner names, long ids and plain numbers. Names have at
# most 64 characters (controller.core.naming), so the pattern looks no further: one without that bound costs
# the square of a word's length.
_VARIABLE = re.compile(
    r"\b[a-z0-9-]{1,64}-hfr-[a-z0-9-]{1,64}\b|\b[0-9a-f]{8,}\b|(?<![\w-])\d+(\.\d+)?(?![\w-])"
)

_log = logging.getLogger(__name__)

_Key = tuple[str, str, str, str]


@dataclass(slots=True, kw_only=True)
class _Series:
    """One Event and its repeats."""

    path: str
    body: dict[str, JSON]
    count: int = 1
    last_seen: float
    last_at: str
    sent: bool = False
    tries: int = 0


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class KubernetesEvents:
    """Events over the API: :class:`controller.ports.Events`.

    ``emit`` only takes note; :meth:`run` sends, so that a slow API server delays no planning pass. Repeats
    that come faster than they can be sent become one request.

    Args:
        client: Needs ``create`` and ``patch`` on ``events.events.k8s.io``.
        clock: Time.
        instance: Who reports, usually the pod's name.
    """

    def __init__(self, *, client: Client, clock: Clock, instance: str) -> None:
        self._client = client
        self._clock = clock
        self._instance = instance[:128] or "unknown"
        self._series: OrderedDict[_Key, _Series] = OrderedDict()
        self._due: dict[_Key, None] = {}
        self._wake = asyncio.Event()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._made = 0

    async def emit(
        self, *, namespace: str, name: str, uid: str, warning: bool, reason: str, action: str, message: str
    ) -> None:
        """Take note of an Event about a pool. Never raises, never waits."""
        now, kind = self._clock.mono(), "Warning" if warning else "Normal"
        message = message[
            :LONGEST_NOTE
        ]  # no more of it is ever sent, and what is compared is kept for each series
        key = (uid, kind, f"{reason}/{action}", _VARIABLE.sub("#", message))
        self._forget(now)
        series = self._series.get(key)
        if series is not None:
            series.count += 1
            series.last_seen, series.last_at = now, self._now()
            self._series.move_to_end(key)
        if key in self._due:
            return
        if not self._spend(uid, now, reserve=0 if warning else RESERVE):
            return
        if series is None:
            regarding = {"namespace": namespace, "name": name, "uid": uid}
            self._series[key] = self._begin(
                regarding=regarding, kind=kind, reason=reason, action=action, message=message
            )
        self._due[key] = None
        self._wake.set()

    async def run(self) -> None:
        """Send for ever what was noted."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.flush()

    async def flush(self) -> None:
        """Send what was noted until now; also the last word before an orderly end."""
        while self._due:
            key = next(iter(self._due))
            del self._due[key]
            series = self._series.get(key)
            try:
                again = series is not None and not await self._send(series)
            except asyncio.CancelledError:
                self._due.setdefault(key)  # run() is stopped: left for the last flush()
                raise
            if again:
                self._due.setdefault(key)
                await asyncio.sleep(RETRY_PAUSE)

    def _begin(
        self, *, regarding: Mapping[str, str], kind: str, reason: str, action: str, message: str
    ) -> _Series:
        self._made += 1
        namespace, at = regarding["namespace"], self._now()
        # Unique by time and number, as client-go's; 253 characters are the limit of a name.
        event = f"{regarding['name'][:200]}.{int(self._clock.wall() * 1e6):x}.{self._made:x}"
        body = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": event, "namespace": namespace},
            "eventTime": at,
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance,
            "action": action[:128],
            "reason": reason[:128],
            "type": kind,
            "note": _note(message),
            "regarding": {"apiVersion": API_VERSION, "kind": KIND, **regarding},
        }
        path = path_of("apis", "events.k8s.io", "v1", "namespaces", namespace, "events")
        return _Series(path=path, body=body, last_seen=self._clock.mono(), last_at=at)

    async def _send(self, series: _Series) -> bool:
        """Create or count up an Event; return False if it is worth another try."""
        try:
            if not series.sent:
                await self._create(series)
            elif not await self._count_up(series):
                await self._create(series)  # the old one expired: Events live for an hour
        except KubernetesError as error:
            series.tries += 1
            if error.failure.disposition in (Disposition.RETRY, Disposition.WAIT) and series.tries < TRIES:
                return False
            _log.warning("Event %s not sent: %s", series.body["reason"], error.failure.message)
        series.tries = 0
        return True

    async def _create(self, series: _Series) -> None:
        repeats = (
            {"series": {"count": series.count, "lastObservedTime": series.last_at}}
            if series.count > 1
            else {}
        )
        with suppress(ConflictError):  # it is there: the answer to an earlier try was lost
            await self._client.request_json("POST", series.path, body={**series.body, **repeats})
        series.sent = True

    async def _count_up(self, series: _Series) -> bool:
        try:
            await self._client.request_json(
                "PATCH",
                series.path + path_of(series.body["metadata"]["name"]),
                body={"series": {"count": series.count, "lastObservedTime": series.last_at}},
                content_type="application/merge-patch+json",
            )
        except NotFoundError:
            return False
        return True

    def _spend(self, uid: str, now: float, *, reserve: int) -> bool:
        bucket = self._buckets.setdefault(uid, _Bucket(BURST, now))
        self._buckets.move_to_end(uid)
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.filled_at) / REFILL)
        bucket.filled_at = now
        if bucket.tokens < 1 + reserve:
            return False
        bucket.tokens -= 1
        return True

    def _forget(self, now: float) -> None:
        """Drop series that ended and, when there are too many, the quietest; oldest first in both maps."""
        while self._series:
            key, oldest = next(iter(self._series.items()))
            if now - oldest.last_seen < SERIES_WINDOW and len(self._series) < MOST_SERIES:
                break
            del self._series[key]
        while self._buckets:
            uid, quietest = next(iter(self._buckets.items()))
            if now - quietest.filled_at < BURST * REFILL:
                break
            del self._buckets[uid]

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock.wall(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _note(message: str) -> str:
    encoded = message.encode(errors="replace")
    if len(encoded) <= LONGEST_NOTE:
        return encoded.decode()
    return encoded[: LONGEST_NOTE - 3].decode(errors="ignore") + "…"
