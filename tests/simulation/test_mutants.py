"""Proof that the checks can fail: each safeguard is switched off, and the invariant that names it breaks.

The switches are here and not in the product. Each mutant has a few plans in which it must be caught; the
first violation of the first plan that fails must be one of those that the table names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest

from controller.adapters.fence import Hook
from controller.adapters.github.connection import GitHubConnection
from controller.adapters.huggingface.jobs import HubJobs
from controller.api.status.changes import Due
from controller.core import (
    allowance,
    backoff,
    demand,
    effects,
    evidence,
    ledger,
    ownership,
    passed_over,
    suspicion,
)
from controller.core.effects import Effect
from controller.core.lifecycle import Phase
from controller.core.model import Observation
from controller.core.naming import Origin, controller_digest, origin
from controller.core.retire import choose, strays, why
from controller.core.retry import Judgement
from controller.execute import executor, launch, rerun
from controller.execute.executor import Executor
from controller.execute.guards import Permission
from controller.execute.intent_writer import IntentWriter
from controller.execute.intents import IntentLog
from controller.execute.launch import Launcher
from controller.observe.scopes import RegistrationObserver
from controller.pools import PoolRegistry
from controller.ports import Leadership, Removal, UpstreamError
from controller.reconcile import loop, publish
from controller.simulate import engine
from controller.simulate.engine import Simulation
from controller.simulate.invariants import INVARIANTS
from tests.seeds.isolation import play_judged as play
from tests.seeds.nemesis import WINDOW
from tests.seeds.plan import Disturbance, JobPlan, Plan, PoolPlan
from tests.seeds.sweep import SCENES

Patch = Callable[[pytest.MonkeyPatch], None]

CREATE = "POST /api/jobs/{namespace}"
REGISTER = "POST /repos/{owner}/{repo}/actions/runners/generate-jitconfig"

BURST = SCENES["a burst"]


def forced(scene: Plan, *faults: str) -> Plan:
    return replace(scene, forced=frozenset(faults))


# --------------------------------------------------------------------------------------- what is switched off
def cancel_before_deregistering(patch: pytest.MonkeyPatch) -> None:
    async def retire(action: Any, *, connections: Any, **_: object) -> bool:
        if action.hf_job_id is not None:
            await connections.hub(action.account).cancel(action.hf_job_id)
        if action.registration_id is not None:
            github = connections.github(action.scope.source)
            await github.deregister(action.scope.scope, action.registration_id)
        return False

    patch.setattr(executor, "retire", retire)


def take_busy_for_gone(patch: pytest.MonkeyPatch) -> None:
    true = GitHubConnection.deregister

    async def deregister(self: Any, *arguments: Any) -> Removal:
        await true(self, *arguments)
        return Removal.DONE

    patch.setattr(GitHubConnection, "deregister", deregister)


def take_gone_for_idle(patch: pytest.MonkeyPatch) -> None:
    true = GitHubConnection.deregister

    async def deregister(self: Any, *arguments: Any) -> Removal:
        answer = await true(self, *arguments)
        return Removal.DONE if answer is Removal.GONE else answer

    patch.setattr(GitHubConnection, "deregister", deregister)


def take_absence_for_idleness(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(why, "has_no_job", lambda runner, snapshot: True)


def launch_again_without_looking(patch: pytest.MonkeyPatch) -> None:
    async def look(*_: Any) -> None:
        return None

    patch.setattr(Launcher, "_find_launched", look)


def retry_blindly(patch: pytest.MonkeyPatch) -> None:
    true = HubJobs.launch

    async def launch(self: Any, spec: Any) -> Any:
        try:
            return await true(self, spec)
        except UpstreamError:
            return await true(self, spec)

    patch.setattr(HubJobs, "launch", launch)


def take_an_error_for_an_empty_list(patch: pytest.MonkeyPatch) -> None:
    def empty(self: Any, failure: Any, asked_at: float) -> Observation[Any]:
        return Observation(asked_at=asked_at, server_time=0.0)

    patch.setattr(RegistrationObserver, "_failed", empty)


def forget_the_lag_of_lists(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(evidence, "LIST_LAG", 0.0)
    patch.setattr(strays, "STRAY_GRACE", 0.0)


def own_everything(patch: pytest.MonkeyPatch) -> None:
    def claimed(name: str) -> Origin | None:
        found = origin(name)
        return replace(found, controller=controller_digest("sim")) if found else None

    patch.setattr(ownership, "origin", claimed)


def count_nothing_in_flight(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Executor, "in_flight", property(lambda self: {}))


def forget_launches_in_doubt(patch: pytest.MonkeyPatch) -> None:
    true = effects.still_in_flight

    def counts(effect: Any, seen: Any, *, shown: bool) -> bool:
        lost = effect.effect is Effect.LAUNCH and effect.finished_at is not None and effect.hf_job is None
        return not lost and true(effect, seen, shown=shown)

    patch.setattr(effects, "still_in_flight", counts)


def read_no_intents(patch: pytest.MonkeyPatch) -> None:
    true = PoolRegistry.written_at_first_sight
    patch.setattr(
        PoolRegistry, "written_at_first_sight", lambda self, uid: replace(true(self, uid), intents=())
    )
    patch.setattr(IntentWriter, "_judge", lambda *_: None)  # which would find them at the first write


def begin_before_it_is_written(patch: pytest.MonkeyPatch) -> None:
    true = IntentLog.write

    async def write(self: Any, uid: str, intents: Any) -> None:
        writing.add(asyncio.create_task(true(self, uid, intents)))

    writing: set[Any] = set()
    patch.setattr(IntentLog, "write", write)


def retire_what_no_list_shows(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(choose, "may_retire", lambda runner, *_: runner.undisturbed)


def ignore_max_runners(patch: pytest.MonkeyPatch) -> None:
    true: Any = PoolRegistry.__dict__["pools"].fget
    patch.setattr(
        PoolRegistry, "pools", property(lambda self: [replace(p, max_runners=99) for p in true(self)])
    )


def unfenced(_: Leadership, **__: object) -> Hook:
    async def hook(request: Any) -> None:
        pass

    return hook


def act_without_the_lease(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Permission, "to_act", lambda self: None)
    patch.setattr(engine, "fence", unfenced)


def ask_for_the_lease_only_when_an_effect_begins(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(engine, "fence", unfenced)


def run_again_what_nobody_looked_at(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rerun, "judge", lambda lost, run: Judgement(None))


def run_again_without_being_asked(patch: pytest.MonkeyPatch) -> None:
    true: Any = PoolRegistry.__dict__["pools"].fget
    patch.setattr(
        PoolRegistry, "pools", property(lambda self: [replace(p, retry_interrupted=99) for p in true(self)])
    )


def believe_one_404(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(demand, "GONE_AFTER", -1.0)


def never_give_up_on_scheduling(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(why, "past_deadline", lambda *_, **__: None)


def collect_no_orphans(patch: pytest.MonkeyPatch) -> None:
    true = choose.why_retire  # type: ignore[attr-defined]

    def reason(pool: Any, runner: Any, **more: Any) -> Any:
        return None if runner.phase is Phase.ORPHANED else true(pool, runner, **more)

    patch.setattr(choose, "why_retire", reason)


def let_hf_jobs_run_for_a_week(patch: pytest.MonkeyPatch) -> None:
    true = launch.launch_spec  # type: ignore[attr-defined]
    patch.setattr(launch, "launch_spec", lambda *a, **k: replace(true(*a, **k), timeout=7 * 86_400))


def put_the_secret_into_the_environment(patch: pytest.MonkeyPatch) -> None:
    true = launch.launch_spec  # type: ignore[attr-defined]

    def leaking(*arguments: Any, **more: Any) -> Any:
        spec = true(*arguments, **more)
        return replace(spec, environment={**spec.environment, "JIT": more["jit"].encoded})

    patch.setattr(launch, "launch_spec", leaking)


def draw_names_alike_in_every_pass(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Simulation, "_token", lambda self: "alike")


def write_every_status(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(publish, "due", lambda *_, **__: Due.NOW)


def add_a_label(patch: pytest.MonkeyPatch) -> None:
    true = GitHubConnection.register

    async def register(self: Any, scope: Any, *, labels: Any, **more: Any) -> Any:
        return await true(self, scope, labels=(*labels, "self-hosted"), **more)

    patch.setattr(GitHubConnection, "register", register)


def say_nothing_of_the_unmatched(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(demand, "_leave_unserved", lambda *_: None)


def try_again_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(backoff, "DELAYS", (0.0,))


def suspect_nobody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(passed_over, "_fall_on", lambda *_: None)


def start_one_after_the_other(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(allowance, "next_start", lambda *_, **__: 0.0)


def forget_suspicions_at_a_restart(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(suspicion, "recall", lambda *_, **__: suspicion.Suspicions())


def let_tenants_share_one_cap(patch: pytest.MonkeyPatch) -> None:
    true: Any = PoolRegistry.__dict__["pools"].fget

    def pools(self: Any) -> Any:
        found = true(self)
        crowded = len({pool.key.namespace for pool in found}) > 1
        return [replace(pool, max_runners=1) for pool in found] if crowded else found

    patch.setattr(PoolRegistry, "pools", property(pools))


def book_each_hf_job_ten_times(patch: pytest.MonkeyPatch) -> None:
    true = ledger.booked_seconds  # type: ignore[attr-defined]
    patch.setattr(ledger, "booked_seconds", lambda *seen: 10 * true(*seen))


def fail_a_pass_now_and_then(patch: pytest.MonkeyPatch) -> None:
    true = loop.plan  # type: ignore[attr-defined]

    def failing(given: Any) -> Any:
        if 50 < given.now < 60:
            raise ZeroDivisionError
        return true(given)

    patch.setattr(loop, "plan", failing)


# -------------------------------------------------------------------------------------------------- the plans
# Each is built around the one moment at which its safeguard matters, with seconds to spare on both sides, so
# that no change of the controller's pace moves it away.
def job(at: float, seconds: float = 20.0) -> JobPlan:
    return JobPlan(at=at, repository="acme/lib", labels=("hf-0",), seconds=seconds)


def pool(**spec: Any) -> tuple[PoolPlan, ...]:
    return (replace(BURST.pools[0], spec={**BURST.pools[0].spec, **spec}),)


def windows(first: float, last: float) -> range:
    """The numbers of the windows in which a planned fault of a read strikes, from one second to another."""
    return range(int(first // WINDOW), int(last // WINDOW) + 1)


PATIENT = {
    **BURST.pools[0].spec["deadlines"],
    "scheduling": "300s",
    "registration": "300s",
    "idle": "300s",
}
SCARCE = replace(BURST, pools=pool(flavors=["a10g-small", "t4-small"]), hub={"capacity": {"a10g-small": 0}})
UNMATCHED = replace(BURST, jobs=(JobPlan(at=5.0, repository="acme/lib", labels=("hf-0", "cuda-99")),))
ONE = replace(BURST, pools=pool(maxRunners=1))
LATE = replace(forced(ONE, f"late:{CREATE}#1"), github={"list_lag_seconds": 25.0})
"""GitHub's lists do not show the registration yet, and the Hub takes its time to make the HF Job."""
CALM = replace(BURST, profile="calm", jobs=BURST.jobs[:1])
LONG = replace(BURST, jobs=(job(5.0, seconds=700.0),))
"""Long enough for a stray's grace to end."""

