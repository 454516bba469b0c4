"""Shares of what everybody uses: how many requests one user of a service may have under way at once.

Requests wait for a turn in the order in which they came, each only behind those of its own share, so that a
service that never answers costs its own users and nobody else. A share is any hashable value; a request may
belong to several, from the narrow to the wide, and holds a turn of each.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

PATIENCE = 30.0
"""Seconds that a request waits for its turn; one that is under way ends within a minute."""


class NoTurnError(Exception):
    """All turns of a share were taken for as long as one waits; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Share:
    """A share, and how many turns of it may be taken at once."""

    name: Hashable
    most: int


@dataclass(slots=True)
class _Gate:
    turns: asyncio.Semaphore
    users: int = field(default=0)


class Shares:
    """Turns by share. A share without users takes no memory.

    Args:
        patience: Seconds that a request waits for its turns.
    """

    def __init__(self, *, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._gates: dict[Share, _Gate] = {}

    @asynccontextmanager
    async def turn(self, shares: Sequence[Share]) -> AsyncIterator[None]:
        """Hold one turn of each share while the context is open.

        Everybody takes them in the same order, from the narrow to the wide, and who has them all needs no
        other: so nobody waits for somebody who waits.

        Raises:
            NoTurnError: They were not free in time.
        """
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._patience):
                    for share in shares:
                        await held.enter_async_context(self._one(share))
            except TimeoutError:
                raise NoTurnError from None
            yield

    @asynccontextmanager
    async def _one(self, share: Share) -> AsyncIterator[None]:
        gate = self._gates.setdefault(share, _Gate(asyncio.Semaphore(share.most)))
        gate.users += 1
        try:
            async with gate.turns:
                yield
        finally:
            gate.users -= 1
            if not gate.users:
                del self._gates[share]

    def __len__(self) -> int:
        """Return how many shares are in use."""
        return len(self._gates)
