"""Where the observers should look more often after a pass, and what they should look up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from controller.core.causes import Check
from controller.core.model import Footprint, GitHubSource, ScopeKind
from controller.core.passed_over import Wanted
from controller.core.plan import Plan


def busy_places(done: Plan) -> Mapping[Footprint, bool]:
    """Return for each place whether something lives or is wanted there, which is worth
    looking at more often.
    """
    busy: dict[Footprint, bool] = {}
    for report in done.reports.values():
        pool = report.pool
        launches = (
            pool.max_runners > 0
            and not (pool.paused or pool.refused)
            and (report.demand.queued or pool.min_idle)
        )
        wanted = bool(report.runners or launches or pool.leaving)
        for place in pool.footprints:
            busy[place] = busy.get(place, False) or wanted
    return busy


def busy_repositories(done: Plan) -> Mapping[GitHubSource, set[str]]:
    """Return the repositories whose jobs wait for us or run on our runners."""
    busy: dict[GitHubSource, set[str]] = {}
    for report in done.reports.values():
        names = {job.repository for job in report.demand.queued}
        names |= {runner.workflow_job.repository for runner in report.runners if runner.workflow_job}
        if report.runners and report.pool.scope.kind is ScopeKind.REPOSITORY:
            names.add(f"{report.pool.scope.owner}/{report.pool.scope.repository}".lower())
        if names:
            busy.setdefault(report.pool.source, set()).update(names)
    return busy


def served_runs(done: Plan) -> Mapping[GitHubSource, set[int]]:
    """Return the runs whose queued jobs may be taken any moment: those of pools that have
    runners, or launch some.
    """
    served: dict[GitHubSource, set[int]] = {}
    for report in done.reports.values():
        if report.demand.queued and (report.runners or report.launching):
            served.setdefault(report.pool.source, set()).update(job.run_id for job in report.demand.queued)
    return served


def to_look_at(
    done: Plan,
) -> tuple[Mapping[GitHubSource, Sequence[Wanted]], Mapping[GitHubSource, Sequence[Check]]]:
    """Return the workflow jobs that should be read by their ids, and the causes that should be looked up."""
    wanted: dict[GitHubSource, list[Wanted]] = {}
    checks: dict[GitHubSource, list[Check]] = {}
    for report in done.reports.values():
        if report.to_read:
            wanted.setdefault(report.pool.source, []).extend(report.to_read)
        if report.to_check is not None:
            checks.setdefault(report.pool.source, []).append(report.to_check)
    return wanted, checks
