"""Where the runner comes from: the image, a volume, or a download whose checksum is verified."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from controller.execute.bootstrap import RUNNER_VERSION
from tests.bootstrap.bootstrap_box import STANDIN, Box

NOBODY = 65534
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")


def _tree(root: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(root)): (path.stat().st_mode, path.read_bytes())
        for path in root.rglob("*")
        if path.is_file()
    }


def _archive(path: Path) -> str:
    with tarfile.open(path, "w:gz") as archive:
        archive.add(STANDIN, arcname=".")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass(slots=True)
class Releases:
    """Serves the runner's archive; ``failures`` first answers are errors."""

    archive: bytes
    url: str = ""
    failures: int = 0
    requests: list[str] = field(default_factory=list)


@pytest.fixture
def releases(box: Box) -> Iterator[Releases]:
    path = box.root / "runner.tar.gz"
    sha256 = _archive(path)
    served = Releases(archive=path.read_bytes())
    path.unlink()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.requests.append(self.path)
            if len(served.requests) <= served.failures:
                self.send_error(503)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(served.archive)))
            self.end_headers()
            self.wfile.write(served.archive)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}"
    box.environment |= {
        "HFRUNNER_RUNNER_DIR": "none",
        "HFRUNNER_RUNNER_BASE_URL": served.url,
        "HFRUNNER_RUNNER_SHA256_X64": sha256,
        "HFRUNNER_RUNNER_SHA256_ARM64": sha256,
    }
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_runner_in_its_home_is_used_where_it_is(box: Box) -> None:
    shutil.rmtree(box.home)
    box.image.rename(box.home)
    del box.environment["HFRUNNER_RUNNER_DIR"]
    end = box.run("listen succeed")
    assert end.outcome == "JobCompleted"
    assert f"actions/runner 2.337.0, {box.home})" in box.traces("hook")


@as_root
def test_a_runner_on_a_volume_that_may_not_be_written_runs_from_home(box: Box) -> None:
    box.open_to(NOBODY)
    box.root.chmod(0o777)
    before = _tree(box.image)
    end = box.run("listen succeed")
    assert end.outcome == "JobCompleted"
    assert _tree(box.image) == before
    assert (box.home / ".credentials").exists()
    # The Listener resolves links to find its root, so its directory is a copy; node is big and only read.
    assert not (box.home / "bin").is_symlink()
    assert (box.home / "externals").readlink() == box.image / "externals"
    assert (box.home / "run.sh").is_file()


def test_a_volume_that_lost_the_mode_bits_is_copied_whole(box: Box) -> None:
    for path in box.image.rglob("*"):
        if path.is_file():
            path.chmod(0o644)
    assert box.run("listen succeed").outcome == "JobCompleted"
    assert not (box.home / "externals").is_symlink()
    assert os.access(box.home / "externals/node24/bin/node", os.X_OK)


def test_what_a_runner_left_of_its_work_is_not_taken_over(box: Box) -> None:
    for name in ("_work", "_diag", "k8s"):
        (box.image / name).mkdir()
        (box.image / name / "old").touch()
    box.run("listen succeed")
    assert not (box.home / "_work" / "old").exists()
    assert not (box.home / "_diag" / "old").exists()
    assert (box.home / "k8s" / "old").exists()


@pytest.mark.parametrize("good", [True, False])
def test_an_archive_on_a_volume_is_verified_and_unpacked(box: Box, good: bool) -> None:
    shutil.rmtree(box.image)
    box.image.mkdir()
    machine = os.uname().machine
    arch = "arm64" if machine in {"aarch64", "arm64"} else "x64"
    sha256 = _archive(box.image / f"actions-runner-linux-{arch}-{RUNNER_VERSION}.tar.gz")
    pinned = sha256 if good else "0" * 64
    end = box.run("listen succeed", HFRUNNER_RUNNER_SHA256_X64=pinned, HFRUNNER_RUNNER_SHA256_ARM64=pinned)
    assert end.outcome == ("JobCompleted" if good else "ChecksumMismatch")
    assert (box.home / "bin").exists() == good


@pytest.mark.parametrize("tool", ["curl", "wget", "python3"])
def test_a_runner_is_downloaded_with_what_the_image_has(box: Box, releases: Releases, tool: str) -> None:
    if not shutil.which(tool):
        pytest.skip(f"no {tool} here")
    box.commands(*{"curl", "wget", "python3"} - {tool})
    end = box.run("listen succeed")
    assert end.outcome == "JobCompleted"
    assert releases.requests[0].startswith(f"/v{RUNNER_VERSION}/actions-runner-linux-")
    assert "actions/runner 2.337.0, downloaded)" in box.traces("hook")
    assert not list((box.home / ".hfrunner").glob("*.tar.gz"))


