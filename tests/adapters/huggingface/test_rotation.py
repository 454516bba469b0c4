"""A client of the Hub's whose Secret is rotated: what one token was shown proves nothing to another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest

from controller.adapters.huggingface.account import token_from_secret
from controller.adapters.huggingface.errors import RateLimitedError, RejectedError
from controller.adapters.huggingface.jobs import HubJobs
from controller.adapters.huggingface.session import open_session
from hf_runner_simulators.clock import ManualClock
from tests.adapters.huggingface.scripted import ACCOUNT, HOSTS
from tests.adapters.rotated import RotatedSecret

Say = Callable[[httpx2.Request], httpx2.Response]


def job(job_id: str) -> dict[str, Any]:
    return {
        "id": job_id,
        "createdAt": "2026-01-01T00:00:00Z",
        "owner": {"name": "acme"},
        "status": {"stage": "RUNNING"},
        "labels": {},
        "flavor": "t4-small",
    }


class Rotating:
    """An account whose token is ``hf_old``, until a test replaces it with ``hf_new``."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.secret = RotatedSecret(
            {"token": "hf_old"}, lambda data: token_from_secret(data, ref=ACCOUNT.secret), self.clock
        )
        self.says: list[Say] = []
        self.sent: list[tuple[str, str]] = []

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        self.sent.append((request.method, request.headers["authorization"].removeprefix("Bearer hf_")))
        return self.says.pop(0)(request)

    def rotating(self, response: httpx2.Response) -> Say:
        """Answer, and rotate the Secret meanwhile."""

        def say(_: httpx2.Request) -> httpx2.Response:
            self.secret.write(token="hf_new")
            return response

        return say


@pytest.fixture
def scene() -> Rotating:
    return Rotating()


@pytest.fixture
async def jobs(scene: Rotating) -> AsyncIterator[HubJobs]:
    async with open_session(transport=httpx2.MockTransport(scene.handle)) as session:
        yield HubJobs(
            account=ACCOUNT,
            credential=scene.secret.credential,
            session=session,
            clock=scene.clock,
            hosts=HOSTS,
        )


def page(*ids: str, following: bool = False) -> httpx2.Response:
    link = {"link": '<https://hub.example/api/jobs/acme?cursor=2>; rel="next"'} if following else {}
    return httpx2.Response(200, json=[job(one) for one in ids], headers=link)


async def test_a_list_of_which_two_tokens_were_shown_a_page_each_begins_anew(
    scene: Rotating, jobs: HubJobs
) -> None:
    scene.says = [
        scene.rotating(page("1", following=True)),
        lambda _: page("9"),
        lambda _: page("2", following=True),
        lambda _: page("9"),
    ]
    seen = await jobs.live({})
    assert ([one.id for one in seen.items], [token for _, token in scene.sent]) == (
        ["2", "9"],
        ["old", "new", "new", "new"],
    )


async def test_a_job_that_another_token_does_not_see_is_not_taken_for_cancelled(
    scene: Rotating, jobs: HubJobs
) -> None:
    scene.says = [
        scene.rotating(httpx2.Response(400, json={"error": "No"})),
        lambda _: httpx2.Response(404, json={"error": "Job not found"}),
    ]
    with pytest.raises(RejectedError):
        await jobs.cancel("1")
    assert scene.sent == [("POST", "old"), ("GET", "new")]


async def test_a_job_that_the_same_token_sees_no_more_is_taken_for_cancelled(
    scene: Rotating, jobs: HubJobs
) -> None:
    scene.says = [
        lambda _: httpx2.Response(400, json={"error": "No"}),
        lambda _: httpx2.Response(404, json={"error": "Job not found"}),
    ]
    await jobs.cancel("1")
    assert [method for method, _ in scene.sent] == ["POST", "GET"]


async def test_the_rate_limit_of_one_token_is_not_waited_for_with_another(
    scene: Rotating, jobs: HubJobs
) -> None:
    scene.says = [
        lambda _: httpx2.Response(429, headers={"retry-after": "60"}),
        lambda _: page("1"),
    ]
    for _ in range(2):  # the second one is not sent
        with pytest.raises(RateLimitedError):
            await jobs.live({})
    scene.secret.write(token="hf_new")
    assert (await jobs.live({})).complete
    assert scene.sent == [("GET", "old"), ("GET", "new")]
