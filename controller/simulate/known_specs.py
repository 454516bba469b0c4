"""What the judge remembers of a pool's specs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OLD_SPEC_GRACE = 60.0
"""Seconds for which an older ``maxRunners`` or an older spec may still be acted on."""


@dataclass(slots=True)
class KnownSpec:
    """A spec that a pool had, since a moment of virtual time, in seconds."""

    since: float
    spec: Mapping[str, Any]
    deleting: bool = False
