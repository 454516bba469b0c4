"""One pool within one pass: what was learnt of it, what ends, what starts, and what is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from controller.core import backoff as backoffs
from controller.core import suspicion as suspicions
from controller.core.backoff import Backoff
from controller.core.contradictions import duration
from controller.core.demand import Demand, Room, can_launch, name_jobs
from controller.core.drained import Awaited, note_empty, what_is_awaited
from controller.core.effects import Effect
from controller.core.evidence import LIST_LAG
from controller.core.gc import LEFT_ALONE, Retire, has_no_job, retire_reason
from controller.core.groups import missing_group, names_a_group
from controller.core.intents import MOST_INTENTS, PoolIntents
from controller.core.labels import nearest
from controller.core.lifecycle import CAN_TAKE_A_JOB, Phase, Track
from controller.core.model import (
    Disposition,
    Failure,
    HFJob,
    Observation,
    Pool,
    Registration,
    ScopeKind,
    WorkflowJob,
)
from controller.core.money import booked_seconds, timeout_seconds, worst_case
from controller.core.naming import LABEL_RUNNER, fresh_names, is_named_for, spec_digest
from controller.core.outcomes import ended_because
from controller.core.reasons import Reason
from controller.core.report import (
    Action,
    Launch,
    Notice,
    PlanInput,
    PoolMemory,
    PoolReport,
    Result,
    Waiting,
)
from controller.core.retry import Loss, follow_up, lost_unwatched, recall
from controller.core.runners import Runner
from controller.core.suspicion import Check, Divided, Group, Span, Start, Wanted
from controller.core.text import counted
from controller.core.variables import refused_variable, variables_seen
from controller.core.warm import idles_at_most, may_idle

GIVE_BACK_HOLD = 20.0
"""Seconds that surplus must last when some was given back within :data:`FLAP_WINDOW`: demand that flaps must not thrash."""

FLAP_WINDOW = 120.0

REFUSAL_DELAYS = (30.0, 60.0, 120.0, 300.0)
"""Seconds before a registration that GitHub called busy is tried again; such calls are dear to GitHub (github.md §3.4)."""

_NO_FAILURE = frozenset({Reason.IdleDeadline, Reason.EndedUnseen})
"""Ends that say nothing against the image: our own deadlines, and cancellations that we asked for."""

_REPEATS = frozenset({Reason.RunnerVersionRefused, Reason.PlatformCancelled})
"""Ends that will meet the next runner too, although this one came online."""

_NOT_TRIED = frozenset({Reason.IntentsBlocked, Reason.StopSwitchOn, Reason.StopSwitchUnread})
"""Failures of launches of which nothing was tried; each is looked at anew in every pass."""

_WHATEVER_IT_DID = frozenset({Reason.PlatformCancelled, Reason.TimedOut})
"""Ends by the Hub, which mean the same with a workflow job and without."""


NO_INTENTS = PoolIntents()


class PoolPass:
    """One pool within one pass: a scratch pad, made and thrown away inside :func:`plan`."""

    def __init__(
        self,
        given: PlanInput,
        pool: Pool,
        memory: PoolMemory,
        *,
        runners: list[Runner],
        running: Mapping[str, WorkflowJob],
        completed: Mapping[str, WorkflowJob],
        ended: Sequence[tuple[HFJob, Observation[HFJob] | None]],
        copies: Mapping[str, HFJob],
        results: Sequence[Result],
        usd: Mapping[str, float],
    ) -> None:
        self.given, self.pool, self.memory, self.runners = given, pool, memory, runners
        self.demand = Demand()  # until the queue is shared out
        self.running, self.completed, self.ended, self.results = running, completed, ended, results
        self.copies, self.usd = copies, {**self._prices_of_what_left(), **usd}
        self._tracks_before = memory.tracks
        self.lost: list[Loss] = []
        self.backoffs = dict(self.memory.backoffs)
        self.actions: list[Action] = []
        self.notices: list[Notice] = []
        self.held_by: Backoff | None = None
        self.launched = 0
        self.divided = Divided(trusted=())  # until the queue is shared out
        self.to_read: Sequence[Wanted] = ()
        self.to_check: Check | None = None
        self._idled: list[Span] = []
        self._served_by: list[str] = []
        self.live = sum(runner.live for runner in runners)
        self.staying = sum(runner.hf_job is not None and not runner.retiring for runner in runners)
        self._capacity = {
            r.name: r for r in runners if r.phase in CAN_TAKE_A_JOB and not (r.retiring or r.unconfirmed)
        }
        since = self.memory.draining_since
        if pool.leaving != (since is not None):
            self.memory = replace(self.memory, draining_since=given.now if pool.leaving else None)

        views = given.snapshot
        self.intents = given.intents.get(pool.uid, NO_INTENTS)
        self.github_view = views.registrations.get(pool.footprint.registrations)
        self.hub_view = views.hf_jobs.get(pool.hub)
        self.offered, self.unknown_flavor = self._offer()
        self._tracks = {runner.name: runner.track for runner in runners}
        self._suspicions = memory.suspicions
        self._running = sum(runner.billed for runner in runners)
        self._limit = backoffs.after_look(memory.limit, self._running, given.now)

    def _prices_of_what_left(self) -> Mapping[str, float]:
        """Return the last prices of flavors that the Hub lists no more: their runners cost what they did.

        One that is listed without a price that can be read is none of them: its price is unknown.
        """
        seen = self.given.snapshot.flavors.get(self.pool.hub.endpoint)
        listed = {flavor.name for flavor in seen.items} if seen else set()
        return {flavor: price for flavor, price in self.memory.usd.items() if flavor not in listed}

    def learn_all(self) -> None:
        """Take in what happened since the last pass."""
        self.account()
        self.credit()
        self.learn()
        self.note_copies()

    def decide(self) -> None:
        """Decide what ends and what starts, once the pool's share of the queue is known."""
        self.suspect()
        self.retire()
        self.launch()
        self.run_again()
        self.remember()

    @property
    def capacity(self) -> Collection[Runner]:
        """Runners that can take a job, and are not being ended, by name."""
        return self._capacity.values()

    @cached_property
    def _taken(self) -> int:
        """How many queued jobs seem to be taken by now; meaningful once the queue is shared out."""
        return _taken_unseen(self.runners, self.demand)

    def room(self) -> Room:
        """Return how many more jobs the pool can take now; the free runners of one that leaves are about to end."""
        taken = [
            runner.track.taken_at
            for runner in self.runners
            if runner.track.workflow_job is None and runner.track.taken_at is not None
        ]
        free = 0 if self.pool.stops_serving else len(self.capacity)
        return Room(free=free, taken=taken, launches=self._may_launch_now())

    def _may_launch_now(self) -> int:
        space = self._space()
        if space <= 0 or not self._ready_to_launch():
            return 0
        return len(self._choose_flavors(space).flavors)

    # ------------------------------------------------------------------------------------------------- what was learnt
    def account(self) -> None:
        """Book HF Jobs that ended, tell what went wrong, and let failures slow the next launches down."""
        ended, running = self.ended, self.running
        if self.backoffs:
            self.backoffs = dict(backoffs.acquitted(self.backoffs, {*self.running, *self.completed}))
        for job, view in ended:
            self._book(job, view)
        self._price()
        registrations = {r.name: r.registration for r in self.runners} if ended else {}
        retired = self._retired() if ended else {}
        for job, _ in ended:
            name = job.labels.get(LABEL_RUNNER, "")
            track = self._tracks_before.get(name)
            workflow_job = running.get(name)
            registration = registrations.get(name)
            reason = ended_because(job)
            busy = workflow_job is not None or (registration is not None and registration.busy)
            if name in retired and reason is not Reason.JobCompleted and not (busy and not retired[name]):
                continue  # what we asked for is no failure, however it ends
            if reason is Reason.LifetimeDeadline:
                self._out_of_time(job, track, workflow_job, busy=busy)
                continue
            if busy and reason is not Reason.JobCompleted:
                workflow_job = workflow_job or (track.workflow_job if track else None)
                self.lost.append(Loss(runner=name, reason=reason, workflow_job=workflow_job))
                self._notice(
                    Reason.RunnerLost, _lost(job, reason), warning=True, job=job, workflow_job=workflow_job
                )
                continue
            was_online = track is not None and track.online_at is not None
            if reason is not Reason.JobCompleted:
                had_a_job = self._had_a_job(job, track)
                if reason is Reason.IdleDeadline and not had_a_job:
                    self._idled_out(name, track)
                elif reason not in _NO_FAILURE:
                    self._failed(job, reason, was_online=was_online, had_a_job=had_a_job)
            elif registration is None or was_online or name not in self._tracks:
                self._served(name, job.flavor)
            else:
                self._tracks[name] = replace(self._tracks[name], unproven_end=job.flavor)

    def _retired(self) -> Mapping[str, bool]:
        """Return the runners whose end we asked for, and whether GitHub agreed: only then they had no job, whatever lists say."""
        asked = {
            name: track.deregistered for name, track in self._tracks_before.items() if track.asked_to_end
        }
        for name, effect in self.given.in_flight.items():
            if effect.effect is Effect.RETIRE and effect.pool_uid == self.pool.uid:
                asked.setdefault(name, False)
        for result in self.results:
            if _asked_to_end(result):
                asked[result.name] = result.deregistered or asked.get(result.name, False)
        return asked

    def _out_of_time(
        self, job: HFJob, track: Track | None, workflow_job: WorkflowJob | None, *, busy: bool
    ) -> None:
        """Tell whose work was cut short by the pool's own deadline; the end of a runner that only waited is no news.

        The bootstrap's word for it comes with an end that GitHub heard of, so no runner was lost and no launch failed. The
        queue may have been read since, and name the job no more: then the track does.
        """
        if track is not None:
            workflow_job = workflow_job or track.workflow_job
            busy = busy or track.phase is Phase.BUSY
        if workflow_job is None and not busy:
            # One that was never even online says that no runner of this pool can ever serve.
            if track is not None and not self._had_a_job(job, track):
                if track.online_at is None:
                    self._failed(job, Reason.LifetimeDeadline, was_online=False, had_a_job=False)
                else:
                    self._idled_out(job.labels.get(LABEL_RUNNER, ""), track)
            return
        whose = name_jobs([workflow_job]) if workflow_job else "a workflow job"
        self._notice(
            Reason.LifetimeDeadline,
            f"HF Job {job.id} on {job.flavor} ended while {whose} ran. {Reason.LifetimeDeadline.meaning}",
            warning=True,
            job=job,
            workflow_job=workflow_job,
        )

    def _idled_out(self, name: str, track: Track | None) -> None:
        """Note that a runner ended without a job although it was online; whether jobs waited is not known yet."""
        since = track.online_at if track is not None else None
        if since is None:
            since = self.given.now - self.pool.deadlines.idle  # by its bootstrap's word, no list has shown it
        self._idled.append(Span(runner=name, labels=self.pool.labels, since=since, until=self.given.now))

    def suspect(self) -> None:
        """Take in which queued jobs idle runners were not given, and what has started (:mod:`controller.core.suspicion`)."""
        known = suspicions.clear(self.memory.suspicions, self._starts())
        for result in self.results:
            if result.effect is Effect.LAUNCH and result.failure is not None:
                known = suspicions.not_started(known, result.name)
        queues, source = self.given.snapshot.queues, self.pool.source
        repositories = {job.repository for job in self.demand.queued}
        found, self.to_read = suspicions.learn(
            known,
            jobs=self.demand.queued,
            lent=self.demand.lent,
            idle=[*self._idled, *self._idle_spans()],
            looks={job: look for (of, job), look in self.given.snapshot.looks.items() if of == source},
            listed_at={r: seen.asked_at for r in repositories if (seen := queues.get((source, r)))},
            whole=self.demand.complete,
            idle_deadline=self.pool.deadlines.idle,
            now=self.given.now,
        )
        divided = suspicions.divide(found, self.demand.queued)
        self.to_check = suspicions.to_check(self.pool, divided, found.versions)
        self._suspicions = suspicions.explain(found, divided, self.to_check, self.given.snapshot)
        self.divided = suspicions.divide(self._suspicions, self.demand.queued)
        self.demand.suspected = len(self.demand.queued) - len(self.divided.trusted)

    def _idle_spans(self) -> list[Span]:
        view = self.github_view
        if view is None or not view.answered:
            return []
        return [
            Span(
                runner=runner.name,
                labels=runner.registration.labels or self.pool.labels,
                since=runner.track.since,
                until=view.asked_at,
                version=runner.registration.version,
            )
            for runner in self.runners
            if runner.phase is Phase.IDLE and runner.registration is not None
        ]

    def _starts(self) -> list[Start]:
        """Return the workflow jobs that have started on runners of this pool since the last pass, as far as it shows."""
        now, scope = self.given.now, self.pool.scope
        only = f"{scope.owner}/{scope.repository}" if scope.kind is ScopeKind.REPOSITORY else ""
        found = [Start(runner=name, at=now, repository=only) for name in self._served_by]
        for runner in self.runners:
            before, job = self._tracks_before.get(runner.name), runner.track.workflow_job
            at = now
            if before is None:  # it may have begun long ago
                ahead = self.demand.server_ahead
                if job is None or job.started_at is None or ahead is None:
                    continue
                at = min(now, job.started_at - ahead)
            elif (job is None or before.workflow_job is not None) and (
                runner.phase is not Phase.BUSY or before.phase is Phase.BUSY
            ):
                continue
            found.append(
                Start(
                    runner=runner.name,
                    at=at,
                    repository=job.repository if job else only,
                    job_id=job.id if job else 0,
                )
            )
        found += [
            Start(runner=name, at=now, repository=job.repository, job_id=job.id)
            for name, job in self.completed.items()
            if name not in self._tracks and is_named_for(name, self.pool.uid)
        ]
        return found

    def run_again(self) -> None:
        """Follow up runs that lost a workflow job with its HF Job."""
        losses, actions, told = follow_up(
            self.memory.losses,
            pool=self.pool,
            lost=[*self.lost, *lost_unwatched(self.pool, self.runners, self.given.snapshot)],
            running=self.running,
            results=[result for result in self.given.reruns if result.pool_uid == self.pool.uid],
            now=self.given.now,
            wall=self.given.wall,
        )
        if losses is not self.memory.losses:
            self.memory = replace(self.memory, losses=losses)
        self.actions += actions
        for one in told:
            self._notice(one.reason, one.message, warning=one.warning)

    def credit(self) -> None:
        """Count runners that served unseen, by flavor, now that their registrations are gone.

        Why that is not told when the HF Job ends:

        1. The runners are listed: R is offline.  2. R comes online, runs a short job, and ends.  3. The HF Jobs are listed:
        R's has ended well. The older list of runners still names R, so at this moment it looks as if R had never served.
        """
        present = {runner.name for runner in self.runners}
        for name, track in self._tracks_before.items():
            if track.unproven_end and name not in present:
                self._served(name, track.unproven_end)

    def _served(self, name: str, flavor: str) -> None:
        self._served_by.append(name)
        self._succeeded(flavor)

    def _book(self, job: HFJob, view: Observation[HFJob] | None) -> None:
        seconds = booked_seconds(job, view)
        if seconds <= 0:
            return
        unpriced = dict(self.memory.unpriced_seconds)
        unpriced[job.flavor] = unpriced.get(job.flavor, 0.0) + seconds
        self.memory = replace(self.memory, unpriced_seconds=unpriced)

    def _price(self) -> None:
        """Add up the cost of what has ended, as far as prices are known: after a start they may come late."""
        unpriced = self.memory.unpriced_seconds
        known = {
            flavor: seconds * self.usd[flavor] for flavor, seconds in unpriced.items() if flavor in self.usd
        }
        if known:
            rest = {flavor: seconds for flavor, seconds in unpriced.items() if flavor not in known}
            spent = self.memory.spent_usd + sum(known.values())
            self.memory = replace(self.memory, unpriced_seconds=rest, spent_usd=spent)

    def _had_a_job(self, job: HFJob, track: Track | None) -> bool:
        """Return whether a workflow job began on the runner of an HF Job that ended: by the lists, or by the bootstrap's word."""
        seen = track is not None and track.had_a_job
        return (
            seen
            or job.labels.get(LABEL_RUNNER) in self.completed
            or ended_because(job) is Reason.EndedAfterJob
        )

    def _failed(self, job: HFJob, reason: Reason, *, was_online: bool, had_a_job: bool) -> None:
        if had_a_job and reason not in _WHATEVER_IT_DID:
            # Its image, version and registration are good, and a job can bring its runner to any exit code.
            reason = Reason.EndedAfterJob
        detail = job.cancel_reason or job.message or f"stage {job.stage}"
        message = f"HF Job {job.id} on {job.flavor}: {detail}. {reason.meaning}"
        # A runner that came online proves its image: what ended it later need not end the next one.
        if not had_a_job and (not was_online or reason in _REPEATS):
            name = job.labels.get(LABEL_RUNNER, "")
            self._remember_failure(Failure(reason=reason, message=message), job.flavor, runner=name)
        self._notice(reason, message, warning=True, job=job)

    def _succeeded(self, flavor: str) -> None:
        self.backoffs.pop(flavor, None)
        self.backoffs.pop(backoffs.POOL, None)

    def _remember_failure(self, failure: Failure, flavor: str, *, runner: str = "") -> None:
        key = backoffs.key_of(failure, flavor)
        known = self.backoffs.get(key)
        self.backoffs[key] = backoffs.after_failure(known, failure, self.given.now, runner=runner)

    def learn(self) -> None:
        """Take in how our own effects ended, and which runners proved themselves by coming online."""
        results = self.results
        for runner in self.runners:
            if runner.track.online_at == self.given.now:
                self._succeeded(runner.flavor)
        for result in results:
            if result.effect is Effect.LAUNCH and result.failure is not None:
                if result.failure.reason in _NOT_TRIED:
                    continue
                self._remember_failure(result.failure, result.flavor)
            elif result.effect is Effect.RETIRE:
                self._learn_of_retirement(result)

    def _learn_of_retirement(self, result: Result) -> None:
        track = self._tracks.get(result.name)
        if track is not None and _asked_to_end(result):
            # Nothing is asked again before lists have had the time to show it.
            self._tracks[result.name] = replace(
                track,
                asked_to_end=True,
                deregistered=track.deregistered or result.deregistered,
                retry_at=self.given.now + LIST_LAG,
            )
        if result.busy or result.failure is not None:
            self._postpone(result.name)

    def _postpone(self, name: str) -> None:
        track = self._tracks.get(name)
        if track is not None:
            delay = REFUSAL_DELAYS[min(track.refusals, len(REFUSAL_DELAYS) - 1)]
            self._tracks[name] = replace(track, retry_at=self.given.now + delay, refusals=track.refusals + 1)

    def note_copies(self) -> None:
        """Tell once of HF Jobs that have a runner's name and are not ours; however many somebody makes, they are one notice in a pass.

        Such a job is left alone: it is not ours to end, and whoever made it answers for it. It is remembered, since the one that
        we made may be gone first.
        """
        if new := sorted(self.copies.keys() - self.memory.copies):
            job = self.copies[new[0]]
            whose = f" by {job.creator}" if job.creator else ""
            more = f", and there are {len(new) - 1} more of this pool's" if len(new) > 1 else ""
            message = f"HF Job {job.id}{whose} is a copy of {job.labels[LABEL_RUNNER]}{more}. {Reason.HFJobCopied.meaning}"
            self._notice(Reason.HFJobCopied, message, warning=True)
        copies = frozenset(self.copies)
        if copies != self.memory.copies:
            self.memory = replace(self.memory, copies=copies)

    # ------------------------------------------------------------------------------------------------------ what to end
    def retire(self) -> None:
        """End what must not go on: past a deadline, without its other half, unfit, or surplus."""
        now, spec = self.given.now, spec_digest(self.pool) if self.runners else ""
        for runner in self.runners:
            if runner.phase in LEFT_ALONE or not self._may_retire(runner):
                continue
            reason = retire_reason(
                self.pool,
                runner,
                demand=self.demand,
                snapshot=self.given.snapshot,
                spec=spec,
                now=now,
                warm=runner.name in self._warm,
            )
            if reason is not None:
                self._retire(runner, reason)
        self._recycle_warm()
        if self._evidence_complete():
            self._give_back_surplus()
            self._end_idle_surplus()
        else:
            self._note_surplus(None)

    @cached_property
    def _warm(self) -> Collection[str]:
        """The idle runners that ``minIdle`` asks for, those that have idled for the shortest."""
        if not self.pool.min_idle:
            return ()
        idle = [r for r in self.capacity if r.phase is Phase.IDLE]
        idle.sort(key=lambda r: (-r.track.since, r.name))
        return {r.name for r in idle[: self.pool.min_idle]}

    def _idled_for(self, seconds: float) -> list[Runner]:
        """Return the runners that have idled for longer, those that have for the longest first."""
        since = self.given.now - seconds
        found = [r for r in self.capacity if r.phase is Phase.IDLE and r.track.since < since]
        return sorted(found, key=lambda r: (r.track.since, r.name))

    @property
    def _to_replace(self) -> Sequence[Runner]:
        """Return the warm runners that have too little of their lifetime left for a long job: their replacements come first."""
        if not self._wanted_warm:
            return ()
        return self._idled_for(may_idle(self.pool.deadlines, self.memory.longest_job))

    def _recycle_warm(self) -> None:
        """End warm runners whose replacement is online, and one by one those for whom none can come before."""
        to_replace = [runner for runner in self._to_replace if self._may_retire(runner)]
        spare = sum(runner.phase is Phase.IDLE for runner in self.capacity) - self._wanted_warm
        late = {r.name for r in self._idled_for(idles_at_most(self.pool.deadlines, self.memory.longest_job))}
        for runner in to_replace:
            if spare > 0 or runner.name in late:
                self._retire(runner, Reason.WarmRecycled)
                spare -= 1
            elif self._none_can_come():
                self._retire(runner, Reason.WarmRecycled)
                return

    def _none_can_come(self) -> bool:
        """Return whether a replacement can neither be launched nor is on its way: there is no room, or launches are stopped."""
        moving = any(runner.retiring for runner in self.runners) or any(
            runner.phase is not Phase.IDLE for runner in self.capacity
        )
        return not moving and (self._space() <= 0 or not can_launch(self.pool, self.given.snapshot))

    def _may_retire(self, runner: Runner) -> bool:
        """Return whether ending a runner could be tried now.

        The lists must show its registration, so that GitHub can be asked, or prove that there is none and that no job runs. A list
        that lags lacks it, and so does one of another place, from which the pool has moved: looked for there it would seem to
        be gone, and the HF Job would be cancelled although its runner has a job, or leave a registration behind that nobody
        collects.
        """
        placed = runner.registration is not None or (
            runner.track.lacks_other_half and has_no_job(runner, self.given.snapshot)
        )
        return runner.undisturbed and placed and self.given.now >= self._tracks[runner.name].retry_at

    def _note_surplus(self, since: float | None) -> None:
        if self.memory.surplus_since != since:
            self.memory = replace(self.memory, surplus_since=since)

    def _retire(self, runner: Runner, reason: Reason) -> None:
        self.staying -= runner.hf_job is not None
        self._capacity.pop(runner.name, None)
        self.actions.append(
            Retire(
                pool_uid=self.pool.uid,
                name=runner.name,
                scope=runner.footprint.registrations,
                account=runner.footprint.account,
                registration_id=(
                    runner.registration.id if runner.registration and not runner.track.deregistered else None
                ),
                # What another user made may be a copy: without its registration ours ends by itself, a copy is not ours to end.
                hf_job_id=runner.hf_job.id if runner.hf_job and not runner.hf_job.foreign else None,
                flavor=runner.flavor,
                pool=self.pool.key,
                reason=reason,
            )
        )
        if reason in (Reason.SchedulingDeadline, Reason.RegistrationDeadline, Reason.NotPickedUp):
            where = f"HF Job {runner.hf_job.id} on {runner.flavor}" if runner.hf_job else runner.name
            failure = Failure(reason=reason, message=f"{where}{self._allowed(reason)}: {reason.meaning}")
            if reason is Reason.SchedulingDeadline and self._met_limit(runner):
                return
            # One that was not picked up has a good image: it is the waiting jobs that are under suspicion.
            if reason is not Reason.NotPickedUp:
                self._remember_failure(failure, runner.flavor, runner=runner.name)
            self._notice(reason, failure.message, warning=True, job=runner.hf_job, runner=runner.name)
        elif reason is Reason.NeverExited and runner.hf_job is not None:
            message = f"HF Job {runner.hf_job.id} on {runner.flavor}: {reason.meaning}"
            self._notice(reason, message, warning=True, job=runner.hf_job, runner=runner.name)
        elif runner.phase is Phase.ORPHANED and runner.registration is not None and runner.track.unproven_end:
            message = f"{runner.name}: its HF Job completed, yet it never came online. {Reason.RunnerFailed.meaning}"
            failure = Failure(reason=Reason.RunnerFailed, message=message)
            self._remember_failure(failure, "", runner=runner.name)
            self._notice(Reason.RunnerFailed, message, warning=True, runner=runner.name)
            self._tracks[runner.name] = replace(self._tracks[runner.name], unproven_end="")

    def _allowed(self, reason: Reason) -> str:
        """Return the deadline that a start has missed, and the image that it was of, for a message."""
        deadlines = self.pool.deadlines
        given = {
            Reason.SchedulingDeadline: ("scheduling", deadlines.scheduling),
            Reason.RegistrationDeadline: ("registration", deadlines.registration),
        }.get(reason)
        if given is None:
            return ""
        image = f"image {self.pool.template.image}, " if self.pool.template.image else ""
        return f" ({image}deadlines.{given[0]} {duration(given[1])})"

    def _met_limit(self, runner: Runner) -> bool:
        """Return whether a runner was not scheduled because the Hub runs no more HF Jobs at a time; that is told once.

        With another flavor to try, it may as well be this one that is scarce: then that one is tried first.
        """
        others = [flavor for flavor in self.offered if flavor not in (runner.flavor, *self.backoffs)]
        limit = None if others else backoffs.after_unscheduled(self._limit, self._running, self.given.now)
        if limit is None:
            return False
        if self._limit is None:
            message = f"{limit.running} HF Jobs run, and more were not scheduled. {Reason.AtHubLimit.meaning}"
            self._notice(Reason.AtHubLimit, message, warning=True, job=runner.hf_job, runner=runner.name)
        self._limit = limit
        return True

    def _give_back_surplus(self) -> None:
        """Give back capacity that nobody wants any more, the cheapest to lose first.

        Only on complete evidence: a queue that could not be read may hold the demand (invariant 3). Idle runners are not
        touched here: they are paid for already, and wait for the next job until ``deadlines.idle``.
        """
        excess = self._excess()
        if excess <= 0:
            self._note_surplus(None)
            return
        since = self.memory.surplus_since if self.memory.surplus_since is not None else self.given.now
        self._note_surplus(since)
        flapping = (
            self.memory.gave_back_at is not None and self.given.now - self.memory.gave_back_at < FLAP_WINDOW
        )
        if flapping and self.given.now - since < GIVE_BACK_HOLD:
            return
        spare = [
            r for r in self.capacity if r.phase in (Phase.SCHEDULING, Phase.STARTING) and self._may_retire(r)
        ]
        spare.sort(key=lambda r: (r.phase is not Phase.SCHEDULING, r.age, r.name))
        for runner in spare[:excess]:
            unbilled = runner.phase is Phase.SCHEDULING
            self._retire(runner, Reason.SurplusUnbilled if unbilled else Reason.SurplusStarting)
            self.memory = replace(self.memory, gave_back_at=self.given.now)

    def _end_idle_surplus(self) -> None:
        """End idle runners that have waited for longer than ``deadlines.idle``, but for those that are wanted."""
        excess = self._excess()
        if excess <= 0:
            return
        now, deadline = self.given.now, self.pool.deadlines.idle
        idle = [
            r
            for r in self.capacity
            if r.phase is Phase.IDLE and now - r.track.since > deadline and self._may_retire(r)
        ]
        idle.sort(key=lambda r: (r.track.since, r.name))
        for runner in idle[:excess]:
            self._retire(runner, Reason.IdleDeadline)

    def _excess(self) -> int:
        """Return by how many runners the capacity exceeds what is wanted, or what ``maxRunners`` allows.

        Only whole runners count. A half may be what a predecessor, or a launch in doubt, has left: it keeps others from being
        launched until it is collected, but must not cost a runner that is on its way.

        And every queued job counts, also those that seem to be taken by now (:func:`_taken_unseen`): a process that has just
        started sees a runner busy for the first time, and cannot know whether its job is among those that were read. In
        doubt nothing more is launched, and nothing is given back; the next look at the queue tells.
        """
        wanted = len(self.demand.queued) + self._wanted_warm
        capacity = sum(1 for r in self.capacity if r.hf_job is not None and r.registration is not None)
        capacity -= len(self._to_replace)  # else their replacements would be given back
        return max(capacity - wanted, self.staying - self.pool.max_runners)

    def _evidence_complete(self) -> bool:
        return (
            self.demand.complete
            and self.github_view is not None
            and self.github_view.complete
            and self.hub_view is not None
            and self.hub_view.complete
        )

    # --------------------------------------------------------------------------------------------------- what to launch
    @property
    def _wanted_warm(self) -> int:
        """How many runners are wanted beyond the queue; none where nothing is to be launched, so that those end when idle."""
        return 0 if self.pool.held else self.pool.min_idle

    @cached_property
    def _trusted(self) -> int:
        """How many queued jobs wait for a runner, and are neither under suspicion nor about to be read for it."""
        questioned = suspicions.in_question(self._suspicions, self.given.now)
        return max(0, sum(job.id not in questioned for job in self.divided.trusted) - self._taken)

    def _ready_to_launch(self) -> bool:
        """Return whether the pool may launch and what exists is known, so that nothing is launched twice.

        The list of HF Jobs must be complete now: it bounds the spending. Registrations must have been seen once.
        """
        return (
            can_launch(self.pool, self.given.snapshot)
            and self.hub_view is not None
            and self.hub_view.complete
            and self.github_view is not None
            and self.github_view.usable
            and not self._unwritten()
            and not self._unlisted()
        )

    def _unwritten(self) -> bool:
        """Return whether a launch could not be written down now: then none begins."""
        blocked = self.intents.blocked
        return blocked is not None and self.given.now < blocked.until

    def _unlisted(self) -> bool:
        """Return whether somebody has launched without writing it down, and the lists need not show it yet."""
        after = self.intents.lists_after
        if after is None:
            return False
        return any(
            v is None or not v.complete or v.asked_at <= after for v in (self.github_view, self.hub_view)
        )

    def _space(self) -> int:
        """Return how many more runners ``maxRunners``, the Hub and the room for intents in the pool's status allow."""
        space = min(self.pool.max_runners - self.live, self._space_to_write())
        return space if self._limit is None else min(space, self._limit.space(self.live))

    def _space_to_write(self) -> int:
        """Return for how many more intents the status has room.

        1. A thousand runners are launched and serve short jobs.  2. The lists' lag keeps their intents for a minute more.  3. A
        thousand more jobs come. Planned all the same, their launches would be refused one by one, ten times a second.
        """
        begun = {runner.name for runner in self.runners if not runner.undisturbed}
        return max(0, MOST_INTENTS - len(begun | self.intents.open))

    def launch(self) -> None:
        """Launch what is missing, within ``maxRunners``, on the first flavor that may be tried."""
        staying = len(self.capacity) - len(self._to_replace)
        for_trusted = max(0, self._trusted + self._wanted_warm - staying)
        missing = for_trusted + self._probes()
        if missing <= 0 or not self._ready_to_launch():
            return
        wanted = max(0, min(missing, self._space()))
        choice = self._choose_flavors(wanted)
        self.held_by = choice.held_by if len(choice.flavors) < wanted or missing > wanted else None
        self.launched = len(choice.flavors)
        names = fresh_names(self.pool, self.given.controller_id, self.given.entropy)
        launches = [
            Launch(self.pool, flavor, name) for flavor, name in zip(choice.flavors, names, strict=False)
        ]
        self.actions += launches
        if self.launched > for_trusted:
            self._suspicions = suspicions.started(
                self._suspicions, self.divided, launches[-1].name, self.given.now
            )

    def _probes(self) -> int:
        """Return how many runners may be started to see whether jobs under suspicion are given out by now."""
        return suspicions.count_starts(
            self.divided,
            spare=len(self.capacity) - self._trusted,
            idle=any(runner.phase is Phase.IDLE for runner in self.capacity),
            now=self.given.now,
        )

    def _choose_flavors(self, wanted: int) -> backoffs.Choice:
        unproven = Counter(r.flavor for r in self.capacity if r.track.online_at is None)
        return backoffs.choose_flavors(wanted, self.offered, self.backoffs, unproven, self.given.now)

    def _offer(self) -> tuple[tuple[str, ...], Failure | None]:
        """Return the pool's flavors that the Hub offers, and a failure that names the others."""
        seen = self.given.snapshot.flavors.get(self.pool.hub.endpoint)
        known = [flavor.name for flavor in seen.items] if seen else []  # also those whose price is unknown
        unknown = [flavor for flavor in self.pool.flavors if flavor not in known]
        if not unknown or not known:
            # Without a list of hardware none is unknown: it is for prices and typing errors, not for permission.
            return self.pool.flavors, None
        hints = "; ".join(
            f"{flavor!r} is not offered"
            + (f", did you mean {' or '.join(near)}?" if (near := nearest(flavor, known)) else "")
            for flavor in unknown
        )
        offered = tuple(flavor for flavor in self.pool.flavors if flavor in known)
        message = f"spec.flavors: {hints}" + (f". Serving with {', '.join(offered)}" if offered else "")
        return offered, Failure(reason=Reason.UnknownFlavor, message=message, disposition=Disposition.PERSON)

    # -------------------------------------------------------------------------------------------------------- the report
    def remember(self) -> None:
        """Put down what the next pass needs to know."""
        empty = note_empty(
            self.pool,
            self.given.snapshot,
            runners=self.runners,
            open_places=self.intents.places,
            known=self.memory.empty_since,
        )
        mine = {*self.pool.flavors, *(runner.flavor for runner in self.runners)}
        self.memory = replace(
            self.memory,
            backoffs=self.backoffs,
            tracks=self._tracks,
            suspicions=self._suspicions,
            empty_since=empty,
            usd={flavor: price for flavor, price in self.usd.items() if flavor in mine},
            longest_job=max(self.memory.longest_job, self._longest_job()),
            limit=self._limit,
        )

    def _longest_job(self) -> float:
        """Return for how many seconds the oldest job that runs now has been running; no more than a runner's whole life."""
        ahead = self.demand.server_ahead
        if ahead is None:
            return 0.0
        started = [
            runner.workflow_job.started_at
            for runner in self.runners
            if runner.workflow_job is not None and runner.workflow_job.started_at is not None
        ]
        oldest = min(started, default=None)
        lived = 0.0 if oldest is None else self.given.now + ahead - oldest
        return min(max(0.0, lived), self.pool.deadlines.lifetime)

    def report(self) -> PoolReport:
        """Sum the pass up."""
        # Flavors that are not offered keep a pool from serving only where no other is left.
        flavors = self.unknown_flavor if not self.offered else None
        snapshot = self.given.snapshot
        found = (missing_group(self.pool, snapshot), refused_variable(self.pool, snapshot), flavors)
        failures = [failure for failure in found if failure is not None]
        github, hub = _failure_of(self.github_view), _failure_of(self.hub_view)
        rate, worst = self._money()
        awaited = self._what_is_awaited()
        return PoolReport(
            pool=self.pool,
            demand=self.demand,
            runners=self.runners,
            launching=self.launched,
            waiting=self._waiting(failures),
            failures=failures,
            unknown_flavor=self.unknown_flavor,
            offered=self.offered,
            backoff=self.held_by or self.backoffs.get(backoffs.POOL),
            unwritten=self.intents.blocked,
            github=github,
            hub=hub,
            token_end=self.given.snapshot.token_ends.get(self.pool.source),
            github_seen_at=_seen_at(self.github_view),
            hub_seen_at=_seen_at(self.hub_view),
            observed=self._observed(),
            drained=self._since_when_it_leaves() is not None and not awaited,
            awaited=awaited,
            usd_per_hour=rate,
            worst_case_usd=worst,
            memory=self.memory,
            ended=self.ended,
            completed=self.completed,
            suspected=self.divided.groups,
            to_read=self.to_read,
            to_check=self.to_check,
        )

    def _observed(self) -> bool:
        if self.pool.refused is not None:
            return True  # nothing that a list could show changes what is said of it
        lists = _answered(self.github_view) and _answered(self.hub_view)
        lists = lists and variables_seen(self.pool, self.given.snapshot)
        queue = self.demand.complete or bool(self.demand.unreadable)
        where = self.pool.footprint.registrations
        return lists and queue and (not names_a_group(self.pool) or where in self.given.snapshot.groups)

    def _since_when_it_leaves(self) -> float | None:
        return self.memory.draining_since if self.pool.leaving else None

    def _what_is_awaited(self) -> Sequence[Awaited]:
        """Return the places that keep the pool from going, if it is to go."""
        since = self._since_when_it_leaves()
        if since is None:
            return ()
        return what_is_awaited(
            self.pool,
            self.given.snapshot,
            since=since,
            runners=self.runners,
            open_places=self.intents.places,
            unlisted=self._unlisted(),
            empty_since=self.memory.empty_since,
            now=self.given.now,
            wall=self.given.wall,
        )

    def _money(self) -> tuple[float, float]:
        """Return dollars per hour now, and the most that what exists or is on its way can still cost.

        A launch counts from this pass on: if the process dies with it on the wire, its HF Job runs all the same.
        """
        rate = worst = 0.0
        view = self.hub_view
        server_now = view.server_time + self.given.now - view.asked_at if view else 0.0
        timeout = float(timeout_seconds(self.pool.deadlines))
        for action in self.actions:
            if isinstance(action, Launch):
                worst += timeout * self.usd.get(action.flavor, 0.0)
        for runner in self.runners:
            job = runner.hf_job
            price = self.usd.get(runner.flavor, 0.0)
            if job is not None:
                rate += price * 3600 if runner.billed else 0.0
                worst += worst_case(job, server_now, price, timeout)
            elif not runner.retiring:
                worst += timeout * price  # without a flavor it is only a registration, and costs nothing
        return rate, worst

    def _waiting(self, failures: Sequence[Failure]) -> list[Waiting]:
        """Give every queued job a reason (invariant 4)."""
        found: list[Waiting] = []
        demand = self.demand

        def add(one: Waiting, jobs: Sequence[WorkflowJob]) -> None:
            oldest_at = min((job.waits_since for job in jobs), default=None)
            waits = demand.longest_wait(jobs, self.given.now)
            found.append(replace(one, oldest_at=oldest_at, oldest_wait=waits))

        # Which job gets which runner is GitHub's choice; it mostly takes the oldest first.
        queued = self.divided.trusted[min(self._taken, len(self.divided.trusted)) :]
        coming = min(len(queued), len(self.capacity) + self.launched + len(queued) - self._trusted)
        if coming:
            add(
                _waiting(
                    Reason.RunnerStarting,
                    coming,
                    f"{counted(coming, 'runner is', 'runners are')} coming or idle",
                ),
                queued,
            )
        if rest := queued[coming:]:
            add(self._why_not_served(len(rest), failures), rest)
        for group in self.divided.groups:
            add(self._why_not_picked_up(group), group.jobs)
        if demand.group_only:
            add(
                _waiting(Reason.GroupOnly, len(demand.group_only), name_jobs(demand.group_only)),
                demand.group_only,
            )
        if lent := self._left_to_others():
            add(_waiting(Reason.ServedByAnotherPool, len(lent), name_jobs(lent)), lent)
        if demand.unmatched:
            add(
                _waiting(Reason.NoMatchingPool, len(demand.unmatched), name_jobs(demand.unmatched)),
                demand.unmatched,
            )
        if demand.too_old:
            add(
                _waiting(Reason.TooOldForGitHub, len(demand.too_old), name_jobs(demand.too_old)),
                demand.too_old,
            )
        for repository, failure in self.demand.unreadable[:5]:
            found.append(
                Waiting(reason=Reason.QueueUnknown, count=0, message=f"{repository}: {failure.message}")
            )
        return found

    def _why_not_picked_up(self, group: Group) -> Waiting:
        if stopped := self._stopped(len(group.jobs)):
            return stopped
        here = any(runner.phase is Phase.IDLE for runner in self.capacity)
        coming = bool(self.capacity or self.launched) and not here
        probe = (
            "A runner idles beside them" if here else "A runner is on its way to try again" if coming else ""
        )
        found: Sequence[str] = ()
        if self.to_check is not None:
            found, _ = suspicions.causes(self.to_check, group, self.given.snapshot)
        why = "; ".join(found[:3])
        parts = (
            name_jobs(group.jobs),
            why and f"Found: {why}",
            probe,
            Reason.NotPickedUp.meaning,
        )
        return Waiting(
            reason=Reason.NotPickedUp,
            count=len(group.jobs),
            message=". ".join(part for part in parts if part),
            until=None if probe else suspicions.next_start(group.suspicion),
        )

    def _stopped(self, count: int) -> Waiting | None:
        """Return why nothing at all is launched, where somebody has decided so."""
        if self.pool.leaving:
            return _waiting(Reason.Draining, count)
        if self.pool.refused is not None:
            return Waiting(reason=self.pool.refused.reason, count=count, message=self.pool.refused.message)
        if self.pool.stopped is not None:
            return Waiting(reason=self.pool.stopped.reason, count=count, message=self.pool.stopped.message)
        return _waiting(Reason.Paused, count) if self.pool.paused else None

    def _left_to_others(self) -> Sequence[WorkflowJob]:
        """Return the jobs that this pool matches, if another one is to serve every single one of them."""
        return () if self.demand.queued else self.demand.lent

    def _why_not_served(self, count: int, failures: Sequence[Failure]) -> Waiting:
        if stopped := self._stopped(count):
            return stopped
        blocking = [*failures, _failure_of(self.hub_view), _failure_of(self.github_view)]
        for failure in blocking:
            if failure is not None:
                return Waiting(reason=failure.reason, count=count, message=failure.message)
        if self.hub_view is None or self.github_view is None or self._unlisted():
            return _waiting(Reason.Pending, count)
        if self.intents.blocked is not None and not self.launched:
            blocked = self.intents.blocked
            message, until = blocked.failure.message, blocked.until
            return Waiting(reason=Reason.IntentsBlocked, count=count, message=message, until=until)
        if self.held_by is not None:
            cause = self.held_by.failure
            held = self.held_by.until > self.given.now
            how = "Launches pause" if held else "One runner is tried at a time until one comes online"
            return Waiting(
                reason=Reason.BackingOff,
                count=count,
                message=f"{how}, because {cause.reason}: {cause.message}",
                until=self.held_by.until if held else None,
            )
        if not self._space_to_write():
            return _waiting(
                Reason.Pending, count, f"{MOST_INTENTS:,} launches of the last minute are not confirmed yet"
            )
        if not self.pool.max_runners:
            return _waiting(Reason.NoneAllowed, count)
        limit = self._limit
        if limit is not None and not limit.space(self.live) and self.live < self.pool.max_runners:
            return _waiting(Reason.AtHubLimit, count, f"{limit.running} HF Jobs run at a time")
        return _waiting(Reason.AtMaxRunners, count, f"spec.maxRunners is {self.pool.max_runners}")

    def _notice(
        self,
        reason: Reason,
        message: str,
        *,
        warning: bool = False,
        job: HFJob | None = None,
        runner: str = "",
        workflow_job: WorkflowJob | None = None,
    ) -> None:
        self.notices.append(
            Notice(
                pool_uid=self.pool.uid,
                reason=reason,
                message=message,
                warning=warning,
                runner=runner or (job.labels.get(LABEL_RUNNER, "") if job else ""),
                hf_job=job,
                workflow_job=workflow_job,
            )
        )


