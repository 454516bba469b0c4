"""Addresses as the HTTP libraries would send requests to them, for the wall that judges every request
(:mod:`controller.core.hosts`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import httpx
import httpx2

NO_HOST = "https://"
"""An address that names no host, which the rule refuses."""


class _Parsed(Protocol):
    """What both libraries make of an address."""

    @property
    def raw_host(self) -> bytes:
        """The host as it goes out, empty where there is none."""


def as_sent(url: str, parse: Callable[[str], _Parsed]) -> str:
    """Return an address as a library reads it, and would send a request to it.

    Args:
        url: As somebody wrote it.
        parse: ``httpx.URL`` or ``httpx2.URL``.

    Returns:
        The address; what the library refuses comes back as it was, since nothing can be sent there.
    """
    try:
        parsed = parse(url)
    except (httpx.InvalidURL, httpx2.InvalidURL, UnicodeError):
        return url
    # Written out, a path that begins with // after no host would read as one.
    return str(parsed) if parsed.raw_host else NO_HOST
