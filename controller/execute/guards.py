"""What stands around every effect: leave to begin, a turn, a time limit, and whatever goes
wrong as a value.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from controller.core.model import Failure
from controller.core.reasons import Reason
from controller.core.stop_switch import Stopped
from controller.ports import Fenced, LaunchStopped, Leadership, UpstreamError

T = TypeVar("T")

log = logging.getLogger(__name__)

EFFECT_TIMEOUT = 180.0
"""Seconds for one whole effect. Every call has its own shorter timeout; this one catches what they miss."""


class Permission:
    """Asked before every single step, because leadership and the stop switch may change between two of them.

    Args:
        leadership: Whether this process leads.
        stopped: Returns why nothing may be launched in a Hugging Face namespace, None if it may.
    """

    def __init__(self, *, leadership: Leadership, stopped: Callable[[str], Stopped | None]) -> None:
        self._leadership = leadership
        self._stopped = stopped

    def to_act(self) -> None:
        """Raise :class:`Fenced` unless this process leads at this instant."""
        if not self._leadership.holds():
            raise Fenced

    def to_launch(self, namespace: str) -> None:
        """Raise unless a launch may go on at this instant.

        Args:
            namespace: Of Hugging Face, where the HF Job would be.

        Raises:
            Fenced: Another process leads.
            LaunchStopped: People have stopped launches there.
        """
        self.to_act()
        if (why := self._stopped(namespace)) is not None:
            raise LaunchStopped(why)


@dataclass(slots=True)
class _Gate:
    places: asyncio.Semaphore
    users: int = 0


@dataclass(slots=True)
class Turns:
    """Lets effects of one kind at one place go on a few at a time.

    So a Hub that hangs delays no other account, and a burst of launches delays no retirement.

    Attributes:
        parallel: Effects under way at once behind one gate.
    """

    parallel: int
    _gates: dict[object, _Gate] = field(default_factory=dict, init=False)

    async def take(
        self, gate: object, work: Callable[[], Awaitable[T]], **about: str
    ) -> tuple[T | None, Failure | None]:
        """Do one thing when its turn comes, and return what it gave, or whatever went wrong.

        Args:
            gate: Whose turn it is: what is equal waits for one another. It goes with its last user.
            work: Does it.
            about: For the log, if something goes wrong that nobody foresaw.
        """
        entered = self._gates.setdefault(gate, _Gate(asyncio.Semaphore(self.parallel)))
        entered.users += 1
        try:
            async with entered.places, asyncio.timeout(EFFECT_TIMEOUT):
                return await work(), None
        except LaunchStopped as kept_back:
            return None, Failure(reason=kept_back.stopped.reason, message=kept_back.stopped.message)
        except Fenced:
            return None, Failure(reason=Reason.Pending, message="another replica leads now")
        except UpstreamError as error:
            return None, error.failure
        except TimeoutError:
            return None, Failure(
                reason=Reason.LaunchInDoubt, message=Reason.LaunchInDoubt.meaning, in_doubt=True
            )
        except Exception:
            log.exception("effect failed", extra=about)
            return None, Failure(reason=Reason.InternalError, message=Reason.InternalError.meaning)
        finally:
            entered.users -= 1
            if not entered.users:
                del self._gates[gate]


async def sent(call: Awaitable[T]) -> T:
    """Await one call, and take a failure of a kind that nobody foresaw for one without an answer.

    1. The Hub makes the HF Job.
    2. Its answer has something in it that our reading of it cannot handle.
    3. Taken for a failure without effect, the launch would be forgotten, its registration taken back, and
       the HF Job run for nobody.
    """
    try:
        return await call
    except (UpstreamError, Fenced):
        raise
    except Exception as error:
        log.exception("a call failed in an unknown way")
        failure = Failure(reason=Reason.InternalError, message=Reason.InternalError.meaning, in_doubt=True)
        raise UpstreamError(failure) from error
