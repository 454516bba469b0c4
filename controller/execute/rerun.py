"""Looks at a run that lost a job with its HF Job, and runs its failed jobs again when it has ended so.

1. read the run and its jobs;  2. unless something stands against it, ask GitHub to run the failed jobs again.

Killed between 1 and 2: nothing happened. Killed after 2, or its answer lost: the next look finds a later attempt, and asks
for nothing. So a request is never repeated blindly, and between two of them there is always a look.
"""

from __future__ import annotations

from collections.abc import Callable

from controller.core.model import Disposition, Failure
from controller.core.reasons import Reason
from controller.core.retry import Answer, Outcome, Rerun, as_the_hub_says, judge
from controller.ports import Runs, UpstreamError


async def run_again(github: Runs, action: Rerun, may_act: Callable[[], None]) -> Outcome:
    """Carry one look out.

    Args:
        github: The pool's source.
        action: Which run.
        may_act: Raises :class:`controller.ports.Fenced` unless this process leads at this instant.

    Raises:
        UpstreamError: As any call; ``GitHubNotFound`` when the run is gone.
    """
    lost = action.lost
    run = await github.run(lost.repository, lost.run_id)
    if run is None:
        message = f"GitHub knows no run {lost.run_id} in {lost.repository}"
        raise UpstreamError(
            Failure(reason=Reason.GitHubNotFound, message=message, disposition=Disposition.GONE)
        )
    judged = judge(lost, as_the_hub_says(lost, run))
    if judged.against is not None:
        return Outcome(judged.against, judged.note)
    may_act()
    done = await github.rerun_failed(lost.repository, lost.run_id)
    return Outcome(Answer.DONE, judged.note) if done else Outcome(Answer.LATER)
