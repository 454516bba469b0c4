"""What goes over the wire, where to, and what becomes of answers that are none."""

from __future__ import annotations

import asyncio
import logging
import traceback
from typing import Any

import httpx
import pytest

from controller import __version__
from controller.adapters.credential import Fixed
from controller.adapters.github import credentials_from_secret
from controller.adapters.github.answer import redact, shown_url
from controller.adapters.github.errors import GitHubError
from controller.core.hosts import Hosts
from controller.core.model import Disposition
from controller.core.reasons import Reason
from controller.ports import Removal, UpstreamError
from tests.adapters.github.scene import (
    ACME,
    LABELS,
    LIB,
    TOKEN,
    Scene,
    Script,
    answer,
    runner_page,
    source,
    virtual,
)

EMPTY = runner_page([], total=0)
GHES = "https://ghe.example/api/v3"
OWN_HOST = Hosts.listed(github=["ghe.example"], hub=[])
MOVED = {"message": "Moved Permanently"}


# --------------------------------------------------------------------------------------------------- requests
@virtual
async def test_a_request_says_who_asks_and_which_version() -> None:
    script = Script(EMPTY)
    await script.connect().registrations(ACME)
    (request,) = script.requests
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["accept"] == "application/vnd.github+json"
    assert request.headers["x-github-api-version"] == "2022-11-28"
    assert request.headers["user-agent"] == f"hf-runner-controller/{__version__}"
    assert "gzip" in request.headers["accept-encoding"]
    assert "cache-control" not in request.headers  # there is no cache between, and ours asks each time


@virtual
async def test_every_request_has_timeouts() -> None:
    script = Script(EMPTY)
    await script.connect().registrations(ACME)
    assert script.requests[0].extensions["timeout"] == {
        "connect": 5.0,
        "read": 20.0,
        "write": 10.0,
        "pool": 5.0,
    }


@virtual
async def test_an_answer_that_trickles_is_given_up() -> None:
    class Trickle(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            for _ in range(20):
                await asyncio.sleep(19)
                yield b" "
            yield b'{"total_count": 0, "runners": []}'

    async def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Trickle())

    script = Script(EMPTY)
    script.handle = handle  # type: ignore[method-assign]
    with pytest.raises(UpstreamError) as caught:
        await script.connect().registrations(ACME)
    assert caught.value.failure.reason is Reason.GitHubUnavailable
    assert asyncio.get_running_loop().time() == 60


@virtual
async def test_an_enterprise_server_is_asked_below_its_prefix() -> None:
    scene = Scene()
    github = scene.connect(source=source(api_url=GHES), points_per_minute=None, hosts=OWN_HOST)
    scene.world.workflows.queue_jobs("acme/lib", ["gpu"])
    await github.register(ACME, name="r", labels=LABELS, group=None)
    (run,) = (await github.runs("acme/lib", "queued")).items
    assert len((await github.jobs("acme/lib", run)).items) == 1
    assert len((await github.repositories("acme")).items) == 1
    assert all(entry.path.startswith("/api/v3/") for entry in scene.exchange.log)
    assert {entry.status for entry in scene.exchange.log} <= {200, 201}


@virtual
async def test_a_server_that_does_not_know_the_api_version_is_asked_without() -> None:
    def old(request: httpx.Request) -> httpx.Response:
        if "x-github-api-version" in request.headers:
            return answer(400, {"message": "'2022-11-28' is not a supported API version."})
        return EMPTY

    script = Script(old)
    github = script.connect(source=source(api_url=GHES), hosts=OWN_HOST)
    await github.registrations(ACME)
    await github.registrations(ACME)
    assert len(script.requests) == 3


