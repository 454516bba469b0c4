"""The whole controller in virtual time: what its metrics say, against what really happened
in the services.
"""

from __future__ import annotations

from datetime import datetime

import pytest

from controller.core.model import PoolKey
from controller.metrics.series import FORGET_AFTER
from controller.simulate.engine import NAMESPACE
from controller.simulate.machine import Boot
from hf_runner_simulators.hub.job import Stage
from tests.metrics.scraped import GITHUB_EVERY, HUB_EVERY, Measured, Page, measured
from tests.system.test_whole import t4

SECOND = 1.0
"""GitHub's times are whole seconds, and so is the ``Date`` by which clocks are compared."""


def truth(m: Measured) -> tuple[list[float], list[float]]:
    """Return how long each job waited for its runner to be online, and to start."""
    m.sim.github.time.advance()
    online = {
        shift.workflow_job: shift.online_at
        for shift in m.sim.machine.shifts.values()
        if shift.workflow_job is not None and shift.online_at is not None
    }
    jobs = [job for job in m.scene.jobs() if job["started_at"] is not None]
    return (
        [max(0.0, online[job["id"]] - job["queued_at"]) for job in jobs],
        [job["started_at"] - job["queued_at"] for job in jobs],
    )


def ran(job: object) -> float:
    """Return the seconds from an HF Job's startedAt to its end, as the Hub's API shows them."""
    assert isinstance(job, dict)
    if job["startedAt"] is None or job["endedAt"] is None:
        return 0.0
    began, ended = (datetime.fromisoformat(job[key]) for key in ("startedAt", "endedAt"))
    return (ended - began).total_seconds()


@pytest.mark.parametrize("seconds", [2.0, 60.0, 400.0])
def test_a_job_is_timed_once_and_rightly_however_short_it_is(seconds: float) -> None:
    async def act(m: Measured) -> None:
        t4(m.scene)
        m.start()
        await m.scene.pass_time(37)
        m.scene.queue(seconds=seconds)
        await m.scene.until(lambda: m.scene.conclusions()["success"] == 1, within=900)
        await m.scene.until_quiet()
        await m.scene.pass_time(60)
        page = m.page()
        ((online,), (start,)) = truth(m)
        assert page.all("job_queue_to_start_seconds_count", pool="t4") == [1]
        assert page.all("job_queue_to_online_seconds_count", pool="t4") == [1]
        assert page.sum("job_queue_to_start_seconds_sum") == pytest.approx(start, abs=SECOND)
        seen = page.sum("job_queue_to_online_seconds_sum")
        assert online - SECOND <= seen <= min(online + GITHUB_EVERY * 1.2, start) + SECOND
        (hf_job,) = m.scene.hf_jobs()
        created, started = (
            datetime.fromisoformat(hf_job[key]).timestamp() for key in ("createdAt", "startedAt")
        )
        assert page.all("hf_scheduling_seconds_count") == page.all("runner_boot_seconds_count") == [1]
        assert page.sum("hf_scheduling_seconds_sum", flavor="t4-small") == pytest.approx(
            started - created, abs=0.01
        )
        (shift,) = m.sim.machine.shifts.values()
        assert shift.online_at is not None
        boot = page.sum("runner_boot_seconds_sum", flavor="t4-small")
        assert (
            shift.online_at - started - 2 * SECOND
            <= boot
            <= shift.online_at - started + GITHUB_EVERY * 1.2 + SECOND
        )

    measured(act)


def test_a_job_that_finds_a_warm_runner_waited_for_none_to_come_online() -> None:
    async def act(m: Measured) -> None:
        t4(m.scene, minIdle=1)
        m.start()
        await m.scene.pass_time(200)
        m.scene.queue(seconds=20)
        await m.scene.until(lambda: m.scene.conclusions()["success"] == 1, within=300)
        await m.scene.pass_time(60)
        page = m.page()
        assert page.sum("job_queue_to_online_seconds_count") == 1
        assert page.sum("job_queue_to_online_seconds_sum") == 0
        assert page.sum("job_queue_to_start_seconds_sum") <= 3

    measured(act)


def test_the_first_runner_of_a_pool_shows_its_histograms_before_they_count() -> None:
    async def act(m: Measured) -> None:
        t4(m.scene)
        m.start()
        await m.scene.pass_time(30)
        assert m.page().all("job_queue_to_start_seconds_count") == []
        assert m.page().all("launches_total", flavor="t4-small") == [0]
        m.scene.queue()
        await m.scene.pass_time(30)
        page = m.page()
        assert page.all("launches_total") == [1]
        assert page.all("job_queue_to_start_seconds_count") == [0]
        assert page.all("runners_stuck_total", deadline="scheduling") == [0]

    measured(act)


