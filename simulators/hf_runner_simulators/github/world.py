"""The simulated GitHub: one object with the verbs of every noun."""

from __future__ import annotations

import dataclasses
from typing import Any

from hf_runner_simulators.clock import Clock
from hf_runner_simulators.github.access import Access
from hf_runner_simulators.github.accounts import Accounts
from hf_runner_simulators.github.archive import Archives
from hf_runner_simulators.github.dispatch import Dispatcher
from hf_runner_simulators.github.knobs import Knobs
from hf_runner_simulators.github.lifecycle import Lifecycle
from hf_runner_simulators.github.limits import Limits
from hf_runner_simulators.github.listeners import Listeners
from hf_runner_simulators.github.runners import Runners
from hf_runner_simulators.github.state import Store
from hf_runner_simulators.github.workflows import Workflows


class GitHubWorld:
    """GitHub as far as a runner autoscaler can see it.

    Every verb is synchronous and atomic; before it acts, all that is due by the clock has happened, in order
    and stamped with its own time. Same seed, same calls at the same times: same ids, same choices.

    Args:
        clock: GitHub's own clock; only ``wall()`` is read.
        seed: Chooses among equally good runners, and spells ids and tokens.
        knobs: Behaviour that is uncertain or adjustable.

    Attributes:
        accounts: Owners, repositories, runner groups, Apps, installations.
        access: Tokens, JWTs, permissions.
        workflows: Runs and jobs.
        runners: Registrations.
        listeners: The runner's side.
        limits: Primary and secondary rate limits.
        archives: The stand-in runner.
        store: All rows; for the HTTP face, which renders them.
    """

    def __init__(self, *, clock: Clock, seed: str = "0", knobs: Knobs | None = None) -> None:
        self.store = Store(clock=clock, seed=seed, knobs=knobs or Knobs())
        self.time = self.store.time
        self.accounts = Accounts(self.store)
        self.access = Access(self.store, self.accounts)
        life = Lifecycle(self.store)
        dispatcher = Dispatcher(self.store, self.accounts, life)
        life.on_queued = dispatcher.job_queued
        life.on_over = dispatcher.job_over
        self.workflows = Workflows(self.store, life)
        self.runners = Runners(self.store, self.accounts, dispatcher)
        self.listeners = Listeners(self.store, life, dispatcher)
        self.limits = Limits(self.store, self.accounts, self.access)
        self.archives = Archives()

    @property
    def knobs(self) -> Knobs:
        """The present settings."""
        return self.store.knobs

    def turn(self, **changes: Any) -> Knobs:  # noqa: ANN401 - fields of Knobs
        """Change knobs from now on.

        Raises:
            ValueError: An unknown knob or a value of the wrong type.
        """
        self.time.advance()
        self.store.knobs = self.store.knobs.changed(changes)
        return self.store.knobs

    def report(self) -> dict[str, Any]:
        """Return what happened so far, as JSON: jobs, runs, live registrations, listeners turned
        away. Times are epoch seconds.
        """
        self.time.advance()
        repositories = self.store.repositories
        jobs = [
            {
                "id": job.id,
                "run_id": job.run_id,
                "attempt": job.attempt,
                "repository": repositories[job.repository_id].full_name,
                "workflow": self.store.runs[job.run_id].workflow,
                "name": job.spec.name,
                "labels": list(job.spec.labels),
                "group": job.spec.group,
                "status": job.status,
                "conclusion": job.conclusion,
                "queued_at": job.queued_at,
                "started_at": job.started_at,
                "ended_at": job.completed_at,
                "runner_name": job.runner_name,
                "ghost": job.spec.never_runs,
            }
            for job in self.store.jobs.rows()
        ]
        runners = [
            {
                "id": runner.id,
                "scope": dataclasses.asdict(runner.scope),
                "name": runner.name,
                "labels": list(runner.labels),
                "created_at": runner.created_at,
                "status": self.runners.shown(runner)[0],
                "busy": runner.running,
                "version": runner.version,
            }
            for runner in self.store.runners.rows()
            if not runner.gone
        ]
        turned_away = [dataclasses.asdict(row) for row in self.listeners.refused]
        return {
            "now": self.time.now,
            "jobs": jobs,
            "registrations": runners,
            "refused_listeners": turned_away,
        }
