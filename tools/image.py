"""The container image: build it, say how big it is and how fast it starts, write it to an archive.

It needs only the standard library and one of docker, podman and buildah:

    python -m tools.image build NAME [--base IMAGE] [--flags "..."]
    python -m tools.image simulators NAME [--flags "..."]
    python -m tools.image archive NAME FILE

Equal commits give equal images: every time stamp is the commit's (``SOURCE_DATE_EPOCH``, where it is set).
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parent.parent
BUILDERS = ("docker", "podman", "buildah")
STARTS = 3
"""Times that the image is started; the fastest counts, since what is slower measures the machine."""

_CHUNK = 1 << 20
_MB = 1e6


class ImageError(Exception):
    """No image; the message says why and what to do next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer.

    Attributes:
        size: Bytes of its tar archive.
        compressed: Bytes of that as gzip, which is what a registry keeps and a node pulls.
    """

    size: int
    compressed: int


def builder_on_path() -> str:
    """Return the first builder that this machine has.

    Raises:
        ImageError: It has none.
    """
    for name in BUILDERS:
        if path := shutil.which(name):
            return path
    raise ImageError(
        f"no {', '.join(BUILDERS[:-1])} or {BUILDERS[-1]}; install one with: sudo apt-get install -y buildah"
    )


def build(
    builder: str, name: str, *, base: str, flags: Sequence[str], tree: Path = ROOT, revision: str = "HEAD"
) -> None:
    """Build the image.

    Args:
        builder: Path of docker, podman or buildah.
        name: What the image is called.
        base: Its base image; empty for the Dockerfile's.
        flags: Given to the builder as they are.
        tree: What it is built from.
        revision: Of this repository: the commit that the tree is of.

    Raises:
        ImageError: The build failed; the builder has said why.
    """
    revision, epoch = _commit(revision)
    arguments = {"SOURCE_DATE_EPOCH": epoch, "VERSION": _version(tree), "REVISION": revision}
    if base:
        arguments["BASE"] = base
    _build(builder, name, arguments=arguments, epoch=epoch, flags=flags, context=tree)


def build_simulators(builder: str, product: str, *, flags: Sequence[str]) -> str:
    """Build the image that has the simulated services too, on top of the product's image; return its name.

    Args:
        builder: Path of docker, podman or buildah.
        product: Name and tag of the product's image, which this builder has.
        flags: Given to the builder as they are.

    Raises:
        ImageError: The build failed; the builder has said why.
    """
    repository, _, tag = product.rpartition(":")
    name = f"{repository}-simulators:{tag}"
    _, epoch = _commit("HEAD")
    arguments = {"SOURCE_DATE_EPOCH": epoch, "BASE": product}
    _build(builder, name, arguments=arguments, epoch=epoch, flags=flags, context=ROOT / "simulators")
    return name


def _build(
    builder: str, name: str, *, arguments: Mapping[str, str], epoch: str, flags: Sequence[str], context: Path
) -> None:
    command = [builder, "build", *flags]
    for argument, value in arguments.items():
        command += ["--build-arg", f"{argument}={value}"]
    if Path(builder).name != "docker":  # docker's BuildKit takes the time from the build argument
        command += ["--timestamp", epoch]
    _call([*command, "-t", name, str(context)], env={**os.environ, "SOURCE_DATE_EPOCH": epoch})


def archive(builder: str, name: str, file: Path) -> None:
    """Write the image to a docker-archive, which every container runtime reads.

    Raises:
        ImageError: There is no such image, or no room.
    """
    file.unlink(missing_ok=True)
    match Path(builder).name:
        case "buildah":
            _call([builder, "push", "--quiet", name, f"docker-archive:{file}:{name}"], quiet=True)
        case _:
            _call([builder, "save", "-o", str(file), name])


def layers(file: Path) -> list[Layer]:
    """Return the layers of an archive, the base image's first."""
    with tarfile.open(file) as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        names: list[str] = json.load(manifest)[0]["Layers"]
        found = []
        for name in names:
            blob = tar.extractfile(name)
            assert blob is not None
            found.append(_measure(blob))
    return found


def _measure(blob: IO[bytes]) -> Layer:
    packed = blob.read(2) == b"\x1f\x8b"
    blob.seek(0)
    if packed:
        compressed = blob.seek(0, os.SEEK_END)
        blob.seek(0)
        with gzip.open(blob) as plain:
            return Layer(size=sum(map(len, _chunks(plain.read))), compressed=compressed)
    size = compressed = 0
    squeeze = zlib.compressobj(level=6, wbits=31)
    for chunk in _chunks(blob.read):
        size += len(chunk)
        compressed += len(squeeze.compress(chunk))
    return Layer(size=size, compressed=compressed + len(squeeze.flush()))


