"""``hf-runner-controller check``: everything that can be known to be wrong before a runner
is launched, all at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack

import click
from rich.text import Text

from controller.adapters.huggingface.session import open_session
from controller.adapters.kube.client import Client, connect
from controller.app.clock import SystemClock
from controller.cli.checks.cluster import check_crd, check_rights, check_switches
from controller.cli.checks.findings import Finding, Findings, Severity
from controller.cli.checks.github import GitHubCheck
from controller.cli.checks.hub import check_account, check_flavors, read_flavors
from controller.cli.checks.inputs import Inputs, SecretReader, Subject, read_cluster, read_files
from controller.cli.checks.pools import (
    check_host,
    check_image,
    check_mounts,
    check_overlaps,
    check_spec,
    check_variables,
    check_writers,
)
from controller.cli.exits import INTERRUPTED, MISTAKEN, UNMET
from controller.cli.hosts import host_options
from controller.cli.names import Key, key_option
from controller.cli.terminal import Console, print_lines
from controller.core.hosts import Hosts, Service
from controller.ports import UpstreamError

STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}


@click.command("check")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option(
    "--pool",
    "pools",
    metavar="NAMESPACE/NAME",
    multiple=True,
    callback=key_option,
    help="A RunnerPool of the cluster; may be repeated.",
)
@click.option("--all", "every", is_flag=True, help="All RunnerPools of the cluster.")
@click.option(
    "--kubeconfig",
    metavar="FILE",
    help="The cluster. With FILEs: take Secrets that are in none of them from there. Default: as kubectl, and none with FILEs.",
)
@click.option("--context", metavar="NAME", help="Context of the kubeconfig.")
@click.option(
    "--service-account",
    metavar="NAMESPACE/NAME",
    callback=key_option,
    help="The controller's, to check what it may do in the cluster. In a pod: the pod's own.",
)
@host_options
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check_command(
    *,
    files: tuple[str, ...],
    pools: tuple[Key, ...],
    every: bool,
    kubeconfig: str | None,
    context: str | None,
    service_account: Key | None,
    hosts: Hosts,
    strict: bool,
    as_json: bool,
) -> None:
    """Check RunnerPools and what they need, and say everything that is wrong.

    FILEs are manifests of RunnerPools and Secrets (- is the standard input), before anything is installed: no
    cluster is needed. Or name pools of a cluster with --pool or --all.

    Looked at are: mistakes in the manifests, with file and line; GitHub's credentials, each permission that
    they lack, and those that they need not have; every repository (at most 50 of a pool); the runner group
    and which repositories it leaves out; public repositories, whose pull requests could run on the runners;
    GitHub's quota and what polling takes of it; the Hub's token and its right to run Jobs in the namespace;
    flavors and their prices; the image, by its name alone; the Secrets of secretEnv, their label
    hfrunners.dev/runner-env=true and keys; labels that two pools share; in a cluster whether its CRD is of
    this version, whether launches are stopped, and with --service-account the controller's rights, those to
    read Secrets in each namespace.

    Nothing is changed anywhere. For a fine-grained GitHub token, whose permissions GitHub does not tell, a
    registration that names no runner is sent, which GitHub can only refuse.

    Each finding has a severity: error (the pool will not work), warning (somebody should look) or note. Exit
    codes: 0 no error, 1 errors (with --strict also for warnings), 2 a file or manifest that is wrong by
    itself, or wrong arguments, 130 Ctrl-C.
    """
    if bool(files) + bool(pools) + every != 1:
        raise click.UsageError("name FILEs, or --pool, or --all")
    found = Findings()
    try:
        inputs = asyncio.run(
            _check(
                files=files,
                pools=pools,
                kubeconfig=kubeconfig,
                context=context,
                account=service_account,
                hosts=hosts,
                found=found,
            )
        )
    except UpstreamError as error:
        raise click.ClickException(f"{error.failure.reason}: {error.failure.message}") from error
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    _print(found, inputs.subjects, as_json=as_json)
    if inputs.mistaken:
        sys.exit(MISTAKEN)
    if found.count(Severity.ERROR) or (strict and found.count(Severity.WARNING)):
        sys.exit(UNMET)


async def _check(
    *,
    files: Sequence[str],
    pools: Sequence[Key],
    kubeconfig: str | None,
    context: str | None,
    account: Key | None,
    hosts: Hosts,
    found: Findings,
) -> Inputs:
    async with AsyncExitStack() as stack:
        client: Client | None = None
        if not files or kubeconfig or context or account:
            client = await connect(kubeconfig=kubeconfig, context=context)
            stack.push_async_callback(client.close)
        if files:
            inputs = read_files(files, found, allow_http=hosts.allow_http)
        else:
            assert client is not None
            inputs = await read_cluster(client, pools, found, allow_http=hosts.allow_http)
        secrets = SecretReader(inputs.secrets, client)
        await _check_pools(inputs.subjects, secrets, found, hosts=hosts)
        if client is not None:
            await check_crd(client, found)
            await check_switches(client, found)
            in_pod = "KUBERNETES_SERVICE_HOST" in os.environ and not (
                kubeconfig or os.environ.get("KUBECONFIG")
            )
            if account or in_pod:
                checked = [subject.pool for subject in inputs.subjects]
                await check_rights(client, pools=checked, account=account, found=found)
    return inputs


async def _check_pools(
    subjects: Sequence[Subject], secrets: SecretReader, found: Findings, *, hosts: Hosts
) -> None:
    clock = SystemClock()
    by_source = defaultdict(list)
    accounts = set()
    for subject in subjects:
        if check_host(subject, Service.GITHUB, hosts, found):
            by_source[subject.pool.source].append(subject)
        if check_host(subject, Service.HUB, hosts, found):
            accounts.add(subject.pool.hub)
        check_spec(subject, found)
        check_image(subject, found)
        check_mounts(subject, found)
        await check_variables(subject, secrets, found)
    check_writers(subjects, found)
    sources = [
        GitHubCheck(source=source, subjects=ones, secrets=secrets, clock=clock, found=found, hosts=hosts)
        for source, ones in sorted(by_source.items())
    ]
    endpoints = sorted({account.endpoint for account in accounts})
    async with open_session() as session:
        checks = [
            *(source.run() for source in sources),
            *(
                check_account(one, secrets=secrets, session=session, clock=clock, found=found, hosts=hosts)
                for one in sorted(accounts)
            ),
        ]
        offers = [
            read_flavors(one, session=session, clock=clock, found=found, hosts=hosts) for one in endpoints
        ]
        listed, _ = await asyncio.gather(asyncio.gather(*offers), asyncio.gather(*checks))
    offered = dict(zip(endpoints, listed, strict=True))
    for subject in subjects:
        if offered.get(subject.pool.hub.endpoint):
            check_flavors(subject, offered[subject.pool.hub.endpoint], found)
    reach = {uid: names for source in sources for uid, names in source.reach.items()}
    check_overlaps(subjects, reach, offered, found)


# ---------------------------------------------------------------------------------------------------- showing
def _print(found: Findings, subjects: Sequence[Subject], *, as_json: bool) -> None:
    counts = {f"{severity}s": found.count(severity) for severity in Severity}
    if as_json:
        report = {
            "pools": sorted(map(str, subjects)),
            **counts,
            "findings": [one.to_json() for one in found.sorted()],
        }
        print_lines(f"{json.dumps(report, indent=2)}\n")
        return
    console = Console(soft_wrap=not sys.stdout.isatty())
    for one in found.sorted():
        console.print(_line(one))
    pools = f"{len(subjects)} pool{'' if len(subjects) == 1 else 's'}"
    summary = ", ".join(f"{count} {name if count != 1 else name[:-1]}" for name, count in counts.items())
    console.print(f"{pools} checked: {summary}")


def _line(one: Finding) -> Text:
    where = f" ({one.where})" if one.where else ""
    request = f" [request {one.request_id}]" if one.request_id else ""
    return Text.assemble(
        (f"{one.severity!s:<8}", STYLES[one.severity]),
        (f"{one.subject}{where} ", "bold"),
        f"{one.reason}: {one.message}{request}",
    )
