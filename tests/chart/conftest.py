"""The chart as both Helms render it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import charttools
from tools.controlplane.sources import VERSION

CHART = Path(__file__).parents[2] / "charts" / "hf-runner-controller"
VALUES = sorted((Path(__file__).parent / "values").glob("*.yaml"))
MONITORING = tuple(
    f"monitoring.coreos.com/v1/{kind}" for kind in ("ServiceMonitor", "PodMonitor", "PrometheusRule")
)
NAMESPACE = "chart"
Body = dict[str, Any]


@dataclass(frozen=True)
class Helm:
    """One Helm."""

    program: Path

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [str(self.program), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)

    def render(self, *arguments: object, release: str = "hfrc") -> list[Body]:
        """Return the objects that ``helm template`` prints as of an upgrade, which has more hooks than an
        installation; all are included.
        """
        kinds = [word for kind in MONITORING for word in ("--api-versions", kind)]
        done = self.run(
            "template",
            release,
            CHART,
            "--namespace",
            NAMESPACE,
            "--kube-version",
            VERSION,
            "--is-upgrade",
            *kinds,
            *arguments,
        )
        assert done.returncode == 0, done.stderr
        assert not done.stderr, done.stderr
        return [obj for obj in yaml.safe_load_all(done.stdout) if obj]


@pytest.fixture(scope="session")
def programs() -> Path:
    """The directory with the programs that ``make charttools`` builds."""
    found = charttools.present()
    if found is None:
        pytest.fail("the programs that check the chart are not built yet: run `make charttools` once")
    return found


@pytest.fixture(scope="session", params=["helm3", "helm4"])
def helm(request: pytest.FixtureRequest, programs: Path) -> Helm:
    """Helm 3, and Helm 4."""
    return Helm(programs / request.param)


def settings(words: Sequence[str]) -> list[str]:
    """Return arguments that set values."""
    return [argument for word in words for argument in ("--set", word)]
