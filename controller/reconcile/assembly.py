"""Puts one controller together over whatever implements its ports: the real services or the simulated ones.

Everything but kopf, probes and process signals, which only a real process has; so what the simulation runs is what ships.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from controller.core.hosts import DEFAULT_HOSTS, Hosts
from controller.core.intents import Intent
from controller.core.model import Flavor
from controller.execute.executor import Executor
from controller.execute.intents import IntentLog
from controller.execute.spec import RunnerVersion
from controller.observe.observatory import GITHUB_INTERVAL, HUB_INTERVAL, Observatory
from controller.observe.stop_switch import SwitchObserver
from controller.pools import PoolRegistry
from controller.ports import Clock, Connections, Events, Intents, Leader, StatusWriter
from controller.reconcile.loop import Reconciler
from controller.reconcile.protocols import Recorder
from controller.reconcile.publish import Publisher


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What may be chosen about one controller.

    Attributes:
        controller_id: Marks what is ours.
        runner: The archive for images without a runner.
        github_interval: Seconds between two looks at GitHub where there is work.
        hub_interval: Seconds between two looks at the Hub where something lives.
        parallel: Effects at once per place and kind.
        hosts: To which hosts credentials may be sent.
    """

    controller_id: str
    runner: RunnerVersion
    github_interval: float = GITHUB_INTERVAL
    hub_interval: float = HUB_INTERVAL
    parallel: int = 16
    hosts: Hosts = DEFAULT_HOSTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """One controller; feed ``registry``, and run ``reconciler`` and ``switch``."""

    registry: PoolRegistry
    observatory: Observatory
    executor: Executor
    reconciler: Reconciler
    switch: SwitchObserver

    async def close(self, grace: float) -> None:
        """Let effects under way end for ``grace`` seconds, then stop observing."""
        await self.executor.close(grace)
        await self.observatory.close()


def assemble(
    settings: Settings,
    *,
    connections: Connections,
    statuses: StatusWriter,
    intents: Intents,
    events: Events,
    clock: Clock,
    leadership: Leader,
    token: Callable[[], str],
    recorder: Recorder,
    switch: SwitchObserver | None = None,
) -> Controller:
    """Wire one controller; nothing runs yet.

    Args:
        settings: Choices.
        connections: Clients by credentials.
        statuses: Where statuses go.
        intents: Where launches are written down before they begin.
        events: Where Events go.
        clock: Time.
        leadership: Asked before every effect.
        token: Returns text that nobody had before, each time; the names of one pass's runners come from it.
        recorder: Where passes are measured.
        switch: Where people stop all launches; None where there is no such place.
    """
    wake = asyncio.Event()
    switch = switch or SwitchObserver()
    switch.on_change(wake.set)
    # What is known: pools, and what the services show.
    registry = PoolRegistry(hosts=settings.hosts, changed=wake.set)
    observatory = Observatory(
        connections=connections,
        clock=clock,
        controller_id=settings.controller_id,
        pools_known=lambda: registry.complete,
        changed=wake.set,
        github_interval=settings.github_interval,
        hub_interval=settings.hub_interval,
    )

    # What is done: effects, and the words about them.
    def adopt(uid: str, found: Sequence[Intent]) -> None:
        executor.take_over(uid, found)

    intent_log = IntentLog(
        store=intents,
        clock=clock,
        leader=leadership,
        adopted=adopt,
        changed=wake.set,
        took=recorder.intended,
    )
    executor = Executor(
        connections=connections,
        clock=clock,
        leadership=leadership,
        controller_id=settings.controller_id,
        runner=settings.runner,
        intents=intent_log,
        offer=lambda endpoint, name: _offer(observatory, endpoint, name),
        launched=observatory.launched,
        settled=wake.set,
        stopped=switch.stops_for,
        allow_http=settings.hosts.allow_http,
        parallel=settings.parallel,
    )
    reconciler = Reconciler(
        registry=registry,
        observatory=observatory,
        executor=executor,
        intents=intent_log,
        publisher=Publisher(
            statuses=statuses, events=events, clock=clock, first_sight=registry.status_at_first_sight
        ),
        connections=connections,
        leadership=leadership,
        clock=clock,
        controller_id=settings.controller_id,
        token=token,
        recorder=recorder,
        wake=wake,
        hosts=settings.hosts,
        switch=lambda: switch.state,
    )
    return Controller(
        registry=registry,
        observatory=observatory,
        executor=executor,
        reconciler=reconciler,
        switch=switch,
    )


def _offer(observatory: Observatory, endpoint: str, name: str) -> Flavor | None:
    observer = observatory.endpoints.get(endpoint)
    seen = observer.observation if observer else None
    return next((flavor for flavor in seen.items if flavor.name == name), None) if seen else None
