"""The adapter in front of a scripted Hub."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import httpx2
import pytest

from controller.adapters.credential import Fixed
from controller.adapters.huggingface.account import token_from_secret
from controller.adapters.huggingface.flavors import HubHardware
from controller.adapters.huggingface.jobs import HubJobs
from controller.adapters.huggingface.session import open_session
from tests.adapters.huggingface.scripted import ACCOUNT, HOSTS, TOKEN, ScriptedHub


@pytest.fixture
def hub() -> ScriptedHub:
    return ScriptedHub()


@pytest.fixture
async def make_jobs(hub: ScriptedHub) -> AsyncIterator[Callable[..., HubJobs]]:
    async with open_session(transport=httpx2.MockTransport(hub.handle)) as session:
        yield lambda token=TOKEN: HubJobs(
            account=ACCOUNT,
            credential=Fixed(token_from_secret({"token": token}, ref=ACCOUNT.secret)),
            session=session,
            clock=hub.clock,
            hosts=HOSTS,
        )


@pytest.fixture
async def hardware(hub: ScriptedHub) -> AsyncIterator[HubHardware]:
    async with open_session(transport=httpx2.MockTransport(hub.handle)) as session:
        yield HubHardware(session=session, endpoint=ACCOUNT.endpoint, clock=hub.clock, hosts=HOSTS)


@pytest.fixture
def jobs(make_jobs: Callable[..., HubJobs]) -> HubJobs:
    return make_jobs()
