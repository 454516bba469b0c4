"""Which proxy a request goes through: one rule for GitHub's client, the Hub's, Kubernetes', and kopf's.

The libraries read ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``NO_PROXY`` each in a way of its own. One takes no
ranges of addresses, one fails to be made when ``NO_PROXY`` has an IPv6 range. People write these variables
for kubectl and other programs in Go, so they mean here what they mean there
(https://pkg.go.dev/golang.org/x/net/http/httpproxy):

* a proxy for http and one for https; a proxy without a scheme is an http proxy;
* ``NO_PROXY``: addresses, ranges (``10.0.0.0/8``, ``fd00::/8``), names (also of what lies below them),
  ``.name`` or ``*.name`` (only of what lies below), each but a range with a port or without; ``*`` for
  everything;
* ``localhost`` and loopback addresses are never asked through a proxy, and, which Go leaves out, no name
  below ``localhost``: those are this machine's too (https://www.rfc-editor.org/rfc/rfc6761#section-6.3).

An entry that is none of these is skipped, as Go does. Lower-case variables are read where the upper-case ones
are not set. ``ALL_PROXY``, which Go does not know, is the proxy where there is no other, as the libraries
have it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Generic, TypeVar
from urllib.parse import urlsplit

import httpx
import httpx2

TransportT = TypeVar("TransportT", httpx.AsyncBaseTransport, httpx2.AsyncBaseTransport)

_Address = IPv4Address | IPv6Address
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class _Name:
    name: str
    itself: bool
    port: int | None

    def takes(self, host: str, address: _Address | None, port: int | None) -> bool:
        if address is not None or self.port not in (None, port):
            return False
        return host.endswith(f".{self.name}") or (self.itself and host == self.name)


@dataclass(frozen=True, slots=True)
class _One:
    address: _Address
    port: int | None

    def takes(self, host: str, address: _Address | None, port: int | None) -> bool:
        del host
        return address == self.address and self.port in (None, port)


@dataclass(frozen=True, slots=True)
class _Range:
    network: IPv4Network | IPv6Network

    def takes(self, host: str, address: _Address | None, port: int | None) -> bool:
        del host, port
        return address is not None and address.version == self.network.version and address in self.network


@dataclass(frozen=True, slots=True)
class _Everything:
    def takes(self, host: str, address: _Address | None, port: int | None) -> bool:
        del host, address, port
        return True


_Entry = _Name | _One | _Range | _Everything


class Proxies:
    """The proxies that an environment names.

    Args:
        environment: Variables by name; those of this process if None.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        found = os.environ if environment is None else environment

        def value(name: str) -> str:
            return (found.get(name) or found.get(name.lower()) or "").strip()

        everywhere = value("ALL_PROXY")
        self._by_scheme = {
            scheme: _with_scheme(value(f"{scheme.upper()}_PROXY") or everywhere) for scheme in _PORTS
        }
        entries = (_entry(word.strip().lower()) for word in value("NO_PROXY").split(","))
        self._direct: tuple[_Entry, ...] = tuple(entry for entry in entries if entry is not None)

    def of(self, url: str) -> str | None:
        """Return the proxy's URL for a request, None where it goes straight there, or where the URL is
        none.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or _PORTS.get(parts.scheme)
        except ValueError:
            return None
        proxy = self._by_scheme.get(parts.scheme)
        host = (parts.hostname or "").rstrip(".")
        if proxy is None or not host:
            return None
        address = _address(host)
        if (
            host == "localhost"
            or host.endswith(".localhost")
            or (address is not None and address.is_loopback)
        ):
            return None
        return None if any(entry.takes(host, address, port) for entry in self._direct) else proxy

    def unusable(self) -> str | None:
        """Return what is wrong with a proxy so that no request can go through it, for people; the address
        alone may hold a password.
        """
        for scheme, proxy in self._by_scheme.items():
            if proxy is None:
                continue
            if not _can_be_used(proxy):
                return (
                    f"{scheme.upper()}_PROXY is no address of a proxy. Write http://HOST:PORT or https://HOST:PORT; SOCKS proxies are "
                    "not supported."
                )
        return None


def _can_be_used(proxy: str) -> bool:
    try:
        parts = urlsplit(proxy)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _with_scheme(proxy: str) -> str | None:
    if not proxy:
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _entry(word: str) -> _Entry | None:
    """Read one entry of ``NO_PROXY``; None for one that says nothing."""
    if word == "*":
        return _Everything()
    if "/" in word:
        try:
            return _Range(ip_network(word, strict=False))
        except ValueError:
            return None
    if (whole := _address(word.removeprefix("[").removesuffix("]"))) is not None:
        return _One(whole, None)
    host, colon, digits = word.rpartition(":")
    if not colon:
        host, digits = word, ""
    elif not digits.isascii() or not digits.isdigit():
        return None
    port = int(digits[:6]) if digits else None
    if (address := _address(host.removeprefix("[").removesuffix("]"))) is not None:
        return _One(address, port)
    below = host.startswith((".", "*."))
    name = host.removeprefix("*").strip(".")
    return _Name(name, not below, port) if name and not set(name) & set("[]:*") else None


def _address(text: str) -> _Address | None:
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


class _Routed(Generic[TransportT]):
    """Transports by the proxy that they go through, each made when it is first needed; None is the one
    without a proxy.
    """

    def __init__(self, proxies: Proxies, make: Callable[[str | None], TransportT]) -> None:
        self._proxies = proxies
        self._make: Callable[[str | None], TransportT] = make
        self._made: dict[str | None, TransportT] = {}

    def _way_to(self, url: str) -> TransportT:
        proxy = self._proxies.of(url)
        if proxy not in self._made:
            self._made[proxy] = self._make(proxy)
        return self._made[proxy]

    async def aclose(self) -> None:
        """Close all that were made."""
        for transport in self._made.values():
            await transport.aclose()


class Routes(_Routed[httpx.AsyncBaseTransport], httpx.AsyncBaseTransport):
    """A transport that sends each request straight to its host, or through the proxy that the environment
    names for it.

    Args:
        proxies: Which.
        make: Makes the transport through a proxy, or without one.
    """

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        return await self._way_to(str(request.url)).handle_async_request(request)


class Routes2(_Routed[httpx2.AsyncBaseTransport], httpx2.AsyncBaseTransport):
    """The same for httpx2, which huggingface_hub is built on."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request."""
        return await self._way_to(str(request.url)).handle_async_request(request)
