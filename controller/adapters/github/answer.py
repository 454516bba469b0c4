"""One HTTP answer of GitHub's, reduced to what may be kept, and the removal of secrets from what may be shown."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

SHOWN_PARAMETERS = frozenset({"affiliation", "name", "page", "per_page", "status", "type"})
"""Query parameters that may appear in errors; every other one is left out."""

LONGEST_MESSAGE = 300
"""Characters of GitHub's message that are kept."""

_SECRETS = re.compile(
    r"gh[a-z]_[\w.~+/=-]+"  # tokens; installation tokens may hold a JWT (github.md §4)
    r"|github_pat_\w+"
    r"|ey[\w-]{8,}(?:\.[\w-]*)+"  # JWTs
    r"|(?i:bearer|basic)\s+\S+"
    r"|-----BEGIN.*"
    r"|[A-Za-z0-9+/=_-]{64,}",  # JIT configurations and other blobs
    re.DOTALL,
)


def redact(text: str, *known: str) -> str:
    """Return a text without anything that looks like a secret, nor the secrets that the caller knows, in one line."""
    for secret in known:
        if secret:
            text = text.replace(secret, "[secret]")
    text = " ".join(_SECRETS.sub("[secret]", text).split())
    return text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - 1] + "…"


def shown_url(url: str) -> str:
    """Return a URL for people: without user, password, fragment and unknown query parameters."""
    parts = urlsplit(url)
    kept = [(k, v) for k, v in parse_qsl(parts.query) if k in SHOWN_PARAMETERS]
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" + (f"?{urlencode(kept)}" if kept else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What GitHub answered.

    Attributes:
        method: Upper-case method of the request.
        route: The path's template, for metrics.
        sent_to: Where it went, as sent.
        status: HTTP status.
        headers: As received.
        body: As received; may hold a secret (installation token, JIT configuration).
        asked_at: Monotonic seconds when the request was sent.
        server_time: Epoch seconds on GitHub's clock (``Date``), ours where GitHub does not say.
        message: GitHub's ``message`` of an error, without secrets; empty for a success.
    """

    method: str
    route: str
    sent_to: str = field(repr=False)
    status: int
    headers: httpx.Headers = field(repr=False)
    body: bytes = field(repr=False)
    asked_at: float
    server_time: float
    message: str = ""

    @property
    def url(self) -> str:
        """Where it went, safe to show."""
        return shown_url(self.sent_to)

    @property
    def request_id(self) -> str | None:
        """GitHub's id of the request, for its support."""
        found = self.headers.get("x-github-request-id")
        return found if isinstance(found, str) else None

    def number(self, header: str) -> float | None:
        """Return a header's value as a number, or None when it is absent or no number."""
        try:
            return float(self.headers[header])
        except (KeyError, ValueError):
            return None


def error_message(body: bytes, *known_secrets: str) -> str:
    """Return the ``message`` of an error's body, redacted; what is no JSON object is described, not quoted."""
    try:
        found = json.loads(body)
    except ValueError:
        return "an HTML page" if body.lstrip()[:1] == b"<" else ""
    message = found.get("message") if isinstance(found, dict) else None
    return redact(message, *known_secrets) if isinstance(message, str) else ""
