"""Wires everything, and orders start and shutdown."""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import socket
import string
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import NoReturn
from urllib.parse import urlsplit

from controller import __version__
from controller.adapters.connections import open_connections
from controller.adapters.fence import fence
from controller.adapters.github.limits import POINTS_PER_MINUTE
from controller.adapters.huggingface.bootstrap import RUNNER_NEWEST_ON, RUNNER_SERVED, RUNNER_VERSION
from controller.adapters.kube.client import Client, KubernetesError, connect, path_of
from controller.adapters.kube.election import Election, LeadershipLost, Timing
from controller.adapters.kube.events import KubernetesEvents
from controller.adapters.kube.intents import KubernetesIntents
from controller.adapters.kube.lease import KubernetesLeases
from controller.adapters.kube.pools import list_pools
from controller.adapters.kube.rights import SecretAccess
from controller.adapters.kube.schema import served_schema
from controller.adapters.kube.secrets import KubernetesSecrets
from controller.adapters.kube.status import KubernetesStatus
from controller.adapters.kube.stop_switch import KubernetesStopSwitch, SwitchName
from controller.api.crd import missing_fields
from controller.api.status import NEVER_SEEN
from controller.core.model import Disposition, Failure
from controller.core.naming import label_value
from controller.core.reasons import Reason
from controller.execute.spec import RunnerVersion
from controller.metrics.recorder import Metrics
from controller.observe.freshness import Freshness
from controller.observe.pools import PoolRegistry
from controller.observe.stop_switch import SwitchObserver
from controller.operator.handlers import Watch, quiet_logging
from controller.ports import Leader, Release, UpstreamError
from controller.reconcile.assembly import Settings, assemble
from controller.web import Health, serving

log = logging.getLogger(__name__)

COMPARE_INTERVAL = 300.0
"""Seconds between two comparisons of the registry with a list: a watch may miss that an object is gone (kopf.md §0.7)."""

COMPARE_AGAIN = 30.0
"""Seconds after a comparison that failed."""

PASS_OVERDUE = 60.0
"""Seconds without a pass, or without a look at the Lease, after which the process calls itself dead."""

SHUTDOWN_GRACE = 10.0
"""Seconds for effects under way to end; what is cut off then is safe to be cut off."""

HANDOVER_GRACE = 0.3
"""The same where another replica waits: it looks every 0.4 s, and the whole hand-over shall take less than a second."""

LAST_WORDS = 3.0
"""Seconds for Events that were not sent yet."""

PUBLISHED_WITHIN = 10.0
"""Seconds for the API server to publish the schema of a CRD that was just replaced."""

TOKEN_LETTERS = string.ascii_lowercase + string.digits


_MONOTONIC = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """This machine's clocks."""

    def wall(self) -> float:
        """Return epoch seconds."""
        return time.time()

    def mono(self) -> float:
        """Return monotonic seconds, which go on while the process is stopped or, on Linux, the machine sleeps."""
        return time.clock_gettime(_MONOTONIC)


class Alone:
    """Leadership of a process that takes it for granted that it is alone, until a pool proves the opposite.

    Args:
        identity: No process ever had it before.
    """

    transitions = 0

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self._why = ""
        self._over = asyncio.Event()

    def holds(self) -> bool:
        """Return whether nobody else was found."""
        return not self._over.is_set()

    def led_after(self, moment: float) -> bool | None:
        """Return None: there is no Lease that could tell."""
        del moment
        return None

    def lose(self, why: str) -> None:
        """Act no more."""
        self._why = self._why or why
        self._over.set()

    async def keep(self) -> NoReturn:
        """Wait until somebody else is found.

        Raises:
            LeadershipLost: Then.
        """
        await self._over.wait()
        raise LeadershipLost(self._why)


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
        points_per_minute: GitHub's secondary limit per credential; 0 means none, None what the host documents.
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


