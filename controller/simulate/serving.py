"""Which pools may serve a job, by what GitHub does with labels and by what a pool's manifest
says; shared by all who judge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from controller.core.labels import covered, full_pattern

HOSTILE_GITHUB, HOSTILE_HUB = "http://127.0.0.1:3", "http://127.0.0.1:4"
HOSTILE_ORIGINS = (HOSTILE_GITHUB, HOSTILE_HUB)
"""Where seeds let a tenant's own, lying services answer. A pool that asks there serves no
job of the true GitHub."""


def serves(spec: Mapping[str, Any], repository: str, labels: Iterable[str]) -> bool:
    """Return whether a pool of this spec, unless it is paused, serves a job of these labels."""
    url = str(spec["github"]["url"])
    if url.startswith(HOSTILE_ORIGINS):
        return False
    path = url.split("/", 3)[3]
    reaches = repository == path or ("/" not in path and repository.startswith(f"{path}/"))
    chosen = spec["github"].get("repositories")
    if reaches and chosen:
        globs = [
            tuple(full_pattern(glob, path) for glob in chosen.get(side) or ())
            for side in ("include", "exclude")
        ]
        reaches = repository.lower() in covered(globs[0], globs[1], (repository.lower(),))
    wanted = set(same_case(labels))
    return (
        reaches
        and bool(wanted)
        and wanted <= set(same_case(spec["labels"]))
        and not spec.get("paused", False)
    )


def same_case(labels: Iterable[str]) -> list[str]:
    """Return labels as GitHub compares them: without regard to case (docs: "Labels are case insensitive")."""
    return sorted(label.lower() for label in labels)
