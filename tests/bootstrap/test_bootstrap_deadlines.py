"""Deadlines and signals end a runner; a job that runs is left alone by all but the lifetime and
signals, which report it.
"""

from __future__ import annotations

import shutil
import signal
import subprocess

import pytest

from tests.bootstrap.bootstrap_box import Box

SHELLS = [
    pytest.param(
        (name, *rest), id=name, marks=pytest.mark.skipif(not shutil.which(name), reason=f"no {name}")
    )
    for name, *rest in (("dash",), ("bash", "--posix"), ("busybox", "sh"))
]


def _can_make_namespaces() -> bool:
    unshare = shutil.which("unshare")
    return (
        unshare is not None
        and subprocess.run([unshare, "--pid", "--fork", "true"], check=False).returncode == 0
    )


def test_a_runner_without_a_job_ends_after_the_idle_deadline_and_its_margin(box: Box) -> None:
    end = box.run("listen wait", HFRUNNER_IDLE_SECONDS="1", HFRUNNER_IDLE_MARGIN_SECONDS="1")
    assert (end.outcome, end.ran_job) == ("IdleTimeout", False)
    assert "Exiting..." in end.output


def test_no_idle_deadline_means_for_ever(box: Box) -> None:
    end = box.run("listen sleep=2 succeed", HFRUNNER_IDLE_SECONDS="0", HFRUNNER_IDLE_MARGIN_SECONDS="0")
    assert end.outcome == "JobCompleted"


def test_a_runner_with_a_job_is_not_idle(box: Box) -> None:
    box.hold_clock()
    run = box.start(
        "listen succeed", STANDIN_STEP="sleep 1", HFRUNNER_IDLE_SECONDS="60", HFRUNNER_IDLE_MARGIN_SECONDS="1"
    )
    run.wait_for("Running job")
    box.pass_time(100)
    end = run.end()
    assert (end.outcome, end.job_result) == ("JobCompleted", "Succeeded")


def test_a_workflow_that_removes_our_files_makes_no_runner_idle_and_no_outcome_wrong(box: Box) -> None:
    box.hold_clock()
    run = box.start(
        "listen fail",
        STANDIN_STEP=f'sleep 1; rm -rf "$HOME/.hfrunner"; echo >{box.out}/removed; sleep 2',
        HFRUNNER_REGISTRATION_SECONDS="60",
        HFRUNNER_IDLE_SECONDS="60",
        HFRUNNER_IDLE_MARGIN_SECONDS="1",
    )
    run.wait_until((box.out / "removed").exists, "the files are removed")
    box.pass_time(100)
    end = run.end()
    assert (end.outcome, end.job_result) == ("JobCompleted", "Failed")


def test_a_job_that_slips_in_while_an_idle_runner_ends_is_told_by_the_marker(box: Box) -> None:
    # The stand-in takes a job when it is interrupted, which is the race at its worst.
    listener = box.image / "bin" / "Runner.Listener"
    listener.write_text(
        listener.read_text().replace(
            "echo 'Exiting...'", 'standin_job=late; echo "$standin_stamp: Running job: late"'
        )
    )
    end = box.run("listen wait", HFRUNNER_IDLE_SECONDS="1")
    assert (end.outcome, end.job_result, end.ran_job) == ("IdleTimeout", "Canceled", True)


def test_a_runner_that_does_not_reach_github_in_time_ends(box: Box) -> None:
    box.hold_clock()
    run = box.start("clash wait", HFRUNNER_REGISTRATION_SECONDS="60")
    run.wait_for("A session for this runner already exists")
    box.pass_time(60)
    end = run.end()
    assert (end.outcome, end.listener_exit) == ("RegistrationTimeout", "0")


def test_an_image_that_takes_too_long_to_prepare_ends_before_the_runner_starts(box: Box) -> None:
    shelf = box.commands("zstd")
    box.command_script(shelf, "apt-get", "exec sleep 30")
    end = box.run("listen succeed", HFRUNNER_REGISTRATION_SECONDS="2", HFRUNNER_PACKAGES="install")
    assert (end.outcome, end.listener_exit) == ("RegistrationTimeout", "none")


