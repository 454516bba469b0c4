"""A place to run the bootstrap script in as a process, beside the stand-in for GitHub's Listener."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from controller.core.outcomes import Exit
from controller.execute.bootstrap import bootstrap_job

if TYPE_CHECKING:
    from collections.abc import Callable

STANDIN = Path(__file__).parent / "standin"
SECRET = "eyJ-s3cret-jit-config"
PATIENCE = 180.0
"""Seconds after which a run counts as hanging; nothing here takes long on a machine that
has nothing else to do."""

CLOCK = "/proc/uptime"
"""What the script reads its clock from."""

MOUNTS = "/proc/mounts"
"""Where the script reads what is mounted."""

CONTAINER = "overlay / overlay rw,relatime 0 0\nproc /proc proc rw,nosuid 0 0\nshm /dev/shm tmpfs rw 0 0\n"
"""What is mounted in a container without volumes."""

_MARKER = re.compile(
    r"^hfrunner: outcome=(\w+) listener-exit=(\S+) job-result=(\w+) ran-job=(true|false)$", re.MULTILINE
)


def _heed_signals() -> None:
    """Undo what the tests' own caller may have done: a background job ignores SIGINT, nohup SIGHUP, and a
    shell cannot trap what was ignored when it started. A container starts with neither.
    """
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a run ended: its exit code, its whole output, and what its marker line says."""

    code: int
    output: str
    outcome: str
    listener_exit: str
    job_result: str
    ran_job: bool


