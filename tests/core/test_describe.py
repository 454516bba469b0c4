"""What ``/debug/plan`` shows."""

from __future__ import annotations

import json

from controller.core.actions import Launch
from controller.core.backoff import Backoff
from controller.core.describe import describe
from controller.core.memory import Memory, PoolMemory
from controller.core.model import Failure, RunnerTemplate, SecretEnv, SecretRef
from controller.core.reasons import Reason
from tests.core.build import (
    NOW,
    OUTAGE,
    hf_job,
    job,
    pool,
    registration,
    run_plan,
    running,
    seen,
    snapshot,
    started,
)


def test_before_the_first_pass_there_is_no_plan() -> None:
    assert describe(None, age=0.0)["pools"] == []


def test_a_plan_names_demand_runners_reasons_and_actions() -> None:
    mine = pool(max_runners=2)
    busy = registration(mine, "bbbb", online=True, busy=True)
    done = run_plan(
        [mine],
        snapshot(
            jobs=[job(1), job(2), job(3), running(9, busy.name)],
            registrations=[busy],
            hf_jobs=[started(mine, "bbbb")],
        ),
    )
    shown = json.loads(json.dumps(describe(done, age=2.0)))
    (report,) = shown["pools"]
    assert report["pool"]["name"] == "ci/t4"
    assert report["demand"]["queued"]["count"] == 3
    assert [one["reason"] for one in report["waiting"]] == ["RunnerStarting", "AtMaxRunners"]
    assert report["waiting"][0]["oldestSeconds"] > 30
    (runner,) = report["runners"]
    assert (runner["phase"], runner["workflowJob"]["id"]) == ("Busy", 9)
    assert runner["hfJob"]["id"] == "hf-bbbb"
    (launch,) = done.actions
    assert isinstance(launch, Launch)
    assert shown["actions"] == [
        {"action": "launch", "pool": "ci/t4", "flavor": "t4-small", "runner": launch.name}
    ]


def test_what_failed_is_shown_with_the_request_id() -> None:
    failure = Failure(reason=Reason.HubUnavailable, message="503", request_id="Root=1-2")
    done = run_plan([pool()], snapshot(hf_jobs=seen([hf_job(pool())], failure=failure)))
    (report,) = describe(done, age=0.0)["pools"]
    assert report["hub"] == {"reason": "HubUnavailable", "message": "503", "requestId": "Root=1-2"}


def test_what_holds_launches_back_is_shown() -> None:
    mine = pool()
    known = Backoff(failures=2, at=NOW - 10, until=NOW + 50, failure=OUTAGE)
    memory = Memory(pools={mine.uid: PoolMemory(backoffs={"t4-small": known})})
    (report,) = describe(run_plan([mine], snapshot(jobs=[job()]), memory=memory), age=0.0)["pools"]
    assert report["heldBy"]["reason"] == "GitHubUnavailable"
    (free,) = describe(run_plan([mine], snapshot(jobs=[job()])), age=0.0)["pools"]
    assert free["heldBy"] is None


def test_nothing_that_a_pool_keeps_for_its_runners_is_shown() -> None:
    mine = pool(
        template=RunnerTemplate(
            image="registry.example/private:1",
            env=(("PASSWORD", "hunter2"),),
            secret_env=(SecretEnv(name="KEY", secret=SecretRef("ci", "other-secret"), key="the-key"),),
        )
    )
    text = json.dumps(describe(run_plan([mine], snapshot(jobs=[job()])), age=0.0))
    assert '"launch"' in text
    for kept in ("hunter2", "PASSWORD", "other-secret", "the-key", "registry.example"):
        assert kept not in text
