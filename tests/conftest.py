"""What all tests share: a real Kubernetes API server for those that are marked ``controlplane``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from tools.controlplane import ControlPlane, present_assets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# How long an example takes says something about the machine alone; what is too slow is
# found by pytest's timeout.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


class ModulesTogether(LoadScopeScheduling):  # type: ignore[misc] # pytest-xdist has no types
    """Gives all tests of a module that needs the API server to one worker, and the others to whoever is free.

    So what such a module starts is started once, and replicas that fight for a Lease do not fight another
    pair for the processor. pytest-xdist's own mark for that, ``xdist_group``, does nothing here: version 3.8
    writes the group into a field of its items that pytest 9.2 has no more, and each test is sent anywhere.
    """

    def __init__(self, config: pytest.Config, log: object) -> None:
        super().__init__(config, log)
        self._together: dict[str, bool] = {}

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        if module not in self._together:
            text = (self.config.rootpath / module).read_text(encoding="utf-8")
            self._together[module] = "mark.controlplane" in text
        return module if self._together[module] else nodeid


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a long value, or bytes that no terminal shows, by the argument alone; pytest adds a number.

    So a test's name is short, and the same in each process: what is packed or signed holds the time at which
    it was made, and the workers of pytest-xdist refuse to begin when they don't find the same names.
    """
    if isinstance(val, bytes):
        val = val.decode("ascii", "replace")
    if isinstance(val, int):
        return argname if abs(val) > 10**80 else None  # Python refuses to print more than 4,300 digits
    return argname if isinstance(val, str) and (len(val) > 80 or not val.isprintable()) else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ModulesTogether:
    """Share tests out in our way where pytest is given several workers."""
    return ModulesTogether(config, log)


@pytest.fixture(scope="session")
def api_server() -> Iterator[ControlPlane]:
    """A kube-apiserver and etcd of this session's own, empty at its start.

    Tests share it: let each have a namespace of its own. Nothing is built here, since a
    test's timeout is short.
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
