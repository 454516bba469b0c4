"""Wires everything, and orders start and shutdown."""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import socket
import ssl
import string
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

from controller.adapters.connections import SecretCache, SecretConnections
from controller.adapters.github.auth import credentials_from_secret
from controller.adapters.github.connection import GitHubConnection
from controller.adapters.github.limits import POINTS_PER_MINUTE
from controller.adapters.huggingface.jobs import HubJobs
from controller.adapters.huggingface.session import open_session
from controller.adapters.kube.client import Client, connect
from controller.adapters.kube.events import KubernetesEvents
from controller.adapters.kube.pools import list_pools
from controller.adapters.kube.secrets import KubernetesSecrets
from controller.adapters.kube.status import KubernetesStatus
from controller.core.model import Disposition, Failure, GitHubSource, HubAccount
from controller.core.reasons import Reason
from controller.execute.spec import RunnerVersion
from controller.metrics import Metrics
from controller.observe.pools import PoolRegistry
from controller.operator.handlers import quiet_logging, watch
from controller.ports import GitHub, Hub, UpstreamError
from controller.reconcile.assembly import Settings, assemble
from controller.web import serving

log = logging.getLogger(__name__)

COMPARE_INTERVAL = 300.0
"""Seconds between two comparisons of the registry with a list: a watch may miss that an object is gone (kopf.md §0.7)."""

PASS_OVERDUE = 60.0
"""Seconds without a pass after which the process calls itself dead."""

SHUTDOWN_GRACE = 10.0
"""Seconds for effects under way to end; what is cut off then is safe to be cut off."""

TOKEN_LETTERS = string.ascii_lowercase + string.digits


class SystemClock:
    """This machine's clocks."""

    def wall(self) -> float:
        """Return epoch seconds."""
        return time.time()

    def mono(self) -> float:
        """Return monotonic seconds."""
        return time.monotonic()


