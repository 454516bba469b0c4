"""Pools as ``upgrade-check`` sees them: what they say of themselves, and so which of them the
installed release serves.

Their status is believed, and not their spec: whoever may write RunnerPools writes the spec,
and the controller alone the status. Else anybody with that right could stop every upgrade
by a pool that never worked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from controller.core.model import Pool
from controller.core.reasons import Reason

Found = tuple[Pool, Mapping[str, Any]]
"""A pool, and the object that it was read from."""

_REFUSED = frozenset(
    reason.name
    for reason in (
        Reason.HostNotAllowed,
        Reason.InvalidSpec,
        Reason.SecretForbidden,
        Reason.SecretMalformed,
        Reason.SecretMissing,
        Reason.SecretNotLabelled,
    )
)
"""Reasons by which a controller refuses a pool until a person mends it or its Secrets. What comes and goes (a
service that does not answer, a limit) is none of them: such a pool works again by itself."""


def refused_already(obj: Mapping[str, Any]) -> str:
    """Return the reason by which the installed release refuses a RunnerPool; empty where it works,
    or was not looked at yet.

    ``Stalled`` is looked at beside ``Ready``, which of a pool that is drained says that alone.
    """
    for type_, status in (("Ready", "False"), ("Stalled", "True")):
        for one in _conditions(obj, type_):
            if one.get("status") == status and one.get("reason") in _REFUSED:
                return str(one["reason"])
    return ""


def looked_at(obj: Mapping[str, Any]) -> bool:
    """Return whether the installed release has said anything of a RunnerPool."""
    return any(True for _ in _conditions(obj, "Ready"))


def own_status(obj: Mapping[str, Any]) -> str:
    """Return what a pool says of itself now, for a person, who can so tell a host that
    works from a mistyped one.
    """
    for one in _conditions(obj, "Ready"):
        return "Ready" if one.get("status") == "True" else f"not Ready: {one.get('reason')}"
    return "not looked at yet"


def _conditions(obj: Mapping[str, Any], type_: str) -> Iterator[Mapping[str, Any]]:
    status = obj.get("status")
    conditions = status.get("conditions") if isinstance(status, Mapping) else None
    for one in conditions if isinstance(conditions, list) else ():
        if isinstance(one, Mapping) and one.get("type") == type_:
            yield one
