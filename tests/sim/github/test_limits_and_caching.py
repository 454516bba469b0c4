"""Primary and secondary limits, ETags, pages."""

from __future__ import annotations

import pytest

from tests.sim.github.scene import Scene

RUNS = "/repos/acme/api/actions/runs"


def remaining(scene: Scene, path: str = RUNS, **more: object) -> int:
    return int(scene.get(path, **more).headers["X-RateLimit-Remaining"])


def test_every_request_costs_one_until_the_hour_is_over(scene: Scene) -> None:
    first = scene.get(RUNS)
    assert first.headers["X-RateLimit-Resource"] == "core"
    assert int(first.headers["X-RateLimit-Limit"]) == 5_000
    left = int(first.headers["X-RateLimit-Remaining"])
    assert remaining(scene) == left - 1
    assert int(first.headers["X-RateLimit-Reset"]) == int(scene.clock.wall()) + 3_600
    scene.wait(3_600)
    scene.token = scene.new_token()
    assert remaining(scene) == 4_999


@pytest.mark.parametrize("status", [403, 429])
def test_a_spent_allowance_is_refused_until_its_reset(scene: Scene, status: int) -> None:
    scene.world.turn(core_limit=2, primary_limit_status=status)
    assert [scene.get(RUNS).status for _ in range(4)] == [200, 200, status, status]
    refused = scene.get(RUNS)
    assert refused.message == f"API rate limit exceeded for installation ID {scene.installation.id}."
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    scene.wait(int(refused.headers["X-RateLimit-Reset"]) - scene.clock.wall())
    scene.token = scene.new_token()
    assert scene.get(RUNS).status == 200


def test_all_tokens_of_an_installation_share_its_allowance_and_users_have_their_own(scene: Scene) -> None:
    scene.world.access.add_user_token("ghp_1", "hf", scopes=["repo"])
    left = remaining(scene)
    assert remaining(scene, token=scene.new_token()) == left - 1
    assert remaining(scene, token="ghp_1") == 4_999


def test_installations_with_many_repositories_may_ask_more(scene: Scene) -> None:
    for n in range(27):
        scene.world.accounts.add_repository(f"acme/more-{n}")
    assert int(scene.get(RUNS).headers["X-RateLimit-Limit"]) == 5_000 + 50 * 10


def test_registrations_are_charged_to_their_own_bucket(scene: Scene) -> None:
    before = remaining(scene)
    made = scene.register("r1")
    assert made.headers["X-RateLimit-Resource"] == "actions_runner_registration"
    assert made.headers["X-RateLimit-Remaining"] == "9999"
    assert remaining(scene) == before - 1
    scene.world.turn(registration_bucket=False)
    assert scene.register("r2").headers["X-RateLimit-Resource"] == "core"


def test_the_overview_is_free_and_changes_with_the_api_version(scene: Scene) -> None:
    before = remaining(scene)
    overview = scene.get("/rate_limit").body
    assert overview["resources"]["core"]["remaining"] == before
    assert overview["rate"] == overview["resources"]["core"]
    assert remaining(scene) == before - 1
    # The description at hand is of 2022-11-28, so it cannot judge this one.
    newer = scene.get("/rate_limit", headers={"x-github-api-version": "2026-03-10"}, judged=False).body
    assert "rate" not in newer
    assert newer["resources"]["core"]["remaining"] == before - 1


def test_points_per_minute_bind_before_the_hour(scene: Scene) -> None:
    scene.world.turn(secondary_points_per_minute=12)
    scene.wait(61)
    statuses = [scene.register(f"r{n}").status for n in range(3)]
    assert statuses == [201, 201, 403]
    refused = scene.register("r4")
    assert refused.message.startswith("You have exceeded a secondary rate limit.")
    assert refused.headers["Retry-After"] == "60"
    assert int(refused.headers["X-RateLimit-Remaining"]) > 0
    assert [scene.get(RUNS).status for _ in range(3)] == [200, 200, 403]
    scene.wait(60)
    assert scene.register("r5").status == 201


def test_a_secondary_limit_may_come_as_429_without_advice(scene: Scene) -> None:
    scene.world.turn(secondary_points_per_minute=1, secondary_limit_status=429, secondary_retry_after=None)
    scene.wait(61)
    scene.get(RUNS)
    refused = scene.get(RUNS)
    assert refused.status == 429
    assert "Retry-After" not in refused.headers


def test_an_enterprise_server_has_no_limits_unless_switched_on(ghes: Scene) -> None:
    ghes.world.turn(core_limit=1)
    assert [ghes.get(RUNS).status for _ in range(3)] == [200, 200, 200]
    assert "X-RateLimit-Limit" not in ghes.get(RUNS).headers
    assert ghes.get("/rate_limit").message == "Rate limiting is not enabled."
    ghes.world.turn(ghes_rate_limits=True)
    assert [ghes.get(RUNS).status for _ in range(2)] == [200, 403]


