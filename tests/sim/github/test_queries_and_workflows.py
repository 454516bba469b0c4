"""Queries that GitHub's description does not have are refused; workflows, artifacts and
organizations are there for ``gh``.
"""

from __future__ import annotations

from typing import Any

import pytest

from hf_runner_simulators.github import queries
from tests.sim.github.description import document
from tests.sim.github.scene import ORIGIN, Scene

RUNS = "/repos/acme/api/actions/runs"


def described() -> dict[str, dict[str, frozenset[str] | None]]:
    """Query parameters and their words, by path, as GitHub describes them."""
    parameters = document()["components"]["parameters"]
    found: dict[str, dict[str, frozenset[str] | None]] = {}
    for path, item in document()["paths"].items():
        for row in item.get("get", {}).get("parameters", []):
            spelt = parameters[row["$ref"].rpartition("/")[2]] if "$ref" in row else row
            if spelt["in"] == "query":
                words = spelt["schema"].get("enum")
                found.setdefault(path, {})[spelt["name"]] = frozenset(words) if words else None
    return found


def test_the_parameters_are_those_that_github_describes() -> None:
    assert {path: dict(words) for path, words in queries.QUERIES.items()} == described()


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (RUNS, {"status": "bogus"}),
        (RUNS, {"statuses": "queued"}),
        (RUNS, {"created": "yesterday"}),
        (f"{RUNS}/RUN/jobs", {"filter": "newest"}),
        ("/orgs/acme/actions/runners", {"labels": "gpu"}),
        ("/orgs/acme/repos", {"sort": "size"}),
        ("/orgs/acme/actions/runner-groups", {"visible_to_organization": "acme"}),
        ("/repos/acme/api", {"per_page": "1"}),
    ],
)
def test_a_misspelt_query_is_refused_and_not_an_empty_list(
    scene: Scene, path: str, query: dict[str, object]
) -> None:
    job = scene.queue()
    refused = scene.get(path.replace("RUN", str(job.run_id)), **query)
    assert (refused.status, refused.message) == (422, "Validation Failed")
    assert refused.body["errors"][0]["field"] == next(iter(query))


@pytest.mark.parametrize("status", sorted(queries._STATUS))
def test_every_status_that_is_described_can_be_asked_for(scene: Scene, status: str) -> None:
    assert scene.get(RUNS, status=status).status == 200


def test_runs_are_filtered_by_all_that_is_described(scene: Scene) -> None:
    first = scene.queue()
    scene.wait(86_400 * 2)
    scene.token = scene.new_token()
    second = scene.queue()
    row = scene.get(f"{RUNS}/{second.run_id}").body
    both = {first.run_id, second.run_id}

    def found(**query: Any) -> set[int]:
        return {run["id"] for run in scene.runs(**query)}

    for name, value in (("head_sha", row["head_sha"]), ("check_suite_id", row["check_suite_id"])):
        assert found(**{name: value}) == {second.run_id}, name
    assert found(actor="acme") == both
    assert found(actor="nobody") == set()
    # The scene begins at 2026-09-21T14:13:20Z.
    for created, expected in {
        ">=2026-09-21": both,
        ">2026-09-21": {second.run_id},
        "<2026-09-22": {first.run_id},
        "<=2026-09-21T14:13:20Z": {first.run_id},
        "2026-09-22..*": {second.run_id},
        "*..2026-09-21": {first.run_id},
        "2026-09-21..2026-09-23": both,
        "2026-09-21": {first.run_id},
        "2026-09-23T14:13:20+00:00": {second.run_id},
    }.items():
        # The description calls this a time, GitHub's documentation a range: its judge would refuse
        # the request.
        rows = scene.get(RUNS, created=created, judged=False).body["workflow_runs"]
        assert {run["id"] for run in rows} == expected, created


def test_repositories_are_filtered_by_who_may_see_them(scene: Scene) -> None:
    def found(kind: str) -> set[str]:
        return {row["name"] for row in scene.get("/orgs/acme/repos", type=kind).body}

    assert (found("public"), found("private")) == ({"site"}, {"api", "web"})
    assert found("all") == {"api", "site", "web"}


def test_links_of_a_run_lead_to_its_workflow_and_its_artifacts(scene: Scene) -> None:
    job = scene.queue(workflow="Nightly GPU")
    run = scene.get(f"{RUNS}/{job.run_id}").body
    workflow = scene.get(run["workflow_url"]).body
    assert workflow["id"] == run["workflow_id"]
    assert (workflow["name"], workflow["path"]) == ("Nightly GPU", ".github/workflows/nightly-gpu.yml")
    assert scene.get("/repos/acme/api/actions/workflows/nightly-gpu.yml").body == workflow
    assert scene.get("/repos/acme/api/actions/workflows").body == {"total_count": 1, "workflows": [workflow]}
    assert scene.get("/repos/acme/api/actions/workflows/other.yml").status == 404
    assert scene.get(run["artifacts_url"]).body == {"total_count": 0, "artifacts": []}
    assert scene.get(f"{RUNS}/1/artifacts").status == 404


def test_an_organization_can_be_looked_up_and_a_user_is_none(scene: Scene) -> None:
    scene.world.accounts.add_user("octocat")
    answer = scene.get("/orgs/acme")
    assert (answer.body["login"], answer.body["public_repos"]) == ("acme", 1)
    assert answer.body["url"] == f"{ORIGIN}/orgs/acme"
    assert [row["name"] for row in scene.get(answer.body["repos_url"]).body] == ["site", "web", "api"]
    assert scene.get("/orgs/octocat").status == 404
