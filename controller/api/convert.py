"""From the RunnerPool as people write it to the :class:`controller.core.model.Pool` that the planner reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from controller.api import status as api
from controller.api.address import github_target
from controller.api.duration import seconds
from controller.api.runnerpool import DRAIN_ANNOTATION, RunnerPool
from controller.api.spec import GitHub, RunnerPoolSpec
from controller.api.status import Interruption, LaunchedPlace, Place, StatusPart, Suspicion
from controller.core import model
from controller.core.intents import MOST_INTENTS, Intent, Term, Written
from controller.core.labels import full_pattern, normalized
from controller.core.status import iso
from controller.core.suspicion import MOST_SUSPICIONS

P = TypeVar("P", bound=StatusPart)


def to_pool(obj: Mapping[str, Any], *, allow_http: bool) -> model.Pool:
    """Return the pool that an object from the API server, or a manifest, describes; equal objects give equal pools.

    A manifest that never met an API server has no uid; namespace and name stand in for it.

    Args:
        obj: The object as parsed from JSON or YAML. Its status is not read.
        allow_http: Plain http is allowed (``--allow-http``, for simulators).

    Raises:
        InvalidPool: With all mistakes.
    """
    return from_model(RunnerPool.parse(obj, allow_http=allow_http))


def from_model(obj: RunnerPool) -> model.Pool:
    """Return the pool that a parsed object describes."""
    metadata, spec = obj.metadata, obj.spec
    key = model.PoolKey(metadata.namespace, metadata.name)
    target = github_target(spec.github.url)
    include, exclude = _patterns(spec.github, target.scope)
    return model.Pool(
        key=key,
        uid=metadata.uid or str(key),
        generation=metadata.generation,
        created_at=_epoch(metadata.creation_timestamp),
        url=spec.github.url,
        source=model.GitHubSource(
            api_url=target.api_url,
            secret=model.SecretRef(metadata.namespace, spec.github.credentials_secret),
            owner=target.scope.owner,
            enterprise=target.scope.kind is model.ScopeKind.ENTERPRISE,
        ),
        scope=target.scope,
        runner_group=spec.github.runner_group,
        include=include,
        exclude=exclude,
        labels=normalized(spec.labels),
        group_only=model.GroupOnlyJobs(spec.github.group_only_jobs),
        hub=model.HubAccount(
            endpoint=spec.huggingface.endpoint.rstrip("/"),
            namespace=spec.huggingface.namespace,
            secret=model.SecretRef(metadata.namespace, spec.huggingface.token_secret),
        ),
        flavors=tuple(spec.flavors),
        template=_template(spec, metadata.namespace),
        max_runners=spec.max_runners,
        min_idle=spec.min_idle,
        deadlines=model.Deadlines(
            scheduling=seconds(spec.deadlines.scheduling),
            registration=seconds(spec.deadlines.registration),
            idle=seconds(spec.deadlines.idle),
            lifetime=seconds(spec.deadlines.lifetime),
        ),
        retry_interrupted=spec.retry.interrupted,
        paused=spec.paused,
        deleting=metadata.deletion_timestamp is not None,
        drain_request=(metadata.annotations or {}).get(DRAIN_ANNOTATION, ""),
    )


def stand_in(metadata: Mapping[str, Any], status: Mapping[str, Any]) -> model.Pool | None:
    """Return a pool that launches nothing, for an object whose spec cannot be read; None if its status tells of no place.

    It is enough to find what was launched, to end it, and to see that nothing is left.

    Args:
        metadata: Of the object, as the API server shows it.
        status: Likewise.
    """
    namespace = metadata.get("namespace", "default")
    known = footprints(status, namespace=namespace)
    known += tuple(intent.place for intent in written(status, namespace=namespace).intents)
    if not known:
        return None
    scope, hub = known[0].registrations, known[0].account
    return model.Pool(
        key=model.PoolKey(namespace, metadata["name"]),
        uid=metadata.get("uid", ""),
        generation=metadata.get("generation", 0),
        created_at=_moment(str(metadata.get("creationTimestamp"))) or 0.0,
        url="",
        source=scope.source,
        scope=scope.scope,
        labels=(),
        hub=hub,
        flavors=("unknown",),
        max_runners=0,
        paused=True,
    )


def _patterns(github: GitHub, scope: model.Scope) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return include and exclude as lower-case patterns over ``owner/repo``."""
    chosen = github.repositories
    if chosen is None:
        return (), ()
    owner = "*" if scope.kind is model.ScopeKind.ENTERPRISE else scope.owner
    include, exclude = (
        tuple(full_pattern(glob, owner) for glob in globs) for globs in (chosen.include, chosen.exclude or [])
    )
    return include, exclude


