"""One term of leadership: a controller is put together, serves, and is stopped in an order that
leaves nothing half done.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Any

from controller.adapters.connections import open_connections
from controller.adapters.fence import fence
from controller.adapters.github.limits import points_per_minute
from controller.adapters.kube.client import Client, connect
from controller.adapters.kube.events import KubernetesEvents
from controller.adapters.kube.intents import KubernetesIntents
from controller.adapters.kube.secrets import KubernetesSecrets
from controller.adapters.kube.status import KubernetesStatus
from controller.adapters.kube.stop_switch import KubernetesStopSwitch
from controller.app.clock import SystemClock
from controller.app.compare import compare_for_ever
from controller.app.identity import fresh_token
from controller.app.options import Options
from controller.app.startup import list_first, own_id, require_fields
from controller.app.term import Term
from controller.metrics.recorder import Metrics
from controller.observe.freshness import Freshness
from controller.observe.stop_switch import SwitchObserver
from controller.operator.handlers import Watch
from controller.reconcile.assembly import Controller, assemble
from controller.web import Health, overdue

log = logging.getLogger(__name__)

LAST_EVENTS = 3.0
"""Seconds for Events that were not sent yet."""


async def lead(
    options: Options,
    *,
    clock: SystemClock,
    kube: Client,
    metrics: Metrics,
    health: Health,
    stop: asyncio.Event,
    term: Term,
) -> None:
    """Be the controller until told to stop, or until a part of it fails or the lease is lost.

    Raises:
        UpstreamError: Kubernetes lacks what is needed at the start, or a namespace can be served now
            that could not be before.
        LeadershipLost: Another replica may lead now.
    """
    async with AsyncExitStack() as stack:
        # 1. The controller, over clients for whatever the pools name.
        controller_id = options.settings.controller_id or await own_id(kube, options)
        switch = await _open_switch(options, stack)
        before_send = fence(term.leadership, identity=term.identity, stopped=switch.stops_for)
        connections = open_connections(
            secrets=KubernetesSecrets(client=kube, access=options.secret_access),
            clock=clock,
            hosts=options.settings.hosts,
            before_send=before_send,
            meter=metrics,
            points=lambda api_url: points_per_minute(api_url, options.points_per_minute),
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
            token=fresh_token,
            recorder=metrics,
            switch=switch,
        )
        registry = controller.registry
        metrics.lead(term.leadership, controller.observatory)
        watch, freshness = Watch(), Freshness(clock=clock)
        _show(health, controller, watch, freshness, clock)

        # 2. Every pool once, so that no runner looks like a stray; then the loops, and kopf.
        await list_first(kube, registry, options.namespaces)
        await require_fields(kube, installed=True)
        await switch.first_look()
        log.info("serving", extra={"controller_id": controller_id, "pools": len(registry.pools)})
        passes = asyncio.create_task(controller.reconciler.run(), name="passes")
        others = [
            asyncio.create_task(events.run(), name="events"),
            asyncio.create_task(switch.run(), name="stop switch"),
            asyncio.create_task(
                compare_for_ever(kube, registry, options.namespaces, freshness), name="compare"
            ),
            asyncio.create_task(stop.wait(), name="stop"),
        ]
        failing = {passes, *others, term.lost}
        try:
            await watch.start(
                registry,
                identity=kube.identity,
                namespaces=[name for name in options.namespaces if name not in registry.unlisted],
                leadership=term.leadership,
                heard=freshness.message_came,
            )
            stack.push_async_callback(watch.stop)
            heed_signals(stop)  # again: with its own handlers kopf would end first, and be waited for
            ended, _ = await asyncio.wait({*failing, *watch.tasks}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end(controller, term, passes=passes, others=others, events=events)
        for task in failing & ended:
            task.result()  # what ended by itself has failed: let the process end with its error, and be started again


async def _end(
    controller: Controller,
    term: Term,
    *,
    passes: asyncio.Task[None],
    others: Sequence[asyncio.Task[Any]],
    events: KubernetesEvents,
) -> None:
    """Make no new pass, then let the effects under way end; then another may lead. What
    takes longer comes after.
    """
    passes.cancel()
    await asyncio.wait({passes})
    await controller.executor.close(term.grace if term.leadership.holds() else 0.0)
    await term.end()
    await controller.close(0.0)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    with suppress(TimeoutError):
        async with asyncio.timeout(LAST_EVENTS):
            await events.flush()
    log.info("stopped")


def _show(
    health: Health, controller: Controller, watch: Watch, freshness: Freshness, clock: SystemClock
) -> None:
    """Answer probes from now on as a leader."""
    registry, reconciler, began = controller.registry, controller.reconciler, clock.mono()
    health.now(
        live=(
            lambda: overdue(clock.mono() - (reconciler.last_pass_at or began), "planning pass"),
            freshness.stale,
        ),
        ready=(
            lambda: None if registry.synced and watch.ready.is_set() else "the RunnerPools are not known yet",
            freshness.unread,
        ),
    )


async def _open_switch(options: Options, stack: AsyncExitStack) -> SwitchObserver:
    """Return who looks at the stop switch, with a client of its own: it must not wait
    behind a thousand statuses.
    """
    if options.stop_switch is None:
        log.info("no stop switch: --stop-switch names none")
        return SwitchObserver()
    client = await connect(kubeconfig=options.kubeconfig, context=options.context)
    stack.push_async_callback(client.close)
    return SwitchObserver(KubernetesStopSwitch(client=client, switch=options.stop_switch))


def heed_signals(stop: asyncio.Event) -> None:
    """Set ``stop`` at SIGTERM and SIGINT, from now on and instead of whatever else. Idempotent."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
