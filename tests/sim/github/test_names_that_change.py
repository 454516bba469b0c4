"""Renamed and transferred repositories and accounts: numbers stay, old names redirect,
rights and runners come along.
"""

from __future__ import annotations

from typing import Any

import pytest

from hf_runner_simulators.github.model import Scope
from tests.sim.github.scene import ACME, API, Scene

RUNS = "/repos/acme/api/actions/runs"


def moved(scene: Scene, path: str, **more: Any) -> Any:
    answer = scene.get(path, **more)
    assert answer.status == 301, path
    followed = scene.get(answer.headers["Location"], **more)
    assert followed.status == 200
    return followed.body


def test_a_transferred_repository_keeps_its_number_and_is_the_new_owners(scene: Scene) -> None:
    job = scene.queue()
    scene.world.accounts.add_organization("beta")
    number = scene.get("/repos/acme/api").body["id"]
    scene.world.accounts.transfer_repository("acme/api", "beta")
    assert scene.get(RUNS).status == 301
    assert scene.get(f"/repositories/{number}/actions/runs").status == 404, "another account's now"
    row = scene.world.accounts.install(scene.app.id, "beta")
    token = scene.post(f"/app/installations/{row.id}/access_tokens", token=scene.jwt()).body["token"]
    (run,) = moved(scene, RUNS, token=token)["workflow_runs"]
    assert run["id"] == job.run_id
    assert run["repository"]["id"] == number
    assert run["repository"]["full_name"] == "beta/api"


def test_a_transferred_repository_is_served_by_its_new_owners_runners(scene: Scene) -> None:
    scene.world.accounts.add_organization("beta")
    scene.queue()
    scene.world.accounts.transfer_repository("acme/api", "beta")
    assert scene.runner("old").connect().poll() is None
    assert scene.runner("new", scope=Scope("org", "beta")).connect().poll() is not None


def test_a_renamed_owner_keeps_its_number_and_its_repositories_redirect(scene: Scene) -> None:
    job = scene.queue()
    before = scene.get("/repos/acme/api").body
    runner = scene.runner()
    scene.world.accounts.rename_owner("acme", "Acme-Labs")
    assert scene.get("/orgs/acme/actions/runners").status == 404
    assert [row["id"] for row in scene.runners(root="/orgs/acme-labs")] == [runner.id]
    after = moved(scene, "/repos/acme/api")
    assert after["full_name"] == "Acme-Labs/api"
    assert (after["id"], after["owner"]["id"]) == (before["id"], before["owner"]["id"])
    assert [row["id"] for row in moved(scene, RUNS)["workflow_runs"]] == [job.run_id]
    assert scene.get("/orgs/acme-labs/installation", token=scene.jwt()).body["id"] == scene.installation.id


def test_runners_of_a_renamed_repository_and_owner_go_on_working(scene: Scene) -> None:
    own, shared = scene.runner("own", scope=API).connect(), scene.runner("shared").connect()
    scene.world.accounts.rename_repository("acme/api", "backend")
    scene.world.accounts.rename_owner("acme", "acme-labs")
    assert [row["name"] for row in scene.runners(root="/repos/acme-labs/backend")] == ["own"]
    assert scene.register("own", root="/repos/acme-labs/backend").status == 409
    jobs = [scene.queue(repository="acme-labs/backend") for _ in range(2)]
    taken = [runner.take() for runner in (own, shared)]
    assert {job.id for job in taken} == {job.id for job in jobs}


@pytest.mark.parametrize("what", ["repository", "owner"])
def test_a_new_name_takes_no_rights_away(scene: Scene, what: str) -> None:
    narrowed = scene.new_token(repositories=["api"])
    scene.world.access.add_user_token(
        "ghp_1", "hf", permissions={"actions": "read"}, account="acme", repositories=["acme/api"]
    )
    scene.world.accounts.change_installation(scene.installation.id, repositories=frozenset({"acme/api"}))
    group = scene.world.accounts.add_group(ACME, "gpu", visibility="selected", selected=["acme/api"])
    if what == "repository":
        scene.world.accounts.rename_repository("acme/api", "backend")
        name, root = "acme/backend", "/orgs/acme"
    else:
        scene.world.accounts.rename_owner("acme", "acme-labs")
        name, root = "acme-labs/api", "/orgs/acme-labs"
    for token in ("", narrowed, "ghp_1"):
        assert scene.get(f"/repos/{name}/actions/runs", token=token).status == 200
    served = scene.get(f"{root}/actions/runner-groups/{group.id}/repositories").body["repositories"]
    assert [row["full_name"] for row in served] == [name]


def test_an_old_name_that_somebody_takes_is_theirs(scene: Scene) -> None:
    number = scene.get("/repos/acme/api").body["id"]
    scene.world.accounts.rename_repository("acme/api", "backend")
    scene.world.accounts.add_repository("acme/api")
    assert scene.get("/repos/acme/api").body["id"] != number
    assert scene.get("/repos/acme/backend").body["id"] == number


def test_names_change_over_our_routes(scene: Scene) -> None:
    assert scene.post("/_sim/setup", body={"organizations": [{"login": "beta"}]}).status == 201
    assert scene.post("/_sim/repositories/acme/api", body={"name": "backend", "owner": "beta"}).status == 204
    assert scene.post("/_sim/owners/beta", body={"login": "gamma"}).status == 204
    assert scene.world.store.repository("gamma/backend").id == 900_000_001
    assert scene.post("/_sim/owners/nobody", body={"login": "x"}).status == 404
    assert scene.post("/_sim/owners/acme", body={"login": "gamma"}).status == 422
