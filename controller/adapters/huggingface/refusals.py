"""What the Hub's refusals and silences mean: the reason, who can act, and whether the request may have taken
effect.

``huggingface_hub.hf_raise_for_status`` is not used as it is: it breaks on an error body that is not an
object, and drops ``Retry-After``. Its sources of words and ids are the same, and a test compares the two.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from urllib.parse import urlsplit

import httpx2
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined] # documented, not in __all__

from controller.adapters import incoming
from controller.adapters.huggingface.errors import (
    BlockedError,
    CapacityError,
    ConflictError,
    ForbiddenError,
    HubError,
    MalformedError,
    NoAnswerError,
    NoRouteError,
    NotFoundError,
    PaymentRequiredError,
    RateLimitedError,
    RejectedError,
    ServerError,
    UnauthorizedError,
)
from controller.adapters.huggingface.values import LONGEST_MESSAGE, words
from controller.core.model import Disposition
from controller.core.reasons import Reason
from controller.core.text import text

LONGEST_WAIT = 900.0
"""Seconds that a rate limit may silence an account; the Hub's windows last 300 (hf-jobs.md §3), a wrong
header longer."""

DEFAULT_WAIT = 60.0
"""Seconds to wait after a 429 that does not say how long."""

LARGEST_ERROR = 64 * 2**10
"""Bytes of a refusal in which words are looked for. A longer one is not read at all: where it is cut, a
secret may be cut in two, and half a secret is masked by nobody."""

_REQUEST_IDS = ("x-request-id", "x-amzn-trace-id", "x-amz-cf-id")
_LONGEST_REQUEST_ID = 100
_LONGEST_LIMIT = 256
_MOST_WORDS = 10

# The scheduler behind Spaces and Jobs says "not enough hardware capacity" and "unable to schedule"; what POST
# jobs itself says about scarce hardware is not documented (hf-jobs.md §3), so near relatives count too, and
# no other text does.
_CAPACITY = re.compile(
    r"(not enough|insufficient|no|out of|lack of)\s+(available\s+)?((hardware|gpu)\s+)?capacity|unable to schedule",
    re.IGNORECASE,
)
# One user has seen scarce hardware answered with 500, so the words count whatever the status is, but for
# those that speak of the account: there another flavor would be refused too.
_ABOUT_THE_ACCOUNT = frozenset({401, 402, 429})

_NOTHING_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
    httpx2.InvalidURL,
    OfflineModeIsEnabled,
)


class Asked(Enum):
    """What a request asks for: a refusal means something else for each, and so does silence."""

    READ = "to show something"
    QUESTION = "whether something would be allowed"
    CANCEL = "to end an HF Job"
    LAUNCH = "to make an HF Job"

    @property
    def effect(self) -> bool:
        """It changes something, so that silence leaves it in doubt."""
        return self in (Asked.CANCEL, Asked.LAUNCH)


def means_no_capacity(text: str) -> bool:
    """Return whether the Hub's words say that hardware is scarce rather than that something is wrong."""
    return _CAPACITY.search(text) is not None


def refusal(
    *,
    call: str,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    asked: Asked,
    secrets: Sequence[str] = (),
) -> HubError:
    """Read an answer that is not a success.

    Args:
        call: Method and path, for the message.
        status: HTTP status; 200 to 299 has no place here.
        headers: Names in any case that the mapping accepts in lower case.
        body: Raw body, whole: of one that is cut, or longer than :data:`LARGEST_ERROR`, give nothing.
        asked: What was asked for: only a launch can be refused for its specification or for want of hardware.
        secrets: Values to be masked should the Hub repeat them.
    """
    if status < 400:
        where = _host(words(headers.get("location"), secrets)) or "another address"
        why = f"it redirects to {where}; write that into huggingface.endpoint"
        return malformed(call=call, why=why, headers=headers, secrets=secrets)
    said = _words(headers, body, secrets)
    kind = _kind(status)
    if asked is Asked.LAUNCH and status not in _ABOUT_THE_ACCOUNT and means_no_capacity(said):
        kind = CapacityError
    # Only what a launch asks for can be wrong with it: other requests have a fixed shape.
    rejected = asked is Asked.LAUNCH and issubclass(kind, RejectedError | ConflictError)
    reason = Reason.HubRejected if rejected else kind.reason
    wait, limit = _wait(status, headers)
    answered = f'{status} "{said}"' if said else str(status)
    return kind(
        f"{call}: the Hub answered {answered}. {reason.meaning}",
        status=status,
        reason=reason,
        disposition=Disposition.PERSON if rejected else kind.disposition,
        request_id=request_id(headers, secrets),
        retry_after=wait,
        in_doubt=asked.effect and (status >= 500 or status == 408),
        soon=status >= 500 and wait is None,
        limit=limit,
    )


