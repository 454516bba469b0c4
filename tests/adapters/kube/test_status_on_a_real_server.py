"""Status by server-side apply, against the API server's own rules."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from controller.adapters.kube.client import Client
from controller.adapters.kube.errors import KubernetesError
from controller.adapters.kube.status import KubernetesStatus
from controller.core.model import Disposition
from controller.core.reasons import Reason
from tests.adapters.kube.cluster import Cluster

pytestmark = pytest.mark.controlplane


class Counting(Client):
    """A client that counts its requests by method."""

    def __init__(self, client: Client) -> None:
        super().__init__(configuration=client.configuration, reload=client._reload)
        self.methods: list[str] = []

    async def request_json(self, method: str, *args: Any, **kwargs: Any) -> Any:
        self.methods.append(method)
        return await super().request_json(method, *args, **kwargs)


async def test_a_status_is_applied_as_our_field_manager(cluster: Cluster) -> None:
    uid = await cluster.make_pool()
    await KubernetesStatus(client=cluster.client).write(
        namespace=cluster.namespace, name="gpu", uid=uid, status={"observedGeneration": 1}
    )
    pool = await cluster.pool()
    assert pool["status"] == {"observedGeneration": 1}
    ours = [m for m in pool["metadata"]["managedFields"] if m.get("subresource") == "status"]
    assert [(m["manager"], m["operation"]) for m in ours] == [("hf-runner-controller", "Apply")]


async def test_what_we_no_longer_say_disappears(cluster: Cluster) -> None:
    uid = await cluster.make_pool()
    writer = KubernetesStatus(client=cluster.client)
    where = {"namespace": cluster.namespace, "name": "gpu", "uid": uid}
    await writer.write(
        **where, status={"flavorNames": "t4-small", "queue": [{"reason": "Paused", "count": 1}]}
    )
    await writer.write(**where, status={"queue": [{"reason": "AtMaxRunners", "count": 2}]})
    status = (await cluster.pool())["status"]
    assert "flavorNames" not in status
    assert [entry["reason"] for entry in status["queue"]] == ["AtMaxRunners"]


async def test_an_equal_status_changes_nothing_and_costs_one_request(cluster: Cluster) -> None:
    uid = await cluster.make_pool()
    async with Counting(cluster.client) as client:
        writer = KubernetesStatus(client=client)
        where = {"namespace": cluster.namespace, "name": "gpu", "uid": uid}
        await writer.write(**where, status={"observedGeneration": 1})
        version = (await cluster.pool())["metadata"]["resourceVersion"]
        client.methods.clear()
        await writer.write(**where, status={"observedGeneration": 1})
        assert client.methods == ["PATCH"]
    assert (await cluster.pool())["metadata"]["resourceVersion"] == version


async def test_a_pool_that_is_gone_is_no_error(cluster: Cluster) -> None:
    uid = await cluster.make_pool()
    writer = KubernetesStatus(client=cluster.client)
    where = {"namespace": cluster.namespace, "name": "gpu", "uid": uid}
    await writer.write(**where, status={"observedGeneration": 1})
    await cluster.delete_pool()
    await writer.write(**where, status={"observedGeneration": 2})
    await KubernetesStatus(client=cluster.client).write(**where, status={"observedGeneration": 2})


async def test_a_status_never_lands_on_another_pool_of_the_same_name(cluster: Cluster) -> None:
    old = await cluster.make_pool()
    writer = KubernetesStatus(client=cluster.client)
    where = {"namespace": cluster.namespace, "name": "gpu", "uid": old}
    await writer.write(**where, status={"observedGeneration": 1})
    await cluster.delete_pool()
    new = await cluster.make_pool()
    assert new != old
    await writer.write(**where, status={"observedGeneration": 7})  # with a version in mind
    await writer.write(**where, status={"observedGeneration": 7})  # without one
    assert (await cluster.pool())["status"] == {"observedGeneration": -1}, "the new pool's default"


async def test_an_edit_in_between_is_overcome(cluster: Cluster) -> None:
    uid = await cluster.make_pool()
    writer = KubernetesStatus(client=cluster.client)
    where = {"namespace": cluster.namespace, "name": "gpu", "uid": uid}
    await writer.write(**where, status={"observedGeneration": 1})
    await cluster.patch_pool({"spec": {"maxRunners": 3}})
    await writer.write(**where, status={"observedGeneration": 2})
    pool = await cluster.pool()
    assert pool["status"] == {"observedGeneration": 2}
    assert pool["spec"]["maxRunners"] == 3


async def test_a_field_that_somebody_else_took_is_taken_back(cluster: Cluster) -> None:
    uid = await cluster.make_pool()
    writer = KubernetesStatus(client=cluster.client)
    where = {"namespace": cluster.namespace, "name": "gpu", "uid": uid}
    await writer.write(**where, status={"observedGeneration": 1})
    await cluster.patch_pool({"status": {"observedGeneration": 99}}, "status")
    await writer.write(**where, status={"observedGeneration": 1})
    assert (await cluster.pool())["status"] == {"observedGeneration": 1}


async def test_writers_that_race_all_get_through(cluster: Cluster) -> None:
    uid = await cluster.make_pool()
    writers = [KubernetesStatus(client=cluster.client) for _ in range(2)]
    async with asyncio.TaskGroup() as group:
        for number, writer in enumerate(writers):
            group.create_task(
                writer.write(
                    namespace=cluster.namespace, name="gpu", uid=uid, status={"observedGeneration": number}
                )
            )
    assert (await cluster.pool())["status"]["observedGeneration"] in (0, 1)


@pytest.mark.parametrize(
    ("status", "named"),
    [
        ({"flavorNames": "f" * 1_200}, "status.flavorNames"),
        ({"observedGeneration": "one"}, "observedGeneration"),
        ({"ofTheNextVersion": 1}, "ofTheNextVersion"),
    ],
    ids=["too long", "of another type", "not in this CRD"],
)
async def test_a_status_that_the_crd_refuses_is_for_a_person(
    cluster: Cluster, status: dict[str, Any], named: str
) -> None:
    uid = await cluster.make_pool()
    with pytest.raises(KubernetesError) as caught:
        await KubernetesStatus(client=cluster.client).write(
            namespace=cluster.namespace, name="gpu", uid=uid, status=status
        )
    failure = caught.value.failure
    assert (failure.reason, failure.disposition) == (Reason.KubernetesRejected, Disposition.PERSON)
    assert named in failure.message
    assert failure.request_id
