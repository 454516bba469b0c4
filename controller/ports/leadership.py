"""Whether this process may act."""

from __future__ import annotations

from typing import Protocol


class Leadership(Protocol):
    """Whether this process may act."""

    def holds(self) -> bool:
        """Return whether effects are allowed at this instant; asked before every single one."""


class Leader(Leadership, Protocol):
    """Leadership of a process that decides, and writes down that it was it."""

    @property
    def identity(self) -> str:
        """Who this is; no other process ever had the same."""

    @property
    def transitions(self) -> int:
        """How often the Lease had changed hands when this process got it; 0 for one that
        runs without an election.
        """

    def led_after(self, moment: float) -> bool | None:
        """Return whether the Lease is known to have been this process's at some time after a
        moment, in monotonic seconds.

        None for a process that runs without an election: nothing can tell.
        """

    def lose(self, why: str) -> None:
        """Allow no effect from now on, and let the process end: another one has decided
        something later. Idempotent.
        """


class Alone:
    """Leadership of a process that takes it for granted that it is alone, until something
    proves the opposite.

    Args:
        identity: No process ever had it before.
    """

    transitions = 0

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.lost = ""

    def holds(self) -> bool:
        """Return whether nobody else was found."""
        return not self.lost

    def led_after(self, moment: float) -> bool | None:
        """Return None: there is no Lease that could tell."""
        del moment
        return None

    def lose(self, why: str) -> None:
        """Act no more."""
        self.lost = self.lost or why
