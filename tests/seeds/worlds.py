"""Kinds of worlds beside the usual one, of which seeds draw.

A *world* is a change of a drawn plan: other accounts, other knobs, other edits, other jobs. Half of
the seeds with faults are played in one. A world may name the invariants that break in it today, each
with what is wrong: such a violation is counted apart, any other one fails, and one that is not seen
any more must be removed here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from controller.simulate.serving import HOSTILE_GITHUB, HOSTILE_HUB
from tests.seeds.plan import PROFILE, Dice, Disturbance, JobPlan, Plan, PoolPlan, Profile, draw

SHARE = 0.5
"""Of the seeds with faults that are played in a world of their own."""

Change = Callable[[Dice, Plan], Plan]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A kind of world.

    Attributes:
        change: Makes the world out of a drawn plan. Pure.
        expected: Invariants that break in it today, each with what is wrong.
        futile: Launches fail there by the pool's own settings, and are tried again: they are
            more than the workflow jobs.
        compared: Whether it is played a second time without the other tenants (:mod:`tests.seeds.isolation`).
    """

    change: Change
    expected: Mapping[str, str] = field(default_factory=dict)
    futile: bool = False
    compared: bool = False


def draw_world(seed: int, profile: Profile, world: str | None = None) -> Plan:
    """Return the plan of a seed, in the world that it draws, or in the named one; ``""`` is
    the usual world. Pure.

    Raises:
        KeyError: There is no such world.
    """
    plan, dice = draw(seed, profile), Dice(seed, f"world/{profile}/{PROFILE}")
    if world is None:
        plays = profile != "calm" and dice.chance("in a world", SHARE)
        world = dice.one_of("world", sorted(WORLDS)) if plays else ""
    return replace(WORLDS[world].change(dice, plan), world=world) if world else plan


# ---------------------------------------------------------------------------------------------- small changes
def _knobs(
    plan: Plan, *, github: Mapping[str, Any] | None = None, hub: Mapping[str, Any] | None = None
) -> Plan:
    return replace(plan, github={**plan.github, **(github or {})}, hub={**plan.hub, **(hub or {})})


def _quiet(plan: Plan) -> Plan:
    """Without faults and disturbances: what breaks then is the world's doing."""
    return replace(plan, rates={}, disturbances=(), calm_at=0.0, replicas=1, skew=0.0)


def _cold(plan: Plan) -> Plan:
    """Without runners that are kept warm: they idle on purpose, and clear up whose fault a start was."""
    return replace(plan, pools=tuple(replace(pool, spec={**pool.spec, "minIdle": 0}) for pool in plan.pools))


def _with(plan: Plan, pool: PoolPlan, **spec: Any) -> Plan:
    changed = replace(pool, spec={**pool.spec, **spec})
    return replace(plan, pools=tuple(changed if one is pool else one for one in plan.pools))


def _happen(plan: Plan, *happenings: Disturbance) -> Plan:
    """Let more happen, and be calm only after it."""
    ends = max(one.at + one.seconds for one in happenings)
    return replace(
        plan,
        disturbances=tuple(sorted((*plan.disturbances, *happenings), key=lambda d: (d.at, d.kind))),
        calm_at=max(plan.calm_at, ends + 10),
    )


def _at(dice: Dice, kind: str, *, first: float, last: float, least: float, most: float) -> Disturbance:
    return Disturbance(
        at=dice.between(f"{kind} at", first, last),
        kind=kind,
        seconds=dice.between(f"{kind} seconds", least, most),
        share=dice.u(f"{kind} share"),
    )


def _jobs_for(
    dice: Dice, pool: PoolPlan, *, count: int, repository: str | None = None
) -> tuple[JobPlan, ...]:
    where = repository or (pool.url if "/" in pool.url else "acme/lib")
    return tuple(
        JobPlan(
            at=dice.between(f"{pool.namespace} {pool.name} at {n}", 0, 300),
            repository=where,
            labels=pool.labels[1:],
            seconds=dice.between(f"{pool.namespace} {pool.name} seconds {n}", 20, 130),
        )
        for n in range(count)
    )


def _add_jobs(plan: Plan, jobs: tuple[JobPlan, ...]) -> Plan:
    return replace(plan, jobs=tuple(sorted((*plan.jobs, *jobs), key=lambda job: job.at)))


