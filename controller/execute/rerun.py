"""Looks at a run that lost a job with its HF Job, and runs its failed jobs again when it has ended so.

1. Read the run and its jobs.
2. Unless something stands against it, ask GitHub to run the failed jobs again.

Killed between 1 and 2: nothing happened. Killed after 2, or its answer lost: the next look finds
a later attempt, and asks for nothing. So a request is never repeated blindly, and between two of
them there is always a look.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from controller.core.model import Disposition, Failure, GitHubSource
from controller.core.reasons import Reason
from controller.core.retry import Outcome, Rerun, RerunAnswer, RerunResult, as_the_hub_says, judge
from controller.execute.guards import Permission, Turns
from controller.ports import Connections, Runs, UpstreamError


class Reruns:
    """Looks at runs: planning spaces them, and this keeps two at one run apart where one takes long."""

    def __init__(
        self,
        *,
        connections: Connections,
        permission: Permission,
        turns: Turns,
        ended: Callable[[], None],
    ) -> None:
        """Build one that looks at nothing yet.

        Args:
            connections: Clients by credentials.
            permission: Asked before a run is run again.
            turns: Bounds how many looks one source gets at a time.
            ended: Called when a look has ended, so that the next pass comes soon.
        """
        self._connections = connections
        self._permission = permission
        self._turns = turns
        self._ended = ended
        self._looking: set[tuple[GitHubSource, str]] = set()
        self._results: list[RerunResult] = []

    def begin(self, action: Rerun) -> bool:
        """Return whether a look may begin, and count it as begun then.

        By source too: another tenant's GitHub may have a repository and a run of any name.
        """
        run = (action.pool.source, action.name)
        if run in self._looking:
            return False
        self._looking.add(run)
        return True

    async def look(self, action: Rerun) -> None:
        """Take one look that has begun, and keep what it led to, whatever that is."""
        source = action.pool.source

        async def work() -> Outcome:
            return await run_again(self._connections.github(source), action, self._permission.to_act)

        outcome, failure = await self._turns.take(("rerun", source), work, effect="rerun", run=action.name)
        led_to = outcome or Outcome(RerunAnswer.LATER)
        self._looking.discard((source, action.name))
        self._results.append(
            RerunResult(
                pool_uid=action.pool.uid,
                name=action.name,
                answer=led_to.answer,
                note=led_to.note,
                failure=failure,
            )
        )
        self._ended()

    def take_results(self) -> Sequence[RerunResult]:
        """Hand over how looks ended since the last call."""
        taken, self._results = self._results, []
        return taken


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
    return Outcome(RerunAnswer.DONE, judged.note) if done else Outcome(RerunAnswer.LATER)
