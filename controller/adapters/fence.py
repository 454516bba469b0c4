"""The fence at the wire: a request with an effect leaves this process only while it leads (invariant 8).

The executor asks before each effect, but between its question and the request lie a Secret to read, a token
to renew, a turn to wait for and a connection to open: seconds, in which the lease may end or the process be
stopped and resumed, or somebody turn the stop switch on. So the last question is asked when the connection
stands and the next thing to do is to write the request into it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from controller.core.stop_switch import Stopped
from controller.ports import Fenced, LaunchStopped, Leadership

Hook = Callable[[Any], Awaitable[None]]
"""What ``event_hooks["request"]`` of httpx and of httpx2 holds; told of each request before it is sent."""

_HARMLESS = ("GET", "HEAD")
_TOKEN = "/access_tokens"  # noqa: S105 - a path: minting a token changes nothing
_LAUNCHES = "/api/jobs/"
"""``POST /api/jobs/NAMESPACE`` at the Hub creates an HF Job (the Hub's OpenAPI description)."""


def _never(account: str) -> Stopped | None:
    del account
    return None


def fence(
    leadership: Leadership, *, identity: str = "", stopped: Callable[[str], Stopped | None] = _never
) -> Hook:
    """Return a hook that raises :class:`controller.ports.Fenced` for requests with an effect while another
    may lead.

    Args:
        leadership: What is asked.
        identity: Of this replica, appended to the ``User-Agent`` of such requests: the other side's log tells
            who acted.
        stopped: Returns why nothing may be launched in a Hugging Face namespace, None if it may; a request
            that would is then kept back with :class:`controller.ports.LaunchStopped`.
    """

    def check(launches_in: str) -> None:
        if not leadership.holds():
            raise Fenced
        if launches_in and (why := stopped(launches_in)) is not None:
            raise LaunchStopped(why)

    async def hook(request: Any) -> None:  # noqa: ANN401 - of either library
        if request.method in _HARMLESS or request.url.path.endswith(_TOKEN):
            return
        account = _launches_in(request)
        check(account)
        if identity:
            request.headers["User-Agent"] += f" ({identity})"

        async def at_the_wire(event: str, _: dict[str, Any]) -> None:
            if event.endswith("send_request_headers.started"):
                check(account)

        request.extensions = {**request.extensions, "trace": at_the_wire}

    return hook


def _launches_in(request: Any) -> str:  # noqa: ANN401 - of either library
    """Return the Hugging Face namespace in which a request would create an HF Job; empty for all others."""
    _, found, rest = request.url.path.partition(_LAUNCHES)
    return unquote(rest) if found and request.method == "POST" and "/" not in rest else ""
