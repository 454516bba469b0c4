"""No request leaves the Hub's clients for a host that is not allowed, whoever chose its address."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from controller.adapters.credential import Fixed
from controller.adapters.huggingface.flavors import HubHardware
from controller.adapters.huggingface.inspection import HubInspection
from controller.adapters.huggingface.jobs import HubJobs
from controller.adapters.huggingface.logs import HubLogs
from controller.adapters.huggingface.session import open_session
from controller.adapters.huggingface.wire import Wire
from controller.core.hosts import DEFAULT_HOSTS, Hosts
from controller.core.model import HubAccount
from controller.core.reasons import Reason
from controller.ports import UpstreamError
from tests.adapters.huggingface.scripted import ACCOUNT, HOSTS, SPEC, TOKEN, ScriptedHub, job, reply

Make = Callable[..., "Calls"]


class Calls:
    """Every call of the Hub's clients, at one endpoint."""

    def __init__(self, hub: ScriptedHub, session: Any, endpoint: str, **options: Any) -> None:
        account: HubAccount = replace(ACCOUNT, endpoint=endpoint)
        about: dict[str, Any] = {
            "account": account,
            "credential": Fixed(TOKEN),
            "session": session,
            "clock": hub.clock,
            "hosts": options.get("hosts", DEFAULT_HOSTS),
        }
        jobs = HubJobs(**{**about, **options})
        wire = Wire(endpoint=endpoint, **{**about, **options})
        logs, inspection = HubLogs(**about), HubInspection(**about)
        hardware = HubHardware(session=session, endpoint=endpoint, clock=hub.clock, hosts=about["hosts"])

        async def first_lines() -> list[str]:
            return [line.text async for line in logs.lines("x", follow=False)]

        async def stream() -> list[str]:
            return [line async for line in wire.lines("/api/jobs/acme/x/logs", silence=1.0)]

        self.by_name: dict[str, Callable[[], Awaitable[Any]]] = {
            "live": lambda: jobs.live({}),
            "find": lambda: jobs.find({"a": "b"}),
            "inspect": lambda: jobs.inspect("x"),
            "cancel": lambda: jobs.cancel("x"),
            "launch": lambda: jobs.launch(SPEC),
            "logs": first_lines,
            "stream": stream,
            "identity": inspection.identity,
            "try_writing": inspection.try_writing,
            "flavors": hardware.flavors,
        }


ALL = ("live", "find", "inspect", "cancel", "launch", "logs", "stream", "identity", "try_writing", "flavors")
ENDINGS = {"live": [], "find": [], "inspect": job(), "cancel": {}}


@pytest.fixture
async def make(hub: ScriptedHub) -> AsyncIterator[Make]:
    async with open_session(transport=httpx2.MockTransport(hub.handle)) as session:
        yield lambda endpoint, **options: Calls(hub, session, endpoint, **options)


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://hub.example",
        "http://huggingface.co",
        "https://huggingface.co:444",
        "https://u@huggingface.co",
    ],
)
@pytest.mark.parametrize("name", ALL)
async def test_nothing_is_sent_to_a_host_that_is_not_allowed(
    make: Make, hub: ScriptedHub, name: str, endpoint: str
) -> None:
    hub.answer(reply({}))
    with pytest.raises(UpstreamError) as caught:
        await make(endpoint).by_name[name]()
    assert caught.value.failure.reason is Reason.HostNotAllowed
    assert not caught.value.failure.in_doubt
    assert hub.requests == []


@pytest.mark.parametrize("name", ALL)
async def test_what_was_launched_may_be_ended_where_the_host_was_taken_away(
    make: Make, hub: ScriptedHub, name: str
) -> None:
    hub.answer(reply(ENDINGS.get(name)))
    calls = make("https://hub.example", may_end=lambda: True)
    if name in ENDINGS:
        await calls.by_name[name]()
        (request,) = hub.requests
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        return
    with pytest.raises(UpstreamError) as caught:
        await calls.by_name[name]()
    assert caught.value.failure.reason is Reason.HostNotAllowed
    assert hub.requests == []


async def test_a_leave_to_end_is_asked_for_each_request_and_allows_no_plain_http(
    make: Make, hub: ScriptedHub
) -> None:
    hub.answer(reply([]))
    leave = [True]
    calls = make("https://hub.example", may_end=lambda: leave[0])
    await calls.by_name["live"]()
    leave[0] = False
    for one in (calls, make("http://hub.example", may_end=lambda: True)):
        with pytest.raises(UpstreamError) as caught:
            await one.by_name["live"]()
        assert caught.value.failure.reason is Reason.HostNotAllowed
    assert len(hub.requests) == 1


async def test_neither_a_redirect_nor_a_link_leads_to_another_host(make: Make, hub: ScriptedHub) -> None:
    calls = make("https://hub.example", hosts=HOSTS)
    hub.answer(reply(None, status=307, location="https://evil.example/api/jobs/acme"))
    with pytest.raises(UpstreamError):
        await calls.by_name["launch"]()
    hub.answer(reply([], link='<https://evil.example/api/jobs/acme?cursor=2>; rel="next"'), reply([]))
    await calls.by_name["live"]()
    assert {request.url.host for request in hub.requests} == {"hub.example"}


async def test_plain_http_is_allowed_by_who_runs_the_controller(make: Make, hub: ScriptedHub) -> None:
    hub.answer(reply([]))
    hosts = Hosts.listed(github=[], hub=["127.0.0.1:8081"], allow_http=True)
    await make("http://127.0.0.1:8081", hosts=hosts).by_name["live"]()
    with pytest.raises(UpstreamError):
        await make("http://127.0.0.1:8082", hosts=hosts).by_name["live"]()
    assert [request.url.port for request in hub.requests] == [8081]
