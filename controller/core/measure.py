"""What a pass lets be counted and timed: facts for metrics and for one line in the log,
read from the pass alone.

Nothing is decided by them. Each pool is measured behind its own guard, from what its own
places show: whatever one pool's services answer, no other pool's figures change, and its own
labels stay those that people chose.

Two rules keep the sums right although processes die and nothing of this is stored:

* A runner, single-use as it is, gives each of its facts once.
* What happened before this process began is left to the one before, which may have counted it;
  what neither of them saw is not counted at all. So a sum over processes may lack a little, and
  never counts anything twice.

Times of GitHub and the Hub are brought onto our monotonic clock by the ``Date`` of their answers,
which are whole seconds. What HF Jobs that ended have cost is counted in
:mod:`controller.core.ledger`, and only read here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from controller.core.actions import Launch, Result, Retire
from controller.core.effects import Effect
from controller.core.facts import DEADLINES, OTHER, Fact, Measure, Seen, Start
from controller.core.ledger import CLOCK_ERROR, Bill, ended_at, on_our_clock
from controller.core.model import HFJob, Observation, Pool, Registration, WorkflowJob
from controller.core.naming import LABEL_RUNNER
from controller.core.notices import Notice
from controller.core.outcomes import ended_because
from controller.core.plan import Plan
from controller.core.reasons import Reason
from controller.core.report import PoolReport
from controller.core.runners import Runner
from controller.core.view import PlanInput

KEPT_FOR = 900.0
"""Seconds for which a runner that is gone is remembered: its workflow job may be seen to
have ended only later."""

MOST_REMEMBERED = 1_000
"""Runners that are gone and remembered, of each pool, beside four times its ``maxRunners``: as many as it can
have had in that time. A Hub that shows more ended HF Jobs has made them up; the oldest are forgotten then."""


@dataclass(slots=True)
class _Life:
    """One runner; times are monotonic seconds on our clock.

    Attributes:
        flavor: Hardware, as the Hub says it; empty while unknown.
        hf_job_id: The Hub's id, empty while unknown.
        running_at: When its HF Job began to run.
        online_at: When it was online at the latest.
        told: What it has given already, or never will.
        gone_at: Since when nothing shows it.
    """

    flavor: str = ""
    hf_job_id: str = ""
    running_at: float | None = None
    online_at: float | None = None
    told: set[Measure] = field(default_factory=set)
    gone_at: float | None = None


_NO_LAUNCH_FAILURE = frozenset({Reason.RunnerLost, Reason.LifetimeDeadline, Reason.EndedAfterJob})
_NOT_TRIED = frozenset({Reason.Pending, Reason.StopSwitchOn, Reason.StopSwitchUnread})
"""Another replica leads, or somebody has stopped launches."""
_ORPHANS = frozenset({Reason.OrphanedRegistration, Reason.OrphanedHFJob})


_Lives = dict[str, _Life]
"""Runners of one pool by name."""


class Chronicle:
    """Follows the passes of one process; no I/O and no clock of its own."""

    def __init__(self, *, began: float) -> None:
        """Begin at a moment, in monotonic seconds, before which this process did nothing."""
        self._since = began + CLOCK_ERROR
        self._lives: dict[str, _Lives] = {}

    @property
    def remembered(self) -> int:
        """How many runners are remembered."""
        return sum(map(len, self._lives.values()))

    def follow(self, given: PlanInput, done: Plan) -> Seen:
        """Return what a pass lets be told; to be called once for each pass, in their order.

        Raises nothing for the sake of one pool: see :attr:`Seen.faults`.
        """
        seen = Seen()
        known = _by_pool(given, done)
        for uid, report in done.reports.items():
            try:
                self._pool(report, known[uid], given, seen)
            except Exception as error:  # noqa: BLE001 - told by whoever asked; no pool costs another its figures
                seen.faults[report.pool.key] = error
                seen.facts.append(Fact(Measure.FAULT, 1.0, report.pool.key, ("measure",)))
        for result in given.results:
            if result.effect is Effect.RETIRE and result.failure is None and not result.busy:
                seen.facts += _collected(result.retire)
        self._forget(done, given.now)
        return seen

    def _pool(self, report: PoolReport, known: _Known, given: PlanInput, seen: Seen) -> None:
        """Measure one pool."""
        lives = self._lives.setdefault(report.pool.uid, {})
        for runner in report.runners:
            self._runner(runner, lives, report, given, seen)
        for job, view in report.ended:
            if view is not None:
                self._ended(job, view, lives, report, seen)
        for workflow_job in report.completed.values():
            # One that ended before it was seen to run; its runner may be gone already.
            life = lives.get(workflow_job.runner_name or "")
            if life is not None:
                self._started(workflow_job.runner_name or "", life, workflow_job, report, seen)
        seen.facts += _costs(report.bill, report.pool)
        for action in known.launched:
            seen.facts += _launched(action)
        for result in known.results:
            seen.facts += self._launch_failed(result, lives, report, given)
            seen.facts += self._retired(result, lives, report, given)
        for notice in known.notices:
            seen.facts += self._notice(notice, lives, report, given)

    # ------------------------------------------------------------------------------------------------ runners
    def _runner(
        self, runner: Runner, lives: _Lives, report: PoolReport, given: PlanInput, seen: Seen
    ) -> None:
        life = lives.setdefault(runner.name, _Life())
        life.gone_at = None
        life.flavor = life.flavor or runner.flavor
        if runner.hf_job is not None:
            life.hf_job_id = runner.hf_job.id
            if life.running_at is None and runner.hf_job.started_at is not None:
                view = given.snapshot.hf_jobs.get(runner.footprint.account)
                if view is not None:
                    self._running(life, runner.hf_job, view, report.pool, seen)
        if life.online_at is None and runner.registration is not None:
            listed = given.snapshot.registrations.get(runner.footprint.registrations)
            if listed is not None and (runner.registration.online or runner.registration.busy):
                self._online(life, _shown_at(listed, runner.workflow_job, report), report.pool, seen)
        if runner.workflow_job is not None:
            self._started(runner.name, life, runner.workflow_job, report, seen)

    def _running(self, life: _Life, job: HFJob, view: Observation[HFJob], pool: Pool, seen: Seen) -> None:
        """Take in that an HF Job runs, or ran."""
        assert job.started_at is not None
        life.running_at = on_our_clock(job.started_at, view)
        if self._once(life, Measure.HF_SCHEDULING, at=life.running_at):
            waited = max(0.0, job.started_at - job.created_at)
            seen.facts.append(Fact(Measure.HF_SCHEDULING, waited, pool.key, (_flavor(job.flavor, pool),)))
        self._booted(life, pool, seen)

    def _online(self, life: _Life, at: float, pool: Pool, seen: Seen) -> None:
        if life.online_at is None or at < life.online_at:
            life.online_at = at
        self._booted(life, pool, seen)

    def _booted(self, life: _Life, pool: Pool, seen: Seen) -> None:
        """Time the boot as soon as both its ends are known; if it began before us, its end
        may have been told before.
        """
        if life.running_at is None or life.online_at is None:
            return
        if self._once(life, Measure.RUNNER_BOOT, at=life.running_at):
            took = max(0.0, life.online_at - life.running_at)
            seen.facts.append(Fact(Measure.RUNNER_BOOT, took, pool.key, (_flavor(life.flavor, pool),)))

    def _started(self, name: str, life: _Life, job: WorkflowJob, report: PoolReport, seen: Seen) -> None:
        """Time a workflow job's wait, once its runner has it."""
        ahead = report.demand.server_ahead
        if job.started_at is None or ahead is None or Measure.QUEUE_TO_START in life.told:
            return
        started_at = job.started_at - ahead
        self._online(life, started_at, report.pool, seen)
        if not self._once(life, Measure.QUEUE_TO_START, at=started_at):
            return
        key = report.pool.key
        waited = max(0.0, job.started_at - job.waits_since)
        online_at = started_at if life.online_at is None else life.online_at
        seen.facts += [
            Fact(Measure.QUEUE_TO_START, waited, key),
            Fact(Measure.QUEUE_TO_ONLINE, max(0.0, online_at - (job.waits_since - ahead)), key),
        ]
        seen.starts.append(
            Start(pool=key, runner=name, hf_job_id=life.hf_job_id, workflow_job=job, waited=waited)
        )

    def _once(self, life: _Life, measure: Measure, *, at: float) -> bool:
        """Return whether a fact is to be told, and take it for told from now on."""
        if measure in life.told:
            return False
        life.told.add(measure)
        return at > self._since

    # --------------------------------------------------------------------------------------------------- ends
    def _ended(
        self, job: HFJob, view: Observation[HFJob], lives: _Lives, report: PoolReport, seen: Seen
    ) -> None:
        life = lives.setdefault(job.labels.get(LABEL_RUNNER) or job.id, _Life())
        life.flavor, life.hf_job_id = life.flavor or job.flavor, job.id
        if life.running_at is None and job.started_at is not None:
            self._running(life, job, view, report.pool, seen)

    def _launch_failed(
        self, result: Result, lives: _Lives, report: PoolReport, given: PlanInput
    ) -> Iterator[Fact]:
        failure = result.failure
        if result.effect is not Effect.LAUNCH or failure is None:
            return
        if failure.reason in _NOT_TRIED:
            return
        life = lives.setdefault(result.name, _Life(flavor=result.flavor))
        if self._once(life, Measure.LAUNCH_FAILURE, at=given.now):
            labels = (_flavor(result.flavor, report.pool), str(failure.reason))
            yield Fact(Measure.LAUNCH_FAILURE, 1.0, report.pool.key, labels)

    def _retired(self, result: Result, lives: _Lives, report: PoolReport, given: PlanInput) -> Iterator[Fact]:
        if result.retire is None or result.failure is not None or result.busy:
            return
        if self._once(lives.setdefault(result.name, _Life()), Measure.RETIREMENT, at=given.now):
            yield Fact(Measure.RETIREMENT, 1.0, report.pool.key, (str(result.retire.reason),))

    def _notice(self, notice: Notice, lives: _Lives, report: PoolReport, given: PlanInput) -> Iterator[Fact]:
        key, reason = report.pool.key, notice.reason
        yield Fact(Measure.NOTICE, 1.0, key, (str(reason),))
        if reason is Reason.JobsRerun:
            yield Fact(Measure.RETRY, 1.0, key)
        if not notice.runner:
            if reason is Reason.RunnerLost:
                yield Fact(Measure.LOST, 1.0, key, (str(reason),))
            return
        life = lives.setdefault(notice.runner, _Life())
        at = _happened(notice, report, given)
        if reason is Reason.RunnerLost and self._once(life, Measure.LOST, at=at):
            why = ended_because(notice.hf_job) if notice.hf_job else reason
            yield Fact(Measure.LOST, 1.0, key, (str(why),))
        if reason in DEADLINES and self._once(life, Measure.STUCK, at=at):
            yield Fact(Measure.STUCK, 1.0, key, (DEADLINES[reason],))
        if reason is Reason.RunnerVersionRefused and self._once(life, Measure.VERSION_REFUSED, at=at):
            yield Fact(Measure.VERSION_REFUSED, 1.0, key)
        failed = notice.warning and reason not in _NO_LAUNCH_FAILURE
        if failed and self._once(life, Measure.LAUNCH_FAILURE, at=at):
            flavor = notice.hf_job.flavor if notice.hf_job else life.flavor
            yield Fact(Measure.LAUNCH_FAILURE, 1.0, key, (_flavor(flavor, report.pool), str(reason)))

    # ------------------------------------------------------------------------------------------------- memory
    def _forget(self, done: Plan, now: float) -> None:
        for uid, lives in list(self._lives.items()):
            report = done.reports.get(uid)
            present = {runner.name for runner in report.runners} if report else set()
            for name in lives.keys() - present:
                if lives[name].gone_at is None:
                    lives[name].gone_at = now
            gone = sorted((life.gone_at, name) for name, life in lives.items() if life.gone_at is not None)
            most = MOST_REMEMBERED + (4 * report.pool.max_runners if report else 0)
            for index, (gone_at, name) in enumerate(gone):
                if now - gone_at > KEPT_FOR or index < len(gone) - most:
                    del lives[name]
            if not lives:
                del self._lives[uid]


