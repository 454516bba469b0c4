"""Secrets as they were read last: each is read at most once in some seconds, by one reader at a time.

While something fails that a person must mend, the observatory asks every few seconds whether it was
(:meth:`SecretCache.changed`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from controller.core.model import SecretRef
from controller.core.reasons import Reason
from controller.ports import Clock, Secret, Secrets, UpstreamError

FRESH_FOR = 30.0
"""Seconds for which a Secret is not read again."""

UNUSED_FOR = 3600.0
"""Seconds after which a Secret that nobody reads any more is forgotten."""

_WITHHELD = frozenset({Reason.SecretMissing, Reason.SecretForbidden, Reason.KubernetesForbidden})
"""Answers to a read of a Secret that is gone, or whose namespace's roles and bindings are."""


class SecretCache:
    """Secrets, each read at most once per :data:`FRESH_FOR` seconds, by one reader at a time."""

    def __init__(self, *, secrets: Secrets, clock: Clock) -> None:
        self._secrets = secrets
        self._clock = clock
        self._read: dict[SecretRef, tuple[float, Secret]] = {}
        self._locks: dict[SecretRef, asyncio.Lock] = {}
        self._used: dict[SecretRef, float] = {}
        self._held: frozenset[SecretRef] = frozenset()
        self._told: dict[SecretRef, Secret | Reason] = {}

    def hold(self, refs: Collection[SecretRef]) -> None:
        """Say which Secrets only pools name that are leaving: what these held last is used to end what was
        launched.

        1. Somebody deletes a namespace.  2. Its Secrets and roles go at once.  3. Its pools wait for their
           runners to end, and to end
        them takes the credentials that were there a moment ago. A pool that is to serve on gets none that
        were taken away.
        """
        self._held = frozenset(refs)

    async def read(self, ref: SecretRef) -> Secret:
        """Return a Secret; a failure is not kept, so that the next call asks again.

        While Kubernetes is out of reach, what was read last goes on being used: a running pool must not stop
        for it. So it does where a Secret is gone that :meth:`hold` names.
        """
        self._used[ref] = self._clock.mono()
        self._forget()
        async with self._locks.setdefault(ref, asyncio.Lock()):
            known = self._read.get(ref)
            if known is not None and self._clock.mono() - known[0] < FRESH_FOR:
                return known[1]
            try:
                found = await self._secrets.read(ref)
            except UpstreamError as error:
                reason = error.failure.reason
                held = ref in self._held and reason in _WITHHELD
                if known is not None and (held or reason is Reason.KubernetesUnavailable):
                    return known[1]
                if reason is not Reason.KubernetesUnavailable:
                    # So that `changed` sees at its first look that what is there now was not there before.
                    self._told[ref] = reason
                raise
            self._read[ref] = (self._clock.mono(), found)
            return found

    def _forget(self) -> None:
        """Drop what was not read for :data:`UNUSED_FOR` seconds: pools come and go, and their tokens must not
        stay in memory.
        """
        unused_since = self._clock.mono() - UNUSED_FOR
        for ref in [ref for ref, used in self._used.items() if used < unused_since]:
            if not self._locks[ref].locked():
                for known in (self._used, self._locks, self._read, self._told):
                    known.pop(ref, None)

    async def changed(self, ref: SecretRef) -> bool:
        """Read a Secret now, and return whether it is another than when it was read last, or was missing, or
        could not be read.

        What it holds now is used from then on. While Kubernetes cannot be asked, nothing has changed.
        """
        self._used[ref] = self._clock.mono()
        async with self._locks.setdefault(ref, asyncio.Lock()):
            known = self._read.get(ref)
            before = self._told.get(ref, known[1] if known is not None else None)
            found: Secret | Reason
            try:
                found = await self._secrets.read(ref)
            except UpstreamError as error:
                if error.failure.reason is Reason.KubernetesUnavailable:
                    return False
                found = error.failure.reason
            else:
                self._read[ref] = (self._clock.mono(), found)
            self._told[ref] = found
            return before is not None and (before != found or (known is not None and known[1] != found))

    def expire(self, ref: SecretRef) -> None:
        """Read a Secret again at the next call: what it held was refused."""
        known = self._read.get(ref)
        if known is not None:
            self._read[ref] = (float("-inf"), known[1])
