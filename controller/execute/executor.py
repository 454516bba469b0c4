"""Carries actions out: bounded, one at a time per runner, each step safe to be the last one before a crash.

A launch:

1. write its name into the pool's status, with those of the pool's other launches of the pass (:mod:`controller.execute.intents`);
2. register at GitHub under this name, which was never used before;
3. create the HF Job with the registration's secret.

Killed before 1 took effect: nothing happened. Killed after it: whoever acts next counts the launch until lists show it, or prove
that it will not come. Killed between 2 and 3: a registration without an HF Job, which garbage collection deregisters. Killed
after 3: a runner like any other, adopted at the next start. A lost answer to 2 is looked up by name and undone; one to 3 is
looked up by the runner's label and adopted (invariant 7), and where nothing shows, the registration stays, so that an HF Job
that comes late can serve. Neither is ever sent again.

A retirement:

1. deregister at GitHub; "busy" ends it here (invariant 2), and so does "not found": the record of a runner may go when its job
   starts, and planning finds out whether one runs;
2. cancel the HF Job, which has no job and can take none any more.

A runner whose registration is proved to be gone, and that is proved to have no job, is looked up by name instead of 1, since the
lists may have missed it. Killed between 1 and 2: an HF Job whose Listener notices that it was deregistered and exits.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from controller.core.effects import Effect, InFlight
from controller.core.endings import Endings
from controller.core.gc import Retire
from controller.core.intents import Intent
from controller.core.model import (
    Failure,
    Flavor,
    Footprint,
    GitHubSource,
    HFJob,
    HubAccount,
    Pool,
    SecretRef,
)
from controller.core.naming import LABEL_RUNNER, ours
from controller.core.reasons import Reason
from controller.core.report import Action, Launch, Result
from controller.core.retry import Answer, Outcome, Rerun, RerunResult
from controller.core.stop_switch import Stopped
from controller.core.variables import refusal, sight
from controller.execute.inherited import Inherited
from controller.execute.intents import IntentLog
from controller.execute.rerun import run_again
from controller.execute.spec import RunnerVersion, launch_spec
from controller.ports import (
    Clock,
    Connections,
    Fenced,
    GitHub,
    Hub,
    JitConfig,
    LaunchStopped,
    Leadership,
    Removal,
    UpstreamError,
)

T = TypeVar("T")

log = logging.getLogger(__name__)

_NO_FAILURE = frozenset({Reason.Pending, Reason.StopSwitchOn, Reason.StopSwitchUnread})
"""Another replica leads, or people have stopped launches: the first is logged by itself, the second where the switch is read."""

EFFECT_TIMEOUT = 180.0
"""Seconds for one whole effect. Every call has its own shorter timeout; this one catches what they miss."""


class Executor:
    """Runs actions as tasks and remembers what may not show in the lists yet."""

    def __init__(
        self,
        *,
        connections: Connections,
        clock: Clock,
        leadership: Leadership,
        controller_id: str,
        runner: RunnerVersion,
        intents: IntentLog,
        offer: Callable[[str, str], Flavor | None],
        launched: Callable[[HubAccount, HFJob], None],
        settled: Callable[[], None],
        stopped: Callable[[str], Stopped | None] = lambda _: None,
        allow_http: bool = False,
        parallel: int = 16,
    ) -> None:
        """Build an executor.

        Args:
            connections: Clients by credentials.
            clock: Time.
            leadership: Asked before every effect.
            controller_id: Who we are.
            runner: The archive for images without a runner.
            intents: Where launches are written down before they begin.
            offer: Flavor by endpoint and name, None while unknown.
            launched: Called with each HF Job that was launched.
            settled: Called when an effect ended, so that the next pass comes soon.
            stopped: Returns why nothing may be launched in a Hugging Face namespace, None if it may; asked before each step of a
                launch, since the switch may be turned after it was planned.
            allow_http: Runners may download their archive over plain http, from a simulator.
            parallel: Effects under way at once per credential and kind.
        """
        self._connections = connections
        self._clock = clock
        self._leadership = leadership
        self._controller_id = controller_id
        self._runner = runner
        self._intents = intents
        self._offer = offer
        self._launched = launched
        self._settled = settled
        self._stopped = stopped
        self._allow_http = allow_http
        self._inherited = Inherited(
            connections=connections, clock=clock, controller_id=controller_id, changed=settled
        )
        self._in_flight: dict[str, InFlight] = {}
        self._results: list[Result] = []
        self._left: set[str] = set()
        self._deregistered: set[str] = set()
        self._looking: set[tuple[GitHubSource, str]] = set()
        self._looked: list[RerunResult] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        # Launches and retirements queue apart and per credential, so that a hanging Hub delays no other account
        # and a burst of launches no retirement (invariant 10).
        self._gates: defaultdict[object, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(parallel))

    # ---------------------------------------------------------------------------------------------- for the reconcile loop
    @property
    def in_flight(self) -> Mapping[str, InFlight]:
        """Effects that run, or that the lists may not show yet, by runner name."""
        return dict(self._in_flight)

    def take_over(self, pool_uid: str, intents: Sequence[Intent]) -> None:
        """Count launches of other processes, of which only the intents are known."""
        now = self._clock.mono()
        for intent in intents:
            self._in_flight.setdefault(
                intent.name,
                InFlight(
                    name=intent.name,
                    pool_uid=pool_uid,
                    footprint=intent.place,
                    effect=Effect.LAUNCH,
                    flavor=intent.flavor,
                    since=now,
                    settled_at=now,
                    inherited=True,
                ),
            )

    def look_for(self, unseen: Mapping[str, HubAccount]) -> None:
        """Ask what became of launches of other processes that no list shows, and drop those that are over. Idempotent.

        Args:
            unseen: The account of each (:func:`controller.core.intents.unseen_launches`).
        """
        self.forget(self._inherited.follow(unseen))

    def forget(self, names: Sequence[str]) -> None:
        """Drop effects that the lists show by now."""
        for name in names:
            self._in_flight.pop(name, None)

    async def keep(self, places: Iterable[Footprint]) -> None:
        """Close the clients that neither these places nor effects under way need, so that pools which go leave nothing open."""
        under_way = (effect.footprint for effect in self._in_flight.values() if effect.footprint)
        needed = {*places, *under_way}
        await self._connections.keep(
            {place.registrations.source for place in needed}, {place.account for place in needed}
        )
        if not self._tasks:
            self._gates.clear()

    def hold(self, secrets: Collection[SecretRef]) -> None:
        """See :class:`controller.ports.Connections`: what these held last ends what pools that leave have launched."""
        self._connections.hold(secrets)

    def let_end(self, endings: Endings) -> None:
        """See :class:`controller.ports.Connections`: what may be ended at hosts that are not allowed any more."""
        self._connections.let_end(endings)

    def take_results(self) -> Sequence[Result]:
        """Hand over how effects ended since the last call."""
        taken, self._results = self._results, []
        return taken

    def take_reruns(self) -> Sequence[RerunResult]:
        """Hand over how looks at runs ended since the last call."""
        taken, self._looked = self._looked, []
        return taken

    def submit(self, actions: Sequence[Action]) -> None:
        """Start actions. A runner that has an effect under way gets no second one."""
        launches: defaultdict[str, list[Launch]] = defaultdict(list)
        for action in actions:
            match action:
                case Launch(pool):
                    launches[pool.uid].append(action)
                case Retire():
                    known = self._in_flight.get(action.name)
                    if known is None or known.settled_at is not None:
                        effect = InFlight(
                            name=action.name,
                            pool_uid=action.pool_uid,
                            footprint=action.footprint,
                            effect=Effect.RETIRE,
                            flavor=action.flavor,
                            since=self._clock.mono(),
                        )
                        self._start(effect, action)
                case Rerun():
                    # By source too: another tenant's GitHub may have a repository and a run of any name.
                    if (action.pool.source, action.name) not in self._looking:
                        self._looking.add((action.pool.source, action.name))
                        _ = self._spawn(self._rerun(action), name=f"rerun:{action.name}")

        for of_one_pool in launches.values():
            self._start_launches(of_one_pool)

    async def close(self, grace: float) -> None:
        """Let effects end for ``grace`` seconds, then cancel the rest: each is safe to be cut off.

        Intents that have ended, and those of launches that had not begun, are taken out of the statuses afterwards, for as long
        at most.
        """
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._inherited.close()
        await self._intents.close(grace)

    # ------------------------------------------------------------------------------------------------------- the effects
    def _start_launches(self, launches: Sequence[Launch]) -> None:
        """Start the launches of one pool and pass. They count from now on; each begins once all of them are written down."""
        now, wall = self._clock.mono(), self._clock.wall()
        pool = launches[0].pool
        intents = [
            Intent(name=each.name, flavor=each.flavor, at=wall, place=each.pool.footprint)
            for each in launches
        ]
        written = self._spawn(self._intents.write(pool.uid, intents), name=f"write:{pool.uid}")
        for launch in launches:
            effect = InFlight(
                name=launch.name,
                pool_uid=pool.uid,
                footprint=pool.footprint,
                effect=Effect.LAUNCH,
                flavor=launch.flavor,
                since=now,
            )
            self._start(effect, launch, written)

    def _start(
        self,
        effect: InFlight,
        action: Launch | Retire,
        written: asyncio.Task[Failure | None] | None = None,
    ) -> None:
        self._in_flight[effect.name] = effect
        _ = self._spawn(self._run_whole(effect, action, written), name=f"{effect.effect}:{effect.name}")

    def _spawn(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run_whole(
        self, effect: InFlight, action: Launch | Retire, written: asyncio.Task[Failure | None] | None
    ) -> None:
        """Run one effect; a launch that is cut off before anything was asked of GitHub leaves nothing, so its intent ends."""
        try:
            await self._run(effect, action, written)
        except asyncio.CancelledError:
            if effect.effect is Effect.LAUNCH and effect.name not in self._left:
                self._intents.settled(effect.pool_uid, effect.name, left=False)
            raise

    async def _run(
        self, effect: InFlight, action: Launch | Retire, written: asyncio.Task[Failure | None] | None
    ) -> None:
        """Run one effect to its end and keep its result; whatever goes wrong concerns this runner alone.

        Waiting for the write takes no turn of the place: a pool whose status cannot be written delays no other pool there.
        """
        hf_job: HFJob | None = None
        # Shielded: a launch that is cancelled at shutdown must not cancel what the others wait for.
        failure = await asyncio.shield(written) if written is not None else None
        if failure is not None:
            self._settle(effect, hf_job=None, failure=failure, busy=False, action=action)
            return
        busy = False
        work: Callable[[], Awaitable[HFJob | None]] = (
            partial(self._launch, action.name, action.pool, action.flavor)
            if isinstance(action, Launch)
            else partial(self._retire, action)
        )
        try:
            # A runner that no pool claims may have no HF Job: its turn is that of its scope, not of all such runners anywhere.
            place = (
                effect.effect,
                effect.footprint or (action.scope if isinstance(action, Retire) else None),
            )
            hf_job, failure = await self._guarded(place, work, runner=effect.name, effect=str(effect.effect))
        except _Busy:
            busy = True
        self._settle(effect, hf_job=hf_job, failure=failure, busy=busy, action=action)

    async def _rerun(self, action: Rerun) -> None:
        """Look at one run; planning spaces the looks, and :attr:`_looking` keeps them apart where one takes long."""
        source = action.pool.source

        async def look() -> Outcome:
            return await run_again(self._connections.github(source), action, self._may_act)

        outcome, failure = await self._guarded(("rerun", source), look, effect="rerun", run=action.name)
        led_to = outcome or Outcome(Answer.LATER)
        self._looking.discard((source, action.name))
        self._looked.append(
            RerunResult(
                pool_uid=action.pool.uid,
                name=action.name,
                answer=led_to.answer,
                note=led_to.note,
                failure=failure,
            )
        )
        self._settled()

    async def _guarded(
        self, gate: object, work: Callable[[], Awaitable[T]], **about: str
    ) -> tuple[T | None, Failure | None]:
        """Do one thing when its turn comes, and turn whatever goes wrong into a failure."""
        try:
            async with self._gates[gate], asyncio.timeout(EFFECT_TIMEOUT):
                return await work(), None
        except _Busy:
            raise
        except LaunchStopped as kept_back:
            return None, Failure(reason=kept_back.stopped.reason, message=kept_back.stopped.message)
        except Fenced:
            return None, Failure(reason=Reason.Pending, message="another replica leads now")
        except UpstreamError as error:
            return None, error.failure
        except TimeoutError:
            return None, Failure(
                reason=Reason.LaunchInDoubt, message=Reason.LaunchInDoubt.meaning, in_doubt=True
            )
        except Exception:
            log.exception("effect failed", extra=about)
            return None, Failure(reason=Reason.InternalError, message=Reason.InternalError.meaning)

    def _settle(
        self,
        effect: InFlight,
        *,
        hf_job: HFJob | None,
        failure: Failure | None,
        busy: bool,
        action: Launch | Retire,
    ) -> None:
        _log_end(effect, action, hf_job=hf_job, failure=failure, busy=busy)
        if busy or (failure is not None and not failure.in_doubt):
            self._in_flight.pop(effect.name, None)
        else:
            # Also after a doubtful failure: what it may have made counts until a newer list tells.
            self._in_flight[effect.name] = replace(effect, settled_at=self._clock.mono(), hf_job=hf_job)
        if effect.effect is Effect.LAUNCH:
            left = failure is None or failure.in_doubt or effect.name in self._left
            self._left.discard(effect.name)
            self._intents.settled(effect.pool_uid, effect.name, left=left)
        self._results.append(
            Result(
                name=effect.name,
                pool_uid=effect.pool_uid,
                effect=effect.effect,
                flavor=effect.flavor,
                failure=failure,
                busy=busy,
                deregistered=effect.name in self._deregistered,
                retire=action if isinstance(action, Retire) else None,
            )
        )
        self._deregistered.discard(effect.name)
        self._settled()

    def _may_act(self) -> None:
        """Raise :class:`Fenced` unless this process leads at this instant (invariant 8)."""
        if not self._leadership.holds():
            raise Fenced

    def _may_launch(self, pool: Pool) -> None:
        """Raise :class:`Fenced` unless a launch may go on at this instant: this process leads, and nobody has stopped launches."""
        self._may_act()
        if (why := self._stopped(pool.hub.namespace)) is not None:
            raise LaunchStopped(why)

    async def _launch(self, name: str, pool: Pool, flavor: str) -> HFJob:
        github, hub = self._connections.github(pool.source), self._connections.hub(pool.hub)
        secret_env = await self._secret_env(
            pool
        )  # before any effect: a missing Secret must leave nothing to undo
        self._may_launch(pool)
        self._left.add(name)
        try:
            jit = await _sent(
                github.register(pool.scope, name=name, labels=pool.labels, group=pool.runner_group)
            )
        except Fenced:
            self._left.discard(name)
            raise
        except UpstreamError as error:
            if error.failure.in_doubt or error.failure.reason is Reason.RunnerNameTaken:
                await self._undo_registration(github, pool, name, None)
            else:
                self._left.discard(name)
            # No HF Job was asked for: a registration that may be left costs nothing, and need not count as a runner.
            raise UpstreamError(replace(error.failure, in_doubt=False)) from error
        self._may_act()
        spec = launch_spec(
            pool,
            name=name,
            flavor=flavor,
            offer=self._offer(pool.hub.endpoint, flavor),
            jit=jit,
            secret_env=secret_env,
            controller_id=self._controller_id,
            runner=self._runner,
            allow_http=self._allow_http,
        )
        try:
            self._may_launch(pool)
            hf_job = await _sent(hub.launch(spec))
        except LaunchStopped:
            await self._undo_registration(github, pool, name, jit)
            raise
        except UpstreamError as error:
            found = await self._look_for_launched(github, hub, pool, jit, error)
            if found is None:
                raise
            hf_job = found
        self._launched(pool.hub, hf_job)
        return hf_job

    async def _secret_env(self, pool: Pool) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for variable in pool.template.secret_env:
            secret = await self._connections.secret(variable.secret)
            # Snapshots are a moment old: the label may have been taken off since.
            if (refused := refusal(variable, sight(secret.labels, secret.data))) is not None:
                raise UpstreamError(refused)
            found[variable.name] = secret.data[variable.key]
        return found

    async def _look_for_launched(
        self, github: GitHub, hub: Hub, pool: Pool, jit: JitConfig, error: UpstreamError
    ) -> HFJob | None:
        """Return the HF Job of a launch that failed, if it is there all the same; undo the registration if it cannot come.

        While it may yet come, the registration stays: without one, the HF Job would cost money and serve nobody. If it comes, the
        runner is one like any other; if not, garbage collection finds a registration alone.
        """
        if not error.failure.in_doubt:
            await self._undo_registration(github, pool, jit.registration.name, jit)
            return None
        labels = {**ours(self._controller_id), LABEL_RUNNER: jit.registration.name}
        try:
            jobs = await _sent(hub.find(labels))
        except UpstreamError as unanswered:
            raise UpstreamError(replace(unanswered.failure, in_doubt=True)) from unanswered
        return next((job for job in jobs if not job.ended), None)

    async def _undo_registration(self, github: GitHub, pool: Pool, name: str, jit: JitConfig | None) -> None:
        """Remove the registration of a launch that failed; failing at that is garbage collection's business."""
        try:
            registration = jit.registration if jit else await _sent(github.find(pool.scope, name))
            if registration is not None:
                self._may_act()
                if await _sent(github.deregister(pool.scope, registration.id)) is not Removal.BUSY:
                    self._left.discard(name)
        except UpstreamError as error:
            log.warning(
                "registration left for garbage collection",
                extra={"runner": name, "reason": str(error.failure.reason)},
            )

    async def _retire(self, action: Retire) -> None:
        github = self._connections.github(action.scope.source)
        runner_id = action.registration_id
        if runner_id is None:
            found = await github.find(action.scope.scope, action.name)
            runner_id = found.id if found else None
        if runner_id is not None:
            self._may_act()
            match await _sent(github.deregister(action.scope.scope, runner_id)):
                case Removal.BUSY:
                    raise _Busy
                case Removal.GONE:
                    return  # it may have gone because its job started: the lists decide
                case Removal.DONE:
                    self._deregistered.add(action.name)
        if action.hf_job_id is not None and action.account is not None:
            self._may_act()
            await _sent(self._connections.hub(action.account).cancel(action.hf_job_id))