# --------------------------------------------------------------------------------------- accounts and tenants
def _second_secret(dice: Dice, plan: Plan) -> Plan:
    """Another pool of the same organization and HF namespace, with Secrets of its own, in
    its own namespace or not.
    """
    first = plan.pools[0]
    which = dice.one_of("which secrets", (("hub",), ("github",), ("hub", "github")))
    spec = {**first.spec, "github": dict(first.spec.get("github", {}))}
    if "hub" in which:
        spec["huggingface"] = {"tokenSecret": "hf-token-b"}
    if "github" in which:
        spec["github"]["credentialsSecret"] = "github-b"
    namespace = dice.one_of("its namespace", ("ci", "team-b"))
    second = replace(first, name="pool-b", labels=("gpu", "hf-b"), spec=spec, namespace=namespace)
    return _add_jobs(replace(plan, pools=(*plan.pools, second)), _jobs_for(dice, second, count=3))


def _apart(dice: Dice, plan: Plan, *, spec: Mapping[str, Any], url: str, jobs: int) -> Plan:
    """Add a pool of another namespace whose accounts are its own."""
    first = plan.pools[0]
    other = replace(
        first, name="other", url=url, namespace="team-b", labels=first.labels, spec={**first.spec, **spec}
    )
    # Nobody cancels a job: whether its runner came first would be a matter of moments.
    kept = tuple(replace(job, cancel_after=None) for job in plan.jobs)
    # And each has a runner of its own: behind a cap, waits depend on which job GitHub takes first.
    roomy = tuple(replace(pool, spec={**pool.spec, "maxRunners": 20}) for pool in plan.pools)
    plan = replace(_quiet(plan), pools=(*roomy, other), jobs=kept, boots_in=10.0)
    plan = _knobs(plan, hub={"jitter": 0.0, "list_order": "newest"}, github={"list_order": "usual"})
    return _add_jobs(plan, _jobs_for(dice, other, count=jobs, repository=url)) if jobs else plan


def _tenants_apart(dice: Dice, plan: Plan) -> Plan:
    """Another organization and HF account, without warm runners: they are renewed for as long as
    either tenant's jobs go on.
    """
    return _apart(
        dice,
        _cold(plan),
        url="umbrella/lib",
        spec={"github": {}, "huggingface": {"namespace": "umbrella"}},
        jobs=dice.whole("their jobs", 1, 5),
    )


def _hostile_tenant(dice: Dice, plan: Plan) -> Plan:
    """A tenant whose own services hand out the first one's runners, HF Jobs and queue; one pool's runners
    are kept warm, for hours.
    """
    plan = _cold(plan)
    first = plan.pools[0]
    deadlines = {**first.spec["deadlines"], "idle": "15m", "lifetime": "6h"}
    plan = _with(plan, first, minIdle=1, deadlines=deadlines)
    github: dict[str, Any] = {"url": f"{HOSTILE_GITHUB}/{first.url}"}
    if "/" not in first.url:
        github["repositories"] = {"include": ["acme/*"]}
    own_hub = {"namespace": "acme", "endpoint": HOSTILE_HUB}
    hub = own_hub if dice.chance("a Hub of their own", 0.5) else {"namespace": "umbrella"}
    spec = {"github": github, "huggingface": hub, "maxRunners": dice.whole("their cap", 0, 3), "minIdle": 0}
    return _apart(dice, plan, url=first.url, spec=spec, jobs=0)


def _shared_queue(dice: Dice, plan: Plan) -> Plan:
    """A pool of another namespace with the same labels in the same repository: each serves
    the queue, cheaper or not.
    """
    plan = _cold(_quiet(plan))
    first = plan.pools[0]
    cheap = dice.chance("cheaper", 0.7)
    spec = {
        **first.spec,
        "huggingface": {"namespace": "umbrella"},
        "flavors": ["cpu-basic"] if cheap else ["a10g-small"],
        "maxRunners": 0 if cheap and dice.chance("may launch nothing", 0.7) else 2,
    }
    other = replace(first, name="other", namespace="team-b", spec=spec)
    plan = replace(plan, pools=(*plan.pools, other))
    return _add_jobs(plan, _jobs_for(dice, first, count=2))


