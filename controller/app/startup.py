"""What must be so before the first pass: an id of the controller's own, a type that is new
enough, every pool listed once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from controller import __version__
from controller.adapters.kube.client import Client, path_of
from controller.adapters.kube.schema import served_schema
from controller.api.crd import missing_fields
from controller.app.compare import compare
from controller.app.options import Options
from controller.core.model import Disposition, Failure
from controller.core.naming import label_value
from controller.core.reasons import Reason
from controller.pools import PoolRegistry
from controller.ports import UpstreamError

log = logging.getLogger(__name__)

PUBLISHED_WITHIN = 10.0
"""Seconds for the API server to publish the schema of a CRD that was just replaced."""

_NEXT_STEPS = {
    Reason.KubernetesUnavailable: "Check the API server's address in the kubeconfig, and that it runs.",
    Reason.KubernetesForbidden: "Grant it to the controller's ServiceAccount: docs/reference/rbac.md has the rules.",
}


@contextmanager
def _needed_at_start(hints: Mapping[Reason, str]) -> Iterator[None]:
    """Let a failure of Kubernetes say what to do about it: while running it is tried again,
    at the start it is the end.
    """
    try:
        yield
    except UpstreamError as error:
        reason, words = error.failure.reason, error.failure.message.removesuffix(error.failure.reason.meaning)
        hint = hints.get(reason) or _NEXT_STEPS.get(reason, reason.meaning)
        raise UpstreamError(
            Failure(reason=reason, message=f"{words.strip()} {hint}", disposition=Disposition.PERSON)
        ) from error


async def own_id(kube: Client, options: Options) -> str:
    """Return an id that stays the same for the life of the installation, and that no other in the world has.

    A controller of all namespaces is its cluster's only one: the uid of ``kube-system``, which lives as long
    as the cluster. Of those for single namespaces there may be several: the uid of the namespace where the
    replicas' Lease is, and its name.
    """
    home, suffix = "kube-system", ""
    if options.namespaces and options.election is not None:
        home, suffix = options.election.namespace, f"-{options.election.name}"
    instead = "Pass --controller-id, a name that no other controller uses, or grant it."
    with _needed_at_start({Reason.KubernetesForbidden: instead, Reason.KubernetesNotFound: instead}):
        found = await kube.request_json("GET", path_of("api", "v1", "namespaces", home))
    return label_value(f"{found['metadata']['uid']}{suffix}")


async def list_first(kube: Client, registry: PoolRegistry, namespaces: tuple[str, ...]) -> None:
    """List every pool once, so that no runner looks like one without a pool.

    Raises:
        UpstreamError: They cannot be listed; the message says what to do.
    """
    install = (
        "This cluster has no RunnerPools yet: install the CRD with `kubectl apply --server-side -f crds/`."
    )
    with _needed_at_start({Reason.KubernetesNotFound: install}):
        await compare(kube, registry, namespaces)


async def require_fields(kube: Client, *, installed: bool = False) -> None:
    """Refuse to run on an older CRD: what that has no field for, the API server would drop
    from every status silently.

    Args:
        kube: A client.
        installed: There is a CRD, so its schema will be published, if it is not yet: that is waited for.

    Raises:
        UpstreamError: It is older, and has been for :data:`PUBLISHED_WITHIN`.
    """
    missing: Sequence[str] | None = None
    for _ in range(int(PUBLISHED_WITHIN)):
        try:
            served = await served_schema(kube)
        except UpstreamError as error:
            log.warning("the CRD's schema cannot be checked", extra={"detail": str(error)})
            return
        missing = missing_fields(served) if served else None
        if missing == [] or (missing is None and not installed):
            return
        await asyncio.sleep(1.0)
    if missing is None:
        log.warning("the CRD's schema cannot be checked", extra={"detail": "the API server publishes none"})
        return
    more = f" and {len(missing) - 3} more fields" if len(missing) > 3 else ""
    message = (
        f"The RunnerPool CRD of this cluster is older than this controller ({__version__}): it lacks "
        f"{', '.join(missing[:3])}{more}. Install this version's: `helm upgrade` with crds.enabled=true, or "
        "`kubectl apply --server-side --force-conflicts -f crds/`."
    )
    raise UpstreamError(Failure(reason=Reason.CRDOutdated, message=message, disposition=Disposition.PERSON))
