"""Worlds beside the usual one: what a client sees with a knob turned, and without."""

from __future__ import annotations

import pytest

from tests.sim.github.description import judge
from tests.sim.github.scene import API, Scene

RUNS = "/repos/acme/api/actions/runs"


def names(rows: list[dict[str, object]]) -> list[object]:
    return [row["name"] for row in rows]


# -- records that go when the job starts
# --------------------------------------------------------------------------------


@pytest.mark.parametrize("goes", [0.0, 1.0])
def test_a_runners_record_may_go_when_its_job_starts(scene: Scene, goes: float) -> None:
    scene.world.turn(record_goes_at_start=goes)
    job = scene.queue()
    runner = scene.runner().connect()
    assert names(scene.runners()) == ["r1"]
    runner.take()
    assert names(scene.runners()) == ([] if goes else ["r1"])
    assert scene.get(f"/orgs/acme/actions/runners/{runner.id}").status == (404 if goes else 200)
    assert runner.delete().status == (404 if goes else 422)
    assert [row["name"] for row in scene.world.report()["registrations"]] == ([] if goes else ["r1"])
    assert runner.renew(job) is False
    assert runner.finish(job) is True
    assert scene.get(f"/repos/acme/api/actions/jobs/{job.id}").body["conclusion"] == "success"
    scene.wait(60)
    assert scene.runners() == []
    assert scene.world.store.runners.rows() == []


def test_the_name_of_a_record_that_went_is_free_and_stays_with_who_takes_it(scene: Scene) -> None:
    scene.world.turn(record_goes_at_start=1.0)
    job = scene.queue()
    first = scene.runner().connect()
    first.take()
    assert scene.register("r1").status == 201
    first.finish(job)
    scene.wait(60)
    assert scene.register("r1").status == 409
    assert names(scene.runners()) == ["r1"]


def test_a_runner_whose_record_went_and_that_dies_fails_its_job(scene: Scene) -> None:
    scene.world.turn(record_goes_at_start=1.0)
    job = scene.queue()
    runner = scene.runner().connect()
    runner.take()
    runner.kill()
    scene.wait(601)
    assert scene.job(job.id).conclusion == "failure"
    assert scene.world.store.runners.rows() == []


def test_a_share_strikes_some_and_the_same_ones_each_time() -> None:
    def gone(seed: str) -> list[bool]:
        scene = Scene(seed=seed)
        scene.world.turn(record_goes_at_start=0.5)
        runners = [scene.runner(f"r{n}") for n in range(40)]
        for runner in runners:
            scene.queue()
            runner.connect().take()
        left = names(scene.runners(per_page=100))
        return [runner.name not in left for runner in runners]

    assert 8 < sum(gone("1")) < 32
    assert gone("1") == gone("1") != gone("2")


# -- lists that lag, each for itself
# ------------------------------------------------------------------------------------


def test_each_list_has_a_lag_of_its_own(scene: Scene) -> None:
    scene.world.turn(runs_lag=60.0)
    job = scene.queue()
    scene.runner()
    assert scene.runs("queued") == []
    assert scene.runs() == []
    assert len(scene.jobs(job.run_id)) == 1
    assert names(scene.runners()) == ["r1"]
    scene.world.turn(runs_lag=0.0, jobs_lag=30.0, runners_lag=45.0)
    assert len(scene.runs("queued")) == 1
    assert scene.jobs(job.run_id) == []
    assert scene.runners() == []
    scene.wait(31)
    assert len(scene.jobs(job.run_id)) == 1
    assert scene.runners() == []
    scene.wait(15)
    assert names(scene.runners()) == ["r1"]


def test_a_lagging_list_of_runners_shows_those_that_are_gone(scene: Scene) -> None:
    runner = scene.runner()
    scene.wait(60)
    scene.world.turn(runners_lag=20.0)
    assert runner.delete().status == 204
    assert names(scene.runners()) == ["r1"]
    assert scene.get(f"/orgs/acme/actions/runners/{runner.id}").status == 404
    scene.wait(20)
    assert scene.runners() == []


