"""What a plan asks the executor to do, and how the executor says that it went."""

from __future__ import annotations

from dataclasses import dataclass

from controller.core.effects import Effect
from controller.core.model import Failure, Footprint, HubAccount, Pool, PoolKey, RegistrationScope
from controller.core.reasons import Reason
from controller.core.retry import Rerun


@dataclass(frozen=True, slots=True)
class Launch:
    """Start one runner of a pool on a flavor.

    Attributes:
        pool: The pool.
        flavor: The hardware.
        name: The runner's name, which nothing had before.
    """

    pool: Pool
    flavor: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retire:
    """End one runner: deregister, and cancel its HF Job only if that succeeded.

    Attributes:
        name: The runner.
        pool_uid: Its pool, empty for a stray.
        pool: The same by namespace and name, for the log; None for a stray.
        scope: Where its registration is, or would be.
        account: Where its HF Job is; None when it has none.
        registration_id: GitHub's id; None makes the executor look for the name first.
        hf_job_id: The Hub's id; None when there is no live HF Job.
        flavor: Hardware, for the log.
        reason: Why.
    """

    name: str
    pool_uid: str
    scope: RegistrationScope
    account: HubAccount | None
    registration_id: int | None
    hf_job_id: str | None
    flavor: str = ""
    pool: PoolKey | None = None
    reason: Reason

    @property
    def footprint(self) -> Footprint | None:
        """Where the runner's halves are, None when it has no HF Job."""
        return Footprint(self.scope, self.account) if self.account else None


Action = Launch | Retire | Rerun


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How an effect ended, reported by the executor once.

    Attributes:
        name: The runner.
        pool_uid: Its pool.
        effect: What was tried.
        flavor: Of a launch.
        failure: Why it failed, None when it succeeded.
        busy: A retirement met a busy runner and left it.
        deregistered: GitHub agreed to a retirement, whatever came of it afterwards.
        retire: The retirement that this was.
    """

    name: str
    pool_uid: str
    effect: Effect
    flavor: str = ""
    failure: Failure | None = None
    busy: bool = False
    deregistered: bool = False
    retire: Retire | None = None

    @property
    def may_have_ended_it(self) -> bool:
        """It is a retirement that may have had an effect."""
        if self.effect is not Effect.RETIRE or self.busy:
            return False
        return self.deregistered or self.failure is None or self.failure.in_doubt
