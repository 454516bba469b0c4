"""The whole controller, less kopf, against both simulated services, in one process and in virtual time.

The controller is the one that ships (:func:`controller.reconcile.assembly.assemble`), with its real clients:
their requests go through in-process transports, and its clock is the event loop's. A crash fences the
transports first and cancels then, so that no clean-up of the dead reaches a service.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from controller.adapters.connections import SecretConnections, Transports, open_connections
from controller.adapters.fence import fence
from controller.adapters.kube.intents import KubernetesIntents
from controller.core.conditions import ConditionType
from controller.core.facts import Fact
from controller.core.hosts import Hosts
from controller.core.model import PoolKey
from controller.core.plan import Plan
from controller.core.resource import API_VERSION, DRAIN_ANNOTATION
from controller.execute.spec import RunnerVersion
from controller.observe.stop_switch import SwitchObserver
from controller.ports import Alone, Clock, Leader, Meter, StopSwitches
from controller.reconcile.assembly import Controller, Settings, assemble
from controller.reconcile.protocols import Recorder
from controller.simulate.cluster import ApiServer, MemoryCluster
from controller.simulate.machine import Boot, RunnerMachine
from hf_runner_simulators.clock import EPOCH, LoopClock
from hf_runner_simulators.doors import Incarnation, SimTransport, SimTransport2
from hf_runner_simulators.exchange import Exchange, Latency
from hf_runner_simulators.faults import Nemesis
from hf_runner_simulators.github.http import GitHubSite
from hf_runner_simulators.github.keys import private_key, public_key_of
from hf_runner_simulators.github.world import GitHubWorld
from hf_runner_simulators.http import Site
from hf_runner_simulators.hub.http import HubSite
from hf_runner_simulators.hub.platform import drive
from hf_runner_simulators.hub.running import Run
from hf_runner_simulators.hub.world import World as HubWorld

GITHUB, HUB = "http://127.0.0.1:1", "http://127.0.0.1:2"
"""Origins of the simulated services; nothing listens there, the transports answer."""

HOSTS = Hosts.listed(github=[GITHUB], hub=[HUB], allow_http=True)
"""To which hosts a controller sends credentials, unless said."""

NAMESPACE = "ci"

SCOPES = ("repo", "admin:org")
"""Of the personal access token."""


class NoRecorder:
    """Measures nothing."""

    def passed(self, done: Plan, seconds: float) -> None:
        """Ignore a pass."""

    def measured(self, facts: Sequence[Fact]) -> None:
        """Ignore what happened."""

    def judged(self, conditions: Mapping[PoolKey, Mapping[ConditionType, bool]]) -> None:
        """Ignore what people see."""

    def intended(self, pool: PoolKey, seconds: float) -> None:
        """Ignore a write."""

    def failed_pass(self) -> None:
        """Ignore a failure, which is in the log."""

    def failed_pool(self, pool: PoolKey, part: str) -> None:
        """Ignore a pool's failure, which is in the log."""


@dataclass(slots=True, kw_only=True)
class Process:
    """One incarnation of the controller."""

    controller: Controller
    incarnation: Incarnation
    connections: SecretConnections
    clock: Clock
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


async def _look(switch: SwitchObserver) -> None:
    await switch.first_look()
    await switch.run()


