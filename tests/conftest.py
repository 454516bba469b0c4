"""What all tests share: a real Kubernetes API server for those that are marked ``controlplane``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tools.controlplane import ControlPlane, present_assets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# How long an example takes says something about the machine alone; what is too slow is found by pytest's timeout.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests that share the API server to one worker of ``-n 2 --dist loadgroup``, so there is one."""
    for item in items:
        if item.get_closest_marker("controlplane") and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group("controlplane"))


@pytest.fixture(scope="session")
def api_server() -> Iterator[ControlPlane]:
    """A kube-apiserver and etcd of this session's own, empty at its start.

    Tests share it: let each have a namespace of its own. Nothing is built here, since a test's timeout is short.
    """
    programs = present_assets()
    if programs is None:
        pytest.fail(
            "no kube-apiserver and etcd here yet: run `make controlplane` once, or leave out -m controlplane"
        )
    with ControlPlane(programs=programs) as plane:
        yield plane


@pytest.fixture(scope="session")
def control_plane(api_server: ControlPlane) -> Path:
    """The path of an administrator's kubeconfig for ``api_server``."""
    return api_server.kubeconfig
