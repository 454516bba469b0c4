"""When a status is written, and what is told with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pytest

from controller.api.status.changes import QUIET, TICKING_AFTER
from controller.api.status.model import Condition, Cost, Counts, RunnerPoolStatus
from controller.core.conditions import ConditionType
from controller.core.model import Failure, PoolKey
from controller.core.reasons import Reason
from controller.ports import UpstreamError
from controller.reconcile.publish import RETRY_AFTER, Publisher

KEY = PoolKey("ci", "t4")


class Cluster:
    """Takes statuses and Events; also the clock."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.down = False
        self.poisoned: set[str] = set()
        self.before = RunnerPoolStatus()
        self.statuses: list[Mapping[str, object]] = []
        self.told: list[str] = []
        self.publisher = Publisher(statuses=self, events=self, clock=self, first_sight=lambda _: self.before)

    def wall(self) -> float:
        return self.now

    def mono(self) -> float:
        return self.now

    async def write(self, *, namespace: str, name: str, uid: str, status: Mapping[str, object]) -> None:
        if name in self.poisoned:
            raise ZeroDivisionError
        if self.down:
            raise UpstreamError(Failure(reason=Reason.KubernetesUnavailable, message="503"))
        self.statuses.append(status)

    async def emit(self, *, reason: str, **_: object) -> None:
        self.told.append(reason)

    async def publish(self, status: RunnerPoolStatus, *, after: float = 0.0) -> int:
        """Publish, and return how many statuses were written ever."""
        self.now += after
        await self.publisher.publish({"uid": (KEY, status)})
        return len(self.statuses)


def status(
    ready: Literal["True", "False"] = "True",
    reason: Reason = Reason.Serving,
    *,
    queued: int = 0,
    usd: str = "0.00",
) -> RunnerPoolStatus:
    return RunnerPoolStatus(
        observed_generation=1,
        conditions=[
            Condition(
                type=ConditionType.READY,
                status=ready,
                last_transition_time="2026-11-29T02:00:00Z",
                reason=reason,
                message="A sentence.",
            )
        ],
        counts=Counts(queued=queued),
        cost=Cost(usd_per_hour=usd),
    )


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


async def test_what_changes_at_once_after_a_write_is_written_when_it_is_quiet_again(cluster: Cluster) -> None:
    assert await cluster.publish(status()) == 1
    assert await cluster.publish(status(queued=1), after=QUIET / 2) == 1
    assert cluster.publisher.pending
    assert await cluster.publish(status(queued=1), after=QUIET / 2) == 2
    assert not cluster.publisher.pending


async def test_a_condition_waits_for_nothing(cluster: Cluster) -> None:
    await cluster.publish(status())
    assert await cluster.publish(status("False", Reason.SecretMissing)) == 2
    assert cluster.told == ["SecretMissing"]


async def test_amounts_that_tick_by_themselves_are_written_seldom_and_keep_nobody_awake(
    cluster: Cluster,
) -> None:
    await cluster.publish(status(usd="1.00"))
    assert await cluster.publish(status(usd="2.00"), after=TICKING_AFTER - 1) == 1
    assert not cluster.publisher.pending
    assert await cluster.publish(status(usd="3.00"), after=1) == 2


async def test_a_first_write_that_fails_makes_no_transition_of_what_was_so_before(cluster: Cluster) -> None:
    cluster.before = status("False", Reason.SecretMissing)
    cluster.down = True
    await cluster.publish(status("False", Reason.SecretMissing, queued=1))
    cluster.down = False
    assert await cluster.publish(status("False", Reason.SecretMissing, queued=1), after=RETRY_AFTER) == 1
    assert cluster.publisher.previous("uid").counts == Counts(queued=1)
    assert cluster.told == []


async def test_a_status_that_cannot_be_sent_keeps_no_other_pools_from_being_written(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = Cluster()
    cluster.poisoned = {"odd"}
    both = {"odd": (PoolKey("ci", "odd"), status()), "uid": (KEY, status())}
    await cluster.publisher.publish(both)
    assert len(cluster.statuses) == 1
    assert "status not written" in caplog.text
    cluster.poisoned.clear()
    cluster.now += RETRY_AFTER
    await cluster.publisher.publish(both)
    assert len(cluster.statuses) == 2
