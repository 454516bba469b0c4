"""The runner's side: sessions, leases, and what GitHub makes of a runner that vanishes."""

from __future__ import annotations

import pytest

from hf_runner_simulators.github.errors import ListenerRefused
from tests.sim.github.scene import Runner, Scene


def refused(runner: Runner, **more: object) -> ListenerRefused:
    with pytest.raises(ListenerRefused) as caught:
        runner.connect(**more)
    return caught.value


def test_a_configuration_is_good_for_one_session(scene: Scene) -> None:
    runner = scene.runner().connect()
    again = refused(runner)
    assert (again.reason, again.exit_code) == ("Conflict", 5)
    scene.world.listeners.disconnect(runner.session)
    assert refused(runner).reason == "Deleted"


def test_a_configuration_may_be_good_for_another_session_while_it_took_no_job(scene: Scene) -> None:
    scene.world.turn(jit_single_use=False)
    runner = scene.runner().connect()
    scene.world.listeners.disconnect(runner.session)
    scene.queue()
    runner.connect()
    runner.finish(runner.take())
    assert refused(runner).reason == "Deleted"


def test_the_configuration_of_a_deleted_registration_is_refused(scene: Scene) -> None:
    runner = scene.runner()
    runner.delete()
    end = refused(runner)
    assert end.message.startswith(
        "Failed to create a session. The runner registration has been deleted from the server"
    )
    assert (end.reason, end.exit_code) == ("Deleted", 1)


def test_a_configuration_expires(scene: Scene) -> None:
    scene.world.turn(jit_lifetime_seconds=300.0)
    young, old = scene.runner("young"), scene.runner("old")
    scene.wait(300)
    young.connect()
    scene.wait(1)
    assert refused(old).reason == "Deleted"
    assert old.shown()["status"] == "offline", "its record stays"


def test_fresh_credentials_may_need_a_moment(scene: Scene) -> None:
    scene.world.turn(jit_propagation_seconds=2.0)
    runner = scene.runner()
    assert refused(runner).reason == "NotYet"
    scene.wait(2)
    runner.connect()


def test_a_deprecated_version_is_turned_away(scene: Scene) -> None:
    scene.world.turn(deprecated_versions=("2.330.0",))
    end = refused(scene.runner("old"), version="2.330.0")
    assert (
        end.message == "An error occurred: Runner version v2.330.0 is deprecated and cannot receive messages."
    )
    assert end.exit_code == 7
    scene.runner("new").connect()


@pytest.mark.parametrize("jit", ["", "nonsense", "e30=", "eyIucnVubmVyIjogImUzMD0ifQ=="])
def test_nonsense_is_no_configuration(scene: Scene, jit: str) -> None:
    with pytest.raises(ListenerRefused, match="not valid"):
        scene.world.listeners.connect(jit)


def test_an_unknown_session_is_gone(scene: Scene) -> None:
    with pytest.raises(ListenerRefused) as caught:
        scene.world.listeners.poll("made-up")
    assert (caught.value.reason, caught.value.exit_code) == ("Gone", 0)


def test_a_job_shows_who_runs_it_and_since_when(scene: Scene) -> None:
    job = scene.queue()
    scene.wait(90)
    runner = scene.runner().connect()
    runner.take()
    shown = scene.get(f"/repos/acme/api/actions/jobs/{job.id}").body
    assert (shown["status"], shown["runner_name"], shown["runner_id"]) == ("in_progress", "r1", runner.id)
    assert shown["runner_group_name"] == "Default"
    assert shown["started_at"] > shown["created_at"]
    assert [step["status"] for step in shown["steps"]] == ["completed", "in_progress"]


@pytest.mark.parametrize("result", ["success", "failure", "cancelled"])
def test_a_job_ends_as_its_runner_reports(scene: Scene, result: str) -> None:
    job = scene.queue()
    runner = scene.runner().connect()
    runner.take()
    scene.wait(30)
    assert runner.finish(job, result)
    shown = scene.get(f"/repos/acme/api/actions/jobs/{job.id}").body
    assert (shown["status"], shown["conclusion"]) == ("completed", result)
    assert {step["status"] for step in shown["steps"]} == {"completed"}
    with pytest.raises(ListenerRefused, match="no longer exists"):
        runner.poll()


