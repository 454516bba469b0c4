"""Credentials: what a Secret may hold, and the tokens that come of it.

A GitHub App signs a JWT with its key, finds its installation, and trades the JWT for an installation token that lives for an
hour; all calls of a source share that token, since each new one makes every stored ETag worthless (github.md §1.4).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Protocol

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from controller.adapters.github.answer import Answer
from controller.adapters.github.errors import NotFoundError, UnauthorizedError, error_for
from controller.adapters.github.fields import Row
from controller.core.model import Disposition, Failure, SecretRef
from controller.core.reasons import Reason
from controller.core.text import text as cleaned
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

SHORTEST_KEY = 2_048
"""Bits; GitHub makes no shorter keys, and PyJWT warns of them."""

LONGEST_KEY = 4_096
"""Bits; GitHub's have 2,048. The time to read a key and to sign with it grows faster than its length, and the event loop waits."""

LONGEST_PEM = 4_096
"""Characters of a private key; one of :data:`LONGEST_KEY` bits has 3,300."""

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
"""Seconds between looks at what an installation was granted while a token may do too little: whoever grants more waits for it."""

LONGEST_TOKEN = 4_096
"""Characters of a token: GitHub's have 40 to about 520, and GitHub says that nobody shall count on a length."""


# ----------------------------------------------------------------------------------------------------------- from a Secret
@dataclass(frozen=True, slots=True, kw_only=True)
class AppCredentials:
    """A GitHub App's identity. The key is parsed once: parsing costs a hundred times as much as signing.

    Attributes:
        issuer: App id or client id, as GitHub's settings page shows it.
        key: The App's private key.
        installation_id: The installation, or None to find it by the owner.
    """

    issuer: str
    key: RSAPrivateKey = field(repr=False)
    installation_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCredentials:
    """A personal access token, fine-grained or classic."""

    token: str = field(repr=False)


Credentials = AppCredentials | TokenCredentials


def credentials_from_secret(data: Mapping[str, str], *, ref: SecretRef | None = None) -> Credentials:
    """Read a Secret's keys: ``appId`` with ``privateKey`` and optionally ``installationId``, or ``token``.

    White space around values is ignored; other keys are too. The names that Actions Runner Controller gives to these keys do as well,
    so that one Secret serves both.

    Args:
        data: Decoded keys.
        ref: Which Secret it is, for messages.

    Raises:
        UpstreamError: ``SecretMalformed``, naming the key and never its value.
    """
    where = f"Secret {ref}" if ref else "The Secret"
    given = {k: v.strip() for k, v in data.items() if v.strip()}
    called = {ours: theirs for theirs, ours in ARC_KEYS.items() if theirs in given and ours not in given}
    try:
        return _credentials({**given, **{ours: given[theirs] for ours, theirs in called.items()}})
    except _MalformedError as problem:
        said = str(problem)
    for ours, theirs in called.items():
        said = re.sub(rf"\bkey {ours}\b", f"key {theirs}", said)
    message = f"{where}: {said}."
    raise UpstreamError(
        Failure(reason=Reason.SecretMalformed, message=message, disposition=Disposition.PERSON)
    )


ARC_KEYS = {
    "github_app_id": "appId",
    "github_app_installation_id": "installationId",
    "github_app_private_key": "privateKey",
    "github_token": "token",
}
"""Keys of a Secret by their names in Actions Runner Controller.
https://docs.github.com/actions/tutorials/use-actions-runner-controller/authenticate-to-the-api
"""

MOST_KEYS = 8
"""Keys of a Secret that a message names."""


class _MalformedError(Exception):
    """What is wrong with a Secret, in words."""


def _credentials(given: Mapping[str, str]) -> Credentials:
    app_keys = [k for k in ("appId", "privateKey") if k in given]
    if "token" in given:
        if app_keys:
            raise _MalformedError(
                f"it has the key token beside the key {app_keys[0]}; keep the App's keys or the token"
            )
        return TokenCredentials(token=_token(given["token"]))
    if not app_keys:
        has = f"; it has {_named(given)}" if given else "; it is empty"
        raise _MalformedError(
            f"it has neither appId and privateKey (a GitHub App) nor token: add one or the other{has}"
        )
    for key in ("appId", "privateKey"):
        if key not in given:
            raise _MalformedError(f"key {key} is missing or empty, and {app_keys[0]} is of no use without it")
    return AppCredentials(
        issuer=_issuer(given["appId"]),
        key=_private_key(given["privateKey"]),
        installation_id=_installation_id(given.get("installationId")),
    )


def _named(keys: Collection[str]) -> str:
    """Return the names of keys; whoever wrote the Secret chose them, so they are cleaned and few."""
    shown = ", ".join(cleaned(key, 64) for key in sorted(keys)[:MOST_KEYS])
    return shown + (f" and {len(keys) - MOST_KEYS} more" if len(keys) > MOST_KEYS else "")


def _token(text: str) -> str:
    if not re.fullmatch(rf"[!-~]{{1,{LONGEST_TOKEN}}}", text):
        raise _MalformedError("key token holds white space or characters that no GitHub token has")
    return text


def _issuer(text: str) -> str:
    if not re.fullmatch(r"[0-9]{1,18}|Iv[0-9][0-9A-Za-z.]{1,64}", text):
        raise _MalformedError("key appId is neither the App's numeric id nor its client id (Iv…)")
    return text


