"""Judges the invariant ``isolation``: a plan is played with and without the other tenants, and the
first one must not notice.

The tenants share neither an HF account nor a GitHub owner, the plan has no faults, images boot
equally fast, and the Hub's times do not vary, so that nothing but the controller can carry something
from one tenant to the other.
"""

from __future__ import annotations

from dataclasses import replace

from controller.simulate.invariants import ISOLATION, Violation
from tests.seeds.plan import Plan
from tests.seeds.play import Outcome, play
from tests.seeds.views import NamespaceView
from tests.seeds.worlds import WORLDS

PACE = 30.0
"""Seconds by which a job's start may differ: a look at GitHub and one at the Hub fall on other seconds."""


def play_judged(plan: Plan) -> Outcome:
    """Play a plan, and once more without the other tenants where its world asks for it.

    The violations of the whole plan come first, and those of ``isolation`` only when it has none.
    """
    together = play(plan)
    if together.failed or plan.world not in WORLDS or not WORLDS[plan.world].compared:
        return together
    first = plan.pools[0].namespace
    alone = play(alone_in(plan, first))
    found = differences(alone.views.get(first), together.views.get(first))
    violations = tuple(Violation(invariant=ISOLATION, at=together.seconds, message=text) for text in found)
    return replace(together, violations=violations)


def alone_in(plan: Plan, namespace: str) -> Plan:
    """Return a plan with the pools of one namespace only, and all jobs."""
    return replace(plan, pools=tuple(pool for pool in plan.pools if pool.namespace == namespace))


def differences(alone: NamespaceView | None, together: NamespaceView | None) -> list[str]:
    """Return what one tenant sees otherwise because of the others."""
    if alone is None or together is None:
        return ["the pools of the first tenant are gone"]
    found = [
        f"{what}: {one} alone, {other} beside another tenant"
        for what, one, other in (
            ("launches", dict(alone.launches), dict(together.launches)),
            ("Events", dict(alone.events), dict(together.events)),
            ("status", alone.statuses, together.statuses),
            ("jobs", sorted(alone.waits), sorted(together.waits)),
        )
        if one != other
    ]
    # In order of length: of jobs that were queued at one moment, GitHub may take any one first.
    both = zip(_lengths(alone), _lengths(together), strict=False)
    for number, (one, other) in enumerate(both, start=1):
        if abs(one - other) > PACE:
            found.append(f"wait {number} took {other:.0f} s, and {one:.0f} s without the other tenant")
    return found


def _lengths(view: NamespaceView) -> list[float]:
    return sorted(wait for wait in view.waits.values() if wait is not None)
