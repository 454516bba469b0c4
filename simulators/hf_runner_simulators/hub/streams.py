"""The Hub's server-sent events: a job's log, its metrics, its events.

Written as the client parses them: an event is a line that begins with ``data: {``, a
silence is broken by a comment.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from hf_runner_simulators.http import JSON
from hf_runner_simulators.hub.flavors import FLAVORS
from hf_runner_simulators.hub.job import Job, Phase, iso
from hf_runner_simulators.hub.world import World

KEEP_ALIVE = b": keep-alive\n\n"
GB = 1_000_000_000


async def log(world: World, job: Job, *, tail: int | None) -> AsyncIterator[bytes]:
    """Stream a job's log, or its last ``tail`` lines, then what follows; ends when the command has."""
    sent = 0 if tail is None else max(0, len(job.log) - tail)
    silence = 0.0
    while True:
        world.advance()
        fresh = job.log[sent:]
        if fresh:
            yield b"".join(_event({"data": line.text, "timestamp": iso(line.at)}) for line in fresh)
            sent += len(fresh)
            silence = 0.0
        if job.log_closed:
            return
        await asyncio.sleep(world.knobs.log_poll_seconds)
        silence += world.knobs.log_poll_seconds
        if silence >= world.knobs.keep_alive_seconds:
            yield KEEP_ALIVE
            silence = 0.0


async def late(body: bytes, seconds: float) -> AsyncIterator[bytes]:
    """Send a body after a while."""
    await asyncio.sleep(seconds)
    yield body


async def metrics(world: World, job: Job) -> AsyncIterator[bytes]:
    """Stream a sample per second while the job runs; as on the real Hub, its end does not end the stream."""
    silence = 0.0
    while True:
        world.advance()
        if job.phase is Phase.RUNNING:
            yield b"event: metric\n" + _event(_sample(job))
            silence = 0.0
        elif silence >= world.knobs.keep_alive_seconds:
            yield KEEP_ALIVE
            silence = 0.0
        await asyncio.sleep(world.knobs.metrics_seconds)
        silence += world.knobs.metrics_seconds


async def events(world: World, job: Job) -> AsyncIterator[bytes]:
    """Stream nothing but comments until the job ends: what the real payload looks like is
    documented nowhere.
    """
    while True:
        world.advance()
        yield KEEP_ALIVE
        if job.log_closed:
            return
        await asyncio.sleep(world.knobs.keep_alive_seconds)


def _sample(job: Job) -> JSON:
    """An idle machine: the simulator does not measure what its processes use."""
    flavor = FLAVORS[job.spec.flavor]
    gpu = flavor.accelerator
    idle = (
        {"utilization": 0, "memory_used_bytes": 0, "memory_total_bytes": gpu.vram * GB // gpu.quantity}
        if gpu
        else {}
    )
    return {
        "cpu_usage_pct": 0,
        "cpu_millicores": flavor.cpu * 1000,
        "memory_used_bytes": 0,
        "memory_total_bytes": flavor.ram * GB,
        "rx_bps": 0,
        "tx_bps": 0,
        "gpus": {f"{job.id[-7:]}{number}": idle for number in range(gpu.quantity if gpu else 0)},
        "replica": job.id[-5:],
    }


def _event(payload: JSON) -> bytes:
    return b"data: " + json.dumps(payload, separators=(",", ":")).encode() + b"\n\n"
