"""The runner archive that the simulated GitHub serves: a stand-in listener in the layout of
actions/runner.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import tarfile
from dataclasses import dataclass, field
from importlib import resources

FILENAME = re.compile(
    r"actions-runner-linux-(?P<architecture>x64|arm64)-(?P<version>\d+\.\d+\.\d+)\.tar\.gz\Z"
)
MAX_BUILT = 16
"""Archives that are kept; a client that asks for ever new versions gets them built anew."""

_NO_NODE = b"#!/bin/sh\necho 'the stand-in runner brings no node'; exit 1\n"
_NO_DEPENDENCIES = b"#!/bin/sh\necho 'the stand-in runner needs python3 and bash only'\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """One built archive; ``sha256`` in hexadecimal digits."""

    filename: str
    content: bytes = field(repr=False)
    sha256: str


class Archives:
    """Builds archives on demand. Equal version and architecture give equal bytes, on any day
    and machine with one zlib.
    """

    def __init__(self) -> None:
        self._built: dict[tuple[str, str], Archive] = {}

    def named(self, filename: str) -> Archive | None:
        """Return the archive of this file name, or None if the name is not one of a runner for Linux."""
        found = FILENAME.match(filename)
        return None if found is None else self.build(found["version"], found["architecture"])

    def build(self, version: str, architecture: str) -> Archive:
        """Return the archive of a version for ``x64`` or ``arm64``."""
        key = (version, architecture)
        if key not in self._built:
            if len(self._built) >= MAX_BUILT:
                self._built.clear()
            content = _pack(version)
            self._built[key] = Archive(
                filename=f"actions-runner-linux-{architecture}-{version}.tar.gz",
                content=content,
                sha256=hashlib.sha256(content).hexdigest(),
            )
        return self._built[key]


def _pack(version: str) -> bytes:
    assets = resources.files("hf_runner_simulators.github") / "assets"
    files = {
        "bin/Runner.Listener": (assets / "listener.py").read_bytes(),
        "bin/installdependencies.sh": _NO_DEPENDENCIES,
        "bin/version": version.encode() + b"\n",
        "externals/node24/bin/node": _NO_NODE,
        "run.sh": (assets / "run.sh").read_bytes(),
    }
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, body in sorted(files.items()):
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(body)
            member.mode = 0o644 if name == "bin/version" else 0o755
            tar.addfile(member, io.BytesIO(body))
    return gzip.compress(raw.getvalue(), mtime=0)
