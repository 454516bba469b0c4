"""What the Hub answers, as bounded values: the one place where its jobs, hardware and identities are read.

Everything here takes any JSON. What a field cannot be is as if it were missing; only what nobody can do
without is insisted on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from controller.adapters import incoming
from controller.core.model import Flavor, HFJob, HubAccount, Stage
from controller.core.text import text

JSON = Any

LONGEST_MESSAGE = 300
"""Characters of the Hub's words, which go into a status and an Event that have more to say."""

LONGEST_NAME = 256
"""Characters of a user's, an organization's or a token's name."""

LONGEST_WORD = 64
"""Characters of an id, or of a word such as a stage or a role."""

LONGEST_LABEL = 100
"""Characters of a label's key and value; the Hub takes no longer ones."""

LONGEST_FLAVOR = 63
"""Characters of a flavor's name, as RunnerPools take it; the longest one that the Hub has offered so far has
15."""

MOST_LABELS = 32
"""Labels of one job that are kept; ours carry seven."""

MOST_NAMESPACES = 1_000
"""Organizations of one user that are kept."""

LONGEST_TIMEOUT = 10 * 365 * 86_400.0
"""Seconds; people ask for up to a year."""

HIGHEST_PRICE = 10_000.0
"""US dollars a minute; the most expensive hardware has cost 0.67."""

