"""The acts in which two versions meet: upgrade from the version before, roll back to it, and
upgrade again, all under load.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from controller.core.evidence import LIST_LAG
from tools.e2e.before import Version
from tools.e2e.cluster import Helm, Kubectl, StoryError, until
from tools.e2e.services import Launch, Truth
from tools.e2e.story_base import (
    CHART,
    CRD,
    FOREVER,
    LABELS,
    MAX_RUNNERS,
    OTHER,
    POOLS,
    RELEASE,
    SYSTEM,
    TENANT,
    StoryBase,
    image_values,
    merged,
)

CHECK = "templates/upgradecheck.yaml"
"""What a chart has that limits hosts and Secrets. Those before take every host, every variable, and the
Secrets of all namespaces."""

ELSEWHERE = {"elsewhere": TENANT, "variables": OTHER}
"""Pools in other namespaces, with Secrets of their own; the second one gives its runners a
variable from a Secret."""

VARIABLES = "variables"
"""The Secret with that variable."""

SERVED = ("declared", "applied")
"""The pools that serve meanwhile: one of the chart's values, and one that kubectl applied."""

LABELLED = frozenset(f"{POOLS}_{pool}" for pool in SERVED)
"""The same as labels of HF Jobs name them."""

WAITING = MAX_RUNNERS + 2
"""Workflow jobs of each pool that are kept waiting while versions change: more than the runners that start
just then can take, so that who begins to act has something to launch for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Former:
    """What of the version before is there.

    Attributes:
        version: Which one it is.
        tree: Its sources, with its chart.
        image: Name and tag of its image, which the node has.
    """

    version: Version
    tree: Path
    image: str


class Upgrades(StoryBase):
    """What the acts have at hand where the version before is there, too.

    One method per act and per check that several acts share, which is more than 15.

    Args:
        former: That version; None if there is none.
    """

    def __init__(
        self,
        *,
        kubectl: Kubectl,
        helms: list[str],
        image: str,
        simulators: str,
        say: Callable[[str], None],
        former: Former | None = None,
    ) -> None:
        super().__init__(kubectl=kubectl, helms=helms, image=image, simulators=simulators, say=say)
        self._former = former

    def _acts_of_versions(self) -> list[Callable[[], None]]:
        """Return the acts, which end with this version serving; none without a version before."""
        if self._former is None:
            return []
        return [
            self._install_the_version_before,
            self._refuse_an_upgrade_that_would_stop_pools,
            self._upgrade_to_this_version,
            self._roll_back,
            self._upgrade_to_this_version,
            self._serve_elsewhere,
            self._judge_launches,
        ]

    # --------------------------------------------------------------------------------------------------- acts
    def _install_the_version_before(self) -> None:
        """Begin anew with it: neither pools nor their type are left of this version."""
        former = self._there()
        self._helm.uninstall()
        self._kubectl("-n", POOLS, "delete", "rp", "--all", "--timeout=30s")
        self._kubectl("delete", "crd", CRD)
        chart = str(former.tree / CHART)
        older = Helm(self._programs[0], chart=chart, release=RELEASE, namespace=SYSTEM)
        older.install(merged(self._known_before(), image_values(former.image)))
        self._rolled_out()
        self._kubectl.apply(self._pool("applied"))
        for pool in SERVED:
            self._wait(pool, "Ready")
        if not self._limited_before():
            self._kubectl.secret(OTHER, VARIABLES, {"token": "for-runners"})
            variable = {"name": "MODEL_TOKEN", "secret": VARIABLES, "key": "token"}
            for name, namespace in ELSEWHERE.items():
                more = {"secretEnv": [variable]} if name == VARIABLES else {}
                self._new_tenant(name, namespace=namespace, **more)
                self._wait(name, "Ready", namespace=namespace)
        self._done(f"the version before, {former.version.name}, is installed with its own chart")

    def _refuse_an_upgrade_that_would_stop_pools(self) -> None:
        """The pools' hosts are GitHub's and the Hub's of nobody but us, and a Secret has no label: nothing is
        replaced before both are mended.
        """
        before = self._replicas()
        self._helm.refused("upgrade", without_hosts(self._values))
        output = self._check_output()
        for name in ("githubHosts", "hubEndpoints"):
            (origin,) = self._values["controller"][name]
            if name not in output or origin.removeprefix("http://") not in output:
                raise StoryError(f"the check before the upgrade does not name controller.{name}:\n{output}")
        self._quote(next(line.strip() for line in output.splitlines() if "githubHosts" in line))
        if not self._limited_before():
            self._helm.refused("upgrade", self._values)
            commands = pasted(self._check_output())
            if not commands:
                raise StoryError(f"the check before the upgrade names no Secret:\n{self._check_output()}")
            for words in commands:
                self._quote(shlex.join(words))
                self._kubectl(*words[1:])
        if self._replicas() != before:
            raise StoryError("an upgrade that was refused has replaced pods")
        self._done(
            "an upgrade that would stop pools is refused before it changes anything, with the values to set and the commands to run"
        )

    def _upgrade_to_this_version(self) -> None:
        former = self._there()
        self._load()
        written = [pool for pool in SERVED if "term" in self._status(pool)]
        if written and not former.version.writes_intents:
            raise StoryError(f"{former.version.name} knows no terms, but pool {written[0]} has one")
        notes: list[str] = []
        began = self._change(lambda: notes.append(self._helm.upgrade(self._values)), self._image)
        if not self._limited_before() and "rbac.secrets.clusterWide" not in notes[0]:
            raise StoryError(f"the notes do not say that the right to all Secrets was kept:\n{notes[0]}")
        if not written:
            self._waited(began)
        self._served()
        if missing := [pool for pool in SERVED if "term" not in self._status(pool)]:
            raise StoryError(f"pool {missing[0]} has launched without a term in its status")
        waited = (
            ""
            if written
            else f"; its first leader launched nothing for {LIST_LAG:.0f} s, then all jobs were served"
        )
        self._done(f"helm upgrade from {former.version.name} under load{waited}")

    def _roll_back(self) -> None:
        former = self._there()
        self._load()
        self._change(lambda: self._helm.rollback(1), former.image)  # as it was first installed
        self._served()
        self._done(f"helm rollback to {former.version.name} under load: no job was lost")

    def _serve_elsewhere(self) -> None:
        """The right to read Secrets in all namespaces was kept, so the pools there are
        served on, and can be deleted.
        """
        if self._limited_before():
            return
        self._queue(**dict.fromkeys(ELSEWHERE, 2))
        self._served()
        made = {one.pool for one in self._sound().launches}
        for name, namespace in ELSEWHERE.items():
            if f"{namespace}_{name}" not in made:
                raise StoryError(f"nothing was launched for {namespace}/{name}")
            self._wait(name, "Ready", namespace=namespace)
            self._kubectl("-n", namespace, "delete", "rp", name, "--timeout=60s")
        self._done(
            "pools of two other namespaces, one with a variable from a Secret, were served through the upgrades"
        )

    def _judge_launches(self) -> None:
        """Hold all launches so far to what three changes of the version may cost: at most each
        pool's runners once each time.
        """
        truth = self._sound()
        for pool, alive in most_alive(truth.launches).items():
            if alive > MAX_RUNNERS:
                raise StoryError(f"pool {pool} had {alive} HF Jobs at once; its maxRunners is {MAX_RUNNERS}")
        idle = unused(truth)
        self._quote(
            f"{len(truth.launches)} HF Jobs for {self._queued} workflow jobs, {len(idle)} of them for none"
        )
        if len(idle) > 3 * len(SERVED) * MAX_RUNNERS:
            raise StoryError(f"runners were launched twice for one job, such as {idle[0]}")
        self._done(f"no pool ever had more HF Jobs than its maxRunners of {MAX_RUNNERS}")

    # --------------------------------------------------------------------------------------------------- load
    def _there(self) -> Former:
        assert self._former is not None, "its acts are played only where it is there"
        return self._former

    def _limited_before(self) -> bool:
        return (self._there().tree / CHART / CHECK).exists()

    def _known_before(self) -> Mapping[str, Any]:
        """Return the values that the chart of the version before knows."""
        return self._values if self._limited_before() else {**without_hosts(self._values), "rbac": {}}

    def _replicas(self) -> set[str]:
        """Return the controller's pods; the check that failed leaves one, too."""
        labels = f"{LABELS},app.kubernetes.io/component=controller"
        return set(self._kubectl.names("-n", SYSTEM, "pods", "-l", labels))

    def _check_output(self) -> str:
        return self._kubectl("-n", SYSTEM, "logs", f"job/{RELEASE}-upgrade-check")

    def _load(self) -> None:
        """Return once jobs wait, others run, and runners start, and each pool has launched."""
        until(
            lambda: under_way(self._kept_waiting(), pools=LABELLED),
            "jobs wait, others run, and runners start",
            patience=FOREVER,
        )

    def _kept_waiting(self) -> Truth:
        """Queue what is missing to jobs that wait for each pool, and return what was so before."""
        truth = self._sound()
        waiting = Counter(job["labels"][0] for job in truth.jobs if job["status"] == "queued")
        missing = {pool: WAITING - waiting[pool] for pool in SERVED if waiting[pool] < WAITING}
        if missing:
            self._queue(**missing)
        return truth

    def _change(self, change: Callable[[], object], image: str) -> float:
        """Change the version under load, and return when its first leader began to lead, in epoch seconds.

        Args:
            change: What Helm is to do; it takes its time.
            image: The other version's.
        """
        with ThreadPoolExecutor(max_workers=1) as thread:
            changing = thread.submit(change)

            def led_since() -> float:
                if changing.done():
                    changing.result()  # where it failed, nobody of the other version will ever lead
                self._kept_waiting()
                return self._led_since(image)

            began = until(led_since, f"a replica of {image} leads", patience=FOREVER)
            changing.result()
        self._rolled_out()
        return began

    def _led_since(self, image: str) -> float:
        """Return since when a replica of an image leads, in epoch seconds; 0 while none does."""
        pods = self._kubectl.items("-n", SYSTEM, "get", "pods", "-l", LABELS)
        images = {pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"] for pod in pods}
        spec = self._kubectl.json("-n", SYSTEM, "get", "lease", RELEASE)["spec"]
        holder = (spec.get("holderIdentity") or "").rpartition("_")[0]
        return datetime.fromisoformat(spec["acquireTime"]).timestamp() if images.get(holder) == image else 0.0

    def _waited(self, began: float) -> None:
        """Make sure that a leader who began at a moment, in epoch seconds, launched nothing
        before lists could be believed.
        """
        self._until(
            lambda truth: {one.pool for one in truth.launches if one.began > began} >= LABELLED,
            "this version launches for both pools",
        )
        truth = self._sound()
        if early := made_between(truth, began, began + LIST_LAG):
            raise StoryError(
                f"launched before lists were {LIST_LAG:.0f} s younger than the start: {early[0]}"
            )
        if idle := [pool for pool in SERVED if not had_to_wait(truth, pool, began, began + LIST_LAG)]:
            raise StoryError(f"no job of pool {idle[0]} had to wait, so this upgrade proves nothing")


def under_way(truth: Truth, *, pools: AbstractSet[str]) -> bool:
    """Return whether workflow jobs wait, others run, more runners are alive than run one, and each
    of some pools has launched.
    """
    running = truth.states["in_progress"]
    starting = len(truth.live) > running > 0
    return truth.states["queued"] > 0 and starting and pools <= {one.pool for one in truth.launches}


def without_hosts(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the chart's values without those that say to which hosts credentials may be sent."""
    lists = ("githubHosts", "hubEndpoints")
    return {
        **values,
        "controller": {key: value for key, value in values["controller"].items() if key not in lists},
    }


def pasted(output: str) -> Sequence[Sequence[str]]:
    """Return the words of the commands of kubectl that a text has on lines of their own."""
    lines = [line.strip() for line in output.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith("kubectl ")]


def made_between(truth: Truth, after: float, before: float) -> Sequence[str]:
    """Return what was made between two moments, in epoch seconds: HF Jobs, and
    registrations that are still there.
    """
    launched = [f"HF Job of {one.runner}" for one in truth.launches if after < one.began < before]
    return launched + [
        f"registration {name}" for name, at in truth.registrations.items() if after < at < before
    ]


def had_to_wait(truth: Truth, label: str, after: float, before: float) -> bool:
    """Return whether a workflow job with a label was queued before the first moment and not
    started before the second one.
    """
    return any(
        label in job["labels"] and job["queued_at"] < after and (job["started_at"] or before) >= before
        for job in truth.jobs
    )


def most_alive(launches: Sequence[Launch]) -> Mapping[str, int]:
    """Return how many HF Jobs each pool had at once, at most."""
    steps = [(one.began, 1, one.pool) for one in launches]
    steps += [(one.ended, -1, one.pool) for one in launches if one.ended is not None]
    alive: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for _, step, pool in sorted(steps):  # of one moment, ends come first
        alive[pool] += step
        most[pool] = max(most[pool], alive[pool])
    return most


def unused(truth: Truth) -> Sequence[str]:
    """Return the runners whose HF Job has ended and that have never had a workflow job."""
    used = {job["runner_name"] for job in truth.jobs}
    return [one.runner for one in truth.launches if one.ended is not None and one.runner not in used]
