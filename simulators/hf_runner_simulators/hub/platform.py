"""How a job lives on the simulated Hub: machines, billing, timeouts, and time that passes
only between two events.

Nothing runs in the background. :meth:`Platform.advance` applies, in order and at their exact times, all
transitions that have come due. A machine that works on its own (a process) needs :func:`drive` besides.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import blake2b

from hf_runner_simulators.clock import Clock
from hf_runner_simulators.http import JSON
from hf_runner_simulators.hub.accounts import Namespace
from hf_runner_simulators.hub.billing import Credit
from hf_runner_simulators.hub.job import Job, LogLine, Moment, Phase, Principal, Stage
from hf_runner_simulators.hub.knobs import Knobs
from hf_runner_simulators.hub.running import Machine
from hf_runner_simulators.hub.spec import Expose, JobSpec


class Platform:
    """The machines and what runs on them.

    One method per transition of an HF Job, which is more than 15: they share one queue of what is due.

    Args:
        clock: Its time.
        machine: What does the jobs' work.
        knobs: Its settings.
        seed: Makes ids differ between worlds; same seed and same calls, same ids.
        namespaces: The namespaces, whose credit is charged.

    Attributes:
        now: Time of the last transition or verb, seconds since the Unix epoch; never goes back.
        jobs: All jobs by id, oldest first.
        live: Those that the API shows as live.
        on_running: Called with a job whose command has just started.
        on_schedule: Called when a transition was added; see :func:`drive`.
    """

    def __init__(
        self, *, clock: Clock, machine: Machine, knobs: Knobs, seed: str, namespaces: dict[str, Namespace]
    ) -> None:
        self.knobs = knobs
        self.now = clock.wall()
        self.jobs: dict[str, Job] = {}
        self.live: dict[str, Job] = {}
        self.on_running: Callable[[Job], None] = lambda _job: None
        self.on_schedule: Callable[[], None] = lambda: None
        self._clock = clock
        self._machine = machine
        self._seed = seed
        self._namespaces = namespaces
        self._waiting: list[Job] = []
        self._heap: list[tuple[float, int, Callable[[float], None]]] = []
        self._scheduled = 0
        self._advancing = False

    def advance(self) -> None:
        """Apply every transition that has come due; within a transition, nothing."""
        if self._advancing:  # a machine reports from inside start(): time stands still for it
            return
        self._advancing = True
        try:
            now = max(self.now, self._clock.wall())
            while (due := self._due()) <= now:
                self.now = due
                if self._heap and self._heap[0][0] <= due:
                    heapq.heappop(self._heap)[2](due)
                else:
                    self._exhaust(due)
            self.now = now
        finally:
            self._advancing = False

    def next_due(self) -> float | None:
        """Return when the next transition comes due, seconds since the Unix epoch; None
        while nothing is planned.
        """
        due = self._due()
        return None if due == math.inf else due

    def schedule(self, at: float, transition: Callable[[float], None]) -> None:
        """Plan a transition; it is called with its own time, in order of time and then of planning."""
        self._scheduled += 1
        heapq.heappush(self._heap, (max(at, self.now), self._scheduled, transition))
        self.on_schedule()

    def _due(self) -> float:
        broke = min((space.credit.exhausted_at() for space in self._namespaces.values()), default=math.inf)
        return min(broke, self._heap[0][0]) if self._heap else broke

    def keyed(self, purpose: str, number: int) -> bytes:
        """Return 16 bytes that depend on nothing but the seed and what they are for."""
        return blake2b(f"{self._seed}|{purpose}|{number}".encode(), digest_size=16).digest()

    def struck(self, share: float, purpose: str, number: int) -> bool:
        """Tell whether something is among the ``share`` (0 to 1) of things that a knob strikes; always the
        same for the same things.
        """
        return share > 0 and int.from_bytes(self.keyed(purpose, number)[:6], "big") < share * 2**48

    # What happens to a job from outside.

    def launch(
        self,
        *,
        owner: Principal,
        creator: Principal,
        spec: JobSpec,
        initiator: JSON,
        copy_of: str | None = None,
    ) -> Job:
        """Accept a job."""
        ordinal = len(self.jobs) + 1
        job = Job(
            id=f"{int(self.now):08x}{self.keyed('job', ordinal).hex()[:16]}",
            ordinal=ordinal,
            owner=owner,
            creator=creator,
            initiator=initiator,
            spec=spec,
            labels=spec.labels,
            expose=spec.expose,
            created_at=self.now,
            copy_of=copy_of,
            odd=self.struck(self.knobs.odd_words, "odd", ordinal),
            moments=[Moment(at=self.now, stage=Stage.SCHEDULING)],
        )
        self.jobs[job.id] = self.live[job.id] = job
        if self.knobs.timeout_from == "create":
            self.schedule(self.now + self._timeout(job), lambda at: self._timed_out(job, at))
        self._waiting.append(job)
        self.place()
        self.advance()
        return job

    def cancel(self, job: Job) -> None:
        """Accept that a job be cancelled; it ends a little later. Repeating it changes nothing."""
        if not job.cancelling:
            job.cancelling = True
            self.schedule(self.now + self.knobs.cancel_seconds, lambda at: self._cancelled(job, at))
            self.advance()

    def end(self, job: Job, last: Moment) -> None:
        """End a job now, and show it at ``last.at``."""
        was_running = job.phase is Phase.RUNNING
        self._stop_billing(job)
        job.phase, job.placed, job.ended_at, job.outcome = Phase.ENDED, False, self.now, last
        if job in self._waiting:
            self._waiting.remove(job)
        if was_running:
            self._machine.kill(job.id)
            if self.knobs.finished_marker:
                job.log.append(LogLine(self.now, f"===== Job finished: status={last.stage} ====="))
        job.log_closed = True
        if last.at > self.now:
            self.schedule(last.at, lambda at: self._publish(job, at))
        else:
            self._publish(job, self.now)
        self.place()

    def expose(self, job: Job, expose: Expose) -> None:
        """Change a live job's exposed ports, which cost a little."""
        before, job.expose = job.rate, expose
        if job.meter.since is not None:
            job.meter.turn(job.rate, self.now)
            self._credit(job).change_rate(job.rate - before, self.now)
            self.on_schedule()

    def place(self) -> None:
        """Give free machines to those who have waited longest."""
        used = Counter(job.spec.flavor for job in self.live.values() if job.placed)
        busy = Counter(job.owner.name for job in self.live.values() if job.placed)
        most = self.knobs.max_concurrent_jobs
        waiting, self._waiting = self._waiting, []
        for job in waiting:
            flavor, owner = job.spec.flavor, job.owner.name
            if used[flavor] >= self.knobs.capacity.get(flavor, math.inf) or (most and busy[owner] >= most):
                self._waiting.append(job)
                continue
            used[flavor] += 1
            busy[owner] += 1
            job.placed, job.phase = True, Phase.PLACED
            wait = self.knobs.scheduling_seconds_by_flavor.get(flavor, self.knobs.scheduling_seconds)
            self._step(job, wait, self._boot)

    # How it goes on by itself.

    def _step(self, job: Job, seconds: float, following: Callable[[Job], None]) -> None:
        """Go on after some time, if the job is still where it was."""
        phase, attempt = job.phase, job.attempt

        def transition(_: float) -> None:
            if job.phase is phase and job.attempt == attempt:
                following(job)

        share = int.from_bytes(self.keyed(f"{phase}{attempt}", job.ordinal)[:8], "big") / 2**63 - 1
        self.schedule(self.now + seconds * (1 + self.knobs.jitter * share), transition)

    def _boot(self, job: Job) -> None:
        job.phase = Phase.BOOTING
        if self.knobs.boot_is_billed:
            self._bill(job)
        wait = self.knobs.boot_seconds_by_flavor.get(job.spec.flavor, self.knobs.boot_seconds)
        self._step(job, wait, self._run)

    def _run(self, job: Job) -> None:
        job.phase = Phase.RUNNING
        if job.meter.since is None:
            self._bill(job)
        job.started_at = self.now
        job.moments.append(Moment(at=self.now, stage=Stage.RUNNING))
        started = datetime.fromtimestamp(self.now, UTC)
        job.log.append(LogLine(self.now, f"===== Job started at {started:%Y-%m-%d %H:%M:%S} ====="))
        if self.knobs.timeout_from == "start":
            attempt = job.attempt
            self.schedule(
                self.now + self._timeout(job),
                lambda at: self._timed_out(job, at) if job.attempt == attempt else None,
            )
        self._machine.start(Attempt(platform=self, job=job, number=job.attempt))
        self.on_running(job)

    def command_ended(self, job: Job, code: int, reason: str) -> None:
        """Take a machine's word that a running job's command has ended."""
        if self.struck(self.knobs.never_exits, "lasts", job.ordinal):
            return
        if code and job.attempt < job.spec.attempts and not job.cancelling:
            self._stop_billing(job)
            job.attempt += 1
            job.phase, job.placed, job.started_at = Phase.WAITING, False, None
            job.moments.append(Moment(at=self.now, stage=Stage.SCHEDULING))
            self._waiting.append(job)
            self.place()
            return
        message = f"Job failed with exit code: {code}. Reason: {reason}" if code else None
        stage = Stage.ERROR if code else Stage.COMPLETED
        self.end(job, Moment(at=self.now + self.knobs.stage_lag_seconds, stage=stage, message=message))

    def _timeout(self, job: Job) -> float:
        return job.spec.timeout_seconds or self.knobs.default_timeout_seconds

    def _timed_out(self, job: Job, at: float) -> None:
        if job.phase is not Phase.ENDED:
            self.end(job, Moment(at=at, stage=Stage.ERROR, message="Job timeout"))

    def _cancelled(self, job: Job, at: float) -> None:
        if job.phase is not Phase.ENDED:
            self.end(job, Moment(at=at, stage=Stage.CANCELED))

    def _publish(self, job: Job, at: float) -> None:
        assert job.outcome is not None
        job.moments.append(replace(job.outcome, at=at))
        del self.live[job.id]

    # Money.

    def _credit(self, job: Job) -> Credit:
        return self._namespaces[job.owner.name].credit

    def _bill(self, job: Job) -> None:
        job.meter.turn(job.rate, self.now)
        self._credit(job).change_rate(job.rate, self.now)

    def _stop_billing(self, job: Job) -> None:
        if job.meter.since is None:
            return
        job.meter.turn(None, self.now)
        self._credit(job).change_rate(-job.rate, self.now)
        if self.knobs.billing_rounding == "minute":
            self._credit(job).micro_usd -= job.meter.round_up(job.rate)

    def _exhaust(self, at: float) -> None:
        for name, space in sorted(self._namespaces.items()):
            if space.credit.exhausted_at() > at:
                continue
            space.credit.deduct(at)
            space.credit.micro_usd = min(space.credit.micro_usd, 0.0)
            if self.knobs.exhausted_credit_cancels:
                for job in [job for job in self.live.values() if job.owner.name == name]:
                    if job.phase is not Phase.ENDED:
                        self.end(job, Moment(at=at, stage=Stage.CANCELED, cancel_reason="NO_CREDITS"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A job's attempt as its machine sees it: :class:`hf_runner_simulators.hub.running.Run`."""

    platform: Platform
    job: Job
    number: int

    @property
    def job_id(self) -> str:
        """The job."""
        return self.job.id

    @property
    def spec(self) -> JobSpec:
        """What to run."""
        return self.job.spec

    @property
    def labels(self) -> dict[str, str]:
        """The job's labels."""
        return dict(self.job.labels or {})

    def log(self, line: str) -> None:
        """Add a line to the log."""
        self.platform.advance()
        if self._current:
            self.job.log.append(LogLine(self.platform.now, line))

    def exit(self, code: int, *, reason: str = "Error") -> None:
        """End the command."""
        self.platform.advance()
        if self._current:
            self.platform.command_ended(self.job, code, reason)

    def exit_after(self, seconds: float, code: int, *, reason: str = "Error") -> None:
        """End the command later."""
        self.platform.schedule(self.platform.now + seconds, lambda _: self.exit(code, reason=reason))

    @property
    def _current(self) -> bool:
        return self.job.phase is Phase.RUNNING and self.job.attempt == self.number


async def drive(platform: Platform) -> None:
    """Apply transitions when they come due, until cancelled; on any event loop, real or virtual."""
    changed = asyncio.Event()
    platform.on_schedule = changed.set
    while True:
        platform.advance()
        changed.clear()
        due = platform.next_due()
        try:
            async with asyncio.timeout(None if due is None else max(0.0, due - platform.now)):
                await changed.wait()
        except TimeoutError:
            continue
