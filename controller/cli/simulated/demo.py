"""The demo: the real operator on a real Kubernetes API, against simulated GitHub and Hub.

Nothing of the product is replaced: the operator is a process of its own that is killed once, the bootstrap
runs as it would in a container, and a runner takes its workflow job from the simulated GitHub. Only the two
services are ours.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import httpx
import yaml
from rich.live import Live
from rich.table import Table

from controller.adapters.kube.client import Client, connect
from controller.cli.cluster import Cluster
from controller.cli.files import shipped
from controller.cli.simulated.operator_process import Operator
from controller.cli.terminal import Console, print_line
from controller.execute.bootstrap import RUNNER_VERSION
from hf_runner_simulators.github.archive import Archives
from hf_runner_simulators.serve import ON_THIS_MACHINE, Origins, serving

POOLS = {"t4": "gpu-tests", "a10g": "kernel-build", "h200": "nightly-training"}
"""Pools and the examples that they are."""

BURST: tuple[tuple[str, str, int, float], ...] = (
    # repository, label, jobs, seconds of work each
    ("acme/lib", "hf-t4", 5, 4.0),
    ("acme/lib-tokenizers", "hf-t4", 4, 3.0),
    ("acme/lib-datasets", "hf-t4", 3, 3.0),
    ("acme/kernels", "hf-a10g", 4, 5.0),
    ("acme/train", "hf-h200", 2, 6.0),
)
PATIENCE = 150.0
"""Seconds after which the demo gives up on its own queue."""

HUB_KNOBS = {"scheduling_seconds": 1.0, "boot_seconds": 0.5, "cancel_seconds": 0.5, "stage_lag_seconds": 0.2}
"""A Hub in a hurry: the real one takes 30 to 90 seconds to start a runner."""


@dataclass(slots=True, kw_only=True)
class Sites:
    """The simulated services, as seen by who operates them."""

    origins: Origins
    http: httpx.AsyncClient

    async def post(self, site: str | None, path: str, body: object) -> Any:  # noqa: ANN401 - JSON
        """Change something in a simulated world."""
        answer = await self.http.post(f"{site}{path}", json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    async def report(self, site: str | None) -> Any:  # noqa: ANN401 - JSON
        """Return what really happened."""
        answer = await self.http.get(f"{site}/_sim/report")
        answer.raise_for_status()
        return answer.json()


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What the simulated worlds say, which is what the last line is judged by."""

    jobs: Sequence[Mapping[str, Any]]
    hf_jobs: Sequence[Mapping[str, Any]]
    live: int
    registrations: int
    usd: float

    def done(self, label: str | None = None) -> int:
        """Return how many jobs succeeded, of one label or of all."""
        return sum(
            1
            for job in self.jobs
            if job["conclusion"] == "success" and (label is None or label in job["labels"])
        )

    def cost(self, pool: str) -> float:
        """Return what the HF Jobs of a pool cost."""
        mine = [job for job in self.hf_jobs if str(job["labels"].get("pool", "")).endswith(f"_{pool}")]
        return float(sum(job["costUSD"] for job in mine))


