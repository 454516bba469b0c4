"""How a runner ended, read from what its HF Job left behind.

The bootstrap reports through its exit code, because the Hub shows nothing else of an ended job's inside
(``docs/bootstrap.md``); ``run.sh`` is not used since it hides every failure (github.md §3.6).
"""

from __future__ import annotations

import re

from controller.core.model import HFJob, Stage
from controller.core.reasons import Reason

# The whole word of at most three digits: an operating system knows no exit code beyond 255, and Python takes any digits for a
# number, at a cost that grows with the square of them.
_EXIT_CODE = re.compile(r"exit code: ([0-9]{1,3})(?![0-9])", re.ASCII)
_LARGEST_EXIT_CODE = 255
_LONGEST_MESSAGE = 1_000
_TIMEOUT = "Job timeout"

EXIT_REASONS = {
    64: Reason.RunnerFailed,
    65: Reason.ImageUnsuitable,
    66: Reason.ImageUnsuitable,
    67: Reason.DownloadFailed,
    68: Reason.DownloadFailed,
    69: Reason.DownloadFailed,
    70: Reason.ImageUnsuitable,
    71: Reason.RegistrationRefused,
    72: Reason.RegistrationDeadline,
    73: Reason.RunnerVersionRefused,
    74: Reason.RegistrationRefused,
    75: Reason.IdleDeadline,
    76: Reason.EndedUnseen,
    77: Reason.Terminated,
    78: Reason.RunnerFailed,
    79: Reason.RunnerFailed,
    80: Reason.RunnerVersionRefused,
    81: Reason.RunnerFailed,
    82: Reason.LifetimeDeadline,
    83: Reason.EndedAfterJob,
}
"""The bootstrap's exit codes (``docs/bootstrap.md``); 0 is a workflow job that ran to its end."""


REPORTED = frozenset({Reason.JobCompleted, Reason.LifetimeDeadline, Reason.IdleDeadline})
"""Ends that the bootstrap tells once GitHub has heard of the runner's end: whatever lists still say, no workflow job was lost."""


BY_THE_HUB = frozenset({Reason.PlatformCancelled, Reason.Terminated})
"""Ends that the Hub decided on: by its own reason (``status.cancelReason``), or by a signal to a job that nobody cancelled."""


def exit_code(job: HFJob) -> int | None:
    """Return the exit code that the Hub's message names (hf-jobs.md §1.2), 0 for COMPLETED, None when it tells none.

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
    return EXIT_REASONS.get(exit_code(job) or -1, Reason.RunnerFailed)
