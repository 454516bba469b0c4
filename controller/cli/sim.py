"""``hf-runner-controller sim``: the simulated GitHub and Hub, to try the controller against
without an account.
"""

from __future__ import annotations

import click

from controller.cli.extras import simulators_needed

HostPort = tuple[str, int]


def _address(_: click.Context, __: click.Parameter, text: str | None) -> HostPort | None:
    if text is None:
        return None
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65_535:
        raise click.BadParameter(f"{text!r} is not HOST:PORT; write 127.0.0.1:8801, or port 0 for a free one")
    return host.strip("[]") or "127.0.0.1", int(port)


def _variables(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    variables = {}
    for text in texts:
        name, equals, variables[name] = text.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE")
    return variables


@click.command("sim")
@click.option(
    "--github", metavar="HOST:PORT", callback=_address, help="Serve GitHub here; port 0 takes a free one."
)
@click.option(
    "--hub",
    metavar="HOST:PORT",
    callback=_address,
    help="Serve the Hub here. Its jobs run as local processes.",
)
@click.option(
    "--job-env",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_variables,
    help="Set in the environment of every job; may be repeated. Unless HFRUNNER_PACKAGES and the like are set, a job's bootstrap "
    "installs nothing on this machine and stays in the job's own directory.",
)
def sim_command(github: HostPort | None, hub: HostPort | None, job_env: dict[str, str]) -> None:
    """Serve the simulated GitHub and Hub until interrupted.

    Prints one line per site (``github http://127.0.0.1:8801``) once it answers. ``POST /_sim/...`` sets
    tokens, workflow jobs and faults; ``GET /_sim/report`` says what happened. Anybody who can connect can run
    commands here: bind the loopback. Exit code 2 where the extra "simulate" is not installed.
    """
    if github is None and hub is None:
        raise click.UsageError("nothing to serve: give --github HOST:PORT, --hub HOST:PORT, or both")
    with simulators_needed():
        from controller.cli.simulated.sim import run  # noqa: PLC0415 - needs the extra
    run(github=github, hub=hub, job_environment=job_env)
