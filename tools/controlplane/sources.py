"""Where kube-apiserver and etcd come from: the environment, the cache, the upstream
archive, or the Go compiler.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tools.controlplane.process import spawned

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VERSION = "1.36.2"
"""Kubernetes version of every source: the archive's, and ``k8s.io/kubernetes`` in tools/go.mod."""

PROGRAMS = ("kube-apiserver", "etcd")

_RELEASES = "https://github.com/kubernetes-sigs/controller-tools/releases/download"
_SHA512 = {  # of envtest-v1.36.2-*.tar.gz, from envtest-releases.yaml of kubernetes-sigs/controller-tools
    "darwin-amd64": "b4fe9f973cd1992e3880f8b230ed32c0c243b83371591e3e3315f4404df2cdbef8ee94eeb9bb245b7e5feb987d5c4a76c43e0877654ab73f00d7bbc2b9984514",
    "darwin-arm64": "9278f9e5af556b2f1f2d139769c1f0d717c7b4426917fdebdba898bcb725a916e4910d6160886194ff9be9589ea7c5c32c2b8ae0754703874b7c8ba8ddfc41ce",
    "linux-amd64": "ea743186c8a799f5cf8faf16969f86189d003cb7d130e0ac4b58789f1e5748dcf30ebe91c837a10d5ac415383da3e10b9e64d65785c938c23e739781cfb76f08",
    "linux-arm64": "2d72ee985a8e262a3c57dc9f7f0fd891f6a8c7bf7ebaa2db6dc6d8eac8ae28181afe51c1f368b67756cdb40b10de9b205609e1726e5f27f7c6d824dd9c6649ac",
}

_CONNECT_SECONDS = 5.0  # an offline machine falls through to the build after this
_DOWNLOAD_SECONDS = 60.0  # beyond this the build, about three minutes on two cores, is the surer way
_PROGRESS_SECONDS = 10.0

_MODULE = Path(__file__).parent.parent  # tools/: go.mod, go.sum, tools.go


class ControlPlaneError(Exception):
    """No control plane; the message says why and what to do next."""


def say(line: str) -> None:
    """Print one line of progress; standard output is kept for results."""
    print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A tar archive that has the programs somewhere inside, and the checksum that it must have (hex)."""

    url: str
    sha512: str


def platform_name() -> str:
    """Return this machine in Go's words, such as ``linux-amd64``."""
    machine = platform.machine().lower()
    return f"{platform.system().lower()}-{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(machine, machine) }"


def pinned_archive() -> Archive | None:
    """Return the upstream archive for this machine, or None where upstream publishes none
    that is pinned here.
    """
    name = platform_name()
    if name not in _SHA512:
        return None
    return Archive(
        url=f"{_RELEASES}/envtest-v{VERSION}/envtest-v{VERSION}-{name}.tar.gz", sha512=_SHA512[name]
    )


def cache_directory(env: Mapping[str, str]) -> Path:
    """Return where the programs are kept between runs, outside the repository."""
    root = Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "hf-runner-controller" / "controlplane" / f"{VERSION}-{platform_name()}"


def present_assets(env: Mapping[str, str] = os.environ) -> Path | None:
    """Return the directory with both programs if it is there already; never downloads or builds.

    Raises:
        ControlPlaneError: ``KUBEBUILDER_ASSETS`` is set but a program is missing from it.
    """
    named = env.get("KUBEBUILDER_ASSETS")
    if named:
        if missing := _missing_from(Path(named)):
            raise ControlPlaneError(
                f"KUBEBUILDER_ASSETS={named} has no executable {missing}: unset it or mend it"
            )
        return Path(named)
    cache = cache_directory(env)
    return None if _missing_from(cache) else cache


