"""Hosts of existing pools to which this release would send no credentials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from controller.cli.upgrades.findings import Finding
from controller.core.hosts import Host, Hosts, Service, host_of
from controller.core.model import Pool

Found = tuple[Pool, Mapping[str, Any]]
"""A pool, and the object that it was read from."""


def find_hosts(pools: Sequence[Found], hosts: Hosts) -> Sequence[Finding]:
    """Return what has to be allowed so that all pools go on being served.

    Args:
        pools: All pools that are watched.
        hosts: What the new release is to allow, by its values.
    """
    findings = []
    anyway = replace(hosts, allow_http=True)
    http = [
        _line(pool, obj, service, url)
        for pool, obj in pools
        for service, url in _urls(pool)
        if not hosts.allow_http and url.startswith("http://") and _is_this_machine(url)
    ]
    if http:
        findings.append(
            Finding(
                what="These RunnerPools name a host by plain http. This release asks nobody so, its own pod neither, unless plain http "
                "is allowed; it is for simulators.",
                where=tuple(http),
                values={"controller.allowHttp": True},
            )
        )
    for service in Service:
        more: dict[Host, None] = {}
        where = []
        for pool, obj in pools:
            url = dict(_urls(pool))[service]
            worked = url.startswith("https://") or hosts.allow_http or _is_this_machine(url)
            if worked and anyway.refuses(service, url) is not None:
                more[host_of(url)] = None
                where.append(_line(pool, obj, service, url))
        if where:
            wanted = [str(one) for one in dict.fromkeys([*hosts.of(service), *more])]
            findings.append(
                Finding(
                    what=f"These RunnerPools name a host to which this release sends no credentials unless {service.chart_value} has "
                    "it: they would say HostNotAllowed, launch nothing, and end their free runners. Allow the hosts that you know, and "
                    "correct or delete the pools that name another one: whoever wrote it there would get what the pool's Secret holds.",
                    where=tuple(where),
                    values={service.chart_value: wanted},
                )
            )
    return findings


def _urls(pool: Pool) -> Sequence[tuple[Service, str]]:
    return ((Service.GITHUB, pool.source.api_url), (Service.HUB, pool.hub.endpoint))


def _line(pool: Pool, obj: Mapping[str, Any], service: Service, url: str) -> str:
    return f"{pool.key}: {host_of(url)} ({service.field}), {_ready(obj)}"


def _ready(obj: Mapping[str, Any]) -> str:
    """Return what a pool says of itself now, so that a person can tell a host that works from a mistyped one."""
    status = obj.get("status")
    conditions = status.get("conditions") if isinstance(status, Mapping) else None
    for one in conditions if isinstance(conditions, list) else ():
        if isinstance(one, Mapping) and one.get("type") == "Ready":
            return "Ready" if one.get("status") == "True" else f"not Ready: {one.get('reason')}"
    return "not looked at yet"


def _is_this_machine(url: str) -> bool:
    """Return whether releases before this one took plain http to a host for safe."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
