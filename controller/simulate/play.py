"""Plays a scenario: the whole controller against both simulated services in virtual time, with
everything that befalls them.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

from controller.core.hosts import Hosts, host_of
from controller.core.labels import is_glob
from controller.core.model import PoolKey, ScopeKind, SecretRef
from controller.core.naming import LABEL_POOL, label_value
from controller.core.variables import LABEL, VALUE
from controller.simulate.check import Judge
from controller.simulate.engine import Simulation
from controller.simulate.keyed import uniform
from controller.simulate.loop import run_virtual
from controller.simulate.machine import Boot
from controller.simulate.report import OutageOutcome, Report
from controller.simulate.scenario import Capacity
from controller.simulate.scenario_faults import ScenarioFaults, ScenarioLatencies
from controller.simulate.scenario_file import Scenario
from controller.simulate.tally import Happened, Tally
from controller.simulate.workload import Arrival, arrivals
from hf_runner_simulators.github.accounts import APP_PERMISSIONS
from hf_runner_simulators.github.keys import private_key, public_key_of
from hf_runner_simulators.github.model import JobSpec, Scope, WorkflowJob
from hf_runner_simulators.hub.job import Phase, Stage
from hf_runner_simulators.hub.running import Run

HUB_TOKEN = "hf_simulated"  # noqa: S105 - of a simulated service

PROGRESS = 300.0
"""Virtual seconds between two words about progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A scenario after it was played: the report, and every job's times for a plot."""

    report: Report
    happened: Happened


def play(
    scenario: Scenario,
    *,
    seed: int | None = None,
    until: float | None = None,
    progress: Callable[[float, float], None] | None = None,
) -> Played:
    """Play a scenario to its end, or until the user interrupts it; the report is then of
    what happened so far.

    Args:
        scenario: What to play.
        seed: Instead of the scenario's own.
        until: Seconds, instead of the scenario's own.
        progress: Told now and then how many seconds of how many have passed.

    Raises:
        TooManyJobs: The workload is too large.
    """
    seed = scenario.file.seed if seed is None else seed
    until = scenario.file.until if until is None else until
    coming = arrivals(scenario, seed=seed, until=until)
    return run_virtual(_play(scenario, coming, seed, until, progress))


async def _play(
    scenario: Scenario,
    coming: Sequence[Arrival],
    seed: int,
    until: float,
    progress: Callable[[float, float], None] | None,
) -> Played:
    stage = _Run(scenario, seed)
    interrupted = False
    try:
        await stage.perform(coming, until, progress)
    except asyncio.CancelledError:  # Ctrl-C: what happened so far is worth a report
        interrupted = True
    stage.note_outage()
    stage.judge.check_spending()
    tally = Tally(
        scenario=scenario,
        seed=seed,
        sim=stage.sim,
        cancelled=stage.cancelled,
        outages=stage.outages,
        judge=stage.judge,
    )
    played = Played(report=tally.report(interrupted=interrupted), happened=tally.happened())
    await stage.sim.close()
    return played


class _TimeIsUpError(Exception):
    """The scenario's time is over."""


