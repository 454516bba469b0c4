"""What the Hub's refusals mean: the reason, who can act, and whether the request may have taken effect.

``huggingface_hub.hf_raise_for_status`` is not used as it is: it breaks on an error body that is not an object, and drops
``Retry-After``. Its sources of words and ids are the same, and a test compares the two.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime

import httpx2
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined] # documented, not in __all__

from controller.core.model import Disposition, Failure
from controller.core.reasons import Reason
from controller.ports import UpstreamError

LONGEST_WAIT = 900.0
"""Seconds that a rate limit may silence an account; the Hub's windows last 300 (hf-jobs.md §3), a wrong header longer."""

DEFAULT_WAIT = 60.0
"""Seconds to wait after a 429 that does not say how long."""

_REQUEST_IDS = ("x-request-id", "x-amzn-trace-id", "x-amz-cf-id")
_LONGEST_WORDS = 300

# The scheduler behind Spaces and Jobs says "not enough hardware capacity" and "unable to schedule"; what POST jobs itself
# says about scarce hardware is not documented (hf-jobs.md §3), so near relatives count too, and no other text does.
_CAPACITY = re.compile(
    r"(not enough|insufficient|no|out of|lack of)\s+(available\s+)?((hardware|gpu)\s+)?capacity|unable to schedule",
    re.IGNORECASE,
)
_MAY_MEAN_CAPACITY = frozenset({400, 409, 422, 503})

_NOTHING_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
    httpx2.InvalidURL,
    OfflineModeIsEnabled,
)
_REASONS = {
    401: (Reason.HubUnauthorized, Disposition.PERSON),
    402: (Reason.HubPaymentRequired, Disposition.PERSON),
    403: (Reason.HubForbidden, Disposition.PERSON),
    404: (Reason.HubNotFound, Disposition.PERSON),
    408: (Reason.HubUnavailable, Disposition.RETRY),
    429: (Reason.HubRateLimited, Disposition.WAIT),
}


class HubError(UpstreamError):
    """A call to the Hub failed.

    Attributes:
        status: HTTP status of the answer, or None without one.
        soon: The same request may be sent again at once, if it can be repeated at all.
        limit: Which limit a 429 is about: ``""`` all calls of the account, else only calls of the same kind.
    """

    def __init__(
        self, failure: Failure, *, status: int | None = None, soon: bool = False, limit: str = ""
    ) -> None:
        super().__init__(failure)
        self.status = status
        self.soon = soon
        self.limit = limit


def means_no_capacity(text: str) -> bool:
    """Return whether the Hub's words say that hardware is scarce rather than that something is wrong."""
    return _CAPACITY.search(text) is not None


def refusal(
    *,
    call: str,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    effect: bool,
    secrets: Iterable[str] = (),
) -> HubError:
    """Read an answer that is not a success.

    Args:
        call: Method and path, for the message.
        status: HTTP status; 200 to 299 has no place here.
        headers: Names in any case that the mapping accepts in lower case.
        body: Raw body.
        effect: The request changes something, so that a 5xx leaves it in doubt.
        secrets: Values to be masked should the Hub repeat them.
    """
    words = mask(_words(headers, body), secrets)
    if status < 400:
        where = httpx2.URL(headers.get("location", "")).host or "another address"
        return malformed(
            call=call, why=f"it redirects to {where}; write that into huggingface.endpoint", headers=headers
        )
    if status in _MAY_MEAN_CAPACITY and means_no_capacity(words):
        reason, disposition = Reason.FlavorOutOfCapacity, Disposition.CAPACITY
    elif status >= 500:
        reason, disposition = Reason.HubUnavailable, Disposition.RETRY
    else:
        reason, disposition = _REASONS.get(status, (Reason.HubRejected, Disposition.PERSON))
    wait, limit = _wait(status, headers)
    said = f'{status} "{words}"' if words else str(status)
    failure = Failure(
        reason=reason,
        message=f"{call}: the Hub answered {said}. {reason.meaning}",
        disposition=disposition,
        request_id=request_id(headers),
        retry_after=wait,
        in_doubt=effect and (status >= 500 or status == 408),
    )
    return HubError(failure, status=status, soon=status >= 500 and wait is None, limit=limit)


