"""The Hub's Jobs service: verbs that are atomic, each with the token of who asks."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hf_runner_simulators.clock import Clock
from hf_runner_simulators.http import JSON
from hf_runner_simulators.hub.accounts import Accounts, Permission, Quota, Setup
from hf_runner_simulators.hub.copies import Copier
from hf_runner_simulators.hub.errors import HubError
from hf_runner_simulators.hub.flavors import FLAVORS
from hf_runner_simulators.hub.job import LIVE, Job, Moment, Phase, Principal, Stage, iso, shown_stage
from hf_runner_simulators.hub.knobs import Knobs
from hf_runner_simulators.hub.platform import Platform
from hf_runner_simulators.hub.running import Machine
from hf_runner_simulators.hub.spec import Expose, JobSpec, Labels, parse


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a list, and the cursor of the next."""

    jobs: Sequence[JSON]
    cursor: str | None


class World:
    """A simulated Hub.

    One method per verb of the Hub, which is more than 15.

    Args:
        clock: Its time.
        machine: What does the jobs' work.
        knobs: Its settings; :meth:`turn` changes them.
        seed: Makes ids differ between worlds; same seed and same calls, same ids.

    Attributes:
        accounts: Who may do what.
        platform: Where the jobs live; give it to :func:`hf_runner_simulators.hub.platform.drive` where
            machines work on their own.
    """

    def __init__(
        self, *, clock: Clock, machine: Machine, knobs: Knobs | None = None, seed: str = "0"
    ) -> None:
        self.accounts = Accounts()
        self.platform = Platform(
            clock=clock,
            machine=machine,
            knobs=knobs or Knobs(),
            seed=seed,
            namespaces=self.accounts.namespaces,
        )
        self._hardware_lists = 0
        Copier(self.platform, self._affords)

    @property
    def knobs(self) -> Knobs:
        """The settings."""
        return self.platform.knobs

    @property
    def now(self) -> float:
        """Time of the last transition or verb, seconds since the Unix epoch."""
        return self.platform.now

    def advance(self) -> None:
        """Apply every transition that has come due. All verbs begin with it."""
        self.platform.advance()

    # What the operator of a simulation does.

    def setup(self, payload: JSON) -> None:
        """Add or replace tokens, namespaces and credit.

        Raises:
            ValueError: The payload is malformed.
        """
        self.advance()
        self.accounts.setup(Setup.model_validate(payload), at=self.now)
        self.platform.on_schedule()

    def turn(self, changes: JSON) -> None:
        """Turn knobs; jobs that wait for a machine are looked at again.

        Raises:
            ValueError: A knob is unknown or cannot have the value.
        """
        self.advance()
        self.platform.knobs = self.knobs.changed(changes)
        self.platform.place()

    def end(
        self, job_id: str, *, stage: Stage, message: str | None = None, cancel_reason: str | None = None
    ) -> None:
        """Let the platform end a job at once: a broken machine, an exhausted limit, a deletion.

        Raises:
            KeyError: There is no such job.
            ValueError: The stage is not a last one, or the job has ended.
        """
        self.advance()
        job = self.platform.jobs[job_id]
        if stage in LIVE or job.phase is Phase.ENDED:
            raise ValueError(f"job {job_id} cannot go from {job.phase} to {stage}")
        self.platform.end(job, Moment(at=self.now, stage=stage, message=message, cancel_reason=cancel_reason))

    def report(self) -> JSON:
        """Return the truth so far: every job with its times, billed seconds and cost, and the totals."""
        self.advance()
        jobs = [self._line(job) for job in self.platform.jobs.values()]
        return {
            "at": iso(self.now),
            "jobs": jobs,
            "live": [job.id for job in self.platform.live.values() if job.phase is not Phase.ENDED],
            "totals": {
                "jobs": len(jobs),
                "stages": dict(sorted(Counter(line["stage"] for line in jobs).items())),
                "billedSeconds": round(sum(line["billedSeconds"] for line in jobs), 3),
                "costUSD": round(sum(line["costUSD"] for line in jobs), 6),
            },
            "creditsUSD": {name: self._credit(name) for name in sorted(self.accounts.namespaces)},
        }

    def _credit(self, name: str) -> float:
        credit = self.accounts.namespaces[name].credit
        credit.deduct(self.now)
        return round(credit.micro_usd / 1_000_000, 6)

    def _line(self, job: Job) -> dict[str, Any]:
        seconds, micro_usd = job.meter.read(self.now)
        last = job.outcome or job.moments[-1]
        return {
            "id": job.id,
            "namespace": job.owner.name,
            "labels": job.labels or {},
            "createdBy": job.creator.name,
            "copyOf": job.copy_of,
            "flavor": job.spec.flavor,
            "stage": last.stage.value,
            "message": last.message,
            "cancelReason": last.cancel_reason,
            "createdAt": iso(job.created_at),
            "startedAt": job.started_at and iso(job.started_at),
            "endedAt": job.ended_at and iso(job.ended_at),
            "billedSeconds": round(seconds, 3),
            "costUSD": round(micro_usd / 1_000_000, 6),
        }

    # The service's verbs. Each takes the caller's token and answers what that token may see.

    def charge(self, token: str | None) -> Quota:
        """Count a request against the token's quota; the caller turns ``exceeded`` into 429."""
        self.advance()
        knobs = self.knobs
        return self.accounts.charge(
            token, limits=knobs.rate_limits, window=knobs.rate_window_seconds, at=self.now
        )

    def hardware(self) -> JSON:
        """Return all flavors.

        Raises:
            HubError: 503, as often as ``hardware_fails`` says.
        """
        self._hardware_lists += 1
        if self.platform.struck(self.knobs.hardware_fails, "hardware", self._hardware_lists):
            raise HubError(503, "Service Unavailable")
        return [flavor.to_json(prices=self.knobs.hardware_prices) for flavor in FLAVORS.values()]

    def check_access(
        self, token: str | None, namespace: str, permission: Permission
    ) -> tuple[Principal, Principal]:
        """Return the user and the namespace, or refuse (401, 403)."""
        user, space = self.accounts.authorize(token, namespace, permission)
        return user, space.principal

    def create(self, token: str | None, namespace: str, payload: JSON) -> Job:
        """Start a job.

        Raises:
            HubError: 400, 401, 402 without credit, 403.
        """
        self.advance()
        user, _ = self.accounts.authorize(token, namespace, "write")
        spec = parse(JobSpec, payload)
        longest = self.knobs.max_timeout_seconds
        if longest and (spec.timeout_seconds or 0) > longest:
            raise HubError(400, f"timeoutSeconds must be at most {longest}")
        return self._create(user, namespace, spec, initiator=user.to_json())

    def duplicate(self, token: str | None, namespace: str, job_id: str) -> Job:
        """Start a job with another's specification, labels and secrets.

        Raises:
            HubError: 401, 402, 403, 404.
        """
        self.advance()
        user, _ = self.accounts.authorize(token, namespace, "write")
        original = self._find(namespace, job_id)
        initiator = {"type": "duplicated-job", "id": job_id}
        return self._create(user, namespace, original.as_it_is(), initiator=initiator, copy_of=job_id)

    def find(self, token: str | None, namespace: str, job_id: str, permission: Permission = "read") -> Job:
        """Return a job.

        Raises:
            HubError: 401, 403, 404.
        """
        self.advance()
        self.accounts.authorize(token, namespace, permission)
        return self._find(namespace, job_id)

    def list_jobs(
        self,
        token: str | None,
        namespace: str,
        *,
        stages: Iterable[Stage] = (),
        labels: Iterable[tuple[str, str]] = (),
        cursor: str | None = None,
        origin: str = "",
    ) -> Page:
        """Return one page of a namespace's jobs.

        Raises:
            HubError: 400 for a cursor that is not ours, 401, 403.
        """
        found = self._select(token, namespace, frozenset(stages), tuple(labels))
        knobs, at = self.knobs, self.now - self.knobs.list_stale_seconds
        keyset = knobs.paging == "keyset" and knobs.list_order != "shuffled"
        position = _decode(cursor)
        if position is not None and keyset:
            newest = knobs.list_order == "newest"
            found = [job for job in found if (job.ordinal < position if newest else job.ordinal > position)]
            position = 0
        start = position or 0
        page = found[start : start + knobs.page_size]
        more = len(found) > start + len(page)
        return Page(
            jobs=[job.to_json(at, knobs=knobs, origin=origin) for job in page],
            cursor=_encode(page[-1].ordinal if keyset else start + len(page)) if more else None,
        )

    def odd_list(self, namespace: str) -> bool:
        """Tell whether lists of a namespace name another host in their links."""
        number = int(self.accounts.namespaces[namespace].principal.id[:6], 16)
        return self.platform.struck(self.knobs.odd_words, "odd list", number)

    def count(self, token: str | None, namespace: str, *, stages: Iterable[Stage] = ()) -> int:
        """Return how many jobs a list would show.

        Raises:
            HubError: 401, 403.
        """
        return len(self._select(token, namespace, frozenset(stages), ()))

    def cancel(self, token: str | None, namespace: str, job_id: str) -> Job:
        """Accept that a job be cancelled; it ends a little later. Repeating it changes nothing.

        Raises:
            HubError: 401, 403, 404, or what ``cancel_terminal_status`` says for a job that has ended.
        """
        job = self.find(token, namespace, job_id, "write")
        if job.ended:
            if self.knobs.cancel_terminal_status != 200:
                raise HubError(self.knobs.cancel_terminal_status, "Job is already finished")
        else:
            self.platform.cancel(job)
        return job

    def set_labels(self, token: str | None, namespace: str, job_id: str, payload: JSON) -> Job:
        """Replace a job's labels, whatever its stage.

        Raises:
            HubError: 400, 401, 403, 404.
        """
        job = self.find(token, namespace, job_id, "write")
        job.labels = parse(Labels, payload).labels
        return job

    def set_expose(self, token: str | None, namespace: str, job_id: str, payload: JSON) -> Job:
        """Replace a live job's exposed ports; they cost a little.

        Raises:
            HubError: 400 (also for a job that has ended), 401, 403, 404.
        """
        job = self.find(token, namespace, job_id, "write")
        if job.phase is Phase.ENDED:
            raise HubError(400, "Job is not running")
        self.platform.expose(job, parse(Expose, payload))
        return job

    # How jobs come about and are found.

    def _affords(self, job: Job) -> bool:
        credit = self.accounts.namespaces[job.owner.name].credit
        credit.deduct(self.now)
        return credit.micro_usd > 0

    def _create(
        self,
        user: Principal,
        namespace: str,
        spec: JobSpec,
        *,
        initiator: JSON,
        copy_of: str | None = None,
    ) -> Job:
        space = self.accounts.namespaces[namespace]
        space.credit.deduct(self.now)
        if space.credit.micro_usd <= 0:
            raise HubError(
                402,
                "Pre-paid credit balance is insufficient - add more credits to your account to use Jobs.",
            )
        return self.platform.launch(
            owner=space.principal, creator=user, spec=spec, initiator=initiator, copy_of=copy_of
        )

    def _find(self, namespace: str, job_id: str) -> Job:
        job = self.platform.jobs.get(job_id)
        if job is None or job.owner.name != namespace:
            raise HubError(404, "Job not found")
        return job

    def _select(
        self,
        token: str | None,
        namespace: str,
        stages: frozenset[Stage],
        labels: tuple[tuple[str, str], ...],
    ) -> list[Job]:
        self.advance()
        self.accounts.authorize(token, namespace, "read")
        knobs, at = self.knobs, self.now - self.knobs.list_stale_seconds
        matches = all if knobs.label_match == "all" else any
        fresh = stages and stages <= LIVE and not knobs.list_stale_seconds
        found = [
            job
            for job in (self.platform.live if fresh else self.platform.jobs).values()
            if job.owner.name == namespace
            and (shown := job.moment(at)) is not None
            and (not stages or shown_stage(shown, knobs) in stages)
            and (not labels or matches(job.has_label(key, value) for key, value in labels))
        ]
        if knobs.list_order == "newest":
            found.reverse()
        elif knobs.list_order == "shuffled":
            found.sort(key=lambda job: self.platform.keyed("order", job.ordinal))
        return found


def _encode(position: int) -> str:
    return urlsafe_b64encode(str(position).encode()).decode()


def _decode(cursor: str | None) -> int | None:
    try:
        return None if cursor is None else int(urlsafe_b64decode(cursor))
    except ValueError:
        raise HubError(400, "Invalid cursor") from None
