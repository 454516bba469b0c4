"""Reads from both services' own records what a simulation came to."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from controller.core.model import Pool
from controller.core.naming import LABEL_POOL_UID, LABEL_RUNNER
from controller.simulate.check import Judge
from controller.simulate.engine import Simulation
from controller.simulate.machine import Shift
from controller.simulate.report import (
    Bill,
    Jobs,
    Left,
    OutageOutcome,
    PoolOutcome,
    Report,
    Requests,
    Unserved,
    Waits,
    Waste,
)
from controller.simulate.scenario_file import Scenario
from hf_runner_simulators.clock import EPOCH
from hf_runner_simulators.exchange import Exchange
from hf_runner_simulators.github.model import WorkflowJob
from hf_runner_simulators.hub.job import Job, Phase, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Something that lasted; seconds from the start. ``end`` is the simulation's end where it lasts still."""

    start: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """Every job's times, for a plot.

    Attributes:
        until: The end.
        queued: Workflow jobs while they waited.
        ran: Workflow jobs while they ran.
        live: HF Jobs while they existed, by pool.
        bills: When each billed time began and ended, and its dollars, by pool.
    """

    until: float
    queued: Sequence[Span]
    ran: Sequence[Span]
    live: Mapping[str, Sequence[Span]]
    bills: Mapping[str, Sequence[tuple[Span, float]]]


@dataclass(slots=True)
class _Sum:
    """A bill that is being added up."""

    launches: int = 0
    billed: float = 0.0
    usd: float = 0.0
    worked: float = 0.0
    boot: float = 0.0
    idle: float = 0.0
    failed: float = 0.0
    wasted_usd: float = 0.0

    def add(self, other: _Sum) -> None:
        for name in self.__dataclass_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def bill(self) -> Bill:
        return Bill(
            launches=self.launches,
            billed_seconds=round(self.billed, 3),
            usd=round(self.usd, 6),
            worked_seconds=round(self.worked, 3),
            waste=Waste(boot=round(self.boot, 3), idle=round(self.idle, 3), failed=round(self.failed, 3)),
            wasted_usd=round(self.wasted_usd, 6),
        )


@dataclass(slots=True)
class _PoolSum:
    total: _Sum = field(default_factory=_Sum)
    flavors: defaultdict[str, _Sum] = field(default_factory=lambda: defaultdict(_Sum))
    waits: list[float] = field(default_factory=list)
    live: list[Span] = field(default_factory=list)
    bills: list[tuple[Span, float]] = field(default_factory=list)


