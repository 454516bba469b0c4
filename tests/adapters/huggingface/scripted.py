"""A Hub that answers what a test scripts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2

from controller.core.hosts import Hosts
from controller.core.model import HubAccount, SecretRef
from controller.ports import LaunchSpec
from hf_runner_simulators.clock import ManualClock

TOKEN = "hf_ThisIsTheTokenOfTheTests"
ACCOUNT = HubAccount(endpoint="https://hub.example", namespace="acme", secret=SecretRef("ci", "hf-token"))
HOSTS = Hosts.listed(github=[], hub=["hub.example"])
"""The Hub of the tests, and no other."""

SPEC = LaunchSpec(
    image="ubuntu:24.04",
    command=("/bin/true",),
    flavor="t4-small",
    labels={"runner": "r1"},
    environment={},
    secrets={"JIT": "eyJqaXQiOiJzZWNyZXQifQ"},
    timeout=3600,
)
Reply = Callable[[], httpx2.Response] | Exception


@dataclass
class ScriptedHub:
    """Answers requests in turn, the last reply for ever, and keeps what was asked."""

    clock: ManualClock = field(default_factory=ManualClock)
    replies: list[Reply] = field(default_factory=list)
    requests: list[httpx2.Request] = field(default_factory=list)

    def answer(self, *replies: Reply) -> None:
        self.replies = list(replies)

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply()

    def body(self, number: int = -1) -> Any:
        return json.loads(self.requests[number].content)


class Bytes(httpx2.AsyncByteStream):
    """A body as it comes over the wire, so that nothing decodes it before the client does."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content


def raw(content: bytes = b"", *, status: int = 200, **headers: str) -> Reply:
    named = {
        "x-request-id": "Root=1-abc",
        **{name.replace("_", "-").lower(): value for name, value in headers.items()},
    }
    wire = [(name.encode(), value.encode("latin-1")) for name, value in named.items()]
    return lambda: httpx2.Response(status, stream=Bytes(content), headers=wire)


def reply(payload: Any = None, *, status: int = 200, **headers: str) -> Reply:
    return raw(json.dumps(payload).encode(), status=status, content_type="application/json", **headers)


def job(job_id: str = "6920000000000000000000aa", stage: str = "RUNNING", **fields: Any) -> dict[str, Any]:
    return {
        "id": job_id,
        "createdAt": "2026-11-21T10:00:00.500Z",
        "flavor": "t4-small",
        "labels": {"managed-by": "us", "runner": "r1"},
        "owner": {"id": "1", "name": "acme", "type": "org"},
        "status": {"stage": stage, "message": None},
        **fields,
    }
