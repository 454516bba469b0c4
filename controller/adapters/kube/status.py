"""Writes a pool's status by server-side apply: what we no longer say disappears, and what others say stays
theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from controller.adapters.kube.client import FIELD_MANAGER, JSON, Client, pools_path
from controller.adapters.kube.errors import ConflictError, NotFoundError
from controller.core.resource import API_VERSION, KIND
from controller.ports import Leadership

TRIES = 3
"""Tries when somebody else changes the same object at the same moment."""

MOST_VERSIONS = 10_000


class KubernetesStatus:
    """Status over the API: :class:`controller.ports.StatusWriter`.

    Args:
        client: Needs ``patch`` on ``runnerpools/status`` and ``get`` on ``runnerpools``.
        seen: Told of every pool as an answer shows it.
        leadership: While it does not hold, nothing is written: a replica that was stopped must not overwrite
            what its successor said. None for a process that runs alone.
    """

    def __init__(
        self,
        *,
        client: Client,
        seen: Callable[[JSON], object] = lambda _: None,
        leadership: Leadership | None = None,
    ) -> None:
        self._client = client
        self._seen = seen
        self._leadership = leadership
        self._versions: dict[str, str] = {}

    async def write(self, *, namespace: str, name: str, uid: str, status: Mapping[str, object]) -> None:
        """Apply the whole status; a pool that is gone, or was made again under the same name, is no error.
        Idempotent.

        A wrong ``metadata.uid`` in what is applied to ``/status`` goes unnoticed (the API server copies the
        metadata over it), so the ``resourceVersion`` of the object that had the right one is sent instead: no
        other object can have it. It comes with the answer to the last write; only the first write, and one
        after somebody else's, has to ask.

        Raises:
            KubernetesError: Anything else that keeps the status from being written.
        """
        for attempt in range(1, TRIES + 1):
            version = self._versions.pop(uid, None) or await self._version(namespace, name, uid)
            if version is None or not (self._leadership is None or self._leadership.holds()):
                return
            try:
                written = await self._client.request_json(
                    "PATCH",
                    pools_path(namespace, name, "status"),
                    query=[("fieldManager", FIELD_MANAGER), ("force", "true")],
                    body={
                        "apiVersion": API_VERSION,
                        "kind": KIND,
                        "metadata": {"namespace": namespace, "name": name, "resourceVersion": version},
                        "status": dict(status),
                    },
                    content_type="application/apply-patch+yaml",
                )
            except NotFoundError:
                return
            except ConflictError:
                if attempt == TRIES:
                    raise
            else:
                if len(self._versions) >= MOST_VERSIONS:
                    self._versions.clear()  # costs one question per pool
                self._versions[uid] = written["metadata"]["resourceVersion"]
                self._seen(written)
                return

    async def _version(self, namespace: str, name: str, uid: str) -> str | None:
        """Return the object's newest version, or None when there is no object of this uid."""
        try:
            found = await self._client.request_json("GET", pools_path(namespace, name))
        except NotFoundError:
            return None
        metadata = found["metadata"]
        return str(metadata["resourceVersion"]) if metadata["uid"] == uid else None
