"""The end of a run: a quiet period that lasts as long as something still moves, and what
must be so after it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from controller.api.duration import seconds as duration_seconds
from controller.core.model import PoolKey
from controller.simulate.invariants import LEFTOVERS, ONCE, QUIET, SERVED
from controller.simulate.reruns import interrupted
from controller.simulate.serving import HOSTILE_ORIGINS, serves
from tests.seeds.plan import JobPlan, PoolPlan
from tests.seeds.scene import Scene
from tests.seeds.worlds import WORLDS

PATIENCE = 3_000.0
"""Seconds without any progress after which a run has failed: the longest back-off (600), a lost job's lease,
the longest deadline and the longest job, one after the other, with room. Not a length of the quiet period:
progress begins it anew."""

WATCH_MARGIN = 120.0
"""Seconds beyond ``deadlines.idle`` after which a container ends a runner that got no job
(docs/bootstrap.md)."""

ENOUGH_QUOTA = 1_000
"""Requests an hour with which no seed has to wait for the next one."""

ENDED_SHOWS_AFTER = 180.0
"""Seconds after which statuses show that everything has ended, whichever second it ended in."""

SLOW_LOOK = 720.0
"""Seconds within which what is known of every repository is new again: one that answered 404 is
looked at every ten minutes."""

SILENCE, WINDOWS = 120.0, 5
"""Seconds of the steady state in which nothing may be written, and how many such windows there
are for silence to come."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Judges how a run ends.

    More than 15 methods: one per question that the end of a run answers, over the same scene.
    """

    scene: Scene

    async def judge(self) -> None:
        """Wait until nothing moves any more, and judge what has become of everything."""
        if not await self._until(self._all_over):
            self._name_what_hangs()
        if self.scene.judge.violations:
            return
        warm = any(pool.spec.get("minIdle") for pool in self.scene.plan.pools)
        if self._specs_by_namespace() and not warm and self._listens():
            await self._judge_silence()
        await self._until(lambda: self._reported() == self._unmatched(), patience=SLOW_LOOK)
        self._judge_reasons()
        self._judge_launches()
        self.scene.judge.check_books()
        if self.scene.plan.world in WORLDS and WORLDS[self.scene.plan.world].compared:
            await asyncio.sleep(ENDED_SHOWS_AFTER)
        self.scene.keep_views()
        if self.scene.judge.violations:
            return
        for key in sorted(self.scene.sim.cluster.pools):
            self.scene.sim.delete(key)
        self.scene.judge.pools_changed()
        if not await self._gone():
            pools = [f"pool {key}" for key in self._kept()]
            self.scene.judge.fail(
                LEFTOVERS, "after the last pool was deleted: " + "; ".join(self.scene.judge.left() + pools)
            )
        self.scene.judge.check_spending()

    async def _gone(self) -> bool:
        """Wait until pools and all that was theirs are gone.

        HF Jobs without a registration may have a workflow job, so that the controller must leave them to
        their container: for as long as docs/sizing.md says, and that is not long but for warm pools, whose
        runners may idle for their whole lifetime.
        """

        def over() -> bool:
            return not self._kept() and not self.scene.judge.left()

        if await self._until(over):
            return True
        if not all(left.startswith("HF Job") for left in self.scene.judge.left()):
            return False
        return await self._until(over, patience=max(map(_longest_watch, self.scene.plan.pools), default=0.0))

    def _kept(self) -> list[PoolKey]:
        """Return the pools that are still there, less those whose own services never say
        that nothing is left.
        """
        pools = self.scene.sim.cluster.pools.items()
        return sorted(
            key for key, body in pools if not body["spec"]["github"]["url"].startswith(HOSTILE_ORIGINS)
        )

    async def _until(self, met: Callable[[], bool], *, patience: float = PATIENCE) -> bool:
        """Let time pass until something is so, or nothing has moved for so long, or an invariant broke."""
        seen, since = self._progress(), self.scene.sim.clock.mono()
        while not met():
            if self.scene.judge.violations:
                return True
            await asyncio.sleep(1.0)
            now = self._progress()
            if now != seen or self.scene.reviews:
                seen, since = now, self.scene.sim.clock.mono()
            elif self.scene.sim.clock.mono() - since > patience + self._quota():
                return False
        return True

    def _quota(self) -> float:
        """Return how much longer nothing may move because GitHub's hourly quota is used up: two
        whole hours where it is small.
        """
        scarce = self.scene.plan.github.get("core_limit", ENOUGH_QUOTA) < ENOUGH_QUOTA
        return 7_200.0 if scarce else 0.0

    def _progress(self) -> object:
        jobs = [(job.id, job.status) for job in self.scene.sim.github.store.jobs.rows()]
        return self.scene.pending, jobs, sorted(self.scene.sim.cluster.pools)

    def _all_over(self) -> bool:
        """Everything that was to happen has happened, every job that can be served is over,
        and nothing of ours is left.
        """
        if self.scene.pending or self.scene.sim.clock.mono() < self.scene.plan.calm_at:
            return False
        if self._unserved() or self._awaited():
            return False
        return any(pool.spec.get("minIdle") for pool in self.scene.plan.pools) or not self.scene.judge.left()

    def _unserved(self) -> list[int]:
        """Return the jobs, those of runs that were run again among them, that some pool
        serves and that are not over.
        """
        return [
            row.id
            for row in self.scene.sim.github.store.jobs.rows()
            if row.status in ("queued", "in_progress") and self._servable(self.scene.jobs[row.run_id])
        ]

    def _awaited(self) -> list[int]:
        """Return interrupted runs that must be run again: where nothing else goes wrong, it
        may not be forgotten.
        """
        if self.scene.plan.rates or self.scene.plan.profile == "calm":
            return []
        store, most = self.scene.sim.github.store, self.scene.plan.pools[0].spec.get("retry", {})
        lost = [job for job in store.jobs.rows() if interrupted(self.scene.judge, job)]
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
        """Return the specs of the pools that are not being deleted; what a pool with services of its
        own is shown, nobody knows.
        """
        found: dict[str, list[Mapping[str, Any]]] = {}
        for key, body in self.scene.sim.cluster.pools.items():
            strange = body["spec"]["github"]["url"].startswith(HOSTILE_ORIGINS)
            if not strange and "deletionTimestamp" not in body["metadata"]:
                found.setdefault(key.namespace, []).append(body["spec"])
        return found

    def _name_what_hangs(self) -> None:
        store = self.scene.sim.github.store
        for job_id in self._unserved():
            self.scene.judge.fail(SERVED, f"job {job_id} is {store.jobs[job_id].status} for good")
        for run_id in self._awaited():
            self.scene.judge.fail(SERVED, f"run {run_id} was interrupted, and is not run again")
        if not self.scene.judge.violations:
            self.scene.judge.fail(
                LEFTOVERS, "; ".join(self.scene.judge.left()) or f"{self.scene.pending} happenings hang"
            )

    def _listens(self) -> bool:
        """Silence takes long to listen to, and hardly depends on what came before: one seed
        in four does it.
        """
        return self.scene.plan.profile == "calm" or self.scene.plan.u("listens") < 0.25

    async def _judge_silence(self) -> None:
        """Listen until nobody writes any more; late news, such as the end of a slow retry, are no noise."""
        changed: Mapping[str, int] = {}
        for _ in range(WINDOWS):
            before = self._changes()
            await asyncio.sleep(SILENCE)
            changed = self._changes() - before
            if not changed:
                return
        self.scene.judge.fail(QUIET, f"{dict(changed)} in {SILENCE:g} s with nothing to do, again and again")

    def _changes(self) -> Counter[str]:
        """Return how often each thing was written so far."""
        logs = (self.scene.sim.github_exchange.log, self.scene.sim.hub_exchange.log)
        routes = (entry.route for log in logs for entry in log)
        asked = Counter(r for r in routes if not r.startswith("GET ") and "access_tokens" not in r)
        return asked + Counter({"status or Event": self.scene.writes})

    def _judge_reasons(self) -> None:
        store = self.scene.sim.github.store
        for row in store.jobs.rows():
            job = self.scene.jobs[row.run_id]
            if row.status != "completed" or row.run_id in self.scene.cancelled:
                continue
            killed = any(
                j.id in self.scene.judge.killed
                for j in self.scene.sim.hub.platform.jobs.values()
                if (j.labels or {}).get("runner") == row.runner_name
            )
            if row.conclusion != job.result and not killed:
                self.scene.judge.fail(
                    SERVED, f"job {row.id} ended as {row.conclusion}, where {job.result} was due"
                )
        if not self.scene.judge.violations and self._reported() != self._unmatched():
            message = f"{dict(self._unmatched())} jobs that no pool serves, and statuses name {dict(self._reported())}"
            self.scene.judge.fail(SERVED, message)

    def _unmatched(self) -> Counter[str]:
        """Return how many queued jobs no pool of a namespace serves, although one of its
        pools covers their repository.
        """
        store = self.scene.sim.github.store
        found: Counter[str] = Counter()
        for namespace, specs in self._specs_by_namespace().items():
            for row in store.jobs.rows():
                job = self.scene.jobs[row.run_id]
                if row.status == "queued" and not any(serves(s, job.repository, job.labels) for s in specs):
                    found[namespace] += any(serves(s, job.repository, s["labels"]) for s in specs)
        return +found

    def _reported(self) -> Counter[str]:
        """Return how many jobs the statuses of each namespace call unmatched."""
        found: Counter[str] = Counter()
        for key, body in self.scene.sim.cluster.pools.items():
            if body["spec"]["github"]["url"].startswith(HOSTILE_ORIGINS):
                continue
            for entry in body["status"].get("queue", ()):
                if entry["reason"] == "NoMatchingPool":
                    found[key.namespace] += entry["count"]
        return found

    def _judge_launches(self) -> None:
        """Count launches against jobs: without faults one each; one more for each single fault
        that a launch cannot survive.
        """
        scene = self.scene
        rows = scene.sim.github.store.jobs.rows()
        adopted = [row for row in rows if row.runner_name in scene.judge.in_doubt]
        scene.judge.marks["launch in doubt adopted"] += len(adopted)
        idle = any(pool.spec.get("minIdle") for pool in scene.plan.pools)
        futile = scene.plan.world in WORLDS and WORLDS[scene.plan.world].futile
        if idle or futile or not (scene.plan.profile == "calm" or scene.plan.forced):
            return
        taken = sum(row.runner_name is not None for row in rows)
        cancelled = sum(job.cancel_after is not None for job in scene.jobs.values())
        faults = [f for f in (*scene.nemesis.fired, *scene.fired) if not _survivable(f)]
        if scene.judge.launches > taken + cancelled + 2 * len(faults):
            message = f"{scene.judge.launches} HF Jobs for {taken} workflow jobs"
            scene.judge.fail(ONCE, f"{message} and {cancelled} cancelled ones, after {faults or 'no fault'}")


def _longest_watch(pool: PoolPlan) -> float:
    """Return the seconds after which a container without a registration has ended by
    itself, by its pool's deadlines.
    """
    deadlines = pool.spec.get("deadlines", {})
    registration, idle, lifetime = (
        duration_seconds(deadlines.get(name, otherwise))
        for name, otherwise in (("registration", "5m"), ("idle", "2m"), ("lifetime", "6h"))
    )
    watched = lifetime if pool.spec.get("minIdle") else idle
    return min(lifetime, max(registration, watched)) + WATCH_MARGIN


def _survivable(fault: str) -> bool:
    """Whether a fault only takes time, or loses no more than the answer of a launch, which
    is then found by its label.
    """
    name, _, where = fault.partition(":")
    if name == "slow":
        return True
    lost = ("lost_answer", "hang_after", "error_after", "truncated", "malformed")
    return name in lost and where.startswith("POST /api/jobs/{namespace}#")
