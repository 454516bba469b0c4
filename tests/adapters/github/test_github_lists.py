"""Lists: conditional, to their last page, and honest when they moved."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest

from controller.adapters.github.pages import CACHE_AGE, Page, PageCache
from controller.core.model import JobStatus
from controller.core.reasons import Reason
from controller.ports import UpstreamError
from hf_runner_simulators.clock import ManualClock
from hf_runner_simulators.github.model import JobSpec
from tests.adapters.github.scene import (
    ACME,
    LABELS,
    TOKEN,
    Scene,
    Script,
    answer,
    runner_page,
    runner_rows,
    source,
    virtual,
)

RUNS = "repos/{repository}/actions/runs"
NEXT = "https://api.github.com/orgs/acme/actions/runners?per_page=100&page=2"


# ------------------------------------------------------------------------------------------------ conditional
@virtual
async def test_an_unchanged_list_costs_no_quota_and_is_equal() -> None:
    scene = Scene()
    scene.world.workflows.queue_jobs("acme/lib", ["gpu"])
    github = scene.connect()
    first = await github.runs("acme/lib", "queued")
    used = github.quota()
    await asyncio.sleep(10)
    again = await github.runs("acme/lib", "queued")
    assert scene.statuses(RUNS) == [200, 304]
    assert again.items == first.items
    assert again.items[0] is first.items[0]  # not even parsed
    assert again.asked_at == pytest.approx(first.asked_at + 10, abs=1)
    assert again.server_time == first.server_time + 10
    assert github.quota() == used


@virtual
async def test_a_changed_list_is_read_anew() -> None:
    scene = Scene()
    github = scene.connect()
    assert (await github.runs("acme/lib", "queued")).items == ()
    scene.world.workflows.queue_jobs("acme/lib", ["gpu"])
    assert len((await github.runs("acme/lib", "queued")).items) == 1
    assert scene.statuses(RUNS) == [200, 200]


@virtual
async def test_a_new_token_makes_old_tags_worthless_and_they_are_not_sent() -> None:
    scene = Scene()
    github = scene.connect()
    tagged = {"headers": {"if-none-match": "W/*"}}
    scene.fault(route="GET *", kind="delay", times=None, match=tagged)
    await github.runs("acme/lib", "queued")
    await asyncio.sleep(3_400)
    assert (await github.runs("acme/lib", "queued")).complete
    assert (await github.runs("acme/lib", "queued")).complete
    assert scene.statuses(RUNS) == [200, 200, 304]
    assert scene.exchange.rules.to_json()[0]["matched"] == 1


@virtual
async def test_a_tag_is_sent_back_verbatim() -> None:
    tagged = answer(200, {"total_count": 1, "runners": runner_rows([1])}, etag='W/"a,b==\\"')
    script = Script(tagged, answer(304))
    github = script.connect()
    assert (await github.registrations(ACME)).items == (await github.registrations(ACME)).items
    assert script.requests[1].headers["if-none-match"] == 'W/"a,b==\\"'


@virtual
async def test_a_304_that_nobody_asked_for_is_malformed() -> None:
    with pytest.raises(UpstreamError) as caught:
        await Script(answer(304)).connect().registrations(ACME)
    assert caught.value.failure.reason is Reason.GitHubMalformed


@virtual
async def test_the_pages_of_two_connections_are_not_mixed() -> None:
    scene = Scene()
    scene.world.access.add_user_token(TOKEN, "acme", scopes=["repo"])
    await scene.connect().runs("acme/lib", "queued")
    await scene.connect({"token": TOKEN}).runs("acme/lib", "queued")
    assert scene.statuses(RUNS) == [200, 200]


PAGE: Page[int] = Page(rows=(1, 2, 3), total=3, next=None)


def test_the_cache_is_bounded_in_pages_and_rows() -> None:
    cache = PageCache(clock=ManualClock(), pages=3, rows=7)
    for n in range(10):
        cache.put(f"u{n}", 1, f"e{n}", PAGE)
        assert len(cache) <= 2
    assert cache.get("u9", 1) == ("e9", PAGE)
    cache.put("big", 1, "e", replace(PAGE, rows=(1,) * 8))
    assert len(cache) == 0


def test_what_is_used_least_is_dropped_first() -> None:
    cache = PageCache(clock=ManualClock(), pages=2)
    cache.put("a", 1, "ea", PAGE)
    cache.put("b", 1, "eb", PAGE)
    cache.get("a", 1)
    cache.put("c", 1, "ec", PAGE)
    assert cache.get("b", 1) is None
    assert cache.get("a", 1) is not None


def test_pages_that_nobody_asks_for_age_away() -> None:
    clock = ManualClock()
    cache = PageCache(clock=clock)
    cache.put("old", 1, "e", PAGE)
    clock.advance(CACHE_AGE + 1)
    cache.put("new", 1, "e", PAGE)
    assert cache.get("old", 1) is None
    assert len(cache) == 1


# ------------------------------------------------------------------------------------------------------ pages
@virtual
async def test_a_list_is_read_to_its_last_page() -> None:
    scene = Scene()
    github = scene.connect()
    for n in range(230):
        await github.register(ACME, name=f"r-{n:03}", labels=LABELS, group=None)
    seen = await github.registrations(ACME)
    assert sorted(r.name for r in seen.items) == [f"r-{n:03}" for n in range(230)]
    assert seen.complete


@virtual
async def test_a_matrix_of_256_jobs_is_read_whole() -> None:
    scene = Scene()
    scene.world.workflows.queue_run("acme/lib", [JobSpec(name=f"j{n}", labels=("gpu",)) for n in range(256)])
    github = scene.connect()
    (run,) = (await github.runs("acme/lib", "queued")).items
    seen = await github.jobs("acme/lib", run)
    assert len({job.id for job in seen.items}) == 256
    assert {job.status for job in seen.items} == {JobStatus.QUEUED}


@virtual
async def test_a_failed_page_fails_the_whole_list() -> None:
    scene = Scene()
    github = scene.connect()
    for n in range(101):
        await github.register(ACME, name=f"r-{n}", labels=LABELS, group=None)
    scene.fault(
        route="GET /orgs/{org}/actions/runners", kind="status", status=502, match={"query": {"page": "2"}}
    )
    with pytest.raises(UpstreamError) as caught:
        await github.registrations(ACME)
    assert caught.value.failure.reason is Reason.GitHubUnavailable
    assert not caught.value.failure.in_doubt


class Moving:
    """A runner list of 100 rows a page, changed after its first page is read."""

    def __init__(self, *changes: Any) -> None:
        self.ids = list(range(150))
        self.changes = list(changes)
        self.first_pages = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        page = int(request.url.params.get("page", "1"))
        rows = self.ids[(page - 1) * 100 : page * 100]
        response = runner_page(rows, total=len(self.ids), following=NEXT if page == 1 else None)
        if page == 1:
            self.first_pages += 1
            if self.changes:
                self.changes.pop(0)(self.ids)
        return response


def remove_first(ids: list[int]) -> None:
    ids.pop(0)


def add_first(ids: list[int]) -> None:
    ids.insert(0, 1_000 + len(ids))


@virtual
async def test_a_row_that_is_seen_on_two_pages_counts_once() -> None:
    moving = Moving(add_first)
    seen = await Script(moving).connect().registrations(ACME)
    assert seen.complete  # the new row came after the first request: a list may miss it
    assert sorted(r.id for r in seen.items) == list(range(150))
    assert moving.first_pages == 1


@virtual
async def test_a_list_that_lost_a_row_meanwhile_is_read_once_more() -> None:
    moving = Moving(remove_first)
    seen = await Script(moving).connect().registrations(ACME)
    assert seen.complete
    assert sorted(r.id for r in seen.items) == list(range(1, 150))
    assert moving.first_pages == 2


@virtual
async def test_a_list_that_keeps_moving_says_that_rows_may_be_missing() -> None:
    moving = Moving(remove_first, remove_first, remove_first)
    seen = await Script(moving).connect().registrations(ACME)
    assert not seen.complete
    assert seen.failure is not None
    assert seen.failure.reason is Reason.GitHubListMoved
    assert moving.first_pages == 2
    assert len(seen.items) == 148


@virtual
async def test_a_row_lost_and_another_gained_between_pages_is_noticed() -> None:
    ids = list(range(250))
    pages = []

    def churning(request: httpx.Request) -> httpx.Response:
        page = int(request.url.params.get("page", "1"))
        pages.append(page)
        following = NEXT.replace("page=2", f"page={page + 1}") if page < 3 else None
        response = runner_page(ids[(page - 1) * 100 : page * 100], total=len(ids), following=following)
        if len(pages) == 1:
            ids.pop(0)
        if len(pages) == 2:
            ids.append(999)
        return response

    seen = await Script(churning).connect().registrations(ACME)
    assert pages == [1, 2, 3, 1, 2, 3]
    assert seen.complete
    assert sorted(r.id for r in seen.items) == [*range(1, 250), 999]


@virtual
async def test_rows_fewer_than_the_count_say_that_rows_are_missing() -> None:
    seen = await Script(runner_page(range(81), total=433)).connect().registrations(ACME)
    assert seen.failure is not None
    assert seen.failure.reason is Reason.GitHubListMoved
    assert len(seen.items) == 81


@virtual
async def test_a_runner_is_not_called_absent_by_a_list_that_moved() -> None:
    github = Script(runner_page([], total=1)).connect()
    with pytest.raises(UpstreamError) as caught:
        await github.find(ACME, "r1")
    assert caught.value.failure.reason is Reason.GitHubListMoved


@virtual
async def test_more_runs_than_github_lists_are_a_floor_and_no_failure() -> None:
    scene = Scene()
    for _ in range(1_003):
        scene.world.workflows.queue_zombie("acme/lib")
    seen = await scene.connect().runs("acme/lib", "queued")
    assert len(seen.items) == 1_000
    assert seen.complete


@virtual
async def test_a_next_page_on_another_host_is_asked_for_where_the_first_one_was() -> None:
    script = Script(
        runner_page([1], total=2, following="https://evil.example/elsewhere?per_page=100&page=2"),
        runner_page([2], total=2),
    )
    seen = await script.connect().registrations(ACME)
    assert [r.id for r in seen.items] == [1, 2]
    assert [str(request.url) for request in script.requests][1] == NEXT


@virtual
async def test_a_list_that_never_ends_is_given_up() -> None:
    def one_more(request: httpx.Request) -> httpx.Response:
        page = int(request.url.params.get("page", "1"))
        return runner_page([page], total=1, following=NEXT.replace("&page=2", f"&page={page + 1}"))

    script = Script(one_more)
    with pytest.raises(UpstreamError) as caught:
        await script.connect().registrations(ACME)
    assert caught.value.failure.reason is Reason.GitHubMalformed
    assert len(script.requests) == 200


@virtual
async def test_a_page_that_is_its_own_next_page_is_given_up() -> None:
    script = Script(runner_page([1], total=1, following=NEXT))
    with pytest.raises(UpstreamError) as caught:
        await script.connect().registrations(ACME)
    assert "its next page is itself" in caught.value.failure.message
    assert len(script.requests) == 2


# ----------------------------------------------------------------------------------------------- repositories
@virtual
async def test_an_app_lists_what_its_installation_may_see() -> None:
    scene = Scene()
    scene.world.accounts.add_repository("acme/old", archived=True)
    scene.world.accounts.add_repository("acme/Mixed-Case")
    scene.world.accounts.change_installation(
        scene.installation.id, repositories=frozenset({"acme/lib", "acme/old", "acme/mixed-case"})
    )
    scene.world.accounts.add_repository("acme/hidden")
    seen = await scene.connect().repositories("acme")
    assert {r.full_name: r.usable for r in seen.items} == {
        "acme/lib": True,
        "acme/old": False,
        "acme/mixed-case": True,
    }
    assert all(r.pushed_at for r in seen.items)


@virtual
async def test_a_token_lists_the_organization() -> None:
    scene = Scene()
    scene.world.access.add_user_token(TOKEN, "acme", scopes=["repo"])
    for n in range(120):
        scene.world.accounts.add_repository(f"acme/r{n}")
    seen = await scene.connect({"token": TOKEN}).repositories("acme")
    assert len(seen.items) == 121
    assert seen.complete


def personal(request: httpx.Request) -> httpx.Response:
    """A personal account, ``ada``, with a private repository; her user is in an organization too."""
    rows = [{"full_name": "ada/Private", "archived": False, "pushed_at": None}, {"full_name": "acme/lib"}]
    known = {"/users/ada": {"type": "User"}, "/user/repos": rows}
    found = known.get(request.url.path)
    return answer(200, found) if found else answer(404, {"message": "Not Found"})


@virtual
async def test_a_token_of_a_personal_account_lists_what_its_user_reaches_there() -> None:
    script = Script(personal)
    github = script.connect(source=source(owner="ada"))
    for _ in range(2):
        seen = await github.repositories("ada")
        assert [r.full_name for r in seen.items] == ["ada/private"]
    asked = [request.url.path for request in script.requests]
    assert asked == ["/orgs/ada/repos", "/users/ada", "/user/repos", "/user/repos"]


@virtual
async def test_an_owner_that_does_not_exist_is_said() -> None:
    with pytest.raises(UpstreamError) as caught:
        await Script(personal).connect(source=source(owner="nobody")).repositories("nobody")
    assert caught.value.failure.reason is Reason.GitHubNotFound
    assert "orgs/nobody" in caught.value.failure.message


# ------------------------------------------------------------------------------------------------------- jobs
@virtual
async def test_jobs_carry_what_matching_needs() -> None:
    scene = Scene()
    (made,) = scene.world.workflows.queue_jobs("acme/lib", ["GPU", "Linux"], name="train")
    github = scene.connect()
    (run,) = (await github.runs("acme/lib", "queued")).items
    (job,) = (await github.jobs("acme/lib", run)).items
    assert (job.id, job.run_id, job.run_attempt, job.name) == (made.id, run.id, 1, "train")
    assert job.repository == "acme/lib"
    assert job.labels == ("gpu", "linux")
    assert job.status is JobStatus.QUEUED
    assert job.created_at == int(made.created_at)
    assert job.runner_name is None
    assert job.html_url.endswith(f"/job/{made.id}")


@pytest.mark.parametrize("unassigned", ["null", "zero"])
@virtual
async def test_an_unassigned_job_has_no_runner_however_github_says_so(unassigned: str) -> None:
    scene = Scene(unassigned_runner=unassigned)
    scene.world.workflows.queue_jobs("acme/lib", ["gpu"])
    github = scene.connect()
    (run,) = (await github.runs("acme/lib", "queued")).items
    assert (await github.jobs("acme/lib", run)).items[0].runner_name is None


@virtual
async def test_a_re_run_has_jobs_of_its_own() -> None:
    scene = Scene()
    (first,) = scene.world.workflows.queue_jobs("acme/lib", ["gpu"])
    scene.world.workflows.force_cancel_run(first.run_id)
    await asyncio.sleep(5)
    scene.world.workflows.rerun(first.run_id)
    github = scene.connect()
    (run,) = (await github.runs("acme/lib", "queued")).items
    assert run.attempt == 2
    (job,) = (await github.jobs("acme/lib", run)).items
    assert job.run_attempt == 2
    assert job.id != first.id


ROW: dict[str, Any] = {"id": 1, "name": "n", "labels": [], "status": "queued", "run_attempt": 1}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"status": "brand_new"}, JobStatus.PENDING),
        ({"status": "waiting", "unknown": {"a": 1}}, JobStatus.WAITING),
    ],
)
@virtual
async def test_what_github_adds_to_a_job_does_no_harm(change: dict[str, Any], status: JobStatus) -> None:
    scene = Scene()
    scene.world.workflows.queue_jobs("acme/lib", ["gpu"])
    (run,) = (await scene.connect().runs("acme/lib", "queued")).items
    script = Script(answer(200, {"total_count": 1, "jobs": [{**ROW, **change}]}))
    (job,) = (await script.connect().jobs("acme/lib", run)).items
    assert job.status is status
    assert job.created_at == run.created_at  # GitHub's own example of a job has no created_at
