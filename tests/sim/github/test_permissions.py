"""Who sees what, and how a missing permission reads."""

from __future__ import annotations

import re

import pytest

from hf_runner_simulators.github.model import Scope
from tests.sim.github.scene import Scene

RUNS = "/repos/acme/api/actions/runs"


def test_a_private_repository_outside_the_installation_does_not_exist(scene: Scene) -> None:
    scene.world.accounts.add_repository("other/secret")
    refused = scene.get("/repos/other/secret/actions/runs")
    assert (refused.status, refused.message) == (404, "Not Found")
    assert scene.get("/repos/acme/nothing/actions/runs").status == 404


def test_runs_of_a_public_repository_can_be_read_without_permission(scene: Scene) -> None:
    scene.world.accounts.add_repository("other/open", private=False)
    assert scene.get("/repos/other/open/actions/runs").status == 200
    assert scene.get("/repos/other/open/actions/runs", token=None).status == 200
    assert scene.get("/repos/other/open/actions/runners").status == 403
    assert scene.get("/repos/other/open/actions/runners", token=None).status == 401


def test_a_public_repositorys_runs_can_be_read_but_not_cancelled(scene: Scene) -> None:
    scene.world.accounts.add_repository("other/open", private=False)
    job = scene.queue(repository="other/open")
    assert scene.post(f"/repos/other/open/actions/runs/{job.run_id}/cancel").status == 403
    assert scene.job(job.id).status == "queued"


def test_a_narrowed_token_shrinks_with_its_installation(scene: Scene) -> None:
    token = scene.new_token(repositories=["api", "web"], permissions={"actions": "read"})
    scene.world.accounts.change_installation(scene.installation.id, repositories=frozenset({"acme/web"}))
    assert scene.get(RUNS, token=token).status == 404
    assert scene.get("/repos/acme/web/actions/runs", token=token).status == 200
    scene.world.accounts.change_installation(scene.installation.id, permissions={"metadata": "read"})
    assert scene.get("/repos/acme/web/actions/runs", token=token).status == 403


@pytest.mark.parametrize(
    ("permission", "method", "path"),
    [
        ("actions", "GET", RUNS),
        ("administration", "GET", "/repos/acme/api/actions/runners"),
        ("organization_self_hosted_runners", "GET", "/orgs/acme/actions/runners"),
        ("organization_self_hosted_runners", "GET", "/orgs/acme/actions/runner-groups"),
        ("organization_self_hosted_runners", "DELETE", "/orgs/acme/actions/runners/1"),
    ],
)
def test_a_missing_permission_of_the_app_is_refused_and_named(
    scene: Scene, permission: str, method: str, path: str
) -> None:
    granted = {k: v for k, v in scene.installation.permissions.items() if k != permission}
    scene.world.accounts.change_installation(scene.installation.id, permissions=granted)
    refused = scene.send(method, path)
    assert (refused.status, refused.message) == (403, "Resource not accessible by integration")
    level = "write" if method == "DELETE" else "read"
    assert refused.headers["X-Accepted-GitHub-Permissions"] == f"{permission}={level}"


def test_accepted_permissions_are_named_on_success_too(scene: Scene) -> None:
    assert scene.get(RUNS).headers["X-Accepted-GitHub-Permissions"] == "actions=read"
    assert (
        scene.register("r1").headers["X-Accepted-GitHub-Permissions"]
        == "organization_self_hosted_runners=write"
    )


def test_reading_needs_less_than_writing(scene: Scene) -> None:
    scene.world.accounts.change_installation(scene.installation.id, permissions={"administration": "read"})
    assert scene.get("/repos/acme/api/actions/runners").status == 200
    assert scene.register("r1", root="/repos/acme/api").status == 403


