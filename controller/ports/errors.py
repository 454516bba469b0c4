"""What a port raises: a failed call, or a call that was not allowed to be made."""

from __future__ import annotations

from controller.core.model import Failure
from controller.core.stop_switch import Stopped


class UpstreamError(Exception):
    """A call to GitHub, the Hub or Kubernetes failed; ``failure`` says how, and never holds a secret."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.reason}: {failure.message}")
        self.failure = failure


class Fenced(Exception):  # noqa: N818 - not a failure: somebody else leads now
    """This process may not act any more; nothing was sent."""


class LaunchStopped(Fenced):
    """The stop switch is on; nothing was sent.

    Args:
        stopped: Why.
    """

    def __init__(self, stopped: Stopped) -> None:
        super().__init__(stopped.message)
        self.stopped = stopped
