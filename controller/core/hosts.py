"""To which hosts credentials may be sent: the one rule for pools, for the clients' every
request, and for all commands.

Whoever writes a RunnerPool names a host and, beside it, a Secret that the controller reads with a right of
its own. So it is not the pool that decides where Secrets go, but whoever runs the controller: by lists of
hosts, of which every request must be to one.

Hosts are compared in one form: lower case, no final dot, IPv6 addresses shortened and without brackets, and
the port. An entry without a port means the scheme's own. ``*.`` at the beginning of an entry stands for one
label, as in certificates (https://www.rfc-editor.org/rfc/rfc6125#section-6.4.3). A name with other letters
than ASCII has to be written in Punycode (``xn--...``): programs differ in how they translate one, and what
they make of it may be somebody else's name.

GitHub's own hosts count by the name that people see: requests for github.com go to api.github.com, and those
for SUBDOMAIN.ghe.com to api.SUBDOMAIN.ghe.com (docs/facts.md#api-hosts).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from controller.core.model import Disposition, Failure, Pool
from controller.core.reasons import Reason

_PORTS = {"https": 443, "http": 80}
_LABEL = r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_WILDCARD = re.compile(rf"\*\.{_LABEL}(?:\.{_LABEL})+")
_LONGEST_NAME = 253
_LONGEST_URL = 2_048

DATA_RESIDENCY = ".ghe.com"
"""End of the names of GitHub Enterprise Cloud with data residency."""


class HostError(ValueError):
    """What was given names no host; the message says how to write it."""


class Service(Enum):
    """Which list a host has to be in.

    Attributes:
        flag: Of all commands.
        chart_value: The same in the chart's values.
        field: Of a RunnerPool, where its host is named.
    """

    GITHUB = ("--github-host", "controller.githubHosts", "spec.github.url")
    HUB = ("--hub-endpoint", "controller.hubEndpoints", "spec.huggingface.endpoint")

    def __init__(self, flag: str, chart_value: str, field: str) -> None:
        self.flag, self.chart_value, self.field = flag, chart_value, field


@dataclass(frozen=True, slots=True, order=True)
class Host:
    """A host in the form that is compared.

    Attributes:
        name: Lower-case name without a final dot, or an address; of an entry perhaps with ``*.`` before it.
        port: Number; None in an entry for the scheme's own port.
    """

    name: str
    port: int | None = None

    def __str__(self) -> str:
        """As it is written in an entry."""
        name = f"[{self.name}]" if ":" in self.name else self.name
        return name if self.port is None else f"{name}:{self.port}"


def is_hosted(host: str) -> bool:
    """Return whether GitHub runs a web host itself: then its REST API has a host of its own,
    ``api.`` before the name.
    """
    return host == "github.com" or host.endswith(DATA_RESIDENCY)


def host_of(url: str) -> Host:
    """Return the host that a URL names, with a port where that is not the scheme's own.

    Raises:
        HostError: It names none, or in a way that programs may read differently.
    """
    # Line ends and tabs would be taken out in silence, and a backslash is a slash to some.
    if len(url) > _LONGEST_URL or not all("!" <= letter <= "~" and letter != "\\" for letter in url):
        raise HostError(
            "write https://HOST, in ASCII letters without spaces; other letters as Punycode (xn--...)"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise HostError("write https://HOST or https://HOST:PORT") from None
    scheme = parts.scheme.lower()
    if scheme not in _PORTS or not parts.hostname:
        raise HostError("write https://HOST or https://HOST:PORT")
    if "@" in parts.netloc:
        raise HostError("leave out user and password: the credentials are in the Secret")
    if port == 0:
        raise HostError("write a port from 1 to 65535")
    return Host(_canonical(parts.hostname), None if port in (None, _PORTS[scheme]) else port)


def _canonical(name: str) -> str:
    """Return a host's name in the form that is compared.

    Raises:
        HostError: It is none.
    """
    name = name.lower()
    try:
        address = ip_address(name)
    except ValueError:
        name = name.removesuffix(".")
        # One that ends in a number is an address to some, as 127.1 is.
        number = re.fullmatch(r"[0-9]+|0x[0-9a-f]*", name.rpartition(".")[2])
        if len(name) > _LONGEST_NAME or number or not _NAME.fullmatch(name):
            raise HostError("write a host's name or address") from None
        return name
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise HostError("write an address without a zone")
    return address.compressed


def entry(given: str) -> Host:
    """Return one entry of a list: ``HOST``, ``HOST:PORT``, ``*.DOMAIN``, or a URL of these without a path.

    Raises:
        HostError: It is none of them.
    """
    url = given if "://" in given else f"https://{given}"
    star = url.partition("://")[2].startswith("*.")
    host = host_of(url.replace("://*.", "://", 1) if star else url)
    if urlsplit(url)._replace(scheme="", netloc="").geturl() not in ("", "/"):
        raise HostError("write HOST or HOST:PORT: hosts are compared, so leave out what comes behind")
    if not star:
        return host
    if not _WILDCARD.fullmatch(f"*.{host.name}"):
        raise HostError("write *. before a domain of at least two labels, such as *.example.com")
    return Host(f"*.{host.name}", host.port)


def _as_people_see_it(host: Host, service: Service) -> Host:
    """Return GitHub's own hosts by the name of their web pages."""
    if service is not Service.GITHUB or host.port is not None:
        return host
    if host.name in ("api.github.com", "www.github.com"):
        return Host("github.com")
    if host.name.startswith("api.") and host.name.endswith(DATA_RESIDENCY):
        return Host(host.name.removeprefix("api."))
    return host


