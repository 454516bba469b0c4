"""Judges whether a healthy runner that is deregistered was still needed: the invariant ``evidence``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from controller.api.duration import seconds as duration_seconds
from controller.simulate.invariants import EVIDENCE
from controller.simulate.known_specs import OLD_SPEC_GRACE
from controller.simulate.serving import serves

if TYPE_CHECKING:
    from controller.simulate.check import Judge
    from hf_runner_simulators.github.model import Runner
    from hf_runner_simulators.hub.job import Job

NEED_LASTS = 90.0
"""Seconds for which a job must have been queued before its runner counts as needed: every
view is newer by then."""


def judge_need(judge: Judge, runner: Runner, job: Job) -> None:
    """Judge the end of a healthy runner: it may go only when fewer jobs wait than runners live."""
    assert judge.sim is not None
    uid = (job.labels or {}).get("pool-uid", "")
    specs = judge.recent(uid)
    if len(specs) != 1 or specs[0].deleting or specs[0].since > judge.now - OLD_SPEC_GRACE:
        return
    waiting = _waiting(judge, specs[0].spec)
    if not _overdue(judge, runner, job, specs[0].spec) and waiting >= len(judge.live(uid)):
        judge.fail(EVIDENCE, f"{runner.name} was healthy, and deregistered while {waiting} jobs waited")


def _overdue(judge: Judge, runner: Runner, job: Job, spec: Mapping[str, Any]) -> bool:
    """Return whether a deadline may be over, in the oldest view that somebody may have."""
    assert judge.sim is not None
    deadlines, now = spec.get("deadlines", {}), judge.sim.clock.wall()
    steps = (
        (job.created_at, job.started_at, deadlines.get("scheduling", "10m")),
        (job.started_at, runner.connected_at, deadlines.get("registration", "5m")),
        (runner.connected_at, None, deadlines.get("idle", "2m")),
    )
    return any(
        since is not None
        and now - since > duration_seconds(most) - 5
        and (until is None or now - until < OLD_SPEC_GRACE)
        for since, until, most in steps
    )


def _waiting(judge: Judge, spec: Mapping[str, Any]) -> int:
    """Return how many jobs have long been queued that this pool serves, and no other pool could."""
    assert judge.sim is not None
    github = judge.sim.github
    found = 0
    for job_id in list(github.store.queued):
        job = github.store.jobs[job_id]
        name = github.store.repositories[job.repository_id].full_name
        takers = [
            known[-1].spec
            for known in judge.specs.values()
            if known and serves(known[-1].spec, name, job.spec.labels)
        ]
        if takers == [spec] and github.time.now - job.queued_at > NEED_LASTS:
            found += 1
    return found
