"""The steps of one launch, after it was written down: register at GitHub, then create the HF Job.

:mod:`controller.execute.executor` says what is left when the process dies between two of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from controller.core.actions import Launch
from controller.core.model import Flavor, HFJob, HubAccount, Pool
from controller.core.naming import LABEL_RUNNER, ours
from controller.core.reasons import Reason
from controller.core.variables import refusal, sight
from controller.execute.guards import Permission, sent
from controller.execute.spec import RunnerVersion, launch_spec
from controller.ports import (
    Connections,
    Fenced,
    GitHub,
    Hub,
    JitConfig,
    LaunchStopped,
    Removal,
    UpstreamError,
)

log = logging.getLogger(__name__)


class Launcher:
    """Carries launches out, and knows which of them may have left something."""

    def __init__(
        self,
        *,
        connections: Connections,
        permission: Permission,
        controller_id: str,
        runner: RunnerVersion,
        offer: Callable[[str, str], Flavor | None],
        launched: Callable[[HubAccount, HFJob], None],
        allow_http: bool,
    ) -> None:
        """Build a launcher.

        Args:
            connections: Clients by credentials.
            permission: Asked before each step.
            controller_id: Who we are.
            runner: The archive for images without a runner.
            offer: Flavor by endpoint and name, None while unknown.
            launched: Called with each HF Job that was launched.
            allow_http: Runners may download their archive over plain http, from a simulator.
        """
        self._connections = connections
        self._permission = permission
        self._controller_id = controller_id
        self._runner = runner
        self._offer = offer
        self._launched = launched
        self._allow_http = allow_http
        self._left: set[str] = set()

    def may_have_left(self, name: str) -> bool:
        """Return whether a launch has asked GitHub for something that was not proved to be taken back."""
        return name in self._left

    def forget(self, name: str) -> None:
        """Drop what is known of a launch that has ended. Idempotent."""
        self._left.discard(name)

    async def launch(self, action: Launch) -> HFJob:
        """Carry one launch out, and return its HF Job. Never called twice for one name.

        Raises:
            UpstreamError: It failed. With ``in_doubt``, the HF Job may come all the same.
            Fenced: Another process leads, or launches are stopped.
        """
        name, pool = action.name, action.pool
        github, hub = self._connections.github(pool.source), self._connections.hub(pool.hub)
        # Before any effect: a missing Secret must leave nothing to undo.
        secret_env = await self._secret_env(pool)
        self._permission.to_launch(pool.hub.namespace)
        jit = await self._register(github, pool, name)
        spec = launch_spec(
            pool,
            name=name,
            flavor=action.flavor,
            offer=self._offer(pool.hub.endpoint, action.flavor),
            jit=jit,
            secret_env=secret_env,
            controller_id=self._controller_id,
            runner=self._runner,
            allow_http=self._allow_http,
        )
        try:
            self._permission.to_launch(pool.hub.namespace)
            hf_job = await sent(hub.launch(spec))
        except LaunchStopped:
            await self._undo_registration(github, pool, name, jit)
            raise
        except UpstreamError as error:
            found = await self._find_launched(github, hub, pool, jit, error)
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

    async def _register(self, github: GitHub, pool: Pool, name: str) -> JitConfig:
        self._left.add(name)
        try:
            return await sent(
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
            # No HF Job was asked for: a registration that may be left costs nothing, and need not count
            # as a runner.
            raise UpstreamError(replace(error.failure, in_doubt=False)) from error

    async def _find_launched(
        self, github: GitHub, hub: Hub, pool: Pool, jit: JitConfig, error: UpstreamError
    ) -> HFJob | None:
        """Return the HF Job of a launch that failed, if it exists all the same; undo the
        registration if it cannot come.

        While it may yet come, the registration stays: without one, the HF Job would cost money
        and serve nobody. If it comes, the runner is one like any other; if not, a later
        plan finds a registration alone, and retires it.
        """
        if not error.failure.in_doubt:
            await self._undo_registration(github, pool, jit.registration.name, jit)
            return None
        labels = {**ours(self._controller_id), LABEL_RUNNER: jit.registration.name}
        try:
            jobs = await sent(hub.find(labels))
        except UpstreamError as unanswered:
            raise UpstreamError(replace(unanswered.failure, in_doubt=True)) from unanswered
        return next((job for job in jobs if not job.ended), None)

    async def _undo_registration(self, github: GitHub, pool: Pool, name: str, jit: JitConfig | None) -> None:
        """Remove the registration of a launch that failed; where that fails, a later plan
        retires it.
        """
        try:
            registration = jit.registration if jit else await sent(github.find(pool.scope, name))
            if registration is not None:
                self._permission.to_act()
                if await sent(github.deregister(pool.scope, registration.id)) is not Removal.BUSY:
                    self._left.discard(name)
        except UpstreamError as error:
            log.warning(
                "registration left to be retired",
                extra={"runner": name, "reason": str(error.failure.reason)},
            )
