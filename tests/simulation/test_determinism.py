"""Same plan, same bytes: whatever the process, its hash seed, and what was played before."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.seeds.fleet import profile_of
from tests.seeds.plan import draw
from tests.seeds.play import play
from tests.seeds.run import replay, report, shrink
from tests.seeds.sweep import SCENES

NUMBERS = (3, 6, 20, 34)

PRINT = """
import sys
from tests.seeds.fleet import seeds
from tests.seeds.play import play
for number in map(int, sys.argv[1:]):
    print(number, play(next(seeds(number, number))).digest)
"""


def digests(*numbers: int, hash_seed: str) -> dict[str, str]:
    command = [sys.executable, "-c", PRINT, *map(str, numbers)]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=250)
    return dict(line.split() for line in done.stdout.splitlines())


@pytest.mark.timeout(300)
def test_a_seed_gives_the_same_trace_in_every_process_order_and_hash_seed() -> None:
    forward = digests(*NUMBERS, hash_seed="1")
    assert len(set(forward.values())) == len(NUMBERS)
    assert digests(*reversed(NUMBERS), hash_seed="2") == forward


def test_a_run_is_replayed_from_the_ids_of_its_faults_alone() -> None:
    found = play(draw(34, profile_of(34)))
    assert found.fired
    again = play(replace(found.plan, only=frozenset(found.fired)))
    assert again.digest == found.digest
    fewer = play(replace(found.plan, only=frozenset(found.fired[:1])))
    assert fewer.digest != found.digest


def test_a_failure_prints_the_command_that_replays_it_and_is_shortened_to_what_matters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from controller.execute.launch import Launcher

    async def undo(
        self: Launcher, github: object, hub: object, pool: object, jit: object, *_: object
    ) -> None:
        await self._undo_registration(github, pool, jit.registration.name, jit)  # type: ignore[arg-type,attr-defined]

    monkeypatch.setattr(Launcher, "_find_launched", undo)
    lost = "lost_answer:POST /api/jobs/{namespace}#1"
    failed = play(replace(SCENES["a burst"], forced=frozenset({lost})))
    assert failed.violations[0].invariant == "once"
    lines = report(failed, lines=30)
    assert lines[-1] == f"replay: {replay(failed.plan)} --trace"
    assert lost in lines[-1]
    assert shrink(failed, budget=3).violations[0].invariant == "once"
