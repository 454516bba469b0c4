"""The planning pass: everything that is known in, everything to do out.

:func:`plan` is a pure function. It looks at all pools at once, because matching, caps and prices need the whole picture,
and it acts only on evidence that is complete and newer than our own last effects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from controller.core.demand import match_demand
from controller.core.gc import stray_retirements
from controller.core.lifecycle import (
    Census,
    Track,
    join_runners,
    take_census,
)
from controller.core.model import (
    HFJob,
)
from controller.core.money import prices
from controller.core.naming import LABEL_POOL_UID, digest, label_value, origin
from controller.core.pool_pass import PoolPass, first_memory
from controller.core.report import (
    Action,
    Memory,
    Notice,
    Plan,
    PlanInput,
    PoolMemory,
    PoolReport,
    Result,
)


def plan(given: PlanInput) -> Plan:
    """Decide what to do now. Pure: equal inputs give equal plans."""
    given = _heed_drain_requests(given)
    usd = prices(given.snapshot.flavors)
    demand, running = match_demand(given.pools, given.snapshot, usd, given.now)
    served = {
        job.runner_name: job for jobs in given.snapshot.completed.values() for job in jobs if job.runner_name
    }
    census = take_census(given.pools, given.snapshot, given.in_flight, given.controller_id)
    ended = _ended_by_pool(given)
    results: dict[str, list[Result]] = {}
    for result in given.results:
        results.setdefault(result.pool_uid, []).append(result)

    proven = _proven_ends(given, census)

    actions: list[Action] = []
    notices: list[Notice] = []
    reports: dict[str, PoolReport] = {}
    tracks: dict[str, Track] = {}
    memories: dict[str, PoolMemory] = {}
    for pool in sorted(given.pools, key=lambda p: (p.created_at, p.uid)):
        one = PoolPass(
            given,
            pool,
            demand[pool.uid],
            runners=join_runners(
                pool,
                census.by_pool.get(pool.uid, {}),
                given.snapshot,
                running=running,
                served=served,
                tracks=given.memory.tracks,
                now=given.now,
            ),
            usd=usd.get(pool.hub.endpoint, {}),
        )
        one.account(ended.get(pool.uid, ()), running)
        one.credit(proven.get(pool.uid, ()))
        one.learn(results.get(pool.uid, ()))
        one.retire()
        one.launch()
        one.run_again(running)
        actions += one.actions
        notices += one.notices
        reports[pool.uid] = one.report()
        memories[pool.uid] = one.memory
        tracks.update(one.tracks)
    stray_actions, stray_tracks = stray_retirements(
        census.strays, given.snapshot, given.memory.tracks, running=running, now=given.now
    )
    actions += stray_actions
    tracks.update(stray_tracks)
    return Plan(
        actions=actions,
        reports=reports,
        notices=notices,
        memory=Memory(tracks=tracks, pools=memories),
    )


DRAIN_REQUEST_SECONDS = 60.0
"""How long a request to drain a pool holds after it was first seen; who wants more renews it (``hf-runner-controller drain``).

A request that ends by itself cannot keep a pool from serving after whoever asked is gone, and counting from first sight asks no
clock but our own.
"""


def _heed_drain_requests(given: PlanInput) -> PlanInput:
    """Mark the pools that somebody asks to drain, and remember since when."""
    if not any(pool.drain_request for pool in given.pools):
        return given
    pools, memories = [], dict(given.memory.pools)
    for pool in given.pools:
        if not pool.drain_request:
            pools.append(pool)
            continue
        memory = memories.get(pool.uid) or first_memory(given, pool)
        if memory.drain_request != pool.drain_request:
            memory = replace(memory, drain_request=pool.drain_request, drain_requested_at=given.now)
        memories[pool.uid] = memory
        asked = given.now - memory.drain_requested_at < DRAIN_REQUEST_SECONDS
        pools.append(replace(pool, draining=True) if asked else pool)
    return replace(given, pools=pools, memory=replace(given.memory, pools=memories))


def _proven_ends(given: PlanInput, census: Census) -> Mapping[str, list[str]]:
    """Return the flavors of runners whose registration went after an unproven end, by pool uid."""
    uid_by_digest = {digest(pool.uid): pool.uid for pool in given.pools}
    found: dict[str, list[str]] = {}
    for name, track in given.memory.tracks.items():
        made_by = origin(name) if track.unproven_end else None
        uid = uid_by_digest.get(made_by.pool) if made_by else None
        if uid is not None and name not in census.by_pool.get(uid, {}):
            found.setdefault(uid, []).append(track.unproven_end)
    return found


def _ended_by_pool(given: PlanInput) -> Mapping[str, list[HFJob]]:
    uid_by_label = {label_value(pool.uid): pool.uid for pool in given.pools}
    found: dict[str, list[HFJob]] = {}
    for jobs in given.snapshot.ended.values():
        for job in jobs:
            uid = uid_by_label.get(job.labels.get(LABEL_POOL_UID, ""))
            if uid is not None:
                found.setdefault(uid, []).append(job)
    return found
