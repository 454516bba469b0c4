"""All observers of one kind, each in a task of its own, so that one that hangs or fails keeps only
what it observes in the dark.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol, TypeVar

log = logging.getLogger(__name__)

RESTART_AFTER = 5.0
"""Seconds before an observer that failed in a way nobody foresaw is started again."""


class Observer(Protocol):
    """Looks at one thing for ever."""

    async def run(self) -> None:
        """Look for ever."""


K = TypeVar("K")
O = TypeVar("O", bound=Observer)  # noqa: E741 - the observer


class Observers(dict[K, O]):
    """Observers by what they observe.

    Args:
        opened: Makes the observer of one thing; what it raises costs this one alone.
    """

    def __init__(self, opened: Callable[[K], O]) -> None:
        super().__init__()
        self._opened = opened
        self._tasks: dict[K, asyncio.Task[None]] = {}

    def observe_only(self, wanted: Iterable[K]) -> bool:
        """Open what is wanted and close the rest; return whether everything that is wanted
        is open. Idempotent.
        """
        whole = True
        keys = dict.fromkeys(wanted)  # in their order, and found at once: a thousand are nothing special
        for key in [key for key in self if key not in keys]:
            del self[key]
            self._tasks.pop(key).cancel()
        for key in keys:
            if key not in self:
                try:
                    self[key] = self._opened(key)
                except Exception:
                    log.exception("cannot be observed", extra={"reason": "InternalError", "detail": str(key)})
                    whole = False
                    continue
                running = _supervised(self[key].run, str(key))
                self._tasks[key] = asyncio.create_task(running, name=f"observe:{key}")
        return whole

    def cancel(self) -> list[asyncio.Task[None]]:
        """Stop observing, and return the tasks that are about to end; what was seen last
        stays. Idempotent.
        """
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        return tasks


async def _supervised(run: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
    """Run an observer for ever: a bug in one must not stop it for good, nor anybody else at all."""
    while True:
        try:
            await run()
        except Exception:
            log.exception("observer failed", extra={"observer": name, "reason": "InternalError"})
        await asyncio.sleep(RESTART_AFTER)