@pytest.mark.parametrize("path", ["/orgs/acme/repos", "/installation/repositories", "/user/repos"])
def test_a_lagging_list_of_repositories_misses_new_ones_and_shows_removed_ones(
    scene: Scene, path: str
) -> None:
    scene.world.access.add_user_token("ghp_1", "hf", scopes=["repo"])
    token = "ghp_1" if path == "/user/repos" else scene.token

    def listed() -> set[str]:
        body = scene.get(path, token=token, per_page=100).body
        return {row["name"] for row in (body if isinstance(body, list) else body["repositories"])}

    scene.wait(60)
    scene.world.turn(repositories_lag=60.0)
    scene.world.accounts.add_repository("acme/new")
    scene.world.accounts.remove_repository("acme/web")
    scene.world.accounts.rename_repository("acme/api", "backend")
    assert listed() == {"api", "site", "web"}
    assert scene.get("/repos/acme/new").status == 200
    scene.wait(60)
    assert listed() == {"backend", "new", "site"}


# -- rows that never change
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frozen", [0.0, 1.0])
def test_a_runs_row_may_stay_as_it_was_whatever_its_jobs_do(scene: Scene, frozen: float) -> None:
    scene.world.turn(frozen_run_rows=frozen)
    job = scene.queue()
    (before,) = scene.runs()
    scene.wait(10)
    scene.runner().connect().take()
    (after,) = scene.runs()
    assert scene.jobs(job.run_id)[0]["status"] == "in_progress"
    assert scene.get(f"{RUNS}/{job.run_id}").body["status"] == "in_progress"
    assert ((before["status"], before["updated_at"]) == (after["status"], after["updated_at"])) == bool(
        frozen
    )
    assert len(scene.runs("queued")) == frozen
    scene.world.workflows.force_cancel_run(job.run_id)
    assert len(scene.runs("queued")) == frozen
    assert len(scene.runs("completed")) == 1 - frozen


# -- runners that wait in vain
# ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("starved", [(), ("2.330.0",)])
def test_a_starved_version_registers_and_listens_and_gets_nothing(
    scene: Scene, starved: tuple[str, ...]
) -> None:
    scene.world.turn(starved_versions=list(starved))
    scene.queue()
    runner = scene.runner().connect(version="2.330.0")
    for _ in range(5):
        scene.wait(30)
        assert (runner.poll() is None) == bool(starved)
        if not starved:
            return
    assert scene.runners()[0]["status"] == "online"
    assert scene.runner("r2").connect(version="2.337.0").poll() is not None


def test_versions_whose_end_is_past_may_starve_as_time_goes_on(scene: Scene) -> None:
    scene.world.turn(ended_versions_starve=True)
    scene.queue()
    scene.queue()
    scene.runner("r1").connect(version="2.336.0").take()
    days = (46 * 86_400) - 60  # the scene begins on 2026-09-21; 2.336.0 ends on 2026-11-05
    scene.world.turn(queue_cap_seconds=days * 2.0, reap_seconds=days * 2.0)
    scene.wait(days)
    scene.queue()
    assert scene.runner("r2").connect(version="2.336.0").poll() is None
    assert scene.runner("r3").connect(version="2.338.0").poll() is not None


@pytest.mark.parametrize("refused", [(), ("Acme/Api",)])
def test_no_group_may_admit_a_repository(scene: Scene, refused: tuple[str, ...]) -> None:
    scene.world.turn(group_refuses=list(refused))
    scene.queue()
    assert (scene.runner().connect().poll() is None) == bool(refused)
    served = names(scene.get("/orgs/acme/actions/runner-groups/1/repositories").body["repositories"])
    assert ("api" in served) == (not refused)
    if refused:
        assert scene.runner("own", scope=API).connect().poll() is not None


@pytest.mark.parametrize("ghosts", [0.0, 1.0])
def test_a_ghost_stays_queued_and_is_given_to_nobody(scene: Scene, ghosts: float) -> None:
    scene.world.turn(ghost_jobs=ghosts)
    job = scene.queue()
    assert (scene.runner().connect().poll() is None) == bool(ghosts)
    assert scene.jobs(job.run_id)[0]["status"] == ("queued" if ghosts else "in_progress")
    assert scene.world.report()["jobs"][0]["ghost"] is bool(ghosts)
    if ghosts:
        scene.world.workflows.cancel_run(job.run_id)
        assert scene.job(job.id).conclusion == "cancelled"


def test_a_hosted_job_is_no_ghost(scene: Scene) -> None:
    scene.world.turn(ghost_jobs=1.0)
    job = scene.queue("ubuntu-latest")
    scene.wait(6)
    assert scene.job(job.id).status == "in_progress"


