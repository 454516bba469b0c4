"""tools.controlplane.sources: which source of the programs wins, what is refused, and what
a person is told.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tools.controlplane import sources
from tools.controlplane.sources import Archive, ControlPlaneError, assets, cache_directory, present_assets

if TYPE_CHECKING:
    from pathlib import Path

NOWHERE = Archive(url="file:///nonexistent/archive.tar.gz", sha512="0" * 128)

# A stand-in compiler. Its PATH is one directory, so it names the programs that it runs in full.
GO = """#!/bin/sh
[ "$1" = env ] && {{ echo {release}; exit; }}
echo "GOTOOLCHAIN=$GOTOOLCHAIN $*" >>{log}
{build}
"""
BUILD = """for word; do case $word in */) out=$word ;; esac; done
for program in kube-apiserver server; do echo "#!built" >"$out$program"; /bin/chmod +x "$out$program"; done
"""


class Machine:
    """A machine with an empty cache and, on its PATH, only what a test puts there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "bin"
        self.bin.mkdir()
        self.env = {"PATH": str(self.bin), "XDG_CACHE_HOME": str(root / "cache"), "HOME": str(root)}

    def has(self, name: str, text: str = "#!/bin/sh\n") -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def has_go(self, release: str = "go1.99.0", build: str = BUILD) -> None:
        self.has("go", GO.format(release=release, log=self.root / "go.log", build=build))

    @property
    def builds(self) -> list[str]:
        log = self.root / "go.log"
        return log.read_text().splitlines() if log.exists() else []

    def serves(self, *names: str) -> Archive:
        """Make an archive with these members, and the checksum that it has."""
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w:gz") as tar:
            for name in names:
                member = tarfile.TarInfo(name)
                member.size = len(b"#!downloaded\n")
                tar.addfile(member, io.BytesIO(b"#!downloaded\n"))
        path = self.root / "archive.tar.gz"
        path.write_bytes(data.getvalue())
        return Archive(url=path.as_uri(), sha512=hashlib.sha512(data.getvalue()).hexdigest())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def put_programs(directory: Path) -> Path:
    directory.mkdir(parents=True)
    for name in sources.PROGRAMS:
        (directory / name).touch(0o755)
    return directory


def test_the_environment_goes_before_the_cache(machine: Machine) -> None:
    put_programs(cache_directory(machine.env))
    named = put_programs(machine.root / "named")
    assert assets({**machine.env, "KUBEBUILDER_ASSETS": str(named)}, NOWHERE) == named


def test_an_environment_that_lacks_a_program_is_an_error_and_not_passed_over(machine: Machine) -> None:
    named = put_programs(machine.root / "named")
    (named / "etcd").chmod(0o644)
    with pytest.raises(ControlPlaneError, match="has no executable etcd"):
        assets({**machine.env, "KUBEBUILDER_ASSETS": str(named)}, machine.serves(*sources.PROGRAMS))


def test_the_cache_goes_before_download_and_build(machine: Machine) -> None:
    machine.has_go()
    cache = put_programs(cache_directory(machine.env))
    assert assets(machine.env, machine.serves(*sources.PROGRAMS)) == cache
    assert (cache / "etcd").read_text() == ""
    assert machine.builds == []


def test_the_download_goes_before_the_build_and_fills_the_cache(machine: Machine) -> None:
    machine.has_go()
    found = assets(
        machine.env, machine.serves("controller-tools/envtest/etcd", "a/kube-apiserver", "a/kubectl")
    )
    assert found == cache_directory(machine.env) == present_assets(machine.env)
    assert sorted(path.name for path in found.iterdir()) == ["etcd", "kube-apiserver"]
    assert (found / "etcd").read_text() == "#!downloaded\n"
    assert machine.builds == []


