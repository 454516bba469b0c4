"""What a status keeps beyond a process, written and read: places, launches, intents, lost
jobs and suspicions.

Whoever may patch a status can put anything there, and no entry of one pool may keep the controller
from serving the others. So all of it is read through :func:`read_status`, which leaves out what is
no status, entry by entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import ValidationError

from controller.api.status import model as api
from controller.api.status.model import RunnerPoolStatus
from controller.api.status.values import (
    MOST_INTERRUPTIONS,
    MOST_NAME,
    MOST_NOTE,
    MOST_PLACES,
    MOST_REPOSITORY,
    Instant,
    iso,
    link,
    moment,
)
from controller.core import model, suspicion
from controller.core.intents import MOST_INTENTS, Intent, Term, Written
from controller.core.losses import Losses
from controller.core.suspicion import MOST_STARTS, MOST_SUSPICIONS
from controller.core.text import text

_NAMES: Final = frozenset(str(field.alias) for field in RunnerPoolStatus.model_fields.values())


# ------------------------------------------------------------------------------------------------- any status
def read_status(value: object) -> RunnerPoolStatus:
    """Return a stored status as far as it can be read; never raises.

    What is not of the type is left out: an entry of a list by itself, any other field as a whole.

    Args:
        value: ``status`` of an object from the API server, or what somebody made of it;
            None if there is none.
    """
    stored = dict(value) if isinstance(value, Mapping) else {}
    whole = _parsed(stored)
    if whole is not None:
        return whole
    readable = {name: _readable(name, stored[name]) for name in _NAMES & stored.keys()}
    return _parsed({name: part for name, part in readable.items() if part is not None}) or RunnerPoolStatus()


def _parsed(stored: Mapping[str, Any]) -> RunnerPoolStatus | None:
    try:
        return RunnerPoolStatus.model_validate(stored, by_alias=True, by_name=False)
    except ValidationError:
        return None


def _readable(name: str, value: object) -> object:
    """Return what can be read of one field, None if that is nothing."""
    if _parsed({name: value}) is not None:
        return value
    if not isinstance(value, list):
        return None
    kept: list[object] = []
    for entry in value:
        part = _readable_launches(entry) if name == "intents" else entry
        if _parsed({name: [*kept, part]}) is not None:
            kept.append(part)
    return kept


def _readable_launches(group: object) -> object:
    """Return intents to one place without the launches that cannot be read, and without
    more than there may be.
    """
    if not isinstance(group, Mapping) or not isinstance(group.get("launches"), list):
        return group
    place = group.get("place")
    alone = [
        one
        for one in group["launches"]
        if _parsed({"intents": [{"place": place, "launches": [one]}]}) is not None
    ]
    return {"place": place, "launches": alone[:MOST_INTENTS]}


# ----------------------------------------------------------------------------------------------------- places
def places_of(pool: model.Pool) -> list[api.LaunchedPlace]:
    """Return where runners of a pool may be, and for how long, for a later process."""
    bounded = [(where, by) for where in pool.footprints if (by := pool.bound(where.place))]
    return [api.LaunchedPlace(**_place(where), ends_by=iso(by)) for where, by in bounded[:MOST_PLACES]]


def _place(footprint: model.Footprint) -> dict[str, str]:
    """Return the fields of a place; its Secrets are in the pool's namespace."""
    source, scope, account = footprint.registrations.source, footprint.registrations.scope, footprint.account
    return {
        "api_url": source.api_url,
        "scope": scope.path,
        "credentials_secret": source.secret.name,
        "endpoint": account.endpoint,
        "namespace": account.namespace,
        "token_secret": account.secret.name,
    }


def footprints(status: RunnerPoolStatus, *, namespace: str) -> tuple[model.Footprint, ...]:
    """Return the footprints that a stored status tells of, in its order.

    Args:
        status: As it was read.
        namespace: Of the pool.
    """
    return tuple(_footprint(one, namespace) for one in status.places or ())


def bounds(
    status: RunnerPoolStatus, *, namespace: str, ends_by: Callable[[float], float]
) -> tuple[tuple[model.Place, float], ...]:
    """Return by when everything has ended that was launched to the places that a stored status tells of.

    A version before told only when its newest launch was, to whichever place.

    Args:
        status: As it was read.
        namespace: Of the pool.
        ends_by: Returns by when a launch at a time has ended, both in epoch seconds.
    """
    found: dict[model.Place, float] = {}
    newest = last_launch_at(status)
    for one in status.places or ():
        by = moment(one.ends_by) if one.ends_by is not None else None
        if by is None and newest is not None:
            by = ends_by(newest)
        if by is not None:
            found[_footprint(one, namespace).place] = by
    for intent in written(status, namespace=namespace).intents:
        place = intent.place.place
        found[place] = max(found.get(place, 0.0), ends_by(intent.at))
    return tuple(found.items())


def last_launch_at(status: RunnerPoolStatus) -> float | None:
    """Return ``lastLaunchAt`` as epoch seconds, or None if nothing was ever launched, or
    nobody can read when.
    """
    return moment(status.last_launch_at) if status.last_launch_at is not None else None


