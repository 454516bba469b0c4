"""What the controller needs of Kubernetes, in memory: RunnerPools with status, Secrets, Events.

No API server: kopf and the Kubernetes client are proved on a real one. Deletion works as there: an object
with our finalizer stays, marked, until the controller lets it go.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.adapters.kube.errors import KubernetesError, kind_of
from controller.api.status.values import iso
from controller.core.model import Disposition, Failure, PoolKey, SecretRef
from controller.core.reasons import Reason
from controller.ports import Clock, Secret, UpstreamError
from hf_runner_simulators.doors import Incarnation


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One Event, as it was emitted."""

    at: float
    pool: str
    warning: bool
    reason: str
    message: str


_OF_ANOTHER_MANAGER = frozenset({"intents", "term"})
"""Fields of a status that are merged in apart from the rest. The API server leaves them alone
when the rest is applied."""


class MemoryCluster:
    """A cluster's objects; implements the ports ``Secrets``, ``StatusWriter`` and ``Events``."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._uids = itertools.count(1)
        self._versions = itertools.count(1)
        self._secrets: dict[SecretRef, Secret] = {}
        self.pools: dict[PoolKey, dict[str, Any]] = {}
        self.events: list[Event] = []
        self.down = False
        """The API server answers nobody."""
        self.without_roles: set[str] = set()
        """Namespaces where the controller may do nothing any more but read and patch RunnerPools: its
        Role went with the others."""
        self.unreadable: set[str] = set()
        """Namespaces whose Secrets the controller may not read: no RoleBinding of its lets it."""
        self.write_seconds = 0.0
        """How long the API server takes for a status."""
        self.trouble: Callable[[str], str] = lambda _: ""
        """Called with each request for one pool: ``moved`` if somebody else changes the pool just before a
        write, ``lost`` if the answer to a write does not come back, nothing if all goes well."""
        self.written: Callable[[str], None] = lambda _: None
        """Called with the text of each status and Event that the controller writes."""

    # ------------------------------------------------------------------------------------------ what users do
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
        self.touch(key)
        return key

    def touch(self, key: PoolKey) -> None:
        """Give a RunnerPool a new version, as every change does."""
        self.pools[key]["metadata"]["resourceVersion"] = str(next(self._versions))

    def delete(self, key: PoolKey) -> None:
        """Ask for a RunnerPool's deletion."""
        self.pools[key]["metadata"]["deletionTimestamp"] = iso(self._clock.wall())
        self.touch(key)

    def set_secret(
        self,
        namespace: str,
        name: str,
        data: Mapping[str, str] | None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Set a Secret, or delete it."""
        ref = SecretRef(namespace, name)
        if data is None:
            self._secrets.pop(ref, None)
        else:
            self._secrets[ref] = Secret(data=dict(data), labels=dict(labels or {}))

    # ------------------------------------------------------------------------------- what the controller does
    def release(self, key: PoolKey) -> None:
        """Remove the finalizer of a deleted RunnerPool: it is gone."""
        del self.pools[key]

    async def read(self, ref: SecretRef) -> Secret:
        """Return a Secret (``Secrets``)."""
        self.reach()
        if ref.namespace in self.without_roles | self.unreadable:
            raise UpstreamError(
                Failure(
                    reason=Reason.SecretForbidden,
                    message=f"Secret {ref} may not be read; bind the role.",
                    disposition=Disposition.PERSON,
                )
            )
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
        self.reach()
        if namespace in self.without_roles:
            raise _refusal(403)
        self.written(repr(status))
        known = self.pools.get(PoolKey(namespace, name))
        if known is None or known["metadata"]["uid"] != uid:
            return
        if taken := _OF_ANOTHER_MANAGER & status.keys():
            raise AssertionError(f"applied by force what is another manager's: {sorted(taken)}")
        kept = {name: value for name, value in known["status"].items() if name in _OF_ANOTHER_MANAGER}
        known["status"] = {**copy.deepcopy(dict(status)), **kept}
        self.touch(PoolKey(namespace, name))

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

    def reach(self) -> None:
        """Raise unless the API server answers."""
        if self.down:
            raise UpstreamError(
                Failure(
                    reason=Reason.KubernetesUnavailable, message="The Kubernetes API server does not answer."
                )
            )


class ApiServer:
    """One process's way to the API server: reads and merge patches of single RunnerPools.

    A merge patch is RFC 7396: objects are merged, null removes, everything else takes the place of what is
    there. One that names a ``resourceVersion`` other than the object's is refused with 409 and changes
    nothing, as a Kubernetes API server does.

    Args:
        cluster: What it serves.
        incarnation: Whose; once it is dead, nothing of it arrives any more, and it is answered nothing.
    """

    def __init__(self, cluster: MemoryCluster, incarnation: Incarnation) -> None:
        self._cluster = cluster
        self._incarnation = incarnation

    async def request_json(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Any = None,  # noqa: ANN401 - JSON
        content_type: str = "application/json",
    ) -> Any:  # noqa: ANN401 - JSON
        """Answer one request."""
        del query
        await self._on_the_way()
        namespace, name = _POOL.fullmatch(path).group("namespace", "name")  # type: ignore[union-attr] # no other path is served
        key = PoolKey(namespace, name)
        trouble = self._cluster.trouble(f"{method} {key}")
        self._cluster.reach()
        pool = self._cluster.pools.get(key)
        if pool is None:
            raise _refusal(404)
        if method == "PATCH":
            if namespace in self._cluster.without_roles:
                raise _refusal(403)
            assert content_type == "application/merge-patch+json"
            if trouble == "moved":
                self._cluster.touch(key)
            if body["metadata"]["resourceVersion"] != pool["metadata"]["resourceVersion"]:
                raise _refusal(409)
            self._cluster.written(repr(body["status"]))
            pool["status"] = _merged(pool["status"], body["status"])
            self._cluster.touch(key)
        answer = copy.deepcopy(pool)
        await self._on_the_way()
        if trouble == "lost" and method == "PATCH":
            raise _refusal(None)
        return answer

    async def _on_the_way(self) -> None:
        await asyncio.sleep(TO_THE_API_SERVER)
        if not self._incarnation.alive:
            await asyncio.Event().wait()


TO_THE_API_SERVER = 0.005
"""Seconds, one way."""

_POOL = re.compile(
    r"/apis/hfrunners\.dev/v1alpha1/namespaces/(?P<namespace>[^/]+)/runnerpools/(?P<name>[^/]+)(/status)?"
)


def _merged(into: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(into)
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        elif isinstance(value, dict) and isinstance(found.get(name), dict):
            found[name] = _merged(found[name], value)
        else:
            found[name] = copy.deepcopy(value)
    return found


def _refusal(status: int | None) -> KubernetesError:
    kind = kind_of(status)
    return kind(f"{status}: {kind.reason.meaning}", status=status, in_doubt=status is None)
