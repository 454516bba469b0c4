"""What is missing is installed by the distribution's own means, all at once, and nothing else is.

The package managers here are stand-ins that write down how they were called and put the commands on the
shelf; test_bootstrap_debian.py runs the real apt-get.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.bootstrap.bootstrap_box import Box

NOBODY = 65534
MANAGERS = ("apt-get", "apt-cache", "dnf", "microdnf", "yum", "apk")
TOOLS = ("sudo", "bash", "git", "git-lfs", "curl", "jq", "unzip", "zstd", "xz", "tar", "gzip", "python3")


def _image(box: Box, manager: str, *absent: str, refuses: str = "nothing") -> Path:
    """Make an image that has all tools but some, and one package manager."""
    shelf = box.commands(*MANAGERS, *absent)
    for tool in TOOLS:
        if tool not in absent and not (shelf / tool).exists():
            box.command_script(shelf, tool, "exit 0")
    calls = box.out / "calls"
    calls.touch()
    box.command_script(
        shelf,
        manager,
        f"""echo "$0 $*" | sed 's|.*/||' >>{calls}
case " $* " in *" {refuses} "*) echo "cannot find {refuses}" >&2; exit 1 ;; esac
case " $* " in *" install "*|*" add "*) ;; *) exit 0 ;; esac
for word in "$@"; do
  case $word in xz-utils) word=xz ;; esac
  case $word in zstd|xz|jq|git-lfs) printf '#!/bin/sh\\n' >{shelf}/$word; chmod 755 {shelf}/$word ;; esac
done""",
    )
    if manager == "apt-get":
        box.command_script(
            shelf,
            "apt-cache",
            "for name in zstd xz-utils jq libicu9 libicu70 libicu67 libssl3 liblttng-ust1 libgssapi-krb5-2 zlib1g "
            f'python3-venv libstdc++6 ca-certificates git-lfs; do [ $name = {refuses} ] || echo "$name - words"; done',
        )
    box.environment["HFRUNNER_PACKAGES"] = "install"
    return calls


def _installs(calls: Path) -> list[list[str]]:
    lines = [line.split() for line in calls.read_text().splitlines()]
    return [line for line in lines if {"install", "add"} & set(line)]


def test_apt_is_asked_once_for_all_that_is_missing_under_its_own_names(box: Box) -> None:
    calls = _image(box, "apt-get", "zstd", "xz", "jq")
    end = box.run("listen succeed")
    assert end.outcome == "JobCompleted"
    (call,) = _installs(calls)
    assert {"zstd", "xz-utils", "jq"} < set(call)
    assert not {"curl", "git", "sudo", "tar"} & set(call)
    assert calls.read_text().count(" update") == 1
    # The highest ICU that the distribution has, if this machine lacks one.
    assert not {"libicu9", "libicu67"} & set(call)


@pytest.mark.parametrize("manager", ["dnf", "microdnf", "yum"])
def test_the_red_hat_family_is_asked_once_too(box: Box, manager: str) -> None:
    calls = _image(box, manager, "zstd", "xz")
    assert box.run("listen succeed").outcome == "JobCompleted"
    (call,) = _installs(calls)
    assert call[:3] == [manager, "install", "-y"]
    assert {"zstd", "xz"} < set(call)


def test_alpine_is_asked_under_its_own_names(box: Box) -> None:
    calls = _image(box, "apk", "zstd")
    assert box.run("listen succeed").outcome == "JobCompleted"
    (call,) = _installs(calls)
    assert call[:3] == ["apk", "add", "--no-cache"]
    assert "zstd" in call
    assert not {"libicuuc", "libicu", "openssl-libs"} & set(call)


def test_a_package_that_the_distribution_lacks_takes_no_other_with_it(box: Box) -> None:
    calls = _image(box, "apt-get", "zstd", "git-lfs", refuses="git-lfs")
    end = box.run("listen succeed")
    assert end.outcome == "JobCompleted"
    (call,) = _installs(calls)
    assert "git-lfs" not in call
    (said,) = [line for line in end.output.splitlines() if "still missing" in line]
    assert "git-lfs" in said
    assert "zstd" not in said


def test_a_package_that_cannot_be_installed_is_tried_apart_from_the_others(box: Box) -> None:
    calls = _image(box, "dnf", "zstd", "git-lfs", refuses="git-lfs")
    end = box.run("listen succeed")
    assert end.outcome == "JobCompleted"
    together = [call for call in _installs(calls) if {"zstd", "git-lfs"} < set(call)]
    assert len(together) == 3
    assert ["dnf", "install", "-y", "zstd"] in _installs(calls)
    assert "warning: git-lfs could not be installed" in end.output
    assert "cannot find git-lfs" in end.output


def test_nothing_is_installed_where_nothing_may_be(box: Box) -> None:
    calls = _image(box, "apt-get", "zstd")
    box.run("listen succeed", HFRUNNER_PACKAGES="skip")
    assert calls.read_text() == ""


def test_an_image_without_a_package_manager_says_what_it_lacks(box: Box) -> None:
    _image(box, "pacman", "zstd")
    end = box.run("listen succeed")
    assert end.outcome == "JobCompleted"
    (said,) = [line for line in end.output.splitlines() if "no apt-get, dnf, yum or apk" in line]
    assert " zstd" in said


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_without_sudo_hears_in_one_line_what_the_image_lacks(box: Box) -> None:
    calls = _image(box, "apt-get", "zstd", "sudo")
    box.open_to(NOBODY)
    box.root.chmod(0o777)
    end = box.run("listen succeed")
    assert end.outcome == "JobCompleted"
    (said,) = [line for line in end.output.splitlines() if f"uid {NOBODY} without sudo" in line]
    assert {"zstd", "sudo"} < set(said.split())
    assert calls.read_text() == ""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_with_sudo_installs_by_it(box: Box) -> None:
    calls = _image(box, "apt-get", "zstd")
    box.command_script(box.root / "commands", "sudo", '[ "$1" = -n ] || exit 1; shift; exec "$@"')
    box.open_to(NOBODY)
    for path in (box.root, box.root / "commands", calls):
        path.chmod(0o777)
    assert box.run("listen succeed").outcome == "JobCompleted"
    (call,) = _installs(calls)
    assert "zstd" in call
