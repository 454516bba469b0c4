"""What is pinned of others' work: the base image, and the actions/runner release that runners download.

    python -m tools.pins base    pin the image that the base's tag names now in the Dockerfile (make pin-base)
    python -m tools.pins runner  pin the newest actions/runner, with GitHub's own checksums (make pin-runner)
    python -m tools.pins check   ask the registry and GitHub whether both pins are right and fresh (make pins)

It needs only the standard library, and docker with buildx (or skopeo) to ask a registry. ``GH_TOKEN``, where
it is set, lifts GitHub's limit of 60 questions an hour and address.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = "Dockerfile"
RUNNER = "controller/execute/bootstrap.py"
IMAGES = "examples/*/*.yaml"
"""Where the examples name GitHub's own image of the runner, which is published with each release."""

MAX_AGE = timedelta(days=30)
"""A pin that nobody renewed for so long is refused: GitHub asks for runners of the last 30 days,
and Debian mends weekly."""

PLATFORMS = ("linux/amd64", "linux/arm64")
"""What release.yml builds for."""

ARCHITECTURES = ("x64", "arm64")
"""Of the runner's archives for Linux, as they are named."""

RELEASES = "https://api.github.com/repos/actions/runner/releases"

_BASE = re.compile(
    r"^ARG BASE=(?P<name>[a-z0-9./-]+):(?P<tag>[\w.-]+)@(?P<digest>sha256:[0-9a-f]{64})$", re.MULTILINE
)
_VERSION = re.compile(r'^RUNNER_VERSION = "(\d+\.\d+\.\d+)"$', re.MULTILINE)
_NEWEST_ON = re.compile(r"^RUNNER_NEWEST_ON = date\((\d+), (\d+), (\d+)\)$", re.MULTILINE)
_SUM = re.compile(r'^        "(x64|arm64)": "([0-9a-f]{64})",$', re.MULTILINE)
_IMAGE = re.compile(r"(ghcr\.io/actions/actions-runner:)\d+\.\d+\.\d+")

Json = Any
Registry = Callable[[str], bytes]
"""Returns the index of an image as the registry has it, byte by byte."""
GitHub = Callable[[str], Json]
"""Returns what GitHub's API answers under an address."""


class PinError(Exception):
    """No answer, or one that no pin can be made from; the message says why and what to do next."""


@dataclass(frozen=True, slots=True)
class Base:
    """The base image: its name, its tag, and which image of that tag is meant."""

    name: str
    tag: str
    digest: str


@dataclass(frozen=True, slots=True)
class Runner:
    """A release of actions/runner.

    Attributes:
        version: Without a ``v``.
        sums: SHA-256 of the archive for Linux by architecture.
        newest_on: A day on which GitHub had no newer one.
    """

    version: str
    sums: dict[str, str]
    newest_on: date


def base(root: Path = ROOT) -> Base:
    """Return the pinned base image.

    Raises:
        PinError: The Dockerfile names none by digest, or a stage is built on another one.
    """
    text = (root / DOCKERFILE).read_text(encoding="utf-8")
    found = _BASE.findall(text)
    if len(found) != 1:
        raise PinError(
            "Dockerfile: write ARG BASE=NAME:TAG@sha256:..., once; `make pin-base` fills in the digest"
        )
    others = [one for one in re.findall(r"^FROM (\S+)", text, re.MULTILINE) if one != "${BASE}"]
    if others:
        raise PinError(f"Dockerfile: a stage is built on {', '.join(others)} instead of ${{BASE}}")
    return Base(*found[0])


def runner(root: Path = ROOT) -> Runner:
    """Return the pinned release.

    Raises:
        PinError: The file does not look as it should.
    """
    text = (root / RUNNER).read_text(encoding="utf-8")
    version, newest_on, sums = _VERSION.search(text), _NEWEST_ON.search(text), dict(_SUM.findall(text))
    if version is None or newest_on is None or set(sums) != set(ARCHITECTURES):
        raise PinError(
            f"{RUNNER}: RUNNER_VERSION, RUNNER_NEWEST_ON and both checksums are not where they should be"
        )
    return Runner(version[1], sums, date(*map(int, newest_on.groups())))


