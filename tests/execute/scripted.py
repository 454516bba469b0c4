"""The executor's ports, scripted: each call is written down, waits for its gate if it has one, and
then does what it was told.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from controller.core.actions import Launch
from controller.core.intents import Intent, Term, Written
from controller.core.model import (
    Disposition,
    Failure,
    GitHubSource,
    HFJob,
    HubAccount,
    Pool,
    PoolKey,
    Registration,
    SecretRef,
    Snapshot,
    Stage,
)
from controller.core.reasons import Reason
from controller.core.retry import RunRecord
from controller.core.stop_switch import NO_SWITCH, Stopped
from controller.execute.executor import Executor
from controller.execute.intents import IntentLog
from controller.execute.spec import RunnerVersion
from controller.ports import (
    IntentsMoved,
    JitConfig,
    LaunchSpec,
    Removal,
    Secret,
    StoredIntents,
    UpstreamError,
)
from hf_runner_simulators.clock import LoopClock
from tests.core.build import CONTROLLER, SERVER, name_of

LOST = Failure(reason=Reason.HubUnavailable, message="no answer", in_doubt=True)
REFUSED = Failure(reason=Reason.HubRejected, message="no", disposition=Disposition.PERSON)
DOWN = Failure(reason=Reason.KubernetesUnavailable, message="connection refused", in_doubt=True)


class Leads:
    """Leadership that a test takes away."""

    transitions = 1

    def __init__(self, identity: str = "me", *, transitions: int = 1) -> None:
        self.identity, self.transitions = identity, transitions
        self.mine = True
        self.lost = ""
        self.renewed_at: float | None = None
        """When the Lease was renewed last; None without an election."""

    def holds(self) -> bool:
        return self.mine and not self.lost

    def led_after(self, moment: float) -> bool | None:
        return None if self.renewed_at is None else self.renewed_at > moment

    def lose(self, why: str) -> None:
        self.lost = why


class Script:
    """What happens at each call, by its name: a failure, a bug, a change of the world, a
    gate that holds it up.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.failures: defaultdict[str, list[BaseException | None]] = defaultdict(list)
        self.gates: dict[str, asyncio.Event] = {}
        self.after: dict[str, Callable[[], None]] = {}
        self.under_way: defaultdict[str, int] = defaultdict(int)
        self.most: defaultdict[str, int] = defaultdict(int)

    async def play(self, call: str, about: str = "") -> None:
        self.calls.append(f"{call} {about}".strip())
        self.under_way[call] += 1
        self.most[call] = max(self.most[call], self.under_way[call])
        try:
            await asyncio.sleep(0.01)
            if call in self.gates:
                await self.gates[call].wait()
        finally:
            self.under_way[call] -= 1
        if call in self.after:
            self.after[call]()
        queue = self.failures[call]
        if queue and (error := queue.pop(0)) is not None:
            raise error

    def fail(self, call: str, *errors: Failure | Exception | None) -> None:
        self.failures[call] += [UpstreamError(e) if isinstance(e, Failure) else e for e in errors]

    def count(self, call: str) -> int:
        return sum(each.split()[0] == call for each in self.calls)


class GitHub:
    """Registrations by name."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.registered: dict[str, int] = {}
        self.listed = True
        self.busy: set[int] = set()
        self.gone: set[int] = set()

    async def register(self, scope: Any, *, name: str, labels: Sequence[str], group: str | None) -> JitConfig:
        number = len(self.script.calls) + 1
        self.registered[name] = number
        try:
            await self.script.play("register", name)
        except UpstreamError as error:
            if not error.failure.in_doubt and error.failure.reason is not Reason.RunnerNameTaken:
                del self.registered[name]
            raise
        made = Registration(id=number, name=name, online=False, busy=False, labels=tuple(labels))
        return JitConfig(registration=made, encoded="secret")

    async def find(self, scope: Any, name: str) -> Registration | None:
        await self.script.play("find-registration", name)
        if not self.listed or name not in self.registered:
            return None
        return Registration(id=self.registered[name], name=name, online=False, busy=False, labels=())

    async def deregister(self, scope: Any, runner_id: int) -> Removal:
        await self.script.play("deregister", str(runner_id))
        if runner_id in self.busy:
            return Removal.BUSY
        if runner_id in self.gone:
            return Removal.GONE
        self.registered = {name: number for name, number in self.registered.items() if number != runner_id}
        return Removal.DONE

    async def run(self, repository: str, run_id: int) -> RunRecord | None:
        await self.script.play("run", f"{repository}/{run_id}")
        return None


class Hub:
    """HF Jobs by id."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.made: dict[str, HFJob] = {}
        self.listed = True
        self.cancelled: list[str] = []

    async def launch(self, spec: LaunchSpec) -> HFJob:
        name = spec.labels["runner"]
        made = HFJob(
            id=f"hf-{name[-4:]}",
            stage=Stage.SCHEDULING,
            flavor=spec.flavor,
            labels=spec.labels,
            created_at=1.0,
        )
        self.made[made.id] = made
        try:
            await self.script.play("launch", name)
        except UpstreamError as error:
            if not error.failure.in_doubt:
                del self.made[made.id]
            raise
        return made

    async def find(self, labels: Mapping[str, str]) -> Sequence[HFJob]:
        await self.script.play("find-hf-job", labels["runner"])
        return [job for job in self.made.values() if self.listed and labels.items() <= job.labels.items()]

    async def cancel(self, job_id: str) -> None:
        await self.script.play("cancel", job_id)
        self.cancelled.append(job_id)


