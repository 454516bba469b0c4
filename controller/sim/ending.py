"""The end of a run: a quiet period that lasts as long as something still moves, and what must be so after it."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from controller.sim.check import LAUNCHES, LEFT, QUIET, REASON, SERVED, serves
from controller.sim.plan import JobPlan

if TYPE_CHECKING:
    from controller.sim.stage import Stage

PATIENCE = 3_000.0
"""Seconds without any progress after which a run has failed: the longest back-off (600), a lost job's lease, the longest
deadline and the longest job, one after the other, with room. Not a length of the quiet period: progress begins it anew."""

SILENCE = 180.0
"""Seconds of the steady state that are watched: longer than every period of looking at a service, but for the coldest."""


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
        if not any(pool.spec.get("minIdle") for pool in self.stage.plan.pools):
            await self._judge_silence()
        self._judge_reasons()
        self._judge_launches()
        if self.stage.judge.violations:
            return
        for key in sorted(self.stage.sim.cluster.pools):
            self.stage.sim.delete(key)
        self.stage.judge.pools_changed()
        if not await self._until(lambda: not self.stage.sim.cluster.pools and not self.stage.judge.left()):
            pools = [f"pool {key}" for key in self.stage.sim.cluster.pools]
            self.stage.judge.fail(
                LEFT, "after the last pool was deleted: " + "; ".join(self.stage.judge.left() + pools)
            )
        self.stage.judge.check_spending()

    async def _until(self, met: Any) -> bool:  # noqa: ANN401 - a predicate
        """Let time pass until something is so, or nothing has moved for :data:`PATIENCE`, or an invariant broke."""
        seen, since = self._progress(), self.stage.sim.clock.mono()
        while not met():
            if self.stage.judge.violations:
                return True
            await asyncio.sleep(1.0)
            now = self._progress()
            if now != seen:
                seen, since = now, self.stage.sim.clock.mono()
            elif self.stage.sim.clock.mono() - since > PATIENCE:
                return False
        return True

    def _progress(self) -> object:
        jobs = [(job.id, job.status) for job in self.stage.sim.github.store.jobs.rows()]
        return self.stage.pending, jobs, sorted(self.stage.sim.cluster.pools)

    def _all_over(self) -> bool:
        """Everything that was to happen has happened, every job that can be served is over, and nothing of ours is left."""
        if self.stage.pending or self.stage.sim.clock.mono() < self.stage.plan.calm_at:
            return False
        if any(pool.spec.get("minIdle") for pool in self.stage.plan.pools):
            return not self._unserved()
        return not self._unserved() and not self.stage.judge.left()

    def _unserved(self) -> list[int]:
        store = self.stage.sim.github.store
        return [
            job_id
            for job_id, job in self.stage.jobs.items()
            if store.jobs[job_id].status != "completed" and self._servable(job)
        ]

    def _servable(self, job: JobPlan) -> bool:
        bodies = self.stage.sim.cluster.pools.values()
        return any(serves(body["spec"], job.repository, job.labels) for body in bodies)

    def _name_what_hangs(self) -> None:
        store = self.stage.sim.github.store
        for job_id in self._unserved():
            self.stage.judge.fail(SERVED, f"job {job_id} is {store.jobs[job_id].status} for good")
        if not self._unserved():
            self.stage.judge.fail(
                LEFT, "; ".join(self.stage.judge.left()) or f"{self.stage.pending} happenings hang"
            )

    async def _judge_silence(self) -> None:
        await asyncio.sleep(60.0)  # for the last words about what has just ended
        writes, asked = self.stage.writes, self._asked()
        await asyncio.sleep(SILENCE)
        if self.stage.writes != writes:
            self.stage.judge.fail(
                QUIET, f"{self.stage.writes - writes} writes of status or Events with nothing to do"
            )
        changes = {
            route: count - asked[route]
            for route, count in self._asked().items()
            if count > asked[route] and not route.startswith("GET ") and "access_tokens" not in route
        }
        if changes:
            self.stage.judge.fail(QUIET, f"with nothing to do: {changes}")

    def _asked(self) -> Counter[str]:
        logs = (self.stage.sim.github_exchange.log, self.stage.sim.hub_exchange.log)
        return Counter(entry.route for log in logs for entry in log)

    def _judge_reasons(self) -> None:
        store = self.stage.sim.github.store
        specs = [body["spec"] for body in self.stage.sim.cluster.pools.values()]
        for job_id, job in self.stage.jobs.items():
            row = store.jobs[job_id]
            if row.status != "completed" or job_id in self.stage.cancelled:
                continue
            killed = any(
                j.id in self.stage.judge.killed
                for j in self.stage.sim.hub.platform.jobs.values()
                if (j.labels or {}).get("runner") == row.runner_name
            )
            if row.conclusion != job.result and not killed:
                self.stage.judge.fail(
                    SERVED, f"job {job_id} ended as {row.conclusion}, where {job.result} was due"
                )
        lonely = sum(
            store.jobs[job_id].status == "queued"
            and any(serves(s, job.repository, s["labels"]) for s in specs)
            for job_id, job in self.stage.jobs.items()
        )
        said = sum(
            entry["count"]
            for body in self.stage.sim.cluster.pools.values()
            for entry in body["status"].get("queue", ())
            if entry["reason"] == "NoMatchingPool"
        )
        if not self.stage.judge.violations and said != lonely:
            self.stage.judge.fail(REASON, f"{lonely} jobs that no pool serves, and statuses name {said}")

    def _judge_launches(self) -> None:
        idle = any(pool.spec.get("minIdle") for pool in self.stage.plan.pools)
        asked = sum(
            store_row.runner_name is not None for store_row in self.stage.sim.github.store.jobs.rows()
        )
        spare = len([job for job in self.stage.jobs.values() if job.cancel_after is not None])
        if self.stage.plan.profile == "calm" and not idle and self.stage.judge.launches > asked + spare:
            self.stage.judge.fail(LAUNCHES, f"{self.stage.judge.launches} HF Jobs for {asked} workflow jobs")
