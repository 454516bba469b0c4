"""Every way a runner ends has one exit code and one marker line, in every shell that an
image may have for sh.
"""

from __future__ import annotations

import os
import shutil
import signal

import pytest

from tests.bootstrap.bootstrap_box import Box

SHELLS = [
    pytest.param(
        (name, *rest), id=name, marks=pytest.mark.skipif(not shutil.which(name), reason=f"no {name}")
    )
    for name, *rest in (("dash",), ("bash", "--posix"), ("busybox", "sh"))
]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_job_that_succeeds_ends_with_code_0(box: Box, shell: tuple[str, ...]) -> None:
    end = box.run("listen succeed", shell=shell)
    assert (end.outcome, end.code) == ("JobCompleted", 0)
    assert (end.listener_exit, end.job_result, end.ran_job) == ("100", "Succeeded", True)


def test_a_job_that_fails_is_the_business_of_github_and_ends_with_code_0_too(box: Box) -> None:
    end = box.run("listen fail")
    assert (end.code, end.job_result, end.listener_exit) == (0, "Failed", "102")


def test_a_listener_that_keeps_the_result_out_of_its_exit_code_is_understood_by_its_output(box: Box) -> None:
    end = box.run("listen unhosted fail")
    assert (end.outcome, end.job_result, end.listener_exit) == ("JobCompleted", "Failed", "0")


def test_a_listener_whose_words_changed_is_understood_by_its_exit_code(box: Box) -> None:
    end = box.run("exit=103")
    assert (end.outcome, end.job_result, end.ran_job) == ("JobCompleted", "Canceled", True)


def test_a_job_whose_result_is_not_told_is_still_a_job_that_ran(box: Box) -> None:
    end = box.run("listen begin exit=0")
    assert (end.outcome, end.job_result, end.ran_job) == ("JobCompleted", "Unknown", True)


@pytest.mark.parametrize(
    ("words", "outcome", "listener_exit"),
    [
        ("refuse", "RegistrationRefused", "1"),
        ("exit=0", "RegistrationRefused", "0"),
        ("deprecate", "VersionDeprecated", "7"),
        ("conflict", "SessionConflict", "5"),
        ("listen delete", "Deregistered", "0"),
        ("listen exit=0", "Deregistered", "0"),
        ("listen crash", "ListenerCrashed", "134"),
        ("exit=139", "ListenerCrashed", "139"),
        ("listen exit=42", "ListenerFailed", "42"),
        ("listen exit=1", "ListenerFailed", "1"),
        ("clash exit=1", "SessionConflict", "1"),
        ("clash listen delete", "Deregistered", "0"),
        ("exit=2/exit=2/exit=2/exit=2/exit=2/listen succeed", "ListenerFailed", "2"),
        ("update/update/update/update/listen succeed", "UpdateFailed", "4"),
        ("exit=127", "UnsupportedImage", "127"),
    ],
)
def test_an_end_without_a_job_is_named(box: Box, words: str, outcome: str, listener_exit: str) -> None:
    end = box.run(words)
    assert (end.outcome, end.listener_exit) == (outcome, listener_exit)
    assert (end.job_result, end.ran_job) == ("none", False)
    assert end.code >= 64


@pytest.mark.parametrize(
    ("words", "listener_exit"),
    [
        ("crash", "134"),
        ("deprecate", "7"),
        ("exit=1", "1"),
        ("exit=2/listen succeed", "2"),
        ("update/listen succeed", "4"),
        ("conflict", "5"),
        ("exit=127", "127"),
    ],
)
def test_a_listener_that_ends_in_the_middle_of_a_job_says_so_whatever_its_own_code_means(
    box: Box, words: str, listener_exit: str
) -> None:
    end = box.run(f"listen begin {words}")
    assert (end.outcome, end.listener_exit) == ("JobInterrupted", listener_exit)
    assert (end.job_result, end.ran_job) == ("Unknown", True)


