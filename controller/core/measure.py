"""What a pass lets be counted and timed: facts for metrics and for one line in the log, read from the pass alone.

Nothing is decided by them. Two rules keep the sums right although processes die and nothing of this is stored:

* A runner, single-use as it is, gives each of its facts once.
* What happened before this process began is left to the one before, which may have told it; what neither of them saw is not
  told at all. So a sum over processes may lack a little, and never counts anything twice.

Times of GitHub and the Hub are brought onto our monotonic clock by the ``Date`` of their answers, which are whole seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from controller.core.gc import Retire
from controller.core.lifecycle import Effect, Runner
from controller.core.model import HFJob, Observation, PoolKey, Registration, WorkflowJob
from controller.core.money import booked_seconds, prices
from controller.core.naming import LABEL_POOL_UID, LABEL_RUNNER, label_value
from controller.core.outcomes import ended_because
from controller.core.reasons import Reason
from controller.core.report import Launch, Notice, Plan, PlanInput, PoolReport

CLOCK_ERROR = 1.0
"""Seconds by which a server's time may be off on our clock, because its ``Date`` header has no fractions."""

KEPT_FOR = 900.0
"""Seconds for which a runner that is gone is remembered: its workflow job may be seen to have ended only later."""


class Measure(Enum):
    """What a fact is about; ``controller.metrics.catalog`` says what each counts."""

    QUEUE_TO_ONLINE = auto()
    QUEUE_TO_START = auto()
    HF_SCHEDULING = auto()
    RUNNER_BOOT = auto()
    LAUNCH = auto()
    LAUNCH_FAILURE = auto()
    FALLBACK = auto()
    RETRY = auto()
    LOST = auto()
    STUCK = auto()
    VERSION_REFUSED = auto()
    ORPHAN = auto()
    NOTICE = auto()
    BILLED = auto()
    COST = auto()


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing to be counted, or one duration.

    Attributes:
        measure: What it is about.
        value: Seconds, US dollars, or how many.
        pool: Whose; None where pools do not matter.
        labels: What else tells it apart, in the order of the metric's labels: flavor, reason, deadline or kind.
    """

    measure: Measure
    value: float = 1.0
    pool: PoolKey | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A workflow job that one of our runners took, for the log; ``waited`` is in seconds on GitHub's clock."""

    pool: PoolKey
    runner: str
    hf_job_id: str
    workflow_job: WorkflowJob
    waited: float


@dataclass(slots=True, kw_only=True)
class Seen:
    """What one pass lets be told."""

    facts: list[Fact] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)


@dataclass(slots=True)
class _Life:
    """One runner; times are monotonic seconds on our clock.

    Attributes:
        pool_uid: Its pool.
        flavor: Hardware, empty while unknown.
        hf_job_id: The Hub's id, empty while unknown.
        running_at: When its HF Job began to run.
        online_at: When it was online at the latest.
        told: What it has given already, or never will.
        gone_at: Since when nothing shows it.
    """

    pool_uid: str = ""
    flavor: str = ""
    hf_job_id: str = ""
    running_at: float | None = None
    online_at: float | None = None
    told: set[Measure] = field(default_factory=set)
    gone_at: float | None = None


_DEADLINES = {
    Reason.SchedulingDeadline: "scheduling",
    Reason.RegistrationDeadline: "registration",
    Reason.NotPickedUp: "idle",
    Reason.LifetimeDeadline: "lifetime",
}
_NO_LAUNCH_FAILURE = frozenset({Reason.RunnerLost, Reason.LifetimeDeadline})
_ORPHANS = frozenset({Reason.OrphanedRegistration, Reason.OrphanedHFJob})


