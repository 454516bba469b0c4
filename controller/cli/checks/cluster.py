"""Whether a cluster has this version's RunnerPool, and lets the controller do what it needs to
(docs/reference/rbac.md).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from controller.adapters.kube.client import Client
from controller.adapters.kube.rights import (
    IN_CLUSTER,
    IN_EACH_NAMESPACE,
    Right,
    for_leases,
    for_switch,
    may,
    secret_access,
    to_read,
)
from controller.adapters.kube.schema import served_schema
from controller.adapters.kube.stop_switch import DEFAULT_SWITCH, KubernetesStopSwitch, find_switches
from controller.api.crd import missing_fields
from controller.cli.checks.findings import Findings, Severity, some
from controller.core.model import Pool, SecretRef
from controller.core.reasons import Reason
from controller.ports import UpstreamError

LEASE = "hf-runner-controller"
"""The Lease that ``run --leader-elect`` takes by default."""


async def check_crd(client: Client, found: Findings) -> None:
    """Check that the cluster's RunnerPool has all fields that this version writes."""
    subject = "the RunnerPool CRD"
    try:
        served = await served_schema(client)
    except UpstreamError as error:
        found.failed(subject, error.failure, severity=Severity.WARNING)
        return
    if served is None:
        message = "The cluster has no RunnerPools yet: install the chart, or `kubectl apply --server-side -f crds/`."
        found.add(Severity.WARNING, Reason.KubernetesNotFound, subject, message)
    elif missing := missing_fields(served):
        reason = Reason.CRDOutdated
        found.add(Severity.ERROR, reason, subject, f"It lacks {some(missing)}. {reason.meaning}")


async def check_switches(client: Client, found: Findings) -> None:
    """Say which launches the cluster's stop switches stop, as far as they may be read."""
    subject = "the stop switch"
    try:
        for switch in await find_switches(client, None):
            subject = f"the stop switch {switch}"
            for stop in await KubernetesStopSwitch(client=client, switch=switch).read():
                message = f"Launches are stopped for {stop}. {stop.undo}"
                found.add(Severity.WARNING, Reason.StopSwitchOn, subject, message)
    except UpstreamError as error:
        message = (
            f"Each pool's condition LaunchesAllowed tells whether it is on; here: {error.failure.message}"
        )
        found.add(Severity.NOTE, Reason.NotChecked, subject, message)


async def check_rights(
    client: Client, *, pools: Iterable[Pool], account: tuple[str, str] | None, found: Findings
) -> None:
    """Check the rights of a ServiceAccount by namespace and name, or of who asks for None."""
    pools = list(pools)
    namespaces = {pool.key.namespace for pool in pools}
    subject = f"ServiceAccount {'/'.join(account)}" if account else "the ServiceAccount of this pod"
    lacking: defaultdict[Right, list[str]] = defaultdict(list)
    wanted = [(right, namespace) for namespace in sorted(namespaces) for right in IN_EACH_NAMESPACE]
    own = (*for_leases(account[0], LEASE), *for_switch(account[0], DEFAULT_SWITCH)) if account else ()
    wanted += [(right, "") for right in (*IN_CLUSTER, *own)]
    try:
        for right, namespace in wanted:
            if not await may(client, right, namespace=namespace, account=account):
                lacking[right].append(right.namespace or namespace)
        await _check_secret_rights(client, pools, account, subject, found)
    except UpstreamError as error:
        found.failed(subject, error.failure)
        return
    for right, where in lacking.items():
        places = f" in {some(place for place in where if place)}" if any(where) else ""
        unless = f", unless {right.optional}" if right.optional else ""
        message = f"It may not {right}{places}, and needs to{unless}. docs/reference/rbac.md has the rules."
        severity = Severity.WARNING if right.optional else Severity.ERROR
        found.add(severity, Reason.KubernetesForbidden, subject, message)


async def _check_secret_rights(
    client: Client, pools: Iterable[Pool], account: tuple[str, str] | None, subject: str, found: Findings
) -> None:
    """Say in which namespaces the Secrets that pools name may not be read, each with the
    command that mends it.
    """
    unreadable: defaultdict[str, list[str]] = defaultdict(list)
    for ref in sorted({ref for pool in pools for ref in _secrets_of(pool)}):
        if not await may(client, to_read(ref.name), namespace=ref.namespace, account=account):
            unreadable[ref.namespace].append(ref.name)
    access = await secret_access(client, account) if unreadable else None
    for namespace, names in unreadable.items():
        assert access is not None
        message = (
            f"It may not read {some(names)} in namespace {namespace}, which pools there name. If rbac.secrets.names is set in the chart's "
            f"values, they must be in it. To let it read them, {access.step(namespace)}"
        )
        found.add(Severity.ERROR, Reason.SecretForbidden, subject, message)


def _secrets_of(pool: Pool) -> Iterable[SecretRef]:
    for place in pool.footprints:
        yield from (place.registrations.source.secret, place.account.secret)
    yield from (variable.secret for variable in pool.template.secret_env)
