"""What happens at a moment beside faults of single requests: processes that die, users who edit, clouds that fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from tests.seeds import trouble_processes, trouble_services, trouble_users
from tests.seeds.plan import Disturbance
from tests.seeds.scene import Scene

KINDS: Mapping[str, Callable[[Scene, Disturbance], Awaitable[None]]] = {
    "stop": trouble_processes.stop,
    "kill": trouble_processes.kill,
    "jump": trouble_processes.jump,
    "resize": trouble_users.resize,
    "lengthen": trouble_users.lengthen,
    "pause": trouble_users.pause,
    "recreate": trouble_users.recreate,
    "move": trouble_users.move,
    "lose_container": trouble_services.lose_container,
    "platform_cancels": trouble_services.platform_cancels,
    "no_credit": trouble_services.no_credit,
    "token_revoked": trouble_services.token_revoked,
    "no_capacity": trouble_services.no_capacity,
    "github_down": trouble_services.service_down,
    "hub_down": trouble_services.service_down,
    "handover": trouble_processes.hand_over,
    "broken_image": trouble_services.broken_image,
    "no_cluster": trouble_services.no_cluster,
    "times_out": trouble_services.times_out,
    "permission_lost": trouble_services.permission_lost,
    "starve": trouble_services.starve,
    "refuse": trouble_services.refuse,
    "mistype_owner": trouble_users.mistype,
    "mistype_namespace": trouble_users.mistype,
    "mistype_flavor": trouble_users.mistype,
    "rename": trouble_users.rename,
    "namespace_ends": trouble_users.namespace_ends,
}
"""What each kind of disturbance in :mod:`tests.seeds.plan` does. It ends when its duration has passed."""


async def happen(scene: Scene, what: Disturbance) -> None:
    """Let a disturbance happen, and end if it has a duration."""
    scene.fired.append(what.id)
    scene.note(f"{what.id} for {what.seconds:g} s")
    scene.judge.marks[what.kind] += 1
    await KINDS[what.kind](scene, what)
