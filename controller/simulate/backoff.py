"""Judges how often a pool launches for jobs that nobody gets: the invariant ``backoff``.

Each job may have one start of its own, the first burst, of each repository as many as the pool may
have runners; all of them together may have three more in the first hour, and two in each hour after,
however many jobs there are.

Two things are counted since the last workflow job that started on the pool, which clears every suspicion:
runners that came online and were given nothing, and HF Jobs that ended before their runner was online. What
the plan killed, what met a fault, and one launch for each job that was cancelled are no fault of the pool's.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from controller.simulate.serving import serves
from hf_runner_simulators.hub.job import Phase

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from controller.simulate.check import Judge
    from hf_runner_simulators.github.model import WorkflowJob
    from hf_runner_simulators.hub.job import Job

FIRST_HOUR, LATER_HOUR = 4, 2
"""Starts for a job that is never picked up: in the first hour of a suspicion, its first one included, and
in each hour after it."""

FAILING = 11
"""Tries of launches that fail, an hour: what waits of 5, 15, 60 and 180 s and then of ten minutes come to."""

HOUR = 3_600.0


def too_often(judge: Judge, uid: str, spec: Mapping[str, Any]) -> str | None:
    """Return what is wrong with one more launch of a pool just now, or None.

    Args:
        judge: What happened so far.
        uid: The pool's.
        spec: The pool's newest spec. Pools that keep runners warm are not judged: theirs idle on purpose.
    """
    assert judge.sim is not None
    if spec.get("minIdle"):
        return None
    own = [job for job in judge.launched if (job.labels or {}).get("pool-uid") == uid]
    waiting, since = _waiting(judge, spec, _cleared_at(judge, own))
    if not waiting:
        return None
    shifts = judge.sim.machine.shifts
    over = [
        job for job in own if job.created_at >= since and job.phase is Phase.ENDED and _counts(judge, job)
    ]
    online = {job.id for job in over if job.id in shifts and shifts[job.id].online_at is not None}
    idled, failed = len(online), len(over) - len(online)
    hours = (judge.sim.clock.wall() - since) / HOUR
    later = max(0, math.ceil(hours - 1))
    # Nothing is known against jobs of one repository because those of another were passed over,
    # and they may come later.
    at_once = max(1, int(spec.get("maxRunners", 10)))
    burst = sum(min(n, at_once) for n in Counter(row.repository_id for row in waiting).values())
    most = burst + FIRST_HOUR - 1 + LATER_HOUR * later
    if idled >= most:
        return (
            f"after {idled} runners that nobody gave a job in {hours:.1f} h, one more for {len(waiting)} jobs"
        )
    most = len(waiting) + int(spec.get("maxRunners", 10)) + FAILING * (later + 1)
    if failed >= most:
        return f"after {failed} HF Jobs that ended before they were online in {hours:.1f} h, one more"
    return None


def _counts(judge: Judge, job: Job) -> bool:
    return job.id not in judge.killed and (job.labels or {}).get("runner") not in judge.in_doubt


def _cleared_at(judge: Judge, own: list[Job]) -> float:
    """Return when a workflow job last started on one of these HF Jobs; 0 for never."""
    assert judge.sim is not None
    names = {(job.labels or {}).get("runner") for job in own}
    rows = judge.sim.github.store.jobs.rows()
    return max((row.started_at or 0.0 for row in rows if row.runner_name in names), default=0.0)


def _waiting(judge: Judge, spec: Mapping[str, Any], since: float) -> tuple[list[WorkflowJob], float]:
    """Return the jobs that this pool serves and that waited, or were cancelled, since then, and
    when the first was queued.
    """
    assert judge.sim is not None
    store = judge.sim.github.store
    found = [
        row
        for row in store.jobs.rows()
        if not row.runner_name  # one that is cancelled in the queue has a start too, and no runner
        and (row.completed_at is None or row.completed_at >= since)
        and row.status in ("queued", "completed")
        and serves(spec, store.repositories[row.repository_id].full_name, row.spec.labels)
    ]
    return found, max(since, min((row.queued_at for row in found), default=0.0))
