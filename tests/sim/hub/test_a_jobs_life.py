from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from controller.simulate.loop import run_virtual
from hf_runner_simulators.clock import LoopClock
from hf_runner_simulators.hub.errors import HubError
from hf_runner_simulators.hub.job import Stage
from hf_runner_simulators.hub.knobs import Knobs
from hf_runner_simulators.hub.machines import Outcome, ScriptedMachine
from hf_runner_simulators.hub.platform import drive
from hf_runner_simulators.hub.world import World
from tests.sim.hub.lab import LIVE, TOKEN, Lab

if TYPE_CHECKING:
    from hf_runner_simulators.hub.running import Run


def test_a_job_is_scheduled_boots_runs_and_completes_at_exact_times_though_nobody_looked() -> None:
    lab = Lab()
    job = lab.start(Outcome(seconds=100))
    lab.after(10_000)
    shown = lab.shown(job)
    assert (job.created_at, job.started_at, job.ended_at) == (lab.began, lab.began + 35, lab.began + 135)
    assert shown["durations"] == {"schedulingSecs": 35, "runningSecs": 100, "totalSecs": 135}
    assert shown["status"] == {"stage": "COMPLETED", "message": None}


def test_booting_reads_scheduling_and_the_stage_lags_behind_the_end() -> None:
    lab = Lab()
    job = lab.start(Outcome(seconds=100, code=1))
    seen = {t: lab.after(t).stage(job) for t in (0, 10, 34.9, 35, 135, 136.2, 136.4)}
    assert seen == {
        0: "SCHEDULING",
        10: "SCHEDULING",
        34.9: "SCHEDULING",
        35: "RUNNING",
        135: "RUNNING",
        136.2: "RUNNING",
        136.4: "ERROR",
    }
    assert lab.shown(job)["status"]["message"] == "Job failed with exit code: 1. Reason: Error"


def test_only_starting_and_running_are_billed_and_not_the_queue() -> None:
    lab = Lab(scheduling_seconds=600)
    job = lab.start(Outcome(seconds=60), flavor="h200")
    assert lab.after(599).line(job)["costUSD"] == 0
    lab.after(5_000)
    assert lab.line(job)["billedSeconds"] == 90  # 30 of boot, 60 of work
    assert lab.line(job)["costUSD"] == pytest.approx(5 * 90 / 3600, rel=1e-4)
    assert lab.world.report()["creditsUSD"]["acme"] == pytest.approx(1_000 - 5 * 90 / 3600, rel=1e-6)


def test_a_platform_that_does_not_bill_the_boot_or_rounds_up_to_minutes() -> None:
    lab = Lab(boot_is_billed=False, billing_rounding="minute")
    job = lab.start(Outcome(seconds=61), flavor="h200")
    lab.after(5_000)
    assert lab.line(job)["billedSeconds"] == 120
    assert lab.world.report()["creditsUSD"]["acme"] == pytest.approx(1_000 - 5 * 120 / 3600, rel=1e-6)


def test_exposed_ports_cost_a_cent_an_hour_from_when_they_are_opened() -> None:
    lab = Lab(boot_seconds=0, scheduling_seconds=0)
    job = lab.start(Outcome(seconds=7_200), flavor="h200", timeoutSeconds=8_000)
    lab.after(3_600).world.set_expose(TOKEN, "acme", job.id, {"ports": [80]})
    lab.after(50_000)
    assert lab.line(job)["costUSD"] == pytest.approx(10.01, abs=1e-4)
    assert lab.world.report()["creditsUSD"]["acme"] == pytest.approx(1_000 - 10.01, abs=1e-4)


def test_a_job_without_a_timeout_is_stopped_after_thirty_minutes_of_running() -> None:
    lab = Lab()
    job = lab.start()
    assert lab.after(35 + 1_799).stage(job) == "RUNNING"
    assert lab.after(35 + 1_800).stage(job) == "ERROR"
    assert lab.shown(job)["status"]["message"] == "Job timeout"
    assert lab.machine.killed == [job.id]
    assert lab.line(job)["billedSeconds"] == 1_830


@pytest.mark.parametrize(("counts_from", "ends"), [("start", 135), ("create", 100)])
def test_whether_scheduling_counts_for_the_timeout_is_a_knob(counts_from: str, ends: int) -> None:
    lab = Lab(timeout_from=counts_from)
    job = lab.start(timeoutSeconds=100)
    assert lab.after(ends - 0.1).stage(job) == "RUNNING"
    assert lab.after(ends).stage(job) == "ERROR"


