"""The runner groups of one scope: listed seldom, and often while a pool names one that is not there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

import pytest

from controller.core.model import (
    Disposition,
    Failure,
    GitHubSource,
    Observation,
    RegistrationScope,
    RunnerGroup,
    Scope,
    ScopeKind,
    SecretRef,
)
from controller.core.reasons import Reason
from controller.observe.scopes import GROUPS_INTERVAL as INTERVAL
from controller.observe.scopes import MISSING_INTERVAL, PERSON_AT_MOST, RETRY_AT_MOST, GroupObserver
from controller.ports import UpstreamError
from controller.simulate.loop import run_virtual
from hf_runner_simulators.clock import LoopClock

SOURCE = GitHubSource(api_url="https://api.github.com", secret=SecretRef("ci", "s"), owner="acme")
WHERE = RegistrationScope(SOURCE, Scope(kind=ScopeKind.ORGANIZATION, owner="acme"))
DEFAULT, GPU = RunnerGroup(id=1, name="Default", default=True), RunnerGroup(id=2, name="GPU")


class Runners:
    """A scope with settable answers."""

    def __init__(self) -> None:
        self.items: tuple[RunnerGroup, ...] = (DEFAULT,)
        self.failure: Failure | None = None
        self.asked: list[float] = []

    async def runner_groups(self, scope: Scope) -> Observation[RunnerGroup]:
        now = asyncio.get_running_loop().time()
        self.asked.append(now)
        if self.failure:
            raise UpstreamError(self.failure)
        return Observation(items=self.items, asked_at=now, server_time=now)


def observing(act: Callable[[Runners, GroupObserver, list[float]], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        runners, changes = Runners(), []
        observer = GroupObserver(
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


def test_groups_that_are_there_are_listed_every_few_minutes() -> None:
    async def act(runners: Runners, observer: GroupObserver, _: list[float]) -> None:
        observer.want(["default"])
        await asyncio.sleep(INTERVAL * 4)
        gaps = [b - a for a, b in pairwise(runners.asked)]
        assert gaps[1:] == pytest.approx([INTERVAL] * (len(gaps) - 1))
        assert len(gaps) >= 3

    observing(act)


def test_a_group_that_is_not_there_is_looked_for_until_somebody_has_made_it() -> None:
    async def act(runners: Runners, observer: GroupObserver, changes: list[float]) -> None:
        observer.want(["gpu"])
        await asyncio.sleep(MISSING_INTERVAL * 5 + 1)
        assert len(runners.asked) == 6
        runners.items = (DEFAULT, GPU)
        await asyncio.sleep(MISSING_INTERVAL)
        assert observer.observation is not None
        assert observer.observation.items == (DEFAULT, GPU)
        assert len(changes) == 2

    observing(act)


def test_a_group_that_a_pool_names_anew_is_looked_for_at_once() -> None:
    async def act(runners: Runners, observer: GroupObserver, _: list[float]) -> None:
        await asyncio.sleep(MISSING_INTERVAL + INTERVAL)
        before = len(runners.asked)
        observer.want(["gpu"])
        observer.want(["gpu"])
        await asyncio.sleep(1)
        assert len(runners.asked) == before + 1

    observing(act)


def test_a_failed_list_keeps_the_groups_of_the_last_good_one_and_is_tried_again() -> None:
    async def act(runners: Runners, observer: GroupObserver, _: list[float]) -> None:
        await asyncio.sleep(1)
        runners.failure = Failure(reason=Reason.GitHubUnavailable, message="502")
        await asyncio.sleep(INTERVAL)
        kept = observer.observation
        assert kept is not None
        assert (kept.items, kept.complete, kept.answered) == ((DEFAULT,), False, True)
        runners.failure = None
        await asyncio.sleep(RETRY_AT_MOST)
        assert observer.observation is not None
        assert observer.observation.complete

    observing(act)


def test_what_a_person_has_mended_is_seen_within_a_minute_and_at_once_where_that_is_known() -> None:
    async def act(runners: Runners, observer: GroupObserver, _: list[float]) -> None:
        runners.failure = Failure(
            reason=Reason.PermissionMissing, message="403", disposition=Disposition.PERSON
        )
        await asyncio.sleep(600)
        assert max(b - a for a, b in pairwise(runners.asked)) <= PERSON_AT_MOST
        await asyncio.sleep(1)
        runners.failure = None
        observer.retry()
        await asyncio.sleep(1)
        assert observer.observation is not None
        assert observer.observation.complete

    observing(act)


def test_a_scope_whose_groups_were_never_listed_knows_none() -> None:
    async def act(runners: Runners, observer: GroupObserver, _: list[float]) -> None:
        runners.failure = Failure(reason=Reason.GitHubUnavailable, message="502")
        await asyncio.sleep(1)
        seen = observer.observation
        assert seen is not None
        assert (seen.items, seen.complete, seen.answered) == ((), False, False)

    observing(act)