class AlwaysLeads:
    """Leadership of a process that runs alone."""

    def holds(self) -> bool:
        """Return True."""
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What ``hf-runner-controller run`` was told.

    Attributes:
        kubeconfig: File, None for the pod's ServiceAccount or kubectl's default.
        context: Of the kubeconfig.
        namespaces: To watch; empty for the whole cluster.
        settings: Of the controller itself; an empty ``controller_id`` is derived from the cluster.
        web_host: Where probes and metrics are served.
        web_port: Likewise; 0 takes a free one.
        points_per_minute: GitHub's secondary limit per credential; 0 means none.
    """

    kubeconfig: str | None = None
    context: str | None = None
    namespaces: tuple[str, ...] = ()
    settings: Settings = field(default_factory=lambda: Settings(controller_id="", runner=RunnerVersion()))
    web_host: str = "0.0.0.0"  # noqa: S104 - the kubelet probes the pod's address
    web_port: int = 8080
    points_per_minute: int = POINTS_PER_MINUTE


async def run(options: Options) -> None:
    """Run the operator until SIGTERM or SIGINT.

    Raises:
        UpstreamError: Kubernetes cannot be reached at all, or lacks the CRD.
    """
    quiet_logging()
    clock, metrics = SystemClock(), Metrics()
    async with AsyncExitStack() as stack:
        # 1. Kubernetes: nothing can be done without it, so its failure ends the process with a sentence.
        kube = await connect(kubeconfig=options.kubeconfig, context=options.context)
        stack.push_async_callback(kube.close)
        controller_id = options.settings.controller_id or await _cluster_id(kube)

        # 2. The controller, over clients for whatever the pools name.
        connections = _connections(options, clock, kube)
        stack.push_async_callback(connections.close)
        events = KubernetesEvents(client=kube, clock=clock, instance=socket.gethostname())
        controller = assemble(
            replace(options.settings, controller_id=controller_id),
            connections=connections,
            statuses=KubernetesStatus(client=kube),
            events=events,
            clock=clock,
            leadership=AlwaysLeads(),
            token=lambda: "".join(secrets.choice(TOKEN_LETTERS) for _ in range(10)),
            recorder=metrics,
        )
        registry, reconciler = controller.registry, controller.reconciler

        # 3. Probes first, then every pool once, so that no runner looks like a stray; then the loops.
        began = clock.mono()
        watching = asyncio.Event()
        port = await stack.enter_async_context(
            serving(
                host=options.web_host,
                port=options.web_port,
                live=lambda: _overdue(clock.mono() - (reconciler.last_pass_at or began)),
                ready=lambda: (
                    None if registry.synced and watching.is_set() else "the RunnerPools are not known yet"
                ),
                metrics=metrics.text,
            )
        )
        log.info("started", extra={"controller_id": controller_id, "port": port})
        await _compare(kube, registry, options.namespaces)
        loops = [
            asyncio.create_task(reconciler.run(), name="passes"),
            asyncio.create_task(events.run(), name="events"),
            asyncio.create_task(_compare_for_ever(kube, registry, options.namespaces), name="compare"),
        ]
        try:
            await _watch_until_told(options, kube, registry, watching, loops)
        finally:
            # 4. No new pass, then the effects under way, then their words; clients go last (the stack).
            loops[0].cancel()
            await controller.close(SHUTDOWN_GRACE)
            for task in loops:
                task.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            log.info("stopped")


def _overdue(age: float) -> str | None:
    return f"no planning pass for {age:.0f} s" if age > PASS_OVERDUE else None


async def _watch_until_told(
    options: Options,
    kube: Client,
    registry: PoolRegistry,
    watching: asyncio.Event,
    loops: list[asyncio.Task[None]],
) -> None:
    """Run kopf until a signal comes or a loop of ours fails; either way kopf is stopped in its own manner."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    operator = asyncio.create_task(
        watch(registry, identity=kube.identity, namespaces=options.namespaces, stop=stop, watching=watching),
        name="kopf",
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    done, _ = await asyncio.wait({operator, *loops}, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await asyncio.wait({operator})
    for task in done:
        task.result()  # a loop that ended has failed: let the process end with its error, and be started again


async def _cluster_id(kube: Client) -> str:
    """Return an id that is this cluster's: the uid of its ``kube-system`` namespace, which lives as long as the cluster."""
    try:
        found = await kube.request_json("GET", "/api/v1/namespaces/kube-system")
    except UpstreamError as error:
        message = f"{error.failure.message} Pass --controller-id, a name that no other controller uses."
        raise UpstreamError(
            Failure(reason=error.failure.reason, message=message, disposition=Disposition.PERSON)
        ) from error
    return str(found["metadata"]["uid"])


async def _compare(kube: Client, registry: PoolRegistry, namespaces: tuple[str, ...]) -> None:
    bodies = []
    for namespace in namespaces or (None,):
        bodies += await list_pools(kube, namespace=namespace)
    registry.replace_all(bodies)


async def _compare_for_ever(kube: Client, registry: PoolRegistry, namespaces: tuple[str, ...]) -> None:
    while True:
        await asyncio.sleep(COMPARE_INTERVAL)
        try:
            await _compare(kube, registry, namespaces)
        except UpstreamError as error:
            log.warning(
                "RunnerPools not listed", extra={"reason": str(error.failure.reason), "detail": str(error)}
            )


def _connections(options: Options, clock: SystemClock, kube: Client) -> SecretConnections:
    tls = ssl.create_default_context()  # shared: making one costs 16 ms and a megabyte
    session = open_session()

    def open_github(source: GitHubSource, data: Mapping[str, str]) -> GitHub:
        return GitHubConnection(
            source=source,
            credentials=credentials_from_secret(data, ref=source.secret),
            clock=clock,
            tls=tls,
            points_per_minute=options.points_per_minute or None,
            allow_http=options.settings.allow_http,
        )

    def open_hub(account: HubAccount, data: Mapping[str, str]) -> Hub:
        token = data.get("token")
        if token is None:
            raise UpstreamError(
                Failure(
                    reason=Reason.SecretMalformed,
                    message=f"Secret {account.secret} has no key 'token' with a Hugging Face token",
                    disposition=Disposition.PERSON,
                )
            )
        return HubJobs(account=account, token=token, session=session, clock=clock)

    secret_cache = SecretCache(secrets=KubernetesSecrets(client=kube), clock=clock)
    return SecretConnections(cache=secret_cache, open_github=open_github, open_hub=open_hub)
