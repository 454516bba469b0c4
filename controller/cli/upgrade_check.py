"""``hf-runner-controller upgrade-check``: what would stop if the installed release were
replaced by this one.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace

import click

from controller.adapters.kube.client import Client, connect
from controller.adapters.kube.errors import ForbiddenError, NotFoundError
from controller.adapters.kube.pools import list_pools
from controller.api.convert import to_pool
from controller.api.runnerpool import InvalidPool
from controller.cli.exits import INTERRUPTED, UNMET
from controller.cli.hosts import host_options
from controller.cli.names import Key, key_option
from controller.cli.terminal import say_lines
from controller.cli.upgrades.findings import Finding, report_lines, some
from controller.cli.upgrades.hosts import find_hosts
from controller.cli.upgrades.mounts import find_mounts, without_writable_mounts
from controller.cli.upgrades.pools import Found, refused_already
from controller.cli.upgrades.secrets import (
    find_unlabelled,
    find_unreadable,
    find_unseen,
    look_at_variables,
    unseen,
    what_is_lost,
)
from controller.core.hosts import Hosts
from controller.core.model import Pool
from controller.core.text import counted
from controller.ports import UpstreamError


@click.command("upgrade-check")
@click.option("--kubeconfig", metavar="FILE", help="Default: the pod's ServiceAccount, or as kubectl.")
@click.option("--context", metavar="NAME", help="Context of the kubeconfig.")
@click.option(
    "--namespace",
    "namespaces",
    metavar="NAME",
    multiple=True,
    help="Look only here; may be repeated. Default: all namespaces.",
)
@host_options
@click.option(
    "--secrets-namespace",
    "readable",
    metavar="NAME",
    multiple=True,
    help="Where this release may read Secrets; may be repeated. Default: where the installed one may.",
)
@click.option(
    "--secrets-lost",
    "dropped",
    metavar="NAME",
    multiple=True,
    help="Where the installed chart lets Secrets be read, and this one does not; may be repeated.",
)
@click.option(
    "--service-account",
    "account",
    metavar="NAMESPACE/NAME",
    callback=key_option,
    help="The controller's, whose right to read Secrets is looked at. Default: who asks.",
)
def upgrade_check_command(
    *,
    kubeconfig: str | None,
    context: str | None,
    namespaces: tuple[str, ...],
    hosts: Hosts,
    readable: tuple[str, ...],
    dropped: tuple[str, ...],
    account: Key | None,
) -> None:
    """Look at the RunnerPools of a cluster, and tell what would stop if this release
    replaced the installed one.

    The chart runs it before an upgrade, with the values of the upgrade, so that nothing is replaced
    while something is found. It reads RunnerPools and the Secrets of their secretEnv, asks no GitHub
    and no Hub, and changes nothing.

    Looked at are the hosts of GitHub and of the Hub that pools name, and whether this release would send
    credentials there; the Secrets of secretEnv, and whether they have the label
    hfrunners.dev/runner-env=true; buckets that are writable where this release refuses it; with
    --secrets-namespace the namespaces of pools whose Secrets the installed release may read by a right for
    all namespaces, and this one may not; and those named with --secrets-lost, where it may by a RoleBinding
    or Role that the upgrade takes away. The chart knows these.

    A pool that the installed release refuses already (its status says so) is only named: it stops by
    no upgrade. Where who runs this may not read a Secret, that is said; with --service-account, that
    is by hand, it is no success.

    Exit codes: 0 nothing would stop, 1 something would (the values to set are printed), or the RunnerPools
    or, by hand, Secrets cannot be read, 2 wrong arguments, 130 Ctrl-C.
    """
    try:
        findings, notes = asyncio.run(
            _look(
                kubeconfig,
                context,
                namespaces,
                hosts=hosts,
                readable=readable,
                dropped=dropped,
                account=account,
            )
        )
    except UpstreamError as error:
        raise click.ClickException(f"{error.failure.reason}: {error.failure.message}") from error
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    say_lines("\n".join([*report_lines(findings), *notes]) + "\n")
    if findings:
        sys.exit(UNMET)


async def _look(
    kubeconfig: str | None,
    context: str | None,
    namespaces: Sequence[str],
    *,
    hosts: Hosts,
    readable: Sequence[str],
    dropped: Sequence[str],
    account: Key | None,
) -> tuple[Sequence[Finding], Sequence[str]]:
    async with await connect(kubeconfig=kubeconfig, context=context) as client:
        return await look(
            client, namespaces, hosts=hosts, readable=readable, dropped=dropped, account=account
        )


async def look(
    client: Client,
    namespaces: Sequence[str],
    *,
    hosts: Hosts,
    readable: Sequence[str] = (),
    dropped: Sequence[str] = (),
    account: Key | None = None,
) -> tuple[Sequence[Finding], Sequence[str]]:
    """Return what would stop, and lines about what was looked at and what was not.

    Args:
        client: Of who asks.
        namespaces: Those to look at beside ``dropped``; all if empty.
        hosts: To which this release sends credentials.
        readable: Namespaces whose Secrets this release may read; empty where a right for
            all namespaces is as before.
        dropped: Namespaces whose Secrets the installed release may read by what its chart
            made, and this one may not.
        account: The controller's ServiceAccount where somebody else asks.

    Raises:
        UpstreamError: No pool may be listed, or Kubernetes cannot be asked.
    """
    everywhere = list(dict.fromkeys([*namespaces, *dropped])) if namespaces else []
    pools, refused, notes = await _pools(client, everywhere)
    variables = await look_at_variables(client, pools)
    lost = await what_is_lost(client, pools, readable=readable, account=account, dropped=dropped)
    # Further topics go here: each is a module of controller.cli.upgrades.
    stops = [
        *find_hosts(pools, hosts),
        *find_mounts(refused),
        *find_unlabelled(pools, variables),
        *find_unreadable(lost, readable, pools, namespaces),
    ]
    # The controller itself cannot use what it may not read; of anybody else that says nothing
    # about the controller.
    dark = find_unseen(variables) if account is not None else ()
    if account is None:
        notes += [f"a Secret of secretEnv could not be looked at: {one}" for one in unseen(variables)]
    seen = f"{counted(len(pools), 'RunnerPool was', 'RunnerPools were')} looked at"
    found = (
        "nothing that would stop was found, and not all could be looked at" if dark else "nothing would stop"
    )
    return [*stops, *dark], [*some(notes), f"{seen}: {'something would stop' if stops else found}"]


async def _pools(
    client: Client, namespaces: Sequence[str]
) -> tuple[list[Found], list[tuple[Pool, InvalidPool]], list[str]]:
    """Read all pools that work, and say which do not and what could not be read: the installed release
    does not serve these either.

    Those that only this release refuses are among the pools, and returned with their mistakes beside.

    Raises:
        UpstreamError: Nothing at all may be listed, or Kubernetes cannot be asked.
    """
    found: list[Found] = []
    refused_now: list[tuple[Pool, InvalidPool]] = []
    notes: list[str] = []
    refused = 0
    for namespace in namespaces or (None,):
        try:
            objects = await list_pools(client, namespace=namespace)
        except NotFoundError:
            return found, refused_now, ["There is no RunnerPool type in this cluster yet"]
        except ForbiddenError as error:
            refused += 1
            if refused == max(len(namespaces), 1):
                raise _no_list(error, namespaces) from error
            notes.append(f"namespace {namespace} may not be listed, so nothing there is served now")
            continue
        for obj in objects:
            metadata = obj.get("metadata", {})
            name = f"{metadata.get('namespace')}/{metadata.get('name')}"
            if reason := refused_already(obj):
                notes.append(f"{name} is refused already ({reason}), so no upgrade stops it")
                continue
            try:
                found.append((to_pool(obj, allow_http=True), obj))
            except InvalidPool as error:
                pool = without_writable_mounts(obj)
                if pool is not None:
                    found.append((pool, obj))
                    refused_now.append((pool, error))
                    continue
                notes.append(f"{name} has a spec that cannot be followed, and was not looked at")
    return found, refused_now, notes


def _no_list(error: ForbiddenError, namespaces: Sequence[str]) -> UpstreamError:
    """Return what to do where nothing may be listed: a release that watches some namespaces
    may list in no others.
    """
    message = (
        f"RunnerPools of {', '.join(namespaces) or 'all namespaces'} may not be listed (the API server: {error.failure.message}). "
        "The release that is installed may list where it watches (watch.namespaces), and elsewhere with rbac.deletedNamespaces: true. "
        "Look with --namespace where it watches; where the chart runs this, upgrade with upgradeCheck.enabled=false"
    )
    return UpstreamError(replace(error.failure, message=message))
