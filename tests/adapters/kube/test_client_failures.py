"""Failures of the API server that a healthy one does not show, over a socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
import yaml
from aiohttp import web

from controller.adapters.kube import client as module
from controller.adapters.kube.client import Client, connect
from controller.adapters.kube.errors import KubernetesError
from controller.core.model import Disposition
from controller.core.reasons import Reason

Answer = Callable[[web.Request], web.StreamResponse]


def kubeconfig(path: Path, url: str) -> str:
    body = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "kube-token"}}],
    }
    path.write_text(yaml.safe_dump(body))
    return str(path)


class Server:
    def __init__(self) -> None:
        self.answer: web.StreamResponse | None = None
        self.paths: list[str] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path_qs)
        if self.answer is None:
            await asyncio.sleep(60)
            raise AssertionError("unreachable")
        return self.answer


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[Server, Client]]:
    made = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with await connect(kubeconfig=kubeconfig(tmp_path / "config", url)) as client:
        yield made, client
    await runner.cleanup()


async def failure_of(client: Client, method: str = "GET") -> KubernetesError:
    with pytest.raises(KubernetesError) as caught:
        await client.request_json(method, "/api")
    assert "kube-token" not in f"{caught.value!r} {caught.value}"
    return caught.value


async def test_a_server_that_never_answers_is_given_up(
    server: tuple[Server, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT", aiohttp.ClientTimeout(total=0.2))
    error = await failure_of(server[1], "PATCH")
    assert error.failure.reason is Reason.KubernetesUnavailable
    assert error.failure.in_doubt


@pytest.mark.parametrize(
    ("status", "reason", "disposition"),
    [
        (409, Reason.KubernetesConflict, Disposition.RETRY),
        (422, Reason.KubernetesRejected, Disposition.PERSON),
        (429, Reason.KubernetesUnavailable, Disposition.WAIT),
        (500, Reason.KubernetesUnavailable, Disposition.RETRY),
        (503, Reason.KubernetesUnavailable, Disposition.RETRY),
    ],
)
async def test_each_refusal_has_its_reason(
    server: tuple[Server, Client], status: int, reason: Reason, disposition: Disposition
) -> None:
    headers = {"Retry-After": "3", "Audit-Id": "abc"}
    server[0].answer = web.json_response(
        {"kind": "Status", "message": "words"}, status=status, headers=headers
    )
    error = await failure_of(server[1])
    assert (error.failure.reason, error.failure.disposition) == (reason, disposition)
    assert (error.failure.retry_after, error.failure.request_id) == (3.0, "abc")
    assert "words" in error.failure.message


@pytest.mark.parametrize("body", ["<html>proxy</html>", "", "[]"])
async def test_an_error_without_a_status_object_is_read_all_the_same(
    server: tuple[Server, Client], body: str
) -> None:
    server[0].answer = web.Response(status=502, text=body)
    assert (await failure_of(server[1])).failure.reason is Reason.KubernetesUnavailable


async def test_an_answer_that_is_not_json_is_a_failure(server: tuple[Server, Client]) -> None:
    server[0].answer = web.Response(text="hello")
    assert (await failure_of(server[1])).failure.reason is Reason.KubernetesUnavailable


async def test_a_server_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    async with await connect(
        kubeconfig=kubeconfig(tmp_path / "config", f"http://127.0.0.1:{port}")
    ) as client:
        assert (await failure_of(client)).failure.reason is Reason.KubernetesUnavailable


@pytest.mark.parametrize("content", [None, "", "[]", "current-context: nowhere", "{", "clusters: 7"])
async def test_a_bad_kubeconfig_is_said_to_be_one(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "config"
    if content is not None:
        path.write_text(content)
    with pytest.raises(KubernetesError) as caught:
        await connect(kubeconfig=str(path))
    assert "--kubeconfig" in caught.value.failure.message
    assert caught.value.failure.disposition is Disposition.PERSON


async def test_a_pod_without_its_token_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(KubernetesError, match="token file"):
        await connect()