def test_a_fine_grained_token_is_refused_in_its_own_words(scene: Scene) -> None:
    scene.world.accounts.add_user("octocat")
    scene.world.access.add_user_token(
        "github_pat_1", "octocat", permissions={"actions": "read"}, account="acme"
    )
    assert scene.get(RUNS, token="github_pat_1").status == 200
    refused = scene.get("/orgs/acme/actions/runners", token="github_pat_1")
    assert (refused.status, refused.message) == (403, "Resource not accessible by personal access token")
    scene.world.accounts.add_repository("other/secret")
    assert scene.get("/repos/other/secret/actions/runs", token="github_pat_1").status == 404


def test_a_classic_token_is_told_the_scopes_it_has_and_needs(scene: Scene) -> None:
    scene.world.accounts.add_user("octocat")
    scene.world.access.add_user_token("ghp_1", "octocat", scopes=["repo", "read:org"])
    assert scene.register("r1", root="/repos/acme/api").status == 201
    refused = scene.get("/orgs/acme/actions/runners", token="ghp_1")
    assert refused.status == 403
    assert refused.headers["X-OAuth-Scopes"] == "repo, read:org"
    assert refused.headers["X-Accepted-OAuth-Scopes"] == "admin:org"


def test_a_token_with_an_end_tells_it_with_every_answer_and_is_refused_from_then_on(scene: Scene) -> None:
    scene.world.accounts.add_user("octocat")
    scene.world.access.add_user_token("ghp_1", "octocat", scopes=["repo"], ends_at=scene.world.time.now + 90)
    scene.world.access.add_user_token("ghp_2", "octocat", scopes=["repo"])
    header = "GitHub-Authentication-Token-Expiration"
    refused = scene.get("/orgs/acme/actions/runners", token="ghp_1")
    assert refused.status == 403
    for told in (scene.get(RUNS, token="ghp_1"), refused):
        assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC", told.headers[header])
    assert header not in scene.get(RUNS, token="ghp_2").headers
    assert header not in scene.get(RUNS).headers
    scene.wait(91)
    ended = scene.get(RUNS, token="ghp_1")
    assert (ended.status, ended.message) == (401, "Bad credentials")


def test_the_scope_for_images_of_hosted_runners_opens_no_runners_of_an_organization(scene: Scene) -> None:
    scene.world.accounts.add_user("octocat")
    scene.world.access.add_user_token("ghp_1", "octocat", scopes=["repo", "manage_runners:org"])
    assert scene.get("/orgs/acme/actions/runners", token="ghp_1").status == 403


def test_an_enterprise_is_opened_by_a_classic_token_only(scene: Scene) -> None:
    scene.world.accounts.add_organization("big-corp", enterprise="big")
    scene.world.accounts.install(scene.app.id, "big")
    scene.world.access.add_user_token("ghp_1", "hf", scopes=["manage_runners:enterprise"])
    assert scene.get("/enterprises/big/actions/runners", token="ghp_1").status == 200
    assert scene.get("/enterprises/big/actions/runners").status == 404
    assert scene.get("/enterprises/none/actions/runners", token="ghp_1").status == 404


def test_one_repository_of_many_can_be_lost(scene: Scene) -> None:
    text = "Although you appear to have the correct authorization credentials, the `acme` organization has an IP allow list enabled"
    scene.world.accounts.block_repository("acme/api", status=403, message=text)
    refused = scene.get(RUNS)
    assert (refused.status, refused.message) == (403, text)
    assert scene.get("/repos/acme/web/actions/runs").status == 200
    scene.world.accounts.unblock_repository("acme/api")
    assert scene.get(RUNS).status == 200


def test_a_repository_taken_from_the_installation_is_gone_at_once(scene: Scene) -> None:
    scene.world.accounts.change_installation(scene.installation.id, repositories=frozenset({"acme/web"}))
    assert scene.get(RUNS).status == 404
    assert [row["name"] for row in scene.get("/installation/repositories").body["repositories"]] == ["web"]


def test_a_deleted_repository_is_not_found(scene: Scene) -> None:
    scene.world.accounts.remove_repository("acme/api")
    assert scene.get(RUNS).status == 404


