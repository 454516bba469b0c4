"""What tests do to a namespace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from controller.adapters.kube.client import Client, path_of, pools_path


@dataclass(frozen=True)
class Cluster:
    client: Client
    namespace: str

    async def make_pool(self, name: str = "gpu") -> str:
        """Create a RunnerPool and return its uid."""
        spec = {
            "github": {"url": "https://github.com/acme/lib", "credentialsSecret": "gh"},
            "labels": ["hf"],
            "huggingface": {"namespace": "acme", "tokenSecret": "hf"},
            "flavors": ["t4-small"],
        }
        made = await self.client.request_json(
            "POST",
            pools_path(self.namespace),
            body={
                "apiVersion": "hfrunners.dev/v1alpha1",
                "kind": "RunnerPool",
                "metadata": {"name": name},
                "spec": spec,
            },
        )
        return str(made["metadata"]["uid"])

    async def pool(self, name: str = "gpu") -> dict[str, Any]:
        found: dict[str, Any] = await self.client.request_json("GET", pools_path(self.namespace, name))
        return found

    async def patch_pool(self, patch: dict[str, Any], *rest: str, name: str = "gpu") -> None:
        await self.client.request_json(
            "PATCH",
            pools_path(self.namespace, name, *rest),
            body=patch,
            content_type="application/merge-patch+json",
        )

    async def delete_pool(self, name: str = "gpu") -> None:
        await self.client.request_json("DELETE", pools_path(self.namespace, name))

    def core(self, *rest: str) -> str:
        return path_of("api", "v1", "namespaces", self.namespace, *rest)

    async def events(self) -> list[dict[str, Any]]:
        path = path_of("apis", "events.k8s.io", "v1", "namespaces", self.namespace, "events")
        items: list[dict[str, Any]] = (await self.client.request_json("GET", path))["items"]
        return items
