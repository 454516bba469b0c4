"""Looks at one Secret that ``secretEnv`` names: whether runners may have it, and which keys it has. No value is kept here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from controller.core.model import SecretEnv, SecretRef, SecretSight
from controller.core.variables import refusal, sight
from controller.observe.queue_schedule import fraction
from controller.ports import Connections, UpstreamError

INTERVAL = 30.0
"""Seconds between two looks, as long as :data:`controller.adapters.connections.FRESH_FOR`: a launch reads nothing older."""


class VariableObserver:
    """Keeps what was seen last of one Secret.

    Args:
        ref: The Secret.
        connections: Reads it.
        changed: Called when a look showed something else than the one before.
    """

    def __init__(self, *, ref: SecretRef, connections: Connections, changed: Callable[[], None]) -> None:
        self.ref = ref
        self._connections = connections
        self._changed = changed
        self._seen: SecretSight | None = None
        self._wanted: Collection[SecretEnv] = ()
        self._placed = False
        self._wake = asyncio.Event()

    @property
    def observation(self) -> SecretSight | None:
        """What the newest look showed, None before the first."""
        return self._seen

    @property
    def needs_a_person(self) -> bool:
        """Whether some pool cannot have a variable until a person has mended the Secret, or the right to read it."""
        seen = self._seen
        return seen is not None and any(refusal(variable, seen) is not None for variable in self._wanted)

    def want(self, variables: Collection[SecretEnv]) -> None:
        """Say which variables come from the Secret. Idempotent."""
        self._wanted = variables

    def retry(self) -> None:
        """Look again now: somebody may have mended it."""
        self._wake.set()

    async def step(self) -> float:
        """Look once; return the seconds until the next time."""
        before = self._seen
        try:
            secret = await self._connections.secret(self.ref)
        except UpstreamError as error:
            # While Kubernetes cannot be asked, nothing has changed.
            if before is None or error.failure.lasting:
                self._seen = SecretSight(failure=error.failure)
        else:
            self._seen = sight(secret.labels, secret.data)
        if self._seen != before:
            self._changed()
        # At a start all are looked at together; from then on each has its own place in the interval.
        placed, self._placed = self._placed, True
        return INTERVAL if placed else INTERVAL * fraction(self.ref.namespace, self.ref.name, "variables")

    async def run(self) -> None:
        """Look for ever."""
        while True:
            pause = await self.step()
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                continue
            finally:
                self._wake.clear()
