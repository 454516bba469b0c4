"""Every metric: name, type, labels, and what exactly it says.

``docs/reference/metrics.md`` is generated from this module. Names and labels are stable: dashboards and
alerts are built on them, so add, don't rename. Labels are bounded by what people configured (pools, the
flavors of their specs, Secrets) and by lists in the code (reasons, phases, HTTP codes); what a service calls
a thing, such as a job's or a runner's id, is never one. Every series belongs to a pool, a credential, an
account, or the process, and ends with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

POOL = ("namespace", "pool")
FLAVOR = (*POOL, "flavor")
"""A flavor as the pool's ``spec.flavors`` has it, else ``other``."""

CREDENTIAL = ("credential",)
ACCOUNT = ("account",)

WAIT_BUCKETS = (1, 5, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 57_600, 86_400)
"""Seconds; a bound on each threshold that somebody may promise, up to GitHub's own limit of a day."""

BOOT_BUCKETS = (1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600)
INTENT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20)
PASS_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5)


class Type(StrEnum):
    """Prometheus' types, as far as they are used."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One metric.

    Attributes:
        name: As Prometheus shows it.
        type: Its type.
        labels: Names of its labels.
        help: What it says, on whose clock where that matters.
        buckets: Upper bounds of a histogram, in its unit.
    """

    name: str
    type: Type
    labels: tuple[str, ...] = ()
    help: str
    buckets: tuple[float, ...] = ()


def _gauge(name: str, labels: tuple[str, ...], text: str) -> Spec:
    return Spec(name=f"hfrunners_{name}", type=Type.GAUGE, labels=labels, help=text)


def _counter(name: str, labels: tuple[str, ...], text: str) -> Spec:
    return Spec(name=f"hfrunners_{name}_total", type=Type.COUNTER, labels=labels, help=text)


def _histogram(name: str, labels: tuple[str, ...], buckets: tuple[float, ...], text: str) -> Spec:
    return Spec(
        name=f"hfrunners_{name}_seconds", type=Type.HISTOGRAM, labels=labels, help=text, buckets=buckets
    )


# ---------------------------------------------------------------------------------- pools, in the newest pass
QUEUE_JOBS = _gauge(
    "queue_jobs",
    (*POOL, "reason"),
    "Queued workflow jobs of the pool by the reason that they wait, in the newest pass. RunnerStarting is there for every "
    "pool, any other reason while a job waits for it.",
)
QUEUE_OLDEST_WAIT = _gauge(
    "queue_oldest_wait_seconds",
    (*POOL, "reason"),
    "Age of the oldest queued workflow job that waits for this reason, on GitHub's clock: since the look that saw it become queued "
    "(approved, for instance), or since its created_at where it was queued when it was first seen. 0 when no job waits.",
)
SUSPICIONS = _gauge(
    "suspicions",
    (*POOL, "level"),
    "Jobs (Job), repositories (Repository) or the whole pool (Pool) with queued workflow jobs that GitHub gave to none of the pool's "
    "idle runners, in the newest pass; the widest that covers a job. 0 while there are none.",
)
RUNNERS = _gauge("runners", (*POOL, "phase"), "Runners of the pool by phase, in the newest pass.")
MAX_RUNNERS = _gauge("pool_max_runners", POOL, "spec.maxRunners of the pool.")
CONDITION = _gauge(
    "pool_condition",
    (*POOL, "condition"),
    "Conditions in the pool's status: 1 for True, 0 for False; absent while Unknown.",
)
DRAINING = _gauge(
    "pool_draining_seconds",
    POOL,
    "Seconds for which this process has seen the pool being deleted or drained, at the time of the scrape; absent for all others.",
)
USD_PER_HOUR = _gauge(
    "cost_usd_per_hour",
    POOL,
    "Estimated US dollars per hour of the pool's HF Jobs that are billed now: the prices that the Hub lists, by flavor.",
)
WORST_CASE = _gauge(
    "worst_case_usd",
    POOL,
    "Estimated US dollars that the pool's live HF Jobs can still cost if the controller never looks again: each until its "
    "server-side timeout.",
)

