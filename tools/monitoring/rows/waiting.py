"""What waits, and why?"""

from __future__ import annotations

from tools.monitoring.grafana import Kind, Panel, Query, Row
from tools.monitoring.rows.shared import REASONS, SIMULATE, SLO

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
            pages=(REASONS,),
        ),
        Panel(
            title="Oldest wait, by reason",
            about="How long the oldest workflow job has waited that waits for a reason.",
            kind=Kind.SERIES,
            unit="s",
            queries=(Query("max by (reason) (hfrunners_queue_oldest_wait_seconds{@pool})", "{{reason}}"),),
            width=12,
            alerts=("HFRunnersJobWaitsLong",),
            pages=(REASONS,),
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
            pages=(SIMULATE,),
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
            pages=(SLO,),
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
            pages=(REASONS,),
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
            pages=(REASONS,),
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
