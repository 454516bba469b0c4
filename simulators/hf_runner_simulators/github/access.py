"""Who calls and what they may do: App JWTs, installation tokens, personal access tokens, permissions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from hf_runner_simulators.github.accounts import Accounts
from hf_runner_simulators.github.errors import Refusal, not_found
from hf_runner_simulators.github.model import ANONYMOUS, App, Caller, Installation, Level, Owner, Repository
from hf_runner_simulators.github.state import Store, verb

UNDECODABLE = "A JSON web token could not be decoded"
EXPIRED = "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires"
TOO_FAR = "'Expiration time' claim ('exp') is too far in the future"
NOT_YET = "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
JWT_SECONDS = 600
"""Longest life of an App JWT that GitHub accepts."""

CLASSIC_SCOPES: Mapping[str, Mapping[str, Level]] = {
    "repo": {"actions": "write", "administration": "write", "metadata": "read"},
    "public_repo": {"metadata": "read"},
    "admin:org": {"organization_self_hosted_runners": "write", "members": "write"},
    "read:org": {"members": "read"},
    "manage_runners:enterprise": {"enterprise_self_hosted_runners": "write"},
    "admin:enterprise": {"enterprise_self_hosted_runners": "write"},
}
"""What a classic token's scopes amount to, as far as our routes ask. ``manage_runners:org`` is none of them:
GitHub's description names it for images of hosted runners only, and ``admin:org`` for runners, their
registration and their groups."""

ACCEPTED_SCOPES: Mapping[str, str] = {
    "actions": "repo",
    "administration": "repo",
    "metadata": "repo",
    "organization_self_hosted_runners": "admin:org",
    "enterprise_self_hosted_runners": "manage_runners:enterprise",
}
"""``X-Accepted-OAuth-Scopes`` by the permission that a route needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A permission that a route accepts."""

    permission: str
    level: Level = "read"

    def __str__(self) -> str:
        """As ``X-Accepted-GitHub-Permissions`` shows it."""
        return f"{self.permission}={self.level}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _InstallationToken:
    installation_id: int
    expires_at: float
    permissions: Mapping[str, Level] | None
    repositories: frozenset[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """An installation token as ``POST /app/installations/{id}/access_tokens`` hands it out."""

    token: str
    expires_at: float
    installation: Installation
    permissions: Mapping[str, Level]
    repositories: frozenset[str] | None

    def __repr__(self) -> str:
        """Hide the token."""
        return f"IssuedToken(installation={self.installation.id}, expires_at={self.expires_at})"


class Access:
    """Tokens and permission checks.

    More than 15 methods: one per kind of credential and of question, over one table of tokens.
    """

    def __init__(self, store: Store, accounts: Accounts) -> None:
        self._store = store
        self._accounts = accounts
        self.time = store.time
        self._tokens: dict[str, _InstallationToken] = {}
        self._users: dict[str, Caller] = {}
        self._keys: dict[str, RSAPublicKey] = {}
        accounts.on_renamed = self._renamed

    def _renamed(self, old: str, new: str) -> None:
        """Let tokens reach what they reached before: real ones name accounts and repositories by id."""
        for key, held in self._tokens.items():
            if held.repositories is not None and old in held.repositories:
                self._tokens[key] = replace(held, repositories=held.repositories - {old} | {new})
        for key, caller in self._users.items():
            repositories = caller.repositories
            if repositories is not None and old in repositories:
                repositories = repositories - {old} | {new}
            account = new if caller.account == old else caller.account
            self._users[key] = replace(caller, account=account, repositories=repositories)

    # -- who calls
    # ------------------------------------------------------------------------------------------------

    @verb
    def authenticate(self, authorization: str) -> Caller:
        """Turn an ``Authorization`` value into a caller.

        Raises:
            Refusal: 401, the credentials are wrong, expired or revoked; 404, the JWT names no App;
                403, the installation is suspended.
        """
        if not authorization:
            return ANONYMOUS
        token = authorization.partition(" ")[2].strip()
        if token in self._users:
            caller = self._users[token]
            if caller.ends_at is not None and self.time.now >= caller.ends_at:
                raise Refusal(401, "Bad credentials")
            return caller
        if token in self._tokens:
            return self._installation_caller(self._tokens[token])
        if token.startswith("ey") and token.count(".") == 2:
            return Caller(kind="app", id=self._app_of(token).id)
        raise Refusal(401, "Bad credentials")

    def _installation_caller(self, held: _InstallationToken) -> Caller:
        row = self._accounts.installations.get(held.installation_id)
        if row is None or self.time.now >= held.expires_at:
            raise Refusal(401, "Bad credentials")
        if row.suspended_at is not None:
            raise Refusal(403, "This installation has been suspended")
        permissions = dict(row.permissions)
        if held.permissions is not None:
            permissions = {k: v for k, v in held.permissions.items() if _covers(row.permissions.get(k), v)}
        repositories = row.repositories
        if held.repositories is not None:
            repositories = held.repositories if repositories is None else held.repositories & repositories
        return Caller(
            kind="installation",
            id=row.id,
            account=row.account.lower(),
            permissions=permissions,
            repositories=repositories,
        )

    def _app_of(self, token: str) -> App:
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
            algorithm = jwt.get_unverified_header(token).get("alg")
        except jwt.InvalidTokenError as error:
            raise Refusal(401, UNDECODABLE) from error
        issuer = str(claims.get("iss", ""))
        app = next((a for a in self._accounts.apps.values() if issuer in (str(a.id), a.client_id)), None)
        if app is None:
            raise Refusal(404, "Integration not found")
        try:
            if algorithm != "RS256":
                raise Refusal(401, UNDECODABLE)
            jwt.PyJWS().decode(token, self._key(app), algorithms=["RS256"])
        except jwt.InvalidTokenError as error:
            raise Refusal(401, UNDECODABLE) from error
        self._check_times(claims)
        return app

    def _key(self, app: App) -> RSAPublicKey:
        if app.public_key not in self._keys:
            key = load_pem_public_key(app.public_key.encode())
            if not isinstance(key, RSAPublicKey):
                raise TypeError("a GitHub App has an RSA key")
            self._keys[app.public_key] = key
        return self._keys[app.public_key]

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        leeway = self._store.knobs.jwt_leeway_seconds
        issued, expires = claims.get("iat"), claims.get("exp")
        if issued is None:
            raise Refusal(401, "Missing 'issued at' claim ('iat') in assertion")
        if expires is None:
            raise Refusal(401, "Missing 'expiration time' claim ('exp') in assertion")
        if not isinstance(issued, int) or issued > self.time.now + leeway:
            raise Refusal(401, NOT_YET)
        if not isinstance(expires, int | float) or expires <= self.time.now - leeway:
            raise Refusal(401, EXPIRED)
        if expires > self.time.now + JWT_SECONDS + leeway:
            raise Refusal(401, TOO_FAR)

    # -- tokens
    # ---------------------------------------------------------------------------------------------------

    @verb
    def create_token(
        self,
        caller: Caller,
        installation_id: int,
        *,
        repositories: Iterable[str] | None = None,
        repository_ids: Iterable[int] | None = None,
        permissions: Mapping[str, Level] | None = None,
    ) -> IssuedToken:
        """Issue an installation token, optionally narrowed. Not idempotent: each call makes another token.

        Raises:
            Refusal: 404, not an installation of this App; 403, suspended; 422, asks for more than is granted.
        """
        row = self._accounts.installations.get(installation_id)
        if row is None or row.app_id != caller.id:
            raise not_found()
        if row.suspended_at is not None:
            raise Refusal(403, "This installation has been suspended")
        for name, level in (permissions or {}).items():
            if not _covers(row.permissions.get(name), level):
                raise Refusal(422, "The permissions requested are not granted to this installation.")
        narrowed = self._named(row, repositories, repository_ids)
        count = self._store.next_id("token")
        token = self._spell(row.app_id, count)
        held = _InstallationToken(
            installation_id=row.id,
            expires_at=self.time.now + self._store.knobs.token_seconds,
            permissions=permissions or None,  # PyGithub sends {} and means all
            repositories=narrowed,
        )
        self._tokens[token] = held
        return IssuedToken(
            token=token,
            expires_at=held.expires_at,
            installation=row,
            permissions=permissions or row.permissions,
            repositories=narrowed,
        )

    def asked_permissions(self) -> list[Mapping[str, Level] | None]:
        """Return what each living installation token was narrowed to, the oldest first;
        None for one that was not.
        """
        return [held.permissions for held in self._tokens.values()]

    def _named(
        self, row: Installation, names: Iterable[str] | None, ids: Iterable[int] | None
    ) -> frozenset[str] | None:
        if names is None and ids is None:
            return None
        mine = {r.name.lower(): r for r in self.installation_repositories(row)}
        by_id = {r.id: r for r in mine.values()}
        found = [mine.get(name.lower()) for name in names or ()] + [by_id.get(key) for key in ids or ()]
        if None in found:
            message = "There is at least one repository that does not exist or is not accessible to the parent installation."
            raise Refusal(422, message)
        return frozenset(r.full_name.lower() for r in found if r is not None)

    def _spell(self, app_id: int, count: int) -> str:
        noise = self._store.keyed("token", count)
        if not self._store.knobs.long_tokens:
            return f"ghs_{noise[:36]}"
        more = [self._store.keyed("token", count, part) for part in range(4)]
        return f"ghs_{app_id}_ey{noise[:34]}.ey{''.join(more[:3])}.{more[3]}"

    @verb
    def add_user_token(
        self,
        token: str,
        login: str,
        *,
        permissions: Mapping[str, Level] | None = None,
        scopes: Iterable[str] = (),
        account: str | None = None,
        repositories: Iterable[str] | None = None,
        ends_at: float | None = None,
    ) -> Caller:
        """Create a personal access token: fine-grained with ``permissions`` (and the ``account`` it is for),
        or classic with ``scopes``.

        One with an end (epoch seconds) is refused from then on.
        """
        granted: dict[str, Level] = dict(permissions or {})
        scopes = tuple(scopes)
        for scope in scopes:
            for name, level in CLASSIC_SCOPES.get(scope, {}).items():
                granted[name] = "write" if "write" in (level, granted.get(name)) else "read"
        caller = Caller(
            kind="user",
            id=self._store.owner(login).id,
            account=account.lower() if account else None,
            permissions=granted,
            repositories=None if repositories is None else frozenset(name.lower() for name in repositories),
            scopes=scopes if permissions is None else None,
            ends_at=ends_at,
        )
        self._users[token] = caller
        return caller

    @verb
    def revoke_token(self, token: str) -> None:
        """Make a personal or installation token worthless. Idempotent."""
        self._users.pop(token, None)
        self._tokens.pop(token, None)

    @verb
    def revoke_installation_tokens(self) -> None:
        """Make every installation token worthless, as an expiry ahead of time."""
        self._tokens.clear()

    # -- what they may do
    # -----------------------------------------------------------------------------------------

    @verb
    def repository(self, caller: Caller, full_name: str, need: Need) -> Repository:
        """Return a repository that the caller may use so.

        Raises:
            Refusal: 301, renamed; 404, absent or not to be known of; 403, known but the permission is
                missing; or what the repository is blocked with.
        """
        renamed = self._store.former_names.get(full_name.lower())
        if full_name.lower() not in self._store.repository_ids and renamed is not None:
            raise Refusal(301, "Moved Permanently", redirect=f"/repositories/{renamed}")
        row = self._store.repository(full_name)
        self.check(caller, row, need)
        return row

    def check(self, caller: Caller, row: Repository, need: Need) -> None:
        """Check a permission on a repository's row, which may be an old one.

        Raises:
            Refusal: 404 or 403, as for :meth:`repository`.
        """
        if row.blocked is not None:
            raise Refusal(row.blocked.status, row.blocked.message)
        owner = self._store.owner(row.owner)
        visible = self._reaches(caller, owner)
        if visible and caller.repositories is not None:
            visible = row.full_name.lower() in caller.repositories
        granted = visible and _covers(caller.permissions.get(need.permission), need.level)
        public = not row.private and need.level == "read" and need.permission in ("actions", "metadata")
        if granted or public:
            return
        if not visible and row.private:
            raise not_found()
        raise self._missing(caller)

    @verb
    def account(self, caller: Caller, name: str, need: Need) -> None:
        """Check a permission on an organization, user or enterprise.

        Raises:
            Refusal: 404 or 403, as for :meth:`repository`.
        """
        owner = self._store.owners.get(name.lower())
        enterprise = self._store.enterprises.get(name.lower()) if owner is None else None
        if owner is None and enterprise is None:
            raise not_found()
        by_slug = enterprise is not None and caller.account in (None, enterprise.slug)
        if not (by_slug and caller.kind in ("installation", "user")) and not (
            owner is not None and self._reaches(caller, owner)
        ):
            raise not_found()
        if not _covers(caller.permissions.get(need.permission), need.level):
            raise self._missing(caller)

    def _reaches(self, caller: Caller, owner: Owner) -> bool:
        """Whether a caller may know of what is private at an owner's."""
        if caller.kind not in ("installation", "user"):
            return False
        if caller.account is not None:
            return caller.account in (owner.login.lower(), owner.enterprise)
        return owner.members is None or caller.id in owner.members

    def _missing(self, caller: Caller) -> Refusal:
        if caller.kind == "installation":
            return Refusal(403, "Resource not accessible by integration")
        if caller.kind == "user" and caller.scopes is None:
            return Refusal(403, "Resource not accessible by personal access token")
        if caller.kind == "user":
            return Refusal(403, "Must have admin rights to Repository.")
        return Refusal(401, "Requires authentication")

    @verb
    def installation_repositories(self, row: Installation, *, lag: float = 0.0) -> list[Repository]:
        """Return what an installation sees, newest first, as it was ``lag`` seconds ago."""
        rows = self._accounts.repositories_of(row.account, lag=lag)
        return [r for r in rows if row.repositories is None or r.full_name.lower() in row.repositories]


def _covers(granted: Level | None, asked: Level) -> bool:
    return granted in ("write", asked)
