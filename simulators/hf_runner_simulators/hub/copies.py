"""Somebody else in the namespace, who starts copies of running jobs: with the Hub's own
*duplicate*, or by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

from hf_runner_simulators.hub.job import Job, Phase, Principal
from hf_runner_simulators.hub.platform import Platform

STRANGER = Principal(id=blake2b(b"stranger", digest_size=12).hexdigest(), name="somebody-else", type="user")
"""Who copies; no token belongs to them."""


class Copier:
    """Copies the share of running jobs that the knobs ``duplicates`` and ``copies`` say.
    Copies are not copied.

    Args:
        platform: Where the jobs live.
        affords: Tells whether the namespace of a job has credit left.
    """

    def __init__(self, platform: Platform, affords: Callable[[Job], bool]) -> None:
        self._platform = platform
        self._affords = affords
        platform.on_running = self._running

    def _running(self, job: Job) -> None:
        knobs = self._platform.knobs
        if job.copy_of is not None:
            return
        at = self._platform.now + knobs.copy_after_seconds
        if self._platform.struck(knobs.duplicates, "duplicate", job.ordinal):
            self._platform.schedule(at, lambda _: self._copy(job, openly=True))
        if self._platform.struck(knobs.copies, "copy", job.ordinal):
            self._platform.schedule(at, lambda _: self._copy(job, openly=False))

    def _copy(self, job: Job, *, openly: bool) -> None:
        if job.phase is not Phase.RUNNING or not self._affords(job):
            return
        self._platform.launch(
            owner=job.owner,
            creator=STRANGER,
            spec=job.as_it_is(),
            initiator={"type": "duplicated-job", "id": job.id} if openly else STRANGER.to_json(),
            copy_of=job.id,
        )