@pytest.mark.parametrize("shutdown", ["Canceled 103", "Failed 102"])
@pytest.mark.parametrize("shell", SHELLS)
def test_a_job_that_outlives_its_runners_lifetime_is_cancelled_and_reported(
    box: Box, shell: tuple[str, ...], shutdown: str
) -> None:
    box.hold_clock()
    run = box.start(
        "listen begin wait", shell=shell, STANDIN_SHUTDOWN=shutdown, HFRUNNER_LIFETIME_SECONDS="60"
    )
    run.wait_for("Running job")
    box.pass_time(60)
    end = run.end()
    assert (end.outcome, end.code, end.ran_job) == ("LifetimeReached", 82, True)
    assert [end.job_result, end.listener_exit] == shutdown.split()
    assert end.output.count("Exiting...") == 1
    assert (
        "hfrunner: lifetime of 60 s reached; the workflow job is cancelled; "
        "raise spec.deadlines.lifetime if it needs longer\n"
    ) in end.output


def test_a_job_that_ignores_the_end_of_the_lifetime_is_killed(box: Box) -> None:
    box.hold_clock()
    run = box.start(
        "listen begin wait", STANDIN_DEAF="1", HFRUNNER_LIFETIME_SECONDS="60", HFRUNNER_STOP_SECONDS="30"
    )
    run.wait_for("Running job")
    box.pass_time(60)
    run.wait_for("Exiting...")
    box.pass_time(30)
    end = run.end()
    assert (end.outcome, end.ran_job, end.job_result) == ("LifetimeReached", True, "Unknown")
    assert end.listener_exit == "137"


def test_a_job_that_succeeds_while_it_is_cancelled_succeeded(box: Box) -> None:
    box.hold_clock()
    run = box.start(
        "listen succeed", STANDIN_STEP="sleep 2", STANDIN_DEAF="1", HFRUNNER_LIFETIME_SECONDS="60"
    )
    run.wait_for("Running job")
    box.pass_time(60)
    end = run.end()
    assert (end.outcome, end.code, end.job_result) == ("JobCompleted", 0, "Succeeded")
    assert "Exiting..." in end.output


@pytest.mark.parametrize("words", ["listen wait", "wait", "exit=2/exit=2/wait"])
def test_a_runner_without_a_job_ends_with_its_lifetime_too(box: Box, words: str) -> None:
    end = box.run(words, HFRUNNER_LIFETIME_SECONDS="2")
    assert (end.outcome, end.code) == ("LifetimeReached", 82)
    assert (end.job_result, end.ran_job) == ("none", False)
    assert "the workflow job" not in end.output


def test_a_lifetime_that_ends_between_two_starts_of_the_listener_starts_none(box: Box) -> None:
    box.hold_clock()
    run = box.start("exit=2/listen succeed", HFRUNNER_LIFETIME_SECONDS="60", HFRUNNER_RETRY_SECONDS="5")
    run.wait_for("starting it again in 5 s")
    box.pass_time(60)
    end = run.end()
    assert (end.outcome, end.listener_exit, end.ran_job) == ("LifetimeReached", "2", False)


def test_the_lifetime_counts_from_the_scripts_start_not_from_the_runners(box: Box) -> None:
    shelf = box.commands("zstd")
    box.command_script(shelf, "apt-get", "exec sleep 30")
    end = box.run("listen succeed", HFRUNNER_LIFETIME_SECONDS="2", HFRUNNER_PACKAGES="install")
    assert (end.outcome, end.listener_exit, end.ran_job) == ("LifetimeReached", "none", False)


@pytest.mark.parametrize("lifetime", ["0", ""])
def test_no_lifetime_means_for_ever(box: Box, lifetime: str) -> None:
    end = box.run("listen succeed", STANDIN_STEP="sleep 2", HFRUNNER_LIFETIME_SECONDS=lifetime)
    assert end.outcome == "JobCompleted"
    assert "Lifetime:  as long as the Hub lets it run" in box.traces("hook")


