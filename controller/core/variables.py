"""Which Secrets may become environment variables of runners (``spec.secretEnv``).

Whoever may write RunnerPools chooses the Secret, and whoever may write a workflow reads the variable; neither
needs the right to read Secrets. So it is the Secret's own label that says whether it may be used: only who
may write the Secret can set that.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping

from controller.core.model import Disposition, Failure, Pool, SecretEnv, SecretRef, SecretSight, Snapshot
from controller.core.reasons import Reason
from controller.core.resource import GROUP

LABEL, VALUE = f"{GROUP}/runner-env", "true"
"""The label of a Secret that runners may have."""


def sight(labels: Mapping[str, str], keys: Iterable[str]) -> SecretSight:
    """Return what may be kept of a Secret that was read."""
    return SecretSight(labelled=labels.get(LABEL) == VALUE, keys=frozenset(keys))


def command(ref: SecretRef) -> str:
    """Return the command that lets runners have a Secret."""
    return f"kubectl label secret {shlex.quote(ref.name)} --namespace {shlex.quote(ref.namespace)} {LABEL}={VALUE}"


def refusal(variable: SecretEnv, seen: SecretSight) -> Failure | None:
    """Return what a person must mend before a variable can be given to a runner, None if nothing.

    The label goes first: of a Secret that nobody meant for runners, not even the names of
    its keys are reported.
    """
    if seen.failure is not None:
        return seen.failure if seen.failure.disposition is Disposition.PERSON else None
    if not seen.labelled:
        return Failure(
            reason=Reason.SecretNotLabelled,
            message=f"spec.secretEnv gives runners the Secret {variable.secret} as {variable.name}, and the Secret is not labelled for "
            "that, so none is launched. If every workflow job on this pool may read what it holds, run: "
            f"{command(variable.secret)}",
            disposition=Disposition.PERSON,
        )
    if variable.key not in seen.keys:
        return Failure(
            reason=Reason.SecretMalformed,
            message=f"Secret {variable.secret} has no key {variable.key!r}, which {variable.name} in spec.secretEnv takes; add it",
            disposition=Disposition.PERSON,
        )
    return None


def refused_variable(pool: Pool, snapshot: Snapshot) -> Failure | None:
    """Return why the pool's runners cannot have a variable; None while that is not known, and for a
    pool that launches no more.
    """
    if pool.leaving:
        return None
    for variable in pool.template.secret_env:
        seen = snapshot.variables.get(variable.secret)
        refused = refusal(variable, seen) if seen is not None else None
        if refused is not None:
            return refused
    return None


def variables_seen(pool: Pool, snapshot: Snapshot) -> bool:
    """Return whether every Secret that the pool's variables come from was looked at."""
    return pool.leaving or all(variable.secret in snapshot.variables for variable in pool.template.secret_env)
