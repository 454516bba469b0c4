"""Whatever GitHub answers, each call returns a value of its type or raises an
UpstreamError, and nothing else.
"""

from __future__ import annotations

import copy
import gzip
import json
import math
import types
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.adapters.credential import Fixed
from controller.adapters.github import GitHubConnection, credentials_from_secret
from controller.adapters.github.inspection import Grant
from controller.adapters.incoming import EARLIEST, LATEST
from controller.core.model import Failure, Observation, Registration, RunnerGroup, WorkflowJob
from controller.core.retry import RunRecord
from controller.core.text import text
from controller.ports import JitConfig, Removal, Repository, Run, UpstreamError
from controller.simulate.loop import run_virtual
from hf_runner_simulators.github.keys import private_key
from tests.adapters.github.scene import ACME, LIB, TOKEN, Script

RUN = Run(id=7, attempt=1, status="queued", created_at=1_790_000_000.0, updated_at="now")
GROUP = RunnerGroup(id=1, name="Default")
Call = Callable[[GitHubConnection], Awaitable[object]]
NONE = type(None)

REPOSITORY = {"id": 3, "full_name": "acme/lib", "pushed_at": "2026-11-28T16:00:00Z", "private": True}
RUN_ROW = {
    "id": 7,
    "run_attempt": 1,
    "status": "completed",
    "conclusion": "failure",
    "created_at": "2026-11-28T16:00:00Z",
    "updated_at": "2026-11-28T16:00:01Z",
    "repository": {"id": 3},
}
JOB_ROW = {
    "id": 8,
    "run_id": 7,
    "run_attempt": 1,
    "status": "queued",
    "conclusion": None,
    "name": "train",
    "labels": ["gpu"],
    "created_at": "2026-11-28T16:00:00Z",
    "started_at": "2026-11-28T16:00:00Z",
    "runner_name": "r",
    "runner_id": 9,
    "html_url": "https://github.com/acme/lib/actions/runs/7/job/8",
}
RUNNER = {"id": 9, "name": "r", "status": "online", "busy": False, "labels": [{"id": 1, "name": "gpu"}]}
GROUP_ROW = {"id": 1, "name": "Default", "default": True, "visibility": "all", "selected_workflows": ["a"]}

# What is called, what it may return, and a good answer that is spoilt somewhere.
CALLS: dict[str, tuple[Call, Any, Any]] = {
    "repositories": (lambda g: g.repositories("acme"), Observation[Repository], [REPOSITORY]),
    "runs": (
        lambda g: g.runs("acme/lib", "queued"),
        Observation[Run],
        {"total_count": 1, "workflow_runs": [RUN_ROW]},
    ),
    "jobs": (
        lambda g: g.jobs("acme/lib", RUN),
        Observation[WorkflowJob],
        {"total_count": 1, "jobs": [JOB_ROW]},
    ),
    "registrations": (
        lambda g: g.registrations(ACME),
        Observation[Registration],
        {"total_count": 1, "runners": [RUNNER]},
    ),
    "find": (lambda g: g.find(LIB, "r"), Registration | None, {"total_count": 1, "runners": [RUNNER]}),
    "register": (
        lambda g: g.register(LIB, name="r", labels=["gpu"], group=None),
        JitConfig,
        {"encoded_jit_config": "eyJhIjoi", "runner": RUNNER},
    ),
    "register in a group": (
        lambda g: g.register(ACME, name="r", labels=["gpu"], group="Default"),
        JitConfig,
        {"total_count": 1, "runner_groups": [GROUP_ROW], "encoded_jit_config": "eyJhIjoi", "runner": RUNNER},
    ),
    "deregister": (lambda g: g.deregister(LIB, 9), Removal, None),
    "run": (
        lambda g: g.run("acme/lib", 7),
        RunRecord | None,
        {**RUN_ROW, "total_count": 1, "jobs": [JOB_ROW]},
    ),
    "rerun_failed": (lambda g: g.rerun_failed("acme/lib", 7), bool, {}),
    "runner_version": (
        lambda g: g.runner_version(LIB),
        str | None,
        [{"os": "linux", "architecture": "x64", "filename": "actions-runner-linux-x64-2.338.0.tar.gz"}],
    ),
    "grant": (lambda g: g.grant(), Grant, {}),
    "repository": (lambda g: g.repository("acme/lib"), Repository, REPOSITORY),
    "runner_groups": (
        lambda g: g.runner_groups(ACME),
        Observation[RunnerGroup],
        {"total_count": 1, "runner_groups": [GROUP_ROW]},
    ),
    "runner_group": (
        lambda g: g.runner_group(ACME, None),
        RunnerGroup,
        {"total_count": 1, "runner_groups": [GROUP_ROW]},
    ),
    "group_repositories": (
        lambda g: g.group_repositories(ACME, GROUP),
        frozenset[str],
        {"total_count": 1, "repositories": [REPOSITORY]},
    ),
    "fork_approval": (
        lambda g: g.fork_approval("acme/lib"),
        str,
        {"approval_policy": "all_external_contributors"},
    ),
    "try_queue": (lambda g: g.try_queue("acme/lib"), NONE, {}),
    "try_registering": (lambda g: g.try_registering(LIB), NONE, {}),
    "try_listing_runners": (lambda g: g.try_listing_runners(ACME), NONE, {}),
}