def first_memory(given: PlanInput, pool: Pool) -> PoolMemory:
    """Return what a process knows of a pool that it has not planned for yet."""
    launching = bool(given.intents.get(pool.uid, NO_INTENTS).open)
    return PoolMemory(
        losses=recall(pool, now=given.now, wall=given.wall),
        suspicions=suspicions.recall(pool, launching=launching, now=given.now, wall=given.wall),
    )


def _taken_unseen(runners: Sequence[Runner], demand: Demand) -> int:
    """Return how many queued jobs our runners have taken since the queue was read.

    1. The queue is read: job J is queued.  2. Our idle runner R takes J.  3. The runners are read: R is busy.
    Until the queue is read again, J would look unserved although R has it, and a second runner would be launched. Where the
    queue has named R's job, that job was not among the queued ones.
    """
    if not demand.queued:
        return 0
    return sum(
        runner.track.workflow_job is None
        and runner.track.taken_at is not None
        and runner.track.taken_at > demand.asked_at
        for runner in runners
    )


def _asked_to_end(result: Result) -> bool:
    """Return whether a retirement may have had an effect."""
    if result.effect is not Effect.RETIRE or result.busy:
        return False
    return result.deregistered or result.failure is None or result.failure.in_doubt


def _failure_of(view: Observation[Registration] | Observation[HFJob] | None) -> Failure | None:
    return view.failure if view is not None else None


def _answered(view: Observation[Registration] | Observation[HFJob] | None) -> bool:
    return view is not None and view.answered


def _seen_at(view: Observation[Registration] | Observation[HFJob] | None) -> float | None:
    """Return when the items were asked for; a list that never succeeded has none."""
    return view.asked_at if view is not None and view.answered else None


def _waiting(reason: Reason, count: int, detail: str = "") -> Waiting:
    return Waiting(
        reason=reason, count=count, message=f"{detail}. {reason.meaning}" if detail else reason.meaning
    )


def _lost(job: HFJob, reason: Reason) -> str:
    detail = job.cancel_reason or job.message or f"stage {job.stage}"
    return f"HF Job {job.id} on {job.flavor} ended ({reason}: {detail}) while a workflow job ran. {Reason.RunnerLost.meaning}"
