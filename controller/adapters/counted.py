"""Counts calls that fail: once for each call of a port, however many requests it was made of."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from controller.core.reasons import Reason
from controller.ports import UpstreamError

P = ParamSpec("P")
R = TypeVar("R")


class Counted:
    """A client whose failures are counted.

    Args:
        failed: Told why a call failed.
    """

    def __init__(self, failed: Callable[[Reason], None]) -> None:
        self._failed = failed


ClientT = TypeVar("ClientT", bound=Counted)


def counted(
    call: Callable[Concatenate[ClientT, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[ClientT, P], Coroutine[Any, Any, R]]:
    """Count a call of a port where it fails. Requests are not counted here: a 404 that means "gone" is an
    answer.
    """

    @wraps(call)
    async def counting(self: ClientT, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await call(self, *args, **kwargs)
        except UpstreamError as error:
            self._failed(error.failure.reason)
            raise

    return counting
