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

    from xdist.workermanage import WorkerController  # type: ignore[import-untyped]

# How long an example takes says something about the machine alone; what is too slow is
# found by pytest's timeout.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


SLOW = {
    "tests/bootstrap": "real processes, and a Debian root",
    "tests/chart": "Helm, kubeconform and helm-unittest are started for each test",
    "tests/cli/test_simulate.py": "starts the command, and plays days",
    "tests/monitoring/test_rules.py": "starts promtool",
    "tests/observe/test_queue_against_github.py": "plays hours of polling",
    "tests/sim/github/test_determinism.py": "starts Python three times",
    "tests/sim/github/test_the_stand_in_runner.py": "starts runners",
    "tests/sim/hub/test_job_processes.py": "starts the jobs of the simulated Hub",
    "tests/sim/hub/test_the_real_client.py": "starts jobs, and follows their logs",
    "tests/tools/test_mutants.py::test_it": "starts pytest for each mutant",
    "tests/tools/test_names_of_tests.py": "collects all tests in processes of their own",
    "tests/tools/test_packages.py": "builds and installs what is published",
}
"""What is marked ``slow``, by the beginning of the tests' names, and why.

``make test-fast`` leaves it out.
"""

PLAYED = {
    "tests/benchmarks/test_benchmarks.py": "measures, and plays hours of polling",
    "tests/metrics/test_measured.py": "plays hours, and kills the controller at many points",
    "tests/scenarios": "plays days of whole organizations",
    "tests/sim/scenario/test_playing.py": "plays days of a company's workflows",
    "tests/simulation": "plays seeds, and the same one again in other processes",
    "tests/system": "plays the whole controller, an hour of it in a second",
}
"""What is marked ``played``, in the same way: the whole controller in virtual time. It only computes, so a
slow machine changes nothing but how long it takes.

``make played`` runs it, and ``make test`` and ``make test-fast`` leave it out.
"""


class PlanesApart(LoadScopeScheduling):  # type: ignore[misc] # pytest-xdist has no types
    """Gives the tests that need the API server to three workers, a module at a time; whoever is free takes
    the others.

    So however many workers there are, three API servers are started, what such a module starts is started
    once, and replicas that fight for a Lease do not fight more than two others for the processor. Such a
    module goes before all else, since most of its time is spent in waiting.

    pytest-xdist's own mark for that, ``xdist_group``, does nothing here: version 3.8 writes the group into a
    field of its items that pytest 9.2 has no more, and each test is sent anywhere.
    """

    MOST = 3
    """Workers that get tests with an API server."""

    def __init__(self, config: pytest.Config, log: object) -> None:
        super().__init__(config, log)
        self._needs_plane: dict[str, bool] = {}

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        if module not in self._needs_plane:
            text = (self.config.rootpath / module).read_text(encoding="utf-8")
            self._needs_plane[module] = "mark.controlplane" in text
        return module if self._needs_plane[module] else nodeid

    def _assign_work_unit(self, node: WorkerController) -> None:
        """Move the next work that this worker may have to the front, where pytest-xdist takes it from."""
        with_plane = (
            module for module, needs in self._needs_plane.items() if needs and module in self.workqueue
        )
        other = (scope for scope in self.workqueue if scope not in self._needs_plane)
        may_have_plane = node in self.nodes[: self.MOST]
        chosen = (next(with_plane, None) if may_have_plane else None) or next(other, None)
        if chosen is None:
            node.shutdown()
            return
        self.workqueue.move_to_end(chosen, last=False)
        super()._assign_work_unit(node)


@pytest.hookimpl(tryfirst=True)  # before pytest's own, which looks at the marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what is slow, and what is played."""
    for mark, names in ((pytest.mark.slow, SLOW), (pytest.mark.played, PLAYED)):
        for name in names:
            if not (config.rootpath / name.partition("::")[0]).exists():
                raise pytest.UsageError(f"tests/conftest.py marks {name} as {mark.name}, but it is gone")
        for item in items:
            if item.nodeid.startswith(tuple(names)):
                item.add_marker(mark)


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
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> PlanesApart:
    """Share tests out in our way where pytest is given several workers."""
    return PlanesApart(config, log)


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
