"""Looks at the Secrets that ``secretEnv`` of one namespace's pools names: may runners have them,
and which keys do they have.

No value is kept here. One after the other and not all at once: a pool may name 64, and whoever writes pools
without end must cost the API server, and the pools of other namespaces, next to nothing.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Mapping

from controller.core.model import SecretEnv, SecretRef, SecretSight
from controller.core.variables import refusal, sight
from controller.ports import Clock, Connections, UpstreamError

INTERVAL = 30.0
"""Seconds between two looks at a Secret, as long as :data:`controller.adapters.secret_cache.FRESH_FOR`: a
launch reads nothing older."""

REFUSED_INTERVAL = 5.0
"""Seconds between two looks at one that keeps a pool from launching: whoever mends it waits for that."""

SPACING = 0.1
"""Seconds between two looks in one namespace, at least."""


class VariableObserver:
    """Keeps what was seen last of the Secrets of one namespace.

    Args:
        connections: Reads them.
        clock: Time.
        changed: Called when a look showed something else than the one before.
    """

    def __init__(self, *, connections: Connections, clock: Clock, changed: Callable[[], None]) -> None:
        self._connections = connections
        self._clock = clock
        self._changed = changed
        self._wanted: Mapping[SecretRef, Collection[SecretEnv]] = {}
        self._seen: dict[SecretRef, SecretSight] = {}
        self._due: OrderedDict[SecretRef, float] = OrderedDict()
        self._refused: OrderedDict[SecretRef, float] = OrderedDict()
        """When to look again, in the order of it: at those that are well, and at those that are not."""
        self._wake = asyncio.Event()

    @property
    def observation(self) -> Mapping[SecretRef, SecretSight]:
        """What the newest looks showed; nothing of a Secret before the first."""
        return self._seen

    def want(self, variables: Collection[SecretEnv]) -> None:
        """Say which variables come from here; Secrets that are new are looked at first. Idempotent."""
        wanted: defaultdict[SecretRef, set[SecretEnv]] = defaultdict(set)
        for variable in variables:
            wanted[variable.secret].add(variable)
        for ref in [ref for ref in self._wanted if ref not in wanted]:
            for known in (self._seen, self._due, self._refused):
                known.pop(ref, None)
        for ref in sorted(ref for ref, of in wanted.items() if of != self._wanted.get(ref)):
            self._refused.pop(ref, None)
            self._due[ref] = -math.inf
            self._due.move_to_end(ref, last=False)
            self._wake.set()
        self._wanted = wanted

    async def step(self) -> float:
        """Look at the Secret that is due for the longest, if one is; return the seconds
        until the next look.
        """
        now = self._clock.mono()
        line = min((self._due, self._refused), key=_first)
        if _first(line) > now:
            return _first(line) - now
        ref, _ = line.popitem(last=False)
        self._due[ref] = now + INTERVAL  # its turn is over, whatever becomes of it
        before = self._seen.get(ref)
        try:
            if line is self._refused and before is not None and before.failure is None:
                await self._connections.secret_changed(
                    ref
                )  # not the copy that was read last, which is what is wrong
            secret = await self._connections.secret(ref)
        except UpstreamError as error:
            # While Kubernetes cannot be asked, nothing has changed.
            seen = SecretSight(failure=error.failure) if before is None or error.failure.lasting else before
        else:
            seen = sight(secret.labels, secret.data)
        self._take(ref, seen)
        return SPACING

    def _take(self, ref: SecretRef, seen: SecretSight) -> None:
        if ref not in self._wanted:
            return  # nobody wants it any more since it was asked for
        known, now = self._seen.get(ref), self._clock.mono()
        self._seen[ref] = seen
        refused = any(refusal(variable, seen) is not None for variable in self._wanted[ref])
        for line in (self._due, self._refused):
            line.pop(ref, None)
        if refused:
            self._refused[ref] = now + REFUSED_INTERVAL
        else:
            self._due[ref] = now + INTERVAL
        if seen != known:
            self._changed()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            pause = await self.step()
            if pause <= SPACING:
                await asyncio.sleep(pause)
                continue
            self._wake.clear()
            try:
                async with asyncio.timeout(None if pause == math.inf else pause):
                    await self._wake.wait()
            except TimeoutError:
                continue


def _first(line: OrderedDict[SecretRef, float]) -> float:
    """Return when the first of a line is due, in monotonic seconds."""
    return next(iter(line.values()), math.inf)
