"""Secrets that the installed release uses for pools and this one would not: without the label for
runners, or out of its reach.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from controller.adapters.kube.client import Client
from controller.adapters.kube.rights import may, to_read
from controller.adapters.kube.secrets import KubernetesSecrets
from controller.cli.upgrades.findings import Finding
from controller.cli.upgrades.pools import Found, own_status
from controller.core.model import Failure, Pool, SecretRef, SecretSight
from controller.core.reasons import Reason
from controller.core.variables import LABEL, VALUE, command, refusal, sight
from controller.ports import UpstreamError

_NOT_USED_NOW = frozenset({Reason.SecretMissing, Reason.KubernetesForbidden})
"""Answers to a read of a Secret that the installed release cannot use either."""

VALUE_OF_NAMESPACES = "rbac.secrets.namespaces"
VALUE_OF_WATCHED = "watch.namespaces"


# -------------------------------------------------------------------------------------------------- the label
def variables_of(pools: Sequence[Found]) -> Collection[SecretRef]:
    """Return the Secrets that ``secretEnv`` of the pools names, in order."""
    return sorted({variable.secret for pool, _ in pools for variable in pool.template.secret_env})


def find_unlabelled(pools: Sequence[Found], seen: Mapping[SecretRef, SecretSight]) -> Sequence[Finding]:
    """Return what has to be labelled so that all pools go on launching.

    Args:
        pools: All pools that are watched, and not refused already.
        seen: What is known of the Secrets that they name in ``secretEnv``; those that are
            missing here are none of this.
    """
    where: dict[str, None] = {}
    commands: dict[str, None] = {}
    for pool, obj in pools:
        for variable in pool.template.secret_env:
            refused = refusal(variable, seen[variable.secret]) if variable.secret in seen else None
            if refused is not None and refused.reason is Reason.SecretNotLabelled:
                where[f"{pool.key}: Secret {variable.secret.name} ({variable.name}), {own_status(obj)}"] = (
                    None
                )
                commands[command(variable.secret)] = None
    if not where:
        return ()
    return (
        Finding(
            what=f"secretEnv of these RunnerPools names Secrets without the label {LABEL}={VALUE}, which this release gives to no runner: "
            "the pools would say SecretNotLabelled and launch nothing. Label those that every workflow job on the pool may read, and take "
            "the others out of secretEnv. The installed release does not mind the label.",
            where=tuple(where),
            commands=tuple(commands),
        ),
    )


def unseen(seen: Mapping[SecretRef, SecretSight]) -> Sequence[str]:
    """Return the Secrets of which is not known whether they have the label, each with the
    API server's words for why.
    """
    return [
        f"{ref}: {sight.failure.message}"
        for ref, sight in sorted(seen.items())
        if sight.failure is not None and sight.failure.reason is Reason.KubernetesForbidden
    ]


def find_unseen(seen: Mapping[SecretRef, SecretSight]) -> Sequence[Finding]:
    """Return what somebody has to look at who may: the controller gives these Secrets to runners, and
    this look was not its own.

    Args:
        seen: What another than the controller could see of the Secrets in ``secretEnv``.
    """
    where = unseen(seen)
    if not where:
        return ()
    return (
        Finding(
            what="These Secrets of secretEnv could not be looked at, since who runs this may not read them, so whether a pool would stop for "
            f"the label {LABEL}={VALUE} is not known. Run this as somebody who may read them.",
            where=tuple(where),
        ),
    )


async def look_at_variables(client: Client, pools: Sequence[Found]) -> Mapping[SecretRef, SecretSight]:
    """Read the Secrets of ``secretEnv``, and keep label and keys.

    Raises:
        UpstreamError: Kubernetes cannot be asked.
    """
    secrets = KubernetesSecrets(client=client)
    seen: dict[SecretRef, SecretSight] = {}
    for ref in variables_of(pools):
        try:
            secret = await secrets.read(ref)
        except UpstreamError as error:
            seen[ref] = _unusable(error.failure)
        else:
            seen[ref] = sight(secret.labels, secret.data)
    return seen


def _unusable(failure: Failure) -> SecretSight:
    if failure.reason not in _NOT_USED_NOW:
        raise UpstreamError(failure)
    return SecretSight(failure=failure)


# -------------------------------------------------------------------------------------------------- the right
def out_of_reach(pools: Sequence[Found], readable: Collection[str]) -> Mapping[str, Sequence[SecretRef]]:
    """Return the Secrets of pools that lie beyond the namespaces whose Secrets this release
    may read, by namespace.
    """
    found: dict[str, set[SecretRef]] = {}
    for pool, _ in pools:
        if pool.key.namespace not in readable:
            found.setdefault(pool.key.namespace, set()).update(secrets_of(pool))
    return {namespace: sorted(refs) for namespace, refs in sorted(found.items())}


def secrets_of(pool: Pool) -> Collection[SecretRef]:
    """Return every Secret that is read for a pool."""
    refs = {variable.secret for variable in pool.template.secret_env}
    for place in pool.footprints:
        refs |= {place.registrations.source.secret, place.account.secret}
    return refs


def find_unreadable(
    lost: Mapping[str, Sequence[SecretRef]],
    readable: Sequence[str],
    pools: Sequence[Found],
    watched: Sequence[str] = (),
) -> Sequence[Finding]:
    """Return which namespaces have to be named so that the Secrets of all pools can be read.

    Args:
        lost: Secrets that the installed release may read and this one would not, by namespace.
        readable: Namespaces whose Secrets this release may read, by its values; empty where it watches some
            namespaces, and reads the Secrets of these.
        pools: All pools that are watched, and not refused already.
        watched: Namespaces that this release watches, by its values; empty for all.
    """
    namespaces = [namespace for namespace, refs in lost.items() if refs]
    if not namespaces:
        return ()
    if readable or not watched:
        value, kept = VALUE_OF_NAMESPACES, readable
        what = (
            f"With the values of this upgrade, the new release may read the Secrets of {', '.join(readable) or 'no namespace'} alone, and "
            "the installed one may read more. Pools of these namespaces would say SecretForbidden and launch nothing. Name the namespaces, "
            "or have all read with rbac.secrets.clusterWide: true. (One where you made a RoleBinding yourself may be here too; naming it "
            "does no harm.)"
        )
    else:
        value, kept = VALUE_OF_WATCHED, watched
        what = (
            f"With the values of this upgrade, the new release serves the pools of {', '.join(watched)} alone, and may read Secrets nowhere "
            "else. Nobody would serve those of these namespaces, nor end their runners. Name the namespaces, or delete the pools there."
        )
    says: dict[str, list[str]] = {}
    for pool, obj in pools:
        says.setdefault(pool.key.namespace, []).append(f"{pool.key.name}: {own_status(obj)}")
    return (
        Finding(
            what=what,
            where=tuple(
                f"{namespace}: {', '.join(ref.name for ref in lost[namespace])} ({'; '.join(says.get(namespace, ()))})"
                for namespace in namespaces
            ),
            values={value: sorted({*kept, *namespaces})},
        ),
    )


async def what_is_lost(
    client: Client,
    pools: Sequence[Found],
    *,
    readable: Sequence[str],
    account: tuple[str, str] | None,
    dropped: Collection[str] = (),
) -> Mapping[str, Sequence[SecretRef]]:
    """Return the Secrets that may be read now and not by this release, by namespace.

    That is where a right for all namespaces ends, and in the namespaces that are said to be dropped.
    One that may be read by a RoleBinding in its own namespace stays so else: the question is asked
    for all namespaces at once.

    Args:
        client: Asks the API server; nothing is changed by it.
        pools: All pools that are watched, and not refused already.
        readable: Namespaces whose Secrets this release may read; empty where a right for
            all namespaces is as before.
        account: Namespace and name of the controller's ServiceAccount; None for who asks.
        dropped: Namespaces where the installed chart made a RoleBinding that this one does not make.

    Raises:
        UpstreamError: Kubernetes cannot be asked.
    """
    asked: dict[str, bool] = {}  # of a name, for all namespaces at once
    lost: dict[str, Sequence[SecretRef]] = {}
    for namespace, refs in out_of_reach(pools, readable).items():
        if namespace in dropped:
            lost[namespace] = refs
        elif readable:
            for ref in refs:
                if ref.name not in asked:
                    asked[ref.name] = await may(client, to_read(ref.name), namespace="", account=account)
            lost[namespace] = [ref for ref in refs if asked[ref.name]]
    return lost
