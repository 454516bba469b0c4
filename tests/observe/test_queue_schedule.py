"""When which repository is due, and for what: pure."""

from __future__ import annotations

import math

import pytest

from controller.core.model import Disposition, Failure
from controller.core.reasons import Reason
from controller.observe.queue_schedule import (
    ALL_STATUSES,
    Cadence,
    Gate,
    Heat,
    Pressure,
    Watch,
    back_off,
    due,
    fraction,
    interval,
    pressure,
    statuses,
)
from controller.ports import Quota

C = Cadence()


def watch(name: str = "acme/lib", *, heat: Heat = Heat.COLD, now: float = 0.0, **fields: float) -> Watch:
    made = Watch(name=name, next_at=now, swept_at=now)
    if heat is Heat.HOT:
        made.hot_until = now + C.hot_for
    if heat is not Heat.COLD:
        made.warm_until = now + C.warm_for
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def failure(reason: Reason = Reason.GitHubUnavailable, *, retry_after: float | None = None) -> Failure:
    person = reason in (Reason.GitHubForbidden, Reason.GitHubUnauthorized)
    disposition = Disposition.PERSON if person else Disposition.RETRY
    return Failure(reason=reason, message="m", disposition=disposition, retry_after=retry_after)


def test_a_repository_cools_from_hot_to_warm_to_cold() -> None:
    made = watch(heat=Heat.HOT)
    assert [made.heat(t) for t in (0, 599, 600, 6 * 3_600 - 1, 6 * 3_600)] == [
        Heat.HOT,
        Heat.HOT,
        Heat.WARM,
        Heat.WARM,
        Heat.COLD,
    ]


@pytest.mark.parametrize(
    ("heat", "of", "under", "seconds"),
    [
        (Heat.HOT, 0, Pressure.NONE, 12),
        (Heat.WARM, 10, Pressure.NONE, 12),
        (Heat.WARM, 300, Pressure.NONE, 60),
        (Heat.COLD, 10, Pressure.NONE, 12),
        (Heat.COLD, 100, Pressure.NONE, 100),
        (Heat.COLD, 500, Pressure.NONE, 300),
        (Heat.HOT, 0, Pressure.HALF, 24),
        (Heat.COLD, 500, Pressure.HALF, 600),
    ],
)
def test_an_interval_follows_heat_number_and_quota(
    heat: Heat, of: int, under: Pressure, seconds: float
) -> None:
    found = [interval(watch(heat=heat, looks=n), 0.0, C, of=of, under=under) for n in range(2, 202)]
    assert min(found) >= seconds * 0.8
    assert max(found) <= seconds * 1.2
    assert max(found) - min(found) > seconds * 0.3  # it does vary


def test_repositories_that_are_first_looked_at_together_spread_over_the_whole_interval() -> None:
    together = [watch(f"acme/r{n}", looks=1) for n in range(500)]
    second = [interval(one, 0.0, C, of=500, under=Pressure.NONE) for one in together]
    for tenth in range(10):
        crowd = [at for at in second if tenth * C.cold / 10 <= at < (tenth + 1) * C.cold / 10]
        assert 25 <= len(crowd) <= 75
    assert min(second) >= C.least


def test_intervals_vary_without_chance() -> None:
    assert fraction("acme/lib", 3) == fraction("acme/lib", 3)
    spread = [fraction(f"acme/r{n}", 1) for n in range(1_000)]
    assert 0 <= min(spread) < 0.05
    assert 0.95 < max(spread) < 1


def test_a_hot_look_asks_for_queued_and_running_and_every_fourth_for_pending() -> None:
    asked = [statuses(watch(heat=Heat.HOT, looks=n), 1.0, C, ()) for n in range(8)]
    assert asked == [("pending", "queued", "in_progress"), *[("queued", "in_progress")] * 3] * 2


def test_every_status_is_asked_for_now_and_then_and_for_cold_ones_seldom() -> None:
    assert statuses(watch(heat=Heat.WARM, looks=1), 600.0, C, ()) == ALL_STATUSES
    assert statuses(watch(looks=1), 600.0, C, ()) == ("queued", "in_progress")
    assert statuses(watch(looks=1), 3_600.0, C, ()) == ALL_STATUSES
    assert statuses(watch(looks=1, sweep_next=True), 1.0, C, ()) == ALL_STATUSES


def test_where_nothing_is_queued_one_list_tells_and_runs_in_progress_are_listed_less_often() -> None:
    def asked(heat: Heat, known: list[str]) -> list[bool]:
        one, found = watch(heat=heat, looks=1), []
        for now in range(0, 480, 12):
            found.append("in_progress" in statuses(one, float(now), C, known))
            if found[-1]:
                one.running_at = float(now)
        return found

    assert sum(asked(Heat.HOT, [])) == 40
    assert sum(asked(Heat.HOT, ["in_progress"])) == 20
    assert sum(asked(Heat.HOT, ["queued"])) == 20
    assert sum(asked(Heat.COLD, [])) == 10
    assert sum(asked(Heat.WARM, [])) == 10


def test_seldom_looks_ask_for_both_lists() -> None:
    assert "in_progress" in statuses(watch(looks=1, running_at=0.0), 60.0, C, [])


def test_the_status_of_a_known_run_is_always_asked_for() -> None:
    assert statuses(watch(looks=1), 1.0, C, ["waiting"]) == ("waiting", "queued", "in_progress")


def test_statuses_are_asked_for_in_the_order_of_a_runs_life() -> None:
    assert ALL_STATUSES.index("pending") < ALL_STATUSES.index("queued") < ALL_STATUSES.index("in_progress")


