"""Whatever the Hub answers, each call ends as a value of its type or as an UpstreamError, and nothing else."""

from __future__ import annotations

import asyncio
import json
import math
import unicodedata
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from controller.adapters.credential import Fixed
from controller.adapters.huggingface.flavors import HubHardware
from controller.adapters.huggingface.inspection import HubInspection
from controller.adapters.huggingface.jobs import HubJobs
from controller.adapters.huggingface.logs import HubLogs, LogLine
from controller.adapters.huggingface.session import open_session
from controller.adapters.huggingface.values import Identity
from controller.core.model import Failure, Flavor, HFJob, Observation, Stage
from controller.ports import LaunchSpec, UpstreamError
from controller.simulate.loop import run_virtual
from hf_runner_simulators.clock import LoopClock
from tests.adapters.huggingface.scripted import ACCOUNT, HOSTS, TOKEN, Bytes, job

LABELS = {"managed-by": "us"}
SECRET = "-----BEGIN KEY-----\nMIIsecretsecretsecret\nline2line2line2\n-----END KEY-----"
SPEC = LaunchSpec(
    image="i",
    command=("c",),
    flavor="t4-small",
    labels=LABELS,
    environment={},
    secrets={"KEY": SECRET},
    timeout=60,
)

# ------------------------------------------------------------------------------------------------------ what may be answered
NUMBERS = [1e308, -1e308, -1, 0, 10**400, -(10**400), 2**63, True]
ODD_NUMBERS = st.sampled_from([math.inf, -math.inf, math.nan, *NUMBERS])
TEXTS = [
    "\x1b]52;c;eA==\x07",
    "\u202edesrever",
    "\ud800",
    "",
    " ",
    "9" * 5_000,
    "x" * 5_000,
    TOKEN,
    SECRET,
    "2026-11-28T10:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "exit code: " + "9" * 5_000,
    "http://[",
    "javascript:x",
    "RUNNING",
    "not enough capacity",
    "user",
    "minute",
    "../..",
    "a/b",
]
ODD_TEXTS = st.sampled_from(TEXTS)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | ODD_NUMBERS | ODD_TEXTS
)
KNOWN_KEYS = st.sampled_from(
    [
        *job(),
        "startedAt",
        "finishedAt",
        "timeout",
        "createdBy",
        "initiator",
        "type",
        "stage",
        "message",
        "cancelReason",
        "name",
        "prettyName",
        "unitCostUSD",
        "unitLabel",
        "accelerator",
        "model",
        "orgs",
        "canPay",
        "auth",
        "accessToken",
        "role",
        "error",
        "errors",
        "error_description",
        "managed-by",
        "runner",
    ]
)
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(KNOWN_KEYS | st.text(max_size=5), inner, max_size=8)
    ),
    max_leaves=25,
)
JOBS = st.dictionaries(KNOWN_KEYS, DOCUMENTS, max_size=6).map(lambda changes: {**job(), **changes})
FLAVORS = st.dictionaries(KNOWN_KEYS, LEAVES, max_size=6)
PAYLOADS = DOCUMENTS | JOBS | st.lists(JOBS, max_size=3) | st.lists(FLAVORS, max_size=3)
BODIES = (
    PAYLOADS.map(lambda payload: json.dumps(payload).encode())
    | st.binary(max_size=200)
    | st.sampled_from(
        [b"[" * 200_000, b'{"error":' + b"[" * 200_000, b"[" + b"{}," * 300_000, b"", b"<html>", b"\x1f\x8b"]
    )
)
HEADER_NAMES = [
    "link",
    "location",
    "retry-after",
    "date",
    "ratelimit",
    "ratelimit-policy",
    "x-request-id",
    "x-error-message",
]
HEADER_TEXTS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=40) | st.sampled_from(
    [
        "http://[",
        '<http://[>; rel="next"',
        '<https://elsewhere.example/?cursor=2>; rel="next"',
        "<>; rel=next",
        "9" * 5_000,
        "inf",
        "nan",
        "1e300",
        "-1",
        "Mon, 01 Jan 0001 00:00:00 GMT",
        "Sat, 21 Nov 2026 10:00:00 GMT",
        f'"api";r={"9" * 5_000};t=1',
        '"api";r=0;t=99999999999999999999',
        TOKEN,
        "gzip",
        "br",
        "deflate, gzip",
    ]
)
HEADERS = st.dictionaries(
    st.sampled_from([*HEADER_NAMES, "content-encoding", "content-type", "set-cookie"]),
    HEADER_TEXTS,
    max_size=4,
)
STATUSES = st.sampled_from(
    [200, 200, 200, 201, 204, 302, 400, 401, 402, 403, 404, 409, 429, 451, 500, 503]
) | st.integers(200, 599)


