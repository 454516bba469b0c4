"""The list of one scope's registrations: its pace, and what a failure leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

import pytest

from controller.core.model import (
    Failure,
    GitHubSource,
    Observation,
    Registration,
    RegistrationScope,
    Scope,
    ScopeKind,
    SecretRef,
)
from controller.core.reasons import Reason
from controller.observe.scopes import COLD, HOT, RegistrationObserver
from controller.ports import UpstreamError
from controller.simulate.loop import run_virtual
from hf_runner_simulators.clock import LoopClock

SOURCE = GitHubSource(api_url="https://api.github.com", secret=SecretRef("ci", "s"), owner="acme")
WHERE = RegistrationScope(SOURCE, Scope(kind=ScopeKind.ORGANIZATION, owner="acme"))
RUNNER = Registration(id=1, name="one", online=True, busy=False)


class Runners:
    """A scope with settable answers."""

    def __init__(self, mistake: Exception | None = None) -> None:
        self.mistake = mistake
        self.items: tuple[Registration, ...] = (RUNNER,)
        self.failure: Failure | None = None
        self.asked: list[float] = []

    async def registrations(self, scope: Scope) -> Observation[Registration]:
        now = asyncio.get_running_loop().time()
        self.asked.append(now)
        if self.mistake:
            raise self.mistake
        if self.failure:
            raise UpstreamError(self.failure)
        return Observation(items=self.items, asked_at=now, server_time=now)


def observing(
    act: Callable[[Runners, RegistrationObserver, list[float]], Coroutine[Any, Any, None]],
    *,
    mistake: Exception | None = None,
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        runners, changes = Runners(mistake), []
        observer = RegistrationObserver(
            where=WHERE,
            runners=runners,  # type: ignore[arg-type]
            clock=LoopClock(time=loop.time),
            changed=lambda: changes.append(loop.time()),
        )
        task = loop.create_task(observer.run())
        await act(runners, observer, changes)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run_virtual(main())


def test_a_quiet_scope_is_listed_seldom_and_one_with_work_often() -> None:
    async def act(runners: Runners, observer: RegistrationObserver, _: list[float]) -> None:
        await asyncio.sleep(COLD * 3 + 1)
        assert [b - a for a, b in pairwise(runners.asked[1:])] == pytest.approx(
            [COLD] * (len(runners.asked) - 2)
        )
        quiet = len(runners.asked)
        assert 4 <= quiet <= 5
        observer.set_hot(hot=True)
        await asyncio.sleep(HOT * 5)
        assert 5 <= len(runners.asked) - quiet <= 6

    observing(act)


def test_quiet_scopes_that_are_first_listed_together_spread_over_the_whole_interval() -> None:
    async def first_two(name: str) -> float:
        runners = Runners()
        scope = Scope(kind=ScopeKind.REPOSITORY, owner="acme", repository=name)
        observer = RegistrationObserver(
            where=RegistrationScope(SOURCE, scope),
            runners=runners,  # type: ignore[arg-type]
            clock=LoopClock(time=asyncio.get_running_loop().time),
            changed=lambda: None,
        )
        return await observer.step()

    async def main() -> list[float]:
        return [await first_two(f"r{n}") for n in range(200)]

    pauses = run_virtual(main())
    for fifth in range(5):
        assert 20 <= sum(fifth * COLD / 5 <= pause < (fifth + 1) * COLD / 5 for pause in pauses) <= 60


def test_only_a_list_that_differs_wakes_the_planner() -> None:
    async def act(runners: Runners, observer: RegistrationObserver, changes: list[float]) -> None:
        observer.set_hot(hot=True)
        await asyncio.sleep(35)
        assert len(changes) == 1
        runners.items = ()
        await asyncio.sleep(11)
        assert len(changes) == 2

    observing(act)


def test_a_failed_list_keeps_the_items_of_the_last_good_one_and_proves_nothing() -> None:
    async def act(runners: Runners, observer: RegistrationObserver, _: list[float]) -> None:
        observer.set_hot(hot=True)
        await asyncio.sleep(1)
        good = observer.observation
        runners.failure = Failure(reason=Reason.GitHubUnavailable, message="502")
        await asyncio.sleep(11)
        seen = observer.observation
        assert good is not None
        assert seen is not None
        assert seen.items == good.items
        assert seen.asked_at == good.asked_at
        assert not seen.complete

    observing(act)


def test_a_mistake_of_ours_is_told_as_one_and_the_next_list_is_taken_as_it_is() -> None:
    async def act(runners: Runners, observer: RegistrationObserver, changes: list[float]) -> None:
        await asyncio.sleep(100)
        assert observer.observation is not None
        assert observer.observation.failure is not None
        assert observer.observation.failure.reason is Reason.InternalError
        assert not observer.observation.answered
        assert 3 < len(runners.asked) < 10
        runners.mistake = None
        await asyncio.sleep(COLD)
        assert observer.observation.items == (RUNNER,)
        assert observer.observation.complete
        assert len(changes) == 2

    observing(act, mistake=RuntimeError("nobody foresaw this"))


def test_failures_slow_the_lists_down_and_what_github_asks_for_is_waited_for() -> None:
    async def act(runners: Runners, observer: RegistrationObserver, _: list[float]) -> None:
        observer.set_hot(hot=True)
        runners.failure = Failure(reason=Reason.GitHubRateLimited, message="later", retry_after=700.0)
        await asyncio.sleep(690)
        assert len(runners.asked) == 1
        runners.failure = Failure(reason=Reason.GitHubUnavailable, message="502")
        await asyncio.sleep(600)
        gaps = [b - a for a, b in zip(runners.asked[1:], runners.asked[2:], strict=False)]
        assert gaps == sorted(gaps)
        assert gaps[-1] > gaps[0]

    observing(act)
