"""How a runner ended, read from what its HF Job left behind.

The bootstrap reports through its exit code, because the Hub shows nothing else of an ended job's inside
(``docs/bootstrap.md``); ``run.sh`` is not used since it hides every failure
(docs/facts.md#run-sh-hides-failures).
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Self

from controller.core.model import HFJob, Stage
from controller.core.reasons import Reason

# The whole word of at most three digits: an operating system knows no exit code beyond 255, and Python takes
# any digits for a number, at a cost that grows with the square of them.
_EXIT_CODE = re.compile(r"exit code: ([0-9]{1,3})(?![0-9])", re.ASCII)
_LARGEST_EXIT_CODE = 255
_LONGEST_MESSAGE = 1_000
_TIMEOUT = "Job timeout"


class Exit(IntEnum):
    """The bootstrap's exit codes, the only thing that the Hub's API tells of an ended job's
    inside (``docs/bootstrap.md``).

    None is a code that a shell (1, 2, 126 and above) or the Listener (0 to 7, 100 to 105)
    uses for anything else.

    Attributes:
        reason: What people are told.
    """

    reason: Reason

    def __new__(cls, code: int, reason: Reason) -> Self:
        """Make a member that is its code and has a reason."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.reason = reason
        return member

    JOB_COMPLETED = 0, Reason.JobCompleted
    BAD_CONFIGURATION = 64, Reason.RunnerFailed
    UNSUPPORTED_IMAGE = 65, Reason.ImageUnsuitable
    MISSING_TOOL = 66, Reason.ImageUnsuitable
    DOWNLOAD_FAILED = 67, Reason.DownloadFailed
    CHECKSUM_MISMATCH = 68, Reason.DownloadFailed
    UNPACK_FAILED = 69, Reason.DownloadFailed
    HOME_NOT_WRITABLE = 70, Reason.ImageUnsuitable
    REGISTRATION_REFUSED = 71, Reason.RegistrationRefused
    REGISTRATION_TIMEOUT = 72, Reason.RegistrationDeadline
    VERSION_DEPRECATED = 73, Reason.RunnerVersionRefused
    SESSION_CONFLICT = 74, Reason.RegistrationRefused
    IDLE_TIMEOUT = 75, Reason.IdleDeadline
    DEREGISTERED = 76, Reason.EndedUnseen
    TERMINATED = 77, Reason.Terminated
    LISTENER_CRASHED = 78, Reason.RunnerFailed
    LISTENER_FAILED = 79, Reason.RunnerFailed
    UPDATE_FAILED = 80, Reason.RunnerVersionRefused
    BOOTSTRAP_FAILED = 81, Reason.RunnerFailed
    LIFETIME_REACHED = 82, Reason.LifetimeDeadline
    JOB_INTERRUPTED = 83, Reason.EndedAfterJob

    @property
    def outcome(self) -> str:
        """The bootstrap's word for it, such as ``JobCompleted``: ``bootstrap.sh`` maps it to the code."""
        return self.name.title().replace("_", "")


_REASONS = {end.value: end.reason for end in Exit if end is not Exit.JOB_COMPLETED}
"""Of ends that are failures: a job that the Hub calls failed was not completed, whatever
code its message names."""


REPORTED = frozenset({Reason.JobCompleted, Reason.LifetimeDeadline, Reason.IdleDeadline})
"""Ends that the bootstrap tells once GitHub has heard of the runner's end: whatever lists still say, no
workflow job was lost."""


BY_THE_HUB = frozenset({Reason.PlatformCancelled, Reason.Terminated})
"""Ends that the Hub decided on: by its own reason (``status.cancelReason``), or by a signal to a job
that nobody cancelled."""


def exit_code(job: HFJob) -> int | None:
    """Return the exit code that the Hub's message names (docs/facts.md#exit-code-in-the-message), 0 for
    COMPLETED, None when it tells none.

    A number beyond 255 is no exit code. Only the message's first 1,000 characters are read.
    """
    if job.stage is Stage.COMPLETED:
        return 0
    found = _EXIT_CODE.search((job.message or "")[:_LONGEST_MESSAGE])
    code = int(found[1]) if found else None
    return code if code is not None and code <= _LARGEST_EXIT_CODE else None


def ended_because(job: HFJob) -> Reason:
    """Return why an HF Job ended, as far as it tells; meaningful for terminal stages."""
    if job.cancel_reason:
        return Reason.PlatformCancelled
    if job.stage is Stage.COMPLETED:
        return Reason.JobCompleted
    if _TIMEOUT in (job.message or ""):
        return Reason.TimedOut
    if job.stage in (Stage.CANCELED, Stage.DELETED, Stage.UNKNOWN):
        return Reason.EndedUnseen
    return _REASONS.get(exit_code(job) or 0, Reason.RunnerFailed)