@pytest.mark.parametrize("after", [*range(0, 160, 8)])
def test_a_killed_controller_and_its_successor_count_nothing_twice(after: int) -> None:
    async def act(m: Measured) -> None:
        t4(m.scene)
        m.start()
        m.scene.queue(count=3, seconds=50)
        m.scene.queue(count=1, seconds=4)
        await m.scene.pass_time(after)
        await m.sim.crash()
        again = m.sim.clock.wall()
        m.start()
        await m.scene.until(lambda: m.scene.conclusions()["success"] == 4, within=900)
        await m.scene.until_quiet()
        await m.scene.pass_time(60)
        hf_jobs = m.scene.hf_jobs()
        later = sum(job["started_at"] > again + 2 * SECOND for job in m.scene.jobs())
        assert m.total("job_queue_to_start_seconds_count") >= later
        for name in ("job_queue_to_start", "job_queue_to_online", "runner_boot"):
            assert m.total(f"{name}_seconds_count") <= 4, name
        assert m.total("hf_scheduling_seconds_count") <= len(hf_jobs)
        assert m.total("launches_total") >= len(hf_jobs)
        assert m.total("billed_seconds_total") <= sum(map(ran, hf_jobs)) + SECOND
        assert m.total("job_queue_to_start_seconds_sum") <= sum(truth(m)[1]) + 4 * SECOND

    measured(act)


def test_a_successor_goes_on_where_a_controller_ended_in_good_order() -> None:
    async def act(m: Measured) -> None:
        t4(m.scene)
        m.start()
        m.scene.queue(count=4, seconds=200)
        await m.scene.pass_time(120)
        await m.sim.stop()
        m.start()
        await m.scene.until(lambda: m.scene.conclusions()["success"] == 4, within=900)
        await m.scene.until_quiet()
        await m.scene.pass_time(60)
        assert m.total("job_queue_to_start_seconds_count") == 4
        assert m.total("runner_boot_seconds_count") == 4
        assert m.total("billed_seconds_total") == pytest.approx(sum(map(ran, m.scene.hf_jobs())), abs=SECOND)

    measured(act)


def test_billed_seconds_and_cost_are_what_the_hub_shows() -> None:
    async def act(m: Measured) -> None:
        t4(m.scene, maxRunners=4)
        m.start()
        for needed in (30, 95, 240):
            m.scene.queue(count=3, seconds=needed)
            await m.scene.pass_time(211)
        await m.scene.until(lambda: m.scene.conclusions()["success"] == 9, within=900)
        await m.scene.until_quiet()
        await m.scene.pass_time(60)
        hf_jobs, page = m.scene.hf_jobs(), m.page()
        shown = sum(map(ran, hf_jobs))
        # A cancelled HF Job tells no end: it counts up to the list that showed it last.
        cancelled = sum(1 for job in hf_jobs if job["stage"] == "CANCELED" and job["startedAt"])
        seconds = page.sum("billed_seconds_total", pool="t4", flavor="t4-small")
        assert shown - cancelled * HUB_EVERY <= seconds <= shown + cancelled * HUB_EVERY + SECOND
        assert page.sum("cost_usd_total") == pytest.approx(seconds * 0.40 / 3600, rel=0.01)
        # What the Hub bills besides is the start that its API shows as scheduling.
        starting = sum(job["billedSeconds"] for job in hf_jobs) - shown
        assert 0 <= starting <= 31 * len(hf_jobs)

    measured(act)


def test_an_hf_job_that_dies_under_its_workflow_job_is_one_lost_runner_by_its_cause() -> None:
    async def act(m: Measured) -> None:
        t4(m.scene)
        m.start()
        m.scene.queue(seconds=300)
        await m.scene.until(lambda: any(j["status"] == "in_progress" for j in m.scene.jobs()), within=300)
        await m.scene.pass_time(40)
        (hf_job,) = m.sim.hub.report()["live"]
        m.sim.hub.end(hf_job, stage=Stage.CANCELED, cancel_reason="PREEMPTED")
        await m.scene.pass_time(700)
        page = m.page()
        assert page.labels("runners_lost_total", "reason") == {"PlatformCancelled"}
        assert page.sum("runners_lost_total", pool="t4") == 1
        assert page.sum("launch_failures_total") == 0
        assert page.sum("notices_total", reason="RunnerLost") == 1

    measured(act)