# ---------------------------------------------------------------------------------------------------------------- the calls
async def first_lines(logs: HubLogs) -> list[LogLine]:
    return [line async for line in logs.lines("x", follow=False)]


class Calls:
    """Each method of the adapter, in front of a Hub that always answers the same."""

    def __init__(self, session: Any) -> None:
        clock = LoopClock(time=asyncio.get_running_loop().time)
        about = {
            "account": ACCOUNT,
            "credential": Fixed(TOKEN),
            "session": session,
            "clock": clock,
            "hosts": HOSTS,
        }
        self._jobs, self._logs = HubJobs(**about), HubLogs(**about)
        self._inspection = HubInspection(**about)
        self._hardware = HubHardware(session=session, endpoint=ACCOUNT.endpoint, clock=clock, hosts=HOSTS)

    def named(self, name: str) -> Callable[[], Awaitable[Any]]:
        return {
            "live": lambda: self._jobs.live(LABELS),
            "find": lambda: self._jobs.find(LABELS),
            "inspect": lambda: self._jobs.inspect("x"),
            "launch": lambda: self._jobs.launch(SPEC),
            "cancel": lambda: self._jobs.cancel("x"),
            "flavors": self._hardware.flavors,
            "identity": self._inspection.identity,
            "try_writing": self._inspection.try_writing,
            "logs": lambda: first_lines(self._logs),
        }[name]


def answered(name: str, status: int, headers: dict[str, str], body: bytes) -> Any:
    """Return what a call comes to: its value, or the UpstreamError."""

    def handle(request: httpx2.Request) -> httpx2.Response:
        if name == "logs" and not request.url.path.endswith("/logs"):
            return httpx2.Response(200, json=job("x", "COMPLETED"))
        wire = [(key.encode(), value.encode("latin-1", "replace")) for key, value in headers.items()]
        return httpx2.Response(status, headers=wire, stream=Bytes(body))

    async def main() -> Any:
        async with open_session(transport=httpx2.MockTransport(handle)) as session:
            try:
                return await Calls(session).named(name)()
            except UpstreamError as error:
                return error

    return run_virtual(main())


# ------------------------------------------------------------------------------------------------------- what must be true
def is_clean(text: str, limit: int) -> None:
    assert len(text) <= limit
    assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in text)


def is_time(seconds: float | None) -> None:
    assert seconds is None or 946_684_800 <= seconds <= 7_258_118_400


def is_bounded_job(found: HFJob) -> None:
    is_clean(found.id, 64)
    is_clean(found.flavor, 63)
    is_clean(found.creator, 256)
    is_clean(found.initiator, 64)
    is_clean(found.message or "", 300)
    is_clean(found.cancel_reason or "", 64)
    is_clean(found.url, 1_024)
    assert found.url.startswith("https://hub.example/jobs/acme/")
    assert isinstance(found.stage, Stage)
    for key, value in found.labels.items():
        is_clean(key, 100)
        is_clean(value, 100)
    for seconds in (found.created_at, found.started_at, found.finished_at):
        is_time(seconds)
    assert found.timeout is None or 0 <= found.timeout <= 315_360_000


def is_bounded_flavor(found: Flavor) -> None:
    is_clean(found.name, 63)
    is_clean(found.accelerator, 64)
    assert found.usd_per_minute is None or 0 <= found.usd_per_minute <= 600_000


def is_bounded_failure(failure: Failure) -> None:
    is_clean(failure.message, 1_500)
    is_clean(failure.request_id or "", 100)
    assert failure.retry_after is None or 0 <= failure.retry_after <= 3_600
    assert TOKEN.lower() not in f"{failure.message} {failure.request_id}".lower()
    for line in SECRET.splitlines():
        assert line not in failure.message


