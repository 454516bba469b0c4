"""The Secrets that runners get: looked at now and then, and at once where a person must mend one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

import pytest

from controller.adapters.secret_cache import SecretCache
from controller.core.model import (
    Disposition,
    Failure,
    Pool,
    PoolKey,
    RunnerTemplate,
    SecretEnv,
    SecretRef,
)
from controller.core.reasons import Reason
from controller.core.variables import LABEL, VALUE, sight
from controller.observe.observatory import Observatory
from controller.observe.variables import INTERVAL, REFUSED_INTERVAL, SPACING
from controller.ports import Secret, UpstreamError
from controller.simulate.loop import run_virtual
from hf_runner_simulators.clock import LoopClock
from tests.core.build import pool

REF = SecretRef("ci", "wandb")
VARIABLE = SecretEnv(name="WANDB_API_KEY", secret=REF, key="key")
POOL = pool(template=RunnerTemplate(secret_env=(VARIABLE,)))
GOOD = Secret(data={"key": "s3cret"}, labels={LABEL: VALUE})


class Cluster:
    """One Secret, as its owner has it, behind the cache that the product uses."""

    def __init__(self, clock: LoopClock) -> None:
        self.held: Secret | Reason = GOOD
        self.cache = SecretCache(secrets=self, clock=clock)
        self.reads = 0
        self.others: Counter[SecretRef] = Counter()

    async def read(self, ref: SecretRef) -> Secret:
        self.reads += 1
        if ref != REF:
            self.others[ref] += 1
            raise UpstreamError(
                Failure(reason=Reason.SecretMissing, message="no", disposition=Disposition.PERSON)
            )
        if isinstance(self.held, Reason):
            outage = self.held is Reason.KubernetesUnavailable
            disposition = Disposition.RETRY if outage else Disposition.PERSON
            raise UpstreamError(Failure(reason=self.held, message="no", disposition=disposition))
        return self.held

    async def secret(self, ref: SecretRef) -> Secret:
        return await self.cache.read(ref)

    async def secret_changed(self, ref: SecretRef) -> bool:
        return await self.cache.changed(ref)

    def __getattr__(self, name: str) -> Any:
        """Return clients that answer nobody."""
        if name not in ("github", "hub", "hardware"):
            raise AttributeError(name)
        return lambda *_: Silent()


class Silent:
    def quota(self) -> None:
        return None

    def token_end(self) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        async def never(*_: object, **__: object) -> None:
            await asyncio.Event().wait()

        return never


Act = Callable[[Cluster, Observatory, list[float]], Coroutine[Any, Any, None]]


def observing(act: Act, held: Secret | Reason = GOOD) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        clock, changes = LoopClock(time=loop.time), []
        cluster = Cluster(clock)
        cluster.held = held
        observatory = Observatory(
            connections=cluster,
            clock=clock,
            controller_id="test",
            pools_known=lambda: True,
            changed=lambda: changes.append(loop.time()),
        )
        observatory.watch([POOL])
        await asyncio.sleep(0.1)
        try:
            await act(cluster, observatory, changes)
        finally:
            await observatory.close()

    run_virtual(main())


def failing(observatory: Observatory) -> Reason | None:
    failure = observatory.snapshot().variables[REF].failure
    return failure.reason if failure else None


def test_what_is_seen_is_whether_runners_may_have_it_and_its_keys() -> None:
    async def act(cluster: Cluster, observatory: Observatory, changes: list[float]) -> None:
        assert observatory.snapshot().variables == {REF: sight(GOOD.labels, ["key"])}
        assert "s3cret" not in repr(observatory.snapshot())

    observing(act)


def test_a_secret_that_is_well_is_read_once_in_a_while() -> None:
    async def act(cluster: Cluster, observatory: Observatory, changes: list[float]) -> None:
        changes.clear()
        await asyncio.sleep(20 * INTERVAL)
        assert 15 <= cluster.reads <= 22
        assert changes == []

    observing(act)


def test_a_label_that_is_taken_off_is_seen_within_two_looks() -> None:
    async def act(cluster: Cluster, observatory: Observatory, changes: list[float]) -> None:
        changes.clear()
        cluster.held = replace(GOOD, labels={})
        await asyncio.sleep(2 * INTERVAL)
        assert len(changes) == 1
        assert not observatory.snapshot().variables[REF].labelled

    observing(act)


@pytest.mark.parametrize(
    "held",
    [
        Reason.SecretMissing,
        Reason.SecretForbidden,
        replace(GOOD, labels={}),
        replace(GOOD, data={"another": "x"}),
    ],
    ids=["missing", "forbidden", "without the label", "without the key"],
)
@pytest.mark.parametrize("after", [0.0, 3 * INTERVAL], ids=["at once", "later"])
def test_whoever_mends_one_waits_for_seconds(held: Secret | Reason, after: float) -> None:
    async def act(cluster: Cluster, observatory: Observatory, changes: list[float]) -> None:
        await asyncio.sleep(after)
        assert observatory.snapshot().variables[REF] != sight(GOOD.labels, ["key"])
        cluster.held = GOOD
        await asyncio.sleep(REFUSED_INTERVAL + 0.5)
        assert observatory.snapshot().variables[REF] == sight(GOOD.labels, ["key"])

    observing(act, held)


def test_an_outage_of_kubernetes_changes_nothing() -> None:
    async def act(cluster: Cluster, observatory: Observatory, changes: list[float]) -> None:
        changes.clear()
        cluster.held = Reason.KubernetesUnavailable
        await asyncio.sleep(10 * INTERVAL)
        assert failing(observatory) is None
        assert changes == []

    observing(act)


def test_a_secret_that_no_pool_names_any_more_is_read_no_more() -> None:
    async def act(cluster: Cluster, observatory: Observatory, changes: list[float]) -> None:
        leaving: Mapping[str, Any] = {"deleting": True}
        for left in ([replace(POOL, **leaving)], [pool()], []):
            observatory.watch([POOL])
            await asyncio.sleep(INTERVAL)
            observatory.watch(left)
            reads = cluster.reads
            await asyncio.sleep(5 * INTERVAL)
            assert (cluster.reads, observatory.snapshot().variables) == (reads, {})

    observing(act)


def test_a_pool_whose_variables_change_is_followed() -> None:
    async def act(cluster: Cluster, observatory: Observatory, changes: list[float]) -> None:
        other = replace(VARIABLE, key="another")
        assert observatory.watch([replace(POOL, template=RunnerTemplate(secret_env=(other,)))])
        cluster.held = Secret(data={"another": "x"}, labels=GOOD.labels)
        await asyncio.sleep(REFUSED_INTERVAL + 0.5)
        assert observatory.snapshot().variables == {REF: sight(GOOD.labels, ["another"])}

    observing(act)


def flood(namespace: str, count: int) -> list[Pool]:
    """Return pools that name as many Secrets as they may, none of which is there."""
    return [
        pool(
            f"{namespace}-{number}",
            key=PoolKey(namespace, f"flood-{number}"),
            template=RunnerTemplate(
                secret_env=tuple(
                    SecretEnv(name=f"V{i}", secret=SecretRef(namespace, f"s-{number}-{i}"), key="k")
                    for i in range(64)
                )
            ),
        )
        for number in range(count)
    ]


def test_pools_without_end_cost_the_api_server_ten_reads_a_second_and_other_namespaces_nothing() -> None:
    async def act(cluster: Cluster, observatory: Observatory, changes: list[float]) -> None:
        observatory.watch([*flood("mallory", 50), POOL])
        cluster.reads = 0
        await asyncio.sleep(60.0)
        assert 0.9 * 60.0 / SPACING < cluster.reads <= 60.0 / SPACING + 15  # and those of the other namespace
        cluster.held = replace(GOOD, labels={})
        await asyncio.sleep(2 * INTERVAL)
        assert not observatory.snapshot().variables[REF].labelled
        cluster.held = GOOD
        await asyncio.sleep(REFUSED_INTERVAL + 0.5)
        assert observatory.snapshot().variables[REF].labelled

    observing(act)


def test_each_secret_of_a_namespace_has_its_turn() -> None:
    async def act(cluster: Cluster, observatory: Observatory, changes: list[float]) -> None:
        observatory.watch([*flood("mallory", 4), POOL])
        await asyncio.sleep(4 * 64 * SPACING + 1.0)
        assert len(cluster.others) == 4 * 64
        await asyncio.sleep(300.0)
        assert max(cluster.others.values()) - min(cluster.others.values()) <= 2

    observing(act)


def test_a_mistake_of_ours_about_one_secret_keeps_no_other_from_its_turn() -> None:
    async def act(cluster: Cluster, observatory: Observatory, changes: list[float]) -> None:
        broken = SecretEnv(name="A", secret=SecretRef("ci", "a-broken-one"), key="k")
        read = cluster.cache.read

        async def unforeseen(ref: SecretRef) -> Secret:
            if ref == broken.secret:
                raise RuntimeError("nobody foresaw this")
            return await read(ref)

        cluster.secret = unforeseen  # type: ignore[method-assign]
        observatory.watch([replace(POOL, template=RunnerTemplate(secret_env=(broken, VARIABLE)))])
        cluster.held = replace(GOOD, labels={})
        await asyncio.sleep(3 * INTERVAL)
        assert not observatory.snapshot().variables[REF].labelled

    observing(act)
