"""What an earlier process may have launched last, and no list shows yet.

What this process does itself it counts at once, as in flight. Of its predecessor it sees only what the lists show:

1. A registers runner R, asks for its HF Job, and dies.  2. B begins to act, seconds later.  3. Lists that lag show neither half.
4. B launches in R's place: one HF Job more than ``maxRunners`` (invariant 1).

So B takes soundings. The first runner that it registers for a pool is held back: its HF Job is not asked for before a list
shows its registration, or another one that B made in the scope. A list shows the world of one instant, however long ago, so this
one shows every older registration too, R's among them; and no HF Job is asked for without a registration. Then there is room for
the runner, or it is given up. Where lists do not lag, this costs one more list after a restart, and a second.

The other witness is time: lists that were asked for :data:`~controller.core.lifecycle.LIST_LAG` after B began show all that A did.
"""

from __future__ import annotations

from collections.abc import Mapping

from controller.core.evidence import LIST_LAG
from controller.core.lifecycle import Effect, InFlight
from controller.core.model import RegistrationScope, Snapshot


def find_sounded(
    known: frozenset[RegistrationScope],
    snapshot: Snapshot,
    in_flight: Mapping[str, InFlight],
    *,
    began: float,
) -> frozenset[RegistrationScope]:
    """Return the scopes whose lists have shown by now every registration that an earlier process made.

    Args:
        known: Of which that was known before; it stays so.
        snapshot: The lists.
        in_flight: What this process does.
        began: Monotonic seconds of this process's first pass.
    """
    ours = {name for name, effect in in_flight.items() if effect.effect is Effect.LAUNCH}
    found = {
        scope
        for scope, view in snapshot.registrations.items()
        if scope not in known
        and view.complete
        and (
            view.asked_at > began + LIST_LAG
            or (bool(ours) and any(registration.name in ours for registration in view.items))
        )
    }
    return known | found if found else known


def under_way(in_flight: Mapping[str, InFlight]) -> set[str]:
    """Return the uids of the pools for which a launch is under way: one sounding each is enough.

    One for the whole scope would do as well, but then a pool whose registrations hang would delay the others (invariant 10).
    """
    return {
        effect.pool_uid
        for effect in in_flight.values()
        if effect.effect is Effect.LAUNCH and effect.settled_at is None
    }
