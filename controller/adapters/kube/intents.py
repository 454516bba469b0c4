"""Keeps a pool's intents in its status: a merge patch that touches them and their term and nothing else.

Two writers share a status, each with a field manager of its own. The whole status is applied server-side
(:mod:`.status`): what that manager no longer says disappears, so it must never have said anything of the
intents. They are merged in here, under :data:`FIELD_MANAGER`, and stay through whatever the other one
applies.

Each write names the ``resourceVersion`` on which it rests, so the API server refuses it (409) when anybody
has changed anything in the object meanwhile. What may be written again then is for
:mod:`controller.execute.intent_writer` to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from controller.adapters.kube.client import JSON, pools_path
from controller.adapters.kube.errors import ConflictError, NotFoundError
from controller.api.status.stored import read_status, write_down, written
from controller.core.intents import Written
from controller.core.model import PoolKey
from controller.ports import IntentsMoved, StoredIntents

FIELD_MANAGER = "hf-runner-controller-intents"

MOST_KNOWN = 10_000
"""Pools whose newest state is remembered; forgetting one costs a question."""


class Api(Protocol):
    """What is needed of the client."""

    async def request_json(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: JSON = None,
        content_type: str = "application/json",
    ) -> JSON:
        """Call the API server and return its parsed answer; raises :class:`KubernetesError`."""


class KubernetesIntents:
    """Intents over the API: :class:`controller.ports.Intents`.

    Args:
        client: Needs ``get`` on ``runnerpools`` and ``patch`` on ``runnerpools/status``.
    """

    def __init__(self, *, client: Api) -> None:
        self._client = client
        self._newest: dict[str, StoredIntents] = {}

    def newest(self, uid: str) -> StoredIntents | None:
        """Return the newest state that an answer has shown."""
        return self._newest.get(uid)

    def note(self, body: JSON) -> StoredIntents:
        """Take in a pool as an answer to anybody's request shows it, so that the next write need not ask."""
        metadata = body["metadata"]
        stored = StoredIntents(
            uid=metadata["uid"],
            version=metadata["resourceVersion"],
            written=written(read_status(body.get("status")), namespace=metadata["namespace"]),
        )
        if len(self._newest) >= MOST_KNOWN:
            self._newest.clear()
        self._newest[stored.uid] = stored
        return stored

    async def read(self, key: PoolKey) -> StoredIntents | None:
        """Return a pool's intents as they are now."""
        try:
            return self.note(await self._client.request_json("GET", pools_path(key.namespace, key.name)))
        except NotFoundError:
            return None

    async def replace(self, key: PoolKey, known: StoredIntents, written: Written) -> StoredIntents:
        """Write a pool's intents, unless it is not of the known version any more."""
        self._newest.pop(known.uid, None)
        try:
            answer = await self._client.request_json(
                "PATCH",
                pools_path(key.namespace, key.name, "status"),
                query=[("fieldManager", FIELD_MANAGER)],
                body={"metadata": {"resourceVersion": known.version}, "status": write_down(written)},
                content_type="application/merge-patch+json",
            )
        except (NotFoundError, ConflictError) as error:
            raise IntentsMoved from error
        return self.note(answer)
