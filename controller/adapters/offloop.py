"""Work that may take long goes to a few threads, so that the event loop goes on serving everybody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

SMALL = 256 * 2**10
"""Bytes that are worked on at once: parsing them takes about 3 ms, handing them to a thread and back half a
millisecond."""

THREADS = 2
"""Large answers that are worked on at a time. More would only wait for each other, as Python runs one thread
at a time."""


class Workers:
    """A bounded pool of threads for what is large.

    Args:
        threads: Most threads; 0 does all work at once, for simulated time.
    """

    def __init__(self, *, threads: int = THREADS) -> None:
        # It starts its threads when they are needed.
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="parse") if threads else None

    async def run(self, size: int, work: Callable[[], T]) -> T:
        """Do ``work`` on ``size`` bytes, in a thread where that is more than :data:`SMALL`; raises what it
        raises.
        """
        if self._pool is None or size <= SMALL:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


SHARED = Workers()
"""The pool of this process."""

AT_ONCE = Workers(threads=0)
"""No pool, for simulated time."""
