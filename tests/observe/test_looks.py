"""Single workflow jobs that are read by their ids, and causes that are looked up: few, seldom, and nothing is
concluded from a failure.
"""

from __future__ import annotations

from dataclasses import replace

from controller.core.causes import Check
from controller.core.model import (
    Admission,
    Failure,
    JobLook,
    JobStatus,
    RegistrationScope,
    Scope,
    ScopeKind,
)
from controller.core.passed_over import Wanted
from controller.core.reasons import Reason
from controller.core.retry import RunRecord
from controller.observe.looks import EVERY, MOST_CHECKS, MOST_KEPT, MOST_WANTED, LookObserver, Source
from controller.ports import JobRead, UpstreamError
from controller.simulate.loop import run_virtual
from tests.core.build import SOURCE

SCOPE = RegistrationScope(SOURCE, Scope(kind=ScopeKind.ORGANIZATION, owner="acme"))
DOWN = UpstreamError(Failure(reason=Reason.GitHubUnavailable, message="502"))
WANTED = Wanted(repository="acme/lib", job_id=1, run_id=7, after=0.0)
CHECK = Check(scope=SCOPE, group="", repositories=("acme/lib",), versions=("2.330.0",))


class Clock:
    now = 1_000.0

    def wall(self) -> float:
        return self.now

    def mono(self) -> float:
        return self.now


class Scripted(Source):
    """A GitHub that says what it is told, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.read = JobRead(status=JobStatus.QUEUED)
        self.conclusion: str | None = None
        self.down = False

    def _ask(self, what: object) -> None:
        self.asked.append(what)
        if self.down:
            raise DOWN

    async def job(self, repository: str, job_id: int) -> JobRead:
        self._ask((repository, job_id))
        return self.read

    async def run(self, repository: str, run_id: int) -> RunRecord | None:
        return RunRecord(attempt=1, conclusion=self.conclusion)

    async def admission(self, scope: Scope, group: str | None, repository: str) -> Admission:
        self._ask((group, repository))
        return Admission(group="Default", excluded=True)

    async def version_ended(self, scope: Scope, version: str) -> bool:
        self._ask(version)
        return True


class Scene:
    def __init__(self) -> None:
        self.github, self.clock, self.changes = Scripted(), Clock(), 0
        self.observer = LookObserver(github=self.github, clock=self.clock, changed=self._change)

    def _change(self) -> None:
        self.changes += 1

    def steps(self) -> int:
        """Do all that is due; return how much that was."""

        async def all_of_it() -> int:
            done = 0
            while await self.observer.step():
                done += 1
            return done

        return run_virtual(all_of_it())


def test_a_wanted_job_is_read_once_and_its_run_beside_it() -> None:
    scene = Scene()
    scene.github.conclusion = "cancelled"
    scene.observer.want([WANTED])
    assert scene.steps() == 1
    look = JobLook(status=JobStatus.QUEUED, asked_at=1_000.0, run_ended="cancelled")
    assert scene.observer.looks() == {1: look}
    assert (scene.steps(), scene.changes) == (0, 1)


def test_a_job_is_read_again_only_for_a_later_moment_and_after_a_while() -> None:
    scene = Scene()
    scene.observer.want([WANTED])
    scene.steps()
    scene.clock.now += 10
    scene.observer.want([replace(WANTED, after=scene.clock.now)])
    assert scene.steps() == 0
    scene.clock.now += EVERY
    assert scene.steps() == 1


def test_a_read_that_fails_shows_nothing_and_is_not_repeated_at_once() -> None:
    scene = Scene()
    scene.github.down = True
    scene.observer.want([WANTED])
    assert scene.steps() == 1
    assert (scene.observer.looks(), scene.changes) == ({}, 0)
    assert scene.steps() == 0


def test_a_job_that_is_wanted_no_more_is_not_read_and_what_is_known_of_it_stays() -> None:
    scene = Scene()
    scene.observer.want([WANTED])
    scene.steps()
    scene.observer.want([])
    scene.clock.now += EVERY
    assert scene.steps() == 0
    assert list(scene.observer.looks()) == [1]


def test_there_is_a_bound_on_what_is_read_and_on_what_is_kept() -> None:
    scene = Scene()
    for first in range(0, 10 * MOST_WANTED, MOST_WANTED):
        wanted = [replace(WANTED, job_id=first + n) for n in range(2 * MOST_WANTED)]
        scene.observer.want(wanted)
        assert scene.steps() <= MOST_WANTED
    assert len(scene.observer.looks()) == MOST_KEPT


def test_causes_are_looked_up_now_and_then_while_they_are_wanted() -> None:
    scene = Scene()
    scene.observer.want([], [CHECK, CHECK])
    assert scene.steps() == 2
    assert scene.observer.admissions()[SCOPE, "", "acme/lib"].excluded
    assert scene.observer.versions_ended() == {(SCOPE, "2.330.0"): True}
    assert scene.github.asked == [(None, "acme/lib"), "2.330.0"]
    scene.observer.want([], [CHECK])
    assert scene.steps() == 0
    scene.clock.now += EVERY
    assert scene.steps() == 2
    scene.observer.want([], [])
    assert (dict(scene.observer.admissions()), dict(scene.observer.versions_ended())) == ({}, {})


def test_a_cause_that_cannot_be_looked_up_is_not_known_any_more() -> None:
    scene = Scene()
    scene.observer.want([], [CHECK])
    scene.steps()
    scene.github.down = True
    scene.clock.now += EVERY
    scene.steps()
    assert (dict(scene.observer.admissions()), dict(scene.observer.versions_ended())) == ({}, {})


def test_there_is_a_bound_on_the_causes_that_are_looked_up() -> None:
    scene = Scene()
    names = tuple(f"acme/r{n}" for n in range(3 * MOST_CHECKS))
    scene.observer.want([], [replace(CHECK, repositories=names)])
    assert scene.steps() == MOST_CHECKS
