"""Whose a token is and what it may do: asked by ``check`` before anything runs, changing nothing (hf-jobs.md §1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

import httpx2

from controller.adapters.huggingface.errors import malformed
from controller.adapters.huggingface.jobs import account_wire
from controller.adapters.huggingface.session import JSON
from controller.core.model import HubAccount
from controller.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose a token is.

    Attributes:
        name: The user.
        namespaces: Those whose jobs it may be able to run, the user's own first. Each with whether somebody pays there; None
            where the Hub does not say.
        role: ``read``, ``write`` or ``fineGrained``; empty where the Hub does not say.
    """

    name: str
    namespaces: Mapping[str, bool | None]
    role: str


class HubInspection:
    """Reads of one account that only ``check`` needs.

    Args:
        account: Endpoint, namespace, and the Secret's name for messages.
        token: The Secret's token.
        session: From :func:`controller.adapters.huggingface.session.open_session`; shared, so it is not closed here.
        clock: Time.

    Raises:
        UpstreamError: ``SecretMalformed``.
    """

    def __init__(self, *, account: HubAccount, token: str, session: httpx2.AsyncClient, clock: Clock) -> None:
        self._account = account
        self._wire = account_wire(account, token=token, session=session, clock=clock)

    async def identity(self) -> Identity:
        """Return whose the token is.

        Raises:
            HubError: It is worth nothing, or the answer cannot be read.
        """
        answer = await self._wire.get("/api/whoami-v2")
        found = answer.payload
        if not isinstance(found, dict) or not isinstance(found.get("name"), str):
            raise malformed(call=answer.call, why="it has no name")
        organizations = found.get("orgs")
        rows = [found, *(organizations if isinstance(organizations, list) else [])]
        return Identity(
            name=found["name"],
            namespaces={
                row["name"]: _flag(row.get("canPay"))
                for row in rows
                if isinstance(row, dict) and isinstance(row.get("name"), str)
            },
            role=_role(found),
        )

    async def try_writing(self) -> None:
        """Ask the Hub whether the token may run Jobs in the namespace: a question, and no job.

        Raises:
            HubError: ``HubForbidden`` where it may not; ``HubNotFound`` for an unknown namespace, or a Hub without the route.
        """
        namespace = quote(self._account.namespace, safe="")
        await self._wire.post(f"/api/jobs/{namespace}/auth-check/write", repeatable=True)


def _flag(value: JSON) -> bool | None:
    return value if isinstance(value, bool) else None


def _role(found: JSON) -> str:
    auth = found.get("auth")
    token = auth.get("accessToken") if isinstance(auth, dict) else None
    role = token.get("role") if isinstance(token, dict) else None
    return role if isinstance(role, str) else ""