@dataclass(slots=True, kw_only=True)
class Run:
    """A script that runs."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, text: str) -> None:
        """Return once the output has the text."""
        self.wait_until(lambda: text in self.output, f"its output has {text!r}")

    def wait_until(self, met: Callable[[], bool], what: str) -> None:
        """Return once something is so; it has to be before the script ends."""
        deadline = time.monotonic() + PATIENCE
        while not met():
            assert self.process.poll() is None or met(), f"ended before this is so: {what}\n{self.output}"
            assert time.monotonic() < deadline, f"not so: {what}\n{self.output}"
            time.sleep(0.02)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait_for_all(self) -> None:
        """Return once every process that the script started has ended too."""
        deadline = time.monotonic() + PATIENCE
        with suppress(ProcessLookupError):
            while True:
                os.killpg(self.process.pid, 0)
                assert time.monotonic() < deadline, f"something stays:\n{self.output}"
                time.sleep(0.02)

    def end(self) -> End:
        """Wait for the end, and check what holds for every end: one marker, its exit code, no secret."""
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise AssertionError(f"still running:\n{self.output}") from None
        output = self.output
        markers = _MARKER.findall(output)
        assert len(markers) == 1, output
        assert output.rstrip().splitlines()[-1].startswith("hfrunner: outcome="), output
        outcome, listener_exit, job_result, ran_job = markers[0]
        assert Exit(code).outcome == outcome, output  # type: ignore[call-arg] # a look-up
        assert SECRET not in output
        return End(
            code=code,
            output=output,
            outcome=outcome,
            listener_exit=listener_exit,
            job_result=job_result,
            ran_job=ran_job == "true",
        )


@dataclass(slots=True, kw_only=True)
class Box:
    """Directories of one container, and the variables that keep the script inside them."""

    root: Path
    uid: int | None = None
    environment: dict[str, str] = field(init=False)
    command: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        for path in (self.home, self.out, self.tmp):
            path.mkdir()
        shutil.copytree(STANDIN, self.image)
        job = bootstrap_job(
            jit_config=SECRET,
            runner_name="t4-hfr-000000-00000000-a1",
            pool="runners/t4",
            flavor="t4-small",
            usd_per_hour=0.4,
            hub_url="https://hub.example",
            hf_namespace="acme",
            lifetime=3600,
            registration=300,
            idle=0,
            idle_margin=0,
            ssh=True,
        )
        self.environment = {
            "PATH": os.environ["PATH"],
            "TMPDIR": str(self.tmp),
            "STANDIN_OUT": str(self.out),
            **job.environment,
            **job.secrets,
            "JOB_ID": "6745f00000000000000000aa",
            "HFRUNNER_HOME": str(self.home),
            "HFRUNNER_TOOL_CACHE": str(self.root / "tools"),
            "HFRUNNER_PACKAGES": "skip",
            "HFRUNNER_RUNNER_DIR": str(self.image),
            "HFRUNNER_RETRY_SECONDS": "0",
        }
        self.command = job.command
        self.mount()

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def out(self) -> Path:
        return self.root / "out"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    @property
    def image(self) -> Path:
        return self.root / "image"

    def mount(self, *volumes: tuple[Path | str, str]) -> None:
        """Let the script find these volumes mounted, each with its options, whatever this machine
        has on disks of their own.
        """
        table = self.root / "mounts"
        assert MOUNTS in self.command[2] or str(table) in self.command[2]
        self.command = (*self.command[:2], self.command[2].replace(MOUNTS, str(table)))
        lines = [
            f"hf {str(path).replace(' ', chr(92) + '040')} fuse.hf {options} 0 0\n"
            for path, options in volumes
        ]
        table.write_text(CONTAINER + "".join(lines))

    def hold_clock(self) -> None:
        """Let no time pass for the script's deadlines but by :meth:`pass_time`, however
        long this machine takes.
        """
        clock = self.root / "uptime"
        assert self.command[2].count(CLOCK) == 1
        self.command = (*self.command[:2], self.command[2].replace(CLOCK, str(clock)))
        clock.write_text("1000.00 0.00\n")

    def pass_time(self, seconds: int) -> None:
        """Let so much time pass at once; the script must find the old time or the new one,
        never half a file.
        """
        clock, new = self.root / "uptime", self.root / "uptime.new"
        now = int(clock.read_text().partition(".")[0])
        new.write_text(f"{now + seconds}.00 0.00\n")
        new.rename(clock)

    def open_to(self, uid: int) -> None:
        """Let the script run as this user."""
        self.uid = uid
        for path in (self.home, self.out, self.tmp):
            os.chown(path, uid, uid)

    def start(self, words: str, *, shell: tuple[str, ...] = ("sh",), **environment: str) -> Run:
        """Start the script; ``words`` are what the stand-in does."""
        log = self.root / "log"
        # Each write goes to the end, as in a pipe: with one offset that all share, `cat` copies over
        # what others write meanwhile.
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*shell, *self.command[1:]],
                env={**self.environment, "STANDIN": words, **environment},
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self.uid,
                group=self.uid,
                extra_groups=None if self.uid is None else [],
                preexec_fn=_heed_signals,
            )
        return Run(process=process, log=log)

    def run(self, words: str, *, shell: tuple[str, ...] = ("sh",), **environment: str) -> End:
        return self.start(words, shell=shell, **environment).end()

    def traces(self, name: str) -> str:
        """What the workflow job left: ``hook``, ``hook-exit``, ``environment`` or ``step``."""
        return str((self.out / name).read_text())

    def commands(self, *absent: str) -> Path:
        """Return a directory with this machine's commands, links all, less some."""
        shelf = self.root / "commands"
        shelf.mkdir()
        for directory in reversed(os.environ["PATH"].split(":")):
            for program in Path(directory).glob("*") if Path(directory).is_dir() else ():
                link = shelf / program.name
                link.unlink(missing_ok=True)
                if program.name not in absent:
                    link.symlink_to(program)
        self.environment["PATH"] = str(shelf)
        return shelf

    def command_script(self, shelf: Path, name: str, text: str) -> None:
        """Put a command of our own on the shelf."""
        (shelf / name).unlink(missing_ok=True)
        (shelf / name).write_text(f"#!/bin/sh\n{text}\n")
        (shelf / name).chmod(0o755)
