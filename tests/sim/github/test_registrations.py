"""Registrations: made once, listed, deleted, reaped."""

from __future__ import annotations

import base64
import json

import pytest

from tests.sim.github.scene import ACME, LABELS, Scene

DAY = 86_400.0
BUSY = 'Runner "r1" is currently running a job and cannot be deleted.'


def test_a_registration_has_exactly_the_labels_that_were_sent_in_lower_case(scene: Scene) -> None:
    runner = scene.register("r1", ("GPU", "Linux", "gpu")).body["runner"]
    assert {label["name"] for label in runner["labels"]} == {"gpu", "linux"}
    assert {label["type"] for label in runner["labels"]} == {"read-only"}
    assert (runner["status"], runner["busy"], runner["os"]) == ("offline", False, "unknown")


def test_the_configuration_is_files_in_base64_of_about_4_kilobytes(scene: Scene) -> None:
    encoded = scene.register("r1").body["encoded_jit_config"]
    files = json.loads(base64.b64decode(encoded))
    assert sorted(files) == [".credentials", ".credentials_rsaparams", ".runner"]
    settings = json.loads(base64.b64decode(files[".runner"]))
    assert (settings["AgentName"], settings["WorkFolder"]) == ("r1", "_work")
    assert settings["ServerUrlV2"] == "http://127.0.0.1:8080"
    assert 3_000 < len(encoded) < 5_000


def test_a_name_is_taken_until_its_record_is_gone(scene: Scene) -> None:
    made = scene.register("r1").body["runner"]
    refused = scene.register("R1")
    assert (refused.status, refused.message) == (
        409,
        "Already exists - A runner with the name R1 already exists.",
    )
    assert scene.register("r1", root="/repos/acme/api").status == 201, "another scope has its own names"
    assert scene.delete(f"/orgs/acme/actions/runners/{made['id']}").status == 204
    assert scene.register("r1").status == 201


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"labels": ["a"], "runner_group_id": 1}, "object is missing required key: name"),
        ({"name": "r", "labels": ["a"]}, "object is missing required key: runner_group_id"),
        ({"name": "r", "runner_group_id": 1}, "object is missing required key: labels"),
        ({"name": "r", "runner_group_id": 1, "labels": []}, "Invalid property /labels: 1 item required"),
        (
            {"name": "r", "runner_group_id": 1, "labels": ["a"] * 0 + [f"l{n}" for n in range(101)]},
            "at most 100",
        ),
        ({"name": "r", "runner_group_id": 1, "labels": ["x" * 257]}, "a label has 1 to 256 characters"),
        ({"name": "r", "runner_group_id": 1, "labels": "gpu"}, "For 'properties/labels'"),
        ({"name": "r", "runner_group_id": 1, "labels": [1]}, "an item is not a string"),
        ({"name": "r", "runner_group_id": "1", "labels": ["a"]}, "For 'properties/runner_group_id'"),
        ({"name": "r" * 65, "runner_group_id": 1, "labels": ["a"]}, "a runner name has 1 to 64 characters"),
    ],
)
def test_a_malformed_registration_is_told_what_is_wrong(
    scene: Scene, body: dict[str, object], message: str
) -> None:
    refused = scene.post("/orgs/acme/actions/runners/generate-jitconfig", body=body)
    assert refused.status == 422
    assert message in refused.message
    assert scene.runners() == []


def test_a_registration_needs_an_existing_group_for_self_hosted_runners(scene: Scene) -> None:
    assert scene.register("r1", group=77).status == 404
    hosted = scene.world.accounts.add_group(ACME, "larger", hosted=True)
    assert scene.register("r1", group=hosted.id).status == 403


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"actions_enabled": False}, "GitHub Actions is disabled on this repository."),
        ({"runners_enabled": False}, "Repository level self-hosted runners are disabled on this repository."),
        ({"archived": True}, "Repository was archived so is read-only."),
    ],
)
def test_a_repository_can_refuse_runners(scene: Scene, change: dict[str, bool], message: str) -> None:
    scene.world.accounts.change_repository("acme/api", **change)
    refused = scene.register("r1", root="/repos/acme/api")
    assert (refused.status, refused.message) == (403, message)


def test_a_group_holds_so_many_runners(scene: Scene) -> None:
    scene.world.turn(runners_per_group=2)
    assert [scene.register(f"r{n}").status for n in range(3)] == [201, 201, 422]
    group = scene.world.accounts.add_group(ACME, "gpu")
    assert scene.register("r4", group=group.id).status == 201


def test_registrations_are_limited_per_five_minutes(scene: Scene) -> None:
    scene.world.turn(registrations_per_5_minutes=2)
    assert [scene.register(f"r{n}").status for n in range(3)] == [201, 201, 429]
    scene.wait(300)
    assert scene.register("r9").status == 201


# -- looking
# ----------------------------------------------------------------------------------------------------------


def test_the_name_filter_matches_whole_names_only(scene: Scene) -> None:
    for name in ("pool-1", "pool-10"):
        scene.register(name)
    assert [row["name"] for row in scene.runners(name="pool-1")] == ["pool-1"]
    assert scene.runners(name="pool") == []


def test_runners_are_listed_by_scope(scene: Scene) -> None:
    for name in ("a", "b"):
        scene.register(name)
    scene.register("c", root="/repos/acme/api")
    assert [row["name"] for row in scene.runners()] == ["a", "b"]
    assert [row["name"] for row in scene.runners(root="/repos/acme/api")] == ["c"]


