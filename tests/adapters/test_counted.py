"""Each call of a port that fails is counted, once, whatever it was made of."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from controller.adapters.credential import Fixed
from controller.adapters.github import GitHubConnection, credentials_from_secret
from controller.adapters.github.client import Client
from controller.adapters.huggingface.jobs import HubJobs
from controller.adapters.huggingface.session import open_session
from controller.core.hosts import Hosts
from controller.core.model import GitHubSource, HubAccount, Scope, ScopeKind, SecretRef
from controller.core.reasons import Reason
from controller.ports import GitHub, Hub, LaunchSpec, Run, UpstreamError
from hf_runner_simulators.clock import ManualClock

LIB = Scope(kind=ScopeKind.REPOSITORY, owner="acme", repository="lib")
SPEC = LaunchSpec(
    image="i", command=("true",), flavor="cpu", labels={}, environment={}, secrets={}, timeout=60
)
RUN = Run(id=1, attempt=1, status="queued", created_at=0.0, updated_at="")
NOWHERE = Hosts.listed(github=[], hub=[])
"""No host is allowed, so that every call fails before it is sent."""

GITHUB_CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "repositories": (("acme",), {}),
    "runs": (("acme/lib", "queued"), {}),
    "jobs": (("acme/lib", RUN), {}),
    "job": (("acme/lib", 1), {}),
    "admission": ((LIB, None, "acme/lib"), {}),
    "version_ended": ((LIB, "2.1.0"), {}),
    "registrations": ((LIB,), {}),
    "runner_groups": ((LIB,), {}),
    "find": ((LIB, "r"), {}),
    "register": ((LIB,), {"name": "r", "labels": [], "group": None}),
    "deregister": ((LIB, 1), {}),
    "run": (("acme/lib", 1), {}),
    "rerun_failed": (("acme/lib", 1), {}),
}
HUB_CALLS: dict[str, tuple[Any, ...]] = {
    "live": ({},),
    "find": ({},),
    "inspect": ("x",),
    "launch": (SPEC,),
    "cancel": ("x",),
}


def calls_of(port: type) -> set[str]:
    """Return the names of a port's calls, its end apart."""
    return {name for name, _ in inspect.getmembers(port, inspect.iscoroutinefunction)} - {"close"}


@pytest.fixture
async def github(counts: list[Reason]) -> AsyncIterator[GitHub]:
    client = Client(
        source=GitHubSource(api_url="https://gh.example", secret=SecretRef("ci", "gh"), owner="acme"),
        credential=Fixed(credentials_from_secret({"token": "t"})),
        clock=ManualClock(),
        hosts=NOWHERE,
        failed=counts.append,
    )
    yield GitHubConnection(client)
    await client.close()


@pytest.fixture
async def hub(counts: list[Reason]) -> AsyncIterator[Hub]:
    async with open_session(transport=httpx2.MockTransport(lambda _: httpx2.Response(500))) as session:
        yield HubJobs(
            account=HubAccount(endpoint="https://hub.example", namespace="a", secret=SecretRef("ci", "hf")),
            credential=Fixed("hf_token"),
            session=session,
            clock=ManualClock(),
            hosts=NOWHERE,
            failed=counts.append,
        )


@pytest.fixture
def counts() -> list[Reason]:
    return []


@pytest.mark.parametrize("name", sorted(calls_of(GitHub)))
async def test_a_call_of_github_is_counted_when_it_fails(
    name: str, github: GitHub, counts: list[Reason]
) -> None:
    args, named = GITHUB_CALLS[name]
    with pytest.raises(UpstreamError):
        await getattr(github, name)(*args, **named)
    assert counts == [Reason.HostNotAllowed]


@pytest.mark.parametrize("name", sorted(calls_of(Hub)))
async def test_a_call_of_the_hub_is_counted_when_it_fails(name: str, hub: Hub, counts: list[Reason]) -> None:
    with pytest.raises(UpstreamError):
        await getattr(hub, name)(*HUB_CALLS[name])
    assert counts == [Reason.HostNotAllowed]