def test_a_job_that_begins_while_its_runner_is_ended_for_being_late_counts_as_a_job(box: Box) -> None:
    box.hold_clock()
    run = box.start("clash sleep=5 begin exit=1", STANDIN_DEAF="1", HFRUNNER_REGISTRATION_SECONDS="60")
    run.wait_for("A session for this runner already exists")
    box.pass_time(60)
    end = run.end()
    assert (end.outcome, end.ran_job) == ("JobInterrupted", True)


def test_a_retryable_error_starts_the_listener_again(box: Box) -> None:
    end = box.run("exit=2/listen exit=2/listen succeed")
    assert (end.outcome, end.job_result) == ("JobCompleted", "Succeeded")


def test_a_registration_that_is_not_known_yet_is_tried_again(box: Box) -> None:
    end = box.run("refuse/refuse/listen succeed")
    assert (end.outcome, end.job_result) == ("JobCompleted", "Succeeded")


def test_a_registration_that_stays_unknown_is_given_up(box: Box) -> None:
    end = box.run("refuse/refuse/refuse/listen succeed")
    assert (end.outcome, end.listener_exit) == ("RegistrationRefused", "1")


def test_a_listener_that_updates_itself_is_started_again_once_the_update_is_in_place(box: Box) -> None:
    end = box.run("listen update/listen succeed")
    assert (end.outcome, end.job_result) == ("JobCompleted", "Succeeded")
    assert not (box.home / "update.finished").exists()


def test_a_job_whose_name_holds_a_marker_fools_nobody(box: Box) -> None:
    end = box.run("listen spoof")
    assert end.job_result == "Failed"
    assert "| hfrunner: outcome=JobCompleted" in end.output


def test_no_fact_of_the_machine_comes_after_the_marker(box: Box) -> None:
    shelf = box.commands("cat")
    cat = shutil.which("cat")
    box.command_script(shelf, "cat", f'case "$*" in *facts.new) sleep 1 ;; esac; exec {cat} "$@"')
    run = box.start("listen exit=42")
    run.end()
    run.wait_for_all()
    assert run.output.splitlines()[-1].startswith("hfrunner: outcome=")


def test_output_without_a_final_line_feed_is_passed_on(box: Box) -> None:
    box.command_script(
        box.image / "bin", "Runner.Listener", '[ "$1" = run ] || exit 0; printf "last words"; exit 1'
    )
    assert "last words\n" in box.run("").output


def test_a_stray_process_that_holds_the_output_does_not_hold_the_end(box: Box) -> None:
    run = box.start("listen stray succeed")
    assert run.end().outcome == "JobCompleted"
    os.killpg(run.process.pid, signal.SIGKILL)  # it is still there


def test_an_error_in_the_script_itself_has_an_outcome(box: Box) -> None:
    assert box.command[0] == "sh"
    box.command = (
        "sh",
        "-c",
        box.command[2].replace("\nchoose_signal\n", "\nchoose_signal; : ${hf_nowhere}\n"),
    )
    assert box.run("listen succeed").outcome == "BootstrapFailed"


@pytest.mark.parametrize(
    "change",
    [
        {"HFRUNNER_JIT_CONFIG": ""},
        {"HFRUNNER_REGISTRATION_SECONDS": "5m"},
        {"HFRUNNER_LIFETIME_SECONDS": "6h"},
        {"HFRUNNER_IDLE_SECONDS": "-1"},
        {"HFRUNNER_PACKAGES": "no"},
        {"HFRUNNER_HOME": "home"},
    ],
)
def test_a_bad_setting_is_named(box: Box, change: dict[str, str]) -> None:
    box.environment |= change
    end = box.run("listen succeed")
    assert end.outcome == "BadConfiguration"
    assert next(iter(change)) in end.output


def test_an_image_that_cannot_run_the_listener_says_so_before_it_registers(box: Box) -> None:
    end = box.run("listen succeed", STANDIN_VERSION_EXIT="134")
    assert end.outcome == "UnsupportedImage"
    assert "ICU" in end.output
    assert not (box.home / ".credentials").exists()
