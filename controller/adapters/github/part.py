"""What the parts of a connection have in common."""

from __future__ import annotations

from controller.adapters.counted import Counted
from controller.adapters.github.accounts import Accounts
from controller.adapters.github.client import Client
from controller.adapters.github.groups import Groups


class Part(Counted):
    """Some calls of one source.

    Args:
        client: The source's.
    """

    def __init__(self, client: Client) -> None:
        super().__init__(client.failed)
        self._client = client
        self._accounts = Accounts(client)
        self._groups = Groups(client)
