"""The adapter on a real API server, each test in a namespace of its own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from controller.adapters.kube.client import Client, connect, path_of, pools_path
from controller.adapters.kube.errors import KubernetesError
from tests.adapters.kube.cluster import Cluster

CRD = Path(__file__).parents[3] / "crds" / "hfrunners.dev_runnerpools.yaml"
_numbers = itertools.count(1)


@pytest.fixture
async def client(control_plane: Path) -> AsyncIterator[Client]:
    async with await connect(kubeconfig=str(control_plane)) as made:
        yield made


@pytest.fixture
async def cluster(client: Client) -> Cluster:
    """A namespace on an API server that serves RunnerPools."""
    crds = path_of("apis", "apiextensions.k8s.io", "v1", "customresourcedefinitions")
    try:
        await client.request_json("POST", crds, body=yaml.safe_load(CRD.read_text()))
    except KubernetesError as error:
        if error.status != 409:  # other tests of this session may have installed it
            raise
    namespace = f"kube-adapter-{next(_numbers)}"
    await client.request_json(
        "POST", path_of("api", "v1", "namespaces"), body={"metadata": {"name": namespace}}
    )
    for _ in range(100):
        try:
            await client.request_json("GET", pools_path(namespace))
        except KubernetesError as error:
            if error.status not in (404, 429):  # not served yet, or its storage is still being set up
                raise
            await asyncio.sleep(0.1)
        else:
            return Cluster(client=client, namespace=namespace)
    pytest.fail("the API server does not serve RunnerPools 10 s after their CRD was created")
