"""The RunnerPool CRD on a real API server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from kubernetes import client, config

from controller.api.crd import NAME, crd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def api_client(control_plane: Path) -> Iterator[client.ApiClient]:
    """A client on which RunnerPools can be created."""
    with config.new_client_from_config(str(control_plane)) as api:  # type: ignore[no-untyped-call]
        extensions = client.ApiextensionsV1Api(api)
        try:
            extensions.create_custom_resource_definition(crd())  # type: ignore[arg-type] # a dictionary does
        except client.ApiException as error:
            if error.status != 409:  # other tests of this session may have installed it
                raise
        _wait_until_served(extensions, client.CustomObjectsApi(api))
        yield api


def _wait_until_served(extensions: client.ApiextensionsV1Api, objects: client.CustomObjectsApi) -> None:
    for _ in range(100):
        status = extensions.read_custom_resource_definition(NAME).status
        conditions = (status and status.conditions) or []
        if any(c.type == "Established" and c.status == "True" for c in conditions):
            try:
                objects.list_cluster_custom_object("hfrunners.dev", "v1alpha1", "runnerpools")
            except client.ApiException as error:
                if error.status != 404:
                    raise
            else:
                return
        time.sleep(0.1)
    pytest.fail("the API server does not serve RunnerPools 10 s after their CRD was created")
