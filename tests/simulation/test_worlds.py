"""Worlds beside the usual one, a scene each, judged by what is true in the services.

A scene that fails today is marked with what is wrong. The marks are strict: whoever mends one removes its
line here, and the same words in :mod:`tests.seeds.worlds`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from controller.simulate.serving import HOSTILE_GITHUB, HOSTILE_HUB
from tests.seeds.isolation import play_judged
from tests.seeds.plan import Disturbance, JobPlan, Plan, PoolPlan
from tests.seeds.play import Outcome
from tests.seeds.sweep import SCENES
from tests.seeds.worlds import WORLDS, draw_world

BURST = SCENES["a burst"]
POOL = BURST.pools[0]
DEADLINES = POOL.spec["deadlines"]
TEAM_B = replace(POOL, name="pool-b", labels=("gpu", "hf-b"))


def job(at: float, label: str = "hf-0", **more: Any) -> JobPlan:
    return JobPlan(at=at, repository="acme/lib", labels=(label,), **{"seconds": 60.0, **more})


def pool(one: PoolPlan = POOL, **spec: Any) -> PoolPlan:
    return replace(one, spec={**one.spec, **spec})


def scene(*jobs: JobPlan, pools: tuple[PoolPlan, ...] = (POOL,), **more: Any) -> Plan:
    return replace(BURST, pools=pools, jobs=jobs, **{"boots_in": 10.0, **more})


def github(**knobs: Any) -> Mapping[str, Any]:
    return {**BURST.github, **knobs}


def hub(**knobs: Any) -> Mapping[str, Any]:
    return {**BURST.hub, **knobs}


def happens(kind: str, *, at: float, seconds: float, share: float = 0.0) -> dict[str, Any]:
    return {
        "disturbances": (Disturbance(at=at, kind=kind, seconds=seconds, share=share),),
        "calm_at": at + seconds + 10,
    }


def unbroken(plan: Plan) -> Outcome:
    """Play a plan, and demand that it breaks nothing."""
    outcome = play_judged(plan)
    assert [str(violation) for violation in outcome.violations] == []
    return outcome


FALSE = ("RegistrationDeadline", "RegistrationRefused", "RunnerFailed", "RunnerLost", "SchedulingDeadline")


def warned(outcome: Outcome) -> set[str]:
    """Return which launches were called failed."""
    reasons = {event.split()[1] for view in outcome.views.values() for event in view.events}
    return reasons & set(FALSE)


# -------------------------------------------------------------------------------------------------- the worst
def test_a_busy_runner_whose_record_goes_when_its_job_starts_is_left_alone() -> None:
    unbroken(
        scene(
            *(job(10.0 + 17 * n, seconds=300.0) for n in range(15)),
            pools=(pool(maxRunners=20),),
            github=github(record_goes_at_start=1.0, runs_lag=50.0, jobs_lag=50.0),
            intervals=(60.0, 10.0),
        )
    )


@pytest.mark.parametrize("namespace", ["ci", "team-b"])
def test_two_secrets_for_one_hf_namespace_leave_each_others_runners_alone(namespace: str) -> None:
    second = pool(replace(TEAM_B, namespace=namespace), huggingface={"tokenSecret": "hf-token-b"})
    unbroken(scene(job(5.0), job(8.0, "hf-b"), job(200.0), job(220.0, "hf-b"), pools=(POOL, second)))


@pytest.mark.parametrize("namespace", ["ci", "team-b"])
def test_two_secrets_for_one_repository_leave_each_others_runners_alone(namespace: str) -> None:
    second = pool(replace(TEAM_B, namespace=namespace), github={"credentialsSecret": "github-b"})
    unbroken(scene(job(5.0), job(8.0, "hf-b"), job(200.0), job(220.0, "hf-b"), pools=(POOL, second)))


@pytest.mark.parametrize("kind", ["mistype_owner", "mistype_namespace"])
def test_a_pool_that_once_had_a_typo_can_be_deleted(kind: str) -> None:
    unbroken(scene(job(100.0), **happens(kind, at=5.0, seconds=60.0)))


def test_a_flavor_that_was_mistyped_and_corrected_leaves_nothing_behind() -> None:
    unbroken(scene(job(100.0), **happens("mistype_flavor", at=5.0, seconds=60.0)))


def test_a_lifetime_shorter_than_the_boot_does_not_launch_without_end() -> None:
    short = pool(deadlines={**DEADLINES, "lifetime": "40s"})
    unbroken(scene(job(5.0), pools=(short,), boots_in=60.0, **happens("lengthen", at=3_000.0, seconds=0.0)))


@pytest.mark.parametrize("how", [{"hardware_fails": 1.0}, {"hardware_seconds": 25.0}])
def test_a_gpu_runner_gets_a_gpu_image_while_the_hardware_list_is_away(how: Mapping[str, Any]) -> None:
    unbroken(scene(job(5.0), hub=hub(**how), world="hardware-unknown"))


@pytest.mark.parametrize("how", ["duplicates", "copies"])
def test_a_copy_of_an_hf_job_is_left_alone_and_takes_nothing_from_the_original(how: str) -> None:
    unbroken(scene(job(5.0, seconds=300.0), hub=hub(**{how: 1.0, "copy_after_seconds": 20.0})))


def test_a_job_that_fails_by_itself_beside_a_copy_of_its_hf_job_is_not_run_again() -> None:
    unbroken(
        scene(
            job(5.0, seconds=120.0, result="failure"),
            pools=(pool(retry={"interrupted": 1}),),
            hub=hub(duplicates=1.0, copy_after_seconds=40.0),
        )
    )


# --------------------------------------------------------------------------- demand that is not what it seems
def test_a_group_that_does_not_admit_the_repository_costs_a_few_starts() -> None:
    organization = replace(pool(github={"repositories": {"include": ["acme/*"]}}), url="acme")
    unbroken(scene(job(5.0), pools=(organization,), **happens("refuse", at=0.0, seconds=2_000.0)))


def test_a_job_that_github_gives_to_nobody_costs_a_few_starts() -> None:
    unbroken(scene(job(5.0, ghost=True, cancel_after=2_900.0)))


def test_a_version_that_github_starves_costs_a_few_starts() -> None:
    unbroken(scene(job(5.0), **happens("starve", at=0.0, seconds=3_000.0)))


@pytest.mark.timeout(240)  # a day and more of polling
def test_a_job_that_is_approved_after_more_than_a_day_is_served() -> None:
    unbroken(scene(job(5.0, approved_after=30 * 3_600.0), intervals=(300.0, 300.0)))


@pytest.mark.timeout(240)  # a day and more of polling
def test_a_job_that_is_approved_within_a_day_is_served() -> None:
    unbroken(scene(job(5.0, approved_after=20 * 3_600.0), intervals=(300.0, 300.0)))


def test_a_job_for_self_hosted_machines_with_a_hosted_label_is_named_in_a_status() -> None:
    labels = ("self-hosted", "linux", "x64", "ubuntu-22.04", "hf-0")
    outcome = unbroken(scene(replace(job(5.0), labels=labels)))
    assert not any("starts on" in line for line in outcome.trace)


def test_a_job_with_a_label_too_many_is_named_in_a_status() -> None:
    unbroken(scene(replace(job(5.0), labels=("hf-0", "cuda-99"))))


@pytest.mark.parametrize("labels", [("HF-0",), ("gpu", "Hf-0")])
def test_labels_with_capitals_are_the_same_labels(labels: tuple[str, ...]) -> None:
    capitals = replace(POOL, labels=("GPU", "hf-0"))
    unbroken(scene(replace(job(5.0), labels=labels), pools=(capitals,)))


def test_the_normal_end_of_a_job_costs_no_request_that_is_refused() -> None:
    outcome = unbroken(scene(job(5.0), job(8.0), github=github(linger_seconds=30.0), intervals=(6.0, 5.0)))
    assert {mark for mark in outcome.marks if mark in ("deregister 404", "deregister 422")} == set()


def test_a_burst_of_jobs_costs_no_request_that_is_refused_and_no_place_of_a_runner_that_is_over() -> None:
    """Twelve jobs through four places: each that ends lets the next one start, while GitHub
    still lists its runner.
    """
    jobs = tuple(job(5.0 + n, seconds=40.0 + n) for n in range(12))
    lists = github(linger_seconds=30.0, runners_lag=10.0)
    outcome = unbroken(scene(*jobs, pools=(pool(maxRunners=4),), github=lists, intervals=(6.0, 5.0)))
    assert {mark for mark in outcome.marks if mark.startswith("deregister 4")} == set()
    assert outcome.launches == len(jobs)


def test_an_outage_of_github_while_runners_start_is_no_failed_launch() -> None:
    jobs = tuple(job(5.0 + n, seconds=200.0) for n in range(4))
    down = happens("github_down", at=25.0, seconds=400.0)
    outcome = unbroken(scene(*jobs, pools=(pool(maxRunners=4),), boots_in=12.0, **down))
    assert warned(outcome) == set()


def test_what_was_given_back_is_no_failed_launch_however_slowly_it_is_cancelled() -> None:
    jobs = tuple(job(5.0 + 60 * n, cancel_after=20.0) for n in range(4))
    slow = hub(cancel_seconds=60.0, boot_seconds=20.0)
    assert warned(unbroken(scene(*jobs, hub=slow))) == set()


# --------------------------------------------------------------------------------------- services that differ
def test_slow_cancels_of_what_was_given_back_leave_nothing_and_launch_nothing_twice() -> None:
    unbroken(
        scene(
            *(job(5.0, cancel_after=25.0) for _ in range(2)),
            job(40.0),
            hub=hub(cancel_seconds=60.0, boot_seconds=40.0),
        )
    )


def test_a_last_stage_that_no_release_knows_ends_an_hf_job() -> None:
    unbroken(scene(job(5.0), hub=hub(new_stage="EVICTED")))


@pytest.mark.parametrize("prices", ["null", "text"])
def test_hardware_without_a_price_is_known_all_the_same(prices: str) -> None:
    unbroken(scene(job(5.0), hub=hub(hardware_prices=prices), world="odd-prices"))


def test_prices_per_hour_are_prices() -> None:
    unbroken(scene(job(5.0), hub=hub(hardware_prices="per-hour"), world="odd-prices"))


def test_lists_that_are_nearly_a_minute_old_cost_no_job_and_no_second_launch() -> None:
    lags = {f"{name}_lag": 50.0 for name in ("runs", "jobs", "runners", "repositories")}
    unbroken(scene(job(5.0), job(90.0), github=github(**lags), hub=hub(list_stale_seconds=50.0)))


def test_rows_of_runs_that_never_change_keep_no_job_from_its_runner() -> None:
    unbroken(scene(job(5.0), job(90.0), github=github(frozen_run_rows=1.0)))


def test_a_repository_that_gets_another_name_is_served_under_both() -> None:
    unbroken(scene(job(5.0), job(90.0), **happens("rename", at=60.0, seconds=200.0)))


def test_words_and_numbers_of_any_kind_stop_nothing() -> None:
    unbroken(scene(job(5.0), job(8.0), github=github(odd_words=1.0), hub=hub(odd_words=1.0)))


def test_a_quota_that_is_nearly_used_up_delays_jobs_and_loses_none() -> None:
    limits = {"core_limit": 60, "secondary_points_per_minute": 60, "registrations_per_5_minutes": 3}
    unbroken(scene(*(job(5.0 + n) for n in range(6)), github=github(**limits)))


# -------------------------------------------------------------------------------------------------- the walls
APART = pool(
    replace(TEAM_B, name="other", namespace="team-b", url="umbrella/lib", labels=POOL.labels),
    huggingface={"namespace": "umbrella"},
)


def test_a_tenant_with_accounts_of_its_own_changes_nothing_for_the_others() -> None:
    theirs = replace(job(20.0), repository="umbrella/lib")
    unbroken(
        scene(job(5.0), job(30.0), theirs, theirs, pools=(POOL, APART), world="tenants-apart", profile="calm")
    )


@pytest.mark.parametrize("theirs", [{"endpoint": HOSTILE_HUB}, {"namespace": "umbrella"}])
def test_a_tenant_whose_services_name_anothers_runners_changes_nothing_for_that_one(
    theirs: Mapping[str, Any],
) -> None:
    victim = pool(minIdle=1, deadlines={**DEADLINES, "idle": "15m", "lifetime": "6h"})
    hostile = pool(
        replace(POOL, name="other", namespace="team-b"),
        github={"url": f"{HOSTILE_GITHUB}/acme/lib"},
        huggingface=theirs,
    )
    unbroken(scene(job(100.0, seconds=200.0), pools=(victim, hostile), world="hostile-tenant"))


def test_a_cheaper_pool_of_another_namespace_that_may_launch_nothing_takes_no_job_away() -> None:
    idle = pool(
        replace(POOL, name="other", namespace="team-b"),
        huggingface={"namespace": "umbrella"},
        flavors=["cpu-basic"],
        maxRunners=0,
    )
    unbroken(scene(job(5.0), pools=(POOL, idle)))


@pytest.mark.parametrize("secrets_first", [True, False])
def test_a_namespace_that_is_deleted_takes_its_pools_with_it(secrets_first: bool) -> None:
    share = 0.0 if secrets_first else 0.9
    ends = happens("namespace_ends", at=100.0, seconds=5.0, share=share)
    assert unbroken(scene(job(5.0, seconds=300.0), **ends)).seconds < 900


# ---------------------------------------------------------------------------------------------- of themselves
def test_every_kind_of_world_can_be_drawn_and_says_which_it_is() -> None:
    for name in WORLDS:
        assert draw_world(1, "uniform", name).world == name
    drawn = Counter(draw_world(seed, "uniform").world for seed in range(1_000))
    assert set(drawn) == {"", *WORLDS}
