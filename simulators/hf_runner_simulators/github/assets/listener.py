#!/usr/bin/env python3
"""Stands in for actions/runner's Runner.Listener: works for the simulated GitHub, prints
and exits like the real one.

Runs wherever the bootstrap unpacked it, with nothing but the standard library of Python 3.8 or newer.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import FrameType
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent
CONFIGURATION = "ACTIONS_RUNNER_INPUT_JITCONFIG"
RESULTS = {"success": ("Succeeded", 100), "failure": ("Failed", 102), "cancelled": ("Canceled", 103)}
SESSION_RETRIES = 20
LOG_LIMIT = 65_536


class TurnedAway(Exception):  # noqa: N818 - an answer, not a fault
    """The service refused; ``exit_code`` is what the real listener exits with."""

    def __init__(self, message: str, exit_code: int, *, again: bool = False) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.again = again


def say(text: str) -> None:
    """Print a line at once: the bootstrap reads along."""
    print(text, flush=True)  # noqa: T201


def stamped(text: str) -> None:
    """Print a line the way the real one writes events."""
    say(time.strftime("%Y-%m-%d %H:%M:%SZ: ", time.gmtime()) + text)


def version() -> str:
    """Return the version that this archive was built for."""
    return (ROOT / "bin" / "version").read_text().strip()


class Service:
    """The simulator's listener routes: one session."""

    def __init__(self, server_url: str) -> None:
        # The simulator is on this machine or next to it: a developer's proxy settings are not meant for it.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._root = server_url.rstrip("/") + "/_sim/listener/sessions"
        self.poll_seconds = 1.0

    def connect(self, configuration: str) -> None:
        """Open the session."""
        answer = self._call("POST", "", {"jit_config": configuration, "version": version()})
        self._root += "/" + answer["session"]
        self.poll_seconds = float(answer["poll_seconds"])

    def message(self) -> dict[str, Any] | None:
        """Return the job that was assigned, or None."""
        found: dict[str, Any] | None = self._call("GET", "/message")
        return found

    def renew(self, job_id: int) -> bool:
        """Say that we are alive; return whether the job shall be cancelled."""
        return bool(self._call("POST", f"/jobs/{job_id}/renew")["cancel"])

    def finish(self, job_id: int, result: str, log: str) -> None:
        """Report the job's end; this uses the registration up."""
        self._call("POST", f"/jobs/{job_id}/finish", {"result": result, "log": log})

    def leave(self) -> None:
        """Close the session."""
        self._call("DELETE", "")

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
        request = urllib.request.Request(  # noqa: S310 - the simulator's address
            self._root + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "User-Agent": "stand-in-runner"},
            method=method,
        )
        for attempt in range(SESSION_RETRIES):
            try:
                with self._opener.open(request, timeout=30) as answer:
                    return json.loads(answer.read() or b"null")
            except urllib.error.HTTPError as error:
                raise _refusal(error) from error
            except OSError as error:
                if attempt == SESSION_RETRIES - 1:
                    raise TurnedAway(f"GitHub cannot be reached: {error}", 2) from error
                time.sleep(self.poll_seconds)
        raise AssertionError


def _refusal(error: urllib.error.HTTPError) -> TurnedAway:
    try:
        told = json.loads(error.read())
        return TurnedAway(told["message"], told["exit_code"], again=told["reason"] == "NotYet")
    except (ValueError, KeyError, TypeError):
        return TurnedAway(f"An error occurred: {error}", 1)


class Listener:
    """One run of the listener, from its session to its exit code."""

    def __init__(self) -> None:
        self.stopping = False

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        """Handle SIGINT and SIGTERM: end the job, if any, close the session, exit."""
        if not self.stopping:
            self.stopping = True
            os.write(1, b"Exiting...\n")  # print() cannot be entered again while it is at work

    def run(self, configuration: str) -> int:
        """Wait for one job and work on it; return the exit code."""
        files = unpack(configuration)
        settings = json.loads(files[".runner"])
        service = Service(settings["ServerUrlV2"])
        try:
            self._connect(service, configuration)
            say("\n\u221a Connected to GitHub\n")
            say(f"Current runner version: '{version()}'")
            stamped("Listening for Jobs")
            while not self.stopping:
                job = service.message()
                if job is not None:
                    return self._work(service, job, settings)
                time.sleep(service.poll_seconds)
            service.leave()
            return 0
        except TurnedAway as refusal:
            say(str(refusal))
            deprecated = refusal.exit_code == 7
            if deprecated and not os.environ.get("ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE"):
                return 1
            return refusal.exit_code
        finally:
            for name in files:
                (ROOT / name).unlink(missing_ok=True)

    def _connect(self, service: Service, configuration: str) -> None:
        for attempt in range(SESSION_RETRIES):
            try:
                service.connect(configuration)
                return
            except TurnedAway as refusal:
                if not refusal.again or self.stopping or attempt == SESSION_RETRIES - 1:
                    raise
                time.sleep(service.poll_seconds)

    def _work(self, service: Service, job: dict[str, Any], settings: dict[str, Any]) -> int:
        stamped(f"Running job: {job['name']}")
        result, log = Job(self, service, job, settings).run()
        service.finish(job["id"], result, log[-LOG_LIMIT:])
        word, code = RESULTS[result]
        stamped(f"Job {job['name']} completed with result: {word}")
        hosted = os.environ.get("ACTIONS_RUNNER_RETURN_JOB_RESULT_FOR_HOSTED", "").lower() in ("1", "true")
        return code if hosted else 0


