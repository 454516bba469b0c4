"""tools/pins.py: what is pinned of others' work, against a registry and a GitHub that
answer as the real ones do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.execute.bootstrap import (
    RUNNER_NEWEST_ON,
    RUNNER_SERVED,
    RUNNER_SHA256,
    RUNNER_VERSION,
)
from tools import pins
from tools.pins import Base, PinError, Runner

ROOT = Path(__file__).resolve().parents[2]
NAME, TAG = "docker.io/library/python", "3.13-slim-trixie"
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
TODAY = NOW.date()
X64, ARM64, OTHER = "a" * 64, "b" * 64, "c" * 64


def index(
    version: str = "3.13.16-slim-trixie", *, days: int = 3, platforms: tuple[str, ...] = pins.PLATFORMS
) -> bytes:
    """Return an index with the annotations that Docker's official images carry, and an
    attestation beside each image.
    """
    manifests: list[dict[str, Any]] = []
    for platform in platforms:
        system, architecture = platform.split("/")
        manifests += [
            {
                "digest": "sha256:" + OTHER,
                "platform": {"os": system, "architecture": architecture},
                "annotations": {
                    "com.docker.official-images.bashbrew.arch": architecture,
                    "org.opencontainers.image.version": version,
                    "org.opencontainers.image.created": f"{NOW - timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}",
                },
            },
            {
                "digest": "sha256:" + OTHER,
                "platform": {"os": "unknown", "architecture": "unknown"},
                "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
            },
        ]
    return json.dumps({"schemaVersion": 2, "manifests": manifests}).encode()


def digest(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


class Registry:
    """Has indexes under their digests, and one of them under the tag."""

    def __init__(self, tagged: bytes, *older: bytes) -> None:
        self._images = {f"{NAME}:{TAG}": tagged}
        self._images |= {f"{NAME}@{digest(body)}": body for body in (tagged, *older)}

    def __call__(self, image: str) -> bytes:
        try:
            return self._images[image]
        except KeyError:
            raise PinError(f"no answer about {image}: not found") from None


class GitHub:
    """Has releases of actions/runner; the last one is the newest."""

    def __init__(self, releases: Mapping[str, Mapping[str, str]]) -> None:
        self._releases = {version: self._release(version, sums) for version, sums in releases.items()}

    @staticmethod
    def _release(version: str, sums: Mapping[str, str]) -> dict[str, Any]:
        assets = [
            {"name": f"actions-runner-{system}-{arch}-{version}.tar.gz", "digest": f"sha256:{said}"}
            for system in ("osx", "linux")
            for arch, said in (sums if system == "linux" else dict.fromkeys(sums, OTHER)).items()
        ]
        return {"tag_name": f"v{version}", "assets": [*assets, {"name": "notes.txt", "digest": None}]}

    def __call__(self, url: str) -> Any:
        if url == f"{pins.RELEASES}/latest":
            return list(self._releases.values())[-1]
        return self._releases[url.removeprefix(f"{pins.RELEASES}/tags/v")]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (pins.DOCKERFILE, pins.RUNNER, "examples/matrix/pool.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    return tmp_path


def faults_of_base(pin: bytes, registry: Registry) -> list[str]:
    return list(pins.base_faults(Base(NAME, TAG, digest(pin)), registry, NOW))


def faults_of_runner(newest_on: date, github: GitHub, sums: Mapping[str, str] | None = None) -> list[str]:
    pin = Runner("2.338.0", dict(sums or {"x64": X64, "arm64": ARM64}), newest_on)
    return list(pins.runner_faults(pin, github, TODAY))


def test_this_tree_pins_an_image_of_a_supported_debian_by_its_digest_for_every_stage() -> None:
    pin = pins.base()
    assert (pin.name, pin.tag) == (NAME, TAG)


def test_what_the_tool_reads_of_the_runner_is_what_the_controller_uses() -> None:
    assert pins.runner() == Runner(RUNNER_VERSION, dict(RUNNER_SHA256), RUNNER_NEWEST_ON)


def test_the_example_with_a_runner_in_its_image_has_the_pinned_one() -> None:
    pool = yaml.safe_load((ROOT / "examples/matrix/pool.yaml").read_text())
    assert pool["spec"]["image"] == f"ghcr.io/actions/actions-runner:{RUNNER_VERSION}"


def test_a_fresh_release_is_installed_long_before_its_runner_release_raises_the_alert() -> None:
    rules = yaml.safe_load((ROOT / "charts/hf-runner-controller/files/rules/alerts.yaml").read_text())
    (alert,) = [
        rule
        for group in rules["groups"]
        for rule in group["rules"]
        if rule.get("alert") == "HFRunnersRunnerVersionAgeing"
    ]
    warned = timedelta(days=int(alert["expr"].split("<")[1].split("*")[0]))
    assert RUNNER_SERVED - pins.MAX_AGE - warned >= timedelta(days=21)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (r"@sha256:", r"#sha256:", "make pin-base"),
        ("FROM ${BASE} AS build", "FROM docker.io/library/python:3.13 AS build", "python:3.13 instead of"),
        ("\nFROM ${BASE}\n", "\nFROM debian:trixie\n", "debian:trixie instead of"),
    ],
)
def test_a_stage_that_is_built_on_something_else_is_refused(
    tree: Path, old: str, new: str, said: str
) -> None:
    text = (tree / pins.DOCKERFILE).read_text()
    assert old in text
    (tree / pins.DOCKERFILE).write_text(text.replace(old, new))
    with pytest.raises(PinError, match=said):
        pins.base(tree)


def test_the_base_is_pinned_to_what_its_tag_names(tree: Path) -> None:
    tagged = index()
    assert pins.pin_base(Registry(tagged), tree) == pins.base(tree) == Base(NAME, TAG, digest(tagged))


@pytest.mark.parametrize(
    ("tagged", "said"),
    [
        (index(platforms=("linux/amd64",)), "not there for linux/arm64"),
        (index("3.12.1-slim-trixie"), "is 3.12.1-slim-trixie, not 3.13-slim-trixie"),
        (index("3.13.16-slim-bookworm"), "is 3.13.16-slim-bookworm, not"),
        (index("3.131.1-slim-trixie"), "is 3.131.1-slim-trixie, not"),
        (b'{"layers": []}', "one image, not with an index"),
        (b"<html>", "one image, not with an index"),
    ],
)
def test_no_base_is_pinned_that_a_release_cannot_be_built_on(tree: Path, tagged: bytes, said: str) -> None:
    before = (tree / pins.DOCKERFILE).read_text()
    with pytest.raises(PinError, match=said):
        pins.pin_base(Registry(tagged), tree)
    assert (tree / pins.DOCKERFILE).read_text() == before


def test_a_base_that_its_tag_names_is_fresh_however_old_it_is() -> None:
    pin = index(days=300)
    assert faults_of_base(pin, Registry(pin)) == []


def test_a_base_that_its_tag_left_some_days_ago_stops_no_release() -> None:
    pin = index(days=29)
    assert faults_of_base(pin, Registry(index(days=1), pin)) == []


def test_a_base_that_its_tag_left_and_that_is_older_than_a_month_is_refused() -> None:
    pin = index("3.13.15-slim-trixie", days=31)
    (fault,) = faults_of_base(pin, Registry(index(days=1), pin))
    assert "31 days old" in fault
    assert "make pin-base" in fault


def test_a_base_of_another_tag_is_refused() -> None:
    pin = index("3.13.16-alpine")
    assert len(faults_of_base(pin, Registry(index(), pin))) == len(pins.PLATFORMS)


def test_a_registry_that_answers_with_another_image_is_not_believed() -> None:
    pin, other = index(days=2), index(days=1)
    registry = Registry(other)
    registry._images[f"{NAME}@{digest(pin)}"] = other
    (fault,) = faults_of_base(pin, registry)
    assert digest(other) in fault


def test_the_runner_is_pinned_with_the_checksums_that_github_has_of_its_archives(tree: Path) -> None:
    github = GitHub({"2.338.0": {"x64": OTHER, "arm64": OTHER}, "2.339.1": {"x64": X64, "arm64": ARM64}})
    pinned = pins.pin_runner(github, TODAY, tree)
    assert pinned == pins.runner(tree) == Runner("2.339.1", {"x64": X64, "arm64": ARM64}, TODAY)
    assert "ghcr.io/actions/actions-runner:2.339.1\n" in (tree / "examples/matrix/pool.yaml").read_text()
    assert list(pins.runner_faults(pinned, github, TODAY)) == []


def test_a_runner_that_is_still_the_newest_is_pinned_anew_by_the_day_alone(tree: Path) -> None:
    github = GitHub({RUNNER_VERSION: RUNNER_SHA256})
    assert pins.pin_runner(github, TODAY, tree) == Runner(RUNNER_VERSION, dict(RUNNER_SHA256), TODAY)


def test_no_runner_is_pinned_without_a_checksum_of_githubs_own(tree: Path) -> None:
    before = (tree / pins.RUNNER).read_text()
    with pytest.raises(PinError, match=r"no checksum of actions/runner 2\.339\.1 for arm64"):
        pins.pin_runner(GitHub({"2.339.1": {"x64": X64}}), TODAY, tree)
    assert (tree / pins.RUNNER).read_text() == before


def test_a_runner_whose_checksum_github_does_not_know_is_refused() -> None:
    github = GitHub({"2.338.0": {"x64": X64, "arm64": OTHER}})
    (fault,) = faults_of_runner(TODAY, github)
    assert fault.startswith("runner: the checksum of 2.338.0 for arm64 is")
    assert OTHER in fault


@pytest.mark.parametrize(("days", "refused"), [(0, False), (30, False), (31, True), (-1, True)])
def test_a_runner_is_refused_a_month_after_somebody_last_asked_whether_it_is_the_newest(
    days: int, refused: bool
) -> None:
    github = GitHub({"2.338.0": {"x64": X64, "arm64": ARM64}, "2.339.1": {"x64": OTHER, "arm64": OTHER}})
    faults = faults_of_runner(TODAY - timedelta(days=days), github)
    assert [("make pin-runner" in fault) for fault in faults] == [True] * refused


def test_the_check_says_everything_at_once_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    def registry(image: str) -> bytes:
        return index()

    wrong = GitHub({RUNNER_VERSION: {"x64": OTHER, "arm64": OTHER}})
    assert pins.main(["check"], registry=registry, github=wrong) == 1
    said = capsys.readouterr().err
    assert "base: " in said
    assert said.count("runner: the checksum of") == 2


def test_a_service_that_does_not_answer_is_told_and_the_other_one_is_asked_all_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def silent(_: str) -> bytes:
        raise PinError("no answer about it: dial tcp: lookup failed")

    wrong = GitHub({RUNNER_VERSION: {"x64": OTHER, "arm64": RUNNER_SHA256["arm64"]}})
    assert pins.main(["check"], registry=silent, github=wrong) == 1
    first, second, *_ = capsys.readouterr().err.splitlines()
    assert first == "pins: no answer about it: dial tcp: lookup failed"
    assert "the checksum of" in second
    assert pins.main(["base"], registry=silent) == 1
    assert capsys.readouterr().err == "pins: no answer about it: dial tcp: lookup failed\n"


def test_an_unknown_command_is_answered_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert pins.main(["bases"]) == 2
    assert "base | runner | check" in capsys.readouterr().err