class Store:
    """One pool's object per key, as an API server keeps them; remembers every write."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.objects: dict[PoolKey, StoredIntents] = {}
        self.writes: list[Written] = []
        self._versions = 0
        self._newest: dict[str, StoredIntents] = {}

    def put(self, of: Pool, *intents: Intent, term: Term | None = None) -> None:
        """Let somebody else write; without intents or term, something else about the object changes."""
        known = self.objects.get(of.key)
        written = Written(term=term, intents=intents) if term or intents or known is None else known.written
        self._versions += 1
        self.objects[of.key] = StoredIntents(uid=of.uid, version=str(self._versions), written=written)

    def newest(self, uid: str) -> StoredIntents | None:
        return self._newest.get(uid)

    async def read(self, key: PoolKey) -> StoredIntents | None:
        await self.script.play("read")
        found = self.objects.get(key)
        if found is not None:
            self._newest[found.uid] = found
        return found

    async def replace(self, key: PoolKey, known: StoredIntents, written: Written) -> StoredIntents:
        applied = False

        def apply() -> None:
            nonlocal applied
            if key in self.objects and self.objects[key].version == known.version:
                self._versions += 1
                self.objects[key] = replace(known, version=str(self._versions), written=written)
                self.writes.append(written)
                applied = True

        try:
            await self.script.play("write", " ".join(i.name for i in written.intents))
        except UpstreamError as error:
            if error.failure.message == "applied":
                apply()
            raise
        apply()
        if not applied:
            raise IntentsMoved
        self._newest[known.uid] = self.objects[key]
        return self.objects[key]


class World:
    """An executor among scripted ports. Make it inside a running loop."""

    def __init__(self, *, leads: Leads | None = None, parallel: int = 16, connections: Any = None) -> None:
        loop = asyncio.get_running_loop()
        self.clock = LoopClock(time=loop.time, epoch=SERVER)
        self.script = Script()
        self.github, self.hub, self.store = GitHub(self.script), Hub(self.script), Store(self.script)
        self.leads = leads or Leads()
        self.took: list[tuple[PoolKey, float]] = []
        self.wakes = 0
        self.switch = NO_SWITCH
        self.launched: list[str] = []
        self.secrets: dict[SecretRef, Secret] = {}
        self.log = IntentLog(
            store=self.store,
            clock=self.clock,
            leader=self.leads,
            adopted=self._adopt,
            changed=self._wake,
            took=lambda key, seconds: self.took.append((key, seconds)),
        )
        self.connections = connections or _Connections(self)
        self.executor = Executor(
            connections=self.connections,
            clock=self.clock,
            leadership=self.leads,
            controller_id=CONTROLLER,
            runner=RunnerVersion(),
            intents=self.log,
            offer=lambda endpoint, name: None,
            launched=lambda account, job: self.launched.append(job.id),
            effect_ended=self._wake,
            stopped=self._stopped,
            parallel=parallel,
        )

    def _adopt(self, uid: str, found: Sequence[Intent]) -> None:
        self.executor.take_over(uid, found)

    def _stopped(self, account: str) -> Stopped | None:
        return self.switch.stops_for(account)

    def _wake(self) -> None:
        self.wakes += 1

    def know(self, *pools: Pool, written: Mapping[str, Written] | None = None) -> None:
        """Let pools come to sight: each has an object, which tells what ``written`` says by uid."""
        told = written or {}
        for each in pools:
            if each.key not in self.store.objects:
                said = told.get(each.uid, Written())
                self.store.put(each, *said.intents, term=said.term)
        self.log.begin(lambda: [said.term for said in told.values()])
        self.log.update_pools(pools, lambda uid: told.get(uid, Written()))

    def launch(self, of: Pool, *tokens: str) -> None:
        self.executor.submit([Launch(of, of.flavors[0], name_of(of, token)) for token in tokens])

    async def quiet(self, seconds: float = 5.0) -> None:
        """Let everything that can go on go on."""
        await asyncio.sleep(seconds)

    def stored(self, of: Pool) -> list[str]:
        return [intent.name for intent in self.store.objects[of.key].written.intents]

    def review(self, view: Snapshot) -> None:
        self.executor.forget(self.log.review(self.executor.in_flight, view))


def intent(of: Pool, token: str = "aaaa", *, at: float = SERVER) -> Intent:
    return Intent(name=name_of(of, token), flavor=of.flavors[0], at=at, place=of.footprint)


class _Connections:
    """One GitHub and one Hub for everybody."""

    def __init__(self, world: World) -> None:
        self._world = world

    def github(self, source: GitHubSource) -> Any:
        return self._world.github

    def hub(self, account: HubAccount) -> Any:
        return self._world.hub

    def hardware(self, endpoint: str) -> Any:
        raise NotImplementedError

    async def secret(self, ref: SecretRef) -> Secret:
        await self._world.script.play("secret")
        return self._world.secrets[ref]

    def let_end(self, endings: object) -> None:
        """Not looked at."""

    def hold(self, secrets: object) -> None:
        """Nothing is taken away."""

    async def secret_changed(self, ref: SecretRef) -> bool:
        return False

    async def close_all_except(self, sources: object, accounts: object) -> None:
        """Nothing is closed."""
