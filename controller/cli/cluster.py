"""What the demo does to a cluster, as kubectl would."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from controller.adapters.kube.client import Client, path_of, pools_path
from controller.core.reasons import Reason
from controller.core.variables import LABEL, VALUE
from controller.ports import UpstreamError

FIELD_MANAGER = [("fieldManager", "hf-runner-demo"), ("force", "true")]
APPLY = "application/apply-patch+yaml"
SERVED_WITHIN = 60.0
"""Seconds for the API server to serve a CRD that was just installed."""


class Cluster:
    """One namespace of a cluster."""

    def __init__(self, *, kube: Client, namespace: str) -> None:
        self._kube = kube
        self.namespace = namespace

    async def prepare(self, crds: Sequence[Mapping[str, Any]]) -> None:
        """Install the CRDs, make the namespace, and wait until RunnerPools are served there.

        For some seconds after a CRD was made, the API server answers 404, or 429 while it opens the storage.
        """
        for crd in crds:
            name = crd["metadata"]["name"]
            await self._apply(
                path_of("apis", "apiextensions.k8s.io", "v1", "customresourcedefinitions", name), crd
            )
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        await self._apply(path_of("api", "v1", "namespaces", self.namespace), namespace)

        async with asyncio.timeout(SERVED_WITHIN):
            while not await self._serves_pools():  # noqa: ASYNC110 - nobody here could set an event
                await asyncio.sleep(0.2)

    async def _serves_pools(self) -> bool:
        try:
            await self.pools()
        except UpstreamError as error:
            if error.failure.reason in (Reason.KubernetesNotFound, Reason.KubernetesUnavailable):
                return False
            raise
        return True

    async def secrets(self, *, app_id: str, private_key: str, token: str) -> None:
        """Make the Secrets that the examples name."""
        for name, data, labels in (
            ("github-app", {"appId": app_id, "privateKey": private_key}, {}),
            ("hf-token", {"token": token}, {}),
            ("wandb", {"apiKey": "demo"}, {LABEL: VALUE}),  # given to runners
        ):
            metadata = {"name": name, "labels": labels}
            secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}
            await self._apply(path_of("api", "v1", "namespaces", self.namespace, "secrets", name), secret)

    async def apply_pool(self, manifest: Mapping[str, Any]) -> None:
        """Apply a RunnerPool."""
        await self._apply(pools_path(self.namespace, manifest["metadata"]["name"]), manifest)

    async def pools(self) -> Sequence[Mapping[str, Any]]:
        """Return the RunnerPools of the namespace."""
        found = await self._kube.request_json("GET", pools_path(self.namespace))
        items: Sequence[Mapping[str, Any]] = found["items"]
        return items

    async def delete_pool(self, name: str) -> None:
        """Delete a RunnerPool; one that is gone is no error."""
        await self._delete(pools_path(self.namespace, name))

    async def tidy(self) -> None:
        """Delete what the demo made, but for the CRD: other pools may use it."""
        for name in ("github-app", "hf-token", "wandb"):
            await self._delete(path_of("api", "v1", "namespaces", self.namespace, "secrets", name))
        await self._delete(path_of("api", "v1", "namespaces", self.namespace))

    async def _apply(self, path: str, body: Mapping[str, Any]) -> None:
        await self._kube.request_json("PATCH", path, query=FIELD_MANAGER, body=dict(body), content_type=APPLY)

    async def _delete(self, path: str) -> None:
        try:
            await self._kube.request_json("DELETE", path)
        except UpstreamError as error:
            if error.failure.reason is not Reason.KubernetesNotFound:
                raise