class Job:
    """One workflow job: the job-started hook, a step, then the time that it takes."""

    def __init__(
        self, listener: Listener, service: Service, job: dict[str, Any], settings: dict[str, Any]
    ) -> None:
        self._listener = listener
        self._service = service
        self._job = job
        self._work = ROOT / settings["WorkFolder"]
        self._name = settings["AgentName"]
        self._log: list[str] = []
        self._renewed = time.monotonic()
        self._cancelled = False

    def run(self) -> tuple[str, str]:
        """Return the result and what the steps printed."""
        end = time.monotonic() + float(self._job["seconds"])
        hook = os.environ.get("ACTIONS_RUNNER_HOOK_JOB_STARTED")
        result = str(self._job["result"])
        strict = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail"]
        for arguments in ([*strict, hook] if hook else None, self._step(strict)):
            if arguments is not None and not self._ended() and self._execute(arguments) != 0:
                result, end = "failure", 0.0
                break
        while time.monotonic() < end and not self._ended():
            time.sleep(min(0.2, max(0.0, end - time.monotonic())))
        if self._listener.stopping and not self._cancelled:
            # "The runner has received a shutdown signal": reported, and the job fails (seen).
            result = "failure"
        return ("cancelled" if self._cancelled else result), "".join(self._log)

    def _step(self, strict: list[str]) -> list[str] | None:
        command = self._job.get("command")
        return [*strict, "-c", command] if command else None

    def _execute(self, arguments: list[str]) -> int:
        workspace = self._work / self._job["repository"].split("/")[1]
        workspace.mkdir(parents=True, exist_ok=True)
        step = subprocess.Popen(  # noqa: S603 - the workflow's own command
            arguments,
            cwd=str(workspace),
            env={**os.environ, **self._environment(workspace)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert step.stdout is not None
        os.set_blocking(step.stdout.fileno(), False)
        while step.poll() is None:
            self._read(step.stdout)
            if self._ended():
                os.killpg(step.pid, signal.SIGKILL)
            time.sleep(0.05)
        self._read(step.stdout)
        return int(step.returncode)

    def _read(self, stream: IO[bytes]) -> None:
        while True:
            chunk = stream.read(LOG_LIMIT)
            if not chunk:
                return
            self._log.append(chunk.decode(errors="replace"))

    def _environment(self, workspace: Path) -> dict[str, str]:
        temp = self._work / "_temp"
        temp.mkdir(parents=True, exist_ok=True)
        files = {
            f"GITHUB_{name}": str(temp / name.lower()) for name in ("ENV", "OUTPUT", "PATH", "STEP_SUMMARY")
        }
        for path in files.values():
            Path(path).touch()
        return {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_REPOSITORY": self._job["repository"],
            "GITHUB_RUN_ID": str(self._job["run_id"]),
            "GITHUB_RUN_ATTEMPT": str(self._job["attempt"]),
            "GITHUB_JOB": self._job["name"],
            "GITHUB_WORKFLOW": self._job["workflow"],
            "GITHUB_WORKSPACE": str(workspace),
            "RUNNER_NAME": self._name,
            "RUNNER_OS": "Linux",
            "RUNNER_TEMP": str(temp),
            "RUNNER_WORKSPACE": str(workspace.parent),
            **files,
        }

    def _ended(self) -> bool:
        """Renew the lease when it is time; whether the job was cancelled, by GitHub or by a signal to us."""
        now = time.monotonic()
        if now - self._renewed >= max(self._service.poll_seconds, float(self._job["renew_seconds"])):
            self._renewed = now
            self._cancelled = self._service.renew(self._job["id"]) or self._cancelled
        return self._cancelled or self._listener.stopping


def unpack(configuration: str) -> dict[str, bytes]:
    """Write the configuration's files into the runner's root, as the real one does, and return them."""
    try:
        encoded = json.loads(base64.b64decode(configuration, validate=True))
        files = {Path(name).name: base64.b64decode(body) for name, body in encoded.items()}
        json.loads(files[".runner"])["ServerUrlV2"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TurnedAway(
            f"An error occurred: the JIT configuration is not valid ({type(error).__name__})", 1
        ) from error
    for name, body in files.items():
        (ROOT / name).write_bytes(body)
        (ROOT / name).chmod(0o600)
    return files


def load_dotenv() -> None:
    """The real listener reads ``.env`` of its root over its environment."""
    path = ROOT / ".env"
    for line in path.read_text().splitlines() if path.exists() else []:
        name, equals, value = line.partition("=")
        if equals and name.strip():
            os.environ[name.strip()] = value


def main(arguments: list[str]) -> int:
    """Do what the command line says; return the exit code."""
    if "--version" in arguments:
        say(version())
        return 0
    if arguments[:1] not in ([], ["run"]):
        say(f"Unrecognized command-line input arguments: '{arguments[0]}'")
        return 1
    load_dotenv()
    configuration = os.environ.pop(CONFIGURATION, "")
    if "--jitconfig" in arguments:
        configuration = arguments[arguments.index("--jitconfig") + 1]
    if not configuration:
        say("An error occurred: Not configured. Run config.(sh/cmd) to configure the runner.")
        return 1
    listener = Listener()
    signal.signal(signal.SIGINT, listener.stop)
    signal.signal(signal.SIGTERM, listener.stop)
    try:
        return listener.run(configuration)
    except TurnedAway as refusal:
        say(str(refusal))
        return refusal.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
