"""Begins looks when they are due, a few at a time, each as a task of its own, so that a
slow one delays no other.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from controller.observe.queue_schedule import Cadence, Gate, Heat, Pressure, Watch, due
from controller.ports import Clock

LONGEST_SLEEP = 30.0
"""Seconds after which the loop looks around without a reason: only so that a mistake of
ours cannot stop it."""


class LookLoop:
    """One source's looks."""

    def __init__(
        self,
        *,
        clock: Clock,
        cadence: Cadence,
        gate: Gate,
        watches: Callable[[], list[Watch]],
        pressure: Callable[[], Pressure],
        look: Callable[[Watch], Coroutine[Any, Any, None]],
    ) -> None:
        """Build a loop that has not begun.

        Args:
            clock: Time.
            cadence: How often to look.
            gate: Stops the whole source.
            watches: Returns all that is looked at.
            pressure: Returns how scarce the source's quota is.
            look: Takes one look, and raises nothing.
        """
        self._clock = clock
        self._cadence = cadence
        self._gate = gate
        self._watches = watches
        self._pressure = pressure
        self._look = look
        self._running = 0
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """See now what is due."""
        self._wake.set()

    async def run(self) -> None:
        """Look for ever."""
        async with asyncio.TaskGroup() as looks:
            while True:
                self._wake.clear()
                self._start(looks)
                try:
                    async with asyncio.timeout(self._pause()):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    async def step(self) -> float:
        """Do what is due now, wait for it, and return the seconds until something is due again."""
        async with asyncio.TaskGroup() as looks:
            self._start(looks)
        return self._pause()

    def _start(self, looks: asyncio.TaskGroup) -> None:
        """Begin the looks that are due, as far as there are places."""
        now = self._clock.mono()
        places = self._places(now)
        ready = due(self._watches(), now, self._cadence, self._pressure()) if places > 0 else []
        if self._gate.failure is not None:
            # Who failed least knows best whether the source is back.
            ready.sort(key=lambda watch: watch.failures)
        for watch in ready[:places]:
            watch.running = True
            self._running += 1
            look = looks.create_task(self._look(watch), name=f"look:{watch.name}")
            # Not in the task itself: one that is cancelled before its first step never gets to its end.
            look.add_done_callback(partial(self._ended, watch))

    def _ended(self, watch: Watch, _: asyncio.Task[None]) -> None:
        watch.running = False
        self._running -= 1
        self._wake.set()

    def _places(self, now: float) -> int:
        if self._gate.failure is not None:
            return 0 if now < self._gate.until or self._running else 1
        return self._cadence.polls - self._running

    def _pause(self) -> float:
        now = self._clock.mono()
        if self._gate.failure is not None and now < self._gate.until:
            return min(self._gate.until - now, LONGEST_SLEEP)
        if self._places(now) <= 0:
            return LONGEST_SLEEP  # whoever is running wakes the loop at its end
        last = self._pressure() is Pressure.LAST
        times = [
            watch.next_at
            for watch in self._watches()
            if not watch.running and not (last and watch.heat(now) is not Heat.HOT)
        ]
        return min(max(min(times, default=math.inf) - now, 0.0), LONGEST_SLEEP)
