"""What can go wrong between the Hub and us, each as a class, and which answer means which.

::

    UpstreamError
    └── HubError
        ├── NotAllowedError       nothing was sent: the host is not one that credentials may be sent to
        ├── NoAnswerError         nothing came back: connection, TLS, timeout, or no turn to send it
        ├── ServerError           5xx, and 408
        ├── MalformedError        an answer that cannot be read
        ├── RateLimitedError      429
        ├── UnauthorizedError     401
        ├── PaymentRequiredError  402
        ├── ForbiddenError        403
        ├── BlockedError          451: withheld by law
        ├── NotFoundError         404
        ├── ConflictError         409, 423, 425
        ├── CapacityError         a launch for which there is no hardware
        └── RejectedError         any other 4xx
            └── NoRouteError      405
"""

from __future__ import annotations

from typing import ClassVar

from controller.core.model import Disposition, Failure
from controller.core.reasons import Reason
from controller.ports import UpstreamError


class HubError(UpstreamError):
    """A call to the Hub failed. Holds no secret, and neither do its causes.

    Attributes:
        status: HTTP status of the answer, or None without one.
        request_id: The Hub's id of the request.
        soon: The same request may be sent again at once, if it can be repeated at all.
        limit: Which limit a 429 is about: ``""`` all calls of the account, else only calls of the same kind.
    """

    reason: ClassVar[Reason] = Reason.HubRefused
    disposition: ClassVar[Disposition] = Disposition.PERSON

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        reason: Reason | None = None,
        disposition: Disposition | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        in_doubt: bool = False,
        soon: bool = False,
        limit: str = "",
    ) -> None:
        self.status = status
        self.request_id = request_id
        self.soon = soon
        self.limit = limit
        super().__init__(
            Failure(
                reason=reason or self.reason,
                message=message,
                disposition=disposition or self.disposition,
                request_id=request_id,
                retry_after=retry_after,
                in_doubt=in_doubt,
            )
        )


class NotAllowedError(HubError):
    """The host is not allowed, so nothing was sent."""

    reason = Reason.HostNotAllowed


class NoAnswerError(HubError):
    """No connection, no turn, a broken connection, or silence until the timeout."""

    reason = Reason.HubUnavailable
    disposition = Disposition.RETRY


class ServerError(HubError):
    """5xx, or 408. The effect may have taken place."""

    reason = Reason.HubUnavailable
    disposition = Disposition.RETRY


class MalformedError(HubError):
    """An answer that cannot be read, or that leads elsewhere."""

    reason = Reason.HubMalformed
    disposition = Disposition.RETRY


class RateLimitedError(HubError):
    """429, or not sent because of one."""

    reason = Reason.HubRateLimited
    disposition = Disposition.WAIT


class UnauthorizedError(HubError):
    """401, after what replaced the token was tried too."""

    reason = Reason.HubUnauthorized


class PaymentRequiredError(HubError):
    """402."""

    reason = Reason.HubPaymentRequired


class ForbiddenError(HubError):
    """403."""

    reason = Reason.HubForbidden


class BlockedError(HubError):
    """451."""

    reason = Reason.HubBlocked


class NotFoundError(HubError):
    """404."""

    reason = Reason.HubNotFound


class ConflictError(HubError):
    """409, 423 or 425: something else is going on there at this moment."""

    disposition = Disposition.RETRY


class CapacityError(HubError):
    """A launch was refused for want of hardware, with whatever status."""

    reason = Reason.FlavorOutOfCapacity
    disposition = Disposition.CAPACITY


class RejectedError(HubError):
    """Any other 4xx: asking again in the same way is no use."""


class NoRouteError(RejectedError):
    """405: this Hub does not have the route."""