@pytest.mark.parametrize("broken", [("curl",), ("curl", "wget")])
def test_a_tool_that_does_not_start_lets_the_next_one_try(
    box: Box, releases: Releases, broken: tuple[str, ...]
) -> None:
    """An image with libraries of its own (``LD_LIBRARY_PATH``) can have a curl that ends
    before it does anything.
    """
    shelf = box.commands(*broken)
    for tool in broken:
        box.command_script(shelf, tool, f"echo '{tool}: symbol lookup error: undefined symbol' >&2; exit 127")
    end = box.run("listen succeed")
    assert end.outcome == "JobCompleted"
    assert len(releases.requests) == 1
    assert "curl does not start in this image (code 127)" in end.output


def test_where_no_tool_starts_the_runner_ends_with_what_they_said(box: Box, releases: Releases) -> None:
    shelf = box.commands("curl", "wget", "python3")
    box.command_script(shelf, "curl", "echo 'curl: symbol lookup error: undefined symbol' >&2; exit 127")
    end = box.run("listen succeed")
    assert end.outcome == "DownloadFailed"
    assert "symbol lookup error" in end.output


def test_a_tool_that_fails_otherwise_leaves_the_next_try_to_the_next_one(
    box: Box, releases: Releases
) -> None:
    shelf = box.commands("curl")
    box.command_script(shelf, "curl", "echo 'curl: (77) error setting certificate file' >&2; exit 77")
    assert box.run("listen succeed").outcome == "JobCompleted"


def test_a_download_that_fails_is_tried_again(box: Box, releases: Releases) -> None:
    releases.failures = 2
    assert box.run("listen succeed").outcome == "JobCompleted"


def test_a_download_that_keeps_failing_ends_the_runner(box: Box, releases: Releases) -> None:
    releases.failures = 99
    end = box.run("listen succeed")
    assert end.outcome == "DownloadFailed"
    assert len(releases.requests) == 3
    assert "503" in end.output


def test_a_wrong_checksum_ends_the_runner_with_nothing_unpacked(box: Box, releases: Releases) -> None:
    releases.archive += b"x"
    assert box.run("listen succeed").outcome == "ChecksumMismatch"
    assert not (box.home / "bin").exists()


def test_an_archive_that_is_none_ends_the_runner(box: Box, releases: Releases) -> None:
    releases.archive = b"not a tar file"
    sha256 = hashlib.sha256(releases.archive).hexdigest()
    end = box.run("listen succeed", HFRUNNER_RUNNER_SHA256_X64=sha256, HFRUNNER_RUNNER_SHA256_ARM64=sha256)
    assert end.outcome == "UnpackFailed"


def test_nothing_is_run_unverified(box: Box, releases: Releases) -> None:
    end = box.run("listen succeed", HFRUNNER_RUNNER_SHA256_X64="", HFRUNNER_RUNNER_SHA256_ARM64="")
    assert end.outcome == "BadConfiguration"
    assert not releases.requests


@pytest.mark.parametrize(
    ("url", "allowed", "outcome"),
    [
        ("http://releases.example", "", "BadConfiguration"),
        ("http://127.0.0.1.releases.example", "", "BadConfiguration"),
        ("ftp://releases.example", "1", "BadConfiguration"),
        ("http://releases.invalid", "1", "DownloadFailed"),
    ],
)
def test_plain_http_is_for_loopback_or_for_who_says_so(
    box: Box, releases: Releases, url: str, allowed: str, outcome: str
) -> None:
    end = box.run("listen succeed", HFRUNNER_RUNNER_BASE_URL=url, HFRUNNER_ALLOW_HTTP=allowed)
    assert end.outcome == outcome


def test_an_image_that_cannot_download_says_what_it_lacks(box: Box, releases: Releases) -> None:
    box.commands("curl", "wget", "python3")
    end = box.run("listen succeed")
    assert end.outcome == "MissingTool"
    assert "neither curl nor wget nor python3" in end.output


def test_a_machine_without_a_runner_of_its_kind_is_named(box: Box, releases: Releases) -> None:
    shelf = box.commands()
    box.command_script(shelf, "uname", "echo riscv64")
    end = box.run("listen succeed")
    assert end.outcome == "UnsupportedImage"
    assert "riscv64" in end.output
