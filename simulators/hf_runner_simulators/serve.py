"""Both simulated sites on sockets, in real time: what ``hf-runner-controller sim`` and the demo run."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from hf_runner_simulators.clock import LoopClock
from hf_runner_simulators.doors import open_socket
from hf_runner_simulators.exchange import Exchange
from hf_runner_simulators.github.http import GitHubSite
from hf_runner_simulators.github.world import GitHubWorld
from hf_runner_simulators.hub.http import HubSite
from hf_runner_simulators.hub.machines import ProcessMachine
from hf_runner_simulators.hub.platform import drive
from hf_runner_simulators.hub.world import World

HostPort = tuple[str, int]
"""An address to bind; port 0 takes a free one."""


ON_THIS_MACHINE: Mapping[str, str] = {
    "HFRUNNER_PACKAGES": "skip",
    "HFRUNNER_RUNNER_DIR": "none",
    "HFRUNNER_HOME": "{home}/runner",
    "HFRUNNER_TOOL_CACHE": "{home}/tools",
}
"""Environment that keeps a bootstrap off the directories and packages of the machine that the
simulated Hub runs it on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origins:
    """Where the sites are, as ``http://host:port``; None where one was not asked for."""

    github: str | None
    hub: str | None


@asynccontextmanager
async def serving(
    *,
    github: HostPort | None,
    hub: HostPort | None,
    job_environment: Mapping[str, str] | None = None,
    job_directory: Path | None = None,
) -> AsyncIterator[Origins]:
    """Serve the sites while the context is open. When it closes, no job's process is left.

    Args:
        github: Where to serve GitHub, if at all.
        hub: Where to serve the Hub, if at all. Its jobs really run, as local processes.
        job_environment: Set last in every job's environment; see
            :class:`hf_runner_simulators.hub.machines.ProcessMachine`.
        job_directory: Where the jobs' directories are made.

    Raises:
        OSError: An address cannot be bound.
    """
    loop = asyncio.get_running_loop()
    clock = LoopClock(time=loop.time, epoch=time.time() - loop.time())
    origins: dict[str, str | None] = {"github": None, "hub": None}
    async with AsyncExitStack() as stack:
        if hub is not None:
            machine = ProcessMachine(environment=job_environment, directory=job_directory)
            stack.push_async_callback(machine.aclose)
            world = World(clock=clock, machine=machine)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            stack.callback(tasks.create_task(drive(world.platform), name="hub-time").cancel)
            door = open_socket(Exchange(HubSite(world), clock=clock), host=hub[0], port=hub[1])
            origins["hub"] = await stack.enter_async_context(door)
        if github is not None:
            site = GitHubSite(GitHubWorld(clock=clock))
            door = open_socket(Exchange(site, clock=clock), host=github[0], port=github[1])
            origins["github"] = await stack.enter_async_context(door)
        yield Origins(**origins)


async def serve(
    *,
    github: HostPort | None,
    hub: HostPort | None,
    job_environment: Mapping[str, str] | None = None,
    ready: Callable[[Origins], None] = lambda _: None,
) -> None:
    """Serve the sites until SIGINT or SIGTERM.

    Args:
        github: As for :func:`serving`.
        hub: As for :func:`serving`.
        job_environment: As for :func:`serving`.
        ready: Called once, when both sites answer.

    Raises:
        OSError: An address cannot be bound.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with serving(github=github, hub=hub, job_environment=job_environment) as origins:
        ready(origins)
        await stopped.wait()
