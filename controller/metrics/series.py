"""The series of counters and histograms, and whose each is, so that those of who is gone can be dropped."""

from __future__ import annotations

from collections.abc import Collection

from prometheus_client import CollectorRegistry, Counter, Histogram

from controller.core.model import PoolKey
from controller.metrics import catalog
from controller.metrics.catalog import Spec, Type
from controller.metrics.collected import label
from controller.ports import Clock

FORGET_AFTER = 900.0
"""Seconds for which the counters of a pool, or of credentials, that are gone are still shown: long enough for
Prometheus to see their last values, and an end, so that pools that come and go do not fill the memory."""

MOST_GONE = 2_000
"""Owners of series that are gone and still shown; of more, those that went first are shown no longer."""

Owner = PoolKey | tuple[PoolKey, str] | str
"""Whose a series is: a pool's, a pool's flavor's (which ends when the spec no longer names it), or a
credential's or account's by its label."""


class Series:
    """All series of one registry.

    Args:
        clock: Time.
        registry: Gets the instruments of the catalog.
    """

    def __init__(self, *, clock: Clock, registry: CollectorRegistry) -> None:
        self._clock = clock
        self._instruments: dict[str, Counter | Histogram] = {}
        for spec in catalog.ALL:
            match spec.type:
                case Type.COUNTER:
                    self._instruments[spec.name] = Counter(
                        spec.name, spec.help, spec.labels, registry=registry
                    )
                case Type.HISTOGRAM:
                    self._instruments[spec.name] = Histogram(
                        spec.name, spec.help, spec.labels, buckets=spec.buckets, registry=registry
                    )
                case Type.GAUGE:
                    pass  # collected when asked for
        self._series: dict[Owner, set[tuple[str, tuple[str, ...]]]] = {}
        self._gone_since: dict[Owner, float] = {}

    def add(
        self, spec: Spec, labels: tuple[str, ...], value: float, *, owner: PoolKey | str | None = None
    ) -> None:
        """Count, or time, ``value``; without an owner the series stays for ever."""
        instrument = self._instruments[spec.name]
        child = instrument.labels(*self._named(owner, spec, labels)) if labels else instrument
        if isinstance(child, Histogram):
            child.observe(value)
        else:
            child.inc(value)

    def show(self, owner: PoolKey | str, spec: Spec, labels: tuple[str, ...]) -> None:
        """Let a series appear with 0."""
        self._instruments[spec.name].labels(*self._named(owner, spec, labels))

    def _named(self, owner: PoolKey | str | None, spec: Spec, labels: tuple[str, ...]) -> tuple[str, ...]:
        """Return labels as they are shown, and note whose series they name."""
        shown = tuple(map(label, labels))
        whose: Owner | None = owner
        if isinstance(owner, PoolKey) and "flavor" in spec.labels:
            whose = (owner, labels[spec.labels.index("flavor")])
        if whose is not None:
            self._series.setdefault(whose, set()).add((spec.name, shown))
        return shown

    def forget(self, present: Collection[Owner]) -> list[Owner]:
        """Drop the series of whoever has been gone for :data:`FORGET_AFTER`; return those owners."""
        now, forgotten = self._clock.mono(), []
        gone = [owner for owner in self._series if owner not in present]
        for owner in gone:
            self._gone_since.setdefault(owner, now)
        gone.sort(key=self._gone_since.__getitem__)
        for index, owner in enumerate(gone):
            if now - self._gone_since[owner] >= FORGET_AFTER or index < len(gone) - MOST_GONE:
                for name, labels in self._series.pop(owner):
                    self._instruments[name].remove(*labels)
                del self._gone_since[owner]
                forgotten.append(owner)
        for owner in [owner for owner in self._gone_since if owner in present]:
            del self._gone_since[owner]
        return forgotten
