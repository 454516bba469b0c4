"""GitHub and the Hub on sockets, in the tests' own event loop: a test sets its scene by
calling the worlds themselves.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from controller.core.naming import LABEL_RUNNER
from controller.simulate.machine import Boot, RunnerMachine
from hf_runner_simulators.clock import LoopClock
from hf_runner_simulators.doors import open_socket
from hf_runner_simulators.exchange import Exchange
from hf_runner_simulators.github.http import GitHubSite
from hf_runner_simulators.github.keys import private_key, public_key_of
from hf_runner_simulators.github.world import GitHubWorld
from hf_runner_simulators.hub.http import HubSite
from hf_runner_simulators.hub.platform import drive
from hf_runner_simulators.hub.world import World as HubWorld

PUBLIC_KEY = public_key_of(private_key())
HURRY = {"scheduling_seconds": 0.1, "boot_seconds": 0.1, "cancel_seconds": 0.1, "stage_lag_seconds": 0.1}
"""A Hub in a hurry."""

LEASE_RENEWAL = 30.0
"""Seconds; the simulated GitHub calls a runner offline after 60."""


class GatedMachine(RunnerMachine):
    """Runners whose workflow jobs last until a test lets them end."""

    def __init__(self, *, github: GitHubWorld) -> None:
        super().__init__(github=github, boot=lambda _: Boot(seconds=0.1))
        self._gates: defaultdict[int, asyncio.Event] = defaultdict(asyncio.Event)

    def finish(self, job_id: int) -> None:
        """Let a workflow job end, now or as soon as it runs."""
        self._gates[job_id].set()

    async def _execute(self, session: str, job_id: int, seconds: float, result: str) -> int:
        while not self._gates[job_id].is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(LEASE_RENEWAL):
                    await self._gates[job_id].wait()
            self._github.listeners.renew(session, job_id)
        return await super()._execute(session, job_id, 0.0, result)


@dataclass(frozen=True, kw_only=True)
class Account:
    """One customer of both services: nothing of another test's is in it."""

    cloud: Cloud
    owner: str
    repository: str
    hub_namespace: str
    app_id: int
    installation_id: int
    hf_token: str

    @property
    def url(self) -> str:
        return f"{self.cloud.github_url}/{self.repository}"

    @property
    def github_secret(self) -> dict[str, str]:
        return {"appId": str(self.app_id), "privateKey": private_key()}

    @property
    def hub_secret(self) -> dict[str, str]:
        return {"token": self.hf_token}

    def queue(self, *labels: str, repository: str = "", count: int = 1) -> list[int]:
        """Queue workflow jobs that last until :meth:`finish`."""
        jobs = self.cloud.github.workflows.queue_jobs(
            repository or self.repository, labels or ("gpu",), count=count
        )
        return [job.id for job in jobs]

    def finish(self, *job_ids: int) -> None:
        for job_id in job_ids:
            self.cloud.machine.finish(job_id)

    def jobs(self) -> dict[int, Mapping[str, Any]]:
        report = self.cloud.github.report()
        return {job["id"]: job for job in report["jobs"] if job["repository"].startswith(f"{self.owner}/")}

    def live_hf_jobs(self) -> dict[str, str]:
        """Return the runners of HF Jobs that are alive, by id."""
        live = self.cloud.hub.platform.live.values()
        mine = [job for job in live if job.owner.name == self.hub_namespace]
        return {job.id: (job.labels or {})[LABEL_RUNNER] for job in mine}

    def runs(self, *job_ids: int) -> bool:
        """Return whether workflow jobs are at work."""
        return all(self.jobs()[job_id]["status"] == "in_progress" for job_id in job_ids)

    def succeeded(self, *job_ids: int) -> bool:
        return all(self.jobs()[job_id]["conclusion"] == "success" for job_id in job_ids)

    def hf_jobs(self) -> int:
        """Return how many HF Jobs there ever were."""
        return sum(job.owner.name == self.hub_namespace for job in self.cloud.hub.platform.jobs.values())

    def registrations(self) -> list[str]:
        report = self.cloud.github.report()
        return [row["name"] for row in report["registrations"] if self.owner in row["scope"]["name"]]

    @property
    def nothing_left(self) -> bool:
        return not self.live_hf_jobs() and not self.registrations()


@dataclass(kw_only=True)
class Cloud:
    """Both worlds."""

    github: GitHubWorld
    hub: HubWorld
    machine: GatedMachine
    github_exchange: Exchange
    hub_exchange: Exchange
    github_url: str = ""
    hub_url: str = ""
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _secrets: set[str] = field(default_factory=set)

    @property
    def flags(self) -> Sequence[str]:
        """What the operator needs to send credentials to both."""
        return ("--github-host", self.github_url, "--hub-endpoint", self.hub_url, "--allow-http")

    def account(self) -> Account:
        """Open an account: an organization with a repository ``lib``, an App installed on
        it, a namespace on the Hub.
        """
        owner = f"acme-{next(self._numbers):03}"
        repository = f"{owner}/lib"
        self.github.accounts.add_repository(repository)
        app = self.github.accounts.add_app(public_key=PUBLIC_KEY, slug=owner)
        installation = self.github.accounts.install(app.id, owner)
        token = self.secret(f"hf_{owner}_QmFzZTY0")
        self.hub_token(token, owner)
        return Account(
            cloud=self,
            owner=owner,
            repository=repository,
            hub_namespace=owner,
            app_id=app.id,
            installation_id=installation.id,
            hf_token=token,
        )

    def hub_token(self, token: str, namespace: str) -> None:
        """Make a Hub token that may run Jobs in a namespace."""
        granted = {"user": f"{namespace}-robot", "namespaces": {namespace: "write"}, "plan": "team"}
        self.hub.setup({"tokens": {self.secret(token): granted}})

    def revoke_hub_token(self, token: str) -> None:
        self.hub.setup({"tokens": {token: None}})

    def secret(self, value: str) -> str:
        """Note a value that must never be seen outside, and return it."""
        self._secrets.add(value)
        return value

    def secrets(self) -> set[str]:
        """Return everything that must never be seen: what the tests made, and what the
        services handed out.
        """
        jit = {text for job in self.hub.platform.jobs.values() for text in (job.spec.secrets or {}).values()}
        key = {line for line in private_key().splitlines() if len(line) == 64}
        return {text for text in self._secrets | jit | key | set(self.github.access._tokens) if len(text) > 8}


@asynccontextmanager
async def open_cloud() -> AsyncIterator[Cloud]:
    """Serve both worlds on sockets while the context is open."""
    loop = asyncio.get_running_loop()
    clock = LoopClock(time=loop.time, epoch=time.time() - loop.time())
    github = GitHubWorld(clock=clock)
    github.turn(linger_seconds=0.5)
    machine = GatedMachine(github=github)
    hub = HubWorld(clock=clock, machine=machine)
    hub.turn(HURRY)
    sites = Exchange(GitHubSite(github), clock=clock), Exchange(HubSite(hub), clock=clock)
    cloud = Cloud(github=github, hub=hub, machine=machine, github_exchange=sites[0], hub_exchange=sites[1])
    passing = asyncio.create_task(drive(hub.platform), name="hub-time")
    async with open_socket(sites[0]) as cloud.github_url, open_socket(sites[1]) as cloud.hub_url:
        try:
            yield cloud
        finally:
            passing.cancel()
            await asyncio.gather(passing, return_exceptions=True)
            for job_id in list(hub.platform.live):
                machine.kill(job_id)
            await asyncio.sleep(0)
    assert not (bugs := [*sites[0].bugs, *sites[1].bugs]), bugs
