"""Refusals of the simulated Hub."""

from __future__ import annotations


class HubError(Exception):
    """A refusal: an HTTP status, a sentence, and sometimes a code for ``X-Error-Code``."""

    def __init__(self, status: int, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