def test_a_flavor_out_of_stock_stays_in_scheduling_unbilled_until_there_is_one_again() -> None:
    lab = Lab(capacity={"h200": 0})
    job, other = lab.start(flavor="h200"), lab.start(flavor="t4-small")
    assert lab.after(86_400).stage(job) == "SCHEDULING"
    assert lab.line(job)["billedSeconds"] == 0
    assert lab.line(other)["stage"] == "ERROR"  # of its own timeout: it ran
    lab.world.turn({"capacity": {"h200": 1}})
    assert lab.after(86_400 + 35).stage(job) == "RUNNING"


def test_machines_go_to_those_who_have_waited_longest() -> None:
    lab = Lab(capacity={"cpu-basic": 1})
    first, second, third = (lab.start(Outcome(seconds=100)) for _ in range(3))
    lab.after(40)
    assert [lab.stage(job) for job in (first, second, third)] == ["RUNNING", "SCHEDULING", "SCHEDULING"]
    lab.world.cancel(TOKEN, "acme", second.id)
    lab.after(135 + 35)
    assert [lab.stage(job) for job in (first, second, third)] == ["COMPLETED", "CANCELED", "RUNNING"]


def test_a_namespace_runs_no_more_jobs_at_once_than_it_may() -> None:
    lab = Lab(max_concurrent_jobs=2)
    jobs = [lab.start(Outcome(seconds=100), flavor=flavor) for flavor in ("cpu-basic", "t4-small", "h200")]
    lab.after(40)
    assert [lab.stage(job) for job in jobs] == ["RUNNING", "RUNNING", "SCHEDULING"]
    assert lab.after(135 + 35).stage(jobs[2]) == "RUNNING"


def test_times_differ_by_flavor_and_from_job_to_job_the_same_way_every_time() -> None:
    def starts(seed: str) -> list[float]:
        lab = Lab(seed=seed, jitter=0.5, boot_seconds_by_flavor={"h200": 300})
        jobs = [lab.start(flavor=flavor) for flavor in ("cpu-basic", "cpu-basic", "h200")]
        lab.after(1_000)
        return [(job.started_at or 0) - job.created_at for job in jobs]

    assert starts("a") == starts("a") != starts("b")
    one, two, big = starts("a")
    assert one != two
    assert all(17.5 <= seconds <= 52.5 for seconds in (one, two))
    assert 152.5 <= big <= 457.5


def test_a_cancel_answers_before_the_job_stops_and_is_billed_until_it_does() -> None:
    lab = Lab(cancel_seconds=10)
    job = lab.start()
    lab.after(100)
    answered = lab.world.cancel(TOKEN, "acme", job.id)
    assert answered.moments[-1].stage is Stage.RUNNING
    lab.after(105).world.cancel(TOKEN, "acme", job.id)  # again: neither an error nor a later end
    assert lab.after(109).stage(job) == "RUNNING"
    assert lab.after(110).stage(job) == "CANCELED"
    assert lab.machine.killed == [job.id]
    assert lab.line(job)["billedSeconds"] == 105
    assert "finishedAt" not in lab.shown(job)
    assert lab.shown(job)["durations"] == {"schedulingSecs": 35}


def test_a_job_may_complete_while_its_cancel_is_under_way() -> None:
    lab = Lab(cancel_seconds=10, stage_lag_seconds=0)
    job = lab.start(Outcome(seconds=5))
    lab.after(38).world.cancel(TOKEN, "acme", job.id)
    assert lab.after(60).stage(job) == "COMPLETED"


def test_a_cancel_while_scheduling_costs_nothing() -> None:
    lab = Lab()
    job = lab.start()
    lab.world.cancel(TOKEN, "acme", job.id)
    assert lab.after(100).stage(job) == "CANCELED"
    assert (lab.line(job)["billedSeconds"], lab.machine.started) == (0, [])


@pytest.mark.parametrize("status", [200, 400, 404, 409])
def test_cancelling_what_has_ended_answers_what_the_knob_says(status: int) -> None:
    lab = Lab(cancel_terminal_status=status)
    job = lab.start(Outcome(seconds=0))
    lab.after(100)
    if status == 200:
        assert lab.world.cancel(TOKEN, "acme", job.id).moments[-1].stage is Stage.COMPLETED
        return
    with pytest.raises(HubError) as refused:
        lab.world.cancel(TOKEN, "acme", job.id)
    assert refused.value.status == status


def test_a_cancelled_job_may_say_when_it_finished() -> None:
    lab = Lab(finished_at_on_cancel=True)
    job = lab.start()
    lab.after(100).world.cancel(TOKEN, "acme", job.id)
    assert lab.after(200).shown(job)["durations"] == {
        "schedulingSecs": 35,
        "runningSecs": 66,
        "totalSecs": 101,
    }