async def run(options: Options) -> None:
    """Run the operator until SIGTERM or SIGINT.

    Raises:
        UpstreamError: Kubernetes cannot be used at all, or lacks the CRD.
        LeadershipLost: Another replica may lead now. Everything has been stopped; start again to follow.
    """
    quiet_logging()
    clock, health, stop = SystemClock(), Health(), asyncio.Event()
    _heed_signals(stop)
    async with AsyncExitStack() as stack:
        # 1. A client for Kubernetes, and probes: a replica that waits for its turn is alive and ready.
        kube = await connect(kubeconfig=options.kubeconfig, context=options.context)
        stack.push_async_callback(kube.close)
        metrics = Metrics(clock=clock, release=_release(options.settings.runner))
        port = await stack.enter_async_context(
            serving(
                host=options.web_host,
                port=options.web_port,
                health=health,
                metrics=metrics.page,
                plan=metrics.plan if options.debug_plan else None,
            )
        )
        log.info("started", extra={"port": port})

        # 2. Who acts. Nothing of the controller exists before: what it does first rests on lists that were asked for after the
        #    last leader's last effect.
        if options.election is None:
            term = Term()
        else:
            await _require_fields(kube)  # who could not serve must not take the lease from one that can
            election = await _election(options, options.election, clock, stack)
            began = clock.mono()
            health.now(
                live=(lambda: _overdue(clock.mono() - (election.looked_at or began), "look at the lease"),),
                ready=(
                    lambda: None if election.known else "the lease has not been read yet",
                    lambda: _overdue(clock.mono() - (election.read_at or began), "answer about the lease"),
                ),
            )
            if not await _elected(election, stop):
                return
            term = Term(election)
        stack.push_async_callback(term.end)

        # 3. The term, which for a process that runs alone is its whole life.
        await _lead(options, clock=clock, kube=kube, metrics=metrics, health=health, stop=stop, term=term)


class Term:
    """The time for which this process leads; without an election, for ever."""

    def __init__(self, election: Election | None = None) -> None:
        leadership = election or Alone(_identity())
        self.leadership: Leader = leadership
        self.identity = election.identity if election else ""
        self.grace = SHUTDOWN_GRACE if election is None else HANDOVER_GRACE
        self._election = election
        self.lost: asyncio.Task[None] = asyncio.create_task(leadership.keep(), name="lease")

    async def end(self) -> None:
        """Let another replica lead. Idempotent; effects must have ended."""
        self.lost.cancel()
        await asyncio.wait({self.lost})
        if self._election is not None:
            await self._election.release()


async def _election(
    options: Options, where: LeaderElection, clock: SystemClock, stack: AsyncExitStack
) -> Election:
    client = await connect(kubeconfig=options.kubeconfig, context=options.context)
    stack.push_async_callback(client.close)
    leases = KubernetesLeases(client=client, namespace=where.namespace, name=where.name, clock=clock)

    async def untouched() -> bool:
        """Return whether no controller has ever looked at any pool that this one is to serve."""
        try:
            pools = [
                pool
                for namespace in options.namespaces or (None,)
                for pool in await list_pools(client, namespace=namespace)
            ]
        except UpstreamError:
            return False
        return all(
            (pool.get("status") or {}).get("observedGeneration", NEVER_SEEN) == NEVER_SEEN for pool in pools
        )

    return Election(
        leases=leases, identity=_identity(), timing=where.timing, clock=clock, untouched=untouched
    )


async def _elected(election: Election, stop: asyncio.Event) -> bool:
    """Follow until this process leads, or is told to stop: then return False."""
    candidacy = asyncio.create_task(election.acquire(), name="candidacy")
    told = asyncio.create_task(stop.wait(), name="stop")
    await asyncio.wait({candidacy, told}, return_when=asyncio.FIRST_COMPLETED)
    for task in (candidacy, told):
        task.cancel()
    await asyncio.gather(candidacy, told, return_exceptions=True)
    if stop.is_set():
        await election.release()
        return False
    candidacy.result()
    return True