@dataclass(slots=True)
class _Known:
    """What a pass did and told for one pool."""

    launched: list[Launch] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)


def _by_pool(given: PlanInput, done: Plan) -> Mapping[str, _Known]:
    known: dict[str, _Known] = defaultdict(_Known)
    for action in done.actions:
        if isinstance(action, Launch):
            known[action.pool.uid].launched.append(action)
    for result in given.results:
        known[result.pool_uid].results.append(result)
    for notice in done.notices:
        known[notice.pool_uid].notices.append(notice)
    return known


def _flavor(name: str, pool: Pool) -> str:
    """Return the label of a flavor."""
    return name if name in pool.flavors else OTHER


def _shown_at(listed: Observation[Registration], job: WorkflowJob | None, report: PoolReport) -> float:
    """Return when a runner was online at the latest: when it was listed so, or when its job started."""
    ahead = report.demand.server_ahead
    if job is None or job.started_at is None or ahead is None:
        return listed.asked_at
    return min(listed.asked_at, job.started_at - ahead)


def _costs(bill: Bill, pool: Pool) -> Iterator[Fact]:
    """Return the billed seconds of what was booked now, and the cost of what was priced now."""
    for charge in bill.charges:
        yield Fact(Measure.BILLED, charge.seconds, pool.key, (_flavor(charge.job.flavor, pool),))
    for flavor, usd in bill.usd.items():
        yield Fact(Measure.COST, usd, pool.key, (_flavor(flavor, pool),))


