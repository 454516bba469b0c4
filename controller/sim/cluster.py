"""What the controller needs of Kubernetes, in memory: RunnerPools with status, Secrets, Events.

No API server: kopf and the Kubernetes client are proved on a real one. Deletion works as there: an object with our finalizer
stays, marked, until the controller lets it go.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from controller.core.model import Disposition, Failure, PoolKey, SecretRef
from controller.core.reasons import Reason
from controller.core.status import iso
from controller.ports import Clock, UpstreamError


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One Event, as it was emitted."""

    at: float
    pool: str
    warning: bool
    reason: str
    message: str


class MemoryCluster:
    """A cluster's objects; implements the ports ``Secrets``, ``StatusWriter`` and ``Events``."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._uids = itertools.count(1)
        self._secrets: dict[SecretRef, Mapping[str, str]] = {}
        self.pools: dict[PoolKey, dict[str, Any]] = {}
        self.events: list[Event] = []
        self.down = False
        """The API server answers nobody."""
        self.write_seconds = 0.0
        """How long the API server takes for a status."""
        self.written: Callable[[str], None] = lambda _: None
        """Called with the text of each status and Event that the controller writes."""

    # ----------------------------------------------------------------------------------------------------- what users do
    def apply(self, manifest: Mapping[str, Any]) -> PoolKey:
        """Create or change a RunnerPool."""
        metadata = manifest["metadata"]
        key = PoolKey(metadata.get("namespace", "default"), metadata["name"])
        known = self.pools.get(key)
        if known is None:
            number = next(self._uids)
            self.pools[key] = {
                "apiVersion": manifest["apiVersion"],
                "kind": manifest["kind"],
                "metadata": {
                    "namespace": key.namespace,
                    "name": key.name,
                    "uid": f"00000000-0000-4000-8000-{number:012d}",
                    "generation": 1,
                    "creationTimestamp": iso(self._clock.wall()),
                },
                "spec": copy.deepcopy(dict(manifest["spec"])),
                "status": {"observedGeneration": -1},
            }
        elif known["spec"] != manifest["spec"]:
            known["spec"] = copy.deepcopy(dict(manifest["spec"]))
            known["metadata"]["generation"] += 1
        return key

    def delete(self, key: PoolKey) -> None:
        """Ask for a RunnerPool's deletion."""
        self.pools[key]["metadata"]["deletionTimestamp"] = iso(self._clock.wall())

    def set_secret(self, namespace: str, name: str, data: Mapping[str, str] | None) -> None:
        """Set a Secret, or delete it."""
        ref = SecretRef(namespace, name)
        if data is None:
            self._secrets.pop(ref, None)
        else:
            self._secrets[ref] = dict(data)

    # -------------------------------------------------------------------------------------------- what the controller does
    def release(self, key: PoolKey) -> None:
        """Remove the finalizer of a deleted RunnerPool: it is gone."""
        del self.pools[key]

    async def read(self, ref: SecretRef) -> Mapping[str, str]:
        """Return a Secret's data (``Secrets``)."""
        self._reach()
        if ref not in self._secrets:
            raise UpstreamError(
                Failure(
                    reason=Reason.SecretMissing,
                    message=f"Secret {ref} does not exist; create it.",
                    disposition=Disposition.PERSON,
                )
            )
        return self._secrets[ref]

    async def write(self, *, namespace: str, name: str, uid: str, status: Mapping[str, object]) -> None:
        """Set a pool's status (``StatusWriter``)."""
        if self.write_seconds:
            await asyncio.sleep(self.write_seconds)
        self._reach()
        self.written(repr(status))
        known = self.pools.get(PoolKey(namespace, name))
        if known is not None and known["metadata"]["uid"] == uid:
            known["status"] = copy.deepcopy(dict(status))

    async def emit(
        self, *, namespace: str, name: str, uid: str, warning: bool, reason: str, action: str, message: str
    ) -> None:
        """Keep an Event (``Events``)."""
        del uid, action
        self.written(f"{reason}: {message}")
        self.events.append(
            Event(
                at=self._clock.wall(),
                pool=f"{namespace}/{name}",
                warning=warning,
                reason=reason,
                message=message,
            )
        )

    def _reach(self) -> None:
        if self.down:
            raise UpstreamError(
                Failure(
                    reason=Reason.KubernetesUnavailable, message="The Kubernetes API server does not answer."
                )
            )
