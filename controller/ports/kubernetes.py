"""What is read from and written to the Kubernetes API: Secrets, statuses, intents, Events,
the stop switch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from controller.core.intents import Written
from controller.core.model import PoolKey, SecretRef
from controller.core.stop_switch import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A Secret as it was read.

    Attributes:
        data: Decoded values by key, kept out of ``repr``.
        labels: Of the object, which say what its owner lets it be used for.
    """

    data: Mapping[str, str] = field(repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)


class Secrets(Protocol):
    """Reads the Secrets that pools name."""

    async def read(self, ref: SecretRef) -> Secret:
        """Return a Secret as it is now. Values never reach a log line or an exception.

        Raises:
            UpstreamError: ``SecretMissing`` (404), ``SecretForbidden`` (403), ``KubernetesForbidden`` (401),
                ``KubernetesUnavailable``.
        """


class StatusWriter(Protocol):
    """Writes a pool's status."""

    async def write(self, *, namespace: str, name: str, uid: str, status: Mapping[str, object]) -> None:
        """Apply the whole status server-side as our field manager; a pool that is gone (or is
        another uid) is no error.
        """


class IntentsMoved(Exception):  # noqa: N818 - an answer, not a failure
    """The pool is not as it was known to be; nothing was written. Read it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredIntents:
    """The intents of one pool, as the API server holds or held them.

    Attributes:
        uid: Of the object.
        version: Its ``resourceVersion``: every change of anything in the object makes a new one.
        written: What its status says.
    """

    uid: str
    version: str
    written: Written


class Intents(Protocol):
    """Where intents are kept: the pools' statuses."""

    def newest(self, uid: str) -> StoredIntents | None:
        """Return the newest state of a pool that any answer has shown, None if none has. It
        may be out of date.
        """

    async def read(self, key: PoolKey) -> StoredIntents | None:
        """Return a pool's intents as they are now (no cache answers), None when there is no such object."""

    async def replace(self, key: PoolKey, known: StoredIntents, written: Written) -> StoredIntents:
        """Write all intents and the term of a pool, on top of what is known, and leave the
        rest of its status alone.

        Not idempotent: of two equal calls the second raises. After a failure with ``in_doubt``
        it may have been written.

        Raises:
            IntentsMoved: The object is not of the known version any more.
            UpstreamError: Anything else.
        """


class Events(Protocol):
    """Tells people through Kubernetes Events."""

    async def emit(
        self, *, namespace: str, name: str, uid: str, warning: bool, reason: str, action: str, message: str
    ) -> None:
        """Publish one Event about a pool; equal ones are counted up in a series. Failures
        are logged, never raised.
        """


class StopSwitches(Protocol):
    """Where the stop switch is kept."""

    async def read(self) -> Sequence[Stop]:
        """Return what is stopped now; nothing where nobody ever stopped anything."""