class Tally:
    """The truth about one simulation, taken when it is made."""

    def __init__(
        self,
        *,
        scenario: Scenario,
        seed: int,
        sim: Simulation,
        cancelled: Iterable[int],
        outages: Sequence[OutageOutcome],
        judge: Judge,
    ) -> None:
        self._scenario = scenario
        self._seed = seed
        self._sim = sim
        self._cancelled = frozenset(cancelled)
        self._outages = list(outages)
        self._judge = judge
        sim.hub.advance()
        sim.github.time.advance()
        self._end = sim.clock.wall()
        self._executions = sim.github.store.jobs.rows()
        self._hf_jobs = list(sim.hub.platform.jobs.values())
        plain = len({pool.key.namespace for pool in scenario.pools}) == 1
        self._pools: dict[str, Pool] = {
            pool.key.name if plain else str(pool.key): pool for pool in scenario.pools
        }
        uids = {key: body["metadata"]["uid"] for key, body in sim.cluster.pools.items()}
        self._name_of = {uids[pool.key]: name for name, pool in self._pools.items() if pool.key in uids}
        self._sums: dict[str, _PoolSum] = {name: _PoolSum() for name in self._pools}
        self._add_up()

    # ---------------------------------------------------------------------------------------------- adding up
    def _add_up(self) -> None:
        pool_of_runner: dict[str, str] = {}
        jobs = {job.id: job for job in self._executions}
        for hf_job in self._hf_jobs:
            name = self._name_of.get((hf_job.labels or {}).get(LABEL_POOL_UID, ""))
            if name is None:
                continue
            pool_of_runner[(hf_job.labels or {}).get(LABEL_RUNNER, "")] = name
            one, usd = self._of(hf_job, self._pools[name], jobs)
            mine = self._sums[name]
            mine.total.add(one)
            mine.flavors[hf_job.spec.flavor].add(one)
            end = self._end if hf_job.ended_at is None else hf_job.ended_at
            mine.live.append(self._span(hf_job.created_at, end))
            mine.bills.append((self._span(end - one.billed, end), usd))
        for job in self._executions:
            if job.runner_name in pool_of_runner and job.started_at is not None:
                self._sums[pool_of_runner[job.runner_name]].waits.append(job.started_at - job.queued_at)

    def _span(self, start: float, end: float) -> Span:
        return Span(start=start - EPOCH, end=end - EPOCH)

    def _of(self, hf_job: Job, pool: Pool, jobs: Mapping[int, WorkflowJob]) -> tuple[_Sum, float]:
        """Split what one HF Job cost."""
        billed, micro_usd = hf_job.meter.read(self._end)
        usd = micro_usd / 1_000_000
        shift = self._sim.machine.shifts.get(hf_job.id, Shift())
        end = self._end if hf_job.ended_at is None else hf_job.ended_at
        one = _Sum(launches=1, billed=billed, usd=usd)
        if shift.online_at is None:
            one.failed, one.boot = (billed, 0.0) if _failed(hf_job, pool, end) else (0.0, billed)
        else:
            job = jobs[shift.workflow_job] if shift.workflow_job is not None else None
            if job is not None and job.started_at is not None:
                done = end if shift.done_at is None else shift.done_at
                one.worked = max(0.0, min(done, end) - job.started_at)
            one.boot = max(0.0, shift.online_at - (end - billed))
            one.idle = max(0.0, billed - one.boot - one.worked)
        if billed:
            one.wasted_usd = usd * (billed - one.worked) / billed
        return one, usd

    # --------------------------------------------------------------------------------------------- the report
    def report(self, *, interrupted: bool) -> Report:
        """Sum everything up."""
        total = _Sum()
        for mine in self._sums.values():
            total.add(mine.total)
        seconds = self._end - EPOCH
        report = Report(
            scenario=self._scenario.name,
            seed=self._seed,
            seconds=round(seconds, 3),
            interrupted=interrupted,
            jobs=self._jobs(),
            waits=_waits([wait for mine in self._sums.values() for wait in mine.waits]),
            total=total.bill(),
            pools={name: self._outcome(name) for name in self._pools},
            unserved=self._unserved(),
            requests={
                "github": _requests(self._sim.github_exchange, seconds),
                "hub": _requests(self._sim.hub_exchange, seconds),
            },
            outages=self._outages,
            left=Left(
                hf_jobs=sum(1 for job in self._hf_jobs if job.phase is not Phase.ENDED),
                registrations=len(self._sim.github.store.runners.rows()),
            ),
            violations=self._violations(),
        )
        checked = [expectation.check(report) for expectation in self._scenario.expectations]
        return report.model_copy(update={"expectations": checked})

    def _outcome(self, name: str) -> PoolOutcome:
        mine, pool = self._sums[name], self._pools[name]
        status = self._sim.cluster.pools.get(pool.key, {}).get("status", {})
        events = Counter(event.reason for event in self._sim.cluster.events if event.pool == str(pool.key))
        return PoolOutcome(
            **mine.total.bill().model_dump(),
            max_runners=pool.max_runners,
            most_live=_most_at_once(mine.live),
            waits=_waits(mine.waits),
            flavors={flavor: mine.flavors[flavor].bill() for flavor in sorted(mine.flavors)},
            conditions={c["type"]: c["reason"] for c in status.get("conditions", ())},
            events=dict(sorted(events.items())),
        )

    def _jobs(self) -> Jobs:
        latest: dict[tuple[int, str], WorkflowJob] = {}
        for job in self._executions:
            latest[job.run_id, job.spec.name] = job
        fates = Counter(self._fate(job) for job in latest.values())
        waiting = [self._end - job.queued_at for job in latest.values() if job.status == "queued"]
        return Jobs(
            total=len(latest),
            interrupted=sum(1 for job in self._executions if self._fate(job) == "lost"),
            longest_queued=round(max(waiting, default=0.0), 3),
            **fates,
        )

    def _fate(self, job: WorkflowJob) -> str:
        if job.status != "completed":
            return "running" if job.status == "in_progress" else "queued"
        if job.id in self._cancelled:
            return "cancelled"
        if job.runner_name is None:
            return "expired"
        if not job.reported:
            return "lost"
        return {"success": "succeeded", "failure": "failed"}.get(str(job.conclusion), "cancelled")

    def _unserved(self) -> list[Unserved]:
        found: list[Unserved] = []
        for name, pool in self._pools.items():
            status = self._sim.cluster.pools.get(pool.key, {}).get("status", {})
            found += [
                Unserved(pool=name, reason=one["reason"], count=one["count"], message=one["message"])
                for one in status.get("queue", ())
            ]
        return found

    def _violations(self) -> list[str]:
        """Return what must never be: what the judge saw, simulators that broke, and
        promises about money not kept.
        """
        found = [f"simulator: {bug.strip().splitlines()[-1]}" for bug in self._sim.bugs]
        found += [f"{one.invariant} at {one.at:.1f} s: {one.message}" for one in self._judge.violations]
        found += [
            f"${one.spent_usd:.4f} were spent without a controller from {one.at:.0f} s on, "
            f"${one.worst_case_usd:.4f} at most were told"
            for one in self._outages
            if one.spent_usd > one.worst_case_usd + 1e-6
        ]
        return found

    def happened(self) -> Happened:
        """Return every job's times."""
        end = self._end
        return Happened(
            until=end - EPOCH,
            queued=[
                self._span(job.queued_at, _first(job.started_at, job.completed_at, end))
                for job in self._executions
                if not job.hosted
            ],
            ran=[
                self._span(job.started_at, _first(job.completed_at, None, end))
                for job in self._executions
                if job.started_at is not None and job.runner_name is not None
            ],
            live={name: mine.live for name, mine in self._sums.items()},
            bills={name: mine.bills for name, mine in self._sums.items()},
        )


