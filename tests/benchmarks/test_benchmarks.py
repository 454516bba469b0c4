"""That every benchmark still runs, on its smallest scale. How fast anything is, no test says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.idle import figures as idle_figures
from benchmarks.launch import figures as launch_figures
from benchmarks.report import Figure, table
from benchmarks.traffic import JOBS, second_hour
from controller.simulate.loop import run_virtual
from tools.controlplane import ControlPlane


def test_the_table_shows_the_median_and_the_range_of_the_runs() -> None:
    found = table(
        [
            Figure(what="plan()", unit="ms", values=[90.0, 300.0, 80.24], aim=100),
            Figure(what="RSS", unit="MB", values=[113.04], note="of one process"),
        ]
    )
    assert found.splitlines() == [
        "| figure | median | min–max (runs) | aim      | note           |",
        "|--------|--------|----------------|----------|----------------|",
        "| plan() | 90 ms  | 80.2–300 (3)   | ≤ 100 ms |                |",
        "| RSS    | 113 MB |                |          | of one process |",
    ]


def test_planning_and_traffic_print_a_figure_for_everything_that_they_measure() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks",
            "--quick",
            "--only",
            "plan",
            "--only",
            "scrape",
            "--only",
            "traffic",
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    rows = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("| ")]
    assert rows == [
        "figure",
        "plan(), 10 pools, 100 runners",
        "plan(), 10 pools, 100 runners, first pass",
        "plan(), 1 idle pool",
        "plan(), 10 idle pools",
        "/metrics, 10 idle pools",
        "/metrics, 10 idle pools, size",
        "measuring, 10 idle pools",
        "/metrics, 10 pools, 100 runners",
        "/metrics, 10 pools, 100 runners, size",
        "measuring, 10 pools, 100 runners",
        "GitHub requests, 3 idle repositories",
        "Hub requests, 3 idle repositories",
        "GitHub requests, 2 jobs waiting, no hardware",
        "GitHub requests, 2 jobs waiting, maxRunners 0",
        "GitHub requests, 2 jobs running",
    ]


@pytest.mark.parametrize(("jobs", "hardware"), [(10, True), (50, False)])
def test_jobs_that_neither_start_nor_end_cost_no_more_requests_than_is_promised(
    jobs: int, hardware: bool
) -> None:
    hour = run_virtual(second_hour(jobs, max_runners=jobs if hardware else 0, hardware=hardware))
    assert hour.total() <= JOBS[jobs]


@pytest.mark.controlplane
async def test_a_launch_is_measured_from_what_the_services_saw(api_server: ControlPlane) -> None:
    found = [figure async for figure in launch_figures(api_server.kubeconfig, quick=True)]
    assert [len(figure.values) for figure in found] == [1, 1, 1]
    # The registration alone takes 100 ms: whatever was measured came after it.
    assert all(value > 0.05 for figure in found for value in figure.values)


@pytest.mark.controlplane
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
async def test_an_idle_operator_is_measured_from_its_first_pass_on(api_server: ControlPlane) -> None:
    start, memory, processor = [figure async for figure in idle_figures(api_server.kubeconfig, quick=True)]
    assert start.values[0] > 0
    assert min(memory.values) > 10
    assert all(0 <= percent < 200 for percent in processor.values)