class Simulation:
    """Both services, a cluster, and a controller that can crash and start again. Make it
    inside a running loop.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        boot: Callable[[Run], Boot] = lambda _: Boot(),
        hub_knobs: Mapping[str, object] | None = None,
        github_knobs: Mapping[str, object] | None = None,
        github_interval: float = 12.0,
        hub_interval: float = 10.0,
        github_nemeses: Iterable[Nemesis] = (),
        hub_nemeses: Iterable[Nemesis] = (),
        latency: Latency | None = None,
        connects_in: Callable[[str, str], float] = lambda _method, _path: 0.0,
        wrap: Callable[[Site], Site] = lambda site: site,
        stop_switch: StopSwitches | None = None,
        hosts: Hosts = HOSTS,
    ) -> None:
        """Build it.

        Args:
            seed: Spells runner names.
            boot: How each HF Job's image behaves.
            hub_knobs: What the simulated Hub does otherwise than usual.
            github_knobs: What the simulated GitHub does otherwise than usual.
            github_interval: Seconds between the controller's looks at GitHub where there is work.
            hub_interval: Seconds between its looks at the Hub where something lives.
            github_nemeses: Who may break an exchange with GitHub.
            hub_nemeses: Who may break an exchange with the Hub.
            latency: Time on the way to both services.
            connects_in: Seconds until the connection for a request with an effect stands, by method and path.
            wrap: Put between the exchanges and each service, to watch what is asked.
            stop_switch: Where launches are stopped; None for controllers without such a switch.
            hosts: To which hosts controllers send credentials; those that are started later
                may get other ones.
        """
        loop = asyncio.get_running_loop()
        self.seed = seed
        self.clock = LoopClock(time=loop.time, epoch=EPOCH)
        self.github = GitHubWorld(clock=self.clock)
        self.machine = RunnerMachine(github=self.github, boot=boot)
        self.hub = HubWorld(clock=self.clock, machine=self.machine)
        if hub_knobs:
            self.hub.turn(dict(hub_knobs))
        if github_knobs:
            self.github.turn(**github_knobs)
        self.github_exchange = Exchange(
            wrap(GitHubSite(self.github)), clock=self.clock, nemeses=github_nemeses, latency=latency
        )
        self.hub_exchange = Exchange(
            wrap(HubSite(self.hub)), clock=self.clock, nemeses=hub_nemeses, latency=latency
        )
        self.cluster = MemoryCluster(clock=self.clock)
        self.process: Process | None = None
        self.replicas: list[Process] = []
        self._intervals = (github_interval, hub_interval)
        self._connects_in = connects_in
        self._stop_switch = stop_switch
        self.hosts = hosts
        self._names = 0
        self._starts = 0
        self._time = loop.create_task(drive(self.hub.platform), name="hub-time")

    # ---------------------------------------------------------------------------------------------- the scene
    def set_up(
        self, repositories: Sequence[str], *, credits_usd: float = 1_000.0, token: str | None = None
    ) -> None:
        """Make owners, repositories, an installed App, a Hub account, and the Secrets
        ``github-app`` and ``hf-token``.

        With ``token``, the Secret ``github-app`` holds this personal access token instead of the App's key.
        """
        for name in repositories:
            self.github.accounts.add_repository(name)
        app = self.github.accounts.add_app(public_key=public_key_of(private_key()))
        for owner in sorted({name.partition("/")[0] for name in repositories}):
            self.github.accounts.install(app.id, owner)
        self.hub.setup(
            {
                "tokens": {"hf_sim": {"user": "robot", "namespaces": {"acme": "write"}, "plan": "team"}},
                "namespaces": {"acme": {"type": "org", "credits": credits_usd}},
            }
        )
        secret = {"appId": str(app.id), "privateKey": private_key()}
        if token is not None:
            self.github.accounts.add_user("robot")
            self.github.access.add_user_token(token, "robot", scopes=SCOPES)
            secret = {"token": token}
        self.cluster.set_secret(NAMESPACE, "github-app", secret)
        self.cluster.set_secret(NAMESPACE, "hf-token", {"token": "hf_sim"})

    def pool(
        self,
        name: str,
        *,
        url: str,
        labels: Sequence[str],
        namespace: str = NAMESPACE,
        **spec: Any,  # noqa: ANN401 - a manifest
    ) -> PoolKey:
        """Apply a RunnerPool; ``url`` is ``owner`` or ``owner/repo``."""
        given: dict[str, Any] = {
            "github": {"url": f"{GITHUB}/{url}", "credentialsSecret": "github-app", **spec.pop("github", {})},
            "huggingface": {
                "namespace": "acme",
                "tokenSecret": "hf-token",
                "endpoint": HUB,
                **spec.pop("huggingface", {}),
            },
            "labels": list(labels),
            "flavors": ["t4-small"],
            **spec,
        }
        manifest = {
            "apiVersion": API_VERSION,
            "kind": "RunnerPool",
            "metadata": {"namespace": namespace, "name": name},
            "spec": given,
        }
        key = self.cluster.apply(manifest)
        self._tell(key)
        return key

    def delete(self, key: PoolKey) -> None:
        """Delete a RunnerPool; it stays until the controller has drained it."""
        self.cluster.delete(key)
        self._tell(key)

    def ask_to_drain(self, key: PoolKey) -> None:
        """Do once what ``hf-runner-controller drain`` does every few seconds."""
        annotations = self.cluster.pools[key]["metadata"].setdefault("annotations", {})
        annotations[DRAIN_ANNOTATION] = str(self.clock.wall())
        self.cluster.touch(key)
        self._tell(key)

    def _tell(self, key: PoolKey) -> None:
        for process in self.replicas:
            process.controller.registry.upsert(self.cluster.pools[key])

    # ----------------------------------------------------------------------------------------- the controller
    def start(
        self,
        *,
        leadership: Leader | None = None,
        clock: Clock | None = None,
        recorder: Recorder | None = None,
        meter: Meter | None = None,
    ) -> Process:
        """Start a controller that knows nothing but what the cluster holds.

        Args:
            leadership: Whether it may act; always, unless said.
            clock: Its own, which may be wrong; the services' unless said.
            recorder: Called with every pass.
            meter: Called with every call to the services.
        """
        loop = asyncio.get_running_loop()
        clock = clock or self.clock
        self._starts += 1
        incarnation = Incarnation(name=f"controller-{self._starts}", connects_in=self._connects_in)
        leadership = leadership or Alone(incarnation.name)
        switch = SwitchObserver(self._stop_switch)
        connections = open_connections(
            secrets=self.cluster,
            clock=clock,
            hosts=self.hosts,
            before_send=fence(leadership, stopped=switch.stops_for),
            meter=meter,
            transports=Transports(
                github=lambda: SimTransport(self.github_exchange, incarnation=incarnation),
                hub=SimTransport2(self.hub_exchange, incarnation=incarnation),
            ),
        )
        controller = assemble(
            Settings(
                controller_id="sim",
                runner=RunnerVersion(),
                github_interval=self._intervals[0],
                hub_interval=self._intervals[1],
                hosts=self.hosts,
            ),
            connections=connections,
            statuses=self.cluster,
            intents=KubernetesIntents(client=ApiServer(self.cluster, incarnation)),
            events=self.cluster,
            clock=clock,
            leadership=leadership,
            token=self._token,
            recorder=recorder or NoRecorder(),
            switch=switch,
        )
        process = Process(
            controller=controller, incarnation=incarnation, connections=connections, clock=clock
        )
        controller.registry.replace_all(list(self.cluster.pools.values()))
        looks = [loop.create_task(_look(switch), name=f"{incarnation.name}-switch")] * bool(self._stop_switch)
        process.tasks = [
            *looks,
            loop.create_task(controller.reconciler.run(), name=f"{incarnation.name}-passes"),
            loop.create_task(self._finalize(controller), name=f"{incarnation.name}-finalizer"),
        ]
        self.process = process
        self.replicas.append(process)
        return process

    def _token(self) -> str:
        self._names += 1
        return blake2b(f"{self.seed}|{self._names}".encode(), digest_size=5).hexdigest()

    async def _finalize(self, controller: Controller) -> None:
        """Stand in for kopf's delete handler."""
        while True:
            await asyncio.sleep(3.0)
            for key, body in list(self.cluster.pools.items()):
                metadata = body["metadata"]
                if "deletionTimestamp" in metadata and controller.registry.may_go(key, metadata["uid"]):
                    self.cluster.release(key)
                    controller.registry.remove(key, metadata["uid"])

    async def crash(self, process: Process | None = None) -> None:
        """Kill a controller, the newest unless said: nothing of it reaches a service any
        more, and its memory is gone.
        """
        process = self._take(process)
        if process is None:
            return
        process.incarnation.alive = False
        for task in process.tasks:
            task.cancel()
        await asyncio.gather(*process.tasks, return_exceptions=True)
        await process.controller.close(0.0)

    async def stop(self, process: Process | None = None) -> None:
        """Stop a controller in good order, the newest unless said."""
        process = self._take(process)
        if process is None:
            return
        for task in process.tasks:
            task.cancel()
        await asyncio.gather(*process.tasks, return_exceptions=True)
        await process.controller.close(10.0)
        await process.connections.close()

    def _take(self, process: Process | None) -> Process | None:
        process = process or self.process
        if process in self.replicas:
            self.replicas.remove(process)
        if process is self.process:
            self.process = self.replicas[-1] if self.replicas else None
        return process

    async def close(self) -> None:
        """End everything."""
        while self.replicas:
            await self.crash(self.replicas[-1])
        self._time.cancel()
        await asyncio.gather(self._time, return_exceptions=True)
        for job_id in list(self.hub.platform.live):
            self.machine.kill(job_id)

    # ---------------------------------------------------------------------------------------------- the truth
    @property
    def bugs(self) -> Sequence[str]:
        """Tracebacks of the simulated services themselves; must stay empty."""
        return [*self.github_exchange.bugs, *self.hub_exchange.bugs]
