"""Intents in a pool's status, against the API server's own rules: versions, field managers,
and whoever else writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from controller.adapters.kube.intents import FIELD_MANAGER, KubernetesIntents
from controller.adapters.kube.status import KubernetesStatus
from controller.app.clock import SystemClock
from controller.core.intents import MOST_INTENTS, Intent, Term, Written
from controller.core.model import Failure, Pool, PoolKey
from controller.execute.intents import IntentLog
from controller.ports import IntentsMoved
from tests.adapters.kube.cluster import Cluster
from tests.core.build import name_of, pool
from tests.execute.scripted import Leads

pytestmark = pytest.mark.controlplane

TERM = Term(number=3, holder="pod-a_1234567890")
AT = 1_800_000_000.0


def key(cluster: Cluster) -> PoolKey:
    return PoolKey(cluster.namespace, "gpu")


def intents(cluster: Cluster, *tokens: str, uid: str = "uid-t4") -> tuple[Intent, ...]:
    mine = pool(uid=uid)
    secret = replace(mine.source.secret, namespace=cluster.namespace)
    hub = replace(mine.hub, secret=replace(mine.hub.secret, namespace=cluster.namespace))
    mine = replace(mine, source=replace(mine.source, secret=secret), hub=hub)
    return tuple(
        Intent(name=name_of(mine, token), flavor="t4-small", at=AT, place=mine.footprint) for token in tokens
    )


async def test_what_was_written_is_read_again_as_it_was(cluster: Cluster) -> None:
    uid = await cluster.make_pool()
    store = KubernetesIntents(client=cluster.client)
    known = await store.read(key(cluster))
    assert known is not None
    assert (known.uid, known.written) == (uid, Written())
    what = Written(term=TERM, intents=intents(cluster, "aaaa", "bbbb"))
    assert (await store.replace(key(cluster), known, what)).written == what
    again = await KubernetesIntents(client=cluster.client).read(key(cluster))
    assert again is not None
    assert again.written == what
    newest = store.newest(uid)
    assert newest == again


async def test_a_status_has_room_for_as_many_as_are_allowed(cluster: Cluster) -> None:
    await cluster.make_pool()
    store = KubernetesIntents(client=cluster.client)
    known = await store.read(key(cluster))
    assert known is not None
    many = intents(cluster, *(f"n{n:09}" for n in range(MOST_INTENTS)))
    written = await store.replace(key(cluster), known, Written(term=TERM, intents=many))
    assert written.written.intents == many


async def test_none_are_an_empty_list_and_the_term_stays(cluster: Cluster) -> None:
    await cluster.make_pool()
    store = KubernetesIntents(client=cluster.client)
    known = await store.read(key(cluster))
    assert known is not None
    known = await store.replace(key(cluster), known, Written(term=TERM, intents=intents(cluster, "aaaa")))
    await store.replace(key(cluster), known, Written(term=TERM))
    status = (await cluster.pool())["status"]
    assert status["intents"] == []
    assert status["term"] == {"number": 3, "holder": TERM.holder}


async def test_a_write_on_top_of_what_is_no_longer_so_changes_nothing(cluster: Cluster) -> None:
    await cluster.make_pool()
    store = KubernetesIntents(client=cluster.client)
    known = await store.read(key(cluster))
    assert known is not None
    await cluster.patch_pool({"metadata": {"annotations": {"a": "b"}}})
    with pytest.raises(IntentsMoved):
        await store.replace(key(cluster), known, Written(term=TERM, intents=intents(cluster, "aaaa")))
    assert "intents" not in (await cluster.pool())["status"]
    await cluster.delete_pool()
    with pytest.raises(IntentsMoved):
        await store.replace(key(cluster), known, Written(term=TERM))
    assert await store.read(key(cluster)) is None


async def test_of_two_writers_of_one_status_each_leaves_the_others_fields_alone(cluster: Cluster) -> None:
    uid = await cluster.make_pool()
    store = KubernetesIntents(client=cluster.client)
    statuses = KubernetesStatus(client=cluster.client, seen=store.note)
    where = {"namespace": cluster.namespace, "name": "gpu", "uid": uid}
    await statuses.write(**where, status={"observedGeneration": 1, "flavorNames": "t4-small"})
    known = store.newest(uid)
    assert known is not None
    what = Written(term=TERM, intents=intents(cluster, "aaaa"))
    await store.replace(key(cluster), known, what)
    await statuses.write(
        **where, status={"observedGeneration": 1, "queue": [{"reason": "Paused", "count": 1}]}
    )
    seen = store.newest(uid)
    assert seen is not None
    assert seen.written == what
    found = await cluster.pool()
    assert set(found["status"]) == {"observedGeneration", "queue", "intents", "term"}
    managers = {
        field["manager"]: set(field["fieldsV1"]["f:status"])
        for field in found["metadata"]["managedFields"]
        if field.get("subresource") == "status"
    }
    assert managers[FIELD_MANAGER] == {"f:intents", "f:term"}
    assert not {"f:intents", "f:term"} & managers["hf-runner-controller"]
    await store.replace(key(cluster), seen, Written(term=TERM))
    (waiting,) = (await cluster.pool())["status"]["queue"]
    assert waiting["reason"] == "Paused"


@asynccontextmanager
async def log_of(cluster: Cluster, uid: str, leads: Leads) -> AsyncIterator[tuple[IntentLog, Pool]]:
    """An intent log that knows the pool."""
    store = KubernetesIntents(client=cluster.client)
    log = IntentLog(
        store=store,
        clock=SystemClock(),
        leader=leads,
        adopted=lambda *_: None,
        changed=lambda: None,
        took=lambda *_: None,
    )
    mine = pool(uid=uid, key=key(cluster))
    log.begin(list)
    log.update_pools([mine], lambda _: Written())
    try:
        yield log, mine
    finally:
        await log.close(0.0)


async def write(log: IntentLog, mine: Pool, what: Sequence[Intent]) -> Failure | None:
    return await log.write(mine.uid, what)


async def test_launches_flow_while_somebody_annotates_the_pool_ten_times_a_second(cluster: Cluster) -> None:
    uid = await cluster.make_pool()

    async def annotate() -> None:
        number = 0
        while True:
            number += 1
            await cluster.patch_pool({"metadata": {"annotations": {"tick": str(number)}}})
            await asyncio.sleep(0.1)

    ticking = asyncio.create_task(annotate())
    try:
        async with log_of(cluster, uid, Leads()) as (log, mine):
            for number in range(40):
                assert await write(log, mine, intents(cluster, f"n{number:03}")) is None
                await asyncio.sleep(0.02)
    finally:
        ticking.cancel()
    (group,) = (await cluster.pool())["status"]["intents"]
    assert len(group["launches"]) == 40
    assert "tick" in (await cluster.pool())["metadata"]["annotations"]


async def test_kopfs_finalizer_and_our_own_statuses_hold_up_no_launch(cluster: Cluster) -> None:
    uid = await cluster.make_pool()
    statuses = KubernetesStatus(client=cluster.client)
    where = {"namespace": cluster.namespace, "name": "gpu", "uid": uid}
    async with log_of(cluster, uid, Leads()) as (log, mine):
        assert await write(log, mine, intents(cluster, "aaaa")) is None
        await cluster.patch_pool({"metadata": {"finalizers": ["hfrunners.dev/drain"]}})
        assert await write(log, mine, intents(cluster, "bbbb")) is None
        await statuses.write(**where, status={"observedGeneration": 1})
        both = await asyncio.gather(
            write(log, mine, intents(cluster, "cccc")),
            statuses.write(**where, status={"observedGeneration": 2}),
        )
        assert both[0] is None
    found = await cluster.pool()
    assert len(found["status"]["intents"][0]["launches"]) == 3
    assert found["status"]["observedGeneration"] == 2
    await cluster.patch_pool({"metadata": {"finalizers": None}})


async def test_of_two_processes_the_later_term_ends_the_earlier_one(cluster: Cluster) -> None:
    uid = await cluster.make_pool()
    old, new = Leads("old", transitions=1), Leads("new", transitions=2)
    async with log_of(cluster, uid, old) as (first, mine), log_of(cluster, uid, new) as (second, _):
        assert await write(first, mine, intents(cluster, "aaaa", uid=uid)) is None
        assert (
            await write(second, mine, intents(cluster, "bbbb", uid=uid)) is not None
        )  # it did not know of the first one's
        assert await write(second, mine, intents(cluster, "bbbb", uid=uid)) is None
        assert await write(first, mine, intents(cluster, "cccc", uid=uid)) is not None
    assert "new" in old.lost
    assert not new.lost
    groups = (await cluster.pool())["status"]["intents"]
    found = sorted(each["name"] for group in groups for each in group["launches"])
    assert found == [i.name for i in intents(cluster, "aaaa", "bbbb", uid=uid)]


async def test_a_pool_that_was_made_anew_takes_no_intents_of_the_old_one(cluster: Cluster) -> None:
    uid = await cluster.make_pool()
    async with log_of(cluster, uid, Leads()) as (log, mine):
        assert await write(log, mine, intents(cluster, "aaaa")) is None
        await cluster.delete_pool()
        await cluster.make_pool()
        assert await write(log, mine, intents(cluster, "bbbb")) is not None
    assert "intents" not in (await cluster.pool())["status"]
