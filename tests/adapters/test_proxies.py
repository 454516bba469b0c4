"""Which way a request goes: as Go has it, for all clients."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

import httpx
import httpx2
import pytest

from controller.adapters.credential import Fixed
from controller.adapters.github.client import Client
from controller.adapters.github.credentials import TokenCredentials
from controller.adapters.huggingface.session import open_session
from controller.adapters.proxies import Proxies, Routes, Routes2
from controller.app.clock import SystemClock
from controller.core.model import GitHubSource, SecretRef

PROXY = "http://proxy.acme.example:3128"


def direct(url: str, no_proxy: str) -> bool:
    proxies = Proxies({"HTTPS_PROXY": PROXY, "HTTP_PROXY": PROXY, "NO_PROXY": no_proxy})
    assert proxies.of("https://elsewhere.example/") in (PROXY, None)
    return proxies.of(url) is None


@pytest.mark.parametrize(
    ("no_proxy", "url", "goes_straight"),
    [
        ("10.0.0.0/8", "https://10.1.2.3:6443/", True),
        ("10.0.0.0/8", "https://11.1.2.3/", False),
        ("10.0.0.0/8", "https://[::ffff:10.1.2.3]/", True),
        ("fd00::/8", "https://[fd00:10:96::1]/api", True),
        ("fd00::/8", "https://[fe80::1]/", False),
        ("fd00::/8", "https://10.1.2.3/", False),
        ("10.1.2.3/33", "https://10.1.2.3/", False),
        ("10.1.2.3", "https://10.1.2.3/", True),
        ("10.1.2.3:443", "https://10.1.2.3/", True),
        ("10.1.2.3:444", "https://10.1.2.3/", False),
        ("[fd00::1]", "https://[fd00::1]:8443/", True),
        ("fd00::1", "https://[fd00::1]/", True),
        ("[fd00::1]:8443", "https://[fd00::1]:8443/", True),
        ("[fd00::1]:8443", "https://[fd00::1]/", False),
        ("acme.example", "https://acme.example/", True),
        ("acme.example", "https://ghe.acme.example/", True),
        ("acme.example", "https://notacme.example/", False),
        (".acme.example", "https://ghe.acme.example/", True),
        (".acme.example", "https://acme.example/", False),
        ("*.acme.example", "https://ghe.acme.example/", True),
        ("*.acme.example", "https://acme.example/", False),
        ("ACME.example", "https://Acme.Example/", True),
        ("acme.example:8443", "https://acme.example:8443/", True),
        ("acme.example:8443", "https://acme.example/", False),
        ("acme.example:https", "https://acme.example/", False),
        ("*", "https://acme.example/", True),
        ("", "https://acme.example/", False),
        (" , acme.example ,", "https://acme.example/", True),
        ("[::1", "https://acme.example/", False),
        ("", "https://localhost:8443/", True),
        ("", "http://sim.localhost:8080/", True),
        ("", "http://127.0.0.2:1/", True),
        ("", "http://[::1]:1/", True),
        ("", "http://127.0.0.1:8080/", True),
        ("", "https://[::1]/", True),
        ("", "https://localhost.acme.example/", False),
    ],
)
def test_no_proxy_means_what_it_means_for_kubectl(no_proxy: str, url: str, goes_straight: bool) -> None:
    assert direct(url, no_proxy) is goes_straight


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({"HTTPS_PROXY": PROXY}, "https://a.example/", PROXY),
        ({"HTTPS_PROXY": PROXY}, "http://a.example/", None),
        ({"https_proxy": PROXY}, "https://a.example/", PROXY),
        ({"HTTPS_PROXY": "proxy.acme.example:3128"}, "https://a.example/", PROXY),
        ({"ALL_PROXY": PROXY}, "https://a.example/", PROXY),
        ({"ALL_PROXY": "http://other:1", "HTTPS_PROXY": PROXY}, "https://a.example/", PROXY),
        ({"HTTPS_PROXY": PROXY, "no_proxy": "a.example"}, "https://a.example/", None),
        ({"HTTPS_PROXY": PROXY}, "https://[half", None),
        ({}, "https://a.example/", None),
    ],
)
def test_the_proxy_is_the_one_of_the_scheme(
    environment: Mapping[str, str], url: str, proxy: str | None
) -> None:
    assert Proxies(environment).of(url) == proxy


@pytest.mark.parametrize(
    "wrong", ["socks5://proxy:1080", "http://", "http://proxy:port", "http://[half", "//"]
)
def test_a_proxy_that_nothing_can_go_through_is_said_without_its_password(wrong: str) -> None:
    told = Proxies({"HTTPS_PROXY": wrong.replace("//proxy", "//me:secret@proxy")}).unusable()
    assert told is not None
    assert "HTTPS_PROXY" in told
    assert "secret" not in told


@pytest.mark.parametrize("fine", ["", PROXY, "proxy:3128", "https://me:secret@proxy:3128"])
def test_a_proxy_that_is_fine_or_absent_is_not_spoken_of(fine: str) -> None:
    assert Proxies({"HTTPS_PROXY": fine}).unusable() is None


async def test_both_libraries_go_the_way_that_the_rule_says() -> None:
    proxies = Proxies({"HTTPS_PROXY": PROXY, "NO_PROXY": "10.0.0.0/8"})
    ways: list[str | None] = []

    def make(proxy: str | None) -> httpx.MockTransport:
        ways.append(proxy)
        return httpx.MockTransport(lambda _: httpx.Response(200))

    def make2(proxy: str | None) -> httpx2.MockTransport:
        ways.append(proxy)
        return httpx2.MockTransport(lambda _: httpx2.Response(200))

    for client in (
        httpx.AsyncClient(transport=Routes(proxies, make), trust_env=False),
        httpx2.AsyncClient(transport=Routes2(proxies, make2), trust_env=False),
    ):
        async with client:
            for url in ("https://a.example/", "https://10.1.2.3/", "https://b.example/"):
                assert (await client.get(url)).status_code == 200
    assert ways == [PROXY, None, PROXY, None]


@pytest.mark.parametrize(
    "no_proxy", ["fd00::/8", "10.0.0.0/8,[::1]", "10.96.0.1,fd07:b51a:cc66:f0::/64,.svc"]
)
async def test_clients_can_be_made_whatever_no_proxy_says(
    no_proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, no_proxy)
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    github = Client(
        source=GitHubSource(api_url="https://api.github.com", secret=SecretRef("ci", "gh"), owner="acme"),
        credential=Fixed(TokenCredentials(token="t")),
        clock=SystemClock(),
        tls=ssl.create_default_context(),
    )
    await github.close()
    await open_session().aclose()
