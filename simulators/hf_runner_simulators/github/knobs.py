"""What is uncertain or adjustable about the simulated GitHub, each with its default and where it comes from.

"Docs" is GitHub's documentation, "seen" a dated observation of live github.com by somebody, "unknown" a fact
that nobody could establish: the tests of the controller must pass with every value. A *share* is a number
from 0 to 1; which things it strikes depends on the seed and on the thing, never on the order of requests.

What somebody may look for under another name:

- limits of github.com: on by default (``core_limit``, ``registration_limit``,
  ``secondary_points_per_minute``); ``edition`` says which GitHub is played, whatever URL it is reached by
- limits of an Enterprise Server: ``edition="enterprise-server"`` and ``ghes_rate_limits``
- one lag for all lists: ``list_lag_seconds``; ``runs_lag``, ``jobs_lag`` and ``runners_lag`` are for one list
  each, and the longer of the two counts
- a run whose row is wrong for good: ``frozen_run_rows``; one run by hand: ``POST /_sim/runs/ID/freeze``
- versions that are refused at once: ``deprecated_versions``; those that wait in vain: ``starved_versions``
- a single ghost: ``never_runs`` of a job; ``ghost_jobs`` draws them
- renaming, transferring: no knobs but events: ``rename_repository``, ``rename_owner``,
  ``transfer_repository`` of ``world.accounts``; ``POST /_sim/repositories/OWNER/REPO``,
  ``POST /_sim/owners/LOGIN``
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

SHARES = frozenset({"frozen_run_rows", "ghost_jobs", "record_goes_at_start", "odd_words"})
"""Knobs from 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Knobs:
    """Settings of one world; replace the whole value to change one. Durations are seconds.

    Attributes:
        edition: Which GitHub is played. ``github.com``: its limits and its routes, also below ``/api/v3``,
            for a client that reaches a simulator by a URL of its own takes it for an Enterprise Server.
            ``enterprise-server``: no limits unless ``ghes_rate_limits``, only routes that one describes, its
            version in headers and ``/meta``.
        list_lag_seconds: Lists of runs, jobs and runners show the world as it was so long
            ago (unknown; 0 = fresh).
        runs_lag: Lists of runs show the world as it was so long ago (unknown; up to 60 s are worth trying).
        jobs_lag: The same for lists of a run's jobs.
        runners_lag: The same for lists of runners, ``status`` and ``busy`` included.
        repositories_lag: The same for lists of repositories: new ones are missing, removed
            and renamed ones are shown.
        get_lag_seconds: The same for single runs, jobs and runners (seen: seconds to minutes for jobs).
        jobs_appear_after_seconds: A new run's job list is empty for so long (seen; the run
            is listed at once).
        frozen_run_rows: Share of runs whose row in lists of runs stays as it was when the run began,
            ``status`` and ``updated_at``, whatever its jobs do (seen: a run's record may differ from its
            jobs' for an hour and more).
        list_order: Of runs, jobs and runners. ``usual`` is newest first for runs (docs) and
            oldest first for the others (unknown); ``shuffled`` changes every 10 s, so that a row
            can be on two pages, or on none.
        unassigned_runner: ``runner_id`` and its kin of a queued job: ``null`` (the schema)
            or ``0`` and ``""``.
        busy_reads_false: A busy runner is shown with ``busy: false`` (seen, actions/runner#4422).
        busy_reads_offline: A busy runner is shown ``offline`` (seen, actions/runner#3448).
        fresh_reads_offline_seconds: A runner is shown ``offline`` for so long after it connected (seen).
        assignment_seconds: From "job queued and runner idle" to the offer (seen: about 1; 0
            spares tests the wait).
        pickup_seconds: An offered job that was not picked up returns to the queue (docs: 60).
        offer_blocks_delete: DELETE of a runner that holds an offer answers 422 (unknown);
            else the job is re-queued.
        ghost_jobs: Share of queued jobs that are listed as queued and are given to no runner until
            somebody cancels them (seen).
        group_refuses: ``owner/repo`` names whose jobs no runner of an organization or enterprise is given,
            without a message, as a public repository's are not by GitHub's default group (seen); a
            repository's own runners serve them.
        queue_cap_seconds: A job queued for longer is ended (docs: 24 h).
        queue_cap_conclusion: How it is ended (docs say both "fail" and "cancelled").
        later_jobs_requeue_run: A run whose later job becomes queued reads ``queued`` again (unknown).
        job_timeout_seconds: ``timeout-minutes`` of a job that names none (docs: 360 min).
        hosted_seconds: GitHub-hosted jobs start so long after they were queued.
        offline_after_seconds: A runner that stopped polling is shown ``offline`` after so long (unknown).
        lease_seconds: A job whose runner stopped renewing fails after so long (runner source: 10 min).
        linger_seconds: The record of a runner that finished its job stays, busy, for so
            long (seen: a few to tens).
        record_goes_at_start: Share of runners whose registration is removed as soon as their job starts;
            their listener works on (seen: "a JIT runner's record dies at job acquisition/finish").
        reap_seconds: An ephemeral runner that is not connected is removed after so long (docs: 1 day).
        jit_lifetime_seconds: A JIT configuration is refused after so long (unknown: 5 min
            and 60 min are claimed).
        jit_propagation_seconds: Fresh credentials are refused, retryably, for so long (seen: a short window).
        jit_single_use: A second session with the same configuration is refused even when the first was idle.
        runners_per_group: Registrations per group (docs: 10,000).
        registrations_per_5_minutes: Registrations per repository, organization or enterprise (docs: 1,500).
        cancel_grace_seconds: A cancelled job whose runner does not answer ends after so long (seen: 301-302).
        force_cancel_after_cancel_seconds: Force-cancel after a plain cancel takes so long
            (seen: 1-3 min; alone: 1 s).
        cancel_completed_conflicts: Cancelling a completed run answers 409 (docs) instead of 202 (seen).
        runner_version: Latest release, as ``/runners/downloads`` shows it; empty follows the
            calendar in ``releases``.
        deprecated_versions: Runner versions that are refused at their first poll.
        starved_versions: Runner versions that register, listen, and are never given a job: below its rolling
            minimum github.com starves runners so (seen, since 2026-09-29).
        ended_versions_starve: The same for all versions whose runtime end is past, by the
            calendar in ``releases``.
        token_seconds: Life of an installation token (docs: 1 h).
        long_tokens: ``ghs_APPID_JWT`` tokens, several hundred characters (docs, since 2026-04-27).
        jwt_leeway_seconds: Tolerance for ``iat`` and ``exp`` of an App JWT (unknown; 0 is the strictest).
        core_limit: Requests per hour of an installation or user (docs: 5,000; grows with
            repositories above 20).
        registration_limit: The same for ``generate-jitconfig`` (docs: 10,000).
        registration_bucket: ``generate-jitconfig`` is charged to its own bucket (seen; every plan: unknown).
        primary_limit_status: 403 or 429 (docs: either).
        secondary_points_per_minute: REST points, GET 1 and mutations 5 (docs: 900); null switches it off.
        secondary_limit_status: 403 or 429 (docs: either).
        secondary_retry_after: Value of ``Retry-After``, or null for none (docs: maybe present).
        not_modified_costs_points: A 304 counts for the secondary limit (unknown).
        ghes_version: ``X-GitHub-Enterprise-Version`` of an Enterprise Server's answers;
            decides which routes it has.
        ghes_rate_limits: Rate limits on an Enterprise Server (docs: off by default).
        odd_words: Share of rows (runs, jobs, lists) whose free fields are odd but legal: names with
            escape sequences, bidi marks, 3,000 characters, lone surrogates, emoji; links to other hosts
            and ``javascript:``; numbers of 400 digits where no client needs to trust them
            (``total_count``, ``run_number``). Ids, states and times stay true. The same share of lists
            names another host in ``Link``.
        poll_seconds: How often a stand-in listener asks for work; real ones hold a long poll.
    """

    edition: Literal["github.com", "enterprise-server"] = "github.com"
    list_lag_seconds: float = 0.0
    runs_lag: float = 0.0
    jobs_lag: float = 0.0
    runners_lag: float = 0.0
    repositories_lag: float = 0.0
    get_lag_seconds: float = 0.0
    jobs_appear_after_seconds: float = 0.0
    frozen_run_rows: float = 0.0
    list_order: Literal["usual", "reversed", "shuffled"] = "usual"
    unassigned_runner: Literal["null", "zero"] = "null"
    busy_reads_false: bool = False
    busy_reads_offline: bool = False
    fresh_reads_offline_seconds: float = 0.0
    assignment_seconds: float = 0.0
    pickup_seconds: float = 60.0
    offer_blocks_delete: bool = True
    ghost_jobs: float = 0.0
    group_refuses: frozenset[str] = frozenset()
    queue_cap_seconds: float = 86_400.0
    queue_cap_conclusion: Literal["cancelled", "failure"] = "cancelled"
    later_jobs_requeue_run: bool = True
    job_timeout_seconds: float = 21_600.0
    hosted_seconds: float = 5.0
    offline_after_seconds: float = 60.0
    lease_seconds: float = 600.0
    linger_seconds: float = 10.0
    record_goes_at_start: float = 0.0
    reap_seconds: float = 86_400.0
    jit_lifetime_seconds: float = 3_600.0
    jit_propagation_seconds: float = 0.0
    jit_single_use: bool = True
    runners_per_group: int = 10_000
    registrations_per_5_minutes: int = 1_500
    cancel_grace_seconds: float = 301.0
    force_cancel_after_cancel_seconds: float = 120.0
    cancel_completed_conflicts: bool = False
    runner_version: str = ""
    deprecated_versions: tuple[str, ...] = ()
    starved_versions: frozenset[str] = frozenset()
    ended_versions_starve: bool = False
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
    odd_words: float = 0.0
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
            usable = _as_held(value, hints[name])
            if not _fits(usable, hints[name]) or (name in SHARES and usable > 1):
                mistakes.append(f"knob {name!r} cannot be {value!r}")
            values[name] = usable
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return dataclasses.replace(self, **values)


def _as_held(value: Any, hint: Any) -> Any:  # noqa: ANN401 - JSON against a type hint
    """Turn a list of JSON, or any collection where a set is wanted, into what a frozen value holds."""
    if get_origin(hint) is frozenset and isinstance(value, list | tuple | set):
        return frozenset(value) if all(isinstance(item, str) for item in value) else value
    return tuple(value) if isinstance(value, list) else value


def _fits(value: Any, hint: Any) -> bool:  # noqa: ANN401 - JSON against a type hint
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) in (tuple, frozenset):
        return isinstance(value, get_origin(hint)) and all(isinstance(item, str) for item in value)
    if isinstance(value, bool):
        return hint is bool
    if hint is float:
        return isinstance(value, int | float) and value >= 0
    if isinstance(value, int) and value < 0:
        return False
    return isinstance(value, hint)
