"""Everything can be deleted: pools in every state, whatever has become of credentials, services,
the namespace and its roles.

All states are in one world, a pool each, so that the whole matrix takes seconds. Each pool is gone within its
documented bound (docs/uninstall.md), and at that moment nothing of it lives on the Hub.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from controller.core.model import PoolKey
from controller.simulate.engine import NAMESPACE, Simulation
from controller.simulate.loop import run_virtual

TOKEN, HUB_TOKEN = "ghp_sim", "hf_sim"
SECRETS = ("github-app", "hf-token")
LIFETIME, SCHEDULING = 600, 120
BOUND = SCHEDULING + LIFETIME + 120
"""Seconds after the newest launch: docs/uninstall.md."""

MINUTE = 60.0
SLACK = 45.0
"""Seconds for what a pool waits for to be seen: its lists, a pass, the finalizer's turn."""

JOB = 200.0
"""Seconds of a workflow job that runs when the deletion begins."""

STATES: Mapping[str, Mapping[str, Any]] = {
    "never-launched": {},
    "served": {},
    "corrected-typo": {"url": "acme/mistyped"},
    "rejected": {"flavors": []},
    "idle": {"minIdle": 1},
    "paused": {"minIdle": 1},
    "busy": {},
    "draining": {},
    "moved": {},
    "turned-bad": {},
    "open-intent": {},
}
"""What each pool is when it is deleted, and how its spec begins."""

NOTHING_LAUNCHED = ("never-launched", "corrected-typo", "rejected")
BUSY = ("busy", "draining", "moved", "turned-bad")


def works(sim: Simulation) -> None:
    """Nothing is wrong."""


def tokens_are_refused(sim: Simulation) -> None:
    sim.github.access.revoke_token(TOKEN)
    sim.hub.setup({"tokens": {HUB_TOKEN: None}})


def secrets_are_gone(sim: Simulation) -> None:
    for name in SECRETS:
        sim.cluster.set_secret(NAMESPACE, name, None)


def github_is_unreachable(sim: Simulation) -> None:
    sim.github_exchange.rules.add({"route": "*", "kind": "unreachable", "times": None})


def nothing_answers(sim: Simulation) -> None:
    for exchange in (sim.github_exchange, sim.hub_exchange):
        exchange.rules.add({"route": "*", "kind": "blackhole", "times": None})


def roles_are_gone(sim: Simulation) -> None:
    secrets_are_gone(sim)
    sim.cluster.without_roles.add(NAMESPACE)


def key_of(state: str) -> PoolKey:
    return PoolKey(NAMESPACE, state)


