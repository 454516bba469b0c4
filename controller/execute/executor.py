"""Carries actions out: bounded, one at a time per runner, each step safe to be the last one before a crash.

A launch (:mod:`controller.execute.launch`):

1. write its name into the pool's status, with those of the pool's other launches of the pass
   (:mod:`controller.execute.intents`);
2. register at GitHub under this name, which was never used before;
3. create the HF Job with the registration's secret.

A retirement (:mod:`controller.execute.retire`):

1. deregister at GitHub; "busy" ends it here, since a busy runner is never ended, and so does "not found": the
   record of a runner may go when its job starts, and planning finds out whether one runs;
2. cancel the HF Job, which has no job and can take none any more.

A runner whose registration is proved to be gone, and that is proved to have no job, is looked up by name
instead of 1, since the lists may have missed it. A look at a run that lost a job has a module of its own
(:mod:`controller.execute.rerun`).

What is left when the process dies, or is cut off by :meth:`Executor.close`, and who cleans it up:

- before a launch is written: nothing. Nothing to clean up.
- while it is written: the intent, or nothing. Cleaned up as in the next line.
- after 1 of a launch: the intent. Cleaned up by: whoever acts next: it counts the launch until lists show it,
  or prove that it will not come.
- after 2 of a launch: intent and registration, no HF Job; the secret died with the process. Cleaned up by:
  a later plan, which retires what stays alone (``core/retire``).
- after 3 of a launch: a runner like any other. Nothing to clean up: the next process finds it
  in the lists and goes on.
- while a registration is undone: the registration, or nothing; the intent. Cleaned up by:
  a later plan, as after 2.
- after it launched, before the intent is taken out of the status: the intent of a runner that lists show.
  Cleaned up by: whoever acts next: what lists show, or the Hub says to have ended, ends it.
- while a runner is deregistered: the runner as it was, or as in the next line. Cleaned up by: a later
  plan, as in both lines.
- after 1 of a retirement: an HF Job without a registration. Cleaned up by: its Listener notices and exits; if
  not, a later plan has it cancelled.
- after 2 of a retirement: an HF Job that is ending. Cleaned up by: the Hub.
- while a run is run again: the run as it was, or a later attempt of it. Cleaned up by: the next look, which
  asks for nothing where it finds a later attempt.

What is left when an answer is lost, and the process lives:

* of 2 of a launch: the registration is looked up by name and undone; no HF Job was asked for;
* of 3: the HF Job is looked up by the runner's label and adopted. Where nothing shows, the launch
  counts until lists prove that nothing came of it, and the registration stays, so that an HF Job
  that comes late can serve;
* of either step of a retirement: the runner counts as being retired until lists show what became
  of it, and is planned anew.

No request is ever sent again blindly. Between two steps leadership and the stop switch are asked again
(:class:`controller.execute.guards.Permission`): who leads no more leaves what it began to its successor, as
if it had died there; a launch that people stopped between 2 and 3 takes its registration back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from controller.core.actions import Action, Launch, Result, Retire
from controller.core.effects import Effect, InFlight
from controller.core.intents import Intent
from controller.core.model import Failure, Flavor, HFJob, HubAccount
from controller.core.reasons import Reason
from controller.core.retry import Rerun, RerunResult
from controller.core.stop_switch import Stopped
from controller.execute.guards import Permission, Turns
from controller.execute.inherited import Inherited
from controller.execute.intents import IntentLog
from controller.execute.launch import Launcher
from controller.execute.rerun import Reruns
from controller.execute.retire import retire
from controller.execute.spec import RunnerVersion
from controller.ports import Clock, Connections, Leadership

T = TypeVar("T")

log = logging.getLogger(__name__)

_NO_FAILURE = frozenset({Reason.Pending, Reason.StopSwitchOn, Reason.StopSwitchUnread})
"""Another replica leads, or people have stopped launches: the first is logged by itself, the second
where the switch is read."""


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
        effect_ended: Callable[[], None],
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
            effect_ended: Called when an effect ended, so that the next pass comes soon.
            stopped: Returns why nothing may be launched in a Hugging Face namespace, None if it may; asked
                before each step of a launch, since the switch may be turned after it was planned.
            allow_http: Runners may download their archive over plain http, from a simulator.
            parallel: Effects under way at once per credential and kind.
        """
        self._connections = connections
        self._clock = clock
        self._intents = intents
        self._effect_ended = effect_ended
        self._permission = Permission(leadership=leadership, stopped=stopped)
        self._turns = Turns(parallel)
        self._launcher = Launcher(
            connections=connections,
            permission=self._permission,
            controller_id=controller_id,
            runner=runner,
            offer=offer,
            launched=launched,
            allow_http=allow_http,
        )
        self._reruns = Reruns(
            connections=connections, permission=self._permission, turns=self._turns, ended=effect_ended
        )
        self._inherited = Inherited(
            connections=connections, clock=clock, controller_id=controller_id, changed=effect_ended
        )
        self._in_flight: dict[str, InFlight] = {}
        self._results: list[Result] = []
        self._deregistered: set[str] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    # --------------------------------------------------------------------------------- for the reconcile loop
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
                    finished_at=now,
                    inherited=True,
                ),
            )

    def look_for(self, unseen: Mapping[str, HubAccount]) -> None:
        """Ask what became of launches of other processes that no list shows, and drop those
        that are over. Idempotent.

        Args:
            unseen: The account of each (:func:`controller.core.intents.unseen_launches`).
        """
        self.forget(self._inherited.follow(unseen))

    def forget(self, names: Sequence[str]) -> None:
        """Drop effects that the lists show by now."""
        for name in names:
            self._in_flight.pop(name, None)

    def take_results(self) -> Sequence[Result]:
        """Hand over how effects ended since the last call."""
        taken, self._results = self._results, []
        return taken

    def take_reruns(self) -> Sequence[RerunResult]:
        """Hand over how looks at runs ended since the last call."""
        return self._reruns.take_results()

    def submit(self, actions: Sequence[Action]) -> None:
        """Start actions. A runner that has an effect under way gets no second one."""
        launches: defaultdict[str, list[Launch]] = defaultdict(list)
        for action in actions:
            match action:
                case Launch(pool):
                    launches[pool.uid].append(action)
                case Retire():
                    known = self._in_flight.get(action.name)
                    if known is None or known.finished_at is not None:
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
                    if self._reruns.begin(action):
                        _ = self._spawn(self._reruns.look(action), name=f"rerun:{action.name}")

        for of_one_pool in launches.values():
            self._start_launches(of_one_pool)

    async def close(self, grace: float) -> None:
        """Let effects end for ``grace`` seconds, then cancel the rest: each is safe to be cut off.

        Intents that have ended, and those of launches that had not begun, are taken out of the statuses
        afterwards, for as long at most.
        """
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._inherited.close()
        await self._intents.close(grace)

    # -------------------------------------------------------------------------------------------- the effects
    def _start_launches(self, launches: Sequence[Launch]) -> None:
        """Start the launches of one pool and pass. They count from now on; each begins once all
        of them are written down.
        """
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
        """Run one effect; a launch that is cut off before anything was asked of GitHub leaves
        nothing, so its intent ends.
        """
        try:
            await self._run(effect, action, written)
        except asyncio.CancelledError:
            if effect.effect is Effect.LAUNCH and not self._launcher.may_have_left(effect.name):
                self._intents.record_end(effect.pool_uid, effect.name, left=False)
            raise

    async def _run(
        self, effect: InFlight, action: Launch | Retire, written: asyncio.Task[Failure | None] | None
    ) -> None:
        """Run one effect to its end and keep its result; whatever goes wrong concerns this runner alone.

        Waiting for the write takes no turn of the place: a pool whose status cannot be written
        delays no other pool there.
        """
        # Shielded: a launch that is cancelled at shutdown must not cancel what the others wait for.
        failure = await asyncio.shield(written) if written is not None else None
        hf_job: HFJob | None = None
        busy: bool | None = False
        about = {"runner": effect.name, "effect": str(effect.effect)}
        if failure is not None:
            self._record_end(effect, hf_job=None, failure=failure, busy=False, action=action)
            return
        match action:
            case Launch():
                launching = partial(self._launcher.launch, action)
                gate: object = (effect.effect, effect.footprint)
                hf_job, failure = await self._turns.take(gate, launching, **about)
            case Retire():
                # A runner that no pool claims may have no HF Job: its turn is that of its scope, not of all
                # such runners.
                gate = (effect.effect, effect.footprint or action.scope)
                retiring = partial(
                    retire,
                    action,
                    connections=self._connections,
                    permission=self._permission,
                    deregistered=self._deregistered.add,
                )
                busy, failure = await self._turns.take(gate, retiring, **about)
        self._record_end(effect, hf_job=hf_job, failure=failure, busy=bool(busy), action=action)

    def _record_end(
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
            self._in_flight[effect.name] = replace(effect, finished_at=self._clock.mono(), hf_job=hf_job)
        if effect.effect is Effect.LAUNCH:
            left = failure is None or failure.in_doubt or self._launcher.may_have_left(effect.name)
            self._launcher.forget(effect.name)
            self._intents.record_end(effect.pool_uid, effect.name, left=left)
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
        self._effect_ended()


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
