"""Refusals of the simulated GitHub, with the sentences that the real one answers."""

from __future__ import annotations

DOCS = "https://docs.github.com/rest"
RATE_LIMIT_DOCS = f"{DOCS}/using-the-rest-api/rate-limits-for-the-rest-api"
SECONDARY_LIMIT_DOCS = f"{RATE_LIMIT_DOCS}#about-secondary-rate-limits"
"""By this end of ``documentation_url`` clients tell a secondary limit from everything else
(go-github does)."""


class Refusal(Exception):  # noqa: N818 - a refusal is an answer of the world, not a fault of the program
    """A verb was refused: nothing changed.

    Attributes:
        status: HTTP status.
        message: GitHub's ``message``.
        headers: Extra response headers (``Retry-After``, ``Location``).
        errors: Details of a 422, or None when the answer has no such key.
        redirect: Where a redirect leads (path under the API root).
        docs: ``documentation_url``; None for the page of the route that refused.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        headers: dict[str, str] | None = None,
        errors: list[object] | None = None,
        redirect: str | None = None,
        docs: str | None = None,
    ) -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.message = message
        self.headers = headers or {}
        self.errors = errors
        self.redirect = redirect
        self.docs = docs


class ListenerRefused(Exception):  # noqa: N818 - see Refusal
    """The runner's service turned a listener away.

    Attributes:
        reason: ``Deleted``, ``Conflict``, ``Deprecated``, ``NotYet`` (retry the same
            credential) or ``Invalid``.
        message: What the real listener prints.
        exit_code: What the real listener exits with, 0 when it is told to go home (``Gone``).
    """

    def __init__(self, reason: str, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.exit_code = exit_code


def not_found() -> Refusal:
    """What GitHub says of everything that is absent, or that the caller may not know of."""
    return Refusal(404, "Not Found")
