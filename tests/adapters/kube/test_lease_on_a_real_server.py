"""One Lease on a real API server: what it refuses is what keeps two replicas apart."""

from __future__ import annotations

import pytest

from controller.adapters.kube.client import connect, path_of
from controller.adapters.kube.election import VACANT
from controller.adapters.kube.errors import KubernetesError
from controller.adapters.kube.lease import KubernetesLeases, LeaseConflict
from controller.core.reasons import Reason
from hf_runner_simulators.clock import LoopClock
from tests.adapters.kube.cluster import Cluster
from tools.controlplane import ControlPlane

pytestmark = pytest.mark.controlplane

RBAC = "apis", "rbac.authorization.k8s.io", "v1", "namespaces"


def leases_of(cluster: Cluster, clock: LoopClock | None = None) -> KubernetesLeases:
    clock = clock or LoopClock(time=lambda: 0.0)
    return KubernetesLeases(client=cluster.client, namespace=cluster.namespace, name="hf", clock=clock)


def path(cluster: Cluster) -> str:
    return path_of("apis", "coordination.k8s.io", "v1", "namespaces", cluster.namespace, "leases", "hf")


async def test_a_lease_is_made_taken_renewed_and_released(cluster: Cluster) -> None:
    clock = LoopClock(time=lambda: 0.0)
    leases = leases_of(cluster, clock)
    assert await leases.read() is None
    made = await leases.write(None, holder=VACANT, seconds=15)
    taken = await leases.write(made, holder="a", seconds=14.2)
    clock.jump(1.0)
    renewed = await leases.write(taken, holder="a", seconds=14.2)
    assert (taken.holder, taken.seconds, taken.transitions) == ("a", 15.0, 1)
    assert (renewed.transitions, len({made.version, taken.version, renewed.version})) == (1, 3)
    released = await leases.write(renewed, holder="", seconds=15)
    found = await leases.read()
    assert found is not None
    assert (found.holder, found.version, found.transitions) == ("", released.version, 1)


async def test_a_renewal_by_a_clock_that_stands_still_shows_that_it_changed_nothing(cluster: Cluster) -> None:
    leases = leases_of(cluster)
    made = await leases.write(None, holder=VACANT, seconds=15)
    taken = await leases.write(made, holder="a", seconds=15)
    assert (await leases.write(taken, holder="a", seconds=15)).version == taken.version


async def test_only_the_newest_version_can_be_replaced(cluster: Cluster) -> None:
    leases = leases_of(cluster)
    made = await leases.write(None, holder=VACANT, seconds=15)
    await leases.write(made, holder="a", seconds=15)
    with pytest.raises(LeaseConflict):
        await leases.write(made, holder="b", seconds=15)
    with pytest.raises(LeaseConflict):
        await leases.write(None, holder="b", seconds=15)


async def test_a_lease_that_was_deleted_cannot_be_renewed_nor_one_that_was_made_again(
    cluster: Cluster,
) -> None:
    leases = leases_of(cluster)
    made = await leases.write(None, holder="a", seconds=15)
    await cluster.client.request_json("DELETE", path(cluster))
    with pytest.raises(LeaseConflict):
        await leases.write(made, holder="a", seconds=15)
    await leases.write(None, holder="b", seconds=15)
    with pytest.raises(LeaseConflict):
        await leases.write(made, holder="a", seconds=15)


async def test_what_others_say_in_it_stays(cluster: Cluster) -> None:
    leases = leases_of(cluster)
    await leases.write(None, holder="a", seconds=15)
    await cluster.client.request_json(
        "PATCH",
        path(cluster),
        body={"metadata": {"annotations": {"note": "mine"}}},
        content_type="application/merge-patch+json",
    )
    written = await leases.write(await leases.read(), holder="a", seconds=15)
    assert written.body["metadata"]["annotations"] == {"note": "mine"}


async def test_get_create_and_update_are_all_that_it_needs(
    cluster: Cluster, api_server: ControlPlane
) -> None:
    rules = [
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]}
    ]
    role = {"metadata": {"name": "lead"}, "rules": rules}
    binding = {
        "metadata": {"name": "lead"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "lead"},
        "subjects": [{"kind": "ServiceAccount", "name": "hf", "namespace": cluster.namespace}],
    }
    kubeconfig = api_server.service_account_kubeconfig(namespace=cluster.namespace, name="hf")
    async with await connect(kubeconfig=str(kubeconfig)) as client:
        leases = KubernetesLeases(
            client=client, namespace=cluster.namespace, name="hf", clock=LoopClock(time=lambda: 0.0)
        )
        with pytest.raises(KubernetesError) as refused:
            await leases.read()
        assert refused.value.failure.reason is Reason.KubernetesForbidden
        for kind, body in (("roles", role), ("rolebindings", binding)):
            await cluster.client.request_json("POST", path_of(*RBAC, cluster.namespace, kind), body=body)
        made = None
        for _ in range(100):  # the authorizer learns of a binding a moment later
            try:
                made = await leases.write(await leases.read(), holder=VACANT, seconds=15)
                break
            except KubernetesError:
                continue
        assert made is not None
        assert (await leases.write(made, holder="a", seconds=15)).holder == "a"
