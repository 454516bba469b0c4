"""Jobs as real processes: what a command gets, what becomes of it, and that nothing is left of it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from hf_runner_simulators.clock import LoopClock
from hf_runner_simulators.hub.job import LIVE, Job
from hf_runner_simulators.hub.machines import ProcessMachine
from hf_runner_simulators.hub.platform import drive
from hf_runner_simulators.hub.world import World
from tests.sim.hub.conftest import QUICK, SETUP, TOKEN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

PATIENCE = 150


class Shop:
    def __init__(self, world: World) -> None:
        self.world = world

    def start(self, *command: str, **spec: Any) -> Job:
        return self.world.create(
            TOKEN, "acme", {"dockerImage": "ubuntu", "command": list(command), "flavor": "cpu-basic"} | spec
        )

    def shell(self, script: str, **spec: Any) -> Job:
        return self.start("/bin/sh", "-c", script, **spec)

    async def ended(self, job: Job) -> tuple[str, str | None]:
        await until(lambda: job.moments[-1].stage not in LIVE)
        return job.moments[-1].stage.value, job.moments[-1].message

    async def says(self, job: Job, text: str) -> None:
        await until(lambda: any(text in line.text for line in job.log))

    def output(self, job: Job) -> list[str]:
        return [line.text for line in job.log if not line.text.startswith("=====")]


@asynccontextmanager
async def shop(directory: Path, **environment: str) -> AsyncIterator[Shop]:
    loop = asyncio.get_running_loop()
    clock = LoopClock(time=loop.time, epoch=time.time() - loop.time())
    machine = ProcessMachine(environment=environment, directory=directory)
    world = World(clock=clock, machine=machine, knobs=QUICK)
    world.setup(SETUP)
    driver = asyncio.create_task(drive(world.platform))
    try:
        yield Shop(world)
    finally:
        driver.cancel()
        await machine.aclose()
        assert os.listdir(directory) == []  # noqa: PTH208


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def running(pid: int) -> bool:
    """Whether a process is there and not merely unburied: init may be slow, or absent, in a container."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


async def test_a_command_gets_its_environment_its_secrets_and_what_the_platform_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "the simulators own")
    async with shop(tmp_path, EXTRA="{home}/extra") as hub:
        job = hub.start(
            "env",
            flavor="t4-small",
            environment={"POOL": "gpu", "JOB_ID": "spoofed"},
            secrets={"JIT": "c2VjcmV0"},
        )
        assert await hub.ended(job) == ("COMPLETED", None)
        environment = dict(line.partition("=")[::2] for line in hub.output(job))
    home = environment.pop("HOME")
    assert Path(home).parent == tmp_path
    assert environment.pop("PATH")
    assert environment == {
        "TMPDIR": home,
        "POOL": "gpu",
        "JIT": "c2VjcmV0",
        "JOB_ID": job.id,
        "ACCELERATOR": "t4-small",
        "CPU_CORES": "4",
        "MEMORY": "15Gi",
        "EXTRA": f"{home}/extra",
    }


async def test_arguments_follow_the_command_and_all_output_becomes_the_log(tmp_path: Path) -> None:
    async with shop(tmp_path) as hub:
        script = 'echo "$1 $2"; echo oops >&2; printf "\\377 no newline"'
        job = hub.start("/bin/sh", "-c", script, arguments=["sh", "a", "b c"])
        await hub.ended(job)
        assert hub.output(job) == ["a b c", "oops", "\ufffd no newline"]
        long = hub.shell("head -c 300000 /dev/zero | tr '\\0' x; echo; echo end")
        await hub.ended(long)
        assert [len(line) for line in hub.output(long)] == [300_000, 3]


@pytest.mark.parametrize(
    ("command", "code"),
    [("exit 7", 7), ("kill -TERM $$", 143), ("exit 0", None)],
    ids=["code", "signal", "success"],
)
async def test_the_exit_code_decides_the_stage(tmp_path: Path, command: str, code: int | None) -> None:
    async with shop(tmp_path) as hub:
        ended = await hub.ended(hub.shell(command))
    failed = ("ERROR", f"Job failed with exit code: {code}. Reason: Error")
    assert ended == (failed if code else ("COMPLETED", None))


async def test_a_command_that_does_not_exist_fails_to_start(tmp_path: Path) -> None:
    async with shop(tmp_path) as hub:
        job = hub.start("/no/such/program")
        assert await hub.ended(job) == ("ERROR", "Job failed with exit code: 128. Reason: StartError")
        assert "/no/such/program" in hub.output(job)[0]


FAMILY = """
trap '' TERM
sleep 1000 & echo "pid $!"
setsid sleep 1000 & echo "pid $!"
echo "pid $$"
wait
"""


def pids(hub: Shop, job: Job) -> list[int]:
    return [int(line.removeprefix("pid ")) for line in hub.output(job) if line.startswith("pid ")]


async def test_a_cancel_kills_the_whole_family_even_who_left_the_group_or_ignores_signals(
    tmp_path: Path,
) -> None:
    async with shop(tmp_path) as hub:
        job = hub.shell(FAMILY)
        await until(lambda: len(pids(hub, job)) == 3)
        hub.world.cancel(TOKEN, "acme", job.id)
        assert (await hub.ended(job))[0] == "CANCELED"
        await until(lambda: not any(map(running, pids(hub, job))))