def _template(spec: RunnerPoolSpec, namespace: str) -> model.RunnerTemplate:
    return model.RunnerTemplate(
        image=spec.image,
        env=tuple(sorted((spec.env or {}).items())),
        secret_env=tuple(
            model.SecretEnv(name=v.name, secret=model.SecretRef(namespace, v.secret), key=v.key)
            for v in spec.secret_env or []
        ),
        volumes=tuple(
            model.Volume(
                type=v.type,
                source=v.source,
                mount_path=v.mount_path,
                revision=v.revision,
                read_only=v.read_only,
                path=v.path,
            )
            for v in spec.volumes or []
        ),
        ssh=spec.ssh,
    )


def _epoch(time: datetime | None) -> float:
    return time.timestamp() if time else 0.0


# ------------------------------------------------------------------------------------------- what status brings back
def places(footprints: Iterable[model.Footprint]) -> list[Place]:
    """Return footprints as ``status.intents`` keeps them. Their Secrets are in the pool's namespace."""
    return [
        Place(
            api_url=one.registrations.source.api_url,
            scope=one.registrations.scope.path,
            credentials_secret=one.registrations.source.secret.name,
            endpoint=one.account.endpoint,
            namespace=one.account.namespace,
            token_secret=one.account.secret.name,
        )
        for one in footprints
    ]


def bounds(
    status: Mapping[str, Any], *, namespace: str, ends_by: Callable[[float], float]
) -> tuple[tuple[model.Place, float], ...]:
    """Return by when everything has ended that was launched to the places that a stored status tells of.

    A version before told only when its newest launch was, to whichever place.

    Args:
        status: ``status`` of an object from the API server.
        namespace: Of the pool.
        ends_by: Returns by when a launch at a time has ended, both in epoch seconds.
    """
    found: dict[model.Place, float] = {}
    newest = last_launch_at(status)
    for told in (_read(LaunchedPlace, one) for one in _entries(status.get("places"))):
        if told is None or not _KIND.match(told.scope):
            continue
        by = _moment(told.ends_by) if told.ends_by is not None else None
        if by is None and newest is not None:
            by = ends_by(newest)
        if by is not None:
            found[_footprint(told, namespace).place] = by
    for intent in written(status, namespace=namespace).intents:
        place = intent.place.place
        found[place] = max(found.get(place, 0.0), ends_by(intent.at))
    return tuple(found.items())


def footprints(status: Mapping[str, Any], *, namespace: str) -> tuple[model.Footprint, ...]:
    """Return the footprints that a stored status tells of, in its order; what cannot be read is left out (:func:`written`).

    Args:
        status: ``status`` of an object from the API server.
        namespace: Of the pool.
    """
    told = (_read(LaunchedPlace, one) for one in _entries(status.get("places")))
    return tuple(_footprint(one, namespace) for one in told if one is not None and _KIND.match(one.scope))


def _footprint(place: Place, namespace: str) -> model.Footprint:
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


_KIND = re.compile(r"(repos/[^/]+|orgs|enterprises)/[^/]+$")