# -------------------------------------------------------------------------------------------------- redirects
@virtual
async def test_a_renamed_repository_is_followed_for_reads_and_effects() -> None:
    scene = Scene()
    github = scene.connect()
    await github.registrations(LIB)
    scene.world.accounts.rename_repository("acme/lib", "library")
    scene.world.workflows.queue_jobs("acme/library", ["gpu"])
    (run,) = (await github.runs("acme/lib", "queued")).items
    (job,) = (await github.jobs("acme/lib", run)).items
    assert job.repository == "acme/lib"  # as it was asked for
    made = await github.register(LIB, name="r", labels=LABELS, group=None)
    assert await github.deregister(LIB, made.registration.id) is Removal.DONE
    assert (await github.registrations(LIB)).items == ()


@pytest.mark.parametrize(
    "location",
    ["https://evil.example/x", "http://api.github.com/x", "https://api.github.com:444/x", "//evil.example/x"],
)
@virtual
async def test_a_redirect_to_elsewhere_gets_no_token(location: str) -> None:
    script = Script(answer(301, MOVED, location=location))
    with pytest.raises(UpstreamError) as caught:
        await script.connect().register(LIB, name="r", labels=LABELS, group=None)
    assert caught.value.failure.reason is Reason.GitHubMalformed
    assert not caught.value.failure.in_doubt
    assert len(script.requests) == 1


@virtual
async def test_a_redirect_keeps_method_body_and_token() -> None:
    script = Script(answer(307, MOVED, location="https://api.github.com/repositories/7/x"), answer(500))
    with pytest.raises(UpstreamError):
        await script.connect().register(LIB, name="r", labels=LABELS, group=None)
    first, second = script.requests
    assert str(second.url) == "https://api.github.com/repositories/7/x"
    assert (second.method, second.content) == (first.method, first.content)
    assert second.headers["authorization"] == first.headers["authorization"]


@virtual
async def test_redirects_in_a_circle_end() -> None:
    script = Script(answer(302, MOVED, location="/orgs/acme/actions/runners"))
    with pytest.raises(UpstreamError) as caught:
        await script.connect().registrations(ACME)
    assert caught.value.failure.reason is Reason.GitHubMalformed
    assert len(script.requests) == 4


# ----------------------------------------------------------------------------------------------------- errors
TABLE = [
    (401, "Bad credentials", Reason.GitHubUnauthorized, Disposition.PERSON),
    (403, "Resource not accessible by integration", Reason.PermissionMissing, Disposition.PERSON),
    (403, "Resource not accessible by personal access token", Reason.PermissionMissing, Disposition.PERSON),
    (403, "Must have admin rights to Repository.", Reason.PermissionMissing, Disposition.PERSON),
    (403, "This installation has been suspended", Reason.AppSuspended, Disposition.PERSON),
    (403, "GitHub Actions is disabled on this repository.", Reason.RunnersDisabled, Disposition.PERSON),
    (
        403,
        "Although you appear to have the correct authorization credentials, the `acme` organization has an IP allow list enabled",
        Reason.GitHubForbidden,
        Disposition.PERSON,
    ),
    (403, "", Reason.GitHubForbidden, Disposition.PERSON),
    (404, "Not Found", Reason.GitHubNotFound, Disposition.GONE),
    (410, "Gone", Reason.GitHubNotFound, Disposition.GONE),
    (400, "Problems parsing JSON", Reason.GitHubRejected, Disposition.PERSON),
    (422, "Invalid property /labels: 1 item required", Reason.GitHubRejected, Disposition.PERSON),
    (500, "oops", Reason.GitHubUnavailable, Disposition.RETRY),
    (502, "", Reason.GitHubUnavailable, Disposition.RETRY),
    (503, "", Reason.GitHubUnavailable, Disposition.RETRY),
]