def test_a_flavor_without_hardware_is_stuck_once_per_runner_and_given_up_for_the_next() -> None:
    async def act(m: Measured) -> None:
        m.scene.sim.pool(
            "big",
            url="acme/lib",
            labels=["hf-big"],
            flavors=["h200", "t4-small"],
            deadlines={"scheduling": "2m"},
        )
        m.start()
        m.scene.queue(labels=("hf-big",))
        await m.scene.until(lambda: m.scene.conclusions()["success"] == 1, within=1200)
        await m.scene.pass_time(30)
        page = m.page()
        flavors = [job["flavor"] for job in m.scene.hf_jobs()]
        assert page.sum("runners_stuck_total", deadline="scheduling") == flavors.count("h200") >= 1
        failed = page.sum("launch_failures_total", flavor="h200", reason="SchedulingDeadline")
        assert failed == flavors.count("h200")
        assert page.sum("fallbacks_total", flavor="h200") == flavors.count("t4-small")
        assert page.sum("fallbacks_total", flavor="t4-small") == 0
        for flavor in ("h200", "t4-small"):
            assert page.sum("launches_total", flavor=flavor) == flavors.count(flavor)

    measured(act, hub_knobs={"capacity": {"h200": 0}})


def test_images_that_fail_are_counted_once_per_runner() -> None:
    async def act(m: Measured) -> None:
        t4(m.scene)
        m.start()
        m.scene.queue()
        await m.scene.pass_time(1200)
        page, ended = m.page(), [job for job in m.scene.hf_jobs() if job["endedAt"]]
        assert page.labels("launch_failures_total", "reason") == {"RunnerVersionRefused"}
        assert page.sum("launch_failures_total") == page.sum("runner_version_refused_total") == len(ended) > 1

    measured(act, boot=lambda _: Boot(exit_code=73))


def test_a_refused_token_is_counted_against_its_credentials() -> None:
    async def act(m: Measured) -> None:
        t4(m.scene)
        m.start()
        await m.scene.pass_time(60)
        assert m.page().sum("hub_errors_total") == m.page().sum("github_errors_total") == 0
        m.sim.cluster.set_secret(NAMESPACE, "hf-token", {"token": "hf_revoked"})
        m.sim.cluster.set_secret(NAMESPACE, "github-app", None)
        await m.scene.pass_time(300)
        page = m.page()
        assert page.sum("hub_errors_total", account="ci/hf-token@acme", reason="HubUnauthorized") > 1
        assert page.sum("hub_requests_total", account="ci/hf-token@acme", code="401") > 1
        assert (
            page.sum("github_errors_total", credential="ci/github-app@127.0.0.1:1", reason="SecretMissing")
            > 1
        )
        assert page.sum("hub_list_age_seconds") > 200
        assert page.sum("github_poll_age_seconds") > 200
        assert page.sum("pool_condition", condition="Ready") == 0
        assert page.sum("pool_condition", condition="Stalled") == 1

    measured(act)


def test_ages_and_quota_are_those_of_the_moment_of_the_scrape() -> None:
    async def act(m: Measured) -> None:
        t4(m.scene)
        m.start()
        await m.scene.pass_time(60)
        m.scene.queue(seconds=200)
        worst = 0.0
        for _ in range(200):
            await m.scene.pass_time(1)
            page = m.page()
            worst = max(worst, page.sum("github_poll_age_seconds"), page.sum("hub_list_age_seconds"))
        assert GITHUB_EVERY / 2 < worst < 62
        (limit,), (remaining,) = page.all("github_quota_limit"), page.all("github_quota_remaining")
        assert 0 < remaining <= limit
        (resets_at,) = page.all("github_quota_reset_timestamp_seconds")
        assert 0 < resets_at - m.sim.clock.wall() <= 3600
        answers = [e for e in m.sim.github_exchange.log if e.status]
        assert page.sum("github_requests_total") == len(answers)
        assert page.sum("github_requests_total", code="304") == sum(e.status == 304 for e in answers)

    measured(act, github_knobs={"ghes_rate_limits": True})


def test_the_end_of_a_token_is_told_by_credential_as_long_as_there_is_one() -> None:
    async def act(m: Measured) -> None:
        github, cluster = m.sim.github, m.sim.cluster
        github.accounts.add_user("octocat")
        ends_at = github.time.now + 90 * 86_400
        github.access.add_user_token("ghp_1", "octocat", scopes=["repo"], ends_at=ends_at)
        github.access.add_user_token("ghp_2", "octocat", scopes=["repo"])
        name = "github_token_expiration_timestamp_seconds"
        t4(m.scene)
        m.start()
        await m.scene.pass_time(60)
        assert m.page().all(name) == []  # an App
        cluster.set_secret(NAMESPACE, "github-app", {"token": "ghp_1"})
        await m.scene.pass_time(90)
        assert m.page().all(name) == [int(ends_at)]
        cluster.set_secret(NAMESPACE, "github-app", {"token": "ghp_2"})
        await m.scene.pass_time(90)
        assert m.page().all(name) == []

    measured(act)


