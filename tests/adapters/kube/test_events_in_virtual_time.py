"""Sending Events holds nobody up, and survives an API server that is away for a while."""

from __future__ import annotations

import asyncio
from typing import Any

from controller.adapters.kube.errors import ConflictError, ForbiddenError, KubernetesError, kind_of
from controller.adapters.kube.events import RETRY_PAUSE, TRIES, KubernetesEvents
from controller.simulate.loop import run_virtual
from hf_runner_simulators.clock import LoopClock


class FakeClient:
    """Takes a second for each request; fails as told."""

    def __init__(self, *failures: KubernetesError) -> None:
        self.failures = list(failures)
        self.sent: list[tuple[str, float, Any]] = []

    async def request_json(self, method: str, path: str, *, body: Any, content_type: str = "") -> Any:
        await asyncio.sleep(1)
        self.sent.append((method, asyncio.get_running_loop().time(), body.get("series", {}).get("count", 1)))
        if self.failures:
            raise self.failures.pop(0)
        return {}


def down(status: int | None = 503) -> KubernetesError:
    return kind_of(status)("down", status=status)


def forbidden() -> KubernetesError:
    return ForbiddenError("no", status=403)


async def start(client: FakeClient) -> tuple[KubernetesEvents, asyncio.Task[None]]:
    clock = LoopClock(time=asyncio.get_running_loop().time)
    events = KubernetesEvents(client=client, clock=clock, instance="pod")  # type: ignore[arg-type]
    return events, asyncio.create_task(events.run())


async def emit(events: KubernetesEvents, message: str = "words") -> None:
    await events.emit(
        namespace="ci", name="gpu", uid="u", warning=True, reason="R", action="A", message=message
    )


def test_emitting_takes_no_time_and_what_piles_up_is_one_request() -> None:
    async def main() -> None:
        client = FakeClient()
        events, task = await start(client)
        for _ in range(5):
            await emit(events)
        assert asyncio.get_running_loop().time() == 0
        await asyncio.sleep(10)
        assert [(method, count) for method, _, count in client.sent] == [("POST", 5)]
        await emit(events)
        await asyncio.sleep(10)
        assert [(method, count) for method, _, count in client.sent] == [("POST", 5), ("PATCH", 6)]
        task.cancel()

    run_virtual(main())


def test_an_outage_is_tried_again_a_few_times_and_then_let_go() -> None:
    async def main() -> None:
        client = FakeClient(*(down() for _ in range(TRIES)))
        events, task = await start(client)
        await emit(events)
        await asyncio.sleep(60)
        assert [at for _, at, _ in client.sent] == [1, 2 + RETRY_PAUSE, 3 + 2 * RETRY_PAUSE]
        await emit(events)
        await asyncio.sleep(2)
        assert client.sent[-1][::2] == ("POST", 2), "a repeat tries again, with all that happened"
        task.cancel()

    run_virtual(main())


def test_an_event_whose_first_answer_was_lost_is_not_made_twice() -> None:
    async def main() -> None:
        client = FakeClient(down(None), ConflictError("exists", status=409))
        events, task = await start(client)
        await emit(events)
        await asyncio.sleep(60)
        assert [method for method, _, _ in client.sent] == ["POST", "POST"]
        await emit(events)
        await asyncio.sleep(5)
        assert client.sent[-1][0] == "PATCH"
        task.cancel()

    run_virtual(main())


def test_what_is_forbidden_is_not_tried_again() -> None:
    async def main() -> None:
        client = FakeClient(forbidden())
        events, task = await start(client)
        await emit(events)
        await emit(events, "other words")
        await asyncio.sleep(60)
        assert len(client.sent) == 2
        task.cancel()

    run_virtual(main())


def test_what_was_not_sent_when_sending_stopped_goes_out_with_the_last_flush() -> None:
    async def main() -> None:
        client = FakeClient()
        events, task = await start(client)
        await emit(events)
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.sleep(0)
        assert client.sent == []
        await events.flush()
        assert [method for method, _, _ in client.sent] == ["POST"]

    run_virtual(main())