def test_a_killed_runners_job_fails_once_its_lease_is_over_and_its_step_stays_open(scene: Scene) -> None:
    runner = scene.runner().connect()
    job = scene.queue()
    runner.take()
    for _ in range(3):
        scene.wait(60)
        runner.renew(job)
    scene.wait(25)
    runner.kill()
    scene.wait(574)
    assert scene.job(job.id).status == "in_progress"
    scene.wait(1)
    shown = scene.get(f"/repos/acme/api/actions/jobs/{job.id}").body
    assert (shown["status"], shown["conclusion"]) == ("completed", "failure")
    assert [(step["status"], step["conclusion"]) for step in shown["steps"]][1] == ("in_progress", None)


def test_a_killed_runner_reads_offline_and_busy_until_then_and_keeps_its_name_after(scene: Scene) -> None:
    runner = scene.runner().connect()
    scene.queue()
    runner.take()
    runner.kill()
    assert runner.shown()["status"] == "online", "nobody noticed yet"
    scene.wait(61)
    assert (runner.shown()["status"], runner.shown()["busy"]) == ("offline", True)
    assert runner.delete().status == 422
    scene.wait(540)
    assert (runner.shown()["status"], runner.shown()["busy"]) == ("offline", False)
    assert scene.register("r1").status == 409
    assert runner.delete().status == 204


def test_a_runner_that_falls_silent_loses_its_job_ten_minutes_after_its_last_word(scene: Scene) -> None:
    runner = scene.runner().connect()
    job = scene.queue()
    runner.take()
    scene.wait(300)
    runner.renew(job)
    scene.wait(599)
    assert scene.job(job.id).status == "in_progress"
    scene.wait(1)
    assert scene.job(job.id).conclusion == "failure"


def test_renewing_keeps_a_job_alive_for_hours(scene: Scene) -> None:
    runner = scene.runner().connect()
    job = scene.queue()
    runner.take()
    for _ in range(5 * 60):
        scene.wait(60)
        assert runner.renew(job) is False
    assert runner.finish(job)
    assert scene.job(job.id).conclusion == "success"


def test_a_listener_taken_at_its_word_needs_no_renewals_until_it_is_killed(scene: Scene) -> None:
    runner = scene.runner().connect(leased=False)
    job = scene.queue()
    runner.take()
    scene.wait(5 * 3_600 + 10)
    scene.token = scene.new_token()
    assert (runner.shown()["status"], runner.shown()["busy"]) == ("online", True)
    runner.kill()
    scene.wait(589)
    assert scene.job(job.id).status == "in_progress"
    scene.wait(1)
    assert scene.job(job.id).conclusion == "failure"


def test_a_result_that_comes_after_the_lease_does_not_count(scene: Scene) -> None:
    runner = scene.runner().connect()
    job = scene.queue()
    runner.take()
    scene.wait(601)
    assert runner.renew(job) is True
    assert runner.finish(job) is False
    assert scene.job(job.id).conclusion == "failure"
    scene.wait(10)
    assert scene.runners() == []


def test_a_job_runs_no_longer_than_its_timeout(scene: Scene) -> None:
    runner = scene.runner().connect(leased=False)
    job = scene.queue()
    runner.take()
    scene.wait(21_600)
    assert runner.renew(job) is True
    assert runner.finish(job, "cancelled")
    assert scene.job(job.id).conclusion == "cancelled"


def test_leaving_and_killing_twice_is_harmless(scene: Scene) -> None:
    runner = scene.runner().connect()
    for _ in range(2):
        scene.world.listeners.disconnect(runner.session)
        runner.kill()
    assert runner.shown()["status"] == "offline"


def test_listeners_that_were_turned_away_are_reported(scene: Scene) -> None:
    runner = scene.runner()
    runner.delete()
    refused(runner)
    assert scene.get("/_sim/report").body["refused_listeners"] == [
        {"at": scene.clock.wall(), "runner_name": "r1", "reason": "Deleted"}
    ]