def pin_base(registry: Registry, root: Path = ROOT) -> Base:
    """Write the digest that the tag has now.

    Raises:
        PinError: The registry's answer is none that a release can be built from.
    """
    old = base(root)
    index = registry(f"{old.name}:{old.tag}")
    new = Base(old.name, old.tag, _digest(index))
    if faults := list(_index_faults(new, index)):
        raise PinError("; ".join(faults))
    _replace(root / DOCKERFILE, old.digest, new.digest)
    return new


def pin_runner(github: GitHub, today: date, root: Path = ROOT) -> Runner:
    """Write GitHub's newest release, the checksums that GitHub has of its archives, and the day.

    Raises:
        PinError: GitHub's answer lacks a checksum.
    """
    old = runner(root)
    answer = github(f"{RELEASES}/latest")
    version = _version_of(answer)
    sums = _sums_of(answer, version)
    if missing := set(ARCHITECTURES) - set(sums):
        raise PinError(f"GitHub has no checksum of actions/runner {version} for {', '.join(sorted(missing))}")
    new = Runner(version, sums, today)
    path = root / RUNNER
    text = _VERSION.sub(f'RUNNER_VERSION = "{version}"', path.read_text(encoding="utf-8"))
    text = _NEWEST_ON.sub(f"RUNNER_NEWEST_ON = date({today.year}, {today.month}, {today.day})", text)
    for architecture in ARCHITECTURES:
        text = text.replace(old.sums[architecture], sums[architecture])
    path.write_text(text, encoding="utf-8")
    for example in sorted(root.glob(IMAGES)):
        example.write_text(
            _IMAGE.sub(rf"\g<1>{version}", example.read_text(encoding="utf-8")), encoding="utf-8"
        )
    return new


def base_faults(pin: Base, registry: Registry, now: datetime) -> Iterator[str]:
    """Say why no release may be built on a pinned image.

    It is right if the registry has it under its name, for every platform, as a version of its tag;
    and fresh if it is what the tag names now, or is younger than ``MAX_AGE``: a tag that moved this
    morning stops no release.
    """
    index = registry(f"{pin.name}@{pin.digest}")
    if _digest(index) != pin.digest:
        yield f"base: {pin.name}@{pin.digest}: the registry answers with {_digest(index)}"
        return
    yield from _index_faults(pin, index)
    newest = _digest(registry(f"{pin.name}:{pin.tag}"))
    if newest == pin.digest:
        return
    made = min(_made(index).values(), default=None)
    if made is None or now - made > MAX_AGE:
        age = "of unknown age" if made is None else f"{(now - made).days} days old"
        yield f"base: the pinned image is {age}, and {pin.tag} is {newest} now: run `make pin-base`"


def runner_faults(pin: Runner, github: GitHub, today: date) -> Iterator[str]:
    """Say why no release may hand out a pinned actions/runner.

    Its checksums have to be those that GitHub has of its archives. And somebody has to have asked
    within ``MAX_AGE`` whether it is the newest, since from that day the controller counts until
    when GitHub gives jobs to it.
    """
    sums = _sums_of(github(f"{RELEASES}/tags/v{pin.version}"), pin.version)
    for architecture in ARCHITECTURES:
        theirs = sums.get(architecture)
        if theirs != pin.sums[architecture]:
            yield (
                f"runner: the checksum of {pin.version} for {architecture} is {pin.sums[architecture]}, "
                f"but GitHub says {theirs or 'none'}: run `make pin-runner`"
            )
    if pin.newest_on > today:
        yield f"runner: RUNNER_NEWEST_ON is {pin.newest_on}, which is still to come: run `make pin-runner`"
    if today - pin.newest_on > MAX_AGE:
        newest = _version_of(github(f"{RELEASES}/latest"))
        yield (
            f"runner: {pin.version} was known to be the newest {(today - pin.newest_on).days} days ago, and GitHub's newest is "
            f"{newest}: run `make pin-runner`"
        )


def _index_faults(pin: Base, index: bytes) -> Iterator[str]:
    """Say what an index lacks: a platform, or the name of its tag's version."""
    versions = {
        _platform(one): one.get("annotations", {}).get("org.opencontainers.image.version", "")
        for one in _manifests(index)
    }
    number, _, variant = pin.tag.partition("-")
    fits = re.compile(rf"{re.escape(number)}(\.\d+)*{re.escape('-' + variant if variant else '')}")
    for platform in PLATFORMS:
        if platform not in versions:
            yield f"base: {pin.name}@{pin.digest} is not there for {platform}"
        elif not fits.fullmatch(versions[platform]):
            yield f"base: {pin.name}@{pin.digest} is {versions[platform] or 'of unknown version'}, not {pin.tag}"


