"""The port between the world and what does a job's work."""

from __future__ import annotations

from typing import Protocol

from hf_runner_simulators.hub.spec import JobSpec


class Run(Protocol):
    """One attempt of one job, as its machine sees it. Reports of an attempt that has ended are dropped."""

    @property
    def job_id(self) -> str:
        """The job."""

    @property
    def spec(self) -> JobSpec:
        """What to run, with the secrets."""

    @property
    def labels(self) -> dict[str, str]:
        """The job's labels at its start."""

    def log(self, line: str) -> None:
        """Add a line to the job's log, now."""

    def exit(self, code: int, *, reason: str = "Error") -> None:
        """Report the end of the command, now: 0 completes the job, anything else fails it for this reason."""

    def exit_after(self, seconds: float, code: int, *, reason: str = "Error") -> None:
        """Report that the command will end so: no call is needed when its time comes."""


class Machine(Protocol):
    """What does the jobs' work. Called by the world between two events, never re-entered."""

    def start(self, run: Run) -> None:
        """Begin the work; return at once. The run may be kept and reported to later."""

    def kill(self, job_id: str) -> None:
        """Stop the work without grace. A no-op for a job that has ended or is unknown."""