def assets(env: Mapping[str, str] = os.environ, archive: Archive | None = None) -> Path:
    """Return the directory with both programs, fetching them first where need be. Safe to call concurrently.

    Args:
        env: Where ``KUBEBUILDER_ASSETS``, ``XDG_CACHE_HOME`` and ``PATH`` are looked up.
        archive: What to download; by default the one pinned for this machine.

    Raises:
        ControlPlaneError: No source worked; the message has the reason of each.
    """
    if found := present_assets(env):
        return found
    cache = cache_directory(env)
    with locked(
        cache.with_name(cache.name + ".lock"), waiting="another process is fetching the control plane"
    ):
        if found := present_assets(env):
            return found
        new = cache.with_name(f".{cache.name}.new")
        for leftover in (new, cache):  # of one that was interrupted; a whole cache was returned above
            shutil.rmtree(leftover, ignore_errors=True)
        new.mkdir()
        _fill(new, env, archive or pinned_archive())
        new.rename(cache)
    return cache


def _fill(directory: Path, env: Mapping[str, str], archive: Archive | None) -> None:
    failures = []
    try:
        go: Go | None = Go.find(env)
    except ControlPlaneError as error:
        go = None
        failures.append(f"build: {error}")
    if archive is None:
        failures.append(f"download: no archive is pinned for {platform_name()}")
    else:
        try:
            # Without Go a slow download is the only way, so it may take its time.
            return _download(archive, directory, seconds=_DOWNLOAD_SECONDS * (1 if go else 20))
        except (OSError, http.client.HTTPException, tarfile.TarError, ControlPlaneError) as error:
            failures.append(f"download: {archive.url}: {error}")
            say(failures[-1])
    if go is None:
        listed = "".join(f"\n  {failure}" for failure in failures)
        raise ControlPlaneError(f"{' and '.join(PROGRAMS)} are needed, and no way to get them works:{listed}")
    return go.build(directory)


def _missing_from(directory: Path) -> str:
    """Return the names of the programs that the directory lacks, empty if it has them all."""
    return " and ".join(name for name in PROGRAMS if not os.access(directory / name, os.X_OK))


