"""A seed becomes a printed plan: the world's uncertain facts, pools, workload, faults and
disturbances of one run.

Every decision is keyed (:func:`u`): what happens to one request depends on the seed, the kind of fault, the
route and its number, and on nothing that happened before. So one fault can be taken away and all the others
stay as they were, and a run is replayed from its seed, or from the few faults that matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal, TypeVar

T = TypeVar("T")

PROFILE = 1
"""Version of the draws below: changing one changes what every seed means, so regressions
are kept as plans."""

Profile = Literal["calm", "uniform", "swarm"]

REPOSITORIES = ("acme/lib", "acme/app")

READ_FAULTS = (
    "refused",
    "lost_request",
    "lost_answer",
    "hang",
    "slow",
    "error_before",
    "limited",
    "secondary",
    "unauthorized",
    "truncated",
    "malformed",
    "drifted",
    "vanished",
)
WRITE_FAULTS = (
    "refused",
    "lost_request",
    "lost_answer",
    "hang",
    "hang_after",
    "late",
    "error_before",
    "error_after",
    "limited",
    "secondary",
    "unauthorized",
    "truncated",
    "malformed",
    "crash_before",
    "crash_after",
)
SLOW_CONNECT = "slow_connect"
"""The fault of a connection, which strikes before there is an exchange."""

DISTURBANCES = (
    "stop",
    "kill",
    "jump",
    "resize",
    "pause",
    "recreate",
    "move",
    "lose_container",
    "platform_cancels",
    "no_credit",
    "token_revoked",
    "no_capacity",
    "github_down",
    "hub_down",
    "handover",
    "broken_image",
    "no_cluster",
    "times_out",
    "permission_lost",
)
"""What may happen at a moment; those with a duration end with it, and all end before the quiet period."""


def u(seed: int, *key: object) -> float:
    """Return a number in [0, 1) that depends on the seed and the key only."""
    text = "|".join([str(seed), *map(str, key)])
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") / 2**64


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlan:
    """A RunnerPool: ``url`` is ``owner`` or ``owner/repo``, ``spec`` the rest of its manifest.

    Its credentials are those of the Secrets that ``spec`` names, ``github-app`` and ``hf-token`` unless said.
    Pools of another ``namespace``, or with Secrets of other names, have tokens of their own
    (:mod:`tests.seeds.tenants`).
    """

    name: str
    url: str
    labels: tuple[str, ...]
    spec: Mapping[str, Any] = field(default_factory=dict)
    namespace: str = "ci"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """A workflow job; times in seconds since the start, durations in seconds.

    Attributes:
        ghost: GitHub lists it as queued, and gives it to nobody until it is cancelled.
        approved_after: It waits for a review of its environment for so long; None for one
            that is queued at once.
    """

    at: float
    repository: str
    labels: tuple[str, ...]
    seconds: float = 30.0
    result: Literal["success", "failure"] = "success"
    cancel_after: float | None = None
    ghost: bool = False
    approved_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """Something that happens at a moment: ``share`` in [0, 1) chooses among victims and sizes."""

    at: float
    kind: str
    seconds: float = 0.0
    share: float = 0.0

    @property
    def id(self) -> str:
        """What a replay calls it."""
        return f"{self.kind}@{self.at:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run.

    Attributes:
        seed: Keys every decision that is made on the way.
        profile: How the plan was drawn.
        pools: RunnerPools that exist from the start.
        jobs: The workload.
        rates: Probability of each fault per exchange and route, by ``read:`` or ``write:`` and its name.
        disturbances: What else happens.
        calm_at: Seconds from which on nothing goes wrong any more.
        github: Knobs of the simulated GitHub.
        hub: Knobs of the simulated Hub.
        replicas: 2 for a controller with a follower that takes its lease over; 1 for one that runs alone.
        app: The credentials are a GitHub App's, whose tokens must be minted, instead of a
            personal access token.
        skew: Seconds by which the first controller's wall clock is wrong; each later one draws its own.
        intervals: Seconds between looks at GitHub and at the Hub.
        world: The kind of world beside the usual one, by its name in
            :mod:`tests.seeds.worlds`; empty for none.
        boots_in: Seconds that every image boots; None draws them for each runner.
        only: Ids of the faults that may strike and the disturbances that may happen; None for all.
        forced: Ids of faults that strike whatever the rates and the time are.

    Raises:
        ValueError: A forced fault is of a kind that does not exist, and would never strike.
    """

    seed: int
    profile: Profile
    pools: tuple[PoolPlan, ...]
    jobs: tuple[JobPlan, ...]
    rates: Mapping[str, float] = field(default_factory=dict)
    disturbances: tuple[Disturbance, ...] = ()
    calm_at: float = 0.0
    github: Mapping[str, Any] = field(default_factory=dict)
    hub: Mapping[str, Any] = field(default_factory=dict)
    replicas: int = 1
    app: bool = False
    skew: float = 0.0
    intervals: tuple[float, float] = (12.0, 10.0)
    world: str = ""
    boots_in: float | None = None
    only: frozenset[str] | None = None
    forced: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse what would never strike."""
        known = {*READ_FAULTS, *WRITE_FAULTS, SLOW_CONNECT}
        if unknown := {fault.split(":", 1)[0] for fault in self.forced} - known:
            raise ValueError(f"no such faults to force: {', '.join(sorted(unknown))}")

    def u(self, *key: object) -> float:
        """Return the plan's number for a key."""
        return u(self.seed, *key)

    def allows(self, fault: str) -> bool:
        """Return whether a fault or disturbance may happen."""
        return self.only is None or fault in self.only


