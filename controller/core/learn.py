"""What a pass learns of a pool from what happened since the last one, before anything is decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from controller.core.actions import Result
from controller.core.backoff import (
    Backoff,
    Limit,
    acquitted,
    after_look,
    remember_failure,
    remember_success,
)
from controller.core.effects import Effect
from controller.core.ended import Case, End, what_it_says
from controller.core.evidence import LIST_LAG
from controller.core.ledger import Bill, book
from controller.core.lifecycle import Track
from controller.core.losses import Loss
from controller.core.model import HFJob
from controller.core.naming import LABEL_RUNNER
from controller.core.notices import Notice
from controller.core.reasons import Reason
from controller.core.suspicion import Span
from controller.core.view import PoolView

REFUSAL_DELAYS = (30.0, 60.0, 120.0, 300.0)
"""Seconds before a registration that GitHub called busy is tried again: such calls are expensive for GitHub
(docs/facts.md#busy-runner-is-expensive)."""

_NOT_TRIED = frozenset({Reason.IntentsBlocked, Reason.StopSwitchOn, Reason.StopSwitchUnread})
"""Failures of launches of which nothing was tried; each is looked at anew in every pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What a pass has learned of one pool.

    Attributes:
        backoffs: By flavor and :data:`controller.core.backoff.POOL`.
        tracks: Of its runners, by name.
        limit: How many HF Jobs the Hub runs at a time, where that turned out to be fewer than ``maxRunners``.
        billed: How many of its HF Jobs run.
        bill: What HF Jobs that ended have cost.
        losses: Workflow jobs whose HF Job ended under them.
        idled: Runners that ended without a job although they were online.
        served: Names of runners that served while no list showed it.
        copies: Ids of live HF Jobs that carry a runner's name and are not ours.
        notices: What people hear of.
    """

    backoffs: Mapping[str, Backoff]
    tracks: Mapping[str, Track]
    limit: Limit | None
    billed: int
    bill: Bill
    losses: Sequence[Loss] = ()
    idled: Sequence[Span] = ()
    served: Sequence[str] = ()
    copies: frozenset[str] = frozenset()
    notices: Sequence[Notice] = ()


def learn(view: PoolView) -> Learned:
    """Take in what happened to a pool since the last pass: ends of HF Jobs, results of
    effects, runners online.
    """
    memory, pool, now = view.memory, view.pool, view.now
    ends = [(case, what_it_says(case, pool, now)) for case in cases(view)]
    gone = gone_after_a_good_end(view)
    tracks = {runner.name: runner.track for runner in view.runners}
    for case, end in ends:
        if end.unproven:
            tracks[case.runner] = replace(tracks[case.runner], unproven_end=case.job.flavor)
    for result in view.results:
        if result.effect is Effect.RETIRE and result.name in tracks:
            tracks[result.name] = after_retirement(tracks[result.name], result, now)
    billed = sum([runner.billed for runner in view.runners])
    notices = [end.notice for _, end in ends if end.notice is not None]
    if (notice := new_copies(view)) is not None:
        notices.append(notice)
    return Learned(
        backoffs=backoffs_after(view, ends, gone),
        tracks=tracks,
        limit=after_look(memory.limit, billed, now),
        billed=billed,
        bill=book(
            view.ended,
            booked=memory.booked,
            unpriced_seconds=memory.unpriced_seconds,
            usd=view.usd,
            flavors={*pool.flavors, *(runner.flavor for runner in view.runners)}
            if view.ended
            else pool.flavors,
            began=view.began,
            now=now,
        ),
        losses=[end.loss for _, end in ends if end.loss is not None],
        idled=[end.idled for _, end in ends if end.idled is not None],
        served=[*(case.runner for case, end in ends if end.served), *(name for name, _ in gone)],
        copies=frozenset(view.copies),
        notices=notices,
    )


def cases(view: PoolView) -> Sequence[Case]:
    """Return the HF Jobs that ended, each with what is known of its runner."""
    if not view.ended:
        return ()
    registrations = {runner.name: runner.registration for runner in view.runners}
    asked = asked_to_end(view)
    found = []
    for job, _ in view.ended:
        name = job.labels.get(LABEL_RUNNER, "")
        found.append(
            Case(
                job=job,
                track=view.memory.tracks.get(name),
                registration=registrations.get(name),
                workflow_job=view.running.get(name),
                completed=name in view.completed,
                asked=name in asked,
                agreed=asked.get(name, False),
            )
        )
    return found


def asked_to_end(view: PoolView) -> Mapping[str, bool]:
    """Return the runners whose end we asked for, and whether GitHub agreed."""
    asked = {name: track.deregistered for name, track in view.memory.tracks.items() if track.asked_to_end}
    for name, effect in view.in_flight.items():
        if effect.effect is Effect.RETIRE:
            asked.setdefault(name, False)
    for result in view.results:
        if result.may_have_ended_it:
            asked[result.name] = result.deregistered or asked.get(result.name, False)
    return asked


def backoffs_after(
    view: PoolView, ends: Sequence[tuple[Case, End]], gone: Sequence[tuple[str, str]]
) -> Mapping[str, Backoff]:
    """Return a pool's back-offs, with failures and successes taken in: ends first, then
    runners, then launches.

    Args:
        view: What is known of the pool.
        ends: HF Jobs that ended.
        gone: Runners whose good end proves itself now, with their flavors.
    """
    now, found = view.now, view.memory.backoffs
    if found:
        found = acquitted(found, {*view.running, *view.completed})
    for case, end in ends:
        if end.failure is not None:
            found = remember_failure(found, end.failure, case.job.flavor, now, runner=case.runner)
        elif end.served:
            found = remember_success(found, case.job.flavor)
    if found:
        online = [runner.flavor for runner in view.runners if runner.track.online_at == now]
        for flavor in (*(flavor for _, flavor in gone), *online):
            found = remember_success(found, flavor)
    for result in view.results:
        failure = result.failure
        if result.effect is Effect.LAUNCH and failure is not None and failure.reason not in _NOT_TRIED:
            found = remember_failure(found, failure, result.flavor, now)
    return found


def gone_after_a_good_end(view: PoolView) -> Sequence[tuple[str, str]]:
    """Return runners, with their flavors, whose good end proves itself now: a job took
    their registrations along.
    """
    unproven = [(name, track) for name, track in view.memory.tracks.items() if track.unproven_end]
    if not unproven:
        return ()
    present = {runner.name for runner in view.runners}
    return [(name, track.unproven_end) for name, track in unproven if name not in present]


def after_retirement(track: Track, result: Result, now: float) -> Track:
    """Return a runner's track after a try to end it; nothing is asked again before lists
    could show the effect.

    Args:
        track: Of the runner.
        result: How the retirement ended.
        now: Monotonic seconds.
    """
    if result.may_have_ended_it:
        track = replace(
            track,
            asked_to_end=True,
            deregistered=track.deregistered or result.deregistered,
            retry_at=now + LIST_LAG,
        )
    if result.busy or result.failure is not None:
        delay = REFUSAL_DELAYS[min(track.refusals, len(REFUSAL_DELAYS) - 1)]
        track = replace(track, retry_at=now + delay, refusals=track.refusals + 1)
    return track


def new_copies(view: PoolView) -> Notice | None:
    """Report HF Jobs that have a runner's name and are not ours, once; however many there
    are, in one notice a pass.

    Such a job is left alone: it is not ours to end, and whoever made it answers for it. It is remembered,
    since the one that we made may be gone first.
    """
    new = sorted(view.copies.keys() - view.memory.copies) if view.copies else []
    if not new:
        return None
    job: HFJob = view.copies[new[0]]
    whose = f" by {job.creator}" if job.creator else ""
    more = f", and there are {len(new) - 1} more of this pool's" if len(new) > 1 else ""
    reason = Reason.HFJobCopied
    message = f"HF Job {job.id}{whose} is a copy of {job.labels[LABEL_RUNNER]}{more}. {reason.meaning}"
    return Notice(pool_uid=view.pool.uid, reason=reason, message=message, warning=True)
