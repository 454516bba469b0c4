"""Compares the registry of pools with lists: a watch may miss that an object is gone."""

from __future__ import annotations

import asyncio
import logging

from controller.adapters.kube.client import Client
from controller.adapters.kube.errors import ForbiddenError
from controller.adapters.kube.pools import list_pools
from controller.core.model import Failure
from controller.core.reasons import Reason
from controller.observe.freshness import Freshness
from controller.pools import PoolRegistry
from controller.ports import UpstreamError

log = logging.getLogger(__name__)

COMPARE_INTERVAL = 300.0
"""Seconds between two comparisons of the registry with a list: a watch may miss that an object is gone (kopf.md §0.7)."""

COMPARE_AGAIN = 30.0
"""Seconds after a comparison that failed."""


async def compare(kube: Client, registry: PoolRegistry, namespaces: tuple[str, ...]) -> int:
    """Compare the registry with a list; return by how many objects it was behind.

    One of several namespaces that may not be listed costs the others nothing: it may be gone, and its Role with it.

    Raises:
        UpstreamError: No namespace may be listed, or something else went wrong.
    """
    before, bodies = registry.uids(), []
    refused: dict[str, ForbiddenError] = {}
    for namespace in namespaces or (None,):
        try:
            bodies += await list_pools(kube, namespace=namespace)
        except ForbiddenError as error:
            if namespace is None or len(refused) + 1 == len(namespaces):
                raise
            refused[namespace] = error
    for name, refusal in refused.items():
        log.warning(
            "namespace not served; take it out of --namespace if it is gone",
            extra={
                "namespace": name,
                "reason": str(refusal.failure.reason),
                "detail": refusal.failure.message,
            },
        )
    return registry.replace_all(bodies, before=before, unlisted=refused)


async def compare_for_ever(
    kube: Client, registry: PoolRegistry, namespaces: tuple[str, ...], freshness: Freshness
) -> None:
    """Compare again and again, and tell ``freshness`` of each comparison.

    Raises:
        UpstreamError: A namespace that could not be listed at the start can be now: only a new start watches it.
    """
    pause, unwatched = COMPARE_INTERVAL, registry.unlisted
    while True:
        await asyncio.sleep(pause)
        try:
            freshness.compared(await compare(kube, registry, namespaces))
            pause = COMPARE_INTERVAL
        except UpstreamError as error:
            freshness.not_compared(str(error))
            pause = COMPARE_AGAIN
            log.warning(
                "RunnerPools not listed", extra={"reason": str(error.failure.reason), "detail": str(error)}
            )
        if back := sorted(unwatched - registry.unlisted):
            message = f"RunnerPools of namespace {', '.join(back)} can be listed now, and are not watched yet: start again."
            raise UpstreamError(Failure(reason=Reason.KubernetesForbidden, message=message))
