from __future__ import annotations

import asyncio
import socket
import threading
import time

import pytest

from controller.simulate.loop import Deadlock, Escaped, Livelock, VirtualLoop, run_virtual
from hf_runner_simulators.clock import EPOCH, LoopClock, ManualClock


def test_a_year_of_sleep_takes_no_time_and_is_exact() -> None:
    async def main() -> float:
        for _ in range(365):
            await asyncio.sleep(86_400)
        return asyncio.get_running_loop().time()

    began = time.monotonic()
    assert run_virtual(main()) == 365 * 86_400
    assert time.monotonic() - began < 30  # not a measurement: a real loop would take a year


def test_timers_fire_in_the_order_of_their_time() -> None:
    seen: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((name, asyncio.get_running_loop().time()))

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for name, seconds in (("c", 0.3), ("a", 0.1), ("b", 0.2)):
                group.create_task(sleeper(name, seconds))

    run_virtual(main())
    assert seen == [("a", 0.1), ("b", 0.2), ("c", 0.3)]


def test_a_timeout_fires_at_its_virtual_time() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.sleep(100)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 5


def test_waiting_for_what_nothing_will_bring_is_a_deadlock_that_names_the_tasks() -> None:
    async def main() -> None:
        asyncio.current_task().set_name("the-waiter")  # type: ignore[union-attr]
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match="the-waiter"):
        run_virtual(main())


def test_spinning_without_time_is_a_livelock() -> None:
    cleaned: list[bool] = []

    async def main() -> None:
        try:
            while True:  # noqa: ASYNC110
                await asyncio.sleep(0)
        finally:
            cleaned.append(True)

    with pytest.raises(Livelock):
        run_virtual(main())
    assert cleaned


def test_a_task_without_a_name_is_named_by_its_order() -> None:
    async def main() -> list[str]:
        tasks = [asyncio.create_task(asyncio.sleep(0)) for _ in range(2)]
        await asyncio.gather(*tasks)
        return [task.get_name() for task in tasks]

    assert run_virtual(main()) == ["task-2", "task-3"]


def test_a_loop_that_has_run_for_years_still_takes_its_timers() -> None:
    async def main() -> float:
        await asyncio.sleep(2**25)
        await asyncio.sleep(0.25)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 2**25 + 0.25


async def in_a_thread() -> None:
    await asyncio.to_thread(lambda: None)


async def with_a_name_look_up() -> None:
    await asyncio.get_running_loop().getaddrinfo("localhost", 80)


async def over_a_connection() -> None:
    await asyncio.open_connection("127.0.0.1", 9)


async def over_a_blocking_socket() -> None:
    with socket.socket() as raw:
        raw.connect(("127.0.0.1", 9))


async def by_starting_a_thread() -> None:
    threading.Thread(target=lambda: None).start()


async def by_starting_a_process() -> None:
    await asyncio.create_subprocess_exec("true")


async def by_listening() -> None:
    await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)


@pytest.mark.parametrize(
    "way",
    [
        in_a_thread,
        with_a_name_look_up,
        over_a_connection,
        over_a_blocking_socket,
        by_starting_a_thread,
        by_starting_a_process,
        by_listening,
    ],
)
def test_nothing_escapes_into_the_real_world(way: object) -> None:
    with pytest.raises(Escaped):
        run_virtual(way())  # type: ignore[operator]


def test_outside_virtual_time_threads_are_free() -> None:
    VirtualLoop().close()
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()


def test_tasks_in_a_set_keep_their_order_of_creation() -> None:
    async def main() -> list[str]:
        tasks = {asyncio.create_task(asyncio.sleep(1), name=f"n{i}") for i in range(50)}
        names = [task.get_name() for task in tasks]
        await asyncio.gather(*tasks)
        return names

    assert run_virtual(main()) == run_virtual(main())


def test_a_group_that_aborts_cancels_in_the_same_order_every_time() -> None:
    def run() -> list[int]:
        order: list[int] = []

        async def worker(n: int) -> None:
            try:
                await asyncio.sleep(100)
            finally:
                order.append(n)

        async def fail() -> None:
            await asyncio.sleep(1)
            msg = "abort"
            raise ValueError(msg)

        async def main() -> None:
            async with asyncio.TaskGroup() as group:
                for n in range(40):
                    group.create_task(worker(n))
                group.create_task(fail())

        with pytest.raises(ExceptionGroup):
            run_virtual(main())
        return order

    assert run() == run() == list(range(40))


def test_two_processes_may_disagree_about_the_time_of_day_but_not_about_durations() -> None:
    async def main() -> tuple[float, float, float]:
        loop = asyncio.get_running_loop()
        right, wrong = LoopClock(time=loop.time), LoopClock(time=loop.time, drift=0.01)
        await asyncio.sleep(100)
        wrong.jump(-300)
        return right.wall() - EPOCH, wrong.wall() - EPOCH, wrong.mono() - right.mono()

    right, wrong, durations = run_virtual(main())
    assert right == pytest.approx(100)
    assert wrong == pytest.approx(-199)
    assert durations == 0


def test_a_manual_clock_only_moves_when_told_to() -> None:
    clock = ManualClock()
    clock.advance(10)
    clock.jump(-300)
    assert (clock.wall(), clock.mono()) == (EPOCH - 290, 10)
    with pytest.raises(ValueError, match="jump"):
        clock.advance(-1)
