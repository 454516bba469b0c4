"""Replays one seed, and takes away from a failing one what does not matter.

``python -m tests.seeds.run --seed 17 --profile swarm`` replays a seed; ``--shrink`` looks for the shortest
list of faults that still breaks it, ``--only`` replays such a list, ``--trace`` prints every exchange.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace

from tests.seeds.isolation import play_judged as play
from tests.seeds.plan import Plan
from tests.seeds.play import Outcome
from tests.seeds.sweep import SCENES
from tests.seeds.worlds import WORLDS, draw_world


def shrink(failed: Outcome, *, budget: int = 60) -> Outcome:
    """Return the same failure from as few faults and jobs as ``budget`` runs find: delta
    debugging over ids.
    """
    invariant = failed.violations[0].invariant
    best, left = failed, budget

    def still_fails(plan: Plan) -> bool:
        nonlocal best, left
        if left <= 0:
            return False
        left -= 1
        found = play(plan)
        if found.failed and found.violations[0].invariant == invariant:
            best = found
            return True
        return False

    if not still_fails(replace(failed.plan, only=frozenset())):
        ids = sorted(set(failed.fired))
        size = max(1, len(ids) // 2)
        while ids and left > 0:
            chunks = [ids[n : n + size] for n in range(0, len(ids), size)]
            for chunk in chunks:
                rest = [i for i in ids if i not in chunk]
                if still_fails(replace(best.plan, only=frozenset(rest))):
                    ids = rest
            if size == 1:
                break
            size = max(1, size // 2)
    return best


def replay(plan: Plan) -> str:
    """Return the one command that plays a plan again."""
    scene = next((name for name, known in SCENES.items() if replace(plan, forced=frozenset()) == known), None)
    world = plan.world or "usual"
    seed = f"--seed {plan.seed} --profile {plan.profile} --world {world}"
    chosen = f"--scene '{scene}'" if scene else seed
    for option, ids in (("only", plan.only), ("force", plan.forced or None)):
        if ids is not None:
            chosen += f" --{option} '{','.join(sorted(ids)) or 'none'}'"
    return f"python -m tests.seeds.run {chosen}"


def main(arguments: list[str] | None = None) -> int:
    """Replay one seed; return 1 when an invariant breaks."""
    parser = argparse.ArgumentParser(prog="python -m tests.seeds.run", description="Replay one seed.")
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--seed", type=int)
    chosen.add_argument("--scene", choices=sorted(SCENES), help="a scene of the sweep instead of a seed")
    parser.add_argument("--profile", choices=["calm", "uniform", "swarm"], default="uniform")
    parser.add_argument(
        "--world", choices=["usual", *sorted(WORLDS)], help="instead of the world that the seed draws"
    )
    parser.add_argument("--only", help="ids of the faults that may strike, separated by commas; or none")
    parser.add_argument("--force", help="ids of faults that strike in any case, separated by commas")
    parser.add_argument(
        "--shrink", action="store_true", help="look for the fewest faults that still break it"
    )
    parser.add_argument("--trace", action="store_true", help="print every exchange")
    parser.add_argument("--plan", action="store_true", help="print the plan")
    given = parser.parse_args(arguments)
    world = "" if given.world == "usual" else given.world
    plan = SCENES[given.scene] if given.scene else draw_world(given.seed, given.profile, world)
    try:
        plan = replace(plan, only=_ids(given.only), forced=_ids(given.force) or frozenset())
    except ValueError as error:
        parser.error(str(error))
    if given.plan:
        sys.stdout.write(json.dumps(asdict(plan), indent=2, default=sorted) + "\n")
    outcome = play(plan)
    if outcome.failed and given.shrink:
        outcome = shrink(outcome)
    sys.stdout.write("\n".join(report(outcome, lines=None if given.trace else 30)) + "\n")
    return int(outcome.failed)


def _ids(text: str | None) -> frozenset[str] | None:
    return None if text is None else frozenset(() if text == "none" else text.split(","))


def report(outcome: Outcome, *, lines: int | None) -> list[str]:
    """Describe an outcome: what broke, the last lines of the trace before it, and the
    command that replays it.
    """
    world = f", {outcome.plan.world}" if outcome.plan.world else ""
    size = f"{outcome.seconds:.0f} virtual seconds, {outcome.requests} requests, {outcome.launches} HF Jobs"
    found = [f"seed {outcome.plan.seed} ({outcome.plan.profile}{world}): {size}, trace {outcome.digest}"]
    if outcome.failed or lines is None:
        until = outcome.violations[0].at if outcome.failed else float("inf")
        before = [line for line in outcome.trace if float(line[:9]) <= until + 0.01]
        telling = [line for line in before if " GET " not in line or "<-" in line]
        found += before if lines is None else telling[-lines:]
        found += [str(violation) for violation in outcome.violations]
    if outcome.failed:
        found.append(f"faults that struck: {len(outcome.fired)}")
        found.append(f"replay: {replay(outcome.plan)} --trace")
    return found


if __name__ == "__main__":
    sys.exit(main())
