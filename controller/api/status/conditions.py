"""The conditions of a pool: what each is after a pass, why, and what to do about it.

Written so that ``kubectl wait``, Helm 4, Flux and Argo CD judge a pool rightly
(docs/facts.md#how-tools-judge-a-status): ``Ready`` sums up, ``Reconciling`` is true only while a change is
taken in, and ``Stalled`` means that a person must act.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from controller.api.status.model import Condition
from controller.api.status.values import MOST_MESSAGE, Instant, iso
from controller.core.backoff import POOL, STALLED_AFTER
from controller.core.conditions import ConditionType
from controller.core.contradictions import contradictions
from controller.core.credentials import describe_end, ends_soon
from controller.core.lifecycle import Phase
from controller.core.losses import summary
from controller.core.model import Disposition, Failure, Pool
from controller.core.overlap import Overlap
from controller.core.reasons import Reason
from controller.core.report import PoolReport
from controller.core.text import counted, text

PATIENCE: Final = 90.0
"""Seconds for which a service may be out of reach before a pool is called not ready:
conditions must not flap."""


@dataclass(frozen=True, slots=True)
class Aspect:
    """What is found of one aspect, before it is compared with what was said of it before.

    Attributes:
        type: The condition.
        holds: Whether it holds; None where that is not known.
        reason: Why.
        message: Why, as a sentence with the next step.
    """

    type: ConditionType
    holds: bool | None
    reason: Reason
    message: str

    @property
    def status(self) -> Literal["True", "False", "Unknown"]:
        """Whether it holds, as the API says it."""
        return "Unknown" if self.holds is None else "True" if self.holds else "False"


def aspects(report: PoolReport, overlaps: Sequence[Overlap], now: Instant) -> list[Aspect]:
    """Return what every condition says after a pass, in the order of :class:`ConditionType`.

    Args:
        report: The pool after the pass.
        overlaps: Pools that match the same jobs.
        now: This pass.
    """
    stalled = _what_needs_a_person(report)
    if stalled is not None and report.pool.leaving:
        stalled = (stalled[0], stalled[1] + _goes_without(report))
    return [
        _ready(report, stalled, now),
        _reconciling(report, stalled),
        Aspect(ConditionType.STALLED, stalled is not None, *(stalled or meaning_of(Reason.Serving))),
        _allowed(report.pool),
        _reachable(ConditionType.GITHUB_REACHABLE, report.github, report, report.github_seen_at),
        _reachable(ConditionType.HUB_REACHABLE, report.hub, report, report.hub_seen_at),
        _repositories(report),
        _launches(report),
        _intents(report),
        _uninterrupted(report, now),
        _labels(overlaps),
        _consistent(report.pool),
        _offered(report),
        _credentials(report, now),
    ]


def meaning_of(reason: Reason) -> tuple[Reason, str]:
    """Return a reason with its general sentence, where there is no better one."""
    return reason, reason.meaning


def reported(failure: Failure) -> tuple[Reason, str]:
    """Return what a condition says of a failure.

    The service's own id of the request is for its support, so only where the fault is the service's: beside
    what a person has to do it would be noise, another one each time.
    """
    named = failure.request_id if failure.disposition is not Disposition.PERSON else None
    request = f" (request id {named})" if named else ""
    return failure.reason, failure.message + request


def _what_needs_a_person(report: PoolReport) -> tuple[Reason, str] | None:
    for failure in (report.pool.refused, *report.failures, report.github, report.hub, _blinded_by(report)):
        if failure is not None and failure.disposition is Disposition.PERSON:
            return reported(failure)
    for known in report.memory.backoffs.values():
        if known.failure.disposition is Disposition.PERSON or known.failures >= STALLED_AFTER:
            reason, message = reported(known.failure)
            return (
                reason,
                f"{counted(known.failures, 'launch failed', 'launches in a row failed')}: {message}",
            )
    return None


def _blinded_by(report: PoolReport) -> Failure | None:
    """Return why no repository of the pool can be read, if it is for good: others may be listed
    well, yet nobody is served.
    """
    failures = [failure for _, failure in report.demand.unreadable]
    lasting = all(failure.lasting for failure in failures)
    if not failures or not lasting or len(failures) < len(report.demand.reach):
        return None
    return replace(failures[0], disposition=Disposition.PERSON)


def _is_emptying(report: PoolReport) -> bool:
    return report.pool.leaving and not report.drained


def _reconciling(report: PoolReport, stalled: tuple[Reason, str] | None) -> Aspect:
    """Not beside ``Stalled``: Helm 4 and Flux judge by the first of the two that is true, and would
    wait for what never comes.
    """
    if stalled is not None and not report.observed and not report.pool.leaving:
        return Aspect(ConditionType.RECONCILING, False, *stalled)
    return Aspect(ConditionType.RECONCILING, not report.observed or _is_emptying(report), *progress(report))


def progress(report: PoolReport) -> tuple[Reason, str]:
    """Return how far a pool is on its way in or out."""
    if report.drained and report.pool.draining:
        return meaning_of(Reason.Drained)
    if report.pool.leaving:
        busy = report.count(Phase.BUSY)
        jobs = counted(busy, "running workflow job is", "running workflow jobs are")
        waits = f" {jobs} waited for, each up to deadlines.lifetime." if busy else ""
        return Reason.Draining, Reason.Draining.meaning + waits + _unreadable_places(report)
    return meaning_of(Reason.UpToDate if report.observed else Reason.Pending)


def _goes_without(report: PoolReport) -> str:
    """Return what a pool that leaves needs of the person who is told to mend something: nothing but time."""
    until = [one.until for one in report.awaited if one.until is not None]
    when = f", by {iso(max(until))} at the latest" if until else ""
    return f" The pool goes without it too{when}."


def _unreadable_places(report: PoolReport) -> str:
    """Return for which places a pool waits because they cannot be read, why, and until when at the latest."""
    waits = [
        f" {one.place} cannot be read ({reported(one.failure)[1] if one.failure else 'no answer has come'}), so it is waited for "
        f"until all that was launched there has met its timeout: {iso(one.until)}."
        for one in report.awaited
        if one.until is not None
    ]
    return "".join(waits)


def _ready(report: PoolReport, stalled: tuple[Reason, str] | None, now: Instant) -> Aspect:
    """Sum up. A pool that people stopped is as they want it, so it stays ready, or an upgrade that
    stops it would never end.
    """
    own, stopped = _ready_but_for_the_switch(report, stalled, now), report.pool.stopped
    if stopped is None:
        return own
    if own.holds:
        return Aspect(
            ConditionType.READY, stopped.reason is Reason.StopSwitchOn, stopped.reason, stopped.message
        )
    return replace(own, message=f"{stopped.message} Besides: {own.message}")


def _allowed(pool: Pool) -> Aspect:
    if pool.stopped is not None:
        return Aspect(ConditionType.LAUNCHES_ALLOWED, False, pool.stopped.reason, pool.stopped.message)
    return Aspect(
        ConditionType.LAUNCHES_ALLOWED,
        not pool.paused,
        *meaning_of(Reason.Paused if pool.paused else Reason.LaunchesAllowed),
    )


def _ready_but_for_the_switch(report: PoolReport, stalled: tuple[Reason, str] | None, now: Instant) -> Aspect:
    if report.pool.leaving:
        return Aspect(ConditionType.READY, False, *progress(report))
    if stalled is not None:
        return Aspect(ConditionType.READY, False, *stalled)
    for failure, since in ((report.github, report.github_seen_at), (report.hub, report.hub_seen_at)):
        if failure is not None and (since is None or now.mono - since > PATIENCE):
            return Aspect(ConditionType.READY, False, *reported(failure))
    if report.unwritten is not None and now.mono - report.unwritten.since > PATIENCE:
        return Aspect(ConditionType.READY, False, *reported(report.unwritten.failure))
    if not report.observed:
        return Aspect(ConditionType.READY, False, *meaning_of(Reason.Pending))
    if report.suspected and report.demand.suspected == len(report.demand.queued) and not report.pool.paused:
        return Aspect(ConditionType.READY, False, *_not_picked_up(report))  # it pays, if at all, for nobody
    if report.pool.paused:
        return Aspect(ConditionType.READY, True, *meaning_of(Reason.Paused))
    return Aspect(
        ConditionType.READY,
        True,
        *meaning_of(Reason.Serving if report.pool.max_runners else Reason.NoneAllowed),
    )


def _reachable(
    type_: ConditionType, failure: Failure | None, report: PoolReport, seen_at: float | None
) -> Aspect:
    refused = report.pool.refused
    if failure is not None:
        return Aspect(type_, False, *reported(failure))
    if refused is not None and seen_at is None:
        return Aspect(type_, None, *reported(refused))  # it is not asked
    return (
        Aspect(type_, True, *meaning_of(Reason.Reachable))
        if report.observed
        else Aspect(type_, None, *meaning_of(Reason.Pending))
    )


def _repositories(report: PoolReport) -> Aspect:
    unreadable = report.demand.unreadable
    if report.pool.refused is not None:
        return Aspect(ConditionType.REPOSITORIES_READABLE, None, *reported(report.pool.refused))
    if unreadable:
        first = unreadable[0][1]
        named = "; ".join(f"{repository}: {failure.message}" for repository, failure in unreadable[:3])
        more = f"; and {len(unreadable) - 3} more" if len(unreadable) > 3 else ""
        return Aspect(ConditionType.REPOSITORIES_READABLE, False, first.reason, named + more)
    if report.demand.complete and not report.demand.reach:
        return Aspect(ConditionType.REPOSITORIES_READABLE, False, *meaning_of(Reason.NoRepositories))
    if not report.demand.complete:
        return Aspect(ConditionType.REPOSITORIES_READABLE, None, *meaning_of(Reason.Pending))
    return Aspect(ConditionType.REPOSITORIES_READABLE, True, *meaning_of(Reason.Readable))


def _launches(report: PoolReport) -> Aspect:
    worst = max(report.memory.backoffs.items(), key=lambda item: (item[1].failures, item[0]), default=None)
    if worst is None and report.suspected:
        return Aspect(ConditionType.LAUNCHES_SUCCEED, False, *_not_picked_up(report))
    if worst is None:
        return Aspect(ConditionType.LAUNCHES_SUCCEED, True, *meaning_of(Reason.LaunchesSucceed))
    flavor, known = worst
    where = f" on {flavor}" if flavor != POOL else ""
    reason, message = reported(known.failure)
    return Aspect(
        ConditionType.LAUNCHES_SUCCEED, False, reason, f"{known.failures} in a row{where}: {message}"
    )


def _not_picked_up(report: PoolReport) -> tuple[Reason, str]:
    """Return what is said of jobs that GitHub gives to nobody; when the next start is due
    is in ``status.queue``.
    """
    found = next((one for one in report.waiting if one.reason is Reason.NotPickedUp), None)
    return Reason.NotPickedUp, found.message if found is not None else Reason.NotPickedUp.meaning


def _intents(report: PoolReport) -> Aspect:
    if report.unwritten is None:
        return Aspect(ConditionType.INTENTS_WRITTEN, True, *meaning_of(Reason.IntentsWritten))
    return Aspect(ConditionType.INTENTS_WRITTEN, False, *reported(report.unwritten.failure))


def _uninterrupted(report: PoolReport, now: Instant) -> Aspect:
    said = summary(report.memory.losses, now.mono)
    return Aspect(
        ConditionType.JOBS_UNINTERRUPTED, said is None, *(said or meaning_of(Reason.JobsUninterrupted))
    )


def _labels(overlaps: Sequence[Overlap]) -> Aspect:
    near = [overlap for overlap in overlaps if overlap.other is not None]
    far = [overlap for overlap in overlaps if overlap.other is None]
    if near:
        named = "; ".join(
            f"jobs that ask for {', '.join(o.labels)} go to {o.other if o.goes_first else 'this pool'} rather than to "
            f"{'this pool' if o.goes_first else o.other}"
            for o in near
        )
        return Aspect(
            ConditionType.LABELS_DISTINCT,
            False,
            Reason.LabelsOverlap,
            f"{named}. {Reason.LabelsOverlap.meaning}",
        )
    if far:
        message = f"{', '.join(far[0].labels)}: {Reason.SharedLabels.meaning}"
        return Aspect(ConditionType.LABELS_DISTINCT, False, Reason.SharedLabels, message)
    return Aspect(ConditionType.LABELS_DISTINCT, True, *meaning_of(Reason.LabelsDistinct))


def _offered(report: PoolReport) -> Aspect:
    if report.unknown_flavor is not None:
        return Aspect(ConditionType.FLAVORS_OFFERED, False, *reported(report.unknown_flavor))
    if report.pool.refused is not None:
        return Aspect(
            ConditionType.FLAVORS_OFFERED, None, *reported(report.pool.refused)
        )  # the Hub is not asked
    return Aspect(ConditionType.FLAVORS_OFFERED, True, *meaning_of(Reason.FlavorsOffered))


def _credentials(report: PoolReport, now: Instant) -> Aspect:
    """Tell of an end before it comes, apart from ``Ready``: until then the pool serves."""
    type_, end = ConditionType.CREDENTIALS_VALID, report.token_end
    if report.github is not None and report.github.reason is Reason.GitHubUnauthorized:
        return Aspect(type_, False, *reported(report.github))
    if end is not None and ends_soon(end, now.mono):
        said = describe_end(report.pool.source.secret, end, iso(end.at), now.mono)
        return Aspect(type_, False, Reason.CredentialsExpire, f"{said} {Reason.CredentialsExpire.meaning}")
    if report.pool.refused is not None:
        return Aspect(type_, None, *reported(report.pool.refused))  # GitHub is not asked
    if not report.observed:
        return Aspect(type_, None, *meaning_of(Reason.Pending))
    return Aspect(type_, True, *meaning_of(Reason.CredentialsValid))


def _consistent(pool: Pool) -> Aspect:
    found = contradictions(pool)
    if not found:
        return Aspect(ConditionType.SPEC_CONSISTENT, True, *meaning_of(Reason.SpecConsistent))
    told = ". ".join(map(str, found))
    return Aspect(ConditionType.SPEC_CONSISTENT, False, Reason.SpecContradiction, f"{told}.")


def conditions(
    aspects: Iterable[Aspect], previous: Iterable[Condition], *, generation: int, wall: float
) -> list[Condition]:
    """Return aspects as conditions; one that holds as before keeps the time of its last transition.

    Args:
        aspects: What is found.
        previous: The conditions before.
        generation: Of the spec that this was found for.
        wall: Epoch seconds.
    """
    before = {condition.type: condition for condition in previous}
    return [_condition(aspect, before.get(aspect.type), generation, wall) for aspect in aspects]


def _condition(aspect: Aspect, known: Condition | None, generation: int, wall: float) -> Condition:
    message = text(aspect.message, MOST_MESSAGE)
    if known is None or known.status != aspect.status:
        since = iso(wall)
    elif (known.reason, known.message, known.observed_generation) == (aspect.reason, message, generation):
        return known  # most are as before, and checking a new one is what a status costs most
    else:
        since = known.last_transition_time
    return Condition(
        type=aspect.type,
        status=aspect.status,
        observed_generation=generation,
        last_transition_time=since,
        reason=aspect.reason,
        message=message,
    )
