"""One HTTP answer of GitHub's, reduced to what may be kept, and the removal of secrets from what may be
shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from controller.adapters.incoming import (
    EARLIEST,
    LATEST,
    LONGEST_HEADER,
    LONGEST_MASKED,
    UnreadableError,
    exact,
    header_number,
    http_date,
    mask,
    moment,
    next_page,
    parse_json,
    redirected,
    wait,
)
from controller.core.text import text

SHOWN_PARAMETERS = frozenset({"affiliation", "name", "page", "per_page", "status", "type"})
"""Query parameters that may appear in errors; every other one is left out."""

LONGEST_MESSAGE = 300
"""Characters of GitHub's message that are kept."""

LONGEST_WORD = 128
"""Characters of a header that is one word: an id of a request, the name of a quota, an ETag."""

MOST_REQUESTS = 10**9
"""Requests that a quota may have: GitHub Enterprise Cloud has 15,000 an hour, an Enterprise Server what its
administrator likes."""


_TOKEN_END = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}) ([0-9:]{8}) (UTC|[+-][0-9]{4})")


def redact(words: str, *known: str) -> str:
    """Return a text without anything that looks like a secret, nor the secrets that the caller knows, in one
    line.
    """
    # In this order: half a secret, or one that was squeezed, is recognized by nobody.
    cleaned = text(mask(words, known), 2 * LONGEST_MASKED)
    return text(" ".join(cleaned.split()), LONGEST_MESSAGE)


def shown_url(url: str) -> str:
    """Return a URL for people: without user, password, fragment and unknown query parameters."""
    parts = urlsplit(url)
    kept = [(k, v) for k, v in parse_qsl(parts.query) if k in SHOWN_PARAMETERS]
    host = parts.netloc.rpartition("@")[2]
    return text(
        f"{parts.scheme}://{host}{parts.path}" + (f"?{urlencode(kept)}" if kept else ""), LONGEST_HEADER
    )


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What GitHub answered: its status, its headers one by one, and the value that was made of its body.

    Attributes:
        method: Upper-case method of the request.
        route: The path's template, for metrics.
        sent_to: Where it went, as sent.
        status: HTTP status.
        headers: As received; to be read through the properties below, each of which is bounded.
        size: Bytes of the body, unpacked.
        value: What the request's reader made of the body; may hold a secret (installation token, JIT
            configuration).
        problem: Why there is no value although the status is a success; empty where there is one.
        asked_at: Monotonic seconds when the request was sent.
        server_time: Epoch seconds on GitHub's clock (``Date``), ours where GitHub does not say.
        message: GitHub's ``message`` of an error, without secrets; empty for a success.
    """

    method: str
    route: str
    sent_to: str = field(repr=False)
    status: int
    headers: Mapping[str, str] = field(repr=False)
    size: int = 0
    value: Any = field(repr=False, default=None)
    problem: str = ""
    asked_at: float
    server_time: float
    message: str = ""

    @property
    def url(self) -> str:
        """Where it went, safe to show."""
        return shown_url(self.sent_to)

    @property
    def succeeded(self) -> bool:
        """The status is a success. One of 300 and more is none, whatever it is called."""
        return 200 <= self.status < 300

    @property
    def request_id(self) -> str | None:
        """GitHub's id of the request, for its support."""
        return text(self.headers.get("x-github-request-id"), LONGEST_WORD) or None

    @property
    def etag(self) -> str | None:
        """The page's ETag, verbatim, to be sent back; None where there is none that could be."""
        found = exact(self.headers.get("etag"), LONGEST_WORD)
        return found if found and found.isascii() else None

    @property
    def next_page(self) -> str | None:
        """URL of the next page of a list."""
        return next_page(self.headers.get("link"), self.sent_to)

    @property
    def redirected(self) -> str | None:
        """Where a redirect leads on the same origin; None for anywhere else."""
        return redirected(self.headers.get("location"), self.sent_to)

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait, as GitHub says; None where it does not."""
        return wait(self.headers.get("retry-after"), now=self.server_time)

    @property
    def used_up(self) -> bool:
        """The headers say that a quota has nothing left."""
        return self._number("remaining", 0, MOST_REQUESTS) == 0

    @cached_property
    def quota(self) -> tuple[int, int, float] | None:
        """Limit, remaining and epoch seconds of the reset of the quota that was charged; None unless all
        three make sense.
        """
        limit, remaining = (self._number(part, 0, MOST_REQUESTS) for part in ("limit", "remaining"))
        reset = self._number("reset", EARLIEST, LATEST)
        if limit is None or remaining is None or reset is None:
            return None
        return int(limit), int(remaining), reset

    @property
    def resource(self) -> str | None:
        """Name of the quota that was charged."""
        found = exact(self.headers.get("x-ratelimit-resource"), LONGEST_WORD)
        return found if found and found.isascii() else None

    @property
    def accepted(self) -> str:
        """What the call accepts: GitHub says it on every answer, in one header for each kind of
        credentials.
        """
        permissions = self.headers.get("x-accepted-github-permissions")
        if permissions:
            return redact(permissions)
        scopes = self.headers.get("x-accepted-oauth-scopes")
        return redact(f"the scope {scopes}") if scopes else ""

    @property
    def scopes(self) -> tuple[str, ...] | None:
        """Scopes of a classic token; None for all other credentials."""
        found = self.headers.get("x-oauth-scopes")
        if found is None:
            return None
        scopes = (scope.strip() for scope in text(found, LONGEST_HEADER).split(","))
        return tuple(text(scope, LONGEST_WORD) for scope in scopes if scope)

    @property
    def token_end(self) -> float | None:
        """Epoch seconds of the end of the personal access token that was sent; None where it has none.

        ``2026-12-01 00:00:00 UTC`` or ``2026-12-01 00:00:00 +0200``, the forms that google/go-github reads
        too.
        """
        told = exact(self.headers.get("github-authentication-token-expiration"), LONGEST_WORD) or ""
        found = _TOKEN_END.fullmatch(told)
        if found is None:
            return None
        day, hour, zone = found.groups()
        return moment(f"{day}T{hour}{'Z' if zone == 'UTC' else zone}")

    def _number(self, part: str, low: float, high: float) -> float | None:
        return header_number(self.headers.get(f"x-ratelimit-{part}"), low, high)


def server_time(headers: Mapping[str, str]) -> float | None:
    """Return the epoch seconds of ``Date``, None where it makes no sense."""
    return http_date(headers.get("date"))


def error_message(body: bytes, *known_secrets: str) -> str:
    """Return the ``message`` of an error's body, redacted; what is no JSON object is described, not
    quoted.
    """
    try:
        found = parse_json(body)
    except UnreadableError:
        return "an HTML page" if body.lstrip()[:1] == b"<" else ""
    message = found.get("message") if isinstance(found, dict) else None
    return redact(message, *known_secrets) if isinstance(message, str) else ""
