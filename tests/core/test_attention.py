"""Where to look more often after a pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.core.attention import busy_places, busy_repositories, served_runs, to_look_at
from controller.core.causes import Check
from controller.core.model import Failure, Scope, ScopeKind
from controller.core.passed_over import Wanted
from controller.core.reasons import Reason
from tests.core.build import (
    ACCOUNT,
    FLAVORS,
    REPO,
    SOURCE,
    elsewhere,
    job,
    name_of,
    pool,
    registration,
    run_plan,
    running,
    seen,
    snapshot,
    started,
)


@pytest.mark.parametrize(
    ("changes", "queued", "busy"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"min_idle": 1}, False, True),
        ({"paused": True}, True, False),
        ({"refused": Failure(reason=Reason.HostNotAllowed, message="no")}, True, False),
        ({"max_runners": 0}, True, False),
        ({"deleting": True}, False, True),
    ],
    ids=[
        "nothing to do",
        "jobs wait",
        "kept warm",
        "paused",
        "host not allowed",
        "may have no runner",
        "being deleted",
    ],
)
def test_a_place_is_busy_where_something_is_wanted(changes: dict[str, Any], queued: bool, busy: bool) -> None:
    of = pool(former=(elsewhere(pool()),), **changes)
    done = run_plan([of], snapshot(jobs=[job()] if queued else ()))
    assert busy_places(done) == dict.fromkeys(done.reports[of.uid].pool.footprints, busy)


def test_a_place_is_busy_where_a_runner_lives_though_nothing_may_be_launched() -> None:
    of = pool(paused=True)
    done = run_plan([of], snapshot(registrations=[registration(of)], hf_jobs=[started(of)]))
    assert busy_places(done) == {of.footprint: True}


def test_one_busy_pool_makes_a_shared_place_busy() -> None:
    idle, busy = pool("idle", labels=("other",)), pool("busy")
    for both in ([idle, busy], [busy, idle]):
        assert busy_places(run_plan(both, snapshot(jobs=[job()]))) == {busy.footprint: True}


def test_repositories_are_busy_whose_jobs_wait_or_run() -> None:
    of = pool(scope=Scope(kind=ScopeKind.ORGANIZATION, owner="acme"), include=("acme/*",))
    other = replace(running(2, name_of(of)), repository="acme/app")
    view = snapshot(jobs=[job()], registrations=None)
    view = replace(
        view,
        queues={**view.queues, (SOURCE, "acme/app"): seen([other])},
        registrations={of.footprint.registrations: seen([registration(of, online=True, busy=True)])},
        hf_jobs={ACCOUNT: seen([started(of)])},
        flavors={ACCOUNT.endpoint: seen(FLAVORS)},
        repositories={SOURCE: seen([REPO, "acme/app"])},
    )
    assert busy_repositories(run_plan([of], view)) == {SOURCE: {REPO, "acme/app"}}


def test_a_repository_with_runners_of_its_own_is_busy_although_no_job_shows() -> None:
    of = pool()
    view = snapshot(registrations=[registration(of, online=True)], hf_jobs=[started(of)])
    assert busy_repositories(run_plan([of], view)) == {SOURCE: {REPO}}
    assert busy_repositories(run_plan([of], snapshot())) == {}


def test_runs_are_served_whose_jobs_wait_for_a_pool_with_runners() -> None:
    assert served_runs(run_plan([pool()], snapshot(jobs=[job(7)]))) == {SOURCE: {7}}
    assert served_runs(run_plan([pool(paused=True)], snapshot(jobs=[job(7)]))) == {}
    assert served_runs(run_plan([pool()], snapshot())) == {}


def test_what_is_to_be_looked_up_is_put_together_by_source() -> None:
    one, two, quiet = pool("one"), pool("two"), pool("quiet")
    done = run_plan([one, two, quiet], snapshot())
    wanted = {
        of.uid: Wanted(repository=REPO, job_id=n, run_id=n, after=0.0) for n, of in enumerate((one, two))
    }
    check = Check(scope=one.footprint.registrations, group="", repositories=(), versions=("2.330.0",))
    reports = {
        uid: replace(report, to_read=[wanted[uid]] if uid in wanted else ())
        for uid, report in done.reports.items()
    }
    reports[two.uid] = replace(reports[two.uid], to_check=check)
    assert to_look_at(replace(done, reports=reports)) == (
        {SOURCE: [wanted[one.uid], wanted[two.uid]]},
        {SOURCE: [check]},
    )
    assert to_look_at(done) == ({}, {})
