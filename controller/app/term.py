"""Who leads: one term of leadership, and the wait for it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import NoReturn

from controller.adapters.kube.client import connect
from controller.adapters.kube.election import Election, LeadershipLost
from controller.adapters.kube.lease import KubernetesLeases
from controller.adapters.kube.pools import list_pools
from controller.api.status.model import NEVER_SEEN
from controller.app.clock import SystemClock
from controller.app.identity import identity
from controller.app.options import LeaderElection, Options
from controller.ports import Alone, Leader, UpstreamError

SHUTDOWN_GRACE = 10.0
"""Seconds for effects under way to end; what is cut off then is safe to be cut off."""

HANDOVER_GRACE = 0.3
"""The same where another replica waits: it looks every 0.4 s, and the whole hand-over shall
take less than a second."""


class PresumedAlone(Alone):
    """Leadership without an election that can be waited for.

    Args:
        identity: No process ever had it before.
    """

    def __init__(self, identity: str) -> None:
        super().__init__(identity)
        self._over = asyncio.Event()

    def lose(self, why: str) -> None:
        """Act no more."""
        super().lose(why)
        self._over.set()

    async def renew_until_lost(self) -> NoReturn:
        """Wait until somebody else is found; without an election there is no lease to renew.

        Raises:
            LeadershipLost: Then.
        """
        await self._over.wait()
        raise LeadershipLost(self.lost)


class Term:
    """The time for which this process leads; without an election, for ever."""

    def __init__(self, election: Election | None = None) -> None:
        leadership = election or PresumedAlone(identity())
        self.leadership: Leader = leadership
        self.identity = election.identity if election else ""
        self.grace = SHUTDOWN_GRACE if election is None else HANDOVER_GRACE
        self._election = election
        self.lost: asyncio.Task[None] = asyncio.create_task(leadership.renew_until_lost(), name="lease")

    async def end(self) -> None:
        """Let another replica lead. Idempotent; effects must have ended."""
        self.lost.cancel()
        await asyncio.wait({self.lost})
        if self._election is not None:
            await self._election.release()


async def open_election(
    options: Options, where: LeaderElection, clock: SystemClock, stack: AsyncExitStack
) -> Election:
    """Return this process's candidacy for a Lease, with a client of its own that the stack
    closes; nothing is asked yet.
    """
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

    return Election(leases=leases, identity=identity(), timing=where.timing, clock=clock, untouched=untouched)


async def elected(election: Election, stop: asyncio.Event) -> bool:
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