def draw(seed: int, profile: Profile) -> Plan:
    """Return the plan of a seed. Pure.

    ``calm``: no faults, usual knobs. ``uniform``: every fault now and then. ``swarm``: some kinds not at all,
    the others at very different rates.
    """
    dice = Dice(seed, f"{profile}/{PROFILE}")
    calm_at = 0.0 if profile == "calm" else dice.between("calm", 200, 600)
    pools = _pools(dice)
    return Plan(
        seed=seed,
        profile=profile,
        pools=pools,
        jobs=_jobs(dice, pools),
        rates=_rates(dice, profile),
        disturbances=_disturbances(dice, profile, calm_at),
        calm_at=calm_at,
        github=_github(dice, profile),
        hub=_hub(dice, profile),
        replicas=2 if profile != "calm" and dice.chance("replicas", 0.2) else 1,
        app=dice.chance("app", 0.1),
        skew=0.0 if profile == "calm" else dice.between("skew", -300, 300),
        intervals=(dice.between("github interval", 8, 20), dice.between("hub interval", 8, 20)),
    )


class Dice:
    """Draws of one seed, each by what it is for; a draw depends on no other."""

    def __init__(self, seed: int, profile: str) -> None:
        self._seed, self._profile = seed, profile

    def u(self, *key: object) -> float:
        """Return a number in [0, 1)."""
        return u(self._seed, self._profile, *key)

    def chance(self, key: object, probability: float) -> bool:
        """Return True with a probability."""
        return self.u(key) < probability

    def between(self, key: object, least: float, most: float) -> float:
        """Return a number with one decimal place."""
        return round(least + self.u(key) * (most - least), 1)

    def whole(self, key: object, least: int, most: int) -> int:
        """Return a whole number, both ends included."""
        return least + int(self.u(key) * (most - least + 1))

    def one_of(self, key: object, choices: Sequence[T]) -> T:
        """Return one of the choices, each equally likely."""
        return choices[int(self.u(key) * len(choices))]


def _pools(dice: Dice) -> tuple[PoolPlan, ...]:
    pools = []
    for n in range(dice.one_of("pools", (1, 1, 1, 2, 2, 3))):
        url = dice.one_of(f"url {n}", ("acme/lib", "acme/lib", "acme/app", "acme"))
        same = n > 0 and dice.chance(f"same labels {n}", 0.2)
        spec: dict[str, Any] = {
            "maxRunners": dice.whole(f"max {n}", 1, 4),
            "minIdle": 1 if dice.chance(f"idle {n}", 0.1) else 0,
            "flavors": dice.one_of(f"flavors {n}", (["t4-small"], ["t4-small"], ["a10g-small", "t4-small"])),
            "deadlines": {
                "scheduling": f"{dice.whole(f'scheduling {n}', 60, 180)}s",
                "registration": f"{dice.whole(f'registration {n}', 60, 120)}s",
                "idle": f"{dice.whole(f'idle deadline {n}', 30, 90)}s",
                "lifetime": "20m",
            },
            "retry": {"interrupted": dice.one_of(f"retry {n}", (0, 0, 1, 2))},
        }
        if url == "acme":
            spec["github"] = {"repositories": {"include": ["acme/*"]}}
        labels = ("gpu", "hf-0" if same else f"hf-{n}")
        pools.append(PoolPlan(name=f"pool-{n}", url=url, labels=labels, spec=spec))
    return tuple(pools)


