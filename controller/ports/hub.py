"""HF Jobs of one account, and the hardware of one endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from controller.core.model import Flavor, HFJob, Observation, Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSpec:
    """One HF Job to be made.

    Attributes:
        image: Docker image, or a Space's URL.
        command: Replaces the image's entrypoint.
        flavor: Hardware name.
        labels: Make the job ours and findable; ``[A-Za-z0-9_-]`` only, 100 characters at most.
        environment: Readable by everybody in the namespace.
        secrets: Write-only on the Hub; kept out of ``repr``.
        timeout: Seconds after which the Hub ends the job, always sent.
        volumes: Mounts.
        ssh: Open a debug shell.
    """

    image: str
    command: tuple[str, ...]
    flavor: str
    labels: Mapping[str, str]
    environment: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)
    timeout: int
    volumes: tuple[Volume, ...] = ()
    ssh: bool = False


class LiveJobs(Protocol):
    """Live HF Jobs of one account, and the end of each: the needs of who watches them."""

    async def live(self, labels: Mapping[str, str]) -> Observation[HFJob]:
        """List live HF Jobs that carry all the labels, to the last page; labels are checked
        on our side too.
        """

    async def inspect(self, job_id: str) -> HFJob | None:
        """Return one HF Job, or None when the Hub knows it no more."""


class Hub(LiveJobs, Protocol):
    """HF Jobs of one account."""

    async def find(self, labels: Mapping[str, str]) -> Sequence[HFJob]:
        """Return HF Jobs of any stage that carry all the labels: for launches of which it is not
        known what became of them.
        """

    async def launch(self, spec: LaunchSpec) -> HFJob:
        """Create an HF Job. Not idempotent and never retried inside.

        A failure with ``in_doubt`` may have created it: look with :meth:`find` by the runner's label.
        """

    async def cancel(self, job_id: str) -> None:
        """Ask the Hub to end a job; one that ended already, or is unknown, is no error.
        Idempotent, asynchronous.
        """

    async def close(self) -> None:
        """Close connections. Idempotent."""


class Hardware(Protocol):
    """What one Hub endpoint has on offer, for everybody."""

    async def flavors(self) -> Observation[Flavor]:
        """List hardware and prices. Needs no credentials, so that nobody's bad Secret hides
        it from the others.
        """
