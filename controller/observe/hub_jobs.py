"""Which HF Jobs of one account live, and which have ended: what lists and inspections say, put together.

An HF Job is never concluded to have ended because one list lacks it: lists lag, and entries slip between
pages. It counts as live until an inspection proves its end. So the number of live jobs errs upwards, and
never past ``maxRunners``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from controller.core.model import Failure, HFJob, Observation, Stage
from controller.core.reasons import Reason

TRIES = 6
"""Failed inspections, each against a complete list without the job, after which its end is called unknown."""

UNKNOWN_TWICE = 2
"""Answers "no such job" that count as its end; the first may come from a replica that has not seen it yet."""

REMEMBERED = 600.0
"""Seconds for which an ended job is not believed to live again, whatever an old list says."""

MOST_KNOWN = 20_000
"""Live jobs that are remembered of one account: twice what one list may hold. Only a Hub that makes jobs up,
and says of each that it lives, has more; new ones are not taken in then, and no list counts as complete, so
that nothing is launched there."""

MOST_ENDED = 10_000
"""Ended jobs that are kept for a pass that accounts them. Passes do so within seconds, but for a pool that
cannot be planned; of more than these the oldest are forgotten, and with them their cost."""

_TOO_MANY = Failure(
    reason=Reason.HubMalformed,
    message=f"The Hub tells of more than {MOST_KNOWN:,} live HF Jobs of this account",
)


@dataclass(slots=True)
class _Known:
    """A job that lives as far as we know."""

    job: HFJob
    since: float
    misses: int = 0
    unknown: int = 0


class HFJobs:
    """The HF Jobs of one account; all times are monotonic seconds."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._ended: dict[str, HFJob] = {}
        self._over: dict[str, float] = {}

    def __bool__(self) -> bool:
        """Return whether any lives."""
        return bool(self._known)

    def live(self) -> tuple[HFJob, ...]:
        """Return those that live, oldest first; those whose end is not proved yet are among them."""
        return tuple(
            sorted((one.job for one in self._known.values()), key=lambda job: (job.created_at, job.id))
        )

    def ended(self) -> tuple[HFJob, ...]:
        """Return those that ended and were not acknowledged yet, oldest end first."""
        return tuple(self._ended.values())

    def acknowledge(self, ids: Iterable[str]) -> None:
        """Forget ended jobs. Idempotent."""
        for job_id in ids:
            self._ended.pop(job_id, None)

    def launched(self, job: HFJob, now: float) -> bool:
        """Take in a job that was just launched; return whether it counts from now on. Idempotent."""
        if job.id in self._over:
            return False
        self._known.setdefault(job.id, _Known(job, since=now))
        return True

    def listed(self, seen: Observation[HFJob], now: float) -> Observation[HFJob]:
        """Take in a list; return it as it may be believed."""
        self._over = {job_id: at for job_id, at in self._over.items() if at > now - REMEMBERED}
        for job in seen.items:
            if job.id in self._over:
                continue
            known = self._known.get(job.id)
            if known is None and len(self._known) >= MOST_KNOWN:
                seen = replace(seen, failure=seen.failure or _TOO_MANY)
                continue
            self._known[job.id] = _Known(job, since=known.since if known else seen.asked_at)
        return seen

    def missing(self, seen: Observation[HFJob]) -> list[str]:
        """Return the ids of those that a complete list lacks although they were known
        before it was asked for.
        """
        shown = {job.id for job in seen.items}
        return [i for i, known in self._known.items() if i not in shown and known.since < seen.asked_at]

    def inspected(self, job_id: str, job: HFJob | None, now: float) -> None:
        """Take in what an inspection showed; None is the Hub's word that it knows the job no more."""
        known = self._known[job_id]
        if job is None:
            known.unknown += 1
            if known.unknown >= UNKNOWN_TWICE:
                words = "The Hub knows the job no more."
                self._end(replace(known.job, stage=Stage.DELETED, message=words))
        elif job.ended:
            self._end(job)
            self._over[job.id] = now
        else:
            self._known[job_id] = _Known(job, since=known.since)

    def not_inspected(self, job_id: str, failure: Failure) -> None:
        """Take in that an inspection failed."""
        known = self._known[job_id]
        known.misses += 1
        if known.misses >= TRIES:
            words = f"It left the list of live jobs, and could not be inspected: {failure.message}"
            self._end(replace(known.job, stage=Stage.UNKNOWN, message=words))

    def _end(self, job: HFJob) -> None:
        del self._known[job.id]
        self._ended[job.id] = job
        while len(self._ended) > MOST_ENDED:
            del self._ended[next(iter(self._ended))]
