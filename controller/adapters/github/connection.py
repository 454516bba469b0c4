"""One source's GitHub, put together."""

from __future__ import annotations

from controller.adapters.github.inspection import GitHubInspection
from controller.adapters.github.queue import GitHubQueue
from controller.adapters.github.runners import GitHubRunners
from controller.adapters.github.runs import GitHubRuns


class GitHubConnection(GitHubQueue, GitHubRunners, GitHubRuns, GitHubInspection):
    """Implements :class:`controller.ports.GitHub` for one source, and what ``check`` asks beside; needs no
    start, and :meth:`close` at its end.

    Args:
        client: The source's; closed with the connection.
    """

    async def close(self) -> None:
        """Close connections. Idempotent."""
        await self._client.close()
