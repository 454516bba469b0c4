"""``hf-runner-controller logs``: what runners print, from the HF Jobs that they run in."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any

import click

from controller.adapters.credential import Fixed
from controller.adapters.huggingface.account import token_from_secret
from controller.adapters.huggingface.jobs import HubJobs
from controller.adapters.huggingface.logs import HubLogs, LogLine
from controller.adapters.huggingface.session import open_session
from controller.adapters.kube.client import Client, connect, pools_path
from controller.adapters.kube.errors import NotFoundError
from controller.adapters.kube.pools import list_pools
from controller.adapters.kube.secrets import KubernetesSecrets
from controller.api.convert import to_pool
from controller.api.runnerpool import InvalidPool
from controller.app.clock import SystemClock
from controller.cli.exits import INTERRUPTED
from controller.cli.hosts import host_options
from controller.cli.names import current_namespace
from controller.cli.terminal import lines_of_log, print_raw, print_safe, say
from controller.core.hosts import Hosts, Service
from controller.core.model import HFJob, Pool
from controller.core.naming import (
    LABEL_MANAGED_BY,
    LABEL_POOL_UID,
    LABEL_RUNNER,
    MANAGED_BY,
    digest,
    label_value,
    origin,
)
from controller.core.text import text
from controller.ports import UpstreamError

LOOK_FOR_NEW = 5.0
"""Seconds between two looks for new runners of a pool that is followed."""

COLORS = ("cyan", "green", "yellow", "magenta", "blue", "red")


@click.command("logs")
@click.argument("name", metavar="POOL|RUNNER")
@click.option("-n", "--namespace", metavar="NAME", help="Of the pool. Default: the kubeconfig's.")
@click.option(
    "-f",
    "--follow",
    is_flag=True,
    help="Go on until the job has ended; of a POOL, until Ctrl-C, with new runners too.",
)
@click.option(
    "--tail", metavar="N", type=click.IntRange(min=0), help="Begin with the last N lines of each job."
)
@click.option(
    "--hf-job", metavar="ID", help="One HF Job in the POOL's namespace on the Hub, a runner's or not."
)
@click.option("--timestamps", is_flag=True, help="Begin each line with the Hub's time.")
@click.option(
    "--raw",
    is_flag=True,
    help="Print lines as the Hub sends them, with every escape sequence in them. Default: those are left out, but for colors on "
    "a terminal.",
)
@host_options
@click.option("--kubeconfig", metavar="FILE", help="Default: as kubectl.")
@click.option("--context", metavar="NAME", help="Context of the kubeconfig.")
def logs_command(
    *,
    name: str,
    namespace: str | None,
    follow: bool,
    tail: int | None,
    hf_job: str | None,
    timestamps: bool,
    raw: bool,
    hosts: Hosts,
    kubeconfig: str | None,
    context: str | None,
) -> None:
    """Print the log of one RUNNER, also of one that has ended, or of all live runners of a POOL, with
    their names before each line.

    A log has the bootstrap, the runner, and what the runner prints of its job; the steps' own output is on
    the workflow job's page at GitHub. The kubeconfig's user needs get (for a RUNNER: list) on runnerpools,
    and get on the Secret with the Hub's token.

    A runner prints what its job and image like, and a terminal obeys it: control characters and escape
    sequences are left out, on a terminal but for colors, and a line that is written over becomes several.
    --raw leaves them in; do not use it on the terminal of a machine that matters.

    Broken streams are taken up again where they broke. Exit codes: 0 the log was printed, 1 it cannot be
    read, 2 wrong arguments, 130 Ctrl-C.
    """
    if hf_job is not None and origin(name) is not None:
        raise click.UsageError("--hf-job goes with a POOL, whose token reads it")
    chosen = _Chosen(
        name=name,
        namespace=namespace or current_namespace(kubeconfig, context),
        hf_job=hf_job,
        hosts=hosts,
    )
    printer = Printer(timestamps=timestamps, raw=raw)
    try:
        asyncio.run(_run(chosen, printer, kubeconfig, context, follow=follow, tail=tail))
    except UpstreamError as error:
        raise click.ClickException(f"{error.failure.reason}: {error.failure.message}") from error
    except InvalidPool as error:
        raise click.ClickException(f"{error.reason}: {error}") from error
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    name: str
    namespace: str
    hf_job: str | None
    hosts: Hosts


class Printer:
    """Prints lines, each with its runner's name once several are read."""

    def __init__(self, *, timestamps: bool, raw: bool = False) -> None:
        self._timestamps = timestamps
        self._raw = raw
        self._terminal = sys.stdout.isatty()
        self._colors: dict[str, str] = {}

    def line(self, runner: str, line: LogLine) -> None:
        """Print one; no runner, no name."""
        color = self._colors.setdefault(runner, COLORS[len(self._colors) % len(COLORS)])
        prefix = f"{_plain(runner)} | " if runner else ""
        if self._terminal and prefix:
            prefix = click.style(prefix, fg=color)
        prefix += f"{_plain(line.at)} " if self._timestamps else ""
        if self._raw:
            print_raw(prefix, line.text)
            return
        for shown in lines_of_log(line.text, colors=self._terminal):
            print_safe(prefix + shown)


