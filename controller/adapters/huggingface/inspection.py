"""Whose a token is and what it may do: asked by ``check`` before anything runs, changing nothing (hf-jobs.md
§1).
"""

from __future__ import annotations

from urllib.parse import quote

from controller.adapters.huggingface.account import AccountClient
from controller.adapters.huggingface.refusals import Asked, malformed
from controller.adapters.huggingface.values import Identity, parse_identity

__all__ = ["HubInspection", "Identity"]


class HubInspection(AccountClient):
    """Reads of one account that only ``check`` needs."""

    async def identity(self) -> Identity:
        """Return whose the token is.

        Raises:
            HubError: It is worth nothing, or the answer cannot be read.
        """
        answer = await self._wire.get("/api/whoami-v2")
        try:
            return parse_identity(answer.payload)
        except ValueError as error:
            raise malformed(call=answer.call, why=str(error)) from None

    async def try_writing(self) -> None:
        """Ask the Hub whether the token may run Jobs in the namespace: a question, and no job.

        Raises:
            HubError: ``HubForbidden`` where it may not; ``HubNotFound`` for an unknown namespace, or a Hub
                without the route.
        """
        namespace = quote(self._account.namespace, safe="")
        await self._wire.post(f"/api/jobs/{namespace}/auth-check/write", asked=Asked.QUESTION)
