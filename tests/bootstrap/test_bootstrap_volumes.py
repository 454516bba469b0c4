"""No runner is taken from a volume that other jobs can write."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile

import pytest

from controller.execute.bootstrap import RUNNER_VERSION
from tests.bootstrap.bootstrap_box import MOUNTS, STANDIN, Box, End

WRITABLE, READ_ONLY = "rw,nosuid,relatime", "ro,nosuid,relatime"


def not_used(box: Box, end: End) -> None:
    """The runner was passed over with a line in the log, and nothing of it was run: then it
    is to be downloaded.
    """
    assert "is not used: it is on a volume that can be written" in end.output
    assert end.outcome == "DownloadFailed"
    assert not (box.home / "bin").exists()
    assert "downloading " in end.output


@pytest.fixture
def bare(box: Box) -> Box:
    """A box where a download fails at once."""
    box.environment["HFRUNNER_RUNNER_BASE_URL"] = "http://127.0.0.1:9"
    return box


@pytest.mark.parametrize("mount", ["image", "", "image/bin", "image/externals", "image/externals/node24/bin"])
def test_a_runner_at_above_or_below_a_writable_mount_is_not_used(bare: Box, mount: str) -> None:
    bare.mount((bare.root / mount if mount else bare.root, WRITABLE))
    end = bare.run("listen succeed")
    assert f"{bare.image}/bin/Runner.Listener is not used" in end.output
    not_used(bare, end)


@pytest.mark.parametrize(
    ("mount", "options"),
    [
        ("image", READ_ONLY),
        ("image", "ro"),
        ("imag", WRITABLE),
        ("image-of-others", WRITABLE),
        ("image/_work", WRITABLE),
    ],
)
def test_a_runner_on_a_read_only_volume_or_beside_a_writable_one_is_used(
    box: Box, mount: str, options: str
) -> None:
    box.mount((box.root / mount, options))
    end = box.run("listen succeed")
    assert end.outcome == "JobCompleted"
    assert "on a volume that can be written" not in end.output


def test_a_read_only_mount_below_a_writable_one_is_not_trusted(bare: Box) -> None:
    bare.mount((bare.image, READ_ONLY), (bare.root, WRITABLE))
    not_used(bare, bare.run("listen succeed"))


def test_a_mount_whose_path_has_a_space_is_found(bare: Box) -> None:
    place = bare.root / "my runner"
    bare.image.rename(place)
    bare.mount((place, WRITABLE))
    not_used(bare, bare.run("listen succeed", HFRUNNER_RUNNER_DIR=str(place)))


@pytest.mark.parametrize("link", ["image", "image/bin", "image/bin/Runner.Listener", "image/externals"])
def test_a_link_that_leads_to_a_writable_volume_is_no_way_around(bare: Box, link: str) -> None:
    volume = bare.root / "volume"
    volume.mkdir()
    place = bare.root / link
    place.rename(volume / place.name)
    place.symlink_to(volume / place.name)
    bare.mount((volume, WRITABLE))
    not_used(bare, bare.run("listen succeed"))


def test_a_path_with_dots_is_no_way_around(bare: Box) -> None:
    bare.mount((bare.image, WRITABLE))
    not_used(bare, bare.run("listen succeed", HFRUNNER_RUNNER_DIR=f"{bare.root}/home/..//image/"))


def test_an_archive_is_not_used_either_although_its_checksum_is_right(bare: Box) -> None:
    """What is verified could be changed before it is unpacked."""
    shutil.rmtree(bare.image)
    bare.image.mkdir()
    arch = "arm64" if os.uname().machine in {"aarch64", "arm64"} else "x64"
    with tarfile.open(bare.image / f"actions-runner-linux-{arch}-{RUNNER_VERSION}.tar.gz", "w:gz") as archive:
        archive.add(STANDIN, arcname=".")
    bare.mount((bare.image, WRITABLE))
    not_used(bare, bare.run("listen succeed"))


def test_the_next_place_is_looked_at(box: Box) -> None:
    shutil.copytree(STANDIN, box.home, dirs_exist_ok=True)
    box.mount((box.image, WRITABLE))
    end = box.run("listen succeed")
    assert f"{box.image}/bin/Runner.Listener is not used" in end.output
    assert end.outcome == "JobCompleted"
    assert f"actions/runner 2.337.0, {box.home})" in box.traces("hook")


def test_what_lies_beside_a_runner_on_a_writable_volume_is_left_there(box: Box) -> None:
    hooks = box.image / "hooks"
    hooks.mkdir()
    box.mount((hooks, WRITABLE))
    end = box.run("listen succeed")
    assert end.outcome == "JobCompleted"
    assert f"{hooks} is not used" in end.output
    assert not (box.home / "hooks").exists()


def test_programs_that_jobs_can_write_are_warned_of(box: Box) -> None:
    tools = box.root / "volume/bin"
    tools.mkdir(parents=True)
    box.mount((box.root / "volume", WRITABLE))
    end = box.run("listen succeed", PATH=f"{os.environ['PATH']}:{tools}")
    assert f"warning: {tools} is on a volume that can be written" in end.output
    assert end.outcome == "JobCompleted"


def test_where_nobody_knows_what_is_mounted_no_runner_is_trusted(bare: Box) -> None:
    bare.command = (*bare.command[:2], bare.command[2].replace(str(bare.root / "mounts"), "/nonexistent"))
    not_used(bare, bare.run("listen succeed"))


@pytest.mark.parametrize("read_only", [True, False])
def test_a_volume_that_is_really_mounted_is_judged_by_its_options(bare: Box, read_only: bool) -> None:
    if os.getuid() != 0 or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    if any(os.path.ismount(above) for above in bare.root.parents[:-1]):
        pytest.skip("the place for temporary files is a mount of its own here")
    volume = bare.root / "volume"
    volume.mkdir()
    options = "ro" if read_only else "rw"
    script = bare.command[2].replace(str(bare.root / "mounts"), MOUNTS)
    mounting = f'mount -t tmpfs none "{volume}" && cp -R "{bare.image}/." "{volume}" && mount -o remount,{options} "{volume}" && exec sh -c "$1"'
    bare.command = ("sh", "-c", script)
    run = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mounting, "sh", script]
    done = subprocess.run(
        run,
        env={**bare.environment, "STANDIN": "listen succeed", "HFRUNNER_RUNNER_DIR": str(volume)},
        cwd=bare.root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    passed_over = f"{volume}/bin/Runner.Listener is not used" in done.stdout
    assert passed_over == (not read_only), done.stdout