# -- versions
# -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("root", ["/orgs/acme", "/repos/acme/api"])
def test_the_version_that_is_handed_out_moves_with_time(scene: Scene, root: str) -> None:
    def version() -> str:
        row = scene.get(f"{root}/actions/runners/downloads").body[0]
        return str(row["filename"]).removeprefix("actions-runner-linux-x64-").removesuffix(".tar.gz")

    seen = [version()]
    for _ in range(2):
        scene.wait(45 * 86_400)
        scene.token = scene.new_token()
        seen.append(version())
    assert seen == ["2.337.0", "2.338.0", "2.339.0"]
    scene.world.turn(runner_version="2.400.0")
    assert version() == "2.400.0"


def test_a_knob_that_is_a_share_is_at_most_1(scene: Scene) -> None:
    with pytest.raises(ValueError, match="ghost_jobs"):
        scene.world.turn(ghost_jobs=1.5)
    assert scene.world.turn(starved_versions=["2.1.0"]).starved_versions == {"2.1.0"}
    with pytest.raises(ValueError, match="group_refuses"):
        scene.world.turn(group_refuses=[{}])


DAY = 86_400


@pytest.mark.parametrize("root", ["/orgs/acme", "/repos/acme/api"])
def test_a_versions_end_is_announced_once_its_successor_is_out(scene: Scene, root: str) -> None:
    def ends(version: str) -> object:
        answer = scene.get(f"{root}/actions/runners/deprecations/{version}")
        assert answer.body.keys() == {"runner_version", "registration_deprecates_at", "runtime_deprecates_at"}
        assert answer.body["runner_version"] == version
        return answer.body["runtime_deprecates_at"]

    # The scene begins on 2026-09-21.
    assert ends("2.335.1") == "2026-09-24T00:00:00Z"
    assert ends("2.336.0") == "2026-11-05T00:00:00Z"
    assert ends("2.337.0") is None
    assert scene.get(f"{root}/actions/runners/deprecations/2.338.0").status == 404
    scene.wait(16 * DAY)
    scene.token = scene.new_token()
    assert ends("2.337.0") == "2026-12-12T00:00:00Z"
    assert ends("2.338.0") is None


def test_nobody_else_is_told_when_a_version_ends(scene: Scene, ghes: Scene) -> None:
    path = "/orgs/acme/actions/runners/deprecations/2.336.0"
    scene.world.access.add_user_token("ghp_1", "hf", permissions={"actions": "read"})
    assert scene.get(path, token="ghp_1").status == 403
    assert ghes.get(path).status == 404


# -- odd words
# ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_words_links_and_numbers_may_be_odd_while_ids_states_and_times_stay_true(
    scene: Scene, share: float
) -> None:
    # Links of other hosts are what this is about, so the scene's own judge, who wants none, looks away.
    scene.world.turn(odd_words=share)
    jobs = [scene.queue(name="work") for _ in range(14)]
    answer = scene.get(RUNS, judged=not share, per_page=2)
    assert (answer.body["total_count"] > 10**100) == bool(share)
    assert answer.body["workflow_runs"][0]["status"] == "queued"
    assert ("elsewhere.example" in answer.headers["Link"]) == bool(share)
    rows = [scene.get(f"{RUNS}/{job.run_id}/jobs", judged=not share).body["jobs"][0] for job in jobs]
    assert [row["id"] for row in rows] == [job.id for job in jobs]
    assert {row["status"] for row in rows} == {"queued"}
    texts = {row["name"] for row in rows}
    assert (texts == {"work"}) == (not share)
    for sign in ("\x1b]52;", "\u202e", "\ud800", "\U0001f469"):
        assert any(sign in text for text in texts) == bool(share)
    assert (max(map(len, texts)) >= 3_000) == bool(share)
    links = {row["html_url"].partition(":")[0] for row in rows}
    assert ("javascript" in links) == bool(share)


def test_odd_rows_stay_as_they_are(scene: Scene) -> None:
    scene.world.turn(odd_words=0.5)
    for _ in range(10):
        scene.queue()
    first, second = (scene.get(RUNS, judged=False) for _ in range(2))
    assert first.body == second.body
    assert first.headers["ETag"] == second.headers["ETag"]


def test_odd_answers_are_what_github_could_have_sent(scene: Scene) -> None:
    scene.world.turn(odd_words=1.0)
    job = scene.queue()
    for path in (RUNS, f"{RUNS}/{job.run_id}", f"{RUNS}/{job.run_id}/jobs"):
        request = scene.request("GET", path)
        judge(request, scene.site.handle(request), path=path)