JUST_BUSY = replace(
    BURST,
    pools=pool(minIdle=1, maxRunners=1, deadlines=PATIENT),
    jobs=(job(100.0, seconds=60.0),),
    github={"list_lag_seconds": 25.0},
    disturbances=(Disturbance(at=110.0, kind="recreate"),),
    calm_at=120.0,
)
"""An idle runner takes a job at 100 s, and its pool is deleted before any list shows it."""

LEASE_LOST = replace(
    BURST,
    replicas=2,
    jobs=(job(5.0),),
    forced=frozenset({f"hang_after:{REGISTER}#1"}),
    disturbances=(Disturbance(at=20.0, kind="handover", seconds=1.0, share=0.9),),
    calm_at=30.0,
)
"""A registration is under way from about 10 s on, and answered by nothing for 20 s, in which
the lease changes hands."""

SLOW_TO_CONNECT = replace(
    BURST,
    replicas=2,
    forced=frozenset(
        f"slow_connect:POST /api/v3/repos/acme/lib/actions/runners/generate-jitconfig@{n}"
        for n in windows(0, 80)
    ),
    disturbances=tuple(
        Disturbance(at=8.0 * n, kind="handover", seconds=4.0, share=0.5) for n in range(1, 10)
    ),
    calm_at=80.0,
)
"""The lease is held for four seconds and free for four, and a connection takes four."""