def _copies(dice: Dice, plan: Plan) -> Plan:
    kind = dice.one_of("how", ("duplicates", "copies"))
    long = tuple(replace(job, seconds=job.seconds + 120) for job in plan.jobs)
    after = dice.between("after", 2, 60)
    return _knobs(replace(plan, jobs=long), hub={kind: 1.0, "copy_after_seconds": after})


# --------------------------------------------------------------------------------------------------- GitHub's
def _records_go(dice: Dice, plan: Plan) -> Plan:
    """Many runners at a time, so that some of them start just before a list that is old."""
    lag = dice.one_of("lag", (25.0, 50.0, 50.0))
    knobs = {"record_goes_at_start": dice.one_of("share", (0.5, 1.0)), "runs_lag": lag, "jobs_lag": lag}
    first = plan.pools[0]
    plan = _add_jobs(_with(plan, first, maxRunners=12), _jobs_for(dice, first, count=12))
    long = tuple(replace(job, seconds=job.seconds + 200) for job in plan.jobs)
    return _knobs(replace(plan, jobs=long, intervals=(60.0, plan.intervals[1])), github=knobs)


def _old_lists(dice: Dice, plan: Plan) -> Plan:
    names = ("runs_lag", "jobs_lag", "runners_lag", "repositories_lag")
    github: dict[str, Any] = {name: dice.between(name, 0, 55) for name in names}
    return _knobs(
        plan,
        github={"list_lag_seconds": 0.0, **github},
        hub={"list_stale_seconds": dice.between("hub", 0, 55)},
    )


def _frozen_rows(dice: Dice, plan: Plan) -> Plan:
    return _knobs(plan, github={"frozen_run_rows": dice.one_of("share", (0.3, 1.0))})


def _real_limits(dice: Dice, plan: Plan) -> Plan:
    """A quota that others have nearly used up, and secondary limits that strike."""
    limits = {
        "edition": "github.com",
        "core_limit": dice.one_of("core", (60, 150, 5_000)),
        "secondary_points_per_minute": dice.one_of("points", (60, 120, 900)),
        "registrations_per_5_minutes": dice.one_of("registrations", (3, 1_500)),
    }
    return _knobs(plan, github=limits)


def _starved(dice: Dice, plan: Plan) -> Plan:
    return _happen(_cold(_quiet(plan)), _at(dice, "starve", first=0, last=30, least=1_200, most=2_400))


def _refused(dice: Dice, plan: Plan) -> Plan:
    pools = tuple(
        replace(pool, url="acme", spec={**pool.spec, "github": {"repositories": {"include": ["acme/*"]}}})
        for pool in plan.pools
    )
    return _happen(
        _cold(_quiet(replace(plan, pools=pools))),
        _at(dice, "refuse", first=0, last=30, least=1_200, most=2_400),
    )


def _ghosts(dice: Dice, plan: Plan) -> Plan:
    first = plan.pools[0]
    (job,) = _jobs_for(dice, first, count=1)
    ghost = replace(job, ghost=True, cancel_after=dice.between("cancelled", 1_200, 2_400))
    return _add_jobs(_cold(plan), (ghost,))


def _renamed(dice: Dice, plan: Plan) -> Plan:
    return _happen(plan, _at(dice, "rename", first=30, last=200, least=60, most=400))


def _odd_words(dice: Dice, plan: Plan) -> Plan:
    share = dice.one_of("share", (0.2, 1.0))
    return _knobs(plan, github={"odd_words": share}, hub={"odd_words": share})


# -------------------------------------------------------------------------------------------------- the Hub's
def _slow_cancels(dice: Dice, plan: Plan) -> Plan:
    cancelled = tuple(
        replace(job, cancel_after=dice.between(f"cancel {n}", 5, 40))
        if dice.chance(f"cancels {n}", 0.5)
        else job
        for n, job in enumerate(plan.jobs)
    )
    return _knobs(replace(plan, jobs=cancelled), hub={"cancel_seconds": dice.between("cancel", 15, 60)})


def _no_hardware(dice: Dice, plan: Plan) -> Plan:
    how = dice.one_of("how", ({"hardware_seconds": 25.0}, {"hardware_fails": 0.7}, {"hardware_fails": 1.0}))
    return _knobs(plan, hub=how)