@pytest.mark.parametrize(("status", "said", "reason", "disposition"), TABLE)
@virtual
async def test_a_refusal_has_its_reason_and_githubs_own_words(
    status: int, said: str, reason: Reason, disposition: Disposition
) -> None:
    with pytest.raises(GitHubError) as caught:
        await Script(answer(status, {"message": said})).connect().registrations(LIB)
    error = caught.value
    assert (error.failure.reason, error.failure.disposition) == (reason, disposition)
    assert error.failure.request_id == error.request_id == "A1B2:C3"
    assert (error.method, error.status, error.github_message) == ("GET", status, said)
    assert error.url == "https://api.github.com/repos/acme/lib/actions/runners?per_page=100"
    assert said in error.failure.message
    assert str(status) in error.failure.message
    assert error.failure.message.endswith(".")
    assert not error.failure.in_doubt


HTML = b"<html><head><title>Unicorn!</title></head></html>"
UNUSABLE = [
    HTML,
    b"",
    b'{"total_count": 1, "runners": [{"id": 1, "na',
    b"null",
    b"[]",
    b'"text"',
    b'{"total_count": 1}',
    b'{"total_count": 1, "runners": {"1": {}}}',
    b'{"total_count": 1, "runners": [{"id": "x", "name": "r"}]}',
    b'{"total_count": 1, "runners": [null]}',
    b"\xff\xfe\x00",
    b"[" * 100_000,
]


