"""What ``hf-runner-controller run`` was told."""

from __future__ import annotations

from dataclasses import dataclass, field

from controller.adapters.kube.election import Timing
from controller.adapters.kube.rights import SecretAccess
from controller.adapters.kube.stop_switch import SwitchName
from controller.execute.spec import RunnerVersion
from controller.reconcile.assembly import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderElection:
    """Which Lease the replicas compete for.

    Attributes:
        namespace: Of the Lease; this process needs get, create and update on leases there.
        name: Of the Lease. Two controllers with different ids need two.
        timing: Durations.
    """

    namespace: str
    name: str
    timing: Timing = Timing()  # noqa: RUF009 - frozen


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What ``hf-runner-controller run`` was told.

    Attributes:
        kubeconfig: File, None for the pod's ServiceAccount or kubectl's default.
        context: Of the kubeconfig.
        namespaces: To watch; empty for the whole cluster.
        settings: Of the controller itself; an empty ``controller_id`` is derived from the cluster.
        web_host: Where probes and metrics are served; empty for all addresses, of IPv4 and of IPv6.
        web_port: Likewise; 0 takes a free one.
        points_per_minute: GitHub's secondary limit per credential; 0 means none, None what
            the host documents.
        election: For one of several replicas; None for a process that runs alone.
        stop_switch: Where people stop all launches; None where nobody can.
        debug_plan: Serve ``/debug/plan``.
        secret_access: What pools are told whose Secrets may not be read.
    """

    kubeconfig: str | None = None
    context: str | None = None
    namespaces: tuple[str, ...] = ()
    settings: Settings = field(default_factory=lambda: Settings(controller_id="", runner=RunnerVersion()))
    web_host: str = ""
    web_port: int = 8080
    points_per_minute: int | None = None
    election: LeaderElection | None = None
    stop_switch: SwitchName | None = None
    debug_plan: bool = False
    secret_access: SecretAccess = SecretAccess()  # noqa: RUF009 - frozen
