"""Which runner gets which job: label subsets, groups, offers that lapse, and what becomes
of a runner's job.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from hf_runner_simulators.github.model import Runner, WorkflowJob

if TYPE_CHECKING:
    from hf_runner_simulators.github.accounts import Accounts
    from hf_runner_simulators.github.lifecycle import Lifecycle
    from hf_runner_simulators.github.state import Store


class Dispatcher:
    """GitHub's side of assignment; not a verb anywhere: the verbs of workflows, runners and
    listeners call it.

    More than 15 methods: one per rule of GitHub's that decides who gets which job, over one queue.
    """

    def __init__(self, store: Store, accounts: Accounts, life: Lifecycle) -> None:
        self._store = store
        self._accounts = accounts
        self._life = life

    # -- offers
    # ---------------------------------------------------------------------------------------------------

    def job_queued(self, job_id: int) -> None:
        """Look for a runner, now or after the usual delay."""
        self._soon(partial(self._place, job_id))

    def runner_idle(self, runner_id: int) -> None:
        """Look for a job, the longest queued first."""
        self._soon(partial(self._feed, runner_id))

    def _soon(self, call: partial[None]) -> None:
        if self._store.knobs.assignment_seconds > 0:
            self._store.time.after(self._store.knobs.assignment_seconds, call)
        else:
            call()

    def _place(self, job_id: int) -> None:
        if job_id not in self._store.queued:
            return
        job = self._store.jobs[job_id]
        fit = [key for key in sorted(self._store.idle) if self._fits(job, self._store.runners[key])]
        if fit:
            chosen = min(fit, key=lambda key: self._store.keyed("assign", job_id, len(fit), key))
            self._offer(job, self._store.runners[chosen])

    def _feed(self, runner_id: int) -> None:
        if runner_id not in self._store.idle:
            return
        runner = self._store.runners[runner_id]
        for job_id in self._store.queued:
            if self._fits(self._store.jobs[job_id], runner):
                self._offer(self._store.jobs[job_id], runner)
                return

    def _fits(self, job: WorkflowJob, runner: Runner) -> bool:
        if (
            not self._store.online(runner)
            or self._starved(runner)
            or not {label.lower() for label in job.spec.labels} <= set(runner.labels)
        ):
            return False
        group = self._store.groups_of(runner.scope)[runner.group_id]
        repository = self._store.repositories[job.repository_id]
        if job.spec.group not in (None, group.name):
            return False
        if group.workflows and self._life.reference(job) not in group.workflows:
            return False
        return self._accounts.group_serves(group, repository)

    def _starved(self, runner: Runner) -> bool:
        """Below its rolling minimum version github.com gives a runner nothing, and tells nobody."""
        knobs, version = self._store.knobs, runner.version
        if version is None or version in knobs.starved_versions:
            return version is not None
        return knobs.ended_versions_starve and self._store.calendar.ended(version, self._store.time.now)

    def _offer(self, job: WorkflowJob, runner: Runner) -> None:
        del self._store.queued[job.id]
        del self._store.idle[runner.id]
        self._store.jobs.put(job.id, replace(job, offered_to=runner.id))
        self._store.runners.put(runner.id, replace(runner, job_id=job.id))
        self._store.time.after(self._store.knobs.pickup_seconds, partial(self._lapse, job.id, runner.id))

    def _lapse(self, job_id: int, runner_id: int) -> None:
        job, runner = self._store.jobs[job_id], self._store.runners.get(runner_id)
        if job.offered_to != runner_id:
            return
        # A runner that let an offer lapse is not asked again before it polls: it is most likely dead.
        if runner is not None:
            self._store.runners.put(runner_id, replace(runner, job_id=None))
        self.requeue(job_id)

    def requeue(self, job_id: int) -> None:
        """Take an offered job back into the queue."""
        job = replace(self._store.jobs[job_id], offered_to=None)
        self._store.jobs.put(job_id, job)
        self._life.enqueue(job)

    # -- work
    # -----------------------------------------------------------------------------------------------------

    def pick_up(self, job: WorkflowJob, runner: Runner) -> WorkflowJob:
        """The runner takes the job that it was offered."""
        now = self._store.time.now
        group = self._store.groups_of(runner.scope)[runner.group_id]
        gone = self._store.struck(self._store.knobs.record_goes_at_start, "record goes", runner.id)
        self._store.runners.put(runner.id, replace(runner, running=True, gone=gone))
        if gone:
            self._free_name(runner)
        started = self._life.start(
            job.id, runner_id=runner.id, runner_name=runner.name, group_id=group.id, group_name=group.name
        )
        started = self._store.jobs.put(
            job.id, replace(started, lease_at=now if runner.leased else float("inf"))
        )
        if runner.leased:
            self._watch_lease(job.id)
        return started

    def end_lease(self, job_id: int) -> None:
        """Nobody renews the lease any more: its last renewal was at a full minute of the job's life."""
        job = self._store.jobs[job_id]
        if job.status != "in_progress" or job.started_at is None:
            return
        renewed = job.lease_at
        if renewed == float("inf"):
            renewed = self._store.time.now - (self._store.time.now - job.started_at) % 60
        self._store.jobs.put(job_id, replace(job, lease_at=renewed))
        self._watch_lease(job_id)

    def _watch_lease(self, job_id: int) -> None:
        left = self._store.jobs[job_id].lease_at + self._store.knobs.lease_seconds - self._store.time.now
        self._store.time.after(max(0.0, left), partial(self._lease_due, job_id))

    def _lease_due(self, job_id: int) -> None:
        job = self._store.jobs[job_id]
        if job.status != "in_progress" or job.lease_at == float("inf"):
            return
        if job.lease_at + self._store.knobs.lease_seconds > self._store.time.now:
            self._watch_lease(job_id)
            return
        # "The self-hosted runner lost communication with the server": the step stays as it was.
        self._life.conclude(job_id, "failure")

    def job_over(self, job: WorkflowJob) -> None:
        """A job ended, however: its runner is done too, or free of a job that it never began."""
        runner_id = job.runner_id if job.runner_id is not None else job.offered_to
        runner = None if runner_id is None else self._store.runners.get(runner_id)
        if runner is None or runner.job_id != job.id:
            return
        if not runner.running:
            self._store.runners.put(runner.id, replace(runner, job_id=None))
            self.make_idle(runner.id)
        elif runner.gone:
            self.drop(runner.id)
        elif job.reported:
            self._retire(runner)
        else:
            # Nobody heard the runner report: its record stays, with its name, until it reports after all, is
            # deleted or is reaped. It gets no other job.
            spent = replace(runner, job_id=None, running=False, finished_at=self._store.time.now)
            self._store.runners.put(runner.id, spent)

    def _retire(self, runner: Runner) -> None:
        self._store.runners.put(runner.id, replace(runner, session=None, finished_at=self._store.time.now))
        self.linger(runner.id)

    def linger(self, runner_id: int) -> None:
        """The record of a runner that is done goes a little later."""
        self._store.time.after(self._store.knobs.linger_seconds, partial(self.drop, runner_id))

    def make_idle(self, runner_id: int) -> None:
        """A connected runner without a job can be given one."""
        runner = self._store.runners[runner_id]
        if runner.session is not None and runner.job_id is None and runner.finished_at is None:
            self._store.idle[runner_id] = None
            self.runner_idle(runner_id)

    def drop(self, runner_id: int) -> None:
        """Remove a registration and free its name."""
        runner = self._store.runners.get(runner_id)
        if runner is None:
            return
        self._store.idle.pop(runner_id, None)
        self._store.seen.pop(runner_id, None)
        self._free_name(runner)
        self._store.runners.drop(runner_id)
        self._store.forget_later(self._store.runners_of[runner.scope], runner_id)

    def _free_name(self, runner: Runner) -> None:
        key = (runner.scope, runner.name.lower())
        if (
            self._store.runner_names.get(key) == runner.id
        ):  # else somebody has it already, since this record went at start
            del self._store.runner_names[key]
