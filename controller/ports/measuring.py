"""What metrics are made of: calls that are counted, and how old what is known is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from controller.core.model import GitHubSource, HubAccount, TokenEnd
from controller.core.reasons import Reason
from controller.ports.github import Quota


class Meter(Protocol):
    """Where calls to GitHub and the Hub are counted. Never raises, never waits."""

    def answered(self, who: GitHubSource | HubAccount, status: int) -> None:
        """Count one answer with its HTTP status."""

    def failed(self, who: GitHubSource | HubAccount, reason: Reason) -> None:
        """Count one call that failed, whether or not it was sent."""


class Unmetered:
    """Counts nothing."""

    def answered(self, who: GitHubSource | HubAccount, status: int) -> None:
        """Ignore an answer."""

    def failed(self, who: GitHubSource | HubAccount, reason: Reason) -> None:
        """Ignore a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSight:
    """How well one source is seen.

    Attributes:
        source: Which.
        poll_age: Seconds since the oldest complete look at a repository at work, else since
            the newest at any.
        quota: As the last answer told it.
        token_end: Of its personal access token, likewise; None where it has no end, or none is known.
    """

    source: GitHubSource
    poll_age: float
    quota: Quota | None
    token_end: TokenEnd | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSight:
    """How well one account is seen; ``list_age`` is the seconds since its newest complete
    list was asked for.
    """

    account: HubAccount
    list_age: float


class Sights(Protocol):
    """How old what is known is, at this moment."""

    def sources(self) -> Iterable[SourceSight]:
        """Return every source that is polled."""

    def listed(self) -> Iterable[AccountSight]:
        """Return every account that is listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerRelease:
    """A release of actions/runner.

    Attributes:
        version: Without a ``v``.
        served_until: Epoch seconds until which GitHub gives jobs to it, at least; None
            where nothing is known of it.
    """

    version: str
    served_until: float | None
