"""What all observers share: what a pass has accounted is dropped at the account that told
of it, and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from controller.core.model import GitHubSource, SecretRef, Snapshot, Stage
from controller.observe.observatory import Observatory
from hf_runner_simulators.clock import LoopClock
from tests.core.build import ACCOUNT, REFUSED, SOURCE, hf_job, pool, seen


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
    observatory.accounts.update(accounts)
    ended = (hf_job(pool(), stage=Stage.COMPLETED, id="the-same"),)
    observatory.acknowledge(Snapshot(ended={ACCOUNT: ended, other: ended}), kept={(other, "the-same")})
    assert (mine.dropped, theirs.dropped) == (["the-same"], [])


class Connections:
    """Nothing can be opened for one Secret of GitHub, until it can."""

    def __init__(self, broken: GitHubSource) -> None:
        self.broken: GitHubSource | None = broken

    def github(self, source: GitHubSource) -> Any:
        if source == self.broken:
            raise RuntimeError("nobody foresaw this")
        return Silent()

    def hub(self, account: object) -> Any:
        return Silent()

    def hardware(self, endpoint: str) -> Any:
        return Silent()


class Silent:
    """Answers nobody."""

    def __getattr__(self, name: str) -> Any:
        async def never(*_: object, **__: object) -> None:
            await asyncio.Event().wait()

        return never


async def test_a_place_that_cannot_be_followed_costs_no_other_pool_and_is_tried_again() -> None:
    other = replace(SOURCE, secret=SecretRef("b", "github-app"))
    good, bad = pool("good"), pool("bad", source=other)
    connections = Connections(other)
    observatory = Observatory(
        connections=connections,  # type: ignore[arg-type] # as much of it as is asked
        clock=LoopClock(time=lambda: 0.0),
        controller_id="test",
        pools_known=lambda: True,
        changed=lambda: None,
    )
    try:
        assert observatory.watch([bad, good])
        assert SOURCE in observatory.queues
        assert ACCOUNT in observatory.accounts
        connections.broken = None
        assert observatory.watch([bad, good])
        assert other in observatory.queues
        assert not observatory.watch([bad, good])
    finally:
        await observatory.close()


class Listed:
    """A list that a person has to mend something for."""

    def __init__(self) -> None:
        self.observation = seen(failure=REFUSED)
        self.retried = 0

    def retry(self) -> None:
        self.retried += 1


class Mended:
    """Connections whose every Secret has just changed."""

    async def secret_changed(self, ref: SecretRef) -> bool:
        return True


async def test_whatever_a_secret_made_fail_is_asked_again_as_soon_as_the_secret_has_changed() -> None:
    observatory = Observatory(
        connections=Mended(),  # type: ignore[arg-type] # as much of it as is asked
        clock=LoopClock(time=lambda: 0.0),
        controller_id="test",
        pools_known=lambda: True,
        changed=lambda: None,
    )
    where = pool().footprint.registrations
    for name in ("registrations", "groups"):
        failing: Any = Listed()
        getattr(observatory, name)[where] = failing
        await observatory.secrets.look()
        assert failing.retried == 1
        getattr(observatory, name).clear()
