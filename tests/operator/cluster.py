"""One namespace of the real API server, with the verbs of somebody who uses kubectl."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from controller.adapters.kube.client import Client, path_of, pools_path
from controller.adapters.kube.errors import KubernetesError
from tests.operator.cloud import Account

Body = dict[str, Any]
APPLY = [("fieldManager", "kubectl"), ("force", "true")]
PATIENCE = 150.0
"""Seconds for what should take two or three: the machine may be slow."""


def path_for(obj: Mapping[str, Any]) -> str:
    """Return where an object of one of the kinds that are used here lives."""
    kind, metadata = obj["kind"], obj["metadata"]
    group, _, version = obj["apiVersion"].rpartition("/")
    plural = {"RunnerPool": "runnerpools", "CustomResourceDefinition": "customresourcedefinitions"}.get(
        kind, f"{kind.lower()}s"
    )
    base = ("apis", group, version) if group else ("api", version)
    within = ("namespaces", metadata["namespace"]) if "namespace" in metadata else ()
    return path_of(*base, *within, plural, metadata["name"])


async def apply(client: Client, obj: Mapping[str, Any]) -> Body:
    """Do what ``kubectl apply --server-side`` does."""
    body = yaml.safe_dump(dict(obj))
    applied: Body = await client.request_json(
        "PATCH",
        path_for(obj),
        query=APPLY,
        body=yaml.safe_load(body),
        content_type="application/apply-patch+yaml",
    )
    return applied


async def until(met: Callable[[], Any], what: str, *, patience: float = PATIENCE, every: float = 0.1) -> Any:
    """Wait until a question, which may be asynchronous, has a truthy answer, and return that."""
    ends = time.monotonic() + patience
    while True:
        answer = met()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return answer
        assert time.monotonic() < ends, f"not within {patience:.0f} s: {what}"
        await asyncio.sleep(every)


@dataclass(frozen=True, kw_only=True)
class Namespace:
    """A namespace and the account that its pools use unless told otherwise."""

    client: Client
    name: str
    account: Account

    # ------------------------------------------------------------------------------------------------------- Secrets
    async def secret(
        self, name: str, data: Mapping[str, str], labels: Mapping[str, str] | None = None
    ) -> None:
        """Create a Secret, or replace all that it holds."""
        await self.delete_secret(name)
        secrets = path_of("api", "v1", "namespaces", self.name, "secrets")
        await self.client.request_json(
            "POST",
            secrets,
            body={"metadata": {"name": name, "labels": dict(labels or {})}, "stringData": dict(data)},
        )

    async def delete_secret(self, name: str) -> None:
        try:
            await self.client.request_json(
                "DELETE", path_of("api", "v1", "namespaces", self.name, "secrets", name)
            )
        except KubernetesError as error:
            if error.status != 404:
                raise

    # --------------------------------------------------------------------------------------------------------- pools
    def manifest(self, name: str, **spec: Any) -> Body:
        """Return a RunnerPool of the account; ``spec`` replaces whole fields, those of ``github`` one by one."""
        github = {"url": self.account.url, "credentialsSecret": "github", **spec.pop("github", {})}
        hub = {
            "namespace": self.account.hub_namespace,
            "tokenSecret": "hf",
            "endpoint": self.account.cloud.hub_url,
            **spec.pop("huggingface", {}),
        }
        return {
            "apiVersion": "hfrunners.dev/v1alpha1",
            "kind": "RunnerPool",
            "metadata": {"name": name, "namespace": self.name},
            "spec": {
                "github": github,
                "huggingface": hub,
                "labels": ["gpu"],
                "flavors": ["t4-small"],
                **spec,
            },
        }

    async def apply(self, name: str = "gpu", **spec: Any) -> Body:
        return await apply(self.client, self.manifest(name, **spec))

    async def pool(self, name: str = "gpu") -> Body | None:
        """Return a RunnerPool, or None when it is gone."""
        try:
            found: Body = await self.client.request_json("GET", pools_path(self.name, name))
        except KubernetesError as error:
            if error.status != 404:
                raise
            return None
        return found

    async def delete(self, name: str = "gpu") -> None:
        """Do what ``kubectl delete --wait=false`` does."""
        await self.client.request_json("DELETE", pools_path(self.name, name))

    async def until(self, met: Callable[[Body], Any], what: str, name: str = "gpu", **how: float) -> Body:
        """Wait until a RunnerPool is so, and return it."""
        seen: list[Body | None] = [None]

        async def look() -> Body | None:
            seen[0] = pool = await self.pool(name)
            return pool if pool is not None and met(pool) else None

        try:
            found: Body = await until(look, what, **how)
        except AssertionError as error:
            raise AssertionError(f"{error}; the pool is:\n{yaml.safe_dump(seen[0])}") from None
        return found

    async def until_condition(
        self, type_: str, status: str, reason: str | None = None, name: str = "gpu", **how: float
    ) -> Mapping[str, Any]:
        """Wait until a condition of the newest spec says so, and return it."""

        def met(pool: Body) -> bool:
            known = condition(pool, type_)
            return (
                pool["status"]["observedGeneration"] == pool["metadata"]["generation"]
                and known.get("status") == status
                and reason in (None, known.get("reason"))
            )

        what = f"condition {type_}={status} {reason or ''}"
        return condition(await self.until(met, what, name, **how), type_)

    async def until_ready(self, name: str = "gpu") -> Mapping[str, Any]:
        return await self.until_condition("Ready", "True", name=name)

    async def until_gone(self, name: str = "gpu", **how: float) -> None:
        async def gone() -> bool:
            return await self.pool(name) is None

        await until(gone, f"RunnerPool {name} gone", **how)

    # ---------------------------------------------------------------------------------------------------------- what is shown
    async def table(self) -> list[dict[str, Any]]:
        """Return what ``kubectl get rp`` prints: cells by column, with each column's priority in ``_wide``."""
        request = await self.client.param_serialize(
            "GET",
            pools_path(self.name),
            header_params={"Accept": "application/json;as=Table;g=meta.k8s.io;v=v1"},
            auth_settings=["BearerToken"],
        )
        response = await self.client.call_api(*request)
        table = json.loads(await response.read())  # type: ignore[no-untyped-call]
        columns = [column["name"] for column in table["columnDefinitions"]]
        wide = {column["name"] for column in table["columnDefinitions"] if column["priority"]}
        return [{**dict(zip(columns, row["cells"], strict=True)), "_wide": wide} for row in table["rows"]]

    async def events(self, name: str | None = None) -> Sequence[Body]:
        """Return the Events, of one pool or of all."""
        path = path_of("apis", "events.k8s.io", "v1", "namespaces", self.name, "events")
        found = (await self.client.request_json("GET", path))["items"]
        return [event for event in found if name in (None, event["regarding"]["name"])]


def count(pool: Mapping[str, Any], what: str) -> int:
    """Return a number of ``status.counts``, 0 before the first pass."""
    return int(pool["status"].get("counts", {}).get(what, 0))


def condition(pool: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    """Return a condition, empty where the pool has none of that type."""
    return next((c for c in pool["status"].get("conditions", ()) if c["type"] == type_), {})
