"""The steps of one retirement: deregister at GitHub, and only if GitHub agreed, cancel the HF Job."""

from __future__ import annotations

from collections.abc import Callable

from controller.core.actions import Retire
from controller.execute.guards import Permission, sent
from controller.ports import Connections, Removal


async def retire(
    action: Retire,
    *,
    connections: Connections,
    permission: Permission,
    deregistered: Callable[[str], None],
) -> bool:
    """Carry one retirement out. Idempotent: what is gone already is no error.

    Args:
        action: Which runner.
        connections: Clients by credentials.
        permission: Asked before each step.
        deregistered: Called with the runner's name as soon as GitHub agreed, whatever becomes of the HF Job.

    Returns:
        Whether GitHub says that the runner is busy; then nothing was ended.

    Raises:
        UpstreamError: A step failed. Where GitHub has not agreed, nothing was cancelled.
        Fenced: Another process leads.
    """
    github = connections.github(action.scope.source)
    runner_id = action.registration_id
    if runner_id is None:
        found = await github.find(action.scope.scope, action.name)
        runner_id = found.id if found else None
    if runner_id is not None:
        permission.to_act()
        match await sent(github.deregister(action.scope.scope, runner_id)):
            case Removal.BUSY:
                return True
            case Removal.GONE:
                return False  # it may have gone because its job started: the lists decide
            case Removal.DONE:
                deregistered(action.name)
    if action.hf_job_id is not None and action.account is not None:
        permission.to_act()
        await sent(connections.hub(action.account).cancel(action.hf_job_id))
    return False
