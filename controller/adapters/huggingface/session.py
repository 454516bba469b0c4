"""The HTTP session that all accounts of the Hub share, and each account's share of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2
from huggingface_hub.utils import get_async_session  # type: ignore[attr-defined] # documented, not in __all__

from controller.adapters.offloop import AT_ONCE, SHARED, Workers
from controller.adapters.proxies import Proxies, Routes2
from controller.adapters.shares import Share, Shares
from controller.core.model import HubAccount

TIMEOUTS = httpx2.Timeout(connect=5.0, read=20.0, write=20.0, pool=5.0)
"""Seconds; huggingface_hub sets none (hf-jobs.md §5.3). The Hub has been seen to take seconds for a
launch."""

MOST_OF_ACCOUNT = 16
"""Requests of one account under way at once, each with a connection of its own; the executor starts no more
effects either. They hold 12 MiB of answers at most: sixteen small ones, and one large one at a time."""

MOST_OF_TENANT_AT_ENDPOINT, MOST_OF_TENANT = 32, 64
"""The same for all accounts whose Secrets are in one Kubernetes namespace, at one endpoint and altogether.
Whoever may make pools there can make accounts without end, by naming Hub namespaces; those of other
Kubernetes namespaces have turns of their own."""

MOST_OF_PUBLIC = 2
"""The same for what is asked of one endpoint without a token."""


class Session(httpx2.AsyncClient):
    """The HTTP session that all accounts share, with a share for each.

    Attributes:
        shares: Whose turn it is.
        workers: Parse large answers.
    """

    shares: Shares
    workers: Workers


def open_session(
    *,
    transport: httpx2.AsyncBaseTransport | None = None,
    before_send: Callable[[httpx2.Request], Awaitable[None]] | None = None,
) -> Session:
    """Make the HTTP session that all accounts share; the clients over it leave it open, and the caller closes
    it.

    Requests go through huggingface_hub's own hook, so that offline mode holds here too, and certificates are
    taken from the environment as it takes them. Otherwise it is our own:

    - proxies are chosen by the rule that all our clients share;
    - timeouts, and no redirects, which would carry a launch's secrets to another host;
    - no cookies, which would carry one account's identity into another's request;
    - no hook that reads a refusal whole, however large it is;
    - no bound on connections in common, which one user could exhaust: each has a share
      (:data:`MOST_OF_ACCOUNT`).

    Args:
        transport: Takes the place of the network, for simulations and tests.
        before_send: Awaited before each request; what it raises keeps the request from being sent.
    """
    hooks = [] if transport is not None else list(get_async_session().event_hooks["request"])
    if before_send is not None:
        hooks.append(before_send)
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=100)

    def through(proxy: str | None) -> httpx2.AsyncHTTPTransport:
        return httpx2.AsyncHTTPTransport(limits=limits, proxy=proxy)

    session = Session(
        transport=transport if transport is not None else Routes2(Proxies(), through),
        timeout=TIMEOUTS,
        trust_env=False,
        follow_redirects=False,
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
        event_hooks={"request": hooks},
    )
    session.shares = Shares()
    session.workers = SHARED if transport is None else AT_ONCE  # virtual time has no threads
    return session


def shares_of(endpoint: str, account: HubAccount | None) -> Sequence[Share]:
    """Return the shares that requests for an account take turns of, from the narrow to the wide; None asks
    without a token.
    """
    if account is None:
        return (Share(("public", endpoint), MOST_OF_PUBLIC),)
    tenant = account.secret.namespace
    return (
        Share(("account", account), MOST_OF_ACCOUNT),
        Share(("tenant at endpoint", tenant, endpoint), MOST_OF_TENANT_AT_ENDPOINT),
        Share(("tenant", tenant), MOST_OF_TENANT),
    )
