"""What does the jobs' work: a script for tests and virtual time, or real processes for the demo."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from hf_runner_simulators.hub.flavors import FLAVORS
from hf_runner_simulators.hub.running import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a scripted command ends.

    Attributes:
        seconds: How long it runs; None for ever, until it is cancelled or times out.
        code: Its exit code.
        reason: What the platform says about a failure.
        lines: What it prints at its start.
    """

    seconds: float | None
    code: int = 0
    reason: str = "Error"
    lines: tuple[str, ...] = ()


class ScriptedMachine:
    """Decides at its start how a command will end; costs nothing and runs nothing.

    Args:
        script: Maps a run to its outcome. It may keep the run and report to it later instead, with
            an outcome that has no end.

    Attributes:
        started: Job ids in the order of their starts, once per attempt.
        killed: Job ids in the order in which the world ended them: cancelled, timed out, or completed.
    """

    def __init__(self, script: Callable[[Run], Outcome] = lambda _: Outcome(seconds=None)) -> None:
        self.started: list[str] = []
        self.killed: list[str] = []
        self._script = script

    def start(self, run: Run) -> None:
        """Begin the work."""
        self.started.append(run.job_id)
        outcome = self._script(run)
        for line in outcome.lines:
            run.log(line)
        if outcome.seconds is not None:
            run.exit_after(outcome.seconds, outcome.code, reason=outcome.reason)

    def kill(self, job_id: str) -> None:
        """Stop the work."""
        self.killed.append(job_id)


def builtin_environment(run: Run) -> dict[str, str]:
    """Return what the platform sets in every job's environment."""
    flavor = FLAVORS[run.spec.flavor]
    return {
        "JOB_ID": run.job_id,
        "ACCELERATOR": flavor.name if flavor.accelerator else "none",
        "CPU_CORES": str(flavor.cpu),
        "MEMORY": f"{flavor.ram}Gi",
    }


# Reads "+ PGID" and "- PGID"; when its input ends, for whatever reason, it kills the groups that are left.
_WATCHDOG = """
live=' '
while read -r sign group; do
  case $sign in
    +) live="$live$group " ;;
    -) live="${live%% "$group" *} ${live#* "$group" }" ;;
  esac
done
for group in $live; do kill -s KILL -- "-$group" 2>/dev/null; done
"""


DRAIN_SECONDS = 5.0
"""How long output is waited for that a process which escaped every kill may hold back."""

CARRIER_SECONDS = 0.1
"""How long after one search for a job's processes the next one follows."""


