"""From the RunnerPool as people write it to the :class:`controller.core.model.Pool` that
the planner reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from controller.api.address import github_target
from controller.api.duration import seconds
from controller.api.runnerpool import RunnerPool
from controller.api.spec.github import GitHub
from controller.api.spec.pool import RunnerPoolSpec
from controller.api.status.model import RunnerPoolStatus
from controller.api.status.stored import footprints, written
from controller.api.status.values import moment
from controller.core import model
from controller.core.labels import full_pattern, normalized
from controller.core.resource import DRAIN_ANNOTATION


def to_pool(obj: Mapping[str, Any], *, allow_http: bool) -> model.Pool:
    """Return the pool that an object from the API server, or a manifest, describes; equal
    objects give equal pools.

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


def stand_in(metadata: Mapping[str, Any], status: RunnerPoolStatus) -> model.Pool | None:
    """Return a pool that launches nothing, for an object whose spec cannot be read; None if its
    status tells of no place.

    It is enough to find what was launched, to end it, and to see that nothing is left.

    Args:
        metadata: Of the object, as the API server shows it.
        status: Of the object, as it was read.
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
        created_at=moment(str(metadata.get("creationTimestamp"))) or 0.0,
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
