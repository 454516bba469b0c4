"""The script in minimal roots of Debian 12, with the real apt-get, as the first process of
its own namespace.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.core.outcomes import Exit
from controller.execute.bootstrap import script
from tests.bootstrap.bootstrap_box import SECRET, STANDIN

SUITE = "bookworm"
USER = 1000
IN_ROOT = 'mount -t proc proc "$1/proc" && root=$1 && shift && exec chroot --userspec "$1:$1" --groups "" "$root" sh -c "$2"'

pytestmark = [pytest.mark.debootstrap, pytest.mark.timeout(600)]


def _mirror() -> str | None:
    """The address that this machine's apt has for the suite."""
    if not shutil.which("apt-get"):
        return None
    done = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(CODENAME) $(COMPONENT) $(SITE)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    )
    sites = [line.split() for line in done.stdout.splitlines()]
    return next((site[2] for site in sites if site[:2] == [SUITE, "main"]), None)


@pytest.fixture(scope="session")
def minimal() -> Path:
    """An archive of a minimal root, built once and kept outside the repository."""
    if os.getuid() != 0:
        pytest.skip("a root directory can be made by root only")
    if not shutil.which("debootstrap"):
        pytest.skip("no debootstrap here: apt-get install debootstrap")
    mirror = _mirror()
    if mirror is None:
        pytest.skip(f"apt has no address for Debian {SUITE} here")
    if subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], check=False).returncode:
        pytest.skip("unshare --mount --pid is not allowed here")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hf-runner-controller"
    kept = cache / f"debian-{SUITE}-minbase.tar"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as work:
            subprocess.run(
                ["debootstrap", "--variant=minbase", SUITE, f"{work}/root", mirror],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            subprocess.run(["tar", "-C", f"{work}/root", "-cf", f"{work}/tar", "."], check=True)
            Path(work, "tar").rename(kept)
    return kept


@pytest.fixture
def root(minimal: Path) -> Iterator[Path]:
    """A root of this test's own, which reaches the same packages as this machine."""
    with tempfile.TemporaryDirectory(prefix="debian-") as name:
        root = Path(name)
        root.chmod(0o755)
        subprocess.run(["tar", "-C", name, "-xf", minimal], check=True)
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        settings = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
        mine = [line for line in settings.splitlines() if re.match(r"Acquire::(Check-|https?::|Proxy)", line)]
        (root / "etc/apt/apt.conf.d/90this-machine").write_text("\n".join(mine) + "\n")
        shutil.copytree(STANDIN, root / "opt/actions-runner")
        yield root


def _run(root: Path, *, uid: int = 0) -> tuple[str, str]:
    """Return the outcome and the output."""
    done = subprocess.run(
        [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            IN_ROOT,
            "sh",
            root,
            str(uid),
            script(),
        ],
        env={
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/",
            "HFRUNNER_JIT_CONFIG": SECRET,
            "STANDIN_OUT": "/tmp",
            "STANDIN": "listen succeed",
        },
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    output = done.stdout + done.stderr
    outcome = Exit(done.returncode).outcome  # type: ignore[call-arg] # a look-up
    assert output.count(f"hfrunner: outcome={outcome} ") == 1, output
    assert SECRET not in output
    return outcome, output


def _has(root: Path, program: str) -> bool:
    return (
        subprocess.run(
            ["chroot", root, "sh", "-c", f"command -v {program}"], check=False, stdout=subprocess.DEVNULL
        ).returncode
        == 0
    )


def test_a_bare_image_gets_all_that_workflows_need_and_once_only(root: Path) -> None:
    tools = ("sudo", "git", "git-lfs", "curl", "jq", "unzip", "zstd", "xz", "python3")
    assert not [tool for tool in tools if _has(root, tool)]
    outcome, output = _run(root)
    assert outcome == "JobCompleted", output
    assert "warning" not in output
    assert [tool for tool in tools if not _has(root, tool)] == []
    subprocess.run(["chroot", root, "python3", "-m", "venv", "/tmp/venv"], check=True)
    assert list(root.glob("usr/lib/*/libicuuc.so.*"))
    assert list(root.glob("usr/lib/*/libssl.so.*"))
    assert "HOME=/home/runner\n" in (root / "tmp/environment").read_text()
    assert "ImageOS=" not in (root / "tmp/environment").read_text()
    assert (root / "opt/hostedtoolcache").is_dir()

    # The same image again: nothing is fetched, so it needs no network and no package manager.
    shutil.rmtree(root / "var/lib/apt/lists")
    (root / "usr/bin/apt-get").write_text("#!/bin/sh\necho apt-get was called\nexit 1\n")
    (root / "etc/os-release").unlink()
    (root / "etc/os-release").write_text('ID=ubuntu\nVERSION_ID="24.04"\n')
    outcome, output = _run(root)
    assert outcome == "JobCompleted", output
    assert "ImageOS=ubuntu24\n" in (root / "tmp/environment").read_text()
    assert "installing" not in output
    assert "apt-get was called" not in output
    assert not (root / "var/lib/apt/lists").exists()

    # And another user, who may use sudo.
    shutil.rmtree(root / "home/runner")
    (root / "etc/sudoers.d/user").write_text(f"#{USER} ALL=(ALL) NOPASSWD: ALL\n")
    subprocess.run(["chroot", root, "useradd", "--uid", str(USER), "user"], check=True)
    outcome, output = _run(root, uid=USER)
    assert outcome == "JobCompleted", output
    assert f"User:      uid {USER}, HOME /home/runner, tool cache /opt/hostedtoolcache" in output
    assert (root / "home/runner").stat().st_uid == USER


def test_a_bare_image_with_another_user_says_what_it_lacks_and_why_it_cannot_run(root: Path) -> None:
    outcome, output = _run(root, uid=USER)
    assert outcome == "UnsupportedImage"
    (said,) = [line for line in output.splitlines() if f"uid {USER} without sudo" in line]
    assert {"sudo", "git", "zstd", "libssl", "libicuuc"} < set(said.split())
    assert "needs libssl" in output


def test_an_image_without_glibc_says_so(root: Path) -> None:
    # What Alpine shows to a program that is built for glibc: no loader of that name, and musl's instead.
    busybox = shutil.which("busybox")
    if not busybox or subprocess.run(["ldd", busybox], capture_output=True, check=False).returncode == 0:
        pytest.skip("no static busybox here: apt-get install busybox-static")
    listener = root / "opt/actions-runner/bin/Runner.Listener"
    shutil.copy(root / "usr/bin/true", listener)
    for name in ("lib", "lib64", "bin", "sbin", "usr"):
        path = root / name
        path.unlink() if path.is_symlink() else shutil.rmtree(path)
    (root / "bin").mkdir()
    (root / "lib").mkdir()
    (root / "lib/ld-musl-x86_64.so.1").touch()
    (root / "lib/libssl.so.3").touch()
    shutil.copy(busybox, root / "bin/busybox")
    subprocess.run(["chroot", root, "/bin/busybox", "--install", "-s", "/bin"], check=True)
    outcome, output = _run(root)
    assert outcome == "UnsupportedImage"
    assert "cannot run on musl (Alpine)" in output