# Each leaves the group and then only ever becomes the same program again: most moments find
# some of them within an exec.
RESTLESS = """
echo 'exec /bin/sh "$0"' >"$HOME/again"
for n in 1 2 3 4 5 6 7 8 9 10; do setsid /bin/sh "$HOME/again" & echo "pid $!"; done
wait
"""


async def test_a_cancel_kills_who_left_the_group_and_is_just_becoming_another_program(tmp_path: Path) -> None:
    async with shop(tmp_path) as hub:
        job = hub.shell(RESTLESS)
        await until(lambda: len(pids(hub, job)) == 10)
        await asyncio.sleep(0.2)
        hub.world.cancel(TOKEN, "acme", job.id)
        assert (await hub.ended(job))[0] == "CANCELED"
        await until(lambda: not any(map(running, pids(hub, job))))


async def test_a_job_that_ends_takes_none_of_another_simulators_jobs_with_the_same_id_along(
    tmp_path: Path,
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    async with shop(tmp_path / "one") as one, shop(tmp_path / "two") as two:
        short, long = one.shell("exit 0"), two.shell("echo begun; sleep 2")
        assert short.id == long.id
        await two.says(long, "begun")
        await one.ended(short)
        assert await two.ended(long) == ("COMPLETED", None)


async def test_a_timeout_kills_too(tmp_path: Path) -> None:
    async with shop(tmp_path) as hub:
        job = hub.shell(FAMILY, timeoutSeconds=1)
        assert await hub.ended(job) == ("ERROR", "Job timeout")
        await until(lambda: not any(map(running, pids(hub, job))))


async def test_a_job_ends_with_its_first_process_as_a_container_does(tmp_path: Path) -> None:
    async with shop(tmp_path) as hub:
        job = hub.shell('sleep 1000 & echo "pid $!"')
        assert await hub.ended(job) == ("COMPLETED", None)
        await until(lambda: not any(map(running, pids(hub, job))))


async def test_a_job_may_be_cancelled_in_the_moment_of_its_start(tmp_path: Path) -> None:
    async with shop(tmp_path) as hub:
        hub.world.turn({"scheduling_seconds": 0, "boot_seconds": 0, "cancel_seconds": 0})
        job = hub.shell("sleep 1000")
        hub.world.cancel(TOKEN, "acme", job.id)
        assert (await hub.ended(job))[0] == "CANCELED"


async def test_many_jobs_run_at_once(tmp_path: Path) -> None:
    async with shop(tmp_path) as hub:
        jobs = [hub.shell(f"echo {n}; exit {n % 2}") for n in range(20)]
        stages = [(await hub.ended(job))[0] for job in jobs]
        assert stages == ["COMPLETED", "ERROR"] * 10
        assert [hub.output(job) for job in jobs] == [[str(n)] for n in range(20)]


async def test_closing_the_machine_leaves_nothing(tmp_path: Path) -> None:
    async with shop(tmp_path) as hub:
        job = hub.shell(FAMILY)
        await until(lambda: len(pids(hub, job)) == 3)
    await until(lambda: not any(map(running, pids(hub, job))))


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
async def test_however_the_simulator_ends_its_jobs_end(tmp_path: Path, end: signal.Signals) -> None:
    command = "from controller.cli.sim import sim_command; sim_command()"
    arguments = ["--hub", "127.0.0.1:0", "--github", ":0", "--job-env", "GREETING=hello"]
    simulator = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", command, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    family: list[int] = []
    said: list[str] = []
    try:
        assert simulator.stdout is not None
        origins = dict(simulator.stdout.readline().split() for _ in range(2))
        assert sorted(origins) == ["github", "hub"]
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(base_url=origins["hub"], headers=headers, timeout=120) as client:
            await client.post("/_sim/setup", json=SETUP)
            await client.post("/_sim/knobs", json={"scheduling_seconds": 0, "boot_seconds": 0})
            spec = {
                "dockerImage": "u",
                "flavor": "cpu-basic",
                "command": [
                    "/bin/sh",
                    "-c",
                    "echo $GREETING, $HFRUNNER_PACKAGES nothing; echo pid $$; sleep 1000",
                ],
            }
            job = (await client.post("/api/jobs/acme", json=spec)).json()
            async with client.stream("GET", f"/api/jobs/acme/{job['id']}/logs") as log:
                async for line in log.aiter_lines():
                    said.append(line)
                    if '"pid ' in line:
                        family.append(int(line.partition('"pid ')[2].partition('"')[0]))
                        break
        assert running(family[0])
        assert any(
            "hello, skip nothing" in line for line in said
        )  # as root, a bootstrap would install packages here
        simulator.send_signal(end)
        assert simulator.wait(PATIENCE) == (0 if end is not signal.SIGKILL else -end)
        await until(lambda: not running(family[0]))
    finally:
        simulator.kill()
        simulator.communicate()
        for pid in family:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
