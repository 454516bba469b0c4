"""Looking at the stop switch: what is known, whatever the API server answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from controller.core.model import Failure
from controller.core.reasons import Reason
from controller.core.stop_switch import Stop
from controller.observe.stop_switch import FIRST_TRIES, LOOK_INTERVAL, LOOK_TIMEOUT, SwitchObserver
from controller.ports import UpstreamError
from controller.simulate.loop import run_virtual

ON = Stop(account="", why="why", where="here", undo="")
FAILURE = UpstreamError(Failure(reason=Reason.KubernetesForbidden, message="403"))


class Source:
    """Answers as it is told; the last answer again and again."""

    def __init__(self, *answers: Sequence[Stop] | Exception, hangs: bool = False) -> None:
        self.answers, self.hangs, self.looks = list(answers), hangs, 0

    async def read(self) -> Sequence[Stop]:
        self.looks += 1
        if self.hangs:
            await asyncio.Event().wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_without_a_switch_nothing_is_stopped() -> None:
    observer = SwitchObserver()
    run_virtual(observer.first_look())
    assert observer.stops_for("acme") is None


def test_before_the_first_look_everything_is_stopped_and_after_it_what_it_says() -> None:
    observer = SwitchObserver(Source([]))
    assert observer.stops_for("acme") is not None
    run_virtual(observer.first_look())
    assert observer.stops_for("acme") is None


def test_a_lost_first_answer_is_asked_for_again_at_once_but_not_for_ever() -> None:
    source = Source(FAILURE, [])
    observer = SwitchObserver(source)
    run_virtual(observer.first_look())
    assert observer.state.known
    refused = SwitchObserver(never := Source(FAILURE))
    run_virtual(refused.first_look())
    assert never.looks == FIRST_TRIES
    stopped = refused.stops_for("acme")
    assert stopped is not None
    assert stopped.reason is Reason.StopSwitchUnread
    assert stopped.message.endswith("403")


def test_what_was_on_stays_on_while_it_cannot_be_read() -> None:
    for trouble in (FAILURE, TypeError("an answer that nobody foresaw")):
        observer = SwitchObserver(Source([ON], trouble))
        run_virtual(observer.first_look())
        run_virtual(observer.look())
        assert observer.stops_for("acme") is not None
        assert observer.state.trouble


def test_a_look_that_hangs_is_given_up() -> None:
    async def look() -> float:
        began = asyncio.get_running_loop().time()
        await SwitchObserver(Source([], hangs=True)).look()
        return asyncio.get_running_loop().time() - began

    assert run_virtual(look()) == LOOK_TIMEOUT


def test_a_change_wakes_the_controller_within_one_interval_and_no_change_does_not() -> None:
    async def follow() -> list[float]:
        loop = asyncio.get_running_loop()
        source = Source([], [], [ON], [ON], [])
        observer, woken = SwitchObserver(source), []
        await observer.first_look()
        observer.on_change(lambda: woken.append(loop.time() - began))
        began = loop.time()
        running = asyncio.create_task(observer.run())
        await asyncio.sleep(5 * LOOK_INTERVAL)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return woken

    assert run_virtual(follow()) == [2 * LOOK_INTERVAL, 4 * LOOK_INTERVAL]
