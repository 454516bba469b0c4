"""The newest plan as JSON, for ``/debug/plan``.

Every field is named here, and none of them can hold a secret: not a pool's environment, not a
launch's specification, nothing of a Secret but its name. What is added later is not shown until
somebody adds it here too.
"""

from __future__ import annotations

from typing import Any

from controller.core.actions import Action, Launch, Retire
from controller.core.model import Failure, Pool, WorkflowJob
from controller.core.notices import Notice
from controller.core.plan import Plan
from controller.core.report import PoolReport
from controller.core.runners import Runner

MOST_JOBS = 100
"""Jobs of each kind that are named; their number is reported in full."""


def describe(plan: Plan | None, *, age: float) -> dict[str, Any]:
    """Return a plan for people.

    Args:
        plan: The newest, None before the first.
        age: Seconds since it was made.
    """
    if plan is None:
        return {"ageSeconds": None, "pools": [], "actions": [], "notices": []}
    return {
        "ageSeconds": round(age, 3),
        "pools": [_report(report, age) for report in plan.reports.values()],
        "actions": [_action(action) for action in plan.actions],
        "notices": [_notice(notice) for notice in plan.notices],
    }


def _report(report: PoolReport, age: float) -> dict[str, Any]:
    demand = report.demand
    return {
        "pool": _pool(report.pool),
        "observed": report.observed,
        "drained": report.drained,
        "launching": report.launching,
        "github": _failure(report.github),
        "hub": _failure(report.hub),
        "failures": [_failure(failure) for failure in report.failures],
        "usdPerHour": round(report.usd_per_hour, 4),
        "worstCaseUsd": round(report.worst_case_usd, 4),
        "demand": {
            "complete": demand.complete,
            "repositories": len(demand.reach),
            "queued": _jobs(demand.queued),
            "groupOnly": _jobs(demand.group_only),
            "unmatched": _jobs(demand.unmatched),
            "tooOld": _jobs(demand.too_old),
            "unreadable": [
                {"repository": repository, **(_failure(failure) or {})}
                for repository, failure in demand.unreadable
            ],
        },
        "waiting": [
            {
                "reason": str(one.reason),
                "count": one.count,
                "oldestSeconds": round(one.oldest_wait + age, 1) if one.count else None,
                "message": one.message,
            }
            for one in report.waiting
        ],
        "heldBy": _failure(report.backoff.failure) if report.backoff else None,
        "backoffs": [
            {"flavor": flavor or None, "failures": known.failures, **(_failure(known.failure) or {})}
            for flavor, known in sorted(report.memory.backoffs.items())
        ],
        "runners": [_runner(runner) for runner in report.runners],
    }


def _pool(pool: Pool) -> dict[str, Any]:
    return {
        "name": str(pool.key),
        "uid": pool.uid,
        "generation": pool.generation,
        "url": pool.url,
        "labels": list(pool.labels),
        "flavors": list(pool.flavors),
        "credentialsSecret": str(pool.source.secret),
        "tokenSecret": str(pool.hub.secret),
        "namespace": pool.hub.namespace,
        "maxRunners": pool.max_runners,
        "minIdle": pool.min_idle,
        "paused": pool.paused,
        "stopped": pool.stopped and pool.stopped.message,
        "deleting": pool.deleting,
    }


def _jobs(jobs: list[WorkflowJob]) -> dict[str, Any]:
    return {"count": len(jobs), "jobs": [_job(job) for job in jobs[:MOST_JOBS]]}


def _job(job: WorkflowJob) -> dict[str, Any]:
    return {
        "id": job.id,
        "runId": job.run_id,
        "repository": job.repository,
        "name": job.name,
        "labels": list(job.labels),
        "url": job.html_url,
    }


def _runner(runner: Runner) -> dict[str, Any]:
    registration, hf_job = runner.registration, runner.hf_job
    return {
        "name": runner.name,
        "phase": str(runner.phase),
        "flavor": runner.flavor,
        "ageSeconds": round(runner.age, 1),
        "retiring": runner.retiring,
        "doubtful": runner.unconfirmed,
        "registration": registration
        and {"id": registration.id, "online": registration.online, "busy": registration.busy},
        "hfJob": hf_job and {"id": hf_job.id, "stage": str(hf_job.stage), "url": hf_job.url},
        "workflowJob": runner.workflow_job and _job(runner.workflow_job),
    }


def _action(action: Action) -> dict[str, Any]:
    match action:
        case Launch(pool, flavor, name):
            return {"action": "launch", "pool": str(pool.key), "flavor": flavor, "runner": name}
        case Retire():
            return {
                "action": "retire",
                "runner": action.name,
                "reason": str(action.reason),
                "registrationId": action.registration_id,
                "hfJobId": action.hf_job_id,
            }
        case _:
            return {"action": "rerun", "pool": str(action.pool.key), "run": action.name}


def _notice(notice: Notice) -> dict[str, Any]:
    return {"reason": str(notice.reason), "message": notice.message, "runner": notice.runner or None}


def _failure(failure: Failure | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    return {"reason": str(failure.reason), "message": failure.message, "requestId": failure.request_id}
