"""What the people of a plan do: they edit, pause, move and recreate pools, mistype, rename, and delete a namespace."""

from __future__ import annotations

import asyncio
from typing import Any

from controller.core.model import PoolKey
from tests.seeds.plan import REPOSITORIES, Disturbance, PoolPlan
from tests.seeds.scene import Scene


def _pool(scene: Scene, what: Disturbance) -> PoolPlan:
    pools = scene.plan.pools
    return pools[int(what.share * len(pools))]


def _edit(scene: Scene, pool: PoolPlan, *, url: str | None = None, **changes: Any) -> None:
    body = scene.sim.cluster.pools.get(PoolKey(pool.namespace, pool.name))
    if body is None or "deletionTimestamp" in body["metadata"]:
        return
    spec = {**body["spec"], **changes}
    github = dict(spec.pop("github"))
    path = str(github.pop("url")).split("/", 3)[3]
    labels = spec.pop("labels")
    scene.apply(pool, url or path, labels, {**spec, "github": github})


async def resize(scene: Scene, what: Disturbance) -> None:
    _edit(scene, _pool(scene, what), maxRunners=1 + int(4 * what.share))


async def lengthen(scene: Scene, what: Disturbance) -> None:
    """Give runners the time to start and to do something, after all."""
    pool = _pool(scene, what)
    _edit(scene, pool, deadlines={**pool.spec["deadlines"], "lifetime": "30m"})


async def pause(scene: Scene, what: Disturbance) -> None:
    pool = _pool(scene, what)
    _edit(scene, pool, paused=True)
    await asyncio.sleep(what.seconds)
    _edit(scene, pool, paused=False)


async def move(scene: Scene, what: Disturbance) -> None:
    pool = _pool(scene, what)
    if "/" in pool.url:
        _edit(scene, pool, url="acme/app" if pool.url == "acme/lib" else "acme/lib")
        await asyncio.sleep(what.seconds)
        _edit(scene, pool, url=pool.url)


async def recreate(scene: Scene, what: Disturbance) -> None:
    pool, cluster = _pool(scene, what), scene.sim.cluster
    key = PoolKey(pool.namespace, pool.name)
    body = cluster.pools.get(key)
    if body is None or "deletionTimestamp" in body["metadata"]:
        return
    scene.sim.delete(key)
    scene.judge.pools_changed()
    while key in cluster.pools:  # noqa: ASYNC110 - polled like kubectl does
        await asyncio.sleep(5.0)
    scene.apply(pool, pool.url, pool.labels, pool.spec)


async def mistype(scene: Scene, what: Disturbance) -> None:
    """Somebody writes a name wrong, and corrects it after a while."""
    pool = _pool(scene, what)
    spec = dict(pool.spec)
    if what.kind == "mistype_owner":
        _edit(scene, pool, url=f"acmee/{pool.url.partition('/')[2]}".rstrip("/"))
    elif what.kind == "mistype_namespace":
        body = scene.sim.cluster.pools[PoolKey(pool.namespace, pool.name)]
        _edit(scene, pool, huggingface={**body["spec"]["huggingface"], "namespace": "acmee"})
    else:
        _edit(scene, pool, flavors=["t4-smal"])
    await asyncio.sleep(what.seconds)
    if PoolKey(pool.namespace, pool.name) in scene.sim.cluster.pools:
        scene.apply(pool, pool.url, pool.labels, spec)


async def rename(scene: Scene, what: Disturbance) -> None:
    """A repository has another name for a while; its jobs are queued under it."""
    accounts, names = scene.sim.github.accounts, scene.renamed
    old = REPOSITORIES[int(what.share * len(REPOSITORIES))]
    owner, _, name = old.partition("/")
    names[old] = f"{owner}/{name}-2"
    accounts.rename_repository(old, f"{name}-2")
    await asyncio.sleep(what.seconds)
    accounts.rename_repository(names.pop(old), name)


async def namespace_ends(scene: Scene, what: Disturbance) -> None:
    """All objects of the namespace are deleted, as when it is: pools stay until they are
    drained, Secrets go at once.
    """
    sim = scene.sim
    keys = sorted(sim.cluster.pools)
    if what.share < 0.5:
        scene.drop_secrets()
    for key in keys:
        sim.delete(key)
    scene.judge.pools_changed()
    await asyncio.sleep(what.seconds)
    scene.drop_secrets()
