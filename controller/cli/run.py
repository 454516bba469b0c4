"""``hf-runner-controller run``: the operator itself."""

from __future__ import annotations

import asyncio
import logging
import sys
from dataclasses import fields
from typing import Any

import click

from controller.adapters.github.limits import POINTS_PER_MINUTE
from controller.adapters.kube.election import LeadershipLost
from controller.adapters.names import Loop
from controller.app.options import Options
from controller.app.run import run
from controller.cli.hosts import host_options
from controller.cli.logs import configure_logging
from controller.cli.run_options import (
    leader_options,
    namespace_option,
    runner_options,
    secret_access_options,
    stop_switch_options,
)
from controller.core.reasons import Reason
from controller.observe.observatory import GITHUB_INTERVAL, HUB_INTERVAL
from controller.ports import UpstreamError
from controller.reconcile.assembly import Settings

log = logging.getLogger(__name__)


@click.command("run")
@click.option("--kubeconfig", metavar="FILE", help="Instead of the pod's ServiceAccount.")
@click.option("--context", metavar="NAME", help="Context of the kubeconfig.")
@click.option(
    "--namespace",
    "namespaces",
    metavar="NAME",
    multiple=True,
    callback=namespace_option,
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
    "points_per_minute",
    type=click.IntRange(min=0),
    help=f"GitHub's secondary rate limit per credential: a read costs 1, a registration 5; 0 for none. Default: "
    f"{POINTS_PER_MINUTE} on github.com and ghe.com, none on an Enterprise Server.",
)
@click.option(
    "--github-poll-seconds",
    "github_interval",
    type=click.FloatRange(min=1),
    default=GITHUB_INTERVAL,
    show_default=True,
    help="Between two looks at a repository where there is work; quiet ones are looked at more seldom.",
)
@click.option(
    "--hub-poll-seconds",
    "hub_interval",
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
@runner_options
@leader_options
@stop_switch_options
@secret_access_options
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
    log_format: str,
    log_level: str,
    **chosen: Any,  # noqa: ANN401 -- fields of Settings and Options, by their names
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
    configure_logging(log_format, log_level)
    settings = Settings(**{field.name: chosen.pop(field.name) for field in fields(Settings)})
    options = Options(settings=settings, **chosen)
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
