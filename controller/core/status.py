"""What a pool's ``status`` says after a pass (``docs/reference/runnerpool.md``).

Written so that ``kubectl wait``, Helm 4, Flux and Argo CD judge a pool rightly (charts.md §6): ``Ready`` sums up,
``Reconciling`` is true only while a change is taken in, and ``Stalled`` means that a person must act.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from controller.core.backoff import POOL, STALLED_AFTER, Backoff
from controller.core.contradictions import contradictions
from controller.core.credentials import ends_soon, say_end
from controller.core.explain import Waiting
from controller.core.lifecycle import Phase, Runner
from controller.core.model import Disposition, Failure, Footprint, Pool, RerunState
from controller.core.overlap import Overlap
from controller.core.reasons import Reason
from controller.core.report import PoolReport
from controller.core.retry import summary
from controller.core.suspicion import MOST_STARTS, MOST_SUSPICIONS
from controller.core.text import counted, text

MOST_RUNNERS = 20
MOST_WAITING = 16
MOST_PLACES = 16
MOST_INTERRUPTIONS = 32
MOST_MESSAGE = 1024
MOST_NAME = 1024
MOST_LINK = 1024
MOST_NOTE = 512
MOST_REPOSITORY = 256
MOST_REQUEST_ID = 256
MOST_RUNNER = MOST_HF_JOB = 64
MOST_FLAVOR = 63
"""Entries of each list and characters of each text, for :mod:`controller.api.status` too: one more makes the whole status unwritable."""

LATEST = 7_258_118_399.0
"""Epoch seconds of the end of the year 2199: what lies beyond, or before 1970, is nobody's time, and may have no text."""

MOST_USD = 999_999_999_999.0
"""US dollars that are shown; more has no place in the type's 20 characters."""

CONDITIONS = (
    "Ready",
    "Reconciling",
    "Stalled",
    "LaunchesAllowed",
    "GitHubReachable",
    "HubReachable",
    "RepositoriesReadable",
    "IntentsWritten",
    "LaunchesSucceed",
    "JobsUninterrupted",
    "LabelsDistinct",
    "SpecConsistent",
    "FlavorsOffered",
    "CredentialsValid",
)
"""Types of all conditions that a status may have; metrics show these and no others."""

