"""Is everybody served?"""

from __future__ import annotations

from tools.monitoring.grafana import GREEN, RED, YELLOW, Kind, Panel, Query, Row
from tools.monitoring.rows.shared import LATE, LATE_SECONDS, LOGS, REASONS, SLO, STOP, quantiles

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
                    f'sum(increase(hfrunners_job_queue_to_start_seconds_bucket{{@pool,le="{LATE}"}}[$__range])) '
                    "/ (sum(increase(hfrunners_job_queue_to_start_seconds_count{@pool}[$__range])) > 0)"
                ),
            ),
            width=4,
            height=4,
            steps=((None, RED), (0.95, YELLOW), (0.99, GREEN)),
            alerts=("HFRunnersQueueSLOFastBurn", "HFRunnersQueueSLOSlowBurn"),
            pages=(SLO,),
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
            queries=quantiles("job_queue_to_start_seconds", "30m"),
            width=12,
            alerts=("HFRunnersQueueSLOFastBurn", "HFRunnersQueueSLOSlowBurn"),
            pages=(SLO,),
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
            pages=(REASONS, STOP),
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
            pages=(REASONS, LOGS),
        ),
    ),
)
