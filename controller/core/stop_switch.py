"""Which pools somebody has stopped with the stop switch, and by what words.

The switch is kept as text by key: ``all`` stops every pool, ``account.NAME`` those of one Hugging
Face namespace; the text is shown as the reason. A key that is neither stops every pool too:
whoever wrote it wanted something stopped, and a mistyped word must not cost money. Off is what
has no key, or the text ``false``.

What could be read once stays in force while it cannot be read again. A process that has never read it
launches nothing: the switch may be on. Who may write it, and where it is kept, is the business of
:mod:`controller.adapters.kube.stop_switch`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from controller.core.reasons import Reason
from controller.core.text import text

ALL = "all"
ACCOUNT = "account."
OFF = "false"

MOST_WHY = 300
"""Characters of a reason that are shown."""

MOST_ACCOUNT = 96
"""Characters of an account's name that are shown; the longest at the Hub has 42 (its rule
for names of users)."""

MOST_STOPS = 100
"""Stops that are reported one by one; more of them together stop every pool, since a list that long
is nobody's intention."""

MOST_SHOWN = 3
"""Stops that one message names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One entry of the switch that is on.

    Attributes:
        account: Lower-case Hugging Face namespace; empty for all.
        why: What whoever wrote it says: cleaned, at most :data:`MOST_WHY` characters.
        where: What holds it, for people: ``ConfigMap ci/hf-runner-controller-pause``.
        undo: What takes it back, for people.
    """

    account: str
    why: str
    where: str
    undo: str

    def __str__(self) -> str:
        """``all accounts (Budget is used up), by ConfigMap …``."""
        whose = f"account {self.account}" if self.account else "all accounts"
        return f"{whose}{f' ({self.why})' if self.why else ''}, by {self.where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """That a pool may launch nothing now.

    Attributes:
        reason: ``StopSwitchOn`` or ``StopSwitchUnread``.
        message: Sentences with who, why, and what to do.
    """

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopSwitch:
    """The switch as it was read last.

    Attributes:
        stops: What is on.
        known: It was read at least once; until then nothing is launched.
        trouble: Why the newest try to read it failed; empty when it did not.
    """

    stops: tuple[Stop, ...] = ()
    known: bool = True
    trouble: str = ""

    def stops_for(self, account: str) -> Stopped | None:
        """Return why a pool of an account (a Hugging Face namespace) may launch nothing; None if it may.

        Pure, and cheap: it is asked again just before each launch is sent.
        """
        if not self.known:
            why = f" {self.trouble}" if self.trouble else ""
            return Stopped(reason=Reason.StopSwitchUnread, message=f"{Reason.StopSwitchUnread.meaning}{why}")
        mine = [one for one in self.stops if one.account in ("", account.lower())]
        if not mine:
            return None
        named = "; ".join(map(str, mine[:MOST_SHOWN]))
        more = f"; and {len(mine) - MOST_SHOWN} more" if len(mine) > MOST_SHOWN else ""
        undo = " ".join(dict.fromkeys(one.undo for one in mine[:MOST_SHOWN]))
        unread = f" It cannot be read now, and stays on: {self.trouble}" if self.trouble else ""
        return Stopped(
            reason=Reason.StopSwitchOn,
            message=f"Launches are stopped for {named}{more}. Running workflow jobs go on. {undo}{unread}",
        )


NO_SWITCH = StopSwitch()
"""Of a controller that was given no switch: nothing is ever stopped by it."""

NEVER_READ = StopSwitch(known=False)


def key_of(account: str) -> str:
    """Return the key that stops an account; empty for all."""
    return f"{ACCOUNT}{account}" if account else ALL


def account_of(key: str) -> str | None:
    """Return the lower-case account that a key stops, empty for all of them; None for a key
    that is no such word.
    """
    if key == ALL:
        return ""
    name = key.removeprefix(ACCOUNT)
    return text(name, MOST_ACCOUNT).lower() if name and name != key else None


def read_stops(data: Mapping[str, object], *, where: str, undo: Mapping[str, str]) -> tuple[Stop, ...]:
    """Return what one object of the switch stops.

    Args:
        data: Its keys, and what they say; whatever is no text says nothing, but its key counts.
        where: The object, for people.
        undo: What takes a stop back, for people, by key; under ``""`` for the others.
    """
    found = []
    for key in sorted(data):
        value = data[key]
        if isinstance(value, str) and value.strip().lower() == OFF:
            continue
        why = text(value, MOST_WHY).strip()
        if why.lower() == "true":
            why = ""
        account = account_of(key)
        if account is None:
            why = f"its key {text(key, MOST_ACCOUNT)!r} is neither {ALL} nor {ACCOUNT}NAME, so it stops everything"
        found.append(Stop(account=account or "", why=why, where=where, undo=undo.get(key, undo.get("", ""))))
    if len(found) > MOST_STOPS:
        why = f"it names more than {MOST_STOPS} accounts"
        return (Stop(account="", why=why, where=where, undo=undo.get("", "")),)
    return tuple(found)


def after_read(stops: Iterable[Stop]) -> StopSwitch:
    """Return the switch after it was read."""
    return StopSwitch(stops=tuple(stops))


def after_failure(switch: StopSwitch, trouble: str) -> StopSwitch:
    """Return the switch after it could not be read: what was known stays."""
    return replace(switch, trouble=trouble)
