"""What one GitHub may cost: bytes, time of the event loop, connections; and what its words may
do to people's terminals.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, TypeVar

import httpx
import pytest

from controller.adapters.credential import Fixed
from controller.adapters.github import credentials_from_secret
from controller.adapters.github.errors import GitHubError
from controller.adapters.incoming import PAGE_BYTES
from controller.adapters.offloop import AT_ONCE, SMALL, Workers
from controller.core.model import Disposition, JobStatus
from controller.core.reasons import Reason
from controller.ports import Removal, Run, UpstreamError
from hf_runner_simulators.github.keys import private_key
from tests.adapters.github.scene import ACME, LABELS, LIB, Script, answer, runner_page, runner_rows, virtual

RUN = Run(id=7, attempt=2, status="queued", created_at=1_790_000_000.0, updated_at="now", repository_id=3)
T = TypeVar("T")
EVIL = "\x1b[2J\x1b]52;c;Y3VybCBldmlsfHNo\x07ok\u202e\ud800"


class Chunks(httpx.AsyncByteStream):
    """A body as it comes, and how much of it was taken."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            self.taken += 1
            yield chunk


class Streamed(Script):
    """A script that hands on bodies piece by piece, packed as they are."""

    def __init__(self, *bodies: Chunks, status: int = 200, encoding: str | None = "gzip") -> None:
        super().__init__(None)
        self.bodies = list(bodies)
        self._status = status
        self._headers = {"content-encoding": encoding} if encoding else {}

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(self._status, headers=self._headers, stream=self.bodies.pop(0))


def pieces(body: bytes, size: int = 1_000) -> list[bytes]:
    return [body[i : i + size] for i in range(0, len(body), size)]


def page(rows: list[dict[str, Any]]) -> bytes:
    return json.dumps({"total_count": len(rows), "runners": rows}).encode()


async def refused(script: Script) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await script.connect().registrations(ACME)
    return caught.value


# ----------------------------------------------------------------------------------------------------- bodies
@virtual
async def test_a_packed_page_is_unpacked_piece_by_piece() -> None:
    body = gzip.compress(page(runner_rows(range(900))))  # more than one piece
    for size in (1, 100, len(body) - 8, len(body)):
        seen = await Streamed(Chunks(pieces(body, size))).connect().registrations(ACME)
        assert len(seen.items) == 900


@virtual
async def test_a_small_answer_that_unpacks_to_gigabytes_is_given_up_at_eight_megabytes() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    made = 0

    def bomb() -> Iterable[bytes]:
        nonlocal made
        while made < 1_000:
            made += 1
            yield packer.compress(b" " * 2**20)

    chunks = Chunks(bomb())
    failure = (await refused(Streamed(chunks))).failure
    assert failure.reason is Reason.GitHubMalformed
    assert f"more than {PAGE_BYTES} bytes" in failure.message
    assert made <= 20


@virtual
async def test_an_endless_answer_is_given_up_at_eight_megabytes() -> None:
    chunks = Chunks(b" " * 2**16 for _ in range(100_000))
    assert (await refused(Streamed(chunks, encoding=None))).failure.reason is Reason.GitHubMalformed
    assert chunks.taken <= PAGE_BYTES / 2**16 + 1


@virtual
async def test_an_error_that_is_too_long_is_an_error_without_words() -> None:
    chunks = Chunks([b'{"message": "', *[b"x" * 2**16] * 1_000, b'"}'])
    failure = (await refused(Streamed(chunks, status=500, encoding=None))).failure
    assert failure.reason is Reason.GitHubUnavailable
    assert len(failure.message) < 300
    assert chunks.taken <= SMALL / 2**16 + 2


@pytest.mark.parametrize(
    ("body", "encoding", "why"),
    [
        (gzip.compress(page([]))[:-9], "gzip", "cut short"),
        (b"no gzip at all", "gzip", "cannot be unpacked"),
        (gzip.compress(page([])), "br", "an encoding that was not asked for"),
        (gzip.compress(gzip.compress(page([]))), "gzip, gzip", "an encoding that was not asked for"),
    ],
)
@virtual
async def test_a_body_that_cannot_be_unpacked_is_malformed(body: bytes, encoding: str, why: str) -> None:
    failure = (await refused(Streamed(Chunks([body]), encoding=encoding))).failure
    assert failure.reason is Reason.GitHubMalformed
    assert why in failure.message


