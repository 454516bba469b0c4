"""What several rows use: pages that a panel links to, and quantiles of a histogram."""

from __future__ import annotations

from typing import Final

from tools.monitoring.grafana import Query

LATE_SECONDS: Final = 600
"""When a workflow job is late: the objective in charts/hf-runner-controller/files/rules/slo.yaml."""

LATE: Final = f"{LATE_SECONDS}.0"
REASONS: Final = ("What each reason asks of you", "reference/reasons.md")
METRICS: Final = ("Metrics", "reference/metrics.md")
SIMULATE: Final = ("What would another maxRunners or minIdle do?", "simulate.md")
SLO: Final = ("How the objective is measured", "operations/monitoring.md#the-objective")
STOP: Final = ("Stop all launches, and let them go on", "operations/pause.md")
LOGS: Final = ("Logs with kubectl", "operations/monitoring.md#logs")


def quantiles(metric: str, window: str, selectors: str = "@pool") -> tuple[Query, ...]:
    """Return three queries of a histogram: what half, 95 % and 99 % stay below.

    Args:
        metric: Its name without the prefix of all our metrics, and without ``_bucket``.
        window: Over which it is summed, as Prometheus writes a duration.
        selectors: Of the series.
    """
    return tuple(
        Query(
            f"histogram_quantile({q}, sum by (le) (increase(hfrunners_{metric}_bucket{{{selectors}}}[{window}])))",
            name,
        )
        for q, name in (("0.5", "half of them"), ("0.95", "95 %"), ("0.99", "99 %"))
    )
