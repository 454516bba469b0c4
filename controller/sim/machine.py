"""A container that turns into a runner, in virtual time: the Hub starts it, GitHub gives it work.

Does what the bootstrap and the Listener do (github.md §3.6, ``docs/bootstrap.md``), without their bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from controller.sim.github.errors import ListenerRefused
from controller.sim.github.world import GitHubWorld
from controller.sim.hub.running import Run

POLL = 2.0
"""Seconds between two questions of a Listener; the real one's long poll answers about as fast."""

RENEWAL = 60.0
"""Seconds between two renewals of a job's lease (github.md §3.6)."""

EXIT_REFUSED, EXIT_IDLE, EXIT_DEREGISTERED = 71, 75, 76
"""As the bootstrap's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """How an image behaves.

    Attributes:
        seconds: From the container's start until the Listener asks for its session.
        exit_code: The bootstrap fails with it instead; None when it works.
    """

    seconds: float = 10.0
    exit_code: int | None = None


class RunnerMachine:
    """Runs every HF Job as a runner; implements the simulated Hub's ``Machine``."""

    def __init__(self, *, github: GitHubWorld, boot: Callable[[Run], Boot] = lambda _: Boot()) -> None:
        self._github = github
        self._boot = boot
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._sessions: dict[str, str] = {}

    def start(self, run: Run) -> None:
        """Begin the work."""
        self._tasks[run.job_id] = asyncio.get_running_loop().create_task(
            self._work(run), name=f"run-{run.job_id}"
        )

    def kill(self, job_id: str) -> None:
        """Stop the work without grace: GitHub hears nothing."""
        task = self._tasks.pop(job_id, None)
        if task is not None:
            task.cancel()
        session = self._sessions.pop(job_id, None)
        if session is not None:
            self._github.listeners.kill(session)

    async def _work(self, run: Run) -> None:
        boot = self._boot(run)
        await asyncio.sleep(boot.seconds)
        code = boot.exit_code if boot.exit_code is not None else await self._serve(run)
        self._tasks.pop(run.job_id, None)
        self._sessions.pop(run.job_id, None)
        run.exit(code)

    async def _serve(self, run: Run) -> int:
        environment = run.spec.environment
        patience = float(environment["HFRUNNER_IDLE_SECONDS"]) + float(
            environment["HFRUNNER_IDLE_MARGIN_SECONDS"]
        )
        listeners = self._github.listeners
        try:
            session = listeners.connect(run.spec.secrets["HFRUNNER_JIT_CONFIG"]).token
        except ListenerRefused as refused:
            run.log(refused.message)
            return EXIT_REFUSED
        self._sessions[run.job_id] = session
        waited = 0.0
        while True:
            try:
                job = listeners.poll(session)
                if job is not None:
                    return await self._execute(session, job.id, job.spec.seconds, job.spec.result)
            except ListenerRefused as refused:
                run.log(refused.message)
                return EXIT_DEREGISTERED
            if waited >= patience:
                listeners.disconnect(session)
                return EXIT_IDLE
            await asyncio.sleep(POLL)
            waited += POLL

    async def _execute(self, session: str, job_id: int, seconds: float, result: str) -> int:
        left = seconds
        while left > 0:
            step = min(left, RENEWAL)
            await asyncio.sleep(step)
            left -= step
            if left > 0 and self._github.listeners.renew(session, job_id):
                result = "cancelled"
                break
        self._github.listeners.finish(session, job_id, result)
        return 0