def _made(index: bytes) -> dict[str, datetime]:
    """Return when the image of each platform was made, as far as the index says."""
    made = {}
    for one in _manifests(index):
        created = one.get("annotations", {}).get("org.opencontainers.image.created")
        if _platform(one) in PLATFORMS and created:
            made[_platform(one)] = datetime.fromisoformat(created)
    return made


def _manifests(index: bytes) -> list[dict[str, Json]]:
    try:
        found: list[dict[str, Json]] = json.loads(index)["manifests"]
    except (ValueError, KeyError, TypeError) as error:
        raise PinError(
            "the registry answers with one image, not with an index of several platforms"
        ) from error
    return found


def _platform(manifest: dict[str, Json]) -> str:
    platform = manifest.get("platform", {})
    return f"{platform.get('os')}/{platform.get('architecture')}"


def _digest(index: bytes) -> str:
    return "sha256:" + hashlib.sha256(index).hexdigest()


def _version_of(release: Json) -> str:
    found = re.fullmatch(r"v(\d+\.\d+\.\d+)", str(release.get("tag_name")))
    if found is None:
        raise PinError(f"GitHub calls the release {release.get('tag_name')!r}, which is no version")
    return found[1]


def _sums_of(release: Json, version: str) -> dict[str, str]:
    """Return the SHA-256 that GitHub itself has of the archives (``digest``; not what the
    release's text says).
    """
    digests = {one["name"]: one.get("digest") or "" for one in release.get("assets", ())}
    sums = {}
    for architecture in ARCHITECTURES:
        digest = digests.get(f"actions-runner-linux-{architecture}-{version}.tar.gz", "")
        if found := re.fullmatch(r"sha256:([0-9a-f]{64})", digest):
            sums[architecture] = found[1]
    return sums


def _replace(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def ask_registry(image: str) -> bytes:
    """Ask a registry for an image's index, with docker's buildx or with skopeo.

    Raises:
        PinError: Neither is there, or the registry does not answer.
    """
    docker, skopeo = shutil.which("docker"), shutil.which("skopeo")
    if (
        docker
        and not subprocess.run([docker, "buildx", "version"], capture_output=True, check=False).returncode
    ):
        command = [docker, "buildx", "imagetools", "inspect", "--raw", image]
    elif skopeo:
        command = [skopeo, "inspect", "--raw", f"docker://{image}"]
    else:
        raise PinError(
            "no docker with buildx, and no skopeo, to ask a registry with; install one with: sudo apt-get install -y skopeo"
        )
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise PinError(f"no answer about {image}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def ask_github(url: str) -> Json:
    """Ask GitHub's API.

    Raises:
        PinError: It does not answer.
    """
    request = urllib.request.Request(url, headers={"Accept": "application/vnd.github+json"})
    if token := os.environ.get("GH_TOKEN"):
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise PinError(f"no answer from {url}: {error}") from error


def _all(look: Callable[[], Iterator[str]]) -> Iterator[str]:
    """Say also what kept one look from its end: the other one is taken all the same."""
    try:
        yield from look()
    except PinError as error:
        yield f"pins: {error}"


def main(arguments: Sequence[str], *, registry: Registry = ask_registry, github: GitHub = ask_github) -> int:
    """Run one of the commands that the module's text lists; 1 says that something is wrong,
    2 that the command is.
    """
    now = datetime.now(UTC)
    try:
        match arguments:
            case ["base"]:
                print(pin_base(registry).digest)
            case ["runner"]:
                print(pin_runner(github, now.date()).version)
            case ["check"]:
                faults = [
                    *_all(lambda: base_faults(base(), registry, now)),
                    *_all(lambda: runner_faults(runner(), github, now.date())),
                ]
                print(
                    "\n".join(faults) or "both pins are right and fresh",
                    file=sys.stderr if faults else sys.stdout,
                )
                return bool(faults)
            case _:
                print("usage: python -m tools.pins base | runner | check", file=sys.stderr)
                return 2
    except PinError as error:
        print(f"pins: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
