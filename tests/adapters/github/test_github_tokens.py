from __future__ import annotations

import asyncio

import pytest

from controller.adapters.github.installation import needed_of
from controller.core.model import Disposition
from controller.core.reasons import Reason
from controller.ports import UpstreamError
from tests.adapters.github.scene import ACME, LIB, TOKEN, Scene, source, virtual

MINT = "POST /app/installations/{installation_id}/access_tokens"
INSTALLATION = "GET /app/installations/{installation_id}"
RUNS = "GET /repos/{owner}/{repo}/actions/runs"


@virtual
async def test_the_installation_is_found_and_one_token_serves_all_callers() -> None:
    scene = Scene()
    github = scene.connect()
    await asyncio.gather(*(github.runs("acme/lib", "queued") for _ in range(10)))
    assert scene.routes()[:2] == ["GET /orgs/{org}/installation", MINT]
    assert scene.count(MINT) == 1
    assert scene.count(RUNS, 200) == 10


@virtual
async def test_a_given_installation_is_not_looked_for_by_its_owner() -> None:
    scene = Scene()
    await scene.connect(scene.app_secret(installationId=str(scene.installation.id))).registrations(ACME)
    assert scene.routes()[:2] == [INSTALLATION, MINT]


@virtual
async def test_the_client_id_signs_as_well() -> None:
    scene = Scene()
    await scene.connect(scene.app_secret(appId=scene.app.client_id)).registrations(ACME)
    assert scene.count(MINT, 201) == 1


@virtual
async def test_a_users_installation_is_found() -> None:
    scene = Scene()
    scene.world.accounts.add_user("ada")
    scene.world.accounts.add_repository("ada/lib")
    scene.world.accounts.install(scene.app.id, "ada")
    await scene.connect(source=source(owner="ada")).runs("ada/lib", "queued")
    assert scene.count("GET /users/{username}/installation", 200) == 1


@virtual
async def test_an_enterprises_installation_is_found() -> None:
    scene = Scene()
    scene.world.accounts.add_organization("big-org", enterprise="big")
    scene.world.accounts.install(scene.app.id, "big")
    await scene.connect(source=source(owner="big", enterprise=True)).repositories("big")
    assert scene.count("GET /enterprises/{enterprise}/installation", 200) == 1


@virtual
async def test_a_token_is_replaced_five_minutes_before_its_end_and_by_one_call() -> None:
    scene = Scene()
    github = scene.connect()
    await github.runs("acme/lib", "queued")
    await asyncio.sleep(3_600 - 301)
    await github.runs("acme/lib", "queued")
    assert scene.count(MINT) == 1
    await asyncio.sleep(2)
    await asyncio.gather(*(github.runs("acme/lib", "queued") for _ in range(5)))
    assert scene.count(MINT) == 2


@virtual
async def test_a_token_that_still_works_is_used_while_no_new_one_can_be_had() -> None:
    scene = Scene()
    github = scene.connect()
    await github.runs("acme/lib", "queued")
    scene.fault(route=MINT, kind="status", status=502, times=None)
    await asyncio.sleep(3_600 - 200)
    for _ in range(10):
        await github.runs("acme/lib", "queued")
    assert scene.count(MINT) == 2  # and not one try for each call
    await asyncio.sleep(180)
    with pytest.raises(UpstreamError) as caught:
        await github.runs("acme/lib", "queued")
    assert caught.value.failure.reason is Reason.GitHubUnavailable


@virtual
async def test_a_revoked_token_is_renewed_once_and_the_call_repeated() -> None:
    scene = Scene()
    github = scene.connect()
    await github.runs("acme/lib", "queued")
    scene.world.access.revoke_installation_tokens()
    await asyncio.gather(*(github.runs("acme/lib", "queued") for _ in range(5)))
    assert scene.count(MINT) == 2


@virtual
async def test_a_late_refusal_of_an_old_token_does_not_cost_the_new_one() -> None:
    scene = Scene()
    github = scene.connect()
    await github.runs("acme/lib", "queued")
    scene.world.access.revoke_installation_tokens()
    scene.fault(route=RUNS, kind="delay", seconds=2.0, match={"query": {"status": "pending"}})
    await asyncio.gather(github.runs("acme/lib", "queued"), github.runs("acme/lib", "pending"))
    assert scene.count(RUNS, 401) == 2
    assert scene.count(MINT) == 2


