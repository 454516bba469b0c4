"""Clients that follow their Secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from controller.adapters.connections import FRESH_FOR, SecretCache, SecretConnections
from controller.core.model import Disposition, Failure, HFJob, HubAccount, Observation, SecretRef
from controller.core.reasons import Reason
from controller.ports import Hub, UpstreamError

REF = SecretRef("ci", "hf")
ACCOUNT = HubAccount(endpoint="https://huggingface.co", namespace="acme", secret=REF)


@dataclass
class World:
    """A Secret, a Hub that takes some tokens, and a clock."""

    token: str = "old"
    good: set[str] = field(default_factory=lambda: {"old"})
    now: float = 0.0
    reads: int = 0
    used: list[str] = field(default_factory=list)

    def wall(self) -> float:
        return self.now

    def mono(self) -> float:
        return self.now

    async def read(self, ref: SecretRef) -> Mapping[str, str]:
        self.reads += 1
        return {"token": self.token}


class FakeHub(Hub):
    def __init__(self, world: World, token: str) -> None:
        self._world = world
        self._token = token

    async def live(self, labels: Mapping[str, str]) -> Observation[HFJob]:
        self._world.used.append(self._token)
        if self._token not in self._world.good:
            failure = Failure(
                reason=Reason.HubUnauthorized, message="refused", disposition=Disposition.PERSON
            )
            raise UpstreamError(failure)
        return Observation(asked_at=0.0, server_time=0.0)

    async def close(self) -> None: ...


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def hub(world: World) -> Hub:
    def never(*_: object) -> None:
        raise AssertionError("not asked for here")

    connections = SecretConnections(
        cache=SecretCache(secrets=world, clock=world),
        open_github=never,  # type: ignore[arg-type]
        open_hub=lambda _, data: FakeHub(world, data["token"]),
        open_hardware=never,  # type: ignore[arg-type]
    )
    return connections.hub(ACCOUNT)


async def test_a_secret_is_read_once_while_it_is_fresh(world: World, hub: Hub) -> None:
    await hub.live({})
    world.now += FRESH_FOR - 1
    await hub.live({})
    assert world.reads == 1


async def test_a_rotated_secret_is_used_when_it_is_read_again(world: World, hub: Hub) -> None:
    await hub.live({})
    world.token, world.good = "new", {"old", "new"}
    world.now += FRESH_FOR + 1
    await hub.live({})
    assert world.used == ["old", "new"]


async def test_credentials_that_were_replaced_and_revoked_fail_nobody(world: World, hub: Hub) -> None:
    await hub.live({})
    world.token, world.good = "new", {"new"}

    await hub.live({})

    assert world.used == ["old", "old", "new"]


async def test_credentials_that_are_merely_wrong_are_tried_once(world: World, hub: Hub) -> None:
    world.good = set()
    for calls in (1, 2):
        with pytest.raises(UpstreamError) as caught:
            await hub.live({})
        assert caught.value.failure.reason is Reason.HubUnauthorized
        assert len(world.used) == calls
