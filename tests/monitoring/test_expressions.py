"""The check of every expression on a real Prometheus: that it finds what is missing, since in
the scene it finds nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.monitoring.expressions import Range, filled, of_the_dashboard, of_the_rules, unanswered
from tools.monitoring.overview import OVERVIEW
from tools.monitoring.programs import ProgramMissing, program
from tools.monitoring.prometheus import Prometheus, QueryFailed, configuration, free_port, running


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Prometheus]:
    """A Prometheus whose only target is not there; left out where there is none, but not in CI."""
    try:
        program("prometheus")
    except ProgramMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    with running(configuration({"pod": free_port()}, namespace="hfrc"), tmp_path) as prometheus:
        yield prometheus


def test_a_panel_without_data_is_named(prometheus: Prometheus) -> None:
    over = Range(start=time.time() - 10, end=time.time())
    wrong = unanswered(prometheus, over)
    titles = [panel.title for row in OVERVIEW.rows for panel in row.panels]
    silent = [title for title in titles if not any(f"panel {title!r} has no data" in line for line in wrong)]
    assert silent == ["Pools not ready", "Stops"], "which are 0 when nothing is known"
    assert any(line.startswith("rule HFRunnersNoLeader has no data: hfrunners_leader") for line in wrong)
    assert not any("fails" in line for line in wrong)


def test_prometheus_says_what_is_wrong_with_an_expression(prometheus: Prometheus) -> None:
    with pytest.raises(QueryFailed, match="parse error"):
        prometheus.now("sum(")


def test_variables_are_filled_in_as_for_all_of_them() -> None:
    over = Range(start=100.0, end=220.0)
    assert filled('x{job=~"$job"}[$__range] / y[$__rate_interval]', over) == 'x{job=~".+"}[120s] / y[15s]'
    with pytest.raises(ValueError, match="not known"):
        filled('x{cluster="$cluster"}', over)


def test_expressions_come_from_panels_variables_annotations_and_rules() -> None:
    places = {one.where.split()[0] for one in of_the_dashboard(Range(start=0.0, end=60.0))}
    assert places == {"panel", "variable", "annotation"}
    assert {one.text for one in of_the_rules()} >= {
        "hfrunners_leader",
        'hfrunners_job_queue_to_start_seconds_bucket{le="600.0"}',
    }
