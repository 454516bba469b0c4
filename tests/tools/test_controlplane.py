"""tools.controlplane: a real API server that starts empty, listens on loopback only and never outlives us."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kubernetes import client, config

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.controlplane


def test_the_admin_kubeconfig_reaches_a_real_api_server(control_plane: Path) -> None:
    with config.new_client_from_config(str(control_plane)) as api:
        names = {item.metadata.name for item in client.CoreV1Api(api).list_namespace().items}
    assert "default" in names
