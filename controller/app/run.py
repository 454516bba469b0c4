"""Orders the life of a real process: a client and probes, the wait for leadership, one term."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack

from controller.adapters.kube.client import connect
from controller.app.clock import SystemClock
from controller.app.lead import heed_signals, lead
from controller.app.options import Options
from controller.app.startup import require_fields
from controller.app.term import Term, elected, open_election
from controller.execute.spec import release_of
from controller.metrics.recorder import Metrics
from controller.operator.handlers import quiet_logging
from controller.web import Health, overdue, serving

log = logging.getLogger(__name__)


async def run(options: Options) -> None:
    """Run the operator until SIGTERM or SIGINT.

    Raises:
        UpstreamError: Kubernetes cannot be used at all, or lacks the CRD.
        LeadershipLost: Another replica may lead now. Everything has been stopped; start again to follow.
    """
    quiet_logging()
    clock, health, stop = SystemClock(), Health(), asyncio.Event()
    heed_signals(stop)
    async with AsyncExitStack() as stack:
        # 1. A client for Kubernetes, and probes: a replica that waits for its turn is alive and ready.
        kube = await connect(kubeconfig=options.kubeconfig, context=options.context)
        stack.push_async_callback(kube.close)
        metrics = Metrics(clock=clock, release=release_of(options.settings.runner))
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

        # 2. Who acts. Nothing of the controller exists before: what it does first rests on lists that were
        #    asked for after the last leader's last effect.
        if options.election is None:
            term = Term()
        else:
            await require_fields(kube)  # who could not serve must not take the lease from one that can
            election = await open_election(options, options.election, clock, stack)
            began = clock.mono()
            health.now(
                live=(lambda: overdue(clock.mono() - (election.looked_at or began), "look at the lease"),),
                ready=(
                    lambda: None if election.known else "the lease has not been read yet",
                    lambda: overdue(clock.mono() - (election.read_at or began), "answer about the lease"),
                ),
            )
            if not await elected(election, stop):
                return
            term = Term(election)
        stack.push_async_callback(term.end)

        # 3. The term, which for a process that runs alone is its whole life.
        await lead(options, clock=clock, kube=kube, metrics=metrics, health=health, stop=stop, term=term)
