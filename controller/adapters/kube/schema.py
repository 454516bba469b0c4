"""The schema by which the API server stores RunnerPools: what the installed CRD has no field for would be
lost silently.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.adapters.kube.client import Client, path_of
from controller.adapters.kube.errors import NotFoundError
from controller.core.resource import GROUP, KIND, VERSION


async def served_schema(client: Client) -> Mapping[str, Any] | None:
    """Return the OpenAPI v3 schema of RunnerPool, None if the API server publishes none (yet).

    Everybody who is authenticated may read it (``system:discovery``), unlike the CRD itself.

    Raises:
        KubernetesError: It cannot be read.
    """
    try:
        document = await client.request_json("GET", path_of("openapi", "v3", "apis", GROUP, VERSION))
    except NotFoundError:
        return None
    wanted = {"group": GROUP, "version": VERSION, "kind": KIND}
    schemas: Mapping[str, Mapping[str, Any]] = (document.get("components") or {}).get("schemas") or {}
    return next(
        (s for s in schemas.values() if wanted in (s.get("x-kubernetes-group-version-kind") or ())), None
    )