def test_a_runner_of_another_scope_is_not_found(scene: Scene) -> None:
    made = scene.register("r1").body["runner"]
    assert scene.get(f"/repos/acme/api/actions/runners/{made['id']}").status == 404
    assert scene.delete(f"/repos/acme/api/actions/runners/{made['id']}").status == 404
    assert scene.get("/orgs/acme/actions/runners/none").status == 404


def test_a_runner_is_offline_then_online_then_busy_then_gone(scene: Scene) -> None:
    runner = scene.runner()
    seen = [runner.shown()]
    runner.connect(version="2.335.1")
    seen.append(runner.shown())
    job = scene.queue()
    runner.take()
    seen.append(runner.shown())
    runner.finish(job)
    scene.wait(10)
    assert [(row["status"], row["busy"]) for row in seen] == [
        ("offline", False),
        ("online", False),
        ("online", True),
    ]
    assert (seen[1]["os"], seen[1]["version"]) == ("Linux", "2.335.1")
    assert "version" not in seen[0]
    assert scene.runners() == []


def test_busy_can_lie(scene: Scene) -> None:
    runner = scene.runner().connect()
    scene.queue()
    runner.take()
    scene.world.turn(busy_reads_false=True)
    assert (runner.shown()["status"], runner.shown()["busy"]) == ("online", False)
    assert runner.delete().status == 422, "the truth shows when it is deleted"
    scene.world.turn(busy_reads_false=False, busy_reads_offline=True)
    assert (runner.shown()["status"], runner.shown()["busy"]) == ("offline", True)


def test_a_fresh_runner_can_read_offline_for_a_while(scene: Scene) -> None:
    scene.world.turn(fresh_reads_offline_seconds=20.0)
    runner = scene.runner().connect(leased=False)
    assert runner.shown()["status"] == "offline"
    scene.wait(20)
    assert runner.shown()["status"] == "online"


# -- deleting
# ---------------------------------------------------------------------------------------------------------


def test_deleting_an_idle_runner_ends_its_listener_and_takes_no_job(scene: Scene) -> None:
    runner = scene.runner().connect()
    assert runner.delete().status == 204
    job = scene.queue()
    with pytest.raises(Exception, match="The runner no longer exists on the server"):
        runner.poll()
    assert scene.job(job.id).status == "queued"
    assert runner.delete().status == 404


def test_a_busy_runner_cannot_be_deleted(scene: Scene) -> None:
    runner = scene.runner().connect()
    job = scene.queue()
    runner.take()
    refused = runner.delete()
    assert (refused.status, refused.message) == (422, BUSY)
    assert scene.job(job.id).status == "in_progress"


def test_a_finished_runners_record_lingers_busy_and_keeps_its_name(scene: Scene) -> None:
    scene.world.turn(linger_seconds=30.0)
    runner = scene.runner().connect()
    scene.queue()
    runner.finish(runner.take())
    assert (runner.shown()["status"], runner.shown()["busy"]) == ("offline", True)
    scene.wait(29)
    assert runner.delete().message == BUSY
    assert scene.register("r1").status == 409
    scene.wait(1)
    assert runner.delete().status == 404
    assert scene.register("r1").status == 201


@pytest.mark.parametrize("connected", [False, True])
def test_a_runner_that_is_not_connected_for_a_day_is_removed(scene: Scene, connected: bool) -> None:
    runner = scene.runner()
    if connected:
        runner.connect().poll()
        runner.kill()
    scene.wait(DAY - 1)
    assert len(scene.world.runners.list(ACME)) == 1
    scene.wait(61)
    assert scene.world.runners.list(ACME) == []


def test_a_connected_runner_waits_for_ever(scene: Scene) -> None:
    runner = scene.runner().connect(leased=False)
    scene.wait(5 * DAY)
    job = scene.queue()
    assert runner.take().id == job.id


def test_a_runner_that_worked_for_days_is_not_reaped(scene: Scene) -> None:
    runner = scene.runner().connect(leased=False)
    job = scene.queue(seconds=3 * DAY)
    scene.world.turn(job_timeout_seconds=5 * DAY)
    runner.take()
    scene.wait(3 * DAY)
    assert runner.finish(job)
    assert scene.job(job.id).conclusion == "success"


def test_downloads_name_the_archives_of_this_server(scene: Scene) -> None:
    rows = scene.get("/repos/acme/api/actions/runners/downloads").body
    assert [(row["os"], row["architecture"]) for row in rows] == [("linux", "x64"), ("linux", "arm64")]
    assert rows[0]["filename"] == "actions-runner-linux-x64-2.337.0.tar.gz"
    assert rows[0]["download_url"].startswith("http://127.0.0.1:8080/")
    scene.world.turn(runner_version="2.400.0")
    assert "2.400.0" in scene.get("/repos/acme/api/actions/runners/downloads").body[0]["filename"]


def test_labels_are_sorted_by_nobody(scene: Scene) -> None:
    labels = tuple(f"l{n}" for n in range(12))
    given = [label["name"] for label in scene.register("r1", labels).body["runner"]["labels"]]
    assert sorted(given) == sorted(labels)
    assert given != list(labels)
    assert labels != LABELS
