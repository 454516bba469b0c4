"""The script as a text: what keeps it correct wherever it is put, and that code, table and
documents agree.
"""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from controller.core.outcomes import Exit
from controller.execute import bootstrap
from controller.execute.bootstrap import bootstrap_job, script
from controller.simulate import machine

REPOSITORY = Path(__file__).parents[2]
SOURCE = Path(bootstrap.__file__).with_suffix(".sh")
DOCUMENT = (REPOSITORY / "docs" / "bootstrap.md").read_text()
OUTCOMES = {end.value: end.outcome for end in Exit}


@pytest.mark.parametrize("path", [SOURCE, Path(__file__).parent / "standin/bin/Runner.Listener"])
def test_shellcheck_finds_nothing(path: Path) -> None:
    if not shutil.which("shellcheck"):
        pytest.skip("no shellcheck here: apt-get install shellcheck")
    done = subprocess.run(["shellcheck", "-s", "sh", path], capture_output=True, text=True, check=False)
    assert done.stdout == ""


def test_kubernetes_rewrites_nothing_in_it() -> None:
    # k8s.io/kubernetes third_party/forked/golang/expansion: `$$` and `$(NAME)`.
    assert "$$" not in script()
    assert not re.findall(r"\$\([A-Za-z_][A-Za-z0-9_]*\)", script())


def test_every_variable_of_its_own_has_the_prefix() -> None:
    names = re.findall(r"(?:^|[;&|({]|\b(?:then|do|else)\b|\))\s*([A-Za-z_]\w*)=", script(), re.MULTILINE)
    names += re.findall(r"^\s*for (\w+) in ", script(), re.MULTILINE) + re.findall(r"read -r (\w+)", script())
    given_to_one_command = {"ACTIONS_RUNNER_INPUT_JITCONFIG", "ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT"}
    assert len(names) > 50
    assert {name for name in names if not name.startswith("hf_")} - {"_"} == given_to_one_command


def test_the_secret_is_never_exported_again() -> None:
    uses = [line.strip() for line in script().splitlines() if re.search(r"hf_jit\b|JIT_?CONFIG", line)]
    assert [use.split()[0] for use in uses] == [
        "unset",
        "hf_jit=${HFRUNNER_JIT_CONFIG-}",
        "unset",
        "[",
        "ACTIONS_RUNNER_INPUT_JITCONFIG=$hf_jit",
    ]


def test_the_outcomes_in_the_script_are_those_of_the_table() -> None:
    coded = {
        int(code): outcome
        for outcome, code in re.findall(r"^ +(\w+)\) hf_code=(\d+) ;;", script(), re.MULTILINE)
    }
    assert coded == OUTCOMES
    used = set(re.findall(r"\b(?:finish|failed|end_listener) ([A-Z]\w+)|\bhf_ended=([A-Z]\w+)", script()))
    assert {first or second for first, second in used} == set(OUTCOMES.values())


def test_exit_codes_are_nobody_elses() -> None:
    shell = {1, 2, *range(126, 256)}
    listener = {*range(1, 8), *range(100, 106)}
    assert not (shell | listener) & set(OUTCOMES)


def test_the_simulated_runner_ends_with_the_codes_of_the_script() -> None:
    # It keeps numbers of its own: what the simulation believes must not come from what it tests.
    assert {name: code for name, code in vars(machine).items() if name.startswith("EXIT_")} == {
        "EXIT_REFUSED": Exit.REGISTRATION_REFUSED,
        "EXIT_DEPRECATED": Exit.VERSION_DEPRECATED,
        "EXIT_IDLE": Exit.IDLE_TIMEOUT,
        "EXIT_DEREGISTERED": Exit.DEREGISTERED,
        "EXIT_LIFETIME": Exit.LIFETIME_REACHED,
    }


def test_the_document_has_every_exit_code_and_every_variable() -> None:
    rows = {
        (int(code), word) for code, word in re.findall(r"^\| (\d+) \| `(\w+)` \|", DOCUMENT, re.MULTILINE)
    }
    assert rows == set(OUTCOMES.items())
    variables = set(re.findall(r"\bHFRUNNER_[A-Z0-9_]+[A-Z0-9]\b", SOURCE.read_text()))
    assert variables == set(re.findall(r"^\| `(HFRUNNER_\w+)` \|", DOCUMENT, re.MULTILINE))


def test_many_copies_in_one_list_compress_to_little() -> None:
    # The Hub returns the command with each job of a list; gzip looks back 32 KiB.
    assert len(script()) < 30_000
    assert len(gzip.compress(script().encode() * 100)) < 40_000


def test_only_comments_are_left_out_of_what_runs() -> None:
    kept = script().splitlines()[1:]
    left_out = [line for line in SOURCE.read_text().splitlines() if line not in kept]
    assert not [line for line in left_out if line.strip() and not line.lstrip().startswith("#")]


def _job(**changes: object) -> bootstrap.BootstrapJob:
    return bootstrap_job(
        **{
            "jit_config": "s3cret",
            "runner_name": "t4-a1",
            "pool": "runners/t4",
            "flavor": "t4-small",
            "usd_per_hour": 0.4,
            "hub_url": "https://hub.example",
            "hf_namespace": "acme",
            "lifetime": 90.5,
            "registration": 300.0,
            "idle": 120.0,
            "idle_margin": 180.0,
            **changes,
        }  # type: ignore[arg-type]
    )


def test_the_secret_is_in_the_secrets_alone() -> None:
    job = _job()
    assert job.secrets == {"HFRUNNER_JIT_CONFIG": "s3cret"}
    assert "s3cret" not in repr(job)
    assert "s3cret" not in str((job.command, job.environment))


def test_the_command_is_plain_text_for_a_posix_shell() -> None:
    assert _job().command == ("sh", "-c", script())


def test_numbers_are_whole_seconds_rounded_up() -> None:
    environment = _job().environment
    assert environment["HFRUNNER_LIFETIME_SECONDS"] == "91"
    assert environment["HFRUNNER_IDLE_MARGIN_SECONDS"] == "180"


def test_what_is_unknown_or_off_is_left_out() -> None:
    environment = _job(usd_per_hour=None).environment
    assert not {"HFRUNNER_PRICE_PER_HOUR", "HFRUNNER_SSH", "HFRUNNER_ALLOW_HTTP"} & set(environment)
    on = _job(ssh=True, allow_http=True).environment
    assert (on["HFRUNNER_SSH"], on["HFRUNNER_ALLOW_HTTP"], on["HFRUNNER_PRICE_PER_HOUR"]) == (
        "true",
        "1",
        "0.40",
    )
