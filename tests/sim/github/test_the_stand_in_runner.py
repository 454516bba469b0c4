"""The runner archive as a client downloads it, and the stand-in listener as a process
against a served simulator.
"""

from __future__ import annotations

import ast
import asyncio
import hashlib
import io
import json
import os
import signal
import tarfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from hf_runner_simulators.clock import LoopClock
from hf_runner_simulators.doors import open_socket
from hf_runner_simulators.exchange import Exchange
from hf_runner_simulators.github.archive import Archives
from hf_runner_simulators.github.http import GitHubSite
from hf_runner_simulators.github.keys import private_key, public_key_of
from hf_runner_simulators.github.knobs import Knobs
from hf_runner_simulators.github.model import Scope
from hf_runner_simulators.github.world import GitHubWorld

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LABELS = ("gpu",)
HOSTED = {"ACTIONS_RUNNER_RETURN_JOB_RESULT_FOR_HOSTED": "1"}


def unpack(content: bytes, where: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        tar.extractall(where, filter="data")


@dataclass
class Served:
    """A GitHub on a socket, and a runner unpacked from what it serves."""

    world: GitHubWorld
    origin: str
    root: Path

    def jit(self, name: str = "r1") -> str:
        made = self.world.runners.generate_jit_config(
            Scope("org", "acme"), name=name, labels=LABELS, server_url=self.origin
        )
        return made.encoded

    def queue(self, **more: Any) -> int:
        (job,) = self.world.workflows.queue_jobs("acme/api", LABELS, **more)
        return job.id

    def job(self, job_id: int) -> Any:
        return self.world.workflows.job(job_id)

    async def start(self, *arguments: str, jit: str = "", **environment: str) -> asyncio.subprocess.Process:
        given = {"ACTIONS_RUNNER_INPUT_JITCONFIG": jit} if jit else {}
        return await asyncio.create_subprocess_exec(
            self.root / "bin" / "Runner.Listener",
            *(arguments or ("run",)),
            env={"PATH": os.environ["PATH"], **given, **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def run(self, *arguments: str, jit: str = "", **environment: str) -> tuple[int, str]:
        process = await self.start(*arguments, jit=jit, **environment)
        output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()

    async def until(self, process: asyncio.subprocess.Process, text: str) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            if text in line.decode():
                return
        pytest.fail(f"the listener ended without {text!r}")


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as made:
        yield made


@asynccontextmanager
async def serving(root: Path) -> AsyncIterator[Served]:
    clock = LoopClock(time=asyncio.get_running_loop().time)
    world = GitHubWorld(clock=clock, knobs=Knobs(poll_seconds=0.05, runner_version="2.336.0"))
    world.accounts.add_repository("acme/api")
    app = world.accounts.add_app(public_key=public_key_of(private_key()))
    world.accounts.install(app.id, "acme")
    async with (
        open_socket(Exchange(GitHubSite(world), clock=clock)) as origin,
        httpx.AsyncClient(trust_env=False) as client,
    ):
        version = world.store.runner_version
        path = f"/actions/runner/releases/download/v{version}/actions-runner-linux-x64-{version}.tar.gz"
        archive = (await client.get(origin + path)).content
        assert hashlib.sha256(archive).hexdigest() == world.archives.build(version, "x64").sha256
        unpack(archive, root)
        yield Served(world, origin, root)


# -- the archive
# ------------------------------------------------------------------------------------------------------


def test_equal_archives_have_equal_bytes() -> None:
    first, second = (Archives().build("2.336.0", "x64") for _ in range(2))
    assert first == second
    assert first.sha256 != Archives().build("2.337.0", "x64").sha256


def test_only_names_of_runner_archives_are_served() -> None:
    archives = Archives()
    assert archives.named("actions-runner-linux-arm64-2.300.1.tar.gz") is not None
    for name in (
        "actions-runner-osx-x64-2.336.0.tar.gz",
        "actions-runner-linux-x64-latest.tar.gz",
        "other.tar.gz",
    ):
        assert archives.named(name) is None


def test_only_so_many_archives_are_kept() -> None:
    archives = Archives()
    first = archives.build("1.0.0", "x64")
    for n in range(40):
        archives.build(f"1.0.{n}", "x64")
    assert archives.build("1.0.0", "x64") == first


def test_the_listener_is_python_3_8(tmp_path: Path) -> None:
    unpack(Archives().build("2.336.0", "x64").content, tmp_path)
    ast.parse((tmp_path / "bin" / "Runner.Listener").read_text(), feature_version=(3, 8))


# -- the process
# ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["/actions/runner/releases/download", "", "/mirror/of/runners"])
async def test_a_mirrors_base_url_can_be_tried(served: Served, base: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{served.origin}{base}/v2.1.0/actions-runner-linux-x64-2.1.0.tar.gz")
        other = await client.get(f"{served.origin}{base}/v2.1.0/notes.tar.gz")
        counts = (await client.get(f"{served.origin}/_sim/report")).json()["requests"]["routes"]
    assert hashlib.sha256(answer.content).hexdigest() == served.world.archives.build("2.1.0", "x64").sha256
    assert other.status_code in (403, 404)
    assert counts["GET /actions/runner/releases/download/{tag}/{filename}"]["200"] >= 1


async def test_it_tells_its_version(served: Served) -> None:
    assert await served.run("--version") == (0, "2.336.0\n")


@pytest.mark.parametrize(
    ("result", "word", "code"), [("success", "Succeeded", 100), ("failure", "Failed", 102)]
)
async def test_it_works_on_one_job_and_prints_what_the_real_one_prints(
    served: Served, result: str, word: str, code: int
) -> None:
    job_id = served.queue(seconds=0.05, result=result, name="train")
    exit_code, output = await served.run(jit=served.jit(), **HOSTED)
    assert exit_code == code
    lines = [line for line in output.splitlines() if line]
    assert lines[0] == "√ Connected to GitHub"
    assert lines[1] == "Current runner version: '2.336.0'"
    assert lines[2].endswith("Z: Listening for Jobs")
    assert lines[3].endswith("Z: Running job: train")
    assert lines[4].endswith(f"Z: Job train completed with result: {word}")
    job = served.job(job_id)
    assert (job.status, job.conclusion, job.runner_name, job.reported) == ("completed", result, "r1", True)


async def test_every_end_is_0_unless_results_are_asked_for(served: Served) -> None:
    served.queue(seconds=0, result="failure")
    assert (await served.run(jit=served.jit()))[0] == 0


async def test_the_secret_is_in_no_step_and_no_file_afterwards(served: Served, tmp_path: Path) -> None:
    job_id = served.queue(seconds=0, command="env; cat $HOME/.credentials 2>/dev/null; true")
    jit = served.jit()
    await served.run(jit=jit, HOME=str(tmp_path))
    log = served.job(job_id).log
    assert "GITHUB_REPOSITORY=acme/api" in log
    assert "ACTIONS_RUNNER_INPUT_JITCONFIG" not in log
    assert jit not in log
    assert not list(served.root.glob(".credentials*")) + list(served.root.glob(".runner"))


async def test_the_job_started_hook_runs_first_in_bash(served: Served, tmp_path: Path) -> None:
    hook = tmp_path / "hook.sh"
    hook.write_text(
        '[[ -n $BASH_VERSION ]] && echo "hook of $RUNNER_NAME" >> "$GITHUB_STEP_SUMMARY"; echo hooked\n'
    )
    job_id = served.queue(seconds=0, command='cat "$GITHUB_STEP_SUMMARY"; pwd')
    await served.run(jit=served.jit(), ACTIONS_RUNNER_HOOK_JOB_STARTED=str(hook))
    assert served.job(job_id).log == f"hooked\nhook of r1\n{served.root}/_work/api\n"


@pytest.mark.parametrize("part", ["hook", "command"])
async def test_a_step_that_fails_fails_the_job(served: Served, tmp_path: Path, part: str) -> None:
    hook = tmp_path / "hook.sh"
    hook.write_text("false\n" if part == "hook" else "true\n")
    job_id = served.queue(seconds=60, command="echo ran; false")
    code, _ = await served.run(jit=served.jit(), ACTIONS_RUNNER_HOOK_JOB_STARTED=str(hook), **HOSTED)
    assert code == 102
    assert served.job(job_id).conclusion == "failure"
    assert ("ran" in served.job(job_id).log) is (part == "command")


async def test_settings_of_the_dotenv_file_win(served: Served) -> None:
    (served.root / ".env").write_text("FLAVOR=t4\n\n# nonsense\nPLAIN\n")
    job_id = served.queue(seconds=0, command="echo $FLAVOR")
    await served.run(jit=served.jit(), FLAVOR="cpu")
    assert served.job(job_id).log == "t4\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_an_idle_listener_in_good_order(served: Served, number: signal.Signals) -> None:
    process = await served.start(jit=served.jit())
    await served.until(process, "Listening for Jobs")
    process.send_signal(number)
    assert await process.wait() == 0
    (row,) = served.world.report()["registrations"]
    assert row["status"] == "offline"


async def test_a_signal_fails_a_running_job_and_reports_it(served: Served) -> None:
    job_id = served.queue(seconds=600, command="sleep 600")
    process = await served.start(jit=served.jit(), **HOSTED)
    await served.until(process, "Running job")
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 102
    assert (served.job(job_id).conclusion, served.job(job_id).reported) == ("failure", True)


async def test_a_cancelled_job_is_stopped(served: Served) -> None:
    job_id = served.queue(seconds=600, command="sleep 600")
    process = await served.start(jit=served.jit(), **HOSTED)
    await served.until(process, "Running job")
    served.world.workflows.cancel_job(job_id)
    assert await process.wait() == 103
    assert served.job(job_id).conclusion == "cancelled"


async def test_a_killed_listener_leaves_its_job_in_progress(served: Served) -> None:
    job_id = served.queue(seconds=600)
    process = await served.start(jit=served.jit())
    await served.until(process, "Running job")
    process.kill()
    await process.wait()
    assert served.job(job_id).status == "in_progress"
    assert served.world.report()["registrations"][0]["busy"] is True


async def test_it_goes_home_when_its_registration_is_deleted(served: Served) -> None:
    process = await served.start(jit=served.jit())
    await served.until(process, "Listening for Jobs")
    served.world.runners.delete(Scope("org", "acme"), served.world.report()["registrations"][0]["id"])
    await served.until(process, "The runner no longer exists on the server. Cleaning up local configuration.")
    assert await process.wait() == 0


async def test_it_is_turned_away_when_its_registration_was_deleted_before(served: Served) -> None:
    jit = served.jit()
    served.world.runners.delete(Scope("org", "acme"), served.world.report()["registrations"][0]["id"])
    code, output = await served.run(jit=jit)
    assert code == 1
    assert output.startswith(
        "Failed to create a session. The runner registration has been deleted from the server"
    )


@pytest.mark.parametrize(
    ("asked", "code"), [({}, 1), ({"ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE": "1"}, 7)]
)
async def test_a_deprecated_version_says_so(served: Served, asked: dict[str, str], code: int) -> None:
    served.world.turn(deprecated_versions=("2.336.0",))
    got, output = await served.run(jit=served.jit(), **asked)
    assert got == code
    assert "Runner version v2.336.0 is deprecated and cannot receive messages." in output


async def test_a_second_listener_finds_a_session(served: Served) -> None:
    jit = served.jit()
    process = await served.start(jit=jit)
    await served.until(process, "Listening for Jobs")
    code, output = await served.run(jit=jit)
    assert (code, output.strip()) == (5, "A session for this runner already exists.")
    process.terminate()
    await process.wait()


async def test_fresh_credentials_are_tried_again(served: Served) -> None:
    served.world.turn(jit_propagation_seconds=0.3)
    served.queue(seconds=0)
    assert (await served.run(jit=served.jit(), **HOSTED))[0] == 100


@pytest.mark.parametrize("jit", ["nonsense", "e30="])
async def test_a_bad_configuration_ends_it(served: Served, jit: str) -> None:
    code, output = await served.run(jit=jit)
    assert code == 1
    assert "the JIT configuration is not valid" in output


async def test_without_a_configuration_it_is_not_configured(served: Served) -> None:
    assert (await served.run())[0] == 1
    assert (await served.run("configure"))[0] == 1


async def test_run_sh_turns_failures_into_0(served: Served) -> None:
    process = await asyncio.create_subprocess_exec(
        "bash", served.root / "run.sh", env={"PATH": os.environ["PATH"], "RUNNER_ALLOW_RUNASROOT": "1"},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert "Runner listener exit with terminated error" in output.decode()


async def test_the_protocol_over_http_is_the_verbs(served: Served) -> None:
    async with httpx.AsyncClient(base_url=served.origin, trust_env=False) as client:
        opened = (await client.post("/_sim/listener/sessions", json={"jit_config": served.jit()})).json()
        session = f"/_sim/listener/sessions/{opened['session']}"
        assert (await client.get(f"{session}/message")).status_code == 204
        job_id = served.queue(seconds=3, command="true")
        told = (await client.get(f"{session}/message")).json()
        assert (told["id"], told["seconds"], told["command"]) == (job_id, 3, "true")
        assert (await client.post(f"{session}/jobs/{job_id}/renew")).json() == {"cancel": False}
        ended = await client.post(
            f"{session}/jobs/{job_id}/finish", json={"result": "success", "log": "hi\n"}
        )
        assert ended.json() == {"counted": True}
        gone = await client.get(f"{session}/message")
        assert (gone.status_code, gone.json()["reason"], gone.json()["exit_code"]) == (410, "Gone", 0)
        assert (await client.get(f"/_sim/jobs/{job_id}/log")).text == "hi\n"
        assert (await client.delete(session)).status_code == 204
        report = (await client.get("/_sim/report")).json()
    assert json.dumps(report["jobs"][0]["conclusion"]) == '"success"'
    assert report["bugs"] == []
