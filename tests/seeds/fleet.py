"""Plays many seeds on every core, and reports what they reached and what they broke.

``python -m tests.seeds.fleet --seeds 10000`` is what ``make soak`` runs. Half of the seeds are
``uniform``, half ``swarm``, and one in twenty is ``calm``: mild mixes find what one common fault triggers,
swarm what needs one kind often.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from tests.seeds.coverage import unplayed
from tests.seeds.isolation import play_judged
from tests.seeds.plan import Plan, Profile
from tests.seeds.play import Outcome, play
from tests.seeds.run import replay, report, shrink
from tests.seeds.sweep import SCENES, pairs, reads, writes
from tests.seeds.worlds import WORLDS, draw_world

CHUNK = 8
"""Plans that a worker takes at a time."""

PROGRESS = 250
"""Plans between two lines that say how far it is."""

ENOUGH_SEEDS, ENOUGH_OF_A_WORLD = 300, 8
"""Seeds of a run, and of them in one world, after which a failure that is expected there
must have been seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one plan came to, small enough to be sent between processes."""

    plan: Plan
    digest: str
    marks: dict[str, int]
    seconds: float
    requests: int
    launches: int
    broken: tuple[str, ...]
    expected: str = ""
    """The invariant that broke as its world says that it does today; ``broken`` is empty then."""


@dataclass(slots=True, kw_only=True)
class Totals:
    """All verdicts together."""

    seeds: int = 0
    seconds: float = 0.0
    requests: int = 0
    launches: int = 0
    marks: Counter[str] = field(default_factory=Counter)
    failed: list[Verdict] = field(default_factory=list)
    worlds: Counter[str] = field(default_factory=Counter)
    expected: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By world and invariant."""

    def add(self, verdict: Verdict) -> None:
        """Count one."""
        self.seeds += 1
        self.seconds += verdict.seconds
        self.requests += verdict.requests
        self.launches += verdict.launches
        self.marks.update(verdict.marks)
        self.worlds[verdict.plan.world] += 1
        if verdict.expected:
            self.expected[verdict.plan.world, verdict.expected] += 1
        if verdict.broken:
            self.failed.append(verdict)

    def unseen(self) -> list[str]:
        """Return the worlds whose expected failures no seed shows any more, in a run that
        is long enough to tell.
        """
        if self.seeds < ENOUGH_SEEDS:
            return []
        shown = {world for world, _ in self.expected}
        return [
            f"expected failure did not happen in {self.worlds[name]} seeds of {name}: remove it ({why})"
            for name, world in sorted(WORLDS.items())
            if world.expected and name not in shown and self.worlds[name] >= ENOUGH_OF_A_WORLD
            for why in sorted(set(world.expected.values()))
        ]


def profile_of(seed: int) -> Profile:
    """Return how a seed is drawn when nobody says."""
    return "calm" if seed % 20 == 0 else "uniform" if seed % 2 else "swarm"


def judge(plan: Plan) -> Verdict:
    """Play one plan."""
    outcome = play_judged(plan)
    first = outcome.violations[0].invariant if outcome.failed else ""
    known = plan.world in WORLDS and first in WORLDS[plan.world].expected
    return Verdict(
        plan=plan,
        digest=outcome.digest,
        marks=dict(outcome.marks),
        seconds=outcome.seconds,
        requests=outcome.requests,
        launches=outcome.launches,
        broken=() if known else tuple(str(violation) for violation in outcome.violations[:3]),
        expected=first if known else "",
    )


def play_all(plans: Iterable[Plan], *, workers: int) -> Iterator[Verdict]:
    """Play plans, in any order of answers; what a plan gives depends on nothing but the plan."""
    if workers <= 1:
        yield from map(judge, plans)
        return
    gc.freeze()  # the children share what is there already
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        yield from pool.imap_unordered(judge, plans, chunksize=CHUNK)


def seeds(first: int, last: int, world: str | None = None) -> Iterator[Plan]:
    """Return the plans of seeds ``first`` to ``last``, each in the world that it draws, or all in one."""
    return (draw_world(seed, profile_of(seed), world) for seed in range(first, last + 1))