def check(name: str, outcome: Any) -> None:
    match outcome:
        case UpstreamError():
            is_bounded_failure(outcome.failure)
        case Observation():
            assert name in ("live", "flavors")
            is_time(outcome.server_time)
            for item in outcome.items:
                is_bounded_job(item) if name == "live" else is_bounded_flavor(item)
            if name == "live":
                assert all(LABELS.items() <= item.labels.items() for item in outcome.items)
            if outcome.failure is not None:
                is_bounded_failure(outcome.failure)
        case HFJob():
            assert name in ("inspect", "launch")
            is_bounded_job(outcome)
        case Identity():
            assert name == "identity"
            for text in (outcome.name, outcome.role, *outcome.namespaces):
                is_clean(text, 256)
        case list():
            assert name in ("find", "logs")
            for item in outcome:
                is_bounded_job(item) if name == "find" else is_clean(item.at, 64)
        case None:
            assert name in ("inspect", "cancel", "try_writing")
        case _:
            raise AssertionError(f"{name} came to {outcome!r}")


NAMES = ["live", "find", "inspect", "launch", "cancel", "flavors", "identity", "try_writing", "logs"]


@pytest.mark.parametrize("name", NAMES)
@given(status=STATUSES, headers=HEADERS, body=BODIES)
@example(status=500, headers={}, body=b"[" * 200_000)
@example(status=302, headers={"location": "http://["}, body=b"")
@example(status=200, headers={"link": '<http://[>; rel="next"'}, body=b"[]")
@example(status=429, headers={"ratelimit": f'"api";r=0;t={"9" * 5_000}'}, body=b"")
@example(status=200, headers={"content-type": TOKEN, "x-request-id": TOKEN}, body=b"")
@example(status=302, headers={"location": f"https://{TOKEN}/"}, body=b"")
@example(status=429, headers={"retry-after": "9" * 5_000}, body=b"")
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_a_value_or_a_named_failure(
    name: str, status: int, headers: dict[str, str], body: bytes
) -> None:
    check(name, answered(name, status, headers, body))


@given(body=BODIES, headers=HEADERS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_launch_that_was_acknowledged_is_a_job_or_in_doubt(body: bytes, headers: dict[str, str]) -> None:
    outcome = answered("launch", 200, headers, body)
    assert isinstance(outcome, HFJob) or outcome.failure.in_doubt


@given(payload=PAYLOADS)
@example(payload={"timestamp": "0001-01-01T00:00:00+14:00", "data": ["x"]})
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_event_of_a_log_is_a_line_or_none(payload: Any) -> None:
    event = b"data: " + json.dumps(payload).encode() + b"\n\n"
    deep = b'data: {"data": ' + b"[" * 100_000 + b"\n\n"
    check("logs", answered("logs", 200, {}, event + deep))


@given(payload=PAYLOADS)
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_list_of_hardware_and_jobs_is_read_entry_by_entry(payload: Any) -> None:
    body = json.dumps([payload, job("good")]).encode()
    for name in ("live", "flavors"):
        check(name, answered(name, 200, {}, body))


def with_odd_values(good: dict[str, Any]) -> list[Any]:
    """Return copies of an object, each with one odd value in one place, nested ones included."""
    odd: list[Any] = [*NUMBERS, *TEXTS, None, [], {}, [None], {"": None}, [[]]]
    copies = []
    for key, inner in good.items():
        copies += [{**good, key: value} for value in odd]
        if isinstance(inner, dict):
            copies += [{**good, key: changed} for changed in with_odd_values(inner)]
    return copies


def test_every_odd_value_in_every_field_of_a_job_is_bounded_or_named() -> None:
    full = job(
        startedAt="2026-11-21T10:01:00Z",
        finishedAt="2026-11-21T10:03:00Z",
        timeout=3_600,
        createdBy={"name": "bot"},
        initiator={"type": "user", "name": "octo"},
        status={"stage": "RUNNING", "message": "words", "cancelReason": "NO_CREDITS"},
        labels=dict(LABELS),
    )
    for entry in with_odd_values(full):
        check("inspect", answered("inspect", 200, {}, json.dumps(entry).encode()))


def test_every_odd_value_in_every_field_of_hardware_is_bounded_or_named() -> None:
    full = {
        "name": "t4-small",
        "prettyName": "T4",
        "unitCostUSD": 0.01,
        "unitLabel": "minute",
        "accelerator": {"model": "T4"},
    }
    for entry in with_odd_values(full):
        check("flavors", answered("flavors", 200, {}, json.dumps([entry]).encode()))
