"""Everything that happened in a run, as lines in order of time, and a digest of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b

from controller.simulate.engine import Simulation
from hf_runner_simulators.clock import EPOCH


def write_down(sim: Simulation, happenings: Sequence[tuple[float, str]]) -> tuple[tuple[str, ...], str]:
    """Return the trace and its digest, while the services still stand.

    Args:
        sim: The run.
        happenings: What its director did, in seconds since the start.
    """
    lines = [(at, f"  * {what}") for at, what in happenings]
    for name, exchange in (("github", sim.github_exchange), ("hub", sim.hub_exchange)):
        for e in exchange.log:
            fault = f"  <- {e.fault}" if e.fault else ""
            verb = e.route.split(" ", 1)[0]
            answer = e.status if e.status is not None else "-"
            lines.append((e.at - EPOCH, f"{e.caller} {name} {verb} {e.path} {answer}{fault}"))
    for row in sim.github.store.jobs.rows():
        lines.append((row.queued_at - EPOCH, f"  = job {row.id} queued for {','.join(row.spec.labels)}"))
        if row.started_at is not None:
            lines.append((row.started_at - EPOCH, f"  = job {row.id} starts on {row.runner_name}"))
        if row.completed_at is not None:
            lines.append((row.completed_at - EPOCH, f"  = job {row.id} ends: {row.conclusion}"))
    for job in sim.hub.platform.jobs.values():
        name = (job.labels or {}).get("runner", "?")
        for moment in job.moments:
            detail = moment.cancel_reason or moment.message or ""
            lines.append((moment.at - EPOCH, f"  = HF Job {job.id} ({name}) {moment.stage} {detail}"))
    lines += [(e.at - EPOCH, f"  ! {e.pool} {e.reason}: {e.message}") for e in sim.cluster.events]
    lines.sort(key=lambda line: line[0])
    trace = tuple(f"{at:9.2f} {text}" for at, text in lines)
    whole = json.dumps(
        [trace, sim.github.report(), sim.hub.report(), list(sim.cluster.pools.values())], sort_keys=True
    )
    return trace, blake2b(whole.encode(), digest_size=16).hexdigest()