class World:
    """Pools in all states, and what becomes of them."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.uids: dict[str, str] = {}

    def apply(self, state: str, **spec: Any) -> None:
        given = {
            "url": f"acme/{state}",
            "labels": [state],
            "maxRunners": 1,
            "deadlines": {"scheduling": f"{SCHEDULING}s", "lifetime": f"{LIFETIME}s", "idle": "10m"},
            **STATES[state],
            **spec,
        }
        self.sim.pool(state, **given)
        self.uids[state] = self.sim.cluster.pools[key_of(state)]["metadata"]["uid"]

    def queue(self, *states: str, seconds: float) -> None:
        for state in states:
            self.sim.github.workflows.queue_jobs(f"acme/{state}", (state,), seconds=seconds)

    def status(self, state: str) -> Mapping[str, Any]:
        status: Mapping[str, Any] = self.sim.cluster.pools[key_of(state)]["status"]
        return status

    def count(self, state: str, what: str) -> int:
        return int(self.status(state).get("counts", {}).get(what, 0))

    def alive(self, state: str) -> bool:
        report = self.sim.hub.report()
        mine = {job["id"] for job in report["jobs"] if job["labels"].get("pool-uid") == self.uids[state]}
        return not mine.isdisjoint(report["live"])

    async def until(self, met: Callable[[], bool], *, within: float, every: float = 1.0) -> None:
        for _ in range(int(within / every)):
            if met():
                return
            await asyncio.sleep(every)
        pytest.fail(f"not within {within} s")

    async def bring_about(self) -> None:
        """Put each pool into its state."""
        for state in STATES:
            self.apply(state)
        self.sim.start()
        self.queue("served", seconds=20.0)
        await asyncio.sleep(100)
        self.apply("corrected-typo", url="acme/corrected-typo")
        await asyncio.sleep(
            700
        )  # lists of what is quiet are read every five minutes, and two of them prove something
        self.queue(*BUSY, seconds=JOB)
        await self.until(lambda: all(self.count(state, "busy") for state in BUSY), within=120)
        await self.until(lambda: all(self.count(state, "idle") for state in ("idle", "paused")), within=300)
        self.apply("paused", paused=True)
        self.apply("moved", url="acme/moved-to")
        self.apply("turned-bad", flavors=[])
        self.sim.ask_to_drain(key_of("draining"))
        self.queue("open-intent", seconds=20.0)
        await self.until(lambda: bool(self.status("open-intent").get("intents")), within=120, every=0.1)

    async def delete_all(self) -> Mapping[str, float]:
        """Delete all pools; return after how many seconds each was gone. Nothing may live then."""
        began, left, took = self.sim.clock.mono(), set(STATES), dict[str, float]()
        for state in STATES:
            self.sim.delete(key_of(state))
        while left and self.sim.clock.mono() - began < 2 * BOUND:
            await asyncio.sleep(1.0)
            for state in sorted(left):
                if key_of(state) not in self.sim.cluster.pools:
                    assert not self.alive(state), (
                        f"{state} was let go after {self.sim.clock.mono() - began:.0f} s, alive"
                    )
                    took[state] = self.sim.clock.mono() - began
                    left.discard(state)
        assert not left, f"kept for ever: {sorted(left)}"
        return took


def bound(state: str, *, readable: bool, remembered: bool) -> float:
    """Return within how many seconds a pool is to be gone.

    Args:
        state: Its state.
        readable: The services answer with the credentials that the process has.
        remembered: The process has seen what was there before.
    """
    if state in NOTHING_LAUNCHED:
        return MINUTE
    if not readable:
        return MINUTE if state == "served" and remembered else BOUND + SLACK
    if state == "served":
        return MINUTE
    return 2 * MINUTE + SLACK + (JOB if state in BUSY else 0.0)


@pytest.mark.parametrize("restarted", [False, True], ids=["same process", "restarted"])
@pytest.mark.parametrize(
    ("happens", "readable"),
    [
        (works, "always"),
        (tokens_are_refused, "never"),
        (github_is_unreachable, "never"),
        (nothing_answers, "never"),
        (secrets_are_gone, "with what was held"),  # also a namespace that ends, in a release for all of them
        (roles_are_gone, "with what was held"),  # one that ends, in a release for this namespace
    ],
)
def test_a_pool_in_any_state_goes_within_its_bound_and_nothing_that_lives_is_let_go(
    happens: Callable[[Simulation], None], readable: str, restarted: bool
) -> None:
    async def main() -> Mapping[str, float]:
        sim = Simulation()
        sim.set_up([*(f"acme/{state}" for state in STATES), "acme/moved-to"], token=TOKEN)
        world = World(sim)
        try:
            await world.bring_about()
            if restarted:
                await sim.crash()
            happens(sim)
            if restarted:
                sim.start()
            return await world.delete_all()
        finally:
            await sim.close()
            assert sim.bugs == []

    took = run_virtual(main())
    sees = readable == "always" or (readable == "with what was held" and not restarted)
    late = {
        state: (round(seconds), allowed)
        for state, seconds in took.items()
        if seconds > (allowed := bound(state, readable=sees, remembered=not restarted))
    }
    assert late == {}
