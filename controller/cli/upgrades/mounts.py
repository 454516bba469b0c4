"""Writable buckets of existing pools that this release refuses, where programs are taken from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controller.api.convert import to_pool
from controller.api.runnerpool import InvalidPool
from controller.cli.upgrades.findings import Finding
from controller.core.model import Pool


def without_writable_mounts(obj: Mapping[str, Any]) -> Pool | None:
    """Return the pool of an object that is refused for the places of its writable buckets
    alone, as if it had none.

    None for an object with another mistake: the installed release does not serve that one either.
    """
    spec = obj.get("spec")
    volumes = spec.get("volumes") if isinstance(spec, Mapping) else None
    if not isinstance(spec, Mapping) or not isinstance(volumes, list):
        return None
    try:
        return to_pool({**obj, "spec": {**spec, "volumes": [*map(_read_only, volumes)]}}, allow_http=True)
    except InvalidPool:
        return None


def _read_only(volume: object) -> object:
    if not isinstance(volume, Mapping) or volume.get("type") != "bucket":
        return volume
    return {**volume, "readOnly": True}


def find_mounts(refused: Sequence[tuple[Pool, InvalidPool]]) -> Sequence[Finding]:
    """Return the pools that would stop for the place of a writable bucket.

    Args:
        refused: Those for which :func:`without_writable_mounts` has a pool, each with its mistakes; none that
            the installed release refuses already.
    """
    if not refused:
        return []
    return [
        Finding(
            what="These RunnerPools have a bucket that jobs can write where programs are taken from, so that one job decides what "
            "later ones run. With this release they would say InvalidSpec and launch nothing; jobs that run would finish. Mount the "
            "bucket elsewhere, or leave readOnly out.",
            where=tuple(f"{pool.key}: {mistake}" for pool, error in refused for mistake in error.mistakes),
            commands=tuple(
                f"kubectl -n {pool.key.namespace} edit runnerpool {pool.key.name}" for pool, _ in refused
            ),
        )
    ]
