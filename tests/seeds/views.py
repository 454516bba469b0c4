"""What the people of one namespace get and see: launches, statuses and Events, less what
differs from run to run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from controller.simulate.check import Judge
    from controller.simulate.engine import Simulation


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceView:
    """One namespace's share of a run.

    Attributes:
        launches: HF Jobs by pool and flavor.
        events: Events by pool and reason.
        statuses: By pool, without times, names of runners, and money, which depend on the second in
            which something happened.
        waits: By the workflow job's name, seconds from queued to started; None for one that has not started.
    """

    launches: Mapping[str, int] = field(default_factory=dict)
    events: Mapping[str, int] = field(default_factory=dict)
    statuses: Mapping[str, Any] = field(default_factory=dict)
    waits: Mapping[str, float | None] = field(default_factory=dict)


def namespace_views(sim: Simulation, judge: Judge) -> Mapping[str, NamespaceView]:
    """Return each namespace's share of a run so far."""
    uids = {body["metadata"]["uid"]: key for key, body in sim.cluster.pools.items()}
    made = [(uids[uid], job) for job in judge.launched if (uid := (job.labels or {}).get("pool-uid")) in uids]
    return {
        namespace: NamespaceView(
            launches=Counter(
                f"{key.name} {job.spec.flavor}" for key, job in made if key.namespace == namespace
            ),
            events=Counter(
                f"{event.pool} {event.reason}"
                for event in sim.cluster.events
                if event.pool.startswith(f"{namespace}/")
            ),
            statuses={
                key.name: _without_times(body["status"], warm=bool(body["spec"].get("minIdle")))
                for key, body in sim.cluster.pools.items()
                if key.namespace == namespace
            },
            waits=_waits(
                sim, {(job.labels or {}).get("runner") for key, job in made if key.namespace == namespace}
            ),
        )
        for namespace in sorted({key.namespace for key in uids.values()})
    }


def _waits(sim: Simulation, runners: set[str | None]) -> dict[str, float | None]:
    return {
        row.spec.name: row.started_at - row.queued_at
        for row in sim.github.store.jobs.rows()
        if row.started_at is not None and row.runner_name in runners
    }


def _without_times(status: Mapping[str, Any], *, warm: bool) -> Mapping[str, Any]:
    conditions = {c["type"]: (c["status"], c["reason"]) for c in status.get("conditions", ())}
    queue = sorted((entry["reason"], entry["count"]) for entry in status.get("queue", ()))
    counts = None if warm else status.get("counts")  # a warm pool always has some runner on its way
    return {
        "conditions": conditions,
        "queue": queue,
        "counts": counts,
        "places": len(status.get("places", ())),
    }
