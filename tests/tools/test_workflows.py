""".github/workflows, which cannot run here: what neither actionlint nor zizmor asks for
(both run in `make lint`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.pins import PLATFORMS

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

    assert after("image") == after("wheels") == {"tag", "test", "scan"}
    assert after("index") == set(release) - {"index", "publish"}
    assert after("publish") == set(release) - {"publish"}
    writers = [name for name, job in release.items() if job["permissions"].get("contents") == "write"]
    assert writers == ["publish"]


def test_a_job_that_publishes_something_waits_for_the_people_of_the_protected_environment() -> None:
    publishing = {
        name for name, job in jobs() if {"packages", "contents", "attestations", "id-token"} & _written(job)
    }
    assert publishing == {f"release.yml: {name}" for name in ("image", "chart", "wheels", "index", "publish")}
    assert {name for name, job in jobs() if job.get("environment") == "release"} == publishing


def _written(job: Mapping[str, Any]) -> set[str]:
    return {right for right, level in job["permissions"].items() if level == "write"}


def test_pins_packages_and_image_are_looked_at_every_week_and_before_a_release() -> None:
    scan = yaml.safe_load((ROOT / ".github/workflows/scan.yml").read_text())
    begins = scan[True]  # YAML 1.1 reads the key "on" as true
    (weekly,) = begins["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", weekly["cron"])
    assert "workflow_call" in begins
    steps = [step for job in scan["jobs"].values() for step in job["steps"]]
    assert {"make pins", "make audit"} <= {step.get("run") for step in steps}
    (grype,) = [step for step in steps if step.get("uses", "").startswith("anchore/scan-action@")]
    assert grype["with"]["fail-build"] is True
    platforms = scan["jobs"]["image"]["strategy"]["matrix"]["platform"]
    assert [f"linux/{platform}" for platform in platforms] == list(PLATFORMS)


def test_a_release_is_built_on_the_dockerfiles_own_base_for_the_platforms_that_its_pin_is_checked_for() -> (
    None
):
    release = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    (build,) = [
        step["with"]
        for step in release["jobs"]["image"]["steps"]
        if step.get("uses", "").startswith("docker/build-push-action@")
    ]
    assert build["platforms"].split(",") == list(PLATFORMS)
    assert "BASE" not in build["build-args"]


def test_no_requirement_is_locked_that_the_audit_does_not_read() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "$(foreach file,$(wildcard requirements/*.txt),--requirement $(file))" in makefile
    assert "pip-audit --strict " in makefile
