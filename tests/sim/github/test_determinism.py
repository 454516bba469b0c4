"""Same seed, same bytes: in another process, under another hash seed, whoever asks."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys

from hf_runner_simulators.github.errors import ListenerRefused, Refusal
from hf_runner_simulators.github.model import JobSpec
from tests.sim.github.scene import LABELS, Runner, Scene


def story(seed: str, *, steps: int = 150) -> tuple[str, Scene]:
    """Do things that depend on the seed; return a hash of every answer."""
    dice = random.Random(seed)
    scene = Scene(seed=seed)
    scene.world.turn(linger_seconds=5.0, secondary_points_per_minute=None)
    digest = hashlib.sha256()
    runners: list[Runner] = []
    taken: dict[str, int] = {}
    for step in range(steps):
        action = dice.choice(
            [
                "queue",
                "queue",
                "run",
                "register",
                "connect",
                "poll",
                "poll",
                "finish",
                "kill",
                "delete",
                "cancel",
            ]
        )
        runner = dice.choice(runners) if runners else None
        try:
            if action == "queue":
                scene.queue(
                    *dice.sample(LABELS, dice.randint(1, 3)), repository=dice.choice(["acme/api", "acme/web"])
                )
            elif action == "run":
                scene.run(JobSpec(name="a", labels=LABELS), JobSpec(name="b", labels=LABELS, needs=("a",)))
            elif action == "register":
                runners.append(scene.runner(f"r{step}"))
            elif action == "cancel" and (rows := scene.runs("queued")):
                scene.world.workflows.cancel_run(dice.choice(rows)["id"])
            elif runner is not None:
                _do(action, runner, taken, dice.choice(["success", "failure"]))
        except (Refusal, ListenerRefused) as refused:
            digest.update(str(refused).encode())
        scene.wait(dice.choice([0, 1, 7, 61]))
        for path in ("/repos/acme/api/actions/runs", "/orgs/acme/actions/runners", "/_sim/report"):
            reply = scene.get(path, judged=step % 10 == 0)
            digest.update(repr((reply.status, sorted(reply.headers.items()), reply.body)).encode())
            if reply.status == 401:
                scene.token = scene.new_token()
        check(scene)
    return digest.hexdigest(), scene


def _do(action: str, runner: Runner, taken: dict[str, int], result: str) -> None:
    if action == "connect":
        runner.connect()
    elif action == "poll" and (job := runner.poll()):
        taken[runner.name] = job.id
    elif action == "finish" and runner.name in taken:
        runner.scene.world.listeners.finish(runner.session, taken[runner.name], result)
    elif action == "kill":
        runner.kill()
    elif action == "delete":
        runner.scene.world.runners.delete(runner.scope, runner.id)


def check(scene: Scene) -> None:
    """What holds at any moment."""
    report = scene.world.report()
    running = [job["runner_name"] for job in report["jobs"] if job["status"] == "in_progress"]
    assert len(running) == len(set(running)), "two jobs on one runner"
    alive = {row["name"] for row in report["registrations"]}
    assert set(running) <= alive, "a runner vanished under its job"
    by_runner = [job["runner_name"] for job in report["jobs"] if job["runner_name"]]
    assert len(by_runner) == len(set(by_runner)), "an ephemeral runner got a second job"
    by_run: dict[int, list[str]] = {}
    for job in report["jobs"]:
        by_run.setdefault(job["run_id"], []).append(job["status"])
        times = [t for t in (job["queued_at"], job["started_at"], job["ended_at"]) if t is not None]
        assert times == sorted(times)
    for run_id, statuses in by_run.items():
        run = scene.world.workflows.run(run_id)
        if "queued" in statuses:
            assert run.status == "queued"
        if run.status == "completed":
            assert set(statuses) == {"completed"}


def test_nothing_impossible_happens_and_all_that_is_possible_does() -> None:
    conclusions: set[str | None] = set()
    turned_away: set[str] = set()
    lost = 0
    for seed in range(10):
        _, scene = story(f"seed {seed}", steps=100)
        report = scene.world.report()
        conclusions |= {job["conclusion"] for job in report["jobs"]}
        turned_away |= {row["reason"] for row in report["refused_listeners"]}
        lost += sum(job["conclusion"] == "failure" for job in report["jobs"])
    assert conclusions == {None, "success", "failure", "cancelled", "skipped"}
    assert turned_away == {"Conflict", "Deleted"}
    assert lost > 0, "no lease decayed"


def test_another_seed_is_another_story() -> None:
    assert story("a", steps=20)[0] != story("b", steps=20)[0]


def test_the_same_seed_gives_the_same_bytes_in_another_process() -> None:
    here, _ = story("seed 1", steps=80)
    program = "from tests.sim.github.test_determinism import story; print(story('seed 1', steps=80)[0])"
    for hash_seed in ("0", "4711"):
        there = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert there.stdout.strip() == here
