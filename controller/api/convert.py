"""From the RunnerPool as people write it to the :class:`controller.core.model.Pool` that the planner reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from controller.api.address import github_target
from controller.api.duration import seconds
from controller.api.runnerpool import DRAIN_ANNOTATION, RunnerPool
from controller.api.spec import GitHub, RunnerPoolSpec
from controller.api.status import Interruption, Place
from controller.core import model
from controller.core.labels import full_pattern, normalized


def to_pool(obj: Mapping[str, Any], *, allow_http: bool) -> model.Pool:
    """Return the pool that an object from the API server, or a manifest, describes; equal objects give equal pools.

    A manifest that never met an API server has no uid; namespace and name stand in for it.

    Args:
        obj: The object as parsed from JSON or YAML. Its status is not read.
        allow_http: Plain http may leave this machine (``--allow-http``, for simulators).

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
    """Return footprints as ``status.places`` keeps them. Their Secrets are in the pool's namespace."""
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


def footprints(status: Mapping[str, Any], *, namespace: str) -> tuple[model.Footprint, ...]:
    """Return the footprints that a stored status tells of, in its order.

    Args:
        status: ``status`` of an object from the API server, whose schema it obeys.
        namespace: Of the pool.
    """
    return tuple(_footprint(Place.model_validate(one), namespace) for one in status.get("places") or [])


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


_KINDS = {
    "repos": model.ScopeKind.REPOSITORY,
    "orgs": model.ScopeKind.ORGANIZATION,
    "enterprises": model.ScopeKind.ENTERPRISE,
}


def interruptions(status: Mapping[str, Any]) -> tuple[model.Interruption, ...]:
    """Return the lost workflow jobs that a stored status tells of, in its order."""
    told = [Interruption.model_validate(one) for one in status.get("interruptions") or []]
    return tuple(
        model.Interruption(**{**one.model_dump(), "at": _epoch(datetime.fromisoformat(one.at))})
        for one in told
    )


def last_launch_at(status: Mapping[str, Any]) -> float | None:
    """Return ``status.lastLaunchAt`` as epoch seconds, or None if nothing was ever launched."""
    time = status.get("lastLaunchAt")
    return _epoch(datetime.fromisoformat(time)) if time else None
