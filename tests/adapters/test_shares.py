"""Turns: everybody waits behind those of the same share, and behind nobody else."""

from __future__ import annotations

import asyncio

import pytest

from controller.adapters.shares import PATIENCE, NoTurnError, Share, Shares
from controller.simulate.loop import run_virtual

ONE, OTHER = Share("one", 2), Share("other", 2)


class Desk:
    """Counts who is served at once."""

    def __init__(self, shares: Shares) -> None:
        self.shares = shares
        self.now = self.most = 0
        self.order: list[int] = []

    async def serve(self, number: int, *shares: Share, seconds: float = 1.0) -> None:
        async with self.shares.turn(shares):
            self.order.append(number)
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(seconds)
            self.now -= 1


def test_a_share_has_so_many_turns_and_no_more_in_the_order_of_asking() -> None:
    async def main() -> None:
        desk = Desk(Shares())
        await asyncio.gather(*(desk.serve(n, ONE) for n in range(10)))
        assert desk.most == ONE.most
        assert desk.order == list(range(10))
        assert asyncio.get_running_loop().time() == 5

    run_virtual(main())


def test_a_share_that_is_used_up_delays_no_other() -> None:
    async def main() -> None:
        shares = Shares()
        stuck = [asyncio.create_task(Desk(shares).serve(n, ONE, seconds=1e6)) for n in range(50)]
        await asyncio.sleep(1)
        await Desk(shares).serve(0, OTHER)
        assert asyncio.get_running_loop().time() == 2
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
        assert len(shares) == 0

    run_virtual(main())


def test_a_wide_share_bounds_many_narrow_ones() -> None:
    async def main() -> None:
        desk, wide = Desk(Shares()), Share("wide", 3)
        await asyncio.gather(*(desk.serve(n, Share(n % 4, 2), wide) for n in range(12)))
        assert desk.most == wide.most

    run_virtual(main())


def test_who_waits_too_long_is_told_and_leaves_nothing_behind() -> None:
    async def main() -> None:
        shares = Shares()
        stuck = [asyncio.create_task(Desk(shares).serve(n, ONE, seconds=2 * PATIENCE)) for n in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(NoTurnError):
            await Desk(shares).serve(0, OTHER, ONE)
        assert asyncio.get_running_loop().time() == PATIENCE
        await asyncio.gather(*stuck)
        assert len(shares) == 0

    run_virtual(main())


def test_a_turn_is_given_back_by_who_fails_or_is_cancelled() -> None:
    async def main() -> None:
        shares = Shares()
        for _ in range(5):
            with pytest.raises(RuntimeError):
                async with shares.turn([ONE]):
                    raise RuntimeError
            task = asyncio.create_task(Desk(shares).serve(0, ONE, seconds=1e6))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert len(shares) == 0

    run_virtual(main())
