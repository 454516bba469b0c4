"""``python -m benchmarks``: prints the figures of docs/benchmarks.md, measured on this machine in one run."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from pathlib import Path

from benchmarks import idle, launch, planning, scrape, traffic
from benchmarks.report import Figure, machine, table
from tools.controlplane import ControlPlane, assets

NAMES = ("plan", "scrape", "traffic", "launch", "idle")


async def _measure(name: str, kubeconfig: Path | None, *, quick: bool) -> list[Figure]:
    match name:
        case "launch" if kubeconfig is not None:
            return [figure async for figure in launch.figures(kubeconfig, quick=quick)]
        case "idle" if kubeconfig is not None:
            return [figure async for figure in idle.figures(kubeconfig, quick=quick)]
        case _:
            raise ValueError(name)


def main() -> None:
    """Measure what was asked for, and print one table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=NAMES, action="append", help="measure only this; may be repeated")
    parser.add_argument("--quick", action="store_true", help="small sizes: proves that it runs, not how fast")
    given = parser.parse_args()
    chosen = given.only or NAMES
    logging.disable(logging.CRITICAL)  # what a load does to the controller is no figure
    print(machine(), flush=True)
    found: list[Figure] = []
    began = time.monotonic()

    def done(name: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {name} measured", file=sys.stderr, flush=True)

    for name, figures in (
        ("plan", planning.figures),
        ("scrape", scrape.figures),
        ("traffic", traffic.figures),
    ):
        if name in chosen:
            found += figures(quick=given.quick)
            done(name)
    for name in ("launch", "idle"):
        if name in chosen:
            with ControlPlane(
                programs=assets()
            ) as plane:  # one each: a deleted namespace never goes without its manager
                found += asyncio.run(_measure(name, plane.kubeconfig, quick=given.quick))
            done(name)
    print(table(found))


if __name__ == "__main__":
    main()
