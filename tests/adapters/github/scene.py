"""The adapter in front of a simulated GitHub, or of a scripted one, in virtual time."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import httpx

from controller.adapters.credential import Fixed
from controller.adapters.github import GitHubConnection, credentials_from_secret
from controller.adapters.github.answer import GitHubAnswer
from controller.adapters.github.client import Client
from controller.core.model import GitHubSource, Scope, ScopeKind, SecretRef
from controller.simulate.loop import run_virtual
from hf_runner_simulators.clock import EPOCH, LoopClock
from hf_runner_simulators.doors import SimTransport
from hf_runner_simulators.exchange import Exchange
from hf_runner_simulators.github.http import GitHubSite
from hf_runner_simulators.github.keys import private_key, public_key_of
from hf_runner_simulators.github.knobs import Knobs
from hf_runner_simulators.github.world import GitHubWorld

ACME = Scope(kind=ScopeKind.ORGANIZATION, owner="acme")
LIB = Scope(kind=ScopeKind.REPOSITORY, owner="acme", repository="lib")
SECRET = SecretRef("ci", "github")
TOKEN = "ghp_0123456789abcdefABCDEF0123456789abcd"
LABELS = ("gpu", "linux", "self-hosted")


def virtual(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test in virtual time."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        run_virtual(test(*args, **kwargs))  # type: ignore[arg-type]

    return run


def source(
    *, owner: str = "acme", enterprise: bool = False, api_url: str = "https://api.github.com"
) -> GitHubSource:
    return GitHubSource(api_url=api_url, secret=SECRET, owner=owner, enterprise=enterprise)


class Scene:
    """``acme`` with an App on it and the repository ``lib``; build it inside the virtual loop.

    Args:
        skew: Seconds by which the controller's wall clock is ahead of GitHub's.
        knobs: Of the simulated GitHub.
    """

    def __init__(self, *, skew: float = 0.0, **knobs: Any) -> None:
        time = asyncio.get_running_loop().time
        self.clock = LoopClock(time=time)
        self.ours = LoopClock(time=time, epoch=EPOCH + skew)
        self.world = GitHubWorld(clock=self.clock, knobs=Knobs(**knobs))
        self.app = self.world.accounts.add_app(public_key=public_key_of(private_key()))
        self.world.accounts.add_repository("acme/lib")
        self.installation = self.world.accounts.install(self.app.id, "acme")
        self.exchange = Exchange(GitHubSite(self.world), clock=self.clock, latency=lambda _: (0.03, 0.03))
        self.answers: list[GitHubAnswer] = []

    def app_secret(self, **more: str) -> dict[str, str]:
        return {"appId": str(self.app.id), "privateKey": private_key(), **more}

    def connect(self, secret: Mapping[str, str] | None = None, **options: Any) -> GitHubConnection:
        """Open a connection, as the App unless a Secret is given."""
        options.setdefault("source", source())
        options.setdefault("clock", self.ours)
        client = Client(
            credential=Fixed(credentials_from_secret(secret or self.app_secret())),
            transport=SimTransport(self.exchange),
            answered=self.answers.append,
            **options,
        )
        return GitHubConnection(client)

    def fault(self, **rule: Any) -> None:
        """Add a rule as ``/_sim/faults`` takes it."""
        self.exchange.rules.add(rule)

    def routes(self) -> list[str]:
        """Return the routes asked for so far, in order."""
        return [entry.route for entry in self.exchange.log]

    def count(self, route: str, status: int | None = None) -> int:
        """Return how often a route was asked for, and answered so."""
        return sum(e.route == route and status in (None, e.status) for e in self.exchange.log)

    def statuses(self, route: str) -> list[int]:
        """Return what the adapter's answers for a route were, in order."""
        return [answer.status for answer in self.answers if answer.route == route]


class Script:
    """A GitHub that answers as a test says; requests are kept.

    Args:
        answers: One for each request, the last one again and again: a response, an exception, or
            a function of the request.
    """

    def __init__(self, *answers: Any, clock: LoopClock | None = None) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.clock = clock or LoopClock(time=asyncio.get_running_loop().time)

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        await asyncio.sleep(0.05)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, Exception):
            raise answer
        # A fresh response each time: httpx binds one to its request.
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    def connect(self, **options: Any) -> GitHubConnection:
        options.setdefault("source", source())
        options.setdefault("credential", Fixed(credentials_from_secret({"token": TOKEN})))
        client = Client(clock=self.clock, transport=httpx.MockTransport(self.handle), **options)
        return GitHubConnection(client)


def answer(status: int = 200, payload: Any = None, **headers: str) -> httpx.Response:
    """Make an answer of GitHub's; ``_`` in header names stands for ``-``."""
    content = (
        payload if isinstance(payload, bytes) else b"" if payload is None else json.dumps(payload).encode()
    )
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers={"x-github-request-id": "A1B2:C3", **named}, content=content)


def runner_rows(ids: Iterable[int]) -> list[dict[str, Any]]:
    return [
        {"id": i, "name": f"r{i}", "status": "offline", "busy": False, "labels": [{"name": "GPU"}]}
        for i in ids
    ]


def runner_page(ids: Iterable[int], *, total: int | None, following: str | None = None) -> httpx.Response:
    """Make one page of a runner list."""
    link = {"link": f'<{following}>; rel="next", <https://x/>; rel="last"'} if following else {}
    return answer(200, {"total_count": total, "runners": runner_rows(ids)}, **link)