def test_the_queue_is_told_by_reason_with_the_age_of_its_oldest_job() -> None:
    async def act(m: Measured) -> None:
        t4(m.scene, maxRunners=1)
        m.start()
        await m.scene.pass_time(30)
        m.scene.queue(seconds=600, count=3)
        await m.scene.pass_time(200)
        m.scene.queue(labels=("hf-t4", "nobody-has-this"))
        await m.scene.pass_time(60)
        page = m.page()
        assert page.all("queue_jobs", reason="AtMaxRunners") == [2]
        assert page.all("queue_jobs", reason="NoMatchingPool") == [1]
        assert page.all("queue_jobs", reason="RunnerStarting") == [0]
        (waited,) = page.all("queue_oldest_wait_seconds", reason="AtMaxRunners")
        assert waited == pytest.approx(260, abs=8)
        (waited,) = page.all("queue_oldest_wait_seconds", reason="NoMatchingPool")
        assert waited == pytest.approx(60, abs=8)
        assert page.sum("runners", phase="Busy") == 1
        assert page.all("pool_max_runners") == [1]
        assert page.sum("cost_usd_per_hour") == pytest.approx(0.40, abs=0.01)
        assert page.sum("worst_case_usd") > 0
        assert page.sum("last_pass_timestamp_seconds") == pytest.approx(m.sim.clock.wall(), abs=6)

    measured(act)


def test_halves_without_their_other_half_are_counted_by_kind() -> None:
    async def act(m: Measured) -> None:
        key = t4(m.scene)
        m.start()
        m.scene.queue(seconds=4000)
        await m.scene.pass_time(20)
        assert m.scene.registrations() == 1
        await m.sim.crash()
        # Somebody removed the finalizer by hand, and the HF Job is gone too.
        for hf_job in list(m.sim.hub.report()["live"]):
            m.sim.hub.end(hf_job, stage=Stage.CANCELED)
        m.sim.cluster.release(key)
        m.scene.sim.pool("other", url="acme/lib", labels=["hf-other"])
        m.start()
        await m.scene.pass_time(900)
        assert m.scene.registrations() == 0
        page = m.page()
        assert page.all("orphans_collected_total", kind="registration") == [1]
        assert page.all("orphans_collected_total", kind="hf_job") == [0]

    measured(act)


def test_a_deleted_pool_shows_its_last_figures_for_a_while_and_then_nothing() -> None:
    async def act(m: Measured) -> None:
        key = t4(m.scene)
        m.scene.sim.pool("stays", url="acme/docs", labels=["hf-stays"])
        m.start()
        m.scene.queue(seconds=30)
        await m.scene.until(lambda: m.scene.conclusions()["success"] == 1, within=300)
        m.sim.delete(key)
        await m.scene.until(lambda: PoolKey(NAMESPACE, "t4") not in m.sim.cluster.pools, within=300)
        await m.scene.pass_time(10)
        page = m.page()
        assert page.sum("billed_seconds_total", pool="t4") > 30
        assert page.all("runners", pool="t4") == page.all("queue_jobs", pool="t4") == []
        await m.scene.pass_time(FORGET_AFTER + 10)
        assert 'pool="t4"' not in m.page().text
        assert m.page().all("launches_total", pool="stays") == [0]
        assert m.page().sum("hub_requests_total", account="ci/hf-token@acme") > 0

    measured(act)


def test_a_pool_that_was_made_again_goes_on_counting() -> None:
    async def act(m: Measured) -> None:
        for _ in range(2):
            key = t4(m.scene)
            if not m.all:
                m.start()
            m.scene.queue(seconds=10)
            await m.scene.until_quiet(within=60)
            await m.scene.pass_time(300)
            m.sim.delete(key)
            await m.scene.until(lambda: not m.sim.cluster.pools, within=300)
        assert m.page().sum("launches_total", pool="t4") == 2
        assert m.page().sum("job_queue_to_start_seconds_count", pool="t4") == 2

    measured(act)


class LeaseHolder:
    """Leadership that somebody else may have."""

    identity, transitions = "baton", 0

    def __init__(self, *, mine: bool) -> None:
        self.mine = mine

    def led_after(self, moment: float) -> bool | None:
        return None

    def lose(self, why: str) -> None:
        self.mine = False

    def holds(self) -> bool:
        return self.mine


def test_who_does_not_lead_says_so_and_shows_nothing_of_pools() -> None:
    async def act(m: Measured) -> None:
        t4(m.scene)
        holder = LeaseHolder(mine=True)
        m.start(leadership=holder)
        await m.scene.pass_time(30)
        assert m.page().all("leader") == [1]
        assert m.page().all("queue_jobs") == [0]
        holder.mine = False
        m.start()
        old, new = m.all
        assert Page(old).all("leader") == [0]
        for name in (
            "queue_jobs",
            "runners",
            "pool_condition",
            "github_poll_age_seconds",
            "hub_list_age_seconds",
        ):
            assert Page(old).all(name) == [], name
        assert Page(old).all("last_pass_timestamp_seconds") == []
        assert Page(new).all("leader") == [1]

    measured(act)