def _plain(word: str) -> str:
    return text(word, 100)


class _Reader:
    """Logs of one pool's account."""

    def __init__(
        self, *, jobs: HubJobs, logs: HubLogs, printer: Printer, follow: bool, tail: int | None
    ) -> None:
        self._jobs = jobs
        self._logs = logs
        self._printer = printer
        self._follow = follow
        self._tail = tail

    async def one(self, job_id: str, *, prefix: str = "") -> None:
        """Print one job's log."""
        stream = self._logs.lines(job_id, follow=self._follow, tail=self._tail)
        async with aclosing(stream) as lines:
            async for line in lines:
                self._printer.line(prefix, line)

    async def runner(self, name: str) -> None:
        """Print a runner's log.

        Raises:
            click.ClickException: There is no HF Job of that name.
        """
        found = await self._jobs.find({LABEL_MANAGED_BY: MANAGED_BY, LABEL_RUNNER: name})
        if not found:
            raise click.ClickException(f"the Hub knows no HF Job of runner {name}")
        await self.one(found[0].id)

    async def pool(self, pool: Pool) -> None:
        """Print the logs of all runners of a pool that are alive, and with ``--follow`` of
        those that come.
        """
        reading: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                for job in await self._live(pool):
                    if job.id not in reading:
                        runner = job.labels.get(LABEL_RUNNER, job.id)
                        reading[job.id] = asyncio.create_task(self.one(job.id, prefix=runner), name=runner)
                if not reading:
                    say(f"{pool.key} has no live runner", err=True)
                if not self._follow:
                    await asyncio.gather(*reading.values())
                    return
                await asyncio.sleep(LOOK_FOR_NEW)
                for task in reading.values():
                    if task.done():
                        task.result()
        finally:
            for task in reading.values():
                task.cancel()
            await asyncio.gather(*reading.values(), return_exceptions=True)

    async def _live(self, pool: Pool) -> Sequence[HFJob]:
        seen = await self._jobs.live({LABEL_MANAGED_BY: MANAGED_BY, LABEL_POOL_UID: label_value(pool.uid)})
        return sorted(seen.items, key=lambda job: (job.created_at, job.id))


async def _run(
    chosen: _Chosen,
    printer: Printer,
    kubeconfig: str | None,
    context: str | None,
    *,
    follow: bool,
    tail: int | None,
) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(await connect(kubeconfig=kubeconfig, context=context))
        hosts = chosen.hosts
        pool = to_pool(await _pool(client, chosen), allow_http=hosts.allow_http)
        if (refused := hosts.refuses(Service.HUB, pool.hub.endpoint)) is not None:
            raise UpstreamError(refused)  # before its Secret is read
        secret = await KubernetesSecrets(client=client).read(pool.hub.secret)
        token = Fixed(token_from_secret(secret.data, ref=pool.hub.secret))
        clock, session = SystemClock(), await stack.enter_async_context(open_session())
        reader = _Reader(
            jobs=HubJobs(account=pool.hub, credential=token, session=session, clock=clock, hosts=hosts),
            logs=HubLogs(account=pool.hub, credential=token, session=session, clock=clock, hosts=hosts),
            printer=printer,
            follow=follow,
            tail=tail,
        )
        if chosen.hf_job is not None:
            await reader.one(chosen.hf_job)
        elif origin(chosen.name) is not None:
            await reader.runner(chosen.name)
        else:
            await reader.pool(pool)


async def _pool(client: Client, chosen: _Chosen) -> Mapping[str, Any]:
    """Return the pool that is meant: a runner's name tells its pool's uid by digest."""
    made = origin(chosen.name)
    if made is not None:
        for pool in await list_pools(client, namespace=chosen.namespace):
            if digest(pool["metadata"]["uid"]) == made.pool:
                return dict(pool)
        raise click.ClickException(
            f"no RunnerPool in namespace {chosen.namespace} made the runner {chosen.name}: name its pool's namespace with -n; "
            "of a pool that was deleted, the log is on the HF Job's page"
        )
    try:
        found: Mapping[str, Any] = await client.request_json("GET", pools_path(chosen.namespace, chosen.name))
    except NotFoundError:
        raise click.ClickException(
            f"there is no RunnerPool {chosen.name} in namespace {chosen.namespace}, or no CRD: `kubectl get runnerpools -A` "
            "lists them"
        ) from None
    return found
