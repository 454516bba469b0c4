"""The host that is judged is the host that a request goes to, as the libraries read an address."""

from __future__ import annotations

import httpx
import httpx2
from hypothesis import example, given
from hypothesis import strategies as st

from controller.adapters.addresses import as_sent
from controller.core.hosts import Hosts, Service, host_of

ALLOWED = {"github.com": "api.github.com", "ghe.example": "ghe.example", "2001:db8::1": "2001:db8::1"}
HOSTS = Hosts.listed(github=["github.com", "ghe.example", "[2001:db8::1]"], hub=["hub.example"])

PARTS = st.sampled_from(
    [
        *(
            "https://",
            "http://",
            "//",
            "/",
            "\\\\",
            "@",
            ":",
            ":443",
            ":8443",
            "#",
            "?",
            ".",
            "..",
            "%2f",
            "%40",
            "%00",
            "\t",
            "\n",
            " ",
        ),
        *(
            "github.com",
            "api.github.com",
            "ghe.example",
            "[2001:db8::1]",
            "evil.example",
            "\uff0f",
            "\u3002",
            "xn--",
            "[",
            "]",
        ),
    ]
)


@given(st.lists(PARTS, max_size=7).map("".join).map(lambda rest: f"https://{rest}"))
@example("https://github.com\\@evil.example/x")
@example("https://evil.example\\.github.com")
@example("https://github.com:443@evil.example")
@example("https://github.com\u3002evil.example")
@example("https://GITHUB.com./x")
@example("https:////github.com")
@example("https://xn--")
def test_what_is_allowed_goes_to_an_allowed_host_and_nowhere_else(url: str) -> None:
    for library in (httpx, httpx2):
        try:
            sent_to = library.URL(url)
        except (library.InvalidURL, UnicodeError):
            continue
        host = sent_to.raw_host.decode("ascii").rstrip(".")
        if HOSTS.refuses(Service.GITHUB, as_sent(url, library.URL)) is None:
            assert host in {*ALLOWED, *ALLOWED.values()}
            assert sent_to.port is None
            assert sent_to.scheme == "https"
            assert host_of(str(sent_to)).name == host