def _footprint(place: api.Place, namespace: str) -> model.Footprint:
    kind, owner, repository = f"{place.scope}/".split("/", 2)
    scope = model.Scope(kind=_KINDS[kind], owner=owner, repository=repository.rstrip("/"))
    return model.Footprint(
        model.RegistrationScope(
            model.GitHubSource(
                api_url=place.api_url,
                secret=model.SecretRef(namespace, place.credentials_secret),
                owner=owner,
                enterprise=scope.kind is model.ScopeKind.ENTERPRISE,
            ),
            scope,
        ),
        model.HubAccount(
            endpoint=place.endpoint,
            namespace=place.namespace,
            secret=model.SecretRef(namespace, place.token_secret),
        ),
    )


_KINDS: Final = {
    "repos": model.ScopeKind.REPOSITORY,
    "orgs": model.ScopeKind.ORGANIZATION,
    "enterprises": model.ScopeKind.ENTERPRISE,
}


# ---------------------------------------------------------------------------------------------------- intents
def write_down(what: Written) -> dict[str, Any]:
    """Return the part of ``status`` that tells of intents: JSON types, grouped by place to stay small."""
    by_place: dict[model.Footprint, list[Intent]] = {}
    for intent in what.intents:
        by_place.setdefault(intent.place, []).append(intent)
    groups = [
        api.Intents(
            place=api.Place(**_place(place)),
            launches=[api.Intent(name=one.name, flavor=one.flavor, at=iso(one.at)) for one in group],
        )
        for place, group in by_place.items()
    ]
    term = what.term and api.Term(number=what.term.number, holder=what.term.holder)
    return {"intents": [each.to_object() for each in groups], "term": term and term.to_object()}


def written(status: RunnerPoolStatus, *, namespace: str) -> Written:
    """Return the intents that a stored status tells of, by name.

    Args:
        status: As it was read.
        namespace: Of the pool.
    """
    found: dict[str, Intent] = {}
    for group in status.intents or ():
        footprint = _footprint(group.place, namespace)
        for one in group.launches:
            at = moment(one.at)
            if at is not None and len(found) < MOST_INTENTS:
                found[one.name] = Intent(name=one.name, flavor=one.flavor, at=at, place=footprint)
    term = status.term
    return Written(
        term=Term(number=term.number, holder=term.holder) if term is not None else None,
        intents=tuple(found[name] for name in sorted(found)),
    )


# -------------------------------------------------------------------------------------------------- lost jobs
def interruptions_of(losses: Losses) -> list[api.Interruption]:
    """Return the newest losses, before all others those that must be followed up after a restart too."""
    watched = [one.lost for one in reversed(losses.watched)]
    watched.sort(key=lambda lost: lost.rerun is not model.RerunState.PENDING)
    shown = [
        api.Interruption(
            repository=lost.repository,
            run_id=lost.run_id,
            attempt=lost.attempt,
            job_id=lost.job_id,
            job_name=text(lost.job_name, MOST_NAME),
            job_url=link(lost.job_url),
            at=iso(lost.at),
            rerun=lost.rerun,
            note=text(lost.note, MOST_NOTE),
            by_hub=lost.by_hub,
        )
        for lost in watched
        if _is_whole(lost.repository)
    ]
    return shown[:MOST_INTERRUPTIONS]


def interruptions(status: RunnerPoolStatus) -> tuple[model.Interruption, ...]:
    """Return the lost workflow jobs that a stored status tells of, in its order."""
    return tuple(
        model.Interruption(
            repository=one.repository,
            run_id=one.run_id,
            attempt=one.attempt,
            job_id=one.job_id,
            job_name=one.job_name,
            job_url=one.job_url,
            at=at,
            rerun=one.rerun,
            note=one.note,
            by_hub=one.by_hub,
        )
        for one in status.interruptions or ()
        if (at := moment(one.at)) is not None
    )


# ------------------------------------------------------------------------------------------------- suspicions
def suspicions_of(known: suspicion.Suspicions, start: Instant) -> list[api.Suspicion]:
    """Return what the next process must know, so that it starts no more than this one would.

    Args:
        known: What this one holds.
        start: Ties the monotonic clock to the wall clock.
    """
    return [
        api.Suspicion(
            level=one.level,
            repository=one.repository,
            job_id=one.job_id,
            since=start.iso(one.since),
            starts=[start.iso(at) for at in one.starts[-MOST_STARTS:]],
            rises_to=one.rises_to,
        )
        for one in known.held[:MOST_SUSPICIONS]
        if _is_whole(one.repository)
    ]


def suspicions(status: RunnerPoolStatus) -> tuple[model.PastSuspicion, ...]:
    """Return the suspicions that a stored status tells of, in its order."""
    return tuple(
        model.PastSuspicion(
            level=one.level,
            repository=one.repository,
            job_id=one.job_id,
            since=since,
            starts=tuple(at for time in one.starts if (at := moment(time)) is not None),
            rises_to=one.rises_to,
        )
        for one in status.suspicions or ()
        if (since := moment(one.since)) is not None
    )


def _is_whole(repository: str) -> bool:
    """Return whether a repository's name can be shown as it is: half a name, read back,
    would be another repository's.
    """
    return text(repository, MOST_REPOSITORY) == repository
