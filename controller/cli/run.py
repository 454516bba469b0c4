"""``hf-runner-controller run``: the operator itself."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from pathlib import Path

import click

from controller.adapters.github.limits import POINTS_PER_MINUTE
from controller.adapters.huggingface.bootstrap import RUNNER_SHA256, RUNNER_VERSION
from controller.adapters.kube.election import LeadershipLost, Timing
from controller.adapters.kube.rights import SecretAccess
from controller.adapters.kube.stop_switch import SwitchName
from controller.adapters.names import Loop
from controller.app import LeaderElection, Options, run
from controller.cli.hosts import host_options
from controller.cli.logs import configure_logging
from controller.cli.names import Key, key_option
from controller.core.hosts import Hosts
from controller.core.reasons import Reason
from controller.execute.spec import DOWNLOADS, RunnerVersion
from controller.observe.observatory import GITHUB_INTERVAL, HUB_INTERVAL
from controller.ports import UpstreamError
from controller.reconcile.assembly import Settings

log = logging.getLogger(__name__)

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""A DNS label (RFC 1123), as the API server asks of a namespace."""

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


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


def _own_namespace(needed: str) -> str:
    try:
        return _NAMESPACE_FILE.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise click.UsageError(needed) from error


def _namespaces(
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


@click.command("run")
@click.option("--kubeconfig", metavar="FILE", help="Instead of the pod's ServiceAccount.")
@click.option("--context", metavar="NAME", help="Context of the kubeconfig.")
@click.option(
    "--namespace",
    "namespaces",
    metavar="NAME",
    multiple=True,
    callback=_namespaces,
    help="Watch only this; may be repeated. Default: all.",
)
@click.option(
    "--controller-id",
    metavar="NAME",
    default="",
    help="Marks the runners that are this controller's. Default: the cluster's id; with --namespace and --leader-elect, one of the Lease. Two controllers in one cluster need two.",
)
@host_options
@click.option(
    "--web-host",
    metavar="ADDRESS",
    default="",
    help="Where probes and metrics are served. Default: all addresses, of IPv4 and of IPv6.",
)
@click.option("--web-port", metavar="PORT", type=click.IntRange(0, 65_535), default=8080, show_default=True)
@click.option(
    "--github-points-per-minute",
    type=click.IntRange(min=0),
    help=f"GitHub's secondary rate limit per credential: a read costs 1, a registration 5; 0 for none. Default: "
    f"{POINTS_PER_MINUTE} on github.com and ghe.com, none on an Enterprise Server.",
)
@click.option(
    "--github-poll-seconds",
    type=click.FloatRange(min=1),
    default=GITHUB_INTERVAL,
    show_default=True,
    help="Between two looks at a repository where there is work; quiet ones are looked at more seldom.",
)
@click.option(
    "--hub-poll-seconds",
    type=click.FloatRange(min=1),
    default=HUB_INTERVAL,
    show_default=True,
    help="Between two lists of HF Jobs while any is alive.",
)
@click.option(
    "--parallel",
    type=click.IntRange(1, 100),
    default=16,
    show_default=True,
    help="Launches at once per pool's place, and as many retirements.",
)
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
    callback=_namespaces,
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
@click.option(
    "--stop-switch",
    metavar="NAME",
    help="ConfigMap by which people stop all launches (`pause`, `resume`); NAME-values is read too, for the chart. While it was "
    "never read, nothing is launched. Needs get on both. Default: no switch.",
)
@click.option(
    "--stop-switch-namespace",
    metavar="NAME",
    callback=_namespaces,
    help="Where it is. Default: the Lease's namespace, or the pod's.",
)
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
@click.option(
    "--debug-plan",
    is_flag=True,
    help="Serve /debug/plan: the newest plan as JSON, with the names of repositories, jobs and runners, to whoever reaches the "
    "port. Never a secret.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="One line per event on stderr, with the fields pool, runner, hf_job, workflow_job and reason.",
)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
def run_command(
    *,
    kubeconfig: str | None,
    context: str | None,
    namespaces: tuple[str, ...],
    controller_id: str,
    hosts: Hosts,
    web_host: str,
    web_port: int,
    github_points_per_minute: int | None,
    github_poll_seconds: float,
    hub_poll_seconds: float,
    parallel: int,
    runner_version: str,
    runner_sha256: dict[str, str],
    runner_base_url: str,
    leader_elect: bool,
    lease_name: str,
    lease_namespace: str | None,
    lease_duration: float,
    lease_renew_deadline: float,
    lease_retry_period: float,
    stop_switch: str | None,
    stop_switch_namespace: str | None,
    secrets_role: str,
    service_account: Key | None,
    debug_plan: bool,
    log_format: str,
    log_level: str,
) -> None:
    """Run the operator until SIGTERM or SIGINT.

    \b
    Serves, on --web-port, with the reason in the answer where one of the first two is 503:
      /livez       passes are made, and the watch (a follower: the look at the Lease) goes on; else restart it
      /readyz      besides, the RunnerPools are known and can be read (a follower: the Lease can)
      /metrics     for Prometheus
      /debug/plan  with --debug-plan: the newest plan

    Exit codes: 0 stopped, 1 Kubernetes cannot be used or the lease was lost (the message
    says why), 2 wrong arguments.
    """  # noqa: D301 - click's mark for lines that stay as they are
    if runner_version != RUNNER_VERSION and not runner_sha256:
        raise click.UsageError("--runner-version needs the archive's checksum: --runner-sha256 x64=…")
    election = None
    if leader_elect:
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
    switch = None
    if stop_switch:
        where = stop_switch_namespace or (election.namespace if election else None)
        switch = SwitchName(
            namespace=where or _own_namespace("--stop-switch outside of a pod needs --stop-switch-namespace"),
            name=stop_switch,
        )
    configure_logging(log_format, log_level)
    options = Options(
        kubeconfig=kubeconfig,
        context=context,
        namespaces=namespaces,
        settings=Settings(
            controller_id=controller_id,
            runner=RunnerVersion(
                version=runner_version,
                sha256=runner_sha256 or RUNNER_SHA256,
                base_url=runner_base_url.rstrip("/"),
            ),
            github_interval=github_poll_seconds,
            hub_interval=hub_poll_seconds,
            parallel=parallel,
            hosts=hosts,
        ),
        web_host=web_host,
        web_port=web_port,
        points_per_minute=github_points_per_minute,
        election=election,
        stop_switch=switch,
        debug_plan=debug_plan,
        secret_access=SecretAccess(role=secrets_role, account=service_account),
    )
    try:
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(run(options))
    except UpstreamError as error:
        log.error("cannot run", extra={"reason": str(error.failure.reason), "detail": error.failure.message})  # noqa: TRY400
        sys.exit(1)
    except LeadershipLost as lost:
        log.error("leadership lost", extra={"detail": f"{lost}; start again to follow"})  # noqa: TRY400
        sys.exit(1)
    except Exception:
        # In the log's own form, bounded and cleaned, and not as the interpreter would print it.
        log.exception(
            "stopped by a fault of the controller's own", extra={"reason": str(Reason.InternalError)}
        )
        sys.exit(1)
