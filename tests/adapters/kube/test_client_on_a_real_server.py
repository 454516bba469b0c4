"""Connecting, authenticating, and complete lists."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import yaml
from kubernetes.aio.config import incluster_config

from controller.adapters.kube.client import Client, connect, pools_path
from controller.adapters.kube.errors import ExpiredError, KubernetesError
from controller.adapters.kube.pools import RESTARTS, list_pools
from controller.core.model import Disposition
from controller.core.reasons import Reason
from tests.adapters.kube.cluster import Cluster

if TYPE_CHECKING:
    from tools.controlplane import ControlPlane

pytestmark = pytest.mark.controlplane


async def test_a_list_is_complete_over_chunks(cluster: Cluster) -> None:
    for number in range(5):
        await cluster.make_pool(f"pool-{number}")
    listed = await list_pools(cluster.client, namespace=cluster.namespace, chunk=2)
    assert [pool["metadata"]["name"] for pool in listed] == [f"pool-{n}" for n in range(5)]
    everywhere = await list_pools(cluster.client)
    assert {pool["metadata"]["uid"] for pool in listed} <= {pool["metadata"]["uid"] for pool in everywhere}


class Forgetful(Client):
    """Answers 410 to the first questions for a further chunk."""

    def __init__(self, client: Client, times: int) -> None:
        super().__init__(configuration=client.configuration, reload=client._reload)
        self.times = times

    async def request_json(self, method: str, path: str, *, query: Any = (), **kwargs: Any) -> Any:
        if self.times and any(key == "continue" for key, _ in query):
            self.times -= 1
            query = [(key, "expired" if key == "continue" else value) for key, value in query]
            raise await _gone(super().request_json(method, path, query=query, **kwargs))
        return await super().request_json(method, path, query=query, **kwargs)


async def _gone(call: Any) -> KubernetesError:
    """The server's refusal of a token that it does not know, with the status of one that it forgot."""
    with pytest.raises(KubernetesError) as caught:
        await call
    return ExpiredError(str(caught.value), status=410)


async def test_a_list_that_expired_half_way_starts_again(cluster: Cluster) -> None:
    for number in range(3):
        await cluster.make_pool(f"pool-{number}")
    async with Forgetful(cluster.client, times=RESTARTS) as client:
        listed = await list_pools(client, namespace=cluster.namespace, chunk=2)
    assert [pool["metadata"]["name"] for pool in listed] == ["pool-0", "pool-1", "pool-2"]


async def test_a_list_that_always_expires_fails_instead_of_being_short(cluster: Cluster) -> None:
    for number in range(3):
        await cluster.make_pool(f"pool-{number}")
    async with Forgetful(cluster.client, times=RESTARTS + 1) as client:
        with pytest.raises(KubernetesError):
            await list_pools(client, namespace=cluster.namespace, chunk=2)


async def test_an_unknown_resource_points_to_the_crd(client: Client) -> None:
    with pytest.raises(KubernetesError) as caught:
        await client.request_json("GET", "/apis/no.such.group/v1/things")
    assert caught.value.failure.reason is Reason.KubernetesNotFound
    assert "CRD" in caught.value.failure.message


def read(kubeconfig: Path) -> Any:
    return yaml.safe_load(kubeconfig.read_text())


async def test_a_kubeconfig_from_the_environment_is_used(
    control_plane: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(control_plane))
    async with await connect() as made:
        assert "gitVersion" in await made.request_json("GET", "/version")


async def test_a_context_is_chosen_by_name(control_plane: Path) -> None:
    named = read(control_plane)["current-context"]
    async with await connect(kubeconfig=str(control_plane), context=named) as made:
        assert "gitVersion" in await made.request_json("GET", "/version")
    with pytest.raises(KubernetesError, match="no-such-context"):
        await connect(kubeconfig=str(control_plane), context="no-such-context")


async def test_a_token_that_was_replaced_in_the_kubeconfig_is_read_again(
    control_plane: Path, tmp_path: Path
) -> None:
    good, bad = read(control_plane), read(control_plane)
    path = tmp_path / "kubeconfig"
    bad["users"][0]["user"]["token"] = "expired"
    path.write_text(yaml.safe_dump(bad))
    async with await connect(kubeconfig=str(path)) as made:
        with pytest.raises(KubernetesError) as caught:
            await made.request_json("GET", pools_path())
        assert caught.value.status == 401
        assert caught.value.failure.reason is Reason.KubernetesForbidden
        assert "expired" not in str(caught.value)
        path.write_text(yaml.safe_dump(good))
        assert (await made.request_json("GET", "/api/v1/namespaces"))["items"]


async def test_a_pod_uses_its_service_account_and_notices_a_rotated_token(
    api_server: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = read(api_server.service_account_kubeconfig(namespace="default", name="in-cluster"))
    authority, token = tmp_path / "ca.crt", tmp_path / "token"
    authority.write_bytes(b64decode(account["clusters"][0]["cluster"]["certificate-authority-data"]))
    token.write_text("expired")
    server = urlsplit(account["clusters"][0]["cluster"]["server"])
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", str(server.hostname))
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority))
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    async with await connect() as pod:
        with pytest.raises(KubernetesError) as caught:
            await pod.request_json("GET", "/api/v1/namespaces")
        assert caught.value.status == 401
        token.write_text(account["users"][0]["user"]["token"])
        with pytest.raises(KubernetesError, match="system:serviceaccount:default:in-cluster") as caught:
            await pod.request_json("GET", "/api/v1/namespaces")
        assert caught.value.status == 403


async def test_the_packages_own_apis_work_with_our_client(client: Client) -> None:
    from kubernetes.aio.client import CoordinationV1Api

    leases = await CoordinationV1Api(client).list_namespaced_lease("default")
    assert leases.items == []
    with pytest.raises(KubernetesError) as caught:
        await client.request_json("GET", "/api/v1/namespaces/absent")
    assert caught.value.failure.disposition is Disposition.GONE
