"""The options that say to which hosts credentials may be sent: the same for all commands that send some."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from controller.core.hosts import GITHUB_HOSTS, HUB_ENDPOINTS, HostError, Hosts, entry

ALLOW_HTTP = "Accept plain http, to this machine too; for simulators."


def _entries(_: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    for one in given:
        try:
            entry(one)
        except HostError as error:
            raise click.BadParameter(f"{one!r}: {error}", param=parameter) from None
    return given


def host_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--github-host``, ``--hub-endpoint`` and ``--allow-http``; the command gets them as ``hosts``."""

    @click.option(
        "--github-host",
        "github_hosts",
        metavar="HOST",
        multiple=True,
        callback=_entries,
        help="A host of GitHub to which credentials may be sent, with :PORT if it is not 443; *.DOMAIN for all names right below it; may "
        f"be repeated. Default: {' and '.join(GITHUB_HOSTS)}, which any given one replaces.",
    )
    @click.option(
        "--hub-endpoint",
        "hub_endpoints",
        metavar="HOST_OR_URL",
        multiple=True,
        callback=_entries,
        help=f"Likewise, of a Hugging Face Hub. Default: {' and '.join(HUB_ENDPOINTS)}.",
    )
    @click.option("--allow-http", is_flag=True, help=ALLOW_HTTP)
    @wraps(command)
    def with_hosts(
        *args: Any,  # noqa: ANN401 -- whatever the command takes
        github_hosts: tuple[str, ...],
        hub_endpoints: tuple[str, ...],
        allow_http: bool,
        **options: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        hosts = Hosts.listed(
            github=github_hosts or GITHUB_HOSTS, hub=hub_endpoints or HUB_ENDPOINTS, allow_http=allow_http
        )
        return command(*args, hosts=hosts, **options)

    return with_hosts
