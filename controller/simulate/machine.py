"""A container that turns into a runner, in virtual time: the Hub starts it, GitHub gives it work.

Does what the bootstrap and the Listener do (docs/facts.md#job-lease, docs/facts.md#listener-exit-codes,
``docs/bootstrap.md``), without their bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from hf_runner_simulators.github.errors import ListenerRefused
from hf_runner_simulators.github.model import WorkflowJob
from hf_runner_simulators.github.world import GitHubWorld
from hf_runner_simulators.hub.running import Run

POLL = 2.0
"""Seconds between two questions of a Listener; the real one's long poll answers about as fast."""

RENEWAL = 60.0
"""Seconds between two renewals of a job's lease (docs/facts.md#job-lease)."""

EXIT_REFUSED, EXIT_DEPRECATED, EXIT_IDLE, EXIT_DEREGISTERED, EXIT_LIFETIME = 71, 73, 75, 76, 82
"""As the bootstrap's."""

SHUT_DOWN = "failure"
"""What becomes of a job whose Listener is interrupted: "The runner has received a shutdown signal"
(docs/facts.md#interrupted-runner-reports)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """How an image behaves.

    Attributes:
        seconds: From the container's start until the Listener asks for its session.
        exit_code: The bootstrap fails with it instead; None when it works.
    """

    seconds: float = 10.0
    exit_code: int | None = None


@dataclass(slots=True, kw_only=True)
class Shift:
    """What became of one container; the truth, for whoever judges or reports.

    Attributes:
        online_at: When its Listener got a session, epoch seconds; None if it never did.
        workflow_job: Id of the job that it was given, or None.
        done_at: When it had finished that job, epoch seconds; None if it never did.
    """

    online_at: float | None = None
    workflow_job: int | None = None
    done_at: float | None = None


class RunnerMachine:
    """Runs every HF Job as a runner; implements the simulated Hub's ``Machine``.

    Attributes:
        shifts: What became of each container, by HF Job.
        on_job: Called with the container and the workflow job that it was given.
    """

    def __init__(self, *, github: GitHubWorld, boot: Callable[[Run], Boot] = lambda _: Boot()) -> None:
        self._github = github
        self._boot = boot
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._sessions: dict[str, str] = {}
        self.shifts: dict[str, Shift] = {}
        self.on_job: Callable[[Run, WorkflowJob], None] = lambda _run, _job: None

    def start(self, run: Run) -> None:
        """Begin the work."""
        self.shifts[run.job_id] = Shift()
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
        lifetime = float(run.spec.environment["HFRUNNER_LIFETIME_SECONDS"])
        try:
            async with asyncio.timeout(lifetime or None):
                await asyncio.sleep(boot.seconds)
                code = boot.exit_code if boot.exit_code is not None else await self._serve(run)
        except TimeoutError:
            self._interrupt(run.job_id)
            code = EXIT_LIFETIME
        self._tasks.pop(run.job_id, None)
        self._sessions.pop(run.job_id, None)
        run.exit(code)

    def _interrupt(self, job_id: str) -> None:
        """End in good order, as the Listener does on a signal: it reports its job, or closes its session."""
        session, workflow_job = self._sessions.get(job_id), self.shifts[job_id].workflow_job
        if session is None:
            return
        if workflow_job is None:
            self._github.listeners.disconnect(session)
            return
        with suppress(ListenerRefused):
            self._github.listeners.finish(session, workflow_job, SHUT_DOWN)

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
            return EXIT_DEPRECATED if refused.reason == "Deprecated" else EXIT_REFUSED
        self._sessions[run.job_id] = session
        shift = self.shifts[run.job_id]
        shift.online_at = self._github.time.now
        waited = 0.0
        while True:
            try:
                job = listeners.poll(session)
                if job is not None:
                    shift.workflow_job = job.id
                    self.on_job(run, job)
                    code = await self._execute(session, job.id, job.spec.seconds, job.spec.result)
                    shift.done_at = self._github.time.now
                    return code
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
