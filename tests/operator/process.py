"""The operator as a process of its own, as a pod would run it."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import aiohttp

from tests.operator.cluster import until

HASTE = ("--github-poll-seconds", "1", "--hub-poll-seconds", "1", "--github-points-per-minute", "0")


class Ended(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    output: str
    errors: str


async def command(kubeconfig: Path, *arguments: str) -> Ended:
    """Run ``hf-runner-controller`` with a subcommand for a cluster, as a person would, to its end."""
    name, *more = arguments
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "controller", name, "--kubeconfig", str(kubeconfig), *more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    return Ended(process.returncode or 0, output.decode(), errors.decode())


class OperatorProcess:
    """One run of ``hf-runner-controller run``; its log goes to a file.

    Args:
        kubeconfig: Of its ServiceAccount.
        log: The file.
        hosts: Flags that say where it may send credentials.
    """

    def __init__(self, *, kubeconfig: Path, log: Path, hosts: Sequence[str]) -> None:
        self.kubeconfig = kubeconfig
        self._hosts = hosts
        self.log_file = log
        self._began_at = 0
        self._process: asyncio.subprocess.Process | None = None

    @property
    def log(self) -> str:
        return self.log_file.read_text() if self.log_file.exists() else ""

    async def begin(self, *arguments: str) -> None:
        """Start it and return at once."""
        self._began_at = len(self.log)
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "controller", "run", *HASTE),
                *("--kubeconfig", str(self.kubeconfig), "--web-host", "127.0.0.1", "--web-port", "0"),
                *("--log-level", "debug", *self._hosts, *arguments),
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    async def start(self, *arguments: str) -> None:
        """Start it and wait until it is ready."""
        await self.begin(*arguments)
        await until(self._ready, "the operator is ready")

    async def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, f"the operator ended:\n{self.log}"
        return self._port is not None and (await self.get("/readyz"))[0] == 200

    @property
    def _port(self) -> str | None:
        found = re.search(r" started .*port=(\d+)", self.log[self._began_at :])
        return found[1] if found else None

    async def get(self, path: str) -> tuple[int, str]:
        """Ask it over HTTP; return status and text."""
        port = re.findall(r" started .*port=(\d+)", self.log)[-1]
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}{path}") as answer,
        ):
            return answer.status, await answer.text()

    def terminate(self) -> None:
        assert self._process is not None
        self._process.terminate()

    async def ended(self, patience: float = 150.0) -> int:
        """Wait until it has ended, and return its exit code."""
        assert self._process is not None
        async with asyncio.timeout(patience):
            return await self._process.wait()

    async def stop(self) -> int:
        """Stop it as a kubelet would, and return its exit code."""
        self.terminate()
        return await self.ended()

    async def kill(self) -> None:
        """End it for good; one that has ended is no error."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
