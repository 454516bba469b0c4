"""Change the product in small ways; say which changes no test of the lowest rung notices (``make mutants``).

    python -m tools.mutants [--seed N] [--sample N] [--workers N] [FILE ...]

FILE is a file or a folder with a rung of tests (:mod:`tools.mutants.rungs`); all of those unless said. The
exit code is 1 where fewer than nine in ten were noticed, and 2 where nothing could be said.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from tools.mutants import equivalent, operators, rungs, runner

ENOUGH = 0.9
"""Share of the mutants that the lowest rung has to notice, those left out that nobody could see."""


def main(arguments: list[str] | None = None, root: Path | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.mutants", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--seed", type=int, default=1, help="which sample (default: 1)")
    parser.add_argument(
        "--sample", type=int, default=120, help="how many mutants (default: 120); 0 takes one of each line"
    )
    parser.add_argument("--workers", type=int, default=1, help="how many run at a time (default: 1)")
    parser.add_argument("files", nargs="*", metavar="FILE")
    given = parser.parse_args(arguments)
    root = (root or Path.cwd()).resolve()
    try:
        chosen, sources = _chosen(root, given.files, given.seed, given.sample)
        left = _survivors(root, chosen, sources, given.workers)
    except (ValueError, runner.BaselineError) as error:
        print(error, file=sys.stderr)
        return 2
    return _report(chosen, left, sources)


def _chosen(
    root: Path, named: list[str], seed: int, count: int
) -> tuple[list[operators.Mutant], dict[str, str]]:
    sources = {file: (root / file).read_text(encoding="utf-8") for file in rungs.files(root, named)}
    found = [one for file, source in sources.items() for one in operators.mutants(file, source)]
    listed = root / "tools/mutants/equivalent.toml"
    entries = equivalent.read(listed.read_text(encoding="utf-8")) if listed.exists() else []
    kept, unused = equivalent.without(found, sources, entries)
    if unused:
        raise ValueError(
            "\n".join(f"{listed.name}: no mutant is like this any more: {entry}" for entry in unused)
        )
    return operators.sample(kept, seed=seed, count=count or len(kept)), sources


def _survivors(
    root: Path, chosen: list[operators.Mutant], sources: dict[str, str], workers: int
) -> list[operators.Mutant]:
    left: list[operators.Mutant] = []
    by_rung: dict[str, list[operators.Mutant]] = {}
    for one in chosen:
        by_rung.setdefault(rungs.rung(one.file), []).append(one)
    for rung, mutants in by_rung.items():
        began = time.monotonic()
        baseline = runner.measure(root, sorted(sources), rung)
        print(f"{rung} passes as it is, {time.monotonic() - began:.0f} s; {len(mutants)} mutants", flush=True)

        def told(mutant: operators.Mutant, noticed: bool) -> None:
            if not noticed:
                print(
                    f"\nsurvived: {mutant.file}:{mutant.line} ({mutant.operator}, {mutant.within or 'module'})"
                )
                print(mutant.diff(sources[mutant.file]), flush=True)

        left += runner.survivors(
            root, mutants, sources=sources, baseline=baseline, rung=rung, workers=workers, told=told
        )
    return left


def _report(chosen: list[operators.Mutant], left: list[operators.Mutant], sources: dict[str, str]) -> int:
    if not chosen:
        print("there is nothing to change", file=sys.stderr)
        return 2
    every, survived = Counter(one.file for one in chosen), Counter(one.file for one in left)
    print()
    for file in sorted(set(sources) & set(every)):
        print(f"{every[file] - survived[file]:4} of {every[file]:<4} {file}")
    share = 1 - len(left) / len(chosen)
    print(f"{len(chosen) - len(left)} of {len(chosen)} were noticed: {share:.0%}")
    return 0 if share >= ENOUGH else 1


if __name__ == "__main__":
    sys.exit(main())
