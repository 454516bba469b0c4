"""``hf-runner-controller demo``: the real operator on a real Kubernetes API, against
simulated GitHub and Hub.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from controller.cli.exits import UNMET
from controller.cli.extras import simulators_needed
from controller.cli.terminal import Console


@click.command("demo")
@click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="Cluster to use; the namespace hf-runner-demo is made in it. `make demo` brings a cluster of its own.",
)
@click.option(
    "--log", type=click.Path(dir_okay=False, path_type=Path), help="Keep the operator's log in this file."
)
@click.option(
    "--web-port",
    metavar="PORT",
    type=click.IntRange(0, 65_535),
    default=0,
    help="Where the operator shows /metrics on 127.0.0.1, for a Prometheus. Default: a free port.",
)
def demo_command(kubeconfig: Path, log: Path | None, web_port: int) -> None:
    """Serve a burst of workflow jobs with simulated GitHub and Hub.

    Kills the operator once and deletes a pool under load. Exit code 1 unless every job
    completed and nothing was left; 2 where the extra "simulate" is not installed.
    """
    with simulators_needed():
        from controller.cli.simulated.demo import play  # noqa: PLC0415 - needs the extra
    console = Console(stderr=True)
    if not asyncio.run(play(kubeconfig, keep_log=log, console=console, web_port=web_port)):
        sys.exit(UNMET)