_PER_MINUTE = {"second": 60.0, "minute": 1.0, "hour": 1 / 60}
_ID = re.compile(rf"[A-Za-z0-9_-]{{1,{LONGEST_WORD}}}")
_MADE_AT = re.compile(r"[0-9a-f]{24}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose a token is.

    Attributes:
        name: The user.
        namespaces: Those whose jobs it may be able to run, the user's own first. Each with whether somebody
            pays there; None where the Hub does not say.
        role: ``read``, ``write`` or ``fineGrained``; empty where the Hub does not say.
    """

    name: str
    namespaces: Mapping[str, bool | None]
    role: str


# ------------------------------------------------------------------------------------------------------- jobs
def carried_labels(entry: JSON) -> Mapping[str, str] | None:
    """Return the labels of a job; none where they are null or absent, and None where they are anything but an
    object.

    What is no label (no text, longer than the Hub allows, or not of printable ASCII) is left out.
    """
    found = entry.get("labels") if isinstance(entry, dict) else []
    if found is None:
        return MappingProxyType({})
    if not isinstance(found, dict):
        return None
    kept = {
        key: value for key, value in islice(found.items(), MOST_LABELS) if _is_label(key) and _is_label(value)
    }
    return MappingProxyType(kept)


def _is_label(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and incoming.exact(value, LONGEST_LABEL) is not None


def parse_job(entry: JSON, *, account: HubAccount) -> HFJob:
    """Read a job.

    Only what we cannot do without is insisted on: an id that fits a path, labels that are labels, and when it
    was made. A stage that we do not know is :attr:`Stage.UNKNOWN`, which counts as live.

    Raises:
        ValueError: One of those is missing; the text names the job.
    """
    if not isinstance(entry, dict):
        raise ValueError("a job is not an object")  # noqa: TRY004 -- one kind of error for all that is unreadable
    job_id = entry.get("id")
    if not isinstance(job_id, str) or not _ID.fullmatch(job_id):
        raise ValueError("a job has no id, or one that is none")
    labels, created_at = carried_labels(entry), _created(entry, job_id)
    if labels is None:
        raise ValueError(f"the labels of job {job_id} are no object")
    if created_at is None:
        raise ValueError(f"job {job_id} does not tell when it was created")
    status, initiator = _object(entry, "status"), _object(entry, "initiator")
    started_by = text(initiator.get("type"), LONGEST_WORD).lower()
    creator = text(_object(entry, "createdBy").get("name"), LONGEST_NAME)
    if not creator and started_by == "user":
        creator = text(initiator.get("name"), LONGEST_NAME)
    return HFJob(
        id=job_id,
        stage=_stage(status.get("stage")),
        flavor=text(entry.get("flavor"), LONGEST_FLAVOR),
        labels=labels,
        created_at=created_at,
        started_at=incoming.moment(entry.get("startedAt")),
        finished_at=incoming.moment(entry.get("finishedAt")),
        timeout=incoming.number(entry.get("timeout"), 0, LONGEST_TIMEOUT),
        message=words(status.get("message")) or None,
        cancel_reason=text(status.get("cancelReason"), LONGEST_WORD) or None,
        creator=creator,
        initiator=started_by,
        url=f"{account.endpoint}/jobs/{quote(account.namespace, safe='')}/{job_id}",
    )


def words(value: object, secrets: Iterable[str] = ()) -> str:
    """Return words of the Hub's on one line, without secrets (values of less than four characters are none)
    and bounded.
    """
    if not isinstance(value, str) or not value:
        return ""
    known = [secret for secret in secrets if len(secret) >= 4]
    if not known:
        # Masking looks at every character several times, and there is no more to be seen than this: whatever
        # looks like a secret and begins within it is masked although its end is cut.
        value = " ".join(value.split())[: 4 * LONGEST_MESSAGE]
    return text(" ".join(incoming.mask(value, known).split()), LONGEST_MESSAGE)


def _object(entry: dict[str, JSON], key: str) -> dict[str, JSON]:
    value = entry.get(key)
    return value if isinstance(value, dict) else {}


def _stage(word: JSON) -> Stage:
    try:
        return Stage(word) if isinstance(word, str) else Stage.UNKNOWN
    except ValueError:
        return Stage.UNKNOWN


def _created(entry: dict[str, JSON], job_id: str) -> float | None:
    """Return when a job was made; its id begins with the same in hexadecimal seconds."""
    created = incoming.moment(entry.get("createdAt"))
    if created is None and _MADE_AT.fullmatch(job_id):
        return incoming.number(int(job_id[:8], 16), incoming.EARLIEST, incoming.LATEST)
    return created


# --------------------------------------------------------------------------------------------------- hardware
def parse_flavor(entry: JSON) -> Flavor:
    """Read one entry of the hardware list. A price that is no number, or per something else than time, is
    unknown.

    Raises:
        ValueError: It has no name.
    """
    name = incoming.exact(entry.get("name"), LONGEST_FLAVOR) if isinstance(entry, dict) else None
    if not name:
        raise ValueError("an entry has no name, or one that is none")
    unit = entry.get("unitLabel", "minute")
    per_minute = _PER_MINUTE.get(unit) if isinstance(unit, str) else None
    price = incoming.number(entry.get("unitCostUSD"), 0, HIGHEST_PRICE)
    accelerator = _object(entry, "accelerator")
    return Flavor(
        name=name,
        usd_per_minute=None if price is None or per_minute is None else price * per_minute,
        accelerator=text(accelerator.get("model"), LONGEST_WORD),
    )


# ------------------------------------------------------------------------------------------------- identities
def parse_identity(found: JSON) -> Identity:
    """Read whose a token is.

    Raises:
        ValueError: It has no name.
    """
    name = incoming.exact(found.get("name"), LONGEST_NAME) if isinstance(found, dict) else None
    if not name:
        raise ValueError("it has no name")
    organizations = found.get("orgs")
    rows = [found, *(organizations[:MOST_NAMESPACES] if isinstance(organizations, list) else [])]
    namespaces: dict[str, bool | None] = {}
    for row in rows:
        namespace = incoming.exact(row.get("name"), LONGEST_NAME) if isinstance(row, dict) else None
        if namespace:
            pays = row.get("canPay")
            namespaces[namespace] = pays if isinstance(pays, bool) else None
    token = _object(_object(found, "auth"), "accessToken")
    return Identity(name=name, namespaces=namespaces, role=text(token.get("role"), LONGEST_WORD))
