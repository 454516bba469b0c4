"""One look at a run that lost a job: read, judge, and only then ask, while this process still leads."""

from __future__ import annotations

import pytest

from controller.core.model import Disposition, Interruption, RerunState
from controller.core.reasons import Reason
from controller.core.retry import JobRecord, Rerun, RerunAnswer, RunRecord
from controller.execute.rerun import run_again
from controller.ports import Fenced, UpstreamError
from tests.core.build import pool

LOST = Interruption(repository="acme/lib", run_id=7, attempt=1, job_id=70, at=0.0, rerun=RerunState.PENDING)
FAILED = RunRecord(attempt=1, conclusion="failure", jobs=[JobRecord(id=70, conclusion="failure")])


class Runs:
    """GitHub with one run; ``leads`` may end while it answers."""

    def __init__(self, run: RunRecord | None, *, accepts: bool = True, leads_until: str = "") -> None:
        self.calls: list[str] = []
        self._run, self._accepts, self._leads_until = run, accepts, leads_until

    async def run(self, repository: str, run_id: int) -> RunRecord | None:
        self.calls.append(f"run {repository} {run_id}")
        return self._run

    async def rerun_failed(self, repository: str, run_id: int) -> bool:
        self.calls.append(f"rerun {repository} {run_id}")
        return self._accepts

    def may_act(self) -> None:
        if self.calls and self.calls[-1].startswith(self._leads_until or "never"):
            raise Fenced


async def look(github: Runs) -> RerunAnswer:
    return (await run_again(github, Rerun(pool(), LOST), github.may_act)).answer


async def test_a_run_that_has_failed_is_read_and_then_run_again() -> None:
    github = Runs(FAILED)
    assert await look(github) is RerunAnswer.DONE
    assert github.calls == ["run acme/lib 7", "rerun acme/lib 7"]


async def test_a_run_that_runs_already_after_all_is_looked_at_later() -> None:
    assert await look(Runs(FAILED, accepts=False)) is RerunAnswer.LATER


async def test_nothing_is_asked_against_the_judgement() -> None:
    github = Runs(RunRecord(attempt=2, conclusion="failure"))
    assert await look(github) is RerunAnswer.MOVED
    assert github.calls == ["run acme/lib 7"]


async def test_who_leads_no_more_once_the_run_is_read_asks_for_nothing() -> None:
    github = Runs(FAILED, leads_until="run")
    with pytest.raises(Fenced):
        await look(github)
    assert github.calls == ["run acme/lib 7"]


async def test_a_run_that_is_gone_is_a_failure_that_says_so() -> None:
    with pytest.raises(UpstreamError) as caught:
        await look(Runs(None))
    failure = caught.value.failure
    assert (failure.reason, failure.disposition) == (Reason.GitHubNotFound, Disposition.GONE)
