"""The tokens of a GitHub App's installation.

An App signs a JWT with its key, finds its installation, and trades the JWT for an installation token that
lives for an hour; all calls of a source share that token, since each new one makes every stored ETag
worthless (github.md §1.4).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jwt

from controller.adapters.github.answer import Answer
from controller.adapters.github.credentials import LONGEST_TOKEN, AppCredentials
from controller.adapters.github.errors import NotFoundError, UnauthorizedError, error_for
from controller.adapters.github.fields import Row
from controller.adapters.github.tokens import Token
from controller.core.model import Disposition
from controller.core.reasons import Reason
from controller.ports import Clock, UpstreamError

JWT_BACKDATE = 60
JWT_LIFE = 540
"""Seconds from now: GitHub allows 600, and refuses exactly that on the least clock skew (github.md §4)."""

REFRESH_AHEAD = 300.0
"""Seconds before its end at which a token is replaced."""

LAST_USE = 30.0
"""Seconds before its end until which an old token is still used when no new one can be had."""

LONGEST_LIFE = 3_600.0
"""Seconds that an installation token is believed to live, whatever the answer says.
https://docs.github.com/rest/apps/apps#create-an-installation-access-token-for-an-app"""

REFRESH_PAUSE = 30.0
"""Seconds between tries to replace a token that still works."""

USED = MappingProxyType(
    {
        "actions": "write",  # reads queues; runs interrupted jobs again where a pool asks for it
        "administration": "write",  # runners of one repository
        "metadata": "read",
        "organization_self_hosted_runners": "write",
    }
)
"""The permissions that any call of ours can need, by the API's names: a token is asked for with no others.
https://docs.github.com/rest/authentication/permissions-required-for-github-apps"""

_LEVELS = ("read", "write", "admin")

LOOK_AGAIN = 50.0
"""Seconds between looks at what an installation was granted while a token may do too little: whoever grants
more waits for it."""

