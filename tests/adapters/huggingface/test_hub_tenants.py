"""What one tenant's Hub does costs that tenant alone: connections, cookies, rate limits, memory."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from controller.adapters.credential import Fixed
from controller.adapters.huggingface.jobs import MOST_ROWS, HubJobs
from controller.adapters.huggingface.session import (
    MOST_OF_ACCOUNT,
    MOST_OF_TENANT_AT_ENDPOINT,
    Session,
    open_session,
)
from controller.adapters.offloop import Workers
from controller.adapters.shares import PATIENCE
from controller.core.hosts import Hosts
from controller.core.model import HubAccount, SecretRef
from controller.core.reasons import Reason
from controller.ports import UpstreamError
from controller.simulate.loop import run_virtual
from hf_runner_simulators.clock import LoopClock
from tests.adapters.huggingface.scripted import SPEC, job

GOOD, BAD = "https://good.example", "https://bad.example"
HOSTS = Hosts.listed(github=[], hub=[GOOD, BAD, "https://hub.example"])


class Hubs:
    """A good Hub, and one that never answers; counts the requests under way at the latter."""

    def __init__(self) -> None:
        self.under_way = self.most = 0

    async def handle(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.host == "good.example":
            return httpx2.Response(200, json=[])
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.Event().wait()
        finally:
            self.under_way -= 1
        raise AssertionError("nothing ends the wait")


def of(session: Session, endpoint: str, *, tenant: str = "ci", namespace: str = "acme") -> HubJobs:
    account = HubAccount(endpoint=endpoint, namespace=namespace, secret=SecretRef(tenant, "hf"))
    clock = LoopClock(time=asyncio.get_running_loop().time)
    return HubJobs(account=account, credential=Fixed("hf_token"), session=session, clock=clock, hosts=HOSTS)


def beside(
    calls: Callable[[Session], list[HubJobs]], then: Callable[[Session], HubJobs]
) -> tuple[Hubs, float]:
    """Ask many at once who get no answer; return the Hubs, and when another one was answered
    that asked a second later.
    """

    async def main() -> tuple[Hubs, float]:
        hubs = Hubs()
        async with open_session(transport=httpx2.MockTransport(hubs.handle)) as session:
            waiting = [asyncio.create_task(jobs.live({})) for jobs in calls(session)]
            await asyncio.sleep(1)
            await then(session).live({})
            answered_at = asyncio.get_running_loop().time()
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        return hubs, answered_at

    return run_virtual(main())


def test_a_tenant_whose_hub_never_answers_delays_no_other_tenant_of_the_same_hub_or_another() -> None:
    def mallory(session: Session) -> list[HubJobs]:
        return [of(session, BAD, tenant="mallory", namespace=f"n{n}") for n in range(120)]

    hubs, answered_at = beside(mallory, lambda session: of(session, GOOD))
    assert answered_at == 1
    assert hubs.most == MOST_OF_TENANT_AT_ENDPOINT


def test_a_hub_that_never_answers_delays_no_other_hub_of_the_same_tenant() -> None:
    def own(session: Session) -> list[HubJobs]:
        return [of(session, BAD, namespace=f"n{n}") for n in range(120)]

    assert beside(own, lambda session: of(session, GOOD))[1] == 1


def test_an_account_has_so_many_requests_under_way_and_no_more() -> None:
    def one(session: Session) -> list[HubJobs]:
        return [of(session, BAD)] * 50

    hubs, answered_at = beside(one, lambda session: of(session, GOOD, namespace="other"))
    assert (hubs.most, answered_at) == (MOST_OF_ACCOUNT, 1)


def test_a_launch_that_waits_for_its_turn_in_vain_was_not_sent() -> None:
    async def main() -> None:
        hubs = Hubs()
        async with open_session(transport=httpx2.MockTransport(hubs.handle)) as session:
            jobs = of(session, BAD)
            waiting = [asyncio.create_task(jobs.live({})) for _ in range(MOST_OF_ACCOUNT)]
            await asyncio.sleep(0)
            with pytest.raises(UpstreamError) as caught:
                await jobs.launch(SPEC)
            assert asyncio.get_running_loop().time() == PATIENCE
            assert caught.value.failure.reason is Reason.HubUnavailable
            assert not caught.value.failure.in_doubt
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    run_virtual(main())


def test_no_cookie_is_kept() -> None:
    got: list[str | None] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        got.append(request.headers.get("cookie"))
        return httpx2.Response(200, json=[], headers={"set-cookie": "session=mine; Path=/"})

    async def main() -> None:
        async with open_session(transport=httpx2.MockTransport(handle)) as session:
            await of(session, "https://hub.example").live({})
            await of(session, "https://hub.example", tenant="other").live({})
            assert not session.cookies

    run_virtual(main())
    assert got == [None, None]


def test_a_list_without_an_end_ends_as_a_failure() -> None:
    page = json.dumps([job(f"j{n}") for n in range(1_000)]).encode()
    asked: list[str] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        asked.append(str(request.url))
        link = f'<https://hub.example/api/jobs/acme?cursor={len(asked)}>; rel="next"'
        return httpx2.Response(200, content=page, headers={"link": link})

    async def main() -> None:
        async with open_session(transport=httpx2.MockTransport(handle)) as session:
            with pytest.raises(UpstreamError, match="entries") as caught:
                await of(session, "https://hub.example").live({})
        assert caught.value.failure.reason is Reason.HubMalformed

    run_virtual(main())
    assert len(asked) == MOST_ROWS // 1_000 + 1


class Noting(dict[str, str]):
    """Labels that note which threads compare them."""

    def __init__(self) -> None:
        super().__init__({"managed-by": "us"})
        self.threads: set[int] = set()

    def items(self) -> Any:
        self.threads.add(threading.get_ident())
        return super().items()


@pytest.mark.parametrize(
    ("entries", "apart"),
    [([job()], False), ([job()] * 2_000, True), ([{}] * 2_000, True), ([job(command=["x" * 2**20])], True)],
    ids=["small", "large", "many", "one large"],
)
async def test_a_large_page_is_read_apart_from_the_event_loop(entries: list[Any], apart: bool) -> None:
    page, labels = json.dumps(entries).encode(), Noting()
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=page))
    async with open_session(transport=transport) as session:
        session.workers = Workers()
        observed = await of(session, "https://hub.example").live(labels)
    assert len(observed.items) == (1 if entries[0] else 0)
    labels.threads.discard(threading.get_ident())  # the query is made on the loop
    assert bool(labels.threads) is apart