def no_answer(*, call: str, error: Exception, effect: bool, secrets: Iterable[str] = ()) -> HubError:
    """Read a failure to get any answer.

    Only a connection that was never made proves that nothing was sent (simulation.md §2); after anything else the request may
    have arrived.
    """
    if isinstance(error, httpx2.DecodingError):
        return malformed(call=call, why="its body cannot be decoded", effect=effect)
    # A protocol error of our own side may quote the headers, and so the token.
    detail = "" if isinstance(error, httpx2.LocalProtocolError) else mask(_squeeze(str(error)), secrets)
    what = type(error).__name__ + (f" ({detail})" if detail else "")
    failure = Failure(
        reason=Reason.HubUnavailable,
        message=f"{call}: no answer from the Hub: {what}. {Reason.HubUnavailable.meaning}",
        in_doubt=effect and not isinstance(error, _NOTHING_SENT),
    )
    slow = isinstance(error, httpx2.TimeoutException | TimeoutError)
    return HubError(failure, soon=not slow)


def malformed(
    *, call: str, why: str, headers: Mapping[str, str] | None = None, effect: bool = False
) -> HubError:
    """Say that an answer cannot be read; an effect that it would have acknowledged is in doubt."""
    failure = Failure(
        reason=Reason.HubMalformed,
        message=f"{call}: the Hub's answer cannot be read: {why}. {Reason.HubMalformed.meaning}",
        request_id=request_id(headers or {}),
        in_doubt=effect,
    )
    return HubError(failure)


def request_id(headers: Mapping[str, str]) -> str | None:
    """Return the id that the Hub's people can look the request up by."""
    return next((headers[name] for name in _REQUEST_IDS if headers.get(name)), None)


def mask(text: str, secrets: Iterable[str]) -> str:
    """Replace secrets in a text of the Hub's; values of less than four characters are no secrets."""
    for secret in secrets:
        if len(secret) >= 4:
            text = text.replace(secret, "***")
    return text


def _words(headers: Mapping[str, str], body: bytes) -> str:
    """Return the Hub's own words about an error: header, JSON body, or plain text; never HTML."""
    words: list[object] = [headers.get("x-error-message", "")]
    text = body[:10_000].decode(errors="replace")
    try:
        payload = json.loads(body)
    except ValueError:
        if not text.lstrip().startswith("<"):
            words.append(text)
        payload = None
    if isinstance(payload, dict):
        error, errors = payload.get("error"), payload.get("errors")
        words += error if isinstance(error, list) else [error, payload.get("error_description")]
        words += [e.get("message") for e in errors if isinstance(e, dict)] if isinstance(errors, list) else []
    said = dict.fromkeys(_squeeze(w) for w in words if isinstance(w, str))
    return "; ".join(w for w in said if w)[:_LONGEST_WORDS]


def _squeeze(text: str) -> str:
    return " ".join(text.split())[:_LONGEST_WORDS]


def _wait(status: int, headers: Mapping[str, str]) -> tuple[float | None, str]:
    """Return how long the Hub wants us to wait, in seconds, and which calls that is about."""
    wait = _retry_after(headers)
    if status != 429:
        return wait, ""
    window = parse_ratelimit_headers(headers)
    if window is not None and window.remaining == 0:
        wait = wait if wait is not None else float(window.reset_in_seconds)
    # The window's headers are on every answer: with requests left in it, some other limit said no.
    limit = "kind" if window is not None and window.remaining > 0 else ""
    return min(wait if wait is not None else DEFAULT_WAIT, LONGEST_WAIT), limit


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read ``Retry-After``: seconds, or a date by the server's own clock."""
    text = headers.get("retry-after", "").strip()
    if text.isdigit():
        return min(float(text), LONGEST_WAIT)
    until, now = epoch(text), epoch(headers.get("date", ""))
    return min(max(0.0, until - now), LONGEST_WAIT) if until is not None and now is not None else None


def epoch(http_date: str) -> float | None:
    """Return an HTTP date as epoch seconds, or None when it is none."""
    try:
        return parsedate_to_datetime(http_date).timestamp()
    except (TypeError, ValueError):
        return None
