"""Plays many seeds on every core, and reports what they reached and what they broke.

``python -m controller.sim.fleet --seeds 0-999`` is what ``make soak`` runs. Half of the seeds are ``uniform``, half ``swarm``,
and one in twenty is ``calm``: mild mixes find what one common fault triggers, swarm what needs one kind often.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from controller.sim.plan import Profile, draw
from controller.sim.run import report, shrink
from controller.sim.stage import Outcome, play

CHUNK = 8
"""Seeds that a worker takes at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one seed came to, small enough to be sent between processes."""

    seed: int
    profile: Profile
    digest: str
    marks: dict[str, int]
    seconds: float
    requests: int
    launches: int
    broken: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Tally:
    """All verdicts together."""

    seeds: int = 0
    seconds: float = 0.0
    requests: int = 0
    launches: int = 0
    marks: Counter[str] = field(default_factory=Counter)
    failed: list[Verdict] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        """Count one."""
        self.seeds += 1
        self.seconds += verdict.seconds
        self.requests += verdict.requests
        self.launches += verdict.launches
        self.marks.update(verdict.marks)
        if verdict.broken:
            self.failed.append(verdict)


def profile_of(seed: int) -> Profile:
    """Return how a seed is drawn when nobody says."""
    return "calm" if seed % 20 == 0 else "uniform" if seed % 2 else "swarm"


def judge(seed: int) -> Verdict:
    """Play one seed."""
    outcome = play(draw(seed, profile_of(seed)))
    return Verdict(
        seed=seed,
        profile=outcome.plan.profile,
        digest=outcome.digest,
        marks=dict(outcome.marks),
        seconds=outcome.seconds,
        requests=outcome.requests,
        launches=outcome.launches,
        broken=tuple(str(violation) for violation in outcome.violations[:3]),
    )


def play_all(seeds: Sequence[int], *, workers: int) -> Iterator[Verdict]:
    """Play seeds, in any order of answers; what a seed gives depends on nothing but the seed."""
    if workers <= 1:
        yield from map(judge, seeds)
        return
    gc.freeze()  # the children share what is there already
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        yield from pool.imap_unordered(judge, seeds, chunksize=CHUNK)


def smallest(verdict: Verdict) -> Outcome:
    """Play a failed seed again and take away what does not matter."""
    outcome = play(draw(verdict.seed, verdict.profile))
    return shrink(outcome) if outcome.failed else outcome


def main(arguments: list[str] | None = None) -> int:
    """Play seeds; return 1 when one of them breaks an invariant."""
    parser = argparse.ArgumentParser(prog="python -m controller.sim.fleet", description="Play many seeds.")
    parser.add_argument("--seeds", default="0-999", help="A-B, or how many from 0 on")
    parser.add_argument("--workers", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no seed after so long")
    parser.add_argument("--keep-going", action="store_true", help="play all seeds, however many fail")
    given = parser.parse_args(arguments)
    first, _, last = given.seeds.rpartition("-")
    seeds = range(int(first or 0), int(last) + 1 if first else int(last))
    began, tally = time.monotonic(), Tally()
    for verdict in play_all(seeds, workers=given.workers):
        tally.add(verdict)
        if len(tally.failed) >= 5 and not given.keep_going:
            break
        if time.monotonic() - began > given.minutes * 60:
            break
    took = time.monotonic() - began
    tally.failed.sort(key=lambda verdict: verdict.seed)
    if given.json:
        found = {
            "seeds": tally.seeds,
            "virtualHours": round(tally.seconds / 3600, 1),
            "requests": tally.requests,
            "launches": tally.launches,
            "marks": dict(sorted(tally.marks.items())),
            "failed": {str(v.seed): {"profile": v.profile, "broken": v.broken} for v in tally.failed},
            "seconds": round(took, 1),
        }
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        _print(tally, took)
    return int(bool(tally.failed))


def _print(tally: Tally, took: float) -> None:
    write = sys.stdout.write
    write(
        f"{tally.seeds} seeds, {tally.seconds / 3600:.0f} virtual hours, {tally.requests} requests, "
        f"{tally.launches} HF Jobs in {took:.0f} s: {len(tally.failed)} failed\n"
    )
    for name, count in sorted(tally.marks.items()):
        write(f"  {name:<24}{count:>8}\n")
    for verdict in tally.failed[:5]:
        write(f"\nseed {verdict.seed} ({verdict.profile}) failed: {verdict.broken[0]}\n")
    if tally.failed:
        write("\nThe first one, with the fewest faults that still break it:\n")
        write("\n".join(report(smallest(tally.failed[0]), lines=40)) + "\n")


if __name__ == "__main__":
    sys.exit(main())
