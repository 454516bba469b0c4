"""Reading Secrets, and what is said when that fails."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

import pytest

from controller.adapters.kube.client import connect
from controller.adapters.kube.rights import SecretAccess
from controller.adapters.kube.secrets import KubernetesSecrets
from controller.core.model import SecretRef
from controller.core.reasons import Reason
from controller.ports import UpstreamError
from tests.adapters.kube.cluster import Cluster

if TYPE_CHECKING:
    from tools.controlplane import ControlPlane

pytestmark = pytest.mark.controlplane


async def put(cluster: Cluster, **values: bytes) -> SecretRef:
    body = {
        "metadata": {"name": "hf"},
        "data": {k: b64encode(v).decode() for k, v in values.items()},
    }
    await cluster.client.request_json("POST", cluster.core("secrets"), body=body)
    return SecretRef(cluster.namespace, "hf")


async def test_values_come_decoded(cluster: Cluster) -> None:
    ref = await put(cluster, token=b"hf_secret\n", empty=b"", accent="é".encode())
    assert dict((await KubernetesSecrets(client=cluster.client).read(ref)).data) == {
        "token": "hf_secret\n",
        "empty": "",
        "accent": "é",
    }


async def test_a_binary_value_is_left_out(cluster: Cluster) -> None:
    ref = await put(cluster, token=b"hf_secret", keystore=b"\xff\xfe\x00")
    assert sorted((await KubernetesSecrets(client=cluster.client).read(ref)).data) == ["token"]


async def test_a_secret_without_data_is_empty(cluster: Cluster) -> None:
    ref = await put(cluster)
    found = await KubernetesSecrets(client=cluster.client).read(ref)
    assert (len(found.data), found.labels) == (0, {})


async def test_labels_come_with_the_values(cluster: Cluster) -> None:
    ref = await put(cluster, token=b"hf_secret")
    await cluster.client.request_json(
        "PATCH",
        cluster.core("secrets", "hf"),
        body={"metadata": {"labels": {"hfrunners.dev/runner-env": "true"}}},
        content_type="application/merge-patch+json",
    )
    found = await KubernetesSecrets(client=cluster.client).read(ref)
    assert found.labels == {"hfrunners.dev/runner-env": "true"}


async def test_no_representation_shows_a_value(cluster: Cluster) -> None:
    ref = await put(cluster, token=b"hf_secret")
    secret = await KubernetesSecrets(client=cluster.client).read(ref)
    assert "token" in repr(secret.data)
    for text in (repr(secret), str(secret), f"{secret}", repr(secret.data), str(secret.data)):
        assert "hf_secret" not in text


async def test_a_rotated_secret_shows_at_the_next_read(cluster: Cluster) -> None:
    ref = await put(cluster, token=b"old")
    secrets = KubernetesSecrets(client=cluster.client)
    assert (await secrets.read(ref)).data["token"] == "old"
    await cluster.client.request_json(
        "PATCH",
        cluster.core("secrets", "hf"),
        body={"data": {"token": b64encode(b"new").decode()}},
        content_type="application/merge-patch+json",
    )
    assert (await secrets.read(ref)).data["token"] == "new"


async def test_a_missing_secret_is_named_with_its_namespace(cluster: Cluster) -> None:
    with pytest.raises(UpstreamError) as caught:
        await KubernetesSecrets(client=cluster.client).read(SecretRef(cluster.namespace, "absent"))
    assert caught.value.failure.reason is Reason.SecretMissing
    assert f"Secret absent in namespace {cluster.namespace}" in caught.value.failure.message


async def test_a_forbidden_secret_names_the_account_and_the_verb(
    cluster: Cluster, api_server: ControlPlane
) -> None:
    ref = await put(cluster, token=b"hf_secret")
    kubeconfig = api_server.service_account_kubeconfig(namespace=cluster.namespace, name="powerless")
    async with await connect(kubeconfig=str(kubeconfig)) as powerless:
        with pytest.raises(UpstreamError) as caught:
            await KubernetesSecrets(client=powerless, access=SecretAccess()).read(ref)
    failure = caught.value.failure
    assert failure.reason is Reason.SecretForbidden
    for word in (f"system:serviceaccount:{cluster.namespace}:powerless", "get", "secrets"):
        assert word in failure.message
