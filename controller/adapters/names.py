"""Looking names up: in a bounded number of threads of its own, so that names that nobody answers for delay
only those who ask them.

asyncio looks names up in the threads that everything else uses too, as many as there are processors and four
more. A name server that never answers holds a thread for half a minute, so a handful of such names would stop
every connection of the process. Here names that were answered promptly have threads that the others cannot
take, and go on with their last addresses for a while.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from controller.adapters.shares import NoTurnError, Share, Shares

THREADS_FOR_PROMPT, THREADS_FOR_OTHERS = Share("prompt", 8), Share("others", 24)
"""Look-ups at a time of names that were answered promptly the last time, and of all others; a look-up is a
thread."""

THREADS_FOR_NAME = 2
"""Look-ups at a time of one name, which may be asked for with several ports."""

PROMPT = 1.0
"""Seconds within which an answer is prompt, and after which the last addresses of a name do instead."""

KEPT_FOR = 600.0
"""Seconds for which the last addresses of a name may do."""

MOST_NAMES = 1_000
"""Names whose last addresses are kept."""

Addresses = list[tuple[Any, ...]]
LookUp = Callable[..., Addresses]


@dataclass(frozen=True, slots=True)
class _Question:
    """What :func:`socket.getaddrinfo` is asked."""

    host: str | bytes | None
    port: str | bytes | int | None
    family: int
    type: int
    proto: int
    flags: int


@dataclass(slots=True)
class _UnderWay:
    task: asyncio.Task[Addresses]
    callers: int = 0
    begun: bool = False


@dataclass(frozen=True, slots=True)
class _Known:
    addresses: Addresses
    at: float
    prompt: bool


class Names:
    """Looks names up, each at most once at a time.

    Args:
        look_up: Like :func:`socket.getaddrinfo`; is called in threads, and may block.
        prompt: Seconds, see :data:`PROMPT`.
    """

    def __init__(self, *, look_up: LookUp = socket.getaddrinfo, prompt: float = PROMPT) -> None:
        self._look_up = look_up
        self._patience = prompt
        self._shares = Shares()
        self._known: OrderedDict[_Question, _Known] = OrderedDict()
        self._under_way: dict[_Question, _UnderWay] = {}

    async def resolve(
        self,
        host: str | bytes | None,
        port: str | bytes | int | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 - as asyncio calls it
        proto: int = 0,
        flags: int = 0,
    ) -> Addresses:
        """Return addresses as :func:`socket.getaddrinfo` does.

        Raises:
            OSError: The name is unknown, or nobody answered and nothing is known of before.
        """
        question = _Question(host, port, family, type, proto, flags)
        one = self._under_way.get(question) or self._begin(question)
        one.callers += 1
        try:
            known = self._known.get(question)
            if known is None or asyncio.get_running_loop().time() - known.at > KEPT_FOR:
                return await asyncio.shield(one.task)
            await asyncio.wait({one.task}, timeout=self._patience)
            if not one.task.done() or _passes(one.task.exception()):
                return known.addresses
            return one.task.result()
        finally:
            one.callers -= 1
            if not one.callers and not one.begun and self._under_way.get(question) is one:
                del self._under_way[question]
                one.task.cancel()

    def _begin(self, question: _Question) -> _UnderWay:
        task = asyncio.create_task(self._answer(question), name=f"look-up of {question.host!r}")
        one = self._under_way[question] = _UnderWay(task)

        def ended(task: asyncio.Task[Addresses]) -> None:
            if self._under_way.get(question) is one:
                del self._under_way[question]
            if not task.cancelled():
                task.exception()  # whoever waits is told; nobody may wait any more

        task.add_done_callback(ended)
        return one

    async def _answer(self, question: _Question) -> Addresses:
        """Ask when there is a turn; nobody can end a thread, so the turn is over when the thread is."""
        loop, known = asyncio.get_running_loop(), self._known.get(question)
        threads = THREADS_FOR_PROMPT if known is not None and known.prompt else THREADS_FOR_OTHERS
        try:
            async with self._shares.turn((Share(("name", question.host), THREADS_FOR_NAME), threads)):
                self._under_way[question].begun = True
                began = loop.time()
                addresses = await self._in_thread(question)
        except NoTurnError:
            raise socket.gaierror(socket.EAI_AGAIN, "too many names are waited for") from None
        except OSError:
            if known is not None:
                self._known[question] = replace(known, prompt=False)
            raise
        at = loop.time()
        self._known[question] = _Known(addresses, at, prompt=at - began <= self._patience)
        self._known.move_to_end(question)
        while len(self._known) > MOST_NAMES:
            self._known.popitem(last=False)
        return addresses

    def _in_thread(self, question: _Question) -> asyncio.Future[Addresses]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Addresses] = loop.create_future()

        def tell(outcome: Addresses | Exception) -> None:
            if answer.done():
                return
            if isinstance(outcome, Exception):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)

        def ask() -> None:
            outcome: Addresses | Exception
            try:
                outcome = self._look_up(
                    question.host,
                    question.port,
                    question.family,
                    question.type,
                    question.proto,
                    question.flags,
                )
            except Exception as error:  # noqa: BLE001 - it belongs to who asked
                outcome = error
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(tell, outcome)

        # Not a pool: its threads are waited for when the process ends, and these may take half a minute.
        threading.Thread(target=ask, name="look-up", daemon=True).start()
        return answer


def _passes(error: BaseException | None) -> bool:
    """Whether a failure says nothing about the name: its servers are out of reach."""
    return isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose name look-ups are :class:`Names`'; whatever library connects asks it."""

    def __init__(self) -> None:
        super().__init__()
        self._names: Names | None = None

    async def getaddrinfo(
        self,
        host: str | bytes | None,
        port: str | bytes | int | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 - as asyncio calls it
        proto: int = 0,
        flags: int = 0,
    ) -> Addresses:
        """See :meth:`asyncio.loop.getaddrinfo`."""
        if self._names is None:
            self._names = Names()
        return await self._names.resolve(host, port, family=family, type=type, proto=proto, flags=flags)
