"""The command ``init``: what it prints is what ``check``, the models and a person can use."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from controller.api.convert import to_pool
from controller.cli import main
from hf_runner_simulators.github.keys import private_key
from tests.cli.services import HF_TOKEN, Services

OWNER = ("--github-url", "https://github.com/acme", "--repository", "lib-*", "--hf-namespace", "acme")


def init(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["init", *arguments])


def printed(*arguments: str) -> list[dict[str, Any]]:
    result = init(*arguments)
    assert result.exit_code == 0, result.output
    return [one for one in yaml.safe_load_all(result.stdout) if one is not None]


def pools(*arguments: str) -> list[dict[str, Any]]:
    return [one for one in printed(*arguments) if one["kind"] == "RunnerPool"]


@pytest.fixture
def key_file(tmp_path: Path) -> str:
    path = tmp_path / "app.pem"
    path.write_text(private_key())
    return str(path)


def test_each_flavor_gets_a_pool_with_a_label_of_its_own() -> None:
    made = pools(*OWNER, "--flavor", "t4-small", "--flavor", "cpu-upgrade", "-n", "ci")
    assert [(one["metadata"], one["spec"]["labels"], one["spec"]["flavors"]) for one in made] == [
        ({"name": "t4-small", "namespace": "ci"}, ["hf-t4-small"], ["t4-small"]),
        ({"name": "cpu-upgrade", "namespace": "ci"}, ["hf-cpu-upgrade"], ["cpu-upgrade"]),
    ]
    for one in made:
        to_pool(one, allow_http=False)


def test_flavors_to_fall_back_on_share_one_pool() -> None:
    (one,) = pools(
        *OWNER, "--flavor", "t4-small", "--flavor", "l4x1", "--fallback", "--label", "gpu", "--name", "gpu"
    )
    assert (one["metadata"]["name"], one["spec"]["labels"]) == ("gpu", ["gpu"])
    assert one["spec"]["flavors"] == ["t4-small", "l4x1"]


def test_workflows_of_jobs_actions_need_no_edit() -> None:
    made = pools(*OWNER, "--like", "jobs-actions", "--flavor", "t4-small", "--flavor", "a10g-large")
    assert [one["spec"]["labels"] for one in made] == [["hf-jobs-t4-small"], ["hf-jobs-a10g-large"]]


def test_pools_like_those_of_jobs_actions_end_runners_as_early_as_it_does() -> None:
    (as_it,) = pools(*OWNER, "--like", "jobs-actions", "--flavor", "t4-small")
    assert as_it["spec"]["deadlines"] == {"idle": "5m", "lifetime": "1h"}
    (longer,) = pools(*OWNER, "--like", "jobs-actions", "--flavor", "t4-small", "--lifetime", "3h")
    assert longer["spec"]["deadlines"]["lifetime"] == "3h"


def test_without_secrets_the_commands_that_make_them_are_printed_and_no_secret_is() -> None:
    result = init(*OWNER, "--flavor", "t4-small", "-n", "ci")
    assert [one["kind"] for one in yaml.safe_load_all(result.stdout) if one] == ["RunnerPool"]
    assert "kubectl create secret generic github-app -n ci --from-literal=appId=ID" in result.stdout
    assert "kubectl create secret generic hf-token -n ci" in result.stdout
    assert "Self-hosted runners: write (organization)" in result.stdout


def test_secrets_that_are_given_become_secrets(key_file: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("hf_abc\n")
    app, hub, pool = printed(
        *OWNER,
        "--flavor",
        "t4-small",
        "--app-id",
        "12",
        "--app-key-file",
        key_file,
        "--hf-token-file",
        str(token),
    )
    assert app["stringData"] == {"appId": "12", "privateKey": private_key()}
    assert hub["stringData"] == {"token": "hf_abc"}
    spec = pool["spec"]
    named = (spec["github"]["credentialsSecret"], spec["huggingface"]["tokenSecret"])
    assert named == (app["metadata"]["name"], hub["metadata"]["name"])


def test_the_workflow_is_one_that_github_reads_and_asks_for_the_pools_labels() -> None:
    result = init(*OWNER, "--flavor", "t4-small", "--runner-group", "gpu", "--workflow")
    assert "\non:\n" in result.stdout
    workflow = yaml.safe_load(result.stdout)
    assert workflow[True] == {"workflow_dispatch": {}}  # `on`, to YAML 1.1
    (job,) = workflow["jobs"].values()
    assert job["runs-on"] == {"group": "gpu", "labels": "hf-t4-small"}
    assert result.stderr == ""


def test_what_it_prints_passes_the_check(services: Services, key_file: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(HF_TOKEN)
    made = init(
        *("--github-url", f"{services.github}/acme", "--repository", "lib", "--hf-namespace", "acme"),
        *("--flavor", "t4-small", "--flavor", "cpu-upgrade", "--hf-endpoint", services.hub, "-n", "ci"),
        *("--app-id", str(services.app["id"]), "--app-key-file", key_file, "--hf-token-file", str(token)),
        "--allow-http",
    )
    checked = CliRunner().invoke(main, ["check", "-", "--strict", *services.flags], input=made.stdout)
    assert checked.exit_code == 0, checked.output
    assert "2 pools checked: 0 errors, 0 warnings" in checked.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "missing --github-url, --hf-namespace, --flavor"),
        (
            ["--github-url", "https://github.com/acme", "--hf-namespace", "a", "--flavor", "x"],
            "missing --repository",
        ),
        ([*OWNER, "--flavor", "T4"], "spec.flavors[0]"),
        (["--github-url", "https://example", "--hf-namespace", "a", "--flavor", "x"], "spec.github.url"),
        ([*OWNER, "--flavor", "x", "--min-idle", "9"], "minIdle is more than maxRunners"),
        ([*OWNER, "--flavor", "x", "--flavor", "y", "--label", "gpu"], "give one --flavor, or --fallback"),
        ([*OWNER, "--flavor", "x", "--app-id", "1"], "--app-id needs --app-key-file"),
        ([*OWNER, "--flavor", "x", "--name", "T4_x"], "is no name in Kubernetes"),
        ([*OWNER, "--flavor", "x", "--app-id", "1", "--app-key-file", __file__], "not a PEM private key"),
    ],
)
def test_wrong_arguments_end_with_2_and_print_no_manifest(arguments: list[str], words: str) -> None:
    result = init(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr


def test_on_a_terminal_it_asks_for_what_is_missing_and_keeps_the_questions_off_the_output() -> None:
    main_end, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "controller", "init", "--flavor", "t4-small"],
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=terminal,
        env={**os.environ, "TERM": "dumb"},
    )
    os.close(terminal)
    try:
        for question, answer in (
            ("GitHub address", "acme"),
            ("GitHub address", "https://github.com/acme"),
            ("Repositories", "lib, web"),
            ("Hub that pays", "acme"),
        ):
            _expect(main_end, question)
            os.write(main_end, f"{answer}\n".encode())
        assert process.stdout is not None
        output = process.stdout.read().decode()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(main_end)
        assert process.stdout is not None
        process.stdout.close()
    (pool,) = [one for one in yaml.safe_load_all(output) if one]
    assert pool["spec"]["github"]["repositories"]["include"] == ["lib", "web"]


def _expect(descriptor: int, words: str) -> None:
    seen, ends = "", time.monotonic() + 20
    while words not in seen or not seen.rstrip(" ").endswith(":"):
        assert time.monotonic() < ends, seen
        if select.select([descriptor], [], [], 0.2)[0]:
            seen += os.read(descriptor, 4_096).decode()
