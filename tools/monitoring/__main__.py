"""``python -m tools.monitoring``: the dashboard's JSON, and the dashboard on data of a real Prometheus.

python -m tools.monitoring write              generate the chart's dashboard
python -m tools.monitoring check              exit with 1 if it is not as generated
python -m tools.monitoring draw FILE.png      play a scene, try every expression, draw the panels
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tools.controlplane import ControlPlane
from tools.controlplane.sources import assets
from tools.monitoring.expressions import Range, complained_of, unanswered
from tools.monitoring.overview import OVERVIEW
from tools.monitoring.programs import ProgramMissing
from tools.monitoring.prometheus import configuration, free_port, running
from tools.monitoring.scene import open_scene

DASHBOARD = (
    Path(__file__).resolve().parents[2] / "charts" / "hf-runner-controller" / "files" / f"{OVERVIEW.uid}.json"
)
SECONDS = float(os.environ.get("SECONDS") or 150)


def text() -> str:
    """Return the dashboard as it is to be in the chart."""
    return json.dumps(OVERVIEW.model(), indent=1, ensure_ascii=False) + "\n"


def _check() -> int:
    if DASHBOARD.is_file() and DASHBOARD.read_text() == text():
        return 0
    print(f"{DASHBOARD.name} is not what tools/monitoring/overview.py says: run `make docs`", file=sys.stderr)
    return 1


async def _draw(path: Path) -> int:
    from tools.monitoring.draw import draw  # noqa: PLC0415 - matplotlib takes a second, and `check` draws nothing

    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:6.1f}s {what}", flush=True)

    with (
        tempfile.TemporaryDirectory(prefix="hfrunners-dashboard-") as directory,
        ControlPlane(programs=assets()) as plane,
    ):
        async with open_scene(kubeconfig=plane.kubeconfig, directory=Path(directory), say=say) as scene:
            await scene.play(SECONDS)
            over = Range(start=float(int(scene.began)), end=float(int(time.time())))
            wrong = await asyncio.to_thread(unanswered, scene.prometheus, over)
            for port in scene.ports:
                wrong += await asyncio.to_thread(complained_of, port)
            await asyncio.to_thread(
                draw,
                scene.prometheus,
                OVERVIEW.rows,
                over,
                path,
                title=f"{OVERVIEW.title}: {over.seconds} s of a simulation",
            )
    for line in wrong:
        say(f"WRONG: {line}")
    say(f"{path} is drawn")
    return 1 if wrong else 0


def _watch(command: Sequence[str]) -> int:
    """Let a Prometheus look at a command; at a terminal it stays until Ctrl-C, so that
    people can look too.
    """
    port = free_port()
    config = configuration({"demo": port}, namespace="hf-runner-controller")
    with (
        tempfile.TemporaryDirectory(prefix="hfrunners-prometheus-") as directory,
        running(config, Path(directory)) as prometheus,
    ):
        print(f"Prometheus watches at {prometheus.url}", file=sys.stderr)
        arguments = [word.replace("@port", str(port)) for word in command if word != "--"]
        status = subprocess.run(arguments, check=False).returncode
        if sys.stdin.isatty():
            with contextlib.suppress(KeyboardInterrupt):
                print(f"Prometheus stays at {prometheus.url}; Ctrl-C ends it", file=sys.stderr)
                signal.pause()
    return status


def main() -> int:
    """Do what the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.monitoring", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("write")
    verbs.add_parser("check")
    verbs.add_parser("draw").add_argument("path", type=Path)
    verbs.add_parser("watch").add_argument("command", nargs=argparse.REMAINDER)
    chosen = parser.parse_args()
    try:
        match chosen.verb:
            case "write":
                DASHBOARD.write_text(text())
                return 0
            case "check":
                return _check()
            case "watch":
                return _watch(chosen.command)
            case _:
                return asyncio.run(_draw(chosen.path))
    except ProgramMissing as missing:
        print(missing, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
