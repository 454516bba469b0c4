"""One Lease object: the record that replicas elect their leader with. Who may act is decided in
:mod:`.election`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import ceil
from typing import Any

from controller.adapters.kube.client import Client, path_of
from controller.adapters.kube.errors import ConflictError, NotFoundError
from controller.ports import Clock

API_VERSION = "coordination.k8s.io/v1"


class LeaseConflict(Exception):  # noqa: N818 - an answer, not a failure
    """Somebody else changed, made or deleted the Lease since it was read: read it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A Lease as it was read.

    Attributes:
        holder: Identity of who leads; empty when it was released.
        seconds: How long the others wait without seeing a change before they take it over.
        transitions: How often it has changed hands.
        version: The object's ``resourceVersion``; every write makes a new one.
        body: The whole object, so that a write leaves what others say in it.
    """

    holder: str
    seconds: float
    transitions: int
    version: str
    body: Mapping[str, Any] = field(repr=False, default_factory=dict)


class KubernetesLeases:
    """One Lease over the API: :class:`controller.adapters.kube.election.Leases`.

    Args:
        client: Needs ``get``, ``create`` and ``update`` on ``leases`` of the namespace. One of its own: a
            renewal must not wait behind a hundred statuses.
        namespace: Where it is.
        name: Shared by the replicas of one controller, and by nobody else.
        clock: Time, for what people read in it; nobody's decision rests on that.
    """

    def __init__(self, *, client: Client, namespace: str, name: str, clock: Clock) -> None:
        self._client = client
        self._all = path_of("apis", "coordination.k8s.io", "v1", "namespaces", namespace, "leases")
        self._one = self._all + path_of(name)
        self._name = name
        self._clock = clock

    async def read(self) -> Lease | None:
        """Return the Lease as it is now (a read that no cache answers), or None if there is none.

        Raises:
            KubernetesError: It cannot be read.
        """
        try:
            return _lease(await self._client.request_json("GET", self._one))
        except NotFoundError:
            return None

    async def write(self, known: Lease | None, *, holder: str, seconds: float) -> Lease:
        """Write the holder, and that it is alive, on top of what is known. Not idempotent: the second of two
        conflicts.

        Args:
            known: The newest known state; None makes the object.
            holder: Who leads from now on; empty releases it.
            seconds: For the others' patience, rounded up.

        Raises:
            LeaseConflict: It is not as it was known to be; nothing was written.
            KubernetesError: Anything else; whether it was written is unknown.
        """
        now = datetime.fromtimestamp(self._clock.wall(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = dict(known.body.get("spec") or {}) if known else {}
        if holder and (known is None or holder != known.holder):
            spec["acquireTime"] = now
            spec["leaseTransitions"] = known.transitions + 1 if known else 0
        spec |= {"holderIdentity": holder, "leaseDurationSeconds": max(1, ceil(seconds)), "renewTime": now}
        try:
            if known is None:
                body = {
                    "apiVersion": API_VERSION,
                    "kind": "Lease",
                    "metadata": {"name": self._name},
                    "spec": spec,
                }
                return _lease(await self._client.request_json("POST", self._all, body=body))
            return _lease(
                await self._client.request_json("PUT", self._one, body={**known.body, "spec": spec})
            )
        except ConflictError as error:
            raise LeaseConflict("somebody else changed it") from error
        except NotFoundError as error:
            if known is None:
                raise
            raise LeaseConflict("somebody else changed it") from error


def _lease(body: Mapping[str, Any]) -> Lease:
    spec = body.get("spec") or {}
    return Lease(
        holder=spec.get("holderIdentity") or "",
        seconds=float(spec.get("leaseDurationSeconds") or 0),
        transitions=spec.get("leaseTransitions") or 0,
        version=body["metadata"]["resourceVersion"],
        body=body,
    )
