"""What the controller needs from the outside world, declared by its consumers: one module
for each part of that world.

Adapters implement these protocols over HTTP. In simulations the adapters are the same, and a cluster in
memory implements those of Kubernetes. Every method that talks to somebody raises
:class:`UpstreamError`, and nothing else, for whatever the other side does; each has its own timeout.
Everybody imports from here, not from the modules.
"""

from controller.ports.clock import Clock
from controller.ports.connections import Connections
from controller.ports.errors import Fenced, LaunchStopped, UpstreamError
from controller.ports.github import (
    Causes,
    GitHub,
    JitConfig,
    JobRead,
    Jobs,
    Queue,
    Quota,
    Removal,
    Repository,
    Run,
    Runners,
    Runs,
)
from controller.ports.hub import Hardware, Hub, LaunchSpec, LiveJobs
from controller.ports.kubernetes import (
    Events,
    Intents,
    IntentsMoved,
    Secret,
    Secrets,
    StatusWriter,
    StopSwitches,
    StoredIntents,
)
from controller.ports.leadership import Alone, Leader, Leadership
from controller.ports.measuring import AccountSight, Meter, RunnerRelease, Sights, SourceSight, Unmetered

__all__ = [
    "AccountSight",
    "Alone",
    "Causes",
    "Clock",
    "Connections",
    "Events",
    "Fenced",
    "GitHub",
    "Hardware",
    "Hub",
    "Intents",
    "IntentsMoved",
    "JitConfig",
    "JobRead",
    "Jobs",
    "LaunchSpec",
    "LaunchStopped",
    "Leader",
    "Leadership",
    "LiveJobs",
    "Meter",
    "Queue",
    "Quota",
    "Removal",
    "Repository",
    "Run",
    "RunnerRelease",
    "Runners",
    "Runs",
    "Secret",
    "Secrets",
    "Sights",
    "SourceSight",
    "StatusWriter",
    "StopSwitches",
    "StoredIntents",
    "Unmetered",
    "UpstreamError",
]
