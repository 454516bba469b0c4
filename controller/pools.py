"""The store of RunnerPools: every one that the watch has shown, parsed, with what passes have learned of it since.

It is a cache of what Kubernetes holds: it may be filled late, twice or in any order, and losing it loses nothing. May import the
API's types and the core; the operator and the wiring fill it, ``controller.reconcile`` reads it and writes into it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from controller.api.convert import stand_in, to_pool
from controller.api.runnerpool import InvalidPool
from controller.api.status.model import RunnerPoolStatus
from controller.api.status.stored import (
    bounds,
    footprints,
    interruptions,
    last_launch_at,
    read_status,
    suspicions,
    written,
)
from controller.core.drained import ends_by
from controller.core.hosts import Hosts
from controller.core.intents import Term, Written
from controller.core.model import Footprint, Pool, PoolKey
from controller.core.reasons import Reason
from controller.core.resource import DRAIN_ANNOTATION

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A RunnerPool whose spec the controller cannot follow.

    Attributes:
        key: Namespace and name.
        uid: Kubernetes UID.
        generation: Of the bad spec.
        message: All mistakes, each with its path.
        deleting: It is being deleted.
        follows: The newest valid spec of the same object, which goes on being served; where this process
            never saw one, and the object is to go, what its status tells
            (:func:`~controller.api.convert.stand_in`).
    """

    key: PoolKey
    uid: str
    generation: int
    message: str
    deleting: bool
    follows: Pool | None


class _Object(NamedTuple):
    """Which object had a name last; of two, the greater is the newer: it was made later, or
    the other one is going.
    """

    created: str
    stays: bool
    uid: str


REMEMBERED = 1_000
"""Objects that are gone of which late words are recognized."""

_NO_STATUS = RunnerPoolStatus()