_KINDS = {
    "repos": model.ScopeKind.REPOSITORY,
    "orgs": model.ScopeKind.ORGANIZATION,
    "enterprises": model.ScopeKind.ENTERPRISE,
}


def written(status: object, *, namespace: str) -> Written:
    """Return the intents that a stored status tells of, by name.

    What cannot be read is left out, entry by entry: anybody who may patch the status can put anything there, and no entry of
    one pool may keep the controller from serving the others.

    Args:
        status: ``status`` of an object from the API server.
        namespace: Of the pool.
    """
    said = status if isinstance(status, Mapping) else {}
    found: dict[str, Intent] = {}
    for group in _entries(said.get("intents")):
        place = _read(api.Place, group.get("place"))
        if place is None:
            continue
        footprint = _footprint(place, namespace)
        for entry in _entries(group.get("launches")):
            told = _read(api.Intent, entry)
            at = _moment(told.at) if told is not None else None
            if told is not None and at is not None and len(found) < MOST_INTENTS:
                found[told.name] = Intent(name=told.name, flavor=told.flavor, at=at, place=footprint)
    term = _read(api.Term, said.get("term"))
    return Written(
        term=Term(number=term.number, holder=term.holder) if term is not None else None,
        intents=tuple(found[name] for name in sorted(found)),
    )


def write_down(what: Written) -> dict[str, Any]:
    """Return the part of ``status`` that tells of intents: JSON types, grouped by place to stay small."""
    by_place: dict[model.Footprint, list[Intent]] = {}
    for intent in what.intents:
        by_place.setdefault(intent.place, []).append(intent)
    told = [
        api.Intents(
            place=places([place])[0],
            launches=[api.Intent(name=one.name, flavor=one.flavor, at=iso(one.at)) for one in group],
        )
        for place, group in by_place.items()
    ]
    term = what.term and api.Term(number=what.term.number, holder=what.term.holder)
    return {
        "intents": [each.model_dump(by_alias=True) for each in told],
        "term": term and term.model_dump(by_alias=True),
    }


def said(status: object) -> dict[str, Any]:
    """Return a status as it may be built upon: whoever may write one can have written anything into it."""
    found = dict(status) if isinstance(status, Mapping) else {}
    return {**found, "conditions": _entries(found["conditions"])} if "conditions" in found else found


def _entries(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _read(kind: type[P], value: object) -> P | None:
    try:
        return kind.model_validate(value)
    except ValidationError:
        return None


def _moment(text: str) -> float | None:
    try:
        return _epoch(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def interruptions(status: Mapping[str, Any]) -> tuple[model.Interruption, ...]:
    """Return the lost workflow jobs that a stored status tells of, in its order; what cannot be read is left out."""
    told = (_read(Interruption, one) for one in _entries(status.get("interruptions")))
    return tuple(
        model.Interruption(**{**one.model_dump(), "at": at})
        for one in told
        if one is not None and (at := _moment(one.at)) is not None
    )


def suspicions(status: Mapping[str, Any]) -> tuple[model.PastSuspicion, ...]:
    """Return the suspicions that a stored status tells of, in its order; what cannot be read is left out."""
    found = []
    for entry in _entries(status.get("suspicions"))[:MOST_SUSPICIONS]:
        one = _read(Suspicion, entry)
        since = _moment(one.since) if one is not None else None
        if one is None or since is None:
            continue
        starts = tuple(at for text in one.starts if (at := _moment(text)) is not None)
        found.append(model.PastSuspicion(**{**one.model_dump(), "since": since, "starts": starts}))
    return tuple(found)


def last_launch_at(status: Mapping[str, Any]) -> float | None:
    """Return ``status.lastLaunchAt`` as epoch seconds, or None if nothing was ever launched, or nobody can read when.

    The API server takes times that Python does not, such as a leap second or the year 0.
    """
    time = status.get("lastLaunchAt")
    return _moment(time) if isinstance(time, str) else None
