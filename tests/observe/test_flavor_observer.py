"""The observer of an endpoint's hardware keeps what it knows while the Hub fails."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise

from controller.core.model import Failure, Flavor, Observation
from controller.core.reasons import Reason
from controller.observe.flavors import HARDWARE_INTERVAL, HARDWARE_RETRY, FlavorObserver
from controller.ports import UpstreamError
from controller.simulate.loop import run_virtual
from hf_runner_simulators.clock import LoopClock

DOWN = Failure(reason=Reason.HubUnavailable, message="down")
CPU, T4 = Flavor(name="cpu-basic", usd_per_minute=0.000167), Flavor(name="t4-small", usd_per_minute=0.0067)


class Source:
    def __init__(self, clock: LoopClock) -> None:
        self.clock = clock
        self.items: tuple[Flavor, ...] = (CPU, T4)
        self.failure: Failure | None = None
        self.partial: Failure | None = None
        self.asked: list[float] = []

    async def flavors(self) -> Observation[Flavor]:
        self.asked.append(self.clock.mono())
        if self.failure is not None:
            raise UpstreamError(self.failure)
        return Observation(
            items=self.items, asked_at=self.clock.mono(), server_time=self.clock.wall(), failure=self.partial
        )


async def rig() -> tuple[Source, FlavorObserver, list[int]]:
    clock, changes = LoopClock(time=asyncio.get_running_loop().time), [0]
    source = Source(clock)

    def changed() -> None:
        changes[0] += 1

    return source, FlavorObserver(source=source, clock=clock, changed=changed), changes


def test_hardware_is_listed_each_hour_and_kept_through_failures() -> None:
    async def main() -> None:
        source, observer, changes = await rig()
        task = asyncio.create_task(observer.run())
        await asyncio.sleep(HARDWARE_INTERVAL + 1)
        assert source.asked == [0, HARDWARE_INTERVAL]
        assert changes == [1]
        source.failure = DOWN
        await asyncio.sleep(HARDWARE_INTERVAL + 1000)
        assert observer.observation is not None
        assert observer.observation.items == (CPU, T4)
        assert observer.observation.failure == DOWN
        failed = [at for at in source.asked if at >= 2 * HARDWARE_INTERVAL]
        assert [b - a for a, b in pairwise(failed)] == [60, 120, 240, 480]
        source.failure = None
        await asyncio.sleep(900)
        assert observer.observation.complete
        task.cancel()

    run_virtual(main())


def test_a_failure_at_the_start_is_told_and_tried_again_within_a_minute() -> None:
    async def main() -> None:
        source, observer, changes = await rig()
        source.failure = DOWN
        assert await observer.step() == HARDWARE_RETRY
        assert observer.observation is not None
        assert (observer.observation.items, observer.observation.failure) == ((), DOWN)
        assert changes == [1]

    run_virtual(main())


def test_an_incomplete_list_takes_no_hardware_away() -> None:
    async def main() -> None:
        source, observer, _ = await rig()
        await observer.step()
        dearer = replace(CPU, usd_per_minute=1.0)
        source.items, source.partial = (dearer,), DOWN
        await observer.step()
        assert observer.observation is not None
        assert observer.observation.items == (dearer, T4)
        assert not observer.observation.complete
        source.partial = None
        await observer.step()
        assert observer.observation.items == (dearer,)

    run_virtual(main())


def test_hardware_that_a_pool_names_and_the_list_lacks_is_looked_for_each_minute_until_it_is_there() -> None:
    async def main() -> None:
        source, observer, _ = await rig()
        task = asyncio.create_task(observer.run())
        observer.want({"t4-small"})
        await asyncio.sleep(100)
        assert source.asked == [0]
        observer.want({"t4-small", "h300"})
        observer.want({"t4-small", "h300"})
        await asyncio.sleep(110)
        assert source.asked == [0, 100, 160]
        source.items = (*source.items, replace(T4, name="h300"))
        await asyncio.sleep(HARDWARE_INTERVAL - 60)
        assert source.asked == [0, 100, 160, 220]
        task.cancel()

    run_virtual(main())


def test_names_that_are_still_unknown_bring_no_list_forward_while_lists_fail() -> None:
    async def main() -> None:
        source, observer, _ = await rig()
        source.failure = DOWN
        task = asyncio.create_task(observer.run())
        for number in range(100):
            observer.want({f"unknown-{number}"})
            await asyncio.sleep(1)
        assert source.asked == [0, HARDWARE_RETRY]
        task.cancel()

    run_virtual(main())