@pytest.mark.parametrize("body", UNUSABLE, ids=lambda body: repr(body[:30]))
@virtual
async def test_an_answer_that_cannot_be_read_is_malformed_and_never_an_empty_list(body: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        await Script(answer(200, body)).connect().registrations(ACME)
    assert caught.value.failure.reason is Reason.GitHubMalformed
    assert caught.value.failure.disposition is Disposition.RETRY


@virtual
async def test_a_proxys_page_is_described_and_not_quoted() -> None:
    with pytest.raises(GitHubError) as caught:
        await Script(answer(502, HTML)).connect().registrations(ACME)
    assert caught.value.github_message == "an HTML page"
    assert "Unicorn" not in caught.value.failure.message


TRANSPORT = [
    (httpx.ConnectError("refused"), Reason.GitHubUnavailable, False),
    (httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"), Reason.GitHubUnavailable, False),
    (httpx.ConnectTimeout(""), Reason.GitHubUnavailable, False),
    (httpx.PoolTimeout(""), Reason.GitHubUnavailable, False),
    (httpx.ReadTimeout(""), Reason.GitHubUnavailable, True),
    (httpx.WriteTimeout(""), Reason.GitHubUnavailable, True),
    (httpx.ReadError("reset"), Reason.GitHubUnavailable, True),
    (httpx.WriteError("pipe"), Reason.GitHubUnavailable, True),
    (httpx.RemoteProtocolError("peer closed connection"), Reason.GitHubMalformed, True),
    (httpx.ProxyError("502"), Reason.GitHubUnavailable, True),
    (httpx.DecodingError("bad gzip"), Reason.GitHubMalformed, True),
]


@pytest.mark.parametrize(("error", "reason", "in_doubt"), TRANSPORT, ids=lambda value: repr(value)[:40])
@virtual
async def test_only_a_connection_that_never_was_proves_that_nothing_was_sent(
    error: Exception, reason: Reason, in_doubt: bool
) -> None:
    github = Script(error).connect()
    with pytest.raises(GitHubError) as caught:
        await github.register(LIB, name="r", labels=LABELS, group=None)
    assert caught.value.failure.reason is reason
    assert caught.value.failure.in_doubt is in_doubt
    assert caught.value.status is None
    assert type(error).__name__ in caught.value.failure.message
    with pytest.raises(GitHubError) as caught:
        await github.registrations(LIB)
    assert not caught.value.failure.in_doubt


# ---------------------------------------------------------------------------------------------------- secrets
JIT_BLOB = "eyJ" + "Q2FuYXJ5" * 40
LONG_TOKEN = "ghs_4711_eyJhbGciOi.eyJpc3MiOi-_x.c2lnbmF0dXJl"


def everything_shown(error: BaseException, logs: str) -> str:
    """Return all text and all objects that an error drags along."""
    parts = [logs, *traceback.format_exception(error)]
    seen: set[int] = set()
    queue: list[Any] = [error]
    while queue:
        one = queue.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        parts.append(f"{one} {one!r} {getattr(one, '__dict__', '')} {getattr(one, 'doc', '')}")
        if isinstance(one, BaseException):
            queue += [one.__cause__, one.__context__, *one.args, getattr(one, "failure", None)]
    return " ".join(parts)


@pytest.mark.parametrize(
    "reply",
    [
        answer(401, {"message": f"Bad credentials: {TOKEN}"}),
        answer(403, {"message": f"token {LONG_TOKEN} of Bearer {TOKEN} may not"}),
        answer(422, {"message": f"invalid: {JIT_BLOB}"}),
        answer(500, {"message": f"at {JIT_BLOB}, -----BEGIN RSA PRIVATE KEY----- Q2FuYXJ5"}),
        answer(201, b'{"encoded_jit_config": "' + JIT_BLOB.encode() + b'", "runner": {"id": 1'),
        answer(201, {"encoded_jit_config": JIT_BLOB, "runner": {"id": 1}}),
        answer(201, {"encoded_jit_config": JIT_BLOB, "runner": None}),
        answer(201, {"encoded_jit_config": [JIT_BLOB], "runner": {}}),
        httpx.ReadError(f"while sending Bearer {TOKEN}"),
        answer(301, MOVED, location=f"https://user:{TOKEN}@evil.example/?token={TOKEN}"),
    ],
    ids=lambda reply: repr(reply)[:40],
)
@virtual
async def test_no_secret_is_shown_by_an_error_its_causes_or_the_log(
    reply: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    github = Script(reply).connect()
    with pytest.raises(UpstreamError) as caught:
        await github.register(LIB, name="r", labels=LABELS, group=None)
    shown = everything_shown(caught.value, caplog.text)
    for canary in (TOKEN, LONG_TOKEN, JIT_BLOB, "Q2FuYXJ5Q2Fu", "eyJpc3MiOi"):
        assert canary not in shown


@virtual
async def test_no_secret_of_an_app_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    scene = Scene(long_tokens=False)
    github = scene.connect()
    made = await github.register(ACME, name="r", labels=LABELS, group=None)
    issued = list(scene.world.access._tokens)
    scene.fault(route="GET *", kind="status", status=403, body={"message": f"no: {issued[0]}"})
    with pytest.raises(UpstreamError) as caught:
        await github.registrations(ACME)
    shown = (
        everything_shown(caught.value, caplog.text) + repr(made) + repr(scene.answers) + repr(vars(github))
    )
    assert issued
    for canary in (*issued, made.encoded, "eyJhbGciOiJSUzI1NiI"):
        assert canary not in shown


@virtual
async def test_a_token_that_looks_like_none_is_not_shown_either() -> None:
    token = "0123456789abcdef0123456789abcdef01234567"  # as GitHub made them before 2021
    github = Script(answer(403, {"message": f"{token} may not"})).connect(
        credential=Fixed(credentials_from_secret({"token": token}))
    )
    with pytest.raises(UpstreamError) as caught:
        await github.registrations(ACME)
    assert "[secret] may not" in caught.value.failure.message
    assert token not in everything_shown(caught.value, "")


def test_what_is_no_secret_stays_readable() -> None:
    said = 'Runner "hf-gpu-3f9a" is currently running a job and cannot be deleted (sha 0f4c2b9d8e7a6f5c4b3a2918070605040302010f).'
    assert redact(said) == said
    assert len(redact("word " * 200)) == 300


def test_a_url_is_shown_without_its_secrets() -> None:
    url = "https://user:pass@ghe.example:8443/api/v3/x?status=queued&access_token=s3cret&page=2#frag"
    assert shown_url(url) == "https://ghe.example:8443/api/v3/x?status=queued&page=2"
