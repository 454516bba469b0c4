"""What a simulation came to, read from the truth of both services, never from what the
controller says of itself.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class _Part(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class Waits(_Part):
    """Seconds from queued to started.

    Attributes:
        count: Jobs that started.
        p50: Half of them waited no longer.
        p95: 19 of 20 waited no longer.
        max: The longest.
    """

    count: int = 0
    p50: float = 0.0
    p95: float = 0.0
    max: float = 0.0


class Waste(_Part):
    """Billed seconds in which no workflow job ran.

    Attributes:
        boot: Before the runner was online, of runners that came online or were given back.
        idle: Online without a job, and the end after it.
        failed: Of runners that failed before they were online.
    """

    boot: float = 0.0
    idle: float = 0.0
    failed: float = 0.0


class Bill(_Part):
    """What HF Jobs cost.

    Attributes:
        launches: HF Jobs.
        billed_seconds: As the Hub bills them.
        usd: Dollars.
        worked_seconds: Billed seconds in which a workflow job ran.
        waste: The other billed seconds.
        wasted_usd: What they cost.
    """

    launches: int = 0
    billed_seconds: float = 0.0
    usd: float = 0.0
    worked_seconds: float = 0.0
    waste: Waste = Waste()
    wasted_usd: float = 0.0


class Jobs(_Part):
    """Workflow jobs by what became of them; a job that was run again counts once, as it ended.

    Attributes:
        total: All.
        succeeded: Ran to a good end.
        failed: Their own steps failed, as the workload says.
        cancelled: Somebody cancelled them, or they ran into their own timeout.
        lost: Their runner died under them.
        expired: No runner took them within GitHub's 24 hours.
        running: Run still.
        queued: Wait still.
        interrupted: Executions whose runner died, whether or not the job was run again.
        longest_queued: Seconds that the oldest of the waiting has waited.
    """

    total: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    lost: int = 0
    expired: int = 0
    running: int = 0
    queued: int = 0
    interrupted: int = 0
    longest_queued: float = 0.0


class Unserved(_Part):
    """Why jobs wait at the end, in the words of a pool's status."""

    pool: str
    reason: str
    count: int
    message: str


class PoolOutcome(Bill):
    """One pool.

    Attributes:
        max_runners: Its cap.
        most_live: HF Jobs that lived at the same time, at most.
        waits: Of the jobs that its runners ran.
        flavors: What each flavor cost.
        conditions: Reason of each condition at the end, by type.
        events: How many Events there were, by reason.
    """

    max_runners: int = 0
    most_live: int = 0
    waits: Waits = Waits()
    flavors: dict[str, Bill] = Field(default_factory=dict)
    conditions: dict[str, str] = Field(default_factory=dict)
    events: dict[str, int] = Field(default_factory=dict)


class Requests(_Part):
    """Requests to one service.

    Attributes:
        total: All.
        per_hour: On average.
        routes: By route and status, or by what broke.
    """

    total: int = 0
    per_hour: float = 0.0
    routes: dict[str, dict[str, int]] = Field(default_factory=dict)


class OutageOutcome(_Part):
    """A time without a controller.

    Attributes:
        at: When it was killed, seconds from the start.
        seconds: For how long.
        worst_case_usd: What its pools' status promised as the most that could still be spent.
        spent_usd: What was spent in that time.
    """

    at: float
    seconds: float
    worst_case_usd: float
    spent_usd: float


class Left(_Part):
    """What exists at the end."""

    hf_jobs: int = 0
    registrations: int = 0


class Checked(_Part):
    """One expectation and what was found."""

    path: str
    wanted: str
    found: str
    met: bool


class Report(_Part):
    """A simulation's outcome. Seconds are virtual; nothing in it depends on the machine or the moment."""

    scenario: str
    seed: int
    seconds: float
    interrupted: bool = False
    jobs: Jobs = Jobs()
    waits: Waits = Waits()
    total: Bill = Bill()
    pools: dict[str, PoolOutcome] = Field(default_factory=dict)
    unserved: list[Unserved] = Field(default_factory=list)
    requests: dict[str, Requests] = Field(default_factory=dict)
    outages: list[OutageOutcome] = Field(default_factory=list)
    left: Left = Left()
    violations: list[str] = Field(default_factory=list)
    expectations: list[Checked] = Field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Nothing was violated and every expectation was met."""
        return not self.violations and all(one.met for one in self.expectations)

    def to_json(self) -> str:
        """Return the report as JSON; the same for the same seed, to the byte."""
        return self.model_dump_json(by_alias=True, indent=2)
