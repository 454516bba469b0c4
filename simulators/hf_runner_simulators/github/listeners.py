"""The runner's side: sessions, polls, lease renewals and results. Our own protocol in place
of GitHub's broker.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, replace
from typing import NoReturn

from hf_runner_simulators.github.dispatch import Dispatcher
from hf_runner_simulators.github.errors import ListenerRefused
from hf_runner_simulators.github.lifecycle import Lifecycle
from hf_runner_simulators.github.model import Runner, WorkflowJob
from hf_runner_simulators.github.state import Store, verb

DELETED = "Failed to create a session. The runner registration has been deleted from the server, please re-configure."
GONE = "The runner no longer exists on the server. Cleaning up local configuration."
CONFLICT = "A session for this runner already exists."


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A listener's session; ``token`` is what it shows from now on."""

    token: str
    runner: Runner

    def __repr__(self) -> str:
        """Hide the token."""
        return f"Session(runner={self.runner.name!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A listener that was turned away, for the report."""

    at: float
    runner_name: str
    reason: str


class Listeners:
    """Verbs of a runner's process. All raise ListenerRefused."""

    def __init__(self, store: Store, life: Lifecycle, dispatcher: Dispatcher) -> None:
        self._store = store
        self._life = life
        self._dispatcher = dispatcher
        self.time = store.time
        self._sessions: dict[str, int] = {}
        self.refused: list[Refused] = []

    @verb
    def connect(
        self, encoded_jit_config: str, *, version: str | None = None, os: str = "Linux", leased: bool = True
    ) -> Session:
        """Open a session: the runner is online and can be given a job.

        Args:
            encoded_jit_config: From ``generate-jitconfig``.
            version: Of the runner; None for the latest.
            os: As the runner list shows it from now on.
            leased: The caller will poll and :meth:`renew`; else it counts as alive until
                :meth:`kill` or :meth:`disconnect`.

        Raises:
            ListenerRefused: The registration is gone or used, a session is open, the
                version is refused, or nonsense.
        """
        runner = self._proven(encoded_jit_config)
        used = version or self._store.runner_version
        age = self.time.now - runner.created_at
        if age < self._store.knobs.jit_propagation_seconds:
            self._refuse(runner.name, "NotYet", f"Registration {runner.id} was not found.")
        if runner.session is not None and self._store.online(runner):
            self._refuse(runner.name, "Conflict", CONFLICT, exit_code=5)
        second = runner.connected_at is not None and self._store.knobs.jit_single_use
        expired = runner.connected_at is None and age > self._store.knobs.jit_lifetime_seconds
        if second or expired or runner.finished_at is not None:
            self._refuse(runner.name, "Deleted", DELETED)
        if used in self._store.knobs.deprecated_versions:
            message = f"An error occurred: Runner version v{used} is deprecated and cannot receive messages."
            self._refuse(runner.name, "Deprecated", message, exit_code=7)
        token = self._store.keyed("session", runner.id, self._store.next_id("session"))
        self._sessions[token] = runner.id
        self._store.seen[runner.id] = self.time.now
        opened = replace(
            runner, session=token, leased=leased, connected_at=self.time.now, os=os, version=used
        )
        self._store.runners.put(runner.id, opened)
        self._dispatcher.make_idle(runner.id)
        return Session(token=token, runner=self._store.runners[runner.id])

    def _proven(self, encoded: str) -> Runner:
        try:
            files = json.loads(base64.b64decode(encoded, validate=True))
            settings = json.loads(base64.b64decode(files[".runner"], validate=True))
            proof = json.loads(base64.b64decode(files[".credentials_rsaparams"], validate=True))["d"]
            runner_id, name = int(settings["AgentId"]), str(settings["AgentName"])
        except (binascii.Error, ValueError, KeyError, TypeError) as error:
            raise ListenerRefused("Invalid", "The JIT configuration is not valid.") from error
        runner = self._store.runners.get(runner_id)
        if runner is None or runner.secret != proof:
            self._refuse(name, "Deleted", DELETED)
        return runner

    def _refuse(self, name: str, reason: str, message: str, *, exit_code: int = 1) -> NoReturn:
        self.refused.append(Refused(at=self.time.now, runner_name=name, reason=reason))
        raise ListenerRefused(reason, message, exit_code=exit_code)

    def _runner(self, token: str) -> Runner:
        runner_id = self._sessions.get(token)
        runner = None if runner_id is None else self._store.runners.get(runner_id)
        if runner is None or runner.session != token:
            raise ListenerRefused("Gone", GONE, exit_code=0)
        return runner

    def _heard(self, token: str) -> Runner:
        runner = self._runner(token)
        self._store.seen[runner.id] = self.time.now
        return runner

    @verb
    def poll(self, token: str) -> WorkflowJob | None:
        """Ask for a job; an offered one is picked up by this.

        Raises:
            ListenerRefused: ``Gone``, the registration was deleted or is used up.
        """
        away = not self._store.online(self._runner(token))
        runner = self._heard(token)
        if runner.finished_at is not None:
            raise ListenerRefused("Gone", GONE, exit_code=0)
        if runner.job_id is None and (away or runner.id not in self._store.idle):
            # It was silent for a while or let an offer lapse: what was queued meanwhile may be for it.
            self._dispatcher.make_idle(runner.id)
            runner = self._store.runners[runner.id]
        if runner.job_id is None or runner.running:
            return None
        return self._dispatcher.pick_up(self._store.jobs[runner.job_id], runner)

    @verb
    def renew(self, token: str, job_id: int) -> bool:
        """Renew the job's lease (every 60 s); return whether the job shall be cancelled.

        Raises:
            ListenerRefused: ``Gone``.
        """
        runner = self._heard(token)
        job = self._store.jobs[job_id]
        if job.status != "in_progress" or job.runner_id != runner.id:
            return True
        if runner.leased:
            self._store.jobs.put(job_id, replace(job, lease_at=self.time.now))
        return job.cancel_at is not None

    @verb
    def finish(self, token: str, job_id: int, result: str, *, log: str = "") -> bool:
        """Report the end of a job; the registration is used up.

        Args:
            token: Session.
            job_id: The job that :meth:`poll` returned.
            result: ``success``, ``failure`` or ``cancelled``.
            log: What its steps printed.

        Returns:
            Whether the report counted; False when GitHub had already ended the job.

        Raises:
            ListenerRefused: ``Gone``.
        """
        runner = self._heard(token)
        job = self._store.jobs[job_id]
        if job.status != "in_progress" or job.runner_id != runner.id:
            self._store.runners.put(runner.id, replace(runner, session=None, finished_at=self.time.now))
            self._dispatcher.linger(runner.id)
            return False
        self._life.conclude(job_id, result, reported=True, log=log)
        return True

    @verb
    def disconnect(self, token: str) -> None:
        """Close the session in good order: offline at once. A job that was not finished
        loses its lease. Idempotent.
        """
        runner = self._leaving(token)
        if runner is not None:
            self._store.idle.pop(runner.id, None)
            self._store.runners.put(runner.id, replace(runner, session=None))

    @verb
    def kill(self, token: str) -> None:
        """The runner's process is gone without a message. Idempotent.

        GitHub notices only that it hears nothing: the runner reads online, and may be offered a job in vain,
        for ``offline_after_seconds``; its job fails when the lease has decayed.
        """
        runner = self._leaving(token)
        if runner is not None:
            self._store.runners.put(runner.id, replace(runner, leased=True))

    def _leaving(self, token: str) -> Runner | None:
        runner_id = self._sessions.pop(token, None)
        runner = None if runner_id is None else self._store.runners.get(runner_id)
        if runner is None or runner.session != token:
            return None
        self._store.seen[runner.id] = self.time.now
        if runner.running and runner.job_id is not None:
            self._dispatcher.end_lease(runner.job_id)
        return runner
