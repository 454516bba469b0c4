"""What is said of an image is measured on its archive, whoever wrote that."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from tools.image import ROOT, Layer, build, build_simulators, layers

BASE, OURS = b"a" * 5_000_000, bytes(range(256)) * 4_000


def archive(file: Path, blobs: dict[str, bytes]) -> Path:
    with tarfile.open(file, "w") as tar:
        for name, body in {**blobs, "manifest.json": json.dumps([{"Layers": list(blobs)}]).encode()}.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
    return file


def test_layers_are_measured_whether_or_not_the_archive_packs_them(tmp_path: Path) -> None:
    plain = layers(archive(tmp_path / "plain.tar", {"1.tar": BASE, "2.tar": OURS}))
    packed = layers(
        archive(tmp_path / "packed.tar", {"1.tar": gzip.compress(BASE, 6), "2.tar": gzip.compress(OURS, 6)})
    )

    assert [layer.size for layer in plain] == [layer.size for layer in packed] == [len(BASE), len(OURS)]
    assert packed[0] == Layer(size=len(BASE), compressed=len(gzip.compress(BASE, 6)))
    assert plain[0].compressed == pytest.approx(packed[0].compressed, rel=0.01)


@pytest.mark.parametrize(("builder", "has"), [("buildah", True), ("podman", True), ("docker", False)])
def test_a_build_takes_its_time_from_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, builder: str, has: bool
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    program = tmp_path / builder
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" "env=$SOURCE_DATE_EPOCH" >{tmp_path}/said\n')
    program.chmod(0o755)

    build(str(program), "example/image:tag", base="example/base", flags=["--network", "host"])

    said = (tmp_path / "said").read_text().splitlines()
    assert said[:3] == ["build", "--network", "host"]
    assert {"SOURCE_DATE_EPOCH=1700000000", "BASE=example/base", "env=1700000000"} <= set(said)
    assert ("--timestamp" in said) is has
    assert said[-4:-2] == ["-t", "example/image:tag"]


def test_an_image_can_be_built_from_the_tree_of_another_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    program = tmp_path / "buildah"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{tmp_path}/said\n')
    program.chmod(0o755)
    (tmp_path / "controller").mkdir()
    (tmp_path / "controller/__init__.py").write_text('__version__ = "0.0.7"\n')

    build(str(program), "example/image:tag", base="", flags=[], tree=tmp_path, revision="no-such-revision")

    said = (tmp_path / "said").read_text().splitlines()
    assert said[-1] == str(tmp_path)
    assert {"VERSION=0.0.7", "REVISION=unknown", "SOURCE_DATE_EPOCH=0"} <= set(said)


def test_the_image_of_the_simulators_is_the_products_with_a_layer_on_top(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    program = tmp_path / "buildah"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{tmp_path}/said\n')
    program.chmod(0o755)

    name = build_simulators(str(program), "registry.example:5000/product:1.2", flags=[])

    said = (tmp_path / "said").read_text().splitlines()
    assert name == "registry.example:5000/product-simulators:1.2"
    assert said[-3:] == ["-t", name, str(ROOT / "simulators")]
    assert "BASE=registry.example:5000/product:1.2" in said


def test_nothing_of_the_simulators_and_the_tests_reaches_the_products_image() -> None:
    """The Dockerfile copies the whole context, so what it may hold is decided by .dockerignore:
    nothing but what is named there.
    """
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]

    assert rules[0] == "*"
    assert {rule for rule in rules if rule.startswith("!")} == {
        "!LICENSE",
        "!README.md",
        "!pyproject.toml",
        "!requirements/",
        "!controller/",
        "!crds/",
        "!examples/",
    }
