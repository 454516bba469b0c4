"""RunnerPools that are declared in ConfigMaps: how the chart's ``pools`` become objects of a type that the
chart itself installs.

Helm cannot have a type and objects of it in one first installation. So the release has a ConfigMap per pool,
and this applies what is in it, owned by the ConfigMap: what Helm deletes with an upgrade or an
uninstallation, Kubernetes deletes as a RunnerPool.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from controller.adapters.kube.client import Client, path_of, pools_path
from controller.adapters.kube.errors import ConflictError, KubernetesError, NotFoundError
from controller.core.model import Disposition
from controller.core.reasons import Reason
from controller.core.resource import KIND
from controller.ports import Clock

KEY = "runnerpool.json"
"""Key of the ConfigMap that holds the RunnerPool as JSON."""

FIELD_MANAGER = [("fieldManager", "hf-runner-controller-chart"), ("force", "true")]

RELEASE = "app.kubernetes.io/instance"
"""Label of whose pool it is. One that another release or a person made is never taken over."""

RETRY = 2.0
"""Seconds between two tries, while the type is not served yet or an older pool of the name still drains."""

GRANTED_WITHIN = 15.0
"""Seconds for a Role that was just made to come into force."""


@dataclass(frozen=True, slots=True, order=True)
class Declaration:
    """A ConfigMap with a RunnerPool in it."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


async def apply_declared(client: Client, declared: Declaration, *, clock: Clock, seconds: float) -> str:
    """Apply one RunnerPool, and return its name as NAMESPACE/NAME. Idempotent.

    Args:
        client: Needs ``get`` on the ConfigMap, and ``get``, ``create`` and ``patch`` on ``runnerpools`` of
            its namespace.
        declared: Where it is declared.
        clock: Time.
        seconds: For how long it is tried.

    Raises:
        KubernetesError: It was not applied.
    """
    began = clock.mono()
    while True:
        try:
            return await _apply(client, declared)
        except KubernetesError as error:
            forbidden = error.failure.reason is Reason.KubernetesForbidden
            patience = min(seconds, GRANTED_WITHIN) if forbidden else seconds
            final = error.failure.disposition is Disposition.PERSON and not forbidden
            if final or clock.mono() - began >= patience:
                raise
        await asyncio.sleep(RETRY)


async def _apply(client: Client, declared: Declaration) -> str:
    path = path_of("api", "v1", "namespaces", declared.namespace, "configmaps", declared.name)
    config_map = await client.request_json("GET", path)
    pool = json.loads(config_map["data"][KEY])
    metadata = pool["metadata"]
    await _refuse_others(client, declared.namespace, metadata)
    owner = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": declared.name,
        "uid": config_map["metadata"]["uid"],
    }
    applied = {**pool, "metadata": {**metadata, "namespace": declared.namespace, "ownerReferences": [owner]}}
    await client.request_json(
        "PATCH",
        pools_path(declared.namespace, metadata["name"]),
        query=[*FIELD_MANAGER, ("fieldValidation", "Strict")],
        body=applied,
        content_type="application/apply-patch+yaml",
    )
    return f"{declared.namespace}/{metadata['name']}"


async def _refuse_others(client: Client, namespace: str, metadata: dict[str, Any]) -> None:
    """Raise unless the pool is new, or this release's and not on its way out."""
    name, release = metadata["name"], metadata["labels"][RELEASE]
    try:
        known = (await client.request_json("GET", pools_path(namespace, name)))["metadata"]
    except NotFoundError:
        return
    what = f"{KIND} {namespace}/{name}"
    if known.get("deletionTimestamp"):
        # Applied now, it would be gone with the old one.
        why = f"{what} is being deleted, and its runners have not all ended yet. Try again when they have"
        raise ConflictError(why)
    if known.get("labels", {}).get(RELEASE) != release:
        hand_over = f"kubectl label runnerpool -n {namespace} {name} --overwrite {RELEASE}={release}"
        why = f"{what} is there already, and not of release {release}. Give the pool another name, or hand it over: {hand_over}"
        raise ConflictError(why, disposition=Disposition.PERSON)
