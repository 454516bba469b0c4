"""``python -m tools.chaos``: a storm over real processes, with a verdict.

Takes its length from ``SECONDS`` (120), its seed from ``SEED`` (random), and the number of replicas
from ``REPLICAS`` (2). Exit code 1 if a workflow job was lost, anything was left, a busy runner was
killed, or a fenced replica acted.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tools.chaos.storm import open_storm
from tools.controlplane import ControlPlane
from tools.controlplane.sources import assets


def _say(text: str) -> None:
    print(text, flush=True)


async def _main() -> int:
    seconds = float(os.environ.get("SECONDS", "120"))
    seed = int(os.environ.get("SEED") or random.randrange(1_000_000))
    replicas = int(os.environ.get("REPLICAS", "2"))
    directory = Path(tempfile.mkdtemp(prefix="hfrunners-chaos-"))
    _say(f"{replicas} replicas, {seconds:.0f} s of chaos, SEED={seed}, logs in {directory}")
    with ControlPlane(programs=assets()) as plane:
        async with open_storm(
            kubeconfig=plane.kubeconfig, directory=directory, seed=seed, replicas=replicas, say=_say
        ) as storm:
            wrong = await storm.rage(seconds)
    for line in wrong:
        _say(f"WRONG: {line}")
    if not wrong:
        shutil.rmtree(directory)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
