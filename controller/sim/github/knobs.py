"""What is uncertain or adjustable about the simulated GitHub, each with its default and where it comes from.

"Docs" is GitHub's documentation, "seen" a dated observation of live github.com by somebody, "unknown" a fact that nobody
could establish: the tests of the controller must pass with every value.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints


@dataclass(frozen=True, slots=True, kw_only=True)
class Knobs:
    """Settings of one world; replace the whole value to change one. Durations are seconds.

    Attributes:
        list_lag_seconds: Lists of runs, jobs and runners show the world as it was so long ago (unknown; 0 = fresh).
        get_lag_seconds: The same for single runs, jobs and runners (seen: seconds to minutes for jobs).
        jobs_appear_after_seconds: A new run's job list is empty for so long (seen; the run is listed at once).
        list_order: Of runs, jobs and runners. ``usual`` is newest first for runs (docs) and oldest first for the others
            (unknown); ``shuffled`` changes every 10 s, so that a row can be on two pages, or on none.
        unassigned_runner: ``runner_id`` and its kin of a queued job: ``null`` (the schema) or ``0`` and ``""``.
        busy_reads_false: A busy runner is shown with ``busy: false`` (seen, actions/runner#4422).
        busy_reads_offline: A busy runner is shown ``offline`` (seen, actions/runner#3448).
        fresh_reads_offline_seconds: A runner is shown ``offline`` for so long after it connected (seen).
        assignment_seconds: From "job queued and runner idle" to the offer (seen: about 1; 0 spares tests the wait).
        pickup_seconds: An offered job that was not picked up returns to the queue (docs: 60).
        offer_blocks_delete: DELETE of a runner that holds an offer answers 422 (unknown); else the job is re-queued.
        queue_cap_seconds: A job queued for longer is ended (docs: 24 h).
        queue_cap_conclusion: How it is ended (docs say both "fail" and "cancelled").
        later_jobs_requeue_run: A run whose later job becomes queued reads ``queued`` again (unknown).
        job_timeout_seconds: ``timeout-minutes`` of a job that names none (docs: 360 min).
        hosted_seconds: GitHub-hosted jobs start so long after they were queued.
        offline_after_seconds: A runner that stopped polling is shown ``offline`` after so long (unknown).
        lease_seconds: A job whose runner stopped renewing fails after so long (runner source: 10 min).
        linger_seconds: The record of a runner that finished its job stays, busy, for so long (seen: a few to tens).
        reap_seconds: An ephemeral runner that is not connected is removed after so long (docs: 1 day).
        jit_lifetime_seconds: A JIT configuration is refused after so long (unknown: 5 min and 60 min are claimed).
        jit_propagation_seconds: Fresh credentials are refused, retryably, for so long (seen: a short window).
        jit_single_use: A second session with the same configuration is refused even when the first was idle.
        runners_per_group: Registrations per group (docs: 10,000).
        registrations_per_5_minutes: Registrations per repository, organization or enterprise (docs: 1,500).
        cancel_grace_seconds: A cancelled job whose runner does not answer ends after so long (seen: 301-302).
        force_cancel_after_cancel_seconds: Force-cancel after a plain cancel takes so long (seen: 1-3 min; alone: 1 s).
        cancel_completed_conflicts: Cancelling a completed run answers 409 (docs) instead of 202 (seen).
        runner_version: Latest release, as ``/runners/downloads`` shows it.
        deprecated_versions: Runner versions that are refused at their first poll.
        token_seconds: Life of an installation token (docs: 1 h).
        long_tokens: ``ghs_APPID_JWT`` tokens, several hundred characters (docs, since 2026-04-27).
        jwt_leeway_seconds: Tolerance for ``iat`` and ``exp`` of an App JWT (unknown; 0 is the strictest).
        core_limit: Requests per hour of an installation or user (docs: 5,000; grows with repositories above 20).
        registration_limit: The same for ``generate-jitconfig`` (docs: 10,000).
        registration_bucket: ``generate-jitconfig`` is charged to its own bucket (seen; every plan: unknown).
        primary_limit_status: 403 or 429 (docs: either).
        secondary_points_per_minute: REST points, GET 1 and mutations 5 (docs: 900); null switches it off.
        secondary_limit_status: 403 or 429 (docs: either).
        secondary_retry_after: Value of ``Retry-After``, or null for none (docs: maybe present).
        not_modified_costs_points: A 304 counts for the secondary limit (unknown).
        ghes_version: ``X-GitHub-Enterprise-Version`` of answers under ``/api/v3``.
        ghes_rate_limits: Rate limits on an Enterprise Server (docs: off by default).
        poll_seconds: How often a stand-in listener asks for work; real ones hold a long poll.
    """

    list_lag_seconds: float = 0.0
    get_lag_seconds: float = 0.0
    jobs_appear_after_seconds: float = 0.0
    list_order: Literal["usual", "reversed", "shuffled"] = "usual"
    unassigned_runner: Literal["null", "zero"] = "null"
    busy_reads_false: bool = False
    busy_reads_offline: bool = False
    fresh_reads_offline_seconds: float = 0.0
    assignment_seconds: float = 0.0
    pickup_seconds: float = 60.0
    offer_blocks_delete: bool = True
    queue_cap_seconds: float = 86_400.0
    queue_cap_conclusion: Literal["cancelled", "failure"] = "cancelled"
    later_jobs_requeue_run: bool = True
    job_timeout_seconds: float = 21_600.0
    hosted_seconds: float = 5.0
    offline_after_seconds: float = 60.0
    lease_seconds: float = 600.0
    linger_seconds: float = 10.0
    reap_seconds: float = 86_400.0
    jit_lifetime_seconds: float = 3_600.0
    jit_propagation_seconds: float = 0.0
    jit_single_use: bool = True
    runners_per_group: int = 10_000
    registrations_per_5_minutes: int = 1_500
    cancel_grace_seconds: float = 301.0
    force_cancel_after_cancel_seconds: float = 120.0
    cancel_completed_conflicts: bool = False
    runner_version: str = "2.336.0"
    deprecated_versions: tuple[str, ...] = ()
    token_seconds: float = 3_600.0
    long_tokens: bool = True
    jwt_leeway_seconds: float = 0.0
    core_limit: int = 5_000
    registration_limit: int = 10_000
    registration_bucket: bool = True
    primary_limit_status: Literal[403, 429] = 403
    secondary_points_per_minute: int | None = 900
    secondary_limit_status: Literal[403, 429] = 403
    secondary_retry_after: int | None = 60
    not_modified_costs_points: bool = True
    ghes_version: str = "3.19.0"
    ghes_rate_limits: bool = False
    poll_seconds: float = 1.0

    def changed(self, changes: Mapping[str, Any]) -> Knobs:
        """Return a copy with some knobs turned, from JSON values.

        Raises:
            ValueError: A name is unknown or a value has the wrong type; the message names every mistake.
        """
        hints = get_type_hints(Knobs)
        mistakes: list[str] = []
        values: dict[str, Any] = {}
        for name, value in changes.items():
            if name not in hints:
                mistakes.append(f"unknown knob {name!r}")
                continue
            usable = tuple(value) if isinstance(value, list) else value
            if not _fits(usable, hints[name]):
                mistakes.append(f"knob {name!r} cannot be {value!r}")
            values[name] = usable
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return dataclasses.replace(self, **values)


def _fits(value: Any, hint: Any) -> bool:  # noqa: ANN401 - JSON against a type hint
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(isinstance(item, str) for item in value)
    if isinstance(value, bool):
        return hint is bool
    if hint is float:
        return isinstance(value, int | float) and value >= 0
    if isinstance(value, int) and value < 0:
        return False
    return isinstance(value, hint)
