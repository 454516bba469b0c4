"""Asks the Hub what became of launches that an earlier process intended, so that jobs need not wait
for runners that are over.

Lists of live HF Jobs never show a runner that served a short job and ended before this process began. Its
intent would hold a place of ``maxRunners``, and a queued job would wait for it, until lists prove it absent:
a minute after each change of leader. The Hub knows each HF Job by the runner's label, also after its end.
That it says so is evidence; that it says nothing is none.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from controller.core.intents import came_and_ended
from controller.core.model import HubAccount
from controller.core.naming import LABEL_RUNNER, ours
from controller.ports import Clock, Connections, UpstreamError

log = logging.getLogger(__name__)

ASK_EVERY = 10.0
"""Seconds between two questions about one runner: as often as live HF Jobs are listed."""

TIMES = 5
"""Questions about one runner; after as many, lists are about to prove what there is to know."""

MOST_QUESTIONS = 300
"""Questions about one account's runners in a process's life: a third of what the Hub lets a free
account ask in five minutes."""

AT_ONCE = 8
"""Questions under way to one account."""


@dataclass(slots=True)
class _Asked:
    times: int = 0
    not_before: float = 0.0
    task: asyncio.Task[None] | None = None
    over: bool = False


class Inherited:
    """What the Hub has said of launches that are known by their intents alone.

    Args:
        connections: Clients by credentials.
        clock: Time.
        controller_id: Whose HF Jobs are ours.
        changed: Called when something was found to be over; must not block.
    """

    def __init__(
        self,
        *,
        connections: Connections,
        clock: Clock,
        controller_id: str,
        changed: Callable[[], None],
    ) -> None:
        self._connections = connections
        self._clock = clock
        self._labels = ours(controller_id)
        self._changed = changed
        self._asked: dict[str, _Asked] = {}
        self._questions: Counter[HubAccount] = Counter()
        self._under_way: Counter[HubAccount] = Counter()

    def follow(self, unseen: Mapping[str, HubAccount]) -> Sequence[str]:
        """Return those runners whose HF Job has come and ended, and ask about the others
        when it is time. Idempotent.

        Args:
            unseen: The account that each runner's HF Job is in
                (:func:`controller.core.intents.unseen_launches`).
        """
        for name in self._asked.keys() - unseen.keys():
            if (task := self._asked.pop(name).task) is not None:
                task.cancel()
        now = self._clock.mono()
        for name, account in unseen.items():
            asked = self._asked.setdefault(name, _Asked())
            due = asked.task is None and not asked.over and asked.times < TIMES and now >= asked.not_before
            if due and self._questions[account] < MOST_QUESTIONS and self._under_way[account] < AT_ONCE:
                asked.times += 1
                asked.not_before = now + ASK_EVERY
                self._questions[account] += 1
                self._under_way[account] += 1
                asked.task = asyncio.create_task(self._ask(name, account, asked), name=f"inherited:{name}")
        return [name for name in unseen if self._asked[name].over]

    async def close(self) -> None:
        """Ask nothing any more."""
        tasks = [asked.task for asked in self._asked.values() if asked.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, name: str, account: HubAccount, asked: _Asked) -> None:
        try:
            found = await self._connections.hub(account).find({**self._labels, LABEL_RUNNER: name})
            asked.over = came_and_ended(name, found)
        except UpstreamError as error:
            asked.not_before = self._clock.mono() + max(ASK_EVERY, error.failure.retry_after or 0.0)
        except Exception:
            log.exception(
                "an earlier launch not looked up", extra={"runner": name, "reason": "InternalError"}
            )
        finally:
            asked.task = None
            self._under_way[account] -= 1
            self._changed()