def sweep(names: Iterable[str] = tuple(SCENES)) -> Iterator[Plan]:
    """Return scenes with every single fault at every effect, and samples of failing reads and of pairs."""
    for scene in (SCENES[name] for name in names):
        asked = play(scene).asked
        yield scene
        yield from writes(scene, asked)
        yield from reads(scene, asked, share=0.02)
        yield from pairs(scene, asked, share=0.003)


def smallest(verdict: Verdict) -> Outcome:
    """Play a failed plan again and take away what does not matter."""
    outcome = play_judged(verdict.plan)
    return shrink(outcome) if outcome.failed else outcome


def main(arguments: list[str] | None = None) -> int:
    """Play seeds; return 1 when one of them breaks an invariant."""
    parser = argparse.ArgumentParser(prog="python -m tests.seeds.fleet", description="Play many plans.")
    parser.add_argument("--seeds", default="0", help="A-B, or how many from 0 on")
    parser.add_argument(
        "--sweep",
        nargs="*",
        choices=sorted(SCENES),
        help="play every single fault in these small scenes too, or in all",
    )
    parser.add_argument("--workers", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no seed after so long")
    parser.add_argument(
        "--all-faults", action="store_true", help="fail when a way to go wrong was never played"
    )
    parser.add_argument("--world", choices=["usual", *sorted(WORLDS)], help="play all seeds in one world")
    parser.add_argument("--keep-going", action="store_true", help="play all seeds, however many fail")
    given = parser.parse_args(arguments)
    first, _, last = given.seeds.rpartition("-")
    swept = sweep(given.sweep or SCENES) if given.sweep is not None else ()
    world = "" if given.world == "usual" else given.world
    plans = chain(seeds(int(first or 0), int(last) - (not first), world), swept)
    began, totals = time.monotonic(), Totals()
    for verdict in play_all(plans, workers=given.workers):
        totals.add(verdict)
        if verdict.broken:
            sys.stderr.write(f"{verdict.broken[0]}\n  replay: {replay(verdict.plan)}\n")
        if totals.seeds % PROGRESS == 0:
            sys.stderr.write(f"{totals.seeds} played, {len(totals.failed)} failed\n")
        if len(totals.failed) >= 5 and not given.keep_going:
            break
        if time.monotonic() - began > given.minutes * 60:
            break
    took = time.monotonic() - began
    totals.failed.sort(key=lambda verdict: (verdict.plan.seed, sorted(verdict.plan.forced)))
    if given.json:
        found = {
            "seeds": totals.seeds,
            "virtualHours": round(totals.seconds / 3600, 1),
            "requests": totals.requests,
            "launches": totals.launches,
            "marks": dict(sorted(totals.marks.items())),
            "worlds": dict(sorted(totals.worlds.items())),
            "expected": {
                f"{name}: {invariant}": n for (name, invariant), n in sorted(totals.expected.items())
            },
            "failed": [{"replay": replay(v.plan), "broken": v.broken} for v in totals.failed],
            "seconds": round(took, 1),
        }
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        _print(totals, took)
    missed = list(unplayed(totals.marks)) if given.all_faults and not totals.failed else []
    for what in missed:
        sys.stderr.write(f"never played: {what}\n")
    unseen = totals.unseen()
    for what in unseen:
        sys.stderr.write(f"{what}\n")
    return int(bool(totals.failed or missed or unseen))


def _print(totals: Totals, took: float) -> None:
    write = sys.stdout.write
    write(
        f"{totals.seeds} seeds, {totals.seconds / 3600:.0f} virtual hours, {totals.requests} requests, "
        f"{totals.launches} HF Jobs in {took:.0f} s: {len(totals.failed)} failed\n"
    )
    for name, count in sorted(totals.marks.items()):
        write(f"  {name:<24}{count:>8}\n")
    if totals.expected:
        write("\nFailures that are expected today, by world (tests/seeds/worlds.py):\n")
    for (name, invariant), count in sorted(totals.expected.items()):
        why = WORLDS[name].expected[invariant]
        write(f"  {name}: {invariant} in {count} of {totals.worlds[name]} seeds: {why}\n")
    for verdict in totals.failed[:5]:
        write(f"\n{verdict.broken[0]}\n  replay: {replay(verdict.plan)}\n")
    if totals.failed:
        write("\nThe first one, with the fewest faults that still break it:\n")
        write("\n".join(report(smallest(totals.failed[0]), lines=40)) + "\n")


if __name__ == "__main__":
    sys.exit(main())