async def _lead(
    options: Options,
    *,
    clock: SystemClock,
    kube: Client,
    metrics: Metrics,
    health: Health,
    stop: asyncio.Event,
    term: Term,
) -> None:
    """Be the controller until told to stop, or until a part of it fails or the lease is lost."""
    async with AsyncExitStack() as stack:
        # 1. The controller, over clients for whatever the pools name.
        controller_id = options.settings.controller_id or await _own_id(kube, options)
        switch = await _switch(options, stack)
        before_send = fence(term.leadership, identity=term.identity, stopped=switch.stops_for)
        connections = open_connections(
            secrets=KubernetesSecrets(client=kube, access=options.secret_access),
            clock=clock,
            hosts=options.settings.hosts,
            before_send=before_send,
            meter=metrics,
            points=lambda api_url: _points(api_url, options.points_per_minute),
        )
        stack.push_async_callback(connections.close)
        intents = KubernetesIntents(client=kube)
        events = KubernetesEvents(client=kube, clock=clock, instance=socket.gethostname())
        controller = assemble(
            replace(options.settings, controller_id=controller_id),
            connections=connections,
            statuses=KubernetesStatus(client=kube, seen=intents.note, leadership=term.leadership),
            intents=intents,
            events=events,
            clock=clock,
            leadership=term.leadership,
            token=_token,
            recorder=metrics,
            switch=switch,
        )
        registry, reconciler = controller.registry, controller.reconciler
        metrics.lead(term.leadership, controller.observatory)
        began, watch, freshness = clock.mono(), Watch(), Freshness(clock=clock)
        health.now(
            live=(
                lambda: _overdue(clock.mono() - (reconciler.last_pass_at or began), "planning pass"),
                freshness.stale,
            ),
            ready=(
                lambda: (
                    None if registry.synced and watch.ready.is_set() else "the RunnerPools are not known yet"
                ),
                freshness.unread,
            ),
        )

        # 2. Every pool once, so that no runner looks like a stray; then the loops, and kopf.
        await _list_first(kube, registry, options.namespaces)
        await _require_fields(kube, installed=True)
        await switch.first_look()
        log.info("serving", extra={"controller_id": controller_id, "pools": len(registry.pools)})
        passes = asyncio.create_task(reconciler.run(), name="passes")
        others = [
            asyncio.create_task(events.run(), name="events"),
            asyncio.create_task(switch.run(), name="stop switch"),
            asyncio.create_task(
                _compare_for_ever(kube, registry, options.namespaces, freshness), name="compare"
            ),
            asyncio.create_task(stop.wait(), name="stop"),
        ]
        await watch.start(
            registry,
            identity=kube.identity,
            namespaces=[name for name in options.namespaces if name not in registry.unlisted],
            leadership=term.leadership,
            heard=freshness.heard,
        )
        stack.push_async_callback(watch.stop)
        _heed_signals(stop)  # again: with its own handlers kopf would end first, and be waited for
        failing = {passes, *others, term.lost}
        try:
            ended, _ = await asyncio.wait({*failing, *watch.tasks}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # 3. No new pass, then the effects under way; then another may lead. What takes longer comes after.
            passes.cancel()
            await asyncio.wait({passes})
            await controller.executor.close(term.grace if term.leadership.holds() else 0.0)
            await term.end()
            await controller.close(0.0)
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS):
                    await events.flush()
            log.info("stopped")
        for task in failing & ended:
            task.result()  # what ended by itself has failed: let the process end with its error, and be started again


async def _switch(options: Options, stack: AsyncExitStack) -> SwitchObserver:
    """Return who looks at the stop switch, with a client of its own: it must not wait behind a thousand statuses."""
    if options.stop_switch is None:
        log.info("no stop switch: --stop-switch names none")
        return SwitchObserver()
    client = await connect(kubeconfig=options.kubeconfig, context=options.context)
    stack.push_async_callback(client.close)
    return SwitchObserver(KubernetesStopSwitch(client=client, switch=options.stop_switch))


def _overdue(age: float, what: str) -> str | None:
    return f"no {what} for {age:.0f} s" if age > PASS_OVERDUE else None


def _token() -> str:
    return "".join(secrets.choice(TOKEN_LETTERS) for _ in range(10))


def _identity() -> str:
    return f"{socket.gethostname()}_{_token()}"


