"""Two real replicas on a real API server, in every trouble that takes a leader away.

Who acted is read in the services' own request logs, which name the replica. Times are printed (``-s``), never
asserted; those with the default durations are in docs/operations/leadership.md, from ``LEASE=default``.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest
import pytest_asyncio

from controller.adapters.kube.client import connect
from tools.chaos.cluster import LEASE, Cluster
from tools.chaos.replicas import Replica
from tools.chaos.storm import HASTE
from tools.chaos.world import World, open_world
from tools.controlplane import ControlPlane

pytestmark = [
    pytest.mark.controlplane,
    pytest.mark.timeout(900),
    pytest.mark.asyncio(loop_scope="module"),
]

PATIENCE = 180.0
"""Seconds for one thing to come about. Only a failure takes as long; a machine that is busy with other
tests may take half of it."""

NAMESPACE = "leadership"
SHORT = ("--lease-duration", "15", "--lease-renew-deadline", "12", "--lease-retry-period", "1.5")
"""Renewed often, and lost late: a leader that gets no processor for ten seconds keeps its Lease, as these
tests want to choose who loses it."""
DURATIONS = () if os.environ.get("LEASE") == "default" else SHORT
HANG = float(os.environ.get("HANG", "0"))
"""Seconds for which the API server hangs beyond the take-over; the figures were taken with some minutes."""


@dataclass(kw_only=True)
class Pair:
    world: World
    cluster: Cluster
    replicas: list[Replica]
    earlier_acts: int = 0

    def terms(self) -> list[str]:
        """Return who acted in this test, in order."""
        return self.world.terms(skip=self.earlier_acts)

    async def until(self, met: object, what: str) -> None:
        ends = time.monotonic() + PATIENCE
        while True:
            answer = met()  # type: ignore[operator]
            if asyncio.iscoroutine(answer):
                answer = await answer
            if answer:
                return
            log_text = "\n".join(replica.log_text() for replica in self.replicas)
            assert time.monotonic() < ends, f"not within {PATIENCE:.0f} s: {what}\n{log_text}"
            await asyncio.sleep(0.05)

    async def leader(self, *, after: str = "") -> tuple[Replica, str]:
        """Wait for a leader that is not ``after``, and return its place and identity."""
        found: list[tuple[Replica, str]] = []

        async def led() -> bool:
            holder = await self.cluster.holder()
            found[:] = [(r, holder) for r in self.replicas if holder and f"identity={holder}" in r.log_text()]
            return bool(found) and holder != after

        await self.until(led, "somebody leads")
        return found[0]

    async def serves(self) -> None:
        """Queue a workflow job, and wait until it is done."""
        self.world.queue("lib", "gpu", seconds=0.5)
        await self.until(lambda: not self.world.undone(), "the workflow job is done")

    @asynccontextmanager
    async def under_load(self) -> AsyncIterator[None]:
        """Queue a workflow job every half a second, so that whoever may act has something to
        do; then let all be done.
        """

        async def queue() -> None:
            while True:
                if len(self.world.undone()) < 20:
                    self.world.queue("lib", "gpu", seconds=0.2)
                await asyncio.sleep(0.5)

        load = asyncio.create_task(queue())
        try:
            yield
        finally:
            load.cancel()
            await asyncio.gather(load, return_exceptions=True)
        await self.until(lambda: not self.world.undone(), "all workflow jobs are done")

    def other(self, one: Replica) -> Replica:
        return next(replica for replica in self.replicas if replica is not one)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(api_server: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """Two places for replicas, and a world that they serve."""
    directory = tmp_path_factory.mktemp("replicas")
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(open_world(["lib"]))
        arguments = (
            *("--namespace", NAMESPACE, "--controller-id", NAMESPACE),
            *("--leader-elect", "--lease-namespace", NAMESPACE, "--lease-name", LEASE, *DURATIONS, *HASTE),
            *("--github-host", world.github_url, "--hub-endpoint", world.hub_url, "--allow-http"),
        )
        replicas = [
            Replica(number=number, kubeconfig=api_server.kubeconfig, directory=directory, arguments=arguments)
            for number in (1, 2)
        ]
        kube = await stack.enter_async_context(await connect(kubeconfig=str(api_server.kubeconfig)))
        for replica in replicas:
            await stack.enter_async_context(replica.ready())
        cluster = Cluster(kube=kube, namespace=NAMESPACE)
        await cluster.prepare(world)
        await cluster.apply(world.pool(NAMESPACE, "gpu"))
        yield Pair(world=world, cluster=cluster, replicas=replicas)


@pytest_asyncio.fixture(loop_scope="module")
async def pair(both: Pair) -> AsyncIterator[Pair]:
    """Both replicas, one of which leads and has served a workflow job."""
    for replica in both.replicas:
        if not replica.running:
            replica.start()
    await both.until(
        lambda: all(re.search("INFO (following|leading)", one.newest_words()) for one in both.replicas),
        "both are there",
    )
    both.earlier_acts = len(both.world.acts())
    while not both.terms():  # a runner that idled since the test before takes a job without any act
        await both.serves()
    yield both
    # One after the other, whatever happened: nobody acted again after somebody else had begun to.
    terms = both.world.terms()
    assert len(terms) == len(set(terms)), terms
    assert not both.world.machine.killed_busy
    assert not any("Traceback" in replica.log_text() for replica in both.replicas)


def report(what: str, since: float) -> None:
    sys.stdout.write(f"\nmeasured: {what}: {time.monotonic() - since:.2f} s\n")


async def page(replica: Replica, path: str) -> str:
    """Ask a replica's newest process over HTTP."""
    port = re.findall(r" started .*port=(\d+)", replica.newest_words())[-1]
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}") as answer,
    ):
        return await answer.text()


