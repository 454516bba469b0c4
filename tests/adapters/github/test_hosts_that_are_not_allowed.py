"""No request leaves GitHub's client for a host that is not allowed, whoever chose its address."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from controller.adapters.credential import Fixed
from controller.adapters.github.connection import GitHubConnection
from controller.adapters.github.credentials import credentials_from_secret
from controller.core.hosts import DEFAULT_HOSTS, Hosts
from controller.core.model import Scope, ScopeKind
from controller.core.reasons import Reason
from controller.ports import Removal, Run, UpstreamError
from hf_runner_simulators.github.keys import private_key
from tests.adapters.github.scene import LABELS, Script, answer, runner_page, source, virtual

ELSEWHERE = "https://ghe.example/api/v3"
ACME = Scope(kind=ScopeKind.ORGANIZATION, owner="acme")
LIB = Scope(kind=ScopeKind.REPOSITORY, owner="acme", repository="lib")
RUN = Run(id=1, attempt=1, status="queued", created_at=0.0, updated_at="")

# fmt: off
CALLS: dict[str, Any] = {
    "registrations": lambda github: github.registrations(ACME),
    "find": lambda github: github.find(LIB, "r"),
    "deregister": lambda github: github.deregister(LIB, 1),
    "register": lambda github: github.register(LIB, name="r", labels=LABELS, group=None),
    "runner_groups": lambda github: github.runner_groups(ACME),
    "repositories": lambda github: github.repositories("acme"),
    "runs": lambda github: github.runs("acme/lib", "queued"),
    "jobs": lambda github: github.jobs("acme/lib", RUN),
    "job": lambda github: github.job("acme/lib", 1),
    "run": lambda github: github.run("acme/lib", 1),
    "rerun_failed": lambda github: github.rerun_failed("acme/lib", 1),
    "admission": lambda github: github.admission(ACME, None, "acme/lib"),
    "version_ended": lambda github: github.version_ended(ACME, "2.1.0"),
    "runner_version": lambda github: github.runner_version(ACME),
    "grant": lambda github: github.grant(),
    "repository": lambda github: github.repository("acme/lib"),
    "try_queue": lambda github: github.try_queue("acme/lib"),
    "try_registering": lambda github: github.try_registering(LIB),
    "try_listing_runners": lambda github: github.try_listing_runners(LIB),
    "runner_group": lambda github: github.runner_group(ACME, None),
    "fork_approval": lambda github: github.fork_approval("acme/lib"),
}
# fmt: on
ENDINGS = {"registrations", "find", "deregister", "try_listing_runners"}


def reason_of(error: UpstreamError) -> Reason:
    assert not error.failure.in_doubt
    return error.failure.reason


def test_every_call_is_here() -> None:
    calls = {name for name in dir(GitHubConnection) if not name.startswith("_")}
    assert calls - set(CALLS) == {
        "close",
        "quota",
        "token_end",
        "group_repositories",
    }  # the last is part of admission


@pytest.mark.parametrize(
    "api_url",
    [
        ELSEWHERE,
        "http://api.github.com",
        "https://api.github.com:444",
        "https://u@api.github.com",
        "https:////api.github.com",
    ],
)
@pytest.mark.parametrize("name", sorted(CALLS))
@virtual
async def test_nothing_is_sent_to_a_host_that_is_not_allowed(name: str, api_url: str) -> None:
    script = Script(answer(200, {}))
    with pytest.raises(UpstreamError) as caught:
        await CALLS[name](script.connect(source=source(api_url=api_url)))
    assert reason_of(caught.value) is Reason.HostNotAllowed
    assert script.requests == []


@pytest.mark.parametrize("name", sorted(CALLS))
@virtual
async def test_what_was_launched_may_be_ended_where_the_host_was_taken_away(name: str) -> None:
    script = Script(runner_page([], total=0))
    github = script.connect(source=source(api_url=ELSEWHERE), may_end=lambda: True)
    if name in ENDINGS:
        await CALLS[name](github)
        assert {request.method for request in script.requests} <= {"GET", "DELETE"}
        return
    with pytest.raises(UpstreamError) as caught:
        await CALLS[name](github)
    assert reason_of(caught.value) is Reason.HostNotAllowed
    assert script.requests == []


@pytest.mark.parametrize("owner", ["acme", "1234"])
@virtual
async def test_an_app_gets_the_token_that_ends_what_it_launched(owner: str) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/access_tokens"):
            return answer(201, {"token": "ghs_t", "expires_at": "2030-01-01T00:00:00Z"})
        if request.url.path.endswith("/installation") or "/app/" in request.url.path:
            return answer(200, {"id": 7, "permissions": {}})
        return answer(204)

    script = Script(handle)
    app = credentials_from_secret({"appId": "1", "privateKey": private_key()})
    github = script.connect(
        source=source(api_url=ELSEWHERE, owner=owner), credential=Fixed(app), may_end=lambda: True
    )
    assert await github.deregister(LIB, 5) is Removal.DONE
    sent = len(script.requests)
    with pytest.raises(UpstreamError) as caught:
        await github.register(LIB, name="r", labels=LABELS, group=None)
    assert reason_of(caught.value) is Reason.HostNotAllowed
    assert len(script.requests) == sent


@virtual
async def test_a_leave_to_end_is_asked_for_each_request() -> None:
    script = Script(runner_page([], total=0))
    leave = [True]
    github = script.connect(source=source(api_url=ELSEWHERE), may_end=lambda: leave[0])
    await github.registrations(ACME)
    leave[0] = False
    with pytest.raises(UpstreamError) as caught:
        await github.registrations(ACME)
    assert reason_of(caught.value) is Reason.HostNotAllowed
    assert len(script.requests) == 1


@virtual
async def test_a_leave_to_end_allows_no_plain_http() -> None:
    script = Script(runner_page([], total=0))
    github = script.connect(source=source(api_url="http://ghe.example/api/v3"), may_end=lambda: True)
    with pytest.raises(UpstreamError) as caught:
        await github.registrations(ACME)
    assert reason_of(caught.value) is Reason.HostNotAllowed
    assert script.requests == []


@pytest.mark.parametrize(
    "leads_to",
    ["https://evil.example/x", "http://api.github.com/x", "https://api.github.com:444/x", "//evil.example/x"],
)
@virtual
async def test_a_redirect_to_another_host_is_not_followed_and_a_link_to_one_is_read_at_ours(
    leads_to: str,
) -> None:
    redirecting = Script(answer(307, {}, location=leads_to))
    with pytest.raises(UpstreamError):
        await redirecting.connect().registrations(ACME)
    linking = Script(runner_page([1], total=2, following=leads_to), runner_page([2], total=2))
    await linking.connect().registrations(ACME)
    for request in (*redirecting.requests, *linking.requests):
        assert (request.url.scheme, request.url.host, request.url.port) == ("https", "api.github.com", None)


@virtual
async def test_a_redirect_on_an_allowed_host_is_followed() -> None:
    script = Script(
        answer(307, {}, location="https://api.github.com/organizations/1/actions/runners"),
        runner_page([1], total=1),
    )
    assert (await script.connect().registrations(ACME)).complete


@virtual
async def test_plain_http_and_another_host_are_allowed_by_who_runs_the_controller() -> None:
    hosts = Hosts.listed(github=["http://sim:8080"], hub=[], allow_http=True)
    script = Script(runner_page([1], total=1))
    assert (
        await script.connect(source=source(api_url="http://sim:8080"), hosts=hosts).registrations(ACME)
    ).complete
    with pytest.raises(UpstreamError):
        await script.connect(source=source(api_url="http://sim:8081"), hosts=hosts).registrations(ACME)
    assert DEFAULT_HOSTS.allow_http is False