class Demo:
    """One run of the demo."""

    def __init__(self, *, sites: Sites, cluster: Cluster, operator: Operator, console: Console) -> None:
        self._sites = sites
        self._cluster = cluster
        self._operator = operator
        self._console = console
        self._began = time.monotonic()
        self._queued = sum(count for _, _, count, _ in BURST)
        self._live: Live | None = None
        self._printed = -10.0

    async def play(self) -> bool:
        """Play all acts; return whether everything ended as it should."""
        key = await self._set_up_github()
        await self._set_up_hub()
        await self._cluster.prepare(
            [yaml.safe_load(path.read_text()) for path in sorted(shipped("crds").glob("*.yaml"))]
        )
        await self._cluster.secrets(app_id=str(key["id"]), private_key=key["private_key"], token="hf_demo")  # noqa: S106
        await self._apply_examples()
        self._say("three pools applied; starting the operator")
        await self._operator.start()
        await self._until("all pools ready", self._all_ready)

        for repository, label, count, seconds in BURST:
            work = {
                "repository": repository,
                "labels": [label],
                "count": count,
                "seconds": seconds,
                "name": "gpu tests",
            }
            await self._sites.post(self._sites.origins.github, "/_sim/jobs", work)
        self._say(f"{self._queued} workflow jobs queued in {len(BURST)} repositories")

        await self._until("a third of them done", lambda truth, _: truth.done() * 3 >= self._queued)
        self._say("killing the operator (SIGKILL) while runners start and work")
        await self._operator.kill()
        await asyncio.sleep(3)
        await self._operator.start()
        self._say("operator started again: it adopts what exists")

        await self._until("the last A10G job taken", lambda truth, _: _untaken(truth, "hf-a10g") == 0)
        await self._cluster.delete_pool("a10g")
        self._say("pool a10g deleted: its finalizer waits for running jobs")
        await self._until("everything done", lambda truth, _: truth.done() == self._queued)

        for pool in POOLS:
            await self._cluster.delete_pool(pool)
        await self._until("all pools gone", lambda _, pools: not pools)
        await self._operator.stop()
        return await self._judge()

    async def _set_up_github(self) -> Mapping[str, Any]:
        repositories = sorted(
            {repository for repository, *_ in BURST} | {f"acme/other-{n}" for n in range(5)}
        )
        made = await self._sites.post(
            self._sites.origins.github,
            "/_sim/setup",
            {
                "organizations": [{"login": "acme"}],
                "repositories": [{"full_name": name} for name in repositories],
                "groups": [{"organization": "acme", "name": "hf-nightly"}],
                "apps": [{"installations": [{"account": "acme"}]}],
            },
        )
        app: Mapping[str, Any] = made["apps"][0]
        return app

    async def _set_up_hub(self) -> None:
        hub = self._sites.origins.hub
        await self._sites.post(hub, "/_sim/knobs", HUB_KNOBS)
        await self._sites.post(
            hub,
            "/_sim/setup",
            {
                "tokens": {"hf_demo": {"user": "demo", "namespaces": {"acme": "write"}}},
                "namespaces": {"acme": {"type": "org", "credits": 100}},
            },
        )

    async def _apply_examples(self) -> None:
        for example in POOLS.values():
            manifest = yaml.safe_load((shipped("examples") / example / "pool.yaml").read_text())
            spec = manifest["spec"]
            # The only changes: where the services are, and deadlines that suit a Hub in a hurry.
            spec["github"]["url"] = spec["github"]["url"].replace(
                "https://github.com", str(self._sites.origins.github)
            )
            spec["huggingface"]["endpoint"] = self._sites.origins.hub
            spec["deadlines"]["idle"] = "10s"
            await self._cluster.apply_pool(manifest)

    # ------------------------------------------------------------------------------------------- waiting
    async def _until(self, what: str, met: Any) -> None:  # noqa: ANN401 - a predicate over the truth and the pools
        """Watch until something is so, drawing the table meanwhile."""
        ends = time.monotonic() + PATIENCE
        while True:
            truth, pools = await self._truth(), await self._cluster.pools()
            self._draw(truth, pools)
            if met(truth, pools):
                return
            self._operator.check()
            if time.monotonic() > ends:
                raise click.ClickException(
                    f"gave up waiting for: {what}. The operator's log is {self._operator.log}"
                )
            await asyncio.sleep(0.5)

    def _all_ready(self, _: Truth, pools: Sequence[Mapping[str, Any]]) -> bool:
        return len(pools) == len(POOLS) and all(_ready(pool) == "True" for pool in pools)

    async def _truth(self) -> Truth:
        github = await self._sites.report(self._sites.origins.github)
        hub = await self._sites.report(self._sites.origins.hub)
        return Truth(
            jobs=github["jobs"],
            hf_jobs=hub["jobs"],
            live=len(hub["live"]),
            registrations=len(github["registrations"]),
            usd=hub["totals"]["costUSD"],
        )

    async def _judge(self) -> bool:
        """Give what ends by itself a few seconds, then print the last line."""
        ends = time.monotonic() + 15
        truth = await self._truth()
        while (truth.live or truth.registrations) and time.monotonic() < ends:
            await asyncio.sleep(0.5)
            truth = await self._truth()
        lost = len(truth.jobs) - truth.done()
        if self._live is not None:
            self._live.stop()
        print_line(
            f"demo: {self._queued} queued, {truth.done()} completed, {lost} lost, {truth.live} HF Jobs left, "
            f"{truth.registrations} registrations left, ${truth.usd:.4f}"
        )
        return truth.done() == self._queued and not (lost or truth.live or truth.registrations)

    # ------------------------------------------------------------------------------------------- showing
    def show_in(self, live: Live) -> None:
        """Draw into a live display from now on."""
        self._live = live

    def _say(self, text: str) -> None:
        self._console.print(f"[dim]{time.monotonic() - self._began:5.1f}s[/] {text}")

    def _draw(self, truth: Truth, pools: Sequence[Mapping[str, Any]]) -> None:
        table = Table(title=None, pad_edge=False)
        for column in ("pool", "ready", "queued", "starting", "idle", "busy", "done", "cost"):
            table.add_column(column, justify="left" if column in ("pool", "ready") else "right")
        by_name = {pool["metadata"]["name"]: pool for pool in pools}
        for name in POOLS:
            pool = by_name.get(name)
            counts = (pool or {}).get("status", {}).get("counts", {})
            state = "gone" if pool is None else _ready_reason(pool)
            numbers = [str(counts.get(key, 0)) for key in ("queued", "starting", "idle", "busy")]
            table.add_row(name, state, *numbers, str(truth.done(f"hf-{name}")), f"${truth.cost(name):.4f}")
        if self._live is not None:
            self._live.update(table)
        elif time.monotonic() - self._printed > 5:
            self._printed = time.monotonic()
            self._console.print(table)


