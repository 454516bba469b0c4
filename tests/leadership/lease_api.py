"""A simulated API server with one Lease, as each replica reaches it over its own bad line."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import dataclass, field
from random import Random
from typing import Any

from controller.adapters.kube.errors import KubernetesError, kind_of

Body = dict[str, Any]


def _error(status: int | None) -> KubernetesError:
    return kind_of(status)(f"answer {status}", status=status)


class LeaseServer:
    """Optimistic locking as the API server does it; ``careless`` switches it off, to see that tests notice."""

    def __init__(self, *, careless: bool = False) -> None:
        self.lease: Body | None = None
        self.careless = careless
        self._version = 0

    @property
    def holder(self) -> str:
        return str(self.lease["spec"]["holderIdentity"]) if self.lease else ""

    def handle(self, method: str, body: Body | None) -> Body:
        if method == "GET":
            if self.lease is None:
                raise _error(404)
        elif method == "POST":
            if self.lease is not None:
                raise _error(409)
            self._store(body)
        elif method == "PUT":
            if self.lease is None:
                raise _error(404)
            known = self.lease["metadata"]["resourceVersion"]
            if not self.careless and (body or {})["metadata"]["resourceVersion"] != known:
                raise _error(409)
            self._store(body)
        return copy.deepcopy(self.lease or {})

    def delete(self) -> None:
        self.lease = None

    def give(self, holder: str) -> None:
        """Change the holder, as a person with ``kubectl edit`` does."""
        assert self.lease is not None
        given = copy.deepcopy(self.lease)
        given["spec"]["holderIdentity"] = holder
        self._store(given)

    def touch(self) -> None:
        """Change something that is nobody's renewal, as ``kubectl annotate`` does."""
        assert self.lease is not None
        touched = copy.deepcopy(self.lease)
        touched["metadata"].setdefault("annotations", {})["note"] = str(self._version)
        self._store(touched)

    def _store(self, body: Body | None) -> None:
        assert body is not None
        if body == self.lease:
            return  # as the API server does
        self._version += 1
        self.lease = copy.deepcopy(body)
        self.lease["metadata"]["resourceVersion"] = str(self._version)


@dataclass
class Line:
    """One replica's way to the server; stands where the Kubernetes client would.

    A request that was sent arrives, whatever becomes of who sent it.
    """

    server: LeaseServer
    random: Random
    lost_requests: float = 0.0
    lost_answers: float = 0.0
    refusals: float = 0.0
    slowest: float = 0.0
    _open: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.thaw()

    def freeze(self) -> None:
        """Let it hang: nothing gets through in either direction, and nothing is refused."""
        self._open.clear()

    def thaw(self) -> None:
        self._open.set()

    def mend(self) -> None:
        """End all trouble."""
        self.thaw()
        self.lost_requests = self.lost_answers = self.refusals = self.slowest = 0.0

    async def request_json(self, method: str, path: str, *, body: Body | None = None, **_: Any) -> Body:
        assert "/leases" in path
        await self._open.wait()
        if self.random.random() < self.refusals:
            raise _error(self.random.choice([500, 503, 403, None]))
        if self.random.random() < self.lost_requests:
            await asyncio.Event().wait()
        delivery = asyncio.create_task(self._deliver(method, copy.deepcopy(body)))
        answer = await asyncio.shield(delivery)
        await self._open.wait()
        if self.random.random() < self.lost_answers:
            await asyncio.Event().wait()
        if isinstance(answer, KubernetesError):
            raise answer
        return answer

    async def _deliver(self, method: str, body: Body | None) -> Body | KubernetesError:
        await asyncio.sleep(self._delay())
        try:
            answer: Body | KubernetesError = self.server.handle(method, body)
        except KubernetesError as error:
            answer = error
        await asyncio.sleep(self._delay())
        return answer

    def _delay(self) -> float:
        """Return mostly milliseconds, sometimes anything up to the slowest."""
        return self.random.uniform(0, self.slowest) if self.random.random() < 0.2 else 0.01
