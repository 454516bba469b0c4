"""An asyncio event loop in virtual time: a sleep costs nothing, and the clock jumps to the next timer.

Deterministic: one thread, no selector, tasks that hash by their order of creation. Everything that real time
or the real world could leak through (threads, sockets, name look-ups, processes) is refused with
:class:`Escaped` where it is called.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

LIVELOCK_TURNS = 100_000
"""Turns of the loop within one instant after which the program is spinning, not working."""

_FORBIDDEN_EVENTS = frozenset(
    {
        "_thread.start_new_thread",
        "_thread.start_joinable_thread",  # Python 3.13
        "os.fork",
        "os.posix_spawn",
        "os.system",
        "socket.bind",
        "socket.connect",
        "socket.getaddrinfo",
        "subprocess.Popen",
        "time.sleep",  # Python 3.13
    }
)


class Deadlock(RuntimeError):  # noqa: N818 -- a diagnosis, not a condition to handle
    """Nothing is ready and no timer is set: real code would wait for ever."""


class Livelock(RuntimeError):  # noqa: N818
    """The loop keeps turning while time stands still."""


class Escaped(RuntimeError):  # noqa: N818
    """Simulated code reached for the real world: a thread, a socket, a process, or real time."""


class _Jump:
    """Stands where the selector would: waiting means moving the clock to the next timer."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._turns = 0

    def select(self, timeout: float | None) -> tuple[()]:
        if timeout is None:
            raise Deadlock(
                f"nothing is ready and no timer is set at t={self._loop.time():.6f}; waiting: {self._waiting()}"
            )
        if timeout > 0:
            self._turns = 0
            self._loop.jump()
        else:
            self._turns += 1
            if self._turns > LIVELOCK_TURNS:
                self._turns = 0  # so that the tasks can be cancelled
                raise Livelock(f"{LIVELOCK_TURNS} turns at t={self._loop.time():.6f} without time moving")
        return ()

    def _waiting(self) -> str:
        tasks = sorted(asyncio.all_tasks(self._loop), key=hash)
        return ", ".join(task.get_name() for task in tasks) or "no task"

    def close(self) -> None:
        """Nothing was opened."""


class SimTask(asyncio.Task[Any]):
    """A task that hashes by its order of creation.

    ``TaskGroup`` and ``wait`` keep tasks in sets. By default a task hashes by its address, so their order
    would differ from run to run.
    """

    def __init__(
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        order: int,
        loop: asyncio.AbstractEventLoop,
        name: str | None = None,
        **options: Any,  # noqa: ANN401 -- context, and what later Pythons add
    ) -> None:
        self._order = order  # before the constructor, which puts the task into a set
        super().__init__(coro, loop=loop, name=name or f"task-{order}", **options)

    def set_name(self, value: object) -> None:
        """Name the task; Python 3.13.0 passes on the None of a task that was given no name."""
        if value is not None:
            super().set_name(value)

    def __hash__(self) -> int:
        return self._order

    def __eq__(self, other: object) -> bool:
        return self is other


class VirtualLoop(asyncio.BaseEventLoop):
    """The event loop in virtual time; ``time()`` starts at 0 and is in seconds.

    Start at 0 and add an epoch in the clock: near the Unix epoch a float is too coarse for asyncio's timer
    arithmetic and ``BaseEventLoop`` would spin.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._home = threading.get_ident()
        super().__init__()
        self._selector = _Jump(self)
        # 1 us, not the real clock's 1 ns: now + 1e-9 == now beyond 2**24 s, and a due timer would
        # never be taken.
        self._clock_resolution = 1e-6
        self._order: Iterator[int] = itertools.count(1)
        self._scheduled: list[asyncio.TimerHandle]
        self.set_task_factory(self._new_task)
        _arm()

    def _new_task(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> SimTask:  # noqa: ANN401
        return SimTask(coro, order=next(self._order), loop=loop, **options)

    def time(self) -> float:
        """Return virtual seconds since the loop was made."""
        return self._now

    def jump(self) -> None:
        """Move to the earliest timer, exactly: adding up waits would drift."""
        self._now = self._scheduled[0].when()

    # What BaseEventLoop asks of its subclasses.
    def _process_events(self, event_list: object) -> None:
        """There are no events but timers."""

    def _write_to_self(self) -> None:
        """There is no selector to wake; only ``call_soon_threadsafe`` asks, and only
        asyncio's signal handling may.
        """
        if threading.get_ident() != self._home:
            _escape("call_soon_threadsafe from another thread")

    # What would leave the simulation.
    def run_in_executor(self, *_: object) -> NoReturn:
        """Refuse a thread."""
        _escape("run_in_executor (a thread)")

    async def getaddrinfo(self, *_: object, **__: object) -> NoReturn:
        """Refuse a name look-up."""
        _escape("getaddrinfo (a name look-up)")

    async def getnameinfo(self, *_: object, **__: object) -> NoReturn:
        """Refuse a name look-up."""
        _escape("getnameinfo (a name look-up)")

    async def create_connection(self, *_: object, **__: object) -> NoReturn:
        """Refuse a socket."""
        _escape("create_connection (a socket)")

    async def create_server(self, *_: object, **__: object) -> NoReturn:
        """Refuse a socket."""
        _escape("create_server (a socket)")

    async def create_datagram_endpoint(self, *_: object, **__: object) -> NoReturn:
        """Refuse a socket."""
        _escape("create_datagram_endpoint (a socket)")

    async def subprocess_exec(self, *_: object, **__: object) -> NoReturn:
        """Refuse a process."""
        _escape("subprocess_exec (a process)")

    async def subprocess_shell(self, *_: object, **__: object) -> NoReturn:
        """Refuse a process."""
        _escape("subprocess_shell (a process)")


def _escape(what: str) -> NoReturn:
    raise Escaped(f"{what} has no place in virtual time; do it inline or through a port")


def _audit(event: str, _: tuple[object, ...]) -> None:
    if event in _FORBIDDEN_EVENTS and isinstance(asyncio._get_running_loop(), VirtualLoop):
        _escape(event)


_armed: list[bool] = []


def _arm() -> None:
    """Install the audit hook once per process: hooks cannot be removed, so this one looks
    for a running virtual loop.
    """
    if _armed:
        return
    _armed.append(True)
    sys.addaudithook(_audit)
    if sys.version_info < (3, 12):  # where starting a thread raises no audit event yet
        start = threading._start_new_thread  # type: ignore[attr-defined]

        def audited(*args: Any) -> int:  # noqa: ANN401
            _audit("_thread.start_new_thread", args)
            return start(*args)  # type: ignore[no-any-return]

        threading._start_new_thread = audited  # type: ignore[attr-defined]


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time and return its result.

    Raises:
        Deadlock: It waits for something that nothing will bring.
        Livelock: It spins without letting time pass.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