async def _sent(call: Awaitable[T]) -> T:
    """Await one call, and take a failure of a kind that nobody foresaw for one without an answer.

    1. The Hub makes the HF Job.  2. Its answer has something in it that our reading of it trips over.  3. Taken for a failure
    without effect, the launch would be forgotten, its registration taken back, and the HF Job run for nobody.
    """
    try:
        return await call
    except (UpstreamError, Fenced):
        raise
    except Exception as error:
        log.exception("a call failed in an unknown way")
        failure = Failure(reason=Reason.InternalError, message=Reason.InternalError.meaning, in_doubt=True)
        raise UpstreamError(failure) from error


def _log_end(
    effect: InFlight,
    action: Launch | Retire,
    *,
    hf_job: HFJob | None,
    failure: Failure | None,
    busy: bool,
) -> None:
    """Write one line about an effect that ended."""
    pool = action.pool.key if isinstance(action, Launch) else action.pool
    about: dict[str, object] = {"pool": pool or "", "runner": effect.name, "flavor": effect.flavor}
    if isinstance(action, Retire):
        about |= {"hf_job": action.hf_job_id, "reason": action.reason}
    if hf_job is not None:
        about |= {"hf_job": hf_job.id}
    if failure is None:
        done = "launched" if isinstance(action, Launch) else "left a busy runner" if busy else "retired"
        log.info(done, extra={key: str(value or "") for key, value in about.items()})
    elif failure.reason not in _NO_FAILURE:
        about |= {"reason": failure.reason, "detail": failure.message, "request_id": failure.request_id}
        log.warning("%s failed", effect.effect, extra={key: str(value or "") for key, value in about.items()})


class _Busy(Exception):  # noqa: N818 - an answer, not a failure
    """GitHub says that the runner runs a job."""