@virtual
async def test_a_registration_is_repeated_after_a_401_since_that_proves_no_effect() -> None:
    scene = Scene()
    github = scene.connect()
    await github.registrations(ACME)
    scene.world.access.revoke_installation_tokens()
    made = await github.register(ACME, name="r-1", labels=["gpu"], group=None)
    assert [r.id for r in (await github.registrations(ACME)).items] == [made.registration.id]


@virtual
async def test_a_repository_that_refuses_every_token_does_not_cost_the_others_theirs() -> None:
    scene = Scene()
    scene.world.accounts.add_repository("acme/odd")
    scene.world.accounts.block_repository("acme/odd", status=401, message="Bad credentials")
    github = scene.connect()
    for _ in range(5):
        with pytest.raises(UpstreamError) as caught:
            await github.runs("acme/odd", "queued")
        assert caught.value.failure.reason is Reason.GitHubUnauthorized
        await github.runs("acme/lib", "queued")
    assert scene.count(MINT) == 2  # the first, and one renewal to make sure
    scene.world.accounts.unblock_repository("acme/odd")
    await github.runs("acme/odd", "queued")


@pytest.mark.parametrize("skew", [-290.0, 290.0, 3_000.0, -86_400.0])
@virtual
async def test_a_wrong_clock_is_corrected_by_githubs(skew: float) -> None:
    scene = Scene(skew=skew)
    github = scene.connect()
    await github.runs("acme/lib", "queued")
    refused = sum(entry.status == 401 for entry in scene.exchange.log)
    assert refused <= 1
    await asyncio.sleep(3_600)
    await github.runs("acme/lib", "queued")
    assert sum(entry.status == 401 for entry in scene.exchange.log) == refused  # the correction is kept


@virtual
async def test_a_wall_clock_that_jumps_does_not_touch_the_tokens_life() -> None:
    scene = Scene()
    github = scene.connect()
    await github.runs("acme/lib", "queued")
    scene.ours.jump(-7_200)
    await asyncio.sleep(3_400)
    await github.runs("acme/lib", "queued")
    assert scene.count(MINT, 201) == 2
    assert scene.count(RUNS, 401) == 0


@virtual
async def test_a_failure_to_get_a_token_is_shared_and_a_cancelled_caller_spoils_it_for_nobody() -> None:
    scene = Scene()
    github = scene.connect()
    callers = [asyncio.create_task(github.runs("acme/lib", "queued")) for _ in range(4)]
    await asyncio.sleep(0.01)
    callers[0].cancel()
    await asyncio.wait(callers)
    assert callers[0].cancelled()
    assert all(caller.result().complete for caller in callers[1:])
    assert scene.count(MINT) == 1


@virtual
async def test_an_app_that_is_not_installed_is_said() -> None:
    scene = Scene()
    scene.world.accounts.uninstall(scene.installation.id)
    with pytest.raises(UpstreamError) as caught:
        await scene.connect().registrations(ACME)
    failure = caught.value.failure
    assert failure.reason is Reason.AppNotInstalled
    assert failure.disposition is Disposition.PERSON
    assert "acme" in failure.message
    assert failure.request_id


@virtual
async def test_a_given_installation_that_does_not_exist_is_said() -> None:
    scene = Scene()
    with pytest.raises(UpstreamError) as caught:
        await scene.connect(scene.app_secret(installationId="99")).registrations(ACME)
    assert caught.value.failure.reason is Reason.AppNotInstalled
    assert "99" in caught.value.failure.message


@virtual
async def test_an_app_that_was_installed_anew_is_found_again() -> None:
    scene = Scene()
    github = scene.connect()
    await github.registrations(ACME)
    scene.world.accounts.uninstall(scene.installation.id)
    scene.world.accounts.install(scene.app.id, "acme")
    assert (await github.registrations(ACME)).complete


@virtual
async def test_a_suspended_installation_is_said() -> None:
    scene = Scene()
    scene.world.accounts.change_installation(scene.installation.id, suspended_at=1.0)
    with pytest.raises(UpstreamError) as caught:
        await scene.connect().registrations(ACME)
    assert caught.value.failure.reason is Reason.AppSuspended


@virtual
async def test_an_unknown_app_and_a_foreign_key_are_refused_credentials() -> None:
    scene = Scene()
    stranger = scene.world.accounts.add_app(
        public_key=scene.app.public_key.replace("A", "B", 0), slug="other"
    )
    scene.world.accounts.apps.pop(stranger.id)
    with pytest.raises(UpstreamError) as caught:
        await scene.connect(scene.app_secret(appId=str(stranger.id))).registrations(ACME)
    assert caught.value.failure.reason is Reason.GitHubUnauthorized
    assert "appId" in caught.value.failure.message


