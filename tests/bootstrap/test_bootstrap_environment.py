"""What a workflow job sees of the bootstrap, and what it must not see."""

from __future__ import annotations

import os
import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.bootstrap.bootstrap_box import SECRET, Box

NOBODY = 65534
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")


def _variables(box: Box) -> dict[str, str]:
    return dict(line.split("=", 1) for line in box.traces("environment").splitlines() if "=" in line)


def test_the_secret_reaches_the_listener_and_no_step(box: Box) -> None:
    box.run("listen succeed")
    assert (box.home / ".credentials").read_text() == SECRET
    variables = _variables(box)
    assert not [name for name, value in variables.items() if SECRET in value]
    assert "HFRUNNER_JIT_CONFIG" not in variables
    assert not [name for name in variables if name.startswith("ACTIONS_RUNNER_INPUT_")]


def test_the_secret_is_in_no_command_line(box: Box) -> None:
    # Those of short-lived commands are seen by standing in front of every one of them.
    shelf = box.commands()
    before = os.environ["PATH"]
    box.command_script(
        shelf, "witness", f'printf "%s\\n" "$0 $*" >>{box.out}/argv; PATH={before}; exec "${{0##*/}}" "$@"'
    )
    for name in (
        "env",
        "mkdir",
        "mkfifo",
        "sleep",
        "cat",
        "cp",
        "chmod",
        "ln",
        "sed",
        "tail",
        "rm",
        "id",
        "mv",
        "df",
    ):
        (shelf / name).unlink()
        (shelf / name).symlink_to("witness")
    # Those of processes that stay are read from /proc while the job runs.
    box.run("listen succeed", STANDIN_STEP="cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert "env --default-signal" in box.traces("argv")
    assert "Runner.Listener run" in box.traces("step")
    assert SECRET not in box.traces("argv") + box.traces("step")


def test_names_of_a_pools_own_variables_are_free(box: Box) -> None:
    mine = dict.fromkeys(("state", "line", "home", "result", "code", "version", "url", "PS1"), "mine")
    box.environment |= mine
    box.run("listen succeed", hf_jit="exported")
    variables = _variables(box)
    assert {name: variables.get(name) for name in mine} == mine
    assert SECRET not in box.traces("environment")


def test_steps_get_the_environment_that_hosted_ones_have(box: Box) -> None:
    box.run("listen succeed")
    variables = _variables(box)
    assert variables["HOME"] == str(box.home)
    assert variables["RUNNER_TOOL_CACHE"] == variables["AGENT_TOOLSDIRECTORY"] == str(box.root / "tools")
    assert variables["LANG"] == "C.UTF-8"
    assert variables["DEBIAN_FRONTEND"] == "noninteractive"
    assert variables["RUNNER_ALLOW_RUNASROOT"] == "1"
    assert (box.home / "_work").is_dir()


def test_the_hook_prints_what_the_machine_is(box: Box) -> None:
    shelf = box.commands()
    box.command_script(shelf, "nvidia-smi", "echo 'Tesla T4, 15360 MiB, 550.54.15'")
    box.run("listen succeed", CPU_CORES="4", MEMORY="15Gi")
    hook = box.traces("hook")
    for fact in (
        "Pool:      runners/t4",
        "t4-hfr-000000-00000000-a1 (actions/runner 2.337.0,",
        "Flavor:    t4-small, USD 0.40 per hour",
        "Lifetime:  3600 s, until 2",
        "HF Job:    https://hub.example/jobs/acme/6745f00000000000000000aa",
        "Shell:     ssh 6745f00000000000000000aa@ssh.hf.jobs",
        "GPU:       Tesla T4, 15360 MiB, 550.54.15 (driver)",
        "CPU:       4 by the Hub",
        "Memory:    15Gi by the Hub",
        "Disk:      ",
        "/dev/shm:  ",
    ):
        assert fact in hook
    assert box.traces("hook-exit") == "0\n"


def test_the_hook_prints_until_when_the_job_may_run(box: Box) -> None:
    before = time.time()
    box.run("listen succeed")
    after = time.time()
    found = re.search(
        r"^Lifetime:  3600 s, until (.+) UTC; a workflow job that still runs then is cancelled$",
        box.traces("hook"),
        re.MULTILINE,
    )
    assert found is not None
    until = datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
    assert before - 2 <= until - 3600 <= after + 2  # both clocks give whole seconds


def test_a_date_that_cannot_convert_still_leaves_the_seconds(box: Box) -> None:
    shelf = box.commands("date")
    box.command_script(shelf, "date", '[ "$*" = +%s ] || exit 1; echo 1800000000')
    box.run("listen succeed", HFRUNNER_LIFETIME_SECONDS="100000")
    assert re.search(
        r"^Lifetime:  100000 s, (100000|99\d\d\d) s are left; ", box.traces("hook"), re.MULTILINE
    )


def test_a_driver_that_does_not_answer_is_not_printed_as_a_gpu(box: Box) -> None:
    shelf = box.commands()
    box.command_script(shelf, "nvidia-smi", "echo 'NVIDIA-SMI has failed'; exit 9")
    box.run("listen succeed", ACCELERATOR="t4")
    assert "GPU:       t4, though nvidia-smi does not work in this image" in box.traces("hook")


@pytest.mark.parametrize("end", ["", "false | true", "exit 3"])
def test_the_images_own_hook_runs_after_ours_and_decides(box: Box, end: str) -> None:
    hook = box.root / "own hook.sh"
    hook.write_text(f"echo own hook for $HFRUNNER_POOL\n{end}\n")
    box.run("listen succeed", ACTIONS_RUNNER_HOOK_JOB_STARTED=str(hook))
    assert box.traces("hook").startswith("Pool:")
    assert box.traces("hook").endswith("own hook for runners/t4\n")
    assert (box.traces("hook-exit") == "0\n") == (end == "")


def test_a_hook_in_the_runners_own_settings_file_runs_after_ours_too(box: Box) -> None:
    hook = box.root / "own.sh"
    hook.write_text("echo own hook\n")
    (box.image / ".env").write_text(f"ACTIONS_RUNNER_HOOK_JOB_STARTED={hook}")
    box.run("listen succeed")
    assert box.traces("hook").endswith("own hook\n")
    assert (box.home / ".env").read_text().splitlines()[-1].endswith("/.hfrunner/job-started.sh")


@as_root
def test_another_user_than_root_is_kept(box: Box) -> None:
    box.open_to(NOBODY)
    box.root.chmod(0o777)  # so that it may make the tool cache
    end = box.run("listen succeed")
    assert end.outcome == "JobCompleted"
    assert f"User:      uid {NOBODY}" in box.traces("hook")


@as_root
def test_a_home_that_cannot_be_written_is_replaced_and_that_is_said(box: Box) -> None:
    box.open_to(NOBODY)
    own = box.root / "own"
    own.mkdir()
    os.chown(own, NOBODY, NOBODY)
    if Path("/home/runner").exists():
        pytest.skip("this machine has a /home/runner of its own")
    del box.environment["HFRUNNER_HOME"]
    del box.environment["HFRUNNER_TOOL_CACHE"]
    end = box.run("listen succeed", HOME=str(own), RUNNER_TOOL_CACHE="/nowhere")
    assert end.outcome == "JobCompleted"
    assert f"uid {NOBODY} cannot write /home/runner, so HOME is {own}" in end.output
    assert f"cannot write /nowhere, so the tool cache is {own}/hostedtoolcache" in end.output
    assert _variables(box)["HOME"] == str(own)


@as_root
def test_a_home_that_was_asked_for_is_not_replaced(box: Box) -> None:
    box.open_to(NOBODY)
    os.chown(box.home, 0, 0)
    assert box.run("listen succeed").outcome == "HomeNotWritable"


@as_root
def test_root_owns_its_home(box: Box) -> None:
    os.chown(box.home, NOBODY, NOBODY)
    box.run("listen succeed")
    assert box.home.stat().st_uid == 0


def test_nothing_is_written_outside_the_directories_that_were_named(box: Box) -> None:
    (box.root / "tools").mkdir()
    before = sorted(path.name for path in box.root.iterdir())
    box.run("listen succeed")
    after = sorted(path.name for path in box.root.iterdir())
    assert after == sorted([*before, "log"])
    assert not list(box.tmp.iterdir())
