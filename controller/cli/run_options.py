"""Options of ``run`` that belong together: each group becomes one value, which the command
gets under one name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from controller.adapters.kube.election import Timing
from controller.adapters.kube.rights import SecretAccess
from controller.adapters.kube.stop_switch import SwitchName
from controller.app.options import LeaderElection
from controller.cli.names import Key, key_option
from controller.execute.bootstrap import RUNNER_SHA256, RUNNER_VERSION
from controller.execute.spec import DOWNLOADS, RunnerVersion

Command = Callable[..., Any]

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""A DNS label (RFC 1123), as the API server asks of a namespace."""

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def namespace_option(
    _: click.Context, parameter: click.Parameter, given: str | tuple[str, ...] | None
) -> str | tuple[str, ...] | None:
    """Refuse what can be no namespace's name: a controller that watches it would run, and serve nobody."""
    for name in (given,) if isinstance(given, str) else given or ():
        if not _NAMESPACE.fullmatch(name):
            raise click.BadParameter(
                f"{name!r} is no name of a namespace: write up to 63 lower-case letters, digits and hyphens, such as ci",
                param=parameter,
            )
    return given


def _own_namespace(needed: str) -> str:
    try:
        return _NAMESPACE_FILE.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise click.UsageError(needed) from error


def _checksums(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in texts:
        arch, equals, checksum = text.partition("=")
        if not equals or len(checksum) != 64:
            raise click.BadParameter(
                f"{text!r} is not ARCH=SHA256, such as x64=7092… with 64 hexadecimal digits"
            )
        found[arch] = checksum.lower()
    return found


def runner_options(command: Command) -> Command:
    """Add what says which actions/runner is downloaded; the command gets it as ``runner``."""

    @click.option(
        "--runner-version",
        default=RUNNER_VERSION,
        show_default=True,
        help="actions/runner release for images that bring none.",
    )
    @click.option(
        "--runner-sha256",
        metavar="ARCH=SHA256",
        multiple=True,
        callback=_checksums,
        help="Checksum of that release's archive; needed with another --runner-version.",
    )
    @click.option(
        "--runner-base-url",
        metavar="URL",
        default=DOWNLOADS,
        show_default=True,
        help="Where the release is downloaded from.",
    )
    @wraps(command)
    def with_runner(
        *,
        runner_version: str,
        runner_sha256: dict[str, str],
        runner_base_url: str,
        **others: Any,  # noqa: ANN401 -- whatever else the command takes
    ) -> Any:  # noqa: ANN401
        if runner_version != RUNNER_VERSION and not runner_sha256:
            raise click.UsageError("--runner-version needs the archive's checksum: --runner-sha256 x64=…")
        runner = RunnerVersion(
            version=runner_version,
            sha256=runner_sha256 or RUNNER_SHA256,
            base_url=runner_base_url.rstrip("/"),
        )
        return command(runner=runner, **others)

    return with_runner


def leader_options(command: Command) -> Command:
    """Add what says which Lease replicas compete for; the command gets it as ``election``, None for
    a process that runs alone.
    """

    @click.option(
        "--leader-elect/--no-leader-elect",
        default=False,
        show_default=True,
        help="For several replicas: only the holder of a Lease acts. Needs get, create and update on leases in its namespace.",
    )
    @click.option(
        "--lease-name",
        metavar="NAME",
        default="hf-runner-controller",
        show_default=True,
        help="The Lease. Controllers with different ids in one namespace need different ones.",
    )
    @click.option(
        "--lease-namespace",
        metavar="NAME",
        callback=namespace_option,
        help="Where the Lease is. Default: the pod's namespace.",
    )
    @click.option(
        "--lease-duration",
        metavar="SECONDS",
        type=click.FloatRange(min=1),
        default=Timing().duration,
        show_default=True,
        help="A leader that is not heard of for as long is replaced.",
    )
    @click.option(
        "--lease-renew-deadline",
        metavar="SECONDS",
        type=click.FloatRange(min=0.1),
        default=Timing().renew_deadline,
        show_default=True,
        help="A leader that cannot renew its lease for as long stops acting.",
    )
    @click.option(
        "--lease-retry-period",
        metavar="SECONDS",
        type=click.FloatRange(min=0.1),
        default=Timing().retry,
        show_default=True,
        help="Between two renewals.",
    )
    @wraps(command)
    def with_election(
        *,
        leader_elect: bool,
        lease_name: str,
        lease_namespace: str | None,
        lease_duration: float,
        lease_renew_deadline: float,
        lease_retry_period: float,
        **others: Any,  # noqa: ANN401 -- whatever else the command takes
    ) -> Any:  # noqa: ANN401
        if not leader_elect:
            return command(election=None, **others)
        try:
            timing = Timing(
                duration=lease_duration, renew_deadline=lease_renew_deadline, retry=lease_retry_period
            )
        except ValueError as error:
            raise click.UsageError(f"--lease-…: {error}") from error
        election = LeaderElection(
            namespace=lease_namespace
            or _own_namespace("--leader-elect outside of a pod needs --lease-namespace"),
            name=lease_name,
            timing=timing,
        )
        return command(election=election, **others)

    return with_election


def stop_switch_options(command: Command) -> Command:
    """Add what says where the stop switch is; the command gets it as ``stop_switch``, None for no switch.

    Put it below :func:`leader_options`: the Lease's namespace is the default.
    """

    @click.option(
        "--stop-switch",
        metavar="NAME",
        help="ConfigMap by which people stop all launches (`pause`, `resume`); NAME-values is read too, for the chart. While it was "
        "never read, nothing is launched. Needs get on both. Default: no switch.",
    )
    @click.option(
        "--stop-switch-namespace",
        metavar="NAME",
        callback=namespace_option,
        help="Where it is. Default: the Lease's namespace, or the pod's.",
    )
    @wraps(command)
    def with_switch(
        *,
        stop_switch: str | None,
        stop_switch_namespace: str | None,
        election: LeaderElection | None,
        **others: Any,  # noqa: ANN401 -- whatever else the command takes
    ) -> Any:  # noqa: ANN401
        switch = None
        if stop_switch:
            where = stop_switch_namespace or (election.namespace if election else None)
            needed = "--stop-switch outside of a pod needs --stop-switch-namespace"
            switch = SwitchName(namespace=where or _own_namespace(needed), name=stop_switch)
        return command(stop_switch=switch, election=election, **others)

    return with_switch


def secret_access_options(command: Command) -> Command:
    """Add what pools are told whose Secrets may not be read; the command gets it as ``secret_access``."""

    @click.option(
        "--secrets-role",
        metavar="NAME",
        default="",
        help="ClusterRole with get on Secrets, which a RoleBinding grants in a namespace: it goes into the command that a pool names "
        "whose Secrets may not be read.",
    )
    @click.option(
        "--service-account",
        metavar="NAMESPACE/NAME",
        callback=key_option,
        help="The controller's own, for the same command.",
    )
    @wraps(command)
    def with_access(
        *,
        secrets_role: str,
        service_account: Key | None,
        **others: Any,  # noqa: ANN401 -- whatever else the command takes
    ) -> Any:  # noqa: ANN401
        return command(secret_access=SecretAccess(role=secrets_role, account=service_account), **others)

    return with_access