def test_when_there_is_too_much_to_do_nobody_starves() -> None:
    hot = [watch(f"hot{n}", heat=Heat.HOT, next_at=988.0, now=900.0) for n in range(5)]
    for one in hot:
        one.next_at = 988.0  # one interval late
        one.looks = 7
    late = watch("cold", next_at=400.0, looks=1)  # two intervals late
    fresh = watch("fresh", next_at=990.0, looks=1)
    new = watch("new", next_at=1_000.0)
    assert [w.name for w in due([*hot, fresh, new, late], 1_000.0, C, Pressure.NONE)] == [
        "new",
        "cold",
        *(f"hot{n}" for n in range(5)),
        "fresh",
    ]


def test_what_runs_or_is_not_due_is_not_started() -> None:
    assert due([watch("a", running=True), watch("b", next_at=1.1)], 1.0, C, Pressure.NONE) == []


def test_the_last_tenth_of_the_quota_is_for_hot_repositories() -> None:
    watches = [watch("hot", heat=Heat.HOT), watch("warm", heat=Heat.WARM), watch("cold")]
    assert [w.name for w in due(watches, 1.0, C, Pressure.LAST)] == ["hot"]


@pytest.mark.parametrize(
    ("remaining", "expected"),
    [
        (5_000, Pressure.NONE),
        (2_500, Pressure.NONE),
        (2_499, Pressure.HALF),
        (500, Pressure.HALF),
        (499, Pressure.LAST),
        (0, Pressure.LAST),
    ],
)
def test_pressure_follows_the_quota(remaining: int, expected: Pressure) -> None:
    assert pressure(Quota(limit=5_000, remaining=remaining, resets_at=100.0), 99.0) is expected
    assert pressure(Quota(limit=5_000, remaining=remaining, resets_at=100.0), 100.0) is Pressure.NONE


def test_nothing_is_known_before_the_first_answer() -> None:
    assert pressure(None, 0.0) is Pressure.NONE


def test_what_a_person_must_mend_is_tried_every_minute_and_what_may_pass_every_other_at_most() -> None:
    def waits(reason: Reason) -> list[float]:
        return [back_off(watch(failures=n), failure(reason), C) for n in range(1, 12)]

    passing, lasting = waits(Reason.GitHubUnavailable), waits(Reason.GitHubForbidden)
    assert 12 <= passing[0] <= 18
    assert max(passing) <= 120 * 1.2
    assert 40 <= lasting[-1] <= 60
    assert back_off(watch(failures=1), failure(retry_after=500.0), C) == 500.0


@pytest.mark.parametrize(("repositories", "seconds"), [(8, 50), (100, 600), (500, 900)])
def test_repositories_that_are_refused_share_ten_requests_a_minute_for_up_to_a_quarter_of_an_hour(
    repositories: int, seconds: float
) -> None:
    wait = back_off(watch(failures=12), failure(Reason.GitHubForbidden), C, lasting=repositories)
    assert 0.8 * seconds <= wait <= 1.2 * seconds


# ------------------------------------------------------------------------------------------------------- gate
LIMITED = failure(Reason.GitHubRateLimited, retry_after=1_000.0)
DEAD = failure(Reason.GitHubUnauthorized)
DOWN = failure(Reason.GitHubUnavailable)


def test_a_shared_failure_closes_the_gate_once_and_as_long_as_told() -> None:
    gate = Gate()
    assert gate.failed(LIMITED, 10.0) is True
    assert gate.failed(LIMITED, 10.5) is False
    assert (gate.failure, gate.until, gate.tries) == (LIMITED, 1_010.5, 1)


def test_one_repository_that_refuses_the_credentials_is_its_own_affair() -> None:
    gate = Gate()
    for now in range(10):
        assert gate.failed(DEAD, float(now)) is False
        gate.passed()  # another repository answered
    assert gate.failure is None


def test_two_refusals_in_a_row_are_dead_credentials() -> None:
    gate = Gate()
    gate.failed(DEAD, 0.0)
    assert gate.failed(DEAD, 0.1) is True
    assert gate.until == 5.1


def test_dead_credentials_are_tried_every_minute_and_at_once_when_they_may_be_mended() -> None:
    gate = Gate()
    for _ in range(10):
        now = gate.until if gate.failure else 0.0
        gate.failed(DEAD, now)
        assert gate.until - max(now, 0.0) <= 60 or gate.failure is None
    gate.retry(now + 1)
    assert gate.until == now + 1


def test_a_limit_that_github_has_set_is_waited_for_whatever_a_person_mends() -> None:
    gate = Gate()
    gate.failed(LIMITED, 0.0)
    gate.retry(1.0)
    assert gate.until == 1_000.0


def test_an_outage_is_five_misses_in_a_row_and_its_pauses_stay_short() -> None:
    gate = Gate()
    assert [gate.failed(DOWN, float(n)) for n in range(5)] == [False] * 4 + [True]
    for _ in range(10):
        now = gate.until
        gate.failed(DOWN, now)
        assert gate.until - now <= 60


def test_a_failure_of_one_kind_of_repository_never_closes_the_gate() -> None:
    gate = Gate()
    assert not any(gate.failed(failure(Reason.GitHubForbidden), float(n)) for n in range(100))


def test_the_gate_opens_with_the_first_answer() -> None:
    gate = Gate()
    gate.failed(LIMITED, 0.0)
    assert gate.passed() is True
    assert gate.passed() is False
    assert gate.failure is None


def test_a_new_repository_has_no_heat() -> None:
    made = Watch(name="x", next_at=0.0)
    assert made.heat(0.0) is Heat.COLD
    assert made.looked_at == -math.inf
