"""The operator as processes, each with its own way to the API server that can be cut."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from tools.controlplane.process import spawned

CHUNK = 65_536


class Proxy:
    """A way to a TCP server that can hang: connections stay open and are taken, and nothing gets through."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._open = asyncio.Event()
        self._open.set()
        self._pipes: set[asyncio.Task[None]] = set()
        self.port = 0

    def freeze(self) -> None:
        """Let it hang."""
        self._open.clear()

    def thaw(self) -> None:
        """Let everything through that has piled up, and what follows."""
        self._open.set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Self]:
        """Take connections on :attr:`port` of the loopback interface while the context is open."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for pipe in self._pipes:
                pipe.cancel()
            await asyncio.gather(*self._pipes, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        try:
            there, back = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        for source, sink in ((reader, back), (there, writer)):
            pipe = asyncio.create_task(self._pipe(source, sink))
            self._pipes.add(pipe)
            pipe.add_done_callback(self._pipes.discard)

    async def _pipe(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            try:
                while data := await source.read(CHUNK):
                    await self._open.wait()
                    sink.write(data)
                    await sink.drain()
            finally:
                sink.close()


class Replica:
    """One replica's place: a process in it may end, and another one take it, as in a pod.

    Args:
        number: For its log's name.
        kubeconfig: An administrator's, whose server is reached through a :class:`Proxy`.
        directory: For its files.
        arguments: Of ``hf-runner-controller run``.
    """

    def __init__(self, *, number: int, kubeconfig: Path, directory: Path, arguments: Sequence[str]) -> None:
        self.number = number
        self.log = directory / f"replica-{number}.log"
        self._directory = directory
        self._config = json.loads(kubeconfig.read_text())  # as tools.controlplane writes it
        server = urlsplit(self._config["clusters"][0]["cluster"]["server"])
        self.proxy = Proxy(server.hostname or "127.0.0.1", server.port or 443)
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._began_at = 0
        self._stack = ExitStack()

    @asynccontextmanager
    async def ready(self) -> AsyncIterator[Self]:
        """Open its way to the API server while the context is open; then end what runs."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.proxy.serving())
            stack.callback(self._stack.close)
            self._config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{self.proxy.port}"
            self._kubeconfig.write_text(json.dumps(self._config))
            yield self

    @property
    def _kubeconfig(self) -> Path:
        return self._directory / f"replica-{self.number}.kubeconfig"

    def start(self) -> None:
        """Start a process in it; the last one must have ended."""
        self._stack.close()
        log = self._stack.enter_context(self.log.open("a", encoding="utf-8"))
        self._began_at = log.tell()
        command = [
            *(sys.executable, "-m", "controller", "run", "--kubeconfig", str(self._kubeconfig)),
            *("--web-host", "127.0.0.1", "--web-port", "0", *self._arguments),
        ]
        self._process = self._stack.enter_context(
            spawned(command, log=log, cwd=Path.cwd(), env={**os.environ, "PYTHONUNBUFFERED": "1"})
        )

    @property
    def exit_code(self) -> int | None:
        """How its process ended; None while it runs, or is stopped."""
        return None if self._process is None else self._process.poll()

    @property
    def running(self) -> bool:
        """A process lives in it."""
        return self._process is not None and self.exit_code is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its process, if that still lives."""
        if self._process is not None:
            self._process.send_signal(number)

    async def ended(self, patience: float) -> int:
        """Wait until its process has ended, and return its exit code.

        Raises:
            TimeoutError: It lives on.
        """
        async with asyncio.timeout(patience):
            while (code := self.exit_code) is None:  # noqa: ASYNC110 - a process tells nobody
                await asyncio.sleep(0.02)
        return code

    def log_text(self) -> str:
        """Return its log, of all its processes."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def newest_words(self) -> str:
        """Return the log of its newest process."""
        return self.log.read_bytes()[self._began_at :].decode(errors="replace") if self.log.exists() else ""
