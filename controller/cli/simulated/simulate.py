"""The command ``simulate``: play a scenario, and print what came of it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich import box
from rich.table import Table

from controller.cli.exits import DONE, INTERRUPTED, MISTAKEN, UNMET
from controller.cli.terminal import Console, print_line, print_lines, rewrite
from controller.simulate.play import play
from controller.simulate.plot import PlotUnavailable, check_plot, draw
from controller.simulate.report import Bill, Report, Waits
from controller.simulate.scenario_file import InvalidScenario, load_scenario
from controller.simulate.workload import TooManyJobs


def run(
    scenario: Path,
    *,
    seed: int | None,
    until: float | None,
    settings: Sequence[tuple[str, str, str]],
    as_json: bool,
    plot: Path | None,
) -> int:
    """Play a scenario and print its report; return the exit code. The options are those of the command.

    Raises:
        click.UsageError: The plot cannot be drawn; nothing was played.
    """
    before = logging.root.manager.disable
    logging.disable(
        logging.CRITICAL
    )  # the controller's log is of virtual days; its reasons are in the report
    try:
        if plot is not None:
            check_plot(plot)  # before minutes of work
        loaded = load_scenario(scenario, overrides=settings)
        watching = sys.stderr.isatty()
        if not watching:
            print_line(f"simulating {scenario}; Ctrl-C prints the report so far", err=True)
        played = play(loaded, seed=seed, until=until, progress=_progress if watching else None)
        if watching:
            rewrite("")
    except (InvalidScenario, TooManyJobs) as error:
        print_lines(f"{error}\n", err=True)
        return MISTAKEN
    except PlotUnavailable as error:
        raise click.UsageError(str(error)) from error
    finally:
        logging.disable(before)
    report = played.report
    if as_json:
        print_lines(f"{report.to_json()}\n")
    else:
        show(report, Console())
    if plot is not None:
        draw(played.happened, plot, title=report.scenario)
    if report.interrupted:
        return INTERRUPTED
    return DONE if report.passed else UNMET


def _progress(now: float, until: float) -> None:
    rewrite(f"{_time(now)} of {_time(until)} simulated; Ctrl-C ends it")


# -------------------------------------------------------------------------------------------- for people
def show(report: Report, console: Console) -> None:
    """Print a report for people."""
    stopped = " (interrupted: the report so far)" if report.interrupted else ""
    console.print(
        f"[bold]{report.scenario}[/bold]  seed {report.seed}, {_time(report.seconds)} of virtual time{stopped}\n"
    )
    console.print(_waiting(report))
    console.print(_costs(report))
    console.print(_jobs(report))
    for why in report.unserved:
        console.print(f"  {why.pool}: {why.count} × {why.reason}: {why.message}", markup=False)
    for name, requests in report.requests.items():
        service = "GitHub" if name == "github" else "the Hub"
        console.print(
            f"\n[bold]{requests.total} requests to {service}[/bold], {requests.per_hour:.0f} per hour"
        )
        for route, answers in requests.routes.items():
            shown = ", ".join(f"{count} × {status}" for status, count in answers.items())
            console.print(f"{sum(answers.values()):>8}  {route}  ({shown})", markup=False, soft_wrap=True)
    console.print()
    for outage in report.outages:
        console.print(
            f"controller down at {_time(outage.at)} for {_time(outage.seconds)}: "
            f"{_usd(outage.spent_usd)} spent, at most {_usd(outage.worst_case_usd)} promised"
        )
    console.print(
        f"left at the end: {report.left.hf_jobs} HF Jobs, {report.left.registrations} registrations"
    )
    for one in report.expectations:
        mark = "[green]met[/green]" if one.met else "[bold red]NOT MET[/bold red]"
        console.print(f"expected {one.path} {one.wanted}: found {one.found}, {mark}", soft_wrap=True)
    for violation in report.violations:
        console.print(f"[bold red]VIOLATION[/bold red] {violation}", soft_wrap=True)
    if not report.violations:
        console.print("no violations")


def _table(title: str, *columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    table.add_column("pool")
    for name in columns:
        table.add_column(name, justify="right")
    return table


def _waiting(report: Report) -> Table:
    table = _table("From queued to started", "jobs", "p50", "p95", "max", "launches", "live at most")
    for name, pool in report.pools.items():
        live = f"{pool.most_live} of {pool.max_runners}"
        table.add_row(name, *_waits(pool.waits), str(pool.launches), live)
    if len(report.pools) > 1:
        table.add_section()
        table.add_row("all", *_waits(report.waits), str(report.total.launches))
    return table


def _costs(report: Report) -> Table:
    table = _table("Billed", "time", "cost", "job ran", "boot", "idle", "failed", "waste")
    for name, pool in report.pools.items():
        table.add_row(name, *_bill(pool))
    if len(report.pools) > 1:
        table.add_section()
        table.add_row("all", *_bill(report.total))
    return table


def _waits(waits: Waits) -> list[str]:
    if not waits.count:
        return ["0", "–", "–", "–"]
    return [str(waits.count), _time(waits.p50), _time(waits.p95), _time(waits.max)]


def _bill(bill: Bill) -> list[str]:
    waste = bill.waste
    return [
        _time(bill.billed_seconds),
        _usd(bill.usd),
        *(_time(seconds) for seconds in (bill.worked_seconds, waste.boot, waste.idle, waste.failed)),
        _usd(bill.wasted_usd),
    ]


def _jobs(report: Report) -> str:
    jobs = report.jobs
    parts = [
        f"{count} {name}"
        for name, count in (
            ("succeeded", jobs.succeeded),
            ("failed by their own steps", jobs.failed),
            ("cancelled", jobs.cancelled),
            ("lost", jobs.lost),
            ("expired after GitHub's 24 h", jobs.expired),
            ("running", jobs.running),
            ("queued", jobs.queued),
        )
        if count
    ]
    waiting = f"; the oldest has waited {_time(jobs.longest_queued)}" if jobs.queued else ""
    return f"[bold]{jobs.total} workflow jobs[/bold]: {', '.join(parts) or 'none'}{waiting}"


def _time(seconds: float) -> str:
    whole = round(seconds)
    if whole < 100:
        return f"{whole}s"
    hours, rest = divmod(whole, 3600)
    return f"{hours}h {rest // 60:02d}m" if hours else f"{rest // 60}m {rest % 60:02d}s"


def _usd(amount: float) -> str:
    return f"${amount:.2f}" if amount >= 1 or amount == 0 else f"${amount:.4f}"
