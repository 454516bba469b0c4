"""One request delivered: in its turn, below its account's limits, and sent again only where an answer proves
that it had no effect.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from controller.adapters.github.answer import Answer
from controller.adapters.github.errors import error_for, malformed
from controller.adapters.github.limits import Limits, points
from controller.adapters.github.wire import Read, Request, Wire
from controller.core.model import GitHubSource

API_VERSION = "2022-11-28"
"""The only version that every GitHub Enterprise Server knows.
https://docs.github.com/rest/about-the-rest-api/api-versions"""

MOST_REDIRECTS = 3

REDIRECTS = frozenset({301, 302, 307, 308})
"""A renamed repository is answered with 301 to a GET and 307 to anything else. None of them has had an
effect, so method and body stay what they were.
https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api#follow-redirects"""


class Delivery:
    """Requests of one source to its GitHub, with whatever token.

    Args:
        source: Whose; it takes turns with others of one account.
        wire: Sends.
    """

    def __init__(self, *, source: GitHubSource, wire: Wire) -> None:
        self._source = source
        self._wire = wire
        self._api_version = {"X-GitHub-Api-Version": API_VERSION}

    async def as_app(
        self,
        method: str,
        path: str,
        jwt: str,
        body: Mapping[str, Any] | None,
        read: Read,
        *,
        limits: Limits,
    ) -> Answer:
        """Carry an App's call, for its installation or a token. Everything else waits for it, so it goes
        first.

        Args:
            method: Upper-case method.
            path: Below the API's base.
            jwt: The App's.
            body: Sent as JSON.
            read: Makes a value of a success.
            limits: The App's own: such calls are charged to it, not to the installation.

        Raises:
            GitHubError: Anything but an answer of 400 or more, which is returned, and a success that can be
                read.
        """
        # An owner's name may be of digits alone, as an id is.
        of_the_app = path.startswith("app/")
        route = re.sub(r"/\d+(?=/|$)", "/{id}", path) if of_the_app else "{kind}/{owner}/installation"
        url = f"{self._source.api_url.rstrip('/')}/{path}"
        request = Request(method=method, url=url, route=route, read=read, effect=True, body=body)
        answer = await self.send(request, limits, jwt, {})
        return answer if answer.status >= 400 else readable(success(answer))

    async def send(self, request: Request, limits: Limits, secret: str, headers: Mapping[str, str]) -> Answer:
        """Send one request, and learn from the answer what is left of the account's limits.

        Args:
            request: What to send.
            limits: The account's.
            secret: The token.
            headers: Further headers.

        Raises:
            RateLimitedError: Before or after sending.
            GitHubError: There was no whole answer.
        """
        limits.check(request)
        async with limits.pacer.turn(cost=points(request.method), effect=request.effect, asker=self._source):
            limits.check(request)  # another may have met a limit while this one waited
            answer = await self._followed(request, limits, secret, headers)
        limited = limits.quotas.learn(answer, registration=request.registration)
        if limited is not None:
            raise limited
        return answer

    async def _followed(
        self, request: Request, limits: Limits, secret: str, headers: Mapping[str, str]
    ) -> Answer:
        """Send, and send again where an answer shows that there was no effect: moved, or an unknown API
        version.
        """
        sent = 0
        while True:
            answer = await self._wire.send(
                request, secret=secret, headers={**headers, **self._api_version}, large=limits.large
            )
            sent += 1
            if answer.status == 400 and self._api_version and "version" in answer.message.lower():
                self._api_version = {}
            elif answer.status in REDIRECTS:
                url = answer.redirected
                if url is None:
                    raise malformed(answer, "a redirect to another host", in_doubt=False)
                request = replace(request, url=url)
            else:
                return answer
            if sent > MOST_REDIRECTS:
                raise malformed(answer, "one redirect too many", in_doubt=False)


def success(answer: Answer) -> Answer:
    """Return an answer that is a success, or a 304."""
    if answer.status >= 400:
        raise error_for(answer)
    if not answer.succeeded and answer.status != 304:
        raise malformed(answer, "a status that the call does not have")
    return answer


def readable(answer: Answer) -> Answer:
    """Return a success whose value could be read."""
    if answer.status == 304:
        raise malformed(answer, "a 304 that nobody asked for")
    if answer.problem:
        raise malformed(answer, answer.problem)
    return answer
