""".github/workflows, which cannot run here: what neither actionlint nor zizmor asks for (both run in `make lint`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")


def jobs() -> list[tuple[str, Mapping[str, Any]]]:
    return [
        (f"{path.name}: {name}", job)
        for path in WORKFLOWS
        for name, job in yaml.safe_load(path.read_text())["jobs"].items()
    ]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_of_others_is_pinned_by_its_commit_and_names_the_version(path: Path) -> None:
    used = [line.strip().lstrip("- ") for line in path.read_text().splitlines() if "uses:" in line]
    assert used
    assert [line for line in used if not line.startswith("uses: ./") and not PINNED.match(line)] == []


@pytest.mark.parametrize(("name", "job"), jobs(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_job_ends_and_has_only_the_rights_that_it_names(name: str, job: Mapping[str, Any]) -> None:
    assert job["permissions"]
    assert "uses" in job or 0 < job["timeout-minutes"] <= 60


def test_the_line_of_the_chart_that_a_release_fills_in_is_there_once() -> None:
    """release.yml writes the image's digest with sed, which keeps the file's comments."""
    values = (ROOT / "charts/hf-runner-controller/values.yaml").read_text()
    assert re.findall(r'^  digest: ""$', values, re.MULTILINE) == ['  digest: ""']
    assert yaml.safe_load(values)["image"]["digest"] == ""
    (command,) = re.findall(r'sed -i "(.+)" charts', (ROOT / ".github/workflows/release.yml").read_text())
    assert command == r"s|^  digest: \"\"$|  digest: $IMAGE_DIGEST|"


def test_nothing_of_a_release_is_published_before_it_was_tested_and_verified() -> None:
    release = {name.partition(": ")[2]: job for name, job in jobs() if name.startswith("release.yml")}

    def after(name: str) -> set[str]:
        needs = release[name].get("needs", [])
        direct = {needs} if isinstance(needs, str) else set(needs)
        return direct.union(*(after(other) for other in direct))

    assert after("image") == {"tag", "test"}
    assert after("publish") == set(release) - {"publish"}
    writers = [name for name, job in release.items() if job["permissions"].get("contents") == "write"]
    assert writers == ["publish"]