INTERRUPTED = replace(SCENES["interrupted"], seed=1)

BOOTING = replace(
    BURST, pools=pool(maxRunners=1, deadlines=PATIENT), jobs=(job(5.0),), hub={"boot_seconds": 160.0}
)
"""One runner is on its way for minutes."""

VANISHING = replace(
    BOOTING,
    forced=frozenset(
        f"vanished:/api/v3/repos/acme/lib/actions/runs?status=queued@{n}" for n in windows(110, 140)
    ),
)
"""Its repository answers 404 for half a minute."""

BLIND = replace(
    BOOTING,
    hub={"boot_seconds": 250.0},
    forced=frozenset(f"error_before:/api/v3/repos/acme/lib/actions/runners?@{n}" for n in windows(100, 250)),
)
"""GitHub lists no runner for minutes, while one is on its way."""

LAGGING = replace(
    BOOTING,
    hub={"boot_seconds": 40.0, "list_stale_seconds": 25.0},
    disturbances=(Disturbance(at=20.0, kind="kill"),),
    calm_at=21.0,
)
"""A controller starts seconds after a launch, which the Hub's lists do not show yet."""

LATE_LISTS = replace(LAGGING, hub={"boot_seconds": 40.0, "list_stale_seconds": 55.0})
"""The same where lists lag for nearly as long as they are trusted to."""

