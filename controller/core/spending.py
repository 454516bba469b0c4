"""What a pool costs in an hour, and at most from now on; what ended HF Jobs have cost is in ``ledger.py``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from controller.core.actions import Launch
from controller.core.model import HFJob, Observation, Pool
from controller.core.money import timeout_seconds, worst_case
from controller.core.runners import Runner


@dataclass(frozen=True, slots=True)
class Spending:
    """What a pool's runners cost.

    Attributes:
        usd_per_hour: What the billed ones cost now, in US dollars.
        worst_case_usd: The most that what exists or is on its way can still cost if the
            controller never looks again.
    """

    usd_per_hour: float = 0.0
    worst_case_usd: float = 0.0


NOTHING = Spending()


def spending(
    pool: Pool,
    runners: Sequence[Runner],
    launches: Sequence[Launch],
    *,
    hub: Observation[HFJob] | None,
    usd: Mapping[str, float],
    now: float,
) -> Spending:
    """Return what a pool's runners cost.

    A launch counts from this pass on: if the process dies with it on the wire, its HF Job runs all the same.

    Args:
        pool: The pool.
        runners: All of its runners.
        launches: Those of this pass.
        hub: The newest list of its HF Jobs.
        usd: Prices in US dollars per second, by flavor; what has none costs nothing that is known.
        now: Monotonic seconds.
    """
    if not runners and not launches:
        return NOTHING
    rate = worst = 0.0
    server_now = hub.server_time + now - hub.asked_at if hub else 0.0
    timeout = float(timeout_seconds(pool.deadlines))
    for launch in launches:
        worst += timeout * usd.get(launch.flavor, 0.0)
    for runner in runners:
        job, price = runner.hf_job, usd.get(runner.flavor, 0.0)
        if job is not None:
            if runner.billed:
                rate += price * 3600
            worst += worst_case(job, server_now, price, timeout)
        elif not runner.retiring:
            worst += timeout * price  # without a flavor it is only a registration, and costs nothing
    return Spending(rate, worst)


def known_prices(pool: Pool, runners: Iterable[Runner], usd: Mapping[str, float]) -> Mapping[str, float]:
    """Return the prices to remember: of the flavors that the pool names or its runners have."""
    mine = {*pool.flavors, *(runner.flavor for runner in runners)}
    return {flavor: usd[flavor] for flavor in mine if flavor in usd}
