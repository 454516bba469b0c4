"""``hf-runner-controller simulate``: what a workload would wait and cost, with the real
controller in virtual time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from controller.api.duration import seconds as parse_seconds
from controller.cli.extras import simulators_needed


def _duration(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    try:
        return None if text is None else parse_seconds(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _settings(
    _: click.Context, __: click.Parameter, texts: tuple[str, ...]
) -> tuple[tuple[str, str, str], ...]:
    found = []
    for text in texts:
        name, equals, value = text.partition("=")
        pool, dot, field = name.partition(".")
        if not (equals and dot and pool and field):
            raise click.BadParameter(f"{text!r} is not POOL.FIELD=VALUE, such as t4.maxRunners=4")
        found.append((pool, field, value))
    return tuple(found)


@click.command("simulate")
@click.argument("scenario", type=click.Path(path_type=Path))
@click.option("--seed", type=click.IntRange(min=0), help="Instead of the scenario's own.")
@click.option(
    "--until", metavar="DURATION", callback=_duration, help="Virtual time, such as 24h, instead of its own."
)
@click.option(
    "--set",
    "settings",
    metavar="POOL.FIELD=VALUE",
    multiple=True,
    callback=_settings,
    help="Change a pool's spec: t4.maxRunners=4. May be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON; same seed, same bytes.")
@click.option(
    "--plot",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw queue, runners and dollars over time (.png, .svg or .pdf).",
)
def simulate_command(
    *,
    scenario: Path,
    seed: int | None,
    until: float | None,
    settings: tuple[tuple[str, str, str], ...],
    as_json: bool,
    plot: Path | None,
) -> None:
    """Play SCENARIO with the whole controller against simulated services, in virtual time.

    Prints what jobs waited, what runners cost, and why jobs were not served. Exit code 1: an expectation
    of the scenario or an invariant failed. 2: the scenario has mistakes, all of which are named, or the
    extra "simulate" is not installed. Ctrl-C prints the report so far.
    """
    with simulators_needed():
        from controller.cli.simulated.simulate import run  # noqa: PLC0415 - needs the extra
    sys.exit(run(scenario, seed=seed, until=until, settings=settings, as_json=as_json, plot=plot))
