"""To which hosts credentials may be sent."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.hosts import DEFAULT_HOSTS, HostError, Hosts, Service, entry, host_of
from controller.core.model import Disposition
from controller.core.reasons import Reason
from tests.core.build import pool

OWN = Hosts.listed(
    github=["github.com", "ghe.corp.example", "*.git.example", "ghe.corp.example:8443", "[2001:db8::1]"],
    hub=["huggingface.co", "https://hub.corp.example:9443/"],
)
HTTP = replace(OWN, allow_http=True)


def allowed(service: Service, url: str, hosts: Hosts = OWN) -> bool:
    return hosts.refuses(service, url) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://api.github.com",
        "https://github.com",
        "https://www.github.com",
        "https://API.GitHub.com/repos/acme/lib",
        "https://api.github.com./repos",
        "https://api.github.com:443/repos",
        "https://acme.ghe.com",
        "https://api.acme.ghe.com/orgs/acme",
        "https://API.Acme.GHE.com.",
    ],
)
def test_githubs_own_hosts_are_allowed_unless_said(url: str) -> None:
    assert allowed(Service.GITHUB, url, DEFAULT_HOSTS)


@pytest.mark.parametrize(
    "url",
    [
        "https://ghe.com",
        "https://api.ghe.com",
        "https://a.b.ghe.com",
        "https://api.a.b.ghe.com",
        "https://acme.ghe.com.evil.example",
        "https://evilghe.com",
        "https://github.com.evil.example",
        "https://evil.example/github.com",
        "https://evil.example#github.com",
        "https://evil.example?github.com",
        "https://evil.example\\@github.com",
        "https://github.com@evil.example",
        "https://user:s3cret@github.com",
        "https://github.com:444",
        "https://github.com:0",
        "https://raw.github.com",
        "https://gist.github.com",
        "https://huggingface.co",
        "https://xn--gthub-n4a.com",
        "https://g\u0456thub.com",
        "https://github\uff0ecom",
        "https://git\thub.com",
        "https:// github.com",
        "https:///github.com",
        "https:github.com",
        "//github.com",
        "github.com",
        "ftp://github.com",
        "file://github.com/etc/passwd",
        "https://169.254.169.254",
        "https://127.1",
        "https://2130706433",
        "https://0x7f000001",
        "https://1.0x7f",
        "https://[::1]",
        "https://[fe80::1%25eth0]",
        "https://[github.com]",
        "https://git%68ub.com",
        "https://",
        "",
        "https://github.com/" + "x" * 4_000,
    ],
)
def test_everything_else_is_refused_unless_said(url: str) -> None:
    refused = DEFAULT_HOSTS.refuses(Service.GITHUB, url)
    assert refused is not None
    assert refused.reason is Reason.HostNotAllowed
    assert refused.disposition is Disposition.PERSON
    assert "s3cret" not in refused.message


@pytest.mark.parametrize(
    ("service", "url", "expected"),
    [
        (Service.GITHUB, "https://ghe.corp.example/api/v3", True),
        (Service.GITHUB, "https://ghe.corp.example:443/api/v3", True),
        (Service.GITHUB, "https://ghe.corp.example:8443/api/v3", True),
        (Service.GITHUB, "https://ghe.corp.example:8444/api/v3", False),
        (Service.GITHUB, "https://ghe.corp.example:80/api/v3", False),
        (Service.GITHUB, "https://ghe.corp.example.evil.example", False),
        (Service.GITHUB, "https://xghe.corp.example", False),
        (Service.GITHUB, "https://one.git.example", True),
        (Service.GITHUB, "https://two.one.git.example", False),
        (Service.GITHUB, "https://git.example", False),
        (Service.GITHUB, "https://.git.example", False),
        (Service.GITHUB, "https://one.git.example:8443", False),
        (Service.GITHUB, "https://[2001:DB8:0:0::1]/api/v3", True),
        (Service.GITHUB, "https://[2001:db8::2]/api/v3", False),
        (Service.GITHUB, "https://acme.ghe.com", False),  # what is given replaces what was there
        (Service.GITHUB, "https://hub.corp.example:9443", False),
        (Service.HUB, "https://hub.corp.example:9443/api/jobs", True),
        (Service.HUB, "https://hub.corp.example/api/jobs", False),
        (Service.HUB, "https://HuggingFace.co./api/jobs", True),
        (Service.HUB, "https://api.github.com", False),
        (Service.HUB, "https://hf.co", False),
    ],
)
def test_an_entry_means_one_host_and_port(service: Service, url: str, expected: bool) -> None:
    assert allowed(service, url) is expected


def test_a_server_of_ones_own_whose_name_begins_with_api_is_not_another_without_it() -> None:
    hosts = Hosts.listed(github=["api.git.example"], hub=[])
    assert hosts.refuses(Service.GITHUB, "https://api.git.example/api/v3") is None
    assert hosts.refuses(Service.GITHUB, "https://git.example/api/v3") is not None


@pytest.mark.parametrize("host", ["ghe.corp.example", "127.0.0.1", "localhost", "sim.localhost", "[::1]"])
def test_plain_http_is_for_who_asked_for_it_on_this_machine_too(host: str) -> None:
    hosts = Hosts.listed(github=[host], hub=[host])
    for service in Service:
        refused = hosts.refuses(service, f"http://{host}/x")
        assert refused is not None
        assert "--allow-http" in refused.message
        assert refused.reason is Reason.HostNotAllowed
        assert replace(hosts, allow_http=True).refuses(service, f"http://{host}/x") is None


def test_plain_http_opens_no_other_host_and_no_other_port() -> None:
    assert allowed(Service.GITHUB, "http://ghe.corp.example", HTTP)
    assert not allowed(Service.GITHUB, "http://ghe.corp.example:443", HTTP)
    assert not allowed(Service.GITHUB, "http://evil.example", HTTP)


def test_the_schemes_own_port_may_be_written_or_left_out() -> None:
    simulator = Hosts.listed(github=["sim:80"], hub=["sim"], allow_http=True)
    assert allowed(Service.GITHUB, "http://sim/x", simulator)
    assert allowed(Service.GITHUB, "http://sim:80/x", simulator)
    assert not allowed(Service.GITHUB, "https://sim/x", simulator)
    assert allowed(Service.HUB, "http://sim:80/x", simulator)
    assert not allowed(Service.HUB, "http://sim:443/x", simulator)


def test_an_end_may_be_asked_of_any_host_but_not_by_plain_http() -> None:
    gone = "https://gone.example/api/v3"
    assert OWN.refuses(Service.GITHUB, gone) is not None
    assert OWN.refuses(Service.GITHUB, gone, ending=True) is None
    assert OWN.refuses(Service.GITHUB, gone.replace("https", "http"), ending=True) is not None
    assert OWN.refuses(Service.GITHUB, "https://user@gone.example", ending=True) is not None


def test_the_message_has_all_that_is_to_be_set() -> None:
    refused = DEFAULT_HOSTS.refuses(Service.GITHUB, "https://GHE.corp.example:8443/api/v3")
    assert refused is not None
    assert refused.message == (
        "spec.github.url names ghe.corp.example:8443, which is none of the hosts that credentials may be sent to. Whoever runs the "
        "controller can allow it: controller.githubHosts: [github.com, '*.ghe.com', 'ghe.corp.example:8443'] in the chart's values, or --github-host "
        "github.com --github-host '*.ghe.com' --github-host 'ghe.corp.example:8443'."
    )
    refused = OWN.refuses(Service.HUB, "https://hub.example")
    assert refused is not None
    assert refused.message.endswith("or --hub-endpoint hub.example.")


def test_of_a_pool_both_hosts_are_told_at_once() -> None:
    made = pool(
        source=replace(pool().source, api_url="https://ghe.example/api/v3"),
        hub=replace(pool().hub, endpoint="https://hub.example"),
    )
    refused = DEFAULT_HOSTS.refuses_pool(made)
    assert refused is not None
    assert "--github-host ghe.example" in refused.message
    assert "--hub-endpoint hub.example" in refused.message
    assert DEFAULT_HOSTS.refuses_pool(pool()) is None


def test_what_the_message_says_allows_the_host() -> None:
    named = host_of("https://[2001:db8::1]:8443/x")
    more = Hosts.listed(github=["github.com", str(named)], hub=[])
    assert allowed(Service.GITHUB, "https://[2001:db8::1]:8443/api/v3", more)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "*",
        "*.com",
        "*.",
        "a.*.example.com",
        "*ghe.com",
        "*.*.example.com",
        "https://ghe.example/api/v3",
        "https://ghe.example?x",
        "ghe.example/api",
        "user@ghe.example",
        "b\u00fccher.example",
        "ghe.example:x",
        "ghe.example:70000",
        "ftp://ghe.example",
        "ghe example",
        "-ghe.example",
        "a..b",
        "x" * 64 + ".example",
        ".".join(["x" * 60] * 5),
    ],
)
def test_what_is_no_entry_is_refused_with_how_to_write_one(given: str) -> None:
    with pytest.raises(HostError, match=r"^(write|leave)"):
        entry(given)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("GHE.Example.", "ghe.example"),
        ("ghe.example:", "ghe.example"),
        ("ghe.example:443", "ghe.example"),
        ("https://ghe.example/", "ghe.example"),
        ("http://sim:8080", "sim:8080"),
        ("*.Example.com", "*.example.com"),
        ("https://*.example.com:8443", "*.example.com:8443"),
        ("[0:0::1]:8443", "[::1]:8443"),
        ("10.0.0.1", "10.0.0.1"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ],
)
def test_entries_are_shown_in_the_form_that_is_compared(given: str, shown: str) -> None:
    assert str(entry(given)) == shown
    assert entry(shown) == entry(given)


def test_githubs_own_hosts_may_be_listed_by_either_name() -> None:
    by_api = Hosts.listed(github=["api.github.com", "https://github.com"], hub=[])
    assert [str(one) for one in by_api.github] == ["github.com"]
    assert allowed(Service.GITHUB, "https://api.github.com", by_api)


@given(st.text(max_size=40))
def test_no_text_is_a_mistake_of_ours(text: str) -> None:
    for url in (text, f"https://{text}", f"https://{text}@github.com", f"https://github.com{text}"):
        found = DEFAULT_HOSTS.refuses(Service.GITHUB, url)
        assert found is None or found.reason is Reason.HostNotAllowed