SLOWLY_LISTED = replace(
    BURST,
    pools=pool(maxRunners=4),
    jobs=(job(5.0),),
    forced=frozenset({f"lost_answer:{CREATE}#1", "slow:/api/jobs/acme?@1"}),
)
"""A launch's answer is lost, and the Hub takes its time to list what it made."""

UNLISTED = replace(
    BOOTING,
    jobs=(job(5.0), job(150.0)),
    hub={"boot_seconds": 40.0, "list_stale_seconds": 25.0},
    forced=frozenset(
        f"error_before:/api/v3/repos/acme/lib/actions/runners?@{n}" for n in windows(150, 220)
    ).union({f"truncated:{CREATE}#2"}),
)
"""A later launch's answer is lost, the Hub's lists do not show it yet, and GitHub lists no
runners for a minute."""

IN_DOUBT = replace(LAGGING, forced=frozenset({f"truncated:{CREATE}#1"}))
"""A controller starts seconds after a launch whose answer was lost, and which the Hub's
lists do not show yet."""

BOTH_LAGGING = replace(
    BOOTING,
    github={"list_lag_seconds": 25.0},
    hub={"boot_seconds": 40.0, "list_stale_seconds": 25.0},
    intervals=(6.0, 5.0),
    disturbances=(Disturbance(at=138.0, kind="kill"),),
    jobs=(job(100.0),),
    calm_at=139.0,
)
"""A controller starts seconds after a launch, which neither GitHub's lists nor the Hub's show yet."""