@virtual
async def test_a_dead_personal_token_is_not_tried_twice() -> None:
    scene = Scene()
    with pytest.raises(UpstreamError) as caught:
        await scene.connect({"token": TOKEN}).registrations(LIB)
    assert caught.value.failure.reason is Reason.GitHubUnauthorized
    assert caught.value.failure.disposition is Disposition.PERSON
    assert len(scene.exchange.log) == 1


@virtual
async def test_closing_ends_a_token_under_way_and_may_be_done_twice() -> None:
    scene = Scene()
    github = scene.connect()
    caller = asyncio.create_task(github.registrations(ACME))
    await asyncio.sleep(0.01)
    caller.cancel()
    await github.close()
    await github.close()
    assert scene.count(MINT) == 0


# ---------------------------------------------------------------------------------------- what a token may do
WIDE = {
    "actions": "write",
    "administration": "read",
    "contents": "write",
    "metadata": "read",
    "organization_self_hosted_runners": "write",
    "secrets": "write",
}


@pytest.mark.parametrize(
    ("granted", "needed"),
    [
        (
            WIDE,
            {
                "actions": "write",
                "administration": "read",
                "metadata": "read",
                "organization_self_hosted_runners": "write",
            },
        ),
        ({"actions": "read", "metadata": "write"}, {"actions": "read", "metadata": "read"}),
        ({"administration": "admin"}, {"administration": "write"}),
        ({"actions": "no such level", "contents": "write"}, {}),
        ({}, {}),
    ],
)
def test_a_token_needs_what_is_used_and_was_granted(granted: dict[str, str], needed: dict[str, str]) -> None:
    assert needed_of(granted) == needed


@virtual
async def test_a_token_cannot_do_what_the_controller_never_does_although_the_installation_may() -> None:
    scene = Scene()
    scene.world.accounts.change_installation(scene.installation.id, permissions=WIDE)
    github = scene.connect()
    await github.registrations(ACME)
    assert scene.world.access.asked_permissions() == [needed_of(WIDE)]
    assert (await github.grant()).permissions == WIDE  # what `check` tells is what was granted


@virtual
async def test_a_token_is_asked_for_anew_when_the_installation_has_lost_a_permission() -> None:
    scene = Scene()
    github = scene.connect()
    await github.registrations(ACME)
    left = {"metadata": "read", "organization_self_hosted_runners": "write"}
    scene.world.accounts.change_installation(scene.installation.id, permissions=left)
    await asyncio.sleep(3_600)
    await github.registrations(ACME)
    assert scene.count(MINT, 422) == 1
    assert scene.world.access.asked_permissions()[-1] == left
    with pytest.raises(UpstreamError) as refused:
        await github.runs("acme/lib", "queued")
    assert "actions=read" in refused.value.failure.message


@virtual
async def test_a_permission_that_is_granted_is_used_within_a_minute() -> None:
    scene = Scene()
    granted = {"metadata": "read", "organization_self_hosted_runners": "write"}
    scene.world.accounts.change_installation(scene.installation.id, permissions=granted)
    github = scene.connect()
    for _ in range(20):  # two minutes, in which nobody grants anything
        with pytest.raises(UpstreamError):
            await github.runs("acme/lib", "queued")
        await asyncio.sleep(6)
    assert scene.count(MINT) == 1
    assert (
        scene.count("GET /app/installations/{installation_id}") + scene.count("GET /orgs/{org}/installation")
        <= 4
    )
    scene.world.accounts.change_installation(
        scene.installation.id, permissions={**granted, "actions": "read"}
    )
    refusals = 0
    while refusals < 20:
        try:
            await github.runs("acme/lib", "queued")
        except UpstreamError:
            refusals += 1
            await asyncio.sleep(6)
        else:
            break
    assert refusals <= 10
    assert scene.count(MINT) == 2


@virtual
async def test_a_host_that_knows_a_permission_by_no_such_name_is_asked_for_all_that_was_granted() -> None:
    scene = Scene()
    scene.fault(route=MINT, kind="status", status=422, times=2)
    await scene.connect().registrations(ACME)
    assert scene.count(MINT, 422) == 2
    assert scene.world.access.asked_permissions() == [None]


@virtual
async def test_a_token_that_is_refused_with_422_whatever_is_asked_for_is_an_error() -> None:
    scene = Scene()
    scene.fault(route=MINT, kind="status", status=422, times=None)
    with pytest.raises(UpstreamError) as refused:
        await scene.connect().registrations(ACME)
    assert refused.value.failure.reason is Reason.GitHubRejected
