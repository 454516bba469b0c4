"""App JWTs, installation tokens, personal tokens."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.sim.github.scene import Scene

APP = "/app"


def test_an_app_signs_in_with_its_id_or_its_client_id(scene: Scene) -> None:
    assert scene.get(APP, token=scene.jwt()).body["id"] == scene.app.id
    assert scene.get(APP, token=scene.jwt(iss=scene.app.client_id)).body["slug"] == "hf-runner-controller"


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ({"issued": 1}, "'Issued at' claim ('iat') must be an Integer"),
        ({"iat": "soon"}, "'Issued at' claim ('iat') must be an Integer"),
        ({"iat": None}, "Missing 'issued at' claim"),
        ({"expires": 601}, "'Expiration time' claim ('exp') is too far in the future"),
        ({"expires": -1}, "'Expiration time' claim ('exp') must be a numeric value"),
        ({"exp": None}, "Missing 'expiration time' claim"),
    ],
)
def test_a_jwt_with_wrong_times_is_told_which(scene: Scene, times: dict[str, Any], message: str) -> None:
    refused = scene.get(APP, token=scene.jwt(**times))
    assert refused.status == 401
    assert refused.message.startswith(message)


def test_a_jwt_of_exactly_ten_minutes_fails_when_the_caller_is_a_second_ahead(scene: Scene) -> None:
    exact = scene.jwt(issued=0, expires=600)
    assert scene.get(APP, token=exact).status == 200
    ahead = scene.jwt(issued=-59, expires=601)
    assert scene.get(APP, token=ahead).status == 401


def test_the_date_header_tells_a_skewed_caller_the_time(scene: Scene) -> None:
    refused = scene.get(APP, token=scene.jwt(issued=240, expires=840))
    told = datetime.strptime(refused.headers["Date"], "%a, %d %b %Y %H:%M:%S %Z").replace(tzinfo=UTC)
    assert told.timestamp() == int(scene.clock.wall())


def test_a_leeway_can_be_granted(scene: Scene) -> None:
    scene.world.turn(jwt_leeway_seconds=5.0)
    assert scene.get(APP, token=scene.jwt(issued=4, expires=604)).status == 200
    assert scene.get(APP, token=scene.jwt(issued=6)).status == 401


def test_a_jwt_signed_with_another_key_or_algorithm_is_not_decoded(scene: Scene) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    symmetric = jwt.encode({"iss": str(scene.app.id), "iat": 0, "exp": 0}, "x" * 32, algorithm="HS256")
    for token in (scene.jwt(key=other), symmetric, "eyJhbGciOiJSUzI1NiJ9.nonsense.nonsense"):
        refused = scene.get(APP, token=token)
        assert (refused.status, refused.message) == (401, "A JSON web token could not be decoded")


def test_an_unknown_app_is_not_found(scene: Scene) -> None:
    refused = scene.get(APP, token=scene.jwt(iss="424242"))
    assert (refused.status, refused.message) == (404, "Integration not found")


def test_jwt_and_token_do_not_open_each_others_routes(scene: Scene) -> None:
    assert scene.get(APP).message == "A JSON web token could not be decoded"
    refused = scene.get("/repos/acme/api/actions/runs", token=scene.jwt())
    assert (refused.status, refused.message) == (401, "Requires authentication")


def test_an_installation_token_lives_for_an_hour_of_the_worlds_time(scene: Scene) -> None:
    token = scene.new_token()
    scene.wait(3_599)
    assert scene.get("/installation/repositories", token=token).status == 200
    scene.wait(1)
    refused = scene.get("/installation/repositories", token=token)
    assert (refused.status, refused.message) == (401, "Bad credentials")


def test_tokens_are_long_unless_asked_to_be_short(scene: Scene) -> None:
    assert len(scene.token) > 255
    assert scene.token.startswith(f"ghs_{scene.app.id}_")
    scene.world.turn(long_tokens=False)
    assert len(scene.new_token()) == 40


def test_a_token_can_be_narrowed_to_repositories_and_permissions(scene: Scene) -> None:
    token = scene.new_token(repositories=["api"], permissions={"actions": "read"})
    assert scene.get("/repos/acme/api/actions/runs", token=token).status == 200
    assert scene.get("/repos/acme/web/actions/runs", token=token).status == 404
    assert scene.get("/orgs/acme/actions/runners", token=token).status == 403
    listed = scene.get("/installation/repositories", token=token).body
    assert [row["name"] for row in listed["repositories"]] == ["api"]
    assert listed["repository_selection"] == "selected"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"permissions": {"checks": "write"}},
            "The permissions requested are not granted to this installation.",
        ),
        (
            {"permissions": {"actions": "write"}},
            "The permissions requested are not granted to this installation.",
        ),
        (
            {"repositories": ["nope"]},
            "There is at least one repository that does not exist or is not accessible",
        ),
    ],
)
def test_a_token_cannot_be_wider_than_the_installation(
    scene: Scene, body: dict[str, object], message: str
) -> None:
    path = f"/app/installations/{scene.installation.id}/access_tokens"
    refused = scene.post(path, body=body, token=scene.jwt())
    assert refused.status == 422
    assert refused.message.startswith(message)


def test_a_suspended_installation_gives_no_tokens_and_its_tokens_stop_working(scene: Scene) -> None:
    scene.world.accounts.change_installation(scene.installation.id, suspended_at=scene.clock.wall())
    path = f"/app/installations/{scene.installation.id}/access_tokens"
    refused = scene.post(path, token=scene.jwt())
    assert (refused.status, refused.message) == (403, "This installation has been suspended")
    assert scene.get("/installation/repositories").status == 403


def test_a_removed_installation_is_not_found_and_its_tokens_are_worthless(scene: Scene) -> None:
    scene.world.accounts.uninstall(scene.installation.id)
    path = f"/app/installations/{scene.installation.id}/access_tokens"
    assert scene.post(path, token=scene.jwt()).status == 404
    assert scene.get("/orgs/acme/installation", token=scene.jwt()).status == 404
    assert scene.get("/installation/repositories").status == 401


def test_an_installation_is_found_under_the_kind_of_its_account_only(scene: Scene) -> None:
    scene.world.accounts.add_user("octocat")
    scene.world.accounts.install(scene.app.id, "octocat")
    token = scene.jwt()
    assert scene.get("/orgs/acme/installation", token=token).body["id"] == scene.installation.id
    assert scene.get("/users/octocat/installation", token=token).status == 200
    assert scene.get("/users/acme/installation", token=token).status == 404
    assert scene.get("/orgs/octocat/installation", token=token).status == 404
    assert scene.get("/repos/acme/api/installation", token=token).body["id"] == scene.installation.id


def test_an_app_that_is_not_installed_on_a_repository_does_not_find_it(scene: Scene) -> None:
    scene.world.accounts.change_installation(scene.installation.id, repositories=frozenset({"acme/api"}))
    token = scene.jwt()
    assert scene.get("/repos/acme/api/installation", token=token).status == 200
    assert scene.get("/repos/acme/web/installation", token=token).status == 404


@pytest.mark.parametrize("authorization", ["Bearer ghp_unknown", "token ", "Basic Zm9vOmJhcg==", "nonsense"])
def test_unknown_credentials_are_bad(scene: Scene, authorization: str) -> None:
    refused = scene.get("/meta", token=None, headers={"authorization": authorization})
    assert (refused.status, refused.message) == (401, "Bad credentials")


def test_a_revoked_personal_token_is_bad(scene: Scene) -> None:
    scene.world.accounts.add_user("octocat")
    scene.world.access.add_user_token("ghp_1", "octocat", scopes=["repo"])
    assert scene.get("/repos/acme/api/actions/runs", token="ghp_1").status == 200
    scene.world.access.revoke_token("ghp_1")
    assert scene.get("/repos/acme/api/actions/runs", token="ghp_1").status == 401


def test_a_request_without_user_agent_is_rejected(scene: Scene) -> None:
    refused = scene.get("/meta", headers={"user-agent": ""})
    assert refused.status == 403
    assert b"User-Agent" in refused.body


def test_an_api_version_that_does_not_exist_is_refused(scene: Scene) -> None:
    assert scene.get("/meta", headers={"x-github-api-version": "2026-03-10"}).status == 200
    assert scene.get("/meta", headers={"x-github-api-version": "2019-01-01"}).status == 400


def test_a_broken_body_is_named(scene: Scene) -> None:
    path = f"/app/installations/{scene.installation.id}/access_tokens"
    assert scene.post(path, body=b"{", token=scene.jwt()).message == "Problems parsing JSON"
    assert scene.post(path, body=[], token=scene.jwt()).status == 400


def test_no_token_and_no_key_shows_in_a_representation(scene: Scene) -> None:
    issued = scene.world.access.create_token(
        scene.world.access.authenticate(f"Bearer {scene.jwt()}"), scene.installation.id
    )
    runner = scene.runner()
    made = scene.world.runners.get(runner.scope, runner.id)
    shown = repr([issued, made, scene.app])
    assert issued.token not in shown
    assert made.secret not in shown
    assert "PUBLIC KEY" not in shown
