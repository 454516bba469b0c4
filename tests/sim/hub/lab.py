"""A Hub world under a clock that is moved by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hf_runner_simulators.clock import ManualClock
from hf_runner_simulators.hub.job import Job, Stage
from hf_runner_simulators.hub.knobs import Knobs
from hf_runner_simulators.hub.machines import Outcome, ScriptedMachine
from hf_runner_simulators.hub.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from hf_runner_simulators.hub.running import Run

TOKEN = "hf_writer"
READER = "hf_reader"


class Lab:
    """One world, its clock and its machine.

    By default a job is scheduled for 5 s and boots for 30 s; what it does then is the
    outcome given at its start.
    """

    def __init__(self, *, seed: str = "0", dollars: float = 1_000.0, **knobs: Any) -> None:
        self.clock = ManualClock()
        self.outcomes: dict[str, Outcome] = {}
        self.machine = ScriptedMachine(lambda run: self.script(run))  # noqa: PLW0108 -- replaceable
        self.world = World(clock=self.clock, machine=self.machine, knobs=Knobs(**knobs), seed=seed)
        self.world.setup(
            {
                "tokens": {
                    TOKEN: {"user": "bot", "namespaces": {"acme": "write", "bot": "write"}},
                    READER: {"user": "eve", "namespaces": {"acme": "read"}},
                },
                "namespaces": {"acme": {"type": "org", "credits": dollars}},
            }
        )
        self.began = self.clock.wall()
        self.script: Callable[[Run], Outcome] = self._as_told
        self._starting = Outcome(seconds=None)

    def _as_told(self, run: Run) -> Outcome:
        return self.outcomes.get(run.job_id, self._starting)  # not yet known where it starts at once

    def start(self, outcome: Outcome | None = None, **spec: Any) -> Job:
        self._starting = outcome or Outcome(seconds=None)
        job = self.world.create(
            TOKEN, "acme", {"dockerImage": "ubuntu", "command": ["run"], "flavor": "cpu-basic"} | spec
        )
        self.outcomes[job.id] = self._starting
        return job

    def after(self, seconds: float) -> Lab:
        """Move to so many seconds after the beginning."""
        self.clock.advance(self.began + seconds - self.clock.wall())
        self.world.advance()
        return self

    def shown(self, job: Job) -> Any:
        """What an inspect answers."""
        found = self.world.find(TOKEN, "acme", job.id)
        return found.to_json(self.world.now, knobs=self.world.knobs, origin="https://hub.example")

    def stage(self, job: Job) -> str:
        return str(self.shown(job)["status"]["stage"])

    def line(self, job: Job) -> Any:
        """The job's line in the report."""
        return next(line for line in self.world.report()["jobs"] if line["id"] == job.id)

    def listed(self, **filters: Any) -> list[str]:
        """Ids of all pages of a list."""
        ids: list[str] = []
        page = self.world.list_jobs(TOKEN, "acme", **filters)
        ids += [job["id"] for job in page.jobs]
        while page.cursor is not None:
            page = self.world.list_jobs(TOKEN, "acme", cursor=page.cursor, **filters)
            ids += [job["id"] for job in page.jobs]
        return ids


LIVE = (Stage.SCHEDULING, Stage.RUNNING)
