"""Every exchange of these tests is judged by GitHub's OpenAPI (scene.py); here the judge itself
is tried, and the coverage.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Literal

import pytest

from hf_runner_simulators.github import routes
from hf_runner_simulators.github.knobs import Knobs
from hf_runner_simulators.http import Request, Response
from tests.sim.github.description import NotGitHubError, document, judge
from tests.sim.github.scene import ACME, ORIGIN, Scene


def test_the_simulator_answers_what_is_described_and_nothing_else(scene: Scene) -> None:
    def shape(path: str) -> str:
        return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))

    described = {(m.upper(), shape(p)) for p, item in document()["paths"].items() for m in item}
    simulated = {(method, shape(template)) for method, template, _ in routes.table(scene.world)}
    assert simulated == described


@pytest.mark.parametrize(
    ("prefix", "edition"),
    [("", "github.com"), ("/api/v3", "github.com"), ("/api/v3", "enterprise-server")],
)
def test_every_read_route_answers_as_described(
    prefix: str, edition: Literal["github.com", "enterprise-server"]
) -> None:
    server = edition == "enterprise-server"
    scene = Scene(prefix=prefix, knobs=Knobs(edition=edition))
    accounts = scene.world.accounts
    accounts.add_organization("big-corp", enterprise="big")
    accounts.add_user("octocat")
    accounts.add_repository("octocat/dotfiles", private=False)
    for account in ("octocat", "big"):
        accounts.install(scene.app.id, account)
    scene.world.access.add_user_token(
        "ghp_1", "octocat", scopes=["repo", "admin:org", "manage_runners:enterprise"]
    )
    group = accounts.add_group(ACME, "gpu", visibility="selected", selected=["acme/api"])
    job = scene.queue()
    for root in ("/orgs/acme", "/repos/acme/api", "/enterprises/big"):
        token = "ghp_1" if "big" in root else ""
        body = {"name": "r", "runner_group_id": 1, "labels": ["gpu"]}
        made = scene.post(f"{root}/actions/runners/generate-jitconfig", body=body, token=token)
        assert made.status == 201
        path = f"{root}/actions/runners/{made.body['runner']['id']}"
        assert scene.get(f"{root}/actions/runners", token=token).body["total_count"] == 1
        assert scene.get(path, token=token).body["name"] == "r"
        assert len(scene.get(f"{root}/actions/runners/downloads", token=token).body) == 2
        assert scene.delete(path, token=token).status == 204
    for path in (
        "/installation/repositories",
        "/orgs/acme/repos",
        "/orgs/acme",
        "/users/acme",
        "/users/octocat",
        "/users/octocat/repos",
        "/repos/acme/api",
        "/repos/acme/api/actions/permissions/fork-pr-contributor-approval",
        "/repos/acme/api/actions/runs",
        f"/repos/acme/api/actions/runs/{job.run_id}",
        f"/repos/acme/api/actions/runs/{job.run_id}/artifacts",
        f"/repos/acme/api/actions/runs/{job.run_id}/jobs",
        "/repos/acme/api/actions/workflows",
        "/repos/acme/api/actions/workflows/ci.yml",
        f"/repos/acme/api/actions/runs/{job.run_id}/attempts/1/jobs",
        f"/repos/acme/api/actions/jobs/{job.id}",
        "/orgs/acme/actions/runner-groups",
        f"/orgs/acme/actions/runner-groups/{group.id}",
        f"/orgs/acme/actions/runner-groups/{group.id}/repositories",
        f"/orgs/acme/actions/runner-groups/{group.id}/runners",
        "/meta",
    ):
        assert scene.get(path).status == 200, path
    for path in (
        "/user/repos",
        "/enterprises/big/actions/runner-groups",
        "/enterprises/big/actions/runner-groups/1/runners",
    ):
        assert scene.get(path, token="ghp_1").status == 200, path
    for path in (
        "/app",
        "/app/installations",
        f"/app/installations/{scene.installation.id}",
        "/orgs/acme/installation",
        "/users/octocat/installation",
        "/repos/acme/api/installation",
    ):
        assert scene.get(path, token=scene.jwt()).status == 200, path
    for root in ("/orgs/acme", "/repos/acme/api", "/enterprises/big"):
        path = f"{root}/actions/runners/deprecations/2.337.0"
        token = "ghp_1" if "big" in root else ""
        assert scene.get(path, token=token).status == (404 if server else 200), path
    assert scene.get("/enterprises/big/installation", token=scene.jwt()).status == (404 if server else 200)
    assert scene.get("/rate_limit").status == (404 if server else 200)


def test_a_job_is_judged_in_every_state_of_its_life(scene: Scene) -> None:
    job = scene.queue()
    path = f"/repos/acme/api/actions/jobs/{job.id}"
    seen = [scene.get(path).body["status"]]
    runner = scene.runner().connect()
    runner.take()
    seen.append(scene.get(path).body["status"])
    runner.finish(job)
    seen.append(scene.get(path).body["status"])
    assert seen == ["queued", "in_progress", "completed"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda job: job.pop("runner_id"),
        lambda job: job.update(status="running"),
        lambda job: job.update(labels=None),
        lambda job: job.update(created_at="yesterday"),
        lambda job: job.update(id="48"),
        lambda job: job.update(conclusion="failed"),
    ],
)
def test_an_answer_that_github_would_not_give_is_refused(scene: Scene, spoil: object) -> None:
    job = scene.queue()
    path = f"/repos/acme/api/actions/jobs/{job.id}"
    body = scene.get(path).body
    request = Request(method="GET", path=path, headers={}, origin=ORIGIN)
    good = Response(status=200, body=json.dumps(body).encode())
    judge(request, good, path=path)
    spoil(body)  # type: ignore[operator]
    with pytest.raises(NotGitHubError):
        judge(request, replace(good, body=json.dumps(body).encode()), path=path)


def test_a_refusal_without_its_form_is_refused() -> None:
    request = Request(method="GET", path="/repos/a/b/actions/runs", headers={}, origin=ORIGIN)
    with pytest.raises(NotGitHubError):
        judge(request, Response(status=403, body=b"{}"), path=request.path)
