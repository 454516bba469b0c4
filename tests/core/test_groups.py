"""A runner group that does not exist is told before the first workflow job asks for a runner."""

from __future__ import annotations

from dataclasses import replace

from controller.api.status.build import build_status
from controller.api.status.model import RunnerPoolStatus
from controller.api.status.values import Instant
from controller.core.actions import Launch
from controller.core.groups import MOST_NAMES
from controller.core.model import Observation, Pool, RunnerGroup, Scope, ScopeKind, Snapshot
from controller.core.reasons import Reason
from controller.core.report import PoolReport
from tests.core.build import NOW, OUTAGE, SERVER, SOURCE, job, pool, run_plan, seen, snapshot

GPU = RunnerGroup(id=2, name="GPU runners")
DEFAULT = RunnerGroup(id=1, name="Default", default=True)
ORGANIZATION = pool(
    scope=Scope(kind=ScopeKind.ORGANIZATION, owner="acme"), include=("acme/lib",), runner_group="gpu runners"
)


def view(of: Pool, groups: Observation[RunnerGroup] | None) -> Snapshot:
    where = of.footprint.registrations
    base = snapshot(jobs=[job(1)])
    return replace(base, registrations={where: seen()}, groups={} if groups is None else {where: groups})


def report(of: Pool, groups: Observation[RunnerGroup] | None) -> PoolReport:
    return run_plan([of], view(of, groups)).reports[of.uid]


def ready(told: PoolReport) -> tuple[str, str, str]:
    now = Instant(mono=NOW, wall=SERVER)
    status = build_status(
        told, previous=RunnerPoolStatus(), overlaps=(), usd_per_second={}, start=now, now=now
    ).to_object()
    found = next(one for one in status["conditions"] if one["type"] == "Ready")
    return found["status"], found["reason"], found["message"]


def test_a_group_that_exists_is_found_whatever_its_case() -> None:
    told = report(ORGANIZATION, seen([DEFAULT, GPU]))
    assert ready(told)[:2] == ("True", "Serving")
    assert told.launching == 1


def test_a_group_that_does_not_exist_makes_the_pool_not_ready_and_names_those_that_do() -> None:
    plan = run_plan([ORGANIZATION], view(ORGANIZATION, seen([DEFAULT])))
    told = plan.reports[ORGANIZATION.uid]
    status, reason, message = ready(told)
    assert (status, reason) == ("False", "RunnerGroupMissing")
    assert "no runner group 'gpu runners'" in message
    assert "Default" in message
    assert not [action for action in plan.actions if isinstance(action, Launch)]
    assert [(one.reason, one.count) for one in told.waiting] == [(Reason.RunnerGroupMissing, 1)]


def test_a_pool_whose_group_was_not_looked_up_yet_is_not_ready_yet() -> None:
    assert ready(report(ORGANIZATION, None))[:2] == ("False", "Pending")


def test_a_list_of_groups_that_failed_proves_nothing() -> None:
    assert ready(report(ORGANIZATION, seen([DEFAULT], failure=OUTAGE)))[0] == "True"


def test_a_pool_without_a_named_group_asks_for_none() -> None:
    unnamed = replace(ORGANIZATION, runner_group=None)
    assert ready(report(unnamed, None))[:2] == ("True", "Serving")
    assert ready(report(unnamed, seen([])))[:2] == ("True", "Serving")


def test_thousands_of_groups_are_named_within_bounds() -> None:
    many = [RunnerGroup(id=n, name=f"group {n:05}") for n in range(5_000)]
    assert len(ready(report(ORGANIZATION, seen(many)))[2]) < MOST_NAMES + 300


def test_a_group_of_another_teams_list_counts_nowhere() -> None:
    theirs = replace(ORGANIZATION.footprint.registrations, source=replace(SOURCE, owner="mallory"))
    base = view(ORGANIZATION, None)
    known = replace(base, groups={theirs: seen([DEFAULT])})
    assert ready(run_plan([ORGANIZATION], known).reports[ORGANIZATION.uid])[1] == "Pending"
