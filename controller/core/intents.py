"""Intents: what is written into a pool's status before anything is launched, and when it is no longer needed.

A launch leaves nothing at GitHub or the Hub that can be relied on to show at once: lists lag. So each launch
is written down first, with its name, and whoever acts next reads it as a launch under way:

1. A writes that it launches R, registers R, asks for its HF Job, and dies.
2. B begins to act, seconds later.
3. Lists that lag show neither half, but the pool's status names R: it takes its place in ``maxRunners`` until
   lists prove it there or absent.

The write holds only while what the plan rested on is still so;
:mod:`controller.execute.intent_writer` says how that fences a stale leader's decisions. What is pure
about it is here: terms, and the evidence that ends an intent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from controller.core.effects import Effect, InFlight
from controller.core.evidence import LIST_LAG, shows_all_before
from controller.core.model import Failure, Footprint, HFJob, HubAccount, Place, Pool, Snapshot
from controller.core.naming import LABEL_RUNNER
from controller.core.ownership import COPY

MOST_INTENTS = 1_000
"""Launches under way that a pool's status has room for: a hundred kilobytes of it, of one and a half
megabytes that etcd takes."""

MOST_TERMS = 10**12
"""Greatest number of a term. At one process a second it would be reached in thirty thousand years."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """One launch that somebody has decided on.

    Attributes:
        name: The runner.
        flavor: The hardware.
        at: Epoch seconds of the decision, on the clock of whoever decided.
        place: Where the runner is launched to.
    """

    name: str
    flavor: str
    at: float
    place: Footprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One process's time of acting.

    Attributes:
        number: Greater than that of every term before, as far as this process has seen.
        holder: Which process; no other one ever had the same.
    """

    number: int
    holder: str

    def yields_to(self, other: Term) -> bool:
        """Return whether ``other`` is a later term, or another process's of the same number:
        then it was first to write.
        """
        return other.number > self.number or (other.number == self.number and other.holder != self.holder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a pool's status says.

    Attributes:
        term: Of whoever wrote the intents; None if nobody has ever written any.
        intents: By name.
    """

    term: Term | None = None
    intents: tuple[Intent, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """Intents of a pool cannot be written.

    Attributes:
        failure: Why.
        since: Monotonic seconds of the first write that failed.
        until: Monotonic seconds before which no other one is tried.
    """

    failure: Failure
    since: float
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolIntents:
    """What the plan must know of a pool's intents.

    Attributes:
        open: Names of launches of which no evidence says yet that they are there, or will never be.
        places: Where these are launched to.
        lists_after: Nothing is launched before lists that were asked for after this moment, in monotonic
            seconds: somebody has launched for the pool without writing it down. None if nobody has.
        blocked: No intent could be written lately.
    """

    open: frozenset[str] = frozenset()
    places: frozenset[Place] = frozenset()
    lists_after: float | None = None
    blocked: Blocked | None = None


def next_term(lease: int, terms: Iterable[Term | None], *, holder: str) -> Term:
    """Return the term of a process that begins to act.

    Both numbers are needed. Lease and pools can be deleted, made anew and restored from a backup apart from
    each other, and a process that runs without an election has no Lease.

    Args:
        lease: How often the Lease has changed hands; 0 without one.
        terms: Of all pools, as this process has first seen them.
        holder: This process.
    """
    known = [term.number for term in terms if term is not None]
    return Term(number=min(MOST_TERMS, max([lease, *(number + 1 for number in known)])), holder=holder)


def wrote_nothing_down(written: Written, *, launched_at: float | None) -> bool:
    """Return whether somebody has launched for a pool without an intent: a controller of a
    version before intents.
    """
    return written.term is None and launched_at is not None


def ended_intents(
    intents: Iterable[tuple[Intent, float | None]],
    in_flight: Mapping[str, InFlight],
    snapshot: Snapshot,
    *,
    shown: set[str],
) -> Sequence[str]:
    """Return the names of intents that evidence has ended: both halves have shown, or were proved absent.

    The HF Job's half ends with the launch's entry among the effects in flight
    (:func:`~controller.core.effects.still_in_flight`). The registration may show later still:

    1. R is launched, its HF Job is listed, and fails at once.
    2. GitHub's lists lag, and do not show R.
    3. The pool is deleted: without the intent it would go, and R's registration would stay for ever.

    Args:
        intents: Each with the moment at which the launch was acknowledged or given up, in monotonic
            seconds; None while it runs.
        in_flight: Effects that the lists of HF Jobs may not show yet.
        snapshot: The lists.
        shown: Names whose registration a list has shown, now or before; those of this snapshot are added.
            A list that lacks such a name proves that its registration is gone again: a runner's record
            goes with its workflow job.
    """
    listed: dict[object, frozenset[str]] = {}
    ended = []
    for intent, finished_at in intents:
        scope = intent.place.registrations
        seen = snapshot.registrations.get(scope)
        if seen is not None and intent.name not in shown:
            if scope not in listed:
                listed[scope] = frozenset(registration.name for registration in seen.items)
            if intent.name in listed[scope]:
                shown.add(intent.name)
        effect = in_flight.get(intent.name)
        if finished_at is None or (effect is not None and effect.effect is Effect.LAUNCH):
            continue
        if intent.name in shown or (seen is not None and shows_all_before(seen, finished_at)):
            ended.append(intent.name)
    return ended


def unseen_launches(
    in_flight: Mapping[str, InFlight], snapshot: Snapshot, pools: Sequence[Pool]
) -> dict[str, HubAccount]:
    """Return the launches of earlier processes whose HF Job a younger list lacks, with the
    account that it would be in.

    It may have ended before this process began, and then no list of live ones ever shows it; or it may not
    show yet, or never come. The Hub can be asked which (:func:`came_and_ended`).

    Args:
        in_flight: Effects that the lists need not show yet; those that they show are forgotten already
            (:func:`~controller.core.effects.find_shown`).
        snapshot: The lists.
        pools: All of them.
    """
    by_uid = {pool.uid: pool for pool in pools} if in_flight else {}
    found = {}
    for name, effect in in_flight.items():
        pool = by_uid.get(effect.pool_uid)
        if not effect.inherited or effect.finished_at is None or effect.footprint is None or pool is None:
            continue
        account = pool.through(effect.footprint).account
        seen = snapshot.hf_jobs.get(account)
        if seen is not None and seen.complete and seen.asked_at >= effect.finished_at:
            found[name] = account
    return found


def came_and_ended(name: str, found: Iterable[HFJob]) -> bool:
    """Return whether a runner's launch is over: its HF Job was made, and has ended.

    A name is launched once, so nothing can follow. Nothing found proves nothing, since lists lag. Nor does
    the end of a copy that somebody else made: ours may be alive, and not show yet.

    Args:
        name: The runner.
        found: HF Jobs of any stage that carry its name.
    """
    jobs = [job for job in found if job.labels.get(LABEL_RUNNER) == name]
    ours = [job for job in jobs if job.foreign is False and job.initiator != COPY]
    return bool(ours) and all(job.ended for job in ours)


def served_by(pool: Pool, snapshot: Snapshot) -> set[str]:
    """Return the runners whose workflow job the pool's own credentials showed completed since the last pass.

    A short one may come and go between two lists of registrations: no list ever shows it, and yet nothing is
    left of it, since an ephemeral runner's record goes when its job completes.
    """
    sources = {footprint.registrations.source for footprint in pool.footprints}
    return {
        job.runner_name for source in sources for job in snapshot.completed.get(source, ()) if job.runner_name
    }


def outlived(intent: Intent, *, timeout: float, wall: float) -> bool:
    """Return whether an intent is so old that whatever came of it has met the Hub's own timeout.

    The bound for places that can be read no more: without it, an intent there would take a place
    in ``maxRunners`` for ever.

    Args:
        intent: Which.
        timeout: Seconds that the Hub gives an HF Job of the pool.
        wall: Epoch seconds.
    """
    return wall - intent.at > timeout + LIST_LAG
