"""What a spec says against itself, or against how GitHub and the Hub work: each with what to write instead.

The API server takes such a spec: a rule of the type would also refuse every later change of a pool that was
stored before the rule, its finalizer's removal included. So it is reported in the pool's status as soon as
the pool is seen, and by ``check`` before that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from controller.core.labels import label_set
from controller.core.model import Pool
from controller.core.overlap import COMMON
from controller.core.warm import KEPT_SHARE, may_idle, starts_a_day

SHORTEST_SCHEDULING = 60.0
"""Seconds: less than it takes to find a machine and to pull an image of some gigabytes, which the
Hub does not tell apart."""

SHORTEST_REGISTRATION = 30.0
"""Seconds: less than it takes to download and start the runner in an image that does not have it."""

SHORTEST_IDLE = 60.0
"""Seconds for which GitHub lets a runner pick up the job that it was assigned: one that ends earlier may end
before its job begins (docs/facts.md#assigned-for-a-minute).
"""

LEAST_WARM = 600.0
"""Seconds that a warm runner should stay before it is replaced; each replacement is a start
that is paid for."""

LONGEST_NAME = 63
"""Characters of a pool's name that fit a label of Kubernetes; runners show 24 of them."""


_WINDOWS = re.compile(r"(^|/)windows/|(^|[/:_.-])(nanoserver|(windows)?servercore)(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Contradiction:
    """One of them.

    Attributes:
        at: Where it is written, from the object's root.
        message: What is wrong and what to write instead, as one sentence without its full stop.
    """

    at: tuple[str, ...]
    message: str

    def __str__(self) -> str:
        """With its place in front, as mistakes in a manifest are reported."""
        return f"{'.'.join(self.at)}: {self.message}"


def contradictions(pool: Pool) -> Sequence[Contradiction]:
    """Return all contradictions of a pool's spec, in the order of its fields."""
    found = (
        _name(pool),
        _labels(pool),
        _image(pool),
        _min_idle(pool),
        _scheduling(pool),
        _registration(pool),
        _idle(pool),
        _lifetime(pool),
    )
    return [one for one in found if one is not None]


def duration(seconds: float) -> str:
    """Return seconds as people write them in a pool: ``90s``, ``10m``, ``1h30m``."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3_600, whole % 3_600 // 60, whole % 60
    parts = [f"{hours}h" * bool(hours), f"{minutes}m" * bool(minutes), f"{rest}s" * bool(rest)]
    return "".join(parts) or "0s"


def _name(pool: Pool) -> Contradiction | None:
    name = pool.key.name
    if "." in name:
        message = f"a dot becomes a dash in the names of runners and in labels of HF Jobs: write {name.replace('.', '-')[:LONGEST_NAME]}"
        return Contradiction(("metadata", "name"), message)
    if len(name) <= LONGEST_NAME:
        return None
    message = (
        f"the name has {len(name)} characters, of which runners at GitHub and HF Jobs show 24: write at most {LONGEST_NAME}, the "
        "telling ones first"
    )
    return Contradiction(("metadata", "name"), message)


def _labels(pool: Pool) -> Contradiction | None:
    if not label_set(pool.labels) <= COMMON:
        return None
    message = (
        f"every self-hosted runner may have {', '.join(pool.labels)}, so that jobs meant for others are served and paid for: add a "
        "label of your own, such as hf-t4, and ask for it in runs-on"
    )
    return Contradiction(("spec", "labels"), message)


def _image(pool: Pool) -> Contradiction | None:
    image = pool.template.image
    if image is None or not _WINDOWS.search(image):
        return None
    message = f"{image} looks like an image of Windows, and HF Jobs run Linux: write one made from Debian, Ubuntu, Fedora or UBI"
    return Contradiction(("spec", "image"), message)


def _min_idle(pool: Pool) -> Contradiction | None:
    stays = may_idle(pool.deadlines, 0.0)
    if not pool.min_idle or stays >= LEAST_WARM:
        return None
    lifetime, least = duration(pool.deadlines.lifetime), duration(LEAST_WARM / (1 - KEPT_SHARE))
    a_day = round(pool.min_idle * starts_a_day(pool.deadlines))
    message = (
        f"with deadlines.lifetime {lifetime} a warm runner is replaced every {duration(stays)}, so that its next job has "
        f"the rest of it: about {a_day:,} launches a day for minIdle {pool.min_idle}, each paid for from its "
        f"start. Write a lifetime of {least} or more, or minIdle: 0"
    )
    return Contradiction(("spec", "minIdle"), message)


def _scheduling(pool: Pool) -> Contradiction | None:
    given = pool.deadlines.scheduling
    if given >= SHORTEST_SCHEDULING:
        return None
    message = (
        f"{duration(given)} must be enough for the Hub to find a machine and to pull the image: write 2m or more, and 10m or more "
        "for an image of many gigabytes"
    )
    return Contradiction(("spec", "deadlines", "scheduling"), message)


def _registration(pool: Pool) -> Contradiction | None:
    given = pool.deadlines.registration
    if given >= SHORTEST_REGISTRATION:
        return None
    message = (
        f"{duration(given)} must be enough to download and start the runner in the image: write 2m or more"
    )
    return Contradiction(("spec", "deadlines", "registration"), message)


def _idle(pool: Pool) -> Contradiction | None:
    given = pool.deadlines.idle
    if given >= SHORTEST_IDLE:
        return None
    message = f"GitHub lets a runner take up to a minute to pick up its job, and after {duration(given)} it has ended: write 1m or more"
    return Contradiction(("spec", "deadlines", "idle"), message)


def _lifetime(pool: Pool) -> Contradiction | None:
    lifetime, registration = pool.deadlines.lifetime, pool.deadlines.registration
    if lifetime > registration:
        return None
    message = (
        f"{duration(lifetime)} may be over before a runner is online, for which deadlines.registration allows "
        f"{duration(registration)}: write the longest workflow job's time and {duration(registration)} more, or lower registration"
    )
    return Contradiction(("spec", "deadlines", "lifetime"), message)