def test_an_archive_cannot_write_outside_its_directory(machine: Machine) -> None:
    found = assets(machine.env, machine.serves("../../etcd", "/kube-apiserver", "../escaped"))
    assert sorted(path.name for path in found.iterdir()) == ["etcd", "kube-apiserver"]
    assert list(machine.root.rglob("escaped")) == []


def test_a_wrong_checksum_is_refused_and_the_programs_are_built_instead(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.has_go()
    tampered = Archive(url=machine.serves(*sources.PROGRAMS).url, sha512="0" * 128)
    found = assets(machine.env, tampered)
    assert (found / "etcd").read_text() == "#!built\n"
    assert "refused: its SHA-512 is " in capsys.readouterr().err


def test_a_wrong_checksum_without_go_leaves_nothing_to_run(machine: Machine) -> None:
    tampered = Archive(url=machine.serves(*sources.PROGRAMS).url, sha512="0" * 128)
    with pytest.raises(ControlPlaneError, match="refused"):
        assets(machine.env, tampered)
    assert present_assets(machine.env) is None
    assert [path for path in machine.root.rglob("etcd") if path.is_file()] == []


def test_an_archive_that_lacks_a_program_is_not_taken(machine: Machine) -> None:
    with pytest.raises(ControlPlaneError, match="the archive has no kube-apiserver"):
        assets(machine.env, machine.serves("etcd"))
    assert present_assets(machine.env) is None


@pytest.mark.parametrize(
    ("tool", "command"),
    [
        ("apt-get", "sudo apt-get install -y golang-go"),
        ("brew", "brew install go"),
        (None, "https://go.dev/doc/install"),
    ],
)
def test_a_missing_go_is_named_with_the_command_that_installs_it(
    machine: Machine, tool: str | None, command: str
) -> None:
    if tool:
        machine.has(tool)
    with pytest.raises(
        ControlPlaneError, match=f"go is not on PATH; install it with: .*{re.escape(command)}"
    ):
        assets(machine.env, NOWHERE)


def test_a_go_that_is_too_old_is_named_with_the_release_that_is_needed(machine: Machine) -> None:
    machine.has_go("go1.19.8")
    with pytest.raises(ControlPlaneError, match=r"is go1\.19\.8, and Go 1\.26 or newer is needed"):
        assets(machine.env, NOWHERE)


def test_a_go_that_can_fetch_its_successor_is_told_to(machine: Machine) -> None:
    machine.has_go("go1.22.2")
    assets(machine.env, NOWHERE)
    assert [line.split()[0] for line in machine.builds] == ["GOTOOLCHAIN=auto"]


def test_a_person_who_forbids_other_toolchains_is_obeyed(machine: Machine) -> None:
    machine.has_go("go1.22.2")
    with pytest.raises(ControlPlaneError, match="or newer is needed"):
        assets({**machine.env, "GOTOOLCHAIN": "local"}, NOWHERE)
    assert machine.builds == []


def test_a_failed_build_says_what_the_compiler_said(machine: Machine) -> None:
    machine.has_go(build="echo k8s.io/api/core/v1 >&2; echo 'no space left on device' >&2; exit 1")
    with pytest.raises(ControlPlaneError, match="go build failed:\nno space left on device"):
        assets(machine.env, NOWHERE)
    assert present_assets(machine.env) is None


def test_of_two_who_ask_at_once_one_builds_and_both_get_it(machine: Machine) -> None:
    machine.has_go()
    with ThreadPoolExecutor(2) as pool:
        found = [future.result() for future in [pool.submit(assets, machine.env, NOWHERE) for _ in range(2)]]
    assert found == [cache_directory(machine.env)] * 2
    assert len(machine.builds) == 1


def test_every_source_gives_the_same_kubernetes() -> None:
    module = (sources._MODULE / "go.mod").read_text()
    assert f"k8s.io/kubernetes v{sources.VERSION}\n" in module
    assert all(re.fullmatch("[0-9a-f]{128}", checksum) for checksum in sources._SHA512.values())