def _untaken(truth: Truth, label: str) -> int:
    return sum(1 for job in truth.jobs if label in job["labels"] and job["status"] == "queued")


def _condition(pool: Mapping[str, Any]) -> Mapping[str, Any]:
    conditions = pool.get("status", {}).get("conditions") or ()
    return next((c for c in conditions if c["type"] == "Ready"), {})


def _ready(pool: Mapping[str, Any]) -> str:
    return str(_condition(pool).get("status", "Unknown"))


def _ready_reason(pool: Mapping[str, Any]) -> str:
    return str(_condition(pool).get("reason", "Pending"))


def _runner_archive() -> Mapping[str, str]:
    """Return the runner that the simulated GitHub offers for this machine: of the pinned version."""
    arch = "arm64" if os.uname().machine in ("aarch64", "arm64") else "x64"
    return {"version": RUNNER_VERSION, "arch": arch, "sha256": Archives().build(RUNNER_VERSION, arch).sha256}


async def play(kubeconfig: Path, *, keep_log: Path | None, console: Console, web_port: int = 0) -> bool:
    """Run the demo against the cluster of a kubeconfig; return whether everything ended as it should."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hfrunners-demo-")))
        origins = await stack.enter_async_context(
            serving(
                github=("127.0.0.1", 0),
                hub=("127.0.0.1", 0),
                job_environment=ON_THIS_MACHINE,
                job_directory=directory,
            )
        )
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=10))
        sites = Sites(origins=origins, http=http)
        kube: Client = await connect(kubeconfig=str(kubeconfig))
        stack.push_async_callback(kube.close)
        cluster = Cluster(kube=kube, namespace="hf-runner-demo")
        stack.push_async_callback(cluster.tidy)
        operator = Operator(
            kubeconfig=kubeconfig,
            namespace=cluster.namespace,
            github=str(origins.github),
            hub=str(origins.hub),
            runner=_runner_archive(),
            log=keep_log or directory / "operator.log",
            web_port=web_port,
        )
        stack.push_async_callback(operator.kill)
        demo = Demo(sites=sites, cluster=cluster, operator=operator, console=console)
        if console.is_terminal:
            demo.show_in(stack.enter_context(Live(console=console, refresh_per_second=4)))
        return await demo.play()
