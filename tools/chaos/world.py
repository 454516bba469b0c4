"""GitHub and the Hub on sockets, runners inside them, and the truth about what happened there."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from controller.simulate.machine import Boot, RunnerMachine
from hf_runner_simulators.clock import LoopClock
from hf_runner_simulators.doors import open_socket
from hf_runner_simulators.exchange import Exchange
from hf_runner_simulators.github.http import GitHubSite
from hf_runner_simulators.github.keys import private_key, public_key_of
from hf_runner_simulators.github.world import GitHubWorld
from hf_runner_simulators.hub.http import HubSite
from hf_runner_simulators.hub.platform import drive
from hf_runner_simulators.hub.running import Run
from hf_runner_simulators.hub.world import World as HubWorld

OWNER, TOKEN = "acme", "hf_chaos"
PERSON, PERSONAL_TOKEN = "octocat", "ghp_chaos"
PERSONAL_TOKEN_ENDS: Final = 10 * 86_400.0
"""Seconds until then: soon enough for pools to tell of it."""

HURRY = {"scheduling_seconds": 0.5, "boot_seconds": 0.2, "cancel_seconds": 0.2, "stage_lag_seconds": 0.1}
"""A Hub in a hurry: the real one takes 30 to 90 seconds to start a runner."""

_REPLICA = re.compile(r"\((\S+_[a-z0-9]{10})\)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One request with an effect, as a service logged it.

    Attributes:
        at: When it took effect, epoch seconds.
        replica: Identity of who sent it.
        what: Route and path.
        status: Of the answer.
    """

    at: float
    replica: str
    what: str
    status: int | None


class WatchedMachine(RunnerMachine):
    """Runners whose violent ends are noted."""

    def __init__(self, *, github: GitHubWorld, boot: Callable[[Run], Boot]) -> None:
        super().__init__(github=github, boot=boot)
        self.killed_busy: list[str] = []

    def kill(self, job_id: str) -> None:
        """Stop the work; note whether a workflow job was in the middle of it."""
        shift = self.shifts.get(job_id)
        if job_id in self._tasks and shift and shift.workflow_job is not None and shift.done_at is None:
            self.killed_busy.append(f"HF Job {job_id} while it ran workflow job {shift.workflow_job}")
        super().kill(job_id)


@dataclass(slots=True, kw_only=True)
class World:
    """Both services."""

    github: GitHubWorld
    hub: HubWorld
    machine: WatchedMachine
    sites: tuple[Exchange, Exchange]
    app_id: int
    github_url: str = ""
    hub_url: str = ""

    @property
    def secrets(self) -> Mapping[str, Mapping[str, str]]:
        """Contents of the Secrets that the pools name."""
        return {
            "github": {"appId": str(self.app_id), "privateKey": private_key()},
            "personal": {"token": PERSONAL_TOKEN},
            "hf": {"token": TOKEN},
        }

    def pool(self, namespace: str, name: str, **spec: object) -> dict[str, Any]:
        """Return a RunnerPool for the owner's jobs with the label ``name``."""
        given = {
            "github": {
                "url": f"{self.github_url}/{OWNER}",
                "credentialsSecret": "github",
                "repositories": {"include": ["*"]},
            },
            "huggingface": {"namespace": OWNER, "tokenSecret": "hf", "endpoint": self.hub_url},
            "labels": [name],
            "flavors": ["t4-small"],
            "deadlines": {"idle": "10s"},
            **spec,
        }
        metadata = {"namespace": namespace, "name": name}
        return {
            "apiVersion": "hfrunners.dev/v1alpha1",
            "kind": "RunnerPool",
            "metadata": metadata,
            "spec": given,
        }

    def queue(self, repository: str, label: str, *, count: int = 1, seconds: float = 1.0) -> None:
        """Queue workflow jobs."""
        self.github.workflows.queue_jobs(f"{OWNER}/{repository}", (label,), count=count, seconds=seconds)

    def jobs(self) -> Sequence[Mapping[str, Any]]:
        """Return all workflow jobs that were ever queued."""
        jobs: Sequence[Mapping[str, Any]] = self.github.report()["jobs"]
        return jobs

    def undone(self) -> list[Mapping[str, Any]]:
        """Return the workflow jobs that have not succeeded."""
        return [job for job in self.jobs() if job["conclusion"] != "success"]

    def left(self) -> tuple[list[str], list[str]]:
        """Return the HF Jobs that are alive, and the registrations that exist."""
        return list(self.hub.platform.live), [row["name"] for row in self.github.report()["registrations"]]

    def acts(self) -> list[Act]:
        """Return every request with an effect that a replica sent, in the order in which they took effect."""
        found = []
        for site in self.sites:
            for entry in site.log:
                sender = _REPLICA.search(entry.caller)
                if sender and not entry.route.startswith("GET"):
                    act = Act(
                        at=entry.at,
                        replica=sender[1],
                        what=f"{entry.route} {entry.path}",
                        status=entry.status,
                    )
                    found.append(act)
        return sorted(found, key=lambda act: act.at)

    def terms(self, *, skip: int = 0) -> list[str]:
        """Return who acted, in order; a replica that is in it twice acted although another had taken over.

        Args:
            skip: Acts to leave out, at the beginning.
        """
        return [replica for replica, _ in groupby(self.acts()[skip:], key=lambda act: act.replica)]


@asynccontextmanager
async def open_world(
    repositories: Sequence[str], *, boot: Callable[[Run], Boot] = lambda _: Boot(seconds=0.3)
) -> AsyncIterator[World]:
    """Serve both services while the context is open, with an App that is installed on the
    owner of the repositories.

    Args:
        repositories: Of the owner.
        boot: How each container behaves.
    """
    loop = asyncio.get_running_loop()
    clock = LoopClock(time=loop.time, epoch=time.time() - loop.time())
    github = GitHubWorld(clock=clock)
    machine = WatchedMachine(github=github, boot=boot)
    hub = HubWorld(clock=clock, machine=machine)
    hub.turn(HURRY)
    for name in repositories:
        github.accounts.add_repository(f"{OWNER}/{name}")
    app = github.accounts.add_app(public_key=public_key_of(private_key()))
    github.accounts.install(app.id, OWNER)
    github.accounts.add_user(PERSON)
    github.access.add_user_token(
        PERSONAL_TOKEN, PERSON, scopes=("repo", "admin:org"), ends_at=github.time.now + PERSONAL_TOKEN_ENDS
    )
    hub.setup(
        {
            "tokens": {TOKEN: {"user": "robot", "namespaces": {OWNER: "write"}, "plan": "team"}},
            "namespaces": {OWNER: {"type": "org", "credits": 10_000.0}},
        }
    )
    sites = Exchange(GitHubSite(github), clock=clock), Exchange(HubSite(hub), clock=clock)
    world = World(github=github, hub=hub, machine=machine, sites=sites, app_id=app.id)
    async with AsyncExitStack() as stack:
        passing = asyncio.create_task(drive(hub.platform), name="hub-time")
        stack.push_async_callback(_end, passing, world)
        world.github_url = await stack.enter_async_context(open_socket(sites[0]))
        world.hub_url = await stack.enter_async_context(open_socket(sites[1]))
        yield world
    if bugs := [*sites[0].bugs, *sites[1].bugs]:
        raise RuntimeError(f"the simulated services failed:\n{bugs[0]}")


async def _end(passing: asyncio.Task[None], world: World) -> None:
    passing.cancel()
    await asyncio.gather(passing, return_exceptions=True)
    for job_id in list(world.hub.platform.live):
        world.machine.kill(job_id)