def _jobs(dice: Dice, pools: Sequence[PoolPlan]) -> tuple[JobPlan, ...]:
    burst = dice.chance("burst", 0.3)
    jobs = []
    for n in range(dice.whole("jobs", 1, 8)):
        pool = dice.one_of(f"job pool {n}", pools)
        repository = pool.url if "/" in pool.url else dice.one_of(f"repository {n}", REPOSITORIES)
        labels = dice.one_of(
            f"labels {n}",
            (pool.labels, pool.labels[1:], pool.labels[1:], (pool.labels[1], "cuda-99")),
        )
        jobs.append(
            JobPlan(
                at=10.0 if burst else dice.between(f"at {n}", 0, 400),
                repository=repository,
                labels=labels if dice.chance(f"odd {n}", 0.2) else pool.labels[1:],
                seconds=dice.between(f"seconds {n}", 3, 130),
                result="failure" if dice.chance(f"fails {n}", 0.1) else "success",
                cancel_after=dice.between(f"cancelled after {n}", 0, 150)
                if dice.chance(f"cancelled {n}", 0.15)
                else None,
            )
        )
    return tuple(sorted(jobs, key=lambda job: job.at))


def _rates(dice: Dice, profile: Profile) -> Mapping[str, float]:
    if profile == "calm":
        return {}
    names = [f"read:{name}" for name in READ_FAULTS] + [f"write:{name}" for name in WRITE_FAULTS]
    rates = {}
    for name in names:
        usual = 0.006 if name.startswith("read:") else 0.025
        if profile == "uniform":
            rates[name] = usual
        elif dice.chance(f"uses {name}", 0.3):
            rates[name] = round(12 * usual * dice.u(f"rate {name}") ** 2, 5)
    return rates


def _disturbances(dice: Dice, profile: Profile, calm_at: float) -> tuple[Disturbance, ...]:
    if profile == "calm":
        return ()
    found = []
    for kind in DISTURBANCES:
        likely = 0.15 if profile == "uniform" else 0.3 * dice.u(f"likely {kind}") ** 2 * 3
        for n in range(3):
            if dice.chance(f"{kind} {n}", likely / (n + 1)):
                at = dice.between(f"{kind} at {n}", 5, calm_at * 0.8)
                seconds = dice.between(f"{kind} seconds {n}", 1, min(150.0, calm_at * 0.9 - at))
                share = dice.u(f"{kind} share {n}")
                found.append(Disturbance(at=at, kind=kind, seconds=seconds, share=share))
    return tuple(sorted(found, key=lambda d: (d.at, d.kind)))


def _github(dice: Dice, profile: Profile) -> Mapping[str, Any]:
    if profile == "calm":
        return {"secondary_points_per_minute": None}
    return {
        "list_lag_seconds": dice.one_of("list lag", (0.0, 0.0, 3.0, 12.0, 25.0)),
        "list_order": dice.one_of("list order", ("usual", "usual", "reversed", "shuffled")),
        "jobs_appear_after_seconds": dice.one_of("jobs appear", (0.0, 0.0, 4.0)),
        "unassigned_runner": dice.one_of("unassigned", ("null", "zero")),
        "busy_reads_false": dice.chance("busy lies", 0.15),
        "busy_reads_offline": dice.chance("busy offline", 0.15),
        "fresh_reads_offline_seconds": dice.one_of("fresh offline", (0.0, 0.0, 8.0)),
        "assignment_seconds": dice.one_of("assignment", (0.0, 1.0, 3.0)),
        "offer_blocks_delete": dice.chance("offer blocks", 0.5),
        "linger_seconds": dice.one_of("linger", (0.0, 10.0, 30.0)),
        "jit_propagation_seconds": dice.one_of("jit propagation", (0.0, 0.0, 0.5)),
        "lease_seconds": 120.0,
        "cancel_grace_seconds": 60.0,
        "secondary_points_per_minute": dice.one_of("points", (None, None, 120)),
        "secondary_retry_after": dice.one_of("retry after", (20, None)),
        "registration_bucket": dice.chance("registration bucket", 0.5),
    }


def _hub(dice: Dice, profile: Profile) -> Mapping[str, Any]:
    if profile == "calm":
        return {}
    return {
        "scheduling_seconds": dice.between("scheduling", 1, 25),
        "boot_seconds": dice.between("boot", 1, 25),
        "jitter": 0.5,
        "timeout_from": dice.one_of("timeout from", ("start", "create")),
        "cancel_seconds": dice.one_of("cancel", (0.5, 1.5, 12.0)),
        "cancel_terminal_status": dice.one_of("cancel terminal", (200, 400, 404, 409)),
        "finished_at_on_cancel": dice.chance("finished", 0.5),
        "stage_lag_seconds": dice.one_of("stage lag", (0.0, 1.3, 8.0)),
        "page_size": dice.one_of("page", (1, 2, 50)),
        "paging": dice.one_of("paging", ("keyset", "offset")),
        "label_match": dice.one_of("label match", ("all", "any")),
        "list_order": dice.one_of("hub order", ("newest", "oldest", "shuffled")),
        "list_stale_seconds": dice.one_of("stale", (0.0, 0.0, 3.0, 12.0, 25.0)),
    }