def _launched(action: Launch) -> Iterator[Fact]:
    pool = action.pool
    yield Fact(Measure.LAUNCH, 1.0, pool.key, (_flavor(action.flavor, pool),))
    if action.flavor in pool.flavors:
        for earlier in pool.flavors[: pool.flavors.index(action.flavor)]:
            yield Fact(Measure.FALLBACK, 1.0, pool.key, (earlier,))


def _collected(retire: Retire | None) -> Iterator[Fact]:
    if retire is None or (retire.pool_uid and retire.reason not in _ORPHANS):
        return
    for kind, half in (("registration", retire.registration_id), ("hf_job", retire.hf_job_id)):
        if half is not None:
            yield Fact(Measure.ORPHAN, labels=(kind,))


def _happened(notice: Notice, report: PoolReport, given: PlanInput) -> float:
    """Return when that happened which a notice tells of, by the Hub where it tells: we may
    only have come to see it.
    """
    job, account = notice.hf_job, report.pool.hub
    view = given.snapshot.hf_jobs.get(account)
    if job is None or view is None:
        return given.now
    if job.ended:
        return ended_at(job, view)
    if notice.reason is Reason.SchedulingDeadline:
        return on_our_clock(job.created_at, view) + report.pool.deadlines.scheduling
    if notice.reason is Reason.RegistrationDeadline and job.started_at is not None:
        return on_our_clock(job.started_at, view) + report.pool.deadlines.registration
    return given.now