class PoolRegistry:
    """RunnerPools by key.

    It has more than fifteen methods because three sides use it, each a few of them: the watch and lists fill it, planning reads
    it, and passes note what they launched, saw and ended.
    """

    def __init__(self, *, hosts: Hosts, changed: Callable[[], None]) -> None:
        """Build an empty registry.

        Args:
            hosts: To which hosts credentials may be sent.
            changed: Called when a pool's spec or existence changed.
        """
        self._hosts = hosts
        self._changed = changed
        self._pools: dict[PoolKey, Pool] = {}
        self._rejected: dict[PoolKey, Rejected] = {}
        self._newest: dict[PoolKey, _Object] = {}
        self._gone: dict[str, None] = {}
        self._statuses: dict[str, RunnerPoolStatus] = {}
        self._drained: set[str] = set()
        self.synced = False
        self.unlisted: frozenset[str] = frozenset()
        """Namespaces that could not be listed: of their pools only those are known that were seen before."""

    def upsert(self, body: Mapping[str, Any]) -> None:
        """Take in an object as the watch or a list shows it. Idempotent; never raises for a bad spec.

        Late words are ignored. The watch tells of one object in order, but of two that had
        the same name in any:

        1. The finalizer of t4 (uid A) is released, and it is gone.
        2. t4 is made again (uid B), and shown.
        3. What was still to be said of A is said.
        """
        metadata = body.get("metadata", {})
        key = PoolKey(metadata.get("namespace", "default"), metadata["name"])
        uid = metadata.get("uid", "")
        shown = _Object(metadata.get("creationTimestamp", ""), "deletionTimestamp" not in metadata, uid)
        newest = self._newest.get(key, shown)
        if uid in self._gone or (newest.uid != uid and shown[:2] < newest[:2]):
            return
        self._newest[key] = shown
        known = self._pools.get(key)
        if known is not None and known.uid != uid:
            known = None  # deleted and made again under the same name: another pool
        newest_status = read_status(body.get("status"))
        status = self._statuses.setdefault(uid, newest_status)
        try:
            pool = to_pool(body, allow_http=self._hosts.allow_http)
        except InvalidPool as error:
            self._reject(key, uid, metadata, str(error), known)
            return
        except Exception:  # what nobody foresaw in one object keeps no other from being read
            log.exception("RunnerPool not read", extra={"pool": str(key), "reason": "InternalError"})
            self._reject(key, uid, metadata, Reason.InternalError.meaning, known)
            return
        pool = replace(pool, refused=self._hosts.refuses_pool(pool))
        pool = _remembering(pool, status) if known is None else _following(pool, known)
        pool = replace(pool, interruptions=interruptions(newest_status), suspicions=suspicions(newest_status))
        healed = self._rejected.pop(key, None) is not None
        self._pools[key] = pool
        if pool != known or healed:
            self._changed()

    def _reject(
        self, key: PoolKey, uid: str, metadata: Mapping[str, Any], message: str, known: Pool | None
    ) -> None:
        """Go on serving the newest valid spec, and only take over whether the object is being deleted.

        Where this process never saw a valid one, nothing is served. But what an earlier process launched must
        be ended before the object may go, and the status tells where that is.
        """
        deleting = "deletionTimestamp" in metadata
        request = (metadata.get("annotations") or {}).get(DRAIN_ANNOTATION, "")
        if known is None and (deleting or request):
            known = stand_in(metadata, self._statuses[uid])
            known = known and replace(known, refused=self._hosts.refuses_pool(known))
            known = known and _remembering(known, self._statuses[uid])
        follows = replace(known, deleting=deleting, drain_request=request) if known else None
        if follows is None:
            self._pools.pop(key, None)
        else:
            self._pools[key] = follows
        rejected = Rejected(
            key=key,
            uid=uid,
            generation=metadata.get("generation", 0),
            message=message,
            deleting=deleting,
            follows=follows,
        )
        if self._rejected.get(key) != rejected:
            self._rejected[key] = rejected
            self._changed()

    def remove(self, key: PoolKey, uid: str) -> None:
        """Forget an object that is gone, but not another one that has its name by now. Idempotent."""
        self._gone[uid] = None
        while len(self._gone) > REMEMBERED:
            del self._gone[next(iter(self._gone))]
        if key in self._newest and self._newest[key].uid == uid:
            self._forget(key)

    def _forget(self, key: PoolKey) -> None:
        del self._newest[key]
        gone = self._pools.pop(key, None) or self._rejected.get(key)
        self._rejected.pop(key, None)
        if gone is not None:
            self._statuses.pop(gone.uid, None)
            self._drained.discard(gone.uid)
            self._changed()

    def uids(self) -> frozenset[str]:
        """Return which objects are known now."""
        return frozenset(known.uid for known in self._newest.values())

    @property
    def complete(self) -> bool:
        """Every pool is known, so that a runner whose pool is not among them has none."""
        return self.synced and not self.unlisted

    def replace_all(
        self,
        bodies: Sequence[Mapping[str, Any]],
        *,
        before: Collection[str] = (),
        unlisted: Collection[str] = (),
    ) -> int:
        """Take in a complete list: what it lacks is gone, although the watch never reported it
        (docs/facts.md#watch-misses-deletions).

        Args:
            bodies: The list.
            before: :meth:`uids` before it was asked for: what came to be known since then is
                not gone for being absent.
            unlisted: Namespaces that the list leaves out.

        Returns:
            How many objects were not known as the list shows them.
        """
        listed = {body["metadata"].get("uid", "") for body in bodies}
        self.unlisted = frozenset(unlisted)
        gone = [
            key
            for key, known in self._newest.items()
            if known.uid in before and known.uid not in listed and key.namespace not in self.unlisted
        ]
        for key in sorted(gone):
            self._forget(key)
        different = sum(not self._knows(body["metadata"]) for body in bodies)
        for body in bodies:
            self.upsert(body)
        self.synced = True
        return len(gone) + different

    def _knows(self, metadata: Mapping[str, Any]) -> bool:
        key = PoolKey(metadata.get("namespace", "default"), metadata["name"])
        known = self._rejected.get(key) or self._pools.get(key)
        if metadata.get("uid", "") in self._gone:
            return True  # the list was asked for before it went
        return known is not None and (known.uid, known.generation, known.deleting) == (
            metadata.get("uid", ""),
            metadata.get("generation", 0),
            "deletionTimestamp" in metadata,
        )

    @property
    def pools(self) -> Sequence[Pool]:
        """Pools to serve, by key."""
        return [self._pools[key] for key in sorted(self._pools)]

    @property
    def rejected(self) -> Sequence[Rejected]:
        """Objects whose newest spec is not followed, by key."""
        return [self._rejected[key] for key in sorted(self._rejected)]

    def status_at_first_sight(self, uid: str) -> RunnerPoolStatus:
        """Return the status that an object had when this process first saw it."""
        return self._statuses.get(uid, _NO_STATUS)

    def written_at_first_sight(self, uid: str) -> Written:
        """Return the intents that an object's status told of when this process first saw it."""
        key = next((key for key, known in self._newest.items() if known.uid == uid), None)
        return Written() if key is None else written(self.status_at_first_sight(uid), namespace=key.namespace)

    def terms(self) -> Sequence[Term | None]:
        """Return the terms in which every object's intents had been written when this
        process first saw it.
        """
        return [
            written(self.status_at_first_sight(known.uid), namespace=key.namespace).term
            for key, known in self._newest.items()
        ]

    def note_launch(self, uid: str, wall: float) -> None:
        """Remember when a pool last launched, and where; its status keeps both beyond this process."""
        self._replace(uid, lambda pool: _launched(replace(pool, last_launch_at=wall), pool.footprint, wall))

    def note_life(self, uid: str, place: Footprint, wall: float) -> None:
        """Remember that something of a pool was seen at a place where nobody knows of a launch;
        it was before this moment.
        """
        self._replace(uid, lambda pool: _launched(pool, place, wall))

    def leave_footprint(self, uid: str, place: Footprint) -> None:
        """Forget an older footprint where nothing is left."""
        self._replace(
            uid,
            lambda pool: replace(
                pool,
                former=tuple(f for f in pool.former if f != place),
                ends_by=tuple(known for known in pool.ends_by if known[0] != place.place),
            ),
        )

    def _replace(self, uid: str, change: Callable[[Pool], Pool]) -> None:
        for key, pool in self._pools.items():
            if pool.uid == uid:
                self._pools[key] = change(pool)
                return

    def mark_drained(self, uid: str, *, drained: bool) -> None:
        """Note whether a pool that leaves has nothing left anywhere."""
        (self._drained.add if drained else self._drained.discard)(uid)

    def may_go(self, key: PoolKey, uid: str) -> bool:
        """Return whether the finalizer may be released: the pool is drained, or was never
        one that could launch.
        """
        if uid in self._drained:
            return True
        rejected = self._rejected.get(key)
        if rejected is None or rejected.uid != uid or rejected.follows is not None:
            return False
        return not bounds(self.status_at_first_sight(uid), namespace=key.namespace, ends_by=lambda at: at)