# ------------------------------------------------------------------------------------------------- any answer
ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=20)
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -1, 2**63, math.nan, math.inf, 1e300, 0.5]),
    ANY_TEXT,
    st.sampled_from(
        ["x" * 5_000, "\x1b]52;c;ZXZpbA==\x07", "\ud800", "0001-01-01T00:00:00+14:00", "queued", "User"]
    ),
    st.recursive(
        st.none() | ANY_TEXT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    ),
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "x-ratelimit-limit",
            "x-ratelimit-remaining",
            "x-ratelimit-reset",
            "x-ratelimit-resource",
            "retry-after",
            "date",
            "link",
            "location",
            "etag",
            "content-encoding",
            "x-github-request-id",
            "x-oauth-scopes",
            "x-accepted-oauth-scopes",
            "x-accepted-github-permissions",
            "github-authentication-token-expiration",
            "set-cookie",
        ]
    ),
    st.one_of(
        st.sampled_from(
            [
                "0",
                "1",
                "1790000000",
                "inf",
                "nan",
                "1e300",
                "9" * 5_000,
                "-1",
                "http://[",
                "https://api.github.com/x?page=2",
                "https://evil.example/",
                '<http://[>; rel="next"',
                '<https://api.github.com/x?page=2>; rel="next"',
                '<?page=3>; rel="next"',
                "Mon, 01 Jan 0001 00:00:00 GMT",
                "Sat, 28 Nov 99999 16:00:00 +9999",
                "2026-12-01 00:00:00 UTC",
                "9999-99-99 99:99:99 +9999",
                "gzip",
                "br",
                "\x1b[2J",
            ]
        ),
        st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20),
    ),
    max_size=4,
)
STATUSES = st.one_of(
    st.sampled_from([200, 201, 204]),
    st.sampled_from([301, 304, 403, 404, 409, 422, 429, 451, 500]),
    st.integers(200, 599),
)


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all values within a document."""
    inner = (
        document.items()
        if isinstance(document, dict)
        else enumerate(document)
        if isinstance(document, list)
        else ()
    )
    return [path, *(found for key, value in inner for found in places(value, (*path, key)))]


@st.composite
def bodies(draw: st.DrawFn, good: Any) -> bytes:
    """Draw a good answer, one with an odd value in it or without one of its values, any
    other JSON, or any bytes.
    """
    kind = draw(st.sampled_from(["good", "spoilt", "spoilt", "spoilt", "message", "json", "bytes"]))
    if kind == "bytes":
        return draw(st.binary(max_size=50) | st.just(b"[" * 90_000) | st.just(b"") | st.just(b"<html>"))
    if kind == "json":
        return json.dumps(draw(ODD)).encode()
    if kind == "message":
        return json.dumps({"message": draw(ODD)}).encode()
    document = copy.deepcopy(good)
    if kind == "spoilt":
        path = draw(st.sampled_from(places(document)))
        if not path:
            return json.dumps(draw(ODD)).encode()
        holder = document
        for key in path[:-1]:
            holder = holder[key]
        if isinstance(holder, dict) and draw(st.booleans()):
            del holder[path[-1]]
        else:
            holder[path[-1]] = draw(ODD)
    return json.dumps(document).encode()


@st.composite
def answers(draw: st.DrawFn, good: Any) -> Callable[[httpx.Request], httpx.Response]:
    status, headers, body = draw(STATUSES), draw(HEADERS), draw(bodies(good))
    if headers.get("content-encoding") == "gzip" and draw(st.booleans()):
        body = gzip.compress(body)[: draw(st.integers(0, 10_000))]

    class Body(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            yield body

    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return lambda _: httpx.Response(status, headers=raw, stream=Body())


# --------------------------------------------------------------------------------------------- the right type
def check(value: Any, kind: Any) -> None:
    """Fail unless a value is of this type, down to its last field, and every text and time
    in it is bounded.
    """
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        matching = [one for one in inner if is_instance(value, one)]
        assert matching, (value, kind)
        check(value, matching[0])
    elif origin in (tuple, frozenset):
        assert isinstance(value, origin)
        for one in value:
            check(one, inner[0])
    elif origin is not None and issubclass(origin, Mapping):
        for key, one in value.items():
            check(key, inner[0])
            check(one, inner[1])
    elif is_dataclass(origin or kind):
        assert isinstance(value, origin or kind), (value, kind)
        hints = typing.get_type_hints(origin or kind)
        for each in fields(value):
            if origin is Observation and each.name == "items":
                check(value.items, tuple[inner[0], ...])  # type: ignore[valid-type]
            elif each.init and each.name not in ("failure", "encoded"):
                check(getattr(value, each.name), hints[each.name])
    else:
        assert is_instance(value, kind), (value, kind)
        if isinstance(value, str) and not isinstance(value, Enum):
            assert text(value, 1_024) == value
        if isinstance(value, float) and value > 1e6:  # an epoch time
            assert EARLIEST <= value < LATEST


def is_instance(value: Any, kind: Any) -> bool:
    plain = typing.get_origin(kind) or kind
    if plain in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, plain) and (not isinstance(value, float) or math.isfinite(value))


async def answered(script: Script, call: Call, kind: Any, credentials: dict[str, str]) -> None:
    github = script.connect(credential=Fixed(credentials_from_secret(credentials)))
    for _ in range(2):  # what the first answer said of limits must not break the next call
        failure: Failure | None = None
        try:
            check(await call(github), kind)
        except UpstreamError as error:
            failure = error.failure
        if failure is not None:
            assert text(failure.message, 2_000) == failure.message
            assert failure.retry_after is None or 0 <= failure.retry_after <= 3_600
    quota = github.quota()
    if quota is not None:
        check(quota, type(quota))
    await github.close()


class Stream(Script):
    """A script whose answers are read as they come, unpacked by nobody."""

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._answers[0](request)


@pytest.mark.parametrize("name", CALLS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_answer_is_a_value_of_the_right_type_or_an_upstream_error(name: str, data: st.DataObject) -> None:
    call, kind, good = CALLS[name]
    drawn = data.draw(answers(good))

    async def run() -> None:
        await answered(Stream(drawn), call, kind, {"token": TOKEN})

    run_virtual(run())


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_answer_to_an_app_is_a_value_or_an_upstream_error(data: st.DataObject) -> None:
    call, kind, good = CALLS["registrations"]
    issued = {
        "id": 5,
        "token": "ghs_x",
        "expires_at": "2026-11-28T17:00:00Z",
        "permissions": {"actions": "write"},
    }
    drawn = data.draw(answers({**issued, **good}))

    async def run() -> None:
        await answered(Stream(drawn), call, kind, {"appId": "1", "privateKey": private_key()})

    run_virtual(run())


@pytest.mark.parametrize("name", CALLS)
def test_a_good_answer_is_a_value(name: str) -> None:
    call, kind, good = CALLS[name]
    status = 422 if name == "try_registering" else 200

    async def run() -> None:
        github = Script(httpx.Response(status, json=good)).connect()
        check(await call(github), kind)
        await github.close()

    run_virtual(run())
