"""Opens clients for whatever credentials the pools name."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

from controller.adapters.connections import SecretCache, SecretConnections
from controller.adapters.fence import Hook
from controller.adapters.github.auth import credentials_from_secret
from controller.adapters.github.connection import GitHubConnection
from controller.adapters.github.limits import POINTS_PER_MINUTE, Shares
from controller.adapters.huggingface.flavors import HubHardware
from controller.adapters.huggingface.jobs import HubJobs
from controller.adapters.huggingface.session import Session
from controller.adapters.kube.client import Client
from controller.adapters.kube.secrets import KubernetesSecrets
from controller.app.clock import SystemClock
from controller.app.options import Options
from controller.core.model import Disposition, Failure, GitHubSource, HubAccount
from controller.core.reasons import Reason
from controller.core.text import text
from controller.ports import GitHub, Hub, Meter, UpstreamError


def points_per_minute(api_url: str, chosen: int | None) -> int | None:
    """Return the pace for one host.

    GitHub documents a limit of its own; an Enterprise Server has none unless its administrator wants one (github.md §1.5),
    and the client slows down when it meets it.
    """
    if chosen is not None:
        return chosen or None
    host = urlsplit(api_url).hostname or ""
    return POINTS_PER_MINUTE if host == "api.github.com" or host.endswith(".ghe.com") else None


def open_connections(
    options: Options, *, clock: SystemClock, kube: Client, before_send: Hook, meter: Meter, session: Session
) -> SecretConnections:
    """Return clients over one Hub session, which the caller closes; the caller closes what is returned too, before that."""
    hosts = options.settings.hosts
    tls = ssl.create_default_context()  # shared: making one costs 16 ms and a megabyte
    shares = Shares()  # of GitHub's limits, between Secrets that lead to one installation

    def open_github(source: GitHubSource, data: Mapping[str, str]) -> GitHub:
        return GitHubConnection(
            source=source,
            credentials=credentials_from_secret(data, ref=source.secret),
            clock=clock,
            tls=tls,
            shares=shares,
            points_per_minute=points_per_minute(source.api_url, options.points_per_minute),
            hosts=hosts,
            may_end=lambda: connections.may_end(source),
            before_send=before_send,
            meter=lambda answer, _: meter.answered(source, answer.status),
        )

    def open_hub(account: HubAccount, data: Mapping[str, str]) -> Hub:
        token = data.get("token")
        if token is None:
            raise UpstreamError(
                Failure(
                    reason=Reason.SecretMalformed,
                    message=f"Secret {account.secret} has no key 'token' with a Hugging Face token; it has "
                    f"{text(', '.join(sorted(data)), 200) or 'none'}",
                    disposition=Disposition.PERSON,
                )
            )
        return HubJobs(
            account=account,
            token=token,
            session=session,
            clock=clock,
            meter=lambda status: meter.answered(account, status),
            hosts=hosts,
            may_end=lambda: connections.may_end(account),
        )

    def open_hardware(endpoint: str) -> HubHardware:
        return HubHardware(session=session, endpoint=endpoint, clock=clock, hosts=hosts)

    reader = KubernetesSecrets(client=kube, access=options.secret_access)
    secret_cache = SecretCache(secrets=reader, clock=clock)
    connections = SecretConnections(
        cache=secret_cache,
        open_github=open_github,
        open_hub=open_hub,
        open_hardware=open_hardware,
        hosts=hosts,
        meter=meter,
    )
    return connections
