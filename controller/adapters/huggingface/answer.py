"""What goes out with each request to the Hub, and what comes back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined] # documented, not in __all__

from controller import __version__
from controller.adapters import incoming
from controller.adapters.huggingface.refusals import Asked, malformed
from controller.adapters.huggingface.values import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A successful answer.

    Attributes:
        call: Method and path that it answers.
        payload: Parsed JSON.
        server_time: Epoch seconds on the Hub's clock, or on ours when the answer does not tell.
        next: Query of the next page, or None on the last. Only the query is taken from the ``Link``: our
            token goes to our endpoint alone, also where a proxy leaves the Hub's own address in the link.
        request_id: The Hub's id of the request.
        size: Bytes of the unpacked body.
        credential: The number of the content of the Secret that was shown it.
    """

    call: str
    payload: JSON
    server_time: float
    next: str | None
    request_id: str | None
    size: int
    credential: int


class Bearer:
    """What belongs to one token: the headers that carry it, and until when the Hub wants it not to be used.

    Args:
        number: Of the content of the Secret that it is.
        token: Bearer token; empty for public routes.
    """

    def __init__(self, *, number: int, token: str) -> None:
        self.number = number
        self.secrets = (token,) if token else ()
        self.headers: Mapping[str, str] = build_hf_headers(
            token=token or False, library_name="hf-runner-controller", library_version=__version__
        )
        self.closed_until: dict[str, float] = {}
        """Monotonic seconds, by method, or under ``""`` for all of them."""


def next_query(link: str, *, url: str, call: str, asked: Asked) -> str | None:
    """Return the query of the ``Link`` to the next page.

    A link that cannot be read is an error: without it a list would look whole, and what is on its other pages
    ended.
    """
    if asked is not Asked.READ or not re.search(r"rel=\"?next\b", link, re.IGNORECASE):
        return None
    following = incoming.next_page(link, url) if len(link) <= incoming.LONGEST_HEADER else None
    query = urlsplit(following).query if following else ""
    if not query or len(query) >= incoming.LONGEST_URL:
        raise malformed(call=call, why="its link to the next page cannot be read")
    return query