UNWRITTEN = replace(
    BOTH_LAGGING,
    disturbances=(Disturbance(at=95.0, kind="no_cluster", seconds=42.5), *BOTH_LAGGING.disturbances),
)
"""The same while the API server has not answered since before the launch was decided on."""

DELETED_AT_ONCE = replace(
    BURST,
    pools=pool(maxRunners=1, deadlines=PATIENT),
    github={"list_lag_seconds": 50.0},
    hub={"scheduling_seconds": 1.0, "boot_seconds": 1.0},
    intervals=(6.0, 5.0),
    jobs=(job(100.0, seconds=100.0),),
    disturbances=(Disturbance(at=195.0, kind="recreate"),),
    calm_at=196.0,
)
"""A pool is deleted seconds after its runner has taken a job, and GitHub's lists do not
even show the runner yet."""

BROKEN = replace(
    BURST,
    pools=pool(deadlines={**BURST.pools[0].spec["deadlines"], "idle": "300s"}),
    jobs=(job(5.0),),
    boots_in=None,
    disturbances=(Disturbance(at=1.0, kind="broken_image", seconds=2_400.0),),
    calm_at=2_410.0,
)
"""The image cannot run a runner for forty minutes, and one job waits."""

GHOST = replace(BURST, jobs=(replace(job(5.0), ghost=True, cancel_after=2_400.0),), boots_in=10.0)
"""One job waits that GitHub gives to nobody."""

RESTARTED = replace(
    GHOST,
    disturbances=tuple(Disturbance(at=200.0 + 200 * n, kind="kill", seconds=5.0) for n in range(10)),
    calm_at=2_410.0,
)
"""The same, and the controller is killed every few minutes."""

APART = replace(
    CALM,
    profile="uniform",
    jobs=(job(5.0, seconds=100.0), job(6.0, seconds=100.0)),
    pools=(
        *BURST.pools,
        replace(
            BURST.pools[0],
            namespace="team-b",
            url="umbrella/lib",
            spec={**BURST.pools[0].spec, "huggingface": {"namespace": "umbrella"}},
        ),
    ),
    boots_in=10.0,
    world="tenants-apart",
)
"""Two jobs for two places, beside a tenant of another organization that does nothing."""

LAGS = ("runners_lag", "runs_lag", "jobs_lag")

GONE_AT_START = replace(
    DELETED_AT_ONCE,
    pools=pool(minIdle=1, maxRunners=1, deadlines=PATIENT),
    github={"list_lag_seconds": 0.0, "record_goes_at_start": 1.0, **dict.fromkeys(LAGS, 50.0)},
    jobs=(job(180.0, seconds=100.0),),
)
"""A pool is deleted seconds after its warm runner has taken a job: its record is gone, and
GitHub's list shows it idle."""

GONE_AND_UNSEEN = replace(
    GONE_AT_START,
    github={"list_lag_seconds": 0.0, "record_goes_at_start": 1.0},
    jobs=(job(180.0, seconds=400.0),),
    forced=frozenset(
        f"error_before:/api/v3/repos/acme/lib/actions/runs?status=in_progress@{n}" for n in windows(180, 400)
    ),
)
"""The same, and GitHub's list shows at once that the record is gone; for minutes it does
not tell which jobs run."""

