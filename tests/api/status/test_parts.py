"""The parts of a status, each told exactly: counts, queue, runners, flavors, back-off, cost,
what a later process reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from controller.api.status.build import faulted_status, rejected_status
from controller.api.status.model import Counts, RunnerPoolStatus
from controller.api.status.stored import read_status
from controller.api.status.values import (
    LATEST,
    MOST_FLAVOR,
    MOST_HF_JOB,
    MOST_INTERRUPTIONS,
    MOST_LINK,
    MOST_MESSAGE,
    MOST_NAME,
    MOST_NOTE,
    MOST_PLACES,
    MOST_REPOSITORY,
    MOST_REQUEST_ID,
    MOST_RUNNER,
    MOST_RUNNERS,
    MOST_USD,
    MOST_WAITING,
    dollars,
    iso,
    link,
    moment,
)
from controller.core.backoff import POOL, Backoff
from controller.core.conditions import ConditionType
from controller.core.explain import Waiting
from controller.core.lifecycle import Phase, Track
from controller.core.losses import Losses, Watched
from controller.core.model import Failure, Interruption, RerunState, SuspicionLevel
from controller.core.reasons import Reason
from controller.core.report import PoolReport
from controller.core.runners import Runner
from controller.core.suspicion import MOST_STARTS, MOST_SUSPICIONS, Suspicion, Suspicions
from tests.api.status.healthy import asked, built, healthy, remembering, report
from tests.core.build import NOW, SERVER, elsewhere, hf_job, job, launched, pool, run_plan, running, snapshot


def test_what_was_not_counted_is_none() -> None:
    assert set(Counts().model_dump().values()) == {0}


def written(of: PoolReport, **more: Any) -> dict[str, Any]:
    """The status of a pool as the API server gets it."""
    return built(of, **more).to_object()


def runner(name: str, phase: Phase, *, since: float = NOW, **changes: Any) -> Runner:
    """A runner with an HF Job."""
    mine = pool()
    (one,) = run_plan([mine], snapshot(hf_jobs=[hf_job(mine)])).reports[mine.uid].runners
    return one._replace(name=name, phase=phase, track=Track(phase=phase, since=since), **changes)


@pytest.mark.parametrize(
    ("limit", "published"),
    [
        (MOST_RUNNERS, 20),
        (MOST_WAITING, 16),
        (MOST_PLACES, 16),
        (MOST_INTERRUPTIONS, 32),
        (MOST_MESSAGE, 1024),
        (MOST_NAME, 1024),
        (MOST_LINK, 1024),
        (MOST_NOTE, 512),
        (MOST_REPOSITORY, 256),
        (MOST_REQUEST_ID, 256),
        (MOST_RUNNER, 64),
        (MOST_HF_JOB, 64),
        (MOST_FLAVOR, 63),
        (MOST_USD, 999_999_999_999),
    ],
)
def test_a_limit_is_the_one_of_the_published_crd(limit: int, published: int) -> None:
    """A CRD that is installed apart from the operator may be older: a higher limit than its own fails."""
    assert limit == published


def test_a_status_of_a_pool_that_is_well_has_these_parts_and_no_others() -> None:
    status = written(healthy())
    del status["conditions"]
    assert status == {
        "observedGeneration": 1,
        "flavorNames": "t4-small",
        "counts": dict.fromkeys(
            [
                "queued",
                "groupOnly",
                "unservable",
                "starting",
                "registered",
                "scheduling",
                "booting",
                "idle",
                "busy",
                "ending",
                "live",
            ],
            0,
        ),
        "queue": [],
        "runners": [],
        "flavors": [{"name": "t4-small", "live": 0}],
        "places": [],
        "cost": {"usdPerHour": "0.00", "maxUsdPerHour": "1.61", "worstCaseUsd": "0.00", "spentUsd": "0.00"},
    }


# ----------------------------------------------------------------------------------------------------- counts
def test_runners_are_counted_by_phase() -> None:
    numbers = dict(zip(Phase, (1, 2, 3, 4, 5, 6, 7, 8), strict=True))
    runners = [runner(f"{phase}-{n}", phase) for phase, count in numbers.items() for n in range(count)]
    runners[-1] = runners[-1]._replace(hf_job=None)
    live = sum(one.live for one in runners)
    assert 0 < live < len(runners)
    demand = asked(queued=[job(1)], group_only=[job(2)] * 2, unmatched=[job(3)] * 3)
    assert built(report(runners=runners, demand=demand)).counts == Counts(
        queued=1,
        group_only=2,
        unservable=3,
        starting=1 + 2 + 3,
        registered=1,
        scheduling=2,
        booting=3,
        idle=4,
        busy=5,
        ending=6 + 7 + 8,
        live=live,
    )


# ------------------------------------------------------------------------------------------------------ queue
def test_what_jobs_wait_for_is_one_entry_for_each_reason() -> None:
    waiting = [
        Waiting(reason=Reason.BackingOff, count=2, message="A.", until=NOW + 60, oldest_at=SERVER - 5),
        Waiting(reason=Reason.AtMaxRunners, count=1, message="Full."),
        Waiting(reason=Reason.BackingOff, count=3, message="B.", oldest_at=SERVER - 9),
        Waiting(reason=Reason.BackingOff, count=1, message="C.", until=NOW + 90, oldest_at=SERVER - 7),
    ]
    assert written(report(waiting=waiting))["queue"] == [
        {
            "reason": "BackingOff",
            "count": 6,
            "message": (
                f"A. The next try is at {iso(SERVER + 60)}. B. C. The next try is at {iso(SERVER + 90)}."
            ),
            "oldest": iso(SERVER - 9),
        },
        {"reason": "AtMaxRunners", "count": 1, "message": "Full."},
    ]


def test_a_queue_is_cut_to_what_a_status_takes() -> None:
    reasons = list(Reason)[: MOST_WAITING + 2]
    waiting = [Waiting(reason=reason, count=1, message="x" * 2_000) for reason in reasons]
    found = built(report(waiting=waiting)).queue or []
    assert [one.reason for one in found] == reasons[:MOST_WAITING]
    assert {len(one.message) for one in found} == {MOST_MESSAGE}


# ---------------------------------------------------------------------------------------------------- runners
def test_a_runner_is_told_with_its_pages_and_since_when() -> None:
    busy = runner("t4-1", Phase.BUSY, since=NOW - 30, workflow_job=running(7, "t4-1"))
    assert written(report(runners=[busy]))["runners"] == [
        {
            "name": "t4-1",
            "phase": "Busy",
            "flavor": "t4-small",
            "hfJobId": "hf-aaaa",
            "hfJobUrl": "https://huggingface.co/jobs/acme/hf-aaaa",
            "workflowJobUrl": "https://github.com/acme/lib/actions/runs/7/job/7",
            "since": iso(SERVER - 30),
        }
    ]


def test_what_is_not_known_of_a_runner_is_left_out() -> None:
    bare = runner("t4-1", Phase.REGISTERED, flavor="", hf_job=None, workflow_job=None)
    nameless = runner("t4-2", Phase.IDLE, hf_job=hf_job(pool(), id="", url=""))
    shown = written(report(runners=[bare, nameless]))["runners"]
    assert shown == [
        {"name": "t4-1", "phase": "Registered", "since": iso(SERVER)},
        {"name": "t4-2", "phase": "Idle", "flavor": "t4-small", "since": iso(SERVER)},
    ]


def test_the_newest_runners_are_shown_and_of_equal_ones_the_first_by_name() -> None:
    old = [runner(f"old-{n:02}", Phase.IDLE, since=NOW - 90) for n in range(MOST_RUNNERS)]
    new = [runner(name, Phase.IDLE, since=NOW - 10) for name in ("b", "a")]
    shown = [one.name for one in built(report(runners=[*old, *new])).runners or ()]
    assert shown == ["a", "b", *(f"old-{n:02}" for n in range(MOST_RUNNERS - 2))]


# --------------------------------------------------------------------------------------- flavors and back-off
FAILURE = Failure(reason=Reason.FlavorOutOfCapacity, message="m" * 2_000, request_id="r" * 300)


def test_a_flavor_is_told_with_its_price_its_jobs_and_its_back_off() -> None:
    mine = replace(pool(), flavors=("t4-small", "a10g"))
    known = Backoff(failures=3, until=NOW + 60, at=NOW, failure=FAILURE)
    of = replace(
        remembering(backoffs={"a10g": known}),
        pool=mine,
        runners=[
            runner("1", Phase.IDLE),
            runner("2", Phase.IDLE, flavor="a10g"),
            runner("3", Phase.FINISHED, hf_job=None),
        ],
    )
    assert [one.live for one in of.runners] == [True, True, False]
    status = written(of, usd_per_second={"t4-small": 0.5 / 3_600})
    assert status["flavorNames"] == "t4-small,a10g"
    assert status["flavors"] == [
        {"name": "t4-small", "usdPerHour": "0.5000", "live": 1},
        {
            "name": "a10g",
            "live": 1,
            "backoff": {
                "failures": 3,
                "until": iso(SERVER + 60),
                "reason": "FlavorOutOfCapacity",
                "message": "m" * (MOST_MESSAGE - 1) + "…",
                "requestId": "r" * 255 + "…",
            },
        },
    ]
    assert "backoff" not in status


def test_a_back_off_of_all_flavors_is_the_pools() -> None:
    failure = Failure(reason=Reason.HubUnavailable, message="502")
    known = Backoff(failures=1, until=NOW, at=NOW, failure=failure)
    status = written(remembering(backoffs={POOL: known}))
    assert status["backoff"] == {
        "failures": 1,
        "until": iso(SERVER),
        "reason": "HubUnavailable",
        "message": "502",
    }
    assert status["flavors"] == [{"name": "t4-small", "live": 0}]


# ------------------------------------------------------------------------------------------------------- cost
def costly(**changes: Any) -> PoolReport:
    memory = replace(healthy().memory, usd={"t4-small": 1 / 3_600}, spent_usd=7.0)
    mine = pool(flavors=("t4-small", "a10g"), max_runners=10)
    known: dict[str, Any] = {
        "pool": mine,
        "offered": ("t4-small", "a10g"),
        "memory": memory,
        "usd_per_hour": 2.0,
        "worst_case_usd": 3.0,
    }
    return report(**{**known, **changes})


def test_the_cost_is_what_it_is_now_can_be_and_was() -> None:
    assert written(costly(), usd_per_second={"a10g": 4 / 3_600})["cost"] == {
        "usdPerHour": "2.00",
        "maxUsdPerHour": "40.00",
        "worstCaseUsd": "3.00",
        "spentUsd": "7.00",
    }


@pytest.mark.parametrize(
    ("changes", "prices", "most"),
    [
        ({}, {"t4-small": 2 / 3_600, "a10g": 1 / 3_600}, "20.00"),
        ({}, {}, None),
        ({"offered": ("t4-small",)}, {}, "10.00"),
    ],
    ids=["today's price counts", "one has no price", "one is not offered"],
)
def test_what_a_pool_can_cost_is_told_when_every_price_that_counts_is_known(
    changes: Mapping[str, Any], prices: dict[str, float], most: str | None
) -> None:
    cost = built(costly(**changes), usd_per_second=prices).cost
    assert (cost.max_usd_per_hour if cost is not None else None) == most


def test_without_any_price_there_is_no_cost() -> None:
    of = costly(offered=(), memory=replace(healthy().memory, usd={}))
    assert built(of).cost is None


# --------------------------------------------------------------------------------- what a later process reads
def lost(run: int, rerun: RerunState = RerunState.OFF, **changes: Any) -> Watched:
    known = Interruption(
        repository="acme/lib",
        run_id=run,
        attempt=2,
        job_id=run * 10,
        job_name="train",
        job_url="https://github.com/acme/lib/actions/runs/7/job/70",
        at=SERVER - run,
        rerun=rerun,
    )
    return Watched(lost=replace(known, **changes), since=NOW, due_at=NOW)


def test_a_lost_job_is_told_exactly() -> None:
    plain, noted = lost(1), lost(2, note="n" * 600, by_hub=True)
    first, second = written(remembering(losses=Losses(watched=[plain, noted])))["interruptions"]
    assert second == {
        "repository": "acme/lib",
        "runId": 1,
        "attempt": 2,
        "jobId": 10,
        "jobName": "train",
        "jobUrl": "https://github.com/acme/lib/actions/runs/7/job/70",
        "at": iso(SERVER - 1),
        "rerun": "Off",
    }
    assert (first["runId"], first["note"], first["byHub"]) == (2, "n" * (MOST_NOTE - 1) + "…", True)


def test_losses_that_must_be_followed_up_come_first_then_the_newest() -> None:
    watched = [lost(1, RerunState.PENDING), lost(2), lost(3, RerunState.PENDING), lost(4, RerunState.DONE)]
    shown = built(remembering(losses=Losses(watched=watched))).interruptions or []
    assert [one.run_id for one in shown] == [3, 1, 4, 2]
    many = built(remembering(losses=Losses(watched=[lost(n) for n in range(40)]))).interruptions or []
    assert [one.run_id for one in many] == list(range(39, 39 - MOST_INTERRUPTIONS, -1))


def suspicion(repository: str = "acme/lib", **changes: Any) -> Suspicion:
    known = Suspicion(
        level=SuspicionLevel.JOB,
        repository=repository,
        job_id=7,
        since=NOW - 60,
        starts=tuple(NOW - 50 + n for n in range(MOST_STARTS + 2)),
        seen_at=NOW,
        rises_to=SuspicionLevel.REPOSITORY,
    )
    return replace(known, **changes)


def test_a_suspicion_is_told_with_its_newest_starts() -> None:
    (shown,) = written(remembering(suspicions=Suspicions(held=(suspicion(),))))["suspicions"]
    assert shown == {
        "level": "Job",
        "repository": "acme/lib",
        "jobId": 7,
        "since": iso(SERVER - 60),
        "starts": [iso(SERVER - 50 + n) for n in range(2, MOST_STARTS + 2)],
        "risesTo": "Repository",
    }


def test_a_repository_whose_name_cannot_be_told_whole_is_left_out() -> None:
    whole, cut = "r" * MOST_REPOSITORY, "r" * (MOST_REPOSITORY + 1)
    of = remembering(
        losses=Losses(watched=[lost(1, repository=whole), lost(2, repository=cut)]),
        suspicions=Suspicions(held=(suspicion(whole), suspicion(cut))),
    )
    status = built(of)
    assert [one.repository for one in status.interruptions or ()] == [whole]
    assert [one.repository for one in status.suspicions or ()] == [whole]
    many = tuple(suspicion(job_id=n) for n in range(MOST_SUSPICIONS + 1))
    assert len(built(remembering(suspicions=Suspicions(held=many))).suspicions or ()) == MOST_SUSPICIONS


def test_places_are_told_with_their_end_and_the_newest_launch() -> None:
    mine = replace(pool(), former=(elsewhere(pool()),))
    assert written(report(pool=mine))["places"] == []
    status = written(report(pool=launched(mine, SERVER - 5)))
    by = launched(mine, SERVER - 5).bound(mine.footprint.place)
    assert by is not None
    here = {
        "apiUrl": "https://api.github.com",
        "scope": "repos/acme/lib",
        "credentialsSecret": "github-app",
        "endpoint": "https://huggingface.co",
        "namespace": "acme",
        "tokenSecret": "hf-token",
        "endsBy": iso(by),
    }
    assert status["places"] == [here, {**here, "namespace": "elsewhere"}]
    assert status["lastLaunchAt"] == iso(SERVER - 5)
    hub = pool().hub
    moved = tuple(
        replace(pool().footprint, account=replace(hub, namespace=f"n{n}")) for n in range(MOST_PLACES)
    )
    everywhere = built(report(pool=launched(replace(pool(), former=moved), SERVER)))
    assert len(everywhere.places or ()) == MOST_PLACES


# --------------------------------------------------------------------------------- pools that are not planned
BEFORE = {
    "observedGeneration": 1,
    "counts": {"queued": 4},
    "term": {"number": 3, "holder": "a"},
    "intents": [],
    "lastLaunchAt": iso(SERVER - 99),
    "conditions": [
        {
            "type": "LaunchesAllowed",
            "status": "True",
            "lastTransitionTime": iso(0),
            "reason": "Paused",
            "message": "",
        },
        {"type": "Ready", "status": "False", "lastTransitionTime": iso(5), "reason": "Paused", "message": ""},
    ],
}


def halted(status: RunnerPoolStatus) -> tuple[dict[str, Any], dict[str, tuple[str, str, str, str]]]:
    """What a status says beside its conditions, and these."""
    found = status.to_object()
    conditions = {
        one["type"]: (one["status"], one["reason"], one["message"], one["lastTransitionTime"])
        for one in found.pop("conditions")
    }
    return found, conditions


@pytest.mark.parametrize("deleting", [False, True])
def test_a_pool_whose_spec_cannot_be_followed_says_so_and_keeps_what_it_said_of_its_runners(
    *, deleting: bool
) -> None:
    rest, conditions = halted(
        rejected_status(
            generation=7, message="no", previous=read_status(BEFORE), deleting=deleting, wall=SERVER
        )
    )
    change = Reason.Draining if deleting else Reason.UpToDate
    assert rest == {"observedGeneration": 7, "counts": {"queued": 4}, "lastLaunchAt": iso(SERVER - 99)}
    assert conditions == {
        "Ready": ("False", "InvalidSpec", "no", iso(5)),
        "Reconciling": (str(deleting), change.name, change.meaning, iso(SERVER)),
        "Stalled": ("True", "InvalidSpec", "no", iso(SERVER)),
    }


def test_a_pool_whose_spec_cannot_be_followed_says_what_its_newest_valid_one_waits_for() -> None:
    leaving = launched(replace(pool(), deleting=True), SERVER)
    busy = report(pool=leaving, runners=[runner("1", Phase.BUSY)], drained=False)
    rest, conditions = halted(
        rejected_status(
            generation=7,
            message="no",
            previous=read_status(BEFORE),
            deleting=True,
            wall=SERVER,
            report=busy,
        )
    )
    assert conditions["Reconciling"][2] == (
        f"{Reason.Draining.meaning} 1 running workflow job is waited for, each up to deadlines.lifetime."
    )
    assert rest["lastLaunchAt"] == iso(SERVER)
    assert [one["namespace"] for one in rest["places"]] == ["acme"]


def test_a_pool_by_its_newest_valid_spec_that_stays_and_never_launched_keeps_what_it_said() -> None:
    rest, conditions = halted(
        rejected_status(
            generation=7,
            message="no",
            previous=read_status(BEFORE),
            deleting=False,
            wall=SERVER,
            report=healthy(),
        )
    )
    assert conditions["Reconciling"][2] == Reason.UpToDate.meaning
    assert (rest["lastLaunchAt"], rest["places"]) == (iso(SERVER - 99), [])


def test_a_mistake_of_ours_is_told_of_the_pool_that_it_met() -> None:
    mine = replace(pool(), generation=9, deleting=True)
    rest, conditions = halted(faulted_status(mine, previous=read_status(BEFORE), wall=SERVER))
    assert rest["observedGeneration"] == 9
    assert conditions["Ready"] == ("False", "InternalError", Reason.InternalError.meaning, iso(5))
    assert conditions["Stalled"][:3] == ("True", "InternalError", Reason.InternalError.meaning)
    assert conditions["Reconciling"][:2] == ("True", "Draining")


def test_which_conditions_hold_is_told_without_those_that_nobody_knows() -> None:
    status = built(report(observed=False))
    truths = status.truths()
    assert truths[ConditionType.READY] is False
    assert truths[ConditionType.LAUNCHES_ALLOWED] is True
    assert ConditionType.GITHUB_REACHABLE not in truths
    assert RunnerPoolStatus().truths() == {}


# ----------------------------------------------------------------------------------------------------- values
@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (-1.0, "0.00"),
        (0.0, "0.00"),
        (0.0042, "0.0042"),
        (0.99996, "1.0000"),
        (1.0, "1.00"),
        (12.346, "12.35"),
        (1e300, f"{MOST_USD:.2f}"),
    ],
)
def test_money_is_told_in_cents_and_less_than_a_dollar_more_exactly(amount: float, text: str) -> None:
    assert dollars(amount) == text


@pytest.mark.parametrize(
    ("epoch", "text"),
    [
        (-5.0, "1970-01-01T00:00:00Z"),
        (0.9, "1970-01-01T00:00:00Z"),
        (SERVER + 0.9, "2027-01-15T08:00:00Z"),
        (LATEST + 5, "2199-12-31T23:59:59Z"),
    ],
)
def test_times_are_whole_seconds_within_what_a_clock_can_say(epoch: float, text: str) -> None:
    assert iso(epoch) == text


def test_a_time_comes_back_and_what_is_none_is_none() -> None:
    assert moment(iso(SERVER)) == SERVER
    for odd in ("soon", "0000-01-01T00:00:00Z", "2016-12-31T23:59:60Z"):
        assert moment(odd) is None


def test_an_address_is_told_whole_or_not_at_all() -> None:
    assert link("https://a") == "https://a"
    assert link("https://a/\x1b") == link("https://a/" + "x" * 1_024) == ""
