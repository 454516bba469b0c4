"""Who may do what on the simulated Hub: users, organizations, tokens, request quotas, credit."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from hf_runner_simulators.http import JSON
from hf_runner_simulators.hub.billing import Credit
from hf_runner_simulators.hub.errors import HubError
from hf_runner_simulators.hub.job import Principal

Permission = Literal["read", "write"]
Plan = Literal["free", "pro", "team", "enterprise", "enterprise-plus"]


class TokenSetup(BaseModel):
    """A token of ``/_sim/setup``: whose it is and what it may do in which namespace;
    ``write`` includes ``read``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: str
    namespaces: dict[str, Permission]
    plan: Plan = "free"


class NamespaceSetup(BaseModel):
    """A namespace of ``/_sim/setup``. ``credits`` are dollars; absent leaves an existing
    namespace's balance alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["user", "org"] | None = None
    credits: float | None = None


class Setup(BaseModel):
    """The body of ``POST /_sim/setup``. What it names is added or replaced; a token set to
    null is revoked.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: dict[str, TokenSetup | None] = Field(default_factory=dict, repr=False)
    namespaces: dict[str, NamespaceSetup] = Field(default_factory=dict)


DEFAULT_CREDITS_USD = 1_000.0
"""Credit of a namespace that a set-up does not mention."""


@dataclass(slots=True, kw_only=True)
class Namespace:
    """A user's or an organization's room for jobs."""

    principal: Principal
    credit: Credit


@dataclass(slots=True)
class _Window:
    number: int = -1
    used: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """A token's requests in the present window, after this one."""

    limit: int
    remaining: int
    reset_seconds: int
    window_seconds: int
    exceeded: bool


class Accounts:
    """All principals, tokens and namespaces."""

    def __init__(self) -> None:
        self.namespaces: dict[str, Namespace] = {}
        self._tokens: dict[str, TokenSetup] = {}
        self._windows: dict[str, _Window] = {}

    def setup(self, setup: Setup, *, at: float) -> None:
        """Add or replace what a set-up names."""
        for value, token in setup.tokens.items():
            if token is None:
                self._tokens.pop(value, None)
                continue
            self._tokens[value] = token
            for name in (token.user, *token.namespaces):
                self._namespace(name, "user" if name == token.user else "org", at)
        for name, wanted in setup.namespaces.items():
            namespace = self._namespace(name, wanted.type or "org", at)
            if wanted.type:
                namespace.principal = _principal(name, wanted.type)
            if wanted.credits is not None:
                namespace.credit.deduct(at)
                namespace.credit.micro_usd = wanted.credits * 1_000_000

    def _namespace(self, name: str, kind: Literal["user", "org"], at: float) -> Namespace:
        if name not in self.namespaces:
            self.namespaces[name] = Namespace(
                principal=_principal(name, kind),
                credit=Credit(micro_usd=DEFAULT_CREDITS_USD * 1_000_000, since=at),
            )
        return self.namespaces[name]

    def authenticate(self, token: str | None) -> TokenSetup:
        """Return what a bearer token stands for.

        Raises:
            HubError: 401.
        """
        if token is None:
            raise HubError(401, "Invalid username or password.")
        if token not in self._tokens:
            raise HubError(401, "Invalid credentials in Authorization header")
        return self._tokens[token]

    def authorize(self, token: str | None, name: str, permission: Permission) -> tuple[Principal, Namespace]:
        """Return the token's user and the namespace.

        Raises:
            HubError: 401, or 403 without the right on the namespace.
        """
        granted = self.authenticate(token)
        role = granted.namespaces.get(name)
        if role is None or (permission == "write" and role == "read"):
            raise HubError(403, f"You don't have {permission} access to Jobs of {name!r}.")
        return self.namespaces[granted.user].principal, self.namespaces[name]

    def charge(self, token: str | None, *, limits: dict[str, int], window: int, at: float) -> Quota:
        """Count one request of a token, or of all anonymous callers together."""
        known = self._tokens.get(token or "")
        limit = limits[known.plan if known else "anonymous"]
        used = self._windows.setdefault(token if known and token else "", _Window())
        number = int(at // window)
        if used.number != number:
            used.number, used.used = number, 0
        used.used += 1
        return Quota(
            limit=limit,
            remaining=max(0, limit - used.used),
            reset_seconds=max(1, int((number + 1) * window - at)),
            window_seconds=window,
            exceeded=used.used > limit,
        )

    def whoami(self, token: str | None) -> JSON:
        """Return the body of ``GET /api/whoami-v2``.

        Raises:
            HubError: 401.
        """
        granted = self.authenticate(token)
        user = self.namespaces[granted.user]
        return {
            "type": "user",
            "id": user.principal.id,
            "name": user.principal.name,
            "fullname": user.principal.name,
            "canPay": user.credit.micro_usd > 0,
            "isPro": granted.plan == "pro",
            "orgs": [
                {
                    **namespace.principal.to_json(),
                    "canPay": namespace.credit.micro_usd > 0,
                    "plan": granted.plan,
                    "roleInOrg": granted.namespaces[name],
                }
                for name, namespace in sorted(self.namespaces.items())
                if namespace.principal.type == "org" and name in granted.namespaces
            ],
            "auth": {
                "type": "access_token",
                "accessToken": {
                    "displayName": "simulated",
                    "role": granted.namespaces.get(granted.user, "read"),
                },
            },
        }


def _principal(name: str, kind: Literal["user", "org"]) -> Principal:
    return Principal(id=blake2b(name.encode(), digest_size=12).hexdigest(), name=name, type=kind)
