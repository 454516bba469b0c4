"""Effects of ours that the lists may not show yet: launches and retirements that are under
way, or ended a moment ago.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from controller.core.evidence import shows_all_before
from controller.core.model import Footprint, HFJob, Observation, Pool, Snapshot
from controller.core.naming import LABEL_RUNNER


class Effect(StrEnum):
    """What the executor is doing to a runner."""

    LAUNCH = "launch"
    RETIRE = "retire"


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """An effect that may not show in the lists yet.

    Attributes:
        name: The runner.
        pool_uid: Its pool.
        footprint: Where its halves are, or will be; None when only a registration is being removed.
        effect: What is being done.
        flavor: Of the launch.
        since: Monotonic seconds when it began.
        finished_at: Monotonic seconds when it ended; None while it runs.
        hf_job: The HF Job that a finished launch made.
        inherited: A launch of an earlier process, known by its intent alone (:mod:`controller.core.intents`).
    """

    name: str
    pool_uid: str
    footprint: Footprint | None
    effect: Effect
    flavor: str = ""
    since: float
    finished_at: float | None = None
    hf_job: HFJob | None = None
    inherited: bool = False


def still_in_flight(effect: InFlight, seen: Observation[HFJob] | None, *, shown: bool) -> bool:
    """Return whether an effect may still be invisible, and must go on counting.

    A finished launch counts until a complete list that was asked for later shows its HF Job, or
    until the list's lag is over without it: then it ended between two lists. So does a launch
    that failed without an answer:

    1. The request for the HF Job is sent, and is slow.
    2. Our patience ends, and no HF Job has the label.
    3. The request has its effect: a second launch in the meantime would exceed ``maxRunners``.

    A finished retirement counts until such a list shows it no more.

    Args:
        effect: What was done.
        seen: The newest list of the effect's account.
        shown: The list shows the runner's HF Job, live.
    """
    if effect.finished_at is None:
        return True
    if seen is None or not seen.complete or seen.asked_at <= effect.finished_at:
        return True
    overdue = shows_all_before(seen, effect.finished_at)
    if effect.effect is Effect.LAUNCH:
        return not shown and not overdue
    return shown and not overdue


def find_shown(in_flight: Mapping[str, InFlight], snapshot: Snapshot, pools: Sequence[Pool]) -> list[str]:
    """Return the runners whose effect has ended and need not be remembered: the lists of its own
    account show what it did.
    """
    by_uid = {pool.uid: pool for pool in pools} if in_flight else {}
    live = {account: _by_name(seen.items) for account, seen in snapshot.hf_jobs.items()}
    ended = {account: _by_name(jobs) for account, jobs in snapshot.ended.items()}
    found = []
    for name, effect in in_flight.items():
        if effect.finished_at is None:
            continue
        pool, place = by_uid.get(effect.pool_uid), effect.footprint
        account = (pool.through(place) if pool else place).account if place else None
        if account is None or _is_among(effect, ended.get(account, {})):
            found.append(name)
            continue
        shown = _is_among(effect, live.get(account, {}))
        if not still_in_flight(effect, snapshot.hf_jobs.get(account), shown=shown):
            found.append(name)
    return found


def _by_name(jobs: Iterable[HFJob]) -> Mapping[str, set[str]]:
    """Return the ids of HF Jobs by the runner that they name; with copies there are several."""
    found: dict[str, set[str]] = defaultdict(set)
    for job in jobs:
        found[job.labels.get(LABEL_RUNNER, "")].add(job.id)
    return found


def _is_among(effect: InFlight, ids_by_name: Mapping[str, set[str]]) -> bool:
    ids = ids_by_name.get(effect.name, set())
    return effect.hf_job.id in ids if effect.hf_job else bool(ids)