class Chronicle:
    """Follows the passes of one process; no I/O and no clock of its own."""

    def __init__(self, *, began: float) -> None:
        """Begin at a moment, in monotonic seconds, before which this process did nothing."""
        self._since = began + CLOCK_ERROR
        self._lives: dict[str, _Life] = {}
        self._unpriced: dict[tuple[str, str], float] = {}

    @property
    def remembered(self) -> int:
        """How many runners are remembered."""
        return len(self._lives)

    def follow(self, given: PlanInput, done: Plan) -> Seen:
        """Return what a pass lets be told; to be called once for each pass, in their order."""
        seen = Seen()
        pools = {label_value(uid): report for uid, report in done.reports.items()}
        for report in done.reports.values():
            for runner in report.runners:
                self._runner(runner, report, given, seen)
        for account, jobs in given.snapshot.ended.items():
            view = given.snapshot.hf_jobs.get(account)
            for job in jobs:
                owner = pools.get(job.labels.get(LABEL_POOL_UID, ""))
                if owner is not None and view is not None:
                    self._ended(job, view, owner, seen)
        for completed in given.snapshot.completed.values():
            for workflow_job in completed:
                self._completed(workflow_job, done, seen)
        seen.facts += self._priced(given, done)
        seen.facts += _launched(done)
        seen.facts += self._results(given, done)
        for notice in done.notices:
            told = done.reports.get(notice.pool_uid)
            if told is not None:
                seen.facts += self._notice(notice, told, given)
        self._forget(done, given.now)
        return seen

    # ------------------------------------------------------------------------------------------------------------- runners
    def _runner(self, runner: Runner, report: PoolReport, given: PlanInput, seen: Seen) -> None:
        life = self._lives.get(runner.name)
        if life is None:
            life = self._lives[runner.name] = _Life()
        life.pool_uid = report.pool.uid
        life.gone_at = None
        life.flavor = life.flavor or runner.flavor
        if runner.hf_job is not None:
            life.hf_job_id = runner.hf_job.id
            if life.running_at is None and runner.hf_job.started_at is not None:
                view = given.snapshot.hf_jobs.get(runner.footprint.account)
                if view is not None:
                    self._running(life, runner.hf_job, view, seen)
        if life.online_at is None and runner.registration is not None:
            listed = given.snapshot.registrations.get(runner.footprint.registrations)
            if listed is not None and (runner.registration.online or runner.registration.busy):
                self._online(life, _shown_at(listed, runner.workflow_job, report), seen)
        if runner.workflow_job is not None:
            self._started(runner.name, life, runner.workflow_job, report, seen)

    def _running(self, life: _Life, job: HFJob, view: Observation[HFJob], seen: Seen) -> None:
        """Take in that an HF Job runs, or ran."""
        assert job.started_at is not None
        life.running_at = _ours(job.started_at, view)
        if self._once(life, Measure.HF_SCHEDULING, at=life.running_at):
            waited = max(0.0, job.started_at - job.created_at)
            seen.facts.append(Fact(Measure.HF_SCHEDULING, waited, labels=(job.flavor,)))
        self._booted(life, seen)

    def _online(self, life: _Life, at: float, seen: Seen) -> None:
        if life.online_at is None or at < life.online_at:
            life.online_at = at
        self._booted(life, seen)

    def _booted(self, life: _Life, seen: Seen) -> None:
        """Time the boot as soon as both its ends are known; if it began before us, its end may have been told before."""
        if life.running_at is None or life.online_at is None:
            return
        if self._once(life, Measure.RUNNER_BOOT, at=life.running_at):
            took = max(0.0, life.online_at - life.running_at)
            seen.facts.append(Fact(Measure.RUNNER_BOOT, took, labels=(life.flavor,)))

    def _started(self, name: str, life: _Life, job: WorkflowJob, report: PoolReport, seen: Seen) -> None:
        """Time a workflow job's wait, once its runner has it."""
        ahead = report.demand.server_ahead
        if job.started_at is None or ahead is None or Measure.QUEUE_TO_START in life.told:
            return
        started_at = job.started_at - ahead
        self._online(life, started_at, seen)
        if not self._once(life, Measure.QUEUE_TO_START, at=started_at):
            return
        key = report.pool.key
        waited = max(0.0, job.started_at - job.created_at)
        online_at = started_at if life.online_at is None else life.online_at
        seen.facts += [
            Fact(Measure.QUEUE_TO_START, waited, key),
            Fact(Measure.QUEUE_TO_ONLINE, max(0.0, online_at - (job.created_at - ahead)), key),
        ]
        seen.starts.append(
            Start(pool=key, runner=name, hf_job_id=life.hf_job_id, workflow_job=job, waited=waited)
        )

    def _completed(self, job: WorkflowJob, done: Plan, seen: Seen) -> None:
        """Time a job that ended before it was seen to run; its runner may be gone already."""
        name = job.runner_name or ""
        life = self._lives.get(name)
        report = done.reports.get(life.pool_uid) if life else None
        if life is not None and report is not None:
            self._started(name, life, job, report, seen)

    def _once(self, life: _Life, measure: Measure, *, at: float) -> bool:
        """Return whether a fact is to be told, and take it for told from now on."""
        if measure in life.told:
            return False
        life.told.add(measure)
        return at > self._since

    # ---------------------------------------------------------------------------------------------------------------- ends
    def _ended(self, job: HFJob, view: Observation[HFJob], report: PoolReport, seen: Seen) -> None:
        life = self._lives.setdefault(job.labels.get(LABEL_RUNNER) or job.id, _Life())
        life.pool_uid, life.flavor, life.hf_job_id = report.pool.uid, life.flavor or job.flavor, job.id
        if life.running_at is None and job.started_at is not None:
            self._running(life, job, view, seen)
        if not self._once(life, Measure.BILLED, at=_end(job, view)):
            return
        seconds = booked_seconds(job, view)
        if seconds > 0:
            seen.facts.append(Fact(Measure.BILLED, seconds, report.pool.key, (job.flavor,)))
            owed = (report.pool.uid, job.flavor)
            self._unpriced[owed] = self._unpriced.get(owed, 0.0) + seconds

    def _priced(self, given: PlanInput, done: Plan) -> Iterator[Fact]:
        """Tell the cost of what has ended once its price is known, which after a start may come late."""
        usd = prices(given.snapshot.flavors) if self._unpriced else {}
        for (uid, flavor), seconds in list(self._unpriced.items()):
            report = done.reports.get(uid)
            price = usd.get(report.pool.hub.endpoint, {}).get(flavor) if report else None
            if report is None or price is not None:
                del self._unpriced[uid, flavor]
            if report is not None and price is not None:
                yield Fact(Measure.COST, seconds * price, report.pool.key, (flavor,))

    def _results(self, given: PlanInput, done: Plan) -> Iterator[Fact]:
        for result in given.results:
            if result.effect is Effect.RETIRE and result.failure is None and not result.busy:
                yield from _collected(result.retire)
            report = done.reports.get(result.pool_uid)
            failure = result.failure
            if result.effect is not Effect.LAUNCH or failure is None or report is None:
                continue
            if failure.reason is Reason.Pending:
                continue  # nothing was tried: another replica leads
            life = self._lives.setdefault(result.name, _Life(flavor=result.flavor))
            if self._once(life, Measure.LAUNCH_FAILURE, at=given.now):
                labels = (result.flavor, str(failure.reason))
                yield Fact(Measure.LAUNCH_FAILURE, 1.0, report.pool.key, labels)

    def _notice(self, notice: Notice, report: PoolReport, given: PlanInput) -> Iterator[Fact]:
        key, reason = report.pool.key, notice.reason
        yield Fact(Measure.NOTICE, 1.0, key, (str(reason),))
        if reason is Reason.JobsRerun:
            yield Fact(Measure.RETRY, 1.0, key)
        if not notice.runner:
            if reason is Reason.RunnerLost:
                yield Fact(Measure.LOST, 1.0, key, (str(reason),))
            return
        life = self._lives.setdefault(notice.runner, _Life())
        at = _happened(notice, report, given)
        if reason is Reason.RunnerLost and self._once(life, Measure.LOST, at=at):
            why = ended_because(notice.hf_job) if notice.hf_job else reason
            yield Fact(Measure.LOST, 1.0, key, (str(why),))
        if reason in _DEADLINES and self._once(life, Measure.STUCK, at=at):
            yield Fact(Measure.STUCK, 1.0, key, (_DEADLINES[reason],))
        if reason is Reason.RunnerVersionRefused and self._once(life, Measure.VERSION_REFUSED, at=at):
            yield Fact(Measure.VERSION_REFUSED, 1.0, key)
        failed = notice.warning and reason not in _NO_LAUNCH_FAILURE
        if failed and self._once(life, Measure.LAUNCH_FAILURE, at=at):
            flavor = notice.hf_job.flavor if notice.hf_job else life.flavor
            yield Fact(Measure.LAUNCH_FAILURE, 1.0, key, (flavor, str(reason)))

    # -------------------------------------------------------------------------------------------------------------- memory
    def _forget(self, done: Plan, now: float) -> None:
        present = {runner.name for report in done.reports.values() for runner in report.runners}
        for name in self._lives.keys() - present:
            life = self._lives[name]
            if life.gone_at is None:
                life.gone_at = now
            elif now - life.gone_at > KEPT_FOR:
                del self._lives[name]


