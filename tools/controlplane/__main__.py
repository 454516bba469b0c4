"""A real Kubernetes API for the tests and the demo: kube-apiserver and etcd on the loopback
interface, nothing else.

It needs only the standard library, so it runs before there is a virtual environment:

    python -m tools.controlplane assets          find, download or build the two programs; print their folder
    python -m tools.controlplane run -- CMD {}   start one, run CMD with {} as its kubeconfig, stop it
    python -m tools.controlplane up --dir DIR    start one in the background; print its kubeconfig
    python -m tools.controlplane down --dir DIR  stop that one

The programs come from the first of: ``KUBEBUILDER_ASSETS``; the cache; the pinned upstream archive, if its
checksum is right and it arrives within seconds; ``go build`` from the module pinned in ``tools/go.mod``.

No controller manager runs: nothing collects garbage, fills new namespaces, or finishes deleting a namespace.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tools.controlplane.server import ControlPlane
from tools.controlplane.sources import ControlPlaneError, assets, say

if TYPE_CHECKING:
    from collections.abc import Sequence


def _run(command: Sequence[str]) -> int:
    """Run a command beside a new control plane, and return its exit status."""
    with ControlPlane(programs=assets()) as plane:
        filled = [word.replace("{}", str(plane.kubeconfig)) for word in command]
        # Ctrl-C goes to the command too (same terminal): it ends in its own order, and then we do. A handler,
        # because unlike SIG_IGN the command does not inherit it.
        signal.signal(signal.SIGINT, lambda *_: None)
        with subprocess.Popen(filled) as process:
            signal.signal(signal.SIGTERM, lambda *_: process.terminate())
            status = process.wait()
    return status if status >= 0 else 128 - status


def _up(directory: Path) -> int:
    """Start one in the background, by a process that holds it and ends with it."""
    directory.mkdir(parents=True, exist_ok=True)
    assets()  # here, so that its progress is seen
    with (directory / "up.log").open("w", encoding="utf-8") as log:
        holder = subprocess.Popen(
            [sys.executable, "-m", "tools.controlplane", "hold", "--dir", directory],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    assert holder.stdout is not None
    line = holder.stdout.readline()  # it ends with the holder, whose start is bounded in time
    if not line:
        say((directory / "up.log").read_text(encoding="utf-8").strip())
        return 1
    print(line, end="")
    return 0


def _hold(directory: Path) -> int:
    """Hold a control plane until SIGTERM; the lock says that the pid in its file is ours."""
    with (directory / "pid").open("a+", encoding="utf-8") as pid:
        try:
            fcntl.flock(pid, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ControlPlaneError(
                f"one is running in {directory}: stop it with down --dir {directory}"
            ) from None
        pid.truncate(0)
        pid.write(f"{os.getpid()}\n")
        pid.flush()
        with ControlPlane(programs=assets(), kubeconfig=directory / "kubeconfig") as plane:
            print(plane.kubeconfig, flush=True)
            while True:
                signal.pause()


def _down(directory: Path) -> int:
    """Stop the one that ``up`` started there. Idempotent."""
    with contextlib.suppress(FileNotFoundError), (directory / "pid").open(encoding="utf-8") as pid:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                fcntl.flock(pid, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid.seek(0)
                with contextlib.suppress(ValueError, ProcessLookupError):
                    os.kill(int(pid.read()), signal.SIGTERM)
                time.sleep(0.1)
            else:
                return 0
        raise ControlPlaneError(f"the control plane in {directory} did not stop")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands that the module's text lists."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("assets", help="print the directory with kube-apiserver and etcd")
    verbs.add_parser("run", help="run a command beside a control plane").add_argument("command", nargs="+")
    for verb in ("up", "hold", "down"):
        verbs.add_parser(verb).add_argument("--dir", type=Path, required=True)
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # by way of every clean-up
    try:
        match options.verb:
            case "assets":
                print(assets())
                return 0
            case "run":
                return _run(options.command)
            case "up":
                return _up(options.dir.resolve())
            case "hold":
                return _hold(options.dir.resolve())
            case _:
                return _down(options.dir.resolve())
    except ControlPlaneError as error:
        say(f"controlplane: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