SendAsApp = Callable[[str, str, str, Mapping[str, Any] | None, Callable[[Any], Any]], Awaitable[Answer]]
"""Sends (method, path, JWT, body) and returns what GitHub answers: an error of any status, or a success with
what the reader made of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    token: Token
    refresh_at: float
    usable_until: float


class InstallationTokens:
    """The installation token of a GitHub App, shared by all calls, replaced before its end by one of them.

    It carries what the controller uses and the installation was granted, and nothing else: whoever got hold
    of it could not write to the code of an installation that was granted too much. Not for some repositories
    alone: pools name theirs by patterns, and GitHub takes at most 500 names.

    Times are monotonic: the token's life is the difference of two times of GitHub's, so our own wall clock
    may be wrong.

    Args:
        credentials: The App.
        credential: Their number, see :class:`.tokens.Token`.
        generations: Numbers for tokens.
        owner: Whose installation to look for.
        enterprise: ``owner`` is an enterprise.
        clock: Ours; its wall time goes into the JWT and is corrected once GitHub complains.
        send: Carries a call authorized with a JWT.
    """

    def __init__(
        self,
        *,
        credentials: AppCredentials,
        credential: int,
        generations: Iterator[int],
        owner: str,
        enterprise: bool,
        clock: Clock,
        send: SendAsApp,
    ) -> None:
        self._app = credentials
        self._credential = credential
        self._generations = generations
        self._owner = owner
        self._enterprise = enterprise
        self._clock = clock
        self._send = send
        self._skew = 0.0
        self._installation: int | None = None
        self._held: _Held | None = None
        self._minting: asyncio.Task[None] | None = None
        self._lacking = False
        self._looked_at = 0.0
        self.permissions: Mapping[str, str] = {}
        """What the installation was granted, by the API's names, when it was last looked at."""

    async def current(self) -> Token:
        """Return the shared token, made or replaced where needed.

        Callers that come while one is being made wait for that one, and share its failure too.

        Raises:
            GitHubError: ``AppNotInstalled``, ``GitHubUnauthorized``, ``AppSuspended``, or what any call may
                meet.
        """
        held = self._held
        if held is not None and self._clock.mono() < held.refresh_at and not self._may_be_granted_more():
            return held.token
        if self._minting is None or self._minting.done():
            self._minting = asyncio.get_running_loop().create_task(self._mint(), name="github-token")
            self._minting.add_done_callback(_mark_retrieved)
        try:
            # Shielded: the one who happened to start it may be cancelled, the others still want it.
            await asyncio.shield(self._minting)
        except UpstreamError:
            # Minutes before its end a token still works: better to use it up than to stop.
            if held is None or held is not self._held or self._clock.mono() >= held.usable_until:
                raise
            retry_at = self._clock.mono() + REFRESH_PAUSE
            self._held = _Held(token=held.token, refresh_at=retry_at, usable_until=held.usable_until)
            return held.token
        assert self._held is not None
        return self._held.token

    def refused(self, token: Token) -> bool:
        """Forget the token, unless it was replaced meanwhile."""
        if self._held is not None and self._held.token.generation == token.generation:
            self._held = None
        return True

    def lacks(self, token: Token) -> bool:
        """Look again at what the installation was granted, every :data:`LOOK_AGAIN` seconds while calls are
        refused.

        A token keeps the permissions that it was made with. Without this, one that was granted later would
        wait for its end.
        """
        if self._held is None or self._held.token.generation != token.generation:
            return True
        self._lacking = True
        return self._may_be_granted_more()

    def _may_be_granted_more(self) -> bool:
        return self._lacking and self._clock.mono() - self._looked_at >= LOOK_AGAIN

    async def close(self) -> None:
        """Stop making a token. Idempotent."""
        if self._minting is not None:
            self._minting.cancel()
            await asyncio.wait((self._minting,))

    async def _mint(self) -> None:
        if self._held is not None and self._may_be_granted_more():
            before = needed_of(self.permissions)
            await self._find()
            self._lacking = False
            if needed_of(self.permissions) == before and self._clock.mono() < self._held.refresh_at:
                return  # the token is as good as a new one, and the stored ETags are its own
        if self._installation is None:
            await self._find()
        answer = await self._ask()
        if answer.status in (404, 422):
            # 404: the App was removed and installed again since we looked, and the new installation has a new
            # id. 422: it has lost a permission since we looked, or knows none of this name.
            await self._find()
            answer = await self._ask()
        if answer.status == 422:
            answer = await self._ask(narrowed=False)
        if answer.status == 404:
            raise self._not_installed(answer, f"the App has no installation {self._installation}")
        if answer.status == 422:
            raise error_for(answer)
        value, expires_at = answer.value
        now = self._clock.mono()
        life = min(max(expires_at - answer.server_time, 2 * LAST_USE), LONGEST_LIFE)
        self._held = _Held(
            token=Token(
                value=value,
                generation=next(self._generations),
                credential=self._credential,
                account=f"installation {self._installation}",
            ),
            refresh_at=now + max(life - REFRESH_AHEAD, life / 2),
            usable_until=now + life - LAST_USE,
        )

    async def _ask(self, *, narrowed: bool = True) -> Answer:
        """Ask for a token; return it, a 404, or a 422 where permissions were asked for that are not
        granted.
        """
        path = f"app/installations/{self._installation}/access_tokens"
        needed = needed_of(self.permissions)
        body = {"permissions": needed} if narrowed and needed else None
        return await self._as_app("POST", path, _issued, body=body, expected=(404, 422))

    async def _find(self) -> None:
        """Look the installation up: its id, and what it was granted."""
        self._looked_at = self._clock.mono()
        if self._app.installation_id is not None:
            paths = [f"app/installations/{self._app.installation_id}"]
        else:
            kinds = ("enterprises",) if self._enterprise else ("orgs", "users")
            paths = [f"{kind}/{self._owner}/installation" for kind in kinds]
        answer = None
        for path in paths:
            answer = await self._as_app("GET", path, _installed)
            if answer.status != 404:
                self._installation, self.permissions = answer.value
                return
        assert answer is not None
        given = self._app.installation_id
        what = f"has no installation {given}" if given is not None else f"is not installed on {self._owner}"
        raise self._not_installed(answer, f"the App {what}")

    async def _as_app(
        self,
        method: str,
        path: str,
        read: Callable[[Any], Any],
        *,
        body: Mapping[str, Any] | None = None,
        expected: tuple[int, ...] = (404,),
    ) -> Answer:
        """Call as the App; return a success, or an error of a status that is ``expected``.

        A 401 that complains of the JWT's times means that our clock is wrong: correct it by GitHub's once,
        and try again.
        """
        answer = await self._send(method, path, self._jwt(), body, read)
        if answer.status == 401 and ("'iat'" in answer.message or "'exp'" in answer.message):
            self._skew = answer.server_time - self._clock.wall()
            answer = await self._send(method, path, self._jwt(), body, read)
        if answer.status == 404 and "integration" in answer.message.lower():
            raise UnauthorizedError(
                f"GitHub knows no App {self._app.issuer}: correct appId in the Secret.",
                method=method,
                url=answer.url,
                answer=answer,
            )
        if answer.status >= 400 and answer.status not in expected:
            raise error_for(answer)
        return answer

    def _jwt(self) -> str:
        now = int(self._clock.wall() + self._skew)
        claims = {"iat": now - JWT_BACKDATE, "exp": now + JWT_LIFE, "iss": self._app.issuer}
        return jwt.encode(claims, self._app.key, algorithm="RS256")

    def _not_installed(self, answer: Answer, what: str) -> NotFoundError:
        return NotFoundError(
            f"{what[0].upper()}{what[1:]}: install it there, or correct installationId in the Secret.",
            method=answer.method,
            url=answer.url,
            answer=answer,
            reason=Reason.AppNotInstalled,
            disposition=Disposition.PERSON,
        )


def needed_of(granted: Mapping[str, str]) -> dict[str, str]:
    """Return the part of what an installation was granted that any call of ours can need."""
    return {
        name: level if _LEVELS.index(level) <= _LEVELS.index(most) else most
        for name, most in USED.items()
        if (level := granted.get(name)) in _LEVELS
    }


def _installed(found: Any) -> tuple[int, Mapping[str, str]]:  # noqa: ANN401 -- JSON
    row = Row(found)
    return row.id(), row.words("permissions")


def _issued(found: Any) -> tuple[str, float]:  # noqa: ANN401 -- JSON
    row = Row(found)
    return row.secret("token", most=LONGEST_TOKEN), row.time("expires_at")


def _mark_retrieved(task: asyncio.Task[None]) -> None:
    """All who waited may have been cancelled: then nobody takes the failure, and asyncio would complain."""
    if not task.cancelled():
        task.exception()