@pytest.mark.parametrize("reason", ["NO_CREDITS", "NO_SUBSCRIPTION", "RESOURCE_GROUP_LIMIT", "SPEND_LIMIT"])
def test_the_platform_cancels_for_its_own_reasons(reason: str) -> None:
    lab = Lab()
    job = lab.start()
    lab.after(50).world.end(job.id, stage=Stage.CANCELED, cancel_reason=reason)
    assert lab.shown(job)["status"] == {"stage": "CANCELED", "message": None, "cancelReason": reason}
    assert lab.machine.killed == [job.id]
    with pytest.raises(ValueError, match="cannot go from"):
        lab.world.end(job.id, stage=Stage.ERROR)


def test_a_machine_dies_under_its_job() -> None:
    lab = Lab()
    job = lab.start()
    lab.after(50).world.end(
        job.id, stage=Stage.ERROR, message="Job failed with exit code: 137. Reason: OOMKilled"
    )
    assert lab.shown(job)["status"]["message"].endswith("OOMKilled")


def test_when_the_credit_is_used_up_all_jobs_of_the_namespace_are_cancelled_at_that_moment() -> None:
    lab = Lab(dollars=5.0, boot_seconds=0, scheduling_seconds=0)
    one, two = (lab.start(flavor="h200", timeoutSeconds=86_400) for _ in range(2))
    lab.after(86_000)
    for job in (one, two):
        assert lab.shown(job)["status"] == {
            "stage": "CANCELED",
            "message": None,
            "cancelReason": "NO_CREDITS",
        }
        assert lab.line(job)["billedSeconds"] == pytest.approx(1_800, rel=1e-4)
    assert lab.world.report()["creditsUSD"]["acme"] == 0
    with pytest.raises(HubError, match="insufficient") as refused:
        lab.start()
    assert refused.value.status == 402
    lab.world.setup({"namespaces": {"acme": {"credits": 1.0}}})
    assert lab.stage(lab.start()) == "RUNNING"


def test_credit_may_run_into_the_red_where_the_platform_does_not_mind() -> None:
    lab = Lab(dollars=1.0, boot_seconds=0, scheduling_seconds=0, exhausted_credit_cancels=False)
    job = lab.start(flavor="h200", timeoutSeconds=3_600)
    assert lab.after(3_599).stage(job) == "RUNNING"
    assert lab.world.report()["creditsUSD"]["acme"] == pytest.approx(-4, abs=0.01)


def test_a_failed_attempt_is_repeated_only_where_attempts_were_asked_for() -> None:
    lab = Lab()
    job = lab.start(Outcome(seconds=10, code=1), attempts=3)
    assert lab.after(46).stage(job) == "SCHEDULING"
    assert lab.shown(job)["status"]["failureCount"] == 1
    lab.after(1_000)
    assert lab.shown(job)["status"]["failureCount"] == 2
    assert lab.stage(job) == "ERROR"
    assert lab.machine.started == [job.id] * 3
    assert lab.line(job)["billedSeconds"] == 3 * 40


def test_what_a_machine_says_after_the_end_is_dropped() -> None:
    lab = Lab()
    runs: list[Run] = []

    def keep(run: Run) -> Outcome:
        runs.append(run)
        return Outcome(seconds=500)

    lab.script = keep
    job = lab.start()
    lab.after(40)
    runs[0].log("early")
    lab.world.cancel(TOKEN, "acme", job.id)
    lab.after(50)
    runs[0].log("late")
    runs[0].exit(0)
    lab.after(1_000)
    assert lab.stage(job) == "CANCELED"
    assert [line.text for line in job.log][1:-1] == ["early"]


def test_a_machine_may_end_a_job_from_inside_its_start() -> None:
    lab = Lab()

    def at_once(run: Run) -> Outcome:
        run.log("hello")
        run.exit(0)
        return Outcome(seconds=None)

    lab.script = at_once
    job = lab.start()
    lab.after(5_000)  # long after: the times must be those of the start
    assert (job.started_at, job.ended_at) == (lab.began + 35, lab.began + 35)
    assert {line.at for line in job.log} == {lab.began + 35}


def test_the_worlds_clock_does_not_go_back() -> None:
    lab = Lab()
    job = lab.start(Outcome(seconds=100))
    lab.after(40)
    lab.clock.jump(-3_600)
    assert lab.stage(job) == "RUNNING"
    assert lab.world.now == lab.began + 40


def test_driven_in_virtual_time_transitions_happen_when_they_are_due_without_a_request() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        starts: list[float] = []

        def script(_: object) -> Outcome:
            starts.append(loop.time())
            return Outcome(seconds=10)

        clock = LoopClock(time=loop.time)
        world = World(clock=clock, machine=ScriptedMachine(script), knobs=Knobs())
        world.setup({"tokens": {TOKEN: {"user": "bot", "namespaces": {"bot": "write"}}}})
        driver = asyncio.create_task(drive(world.platform))
        for _ in range(3):
            await asyncio.sleep(100)
            world.create(TOKEN, "bot", {"dockerImage": "ubuntu", "flavor": "cpu-basic"})
        await asyncio.sleep(1_000)
        driver.cancel()
        return starts

    assert run_virtual(main()) == pytest.approx([135, 235, 335], abs=1e-3)


