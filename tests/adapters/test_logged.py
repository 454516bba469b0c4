"""What everybody logs at DEBUG, and what errors say, while nothing can be reached: no
secret, not even a proxy's.
"""

from __future__ import annotations

import traceback

import pytest

from controller.adapters.credential import Fixed
from controller.adapters.github.client import Client
from controller.adapters.github.connection import GitHubConnection
from controller.adapters.github.credentials import credentials_from_secret
from controller.adapters.huggingface.jobs import HubJobs
from controller.adapters.huggingface.session import open_session
from controller.core.hosts import Hosts
from controller.core.model import GitHubSource, HubAccount, Scope, ScopeKind, SecretRef
from controller.ports import LaunchSpec
from hf_runner_simulators.clock import ManualClock

NOWHERE = "https://127.0.0.1:1"
HOSTS = Hosts.listed(github=[NOWHERE], hub=[NOWHERE])
SECRETS = {
    name: f"{name}_secret_0123456789" for name in ("ghp", "hf", "jit", "proxy")
}  # never written as a whole


def proxy(scheme: str) -> str:
    return f"{scheme}://user:{SECRETS['proxy']}@127.0.0.1:1"


async def ask_github() -> None:
    client = Client(
        source=GitHubSource(api_url=f"{NOWHERE}/api/v3", secret=SecretRef("ci", "gh"), owner="acme"),
        credential=Fixed(credentials_from_secret({"token": SECRETS["ghp"]})),
        clock=ManualClock(),
        hosts=HOSTS,
    )
    github = GitHubConnection(client)
    try:
        await github.registrations(Scope(kind=ScopeKind.REPOSITORY, owner="acme", repository="lib"))
    finally:
        await github.close()


async def ask_hub() -> None:
    async with open_session() as session:
        jobs = HubJobs(
            account=HubAccount(endpoint=NOWHERE, namespace="acme", secret=SecretRef("ci", "hf")),
            credential=Fixed(SECRETS["hf"]),
            session=session,
            clock=ManualClock(),
            hosts=HOSTS,
        )
        await jobs.launch(
            LaunchSpec(
                image="i",
                command=("true",),
                flavor="cpu-basic",
                labels={},
                environment={},
                secrets={"HFRUNNER_JIT_CONFIG": SECRETS["jit"]},
                timeout=60,
            )
        )


@pytest.mark.parametrize("ask", [ask_github, ask_hub])
@pytest.mark.parametrize("scheme", [None, "http", "socks5", "foo"])
async def test_no_secret_is_logged_or_told_whoever_logs_it(
    ask: object, scheme: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for variable in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
        if scheme is not None and variable.isupper():
            monkeypatch.setenv(variable, proxy(scheme))
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    caplog.set_level(1)
    for name in ("httpx", "httpcore", "httpx2", "httpcore2", "huggingface_hub", "asyncio"):
        caplog.set_level(1, logger=name)
    with pytest.raises(Exception) as caught:
        await ask()  # type: ignore[operator]
    told = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(caplog.records)
    assert told
    for name, secret in SECRETS.items():
        assert secret not in told, name
