"""Flavors that pages name are flavors that the Hub offers: a pool with another one is not ready."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hf_runner_simulators.hub.flavors import FLAVORS
from tests.docs.pages import PAGES, ROOT, name

FILES = [*PAGES, ROOT / "charts/hf-runner-controller/values.yaml", *sorted(ROOT.glob("examples/**/*.yaml"))]


@pytest.mark.parametrize("file", FILES, ids=name)
def test_the_flavors_of_example_pools_exist(file: Path) -> None:
    named = {
        flavor.strip()
        for listed in re.findall(r"flavors: \[([^]]*)\]", file.read_text())
        for flavor in listed.split(",")
    }
    assert named <= set(FLAVORS)
