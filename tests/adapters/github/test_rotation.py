"""A client of GitHub's whose Secret is rotated: it goes on, and believes nothing that the
last credentials were shown.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from controller.adapters.github import GitHubConnection, credentials_from_secret
from controller.core.model import Scope, ScopeKind
from controller.ports import Removal
from tests.adapters.github.scene import ACME, LIB, Script, answer, runner_page, virtual
from tests.adapters.rotated import RotatedSecret

OLD, NEW = "ghp_" + "o" * 36, "ghp_" + "n" * 36
NEXT = "https://api.github.com/orgs/acme/actions/runners?per_page=100&page=2"


class Rotating:
    """A connection with the token :data:`OLD`, which a test replaces with :data:`NEW`.

    Args:
        answers: As of :class:`Script`; a function of the request may rotate.
    """

    def __init__(self, *answers: Any) -> None:
        self.script = Script(*answers)
        self.secret = RotatedSecret({"token": OLD}, credentials_from_secret, self.script.clock)
        self.github: GitHubConnection = self.script.connect(credential=self.secret.credential)

    def rotate(self) -> None:
        self.secret.write(token=NEW)

    @property
    def sent(self) -> list[tuple[str, str]]:
        """Method and token of each request."""
        return [
            (r.method, "old" if OLD in r.headers["authorization"] else "new") for r in self.script.requests
        ]


def by_token(old: httpx.Response, new: httpx.Response) -> Any:
    return lambda request: old if OLD in request.headers["authorization"] else new


@virtual
async def test_a_token_that_was_replaced_and_revoked_fails_nobody() -> None:
    scene = Rotating(by_token(answer(401, {"message": "Bad credentials"}), runner_page([1], total=1)))
    await scene.secret.credential.current()
    scene.secret.data = {"token": NEW}  # and nobody has read it yet
    seen = await scene.github.registrations(ACME)
    assert ([r.id for r in seen.items], scene.sent) == ([1], [("GET", "old"), ("GET", "new")])


@virtual
async def test_a_page_that_one_token_was_shown_is_shown_to_no_other() -> None:
    def say(request: httpx.Request) -> httpx.Response:
        if "if-none-match" in request.headers:
            return answer(304)
        return by_token(runner_page([1, 2], total=2), runner_page([2], total=1))(request)

    def with_etag(request: httpx.Request) -> httpx.Response:
        found = say(request)
        found.headers["etag"] = '"same-for-everybody"'
        return found

    scene = Rotating(with_etag)
    await scene.github.registrations(ACME)
    again = await scene.github.registrations(ACME)
    scene.rotate()
    rotated = await scene.github.registrations(ACME)
    assert [[r.id for r in seen.items] for seen in (again, rotated)] == [[1, 2], [2]]
    assert ["if-none-match" in r.headers for r in scene.script.requests] == [False, True, False]


@virtual
async def test_a_list_of_which_two_tokens_were_shown_a_page_each_is_read_once_more() -> None:
    def first(_: httpx.Request) -> httpx.Response:
        scene.rotate()
        return runner_page([1, 2], total=3, following=NEXT)

    scene = Rotating(
        first,
        runner_page([7], total=3),
        runner_page([5, 6], total=3, following=NEXT),
        runner_page([7], total=3),
    )
    seen = await scene.github.registrations(ACME)
    assert (sorted(r.id for r in seen.items), seen.complete) == ([5, 6, 7], True)


@virtual
async def test_a_removal_that_one_token_was_refused_and_another_could_prove_is_asked_for_again() -> None:
    def gone(_: httpx.Request) -> httpx.Response:
        scene.rotate()
        return answer(404, {"message": "Not Found"})

    scene = Rotating(gone, runner_page([7], total=1), answer(422, {"message": "Runner is running a job"}))
    assert await scene.github.deregister(ACME, 7) is Removal.BUSY
    assert scene.sent == [("DELETE", "old"), ("GET", "new"), ("DELETE", "new")]


@virtual
async def test_a_runner_that_one_token_proved_to_be_gone_is_asked_for_no_more() -> None:
    scene = Rotating(answer(404, {"message": "Not Found"}), runner_page([], total=0))
    assert await scene.github.deregister(LIB, 7) is Removal.GONE
    assert scene.sent == [("DELETE", "old"), ("GET", "old")]


@virtual
async def test_the_end_of_a_token_is_forgotten_with_it() -> None:
    end = {"github_authentication_token_expiration": "2026-06-01 00:00:00 UTC"}
    scene = Rotating(by_token(answer(200, {"total_count": 0, "runners": []}, **end), answer(403, {})))
    await scene.github.registrations(ACME)
    assert scene.github.token_end() is not None
    scene.rotate()
    await asyncio.gather(scene.github.registrations(ACME), return_exceptions=True)
    assert scene.github.token_end() is None


@virtual
async def test_the_groups_that_one_token_was_shown_are_not_believed_of_another() -> None:
    def groups(number: int) -> httpx.Response:
        return answer(200, {"total_count": 1, "runner_groups": [{"id": number, "name": "gpu"}]})

    scope = Scope(kind=ScopeKind.ORGANIZATION, owner="acme")
    scene = Rotating(by_token(groups(1), groups(2)))
    first = await scene.github.runner_group(scope, "gpu")
    scene.rotate()
    assert (first.id, (await scene.github.runner_group(scope, "gpu")).id) == (1, 2)