# ------------------------------------------------------------------------------------- pools, since the start
QUEUE_TO_ONLINE = _histogram(
    "job_queue_to_online",
    POOL,
    WAIT_BUCKETS,
    "Seconds from the moment when a workflow job was queued (see hfrunners_queue_oldest_wait_seconds) until the runner that took it was online: its first list of "
    "runners that showed it online, which may be one polling interval late, or the job's start if that was earlier. 0 if the "
    "runner was online before the job was queued. Observed once per job that a runner of the pool started; jobs that never "
    "start are in hfrunners_queue_oldest_wait_seconds only.",
)
QUEUE_TO_START = _histogram(
    "job_queue_to_start",
    POOL,
    WAIT_BUCKETS,
    "Seconds from the moment when a workflow job was queued (see hfrunners_queue_oldest_wait_seconds) to its started_at, both on "
    "GitHub's clock, in whole seconds. Observed once per "
    "job that a runner of the pool started, when the controller sees it; jobs that started before this process began are "
    "left to the one before.",
)
HF_SCHEDULING = _histogram(
    "hf_scheduling",
    FLAVOR,
    BOOT_BUCKETS,
    "Seconds from an HF Job's createdAt to its startedAt, both on the Hub's clock. HF Jobs that end without having run are "
    "not observed: see hfrunners_runners_stuck_total.",
)
RUNNER_BOOT = _histogram(
    "runner_boot",
    FLAVOR,
    BOOT_BUCKETS,
    "Seconds from an HF Job's startedAt (the Hub's clock) until its runner was online at GitHub, seen as in "
    "hfrunners_job_queue_to_online_seconds. Both are brought onto the controller's clock by the Date headers of the answers.",
)
LAUNCHES = _counter("launches", FLAVOR, "Launches that were started.")
INTENT = _histogram(
    "intent",
    POOL,
    INTENT_BUCKETS,
    "Seconds from the decision to launch until it was written into the pool's status, before which no launch begins: one "
    "observation for all launches of a pool and pass. While they cannot be written, the condition IntentsWritten is False.",
)
LAUNCH_FAILURES = _counter(
    "launch_failures",
    (*FLAVOR, "reason"),
    "Launches that failed: GitHub or the Hub refused the request, or the runner ended or was given up before it took a job. "
    "Once per runner.",
)
FALLBACKS = _counter(
    "fallbacks",
    FLAVOR,
    "Launches that went to a later entry of spec.flavors because this earlier one was out of capacity, failing or not offered.",
)
RETRIES = _counter(
    "retries",
    POOL,
    "Workflow runs whose failed jobs were run again, because an HF Job had ended under a workflow job.",
)
LOST = _counter(
    "runners_lost",
    (*POOL, "reason"),
    "HF Jobs that ended while a workflow job ran on them, by why the HF Job ended; RunnerLost where nobody saw it end.",
)
STUCK = _counter(
    "runners_stuck",
    (*POOL, "deadline"),
    "Runners that met a deadline of spec.deadlines before their work was done: scheduling, registration, idle (online, yet "
    "GitHub gave them none of the jobs that waited) or lifetime (it ended a running workflow job).",
)
BILLED_SECONDS = _counter(
    "billed_seconds",
    FLAVOR,
    "Seconds from startedAt to finishedAt of HF Jobs that ended, on the Hub's clock, added when the end is seen. An HF Job "
    "that tells no end counts up to the newest list. Not among them: ends while no controller ran, and the seconds of starting "
    "before startedAt, which the Hub bills too but does not show.",
)
COST = _counter(
    "cost_usd",
    FLAVOR,
    "Estimated US dollars of HF Jobs that ended: hfrunners_billed_seconds_total times the flavor's listed price, without the "
    "Hub's rounding.",
)
NOTICES = _counter(
    "notices", (*POOL, "reason"), "Things that people were told once, as Event and log line, by reason."
)
VERSION_REFUSED = _counter(
    "runner_version_refused", POOL, "Runners that ended because GitHub refuses their actions/runner version."
)
RETIREMENTS = _counter(
    "runners_retired",
    (*POOL, "reason"),
    "Runners that the controller ended itself (deregistered at GitHub, and their HF Job cancelled if there was one), by reason. "
    "Once per runner; one that ends by itself after its workflow job is none.",
)
ORPHANS = _counter(
    "orphans_collected",
    ("kind",),
    "Halves of runners that were removed because their other half, or their pool, was gone: kind registration at GitHub, "
    "hf_job at the Hub.",
)

# ----------------------------------------------------------------------------------------------------- GitHub
GITHUB_REQUESTS = _counter(
    "github_requests",
    (*CREDENTIAL, "code"),
    "Answers of GitHub by HTTP status (other for one that no standard knows); 304 costs no quota. A request without an answer is in hfrunners_github_errors_total.",
)
GITHUB_ERRORS = _counter(
    "github_errors",
    (*CREDENTIAL, "reason"),
    "Calls to GitHub that failed, by reason; also those that were not sent, for want of a usable Secret or by a known limit.",
)
QUOTA_REMAINING = _gauge(
    "github_quota_remaining",
    CREDENTIAL,
    "Requests left in the hourly quota by GitHub's newest answer; of several installations, the one with the least share left.",
)
QUOTA_LIMIT = _gauge("github_quota_limit", CREDENTIAL, "Size of that hourly quota.")
QUOTA_RESET = _gauge(
    "github_quota_reset_timestamp_seconds",
    CREDENTIAL,
    "When that quota is whole again, in seconds since the epoch on GitHub's clock.",
)
TOKEN_END = _gauge(
    "github_token_expiration_timestamp_seconds",
    CREDENTIAL,
    "When the personal access token of the credential ends, in seconds since the epoch on GitHub's clock, as its answers tell; "
    "absent for a token without an end, and for an App.",
)
POLL_AGE = _gauge(
    "github_poll_age_seconds",
    CREDENTIAL,
    "Seconds since the oldest complete look at a repository where workflows are at work; where there is none, since the newest "
    "complete look at any repository. At the time of the scrape, on the controller's clock.",
)