def _kind(status: int) -> type[HubError]:
    match status:
        case 401:
            return UnauthorizedError
        case 402:
            return PaymentRequiredError
        case 403:
            return ForbiddenError
        case 404:
            return NotFoundError
        case 405:
            return NoRouteError
        case 409 | 423 | 425:
            return ConflictError
        case 429:
            return RateLimitedError
        case 451:
            return BlockedError
        case _:
            return ServerError if status >= 500 or status == 408 else RejectedError


def no_answer(*, call: str, error: Exception, asked: Asked, secrets: Sequence[str] = ()) -> HubError:
    """Read a failure to get any answer.

    Only a connection that was never made proves that nothing was sent (simulation.md §2); after anything
    else, also what nobody has thought of, the request may have arrived.
    """
    if isinstance(error, httpx2.DecodingError):
        return malformed(call=call, why="its body cannot be decoded", effect=asked.effect)
    # A protocol error of our own side may quote the headers, and so the token.
    detail = "" if isinstance(error, httpx2.LocalProtocolError) else words(str(error), secrets)
    what = type(error).__name__ + (f" ({detail})" if detail else "")
    known = isinstance(error, httpx2.HTTPError | httpx2.InvalidURL | httpx2.StreamError | OSError)
    reason = Reason.HubUnavailable if known else Reason.InternalError
    slow = isinstance(error, httpx2.TimeoutException | TimeoutError)
    return NoAnswerError(
        f"{call}: no answer from the Hub: {what}. {reason.meaning}",
        reason=reason,
        in_doubt=asked.effect and not isinstance(error, _NOTHING_SENT),
        soon=known and not slow,
    )


def not_sent(*, call: str, why: str) -> NoAnswerError:
    """Say that a request waited for its turn in vain: nothing was sent, so nothing is in doubt."""
    return NoAnswerError(f"{call}: not sent: {why}. {Reason.HubUnavailable.meaning}")


def malformed(
    *,
    call: str,
    why: str,
    headers: Mapping[str, str] | None = None,
    effect: bool = False,
    secrets: Sequence[str] = (),
) -> MalformedError:
    """Say that an answer cannot be read; an effect that it would have acknowledged is in doubt."""
    return MalformedError(
        f"{call}: the Hub's answer cannot be read: {why}. {Reason.HubMalformed.meaning}",
        request_id=request_id(headers or {}, secrets),
        in_doubt=effect,
    )


def request_id(headers: Mapping[str, str], secrets: Sequence[str]) -> str | None:
    """Return the id that the Hub's people can look the request up by."""
    found = (text(words(headers.get(name), secrets), _LONGEST_REQUEST_ID) for name in _REQUEST_IDS)
    return next((one for one in found if one), None)


def _words(headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> str:
    """Return the Hub's own words about an error: header, JSON body, or plain text; never HTML."""
    found: list[object] = [headers.get("x-error-message", "")]
    if len(body) <= LARGEST_ERROR:
        found += _said(body)
    said = dict.fromkeys(words(one, secrets) for one in found[:_MOST_WORDS])
    return text("; ".join(one for one in said if one), LONGEST_MESSAGE)


def _said(body: bytes) -> list[object]:
    try:
        payload = incoming.parse_json(body)
    except incoming.UnreadableError:
        plain = body.decode(errors="replace")
        return [] if plain.lstrip().startswith(("<", "{", "[")) else [plain]
    if not isinstance(payload, dict):
        return []
    error, errors = payload.get("error"), payload.get("errors")
    found = error if isinstance(error, list) else [error, payload.get("error_description")]
    return found + (
        [e.get("message") for e in errors if isinstance(e, dict)] if isinstance(errors, list) else []
    )


def _host(location: str) -> str:
    try:
        return urlsplit(location).hostname or ""
    except ValueError:
        return ""


def _wait(status: int, headers: Mapping[str, str]) -> tuple[float | None, str]:
    """Return how long the Hub wants us to wait, in seconds, and which calls that is about."""
    wait = _retry_after(headers)
    if status != 429:
        return wait, ""
    remaining, resets = _window(headers)
    if remaining == 0:
        wait = wait if wait is not None else resets
    # The window's headers are on every answer: with requests left in it, some other limit said no.
    limit = "kind" if remaining is not None and remaining > 0 else ""
    return min(wait if wait is not None else DEFAULT_WAIT, LONGEST_WAIT), limit


def _window(headers: Mapping[str, str]) -> tuple[int | None, float | None]:
    """Return the requests that are left in the window, and the seconds until the next one; None where they
    are not told.
    """
    named = {name: headers.get(name, "") for name in ("ratelimit", "ratelimit-policy")}
    window = parse_ratelimit_headers({name: value[:_LONGEST_LIMIT] for name, value in named.items()})
    return (None, None) if window is None else (window.remaining, min(window.reset_in_seconds, LONGEST_WAIT))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read ``Retry-After``: seconds, or a date by the server's own clock."""
    text, now = headers.get("retry-after", ""), incoming.http_date(headers.get("date"))
    found = incoming.header_number(text, 0, math.inf) if now is None else incoming.wait(text, now=now)
    return None if found is None else min(found, LONGEST_WAIT)
