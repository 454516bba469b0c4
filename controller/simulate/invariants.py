"""The invariants by name. ``docs/invariants.md`` says of each where it is judged, and which mutant
proves that the check can fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

CAP = "cap"
BUSY = "busy"
EVIDENCE = "evidence"
SERVED = "served"
ENDS = "ends"
LEFTOVERS = "leftovers"
ONCE = "once"
LEADER = "leader"
ISOLATION = "isolation"
BACKOFF = "backoff"
MONEY = "money"
SECRETS = "secrets"

LABELS = "labels"
RERUN = "re-run"
QUIET = "quiet"
INTERNAL = "internal"

PROMISES: Mapping[str, str] = {
    CAP: "live HF Jobs of a pool never exceed maxRunners",
    BUSY: "no HF Job is cancelled while its runner runs a workflow job",
    EVIDENCE: "no healthy runner is deregistered while queued jobs need it, whatever lists or errors say",
    SERVED: "every job that a pool may serve is served, as long as nothing kills it; every other one has a reason in a status",
    ENDS: "every launch carries a timeout, and no HF Job costs more than it allows",
    LEFTOVERS: "no registration, HF Job or deleted pool is left in the end, and what is not ours is never touched",
    ONCE: "no runner's name is registered or launched twice, and a lost answer costs no second launch",
    LEADER: "nobody acts without the lease",
    ISOLATION: "a pool of another namespace that shares no account changes nothing for the others",
    BACKOFF: "launches for a job that nobody picks up, and launches that keep failing, become rare",
    MONEY: "a pool's spent dollars never fall, and never exceed what its HF Jobs can have cost",
    SECRETS: "no secret in a log line, Event, status, or in what an HF Job shows",
}
"""What the product promises: the names of docs/invariants.md."""

FURTHER: Mapping[str, str] = {
    LABELS: "a runner's labels are exactly its pool's",
    RERUN: "only a run that an HF Job's end interrupted is run again, at most retry.interrupted times, once it has ended",
    QUIET: "with nothing to do, nothing is written anywhere",
    INTERNAL: "neither the controller nor a simulator fails in a way that it does not know",
}
"""What is judged beside them."""

INVARIANTS: Mapping[str, str] = {**PROMISES, **FURTHER}


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A broken invariant; ``at`` is in virtual seconds since the start."""

    invariant: str
    at: float
    message: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.at:9.2f}  {self.invariant}: {self.message}"