def _first(time: float | None, otherwise: float | None, end: float) -> float:
    if time is not None:
        return time
    return end if otherwise is None else otherwise


def _failed(hf_job: Job, pool: Pool, end: float) -> bool:
    """Tell whether an HF Job that never became a runner failed, rather than being given back on its way."""
    last = hf_job.outcome
    if last is None:
        return False
    if last.stage is Stage.ERROR or last.cancel_reason is not None:
        return True
    started = hf_job.started_at
    return started is not None and end - started >= pool.deadlines.registration


def _waits(waits: Sequence[float]) -> Waits:
    """Return nearest-rank percentiles."""
    if not waits:
        return Waits()
    ordered = sorted(waits)

    def rank(share: float) -> float:
        return round(ordered[max(0, -(-int(share * 100) * len(ordered) // 100) - 1)], 3)

    return Waits(count=len(ordered), p50=rank(0.5), p95=rank(0.95), max=round(ordered[-1], 3))


def _most_at_once(spans: Sequence[Span]) -> int:
    most = 0
    ends: list[float] = []
    for span in sorted(spans, key=lambda one: one.start):
        while ends and ends[0] <= span.start:
            heapq.heappop(ends)
        heapq.heappush(ends, span.end)
        most = max(most, len(ends))
    return most


def _requests(exchange: Exchange, seconds: float) -> Requests:
    counted = exchange.requests()
    return Requests(
        total=counted["total"],
        per_hour=round(counted["total"] * 3600 / seconds, 1) if seconds else 0.0,
        routes=counted["routes"],
    )