def _odd_prices(dice: Dice, plan: Plan) -> Plan:
    # Without faults: where the hardware list fails, images are wrong for another reason.
    return _knobs(_quiet(plan), hub={"hardware_prices": dice.one_of("prices", ("null", "text", "per-hour"))})


def _new_stage(dice: Dice, plan: Plan) -> Plan:
    del dice
    return _knobs(plan, hub={"new_stage": "EVICTED"})


# ----------------------------------------------------------------------------------------------- people's own
def _short_lifetime(dice: Dice, plan: Plan) -> Plan:
    """The lifetime is over before a runner is online; somebody mends it after half an hour."""
    pool = plan.pools[0]
    deadlines = {**pool.spec["deadlines"], "lifetime": f"{dice.whole('lifetime', 20, 50)}s"}
    plan = _cold(_with(_quiet(plan), pool, deadlines=deadlines))
    return _happen(replace(plan, boots_in=60.0), Disturbance(at=2_400.0, kind="lengthen"))


def _nobody_serves(dice: Dice, plan: Plan) -> Plan:
    """Jobs that wait beside those that are served: a label too many, a set that only looks
    hosted, a paused pool's.
    """
    first = plan.pools[0]
    where = first.url if "/" in first.url else "acme/lib"
    odd = dice.one_of(
        "labels",
        (
            ("self-hosted", "ubuntu-22.04", "gpu"),
            (*first.labels, "cuda-99"),
            ("self-hosted",),
            ("HF-0", "GPU-Z"),
            (),
        ),
    )
    return _add_jobs(plan, (JobPlan(at=dice.between("odd at", 0, 200), repository=where, labels=odd),))


def _capitals(dice: Dice, plan: Plan) -> Plan:
    pools = tuple(
        replace(
            pool, labels=tuple(label.upper() if dice.chance(label, 0.6) else label for label in pool.labels)
        )
        for pool in plan.pools
    )
    return replace(plan, pools=pools)


def _mistyped(dice: Dice, plan: Plan) -> Plan:
    kind = dice.one_of("what", ("mistype_owner", "mistype_namespace", "mistype_flavor"))
    return _happen(plan, _at(dice, kind, first=0, last=100, least=40, most=200))


def _namespace_ends(dice: Dice, plan: Plan) -> Plan:
    """It ends while some runner still works."""
    long = tuple(replace(job, seconds=job.seconds + 250) for job in plan.jobs)
    ends = _at(dice, "namespace_ends", first=100, last=300, least=0, most=20)
    return _happen(_quiet(replace(plan, jobs=long)), ends)


def _many_jobs(dice: Dice, plan: Plan) -> Plan:
    return _add_jobs(plan, _jobs_for(dice, plan.pools[0], count=dice.whole("many", 6, 10)))


WORLDS: Mapping[str, World] = {
    "capital-labels": World(change=_capitals),
    "copied-hf-jobs": World(change=_copies),
    "frozen-run-rows": World(change=_frozen_rows),
    "ghost-jobs": World(change=_ghosts),
    "group-refuses": World(change=_refused),
    "hardware-unknown": World(change=_no_hardware),
    "hostile-tenant": World(change=_hostile_tenant, compared=True),
    "many-jobs": World(change=_many_jobs),
    "mistyped-and-mended": World(change=_mistyped),
    "namespace-ends": World(change=_namespace_ends),
    "new-stage": World(change=_new_stage),
    "nobody-serves": World(change=_nobody_serves),
    "odd-prices": World(change=_odd_prices),
    "odd-words": World(change=_odd_words),
    "old-lists": World(change=_old_lists),
    "real-limits": World(change=_real_limits),
    "records-go-at-start": World(change=_records_go),
    "renamed-repository": World(change=_renamed),
    "second-secret": World(change=_second_secret),
    "shared-queue": World(change=_shared_queue),
    "short-lifetime": World(change=_short_lifetime, futile=True),
    "slow-cancels": World(change=_slow_cancels),
    "starved-version": World(change=_starved),
    "tenants-apart": World(change=_tenants_apart, compared=True),
}
"""By name."""
