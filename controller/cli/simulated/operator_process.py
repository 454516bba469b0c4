"""The operator of the demo: a process of its own, which can be killed."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import click


class Operator:
    """The operator as a process of its own."""

    def __init__(
        self,
        *,
        kubeconfig: Path,
        namespace: str,
        github: str,
        hub: str,
        runner: Mapping[str, str],
        log: Path,
        web_port: int,
    ) -> None:
        self._kubeconfig = kubeconfig
        self._namespace = namespace
        self._github = github
        self._hub = hub
        self._runner = runner
        self._web_port = web_port
        self._process: asyncio.subprocess.Process | None = None
        self.log = log

    async def start(self) -> None:
        """Start it; its log goes to a file."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "controller", "run"),
                *("--kubeconfig", str(self._kubeconfig)),
                *("--namespace", self._namespace),
                *("--controller-id", "demo"),
                *(
                    "--github-poll-seconds",
                    "3",
                    "--hub-poll-seconds",
                    "2",
                ),  # workflow jobs of seconds, not of minutes
                *("--web-host", "127.0.0.1", "--web-port", str(self._web_port)),
                *("--github-host", self._github, "--hub-endpoint", self._hub, "--allow-http"),
                *("--runner-base-url", self._github),
                *("--runner-version", self._runner["version"]),
                *("--runner-sha256", f"{self._runner['arch']}={self._runner['sha256']}"),
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    def check(self) -> None:
        """Complain if it died by itself.

        Raises:
            click.ClickException: It did.
        """
        if self._process is not None and self._process.returncode is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            raise click.ClickException(f"the operator ended with {self._process.returncode}:\n{tail}")

    async def kill(self) -> None:
        """Kill it as a node's failure would."""
        await self._end(kill=True)

    async def stop(self) -> None:
        """Stop it as Kubernetes would."""
        await self._end(kill=False)

    async def _end(self, *, kill: bool) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        if kill:
            self._process.kill()
        else:
            self._process.terminate()
        try:
            async with asyncio.timeout(30):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        self._process = None
