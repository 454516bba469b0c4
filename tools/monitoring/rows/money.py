"""What does it cost?"""

from __future__ import annotations

from tools.monitoring.grafana import GREEN, RED, YELLOW, Kind, Panel, Query, Row
from tools.monitoring.rows.shared import SIMULATE

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
            pages=(SIMULATE,),
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
