"""Several tenants on one GitHub, with Apps, installations and personal tokens of their own: each
sees what its rights allow.
"""

from __future__ import annotations

import jwt as pyjwt

from hf_runner_simulators.github.keys import private_key, public_key_of
from tests.sim.github.scene import KEY, Scene

RUNS = "/repos/acme/api/actions/runs"


def second_app(scene: Scene, account: str = "acme", **more: object) -> tuple[int, str]:
    """Install another App, and return the installation and a token of it."""
    app = scene.world.accounts.add_app(public_key=public_key_of(private_key()), slug="other")
    row = scene.world.accounts.install(app.id, account, **more)  # type: ignore[arg-type]
    now = int(scene.clock.wall())
    signed = pyjwt.encode({"iat": now - 60, "exp": now + 540, "iss": str(app.id)}, KEY, algorithm="RS256")
    made = scene.post(f"/app/installations/{row.id}/access_tokens", token=signed)
    return row.id, made.body["token"]


def left(scene: Scene, token: str) -> int:
    return int(scene.get(RUNS, token=token).headers["X-RateLimit-Remaining"])


def test_two_apps_on_one_organization_see_the_same_place_and_have_a_quota_each(scene: Scene) -> None:
    _, other = second_app(scene)
    scene.queue()
    scene.runner()
    for token in (scene.token, other):
        assert scene.get(RUNS, token=token, status="queued").body["total_count"] == 1
        assert scene.get("/orgs/acme/actions/runners", token=token).body["total_count"] == 1
    before = left(scene, other)
    assert {left(scene, scene.token) for _ in range(3)} != {before}
    assert left(scene, other) == before - 1


def test_two_tokens_of_one_installation_share_its_quota_and_its_points(scene: Scene) -> None:
    first, second = scene.token, scene.new_token()
    before = left(scene, first)
    assert left(scene, second) == before - 1
    _, other = second_app(scene)
    scene.wait(61)
    scene.world.turn(secondary_points_per_minute=2)
    assert [scene.get(RUNS, token=token).status for token in (first, second, first)] == [200, 200, 403]
    assert scene.get(RUNS, token=other).status == 200


def test_an_installation_sees_only_what_it_was_installed_on(scene: Scene) -> None:
    scene.world.accounts.add_repository("beta/app")
    _, narrow = second_app(scene, repositories=["acme/web"])
    _, elsewhere = second_app(scene, account="beta")
    assert scene.get(RUNS, token=narrow).status == 404
    assert scene.get("/repos/acme/web/actions/runs", token=narrow).status == 200
    assert scene.get(RUNS, token=elsewhere).status == 404
    assert scene.get("/orgs/acme/actions/runners", token=elsewhere).status == 404
    rows = scene.get("/installation/repositories", token=elsewhere).body["repositories"]
    assert [row["full_name"] for row in rows] == ["beta/app"]


def test_a_users_token_sees_what_is_private_where_the_user_is_a_member(scene: Scene) -> None:
    accounts, access = scene.world.accounts, scene.world.access
    for login in ("ann", "bob"):
        accounts.add_user(login)
        access.add_user_token(f"ghp_{login}", login, scopes=["repo", "admin:org"])
    accounts.add_organization("beta", members=["ann"])
    accounts.add_repository("beta/app")
    for path in ("/repos/beta/app", "/orgs/beta/actions/runners"):
        assert [scene.get(path, token=f"ghp_{login}").status for login in ("ann", "bob")] == [200, 404], path
    seen = {
        login: {row["full_name"] for row in scene.get("/user/repos", token=f"ghp_{login}").body}
        for login in ("ann", "bob")
    }
    assert seen["ann"] - seen["bob"] == {"beta/app"}


def test_tokens_of_one_user_share_a_quota_and_those_of_two_do_not(scene: Scene) -> None:
    for login in ("ann", "bob"):
        scene.world.accounts.add_user(login)
        for n in (1, 2):
            scene.world.access.add_user_token(f"ghp_{login}{n}", login, scopes=["repo"])
    assert left(scene, "ghp_ann1") == 4_999
    assert left(scene, "ghp_ann2") == 4_998
    assert left(scene, "ghp_bob1") == 4_999


def test_a_member_list_comes_with_the_setup(scene: Scene) -> None:
    body = {
        "users": ["ann", "bob"],
        "organizations": [{"login": "beta", "members": ["ann"]}],
        "repositories": [{"full_name": "beta/app"}],
        "tokens": [{"token": f"ghp_{name}", "login": name, "scopes": ["repo"]} for name in ("ann", "bob")],
    }
    assert scene.post("/_sim/setup", body=body).status == 201
    assert [scene.get("/repos/beta/app", token=f"ghp_{name}").status for name in ("ann", "bob")] == [200, 404]
