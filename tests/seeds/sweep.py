"""Systematic before random: every fault once at every effect, every crash, and every failing
read, in a few small scenes.

These name the culprit at once, because nothing else goes wrong in the run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from tests.seeds.plan import READ_FAULTS, WRITE_FAULTS, Disturbance, JobPlan, Plan, PoolPlan, u

_DEADLINES = {"scheduling": "60s", "registration": "60s", "idle": "30s", "lifetime": "20m"}


def _pool(**spec: Any) -> PoolPlan:
    given = {"maxRunners": 2, "flavors": ["t4-small"], "deadlines": _DEADLINES, **spec}
    return PoolPlan(name="pool-0", url="acme/lib", labels=("gpu", "hf-0"), spec=given)


def _job(at: float, seconds: float = 20.0, cancel_after: float | None = None) -> JobPlan:
    return JobPlan(at=at, repository="acme/lib", labels=("hf-0",), seconds=seconds, cancel_after=cancel_after)


def _scene(seed: int, *jobs: JobPlan, pool: PoolPlan | None = None, **more: Any) -> Plan:
    github: Mapping[str, Any] = {"lease_seconds": 120.0, "secondary_points_per_minute": None}
    return Plan(
        seed=seed,
        profile="uniform",
        pools=(pool or _pool(),),
        jobs=jobs,
        github=github,
        hub={"boot_seconds": 5.0},
        **more,
    )


SCENES: Mapping[str, Plan] = {
    # Three jobs for two places: launches, one runner that waits for its turn, and ends by work.
    "a burst": _scene(1, _job(5, 40), _job(5), _job(8)),
    # Both are cancelled, one while its runner is scheduled and one while it runs: surplus is given back.
    "cancelled": _scene(2, _job(5, 60, cancel_after=6), _job(5, 90, cancel_after=45)),
    # The pool is deleted under a running job and made again: retirements, strays, two uids.
    "made again": _scene(
        4, _job(5, 40), _job(60), disturbances=(Disturbance(at=40.0, kind="recreate"),), calm_at=50.0
    ),
    # The container dies under a job, which is run again once its run has ended.
    "interrupted": _scene(
        5,
        _job(5, 150),
        pool=_pool(retry={"interrupted": 1}),
        disturbances=(Disturbance(at=100.0, kind="lose_container"),),
        calm_at=110.0,
    ),
}
"""Small plans without random faults."""


def writes(scene: Plan, asked: Mapping[str, bool]) -> Iterator[Plan]:
    """Return the scene with each fault at each of its effects, crashes before and after it included."""
    for number, read in asked.items():
        if not read:
            for name in WRITE_FAULTS:
                yield replace(scene, forced=frozenset({f"{name}:{number}"}))


def reads(scene: Plan, asked: Mapping[str, bool], *, share: float) -> Iterator[Plan]:
    """Return the scene with each way to fail for ``share`` of the windows of a read, and
    for all where there are few.
    """
    windows = Counter(number.partition("?")[0] for number, read in asked.items() if read)
    for number, read in asked.items():
        for name in READ_FAULTS:
            often = windows[number.partition("?")[0]] > 2
            if read and (not often or u(scene.seed, "sweep", name, number) < share):
                yield replace(scene, forced=frozenset({f"{name}:{number}"}))


def pairs(scene: Plan, asked: Mapping[str, bool], *, share: float) -> Iterator[Plan]:
    """Return the scene with ``share`` of all pairs of faults at two different effects."""
    numbers = [number for number, read in asked.items() if not read]
    for n, first in enumerate(numbers):
        for second in numbers[n + 1 :]:
            for one in WRITE_FAULTS:
                for other in WRITE_FAULTS:
                    if u(scene.seed, "pair", one, first, other, second) < share:
                        yield replace(scene, forced=frozenset({f"{one}:{first}", f"{other}:{second}"}))