@dataclass(slots=True)
class _Child:
    process: asyncio.subprocess.Process | None = None
    killed: bool = False
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class ProcessMachine:
    """Really runs each job's command, as a process group with a directory of its own.

    There is no container: image and volumes are ignored, and a job sees this machine's files with this user's
    rights. The environment is the job's own plus a search path; nothing of the simulator's is passed on.
    However the simulator ends, its jobs end: a watchdog kills their groups when the pipe from here closes. A
    process that leaves its group is found when the job ends, by the job's directory in its environment.

    Args:
        environment: Set last in every job's environment; keeps a bootstrap off the host's own directories.
            ``{home}`` in a value is the job's directory.
        directory: Where the jobs' directories are made; the system's temporary directory unless said.
    """

    def __init__(
        self, *, environment: Mapping[str, str] | None = None, directory: Path | None = None
    ) -> None:
        self._environment = dict(environment or {})
        self._directory = directory
        self._children: dict[str, _Child] = {}
        self._watchdog: subprocess.Popen[bytes] | None = None

    def start(self, run: Run) -> None:
        """Begin the work, in a task of the running event loop."""
        child = _Child()
        self._children[run.job_id] = child
        child.task = asyncio.get_running_loop().create_task(self._work(run, child), name=f"job-{run.job_id}")

    def kill(self, job_id: str) -> None:
        """Kill the job's process group; the task that waits for it sees to the rest."""
        child = self._children.get(job_id)
        if child is None:
            return
        child.killed = True
        if child.process is not None:
            _kill_group(child.process.pid)

    async def aclose(self) -> None:
        """Kill all jobs and wait until they are gone. Idempotent."""
        tasks = [child.task for child in self._children.values() if child.task]
        for job_id in list(self._children):
            self.kill(job_id)
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._watchdog is not None:
            self._watchdog.communicate()
            self._watchdog = None

    async def _work(self, run: Run, child: _Child) -> None:
        home = self._make_home(run)
        try:
            code, reason = await self._execute(run, child, home)
        finally:
            shutil.rmtree(home, ignore_errors=True)
            self._children.pop(run.job_id, None)
        run.exit(code, reason=reason)

    def _make_home(self, run: Run) -> Path:
        home = Path(tempfile.mkdtemp(prefix=f"job-{run.job_id}-", dir=self._directory))
        home.chmod(0o755)  # as a container's root is: the command may go on as another user
        return home

    async def _execute(self, run: Run, child: _Child, home: Path) -> tuple[int, str]:
        spec = run.spec
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(home),
            "TMPDIR": str(home),
            **spec.environment,
            **spec.secrets,
            **builtin_environment(run),
            **{name: value.replace("{home}", str(home)) for name, value in self._environment.items()},
        }
        command = [*(spec.command or []), *(spec.arguments or [])] or ["true"]
        # A pipe of our own: with asyncio's, wait() would wait for everybody who inherited it, not
        # for the first process.
        output, inherited = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=home,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=inherited,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            os.close(output)
            run.log(f"exec failed: {error}")
            return 128, "StartError"
        finally:
            os.close(inherited)
        child.process = process
        self._watch("+", process.pid)
        reading = asyncio.create_task(_copy(output, run))
        try:
            if child.killed:  # between start() and the process
                _kill_group(process.pid)
            code = await process.wait()
        finally:
            # A container ends with its first process. What else runs would also keep the pipe open.
            _kill_group(process.pid)
            await _end_carriers(home, reading)
            self._watch("-", process.pid)
        return (code if code >= 0 else 128 - code), "Error"

    def _watch(self, sign: str, group: int) -> None:
        if self._watchdog is None:
            self._watchdog = subprocess.Popen(  # noqa: S603 -- our own script
                ["/bin/sh", "-c", _WATCHDOG],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        assert self._watchdog.stdin is not None
        self._watchdog.stdin.write(f"{sign} {group}\n".encode())
        self._watchdog.stdin.flush()


async def _copy(output: int, run: Run) -> None:
    """Copy a pipe to the job's log, line by line, until its end; a line may be of any length."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(output, "rb", 0)
    )
    try:
        rest = b""
        while chunk := await reader.read(65_536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                run.log(line.decode(errors="replace").rstrip("\r"))
        if rest:
            run.log(rest.decode(errors="replace"))
    finally:
        transport.close()


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS refuses for a group of the unburied
        os.killpg(group, signal.SIGKILL)


async def _end_carriers(home: Path, reading: asyncio.Task[None]) -> None:
    """Kill who left the group until nobody holds the output any more, or ``DRAIN_SECONDS`` have passed.

    Once is not enough: a process that is within its exec, as one that has just called setsid often is, shows
    no environment for that moment and would live on.
    """
    for _ in range(int(DRAIN_SECONDS / CARRIER_SECONDS)):
        _kill_carriers(home)
        done, _ = await asyncio.wait({reading}, timeout=CARRIER_SECONDS)
        if done:
            return
    reading.cancel()


def _kill_carriers(home: Path) -> None:
    """Kill the processes that left the group but whose environment still names the job's
    directory, on systems that tell.

    The directory and not the job's id: another simulator on this machine may have given out the same id.
    """
    mark = os.fsencode(home)
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in environ.read_bytes():
                os.kill(int(environ.parent.name), signal.SIGKILL)
