"""Judges that only runs are run again whose jobs failed by the end of their HF Job: invariant ``rerun``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.simulate.invariants import RERUN

if TYPE_CHECKING:
    from controller.simulate.check import Judge
    from hf_runner_simulators.github.model import WorkflowJob


def judge_rerun(judge: Judge, run_id: int) -> None:
    """Judge a request to run a run again.

    It may reach a run that lives again only after one that was in doubt;
    GitHub refuses it then.
    """
    assert judge.sim is not None
    store = judge.sim.github.store
    run = store.runs[run_id]
    if run.status != "completed":
        if run_id not in judge.reruns_in_doubt:
            judge.fail(RERUN, f"run {run_id} was asked to run again while it is {run.status}")
        return
    jobs = [store.jobs[key] for key in store.jobs_of[run_id] if store.jobs[key].attempt == run.attempt]
    if run.conclusion != "failure" or not any(interrupted(judge, job) for job in jobs):
        judge.fail(RERUN, f"run {run_id} ended as {run.conclusion} without our doing, and is run again")
    every = (known.spec for specs in judge.specs.values() for known in specs)
    most = max((spec.get("retry", {}).get("interrupted", 0) for spec in every), default=0)
    if run.attempt > most:
        judge.fail(RERUN, f"run {run_id} is run again after attempt {run.attempt}, where {most} is the most")


def interrupted(judge: Judge, job: WorkflowJob) -> bool:
    """Return whether a workflow job failed because its HF Job ended under it, in truth."""
    assert judge.sim is not None
    ends = [
        hf_job.ended_at
        for hf_job in judge.sim.hub.platform.jobs.values()
        if job.runner_name is not None and (hf_job.labels or {}).get("runner") == job.runner_name
    ]
    return any(end is not None and end < (job.completed_at or float("inf")) for end in ends)
