"""Sees at once when a Secret changes that may be why something fails: whoever corrects one waits for it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from controller.core.model import SecretRef
from controller.ports import Clock, Connections

INTERVAL = 5.0
"""Seconds between two reads of a Secret while something fails that a person must mend,
perhaps by changing it."""

MOST_SECRETS = 20
"""Secrets that are read in such an interval; of more, those that were not read for the longest."""


class Retried(Protocol):
    """An observer that can ask again."""

    def retry(self) -> None:
        """Ask again now."""


@dataclass(frozen=True, slots=True)
class User:
    """Who uses a Secret.

    Attributes:
        secret: Which.
        observer: Asks with it.
        needs_a_person: Something fails that a person must mend, perhaps in the Secret.
    """

    secret: SecretRef
    observer: Retried
    needs_a_person: bool


class SecretWatch:
    """Reads the Secrets of whatever needs a person.

    Args:
        connections: Reads them.
        clock: Time.
        users: Returns all observers that use Secrets now.
    """

    def __init__(
        self, *, connections: Connections, clock: Clock, users: Callable[[], Collection[User]]
    ) -> None:
        self._connections = connections
        self._clock = clock
        self._users = users
        self._read_at: dict[SecretRef, float] = {}

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(INTERVAL)
            await self.look()

    async def look(self) -> None:
        """Read the Secrets of whatever needs a person, and let all their users ask again at
        once where one has changed.
        """
        troubled = {user.secret for user in self._users() if user.needs_a_person}
        self._read_at = {ref: self._read_at.get(ref, -math.inf) for ref in troubled}
        for ref in sorted(troubled, key=lambda ref: (self._read_at[ref], ref))[:MOST_SECRETS]:
            self._read_at[ref] = self._clock.mono()
            if await self._connections.secret_changed(ref):
                for user in self._users():
                    if user.secret == ref:
                        user.observer.retry()