def _ours(at: float, view: Observation[HFJob]) -> float:
    """Return a time on the Hub's clock as one on ours."""
    return at - (view.server_time - view.asked_at)


def _end(job: HFJob, view: Observation[HFJob]) -> float:
    return math.inf if job.finished_at is None else _ours(job.finished_at, view)


def _shown_at(listed: Observation[Registration], job: WorkflowJob | None, report: PoolReport) -> float:
    """Return when a runner was online at the latest: when it was listed so, or when its job started."""
    ahead = report.demand.server_ahead
    if job is None or job.started_at is None or ahead is None:
        return listed.asked_at
    return min(listed.asked_at, job.started_at - ahead)


def _launched(done: Plan) -> Iterator[Fact]:
    for action in done.actions:
        if isinstance(action, Launch):
            key, flavors = action.pool.key, action.pool.flavors
            yield Fact(Measure.LAUNCH, 1.0, key, (action.flavor,))
            for earlier in flavors[: flavors.index(action.flavor)]:
                yield Fact(Measure.FALLBACK, 1.0, key, (earlier,))


def _collected(retire: Retire | None) -> Iterator[Fact]:
    if retire is None or (retire.pool_uid and retire.reason not in _ORPHANS):
        return
    for kind, half in (("registration", retire.registration_id), ("hf_job", retire.hf_job_id)):
        if half is not None:
            yield Fact(Measure.ORPHAN, labels=(kind,))


def _happened(notice: Notice, report: PoolReport, given: PlanInput) -> float:
    """Return when that happened which a notice tells of, by the Hub where it tells: we may only have come to see it."""
    job, account = notice.hf_job, report.pool.hub
    view = given.snapshot.hf_jobs.get(account)
    if job is None or view is None:
        return given.now
    if job.stage.ended:
        return _end(job, view)
    if notice.reason is Reason.SchedulingDeadline:
        return _ours(job.created_at, view) + report.pool.deadlines.scheduling
    if notice.reason is Reason.RegistrationDeadline and job.started_at is not None:
        return _ours(job.started_at, view) + report.pool.deadlines.registration
    return given.now
