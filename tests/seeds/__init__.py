"""Seeded plans of faults, crashes, edits and odd worlds, played with the whole controller and judged.

Not shipped. ``python -m tests.seeds.fleet`` plays many seeds, ``python -m tests.seeds.run`` one. It
stands on ``controller.simulate`` (the engine and the judge) and on ``hf_runner_simulators`` (the
services); neither may import it.
"""