def _admits(listed: Host, host: Host, scheme: str) -> bool:
    """Return whether an entry means a host; ``host`` has a port where that is not the scheme's own."""
    if listed.port != host.port and listed.port != (host.port or _PORTS[scheme]):
        return False
    if not listed.name.startswith("*."):
        return listed.name == host.name
    label, _, domain = host.name.partition(".")
    return bool(label) and f"*.{domain}" == listed.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """To which hosts credentials may be sent.

    Attributes:
        github: Entries for GitHub.
        hub: Entries for the Hub.
        allow_http: Plain http is allowed, to these hosts; for simulators.
    """

    github: tuple[Host, ...]
    hub: tuple[Host, ...]
    allow_http: bool = False

    @classmethod
    def listed(cls, *, github: Iterable[str], hub: Iterable[str], allow_http: bool = False) -> Hosts:
        """Return lists by their entries, each as :func:`entry` takes it.

        Raises:
            HostError: An entry is none.
        """
        return cls(
            github=tuple(dict.fromkeys(_as_people_see_it(entry(one), Service.GITHUB) for one in github)),
            hub=tuple(dict.fromkeys(map(entry, hub))),
            allow_http=allow_http,
        )

    def of(self, service: Service) -> tuple[Host, ...]:
        """Return one of the two lists."""
        return self.github if service is Service.GITHUB else self.hub

    def refuses(self, service: Service, url: str, *, ending: bool = False) -> Failure | None:
        """Return why a request may not be sent, None where it may.

        Args:
            service: Whose list counts.
            url: Of the request, or of a pool's spec.
            ending: It only ends what was launched there while the host was allowed, or
                shows that it has ended.
        """
        try:
            host = _as_people_see_it(host_of(url), service)
        except HostError as error:
            return _not_allowed(f"{service.field} names no host that credentials could be sent to: {error}.")
        scheme = urlsplit(url).scheme.lower()
        if not self.allow_http and scheme != "https":
            return _not_allowed(
                f"{host} is named with plain http, which would show the credentials to the network: write https:// into "
                f"{service.field}. For a simulator, run with --allow-http (chart: controller.allowHttp: true)."
            )
        if ending or any(_admits(listed, host, scheme) for listed in self.of(service)):
            return None
        return _not_allowed(
            f"{service.field} names {host}, which is none of the hosts that credentials may be sent to. Whoever runs the controller can "
            f"allow it: "
            f"{self.how_to_allow(service, host)}."
        )

    def refuses_pool(self, pool: Pool) -> Failure | None:
        """Return why a pool's spec may not be followed, of both of its hosts; None where it may."""
        both = (
            self.refuses(Service.GITHUB, pool.source.api_url),
            self.refuses(Service.HUB, pool.hub.endpoint),
        )
        found = [failure.message for failure in both if failure is not None]
        return _not_allowed(" ".join(found)) if found else None

    def how_to_allow(self, service: Service, host: Host) -> str:
        """Return the chart's value, and the flags, that allow one more host; a list replaces
        what is allowed unless said.
        """
        listed = self.of(service)
        value = ", ".join(_quoted(str(one)) for one in (*listed, host))
        unless_said = listed == DEFAULT_HOSTS.of(service)
        flags = " ".join(
            f"{service.flag} {_quoted(str(one))}" for one in ((*listed, host) if unless_said else (host,))
        )
        return f"{service.chart_value}: [{value}] in the chart's values, or {flags}"


def _quoted(text: str) -> str:
    """Return an entry that a shell and YAML take as it is."""
    return f"'{text}'" if set(text) & set("*[]:") else text


def _not_allowed(message: str) -> Failure:
    return Failure(reason=Reason.HostNotAllowed, message=message, disposition=Disposition.PERSON)


GITHUB_HOSTS, HUB_ENDPOINTS = ("github.com", f"*{DATA_RESIDENCY}"), ("huggingface.co",)
"""What is allowed where nothing else is said."""

DEFAULT_HOSTS = Hosts.listed(github=GITHUB_HOSTS, hub=HUB_ENDPOINTS)
