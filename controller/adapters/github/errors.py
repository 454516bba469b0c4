"""What can go wrong between GitHub and us, each as a class, and which answer means which (github.md §1.5,
§3.3, §4).

::

    UpstreamError
    └── GitHubError
        ├── NotAllowedError     nothing was sent: the host is not one that credentials may be sent to
        ├── NoAnswerError       nothing came back: connection, TLS, timeout
        ├── ServerError         5xx, and 408
        ├── MalformedError      an answer that cannot be read
        ├── RateLimitedError    the quota is used up, or a secondary limit was met
        ├── UnauthorizedError   401
        ├── ForbiddenError      403: permission, suspension, disabled runners, policy; 451: withheld by law
        ├── NotFoundError       404 and 410: absent, or not to be known of
        ├── NameTakenError      409 of a registration
        ├── ConflictError       409 of any other request
        └── RejectedError       any other 4xx: the request itself is refused
"""

from __future__ import annotations

import re
from typing import ClassVar

import httpx

from controller.adapters.github.answer import Answer, redact
from controller.core.model import Disposition, Failure
from controller.core.reasons import Reason
from controller.core.text import text
from controller.ports import UpstreamError


class GitHubError(UpstreamError):
    """A call to GitHub failed. Holds no secret, and neither do its causes.

    Attributes:
        method: Of the request.
        url: Of the request, safe to show.
        status: Of the answer, None without one.
        request_id: GitHub's id of the request.
        github_message: GitHub's own words, without secrets.
    """

    reason: ClassVar[Reason] = Reason.GitHubForbidden
    disposition: ClassVar[Disposition] = Disposition.PERSON

    def __init__(
        self,
        message: str,
        *,
        method: str,
        url: str,
        answer: Answer | None = None,
        reason: Reason | None = None,
        disposition: Disposition | None = None,
        retry_after: float | None = None,
        in_doubt: bool = False,
    ) -> None:
        self.method = method
        self.url = url
        self.status = answer.status if answer else None
        self.request_id = answer.request_id if answer else None
        self.github_message = answer.message if answer else ""
        super().__init__(
            Failure(
                reason=reason or self.reason,
                message=message,
                disposition=disposition or self.disposition,
                request_id=self.request_id,
                retry_after=retry_after,
                in_doubt=in_doubt,
            )
        )


class NotAllowedError(GitHubError):
    """The host is not allowed, so nothing was sent."""

    reason = Reason.HostNotAllowed


class NoAnswerError(GitHubError):
    """No connection, a broken one, or silence until the timeout."""

    reason = Reason.GitHubUnavailable
    disposition = Disposition.RETRY


class ServerError(GitHubError):
    """5xx, or 408. The effect may have taken place."""

    reason = Reason.GitHubUnavailable
    disposition = Disposition.RETRY


class MalformedError(GitHubError):
    """A success that cannot be read: cut short, HTML, no JSON, a field missing, a link to elsewhere."""

    reason = Reason.GitHubMalformed
    disposition = Disposition.RETRY


class RateLimitedError(GitHubError):
    """A limit was met; ``failure.retry_after`` is always set."""

    reason = Reason.GitHubRateLimited
    disposition = Disposition.WAIT


class UnauthorizedError(GitHubError):
    """401, after the token was renewed where that is possible."""

    reason = Reason.GitHubUnauthorized


class ForbiddenError(GitHubError):
    """403 that is no rate limit, or 451."""


class NotFoundError(GitHubError):
    """404 or 410. On private things it often means a missing permission."""

    reason = Reason.GitHubNotFound
    disposition = Disposition.GONE


class NameTakenError(GitHubError):
    """409: a runner of this name exists."""

    reason = Reason.RunnerNameTaken
    disposition = Disposition.RETRY


class ConflictError(GitHubError):
    """409 of what makes no runner: something else happens to the same thing just now, and there was no
    effect.
    """

    reason = Reason.GitHubUnavailable
    disposition = Disposition.RETRY


class RejectedError(GitHubError):
    """400, 422 and the like: asking again in the same way is no use."""

    reason = Reason.GitHubRejected


def mutates(method: str) -> bool:
    """Return whether a request of this method may have an effect."""
    return method not in ("GET", "HEAD")


_PERMISSION = (
    "resource not accessible by",  # integration, personal access token
    "must have admin rights",
    "must be an organization owner",
    "must be an org admin",
)