@virtual
async def test_a_status_that_says_all_may_come_with_any_body() -> None:
    script = Streamed(Chunks([b"no gzip at all"]))
    assert await script.connect().deregister(LIB, 9) is Removal.DONE


@virtual
async def test_only_a_few_large_answers_of_one_account_are_in_hand_at_a_time() -> None:
    in_hand = most = 0

    class Large(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            nonlocal in_hand, most
            yield b" " * (SMALL + 1)
            in_hand += 1
            most = max(most, in_hand)
            await asyncio.sleep(1)
            yield b" " * SMALL
            in_hand -= 1
            yield page([])

    class Server(Script):
        async def handle(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, stream=Large())

    github = Server(None).connect()
    seen = await asyncio.gather(*(github.registrations(ACME) for _ in range(12)))
    assert all(each.complete for each in seen)
    assert most == 4


async def test_what_is_large_is_worked_on_in_a_thread_and_what_is_small_at_once() -> None:
    workers = Workers(threads=1)
    here = threading.get_ident()
    assert await workers.run(SMALL, threading.get_ident) == here
    assert await workers.run(SMALL + 1, threading.get_ident) != here
    assert await AT_ONCE.run(SMALL + 1, threading.get_ident) == here
    with pytest.raises(ZeroDivisionError):
        await workers.run(SMALL + 1, lambda: 1 // 0)


@virtual
async def test_bodies_are_parsed_where_what_is_large_is_worked_on() -> None:
    class Recorded(Workers):
        def __init__(self) -> None:
            super().__init__(threads=0)
            self.sizes: list[int] = []

        async def run(self, size: int, work: Callable[[], T]) -> T:
            self.sizes.append(size)
            return await super().run(size, work)

    workers = Recorded()
    body = page(runner_rows(range(300)))
    github = Streamed(Chunks([body]), Chunks([b"{}"]), encoding=None).connect(workers=workers)
    assert len((await github.registrations(ACME)).items) == 300
    with pytest.raises(UpstreamError):
        await github.registrations(ACME)
    assert workers.sizes == [len(body), 2]


# ------------------------------------------------------------------------------------------------------- rows
@pytest.mark.parametrize(
    "odd",
    [
        {"id": None},
        {"id": -1},
        {"id": 2**63},
        {"id": True},
        {"name": None},
        {"status": []},
        {"status": "x" * 1_000},
        {"busy": "no"},
        {"busy": None},
        {"labels": "gpu"},
        {"labels": [7]},
    ],
    ids=repr,
)
@virtual
async def test_a_list_with_an_odd_row_is_no_list(odd: dict[str, Any]) -> None:
    rows = [*runner_rows([1]), {**runner_rows([2])[0], **odd}]
    failure = (await refused(Script(answer(200, {"total_count": 2, "runners": rows})))).failure
    assert (failure.reason, failure.disposition) == (Reason.GitHubMalformed, Disposition.RETRY)
    assert next(iter(odd)) in failure.message


@virtual
async def test_a_page_of_more_rows_than_anybody_asked_for_is_malformed() -> None:
    assert "1001 rows" in str(await refused(Script(runner_page(range(1_001), total=1_001))))


def job_row(**more: Any) -> dict[str, Any]:
    return {
        "id": 8,
        "run_id": 7,
        "run_attempt": 2,
        "status": "queued",
        "name": "train",
        "labels": ["gpu"],
        "created_at": "2026-11-28T16:00:00Z",
        "started_at": "2026-11-28T16:00:00Z",
        "runner_name": None,
        "runner_id": None,
        "html_url": "https://github.com/acme/lib/actions/runs/7/job/8",
        **more,
    }


async def read_job(**more: Any) -> Any:
    script = Script(answer(200, {"total_count": 1, "jobs": [job_row(**more)]}))
    (job,) = (await script.connect().jobs("acme/lib", RUN)).items
    return job


@virtual
async def test_a_job_has_the_ids_that_github_sends() -> None:
    job = await read_job(runner_id=9, runner_name="r")
    assert (job.id, job.run_id, job.run_attempt) == (8, 7, 2)
    assert (job.runner_id, job.repository_id) == (9, 3)
    for nobody in (None, 0):
        assert (await read_job(runner_id=nobody)).runner_id is None


@virtual
async def test_a_run_has_the_id_of_its_repository() -> None:
    row = {
        "id": 7,
        "status": "queued",
        "created_at": "2026-11-28T16:00:00Z",
        "updated_at": "2026-11-28T16:00:00Z",
    }
    rows = [{**row, "repository": {"id": 3}}, {**row, "id": 8}]
    seen = (
        await Script(answer(200, {"total_count": 2, "workflow_runs": rows}))
        .connect()
        .runs("acme/lib", "queued")
    )
    assert [run.repository_id for run in seen.items] == [3, None]


@virtual
async def test_what_an_author_of_a_workflow_writes_is_cleaned_and_stops_nobodys_queue() -> None:
    job = await read_job(name=EVIL + "x" * 5_000, labels=[EVIL, "gpu"], html_url=f"https://github.com/{EVIL}")
    assert job.name.startswith("�[2J�]52;c;Y3VybCBldmlsfHNo�ok��")
    assert len(job.name) == 256
    assert not any(character in "".join(job.labels) for character in "\x1b\x07\u202e\ud800")
    assert "gpu" in job.labels
    assert job.html_url == ""


@virtual
async def test_a_job_with_too_many_labels_matches_no_pool() -> None:
    job = await read_job(labels=[f"l{n}" for n in range(101)])
    assert "…" in job.labels
    assert len(job.labels) == 101


@virtual
async def test_labels_that_are_null_are_none() -> None:
    assert (await read_job(labels=None)).labels == ()


@virtual
async def test_a_status_that_nobody_knows_is_no_demand() -> None:
    assert (await read_job(status="paused")).status is JobStatus.PENDING


@pytest.mark.parametrize("time", [None, "0001-01-01T00:00:00Z"])
@virtual
async def test_a_time_that_was_never_set_is_none(time: str | None) -> None:
    assert (await read_job(started_at=time)).started_at is None


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59Z", "soon", 5, "2026-11-28T16:00:00"])
@virtual
async def test_a_time_that_makes_no_sense_fails_the_list(time: object) -> None:
    with pytest.raises(UpstreamError) as caught:
        await read_job(created_at=time)
    assert "'created_at' is odd" in caught.value.failure.message


@pytest.mark.parametrize("name", ["acme/../x", "acme/lib?x=1", "acme", "acme/lib\x1b", "acme/l b"])
@virtual
async def test_a_repository_whose_name_is_no_path_fails_the_list(name: str) -> None:
    with pytest.raises(UpstreamError) as caught:
        await Script(answer(200, [{"full_name": name}])).connect().repositories("acme")
    assert "'full_name' is odd" in caught.value.failure.message


@pytest.mark.parametrize("token", ["ghs_\xe4", "ghs_ x", "", "ghs_\r\nX: y", 5])
@virtual
async def test_a_token_that_cannot_travel_in_a_header_is_malformed(token: object) -> None:
    installed = {"id": 5, "permissions": {}}
    issued = {"token": token, "expires_at": "2030-01-01T00:00:00Z"}
    secret = {"appId": "1", "privateKey": private_key(), "installationId": "5"}
    with pytest.raises(UpstreamError) as caught:
        await (
            Script(answer(200, installed), answer(201, issued))
            .connect(credential=Fixed(credentials_from_secret(secret)))
            .registrations(ACME)
        )
    assert caught.value.failure.reason is Reason.GitHubMalformed
    assert "'token' is odd" in caught.value.failure.message


# ------------------------------------------------------------------------------------------------------ words
@virtual
async def test_githubs_words_hold_nothing_that_a_terminal_acts_on() -> None:
    failure = (await refused(Script(answer(403, {"message": EVIL})))).failure
    assert failure.message.isprintable()
    assert "�]52;c;Y3VybCBldmlsfHNo�ok" in failure.message


@virtual
async def test_no_cookie_is_kept() -> None:
    script = Script(runner_page([], total=0))
    script._answers = [answer(200, {"total_count": 0, "runners": []}, set_cookie="session=of-a; Path=/")]
    github = script.connect()
    await github.registrations(ACME)
    await github.registrations(ACME)
    assert [request.headers.get("cookie") for request in script.requests] == [None, None]


# --------------------------------------------------------------------------------------------------- statuses
@virtual
async def test_what_is_withheld_by_law_is_for_a_person_to_settle() -> None:
    for status, words in (
        (451, "Repository unavailable due to DMCA takedown."),
        (403, "Repository access blocked"),
    ):
        with pytest.raises(GitHubError) as caught:
            await Script(answer(status, {"message": words})).connect().runs("acme/lib", "queued")
        failure = caught.value.failure
        assert (failure.reason, failure.disposition) == (Reason.GitHubBlocked, Disposition.PERSON)
        assert "report" not in failure.message
        assert words in failure.message


@virtual
async def test_a_conflict_is_one_of_names_only_where_a_runner_is_made() -> None:
    github = Script(answer(409, {"message": "Conflict"})).connect()
    reading, removing, making = (
        github.runs("acme/lib", "queued"),
        github.deregister(LIB, 9),
        github.register(LIB, name="r", labels=LABELS, group=None),
    )
    for call in (reading, removing):
        with pytest.raises(GitHubError) as caught:
            await call
        failure = caught.value.failure
        assert (failure.reason, failure.disposition) == (Reason.GitHubUnavailable, Disposition.RETRY)
        assert "name" not in failure.message
    with pytest.raises(GitHubError) as caught:
        await making
    assert caught.value.failure.reason is Reason.RunnerNameTaken


@pytest.mark.parametrize("status", [300, 303, 305, 399])
@virtual
async def test_a_status_below_400_that_is_no_success_is_none(status: int) -> None:
    script = Script(answer(status, {}, location="https://api.github.com/x"))
    with pytest.raises(UpstreamError) as caught:
        await script.connect().deregister(LIB, 9)
    assert (caught.value.failure.reason, caught.value.failure.in_doubt) == (Reason.GitHubMalformed, True)
    assert len(script.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@virtual
async def test_a_deletion_that_is_redirected_in_a_circle_is_no_success(status: int) -> None:
    script = Script(answer(status, {}, location="https://api.github.com/repositories/3/x"))
    with pytest.raises(UpstreamError) as caught:
        await script.connect().deregister(LIB, 9)
    failure = caught.value.failure
    assert (failure.reason, failure.disposition) == (Reason.GitHubMalformed, Disposition.RETRY)
    assert not failure.in_doubt
    assert [request.method for request in script.requests] == ["DELETE"] * 4


@virtual
async def test_a_request_timeout_of_the_servers_may_have_had_its_effect() -> None:
    github = Script(answer(408)).connect()
    with pytest.raises(UpstreamError) as caught:
        await github.register(LIB, name="r", labels=LABELS, group=None)
    assert caught.value.failure.in_doubt
    assert caught.value.failure.reason is Reason.GitHubUnavailable


@virtual
async def test_a_count_of_rows_that_is_no_number_spoils_no_list_of_one_page() -> None:
    odd = {"total_count": 10**400, "runners": runner_rows([1])}
    seen = await Script(answer(200, odd)).connect().registrations(LIB)
    assert (seen.complete, len(seen.items)) == (True, 1)


@virtual
async def test_pages_without_a_count_that_can_be_read_prove_no_absence() -> None:
    following = "https://api.github.com/repos/acme/lib/actions/runners?per_page=100&page=2"
    pages = [
        runner_page([1], total=None, following=following),
        runner_page([2], total=None),
    ]
    seen = await Script(*pages, *pages).connect().registrations(LIB)
    assert len(seen.items) == 2
    assert seen.failure is not None
    assert seen.failure.reason is Reason.GitHubListMoved
