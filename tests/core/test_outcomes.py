"""What an ended HF Job's message tells, whatever the Hub writes into it."""

from __future__ import annotations

import pytest

from controller.core.model import HFJob, Stage
from controller.core.outcomes import Exit, ended_because, exit_code
from controller.core.reasons import Reason


def ended(message: str | None, stage: Stage = Stage.ERROR) -> HFJob:
    return HFJob(id="x", stage=stage, flavor="t4-small", created_at=0.0, message=message)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("Job failed with exit code: 1. Reason: Error", 1),
        ("Job failed with exit code: 137. Reason: OOMKilled", 137),
        ("exit code: 255", 255),
        ("exit code: 256", None),
        ("exit code: 1375", None),
        ("exit code: " + "9" * 5_000, None),
        ("exit code: ٣", None),
        ("exit code: -1", None),
        ("x" * 10_000 + "exit code: 1", None),
        ("no code", None),
        (None, None),
    ],
)
def test_an_exit_code_is_a_number_from_0_to_255(message: str | None, code: int | None) -> None:
    assert exit_code(ended(message)) == code


def test_a_code_of_thousands_of_digits_is_a_failure_like_any_other() -> None:
    assert ended_because(ended("exit code: " + "9" * 5_000)) is Reason.RunnerFailed


def test_a_completed_job_ended_with_0() -> None:
    assert exit_code(ended(None, Stage.COMPLETED)) == 0


@pytest.mark.parametrize("end", [end for end in Exit if end is not Exit.JOB_COMPLETED], ids=str)
def test_a_failed_job_tells_by_its_code_how_the_bootstrap_ended(end: Exit) -> None:
    assert ended_because(ended(f"Job failed with exit code: {end:d}. Reason: Error")) is end.reason


def test_a_job_that_the_hub_calls_failed_did_not_complete_whatever_its_code() -> None:
    assert ended_because(ended("exit code: 0")) is Reason.RunnerFailed
    assert ended_because(ended(None, Stage.COMPLETED)) is Exit.JOB_COMPLETED.reason


def test_the_words_of_the_bootstrap_are_the_names_of_the_codes() -> None:
    assert Exit.JOB_COMPLETED.outcome == "JobCompleted"
    assert Exit(73).outcome == "VersionDeprecated"  # type: ignore[call-arg] # a look-up


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (64, Reason.RunnerFailed),
        (65, Reason.ImageUnsuitable),
        (66, Reason.ImageUnsuitable),
        (67, Reason.DownloadFailed),
        (68, Reason.DownloadFailed),
        (69, Reason.DownloadFailed),
        (70, Reason.ImageUnsuitable),
        (71, Reason.RegistrationRefused),
        (72, Reason.RegistrationDeadline),
        (73, Reason.RunnerVersionRefused),
        (74, Reason.RegistrationRefused),
        (75, Reason.IdleDeadline),
        (76, Reason.EndedUnseen),
        (77, Reason.Terminated),
        (78, Reason.RunnerFailed),
        (79, Reason.RunnerFailed),
        (80, Reason.RunnerVersionRefused),
        (81, Reason.RunnerFailed),
        (82, Reason.LifetimeDeadline),
    ],
)
def test_a_code_of_the_bootstrap_is_a_known_one_and_has_the_reason_that_the_reference_names(
    code: int, reason: Reason
) -> None:
    assert {int(known): known.reason for known in Exit}[code] is reason
