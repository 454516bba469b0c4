"""What can go wrong between the Kubernetes API and us, each as a class, and which answer means which.

::

    UpstreamError
    └── KubernetesError
        ├── NoConfigurationError  no cluster is named, or not in a way that can be read
        ├── NoAnswerError         nothing came back, or nothing that can be read
        ├── ServerError           5xx
        ├── OverloadedError       429
        ├── UnauthorizedError     401, after the credentials were read again
        ├── ForbiddenError        403
        ├── NotFoundError         404: the object, its namespace or its type
        ├── ConflictError         409: it is there already, or is not what it was known to be
        ├── ExpiredError          410: what a list was to be continued from is forgotten
        └── RejectedError         any other 4xx, and a field that an older CRD does not have
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import ClassVar

from controller.core.model import Disposition, Failure
from controller.core.reasons import Reason
from controller.ports import UpstreamError

LONGEST_WORDS = 500
"""Characters of the API server's own message that are kept."""

_SHOWN_BYTES = 300
"""Bytes of an answer that is no Status object, as they are shown."""


class KubernetesError(UpstreamError):
    """A call to the Kubernetes API failed.

    Attributes:
        status: HTTP status of the answer, None without one.
        request_id: Of the API server's audit log, None where it keeps none.
        words: The API server's own message.
    """

    reason: ClassVar[Reason] = Reason.KubernetesUnavailable
    disposition: ClassVar[Disposition] = Disposition.RETRY

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        words: str = "",
        disposition: Disposition | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        in_doubt: bool = False,
    ) -> None:
        self.status = status
        self.request_id = request_id
        self.words = words
        super().__init__(
            Failure(
                reason=self.reason,
                message=message,
                disposition=disposition or self.disposition,
                request_id=request_id,
                retry_after=retry_after,
                in_doubt=in_doubt,
            )
        )


class NoConfigurationError(KubernetesError):
    """No usable configuration was found."""

    disposition = Disposition.PERSON


class NoAnswerError(KubernetesError):
    """No connection, a broken one, silence until the timeout, or an answer that is no JSON."""


class ServerError(KubernetesError):
    """5xx. The effect may have taken place."""


class OverloadedError(KubernetesError):
    """429."""

    disposition = Disposition.WAIT


class UnauthorizedError(KubernetesError):
    """401, after the credentials were read again."""

    reason = Reason.KubernetesForbidden
    disposition = Disposition.PERSON


class ForbiddenError(KubernetesError):
    """403."""

    reason = Reason.KubernetesForbidden
    disposition = Disposition.PERSON


class NotFoundError(KubernetesError):
    """404: the object, its namespace or its type."""

    reason = Reason.KubernetesNotFound
    disposition = Disposition.GONE


class ConflictError(KubernetesError):
    """409: it is there already, or is not what it was known to be."""

    reason = Reason.KubernetesConflict


class ExpiredError(KubernetesError):
    """410: what a list was to be continued from is forgotten."""

    reason = Reason.KubernetesConflict


class RejectedError(KubernetesError):
    """Any other 4xx, and a field that an older CRD does not have: asking again in the same way is no use."""

    reason = Reason.KubernetesRejected
    disposition = Disposition.PERSON


# Server-side apply answers 500 for what its schema does not have (seen on 1.36): an older CRD, not an outage.
_UNTYPED = ("failed to create typed patch object", "field not declared in schema")


def kind_of(status: int | None, words: str = "") -> type[KubernetesError]:
    """Return which error an answer is.

    Args:
        status: HTTP status; None for no answer.
        words: The API server's own message.
    """
    match status:
        case None:
            return NoAnswerError
        case 401:
            return UnauthorizedError
        case 403:
            return ForbiddenError
        case 404:
            return NotFoundError
        case 409:
            return ConflictError
        case 410:
            return ExpiredError
        case 429:
            return OverloadedError
        case _:
            outage = status >= 500 and not any(sign in words for sign in _UNTYPED)
            return ServerError if outage else RejectedError


def refusal(call: str, status: int, headers: Mapping[str, str], raw: bytes) -> KubernetesError:
    """Read a Status object: its message names verb, resource and ServiceAccount of what is forbidden.

    Args:
        call: Method and path, for the message.
        status: HTTP status, of no success.
        headers: By their names in lower case.
        raw: Body.
    """
    try:
        words = str(json.loads(raw)["message"])
    except (ValueError, KeyError, TypeError):
        words = raw[:_SHOWN_BYTES].decode(errors="replace")
    kind = kind_of(status, words)
    wait = headers.get("retry-after", "")
    words = " ".join(words.split())[:LONGEST_WORDS]
    return kind(
        f"{call}: the API server answered {status}: {words}. {kind.reason.meaning}",
        status=status,
        words=words,
        request_id=headers.get("audit-id"),
        retry_after=float(wait) if wait.isdigit() else None,
        in_doubt=status >= 500 and not call.startswith("GET "),
    )


def no_answer(call: str, why: str) -> NoAnswerError:
    """Say that nothing came back; what a call was to change may have changed."""
    return NoAnswerError(
        f"{call}: no answer from the API server: {why}. {NoAnswerError.reason.meaning}",
        in_doubt=not call.startswith("GET "),
    )