def _chunks(read: Callable[[int], bytes]) -> Iterator[bytes]:
    while chunk := read(_CHUNK):
        yield chunk


def start_seconds(builder: str, name: str, *arguments: str) -> float:
    """Return the seconds from the call of the builder's ``run`` to the end of the program in the image.

    Where the builder can, the container is as in a pod: a read-only root file system, no
    network, no capability.
    """
    with ExitStack() as stack:
        command = stack.enter_context(_start(builder, name))
        taken = []
        for _ in range(STARTS):
            began = time.monotonic()
            _call([*command, *arguments], quiet=True)
            taken.append(time.monotonic() - began)
    return min(taken)


@contextmanager
def _start(builder: str, name: str) -> Iterator[list[str]]:
    if Path(builder).name != "buildah":
        pod = ["--read-only", "--tmpfs", "/tmp", "--network", "none", "--cap-drop", "ALL"]
        yield [builder, "run", "--rm", *pod, name]
        return
    container = _call([builder, "from", "--pull-never", name], quiet=True).strip()
    try:
        program = _call(
            [builder, "inspect", "--format", "{{index .OCIv1.Config.Entrypoint 0}}", container], quiet=True
        )
        yield [builder, "run", container, "--", program.strip()]
    finally:
        _call([builder, "rm", container], quiet=True)


def _commit(revision: str) -> tuple[str, str]:
    """Return the commit in full and its time; for sources without git, nothing known and the epoch."""
    try:
        described = subprocess.run(
            ["git", "-C", str(ROOT), "log", "-1", "--format=%H %ct", revision],
            capture_output=True,
            text=True,
            check=True,
        )
        commit, epoch = described.stdout.split()
    except (OSError, subprocess.CalledProcessError, ValueError):
        commit, epoch = "unknown", "0"
    return commit, os.environ.get("SOURCE_DATE_EPOCH") or epoch


def _version(tree: Path) -> str:
    found = re.search(r'^__version__ = "(.+)"$', (tree / "controller/__init__.py").read_text(), re.MULTILINE)
    if found is None:
        raise ImageError("controller/__init__.py has no __version__")
    return found[1]


def _call(command: Sequence[str], *, env: dict[str, str] | None = None, quiet: bool = False) -> str:
    """Run a command; quiet, return its output, else show it.

    Raises:
        ImageError: It failed.
    """
    done = subprocess.run(command, env=env, text=True, capture_output=quiet, check=False)
    if done.returncode:
        printed = f":\n{done.stdout}{done.stderr}" if quiet else ""
        raise ImageError(f"exit code {done.returncode} from: {shlex.join(command)}{printed}")
    return done.stdout if quiet else ""


def _report(builder: str, name: str) -> None:
    with tempfile.TemporaryDirectory(prefix="hfrunners-image-") as directory:
        archive(builder, name, file := Path(directory) / "image.tar")
        found = layers(file)
    whole, ours = sum(layer.size for layer in found), found[-1]
    print(
        f"{name}: {whole / _MB:.0f} MB, {sum(layer.compressed for layer in found) / _MB:.0f} MB compressed; "
        f"of it our layer: {ours.size / _MB:.0f} MB, {ours.compressed / _MB:.0f} MB compressed"
    )
    print(
        f"{name}: cold start {start_seconds(builder, name, '--help'):.2f} s, from the start of a container to --help"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands that the module's text lists."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=["build", "simulators", "archive"])
    parser.add_argument("name")
    parser.add_argument("file", nargs="?", type=Path, help="of the archive")
    parser.add_argument(
        "--builder", default="", help="docker, podman or buildah; by default the first on PATH"
    )
    parser.add_argument("--base", default="", help="instead of the Dockerfile's base image")
    parser.add_argument("--flags", type=shlex.split, default=[], help="more for the builder's build")
    options = parser.parse_args(arguments)
    try:
        builder = options.builder or builder_on_path()
        if options.verb == "build":
            build(builder, options.name, base=options.base, flags=options.flags)
            _report(builder, options.name)
        elif options.verb == "simulators":
            print(build_simulators(builder, options.name, flags=options.flags))
        elif options.file is None:
            parser.error("archive needs a FILE")
        else:
            archive(builder, options.name, options.file)
    except ImageError as error:
        print(f"image: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
