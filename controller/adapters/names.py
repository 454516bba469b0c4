"""Host names: looked up in threads of their own, so that a name whose servers never answer holds up nobody else.

``getaddrinfo`` blocks and cannot be given up: a name that is never answered keeps its thread for half a minute. asyncio runs it in
the loop's default executor, whose few threads serve everything else as well; a dozen such names, which anybody who may write a
pool can name, then stop every new connection of the process.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

AT_A_TIME = 64
"""Names that are looked up at a time; a thread that waits costs about 100 kB."""

PATIENCE = 1.0
"""Seconds after which a name that was answered before is taken as it was answered then."""

MOST_KEPT = 1_024
"""Names whose last answer is kept."""

Found = list[tuple[Any, ...]]
"""What ``socket.getaddrinfo`` returns."""

Question = tuple[Any, ...]
"""What ``socket.getaddrinfo`` takes: host, port, family, type, protocol, flags."""


class Names:
    """Looks up names: each at most once at a time, and never in a thread that others need.

    Names that were answered before do not depend on the others at all: when there is no new answer within ``patience``, the last
    one counts. A new name waits at most for :data:`AT_A_TIME` others that are not answered.

    Args:
        look_up: As ``socket.getaddrinfo``.
        at_a_time: Most look-ups at a time.
        patience: Seconds to wait for a new answer where there is an old one.
    """

    def __init__(
        self,
        *,
        look_up: Callable[..., Found] = socket.getaddrinfo,
        at_a_time: int = AT_A_TIME,
        patience: float = PATIENCE,
    ) -> None:
        self._look_up = look_up
        self._patience = patience
        self._free = asyncio.Semaphore(at_a_time)
        self._under_way: dict[Question, asyncio.Task[Found]] = {}
        self._last: OrderedDict[Question, Found] = OrderedDict()

    async def addresses(self, *question: Any) -> Found:  # noqa: ANN401 -- as of getaddrinfo
        """Return what ``socket.getaddrinfo`` says to the same arguments.

        Raises:
            OSError: As ``socket.getaddrinfo``.
            UnicodeError: The name cannot be written as one.
        """
        asked = self._under_way.get(question)
        if asked is None:
            asked = asyncio.get_running_loop().create_task(self._ask(question), name="name look-up")
            asked.add_done_callback(_mark_retrieved)
            self._under_way[question] = asked
        last = self._last.get(question)
        if last is None:
            return await asyncio.shield(asked)  # others may wait for it too
        await asyncio.wait((asked,), timeout=self._patience)
        return asked.result() if asked.done() else last

    async def _ask(self, question: Question) -> Found:
        try:
            async with self._free:
                found = await self._in_a_thread(question)
        finally:
            del self._under_way[question]
        self._last[question] = found
        self._last.move_to_end(question)
        if len(self._last) > MOST_KEPT:
            self._last.popitem(last=False)
        return found

    async def _in_a_thread(self, question: Question) -> Found:
        """Look up in a thread that does not keep the process from ending, as those of an executor do."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Found] = loop.create_future()

        def settle(found: Found | None, failed: Exception | None) -> None:
            if answered.done():
                return  # cancelled: the loop is ending
            if found is None:
                answered.set_exception(failed or OSError("no answer"))
            else:
                answered.set_result(found)

        def work() -> None:
            found, failed = None, None
            try:
                found = self._look_up(*question)
            except (OSError, UnicodeError, ValueError) as error:
                failed = error
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(settle, found, failed)

        threading.Thread(target=work, name="name look-up", daemon=True).start()
        return await answered


class NamesLoop(asyncio.SelectorEventLoop):
    """An event loop that looks up names with :class:`Names`, whichever client asks."""

    def __init__(self) -> None:
        super().__init__()
        self._names = Names()

    async def getaddrinfo(
        self,
        host: Any,  # noqa: ANN401 -- as of the base class
        port: Any,  # noqa: ANN401
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002
        proto: int = 0,
        flags: int = 0,
    ) -> Found:
        """See :meth:`asyncio.loop.getaddrinfo`."""
        return await self._names.addresses(host, port, family, type, proto, flags)


def _mark_retrieved(task: asyncio.Task[Found]) -> None:
    """All who waited may have gone: then nobody takes the failure, and asyncio would complain."""
    if not task.cancelled():
        task.exception()