def test_a_job_that_is_over_is_not_ended_by_the_lifetime(box: Box) -> None:
    box.hold_clock()
    run = box.start(
        "listen linger=Failed sleep=2", HFRUNNER_LIFETIME_SECONDS="60", HFRUNNER_STOP_SECONDS="80"
    )
    run.wait_for("completed with result: Failed")
    box.pass_time(60)
    end = run.end()
    assert (end.outcome, end.job_result, end.listener_exit) == ("JobCompleted", "Failed", "0")
    assert "Exiting..." not in end.output


@pytest.mark.parametrize("shell", SHELLS)
def test_a_signal_ends_an_idle_runner(box: Box, shell: tuple[str, ...]) -> None:
    run = box.start("listen wait", shell=shell)
    run.wait_for("Listening for Jobs")
    run.send(signal.SIGTERM)
    end = run.end()
    assert (end.outcome, end.listener_exit, end.ran_job) == ("Terminated", "0", False)
    assert end.output.count("Exiting...") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_in_the_middle_of_a_job_cancels_and_reports_it(box: Box, number: signal.Signals) -> None:
    run = box.start("listen begin wait")
    run.wait_for("Running job")
    run.send(number)
    end = run.end()
    assert (end.outcome, end.job_result, end.listener_exit) == ("Terminated", "Canceled", "103")


def test_a_job_that_fails_of_a_signal_did_not_end_by_itself(box: Box) -> None:
    run = box.start("listen begin wait", STANDIN_SHUTDOWN="Failed 102")
    run.wait_for("Running job")
    run.send(signal.SIGTERM)
    end = run.end()
    assert (end.outcome, end.job_result) == ("Terminated", "Failed")


def test_a_job_that_ended_by_itself_counts_though_a_signal_came(box: Box) -> None:
    run = box.start("listen succeed", STANDIN_STEP="sleep 2", STANDIN_DEAF="1")
    run.wait_for("Running job")
    run.send(signal.SIGTERM)
    end = run.end()
    assert (end.outcome, end.job_result) == ("JobCompleted", "Succeeded")


@pytest.mark.parametrize("result", ["Failed", "Canceled"])
def test_a_signal_after_the_job_changes_nothing_about_it(box: Box, result: str) -> None:
    run = box.start(f"listen linger={result} wait")
    run.wait_for("completed with result")
    run.send(signal.SIGTERM)
    end = run.end()
    assert (end.outcome, end.job_result) == ("JobCompleted", result)


@pytest.mark.parametrize("result", ["Succeeded", "Canceled"])
def test_a_listener_that_stays_after_its_job_is_ended_and_the_job_counts(box: Box, result: str) -> None:
    end = box.run(f"listen linger={result} wait", HFRUNNER_STOP_SECONDS="1")
    assert (end.outcome, end.code, end.job_result) == ("JobCompleted", 0, result)


def test_a_listener_that_does_not_end_is_killed(box: Box) -> None:
    run = box.start("listen wait", STANDIN_DEAF="1", HFRUNNER_STOP_SECONDS="1")
    run.wait_for("Listening for Jobs")
    run.send(signal.SIGTERM)
    end = run.end()
    assert (end.outcome, end.listener_exit) == ("Terminated", "137")


def test_a_signal_while_packages_are_installed_ends_at_once(box: Box) -> None:
    shelf = box.commands("zstd")
    box.command_script(shelf, "apt-get", f"echo called >>{box.out}/apt; exec sleep 30")
    run = box.start("listen succeed", HFRUNNER_PACKAGES="install")
    run.wait_for("installing with apt-get")
    run.send(signal.SIGTERM)
    end = run.end()
    assert (end.outcome, end.listener_exit) == ("Terminated", "none")


@pytest.mark.skipif(not _can_make_namespaces(), reason="unshare --pid is not allowed here")
def test_the_first_process_of_a_container_hears_signals_too(box: Box) -> None:
    # The kernel ignores for process 1 every signal that it has no handler for.
    run = box.start("listen wait", shell=("unshare", "--pid", "--fork", "--kill-child", "sh"))
    run.wait_for("Listening for Jobs")
    children = f"/proc/{run.process.pid}/task/{run.process.pid}/children"
    with open(children) as file:  # noqa: PTH123 - not a regular file
        (inner,) = file.read().split()
    subprocess.run(["kill", "-TERM", inner], check=True)
    assert run.end().outcome == "Terminated"
