"""What a whole controller writes into its log: a line for each action, and nothing while nothing happens."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from controller.cli.logs import OneLineJson
from controller.simulate.engine import NAMESPACE
from controller.simulate.machine import Boot
from hf_runner_simulators.hub.job import Stage
from tests.system.test_whole import Scene, play, t4


class Lines(logging.Handler):
    """Keeps lines as ``--log-format json`` writes them."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(OneLineJson())
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        assert "\n" not in line
        self.lines.append(json.loads(line))

    def messages(self) -> list[str]:
        return [line["message"] for line in self.lines]

    def of(self, message: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["message"] == message]


def logged(act: Callable[[Scene, Lines], Awaitable[None]], **options: Any) -> None:
    lines, root = Lines(), logging.getLogger("controller")
    level = root.level
    root.addHandler(lines)
    root.setLevel(logging.INFO)
    try:
        play(lambda scene: act(scene, lines), **options)
    finally:
        root.removeHandler(lines)
        root.setLevel(level)


def test_an_idle_operator_says_nothing_for_ten_minutes() -> None:
    async def act(scene: Scene, log: Lines) -> None:
        t4(scene)
        scene.sim.pool(
            "all", url="acme", labels=["hf-all"], github={"repositories": {"include": ["*"]}}, minIdle=1
        )
        scene.sim.start()
        await scene.pass_time(300)
        assert sorted(log.messages()) == ["launched", "pool is ready", "pool is ready"]
        log.lines.clear()
        await scene.pass_time(600)
        assert log.lines == []

    logged(act)


def test_a_job_that_is_served_is_few_lines_with_the_ids_that_belong_together() -> None:
    async def act(scene: Scene, log: Lines) -> None:
        t4(scene)
        scene.sim.start()
        (job,) = scene.queue()
        await scene.until(lambda: scene.conclusions()["success"] == 1, within=300)
        await scene.until_quiet()
        await scene.pass_time(120)
        ((launched,), (started,)) = log.of("launched"), log.of("workflow job started")
        (hf_job,) = scene.hf_jobs()
        for line in (launched, started):
            assert line["pool"] == f"{NAMESPACE}/t4"
            assert line["runner"] == hf_job["labels"]["runner"]
            assert line["hf_job"] == hf_job["id"]
            assert line["level"] == "INFO"
        assert launched["flavor"] == "t4-small"
        assert started["workflow_job"] == job
        assert started["repository"] == "acme/lib"
        first, rest = log.messages()[:3], log.messages()[3:]
        assert first == ["pool is ready", "launched", "workflow job started"]
        # An attempt to give the runner back may meet the job that it has just taken.
        assert rest in ([], ["left a busy runner"])

    logged(act)


def test_a_runner_that_is_given_back_is_one_line_with_the_reason() -> None:
    async def act(scene: Scene, log: Lines) -> None:
        t4(scene)
        scene.sim.start()
        (job,) = scene.queue()
        await scene.until(lambda: scene.live() == 1, within=60)
        await scene.pass_time(3)
        run = next(one["run_id"] for one in scene.jobs() if one["id"] == job)
        scene.sim.github.workflows.cancel_run(run)
        await scene.until_quiet(within=200)
        (retired,) = log.of("retired")
        assert retired["reason"] in ("SurplusUnbilled", "SurplusStarting")
        assert retired["pool"] == f"{NAMESPACE}/t4"
        assert retired["runner"]
        assert retired["hf_job"]

    logged(act)


def test_a_launch_that_fails_says_why_and_whom_to_ask() -> None:
    async def act(scene: Scene, log: Lines) -> None:
        t4(scene)
        scene.sim.start()
        await scene.pass_time(20)
        scene.fault("hub", route="POST /api/jobs/{namespace}", kind="status", status=402, times=1)
        scene.queue()
        await scene.until(lambda: scene.conclusions()["success"] == 1, within=900)
        (failed,) = log.of("launch failed")
        assert failed["level"] == "WARNING"
        assert failed["reason"] == "HubPaymentRequired"
        assert failed["flavor"] == "t4-small"
        assert failed["detail"]

    logged(act)


def test_a_lost_runner_is_a_warning_with_all_its_ids() -> None:
    async def act(scene: Scene, log: Lines) -> None:
        t4(scene)
        scene.sim.start()
        (job,) = scene.queue(seconds=300)
        await scene.until(lambda: scene.jobs()[0]["status"] == "in_progress", within=300)
        await scene.pass_time(40)
        (hf_job,) = scene.sim.hub.report()["live"]
        scene.sim.hub.end(
            hf_job, stage=Stage.ERROR, message="Job failed with exit code: 137. Reason: OOMKilled"
        )
        await scene.pass_time(30)
        (lost,) = [line for line in log.lines if line.get("reason") == "RunnerLost"]
        assert (lost["level"], lost["hf_job"], lost["workflow_job"]) == ("WARNING", hf_job, job)
        assert lost["pool"] == f"{NAMESPACE}/t4"
        assert lost["runner"]

    logged(act)


def test_an_outage_is_told_when_it_begins_and_not_at_every_try() -> None:
    async def act(scene: Scene, log: Lines) -> None:
        t4(scene)
        scene.sim.start()
        await scene.pass_time(60)
        scene.fault("github", route="*", kind="status", status=502, times=None)
        scene.fault("hub", route="*", kind="status", status=503, times=None)
        await scene.pass_time(1800)
        assert 1 <= len(log.lines) <= 6, log.messages()

    logged(act, boot=lambda _: Boot())
