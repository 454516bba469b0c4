"""Deadlines and signals end a runner; a job that runs is left alone by the first, and reported by the second."""

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
    end = box.run(
        "listen succeed", STANDIN_STEP="sleep 3", HFRUNNER_IDLE_SECONDS="1", HFRUNNER_IDLE_MARGIN_SECONDS="1"
    )
    assert (end.outcome, end.job_result) == ("JobCompleted", "Succeeded")


def test_a_workflow_that_removes_our_files_makes_no_runner_idle_and_no_outcome_wrong(box: Box) -> None:
    end = box.run(
        "listen fail",
        STANDIN_STEP='sleep 1; rm -rf "$HOME/.hfrunner"; sleep 3',
        HFRUNNER_REGISTRATION_SECONDS="4",
        HFRUNNER_IDLE_SECONDS="1",
        HFRUNNER_IDLE_MARGIN_SECONDS="1",
    )
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
    end = box.run("wait", HFRUNNER_REGISTRATION_SECONDS="2")
    assert (end.outcome, end.listener_exit) == ("RegistrationTimeout", "0")


def test_an_image_that_takes_too_long_to_prepare_ends_before_the_runner_starts(box: Box) -> None:
    shelf = box.commands("zstd")
    box.command_script(shelf, "apt-get", "exec sleep 30")
    end = box.run("listen succeed", HFRUNNER_REGISTRATION_SECONDS="2", HFRUNNER_PACKAGES="install")
    assert (end.outcome, end.listener_exit) == ("RegistrationTimeout", "none")


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


def test_a_job_that_ended_by_itself_counts_though_a_signal_came(box: Box) -> None:
    run = box.start("listen succeed", STANDIN_STEP="sleep 2", STANDIN_DEAF="1")
    run.wait_for("Running job")
    run.send(signal.SIGTERM)
    end = run.end()
    assert (end.outcome, end.job_result) == ("JobCompleted", "Succeeded")


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