# -------------------------------------------------------------------------------------------------------- Hub
HUB_REQUESTS = _counter(
    "hub_requests",
    (*ACCOUNT, "code"),
    "Answers of the Hub by HTTP status (other for one that no standard knows). The list of hardware, which needs no token, is not counted.",
)
HUB_ERRORS = _counter(
    "hub_errors",
    (*ACCOUNT, "reason"),
    "Calls to the Hub that failed, by reason; also those that were not sent, for want of a usable Secret or by a known limit.",
)
LIST_AGE = _gauge(
    "hub_list_age_seconds",
    ACCOUNT,
    "Seconds since the newest complete list of live HF Jobs was asked for, at the time of the scrape, on the controller's "
    "clock; up to a minute where nothing lives.",
)

# ---------------------------------------------------------------------------------------------------- process
LEADER = _gauge(
    "leader", (), "1 while this replica leads, 0 while it follows. Exactly one replica should lead."
)
STOPPED = _gauge(
    "launches_stopped",
    ("account",),
    "1 for each Hugging Face namespace whose launches the stop switch stops; account is * where it stops all. Absent while "
    "it stops nothing.",
)
SWITCH_READ = _gauge(
    "stop_switch_readable",
    (),
    "1 if the stop switch could be read at the last look, or there is none; else 0: what was read before stays in force, and "
    "nothing is launched where it was never read.",
)
PASS_DURATION = _histogram("pass_duration", (), PASS_BUCKETS, "Duration of planning passes.")
LAST_PASS = _gauge(
    "last_pass_timestamp_seconds",
    (),
    "When the newest planning pass ended, in seconds since the epoch on the controller's clock. Absent on a follower.",
)
RECONCILE_ERRORS = _counter(
    "reconcile_errors",
    (),
    "Passes, writings of statuses, and pools in them, that failed for a fault of the controller's own.",
)
POOL_ERRORS = _counter(
    "pool_errors",
    (*POOL, "part"),
    "Times that a pool was left out of a part of a pass, for a fault of the controller's own (InternalError in its log): plan, "
    "status or measure. Other pools are not touched by it.",
)
BUILD_INFO = _gauge("build_info", ("version",), "1; the label names the controller's version.")
VERSION_SERVED_UNTIL = _gauge(
    "runner_version_served_until_timestamp_seconds",
    ("version",),
    "Until when GitHub gives jobs to the actions/runner release that images without a runner download, at least, in seconds since "
    "the epoch: 63 days, the shortest time that was seen between a release's successor and its end, after the last day on which "
    "it was known to be the newest. Absent for another release that --runner-version names.",
)

SECTIONS: tuple[tuple[str, tuple[Spec, ...]], ...] = (
    (
        "Pools now",
        (
            QUEUE_JOBS,
            QUEUE_OLDEST_WAIT,
            SUSPICIONS,
            RUNNERS,
            MAX_RUNNERS,
            CONDITION,
            DRAINING,
            USD_PER_HOUR,
            WORST_CASE,
        ),
    ),
    ("Service", (QUEUE_TO_ONLINE, QUEUE_TO_START, HF_SCHEDULING, RUNNER_BOOT)),
    (
        "Runners",
        (
            LAUNCHES,
            INTENT,
            LAUNCH_FAILURES,
            FALLBACKS,
            RETRIES,
            LOST,
            STUCK,
            VERSION_REFUSED,
            RETIREMENTS,
            ORPHANS,
            NOTICES,
        ),
    ),
    ("Money", (BILLED_SECONDS, COST)),
    (
        "GitHub",
        (GITHUB_REQUESTS, GITHUB_ERRORS, QUOTA_REMAINING, QUOTA_LIMIT, QUOTA_RESET, TOKEN_END, POLL_AGE),
    ),
    ("Hub", (HUB_REQUESTS, HUB_ERRORS, LIST_AGE)),
    (
        "Controller",
        (
            LEADER,
            STOPPED,
            SWITCH_READ,
            LAST_PASS,
            PASS_DURATION,
            RECONCILE_ERRORS,
            POOL_ERRORS,
            BUILD_INFO,
            VERSION_SERVED_UNTIL,
        ),
    ),
)
"""All of them, as the reference shows them."""

ALL: tuple[Spec, ...] = tuple(spec for _, specs in SECTIONS for spec in specs)
