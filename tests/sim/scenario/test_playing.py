"""What a played scenario reports, against worlds that are simple enough to work it out by hand."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from controller.simulate.keyed import exponential, lognormal, uniform
from controller.simulate.play import play
from controller.simulate.report import Report
from controller.simulate.scenario_file import load_scenario
from controller.simulate.workload import TooManyJobs, arrivals

HEAD = """\
pools:
  - apiVersion: hfrunners.dev/v1alpha1
    kind: RunnerPool
    metadata: {name: t4}
    spec:
      github: {url: https://github.com/acme/lib, credentialsSecret: github-app}
      huggingface: {namespace: acme, tokenSecret: hf-token}
      labels: [hf-t4]
      flavors: [t4-small]
"""
ONE = "workload:\n  - {repository: acme/lib, labels: hf-t4, at: 1m, duration: 5m}\n"
STEADY = "world:\n  jitter: 0\n  registration: 10s\n"


def written(tmp_path: Path, text: str, **more: str) -> Any:
    for name, content in more.items():
        (tmp_path / f"{name}.csv").write_text(textwrap.dedent(content))
    path = tmp_path / "scenario.yaml"
    path.write_text(HEAD + text)
    return load_scenario(path)


def played(tmp_path: Path, text: str, **more: str) -> Report:
    return play(written(tmp_path, text, **more)).report


def test_billed_seconds_are_split_into_boot_work_and_idle_and_add_up(tmp_path: Path) -> None:
    pool = played(tmp_path, "until: 15m\n" + ONE + STEADY).pools["t4"]
    assert pool.worked_seconds == pytest.approx(300, abs=1)
    assert pool.waste.boot == pytest.approx(40, abs=1)  # 30 s of download and 10 s until the Listener asks
    split = pool.worked_seconds + pool.waste.boot + pool.waste.idle + pool.waste.failed
    assert split == pytest.approx(pool.billed_seconds)
    assert pool.usd == pytest.approx(pool.billed_seconds * 0.4 / 3600, rel=0.001)
    assert pool.wasted_usd == pytest.approx(
        pool.usd * (1 - pool.worked_seconds / pool.billed_seconds), abs=1e-5
    )


def test_a_runner_that_never_came_online_is_counted_as_failed(tmp_path: Path) -> None:
    report = played(tmp_path, "until: 4m\n" + ONE + STEADY + "  badImages: [{exitCode: 65}]\n")
    pool = report.pools["t4"]
    assert pool.waste.failed == pool.billed_seconds > 0
    assert (report.jobs.queued, [one.count for one in report.unserved]) == (1, [1])
    assert pool.conditions["LaunchesSucceed"] == "ImageUnsuitable"


def test_a_job_that_nobody_serves_waits_with_a_reason(tmp_path: Path) -> None:
    text = "until: 5m\nworkload:\n  - {repository: acme/lib, labels: [hf-t4, big], at: 1m}\n"
    report = played(tmp_path, text)
    assert [(one.reason, one.count) for one in report.unserved] == [("NoMatchingPool", 1)]
    assert report.jobs.longest_queued == pytest.approx(240, abs=1)
    assert report.total.launches == 0


def test_jobs_are_counted_by_what_became_of_them(tmp_path: Path) -> None:
    text = """\
until: 40m
workload:
  - {name: good, repository: acme/lib, labels: hf-t4, at: 1m, count: 2}
  - {name: bad, repository: acme/lib, labels: hf-t4, at: 1m, fails: 1}
  - {name: stopped, repository: acme/lib, labels: hf-t4, at: 1m, cancel: {after: 2s}}
  - {name: slow, repository: acme/lib, labels: hf-t4, at: 1m, duration: 10h}
  - {name: doomed, repository: acme/lib, labels: hf-t4, at: 20m, duration: 15m}
world:
  kills: [{from: 20m, after: 30s}]
"""
    jobs = played(tmp_path, text).jobs
    assert (jobs.succeeded, jobs.failed, jobs.cancelled, jobs.running, jobs.lost) == (2, 1, 1, 1, 1)
    assert (jobs.total, jobs.interrupted) == (6, 1)


def test_an_outage_is_reported_with_what_was_promised_and_what_was_spent(tmp_path: Path) -> None:
    text = "until: 20m\n" + ONE + "controller: {outages: [{at: 3m, down: 5m}]}\n"
    report = played(tmp_path, text)
    (outage,) = report.outages
    assert (outage.at, outage.seconds) == (180.0, 300.0)
    assert 0 < outage.spent_usd <= outage.worst_case_usd
    assert report.jobs.succeeded == 1


def test_a_controller_that_never_comes_back_is_reported_too(tmp_path: Path) -> None:
    report = played(tmp_path, "until: 20m\n" + ONE + "controller: {outages: [{at: 3m}]}\n")
    assert report.outages[0].seconds == pytest.approx(1020, abs=1)


@pytest.mark.parametrize("at", [60, 61, 62, 63, 65, 70])
def test_a_controller_that_dies_with_a_launch_on_the_wire_had_told_what_it_may_cost(
    tmp_path: Path, at: int
) -> None:
    text = f"until: 20m\n{ONE}controller: {{outages: [{{at: {at}s, down: 10m}}]}}\n"
    report = played(tmp_path, text)
    assert report.outages[0].spent_usd <= report.outages[0].worst_case_usd
    assert report.violations == []


def test_a_broken_promise_about_money_is_a_violation(tmp_path: Path) -> None:
    # The world breaks it: all that was told of is a minute's work of one runner, but the image's download
    # takes two hours, is billed, and no timeout covers it.
    text = """\
until: 150m
workload:
  - {repository: acme/lib, labels: hf-t4, at: 1m}
world: {image: 2h}
controller: {outages: [{at: 2m, down: 140m}]}
"""
    pool = HEAD + "      deadlines: {lifetime: 1m, scheduling: 1m}\n"
    path = tmp_path / "scenario.yaml"
    path.write_text(pool + text)
    (violation,) = play(load_scenario(path)).report.violations
    assert "were spent without a controller from 120 s on" in violation


def test_faults_strike_the_share_that_they_say(tmp_path: Path) -> None:
    text = "until: 30m\n" + ONE + "world:\n  faults: [{site: github, route: GET *, status: 502, rate: 0.2}]\n"
    routes = played(tmp_path, text).requests["github"].routes
    struck = sum(answers.get("502", 0) for answers in routes.values())
    total = sum(sum(answers.values()) for route, answers in routes.items() if route.startswith("GET"))
    assert 0.1 < struck / total < 0.3


def test_a_trace_is_played_as_it_is_written(tmp_path: Path) -> None:
    scenario = written(
        tmp_path,
        "until: 30m\nworkload:\n  - {trace: week.csv, from: 1m}\n",
        week="""\
        at,repository,labels,seconds,result,cancelled_after
        0,acme/lib,hf-t4,60,success,
        5,acme/lib,hf-t4,60,failure,
        9,acme/lib,hf-t4,60,success,3
        """,
    )
    jobs = play(scenario).report.jobs
    assert (jobs.succeeded, jobs.failed, jobs.cancelled) == (1, 1, 1)


def test_one_entry_of_the_workload_does_not_move_another(tmp_path: Path) -> None:
    noise = "  - {name: noise, repository: acme/lib, labels: hf-t4, rate: 30/h}\n"
    spread = "  - {repository: acme/lib, labels: hf-t4, rate: 10/h, duration: {uniform: [1m, 9m]}}\n"
    alone = arrivals(written(tmp_path, "workload:\n" + spread), seed=3, until=36_000)
    mixed = arrivals(written(tmp_path, "workload:\n" + spread + noise), seed=3, until=36_000)
    assert [a for a in mixed if a.work.name == "work"] == alone
    assert 60 < len(alone) < 140


def test_a_rate_with_the_wrong_unit_is_caught(tmp_path: Path) -> None:
    text = "workload:\n  - {repository: acme/lib, labels: hf-t4, rate: 900/m, count: 100}\n"
    with pytest.raises(TooManyJobs, match="more than 100000 jobs"):
        play(written(tmp_path, text))


def test_drawn_numbers_have_the_shape_that_they_are_named_for() -> None:
    numbers = [uniform(1, "x", n) for n in range(4_000)]
    assert min(numbers) > 0
    assert max(numbers) < 1
    assert sum(numbers) / len(numbers) == pytest.approx(0.5, abs=0.02)
    waits = [exponential(0.1, 1, n) for n in range(4_000)]
    assert sum(waits) / len(waits) == pytest.approx(10, rel=0.06)
    long = sorted(lognormal(60, 300, 1, n) for n in range(4_000))
    assert long[2_000] == pytest.approx(60, rel=0.1)
    assert long[3_800] == pytest.approx(300, rel=0.15)
