"""kubectl and Helm as somebody types them."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
Manifest = Mapping[str, Any]

PATIENCE = 90.0
"""Seconds for what takes some: two busy cores have to do it."""

HELM_SECONDS = 360.0
"""More than Helm's own limit of five minutes, so that it is Helm who says what it waited for."""


class StoryError(Exception):
    """Something is not as it should be; the message says what."""


def call(command: Sequence[str], *, stdin: str | None = None, seconds: float = PATIENCE) -> str:
    """Run a command and return its standard output.

    Raises:
        StoryError: It failed, with what it said, or took longer.
    """
    code, out, errors = attempt(command, stdin=stdin, seconds=seconds)
    if code:
        raise StoryError(f"exit code {code} from: {shlex.join(command)}\n{out}{errors}")
    return out


def attempt(
    command: Sequence[str], *, stdin: str | None = None, seconds: float = PATIENCE
) -> tuple[int, str, str]:
    """Run a command and return its exit code, standard output and standard error.

    Raises:
        StoryError: There is no such program, or it took longer.
    """
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=seconds, check=False
        )
    except FileNotFoundError as missing:
        raise StoryError(f"{command[0]} is not there: install it, or say where it is") from missing
    except subprocess.TimeoutExpired as late:
        raise StoryError(f"longer than {seconds:.0f} s: {shlex.join(command)}") from late
    return done.returncode, done.stdout, done.stderr


def until(question: Callable[[], T], what: str, *, patience: float = PATIENCE) -> T:
    """Ask until the answer is truthy, and return it.

    Raises:
        StoryError: It never was.
    """
    ends = time.monotonic() + patience
    while not (answer := question()):
        if time.monotonic() > ends:
            raise StoryError(f"not within {patience:.0f} s: {what}")
        time.sleep(0.5)
    return answer


class Kubectl:
    """kubectl with the current kubeconfig."""

    def __init__(self, program: str) -> None:
        self._program = program

    def __call__(self, *arguments: str, stdin: str | None = None, seconds: float = PATIENCE) -> str:
        """Run it and return what it printed."""
        return call([self._program, *arguments], stdin=stdin, seconds=seconds)

    def attempt(self, *arguments: str) -> str:
        """Run it and return what it printed, whether or not it failed."""
        _, out, errors = attempt([self._program, *arguments])
        return out + errors

    def json(self, *arguments: str) -> Any:  # noqa: ANN401 - JSON
        """Run it with ``-o json`` and return the object."""
        return json.loads(self(*arguments, "-o", "json"))

    def items(self, *arguments: str) -> list[Any]:
        """Run it with ``-o json`` and return the listed objects."""
        items: list[Any] = self.json(*arguments)["items"]
        return items

    def names(self, *arguments: str) -> list[str]:
        """Return what ``kubectl get`` finds, as ``kind/name``."""
        return self("get", *arguments, "--ignore-not-found", "-o", "name").split()

    def apply(self, *manifests: Manifest) -> None:
        """Apply manifests."""
        self("apply", "-f", "-", stdin=json.dumps(_listed(manifests)))

    def secret(self, namespace: str, name: str, values: Mapping[str, str]) -> None:
        """Create a Secret, or replace what it holds."""
        metadata = {"name": name, "namespace": namespace}
        self.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": dict(values)})


def _listed(manifests: Iterable[Manifest]) -> Manifest:
    return {"apiVersion": "v1", "kind": "List", "items": list(manifests)}


class Helm:
    """One Helm, and one release of the chart.

    Attributes:
        version: As it says itself, such as ``v4.2.4``.
        major: 3 or 4.
    """

    def __init__(self, program: str, *, chart: str, release: str, namespace: str) -> None:
        self._program = program
        self._chart = chart
        self._namespace = namespace
        self._release = release
        self.version = call([program, "version", "--short"]).split("+")[0].strip()
        self.major = int(self.version.removeprefix("v").split(".")[0])

    def install(self, values: Manifest, *flags: str) -> str:
        """Install the release; return what Helm printed, which ends with the chart's notes."""
        return call(self._command("install", flags), stdin=json.dumps(values), seconds=HELM_SECONDS)

    def upgrade(self, values: Manifest, *flags: str) -> str:
        """Upgrade the release."""
        return call(self._command("upgrade", flags), stdin=json.dumps(values), seconds=HELM_SECONDS)

    def rollback(self, revision: int) -> str:
        """Take the release back to how a revision had it."""
        command = [self._program, "rollback", self._release, str(revision), "--namespace", self._namespace]
        return call(command, seconds=HELM_SECONDS)

    def refused(self, verb: str, values: Manifest, *flags: str) -> str:
        """Try to install or upgrade, and return why Helm did not.

        Raises:
            StoryError: It did.
        """
        command = self._command(verb, flags)
        code, out, errors = attempt(command, stdin=json.dumps(values), seconds=HELM_SECONDS)
        if not code:
            raise StoryError(f"this was to be refused and was not: {shlex.join(command)}\n{out}")
        return errors.strip()

    def uninstall(self) -> str:
        """Uninstall the release."""
        command = [self._program, "uninstall", self._release, "--namespace", self._namespace]
        return call(command, seconds=HELM_SECONDS)

    def _command(self, verb: str, flags: Sequence[str]) -> list[str]:
        where = ["--namespace", self._namespace, "--values", "-"]
        return [self._program, verb, self._release, self._chart, *where, *flags]