def _installation_id(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise _MalformedError("key installationId is not a number; leave it out to have it found")
    return int(text)


def _private_key(text: str) -> RSAPrivateKey:
    if len(text) > LONGEST_PEM:
        raise _MalformedError(
            f"key privateKey is not a PEM private key of GitHub's: it has more than {LONGEST_PEM} characters"
        )
    if "\\n" in text and "\n" not in text:
        text = text.replace("\\n", "\n")  # copied out of JSON or an environment file
    if text.startswith("LS0tLS1CRUdJTi"):
        raise _MalformedError(
            "key privateKey is base64 of a PEM: it was encoded twice; use stringData, or encode once"
        )
    if "PUBLIC KEY" in text or "CERTIFICATE" in text:
        raise _MalformedError("key privateKey holds a public key or certificate, not the App's private key")
    if "ENCRYPTED" in text:
        raise _MalformedError("key privateKey is encrypted with a passphrase; store it without")
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if key is None:
        raise _MalformedError(
            "key privateKey is not a PEM private key as GitHub hands it out (BEGIN … PRIVATE KEY)"
        )
    if not isinstance(key, RSAPrivateKey):
        raise _MalformedError("key privateKey is not an RSA key; GitHub Apps sign with RSA")
    if key.key_size < SHORTEST_KEY:
        raise _MalformedError(f"key privateKey has {key.key_size} bits; GitHub's keys have {SHORTEST_KEY}")
    if key.key_size > LONGEST_KEY:
        raise _MalformedError(f"key privateKey has {key.key_size} bits, and {LONGEST_KEY} are the most")
    return key


# ------------------------------------------------------------------------------------------------------------------ tokens
@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token to call with.

    Attributes:
        value: Its text.
        generation: Changes with the token: ETags belong to one generation.
        account: Whose quota GitHub charges, the host apart: equal for two tokens of one installation.
    """

    value: str = field(repr=False)
    generation: int = 0
    account: str


class Tokens(Protocol):
    """Where calls get their token from."""

    async def current(self) -> Token:
        """Return a token that should work.

        Raises:
            UpstreamError: None can be had.
        """

    def refused(self, token: Token) -> bool:
        """Note that GitHub refused a token with 401; return whether :meth:`current` may have a better one."""

    def lacks(self, token: Token) -> bool:
        """Note that GitHub refused a call with 403 for want of a permission; return whether :meth:`current` may have a better one."""


class FixedToken:
    """A personal access token: there is nothing to renew."""

    def __init__(self, credentials: TokenCredentials) -> None:
        # Which user it belongs to is not known without asking; two Secrets with one token are one account in any case.
        digest = sha256(credentials.token.encode()).hexdigest()
        self._token = Token(value=credentials.token, account=f"token {digest}")

    async def current(self) -> Token:
        """Return the token."""
        return self._token

    def refused(self, token: Token) -> bool:  # noqa: ARG002 -- the protocol's name
        """Nothing better can be had."""
        return False

    def lacks(self, token: Token) -> bool:  # noqa: ARG002 -- the protocol's name
        """Nothing better can be had: what such a token may do changes without a new one."""
        return False


SendAsApp = Callable[[str, str, str, Mapping[str, Any] | None, Callable[[Any], Any]], Awaitable[Answer]]
"""Sends (method, path, JWT, body) and returns what GitHub answers: an error of any status, or a success with what the reader made of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    token: Token
    refresh_at: float
    usable_until: float


class InstallationTokens:
    """The installation token of a GitHub App, shared by all calls, replaced before its end by one of them.

    It carries what the controller uses and the installation was granted, and nothing else: whoever got hold of it could not write
    to the code of an installation that was granted too much. Not for some repositories alone: pools name theirs by patterns, and
    GitHub takes at most 500 names.

    Times are monotonic: the token's life is the difference of two times of GitHub's, so our own wall clock may be wrong.

    Args:
        credentials: The App.
        owner: Whose installation to look for.
        enterprise: ``owner`` is an enterprise.
        clock: Ours; its wall time goes into the JWT and is corrected once GitHub complains.
        send: Carries a call authorized with a JWT.
    """

    def __init__(
        self, *, credentials: AppCredentials, owner: str, enterprise: bool, clock: Clock, send: SendAsApp
    ) -> None:
        self._app = credentials
        self._owner = owner
        self._enterprise = enterprise
        self._clock = clock
        self._send = send
        self._skew = 0.0
        self._installation: int | None = None
        self._held: _Held | None = None
        self._generation = 0
        self._minting: asyncio.Task[None] | None = None
        self._lacking = False
        self._looked_at = 0.0
        self.permissions: Mapping[str, str] = {}
        """What the installation was granted, by the API's names, when it was last looked at."""

    async def current(self) -> Token:
        """Return the shared token, made or replaced where needed.

        Callers that come while one is being made wait for that one, and share its failure too.

        Raises:
            GitHubError: ``AppNotInstalled``, ``GitHubUnauthorized``, ``AppSuspended``, or what any call may meet.
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
        """Look again at what the installation was granted, every :data:`LOOK_AGAIN` seconds while calls are refused.

        A token keeps the permissions that it was made with. Without this, one that was granted later would wait for its end.
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
            # 404: the App was removed and installed again since we looked, and the new installation has a new id.
            # 422: it has lost a permission since we looked, or knows none of this name.
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
        self._generation += 1
        self._held = _Held(
            token=Token(
                value=value, generation=self._generation, account=f"installation {self._installation}"
            ),
            refresh_at=now + max(life - REFRESH_AHEAD, life / 2),
            usable_until=now + life - LAST_USE,
        )

    async def _ask(self, *, narrowed: bool = True) -> Answer:
        """Ask for a token; return it, a 404, or a 422 where permissions were asked for that are not granted."""
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

        A 401 that complains of the JWT's times means that our clock is wrong: correct it by GitHub's once, and try again.
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