def error_for(answer: Answer) -> GitHubError:
    """Return the error that an answer of 400 or more means, rate limits aside (:mod:`.limits` knows
    those).
    """
    said = answer.message.lower()
    match answer.status:
        case 401:
            return _error(UnauthorizedError, answer, "rotate the token or the App's key in the Secret")
        case 403:
            return _forbidden(answer, said)
        case 404 | 410:
            hint = f"; the call accepts {answer.accepted}" if answer.accepted else ""
            return _error(
                NotFoundError,
                answer,
                f"{_what(answer)} is gone, renamed, or hidden from the credentials{hint}",
            )
        case 409 if registers(answer):
            return _error(NameTakenError, answer, "use a new name")
        case 409:
            return _error(
                ConflictError, answer, "something else happens to it just now; the controller retries"
            )
        case 451:
            return _blocked(answer)
        case status if status >= 500 or status == 408:
            doubt = mutates(answer.method)
            return _error(ServerError, answer, "the controller retries", in_doubt=doubt)
        case _ if "max limit" in said:
            hint = "remove runners that are offline for good, or use another group"
            return _error(RejectedError, answer, hint, reason=Reason.RunnerGroupFull)
        case _:
            return _error(
                RejectedError, answer, "GitHub takes the request itself for wrong; please report it"
            )


MOST_REPOSITORY = 256
"""Characters of a repository's name that a message has."""

_REPOSITORY = re.compile(r"/repos/([^/?#]+/[^/?#]+)/")


def _what(answer: Answer) -> str:
    """Return what a call was about, for people: the repository, where it was one."""
    found = _REPOSITORY.search(answer.url)
    return f"repository {text(found[1], MOST_REPOSITORY)}, or what was asked of it," if found else "it"


def registers(answer: Answer) -> bool:
    """Return whether a runner was to be made: only then is a conflict one of names."""
    return answer.method == "POST" and answer.route.endswith("/generate-jitconfig")


def _blocked(answer: Answer) -> GitHubError:
    hint = "settle it with GitHub, or leave it out of the pool's repositories"
    return _error(ForbiddenError, answer, f"GitHub withholds it; {hint}", reason=Reason.GitHubBlocked)


def _forbidden(answer: Answer, said: str) -> GitHubError:
    if any(words in said for words in _PERMISSION):
        grant = (
            f"grant {answer.accepted}"
            if answer.accepted
            else "grant the permission that GitHub's message means"
        )
        hint = f"{grant} to the App or token, and accept the change on the installation"
        return _error(ForbiddenError, answer, hint, reason=Reason.PermissionMissing)
    if "access blocked" in said:  # "Repository access blocked", by the terms of service
        return _blocked(answer)
    if "suspended" in said:
        return _error(
            ForbiddenError,
            answer,
            "unsuspend the App's installation in the owner's settings",
            reason=Reason.AppSuspended,
        )
    if "disabled" in said and ("runners" in said or "actions" in said):
        return _error(
            ForbiddenError, answer, "an administrator must enable them again", reason=Reason.RunnersDisabled
        )
    return _error(ForbiddenError, answer, "see GitHub's words for what forbids it")


def _error(
    kind: type[GitHubError],
    answer: Answer,
    hint: str,
    *,
    reason: Reason | None = None,
    in_doubt: bool = False,
) -> GitHubError:
    words = f" ({answer.message})" if answer.message else ""
    return kind(
        f"{answer.method} {answer.url} was answered {answer.status}{words}: {hint}.",
        method=answer.method,
        url=answer.url,
        answer=answer,
        reason=reason,
        in_doubt=in_doubt,
    )


def malformed(answer: Answer, what: str, *, in_doubt: bool | None = None) -> MalformedError:
    """Return the error of an answer that cannot be used; unless said, a mutation may have taken place all the
    same.
    """
    return MalformedError(
        f"{answer.method} {answer.url} was answered {answer.status} with something unusable: {what}.",
        method=answer.method,
        url=answer.url,
        answer=answer,
        in_doubt=mutates(answer.method) if in_doubt is None else in_doubt,
    )


def transport_error(error: Exception, *, method: str, url: str) -> GitHubError:
    """Return the error for a call that got no answer.

    Only a connection that never came about proves that nothing was sent: a request that was lost and an
    answer that was lost look the same from here.
    """
    unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    cut_short = isinstance(error, httpx.RemoteProtocolError | httpx.DecodingError)
    said = redact(str(error))
    kind = MalformedError if cut_short else NoAnswerError
    return kind(
        f"{method} {url} got no {'whole ' if cut_short else ''}answer: {type(error).__name__}"
        f"{f' ({said})' if said else ''}; check the network if it lasts.",
        method=method,
        url=url,
        in_doubt=mutates(method) and not unsent,
    )
