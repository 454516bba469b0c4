"""The end of a run: a quiet period that lasts as long as something still moves, and what must be so after it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from controller.api.duration import seconds as duration_seconds
from controller.core.model import PoolKey
from controller.simulate.invariants import LEFTOVERS, ONCE, QUIET, SERVED
from controller.simulate.serving import HOSTILE_ORIGINS, serves
from tests.seeds.plan import JobPlan, PoolPlan
from tests.seeds.worlds import WORLDS

if TYPE_CHECKING:
    from tests.seeds.stage import Stage

PATIENCE = 3_000.0
"""Seconds without any progress after which a run has failed: the longest back-off (600), a lost job's lease, the longest
deadline and the longest job, one after the other, with room. Not a length of the quiet period: progress begins it anew."""

WATCH_MARGIN = 120.0
"""Seconds beyond ``deadlines.idle`` after which a container ends a runner that got no job (docs/bootstrap.md)."""

ENOUGH_QUOTA = 1_000
"""Requests an hour with which no seed has to wait for the next one."""

SETTLED = 180.0
"""Seconds after which statuses show that everything has ended, whichever second it ended in."""

SLOW_LOOK = 720.0
"""Seconds within which what is known of every repository is new again: one that answered 404 is looked at every ten minutes."""

SILENCE, WINDOWS = 120.0, 5
"""Seconds of the steady state in which nothing may be written, and how many such windows there are for silence to come."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Judges how a run ends."""

    stage: Stage

    async def judge(self) -> None:
        """Wait until nothing moves any more, and judge what has become of everything."""
        if not await self._until(self._all_over):
            self._name_what_hangs()
        if self.stage.judge.violations:
            return
        warm = any(pool.spec.get("minIdle") for pool in self.stage.plan.pools)
        if self._specs_by_namespace() and not warm and self._listens():
            await self._judge_silence()
        await self._until(lambda: self._said() == self._lonely(), patience=SLOW_LOOK)
        self._judge_reasons()
        self._judge_launches()
        self.stage.judge.check_books()
        if self.stage.plan.world in WORLDS and WORLDS[self.stage.plan.world].compared:
            await asyncio.sleep(SETTLED)
        self.stage.keep_what_was_told()
        if self.stage.judge.violations:
            return
        for key in sorted(self.stage.sim.cluster.pools):
            self.stage.sim.delete(key)
        self.stage.judge.pools_changed()
        if not await self._gone():
            pools = [f"pool {key}" for key in self._kept()]
            self.stage.judge.fail(
                LEFTOVERS, "after the last pool was deleted: " + "; ".join(self.stage.judge.left() + pools)
            )
        self.stage.judge.check_spending()

    async def _gone(self) -> bool:
        """Wait until pools and all that was theirs are gone.

        HF Jobs without a registration may have a workflow job, so that the controller must leave them to their container: for as
        long as docs/sizing.md says, and that is not long but for warm pools, whose runners may idle for their whole lifetime.
        """

        def over() -> bool:
            return not self._kept() and not self.stage.judge.left()

        if await self._until(over):
            return True
        if not all(left.startswith("HF Job") for left in self.stage.judge.left()):
            return False
        return await self._until(over, patience=max(map(_longest_watch, self.stage.plan.pools), default=0.0))

    def _kept(self) -> list[PoolKey]:
        """Return the pools that are still there, less those whose own services never say that nothing is left."""
        pools = self.stage.sim.cluster.pools.items()
        return sorted(
            key for key, body in pools if not body["spec"]["github"]["url"].startswith(HOSTILE_ORIGINS)
        )

    async def _until(self, met: Callable[[], bool], *, patience: float = PATIENCE) -> bool:
        """Let time pass until something is so, or nothing has moved for so long, or an invariant broke."""
        seen, since = self._progress(), self.stage.sim.clock.mono()
        while not met():
            if self.stage.judge.violations:
                return True
            await asyncio.sleep(1.0)
            now = self._progress()
            if now != seen or self.stage.reviews:
                seen, since = now, self.stage.sim.clock.mono()
            elif self.stage.sim.clock.mono() - since > patience + self._quota():
                return False
        return True

    def _quota(self) -> float:
        """Return how much longer nothing may move because GitHub's hourly quota is used up: two whole hours where it is small."""
        scarce = self.stage.plan.github.get("core_limit", ENOUGH_QUOTA) < ENOUGH_QUOTA
        return 7_200.0 if scarce else 0.0

    def _progress(self) -> object:
        jobs = [(job.id, job.status) for job in self.stage.sim.github.store.jobs.rows()]
        return self.stage.pending, jobs, sorted(self.stage.sim.cluster.pools)

    def _all_over(self) -> bool:
        """Everything that was to happen has happened, every job that can be served is over, and nothing of ours is left."""
        if self.stage.pending or self.stage.sim.clock.mono() < self.stage.plan.calm_at:
            return False
        if self._unserved() or self._awaited():
            return False
        return any(pool.spec.get("minIdle") for pool in self.stage.plan.pools) or not self.stage.judge.left()

    def _unserved(self) -> list[int]:
        """Return the jobs, those of runs that were run again among them, that some pool serves and that are not over."""
        return [
            row.id
            for row in self.stage.sim.github.store.jobs.rows()
            if row.status in ("queued", "in_progress") and self._servable(self.stage.jobs[row.run_id])
        ]

    def _awaited(self) -> list[int]:
        """Return interrupted runs that must be run again: where nothing else goes wrong, it may not be forgotten."""
        if self.stage.plan.rates or self.stage.plan.profile == "calm":
            return []
        store, most = self.stage.sim.github.store, self.stage.plan.pools[0].spec.get("retry", {})
        lost = [job for job in store.jobs.rows() if self.stage.judge.interrupted(job)]
        return [
            job.run_id
            for job in lost
            if store.runs[job.run_id].attempt == job.attempt <= most.get("interrupted", 0)
        ]

    def _servable(self, job: JobPlan) -> bool:
        return any(
            serves(spec, job.repository, job.labels)
            for specs in self._specs_by_namespace().values()
            for spec in specs
        )

    def _specs_by_namespace(self) -> Mapping[str, list[Mapping[str, Any]]]:
        """Return the specs of the pools that are not being deleted; what a pool with services of its own is shown, nobody knows."""
        found: dict[str, list[Mapping[str, Any]]] = {}
        for key, body in self.stage.sim.cluster.pools.items():
            strange = body["spec"]["github"]["url"].startswith(HOSTILE_ORIGINS)
            if not strange and "deletionTimestamp" not in body["metadata"]:
                found.setdefault(key.namespace, []).append(body["spec"])
        return found

    def _name_what_hangs(self) -> None:
        store = self.stage.sim.github.store
        for job_id in self._unserved():
            self.stage.judge.fail(SERVED, f"job {job_id} is {store.jobs[job_id].status} for good")
        for run_id in self._awaited():
            self.stage.judge.fail(SERVED, f"run {run_id} was interrupted, and is not run again")
        if not self.stage.judge.violations:
            self.stage.judge.fail(
                LEFTOVERS, "; ".join(self.stage.judge.left()) or f"{self.stage.pending} happenings hang"
            )

    def _listens(self) -> bool:
        """Silence takes long to listen to, and hardly depends on what came before: one seed in four does it."""
        return self.stage.plan.profile == "calm" or self.stage.plan.u("listens") < 0.25

    async def _judge_silence(self) -> None:
        """Listen until nobody writes any more; late news, such as the end of a slow retry, are no noise."""
        changed: Mapping[str, int] = {}
        for _ in range(WINDOWS):
            before = self._changes()
            await asyncio.sleep(SILENCE)
            changed = self._changes() - before
            if not changed:
                return
        self.stage.judge.fail(QUIET, f"{dict(changed)} in {SILENCE:g} s with nothing to do, again and again")

    def _changes(self) -> Counter[str]:
        """Return how often each thing was written so far."""
        logs = (self.stage.sim.github_exchange.log, self.stage.sim.hub_exchange.log)
        routes = (entry.route for log in logs for entry in log)
        asked = Counter(r for r in routes if not r.startswith("GET ") and "access_tokens" not in r)
        return asked + Counter({"status or Event": self.stage.writes})

    def _judge_reasons(self) -> None:
        store = self.stage.sim.github.store
        for row in store.jobs.rows():
            job = self.stage.jobs[row.run_id]
            if row.status != "completed" or row.run_id in self.stage.cancelled:
                continue
            killed = any(
                j.id in self.stage.judge.killed
                for j in self.stage.sim.hub.platform.jobs.values()
                if (j.labels or {}).get("runner") == row.runner_name
            )
            if row.conclusion != job.result and not killed:
                self.stage.judge.fail(
                    SERVED, f"job {row.id} ended as {row.conclusion}, where {job.result} was due"
                )
        if not self.stage.judge.violations and self._said() != self._lonely():
            message = (
                f"{dict(self._lonely())} jobs that no pool serves, and statuses name {dict(self._said())}"
            )
            self.stage.judge.fail(SERVED, message)

    def _lonely(self) -> Counter[str]:
        """Return how many queued jobs no pool of a namespace serves, although one of its pools covers their repository."""
        store = self.stage.sim.github.store
        found: Counter[str] = Counter()
        for namespace, specs in self._specs_by_namespace().items():
            for row in store.jobs.rows():
                job = self.stage.jobs[row.run_id]
                if row.status == "queued" and not any(serves(s, job.repository, job.labels) for s in specs):
                    found[namespace] += any(serves(s, job.repository, s["labels"]) for s in specs)
        return +found

    def _said(self) -> Counter[str]:
        """Return how many jobs the statuses of each namespace call unmatched."""
        found: Counter[str] = Counter()
        for key, body in self.stage.sim.cluster.pools.items():
            if body["spec"]["github"]["url"].startswith(HOSTILE_ORIGINS):
                continue
            for entry in body["status"].get("queue", ()):
                if entry["reason"] == "NoMatchingPool":
                    found[key.namespace] += entry["count"]
        return found

    def _judge_launches(self) -> None:
        """Count launches against jobs: without faults one each; one more for each single fault that a launch cannot survive."""
        stage = self.stage
        rows = stage.sim.github.store.jobs.rows()
        adopted = [row for row in rows if row.runner_name in stage.judge.in_doubt]
        stage.judge.marks["launch in doubt adopted"] += len(adopted)
        idle = any(pool.spec.get("minIdle") for pool in stage.plan.pools)
        futile = stage.plan.world in WORLDS and WORLDS[stage.plan.world].futile
        if idle or futile or not (stage.plan.profile == "calm" or stage.plan.forced):
            return
        taken = sum(row.runner_name is not None for row in rows)
        cancelled = sum(job.cancel_after is not None for job in stage.jobs.values())
        faults = [f for f in (*stage.nemesis.fired, *stage.fired) if not _survivable(f)]
        if stage.judge.launches > taken + cancelled + 2 * len(faults):
            message = f"{stage.judge.launches} HF Jobs for {taken} workflow jobs"
            stage.judge.fail(ONCE, f"{message} and {cancelled} cancelled ones, after {faults or 'no fault'}")


def _longest_watch(pool: PoolPlan) -> float:
    """Return the seconds after which a container without a registration has ended by itself, by its pool's deadlines."""
    deadlines = pool.spec.get("deadlines", {})
    registration, idle, lifetime = (
        duration_seconds(deadlines.get(name, otherwise))
        for name, otherwise in (("registration", "5m"), ("idle", "2m"), ("lifetime", "6h"))
    )
    watched = lifetime if pool.spec.get("minIdle") else idle
    return min(lifetime, max(registration, watched)) + WATCH_MARGIN


def _survivable(fault: str) -> bool:
    """Whether a fault only takes time, or loses no more than the answer of a launch, which is then found by its label."""
    name, _, where = fault.partition(":")
    if name == "slow":
        return True
    lost = ("lost_answer", "hang_after", "error_after", "truncated", "malformed")
    return name in lost and where.startswith("POST /api/jobs/{namespace}#")
