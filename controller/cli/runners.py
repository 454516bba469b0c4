"""``hf-runner-controller runners``: all runners of all pools, as the pools' status tells, once or live."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import click
from rich import box
from rich.console import Group, RenderableType
from rich.live import Live
from rich.style import Style
from rich.table import Table
from rich.text import Text

from controller.adapters.kube.client import connect
from controller.adapters.kube.pools import list_pools
from controller.cli.exits import INTERRUPTED
from controller.cli.names import current_namespace
from controller.cli.terminal import Console, is_link, print_line, print_lines
from controller.core.lifecycle import Phase
from controller.core.text import counted
from controller.ports import UpstreamError

REFRESH = 2.0
"""Seconds between two looks of ``--watch``; the controller writes statuses no more often."""

WIDEST = 1_000
"""Columns of a table that no terminal bounds."""

MOST_NAMED = 5
"""Pools that one line names."""

BILLED = frozenset({Phase.STARTING, Phase.IDLE, Phase.BUSY})
STYLES = {
    Phase.BUSY: "green",
    Phase.IDLE: "cyan",
    Phase.LOST: "bold red",
    Phase.ORPHANED: "red",
    Phase.FINISHED: "dim",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One runner of one pool."""

    namespace: str
    pool: str
    name: str
    phase: str
    flavor: str
    since: str | None
    usd_per_hour: float | None
    hf_job_id: str | None
    hf_job_url: str | None
    workflow_job_url: str | None
    origins: frozenset[str] = frozenset()
    """Where the pool has its services by plain http: simulators, whose pages may be links too."""

    def to_json(self) -> dict[str, Any]:
        """Return it for scripts, with names as in the status."""
        found = {
            "namespace": self.namespace,
            "pool": self.pool,
            "name": self.name,
            "phase": self.phase,
            "flavor": self.flavor,
            "since": self.since,
            "usdPerHour": self.usd_per_hour,
            "hfJobId": self.hf_job_id,
            "hfJobUrl": self.hf_job_url,
            "workflowJobUrl": self.workflow_job_url,
        }
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What the pools tell.

    Attributes:
        rows: Runners by pool; a status holds the newest twenty of its pool.
        unshown: Live HF Jobs by pool that its status does not list.
        pools: All of them, ``namespace/name``.
        stopped: What lets pools launch nothing (the stop switch, ``spec.paused``), by pool.
    """

    rows: Sequence[Row]
    unshown: Mapping[str, int]
    pools: Sequence[str]
    stopped: Mapping[str, str] = field(default_factory=dict)

    @property
    def origins(self) -> set[str]:
        """Where pools have their services by plain http."""
        return {origin for row in self.rows for origin in row.origins}

    @property
    def usd_per_hour(self) -> float:
        """What the listed runners cost."""
        return sum(row.usd_per_hour or 0.0 for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """Return it for scripts."""
        return {
            "runners": [row.to_json() for row in self.rows],
            "unshown": dict(self.unshown),
            "stopped": dict(self.stopped),
            "usdPerHour": round(self.usd_per_hour, 4),
        }


def read_fleet(pools: Sequence[Mapping[str, Any]]) -> Fleet:
    """Read RunnerPools as the API server holds them."""
    rows: list[Row] = []
    unshown: dict[str, int] = {}
    stopped: dict[str, str] = {}
    names = []
    for pool in sorted(pools, key=lambda one: (one["metadata"]["namespace"], one["metadata"]["name"])):
        namespace, name = pool["metadata"]["namespace"], pool["metadata"]["name"]
        names.append(f"{namespace}/{name}")
        status = pool.get("status") or {}
        if why := _why_stopped(status):
            stopped[names[-1]] = why
        prices = {one["name"]: one.get("usdPerHour") for one in status.get("flavors") or []}
        origins = _http_origins(pool.get("spec") or {})
        mine = [_row(namespace, name, runner, prices, origins) for runner in status.get("runners") or []]
        rows += mine
        live = (status.get("counts") or {}).get("live", 0)
        more = live - sum(row.phase not in (Phase.FINISHED, Phase.LOST, Phase.REGISTERED) for row in mine)
        if more > 0:
            unshown[names[-1]] = more
    return Fleet(rows=rows, unshown=unshown, pools=names, stopped=stopped)


def _why_stopped(status: Mapping[str, Any]) -> str:
    for one in status.get("conditions") or ():
        if one.get("type") == "LaunchesAllowed" and one.get("status") == "False":
            return f"{one.get('reason')}: {one.get('message')}"
    return ""


def _http_origins(spec: Mapping[str, Any]) -> frozenset[str]:
    addresses = ((spec.get("github") or {}).get("url"), (spec.get("huggingface") or {}).get("endpoint"))
    return frozenset(
        "/".join(address.split("/")[:3]) for address in map(str, addresses) if address.startswith("http://")
    )


def _row(
    namespace: str,
    pool: str,
    runner: Mapping[str, Any],
    prices: Mapping[str, str | None],
    origins: frozenset[str],
) -> Row:
    flavor = str(runner.get("flavor") or "")
    price = prices.get(flavor)
    return Row(
        namespace=namespace,
        pool=pool,
        name=runner["name"],
        phase=runner["phase"],
        flavor=flavor,
        since=runner.get("since"),
        usd_per_hour=float(price) if price is not None and runner["phase"] in BILLED else None,
        hf_job_id=runner.get("hfJobId"),
        hf_job_url=runner.get("hfJobUrl"),
        workflow_job_url=runner.get("workflowJobUrl"),
        origins=origins,
    )


# ---------------------------------------------------------------------------------------------------- showing
def draw(fleet: Fleet, *, now: datetime, links: bool, width: int = WIDEST) -> RenderableType:
    """Return the table, at most as wide as ``width`` if that can be without cutting a runner's name. With
    ``links`` a terminal shows short names that lead to the pages, else the addresses are written out.
    """
    table = Table(box=box.SIMPLE_HEAD if links else None, pad_edge=False, header_style="bold")
    cells = [_cells(row, now, links=links) for row in fleet.rows]
    for column in _that_fit(cells, width):
        right = column in ("FOR", "USD/H")
        table.add_column(
            column, justify="right" if right else "left", overflow="fold", no_wrap=column != "RUNNER"
        )
    for row in cells:
        table.add_row(*(row[str(column.header)] for column in table.columns))
    notes = [f"{pool}: {count} more, not in its status" for pool, count in fleet.unshown.items()]
    idle = len(fleet.pools) - len({f"{row.namespace}/{row.pool}" for row in fleet.rows})
    for why in dict.fromkeys(fleet.stopped.values()):
        of = [pool for pool, other in fleet.stopped.items() if other == why]
        whose = ", ".join(of[:MOST_NAMED]) + (
            f" and {len(of) - MOST_NAMED} more" if len(of) > MOST_NAMED else ""
        )
        notes.append(f"nothing is launched for {whose}: {why}")
    notes.append(
        f"{counted(len(fleet.rows), 'runner')} in {counted(len(fleet.pools), 'pool')}, {idle} without any; "
        f"${fleet.usd_per_hour:.2f} per hour"
    )
    return (
        Group(table, *(Text(line) for line in notes))
        if fleet.rows
        else Group(*(Text(line) for line in notes))
    )


COLUMNS = ("POOL", "RUNNER", "PHASE", "FOR", "FLAVOR", "USD/H", "HF JOB", "WORKFLOW JOB")
FIRST_TO_GO = ("HF JOB", "WORKFLOW JOB", "USD/H", "FLAVOR", "POOL", "FOR")
"""What a narrow terminal does without, in this order: `logs` and people need the runner's
name, whole, and its phase."""

BETWEEN_COLUMNS = 3
"""Blanks between two columns of the table, and around it, as ``rich`` draws it: padding and a divider."""


def _cells(row: Row, now: datetime, *, links: bool) -> Mapping[str, Text]:
    return {
        "POOL": Text(f"{row.namespace}/{row.pool}"),
        "RUNNER": Text(row.name),
        "PHASE": Text(row.phase, style=STYLES.get(Phase(row.phase), "") if row.phase in set(Phase) else ""),
        "FOR": Text(_age(row.since, now)),
        "FLAVOR": Text(row.flavor),
        "USD/H": Text("" if row.usd_per_hour is None else f"{row.usd_per_hour:.2f}"),
        "HF JOB": _page((row.hf_job_id or "")[-8:], row.hf_job_url, row, links=links),
        "WORKFLOW JOB": _page(
            (row.workflow_job_url or "").rpartition("/")[2], row.workflow_job_url, row, links=links
        ),
    }


def _that_fit(cells: Sequence[Mapping[str, Text]], width: int) -> Sequence[str]:
    """Return the columns that a terminal has room for."""
    widths = {
        column: max([len(column), *(row[column].cell_len for row in cells)]) + BETWEEN_COLUMNS
        for column in COLUMNS
    }
    left = list(COLUMNS)
    for column in FIRST_TO_GO:
        if sum(widths[one] for one in left) + BETWEEN_COLUMNS <= width:
            break
        left.remove(column)
    return left


def _page(name: str, url: str | None, row: Row, *, links: bool) -> Text:
    if url is None or (links and not is_link(url, row.origins)):
        return Text(name)
    return Text(name, style=Style(link=url)) if links else Text(url)


def _age(since: str | None, now: datetime) -> str:
    if since is None:
        return ""
    try:
        seconds = max(0, int((now - datetime.fromisoformat(since)).total_seconds()))
    except (ValueError, TypeError):  # of a status that somebody else wrote
        return ""
    if seconds < 100:
        return f"{seconds}s"
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m"


def _print(fleet: Fleet, console: Console, *, as_json: bool) -> None:
    if as_json:
        print_lines(f"{json.dumps(fleet.to_json(), indent=2)}\n")
    else:
        console.origins |= fleet.origins
        _show(draw(fleet, now=datetime.now(UTC), links=console.is_terminal, width=console.width), console)


def _show(drawn: RenderableType, console: Console) -> None:
    if console.is_terminal:
        console.print(drawn)
        return
    with console.capture() as captured:
        console.print(drawn)
    for line in captured.get().splitlines():
        print_line(line.rstrip())


# ---------------------------------------------------------------------------------------------------- command
@click.command("runners")
@click.option("-n", "--namespace", metavar="NAME", help="Default: the kubeconfig's.")
@click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces.")
@click.option(
    "-w",
    "--watch",
    is_flag=True,
    help="Go on until Ctrl-C. Not on a terminal: print again when something changed.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object; with --watch one after each change."
)
@click.option("--kubeconfig", metavar="FILE", help="Default: as kubectl.")
@click.option("--context", metavar="NAME", help="Context of the kubeconfig.")
def runners_command(
    *,
    namespace: str | None,
    all_namespaces: bool,
    watch: bool,
    as_json: bool,
    kubeconfig: str | None,
    context: str | None,
) -> None:
    """List the runners of all pools: phase, time in it, hardware, price, HF Job, workflow job.

    Read from the status of the RunnerPools, which shows the newest 20 runners of each pool, with the
    rights of the kubeconfig: list on runnerpools. Exit codes: 0 done, 1 the cluster cannot be read, 2
    wrong arguments, 130 Ctrl-C.
    """
    if namespace is not None and all_namespaces:
        raise click.UsageError("-n names one namespace, and -A all of them: keep one")
    within = None if all_namespaces else namespace or current_namespace(kubeconfig, context)
    terminal = sys.stdout.isatty()
    console = Console() if terminal else Console(width=WIDEST)
    try:
        asyncio.run(_run(kubeconfig, context, within, console, watch=watch, as_json=as_json))
    except UpstreamError as error:
        raise click.ClickException(f"{error.failure.reason}: {error.failure.message}") from error
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


async def _run(
    kubeconfig: str | None,
    context: str | None,
    namespace: str | None,
    console: Console,
    *,
    watch: bool,
    as_json: bool,
) -> None:
    async with await connect(kubeconfig=kubeconfig, context=context) as client:
        fleet = read_fleet(await list_pools(client, namespace=namespace))
        if not watch:
            _print(fleet, console, as_json=as_json)
            return
        live = Live(console=console, auto_refresh=False) if console.is_terminal and not as_json else None
        shown: Fleet | None = None
        try:
            while True:
                if live is not None:
                    live.start()
                    console.origins |= fleet.origins
                    live.update(
                        draw(fleet, now=datetime.now(UTC), links=True, width=console.width), refresh=True
                    )
                elif fleet != shown:
                    _print(fleet, console, as_json=as_json)
                    shown = fleet
                await asyncio.sleep(REFRESH)
                try:
                    fleet = read_fleet(await list_pools(client, namespace=namespace))
                except UpstreamError as error:  # what was seen last stays
                    print_line(f"{error.failure.reason}: {error.failure.message}", err=True)
        finally:
            if live is not None:
                live.stop()
