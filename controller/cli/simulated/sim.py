"""The command ``sim``: serve both simulated sites until interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import click

from controller.cli.terminal import print_line
from hf_runner_simulators.serve import ON_THIS_MACHINE, HostPort, Origins, serve


def run(*, github: HostPort | None, hub: HostPort | None, job_environment: Mapping[str, str]) -> None:
    """Serve the sites that have an address until SIGINT or SIGTERM.

    Args:
        github: Where to serve GitHub, if at all.
        hub: Where to serve the Hub, if at all.
        job_environment: Set in the environment of every job, over what keeps a job's bootstrap off this
            machine.

    Raises:
        click.ClickException: An address cannot be bound.
    """
    try:
        asyncio.run(
            serve(
                github=github,
                hub=hub,
                job_environment={**ON_THIS_MACHINE, **job_environment},
                ready=_announce,
            )
        )
    except OSError as error:
        raise click.ClickException(f"cannot serve: {error}") from error


def _announce(origins: Origins) -> None:
    for name, origin in (("github", origins.github), ("hub", origins.hub)):
        if origin is not None:
            print_line(f"{name} {origin}")