PATIENCE = 90.0
"""Seconds for which a service may be out of reach before a pool is called not ready: conditions must not flap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """One moment on both clocks.

    Attributes:
        mono: Monotonic seconds.
        wall: Epoch seconds of the same moment.
    """

    mono: float
    wall: float

    def iso(self, mono: float) -> str:
        """Return a monotonic time as RFC 3339 text, in whole seconds."""
        return iso(self.wall - (self.mono - mono))


def iso(epoch: float) -> str:
    """Return epoch seconds as RFC 3339 text, in whole seconds; what is outside of 1970 to 2199 as the nearest of them."""
    return datetime.fromtimestamp(int(min(max(0.0, epoch), LATEST)), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def build_status(
    report: PoolReport,
    *,
    previous: Mapping[str, Any],
    overlaps: Sequence[Overlap],
    usd_per_second: Mapping[str, float],
    start: Instant,
    now: Instant,
) -> dict[str, Any]:
    """Return a pool's whole status.

    Args:
        report: The pool after the pass.
        previous: The status before, for times of transitions.
        overlaps: Pools that match the same jobs.
        usd_per_second: Prices by flavor.
        start: A moment that ties the monotonic clock to the wall clock once, so that times do not wobble.
        now: This pass.
    """
    pool = report.pool
    aspects = _aspects(report, overlaps, now)
    return {
        "observedGeneration": pool.generation,
        "conditions": _conditions(aspects, previous.get("conditions") or (), pool.generation, now.wall),
        "flavorNames": ",".join(pool.flavors),
        "counts": _counts(report),
        "queue": _queue(report.waiting, start),
        "runners": [_runner(runner, start) for runner in _newest(report.runners)],
        "flavors": [_flavor(name, report, usd_per_second, start) for name in pool.flavors],
        **_pool_backoff(report, start),
        **_cost(report, usd_per_second),
        **_interruptions(report),
        **_suspicions(report, start),
        **_what_was_launched(pool),
    }


# ------------------------------------------------------------------------------------------------------------ conditions
@dataclass(frozen=True, slots=True)
class _Aspect:
    type: str
    holds: bool | None
    reason: Reason
    message: str


def _aspects(report: PoolReport, overlaps: Sequence[Overlap], now: Instant) -> list[_Aspect]:
    stalled = _what_needs_a_person(report)
    if stalled is not None and report.pool.leaving:
        stalled = (stalled[0], stalled[1] + _goes_without(report))
    return [
        _ready(report, stalled, now),
        _reconciling(report, stalled),
        _Aspect("Stalled", stalled is not None, *(stalled or _fine(Reason.Serving))),
        _allowed(report.pool),
        _reachable("GitHubReachable", report.github, report, report.github_seen_at),
        _reachable("HubReachable", report.hub, report, report.hub_seen_at),
        _repositories(report),
        _launches(report),
        _intents(report),
        _uninterrupted(report, now),
        _labels(overlaps),
        _consistent(report.pool),
        _offered(report),
        _credentials(report, now),
    ]


def _fine(reason: Reason) -> tuple[Reason, str]:
    return reason, reason.meaning


def _told(failure: Failure) -> tuple[Reason, str]:
    """Return what a condition says of a failure.

    The service's own id of the request is for its support, so only where the fault is the service's: beside what a person has to
    do it would be noise, another one each time.
    """
    named = failure.request_id if failure.disposition is not Disposition.PERSON else None
    request = f" (request id {named})" if named else ""
    return failure.reason, failure.message + request


def _what_needs_a_person(report: PoolReport) -> tuple[Reason, str] | None:
    for failure in (report.pool.refused, *report.failures, report.github, report.hub, _blinded_by(report)):
        if failure is not None and failure.disposition is Disposition.PERSON:
            return _told(failure)
    for known in report.memory.backoffs.values():
        if known.failure.disposition is Disposition.PERSON or known.failures >= STALLED_AFTER:
            reason, message = _told(known.failure)
            return (
                reason,
                f"{counted(known.failures, 'launch failed', 'launches in a row failed')}: {message}",
            )
    return None


def _blinded_by(report: PoolReport) -> Failure | None:
    """Return why no repository of the pool can be read, if it is for good: others may be listed well, yet nobody is served."""
    failures = [failure for _, failure in report.demand.unreadable]
    lasting = all(failure.disposition in (Disposition.PERSON, Disposition.GONE) for failure in failures)
    if not failures or not lasting or len(failures) < len(report.demand.reach):
        return None
    return replace(failures[0], disposition=Disposition.PERSON)


def _is_emptying(report: PoolReport) -> bool:
    return report.pool.leaving and not report.drained


def _reconciling(report: PoolReport, stalled: tuple[Reason, str] | None) -> _Aspect:
    """Not beside ``Stalled``: Helm 4 and Flux judge by the first of the two that is true, and would wait for what never comes."""
    if stalled is not None and not report.observed and not report.pool.leaving:
        return _Aspect("Reconciling", False, *stalled)
    return _Aspect("Reconciling", not report.observed or _is_emptying(report), *_progress(report))


def _progress(report: PoolReport) -> tuple[Reason, str]:
    if report.drained and report.pool.draining:
        return _fine(Reason.Drained)
    if report.pool.leaving:
        busy = report.count(Phase.BUSY)
        jobs = counted(busy, "running workflow job is", "running workflow jobs are")
        waits = f" {jobs} waited for, each up to deadlines.lifetime." if busy else ""
        return Reason.Draining, Reason.Draining.meaning + waits + _unreadable_places(report)
    return _fine(Reason.UpToDate if report.observed else Reason.Pending)


def _goes_without(report: PoolReport) -> str:
    """Return what a pool that leaves needs of the person who is told to mend something: nothing but time."""
    until = [one.until for one in report.awaited if one.until is not None]
    when = f", by {iso(max(until))} at the latest" if until else ""
    return f" The pool goes without it too{when}."


def _unreadable_places(report: PoolReport) -> str:
    """Return for which places a pool waits because they cannot be read, why, and until when at the latest."""
    waits = [
        f" {one.place} cannot be read ({_told(one.failure)[1] if one.failure else 'no answer has come'}), so it is waited for "
        f"until all that was launched there has met its timeout: {iso(one.until)}."
        for one in report.awaited
        if one.until is not None
    ]
    return "".join(waits)


def _ready(report: PoolReport, stalled: tuple[Reason, str] | None, now: Instant) -> _Aspect:
    """Sum up. A pool that people stopped is as they want it, so it stays ready, or an upgrade that stops it would never end."""
    own, stopped = _ready_but_for_the_switch(report, stalled, now), report.pool.stopped
    if stopped is None:
        return own
    if own.holds:
        return _Aspect("Ready", stopped.reason is Reason.StopSwitchOn, stopped.reason, stopped.message)
    return replace(own, message=f"{stopped.message} Besides: {own.message}")


def _allowed(pool: Pool) -> _Aspect:
    if pool.stopped is not None:
        return _Aspect("LaunchesAllowed", False, pool.stopped.reason, pool.stopped.message)
    return _Aspect(
        "LaunchesAllowed", not pool.paused, *_fine(Reason.Paused if pool.paused else Reason.LaunchesAllowed)
    )


def _ready_but_for_the_switch(
    report: PoolReport, stalled: tuple[Reason, str] | None, now: Instant
) -> _Aspect:
    if report.pool.leaving:
        return _Aspect("Ready", False, *_progress(report))
    if stalled is not None:
        return _Aspect("Ready", False, *stalled)
    for failure, since in ((report.github, report.github_seen_at), (report.hub, report.hub_seen_at)):
        if failure is not None and (since is None or now.mono - since > PATIENCE):
            return _Aspect("Ready", False, *_told(failure))
    if report.unwritten is not None and now.mono - report.unwritten.since > PATIENCE:
        return _Aspect("Ready", False, *_told(report.unwritten.failure))
    if not report.observed:
        return _Aspect("Ready", False, *_fine(Reason.Pending))
    if report.suspected and report.demand.suspected == len(report.demand.queued) and not report.pool.paused:
        return _Aspect("Ready", False, *_not_picked_up(report))  # it pays, if at all, for nobody
    if report.pool.paused:
        return _Aspect("Ready", True, *_fine(Reason.Paused))
    return _Aspect("Ready", True, *_fine(Reason.Serving if report.pool.max_runners else Reason.NoneAllowed))


def _reachable(type_: str, failure: Failure | None, report: PoolReport, seen_at: float | None) -> _Aspect:
    refused = report.pool.refused
    if failure is not None:
        return _Aspect(type_, False, *_told(failure))
    if refused is not None and seen_at is None:
        return _Aspect(type_, None, *_told(refused))  # it is not asked
    return (
        _Aspect(type_, True, *_fine(Reason.Reachable))
        if report.observed
        else _Aspect(type_, None, *_fine(Reason.Pending))
    )


def _repositories(report: PoolReport) -> _Aspect:
    unreadable = report.demand.unreadable
    if report.pool.refused is not None:
        return _Aspect("RepositoriesReadable", None, *_told(report.pool.refused))
    if unreadable:
        first = unreadable[0][1]
        named = "; ".join(f"{repository}: {failure.message}" for repository, failure in unreadable[:3])
        more = f"; and {len(unreadable) - 3} more" if len(unreadable) > 3 else ""
        return _Aspect("RepositoriesReadable", False, first.reason, named + more)
    if report.demand.complete and not report.demand.reach:
        return _Aspect("RepositoriesReadable", False, *_fine(Reason.NoRepositories))
    if not report.demand.complete:
        return _Aspect("RepositoriesReadable", None, *_fine(Reason.Pending))
    return _Aspect("RepositoriesReadable", True, *_fine(Reason.Readable))


def _launches(report: PoolReport) -> _Aspect:
    worst = max(report.memory.backoffs.items(), key=lambda item: (item[1].failures, item[0]), default=None)
    if worst is None and report.suspected:
        return _Aspect("LaunchesSucceed", False, *_not_picked_up(report))
    if worst is None:
        return _Aspect("LaunchesSucceed", True, *_fine(Reason.LaunchesSucceed))
    flavor, known = worst
    where = f" on {flavor}" if flavor != POOL else ""
    reason, message = _told(known.failure)
    return _Aspect("LaunchesSucceed", False, reason, f"{known.failures} in a row{where}: {message}")


def _not_picked_up(report: PoolReport) -> tuple[Reason, str]:
    """Return what is said of jobs that GitHub gives to nobody; when the next start is due is in ``status.queue``."""
    found = next((one for one in report.waiting if one.reason is Reason.NotPickedUp), None)
    return Reason.NotPickedUp, found.message if found is not None else Reason.NotPickedUp.meaning


def _intents(report: PoolReport) -> _Aspect:
    if report.unwritten is None:
        return _Aspect("IntentsWritten", True, *_fine(Reason.IntentsWritten))
    return _Aspect("IntentsWritten", False, *_told(report.unwritten.failure))


def _uninterrupted(report: PoolReport, now: Instant) -> _Aspect:
    said = summary(report.memory.losses, now.mono)
    return _Aspect("JobsUninterrupted", said is None, *(said or _fine(Reason.JobsUninterrupted)))


def _labels(overlaps: Sequence[Overlap]) -> _Aspect:
    near = [overlap for overlap in overlaps if overlap.other is not None]
    far = [overlap for overlap in overlaps if overlap.other is None]
    if near:
        named = "; ".join(
            f"jobs that ask for {', '.join(o.labels)} go to {o.other if o.goes_first else 'this pool'} rather than to "
            f"{'this pool' if o.goes_first else o.other}"
            for o in near
        )
        return _Aspect(
            "LabelsDistinct", False, Reason.LabelsOverlap, f"{named}. {Reason.LabelsOverlap.meaning}"
        )
    if far:
        message = f"{', '.join(far[0].labels)}: {Reason.SharedLabels.meaning}"
        return _Aspect("LabelsDistinct", False, Reason.SharedLabels, message)
    return _Aspect("LabelsDistinct", True, *_fine(Reason.LabelsDistinct))


def _offered(report: PoolReport) -> _Aspect:
    if report.unknown_flavor is not None:
        return _Aspect("FlavorsOffered", False, *_told(report.unknown_flavor))
    if report.pool.refused is not None:
        return _Aspect("FlavorsOffered", None, *_told(report.pool.refused))  # the Hub is not asked
    return _Aspect("FlavorsOffered", True, *_fine(Reason.FlavorsOffered))


def _credentials(report: PoolReport, now: Instant) -> _Aspect:
    """Tell of an end before it comes, apart from ``Ready``: until then the pool serves."""
    type_, end = "CredentialsValid", report.token_end
    if report.github is not None and report.github.reason is Reason.GitHubUnauthorized:
        return _Aspect(type_, False, *_told(report.github))
    if end is not None and ends_soon(end, now.mono):
        said = say_end(report.pool.source.secret, end, iso(end.at), now.mono)
        return _Aspect(type_, False, Reason.CredentialsExpire, f"{said} {Reason.CredentialsExpire.meaning}")
    if report.pool.refused is not None:
        return _Aspect(type_, None, *_told(report.pool.refused))  # GitHub is not asked
    if not report.observed:
        return _Aspect(type_, None, *_fine(Reason.Pending))
    return _Aspect(type_, True, *_fine(Reason.CredentialsValid))


def _consistent(pool: Pool) -> _Aspect:
    found = contradictions(pool)
    if not found:
        return _Aspect("SpecConsistent", True, *_fine(Reason.SpecConsistent))
    told = ". ".join(map(str, found))
    return _Aspect("SpecConsistent", False, Reason.SpecContradiction, f"{told}.")


def _conditions(
    aspects: Sequence[_Aspect], previous: Sequence[Mapping[str, Any]], generation: int, wall: float
) -> list[dict[str, Any]]:
    before = {condition.get("type"): condition for condition in previous}
    found = []
    for aspect in aspects:
        status = {True: "True", False: "False", None: "Unknown"}[aspect.holds]
        known = before.get(aspect.type, {})
        same = known.get("status") == status and "lastTransitionTime" in known
        found.append(
            {
                "type": aspect.type,
                "status": status,
                "observedGeneration": generation,
                "lastTransitionTime": known["lastTransitionTime"] if same else iso(wall),
                "reason": str(aspect.reason),
                "message": text(aspect.message, MOST_MESSAGE),
            }
        )
    return found


_OTHERS = ("conditions", "observedGeneration", "intents", "term")
"""What does not stay: written anew, or the intents' writer's, which nobody else may apply."""


def rejected_status(
    *,
    generation: int,
    message: str,
    previous: Mapping[str, Any],
    deleting: bool,
    wall: float,
    report: PoolReport | None = None,
) -> dict[str, Any]:
    """Return the status of an object whose spec cannot be followed; what it said of its runners stays.

    Args:
        generation: Of the spec.
        message: What is wrong with it.
        previous: The status before.
        deleting: It is being deleted.
        wall: Epoch seconds.
        report: Of the pool by its newest valid spec, or by its status, where it is planned for all the same.
    """
    status = _halted_status(
        Reason.InvalidSpec, message, generation=generation, previous=previous, deleting=deleting, wall=wall
    )
    if report is None:
        return status
    if report.pool.leaving:
        by_type = {condition["type"]: condition for condition in status["conditions"]}
        by_type["Reconciling"]["message"] = text(_progress(report)[1], MOST_MESSAGE)
    return {**status, **_what_was_launched(report.pool)}


def faulted_status(pool: Pool, *, previous: Mapping[str, Any], wall: float) -> dict[str, Any]:
    """Return the status of a pool for which a mistake of ours ended the pass; what it said of its runners stays."""
    return _halted_status(
        Reason.InternalError,
        Reason.InternalError.meaning,
        generation=pool.generation,
        previous=previous,
        deleting=pool.deleting,
        wall=wall,
    )


def _halted_status(
    reason: Reason,
    message: str,
    *,
    generation: int,
    previous: Mapping[str, Any],
    deleting: bool,
    wall: float,
) -> dict[str, Any]:
    aspects = [
        _Aspect("Ready", False, reason, message),
        _Aspect("Reconciling", deleting, *_fine(Reason.Draining if deleting else Reason.UpToDate)),
        _Aspect("Stalled", True, reason, message),
    ]
    kept = {key: value for key, value in previous.items() if key not in _OTHERS}
    conditions = _conditions(aspects, previous.get("conditions") or (), generation, wall)
    return {**kept, "observedGeneration": generation, "conditions": conditions}


# ---------------------------------------------------------------------------------------------------------------- the rest
def _counts(report: PoolReport) -> dict[str, int]:
    phases = Counter(runner.phase for runner in report.runners)
    starting = phases[Phase.REGISTERED] + phases[Phase.SCHEDULING] + phases[Phase.STARTING]
    return {
        "queued": len(report.demand.queued),
        "groupOnly": len(report.demand.group_only),
        "unservable": len(report.demand.unmatched),
        "starting": starting,
        "registered": phases[Phase.REGISTERED],
        "scheduling": phases[Phase.SCHEDULING],
        "booting": phases[Phase.STARTING],
        "idle": phases[Phase.IDLE],
        "busy": phases[Phase.BUSY],
        "ending": phases[Phase.FINISHED] + phases[Phase.LOST] + phases[Phase.ORPHANED],
        "live": sum(1 for runner in report.runners if runner.live),
    }


def _queue(waiting: Sequence[Waiting], start: Instant) -> list[dict[str, Any]]:
    """Return one entry for each reason: the list is a map by reason."""
    found: dict[Reason, dict[str, Any]] = {}
    for one in waiting:
        when = f" The next try is at {start.iso(one.until)}." if one.until is not None else ""
        known = found.get(one.reason)
        if known is None:
            known = {"reason": str(one.reason), "count": one.count, "message": one.message + when}
            found[one.reason] = known
        else:
            known["count"] += one.count
            known["message"] += f" {one.message}{when}"
        if one.oldest_at is not None:
            at = iso(one.oldest_at)  # such texts sort as their times do
            known["oldest"] = min(known.get("oldest", at), at)
    cut = [{**entry, "message": text(entry["message"], MOST_MESSAGE)} for entry in found.values()]
    return cut[:MOST_WAITING]


def _newest(runners: Sequence[Runner]) -> list[Runner]:
    return sorted(runners, key=lambda r: (-r.track.since, r.name))[:MOST_RUNNERS]


def _runner(runner: Runner, start: Instant) -> dict[str, Any]:
    shown = {
        "name": text(runner.name, MOST_RUNNER),
        "phase": str(runner.phase),
        "flavor": text(runner.flavor, MOST_FLAVOR),
        "since": start.iso(runner.track.since),
    }
    if runner.hf_job is not None:
        shown |= {"hfJobId": text(runner.hf_job.id, MOST_HF_JOB), "hfJobUrl": _link(runner.hf_job.url)}
    if runner.workflow_job is not None:
        shown["workflowJobUrl"] = _link(runner.workflow_job.html_url)
    return {key: value for key, value in shown.items() if value}


def _flavor(
    name: str, report: PoolReport, usd_per_second: Mapping[str, float], start: Instant
) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": name,
        "live": sum(1 for r in report.runners if r.live and r.flavor == name),
    }
    if name in usd_per_second:
        shown["usdPerHour"] = dollars(usd_per_second[name] * 3600)
    if (known := report.memory.backoffs.get(name)) is not None:
        shown["backoff"] = _backoff(known, start)
    return shown


def _pool_backoff(report: PoolReport, start: Instant) -> dict[str, Any]:
    known = report.memory.backoffs.get(POOL)
    return {} if known is None else {"backoff": _backoff(known, start)}


def _backoff(known: Backoff, start: Instant) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "failures": known.failures,
        "until": start.iso(known.until),
        "reason": str(known.failure.reason),
        "message": text(known.failure.message, MOST_MESSAGE),
    }
    if known.failure.request_id:
        shown["requestId"] = text(known.failure.request_id, MOST_REQUEST_ID)
    return shown


def _cost(report: PoolReport, usd_per_second: Mapping[str, float]) -> dict[str, Any]:
    # One that is not offered costs what it did, or nothing if it was never offered; one without a price may cost anything.
    usd = {**report.memory.usd, **usd_per_second}
    priced = [usd[flavor] for flavor in report.pool.flavors if flavor in usd]
    if not priced or any(flavor not in usd for flavor in report.offered):
        return {}
    dearest = max(priced) * 3600
    return {
        "cost": {
            "usdPerHour": dollars(report.usd_per_hour),
            "maxUsdPerHour": dollars(dearest * report.pool.max_runners),
            "worstCaseUsd": dollars(report.worst_case_usd),
            "spentUsd": dollars(report.memory.spent_usd),
        }
    }


def dollars(amount: float) -> str:
    """Return US dollars as decimal text; small amounts keep four digits, since an HF Job may cost less than a cent."""
    amount = min(max(0.0, amount), MOST_USD)
    return f"{amount:.2f}" if amount >= 1 or amount == 0 else f"{amount:.4f}"


def _interruptions(report: PoolReport) -> dict[str, Any]:
    """Return the newest losses, before all others those that must be followed up after a restart too."""
    watched = [one.lost for one in reversed(report.memory.losses.watched)]
    watched.sort(key=lambda lost: lost.rerun is not RerunState.PENDING)
    shown = [
        {
            "repository": lost.repository,
            "runId": lost.run_id,
            "attempt": lost.attempt,
            "jobId": lost.job_id,
            "jobName": text(lost.job_name, MOST_NAME),
            "jobUrl": _link(lost.job_url),
            "at": iso(lost.at),
            "rerun": str(lost.rerun),
            **({"note": text(lost.note, MOST_NOTE)} if lost.note else {}),
            **({"byHub": True} if lost.by_hub else {}),
        }
        for lost in watched
        # Its repository is read back after a restart: half a name would be another repository's.
        if text(lost.repository, MOST_REPOSITORY) == lost.repository
    ]
    return {"interruptions": shown[:MOST_INTERRUPTIONS]} if shown else {}


def _suspicions(report: PoolReport, start: Instant) -> dict[str, Any]:
    """Return what the next process must know, so that it starts no more than this one would."""
    shown = [
        {
            "level": str(one.level),
            "repository": one.repository,
            "jobId": one.job_id,
            "since": start.iso(one.since),
            "starts": [start.iso(at) for at in one.starts[-MOST_STARTS:]],
            "risesTo": str(one.rises_to),
        }
        for one in report.memory.suspicions.held[:MOST_SUSPICIONS]
        # Read back after a restart: half a name would be another repository's.
        if text(one.repository, MOST_REPOSITORY) == one.repository
    ]
    return {"suspicions": shown} if shown else {}


def _link(url: str) -> str:
    """Return an address, or nothing: one that is cut or cleaned leads elsewhere."""
    return url if text(url, MOST_LINK) == url else ""


def _what_was_launched(pool: Pool) -> dict[str, Any]:
    """Return what tells a later process where runners may be, and for how long."""
    places = [_place(footprint, by) for footprint in pool.footprints if (by := pool.bound(footprint.place))]
    shown: dict[str, Any] = {"places": places[:MOST_PLACES]}
    return shown if pool.last_launch_at is None else {**shown, "lastLaunchAt": iso(pool.last_launch_at)}


def _place(place: Footprint, ends_by: float) -> dict[str, Any]:
    source, scope, account = place.registrations.source, place.registrations.scope, place.account
    return {
        "apiUrl": source.api_url,
        "scope": scope.path,
        "credentialsSecret": source.secret.name,
        "endpoint": account.endpoint,
        "namespace": account.namespace,
        "tokenSecret": account.secret.name,
        "endsBy": iso(ends_by),
    }