MUTANTS: tuple[tuple[Patch, set[str], tuple[Plan, ...]], ...] = (
    (cancel_before_deregistering, {"busy"}, (JUST_BUSY,)),
    (take_busy_for_gone, {"busy"}, (JUST_BUSY,)),
    (take_gone_for_idle, {"busy"}, (GONE_AT_START,)),
    (take_absence_for_idleness, {"busy"}, (GONE_AND_UNSEEN,)),
    (
        launch_again_without_looking,
        {"once"},
        (SLOWLY_LISTED,),
    ),
    (retry_blindly, {"once"}, (forced(BURST, f"lost_answer:{CREATE}#1"),)),
    (take_an_error_for_an_empty_list, {"evidence"}, (BLIND,)),
    (forget_the_lag_of_lists, {"cap"}, (LATE_LISTS,)),
    (own_everything, {"leftovers"}, (LONG,)),
    (count_nothing_in_flight, {"cap"}, (LATE,)),
    (forget_launches_in_doubt, {"cap"}, (UNLISTED,)),
    (retire_what_no_list_shows, {"busy"}, (DELETED_AT_ONCE,)),
    (read_no_intents, {"cap"}, (BOTH_LAGGING, IN_DOUBT)),
    (begin_before_it_is_written, {"cap"}, (UNWRITTEN,)),
    (ignore_max_runners, {"cap"}, (BURST,)),
    (act_without_the_lease, {"leader"}, (LEASE_LOST,)),
    (ask_for_the_lease_only_when_an_effect_begins, {"leader"}, (SLOW_TO_CONNECT,)),
    (run_again_what_nobody_looked_at, {"re-run"}, (INTERRUPTED,)),
    (
        run_again_without_being_asked,
        {"re-run"},
        (replace(INTERRUPTED, pools=pool(retry={"interrupted": 0}), jobs=(*INTERRUPTED.jobs, job(600.0))),),
    ),
    (believe_one_404, {"evidence"}, (VANISHING,)),
    (never_give_up_on_scheduling, {"served", "leftovers"}, (SCARCE,)),
    (collect_no_orphans, {"leftovers"}, (forced(BURST, f"crash_after:{REGISTER}#1"),)),
    (let_hf_jobs_run_for_a_week, {"ends"}, (BURST,)),
    (put_the_secret_into_the_environment, {"secrets"}, (BURST,)),
    (
        draw_names_alike_in_every_pass,
        {"once", "served", "internal"},
        (forced(BURST, f"crash_after:{CREATE}#2"),),
    ),
    (write_every_status, {"quiet"}, (CALM,)),
    (add_a_label, {"labels"}, (BURST,)),
    (say_nothing_of_the_unmatched, {"served"}, (UNMATCHED,)),
    (fail_a_pass_now_and_then, {"internal"}, (BURST,)),
    (try_again_at_once, {"backoff"}, (BROKEN,)),
    (suspect_nobody, {"backoff"}, (GHOST,)),
    (start_one_after_the_other, {"backoff"}, (GHOST,)),
    (forget_suspicions_at_a_restart, {"backoff"}, (RESTARTED,)),
    (let_tenants_share_one_cap, {"isolation"}, (APART,)),
    (book_each_hf_job_ten_times, {"money"}, (BURST,)),
)


@pytest.mark.parametrize(("switch_off", "invariants", "plans"), MUTANTS, ids=[m[0].__name__ for m in MUTANTS])
def test_without_a_safeguard_its_invariant_breaks(
    switch_off: Patch, invariants: set[str], plans: tuple[Plan, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    switch_off(monkeypatch)
    outcome = next((found for each in plans if (found := play(each)).failed), None)
    assert outcome is not None, "nothing noticed"
    assert outcome.violations[0].invariant in invariants, outcome.violations[0]


def test_with_every_safeguard_the_plans_of_the_mutants_break_nothing() -> None:
    played: list[Plan] = []
    for each in chain.from_iterable(plans for _, _, plans in MUTANTS):
        if each not in played:
            played.append(each)
            assert play(each).violations == (), each


def test_every_invariant_has_a_mutant_that_breaks_it() -> None:
    assert set().union(*(invariants for _, invariants, _ in MUTANTS)) == set(INVARIANTS)