def test_same_seed_same_calls_same_ids() -> None:
    def ids(seed: str) -> list[str]:
        lab = Lab(seed=seed)
        return [lab.start().id for _ in range(3)]

    assert ids("a") == ids("a") != ids("b")
    assert len(set(ids("a"))) == 3


# Lists.


def test_pages_are_complete_though_jobs_come_while_they_are_read() -> None:
    lab = Lab(page_size=2)
    jobs = [lab.start().id for _ in range(5)]
    page = lab.world.list_jobs(TOKEN, "acme")
    lab.start()
    rest = []
    while page.cursor is not None:
        page = lab.world.list_jobs(TOKEN, "acme", cursor=page.cursor)
        rest += [job["id"] for job in page.jobs]
    assert rest == jobs[2::-1]


def test_pages_that_count_positions_show_a_job_twice_when_another_comes() -> None:
    lab = Lab(page_size=2, paging="offset")
    jobs = [lab.start().id for _ in range(4)]
    page = lab.world.list_jobs(TOKEN, "acme")
    lab.start()
    following = lab.world.list_jobs(TOKEN, "acme", cursor=page.cursor)
    assert [job["id"] for job in page.jobs] == [jobs[3], jobs[2]]
    assert [job["id"] for job in following.jobs] == [jobs[2], jobs[1]]


@pytest.mark.parametrize("paging", ["keyset", "offset"])
@pytest.mark.parametrize("order", ["newest", "oldest", "shuffled"])
def test_every_order_and_every_paging_shows_everything_once(order: str, paging: str) -> None:
    lab = Lab(page_size=3, list_order=order, paging=paging)
    jobs = [lab.start().id for _ in range(10)]
    listed = lab.listed()
    assert sorted(listed) == sorted(jobs)
    assert {"newest": listed == jobs[::-1], "oldest": listed == jobs}.get(
        order, listed not in (jobs, jobs[::-1])
    )


def test_several_labels_mean_all_of_them_or_any() -> None:
    lab = Lab()
    both = lab.start(labels={"managed-by": "us", "pool": "gpu"}).id
    one = lab.start(labels={"managed-by": "them", "pool": "gpu"}).id
    lab.start(labels={"managed-by": "them"})
    wanted = [("managed-by", "us"), ("pool", "gpu")]
    assert lab.listed(labels=wanted) == [both]
    lab.world.turn({"label_match": "any"})
    assert lab.listed(labels=wanted) == [one, both]


def test_a_stale_list_lacks_what_was_just_made_and_shows_what_is_gone() -> None:
    lab = Lab(list_stale_seconds=20, cancel_seconds=0)
    old = lab.start()
    lab.after(100)
    new = lab.start()
    lab.world.cancel(TOKEN, "acme", old.id)
    assert lab.listed(stages=LIVE) == [old.id]
    assert lab.world.count(TOKEN, "acme", stages=LIVE) == 1
    assert lab.stage(old) == "CANCELED"  # an inspect is fresh
    lab.after(121)
    assert lab.listed(stages=LIVE) == [new.id]
    assert lab.listed(stages=[Stage.CANCELED]) == [old.id]


def test_a_stale_list_shows_a_job_as_it_was() -> None:
    lab = Lab(list_stale_seconds=20)
    lab.start(Outcome(seconds=10))
    shown = lab.after(40).world.list_jobs(TOKEN, "acme").jobs[0]
    assert shown["status"]["stage"] == "SCHEDULING"
    assert "startedAt" not in shown
    shown = lab.after(60).world.list_jobs(TOKEN, "acme").jobs[0]
    assert (shown["status"]["stage"], shown["durations"]["runningSecs"]) == ("RUNNING", 5)
    assert "finishedAt" not in shown


def test_the_report_is_the_truth_whatever_lists_show() -> None:
    lab = Lab(list_stale_seconds=1_000, stage_lag_seconds=100)
    job = lab.start(Outcome(seconds=10), flavor="t4-small", labels={"pool": "gpu"})
    report = lab.after(50).world.report()
    assert report["live"] == []
    assert report["totals"] == {
        "jobs": 1,
        "stages": {"COMPLETED": 1},
        "billedSeconds": 40,
        "costUSD": 0.004445,
    }
    line = report["jobs"][0]
    assert (line["id"], line["labels"], line["flavor"]) == (job.id, {"pool": "gpu"}, "t4-small")
    assert (line["createdAt"], line["endedAt"]) == ("2026-09-21T14:13:20.000Z", "2026-09-21T14:14:05.000Z")
    assert lab.stage(job) == "RUNNING"
