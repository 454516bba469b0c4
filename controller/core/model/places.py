"""Where runners leave their two halves, and with which credentials a pool looks there."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True, order=True)
class SecretRef:
    """A Secret by namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"


class ScopeKind(StrEnum):
    """Where runners are registered."""

    REPOSITORY = "repository"
    ORGANIZATION = "organization"
    ENTERPRISE = "enterprise"


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Scope:
    """Where runners are registered: one repository, organization or enterprise.

    Attributes:
        kind: Which of the three.
        owner: Organization, user or enterprise slug, lower case.
        repository: Repository name without its owner, lower case; empty unless ``kind`` is a repository.
    """

    kind: ScopeKind
    owner: str
    repository: str = ""

    @property
    def path(self) -> str:
        """The REST prefix, such as ``repos/acme/lib`` (docs/facts.md#runner-endpoints)."""
        match self.kind:
            case ScopeKind.REPOSITORY:
                return f"repos/{self.owner}/{self.repository}"
            case ScopeKind.ORGANIZATION:
                return f"orgs/{self.owner}"
            case ScopeKind.ENTERPRISE:
                return f"enterprises/{self.owner}"

    def __str__(self) -> str:
        """The REST prefix."""
        return self.path


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class GitHubSource:
    """One set of credentials on one GitHub host for one owner: in App terms, one installation.

    Everything that is shared between pools on GitHub's side (token, quota, polling) is shared per source.

    Attributes:
        api_url: REST base without a trailing slash (``https://api.github.com``,
            ``https://ghe.example/api/v3``).
        secret: The Secret with the credentials.
        owner: Owner or enterprise slug, lower case.
        enterprise: ``owner`` is an enterprise.
    """

    api_url: str
    secret: SecretRef
    owner: str
    enterprise: bool = False
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Hash once: every pass looks up lists by this for each pool, and hashing nested
        values is the expensive part.
        """
        object.__setattr__(self, "_hash", hash((self.api_url, self.secret, self.owner, self.enterprise)))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True, slots=True, order=True)
class RegistrationScope:
    """Where one list of registrations comes from."""

    source: GitHubSource
    scope: Scope
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Hash once, see :class:`GitHubSource`."""
        object.__setattr__(self, "_hash", hash((self.source, self.scope)))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class HubAccount:
    """One namespace on the Hub as seen with one token.

    Attributes:
        endpoint: Base URL without a trailing slash (``https://huggingface.co``).
        namespace: User or organization that owns and pays for the HF Jobs.
        secret: The Secret with the token.
    """

    endpoint: str
    namespace: str
    secret: SecretRef
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Hash once, see :class:`GitHubSource`."""
        object.__setattr__(self, "_hash", hash((self.endpoint, self.namespace, self.secret)))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Place:
    """Where runners leave their two halves, whoever looks there: it names no credential.

    Attributes:
        api_url: GitHub's REST base.
        scope: Where runners are registered.
        endpoint: The Hub's base URL.
        namespace: Who owns and pays for the HF Jobs.
    """

    api_url: str
    scope: Scope
    endpoint: str
    namespace: str

    def __str__(self) -> str:
        """For people: both services."""
        return f"{self.scope} at {self.api_url} with namespace {self.namespace} at {self.endpoint}"


@dataclass(frozen=True, slots=True, order=True)
class Footprint:
    """A place as one pool's credentials see it: one list of registrations and one list of HF Jobs.

    A pool judges by the lists that its own credentials brought, and by no others: who else looks at the
    same place, with whatever rights, says nothing about it. A pool that is edited to another repository
    or namespace keeps its older footprints (in its status, so that they survive a restart) until both
    lists are seen without it.
    """

    registrations: RegistrationScope
    account: HubAccount
    place: Place = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make the place once: a pass compares it for each runner."""
        place = Place(
            api_url=self.registrations.source.api_url,
            scope=self.registrations.scope,
            endpoint=self.account.endpoint,
            namespace=self.account.namespace,
        )
        object.__setattr__(self, "place", place)