def test_an_enterprise_server_tells_its_version(ghes: Scene, scene: Scene) -> None:
    assert "installed_version" not in scene.get("/meta").body
    meta = ghes.get("/meta")
    assert meta.body["installed_version"] == "3.19.0"
    assert meta.headers["X-GitHub-Enterprise-Version"] == "3.19.0"


# -- conditional requests
# ---------------------------------------------------------------------------------------------


def test_an_unchanged_list_is_304_and_costs_nothing_of_the_hour(scene: Scene) -> None:
    scene.queue()
    first = scene.get(RUNS, status="queued")
    tag = first.headers["ETag"]
    assert tag.startswith('W/"')
    again = [scene.get(RUNS, status="queued", headers={"if-none-match": tag}) for _ in range(20)]
    assert {reply.status for reply in again} == {304}
    assert {reply.headers["X-RateLimit-Used"] for reply in again} == {first.headers["X-RateLimit-Used"]}
    assert again[0].headers["ETag"] == tag


def test_a_change_makes_the_tag_stale(scene: Scene) -> None:
    job = scene.queue()
    path = f"{RUNS}/{job.run_id}/jobs"
    tag = scene.get(path).headers["ETag"]
    scene.runner().connect().take()
    assert scene.get(path, headers={"if-none-match": tag}).status == 200


def test_a_new_token_makes_every_tag_stale(scene: Scene) -> None:
    tag = scene.get(RUNS).headers["ETag"]
    assert scene.get(RUNS, headers={"if-none-match": tag}).status == 304
    assert scene.get(RUNS, token=scene.new_token(), headers={"if-none-match": tag}).status == 200


@pytest.mark.parametrize("costs", [True, False])
def test_whether_a_304_costs_points_is_a_knob(scene: Scene, costs: bool) -> None:
    tag = scene.get(RUNS).headers["ETag"]
    scene.wait(61)
    scene.world.turn(secondary_points_per_minute=3, not_modified_costs_points=costs)
    statuses = [scene.get(RUNS, headers={"if-none-match": tag}).status for _ in range(5)]
    assert statuses == ([304] * 3 + [403] * 2 if costs else [304] * 5)


def test_refusals_have_no_tag(scene: Scene) -> None:
    assert "ETag" not in scene.get("/repos/acme/nothing/actions/runs").headers


# -- pages
# ------------------------------------------------------------------------------------------------------------


def test_lists_come_in_pages_that_link_to_each_other(scene: Scene) -> None:
    jobs = [scene.queue() for _ in range(7)]
    page = scene.get(RUNS, status="queued", per_page=3)
    seen = [page.body["workflow_runs"]]
    assert page.link("prev") is None
    while following := page.link("next"):
        page = scene.get(following)
        seen.append(page.body["workflow_runs"])
    assert [len(rows) for rows in seen] == [3, 3, 1]
    assert [row["id"] for rows in seen for row in rows] == [job.run_id for job in reversed(jobs)]
    assert page.body["total_count"] == 7
    assert page.link("last") is None
    assert page.link("first") is not None


def test_links_name_a_repository_by_its_number(scene: Scene) -> None:
    scene.queue()
    scene.queue()
    following = scene.get(RUNS, per_page=1).link("next")
    assert following is not None
    assert "/repositories/900000001/actions/runs" in following


def test_links_of_an_enterprise_server_stay_below_its_prefix(ghes: Scene) -> None:
    ghes.queue()
    ghes.queue()
    following = ghes.get(RUNS, per_page=1).link("next")
    assert following is not None
    assert following.startswith("http://127.0.0.1:8080/api/v3/repositories/")
    assert ghes.get(following).body["total_count"] == 2


def test_a_page_has_30_rows_unless_asked_and_never_more_than_100(scene: Scene) -> None:
    scene.world.workflows.queue_jobs("acme/api", ["gpu"], count=120)
    assert len(scene.runs()) == 30
    assert len(scene.runs(per_page=100)) == 100
    assert scene.get(RUNS, per_page=100, page=3).body["workflow_runs"] == []


def test_filtered_run_lists_end_at_a_thousand(scene: Scene) -> None:
    scene.world.workflows.queue_jobs("acme/api", ["gpu"], count=1_005)
    assert scene.get(RUNS, status="queued", per_page=100, page=11).body["workflow_runs"] == []
    assert len(scene.get(RUNS, status="queued", per_page=100, page=10).body["workflow_runs"]) == 100
    assert len(scene.get(RUNS, per_page=100, page=11).body["workflow_runs"]) == 5
