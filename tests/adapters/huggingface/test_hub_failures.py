"""Every way in which the Hub fails ends as a named reason, and says whether the request may have taken effect."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.utils._http import hf_raise_for_status

from controller.adapters.credential import Fixed
from controller.adapters.huggingface import errors
from controller.adapters.huggingface.errors import HubError
from controller.adapters.huggingface.jobs import HubJobs
from controller.adapters.huggingface.refusals import Asked, means_no_capacity, refusal
from controller.adapters.huggingface.session import open_session
from controller.adapters.huggingface.wire import DEADLINE, LARGEST_BODY, PAUSE
from controller.core.model import Disposition
from controller.core.reasons import Reason
from controller.ports import Fenced, UpstreamError
from controller.simulate.loop import run_virtual
from hf_runner_simulators.clock import LoopClock
from tests.adapters.huggingface.scripted import (
    ACCOUNT,
    HOSTS,
    SPEC,
    TOKEN,
    Reply,
    ScriptedHub,
    job,
    raw,
    reply,
)


async def failure_of(call: Any) -> HubError:
    with pytest.raises(HubError) as caught:
        await call
    return caught.value


@pytest.mark.parametrize(
    ("status", "reason", "disposition"),
    [
        (400, Reason.HubRejected, Disposition.PERSON),
        (401, Reason.HubUnauthorized, Disposition.PERSON),
        (402, Reason.HubPaymentRequired, Disposition.PERSON),
        (403, Reason.HubForbidden, Disposition.PERSON),
        (404, Reason.HubNotFound, Disposition.PERSON),
        (413, Reason.HubRejected, Disposition.PERSON),
        (429, Reason.HubRateLimited, Disposition.WAIT),
        (500, Reason.HubUnavailable, Disposition.RETRY),
        (503, Reason.HubUnavailable, Disposition.RETRY),
        (504, Reason.HubUnavailable, Disposition.RETRY),
    ],
)
async def test_a_refused_launch_has_the_reason_of_its_status(
    hub: ScriptedHub, jobs: HubJobs, status: int, reason: Reason, disposition: Disposition
) -> None:
    hub.answer(reply({"error": "the Hub's own words"}, status=status))
    failure = (await failure_of(jobs.launch(SPEC))).failure
    assert (failure.reason, failure.disposition) == (reason, disposition)
    assert "the Hub's own words" in failure.message
    assert "POST /api/jobs/acme" in failure.message
    assert reason.meaning in failure.message
    assert failure.request_id == "Root=1-abc"
    assert failure.in_doubt is (status >= 500)
    assert len(hub.requests) == 1


@pytest.mark.parametrize(
    ("error", "in_doubt"),
    [
        (httpx2.ConnectError("refused"), False),
        (httpx2.ConnectTimeout("no route"), False),
        (httpx2.PoolTimeout("all busy"), False),
        (OfflineModeIsEnabled("HF_HUB_OFFLINE is set"), False),
        (httpx2.ReadTimeout("silence"), True),
        (httpx2.WriteTimeout("stuck"), True),
        (httpx2.ReadError("reset"), True),
        (httpx2.WriteError("reset"), True),
        (httpx2.RemoteProtocolError("closed without an answer"), True),
        (httpx2.ProxyError("502"), True),
        (OSError("who knows"), True),
    ],
)
async def test_only_a_connection_never_made_proves_that_nothing_was_launched(
    hub: ScriptedHub, jobs: HubJobs, error: Exception, in_doubt: bool
) -> None:
    hub.answer(error)
    failure = (await failure_of(jobs.launch(SPEC))).failure
    assert failure.reason is Reason.HubUnavailable
    assert failure.in_doubt is in_doubt
    assert len(hub.requests) == 1, "a launch is never repeated"


@pytest.mark.parametrize(
    "answer",
    [
        raw(b"<html>maintenance</html>", content_type="text/html"),
        raw(b'{"id": "6920'),
        raw(b""),
        raw(b"[" * 100_000),
        reply([]),
        reply({"status": {"stage": "RUNNING"}}),
        reply({"id": "no-date", "status": {"stage": "RUNNING"}}),
        raw(b"not gzip", content_encoding="gzip"),
    ],
    ids=["html", "truncated", "empty", "deep", "list", "no id", "no date", "encoding"],
)
async def test_an_unreadable_answer_leaves_a_launch_in_doubt(
    hub: ScriptedHub, jobs: HubJobs, answer: Reply
) -> None:
    hub.answer(answer)
    failure = (await failure_of(jobs.launch(SPEC))).failure
    assert failure.reason is Reason.HubMalformed
    assert failure.in_doubt


@pytest.mark.parametrize("packed", [False, True])
async def test_a_body_is_cut_off_by_what_it_unpacks_to(hub: ScriptedHub, jobs: HubJobs, packed: bool) -> None:
    body = b" " * LARGEST_BODY + b"[]"
    hub.answer(raw(gzip.compress(body), content_encoding="gzip") if packed else raw(body))
    failure = (await failure_of(jobs.live({}))).failure
    assert failure.reason is Reason.HubMalformed
    assert f"longer than {LARGEST_BODY} bytes" in failure.message


async def test_a_redirect_is_not_followed_because_it_would_carry_the_secrets_along(
    hub: ScriptedHub, jobs: HubJobs
) -> None:
    hub.answer(raw(status=307, location="https://elsewhere.example/api/jobs/acme"))
    failure = (await failure_of(jobs.launch(SPEC))).failure
    assert "elsewhere.example" in failure.message
    assert "huggingface.endpoint" in failure.message
    assert not failure.in_doubt
    assert len(hub.requests) == 1


@pytest.mark.parametrize("status", [400, 403, 409, 422, 500, 503])
@pytest.mark.parametrize(
    "words",
    ["Scheduling failure: not enough hardware capacity", "unable to schedule", "No GPU capacity for h200x8"],
)
async def test_scarce_hardware_asks_for_another_flavor(
    hub: ScriptedHub, jobs: HubJobs, status: int, words: str
) -> None:
    hub.answer(reply({"error": words}, status=status))
    failure = (await failure_of(jobs.launch(SPEC))).failure
    assert (failure.reason, failure.disposition) == (Reason.FlavorOutOfCapacity, Disposition.CAPACITY)
    assert words in failure.message


@pytest.mark.parametrize(
    "words", ["Invalid flavor: t4", "capacity must be a number", "labels.pool: invalid", ""]
)
def test_other_words_are_not_taken_for_scarce_hardware(words: str) -> None:
    assert not means_no_capacity(words)


async def test_a_bad_flavor_is_rejected_in_the_hubs_own_words(hub: ScriptedHub, jobs: HubJobs) -> None:
    hub.answer(reply({"error": 'Invalid enum value, received "t4"'}, status=400))
    failure = (await failure_of(jobs.launch(SPEC))).failure
    assert failure.reason is Reason.HubRejected
    assert 'Invalid enum value, received "t4"' in failure.message


# ------------------------------------------------------------------------------------------------------------- words
BODIES: list[tuple[dict[str, str], bytes]] = [
    ({}, b'{"error": "said in the body"}'),
    ({}, b'{"error": ["one", "two"]}'),
    ({}, b'{"errors": [{"message": "first"}, {"message": "second"}]}'),
    ({"X-Error-Message": "said in the header"}, b""),
    ({"X-Error-Message": "said in both"}, b'{"error": "said in both"}'),
    ({"content-type": "text/plain"}, b"plain words"),
]


@pytest.mark.parametrize(("headers", "body"), BODIES)
@pytest.mark.parametrize("status", [400, 402, 403, 500])
def test_the_words_and_the_id_are_those_that_huggingface_hub_finds(
    headers: dict[str, str], body: bytes, status: int
) -> None:
    response = httpx2.Response(
        status,
        headers={"x-request-id": "Root=1-xyz", **headers},
        content=body,
        request=httpx2.Request("POST", "https://hub.example/api/jobs/acme"),
    )
    with pytest.raises(httpx2.HTTPError) as theirs:
        hf_raise_for_status(response)
    ours = refusal(
        call="POST /x", status=status, headers=response.headers, body=body, asked=Asked.LAUNCH
    ).failure
    for words in (theirs.value.server_message or "").splitlines():  # type: ignore[attr-defined]
        assert words in ours.message
    assert ours.request_id == theirs.value.request_id  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"null",
        b'"text"',
        b'{"errors": ["x", 1]}',
        b'{"error": {"a": 1}}',
        b'{"error": [1]}',
        b"\xff\xfe",
    ],
)
def test_no_error_body_breaks_the_reading_of_errors(body: bytes) -> None:
    failure = refusal(call="GET /x", status=500, headers={}, body=body, asked=Asked.READ).failure
    assert failure.reason is Reason.HubUnavailable


def test_a_page_of_html_is_not_repeated_to_people() -> None:
    failure = refusal(
        call="GET /x", status=502, headers={}, body=b" <!DOCTYPE html><h1>Bad gateway</h1>", asked=Asked.READ
    ).failure
    assert "<" not in failure.message


# ----------------------------------------------------------------------------------------------------------- secrets
async def test_a_secret_that_the_hub_repeats_is_masked(hub: ScriptedHub, jobs: HubJobs) -> None:
    jit = SPEC.secrets["JIT"]
    hub.answer(reply({"error": f"invalid secret {jit} for token {TOKEN}"}, status=400))
    error = await failure_of(jobs.launch(SPEC))
    for text in (str(error), repr(error), repr(error.failure)):
        assert jit not in text
        assert TOKEN not in text
    assert "[secret]" in error.failure.message


async def test_no_error_shows_the_token_or_its_request(hub: ScriptedHub, jobs: HubJobs) -> None:
    hub.answer(httpx2.LocalProtocolError(f"Illegal header value b'Bearer {TOKEN}'"))
    error = await failure_of(jobs.launch(SPEC))
    assert TOKEN not in f"{error} {error!r} {error.__cause__!r}"
    assert TOKEN not in repr(jobs)
    assert TOKEN not in repr(vars(jobs))


@pytest.mark.parametrize("token", ["", "  \n", "hf_two words", "hf_newline\nX-Evil: 1", "hf_ünicode"])
def test_a_token_that_no_header_can_carry_is_refused_by_the_secrets_name(
    make_jobs: Callable[..., HubJobs], token: str
) -> None:
    with pytest.raises(UpstreamError) as caught:
        make_jobs(token)
    assert caught.value.failure.reason is Reason.SecretMalformed
    assert "ci/hf-token" in caught.value.failure.message
    assert "hf_two" not in caught.value.failure.message


async def test_white_space_around_the_token_is_dropped(
    hub: ScriptedHub, make_jobs: Callable[..., HubJobs]
) -> None:
    hub.answer(reply([]))
    await make_jobs(f"{TOKEN}\n").live({})
    assert hub.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert hub.requests[0].headers["user-agent"].startswith("hf-runner-controller/")


PEM = "-----BEGIN KEY-----\nMIIsecretsecretsecret\nline2line2line2\n-----END KEY-----"
JIT = "eyJ" + "".join(chr(65 + n % 26) for n in range(4_000))


@pytest.mark.parametrize("secret", [JIT, PEM, "p@ss w0rd\n", 'quo"ted\\value'])
@pytest.mark.parametrize("before", ["", "x" * 285, "x " * 140])
@pytest.mark.parametrize("where", ["json", "plain", "header"])
async def test_a_secret_is_masked_before_the_words_are_cut_or_squeezed(
    hub: ScriptedHub, jobs: HubJobs, secret: str, before: str, where: str
) -> None:
    words = f"{before}secrets.KEY={secret} is too long"
    if where == "header":
        hub.answer(reply(status=400, X_Error_Message=words.replace("\n", " ")))
    else:
        hub.answer(
            reply({"error": words}, status=400) if where == "json" else raw(words.encode(), status=400)
        )
    message = (await failure_of(jobs.launch(replace(SPEC, secrets={"KEY": secret})))).failure.message
    squeezed = " ".join(secret.split())
    for n in range(len(squeezed) - 7):
        assert squeezed[n : n + 8] not in message


async def test_a_refusal_that_is_too_long_to_be_read_whole_is_told_by_its_status(
    hub: ScriptedHub, jobs: HubJobs
) -> None:
    hub.answer(raw(b"x" * 2 * errors.LARGEST_ERROR, status=400))
    failure = (await failure_of(jobs.launch(SPEC))).failure
    assert failure.message.startswith("POST /api/jobs/acme: the Hub answered 400. ")


async def test_no_words_of_the_hub_reach_a_terminal_as_commands(hub: ScriptedHub, jobs: HubJobs) -> None:
    hub.answer(
        reply({"error": "evil \x1b]0;owned\x07\x1b[2J\u202e\ud800"}, status=400, X_Request_Id="\x9b31m")
    )
    failure = (await failure_of(jobs.launch(SPEC))).failure
    for text in (failure.message, failure.request_id or ""):
        assert not set(text) & set("\x1b\x07\x9b\u202e\ud800")


# -------------------------------------------------------------------------------------------------- what was asked
@pytest.mark.parametrize(
    ("status", "reason", "disposition"),
    [
        (400, Reason.HubRefused, Disposition.PERSON),
        (409, Reason.HubRefused, Disposition.RETRY),
        (423, Reason.HubRefused, Disposition.RETRY),
        (451, Reason.HubBlocked, Disposition.PERSON),
        (500, Reason.HubUnavailable, Disposition.RETRY),
    ],
)
async def test_a_read_is_not_refused_for_the_specification_of_a_job_or_want_of_hardware(
    hub: ScriptedHub, jobs: HubJobs, status: int, reason: Reason, disposition: Disposition
) -> None:
    hub.answer(reply({"error": "not enough hardware capacity"}, status=status))
    failure = (await failure_of(jobs.live({}))).failure
    assert (failure.reason, failure.disposition, failure.in_doubt) == (reason, disposition, False)


@pytest.mark.parametrize("status", [401, 402, 429])
async def test_what_the_account_may_not_is_no_want_of_hardware(
    hub: ScriptedHub, jobs: HubJobs, status: int
) -> None:
    hub.answer(reply({"error": "not enough hardware capacity"}, status=status))
    assert (await failure_of(jobs.launch(SPEC))).failure.disposition is not Disposition.CAPACITY


async def test_a_launch_withheld_by_law_is_told_as_such(hub: ScriptedHub, jobs: HubJobs) -> None:
    hub.answer(reply(status=451))
    assert (await failure_of(jobs.launch(SPEC))).failure.reason is Reason.HubBlocked


@pytest.mark.parametrize("error", [RuntimeError(TOKEN), KeyError("x"), MemoryError(), UnicodeError("x")])
async def test_a_launch_that_fails_in_a_way_that_nobody_knows_is_in_doubt(
    hub: ScriptedHub, jobs: HubJobs, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    hub.answer(error)
    failure = (await failure_of(jobs.launch(SPEC))).failure
    assert failure.reason is Reason.InternalError
    assert failure.in_doubt
    assert type(error).__name__ in failure.message
    assert "in handle" in caplog.records[-1].detail  # type: ignore[attr-defined]


async def test_a_launch_that_was_fenced_off_is_not_taken_for_a_failure(
    hub: ScriptedHub, jobs: HubJobs
) -> None:
    hub.answer(Fenced())
    with pytest.raises(Fenced):
        await jobs.launch(SPEC)


# ----------------------------------------------------------------------------------------------------------- repeats
@pytest.mark.parametrize("first", [httpx2.ReadError("reset"), httpx2.ConnectError("no"), reply(status=502)])
async def test_a_read_is_repeated_once_after_a_quick_failure(
    hub: ScriptedHub, jobs: HubJobs, first: Reply
) -> None:
    hub.answer(first, reply([job()]))
    assert [j.id for j in (await jobs.live({})).items] == [job()["id"]]
    assert len(hub.requests) == 2


@pytest.mark.parametrize("error", [httpx2.ReadTimeout("slow"), reply(status=429), reply(status=403)])
async def test_a_read_is_not_repeated_when_that_could_only_wait_or_fail_again(
    hub: ScriptedHub, jobs: HubJobs, error: Reply
) -> None:
    hub.answer(error)
    await failure_of(jobs.live({}))
    assert len(hub.requests) == 1


async def test_a_read_is_repeated_only_once(hub: ScriptedHub, jobs: HubJobs) -> None:
    hub.answer(reply(status=500))
    await failure_of(jobs.live({}))
    assert len(hub.requests) == 2


def test_an_answer_that_drips_for_ever_ends_at_the_deadline() -> None:
    class Drip(httpx2.AsyncByteStream):
        async def __aiter__(self) -> Any:
            while True:
                await asyncio.sleep(10)
                yield b" "

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        transport = httpx2.MockTransport(lambda _: httpx2.Response(200, stream=Drip()))
        async with open_session(transport=transport) as session:
            jobs = HubJobs(
                account=ACCOUNT,
                credential=Fixed(TOKEN),
                session=session,
                clock=LoopClock(time=loop.time),
                hosts=HOSTS,
            )
            error = await failure_of(jobs.launch(SPEC))
        assert error.failure.reason is Reason.HubUnavailable
        assert error.failure.in_doubt
        assert loop.time() == pytest.approx(DEADLINE)

    run_virtual(scenario())


# ------------------------------------------------------------------------------------------------------- rate limits
WINDOW = {"RateLimit": '"api";r=0;t=42', "RateLimit_Policy": '"fixed window";"api";q=1000;w=300'}


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        (WINDOW, 42.0),
        ({"Retry_After": "7"}, 7.0),
        ({**WINDOW, "Retry_After": "7"}, 7.0),
        ({"Retry_After": "Sat, 21 Nov 2026 10:00:30 GMT", "Date": "Sat, 21 Nov 2026 10:00:00 GMT"}, 30.0),
        ({"Retry_After": "999999"}, errors.LONGEST_WAIT),
        ({"Retry_After": "soon"}, errors.DEFAULT_WAIT),
        ({}, errors.DEFAULT_WAIT),
    ],
)
async def test_a_rate_limit_closes_the_account_for_as_long_as_the_hub_says(
    hub: ScriptedHub, jobs: HubJobs, headers: dict[str, str], wait: float
) -> None:
    hub.answer(reply(status=429, **headers), reply([]))
    first = (await failure_of(jobs.live({}))).failure
    assert (first.reason, first.disposition, first.retry_after) == (
        Reason.HubRateLimited,
        Disposition.WAIT,
        wait,
    )
    hub.clock.advance(wait - 1)
    second = (await failure_of(jobs.launch(SPEC))).failure
    assert second.reason is Reason.HubRateLimited
    assert second.retry_after == pytest.approx(1)
    assert not second.in_doubt
    assert len(hub.requests) == 1, "nothing is sent while the window is closed"
    hub.clock.advance(1)
    assert (await jobs.live({})).complete


async def test_a_limit_on_launches_alone_leaves_lists_alone(hub: ScriptedHub, jobs: HubJobs) -> None:
    hub.answer(reply(status=429, RateLimit='"api";r=950;t=42', Retry_After="20"), reply([]))
    await failure_of(jobs.launch(SPEC))
    assert (await jobs.live({})).complete
    await failure_of(jobs.launch(SPEC))
    assert len(hub.requests) == 2


async def test_a_closed_account_holds_up_no_other_account(
    hub: ScriptedHub, make_jobs: Callable[..., HubJobs]
) -> None:
    hub.answer(reply(status=429), reply([]))
    await failure_of(make_jobs().live({}))
    assert (await make_jobs("hf_another").live({})).complete


def test_the_pause_before_a_repeat_is_not_blocking() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        replies = [httpx2.Response(500), httpx2.Response(200, json=[])]
        transport = httpx2.MockTransport(lambda _: replies.pop(0))
        async with open_session(transport=transport) as session:
            jobs = HubJobs(
                account=ACCOUNT,
                credential=Fixed(TOKEN),
                session=session,
                clock=LoopClock(time=loop.time),
                hosts=HOSTS,
            )
            observed = await jobs.live({})
        assert observed.complete
        assert loop.time() == pytest.approx(PAUSE)

    run_virtual(scenario())


def test_a_launch_shows_its_secrets_to_nobody() -> None:
    assert SPEC.secrets["JIT"] not in repr(SPEC)
    assert json.dumps({"seen": repr(SPEC)}).count("JIT") == 0