def _remembering(pool: Pool, status: RunnerPoolStatus) -> Pool:
    """Return a pool with what its status tells of the places where earlier processes have launched for it."""
    namespace = pool.key.namespace
    told = footprints(status, namespace=namespace)
    told += tuple(intent.place for intent in written(status, namespace=namespace).intents)
    known = replace(
        pool,
        last_launch_at=last_launch_at(status),
        ends_by=bounds(status, namespace=namespace, ends_by=partial(ends_by, pool)),
    )
    return _with_former(_as_it_was(known, told), told)


def _following(pool: Pool, known: Pool) -> Pool:
    """Return a pool with what this process knows of it."""
    now = replace(pool, last_launch_at=known.last_launch_at, ends_by=known.ends_by)
    places = (*known.former, known.footprint)
    return _with_former(_as_it_was(now, places), places)


def _as_it_was(pool: Pool, places: Iterable[Footprint]) -> Pool:
    """Return a pool whose hosts are refused with the credentials that launched at its
    place, and with no others.

    1. A host is taken from the list; a pool has runners there, which are ended.
    2. Somebody writes the name of another Secret into its spec. That Secret was never meant for this host.
    """
    if pool.refused is None:
        return pool
    used = next((one for one in places if one.place == pool.footprint.place), pool.footprint)
    return replace(pool, source=used.registrations.source, hub=used.account)


def _with_former(pool: Pool, places: Iterable[Footprint]) -> Pool:
    """Return a pool with those former places where something of it was launched.

    Where only the credentials changed, the new ones see what the old ones left.
    """
    former = (
        known
        for known in dict.fromkeys(places)
        if known.place != pool.footprint.place and pool.bound(known.place) is not None
    )
    return replace(pool, former=tuple(former))


def _launched(pool: Pool, where: Footprint, wall: float) -> Pool:
    """Return a pool for which something was launched, or seen alive, at a place; an earlier
    launch may end later.
    """
    known = dict(pool.ends_by)
    known[where.place] = max(known.get(where.place, 0.0), ends_by(pool, wall))
    return replace(pool, ends_by=tuple(known.items()))