async def test_exactly_one_replica_says_that_it_leads_and_only_that_one_shows_pools(pair: Pair) -> None:
    leader, _ = await pair.leader()
    led, followed = await page(leader, "/metrics"), await page(pair.other(leader), "/metrics")
    assert "\nhfrunners_leader 1.0\n" in led
    assert "\nhfrunners_leader 0.0\n" in followed
    for gauge in ("hfrunners_runners{", "hfrunners_pool_condition{", "hfrunners_hub_list_age_seconds{"):
        assert gauge in led
        assert gauge not in followed
    for replica in pair.replicas:
        assert await page(replica, "/livez") == await page(replica, "/readyz") == "ok\n"


async def test_a_leader_that_is_killed_is_replaced(pair: Pair) -> None:
    first, identity = await pair.leader()
    async with pair.under_load():
        first.signal(signal.SIGKILL)
        killed = time.monotonic()
        _, successor = await pair.leader(after=identity)
        report("SIGKILL until another leads", killed)
        await pair.until(lambda: pair.terms()[-1:] == [successor], "the successor acts")
        report("SIGKILL until another acts", killed)
    assert pair.terms() == [identity, successor]


async def test_a_leader_that_is_told_to_stop_hands_over(pair: Pair) -> None:
    first, identity = await pair.leader()
    async with pair.under_load():
        await asyncio.sleep(2)
        first.signal(signal.SIGTERM)
        told = time.monotonic()
        _, successor = await pair.leader(after=identity)
        report("SIGTERM until another leads", told)
        await pair.until(lambda: pair.terms()[-1:] == [successor], "the successor acts")
        report("SIGTERM until another acts", told)
        assert await first.ended(PATIENCE) == 0
        report("SIGTERM until it has ended", told)
    assert pair.terms() == [identity, successor]


async def test_a_leader_that_is_stopped_and_resumed_does_nothing_more(pair: Pair) -> None:
    first, identity = await pair.leader()
    async with pair.under_load():
        first.signal(signal.SIGSTOP)
        stopped = time.monotonic()
        _, successor = await pair.leader(after=identity)
        report("SIGSTOP until another leads", stopped)
        await pair.until(lambda: pair.terms()[-1:] == [successor], "the successor acts")
        first.signal(signal.SIGCONT)
        resumed = time.monotonic()
        assert await first.ended(PATIENCE) == 1
        report("SIGCONT until it has ended", resumed)
    assert "leadership lost" in first.newest_words()
    assert pair.terms() == [identity, successor]


async def test_a_leader_whose_way_to_the_api_server_hangs_stops_before_another_begins(pair: Pair) -> None:
    """GitHub and the Hub stay in its reach, so nothing but the lease keeps it from serving
    the jobs that go on coming.
    """
    first, identity = await pair.leader()
    async with pair.under_load():
        first.proxy.freeze()
        frozen = time.monotonic()
        _, successor = await pair.leader(after=identity)
        report("API server hung until another leads", frozen)
        await pair.until(lambda: not first.running, "it gives up")
        report("API server hung until the leader has ended", frozen)
        assert first.exit_code == 1
        first.start()  # as the kubelet does; it can reach the Lease no more than before
        await asyncio.sleep(HANG)
        first.proxy.thaw()
        await pair.until(lambda: f"held by {successor}" in first.newest_words(), "it follows")
    assert pair.terms() == [identity, successor]


async def test_a_follower_keeps_its_hands_off_and_is_ready(pair: Pair) -> None:
    first, identity = await pair.leader()
    follower = pair.other(first)
    await pair.serves()
    assert pair.terms() == [identity]
    assert "serving" not in follower.newest_words()
    follower.signal(signal.SIGTERM)
    assert await follower.ended(PATIENCE) == 0
    assert (await pair.leader())[1] == identity
