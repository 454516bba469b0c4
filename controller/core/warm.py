"""When a runner that ``minIdle`` keeps ready is replaced: while what is left of its lifetime
still covers the next job.

``deadlines.lifetime`` bounds the whole life of an HF Job, the time that it idles included, and the Hub
ends it then whatever it does. So the longer a runner has idled, the shorter the job that it can still
finish. Its replacement is launched first, and the runner ends when that one is online: else nobody would
be warm for as long as an HF Job boots.
"""

from __future__ import annotations

from controller.core.model import Deadlines

KEPT_SHARE = 0.5
"""Share of ``deadlines.lifetime`` that is kept for the next job where the pool's jobs are short,
or none was seen yet. More would boot more replacements for money, less would cut off jobs that a
fresh runner finishes."""

KEPT_AT_MOST = 0.9
"""The same where jobs are nearly as long as the lifetime: a runner must be allowed to idle for a while."""

ROOM = 2.0
"""Times the longest job that was seen to run: the next one may be longer."""


def may_idle(deadlines: Deadlines, longest_job: float) -> float:
    """Return for how many seconds a warm runner may idle before it is to be replaced.

    Args:
        deadlines: Of its pool.
        longest_job: Seconds for which a workflow job of the pool was seen to run at the
            longest, 0 before the first.
    """
    most = KEPT_AT_MOST * deadlines.lifetime
    kept = min(most, max(KEPT_SHARE * deadlines.lifetime, ROOM * longest_job))
    return max(deadlines.idle, deadlines.lifetime - kept)


def idles_at_most(deadlines: Deadlines, longest_job: float) -> float:
    """Return for how many seconds it may idle where no replacement comes: until half of what
    was kept for a job is gone.
    """
    began = may_idle(deadlines, longest_job)
    return began + max(0.0, deadlines.lifetime - began) / 2


def starts_a_day(deadlines: Deadlines) -> float:
    """Return how often a day a runner without any job is replaced, while jobs are short."""
    return 86_400.0 / may_idle(deadlines, 0.0)
