"""Judges a run by what is true in the services, never by what the controller says of itself.

Safety is judged inside the exchange: before and after each request that changes something, with
time standing still. What must be so in the end (everything served, nothing left, silence) is
judged by :mod:`tests.seeds.ending`.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from controller.api.duration import seconds as duration_seconds
from controller.simulate.backoff import too_often
from controller.simulate.invariants import (
    BACKOFF,
    BUSY,
    CAP,
    ENDS,
    INVARIANTS,
    LABELS,
    LEADER,
    LEFTOVERS,
    MONEY,
    ONCE,
    SECRETS,
    SERVED,
    Violation,
)
from controller.simulate.known_specs import OLD_SPEC_GRACE, KnownSpec
from controller.simulate.money import overspent
from controller.simulate.need import judge_need
from controller.simulate.reruns import judge_rerun
from controller.simulate.serving import same_case
from hf_runner_simulators.hub.flavors import FLAVORS
from hf_runner_simulators.hub.job import Job, Phase

if TYPE_CHECKING:
    from controller.simulate.engine import Simulation
    from hf_runner_simulators.github.model import Runner
    from hf_runner_simulators.http import Request, Response, Router, Site


@dataclass(slots=True)
class Judge:
    """Watches one simulation.

    More than 15 methods, for it is both what the judging functions read (what is true, by pool and by
    runner) and one short method for each kind of request; what takes more is a module of its own.

    Attributes:
        violations: In order; the first is the cause, the rest may follow from it.
        marks: How often something rare was reached.
        in_doubt: Names of runners whose launch met a fault.
        reruns_in_doubt: Ids of runs that were asked to run again, with a fault.
        launched: The HF Jobs that the controller made.
        robots: Users whose HF Jobs are ours; empty for all. What another launched, or
            somebody duplicated, is foreign.
        images: Whether the image of a GPU flavor is judged.
        killed: Ids of HF Jobs that the plan killed, or whose fate it decided.
        foreign: Ids of HF Jobs, and of registrations, that are not ours.
        secrets: Texts that must appear nowhere.
        holds: Whether an incarnation may act.
        specs: By a pool's uid, the newest last.
    """

    sim: Simulation | None = None
    violations: list[Violation] = field(default_factory=list)
    marks: Counter[str] = field(default_factory=Counter)
    in_doubt: set[str] = field(default_factory=set)
    reruns_in_doubt: set[int] = field(default_factory=set)
    launched: list[Job] = field(default_factory=list)
    robots: set[str] = field(default_factory=set)
    images: bool = True
    killed: set[str] = field(default_factory=set)
    foreign: set[str] = field(default_factory=set)
    secrets: set[str] = field(default_factory=set)
    holds: Callable[[str], bool] = lambda _: True
    specs: dict[str, list[KnownSpec]] = field(default_factory=lambda: defaultdict(list))
    _registered: set[str] = field(default_factory=set)
    _launched: Counter[str] = field(default_factory=Counter)

    # ------------------------------------------------------------------------------------------ what it knows
    @property
    def now(self) -> float:
        """Virtual seconds since the start."""
        assert self.sim is not None
        return self.sim.clock.mono()

    def fail(self, invariant: str, message: str) -> None:
        """Note a broken invariant. Never raises into the system under test, which might handle it."""
        assert invariant in INVARIANTS
        self.violations.append(Violation(invariant=invariant, at=self.now, message=message))

    def pools_changed(self) -> None:
        """Take in the RunnerPools as they are from now on."""
        assert self.sim is not None
        for body in self.sim.cluster.pools.values():
            metadata = body["metadata"]
            known = self.specs[metadata["uid"]]
            deleting = "deletionTimestamp" in metadata
            if not known or known[-1].spec != body["spec"] or known[-1].deleting != deleting:
                known.append(KnownSpec(self.now, json.loads(json.dumps(body["spec"])), deleting))

    def recent(self, uid: str) -> list[KnownSpec]:
        """Return the specs of a pool that may still be acted on, newest last."""
        known = self.specs[uid]
        ended = [later.since for later in known[1:]] + [float("inf")]
        return [
            spec
            for spec, until in zip(known, ended, strict=True)
            if until > self.now - OLD_SPEC_GRACE - self._stall()
        ]

    def _stall(self) -> float:
        """Seconds that a launch may spend on its way: client timeouts of its calls, one after the other."""
        return 120.0

    def live(self, uid: str) -> list[Job]:
        """Return the live HF Jobs of a pool, in truth."""
        assert self.sim is not None
        return [
            job
            for job in self.sim.hub.platform.live.values()
            if job.phase is not Phase.ENDED
            and not self.is_foreign(job)
            and (job.labels or {}).get("pool-uid") == uid
        ]

    def is_foreign(self, job: Job) -> bool:
        """Return whether an HF Job is not ours, in truth: somebody else's, or a copy of one of ours."""
        initiator = job.initiator
        copied = isinstance(initiator, dict) and initiator.get("type") == "duplicated-job"
        return job.id in self.foreign or copied or bool(self.robots and job.creator.name not in self.robots)

    def runner(self, name: str) -> Runner | None:
        """Return the registration of a name, in truth."""
        assert self.sim is not None
        rows = (row for row in self.sim.github.store.runners.rows() if row.name == name)
        return next(rows, None)

    def hf_job(self, name: str) -> Job | None:
        """Return the live HF Job of a runner, in truth."""
        assert self.sim is not None
        live = self.sim.hub.platform.live.values()
        mine = [j for j in live if j.phase is not Phase.ENDED and not self.is_foreign(j)]
        return next((j for j in mine if (j.labels or {}).get("runner") == name), None)

    # ------------------------------------------------------------------------------------------- what it sees
    def watch(self, site: Site) -> Site:
        """Return the site as seen through the judge's eyes."""
        return _Watched(site, self)

    def sent(self, caller: str, route: str) -> None:
        """Judge that a request leaves the controller."""
        if route.startswith("GET ") or "access_tokens" in route:
            return
        if not self.holds(caller):
            self.fail(LEADER, f"{caller} sent {route} without the lease")

    def before(self, route: str, parts: Mapping[str, str], request: Request) -> None:
        """Judge a request before it has its effect."""
        if route == "POST /api/jobs/{namespace}/{job_id}/cancel":
            self._cancel(parts["job_id"])
        elif route.startswith("DELETE ") and "runner_id" in parts:
            self._deregister(int(parts["runner_id"]))
        elif route == "POST /api/jobs/{namespace}":
            self._launch(request)
        elif route.endswith("/generate-jitconfig"):
            self._register(request)
        elif route.endswith("/rerun-failed-jobs"):
            judge_rerun(self, int(parts["run_id"]))

    def after(self, route: str, parts: Mapping[str, str], request: Request, response: Response) -> None:
        """Judge what a request did."""
        if route.startswith("DELETE ") and "runner_id" in parts:
            self.marks[f"deregister {response.status}"] += 1
        elif route.endswith("/generate-jitconfig"):
            self.marks[f"register {response.status}"] += 1
            # Neither has an effect, and the same request may come again: to a repository's new name, or with
            # a token that may do more.
            if response.status not in (301, 307, 308, 403):
                self._named(str(request.json()["name"]))
            if response.status == 201:
                self.secrets.add(str(json.loads(response.body)["encoded_jit_config"]))
        elif route == "POST /api/jobs/{namespace}" and response.status == 200:
            self._launched_one(request, response)
        elif route.endswith("/rerun-failed-jobs") and response.status == 201:
            self.marks["run again"] += 1
        elif response.status == 429 or "Retry-After" in response.headers:
            self.marks["limited"] += 1

    def _cancel(self, job_id: str) -> None:
        assert self.sim is not None
        job = self.sim.hub.platform.jobs.get(job_id)
        if job is not None and self.is_foreign(job):
            self.fail(LEFTOVERS, f"HF Job {job_id} is not ours, and was cancelled")
        if job is None or job.phase is Phase.ENDED:
            return
        name = (job.labels or {}).get("runner", "")
        runner = self.runner(name)
        rows = self.sim.github.store.jobs.rows()
        working = [row.id for row in rows if row.status == "in_progress" and row.runner_name == name]
        if runner is not None and runner.job_id is not None:
            working.append(runner.job_id)  # offered, and about to be picked up
        if working and job.phase is Phase.RUNNING:
            state = "gone" if runner is None else "there"
            message = (
                f"HF Job {job_id} ({name}) cancelled while it had job {working[0]}; registration {state}"
            )
            self.fail(BUSY, message)
        self.marks[f"cancelled {job.phase}"] += 1

    def _deregister(self, runner_id: int) -> None:
        assert self.sim is not None
        runner = self.sim.github.store.runners.get(runner_id)
        if runner is None:
            return
        if f"runner {runner_id}" in self.foreign:
            self.fail(LEFTOVERS, f"registration {runner.name} is not ours, and was deleted")
        job = self.hf_job(runner.name)
        if job is None:
            self.marks["orphaned registration"] += 1
        elif not runner.running and runner.job_id is None and runner.name not in self.in_doubt:
            judge_need(self, runner, job)

    def _launch(self, request: Request) -> None:
        assert self.sim is not None
        payload = request.json()
        assert isinstance(payload, dict)
        labels: Mapping[str, str] = payload.get("labels") or {}
        specs = self.recent(labels.get("pool-uid", ""))
        limit = payload.get("timeoutSeconds")
        allowed = max((_longest(known.spec) for known in specs), default=0.0)
        if not isinstance(limit, int) or limit > allowed:
            self.fail(ENDS, f"a launch with timeoutSeconds {limit}, where {allowed:g} is the most")
        image, flavor = str(payload.get("dockerImage")), FLAVORS.get(str(payload.get("flavor")))
        chosen = any("image" in known.spec for known in specs)
        if self.images and flavor is not None and flavor.accelerator and "cuda" not in image and not chosen:
            self.fail(SERVED, f"a launch on {payload['flavor']} with {image}, in which no GPU can be used")
        shown = json.dumps({key: value for key, value in payload.items() if key != "secrets"})
        self.look_for_secrets("what an HF Job shows", [shown])

    def _launched_one(self, request: Request, response: Response) -> None:
        assert self.sim is not None
        payload = request.json()
        assert isinstance(payload, dict)
        labels = payload.get("labels") or {}
        name, uid = labels.get("runner", ""), labels.get("pool-uid", "")
        self._launched[name] += 1
        if self._launched[name] > 1:
            self.fail(ONCE, f"a second HF Job for {name}")
        self.launched.append(self.sim.hub.platform.jobs[json.loads(response.body)["id"]])
        if self.specs[uid] and (wrong := too_often(self, uid, self.specs[uid][-1].spec)):
            self.fail(BACKOFF, wrong)
        most = max((int(known.spec.get("maxRunners", 10)) for known in self.recent(uid)), default=0)
        live = len(self.live(uid))
        if live > most:
            self.fail(CAP, f"{live} live HF Jobs of pool {uid}, where maxRunners is {most}")

    def _register(self, request: Request) -> None:
        assert self.sim is not None
        payload = request.json()
        assert isinstance(payload, dict)
        name, labels = str(payload["name"]), list(payload["labels"])
        known = [spec for specs in self.specs.values() for spec in specs]
        if same_case(labels) not in [same_case(each.spec["labels"]) for each in known]:
            self.fail(LABELS, f"{name} registered with labels {labels}, which no pool has")

    def _named(self, name: str) -> None:
        if name in self._registered:
            self.fail(ONCE, f"{name} registered a second time")
        self._registered.add(name)

    # --------------------------------------------------------------------------------------------- at the end
    @property
    def launches(self) -> int:
        """How many HF Jobs were made."""
        return self._launched.total()

    def look_for_secrets(self, where: str, texts: Iterable[str]) -> None:
        """Judge texts that people can read."""
        for text in texts:
            for secret in self.secrets:
                if secret in text:
                    self.fail(SECRETS, f"{secret[:12]}... appears in {where}: {text[:200]}")
                    return

    def check_books(self) -> None:
        """Judge what statuses say about money."""
        assert self.sim is not None
        for body in self.sim.cluster.pools.values():
            if wrong := overspent(self, body["metadata"]["uid"], body["status"]):
                self.fail(MONEY, wrong)
                return

    def check_spending(self) -> None:
        """Judge what each HF Job cost against its timeout."""
        assert self.sim is not None
        knobs = self.sim.hub.knobs
        boot = max((knobs.boot_seconds, *knobs.boot_seconds_by_flavor.values()))
        for job in self.sim.hub.platform.jobs.values():
            seconds, _ = job.meter.read(self.sim.hub.platform.now)
            most = (job.spec.timeout_seconds or 0) + 2 * boot + 1
            if not self.is_foreign(job) and seconds > most:
                self.fail(ENDS, f"HF Job {job.id} was billed {seconds:.0f} s, where {most:.0f} is the most")

    def left(self) -> list[str]:
        """Return what of ours still exists."""
        assert self.sim is not None
        self.sim.github.time.advance()  # nobody may have asked for long, and records go by themselves
        self.sim.hub.advance()
        jobs = [f"HF Job {j.id}" for j in self.sim.hub.platform.live.values() if not self.is_foreign(j)]
        rows = self.sim.github.store.runners.rows()
        runners = [f"registration {row.name}" for row in rows if f"runner {row.id}" not in self.foreign]
        return jobs + runners


class _Watched:
    """A site whose requests the judge sees."""

    def __init__(self, site: Site, judge: Judge) -> None:
        self._site, self._judge = site, judge

    @property
    def router(self) -> Router:
        """The site's own."""
        return self._site.router

    def handle(self, request: Request) -> Response:
        """Answer one request, judged before and after."""
        if request.method == "GET":
            return self._site.handle(request)
        found = self._site.router.match(request)
        route = f"{request.method} {found[0]}" if found else ""
        parts = found[2] if found else {}
        self._judge.before(route, parts, request)
        response = self._site.handle(request)
        self._judge.after(route, parts, request, response)
        return response


def _longest(spec: Mapping[str, Any]) -> float:
    deadlines = spec.get("deadlines", {})
    scheduling = duration_seconds(deadlines.get("scheduling", "10m"))
    return float(scheduling + duration_seconds(deadlines.get("lifetime", "6h")) + 61)
