"""What runners cost now, and at most."""

from __future__ import annotations

import pytest

from controller.core.actions import Launch
from controller.core.lifecycle import Phase
from controller.core.money import timeout_seconds
from controller.core.runners import Runner
from controller.core.spending import NOTHING, Spending, known_prices, spending
from tests.core.build import NOW, pool, seen
from tests.core.stages import runner

USD = {"t4-small": 0.01}
P = pool()
TIMEOUT = float(timeout_seconds(P.deadlines))
LAUNCH = Launch(P, "t4-small", "new")


def spent(*runners: Runner, launches: tuple[Launch, ...] = ()) -> Spending:
    return spending(P, runners, launches, hub=seen(), usd=USD, now=NOW)


def test_a_pool_without_runners_costs_nothing() -> None:
    assert spent() is NOTHING


@pytest.mark.parametrize(
    ("one", "usd_per_hour"),
    [
        (runner("aaaa", Phase.SCHEDULING), 0.0),
        (runner("aaaa", Phase.STARTING), 36.0),
        (runner("aaaa", Phase.IDLE), 36.0),
        (runner("aaaa", Phase.STARTING, flavor="no price"), 0.0),
        (runner("aaaa", Phase.ORPHANED, hf_job=None, flavor=""), 0.0),
    ],
    ids=["is scheduled", "starts", "idles", "has no known price", "is a registration alone"],
)
def test_a_runner_costs_by_the_hour_when_it(one: Runner, usd_per_hour: float) -> None:
    assert spent(one).usd_per_hour == pytest.approx(usd_per_hour)


def test_a_launch_can_cost_its_whole_timeout() -> None:
    assert spent(launches=(LAUNCH,)).worst_case_usd == pytest.approx(TIMEOUT * 0.01)


def test_what_has_run_for_a_while_can_cost_less() -> None:
    one = runner("aaaa", Phase.IDLE)
    assert one.hf_job is not None
    assert one.hf_job.timeout is not None
    # It began 5 s before the list, which is a second old.
    assert spent(one).worst_case_usd == pytest.approx((one.hf_job.timeout - 6) * 0.01)


def test_a_launch_under_way_counts_and_one_that_is_being_ended_does_not() -> None:
    coming = runner("aaaa", Phase.REGISTERED, hf_job=None)
    assert spent(coming).worst_case_usd == pytest.approx(TIMEOUT * 0.01)
    assert spent(coming._replace(retiring=True)).worst_case_usd == 0


def test_prices_are_remembered_of_flavors_that_the_spec_names_or_a_runner_has() -> None:
    usd = {"t4-small": 1.0, "a10g-small": 2.0, "h100": 3.0}
    found = known_prices(P, [runner("aaaa", Phase.IDLE, flavor="a10g-small")], usd)
    assert found == {"t4-small": 1.0, "a10g-small": 2.0}
