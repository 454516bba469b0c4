"""A pool's runners, and what is known of each of its flavors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from controller.api.status.model import Backoff, FlavorStatus, Runner
from controller.api.status.values import (
    MOST_FLAVOR,
    MOST_HF_JOB,
    MOST_MESSAGE,
    MOST_REQUEST_ID,
    MOST_RUNNER,
    MOST_RUNNERS,
    Instant,
    dollars,
    link,
)
from controller.core import backoff
from controller.core import runners as core
from controller.core.report import PoolReport
from controller.core.text import text


def runners(known: Sequence[core.Runner], start: Instant) -> list[Runner]:
    """Return the newest runners, the newest first.

    Args:
        known: All of them.
        start: Ties the monotonic clock to the wall clock.
    """
    newest = sorted(known, key=lambda r: (-r.track.since, r.name))[:MOST_RUNNERS]
    return [_runner(runner, start) for runner in newest]


def _runner(runner: core.Runner, start: Instant) -> Runner:
    hf_job, workflow_job = runner.hf_job, runner.workflow_job
    return Runner(
        name=text(runner.name, MOST_RUNNER),
        phase=runner.phase,
        flavor=text(runner.flavor, MOST_FLAVOR),
        hf_job_id=(text(hf_job.id, MOST_HF_JOB) or None) if hf_job is not None else None,
        hf_job_url=(link(hf_job.url) or None) if hf_job is not None else None,
        workflow_job_url=(link(workflow_job.html_url) or None) if workflow_job is not None else None,
        since=start.iso(runner.track.since),
    )


def flavors(report: PoolReport, usd_per_second: Mapping[str, float], start: Instant) -> list[FlavorStatus]:
    """Return the pool's flavors in order of preference.

    Args:
        report: The pool after the pass.
        usd_per_second: Prices by flavor, as far as they are known.
        start: Ties the monotonic clock to the wall clock.
    """
    return [
        FlavorStatus(
            name=name,
            usd_per_hour=dollars(usd_per_second[name] * 3600) if name in usd_per_second else None,
            live=sum(1 for runner in report.runners if runner.live and runner.flavor == name),
            backoff=failed_launches(report, name, start),
        )
        for name in report.pool.flavors
    ]


def failed_launches(report: PoolReport, key: str, start: Instant) -> Backoff | None:
    """Return the launches that failed in a row, None if none did.

    Args:
        report: The pool after the pass.
        key: A flavor, or :data:`controller.core.backoff.POOL` for what no other flavor would mend.
        start: Ties the monotonic clock to the wall clock.
    """
    known: backoff.Backoff | None = report.memory.backoffs.get(key)
    if known is None:
        return None
    return Backoff(
        failures=known.failures,
        until=start.iso(known.until),
        reason=known.failure.reason,
        message=text(known.failure.message, MOST_MESSAGE),
        request_id=text(known.failure.request_id, MOST_REQUEST_ID) if known.failure.request_id else None,
    )