class _Run:
    """A simulation, and what the scenario does to it.

    17 methods: one per kind of change that a scenario makes.
    """

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.cancelled: set[int] = set()
        self.outages: list[OutageOutcome] = []
        self.judge = Judge()
        self._scenario = scenario
        self._file = scenario.file
        self._world = world = scenario.file.world
        self._seed = seed
        self._group: asyncio.TaskGroup | None = None
        self._killed: Counter[int] = Counter()
        self._down: tuple[float, float, float] | None = None
        time = asyncio.get_running_loop().time
        self.sim = Simulation(
            seed=seed,
            boot=self._boot,
            hub_knobs={
                **world.hub,
                "scheduling_seconds": world.scheduling,
                "scheduling_seconds_by_flavor": world.scheduling_by_flavor,
                "boot_seconds": world.image,
                "boot_seconds_by_flavor": world.image_by_flavor,
                "jitter": world.jitter,
            },
            github_interval=self._file.controller.github_interval,
            hub_interval=self._file.controller.hub_interval,
            github_nemeses=[ScenarioFaults(world.faults, "github", seed, time, self.judge)],
            hub_nemeses=[ScenarioFaults(world.faults, "hub", seed, time, self.judge)],
            github_knobs=world.github,
            latency=ScenarioLatencies(world.latency, seed),
            wrap=self.judge.watch,
            hosts=Hosts.listed(
                github=[str(host_of(pool.source.api_url)) for pool in scenario.pools],
                hub=[str(host_of(pool.hub.endpoint)) for pool in scenario.pools],
                allow_http=True,
            ),
        )
        self.judge.sim = self.sim
        self.judge.secrets |= {HUB_TOKEN, "PRIVATE KEY"}
        self.sim.cluster.written = lambda text: self.judge.look_for_secrets("a status or an Event", [text])
        self.sim.machine.on_job = self._job_started

    async def perform(
        self,
        coming: Sequence[Arrival],
        until: float,
        progress: Callable[[float, float], None] | None = None,
    ) -> None:
        """Let everything happen that the scenario says, until its time is over."""
        self._set_up(coming)
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(self._queue(coming), name="workload")
                group.create_task(self._run_controller(), name="outages")
                for at, change in self._changes():
                    group.create_task(_later(at, change), name=f"world-{at:.0f}")
                if progress is not None:
                    group.create_task(_report_progress(progress, until))
                group.create_task(_end_after(until))
        except* _TimeIsUpError:
            self._group = None

    def _spawn(self, seconds: float, act: Callable[[], object]) -> None:
        if self._group is not None:
            self._group.create_task(_later(seconds, act))

    # --------------------------------------------------------------------------------------- before it starts
    def _set_up(self, coming: Sequence[Arrival]) -> None:
        """Make what the pools and the workload name: accounts, repositories, groups,
        credentials and credit.
        """
        sim, pools = self.sim, self._scenario.pools
        accounts = sim.github.accounts
        for owner in sorted({pool.scope.owner for pool in pools}):
            accounts.add_organization(owner)
        for repository in sorted(self._repositories(coming)):
            accounts.add_repository(repository)
        reruns = any(pool.retry_interrupted for pool in pools)
        app = accounts.add_app(
            public_key=public_key_of(private_key()),
            permissions={**APP_PERMISSIONS, "actions": "write" if reruns else "read"},
        )
        for login in sorted(sim.github.store.owners):
            accounts.install(app.id, login)
        groups = {(pool.scope.owner, pool.runner_group) for pool in pools if pool.runner_group}
        for owner, name in sorted((owner, name) for owner, name in groups if name and name != "Default"):
            accounts.add_group(Scope("org", owner), name)
        namespaces = sorted({pool.hub.namespace for pool in pools})
        sim.hub.setup(
            {
                "tokens": {
                    HUB_TOKEN: {
                        "user": "robot",
                        "namespaces": dict.fromkeys(namespaces, "write"),
                        "plan": "team",
                    }
                },
                "namespaces": {
                    name: {"type": "org", "credits": self._world.credit_usd} for name in namespaces
                },
            }
        )
        secrets: defaultdict[SecretRef, dict[str, str]] = defaultdict(dict)
        for pool in pools:
            secrets[pool.source.secret] |= {"appId": str(app.id), "privateKey": private_key()}
            secrets[pool.hub.secret] |= {"token": HUB_TOKEN}
            for variable in pool.template.secret_env:
                secrets[variable.secret].setdefault(variable.key, "simulated")
        for_runners = {variable.secret for pool in pools for variable in pool.template.secret_env}
        for ref, data in secrets.items():
            labels = {LABEL: VALUE} if ref in for_runners else {}
            sim.cluster.set_secret(ref.namespace, ref.name, data, labels)
        for manifest in self._scenario.manifests:
            sim.cluster.apply(manifest)
        self.judge.pools_changed()

    def _repositories(self, coming: Sequence[Arrival]) -> set[str]:
        """Return the repositories that must exist; names differ from one another in more than case."""
        found = {repository.lower() for repository in self._world.repositories}
        found |= {arrival.repository.lower() for arrival in coming}
        for pool in self._scenario.pools:
            if pool.scope.kind is ScopeKind.REPOSITORY:
                found.add(f"{pool.scope.owner}/{pool.scope.repository}")
            found |= {name for name in pool.include if not is_glob(name)}
        return found

    # ------------------------------------------------------------------------------------------- the workload
    async def _queue(self, coming: Sequence[Arrival]) -> None:
        for arrival in coming:
            await _until(arrival.at)
            work = arrival.work
            many = len(arrival.jobs) > 1
            specs = [
                JobSpec(
                    name=f"{work.name} ({number})" if many else work.name,
                    labels=arrival.labels,
                    group=work.group,
                    seconds=job.seconds,
                    result=job.result,
                    timeout=work.timeout,
                )
                for number, job in enumerate(arrival.jobs)
            ]
            run = self.sim.github.workflows.queue_run(arrival.repository, specs, workflow=work.name)
            ids = self.sim.github.store.jobs_of[run.id]
            for job_id, job in zip(ids, arrival.jobs, strict=True):
                if job.cancel_after is not None:
                    self._spawn(job.cancel_after, _bound(self._cancel, job_id))

    def _cancel(self, job_id: int) -> None:
        if self.sim.github.workflows.job(job_id).status != "completed":
            self.cancelled.add(job_id)
            self.sim.github.workflows.cancel_job(job_id)

    # ---------------------------------------------------------------------------------------------- the world
    def _changes(self) -> Iterator[tuple[float, Callable[[], object]]]:
        """Yield what changes at a certain time."""
        sim, world = self.sim, self._world
        for moment in sorted({t for c in world.capacity for t in (c.start, c.end) if t is not None}):
            yield moment, _bound(self._set_capacity, moment)
        for balance in world.balances:
            balances = {pool.hub.namespace: {"credits": balance.usd} for pool in self._scenario.pools}
            yield balance.at, _bound(sim.hub.setup, {"namespaces": balances})
        if world.deprecated is not None:
            refused = (sim.github.store.runner_version,)
            yield world.deprecated.start, lambda: sim.github.turn(deprecated_versions=refused)
            if world.deprecated.end is not None:
                yield world.deprecated.end, lambda: sim.github.turn(deprecated_versions=())

    def _set_capacity(self, at: float) -> None:
        now: list[Capacity] = [one for one in self._world.capacity if one.covers(at)]
        always = self._world.hub.get("capacity")
        known = always if isinstance(always, dict) else {}
        self.sim.hub.turn({"capacity": {**known, **{one.flavor: one.machines for one in now}}})

    def _boot(self, run: Run) -> Boot:
        at = asyncio.get_running_loop().time()
        seconds = self._world.registration.draw(self._seed, "registration", run.job_id)
        for index, bad in enumerate(self._world.bad_images):
            struck = uniform(self._seed, "bad image", index, run.job_id) < bad.share
            if bad.covers(at) and self._is_of(run, bad.pool) and struck:
                return Boot(seconds=seconds, exit_code=bad.exit_code)
        return Boot(seconds=seconds)

    def _is_of(self, run: Run, name: str | None) -> bool:
        if name is None:
            return True
        keys: list[PoolKey] = [
            pool.key for pool in self._scenario.pools if name in (str(pool.key), pool.key.name)
        ]
        return run.labels.get(LABEL_POOL) in [label_value(f"{key.namespace}_{key.name}") for key in keys]

    def _job_started(self, run: Run, job: WorkflowJob) -> None:
        """Decide whether the HF Job dies under its workflow job."""
        at = asyncio.get_running_loop().time()
        for index, kill in enumerate(self._world.kills):
            used_up = kill.times is not None and self._killed[index] >= kill.times
            struck = uniform(self._seed, "kill", index, job.id) < kill.share
            if used_up or not struck or not kill.covers(at) or not self._is_of(run, kill.pool):
                continue
            self._killed[index] += 1
            after = kill.after.draw(self._seed, "kill after", index, job.id)
            stage = Stage.CANCELED if kill.cancel_reason else Stage.ERROR
            message = None if kill.cancel_reason else kill.message
            self._spawn(after, _bound(self._kill, run.job_id, stage, message, kill.cancel_reason))
            return

    def _kill(self, job_id: str, stage: Stage, message: str | None, cancel_reason: str | None) -> None:
        self.sim.hub.advance()
        if self.sim.hub.platform.jobs[job_id].phase is not Phase.ENDED:
            self.sim.hub.end(job_id, stage=stage, message=message, cancel_reason=cancel_reason)

    # ----------------------------------------------------------------------------------------- the controller
    async def _run_controller(self) -> None:
        self.sim.start()
        for outage in self._file.controller.outages:
            await _until(outage.at)
            self._down = (self.sim.clock.mono(), self._worst_case(), self._spent())
            await self.sim.crash()
            if outage.down is None:
                return
            await _until(outage.at + outage.down)
            self.note_outage()
            self.sim.start()

    def note_outage(self) -> None:
        """Write down what the time without a controller cost, if there is one."""
        if self._down is None:
            return
        at, worst, spent = self._down
        self._down = None
        self.outages.append(
            OutageOutcome(
                at=round(at, 3),
                seconds=round(self.sim.clock.mono() - at, 3),
                worst_case_usd=round(worst, 6),
                spent_usd=round(self._spent() - spent, 6),
            )
        )

    def _worst_case(self) -> float:
        """Return the sum of what the pools' statuses say: ``status.cost.worstCaseUsd``, before rounding."""
        process = self.sim.process
        plan = process.controller.reconciler.last_plan if process else None
        return sum(report.worst_case_usd for report in plan.reports.values()) if plan else 0.0

    def _spent(self) -> float:
        return float(self.sim.hub.report()["totals"]["costUSD"])


async def _report_progress(progress: Callable[[float, float], None], until: float) -> None:
    while True:
        await asyncio.sleep(PROGRESS)
        progress(asyncio.get_running_loop().time(), until)


async def _end_after(seconds: float) -> NoReturn:
    await asyncio.sleep(seconds)
    raise _TimeIsUpError


async def _until(at: float) -> None:
    await asyncio.sleep(max(0.0, at - asyncio.get_running_loop().time()))


async def _later(seconds: float, act: Callable[[], object]) -> None:
    await asyncio.sleep(seconds)
    act()


def _bound(act: Callable[..., object], *arguments: object) -> Callable[[], object]:
    return lambda: act(*arguments)
