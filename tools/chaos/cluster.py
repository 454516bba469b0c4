"""One namespace of the real API server, for RunnerPools and the Lease."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from controller.adapters.kube.client import Client, path_of, pools_path
from controller.adapters.kube.errors import KubernetesError
from controller.adapters.kube.stop_switch import KubernetesStopSwitch, SwitchName
from tools.chaos.world import World

CRD = Path(__file__).parents[2] / "crds" / "hfrunners.dev_runnerpools.yaml"
LEASE = "hf-runner-controller"
STOP_SWITCH = "hf-runner-controller-pause"
APPLY = [("fieldManager", "chaos"), ("force", "true")]


class Cluster:
    """What a person does to the namespace, and reads in it."""

    def __init__(self, *, kube: Client, namespace: str) -> None:
        self._kube = kube
        self.namespace = namespace

    async def prepare(self, world: World) -> None:
        """Install the CRD, and make the namespace with the Secrets that the world's pools name."""
        crd = yaml.safe_load(CRD.read_text())
        crds = ("apis", "apiextensions.k8s.io", "v1", "customresourcedefinitions")
        await self._apply(path_of(*crds, crd["metadata"]["name"]), crd)
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        await self._apply(path_of("api", "v1", "namespaces", self.namespace), namespace)
        for name, data in world.secrets.items():
            secret = {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name},
                "stringData": dict(data),
            }
            await self._apply(path_of("api", "v1", "namespaces", self.namespace, "secrets", name), secret)
        await self._until_served()

    async def _until_served(self) -> None:
        async with asyncio.timeout(30):
            while True:
                try:
                    await self.pools()
                except KubernetesError:
                    await asyncio.sleep(0.2)
                else:
                    return

    async def apply(self, pool: Mapping[str, Any]) -> None:
        """Apply a RunnerPool."""
        await self._apply(pools_path(self.namespace, pool["metadata"]["name"]), pool)

    async def pools(self) -> list[str]:
        """Return the names of the RunnerPools that exist."""
        found = await self._kube.request_json("GET", pools_path(self.namespace))
        return [pool["metadata"]["name"] for pool in found["items"]]

    async def delete_pools(self) -> None:
        """Ask for the deletion of all RunnerPools."""
        for name in await self.pools():
            await self._kube.request_json("DELETE", pools_path(self.namespace, name))

    async def delete_pool(self, name: str) -> None:
        """Ask for the deletion of one RunnerPool."""
        await self._kube.request_json("DELETE", pools_path(self.namespace, name))

    def stop_switch(self) -> KubernetesStopSwitch:
        """Return the switch :data:`STOP_SWITCH` of the namespace."""
        where = SwitchName(namespace=self.namespace, name=STOP_SWITCH)
        return KubernetesStopSwitch(client=self._kube, switch=where)

    async def holder(self) -> str:
        """Return who holds the Lease; empty when it was released, or was never made."""
        path = path_of("apis", "coordination.k8s.io", "v1", "namespaces", self.namespace, "leases", LEASE)
        try:
            found = await self._kube.request_json("GET", path)
        except KubernetesError as error:
            if error.status == 404:
                return ""
            raise
        return str(found["spec"].get("holderIdentity") or "")

    async def _apply(self, path: str, body: Mapping[str, Any]) -> None:
        await self._kube.request_json(
            "PATCH", path, query=APPLY, body=dict(body), content_type="application/apply-patch+yaml"
        )
