"""The fence at the wire: a request with an effect leaves this process only while it leads (invariant 8).

The executor asks before each effect, but between its question and the request lie a Secret to read, a token to renew, a turn
to wait for and a connection to open: seconds, in which the lease may end or the process be stopped and resumed. So the last
question is asked when the connection stands and the next thing to do is to write the request into it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from controller.ports import Fenced, Leadership

Hook = Callable[[Any], Awaitable[None]]
"""What ``event_hooks["request"]`` of httpx and of httpx2 holds; told of each request before it is sent."""

_HARMLESS = ("GET", "HEAD")
_TOKEN = "/access_tokens"  # noqa: S105 - a path: minting a token changes nothing


def fence(leadership: Leadership, *, identity: str = "") -> Hook:
    """Return a hook that raises :class:`controller.ports.Fenced` for requests with an effect while another may lead.

    Args:
        leadership: What is asked.
        identity: Of this replica, appended to the ``User-Agent`` of such requests: the other side's log tells who acted.
    """

    def check() -> None:
        if not leadership.holds():
            raise Fenced

    async def at_the_wire(event: str, _: dict[str, Any]) -> None:
        if event.endswith("send_request_headers.started"):
            check()

    async def hook(request: Any) -> None:  # noqa: ANN401 - of either library
        if request.method in _HARMLESS or request.url.path.endswith(_TOKEN):
            return
        check()
        if identity:
            request.headers["User-Agent"] += f" ({identity})"
        request.extensions = {**request.extensions, "trace": at_the_wire}

    return hook
