"""``/_sim/``: set the scene, queue work, turn knobs, read the report; every mistake is named."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from hf_runner_simulators.clock import ManualClock
from hf_runner_simulators.exchange import Exchange
from hf_runner_simulators.github.http import GitHubSite
from hf_runner_simulators.github.keys import private_key
from hf_runner_simulators.github.knobs import Knobs
from hf_runner_simulators.github.world import GitHubWorld
from hf_runner_simulators.http import Request
from tests.sim.github.scene import LABELS, ORIGIN, Scene

SETUP = {
    "enterprises": ["mega"],
    "organizations": [{"login": "big", "enterprise": "mega"}],
    "users": ["octocat"],
    "repositories": [{"full_name": "big/app"}, {"full_name": "big/site", "private": False, "archived": True}],
    "groups": [{"organization": "big", "name": "gpu", "visibility": "selected", "selected": ["big/app"]}],
    "apps": [
        {
            "slug": "other",
            "permissions": {"actions": "read", "metadata": "read"},
            "installations": [{"account": "big", "repositories": ["big/app"]}, {"account": "mega"}],
        }
    ],
    "tokens": [{"token": "ghp_octocat", "login": "octocat", "scopes": ["repo"]}],
}


def test_a_scene_is_set_in_one_request(scene: Scene) -> None:
    made = scene.post("/_sim/setup", body=SETUP)
    assert made.status == 201
    (app,) = made.body["apps"]
    assert app["private_key"] == private_key()
    assert [row["account"] for row in app["installations"]] == ["big", "mega"]
    assert scene.get("/repos/big/app/actions/runs", token="ghp_octocat").status == 200
    jwt = scene.jwt(iss=str(app["id"]))
    path = f"/app/installations/{app['installations'][0]['id']}/access_tokens"
    token = scene.post(path, token=jwt).body["token"]
    rows = scene.get("/installation/repositories", token=token).body["repositories"]
    assert [row["full_name"] for row in rows] == ["big/app"]
    assert scene.get("/orgs/big/actions/runners", token=token).status == 403
    (group,) = made.body["groups"]
    assert group["name"] == "gpu"


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        (
            "/_sim/setup",
            {"repositories": [{"full_name": "a/b", "privat": True}], "users": "x"},
            ["privat", "users"],
        ),
        ("/_sim/setup", {"repositories": [{"full_name": "nope"}]}, ["'nope' is not owner/name"]),
        ("/_sim/setup", {"repositories": [{"full_name": "acme/api"}]}, ["acme/api exists already"]),
        ("/_sim/setup", {"groups": [{"name": "x"}]}, ["an organization or an enterprise"]),
        ("/_sim/setup", {"apps": [{"private_key": "nonsense"}]}, ["PEM"]),
        ("/_sim/setup", [], ["body"]),
        ("/_sim/setup", b"{", ["JSON"]),
        ("/_sim/jobs", {"repository": "acme/api", "count": 0, "seconds": -1}, ["count", "seconds"]),
        ("/_sim/jobs", {"labels": ["gpu"]}, ["repository"]),
        ("/_sim/jobs", {"repository": "acme/api"}, ["labels, a group, or both"]),
        ("/_sim/jobs", {"repository": "acme/api", "result": "cancelled"}, ["result"]),
        ("/_sim/jobs", {"repository": "acme/api", "jobs": [{"name": "a"}, {"name": "a"}]}, ["same name"]),
        (
            "/_sim/knobs",
            {"lag": 1, "linger_seconds": "long", "core_limit": -5},
            ["lag", "linger_seconds", "core_limit"],
        ),
        (
            "/_sim/knobs",
            {"busy_reads_false": 1, "primary_limit_status": 500},
            ["busy_reads_false", "primary_limit_status"],
        ),
        ("/_sim/knobs", [], ["an object"]),
        ("/_sim/jobs/x/cancel", {}, ["x"]),
    ],
)
def test_every_mistake_is_named(scene: Scene, path: str, body: Any, words: list[str]) -> None:
    refused = scene.post(path, body=body)
    assert refused.status == 422
    assert [word for word in words if word not in refused.message] == []


def test_what_does_not_exist_is_not_found(scene: Scene) -> None:
    assert scene.post("/_sim/jobs", body={"repository": "acme/none", "labels": ["gpu"]}).status == 404
    assert scene.post("/_sim/jobs/1/cancel").status == 404
    assert scene.post("/_sim/runs/1/cancel").status == 404
    assert scene.get("/_sim/jobs/1/log").status == 404
    assert scene.post("/_sim/installations/1", body={"suspended": True}).status == 404
    assert scene.get("/_sim/nothing").status == 404


def test_jobs_are_queued_in_runs_of_their_own_or_as_a_matrix(scene: Scene) -> None:
    alone = scene.post("/_sim/jobs", body={"repository": "acme/api", "labels": ["gpu"], "count": 3}).body
    assert len(alone["run_ids"]) == len(alone["jobs"]) == 3
    matrix = scene.post(
        "/_sim/jobs",
        body={"repository": "acme/api", "labels": ["gpu"], "count": 3, "same_run": True, "name": "shard"},
    ).body
    assert len(matrix["run_ids"]) == 1
    assert [job["name"] for job in matrix["jobs"]] == ["shard (0)", "shard (1)", "shard (2)"]


def test_a_run_is_queued_job_by_job(scene: Scene) -> None:
    jobs = [
        {"name": "build", "labels": ["gpu"], "seconds": 5},
        {"name": "test", "labels": ["gpu"], "needs": ["build"], "command": "true"},
        {"name": "ship", "labels": ["gpu"], "status": "waiting"},
    ]
    body = {"repository": "acme/api", "workflow": "Nightly", "event": "schedule", "jobs": jobs}
    made = scene.post("/_sim/jobs", body=body).body
    assert [job["name"] for job in made["jobs"]] == ["build", "ship"]
    (run,) = scene.runs()
    assert (run["name"], run["event"], run["path"]) == (
        "Nightly",
        "schedule",
        ".github/workflows/nightly.yml",
    )
    assert scene.post(f"/_sim/jobs/{made['jobs'][1]['id']}/release").status == 202
    assert scene.jobs(run["id"])[1]["status"] == "queued"


def test_jobs_and_runs_are_cancelled(scene: Scene) -> None:
    first, second = scene.queue(), scene.queue()
    assert scene.post(f"/_sim/jobs/{first.id}/cancel").status == 202
    assert scene.post(f"/_sim/runs/{second.run_id}/cancel").status == 202
    assert [job["conclusion"] for job in scene.get("/_sim/report").body["jobs"]] == ["cancelled"] * 2


def test_odd_runs_are_made(scene: Scene) -> None:
    zombie = scene.post("/_sim/zombies", body={"repository": "acme/api"}).body["run_ids"][0]
    job = scene.queue()
    body = {"status": "completed", "conclusion": "startup_failure"}
    assert scene.post(f"/_sim/runs/{job.run_id}/freeze", body=body).status == 204
    assert [row["id"] for row in scene.runs("queued")] == [zombie]


def test_repositories_and_installations_change(scene: Scene) -> None:
    path = "/_sim/repositories/acme/api"
    runs = "/repos/acme/api/actions/runs"
    assert scene.post(path, body={"blocked_status": 403, "blocked_message": "IP allow list"}).status == 204
    assert scene.get(runs).message == "IP allow list"
    scene.post(path, body={"unblock": True, "archived": True})
    assert scene.get("/repos/acme/api").body["archived"] is True
    scene.post(path, body={"name": "backend"})
    assert scene.get(runs).status == 301
    scene.post("/_sim/repositories/acme/backend", body={"remove": True})
    assert scene.get("/repos/acme/backend").status == 404
    mine = f"/_sim/installations/{scene.installation.id}"
    scene.post(mine, body={"permissions": {"actions": "read"}, "repositories": ["acme/web"]})
    assert scene.get("/orgs/acme/actions/runners").status == 403
    assert len(scene.get("/installation/repositories").body["repositories"]) == 1
    scene.post(mine, body={"suspended": True})
    assert scene.get("/installation/repositories").status == 403
    scene.post(mine, body={"suspended": False})
    assert scene.get("/installation/repositories").status == 200
    scene.post(mine, body={"remove": True})
    assert scene.get("/installation/repositories").status == 401


def test_knobs_turn_and_tell(scene: Scene) -> None:
    body = {"linger_seconds": 3, "deprecated_versions": ["2.1.0"], "secondary_points_per_minute": None}
    told = scene.post("/_sim/knobs", body=body).body
    assert (told["linger_seconds"], told["deprecated_versions"], told["secondary_points_per_minute"]) == (
        3,
        ["2.1.0"],
        None,
    )
    assert scene.get("/_sim/knobs").body == told
    assert scene.world.knobs.deprecated_versions == ("2.1.0",)


def test_every_knob_is_explained() -> None:
    text = Knobs.__doc__ or ""
    assert [field.name for field in dataclasses.fields(Knobs) if f"        {field.name}: " not in text] == []


def test_the_report_tells_each_jobs_story(scene: Scene) -> None:
    start = scene.clock.wall()
    job = scene.queue(workflow="CI")
    scene.wait(5)
    runner = scene.runner().connect()
    runner.take()
    scene.wait(60)
    runner.finish(job)
    report = scene.get("/_sim/report").body
    assert report["jobs"] == [
        {
            "id": job.id,
            "run_id": job.run_id,
            "attempt": 1,
            "repository": "acme/api",
            "workflow": "CI",
            "name": "work",
            "labels": list(LABELS),
            "group": None,
            "status": "completed",
            "conclusion": "success",
            "queued_at": start,
            "started_at": start + 5,
            "ended_at": start + 65,
            "runner_name": "r1",
            "ghost": False,
        }
    ]
    assert [(row["name"], row["busy"]) for row in report["registrations"]] == [("r1", True)]
    scene.wait(10)
    assert scene.get("/_sim/report").body["registrations"] == []


def test_our_routes_need_no_credentials_and_cost_nothing(scene: Scene) -> None:
    scene.world.turn(core_limit=1, secondary_points_per_minute=1)
    assert {scene.get("/_sim/report", token=None, headers={"user-agent": ""}).status for _ in range(5)} == {
        200
    }


async def test_the_exchange_counts_and_breaks_requests_by_route(scene: Scene) -> None:
    clock = ManualClock()
    site = GitHubSite(GitHubWorld(clock=clock))
    exchange = Exchange(site, clock=clock)

    async def ask(method: str, path: str, body: object = None) -> Any:
        request = Request(
            method=method,
            path=path,
            headers={"user-agent": "tests"},
            body=json.dumps(body).encode(),
            origin=ORIGIN,
        )
        return await exchange.handle(request)

    await ask("POST", "/_sim/setup", {"repositories": [{"full_name": "acme/open", "private": False}]})
    rule = {"route": "GET /repos/{owner}/{repo}/actions/runs", "kind": "status", "status": 502, "times": 1}
    assert (await ask("POST", "/_sim/faults", rule)).status == 201
    paths = ("/api/v3/repos/acme/open/actions/runs", "/repositories/900000001/actions/runs", "/nothing")
    assert [(await ask("GET", path)).status for path in paths] == [502, 200, 404]
    counts = json.loads((await ask("GET", "/_sim/report")).body)["requests"]["routes"]
    assert counts == {
        "GET /repos/{owner}/{repo}/actions/runs": {"200": 1, "502": 1},
        "GET (no such route)": {"404": 1},
    }