def test_a_renamed_repository_redirects_to_its_number(scene: Scene) -> None:
    job = scene.queue()
    scene.world.accounts.rename_repository("acme/api", "backend")
    moved = scene.get(RUNS, status="queued")
    assert moved.status == 301
    assert moved.headers["Location"].startswith("http://127.0.0.1:8080/repositories/")
    followed = scene.get(moved.headers["Location"])
    assert [row["id"] for row in followed.body["workflow_runs"]] == [job.run_id]
    assert followed.body["workflow_runs"][0]["repository"]["full_name"] == "acme/backend"


def test_an_enterprise_installation_reaches_its_organizations(scene: Scene) -> None:
    scene.world.accounts.add_organization("big-corp", enterprise="big")
    scene.world.accounts.add_repository("big-corp/app")
    row = scene.world.accounts.install(scene.app.id, "big")
    token = scene.post(f"/app/installations/{row.id}/access_tokens", token=scene.jwt()).body["token"]
    assert scene.get("/repos/big-corp/app/actions/runs", token=token).status == 200
    assert scene.get("/repos/acme/api/actions/runs", token=token).status == 404


def test_organization_lists_show_public_and_accessible_repositories(scene: Scene) -> None:
    def names(token: str | None) -> set[str]:
        return {row["name"] for row in scene.get("/orgs/acme/repos", token=token).body}

    assert names(scene.token) == {"api", "web", "site"}
    assert names(None) == {"site"}


def test_repository_lists_can_be_sorted(scene: Scene) -> None:
    for name, day in (("api", 3), ("web", 1), ("site", 2)):
        pushed = scene.clock.wall() + 86_400 * day
        scene.world.accounts.change_repository(f"acme/{name}", pushed_at=pushed)
    newest = [row["name"] for row in scene.get("/orgs/acme/repos", sort="pushed").body]
    oldest = [row["name"] for row in scene.get("/orgs/acme/repos", sort="pushed", direction="asc").body]
    assert newest == ["api", "site", "web"]
    assert oldest == newest[::-1]


def test_a_personal_token_lists_what_its_user_owns_or_joined(scene: Scene) -> None:
    scene.world.accounts.add_user("octocat")
    scene.world.accounts.add_user("hubot")
    for name in ("octocat/dotfiles", "hubot/brain"):
        scene.world.accounts.add_repository(name)
    scene.world.access.add_user_token("ghp_1", "octocat", scopes=["repo"])

    def names(affiliation: str) -> list[str]:
        return [
            row["full_name"] for row in scene.get("/user/repos", token="ghp_1", affiliation=affiliation).body
        ]

    assert names("owner") == ["octocat/dotfiles"]
    assert names("collaborator") == ["hubot/brain"]
    assert names("organization_member") == ["acme/api", "acme/site", "acme/web"]
    assert scene.get("/user/repos").status == 403
    assert scene.get("/installation/repositories", token="ghp_1").status == 403


def test_archived_and_disabled_repositories_are_marked(scene: Scene) -> None:
    scene.world.accounts.change_repository("acme/api", archived=True)
    scene.world.accounts.change_repository("acme/web", disabled=True)
    rows = {row["name"]: row for row in scene.get("/installation/repositories").body["repositories"]}
    assert (rows["api"]["archived"], rows["web"]["disabled"], rows["site"]["archived"]) == (True, True, False)


def test_groups_serve_the_repositories_that_they_name(scene: Scene) -> None:
    acme = Scope("org", "acme")
    group = scene.world.accounts.add_group(acme, "gpu", visibility="selected", selected=["acme/api"])
    path = "/orgs/acme/actions/runner-groups"
    listed = scene.get(f"{path}/{group.id}/repositories").body["repositories"]
    assert [row["full_name"] for row in listed] == ["acme/api"]
    visible = {name: scene.get(path, visible_to_repository=name).body for name in ("api", "web", "site")}
    names = {name: [row["name"] for row in body["runner_groups"]] for name, body in visible.items()}
    assert names == {"api": ["Default", "gpu"], "web": ["Default"], "site": []}
    assert scene.get(f"{path}/99").status == 404
