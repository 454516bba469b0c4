"""Hosts of existing pools to which this release would send no credentials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from controller.cli.upgrades.findings import Finding
from controller.cli.upgrades.pools import Found, looked_at, own_status
from controller.core.hosts import Host, Hosts, Service, host_of
from controller.core.model import Pool


def find_hosts(pools: Sequence[Found], hosts: Hosts) -> Sequence[Finding]:
    """Return what has to be allowed so that all pools go on being served.

    Args:
        pools: All pools that are watched, and not refused already.
        hosts: What the new release is to allow, by its values.
    """
    findings = []
    anyway = replace(hosts, allow_http=True)
    http = [
        _line(pool, obj, service, url)
        for pool, obj in pools
        for service, url in _urls(pool)
        if not hosts.allow_http and url.startswith("http://") and _worked(obj, url)
    ]
    if http:
        findings.append(
            Finding(
                what="These RunnerPools name a host by plain http. This release asks nobody so, its own pod neither, unless plain http "
                "is allowed; it is for simulators, since whoever is on the way reads the credentials.",
                where=tuple(http),
                values={"controller.allowHttp": True},
            )
        )
    for service in Service:
        more: dict[Host, None] = {}
        where = []
        for pool, obj in pools:
            url = dict(_urls(pool))[service]
            if (hosts.allow_http or _worked(obj, url)) and anyway.refuses(service, url) is not None:
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
    return f"{pool.key}: {host_of(url)} ({service.field}), {own_status(obj)}"


def _worked(obj: Mapping[str, Any], url: str) -> bool:
    """Return whether the installed release asks a host, as far as that is a matter of http or https.

    Whether it allows plain http is not known here. Where it does not, a pool says ``InvalidSpec`` at the
    first look, and is none of those that are looked at; so one that was looked at is asked.
    """
    return url.startswith("https://") or _is_this_machine(url) or looked_at(obj)


def _is_this_machine(url: str) -> bool:
    """Return whether releases before this one took plain http to a host for safe."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
