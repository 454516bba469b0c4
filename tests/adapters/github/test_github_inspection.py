"""What `check` asks GitHub: what credentials may do, told or tried, and who may use a group's runners."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import httpx
import pytest

from controller.adapters.credential import Fixed
from controller.adapters.github import credentials_from_secret
from controller.adapters.github.errors import ForbiddenError, GitHubError
from controller.adapters.github.inspection import ADMISSION_AGE
from controller.core.model import Admission, JobStatus
from controller.core.reasons import Reason
from controller.ports import JobRead, UpstreamError
from hf_runner_simulators.github.model import JobSpec
from hf_runner_simulators.github.model import Scope as SimulatedScope
from tests.adapters.github.scene import ACME, LIB, TOKEN, Scene, Script, answer, virtual


@virtual
async def test_an_installations_permissions_are_those_that_its_newest_token_came_with() -> None:
    scene = Scene()
    scene.world.accounts.change_installation(scene.installation.id, permissions={"actions": "read"})
    grant = await scene.connect().grant()
    assert (grant.permissions, grant.scopes, grant.token_end) == ({"actions": "read"}, None, None)


@virtual
async def test_a_classic_token_shows_its_scopes_and_a_fine_grained_one_shows_nothing() -> None:
    scene = Scene()
    scene.world.accounts.add_user("octocat")
    scene.world.access.add_user_token(TOKEN, "octocat", scopes=["repo", "read:org"])
    scene.world.access.add_user_token("github_pat_1", "octocat", permissions={"actions": "read"})
    assert (await scene.connect({"token": TOKEN}).grant()).scopes == ("repo", "read:org")
    fine = await scene.connect({"token": "github_pat_1"}).grant()
    assert (fine.scopes, fine.permissions) == (None, None)


@virtual
async def test_a_scope_of_any_length_is_a_word() -> None:
    script = Script(answer(200, {}, x_oauth_scopes="repo, " + 2_000 * "9"))
    assert (await script.connect().grant()).scopes == ("repo", 127 * "9" + "…")


@pytest.mark.parametrize(
    ("text", "epoch"),
    [
        ("2026-12-01 00:00:00 UTC", 1_796_083_200.0),
        ("2026-12-01 02:00:00 +0200", 1_796_083_200.0),
        ("soon", None),
    ],
)
def test_the_end_of_a_token_is_read_as_github_writes_it(text: str, epoch: float | None) -> None:
    @virtual
    async def ask() -> None:
        script = Script(answer(200, {}, github_authentication_token_expiration=text))
        end = (await script.connect().grant()).token_end
        assert (end and end.at) == epoch

    ask()


def expiring(at: str = "2026-12-01 00:00:00 UTC", status: int = 200) -> Any:
    return answer(status, {"message": "No"}, github_authentication_token_expiration=at)


@virtual
async def test_a_success_without_an_end_takes_an_earlier_word_back_and_a_refusal_does_not() -> None:
    script = Script(expiring(), answer(404, {"message": "Not Found"}), answer(200, {}))
    connection = script.connect()
    ends = []
    for _ in range(3):
        with suppress(GitHubError):
            await connection.try_queue("acme/lib")
        ends.append(connection.token_end())
    assert [end and end.at for end in ends] == [1_796_083_200.0, 1_796_083_200.0, None]


@virtual
async def test_a_refusal_tells_the_end_too() -> None:
    connection = Script(expiring(status=403)).connect()
    with pytest.raises(GitHubError):
        await connection.try_queue("acme/lib")
    end = connection.token_end()
    assert end is not None
    assert end.at == 1_796_083_200.0


@virtual
async def test_an_app_has_tokens_of_an_hour_of_whose_end_nobody_is_told() -> None:
    def say(request: httpx.Request) -> httpx.Response:
        issued = {"token": "ghs_1", "expires_at": "2030-01-01T00:00:00Z", "permissions": {}}
        if "access_tokens" in request.url.path:
            return answer(201, issued)
        installed = request.url.path.endswith("/app/installations/7")
        return answer(200, {"id": 7, "permissions": {}}) if installed else expiring()

    secret = {**Scene().app_secret(), "installationId": "7"}
    connection = Script(say).connect(credential=Fixed(credentials_from_secret(secret)))
    await connection.try_queue("acme/lib")
    assert connection.token_end() is None


@virtual
async def test_registering_is_tried_by_a_request_that_registers_nothing() -> None:
    scene = Scene()
    await scene.connect().try_registering(ACME)
    scene.world.accounts.change_installation(
        scene.installation.id, permissions={"organization_self_hosted_runners": "read"}
    )
    with pytest.raises(ForbiddenError, match="organization_self_hosted_runners=write") as caught:
        await scene.connect().try_registering(ACME)
    assert caught.value.failure.reason is Reason.PermissionMissing
    assert scene.world.report()["registrations"] == []


@virtual
async def test_no_answer_but_a_refusal_of_the_body_proves_the_right_to_register() -> None:
    for status in (400, 404, 409, 500):
        with pytest.raises(GitHubError):
            await Script(answer(status, {"message": "no"})).connect().try_registering(ACME)


@virtual
async def test_a_group_tells_which_repositories_and_workflows_may_use_it() -> None:
    scene = Scene()
    scene.world.accounts.add_group(
        SimulatedScope("org", "acme"),
        "gpu",
        visibility="selected",
        selected=["acme/lib"],
        workflows=["acme/lib/w.yml@main"],
    )
    github = scene.connect()
    group = await github.runner_group(ACME, "GPU")
    assert (group.name, group.selected, group.public, group.workflows) == (
        "gpu",
        True,
        False,
        ("acme/lib/w.yml@main",),
    )
    assert await github.group_repositories(ACME, group) == {"acme/lib"}
    assert (await github.runner_group(ACME, None)).name == "Default"
    with pytest.raises(UpstreamError) as caught:
        await github.runner_group(ACME, "none")
    assert caught.value.failure.reason is Reason.RunnerGroupMissing


@virtual
async def test_whose_pull_requests_wait_for_approval_is_read_with_administration_only() -> None:
    scene = Scene()
    scene.world.accounts.change_repository("acme/lib", fork_approval="all_external_contributors")
    assert await scene.connect().fork_approval("acme/lib") == "all_external_contributors"
    scene.world.accounts.change_installation(scene.installation.id, permissions={"metadata": "read"})
    with pytest.raises(ForbiddenError, match="administration=read"):
        await scene.connect().fork_approval("acme/lib")


@virtual
async def test_a_personal_account_is_named_as_the_reason_why_it_has_no_runners() -> None:
    scene = Scene()
    scene.world.accounts.add_user("octocat")
    scene.world.access.add_user_token(TOKEN, "octocat", scopes=["repo", "admin:org"])
    personal = type(ACME)(kind=ACME.kind, owner="octocat")
    with pytest.raises(GitHubError) as caught:
        await scene.connect({"token": TOKEN}).try_listing_runners(personal)
    assert caught.value.failure.reason is Reason.PersonalAccount
    await scene.connect({"token": TOKEN}).try_listing_runners(LIB)


@virtual
async def test_who_a_group_admits_is_told_for_a_repository() -> None:
    scene = Scene()
    scene.world.accounts.add_repository("acme/open", private=False)
    everyone: dict[str, Any] = {"visibility": "selected", "selected": ["acme/lib"]}
    scene.world.accounts.add_group(SimulatedScope("org", "acme"), "gpu", **everyone)
    github = scene.connect()
    assert await github.admission(ACME, "gpu", "acme/lib") == Admission(group="gpu")
    assert (await github.admission(ACME, "gpu", "acme/open")).excluded
    assert (await github.admission(ACME, None, "acme/open")).refuses_public
    assert await github.admission(ACME, None, "acme/lib") == Admission(group="Default")
    scene.world.accounts.change_group(SimulatedScope("org", "acme"), 1, allows_public_repositories=True)
    await asyncio.sleep(ADMISSION_AGE + 1)
    assert await github.admission(ACME, None, "acme/open") == Admission(group="Default")


@virtual
async def test_whether_a_version_is_still_served_is_told_by_githubs_own_clock() -> None:
    scene = Scene(skew=-400 * 86_400.0)
    github = scene.connect()
    calendar, now = scene.world.store.calendar, scene.world.time.now
    for scope in (ACME, LIB):
        assert await github.version_ended(scope, calendar.at(now)[0].version)
        assert not await github.version_ended(scope, calendar.latest(now))
        with pytest.raises(GitHubError):
            await github.version_ended(scope, "1.2.3")


@virtual
async def test_a_job_is_read_by_its_id_with_labels_as_they_were_written() -> None:
    scene = Scene()
    github = scene.connect()
    for labels, spaced in ((("gpu",), False), (("gpu", " linux"), True)):
        run = scene.world.workflows.queue_run("acme/lib", [JobSpec(name="a", labels=labels)])
        (job,) = scene.world.workflows.jobs(run.id)
        assert await github.job("acme/lib", job.id) == JobRead(status=JobStatus.QUEUED, spaced=spaced)
        scene.world.workflows.cancel_run(run.id)
        assert (await github.job("acme/lib", job.id)).status is JobStatus.COMPLETED
    with pytest.raises(GitHubError):
        await github.job("acme/lib", 404)
