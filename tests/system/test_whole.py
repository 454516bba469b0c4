"""The whole controller, less kopf, against both simulated services, in virtual time.

Judged by what really happened in the services, never by what the controller says of itself.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

import pytest

from controller.api.status.values import iso
from controller.core.model import PoolKey, SecretRef
from controller.core.reasons import Reason
from controller.simulate.engine import NAMESPACE, Simulation
from controller.simulate.loop import run_virtual
from controller.simulate.machine import Boot
from hf_runner_simulators.hub.running import Run

REPOS = ["acme/lib", "acme/kernels", "acme/train", "acme/docs", "acme/data", "acme/web"]
CREATE_HF_JOB = "POST /api/jobs/{namespace}"
LIST_RUNNERS = "GET /repos/{owner}/{repo}/actions/runners"
REGISTER = "POST /repos/{owner}/{repo}/actions/runners/generate-jitconfig"


class Scene:
    """A simulation with words for what tests ask of it."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.most_live: Counter[str] = Counter()

    def queue(
        self, repository: str = "acme/lib", labels: tuple[str, ...] = ("hf-t4",), **more: Any
    ) -> list[int]:
        jobs = self.sim.github.workflows.queue_jobs(repository, labels, **{"seconds": 60.0, **more})
        return [job.id for job in jobs]

    def jobs(self) -> list[Mapping[str, Any]]:
        return list(self.sim.github.report()["jobs"])

    def conclusions(self) -> Counter[str | None]:
        return Counter(job["conclusion"] for job in self.jobs())

    def hf_jobs(self) -> list[Mapping[str, Any]]:
        return list(self.sim.hub.report()["jobs"])

    def live(self) -> int:
        return len(self.sim.hub.report()["live"])

    def registrations(self) -> int:
        return len(self.sim.github.report()["registrations"])

    def status(self, name: str = "t4") -> Mapping[str, Any]:
        status: Mapping[str, Any] = self.sim.cluster.pools[PoolKey(NAMESPACE, name)]["status"]
        return status

    def condition(self, kind: str, name: str = "t4") -> Mapping[str, Any]:
        conditions = self.status(name).get("conditions", ())
        return next((c for c in conditions if c["type"] == kind), {"status": "Unknown"})

    def reasons(self, name: str = "t4") -> dict[str, int]:
        return {entry["reason"]: entry["count"] for entry in self.status(name)["queue"]}

    def events(self) -> set[str]:
        return {event.reason for event in self.sim.cluster.events}

    def fault(self, site: str, **rule: Any) -> None:
        exchange = self.sim.hub_exchange if site == "hub" else self.sim.github_exchange
        exchange.rules.add(rule)

    async def until(self, met: Callable[[], bool], *, within: float, what: str = "") -> float:
        """Let time pass until something is so; return how long it took."""
        began = self.sim.clock.mono()
        while not met():
            assert self.sim.clock.mono() - began < within, f"not within {within} s: {what or met}"
            await self.pass_time(1.0)
        return self.sim.clock.mono() - began

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, looking at the worlds every second as an auditor would."""
        for _ in range(int(seconds)):
            await asyncio.sleep(1.0)
            truth = self.sim.hub.report()  # one for all: it tells each HF Job that ever was
            alive = set(truth["live"])
            live = Counter(job["labels"].get("pool-uid") for job in truth["jobs"] if job["id"] in alive)
            for uid, count in live.items():
                self.most_live[str(uid)] = max(self.most_live[str(uid)], count)
                assert count <= self.max_runners(str(uid)), f"{count} live HF Jobs of pool {uid}"

    def max_runners(self, uid: str) -> int:
        for body in self.sim.cluster.pools.values():
            if body["metadata"]["uid"] == uid:
                return int(body["spec"].get("maxRunners", 10))
        return 10_000  # a deleted pool's runners are judged by whether they go

    async def until_quiet(self, *, within: float = 900.0) -> None:
        """Wait until nothing is left anywhere."""
        await self.until(
            lambda: not self.live() and not self.registrations(), within=within, what="nothing left"
        )


def play(
    act: Callable[[Scene], Awaitable[None]], *, boot: Callable[[Run], Boot] = lambda _: Boot(), **options: Any
) -> Scene:
    """Play a scene to its end in virtual time."""

    async def main() -> Scene:
        sim = Simulation(boot=boot, **options)
        sim.set_up(REPOS)
        scene = Scene(sim)
        try:
            await act(scene)
        finally:
            await sim.close()
        assert sim.bugs == []
        return scene

    return run_virtual(main())


def t4(scene: Scene, **spec: Any) -> PoolKey:
    return scene.sim.pool("t4", url="acme/lib", labels=["hf-t4"], **{"maxRunners": 4, **spec})


def test_a_queued_job_gets_a_runner_of_the_right_flavor_and_nothing_is_left_behind() -> None:
    async def act(scene: Scene) -> None:
        t4(scene)
        scene.sim.start()
        await scene.pass_time(30)
        scene.queue()
        await scene.until(lambda: scene.conclusions()["success"] == 1, within=300)
        await scene.until_quiet(within=60)
        (hf_job,) = scene.hf_jobs()
        assert hf_job["flavor"] == "t4-small"
        assert scene.condition("Ready")["status"] == "True"

    play(act)


def test_a_burst_over_many_repositories_of_an_organization_is_served_within_the_cap() -> None:
    async def act(scene: Scene) -> None:
        scene.sim.pool(
            "t4",
            url="acme",
            labels=["hf-t4", "linux"],
            github={"repositories": {"include": ["acme/*"], "exclude": ["docs"]}},
            maxRunners=5,
        )
        scene.sim.start()
        await scene.pass_time(20)
        for repository in ("acme/lib", "acme/kernels", "acme/train"):
            scene.queue(repository, ("hf-t4",), count=5)
        excluded = scene.queue("acme/docs")
        await scene.until(lambda: scene.conclusions()["success"] == 15, within=1800)
        assert max(scene.most_live.values()) == 5
        assert len(scene.hf_jobs()) <= 16
        assert all(job["conclusion"] is None for job in scene.jobs() if job["id"] in excluded)

    play(act)


def test_one_job_never_gets_two_runners_although_every_list_is_older_than_the_last_effect() -> None:
    async def act(scene: Scene) -> None:
        t4(scene)
        scene.sim.start()
        for _ in range(6):
            scene.queue(seconds=20)
            await scene.pass_time(97)
        await scene.until(lambda: scene.conclusions()["success"] == 6, within=300)
        assert len(scene.hf_jobs()) == 6

    play(act)


@pytest.mark.parametrize("after", range(0, 130, 10))
def test_a_controller_that_is_killed_and_started_again_adopts_what_exists(after: int) -> None:
    async def act(scene: Scene) -> None:
        t4(scene)
        scene.sim.start()
        scene.queue(count=3, seconds=70)
        await scene.pass_time(after)
        await scene.sim.crash()
        await scene.pass_time(25)
        scene.sim.start()
        await scene.until(lambda: scene.conclusions()["success"] == 3, within=600)
        await scene.until_quiet()
        assert len(scene.hf_jobs()) == 3

    play(act)


@pytest.mark.parametrize("site", ["github", "hub"])
@pytest.mark.parametrize("kind", ["lost_request", "lost_answer"])
@pytest.mark.parametrize("skip", [0, 1, 2])
def test_a_launch_whose_request_or_answer_was_lost_leaks_nothing_and_is_not_made_twice(
    site: str, kind: str, skip: int
) -> None:
    route = CREATE_HF_JOB if site == "hub" else REGISTER

    async def act(scene: Scene) -> None:
        t4(scene)
        scene.fault(site, route=route, kind=kind, skip=skip, times=1)
        scene.sim.start()
        scene.queue(count=3)
        await scene.until(lambda: scene.conclusions()["success"] == 3, within=900)
        await scene.until_quiet()
        served = [job for job in scene.hf_jobs() if job["stage"] == "COMPLETED"]
        assert len(served) == 3
        assert len(scene.hf_jobs()) <= 4

    play(act)


def test_a_server_error_after_the_effect_is_found_by_its_label_instead_of_launched_again() -> None:
    async def act(scene: Scene) -> None:
        t4(scene)
        scene.fault("hub", route=CREATE_HF_JOB, kind="status", status=500, when="after", times=3)
        scene.sim.start()
        scene.queue(count=3)
        await scene.until(lambda: scene.conclusions()["success"] == 3, within=300)
        assert len(scene.hf_jobs()) == 3

    play(act)


def test_a_deleted_pool_waits_for_its_running_job_and_leaves_nothing() -> None:
    async def act(scene: Scene) -> None:
        key = t4(scene, minIdle=1)
        scene.sim.start()
        scene.queue(seconds=300)
        await scene.until(lambda: any(job["status"] == "in_progress" for job in scene.jobs()), within=120)
        scene.sim.delete(key)
        await scene.pass_time(120)
        assert key in scene.sim.cluster.pools
        assert scene.condition("Ready")["reason"] == "Draining"
        assert "1 running" in scene.condition("Ready")["message"]
        await scene.until(lambda: key not in scene.sim.cluster.pools, within=400)
        assert scene.conclusions() == {"success": 1}
        assert scene.live() == 0
        assert scene.registrations() == 0

    play(act)


def test_a_pool_with_missing_credentials_says_so_heals_without_restart_and_can_be_deleted_before() -> None:
    async def act(scene: Scene) -> None:
        key = t4(scene)
        data = {"token": "hf_sim"}
        scene.sim.cluster.set_secret(NAMESPACE, "hf-token", None)
        scene.sim.start()
        scene.queue()
        await scene.pass_time(30)
        assert scene.condition("Stalled")["reason"] == "SecretMissing"
        assert "ci/hf-token" in scene.condition("Stalled")["message"]
        scene.sim.cluster.set_secret(NAMESPACE, "hf-token", data)
        await scene.until(lambda: scene.conclusions()["success"] == 1, within=400)
        scene.sim.cluster.set_secret(NAMESPACE, "hf-token", None)
        await scene.pass_time(60)
        scene.sim.delete(key)
        other = scene.sim.pool("never", url="acme/kernels", labels=["hf-x"])
        await scene.pass_time(60)
        scene.sim.delete(other)
        await scene.until(
            lambda: other not in scene.sim.cluster.pools, within=60, what="a pool that never launched goes"
        )

    play(act)


def test_one_repository_that_answers_404_does_not_keep_the_others_waiting() -> None:
    async def act(scene: Scene) -> None:
        scene.sim.pool(
            "t4", url="acme", labels=["hf-t4"], github={"repositories": {"include": REPOS}}, maxRunners=6
        )
        scene.sim.github.accounts.change_repository("acme/kernels", disabled=True)
        scene.fault(
            "github",
            route="GET /repos/{owner}/{repo}/actions/runs",
            match={"path": {"repo": "kernels"}},
            kind="status",
            status=404,
            times=None,
        )
        scene.sim.start()
        for repository in REPOS:
            if repository != "acme/kernels":
                scene.queue(repository)
        await scene.until(lambda: scene.conclusions()["success"] == 5, within=300)
        condition = scene.condition("RepositoriesReadable")
        assert condition["status"] == "False"
        assert "acme/kernels" in condition["message"]
        await scene.until_quiet()

    play(act)


def test_an_image_that_never_becomes_a_runner_is_tried_ever_more_slowly_and_the_pool_says_why() -> None:
    async def act(scene: Scene) -> None:
        t4(scene, maxRunners=20)
        scene.sim.start()
        scene.queue()
        await scene.pass_time(3600)
        assert 3 < len(scene.hf_jobs()) <= 12
        assert scene.condition("Ready")["status"] == "False"
        assert scene.condition("Stalled")["reason"] == "ImageUnsuitable"
        assert scene.reasons().keys() & {"BackingOff", "RunnerStarting"}
        assert "ImageUnsuitable" in scene.events()

    play(act, boot=lambda _: Boot(seconds=5, exit_code=65))


def test_out_of_credit_is_said_and_served_again_once_topped_up() -> None:
    async def act(scene: Scene) -> None:
        t4(scene)
        scene.sim.hub.setup({"namespaces": {"acme": {"credits": 0}}})
        scene.sim.start()
        scene.queue()
        await scene.pass_time(120)
        assert scene.condition("Stalled")["reason"] == "HubPaymentRequired"
        assert scene.hf_jobs() == []
        scene.sim.hub.setup({"namespaces": {"acme": {"credits": 100}}})
        await scene.until(lambda: scene.conclusions()["success"] == 1, within=900)
        assert scene.condition("Ready")["status"] == "True"
        await scene.until_quiet()

    play(act)


def test_while_github_is_down_nothing_is_killed_and_afterwards_everything_is_served() -> None:
    async def act(scene: Scene) -> None:
        t4(scene)
        scene.sim.start()
        scene.queue(count=2, seconds=200)
        await scene.until(lambda: sum(j["status"] == "in_progress" for j in scene.jobs()) == 2, within=200)
        scene.fault("github", route="*", kind="status", status=502, times=None)
        scene.queue(count=2)
        await scene.pass_time(600)
        assert scene.condition("GitHubReachable")["status"] == "False"
        scene.sim.github_exchange.rules.clear()
        await scene.until(lambda: scene.conclusions()["success"] == 4, within=900)
        await scene.until_quiet()
        assert len(scene.hf_jobs()) == 4

    play(act)


def test_a_cancelled_job_gives_its_scheduled_runner_back_unbilled() -> None:
    async def act(scene: Scene) -> None:
        t4(scene)
        scene.sim.start()
        scene.queue()
        await scene.until(lambda: scene.live() == 1, within=60)
        run = scene.jobs()[0]["run_id"]
        scene.sim.github.workflows.cancel_run(run)
        await scene.until_quiet(within=60)
        (hf_job,) = scene.hf_jobs()
        assert hf_job["billedSeconds"] == 0

    play(act, hub_knobs={"scheduling_seconds": 60})


def test_a_flavor_without_hardware_gives_way_to_the_next_one() -> None:
    async def act(scene: Scene) -> None:
        t4(scene, flavors=["h200", "t4-small"], deadlines={"scheduling": "2m"})
        scene.sim.start()
        scene.queue(count=2)
        await scene.until(lambda: scene.conclusions()["success"] == 2, within=600)
        assert {job["flavor"] for job in scene.hf_jobs() if job["stage"] == "COMPLETED"} == {"t4-small"}
        await scene.until_quiet(within=300)

    play(act, hub_knobs={"capacity": {"h200": 0}})


def test_a_pool_edited_to_another_repository_serves_there_and_leaves_nothing_behind() -> None:
    async def act(scene: Scene) -> None:
        t4(scene, minIdle=1)
        scene.sim.start()
        scene.queue(seconds=200)
        await scene.until(lambda: any(job["status"] == "in_progress" for job in scene.jobs()), within=200)
        scene.sim.pool("t4", url="acme/kernels", labels=["hf-t4"], maxRunners=4)
        await scene.pass_time(30)
        await scene.sim.crash()
        scene.sim.start()
        scene.queue("acme/kernels")
        await scene.until(lambda: scene.conclusions()["success"] == 2, within=600)
        await scene.until_quiet()
        await scene.until(
            lambda: len(scene.status()["places"]) == 1, within=900, what="the former place is forgotten"
        )

    play(act)


def test_a_pool_that_came_back_and_moves_away_again_is_still_watched_where_its_runner_works() -> None:
    async def act(scene: Scene) -> None:
        t4(scene)
        scene.sim.start()
        await scene.pass_time(10)
        scene.sim.pool("t4", url="acme/kernels", labels=["hf-t4"], maxRunners=4)
        await scene.pass_time(20)
        scene.sim.pool("t4", url="acme/lib", labels=["hf-t4"], maxRunners=4)
        await scene.pass_time(200)
        scene.queue(seconds=200)
        await scene.until(
            lambda: scene.live() == 1, within=200, what="a runner that no list of GitHub's shows yet"
        )
        scene.sim.pool("t4", url="acme/kernels", labels=["hf-t4"], maxRunners=4)
        await scene.pass_time(20)
        assert len(scene.status()["places"]) == 2

    play(act, github_knobs={"list_lag_seconds": 50.0})


def test_a_restart_among_lists_that_fail_launches_nothing_before_it_knows_what_lives() -> None:
    async def act(scene: Scene) -> None:
        t4(scene, maxRunners=4)
        scene.sim.start()
        await scene.pass_time(10)
        scene.queue(count=2, seconds=900)
        await scene.until(lambda: scene.live() == 2, within=60)
        await scene.sim.crash()
        scene.sim.start()
        await scene.until(lambda: scene.condition("Ready")["status"] == "True", within=60)
        scene.fault("github", route=LIST_RUNNERS, kind="status", status=502, times=None)
        scene.queue("acme/lib", count=3, seconds=60)
        await scene.pass_time(300)
        assert scene.live() == 2
        assert set(scene.reasons()) <= {"RunnerStarting", "Pending", "GitHubUnavailable"}
        scene.sim.github_exchange.rules.clear()
        await scene.until(lambda: scene.conclusions()["success"] == 5, within=2000)
        assert max(scene.most_live.values()) <= 4
        await scene.until_quiet(within=900)
        assert scene.registrations() == 0

    play(act)


def test_a_runner_that_dies_while_its_job_runs_is_reported() -> None:
    async def act(scene: Scene) -> None:
        t4(scene)
        scene.sim.start()
        scene.queue(seconds=300)
        await scene.until(lambda: any(job["status"] == "in_progress" for job in scene.jobs()), within=200)
        await scene.pass_time(20)
        (hf_job,) = scene.hf_jobs()
        from hf_runner_simulators.hub.job import Stage

        scene.sim.hub.end(
            hf_job["id"], stage=Stage.ERROR, message="Job failed with exit code: 137. Reason: OOMKilled"
        )
        await scene.until(lambda: "RunnerLost" in scene.events(), within=60)
        await scene.until_quiet(within=1500)
        assert scene.conclusions() == {"failure": 1}

    play(act)


@pytest.mark.parametrize(("github_interval", "hub_interval"), [(12.0, 10.0), (2.0, 45.0)])
def test_a_job_that_outlives_its_runners_lifetime_is_ended_then_and_told_of_once(
    github_interval: float, hub_interval: float
) -> None:
    async def act(scene: Scene) -> None:
        t4(scene, deadlines={"lifetime": "5m"})
        scene.sim.start()
        scene.queue(seconds=3600, name="train")
        await scene.until(lambda: bool(scene.conclusions()["failure"]), within=600)
        await scene.until(lambda: "LifetimeDeadline" in scene.events(), within=200)
        await scene.until_quiet(within=200)
        await scene.pass_time(120)
        (hf_job,) = scene.hf_jobs()
        life = [datetime.fromisoformat(hf_job[at]) for at in ("startedAt", "endedAt")]
        assert (life[1] - life[0]).total_seconds() == 300.0
        (event,) = [event for event in scene.sim.cluster.events if event.warning]
        assert event.reason == "LifetimeDeadline"
        assert "train" in event.message
        assert scene.condition("LaunchesSucceed")["status"] == "True"

    play(act, github_interval=github_interval, hub_interval=hub_interval)


def test_a_warm_runner_ends_with_its_lifetime_and_is_replaced_without_a_word() -> None:
    async def act(scene: Scene) -> None:
        t4(scene, minIdle=1, deadlines={"lifetime": "5m", "idle": "10m"})
        scene.sim.start()
        await scene.until(lambda: len(scene.hf_jobs()) == 3, within=1200)
        assert {job["message"] for job in scene.hf_jobs()[:2]} == {
            "Job failed with exit code: 82. Reason: Error"
        }
        assert not [event for event in scene.sim.cluster.events if event.warning]
        await scene.pass_time(200)
        assert scene.registrations() == 1

    play(act)


@pytest.mark.parametrize(("most", "warm_share"), [(3, 0.99), (2, 0.85)])
def test_warm_runners_are_replaced_before_they_are_ended_where_max_runners_leaves_room(
    most: int, warm_share: float
) -> None:
    async def act(scene: Scene) -> None:
        t4(scene, minIdle=2, maxRunners=most, deadlines={"lifetime": "20m"})
        scene.sim.start()
        await asyncio.sleep(300)
        ready = []
        for _ in range(100):
            await asyncio.sleep(30)
            shown = scene.sim.github.report()["registrations"]
            ready.append(min(2, sum(runner["status"] == "online" for runner in shown)))
        assert sum(ready) >= 2 * len(ready) * warm_share
        # Each idles for ten minutes, and not for two as with a tenth of the lifetime.
        assert len(scene.hf_jobs()) <= 2 * (3_300 // 600 + 1)
        assert not [event for event in scene.sim.cluster.events if event.warning]

    play(act, hub_knobs={"boot_seconds": 30.0})


def test_labels_that_no_pool_covers_and_jobs_that_name_only_a_group_are_counted_and_cost_nothing() -> None:
    async def act(scene: Scene) -> None:
        t4(scene)
        scene.sim.start()
        scene.queue(labels=("hf-t4", "cuda-99"))
        scene.queue(labels=(), group="gpu-machines")
        scene.queue(labels=("ubuntu-latest",))
        await scene.pass_time(120)
        assert scene.reasons() == {"NoMatchingPool": 1, "GroupOnly": 1}
        assert scene.hf_jobs() == []

    play(act)


def test_two_controllers_on_one_repository_and_namespace_leave_each_other_alone() -> None:
    async def act(scene: Scene) -> None:
        t4(scene, minIdle=1)
        first = scene.sim.start()
        scene.queue()
        await scene.until(lambda: scene.conclusions()["success"] == 1, within=300)
        mine = {job["id"] for job in scene.hf_jobs()}
        assert mine
        assert first.controller.reconciler.last_plan is not None
        # Somebody else's HF Job with a label like ours, and somebody else's runner.
        scene.sim.hub.create(
            "hf_sim",
            "acme",
            {
                "dockerImage": "x",
                "command": ["true"],
                "flavor": "cpu-basic",
                "labels": {
                    "managed-by": "hf-runner-controller",
                    "controller": "other",
                    "runner": "t4-hfr-abcdef-00000000-aaaa",
                },
                "environment": {"HFRUNNER_IDLE_SECONDS": "1", "HFRUNNER_IDLE_MARGIN_SECONDS": "1"},
                "secrets": {"HFRUNNER_JIT_CONFIG": "none"},
                "timeoutSeconds": 900,
            },
        )
        await scene.pass_time(600)
        cancels = [e for e in scene.sim.hub_exchange.log if e.route.endswith("/cancel")]
        foreign = {job["id"] for job in scene.hf_jobs() if job["labels"].get("controller") == "other"}
        assert not [entry for entry in cancels if any(job_id in entry.path for job_id in foreign)]

    play(act)


@pytest.mark.parametrize("dark", ["github", "hub"])
def test_a_pool_whose_services_never_answered_is_not_called_ready(dark: str) -> None:
    async def act(scene: Scene) -> None:
        scene.fault(dark, route="*", kind="unreachable", times=None)
        t4(scene)
        scene.sim.start()
        await scene.pass_time(40)
        assert scene.condition("Ready")["status"] == "False"
        assert scene.condition("Ready")["reason"] in ("GitHubUnavailable", "HubUnavailable")

    play(act)


def test_a_restart_neither_unsettles_conditions_nor_repeats_events() -> None:
    async def act(scene: Scene) -> None:
        t4(scene)
        scene.sim.start()
        await scene.until(lambda: scene.condition("Ready")["status"] == "True", within=60)
        since, told = scene.condition("Ready")["lastTransitionTime"], len(scene.sim.cluster.events)
        await scene.sim.crash()
        scene.sim.start()
        for _ in range(60):
            await scene.pass_time(1)
            assert scene.condition("Ready")["status"] == "True"
        assert scene.condition("Ready")["lastTransitionTime"] == since
        assert len(scene.sim.cluster.events) == told

    play(act)


def test_a_rotated_hub_token_is_picked_up_without_a_restart_and_without_losing_a_job() -> None:
    async def act(scene: Scene) -> None:
        t4(scene)
        scene.sim.start()
        scene.queue(seconds=30)
        await scene.until(lambda: scene.conclusions()["success"] == 1, within=300)
        access = {"user": "robot", "namespaces": {"acme": "write"}, "plan": "team"}
        scene.sim.hub.setup({"tokens": {"hf_sim": None, "hf_new": access}})
        scene.queue(seconds=30)
        await scene.pass_time(60)
        assert scene.condition("HubReachable")["reason"] == "HubUnauthorized"
        scene.sim.cluster.set_secret(NAMESPACE, "hf-token", {"token": "hf_new"})
        await scene.until(lambda: scene.conclusions()["success"] == 2, within=400)
        await scene.until_quiet()

    play(act)


WRONG: Mapping[str, Mapping[str, str] | None] = {
    "missing": None,
    "without a key": {"tokn": "x"},
    "refused": {"token": "not-a-token"},
}


@pytest.mark.parametrize("name", ["github-app", "hf-token"])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_corrected_secret_is_used_within_seconds_and_no_old_error_is_told_after_it(
    name: str, wrong: str
) -> None:
    async def act(scene: Scene) -> None:
        t4(scene)
        right = (await scene.sim.cluster.read(SecretRef(NAMESPACE, name))).data
        scene.sim.cluster.set_secret(NAMESPACE, name, WRONG[wrong])
        scene.sim.start()
        scene.queue()
        await asyncio.sleep(600)
        assert scene.condition("Ready")["status"] == "False"
        assert not scene.hf_jobs()
        scene.sim.cluster.set_secret(NAMESPACE, name, right)
        await asyncio.sleep(20)
        assert scene.condition("Ready")["status"] == "True"
        assert scene.condition("Stalled")["status"] == "False"
        assert scene.hf_jobs()
        events = len(scene.sim.cluster.events)
        await asyncio.sleep(300)
        assert not [event for event in scene.sim.cluster.events[events:] if event.warning]
        assert scene.conclusions()["success"] == 1

    play(act)


@pytest.mark.parametrize("status", [403, 404])
def test_a_repository_that_is_shown_again_is_served_within_a_minute(status: int) -> None:
    async def act(scene: Scene) -> None:
        t4(scene)
        scene.sim.github.accounts.block_repository("acme/lib", status=status, message="No")
        scene.sim.start()
        await asyncio.sleep(3 * 3_600)
        scene.sim.github.accounts.unblock_repository("acme/lib")
        scene.queue()
        await asyncio.sleep(65)
        assert scene.hf_jobs()

    play(act)


def test_an_app_that_is_not_installed_is_named_as_the_cause() -> None:
    async def act(scene: Scene) -> None:
        scene.sim.github.accounts.add_repository("strangers/lib")
        scene.sim.pool("t4", url="strangers/lib", labels=["hf-t4"])
        scene.sim.start()
        await scene.pass_time(30)
        assert scene.condition("Stalled")["reason"] == "AppNotInstalled"

    play(act)


def test_a_missing_permission_is_named() -> None:
    async def act(scene: Scene) -> None:
        t4(scene)
        scene.sim.github.accounts.add_user("someone")
        scene.sim.github.access.add_user_token(
            "github_pat_weak", "someone", permissions={"actions": "read", "metadata": "read"}, account="acme"
        )
        scene.sim.cluster.set_secret(NAMESPACE, "github-app", {"token": "github_pat_weak"})
        scene.sim.start()
        scene.queue()
        await scene.pass_time(60)
        condition = scene.condition("Stalled")
        assert condition["reason"] == "PermissionMissing"
        assert "administration" in condition["message"]
        assert scene.hf_jobs() == []

    play(act)


def test_two_pools_with_the_same_label_share_jobs_by_price_and_both_say_so() -> None:
    async def act(scene: Scene) -> None:
        scene.sim.pool("dear", url="acme/lib", labels=["gpu"], flavors=["a10g-small"])
        scene.sim.pool("cheap", url="acme/lib", labels=["gpu"], flavors=["t4-small"])
        scene.sim.start()
        await scene.pass_time(20)
        scene.queue(labels=("gpu",), count=3)
        await scene.until(lambda: scene.conclusions()["success"] == 3, within=400)
        assert {job["flavor"] for job in scene.hf_jobs()} == {"t4-small"}
        for name in ("dear", "cheap"):
            condition = scene.condition("LabelsDistinct", name)
            assert condition["reason"] == "LabelsOverlap"
        assert "go to ci/cheap" in scene.condition("LabelsDistinct", "dear")["message"]

    play(act)


def test_no_secret_appears_in_any_status_or_event_whatever_fails() -> None:
    async def act(scene: Scene) -> None:
        t4(scene)
        scene.fault(
            "hub", route=CREATE_HF_JOB, kind="status", status=400, body={"error": "bad hf_sim"}, times=2
        )
        scene.fault("github", route=REGISTER, kind="status", status=500, times=2)
        scene.sim.start()
        scene.queue(count=2)
        await scene.pass_time(300)
        told = repr(scene.sim.cluster.pools) + repr(scene.sim.cluster.events)
        for secret in ("hf_sim", "PRIVATE KEY", "ghs_", "encoded_jit"):
            assert secret not in told

    play(act)


def test_an_api_server_that_takes_its_time_for_statuses_holds_up_no_launch() -> None:
    async def act(scene: Scene) -> None:
        t4(scene)
        scene.sim.cluster.write_seconds = 600
        scene.sim.start()
        await scene.pass_time(30)
        scene.queue()
        await scene.until(lambda: scene.conclusions()["success"] == 1, within=300)
        await scene.until_quiet(within=60)
        scene.sim.cluster.write_seconds = 0.0
        await scene.pass_time(600)
        assert scene.condition("Ready")["status"] == "True"

    play(act)


def test_without_the_api_server_nothing_is_launched_and_that_is_told_once_it_is_back() -> None:
    async def act(scene: Scene) -> None:
        t4(scene)
        scene.sim.start()
        await scene.pass_time(30)
        scene.sim.cluster.down = True
        scene.queue()
        await scene.pass_time(300)
        assert (scene.live(), scene.registrations()) == (0, 0)
        process = scene.sim.process
        assert process is not None
        done = process.controller.reconciler.last_plan
        assert done is not None
        (report,) = done.reports.values()
        assert {one.reason for one in report.waiting} == {Reason.IntentsBlocked}
        assert report.unwritten is not None
        scene.sim.cluster.down = False
        await scene.until(lambda: scene.conclusions()["success"] == 1, within=300)
        assert scene.condition("IntentsWritten")["status"] == "True"

    play(act)


@pytest.mark.parametrize("end", ["crash", "stop"])
def test_a_controller_that_follows_one_whose_runners_have_ended_launches_at_once(end: str) -> None:
    """No list ever shows those runners to it: they served short jobs, and their intents are
    still in the pool's status.
    """

    async def act(scene: Scene) -> None:
        t4(scene, maxRunners=2)
        scene.sim.start()
        await scene.pass_time(5)
        scene.queue(count=2, seconds=1)
        await scene.until(lambda: scene.conclusions()["success"] == 2, within=60)
        await scene.pass_time(3)
        assert not scene.live()
        await getattr(scene.sim, end)()
        assert len(scene.status()["intents"]) == 1, "one place, with both launches"
        scene.sim.start()
        scene.queue(count=2, seconds=1)
        await scene.until(lambda: scene.conclusions()["success"] == 4, within=20)
        await scene.until_quiet()

    hurry = {
        "scheduling_seconds": 0.5,
        "boot_seconds": 0.2,
        "stage_lag_seconds": 0.1,
    }
    play(act, boot=lambda _: Boot(seconds=0.3), hub_knobs=hurry)


@pytest.mark.parametrize("lag", [0.0, 50.0])
def test_a_controller_that_follows_one_that_wrote_nothing_down_waits_until_lists_must_show_all_it_did(
    lag: float,
) -> None:
    async def act(scene: Scene) -> None:
        pool = t4(scene, maxRunners=1)
        scene.sim.start()
        await scene.pass_time(5)
        scene.queue(count=2, seconds=600)
        await scene.until(lambda: scene.live() == 1, within=120)
        await scene.sim.crash()
        for field in ("intents", "term"):
            scene.sim.cluster.pools[pool]["status"].pop(field)
        scene.sim.cluster.pools[pool]["status"]["lastLaunchAt"] = iso(scene.sim.clock.wall() - 5)
        scene.sim.start()
        await scene.pass_time(200)
        assert max(scene.most_live.values()) == 1
        await scene.until(lambda: scene.conclusions()["success"] == 2, within=2500)
        assert max(scene.most_live.values()) == 1

    play(act, github_knobs={"list_lag_seconds": lag}, hub_knobs={"list_stale_seconds": lag})


def test_a_drained_pool_becomes_empty_and_serves_again_once_nobody_asks_for_it_any_more() -> None:
    async def act(scene: Scene) -> None:
        pool = t4(scene, minIdle=1)
        scene.sim.start()
        scene.queue(seconds=120.0)
        await scene.until(lambda: scene.live() == 2, within=120)
        await scene.until(lambda: any(job["status"] == "in_progress" for job in scene.jobs()), within=120)
        while scene.condition("Ready").get("reason") != "Drained":
            scene.sim.ask_to_drain(pool)
            await scene.pass_time(5)
        assert scene.conclusions() == {"success": 1}
        assert (scene.live(), scene.registrations()) == (0, 0)
        scene.queue()
        await scene.pass_time(30)
        assert scene.condition("Ready")["reason"] == "Drained"
        assert scene.live() == 0
        await scene.until(lambda: scene.conclusions()["success"] == 2, within=300)

    play(act)


def test_the_client_that_only_a_deleted_pool_needed_is_closed_and_others_stay() -> None:
    async def act(scene: Scene) -> None:
        sim = scene.sim
        sim.cluster.set_secret(
            NAMESPACE, "another", (await sim.cluster.read(SecretRef(NAMESPACE, "github-app"))).data
        )
        going = sim.pool("gone", url="acme/lib", labels=["hf-gone"], github={"credentialsSecret": "another"})
        t4(scene)
        sim.start()
        await scene.pass_time(60)
        (process,) = sim.replicas
        connections = process.connections
        goes, stays = process.controller.registry.pools
        first = (connections.github(goes.source), connections.github(stays.source))

        sim.delete(going)
        await scene.until(lambda: going not in sim.cluster.pools, within=120)
        await scene.pass_time(60)

        now = (connections.github(goes.source), connections.github(stays.source))
        assert [a is b for a, b in zip(first, now, strict=True)] == [False, True]

    play(act)
