"""What the operator needs around it to be measured as it ships: a Kubernetes API, and both
services in another process.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from controller.adapters.kube.client import connect
from controller.cli.cluster import Cluster
from controller.cli.files import shipped

PATIENCE = 120.0
"""Seconds after which a benchmark gives up on what it waits for."""

TICKS = os.sysconf("SC_CLK_TCK")


class BenchmarkError(Exception):
    """A benchmark could not be carried out; the message says what it waited for, or what died."""


class Operator:
    """One ``hf-runner-controller run`` process, seen from outside."""

    def __init__(self, process: asyncio.subprocess.Process, *, log: Path, http: httpx.AsyncClient) -> None:
        self._process = process
        self._log = log
        self._http = http
        self._began = time.monotonic()

    async def first_pass(self) -> float:
        """Return the seconds from the start of the process to the end of its first planning pass."""
        await until("the operator's first pass", self._has_passed, every=0.02)
        return time.monotonic() - self._began

    async def _has_passed(self) -> bool:
        if self._process.returncode is not None:
            tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])
            raise BenchmarkError(f"the operator ended with {self._process.returncode}:\n{tail}")
        started = [line for line in self._log.read_text(errors="replace").splitlines() if " started " in line]
        if not started:
            return False
        port = started[0].rpartition("port=")[2].split()[0]
        page = (await self._http.get(f"http://127.0.0.1:{port}/metrics")).text
        counts = [
            line for line in page.splitlines() if line.startswith("hfrunners_pass_duration_seconds_count")
        ]
        return any(float(line.split()[1]) >= 1 for line in counts)

    def cpu_seconds(self) -> float:
        """Return the processor time that all threads of the process have used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def megabytes(self) -> float:
        """Return the resident set in millions of bytes."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
        return kilobytes * 1024 / 1e6


class Bed:
    """A namespace of a cluster, the simulated services, and operators to put between them."""

    def __init__(
        self,
        *,
        kubeconfig: Path,
        cluster: Cluster,
        origins: Mapping[str, str],
        http: httpx.AsyncClient,
        directory: Path,
    ) -> None:
        self._kubeconfig = kubeconfig
        self._cluster = cluster
        self._origins = origins
        self._http = http
        self._directory = directory
        self._operators = 0

    async def ask(self, site: str, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        """Call a control route (``/_sim/...``) of ``github`` or ``hub``."""
        answer = await self._http.request(method, f"{self._origins[site]}/_sim/{path}", json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    async def requests(self, site: str) -> Mapping[str, Mapping[str, int]]:
        """Return how many requests a service has answered, by route and status."""
        answer = await self.ask(site, "GET", "requests")
        routes: Mapping[str, Mapping[str, int]] = answer["routes"]
        return routes

    async def times(self, site: str, route: str) -> list[float]:
        """Return when a service did what a route asks for, epoch seconds, oldest first;
        refusals are left out.
        """
        entries = await self.ask(site, "GET", "log")
        return [
            entry["at"] for entry in entries if entry["route"] == route and (entry["status"] or 500) < 400
        ]

    async def set_up(self, repositories: Sequence[str]) -> None:
        """Make accounts at both services, and the Secrets that name them."""
        made = await self.ask(
            "github",
            "POST",
            "setup",
            {
                "organizations": [
                    {"login": owner} for owner in sorted({r.split("/")[0] for r in repositories})
                ],
                "repositories": [{"full_name": name} for name in repositories],
                "apps": [{"installations": [{"account": "acme"}]}],
            },
        )
        await self.ask(
            "hub",
            "POST",
            "setup",
            {
                "tokens": {
                    "hf_benchmark": {"user": "robot", "namespaces": {"acme": "write"}, "plan": "team"}
                },
                "namespaces": {"acme": {"type": "org", "credits": 1_000_000}},
            },
        )
        # A runner that is never started costs this machine nothing, and is capacity all the same.
        await self.ask("hub", "POST", "knobs", {"scheduling_seconds": 86_400.0})
        app = made["apps"][0]
        await self._cluster.secrets(
            app_id=str(app["id"]), private_key=app["private_key"], token="hf_benchmark"
        )

    async def answer_after(self, site: str, seconds: float) -> None:
        """Let a service take so long for each answer; what was asked for has happened at once."""
        rule = {"route": "*", "kind": "delay", "when": "after", "seconds": seconds, "times": None}
        await self.ask(site, "POST", "faults", rule)

    async def apply(self, name: str, *, repository: str, **spec: object) -> None:
        """Apply a pool of one repository."""
        await self._cluster.apply_pool(
            {
                "apiVersion": "hfrunners.dev/v1alpha1",
                "kind": "RunnerPool",
                "metadata": {"name": name},
                "spec": {
                    "github": {
                        "url": f"{self._origins['github']}/{repository}",
                        "credentialsSecret": "github-app",
                    },
                    "huggingface": {
                        "namespace": "acme",
                        "tokenSecret": "hf-token",
                        "endpoint": self._origins["hub"],
                    },
                    "labels": ["hf-t4"],
                    "flavors": ["t4-small"],
                    **spec,
                },
            }
        )

    async def ready(self) -> int:
        """Return how many pools are ready."""
        conditions = [pool.get("status", {}).get("conditions") or () for pool in await self._cluster.pools()]
        return sum(any(c["type"] == "Ready" and c["status"] == "True" for c in found) for found in conditions)

    @asynccontextmanager
    async def operator(self, *options: str) -> AsyncIterator[Operator]:
        """Run an operator while the context is open; ``options`` go to ``hf-runner-controller run``."""
        self._operators += 1
        log = self._directory / f"operator-{self._operators}.log"
        arguments = (
            *("run", "--kubeconfig", str(self._kubeconfig), "--namespace", self._cluster.namespace),
            *("--controller-id", "benchmark", "--web-host", "127.0.0.1", "--web-port", "0", *options),
            *("--github-host", self._origins["github"], "--hub-endpoint", self._origins["hub"]),
            "--allow-http",
        )
        async with _child(*arguments, log=log) as process:
            yield Operator(process, log=log, http=self._http)


@asynccontextmanager
async def bed(kubeconfig: Path) -> AsyncIterator[Bed]:
    """Start the services, and make the CRD and a namespace; end and remove it all but for the CRD."""
    with tempfile.TemporaryDirectory(prefix="hf-runner-benchmark-") as name:
        directory = Path(name)
        log = directory / "sim.log"
        sites = ("sim", "--github", "127.0.0.1:0", "--hub", "127.0.0.1:0")
        async with _child(*sites, log=log) as process, httpx.AsyncClient(timeout=60.0) as http:

            async def answering() -> bool:
                if process.returncode is not None:
                    raise BenchmarkError(f"the simulators ended:\n{log.read_text()}")
                return len(log.read_text().splitlines()) >= 2

            await until("the simulators", answering, every=0.05)
            origins = dict(line.split() for line in log.read_text().splitlines())
            kube = await connect(kubeconfig=str(kubeconfig))
            # Another one each time: without the controllers of a whole cluster, a namespace is never rid of.
            cluster = Cluster(kube=kube, namespace=f"hf-runner-benchmark-{secrets.token_hex(3)}")
            try:
                crds = [yaml.safe_load(path.read_text()) for path in sorted(shipped("crds").glob("*.yaml"))]
                await cluster.prepare(crds)
                yield Bed(
                    kubeconfig=kubeconfig, cluster=cluster, origins=origins, http=http, directory=directory
                )
                await cluster.tidy()
            finally:
                await kube.close()  # type: ignore[no-untyped-call] # the package has no types


@asynccontextmanager
async def _child(*arguments: str, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run ``hf-runner-controller`` with these words while the context is open; what it
    prints goes to ``log``.
    """
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "controller", *arguments),
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), timeout=30.0)
            except TimeoutError:
                process.kill()
                await process.wait()


async def until(what: str, met: Callable[[], Any], *, every: float = 0.5, within: float = PATIENCE) -> None:
    """Wait until something is so.

    Raises:
        BenchmarkError: It took longer than ``within`` seconds.
    """
    ends = time.monotonic() + within
    while not await met():
        if time.monotonic() > ends:
            raise BenchmarkError(f"gave up after {within:.0f} s, waiting for {what}")
        await asyncio.sleep(every)
