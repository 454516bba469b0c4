from __future__ import annotations

import pytest

from hf_runner_simulators.github.knobs import Knobs
from tests.sim.github.scene import Scene


@pytest.fixture
def scene() -> Scene:
    """A small github.com."""
    return Scene()


@pytest.fixture
def ghes() -> Scene:
    """The same as a GitHub Enterprise Server."""
    return Scene(prefix="/api/v3", knobs=Knobs(edition="enterprise-server"))