@contextlib.contextmanager
def locked(path: Path, *, waiting: str) -> Iterator[None]:
    """Hold a lock between processes; ``waiting`` is printed where another one has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting: {waiting}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _download(archive: Archive, directory: Path, *, seconds: float) -> None:
    """Download, verify, then unpack: nothing of a wrong archive is ever left behind or run."""
    say(f"downloading {archive.url}")
    deadline = time.monotonic() + seconds
    digest = hashlib.sha512()
    with tempfile.TemporaryFile() as file:
        with urllib.request.urlopen(archive.url, timeout=_CONNECT_SECONDS) as response:
            while chunk := response.read(1 << 16):
                if time.monotonic() > deadline:
                    raise ControlPlaneError(f"slower than {seconds:.0f} s")
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != archive.sha512:
            raise ControlPlaneError(
                f"refused: its SHA-512 is {digest.hexdigest()}, not the pinned {archive.sha512}"
            )
        file.seek(0)
        _unpack(file, directory)


def _unpack(file: IO[bytes], directory: Path) -> None:
    """Write the programs out by their own names, whatever the archive's paths say."""
    with tarfile.open(fileobj=file) as tar:
        for member in tar:
            name = Path(member.name).name
            if name not in PROGRAMS or not (source := tar.extractfile(member)):
                continue
            with (directory / name).open("wb") as target:
                shutil.copyfileobj(source, target)
            (directory / name).chmod(0o755)
    if missing := _missing_from(directory):
        raise ControlPlaneError(f"the archive has no {missing}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Go:
    """A Go command that is able to build tools/go.mod."""

    path: str
    release: str
    env: Mapping[str, str]

    @classmethod
    def find(cls, env: Mapping[str, str]) -> Go:
        """Return the Go on PATH.

        Raises:
            ControlPlaneError: There is none, or it is too old; the message has the command that installs it.
        """
        path = shutil.which("go", path=env.get("PATH", os.defpath))
        if path is None:
            raise ControlPlaneError(f"go is not on PATH; install it with: {_install_command(env)}")
        # Asked outside the module: inside it an old Go would first try to become the one that go.mod names.
        asked = subprocess.run(
            [path, "env", "GOVERSION"], env=env, cwd="/", capture_output=True, text=True, check=False
        )
        release = asked.stdout.strip()
        have, needed = _go_release(release), _go_release(_go_mod(r"^go (\S+)$"))
        if have >= needed:
            return cls(path=path, release=release, env=env)
        # From 1.21 on, Go downloads the release that go.mod names, unless someone said not to (as
        # Debian's does).
        if have >= (1, 21) and "GOTOOLCHAIN" not in env:
            return cls(
                path=path,
                release=f"{release}, fetching {needed[0]}.{needed[1]}",
                env={**env, "GOTOOLCHAIN": "auto"},
            )
        raise ControlPlaneError(
            f"{path} is {release or 'of an unknown version'}, and Go {needed[0]}.{needed[1]} or newer is needed: "
            "see https://go.dev/doc/install (any Go from 1.21 on will do where GOTOOLCHAIN is not set)"
        )

    def build(self, directory: Path) -> None:
        """Build both programs into the directory, showing progress.

        Raises:
            ControlPlaneError: The build failed; the message ends with what the compiler said.
        """
        say(
            f"building kube-apiserver {VERSION} and etcd with {self.release}: about 3 minutes on 2 cores, this once"
        )
        major, minor, _ = VERSION.split(".")
        stamp = "k8s.io/component-base/version.git"
        flags = f"-s -w -X {stamp}Version=v{VERSION} -X {stamp}Major={major} -X {stamp}Minor={minor}"
        command = [self.path, "build", "-v", "-buildvcs=false", "-ldflags", flags, "-o", f"{directory}/"]
        packages = ["k8s.io/kubernetes/cmd/kube-apiserver", "go.etcd.io/etcd/server/v3"]
        env = {**self.env, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-mod=readonly"}
        started = time.monotonic()
        with tempfile.TemporaryFile("w+") as log:
            with spawned([*command, *packages], log=log, cwd=_MODULE, env=env) as process:
                shown = started
                while process.poll() is None:
                    time.sleep(0.2)
                    if time.monotonic() - shown >= _PROGRESS_SECONDS:
                        shown = time.monotonic()
                        say(f"  {shown - started:4.0f} s: {_progress(log)}")
            if process.returncode != 0:
                log.seek(0)
                lines = [line for line in log.read().splitlines() if not re.fullmatch(r"[\w./~-]+", line)]
                raise ControlPlaneError("go build failed:\n" + "\n".join(lines[-20:]))
        (directory / "server").rename(directory / "etcd")  # Go names a program after its package
        if missing := _missing_from(directory):
            raise ControlPlaneError(f"go build made no {missing}")
        say(f"built in {time.monotonic() - started:.0f} s")


def _progress(log: IO[str]) -> str:
    log.seek(0)
    lines = log.read().splitlines()
    compiled = [line for line in lines if not line.startswith("go: ")]
    return f"{len(compiled)} packages compiled, {lines[-1].removeprefix('go: ')}" if lines else "starting"


def _go_mod(pattern: str) -> str:
    match = re.search(pattern, (_MODULE / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise ControlPlaneError(f"tools/go.mod has no line that matches {pattern}")
    return match[1]


def _go_release(text: str) -> tuple[int, int]:
    match = re.match(r"(?:go)?(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _install_command(env: Mapping[str, str]) -> str:
    commands = {
        "apt-get": "sudo apt-get install -y golang-go",
        "dnf": "sudo dnf install -y golang",
        "apk": "sudo apk add go",
        "pacman": "sudo pacman -S go",
        "brew": "brew install go",
    }
    path = env.get("PATH", os.defpath)
    return next(
        (command for tool, command in commands.items() if shutil.which(tool, path=path)),
        "see https://go.dev/doc/install",
    )