def _heed_signals(stop: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


_NEXT_STEPS = {
    Reason.KubernetesUnavailable: "Check the API server's address in the kubeconfig, and that it runs.",
    Reason.KubernetesForbidden: "Grant it to the controller's ServiceAccount: docs/reference/rbac.md has the rules.",
}


@contextmanager
def _needed_at_start(hints: Mapping[Reason, str]) -> Iterator[None]:
    """Let a failure of Kubernetes say what to do about it: while running it is tried again, at the start it is the end."""
    try:
        yield
    except UpstreamError as error:
        reason, words = error.failure.reason, error.failure.message.removesuffix(error.failure.reason.meaning)
        hint = hints.get(reason) or _NEXT_STEPS.get(reason, reason.meaning)
        raise UpstreamError(
            Failure(reason=reason, message=f"{words.strip()} {hint}", disposition=Disposition.PERSON)
        ) from error


async def _own_id(kube: Client, options: Options) -> str:
    """Return an id that stays the same for the life of the installation, and that no other in the world has.

    A controller of all namespaces is its cluster's only one: the uid of ``kube-system``, which lives as long as the cluster.
    Of those for single namespaces there may be several: the uid of the namespace where the replicas' Lease is, and its name.
    """
    home, suffix = "kube-system", ""
    if options.namespaces and options.election is not None:
        home, suffix = options.election.namespace, f"-{options.election.name}"
    instead = "Pass --controller-id, a name that no other controller uses, or grant it."
    with _needed_at_start({Reason.KubernetesForbidden: instead, Reason.KubernetesNotFound: instead}):
        found = await kube.request_json("GET", path_of("api", "v1", "namespaces", home))
    return label_value(f"{found['metadata']['uid']}{suffix}")


async def _list_first(kube: Client, registry: PoolRegistry, namespaces: tuple[str, ...]) -> None:
    install = (
        "This cluster has no RunnerPools yet: install the CRD with `kubectl apply --server-side -f crds/`."
    )
    with _needed_at_start({Reason.KubernetesNotFound: install}):
        await _compare(kube, registry, namespaces)


async def _require_fields(kube: Client, *, installed: bool = False) -> None:
    """Refuse to run on an older CRD: what that has no field for, the API server would drop from every status silently.

    Args:
        kube: A client.
        installed: There is a CRD, so its schema will be published, if it is not yet: that is waited for.

    Raises:
        UpstreamError: It is older, and has been for :data:`PUBLISHED_WITHIN`.
    """
    missing: Sequence[str] | None = None
    for _ in range(int(PUBLISHED_WITHIN)):
        try:
            served = await served_schema(kube)
        except UpstreamError as error:
            log.warning("the CRD's schema cannot be checked", extra={"detail": str(error)})
            return
        missing = missing_fields(served) if served else None
        if missing == [] or (missing is None and not installed):
            return
        await asyncio.sleep(1.0)
    if missing is None:
        log.warning("the CRD's schema cannot be checked", extra={"detail": "the API server publishes none"})
        return
    more = f" and {len(missing) - 3} more fields" if len(missing) > 3 else ""
    message = (
        f"The RunnerPool CRD of this cluster is older than this controller ({__version__}): it lacks "
        f"{', '.join(missing[:3])}{more}. Install this version's: `helm upgrade` with crds.enabled=true, or "
        "`kubectl apply --server-side --force-conflicts -f crds/`."
    )
    raise UpstreamError(Failure(reason=Reason.CRDOutdated, message=message, disposition=Disposition.PERSON))


async def _compare(kube: Client, registry: PoolRegistry, namespaces: tuple[str, ...]) -> int:
    """Compare the registry with a list; return by how many objects it was behind.

    One of several namespaces that may not be listed costs the others nothing: it may be gone, and its Role with it.

    Raises:
        UpstreamError: No namespace may be listed, or something else went wrong.
    """
    before, bodies = registry.uids(), []
    refused: dict[str, KubernetesError] = {}
    for namespace in namespaces or (None,):
        try:
            bodies += await list_pools(kube, namespace=namespace)
        except KubernetesError as error:
            if namespace is None or error.status != 403 or len(refused) + 1 == len(namespaces):
                raise
            refused[namespace] = error
    for name, refusal in refused.items():
        log.warning(
            "namespace not served; take it out of --namespace if it is gone",
            extra={
                "namespace": name,
                "reason": str(refusal.failure.reason),
                "detail": refusal.failure.message,
            },
        )
    return registry.replace_all(bodies, before=before, unlisted=refused)


async def _compare_for_ever(
    kube: Client, registry: PoolRegistry, namespaces: tuple[str, ...], freshness: Freshness
) -> None:
    pause, unwatched = COMPARE_INTERVAL, registry.unlisted
    while True:
        await asyncio.sleep(pause)
        try:
            freshness.compared(await _compare(kube, registry, namespaces))
            pause = COMPARE_INTERVAL
        except UpstreamError as error:
            freshness.not_compared(str(error))
            pause = COMPARE_AGAIN
            log.warning(
                "RunnerPools not listed", extra={"reason": str(error.failure.reason), "detail": str(error)}
            )
        if back := sorted(unwatched - registry.unlisted):
            # Only a new start watches them.
            message = f"RunnerPools of namespace {', '.join(back)} can be listed now, and are not watched yet: start again."
            raise UpstreamError(Failure(reason=Reason.KubernetesForbidden, message=message))


def _points(api_url: str, chosen: int | None) -> int | None:
    """Return the pace for one host.

    GitHub documents a limit of its own; an Enterprise Server has none unless its administrator wants one (github.md §1.5),
    and the client slows down when it meets it.
    """
    if chosen is not None:
        return chosen or None
    host = urlsplit(api_url).hostname or ""
    return POINTS_PER_MINUTE if host == "api.github.com" or host.endswith(".ghe.com") else None


def _release(runner: RunnerVersion) -> Release:
    """Return until when a release is served: a successor may have come out on the day after it was last known to be the newest."""
    if runner.version != RUNNER_VERSION:
        return Release(version=runner.version, served_until=None)
    newest_at = datetime.combine(RUNNER_NEWEST_ON, datetime.min.time(), UTC)
    return Release(version=runner.version, served_until=(newest_at + RUNNER_SERVED).timestamp())
