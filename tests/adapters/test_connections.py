"""Clients that follow their Secrets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace

import httpx
import httpx2
import pytest

from controller.adapters.connections import CLOSING, SecretConnections, Transports, open_connections
from controller.adapters.credential import SecretCredential
from controller.adapters.secret_cache import FRESH_FOR, UNUSED_FOR, SecretCache
from controller.core.endings import NO_ENDINGS, Endings
from controller.core.model import (
    Failure,
    GitHubSource,
    HFJob,
    HubAccount,
    Observation,
    Scope,
    ScopeKind,
    SecretRef,
)
from controller.core.reasons import Reason
from controller.ports import Hub, Secret, UpstreamError
from controller.simulate.loop import run_virtual
from hf_runner_simulators.clock import ManualClock

REF = SecretRef("ci", "hf")
ACCOUNT = HubAccount(endpoint="https://huggingface.co", namespace="acme", secret=REF)


@dataclass
class World:
    """A Secret, a Hub that takes some tokens, and a clock."""

    token: str = "old"
    good: set[str] = field(default_factory=lambda: {"old"})
    now: float = 0.0
    reads: int = 0
    withheld: Reason | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    used: list[str] = field(default_factory=list)

    def wall(self) -> float:
        return self.now

    def mono(self) -> float:
        return self.now

    async def read(self, ref: SecretRef) -> Secret:
        self.reads += 1
        if self.withheld is not None:
            raise UpstreamError(Failure(reason=self.withheld, message="no"))
        return Secret(data={"token": self.token}, labels=self.labels)

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        """Answer as the Hub does."""
        token = request.headers["authorization"].removeprefix("Bearer ")
        self.used.append(token)
        return httpx2.Response(200, json=[]) if token in self.good else httpx2.Response(401)


def over(world: World) -> SecretConnections:
    """Connections that may send credentials to github.com and huggingface.co, as unless said."""

    async def allowed(request: object) -> None:
        """Let every request out."""

    def never(request: httpx.Request) -> httpx.Response:
        raise AssertionError(f"nobody asks GitHub here: {request.url}")

    return open_connections(
        secrets=world,
        clock=world,
        before_send=allowed,
        transports=Transports(
            github=lambda: httpx.MockTransport(never), hub=httpx2.MockTransport(world.answer)
        ),
    )


@pytest.fixture
async def connections(world: World) -> AsyncIterator[SecretConnections]:
    opened = over(world)
    yield opened
    await opened.close()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def hub(connections: SecretConnections) -> Hub:
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


# -------------------------------------------------------------------------------------- what ends with a pool
@dataclass
class Ending(Hub):
    """A client that closes as told."""

    takes: float = 0.0
    error: Exception | None = None
    closed: bool = False

    async def live(self, labels: Mapping[str, str]) -> Observation[HFJob]:
        return Observation(asked_at=0.0, server_time=0.0)

    async def close(self) -> None:
        await asyncio.sleep(self.takes)
        if self.error is not None:
            raise self.error
        self.closed = True


def account(name: str) -> HubAccount:
    return HubAccount(endpoint="https://huggingface.co", namespace=name, secret=REF)


def test_a_client_that_does_not_close_keeps_no_other_from_closing() -> None:
    async def main() -> None:
        clients = {"a": Ending(takes=1e6), "b": Ending(error=OSError("reset")), "c": Ending(takes=1.0)}
        connections = SecretConnections(
            cache=SecretCache(secrets=World(), clock=ManualClock()),
            open_github=lambda *_: pytest.fail("not asked for"),
            open_hub=lambda account, _: clients[account.namespace],
            open_hardware=lambda *_: pytest.fail("not asked for"),
        )
        for name in clients:
            await connections.hub(account(name)).live({})

        await connections.close_all_except((), [account("kept")])

        assert clients["c"].closed
        assert asyncio.get_running_loop().time() == CLOSING

    run_virtual(main())


async def test_a_secret_that_nobody_reads_any_more_is_forgotten(world: World) -> None:
    cache, gone = SecretCache(secrets=world, clock=world), SecretRef("ci", "gone")
    world.token = "of-a-pool-that-is-gone"
    await cache.read(gone)
    world.token = "another"
    await cache.read(REF)
    world.now += UNUSED_FOR - 1
    await cache.read(REF)
    world.now += 2
    await cache.read(REF)
    assert "of-a-pool-that-is-gone" not in repr(vars(cache))
    assert "another" in repr(vars(cache))


class TestASecretThatAPersonMends:
    """Whoever mends one waits for it, so the first look after a failure has to see the change."""

    @pytest.mark.parametrize("how", [Reason.SecretMissing, Reason.SecretForbidden])
    async def test_is_seen_at_the_first_look_after_a_read_that_failed(
        self, world: World, how: Reason
    ) -> None:
        cache = SecretCache(secrets=world, clock=world)
        world.withheld = how
        with pytest.raises(UpstreamError):
            await cache.read(REF)
        world.withheld = None
        assert await cache.changed(REF)
        assert not await cache.changed(REF)

    async def test_is_seen_when_a_label_is_all_that_changed(self, world: World) -> None:
        cache = SecretCache(secrets=world, clock=world)
        await cache.read(REF)
        world.labels = {"team": "ci"}
        assert await cache.changed(REF)
        assert (await cache.read(REF)).labels == {"team": "ci"}

    async def test_is_no_other_credential_for_a_label(self, world: World) -> None:
        credential = SecretCredential(
            ref=REF,
            cache=SecretCache(secrets=world, clock=world),
            read=lambda data: data["token"],
            refused=lambda: None,
        )
        before = await credential.current()
        world.labels, world.now = {"team": "ci"}, FRESH_FOR
        assert (await credential.current(), world.reads) == (before, 2)

    async def test_is_not_seen_to_change_while_kubernetes_is_out_of_reach(self, world: World) -> None:
        cache = SecretCache(secrets=world, clock=world)
        await cache.read(REF)
        world.now, world.withheld = FRESH_FOR, Reason.KubernetesUnavailable
        await cache.read(REF)
        assert not await cache.changed(REF)
        world.withheld = None
        assert not await cache.changed(REF)


class TestASecretThatIsGone:
    """It is deleted, or the right to read it is."""

    gone = pytest.mark.parametrize("how", [Reason.SecretMissing, Reason.SecretForbidden])

    @gone
    async def test_is_used_no_more_while_some_pool_serves_with_it(self, world: World, how: Reason) -> None:
        cache = SecretCache(secrets=world, clock=world)
        await cache.read(REF)
        world.now, world.withheld = FRESH_FOR, how
        with pytest.raises(UpstreamError):
            await cache.read(REF)

    @gone
    async def test_is_used_while_only_pools_that_leave_name_it(self, world: World, how: Reason) -> None:
        cache = SecretCache(secrets=world, clock=world)
        await cache.read(REF)
        world.now, world.withheld = FRESH_FOR, how
        with pytest.raises(UpstreamError):  # the Secret goes a moment before its pool does
            await cache.read(REF)
        cache.hold({REF})
        assert (await cache.read(REF)).data == {"token": "old"}
        cache.hold(())
        with pytest.raises(UpstreamError):
            await cache.read(REF)

    async def test_is_read_anew_when_it_is_there_again(self, world: World) -> None:
        cache = SecretCache(secrets=world, clock=world)
        await cache.read(REF)
        world.now, world.withheld = FRESH_FOR, Reason.SecretMissing
        cache.hold({REF})
        await cache.read(REF)
        world.withheld, world.token = None, "new"
        assert (await cache.read(REF)).data == {"token": "new"}

    async def test_cannot_be_used_by_a_process_that_never_read_it(self, world: World) -> None:
        world.withheld = Reason.SecretMissing
        cache = SecretCache(secrets=world, clock=world)
        cache.hold({REF})
        with pytest.raises(UpstreamError):
            await cache.read(REF)


# ------------------------------------------------------------------------------------------------------ hosts
SOURCE = GitHubSource(api_url="https://ghe.example/api/v3", secret=SecretRef("ci", "gh"), owner="acme")
ELSEWHERE = HubAccount(endpoint="https://hub.example", namespace="acme", secret=REF)
LIB = Scope(kind=ScopeKind.REPOSITORY, owner="acme", repository="lib")


async def test_no_secret_is_even_read_for_a_host_that_is_not_allowed(
    world: World, connections: SecretConnections
) -> None:
    calls = (connections.hub(ELSEWHERE).live({}), connections.github(SOURCE).registrations(LIB))
    for call in calls:
        with pytest.raises(UpstreamError) as caught:
            await call
        assert caught.value.failure.reason is Reason.HostNotAllowed
    assert (world.reads, world.used) == (0, [])


async def test_who_may_end_something_at_such_a_host_may_no_longer_once_it_is_taken_back(
    world: World, connections: SecretConnections
) -> None:
    hub = connections.hub(ELSEWHERE)
    connections.let_end(Endings(accounts=frozenset({ELSEWHERE})))
    await hub.live({})
    assert connections.may_end(ELSEWHERE)
    assert not connections.may_end(replace(ELSEWHERE, namespace="other"))
    assert not connections.may_end(replace(ELSEWHERE, secret=SecretRef("ci", "another")))
    connections.let_end(NO_ENDINGS)
    with pytest.raises(UpstreamError):
        await hub.live({})
    assert world.used == ["old"]
