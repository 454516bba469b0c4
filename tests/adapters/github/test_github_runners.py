"""Registrations against the simulated GitHub, and what a lost or refused call means."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from controller.core.model import Disposition, Failure, Scope, ScopeKind
from controller.core.reasons import Reason
from controller.ports import JitConfig, Removal, UpstreamError
from hf_runner_simulators.github.model import Scope as SimScope
from tests.adapters.github.scene import ACME, LABELS, LIB, TOKEN, Scene, Script, answer, source, virtual

JIT = "POST /orgs/{org}/actions/runners/generate-jitconfig"
GROUPS = "GET /orgs/{org}/actions/runner-groups"
DELETE = "DELETE /orgs/{org}/actions/runners/{runner_id}"
GPU_ORG = SimScope("org", "acme")


async def refused(scene: Scene, scope: Scope = ACME, *, group: str | None = None, name: str = "r") -> Failure:
    """Register and return the failure."""
    with pytest.raises(UpstreamError) as caught:
        await scene.connect().register(scope, name=name, labels=LABELS, group=group)
    return caught.value.failure


@pytest.mark.parametrize("scope", [ACME, LIB], ids=str)
@virtual
async def test_a_registered_runner_can_take_a_job(scope: Scope) -> None:
    scene = Scene()
    github = scene.connect()
    made = await github.register(scope, name="r-1", labels=LABELS, group=None)
    assert made.registration.labels == LABELS
    assert not made.registration.online
    session = scene.world.listeners.connect(made.encoded)
    scene.world.workflows.queue_jobs("acme/lib", ["gpu"])
    assert scene.world.listeners.poll(session.token) is not None
    (seen,) = (await github.registrations(scope)).items
    assert (seen.id, seen.name, seen.online, seen.busy) == (made.registration.id, "r-1", True, True)


@virtual
async def test_an_enterprises_runner_is_registered_with_a_token() -> None:
    scene = Scene()
    scene.world.accounts.add_organization("big-org", enterprise="big")
    scene.world.access.add_user_token(TOKEN, "big-org", scopes=["manage_runners:enterprise"])
    github = scene.connect({"token": TOKEN}, source=source(owner="big", enterprise=True))
    scope = Scope(kind=ScopeKind.ENTERPRISE, owner="big")
    made = await github.register(scope, name="r-1", labels=LABELS, group=None)
    assert await github.find(scope, "r-1") == made.registration


@virtual
async def test_labels_are_sent_verbatim_and_none_is_added() -> None:
    script = Script(answer(500))
    with pytest.raises(UpstreamError):
        await script.connect().register(LIB, name="r", labels=["self-hosted", "GPU"], group=None)
    assert b'"labels":["self-hosted","GPU"],"work_folder":"_work"' in script.requests[0].content
    assert b'"runner_group_id":1' in script.requests[0].content


@virtual
async def test_a_group_is_looked_up_by_its_name_once_for_a_burst() -> None:
    scene = Scene()
    group = scene.world.accounts.add_group(GPU_ORG, "GPU machines")
    github = scene.connect()
    await asyncio.gather(
        *(github.register(ACME, name=f"r{n}", labels=LABELS, group="gpu machines") for n in range(20))
    )
    assert scene.count(GROUPS) == 1
    assert len(scene.world.runners.list(GPU_ORG, group_id=group.id)) == 20


@virtual
async def test_a_group_that_was_made_anew_is_looked_up_again() -> None:
    scene = Scene()
    old = scene.world.accounts.add_group(GPU_ORG, "gpu")
    github = scene.connect()
    await github.register(ACME, name="r-1", labels=LABELS, group="gpu")
    del scene.world.store.groups[GPU_ORG][old.id]
    new = scene.world.accounts.add_group(GPU_ORG, "gpu")
    await github.register(ACME, name="r-2", labels=LABELS, group="gpu")
    assert [r.name for r in scene.world.runners.list(GPU_ORG, group_id=new.id)] == ["r-2"]


@virtual
async def test_a_missing_group_is_named_with_those_that_exist_and_looked_for_again_later() -> None:
    scene = Scene()
    scene.world.accounts.add_group(GPU_ORG, "gpu")
    github = scene.connect()
    with pytest.raises(UpstreamError) as caught:
        await github.register(ACME, name="r", labels=LABELS, group="gpus")
    failure = caught.value.failure
    assert (failure.reason, failure.disposition) == (Reason.RunnerGroupMissing, Disposition.PERSON)
    assert "'gpus'" in failure.message
    assert "Default, gpu" in failure.message
    scene.world.accounts.add_group(GPU_ORG, "gpus")
    await asyncio.sleep(31)
    await github.register(ACME, name="r", labels=LABELS, group="gpus")


@virtual
async def test_a_repository_has_no_groups() -> None:
    failure = await refused(Scene(), LIB, group="gpu")
    assert failure.reason is Reason.RunnerGroupMissing
    assert "owner's URL" in failure.message


@virtual
async def test_a_name_that_is_taken_is_said_without_doubt() -> None:
    scene = Scene()
    await scene.connect().register(ACME, name="r", labels=LABELS, group=None)
    failure = await refused(scene)
    assert failure.reason is Reason.RunnerNameTaken
    assert not failure.in_doubt


@virtual
async def test_disabled_runners_and_actions_are_said() -> None:
    scene = Scene()
    scene.world.accounts.change_repository("acme/lib", runners_enabled=False)
    assert (await refused(scene, LIB)).reason is Reason.RunnersDisabled
    scene.world.accounts.change_repository("acme/lib", actions_enabled=False)
    failure = await refused(scene, LIB)
    assert (failure.reason, failure.disposition) == (Reason.RunnersDisabled, Disposition.PERSON)


@virtual
async def test_a_full_group_is_said() -> None:
    scene = Scene(runners_per_group=1)
    await scene.connect().register(ACME, name="r-0", labels=LABELS, group=None)
    assert (await refused(scene)).reason is Reason.RunnerGroupFull


@virtual
async def test_a_missing_permission_is_named() -> None:
    scene = Scene()
    scene.world.accounts.change_installation(
        scene.installation.id,
        permissions={"metadata": "read", "actions": "read", "organization_self_hosted_runners": "read"},
    )
    failure = await refused(scene)
    assert (failure.reason, failure.disposition) == (Reason.PermissionMissing, Disposition.PERSON)
    assert "organization_self_hosted_runners=write" in failure.message
    assert failure.request_id
    assert not failure.in_doubt


@virtual
async def test_a_tokens_missing_scope_is_named() -> None:
    scopes = {"x-accepted-oauth-scopes": "admin:org", "x-oauth-scopes": "repo"}
    said = {"message": "Must be an organization owner."}
    with pytest.raises(UpstreamError) as caught:
        await Script(answer(403, said, **scopes)).connect().registrations(ACME)
    assert caught.value.failure.reason is Reason.PermissionMissing
    assert "admin:org" in caught.value.failure.message


@virtual
async def test_an_organizations_url_for_a_personal_account_is_explained() -> None:
    def personal(request: Any) -> object:
        return (
            answer(200, {"type": "User"})
            if "/users/" in str(request.url)
            else answer(404, {"message": "Not Found"})
        )

    ada = Scope(kind=ScopeKind.ORGANIZATION, owner="ada")
    script = Script(personal)
    github = script.connect(source=source(owner="ada"))
    for call in (
        lambda: github.registrations(ada),
        lambda: github.register(ada, name="r", labels=LABELS, group=None),
    ):
        with pytest.raises(UpstreamError) as caught:
            await call()
        assert caught.value.failure.reason is Reason.PersonalAccount
        assert caught.value.failure.disposition is Disposition.PERSON
    assert sum(request.url.path == "/users/ada" for request in script.requests) == 1


# ---------------------------------------------------------------------------------------- when nobody answers
UNSENT = [{"kind": "unreachable"}, {"kind": "blackhole"}]
NO_EFFECT = [
    {"kind": "lost_request"},
    {"kind": "hang", "when": "before"},
    {"kind": "status", "status": 500, "when": "before"},
]
EFFECT = [
    {"kind": "lost_answer"},
    {"kind": "hang", "when": "after"},
    {"kind": "status", "status": 502, "when": "after"},
    {"kind": "truncate"},
    {"kind": "malformed"},
    {"kind": "malformed", "body": {"runner": {"id": 1}}},
    {"kind": "malformed", "body": "[]"},
]


def named(rule: dict[str, object]) -> str:
    return "-".join(str(value) for value in rule.values())


@pytest.mark.parametrize("rule", [*UNSENT, *NO_EFFECT, *EFFECT], ids=named)
@virtual
async def test_doubt_is_claimed_unless_nothing_was_sent_and_the_name_tells_what_happened(
    rule: dict[str, object],
) -> None:
    scene = Scene()
    scene.fault(route=JIT, **rule)
    github = scene.connect()
    with pytest.raises(UpstreamError) as caught:
        await github.register(ACME, name="r-1", labels=LABELS, group=None)
    failure = caught.value.failure
    assert failure.disposition is Disposition.RETRY
    assert failure.in_doubt is (rule not in UNSENT)
    assert failure.reason in (Reason.GitHubUnavailable, Reason.GitHubMalformed)
    assert (failure.reason is Reason.GitHubMalformed) == (rule["kind"] in ("truncate", "malformed"))
    assert scene.count(JIT) == 1  # never sent again
    assert asyncio.get_running_loop().time() < 61
    found = await github.find(ACME, "r-1")
    assert (found is not None) == (rule in EFFECT)


@pytest.mark.parametrize("rule", [{"kind": "lost_answer"}, {"kind": "hang"}, {"kind": "truncate"}], ids=named)
@virtual
async def test_a_read_without_an_answer_is_never_in_doubt(rule: dict[str, object]) -> None:
    scene = Scene()
    scene.fault(route="GET /orgs/{org}/actions/runners", **rule)
    with pytest.raises(UpstreamError) as caught:
        await scene.connect().registrations(ACME)
    assert not caught.value.failure.in_doubt


# --------------------------------------------------------------------------------------------------- removing
async def registered(scene: Scene, name: str = "r") -> JitConfig:
    return await scene.connect().register(ACME, name=name, labels=LABELS, group=None)


@virtual
async def test_an_idle_runner_is_removed_and_removing_it_again_is_no_error() -> None:
    scene = Scene()
    made = await registered(scene)
    scene.world.listeners.connect(made.encoded)
    github = scene.connect()
    assert await github.deregister(ACME, made.registration.id) is Removal.DONE
    assert await github.deregister(ACME, made.registration.id) is Removal.GONE
    assert (await github.registrations(ACME)).items == ()


@pytest.mark.parametrize("lies", [{}, {"busy_reads_false": True}, {"busy_reads_offline": True}], ids=str)
@virtual
async def test_a_busy_runner_is_left_alone_whatever_its_row_says(lies: dict[str, bool]) -> None:
    scene = Scene(**lies)
    made = await registered(scene)
    session = scene.world.listeners.connect(made.encoded)
    scene.world.workflows.queue_jobs("acme/lib", ["gpu"])
    job = scene.world.listeners.poll(session.token)
    assert job is not None
    github = scene.connect()
    assert await github.deregister(ACME, made.registration.id) is Removal.BUSY
    scene.world.listeners.finish(session.token, job.id, "success")
    assert await github.deregister(ACME, made.registration.id) is Removal.BUSY  # its record lingers
    await asyncio.sleep(15)
    assert await github.deregister(ACME, made.registration.id) is Removal.GONE


@virtual
async def test_a_busy_runner_whose_record_went_when_its_job_started_is_not_said_to_be_idle() -> None:
    scene = Scene(record_goes_at_start=1.0)
    made = await registered(scene)
    session = scene.world.listeners.connect(made.encoded)
    scene.world.workflows.queue_jobs("acme/lib", ["gpu"])
    assert scene.world.listeners.poll(session.token) is not None
    assert await scene.connect().deregister(ACME, made.registration.id) is Removal.GONE


@virtual
async def test_a_404_from_a_scope_that_can_no_longer_be_seen_is_not_taken_for_gone() -> None:
    scene = Scene()
    made = await registered(scene)
    scene.fault(route=DELETE, kind="status", status=404, body={"message": "Not Found"})
    scene.fault(
        route="GET /orgs/{org}/actions/runners", kind="status", status=404, body={"message": "Not Found"}
    )
    with pytest.raises(UpstreamError) as caught:
        await scene.connect().deregister(ACME, made.registration.id)
    assert caught.value.failure.reason is Reason.GitHubNotFound


@virtual
async def test_a_repository_that_was_deleted_is_not_taken_for_a_runner_that_is_gone() -> None:
    scene = Scene()
    github = scene.connect()
    made = await github.register(LIB, name="r", labels=LABELS, group=None)
    scene.world.accounts.remove_repository("acme/lib")
    with pytest.raises(UpstreamError) as caught:
        await github.deregister(LIB, made.registration.id)
    assert caught.value.failure.disposition is Disposition.GONE


@virtual
async def test_another_422_is_not_taken_for_busy() -> None:
    said = {"message": "Validation Failed"}
    with pytest.raises(UpstreamError) as caught:
        await Script(answer(422, said)).connect().deregister(ACME, 7)
    assert caught.value.failure.reason is Reason.GitHubRejected
    old = {"message": 'Bad request - Runner "r" is still running a job"'}
    assert await Script(answer(422, old)).connect().deregister(ACME, 7) is Removal.BUSY


@pytest.mark.parametrize("rule", [{"kind": "lost_answer"}, {"kind": "status", "status": 502}], ids=named)
@virtual
async def test_a_removal_without_an_answer_is_in_doubt_and_may_be_repeated(rule: dict[str, object]) -> None:
    scene = Scene()
    made = await registered(scene)
    scene.fault(route=DELETE, **rule)
    github = scene.connect()
    with pytest.raises(UpstreamError) as caught:
        await github.deregister(ACME, made.registration.id)
    assert caught.value.failure.in_doubt
    assert await github.deregister(ACME, made.registration.id) is not Removal.BUSY


# ---------------------------------------------------------------------------------------------------- finding
@virtual
async def test_a_runner_is_found_by_its_whole_name_only() -> None:
    scene = Scene()
    github = scene.connect()
    for name in ("pool-1", "pool-10", "pool-100"):
        await github.register(ACME, name=name, labels=LABELS, group=None)
    found = await github.find(ACME, "pool-10")
    assert found is not None
    assert found.name == "pool-10"
    assert await github.find(ACME, "pool") is None


@virtual
async def test_a_server_that_ignores_the_name_is_read_to_its_end() -> None:
    rows = [{"id": n, "name": f"r{n}", "status": "online", "busy": False, "labels": []} for n in range(5)]
    github = Script(answer(200, {"total_count": 5, "runners": rows})).connect()
    found = await github.find(ACME, "r3")
    assert found is not None
    assert found.id == 3
    assert await github.find(ACME, "r") is None


@virtual
async def test_the_newest_runner_version_is_told() -> None:
    scene = Scene(runner_version="2.337.1")
    assert await scene.connect().runner_version(ACME) == "2.337.1"
    assert await Script(answer(200, [])).connect().runner_version(LIB) is None
