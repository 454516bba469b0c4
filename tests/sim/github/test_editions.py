"""Which GitHub is played, and how its refusals and redirects are told apart."""

from __future__ import annotations

import pytest

from hf_runner_simulators.github.knobs import Knobs
from tests.sim.github.scene import ORIGIN, Scene

RUNS = "/repos/acme/api/actions/runs"
SECONDARY = "#about-secondary-rate-limits"


@pytest.mark.parametrize("prefix", ["", "/api/v3"])
def test_github_com_has_its_limits_by_whatever_url_it_is_reached(prefix: str) -> None:
    scene = Scene(prefix=prefix, knobs=Knobs(core_limit=3))
    assert [scene.get(RUNS).status for _ in range(4)] == [200, 200, 200, 403]
    assert scene.get("/rate_limit").body["resources"]["core"]["limit"] == 3
    assert "X-GitHub-Enterprise-Version" not in scene.get(RUNS).headers


@pytest.mark.parametrize("prefix", ["", "/api/v3"])
def test_points_of_a_minute_are_limited_unless_said_otherwise(prefix: str) -> None:
    scene = Scene(prefix=prefix)
    scene.wait(61)
    assert [scene.get(RUNS, judged=False).status for _ in range(901)][-2:] == [200, 403]


def test_an_enterprise_server_is_a_choice_and_has_no_limits(ghes: Scene) -> None:
    assert {ghes.get(RUNS, judged=False).status for _ in range(1_000)} == {200}
    assert ghes.get("/rate_limit").status == 404


def test_an_enterprise_server_has_its_api_below_its_prefix_only(ghes: Scene) -> None:
    assert ghes.get(f"{ORIGIN}/meta").status == 404
    assert ghes.get(f"{ORIGIN}/api/v3/meta").status == 200


def test_an_enterprise_server_lacks_the_routes_that_it_does_not_describe(ghes: Scene) -> None:
    ghes.world.accounts.add_enterprise("big")
    ghes.world.accounts.install(ghes.app.id, "big")
    approval = "/repos/acme/api/actions/permissions/fork-pr-contributor-approval"
    assert ghes.get("/enterprises/big/installation", token=ghes.jwt()).status == 404
    assert ghes.get(approval).status == 200
    ghes.world.turn(ghes_version="3.17.4")
    assert ghes.get(approval).status == 404


def test_github_com_has_those_routes_below_any_prefix() -> None:
    scene = Scene(prefix="/api/v3")
    scene.world.accounts.add_enterprise("big")
    scene.world.accounts.install(scene.app.id, "big")
    assert scene.get("/enterprises/big/installation", token=scene.jwt()).status == 200


def test_each_kind_of_refusal_names_its_own_page(scene: Scene) -> None:
    missing = scene.get(f"{RUNS}/1")
    assert missing.body["documentation_url"].endswith("/actions/workflow-runs")
    assert scene.get("/orgs/acme/actions/runners/1").body["documentation_url"].endswith("-hosted-runners")
    assert scene.get("/nowhere").body["documentation_url"] == "https://docs.github.com/rest"


@pytest.mark.parametrize("status", [403, 429])
def test_a_secondary_limit_is_told_from_a_primary_one_by_its_page(scene: Scene, status: int) -> None:
    scene.world.turn(core_limit=2, primary_limit_status=status)
    pages = [scene.get(RUNS) for _ in range(3)]
    assert pages[-1].status == status
    assert pages[-1].body["documentation_url"].endswith("/rate-limits-for-the-rest-api")
    scene.world.turn(core_limit=5_000, secondary_points_per_minute=1, secondary_limit_status=status)
    refused = scene.get(RUNS)
    assert refused.status == status
    assert refused.body["documentation_url"].endswith(SECONDARY)


def test_a_renamed_repository_keeps_the_method_of_what_is_no_get(scene: Scene) -> None:
    scene.world.accounts.rename_repository("acme/api", "backend")
    runner = {"name": "r1", "runner_group_id": 1, "labels": ["gpu"]}
    old = "/repos/acme/api/actions/runners"
    assert scene.get(old).status == 301
    sent = scene.post(f"{old}/generate-jitconfig", body=runner)
    assert (sent.status, sent.message) == (307, "Temporary Redirect")
    assert sent.headers["Location"] == f"{ORIGIN}/repositories/900000001/actions/runners/generate-jitconfig"
    made = scene.post(sent.headers["Location"], body=runner)
    assert made.status == 201
    gone = scene.delete(f"{old}/{made.body['runner']['id']}")
    assert gone.status == 307
    assert scene.delete(gone.headers["Location"]).status == 204
