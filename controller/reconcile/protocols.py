"""What a pass needs of the observers, and of whoever measures it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from controller.core.causes import Check
from controller.core.conditions import ConditionType
from controller.core.facts import Fact
from controller.core.model import Footprint, GitHubSource, HubAccount, Pool, PoolKey, Snapshot
from controller.core.passed_over import Wanted
from controller.core.plan import Plan


class SnapshotSource(Protocol):
    """What the loop needs of the observers."""

    def watch(self, pools: Sequence[Pool]) -> bool:
        """Observe what these pools need, and nothing else; return whether that has changed."""

    def set_pace(
        self,
        busy: Mapping[Footprint, bool],
        repositories: Mapping[GitHubSource, set[str]],
        runs: Mapping[GitHubSource, set[int]],
    ) -> None:
        """Set where lists are asked for more often. Hints only."""

    def want(
        self,
        wanted: Mapping[GitHubSource, Sequence[Wanted]],
        checks: Mapping[GitHubSource, Sequence[Check]],
    ) -> None:
        """Set which workflow jobs are read by their ids and which causes are looked up, and no others."""

    def snapshot(self) -> Snapshot:
        """Return everything that is known now."""

    def acknowledge(self, snapshot: Snapshot, *, kept: Collection[tuple[HubAccount, str]] = ()) -> None:
        """Drop what a pass has accounted: ended HF Jobs are handed over until then, those
        to be kept also after it.
        """


class Recorder(Protocol):
    """Where a pass is measured."""

    def passed(self, done: Plan, seconds: float) -> None:
        """Record one pass."""

    def measured(self, facts: Sequence[Fact]) -> None:
        """Count and time what a pass has seen happen."""

    def judged(self, conditions: Mapping[PoolKey, Mapping[ConditionType, bool]]) -> None:
        """Take over which conditions people see from now on."""

    def intended(self, pool: PoolKey, seconds: float) -> None:
        """Record how long it took to write launches down."""

    def failed_pass(self) -> None:
        """Count a pass, or a writing of statuses, that failed for a fault of ours."""

    def failed_pool(self, pool: PoolKey, part: str) -> None:
        """Count a pool that was left out of a ``part`` of a pass (plan, status or measure)
        for a fault of ours.
        """
