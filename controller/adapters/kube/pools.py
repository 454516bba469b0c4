"""Complete lists of RunnerPools, to compare with what the watch has told (kopf.md §0.7)."""

from __future__ import annotations

from controller.adapters.kube.client import JSON, Client, pools_path
from controller.adapters.kube.errors import ExpiredError

CHUNK = 500
"""Objects per request; the API server's own clients use the same."""

RESTARTS = 2


async def list_pools(client: Client, *, namespace: str | None = None, chunk: int = CHUNK) -> list[JSON]:
    """Return all RunnerPools, as of one moment, as the API server holds them.

    Args:
        client: Needs ``list`` on ``runnerpools``.
        namespace: Only this one; all if None.
        chunk: Objects per request.

    Raises:
        KubernetesError: The list could not be read to its end; ``KubernetesNotFound`` when there is no such
            CRD.
    """
    for restart in range(RESTARTS + 1):
        try:
            return await _list(client, namespace, chunk)
        except ExpiredError:
            # The server forgot the moment of the first chunk: half a list of then and half of now would be
            # neither.
            if restart == RESTARTS:
                raise
    raise AssertionError("unreachable")


async def _list(client: Client, namespace: str | None, chunk: int) -> list[JSON]:
    pools: list[JSON] = []
    token = ""
    while True:
        query = [("limit", str(chunk)), *([("continue", token)] if token else [])]
        page = await client.request_json("GET", pools_path(namespace), query=query)
        pools += page["items"]
        token = page["metadata"].get("continue", "")
        if not token:
            return pools
