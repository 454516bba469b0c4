"""What all observers share: what a pass has accounted is dropped at the account that told of it, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from controller.core.model import Snapshot, Stage
from controller.observe.observatory import Observatory
from controller.sim.clock import LoopClock
from tests.core.build import ACCOUNT, hf_job, pool


class Account:
    """Takes note of what it need not tell again."""

    def __init__(self) -> None:
        self.dropped: list[str] = []

    def acknowledge(self, ids: Iterable[str]) -> None:
        self.dropped += ids


def test_an_ended_hf_job_that_is_kept_keeps_none_of_the_same_id_at_another_account() -> None:
    observatory = Observatory(
        connections=None,  # type: ignore[arg-type] # nothing is asked
        clock=LoopClock(time=lambda: 0.0),
        controller_id="test",
        pools_known=lambda: True,
        changed=lambda: None,
    )
    other = replace(ACCOUNT, namespace="mallory")
    mine, theirs = Account(), Account()
    accounts: dict[Any, Any] = {ACCOUNT: mine, other: theirs}
    observatory.accounts = accounts
    ended = (hf_job(pool(), stage=Stage.COMPLETED, id="the-same"),)
    observatory.acknowledge(Snapshot(ended={ACCOUNT: ended, other: ended}), kept={(other, "the-same")})
    assert (mine.dropped, theirs.dropped) == (["the-same"], [])
