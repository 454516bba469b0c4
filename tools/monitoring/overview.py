"""What the dashboard shows: five questions, from what people feel down to what the process does."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from tools.monitoring.grafana import (
    GREEN,
    RED,
    YELLOW,
    Dashboard,
    Kind,
    Panel,
    Query,
    Row,
    labels,
    text_box,
)

DOCS: Final = "https://github.com/hf-runner-controller/hf-runner-controller/blob/main/docs"
LATE_SECONDS: Final = 600
"""When a workflow job is late: the objective in charts/hf-runner-controller/files/rules/slo.yaml."""

_LATE = f"{LATE_SECONDS}.0"
_REASONS = ("What each reason asks of you", "reference/reasons.md")
_METRICS = ("Metrics", "reference/metrics.md")
_SIMULATE = ("What would another maxRunners or minIdle do?", "simulate.md")
_SLO = ("How the objective is measured", "operations/monitoring.md#the-objective")
_STOP = ("Stop all launches, and let them go on", "operations/pause.md")
_LOGS = ("Logs with kubectl", "operations/monitoring.md#logs")


def _quantiles(metric: str, window: str, selectors: str = "@pool") -> tuple[Query, ...]:
    return tuple(
        Query(
            f"histogram_quantile({q}, sum by (le) (increase(hfrunners_{metric}_bucket{{{selectors}}}[{window}])))",
            name,
        )
        for q, name in (("0.5", "half of them"), ("0.95", "95 %"), ("0.99", "99 %"))
    )


SERVED = Row(
    "Is everybody served?",
    (
        Panel(
            title="Jobs waiting",
            about="Queued workflow jobs of these pools now, those included for which a runner is starting.",
            kind=Kind.STAT,
            unit="short",
            queries=(Query("sum(hfrunners_queue_jobs{@pool})"),),
            width=4,
            height=4,
            alerts=("HFRunnersJobWaitsLong",),
        ),
        Panel(
            title="Oldest wait",
            about="How long the oldest queued workflow job has waited. The objective is 10 minutes.",
            kind=Kind.STAT,
            unit="s",
            queries=(Query("max(hfrunners_queue_oldest_wait_seconds{@pool})"),),
            width=4,
            height=4,
            steps=((None, GREEN), (300, YELLOW), (LATE_SECONDS, RED)),
            alerts=("HFRunnersJobWaitsLong",),
        ),
        Panel(
            title="Started within 10 minutes",
            about="Share of the workflow jobs started in the time range that had waited for at most 10 minutes. The objective is 95 %. "
            "No data means that no job started.",
            kind=Kind.STAT,
            unit="percentunit",
            queries=(
                Query(
                    f'sum(increase(hfrunners_job_queue_to_start_seconds_bucket{{@pool,le="{_LATE}"}}[$__range])) '
                    "/ (sum(increase(hfrunners_job_queue_to_start_seconds_count{@pool}[$__range])) > 0)"
                ),
            ),
            width=4,
            height=4,
            steps=((None, RED), (0.95, YELLOW), (0.99, GREEN)),
            alerts=("HFRunnersQueueSLOFastBurn", "HFRunnersQueueSLOSlowBurn"),
            pages=(_SLO,),
        ),
        Panel(
            title="Pools not ready",
            about="Pools whose condition Ready is False; the table below says which and why.",
            kind=Kind.STAT,
            unit="short",
            queries=(Query('count(hfrunners_pool_condition{@pool,condition="Ready"} == 0) or vector(0)'),),
            width=4,
            height=4,
            steps=((None, GREEN), (1, RED)),
            alerts=("HFRunnersPoolNotReady",),
        ),
        Panel(
            title="Jobs running",
            about="Workflow jobs that run on runners of these pools now.",
            kind=Kind.STAT,
            unit="short",
            queries=(Query('sum(hfrunners_runners{@pool,phase="Busy"})'),),
            width=4,
            height=4,
        ),
        Panel(
            title="Jobs interrupted",
            about="Workflow jobs in the time range whose HF Job ended under them. GitHub fails such jobs; spec.retry.interrupted runs "
            "them again.",
            kind=Kind.STAT,
            unit="short",
            queries=(Query("round(sum(increase(hfrunners_runners_lost_total{@pool}[$__range])))"),),
            width=4,
            height=4,
            steps=((None, GREEN), (0.5, YELLOW), (2.5, RED)),
            alerts=("HFRunnersJobsInterrupted",),
            pages=(("Interrupted jobs", "operations/interrupted-jobs.md"),),
        ),
        Panel(
            title="Workflow jobs",
            about="Waiting and running workflow jobs. A queue that stays while few run is explained in the next row.",
            kind=Kind.STACK,
            unit="short",
            queries=(
                Query('sum(hfrunners_runners{@pool,phase="Busy"})', "running"),
                Query("sum(hfrunners_queue_jobs{@pool})", "waiting"),
            ),
            width=12,
            alerts=("HFRunnersJobWaitsLong",),
        ),
        Panel(
            title="From queued to started",
            about="How long the workflow jobs that started in the last 30 minutes had waited, by GitHub's own times. Gaps: none started.",
            kind=Kind.SERIES,
            unit="s",
            queries=_quantiles("job_queue_to_start_seconds", "30m"),
            width=12,
            alerts=("HFRunnersQueueSLOFastBurn", "HFRunnersQueueSLOSlowBurn"),
            pages=(_SLO,),
        ),
        Panel(
            title="Pools ready",
            about="Each pool over time: ready, ready while its last launch failed, ready while nobody wants it to launch (the stop "
            "switch, spec.paused), or not ready. A pool that drains is not ready, as it should be.",
            kind=Kind.STATES,
            unit="short",
            queries=(
                Query(
                    # 2: all is well; 1: launches fail; 3 and 4: nothing is to be launched, with and without
                    # failures before.
                    'max by (namespace, pool) (hfrunners_pool_condition{@pool,condition="Ready"}) * (3 '
                    '+ max by (namespace, pool) (hfrunners_pool_condition{@pool,condition="LaunchesSucceed"}) '
                    '- 2 * max by (namespace, pool) (hfrunners_pool_condition{@pool,condition="LaunchesAllowed"}))',
                    "{{namespace}}/{{pool}}",
                ),
            ),
            width=12,
            height=7,
            states={
                2: ("ready", GREEN),
                1: ("launches fail", RED),
                3: ("stopped", YELLOW),
                4: ("stopped", YELLOW),
                0: ("not ready", RED),
            },
            alerts=("HFRunnersPoolNotReady", "HFRunnersLaunchesFailing", "HFRunnersLaunchesStopped"),
            pages=(_REASONS, _STOP),
        ),
        Panel(
            title="Conditions that ask for a look",
            about="Conditions of pools that are not as they should be now. kubectl describe rp tells the reason and the next step. Empty is good.",
            kind=Kind.TABLE,
            unit="short",
            queries=(
                Query(
                    "max by (namespace, pool, condition) ("
                    'hfrunners_pool_condition{@pool,condition!~"Stalled|Reconciling|LaunchesAllowed"} == 0 '
                    'or hfrunners_pool_condition{@pool,condition="Stalled"} == 1)'
                ),
            ),
            width=12,
            height=7,
            alerts=("HFRunnersPoolNotReady", "HFRunnersLaunchesFailing"),
            pages=(_REASONS, _LOGS),
        ),
    ),
)

WAITING = Row(
    "What waits, and why?",
    (
        Panel(
            title="Jobs waiting, by reason",
            about="Why queued workflow jobs wait. RunnerStarting passes by itself; every other reason is explained in the reference.",
            kind=Kind.STACK,
            unit="short",
            queries=(Query("sum by (reason) (hfrunners_queue_jobs{@pool})", "{{reason}}"),),
            width=12,
            alerts=("HFRunnersJobWaitsLong", "HFRunnersJobsNotPickedUp", "HFRunnersQueueSLOFastBurn"),
            pages=(_REASONS,),
        ),
        Panel(
            title="Oldest wait, by reason",
            about="How long the oldest workflow job has waited that waits for a reason.",
            kind=Kind.SERIES,
            unit="s",
            queries=(Query("max by (reason) (hfrunners_queue_oldest_wait_seconds{@pool})", "{{reason}}"),),
            width=12,
            alerts=("HFRunnersJobWaitsLong",),
            pages=(_REASONS,),
        ),
        Panel(
            title="Runners, by phase",
            about="Registered, Scheduling and Starting runners are on their way, Idle ones wait for a job and cost money, Busy ones work; "
            "those that are ending have ended, and are taken off GitHub's list.",
            kind=Kind.STACK,
            unit="short",
            queries=(
                Query(
                    'sum by (phase) (hfrunners_runners{@pool,phase!~"Finished|Lost|Orphaned"})', "{{phase}}"
                ),
                Query('sum(hfrunners_runners{@pool,phase=~"Finished|Lost|Orphaned"})', "ending"),
            ),
            width=12,
            alerts=("HFRunnersOrphansRemain",),
        ),
        Panel(
            title="Share of maxRunners in use",
            about="Runners of a pool as a share of its spec.maxRunners. At 100 % further jobs wait with the reason AtMaxRunners.",
            kind=Kind.SERIES,
            unit="percentunit",
            queries=(
                Query(
                    'sum by (namespace, pool) (hfrunners_runners{@pool,phase!~"Finished|Lost|Orphaned"}) '
                    "/ sum by (namespace, pool) (hfrunners_pool_max_runners{@pool})",
                    "{{namespace}}/{{pool}}",
                ),
            ),
            width=12,
            most=1,
            alerts=("HFRunnersQueueSLOSlowBurn",),
            pages=(_SIMULATE,),
        ),
        Panel(
            title="Waits, by length",
            about="Workflow jobs that started, by how long they had waited. The darker a cell, the more jobs.",
            kind=Kind.HEATMAP,
            unit="s",
            queries=(
                Query(
                    "sum by (le) (increase(hfrunners_job_queue_to_start_seconds_bucket{@pool}[$__rate_interval]))",
                    "{{le}}",
                ),
            ),
            width=12,
            pages=(_SLO,),
        ),
        Panel(
            title="Where the time goes",
            about="95 % of the runners of the last 30 minutes took less: for hardware at the Hub (scheduling) and from there until they were "
            "online at GitHub (boot: image, bootstrap, registration).",
            kind=Kind.SERIES,
            unit="s",
            queries=(
                Query(
                    "histogram_quantile(0.95, sum by (le) (increase(hfrunners_job_queue_to_online_seconds_bucket{@pool}[30m])))",
                    "queued to online",
                ),
                Query(
                    "histogram_quantile(0.95, sum by (flavor, le) (increase(hfrunners_hf_scheduling_seconds_bucket{@job}[30m])))",
                    "scheduling {{flavor}}",
                ),
                Query(
                    "histogram_quantile(0.95, sum by (flavor, le) (increase(hfrunners_runner_boot_seconds_bucket{@job}[30m])))",
                    "boot {{flavor}}",
                ),
            ),
            width=12,
            alerts=("HFRunnersFlavorWithoutCapacity",),
        ),
        Panel(
            title="Launches",
            about="Runners launched by flavor, as a rate per second.",
            kind=Kind.STACK,
            unit="ops",
            queries=(
                Query(
                    "sum by (flavor) (rate(hfrunners_launches_total{@pool}[$__rate_interval]))", "{{flavor}}"
                ),
            ),
            width=8,
        ),
        Panel(
            title="Launches that failed",
            about="Launches of the last 15 minutes that failed, by flavor and reason. After a failure the next try waits ever longer.",
            kind=Kind.STACK,
            unit="short",
            queries=(
                Query(
                    "sum by (flavor, reason) (increase(hfrunners_launch_failures_total{@pool}[15m])) > 0",
                    "{{flavor}} {{reason}}",
                ),
            ),
            width=8,
            alerts=(
                "HFRunnersLaunchesFailing",
                "HFRunnersFlavorWithoutCapacity",
                "HFRunnersRunnerVersionRefused",
            ),
            pages=(_REASONS,),
        ),
        Panel(
            title="Detours",
            about="In the last 15 minutes: launches that went to a later flavor, runners that met a deadline, runners that were lost under a "
            "job, workflow runs that were run again.",
            kind=Kind.STACK,
            unit="short",
            queries=(
                Query(
                    "sum by (flavor) (increase(hfrunners_fallbacks_total{@pool}[15m])) > 0",
                    "fallback from {{flavor}}",
                ),
                Query(
                    "sum by (deadline) (increase(hfrunners_runners_stuck_total{@pool}[15m])) > 0",
                    "deadline {{deadline}}",
                ),
                Query(
                    "sum by (reason) (increase(hfrunners_runners_lost_total{@pool}[15m])) > 0",
                    "lost: {{reason}}",
                ),
                Query("sum(increase(hfrunners_retries_total{@pool}[15m])) > 0", "runs repeated"),
            ),
            width=8,
            alerts=("HFRunnersJobsInterrupted", "HFRunnersFlavorWithoutCapacity"),
        ),
        Panel(
            title="Runners that were ended, by reason",
            about="Runners that the controller itself ended in the last 15 minutes. IdleDeadline and Surplus... are usual; PoolChanged follows an "
            "edit, PoolDeleted and PoolDrained a deletion; the same reason again and again is worth a look.",
            kind=Kind.STACK,
            unit="short",
            queries=(
                Query(
                    "sum by (reason) (increase(hfrunners_runners_retired_total{@pool}[15m])) > 0",
                    "{{reason}}",
                ),
            ),
            width=12,
            pages=(_REASONS,),
        ),
        Panel(
            title="Pools that leave",
            about="For how long pools have been deleted or drained. Without a busy runner more than an hour is too long.",
            kind=Kind.SERIES,
            unit="s",
            queries=(
                Query(
                    "max by (namespace, pool) (hfrunners_pool_draining_seconds{@pool})",
                    "{{namespace}}/{{pool}}",
                ),
            ),
            width=12,
            alerts=("HFRunnersPoolDrainsLong",),
            pages=(("Deleting and draining pools", "operations/drain.md"),),
        ),
    ),
)

MONEY = Row(
    "What does it cost?",
    (
        Panel(
            title="Now, per hour",
            about="Estimated cost per hour of the HF Jobs that are billed now.",
            kind=Kind.STAT,
            unit="currencyUSD",
            queries=(Query("sum(hfrunners_cost_usd_per_hour{@pool})"),),
            width=4,
            height=4,
        ),
        Panel(
            title="Spent in this time range",
            about="Estimated cost of the HF Jobs that ended in the time range.",
            kind=Kind.STAT,
            unit="currencyUSD",
            queries=(Query("sum(increase(hfrunners_cost_usd_total{@pool}[$__range]))"),),
            width=5,
            height=4,
        ),
        Panel(
            title="At worst from now on",
            about="What the live HF Jobs can still cost if the controller never looks again: each ends by its server-side timeout.",
            kind=Kind.STAT,
            unit="currencyUSD",
            queries=(Query("sum(hfrunners_worst_case_usd{@pool})"),),
            width=5,
            height=4,
        ),
        Panel(
            title="Paid time that works",
            about="Share of the billed time of runners in the time range in which they ran a workflow job. The rest they started or were idle: "
            "see minIdle and deadlines.idle. What failed is beside it.",
            kind=Kind.STAT,
            unit="percentunit",
            queries=(
                Query(
                    'sum(sum_over_time(hfrunners_runners{@pool,phase="Busy"}[$__range])) '
                    '/ (sum(sum_over_time(hfrunners_runners{@pool,phase=~"Starting|Idle|Busy"}[$__range])) > 0)'
                ),
            ),
            width=5,
            height=4,
            pages=(_SIMULATE,),
        ),
        Panel(
            title="Launches that worked",
            about="Share of the launches in the time range that did not fail before a runner took a job. No data means that none was launched.",
            kind=Kind.STAT,
            unit="percentunit",
            queries=(
                Query(
                    "clamp_min(1 - sum(increase(hfrunners_launch_failures_total{@pool}[$__range])) "
                    "/ (sum(increase(hfrunners_launches_total{@pool}[$__range])) > 0), 0)"
                ),
            ),
            width=5,
            height=4,
            steps=((None, RED), (0.5, YELLOW), (0.9, GREEN)),
            alerts=("HFRunnersLaunchesFailing",),
        ),
        Panel(
            title="Cost per hour, by pool",
            about="Estimated cost per hour of the HF Jobs that are billed.",
            kind=Kind.STACK,
            unit="currencyUSD",
            queries=(
                Query(
                    "sum by (namespace, pool) (hfrunners_cost_usd_per_hour{@pool})", "{{namespace}}/{{pool}}"
                ),
            ),
            width=12,
        ),
        Panel(
            title="Pools in this time range",
            about="Workflow jobs that started, billed hours and estimated dollars of HF Jobs that ended, by pool.",
            kind=Kind.TABLE,
            unit="short",
            queries=(
                Query(
                    "round(sum by (namespace, pool) (increase(hfrunners_job_queue_to_start_seconds_count{@pool}[$__range])))",
                    "jobs",
                ),
                Query(
                    "sum by (namespace, pool) (increase(hfrunners_billed_seconds_total{@pool}[$__range]))",
                    "billed",
                    "dtdurations",
                ),
                Query(
                    "sum by (namespace, pool) (increase(hfrunners_cost_usd_total{@pool}[$__range]))",
                    "cost",
                    "currencyUSD",
                ),
            ),
            width=12,
        ),
    ),
)

SERVICES = Row(
    "Are GitHub and the Hub healthy?",
    (
        Panel(
            title="GitHub quota left",
            about="Share of the hourly requests that each credential has left. Other users of the same credential count too.",
            kind=Kind.SERIES,
            unit="percentunit",
            queries=(
                Query(
                    "min by (credential) (hfrunners_github_quota_remaining{@job} / hfrunners_github_quota_limit{@job})",
                    "{{credential}}",
                ),
            ),
            width=8,
            most=1,
            alerts=("HFRunnersGitHubQuotaLow",),
        ),
        Panel(
            title="Requests to GitHub, by status",
            about="Answers of GitHub per second. 304 costs no quota.",
            kind=Kind.STACK,
            unit="reqps",
            queries=(
                Query(
                    "sum by (code) (rate(hfrunners_github_requests_total{@job}[$__rate_interval]))",
                    "{{code}}",
                ),
            ),
            width=8,
        ),
        Panel(
            title="GitHub errors, by reason",
            about="Calls to GitHub that failed, per second; also those not sent for want of a Secret or by a known limit.",
            kind=Kind.STACK,
            unit="ops",
            queries=(
                Query(
                    "sum by (credential, reason) (rate(hfrunners_github_errors_total{@job}[$__rate_interval])) > 0",
                    "{{reason}} {{credential}}",
                ),
            ),
            width=8,
            alerts=(
                "HFRunnersGitHubCredentialsFailing",
                "HFRunnersCredentialsExpire",
                "HFRunnersGitHubPollsStale",
            ),
            pages=(_REASONS,),
        ),
        Panel(
            title="Age of what is known",
            about="How old the looks at GitHub's queue and the lists of HF Jobs are that the controller acts on. Nothing is scaled down on old news.",
            kind=Kind.SERIES,
            unit="s",
            queries=(
                Query(
                    "max by (credential) (hfrunners_github_poll_age_seconds{@job})", "GitHub {{credential}}"
                ),
                Query("max by (account) (hfrunners_hub_list_age_seconds{@job})", "Hub {{account}}"),
            ),
            width=8,
            alerts=("HFRunnersGitHubPollsStale", "HFRunnersHubListStale"),
        ),
        Panel(
            title="Requests to the Hub, by status",
            about="Answers of the Hub per second.",
            kind=Kind.STACK,
            unit="reqps",
            queries=(
                Query(
                    "sum by (code) (rate(hfrunners_hub_requests_total{@job}[$__rate_interval]))", "{{code}}"
                ),
            ),
            width=8,
        ),
        Panel(
            title="Hub errors, by reason",
            about="Calls to the Hub that failed, per second; also those not sent for want of a Secret or by a known limit.",
            kind=Kind.STACK,
            unit="ops",
            queries=(
                Query(
                    "sum by (account, reason) (rate(hfrunners_hub_errors_total{@job}[$__rate_interval])) > 0",
                    "{{reason}} {{account}}",
                ),
            ),
            width=8,
            alerts=(
                "HFRunnersHubCredentialsFailing",
                "HFRunnersHubCreditMissing",
                "HFRunnersHubListStale",
            ),
            pages=(_REASONS,),
        ),
    ),
)

CONTROLLER = Row(
    "Is the controller healthy?",
    (
        Panel(
            title="Leaders",
            about="Replicas that act; exactly one is right.",
            kind=Kind.STAT,
            unit="short",
            queries=(Query("sum(hfrunners_leader{@job})"),),
            width=3,
            height=4,
            steps=((None, RED), (1, GREEN), (2, RED)),
            alerts=("HFRunnersNoLeader", "HFRunnersSeveralLeaders"),
            pages=(("Leadership", "operations/leadership.md"),),
        ),
        Panel(
            title="Replicas",
            about="Replicas that are scraped, followers included.",
            kind=Kind.STAT,
            unit="short",
            queries=(Query("count(hfrunners_leader{@job})"),),
            width=3,
            height=4,
            alerts=("HFRunnersNoLeader",),
        ),
        Panel(
            title="Since the last pass",
            about="Seconds since the leader last planned; a few are usual.",
            kind=Kind.STAT,
            unit="s",
            queries=(Query("min(time() - hfrunners_last_pass_timestamp_seconds{@job})"),),
            width=3,
            height=4,
            steps=((None, GREEN), (60, YELLOW), (120, RED)),
            alerts=("HFRunnersPassesStopped",),
            pages=(_LOGS,),
        ),
        Panel(
            title="Passes that failed",
            about="Passes, and pools left out of one, in the time range, for a fault of the controller's own. Please report them.",
            kind=Kind.STAT,
            unit="short",
            queries=(
                Query("round(sum(increase(hfrunners_reconcile_errors_total{@job}[$__range])))", "all"),
                # No pool has a series before its first fault.
                Query(
                    "round(sum(increase(hfrunners_pool_errors_total{@job}[$__range]))) or vector(0)",
                    "of single pools",
                ),
            ),
            width=4,
            height=4,
            steps=((None, GREEN), (0.5, RED)),
            alerts=("HFRunnersReconcileErrors",),
            pages=(_LOGS,),
        ),
        Panel(
            title="Version",
            about="Version of the controller; two during an upgrade.",
            kind=Kind.STAT,
            unit="short",
            queries=(Query("count by (version) (hfrunners_build_info{@job})", "{{version}}"),),
            width=4,
            height=4,
            name_only=True,
        ),
        Panel(
            title="Runner release is served for",
            about="For how long GitHub gives jobs to the actions/runner release that images without a runner download, at least. Negative: it may have stopped.",
            kind=Kind.STAT,
            unit="s",
            queries=(Query("min(hfrunners_runner_version_served_until_timestamp_seconds{@job}) - time()"),),
            width=4,
            height=4,
            steps=((None, RED), (0, YELLOW), (7 * 86_400, GREEN)),
            alerts=("HFRunnersRunnerVersionAgeing", "HFRunnersRunnerVersionRefused"),
        ),
        Panel(
            title="Stops",
            about="How many stops of the stop switch are on: for all accounts, or for one each. 0 is as usual.",
            kind=Kind.STAT,
            unit="short",
            queries=(Query("count(max by (account) (hfrunners_launches_stopped{@job})) or vector(0)"),),
            width=3,
            height=4,
            steps=((None, GREEN), (1, YELLOW)),
            alerts=("HFRunnersLaunchesStopped", "HFRunnersStopSwitchUnreadable"),
            pages=(_STOP,),
        ),
        Panel(
            title="Duration of passes",
            about="How long planning takes; a second is much.",
            kind=Kind.SERIES,
            unit="s",
            queries=_quantiles("pass_duration_seconds", "$__rate_interval", "@job"),
            width=8,
            alerts=("HFRunnersPassesStopped",),
        ),
        Panel(
            title="Writing launches down",
            about="From the decision to launch until it is in the pool's status, before which no launch begins; half a second is much.",
            kind=Kind.SERIES,
            unit="s",
            queries=_quantiles("intent_seconds", "$__rate_interval", "@pool"),
            width=8,
            alerts=("HFRunnersIntentsBlocked",),
        ),
        Panel(
            title="Orphans collected",
            about="Halves of runners removed in the last 15 minutes: a few after a crash are usual.",
            kind=Kind.STACK,
            unit="short",
            queries=(
                Query("sum by (kind) (increase(hfrunners_orphans_collected_total{@job}[15m]))", "{{kind}}"),
            ),
            width=8,
            alerts=("HFRunnersOrphansOften", "HFRunnersOrphansRemain"),
        ),
        Panel(
            title="What people were told",
            about="Events of the last 15 minutes by reason: kubectl get events shows them in full.",
            kind=Kind.STACK,
            unit="short",
            queries=(
                Query(
                    "sum by (reason) (increase(hfrunners_notices_total{@pool}[15m])) > 0",
                    "{{reason}}",
                ),
            ),
            width=8,
            pages=(_REASONS, _METRICS),
        ),
    ),
)


def _explore() -> str:
    """Return the address of Grafana Explore with the controller's logs, in the data source
    that ``$loki`` names.
    """
    query = (
        '{"refId":"A","datasource":{"type":"loki","uid":"${loki}"},"expr":"{app=\\"hf-runner-controller\\"}"}'
    )
    panes = f'{{"logs":{{"datasource":"${{loki}}","queries":[{query}],"range":{{"from":"${{__from}}","to":"${{__to}}"}}}}}}'
    return f"/explore?schemaVersion=1&panes={quote(panes, safe='${}_')}"


def _link(title: str, url: str, *, icon: str, about: str) -> dict[str, object]:
    return {
        "asDropdown": False,
        "icon": icon,
        "includeVars": False,
        "keepTime": False,
        "tags": [],
        "targetBlank": True,
        "title": title,
        "tooltip": about,
        "type": "link",
        "url": url,
    }


def _annotation(name: str, expr: str, *, title: str, color: str) -> dict[str, object]:
    return {
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "enable": True,
        "expr": Query(expr).filled,
        "hide": False,
        "iconColor": color,
        "name": name,
        "step": "1m",
        "titleFormat": title,
    }


OVERVIEW: Final = Dashboard(
    uid="hf-runner-controller-overview",
    title="GitHub Actions runners on Hugging Face Jobs",
    about="Is everybody served, what waits and why, what does it cost, and are the services and the controller healthy? "
    "Generated from tools/monitoring/overview.py.",
    tags=("hf-runner-controller", "github-actions", "hugging-face"),
    docs=DOCS,
    variables=(
        labels("job", "Job", of="hfrunners_leader"),
        labels("instance", "Instance", of='hfrunners_leader{job=~"$job"}'),
        labels("namespace", "Namespace", of='hfrunners_pool_max_runners{job=~"$job"}'),
        labels("pool", "Pool", of='hfrunners_pool_max_runners{job=~"$job",namespace=~"$namespace"}'),
        text_box(
            "loki",
            "Loki data source",
            about="Name or uid of the Loki data source that the link Logs opens.",
            value="loki",
        ),
    ),
    annotations=(
        _annotation(
            "New leader",
            "hfrunners_leader{@job} == 1 unless hfrunners_leader{@job} offset 1m == 1",
            title="{{instance}} leads",
            color="blue",
        ),
        _annotation(
            "Alerts",
            'ALERTS{alertname=~"HFRunners.+",alertstate="firing"}',
            title="{{alertname}} {{namespace}}/{{pool}}",
            color="red",
        ),
    ),
    links=(
        _link(
            "Runbooks",
            "${docs}/operations/monitoring.md#alerts",
            icon="bolt",
            about="What each alert asks of you",
        ),
        _link("Logs", _explore(), icon="doc", about="The controller's logs in Grafana Explore"),
        _link(
            "Docs", "${docs}/operations/monitoring.md", icon="question", about="How to read this dashboard"
        ),
    ),
    rows=(SERVED, WAITING, MONEY, SERVICES, CONTROLLER),
)
