"""Where credentials may still go although the host is not allowed any more: to end what was
launched while it was.

Whoever runs the controller takes a host from its lists, and the controller starts anew. Runners that it has
launched there would run on, and be paid for, until their deadlines. So the clients let those requests through
that list them, remove a registration or cancel an HF Job, and no others, to places where the pool's status
tells of a launch, for as long as anything of it can live.

Whoever may patch a pool's status could write any place into it. In Kubernetes' own roles that is nobody who
may not read the Secrets of the same namespace, which are the only ones that such a place can name; what is
left is bounded by time: a status is read once, when the process first sees the pool, and no place counts for
longer than a launch can last.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from controller.core.drained import LONGEST
from controller.core.hosts import Hosts, Service
from controller.core.model import GitHubSource, HubAccount, Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Endings:
    """Credentials, each with the host and the owner or namespace it is for, that may end
    what was launched with them.

    Attributes:
        sources: At GitHub.
        accounts: On the Hub.
    """

    sources: frozenset[GitHubSource] = frozenset()
    accounts: frozenset[HubAccount] = frozenset()


NO_ENDINGS = Endings()


def endings(pools: Iterable[Pool], hosts: Hosts, *, began: float, wall: float) -> Endings:
    """Return what may be ended at hosts that are not allowed.

    Args:
        pools: All pools.
        hosts: Where credentials may be sent.
        began: Epoch seconds when this process began: everything at such hosts was launched before.
        wall: Epoch seconds now.
    """
    sources: set[GitHubSource] = set()
    accounts: set[HubAccount] = set()
    for pool in pools:
        for footprint in pool.footprints:
            bound = pool.bound(footprint.place)
            if bound is None or wall > min(bound, began + LONGEST):
                continue
            source, account = footprint.registrations.source, footprint.account
            if _refused(hosts, Service.GITHUB, source.api_url):
                sources.add(source)
            if _refused(hosts, Service.HUB, account.endpoint):
                accounts.add(account)
    return Endings(sources=frozenset(sources), accounts=frozenset(accounts))


@lru_cache(maxsize=1_024)
def _refused(hosts: Hosts, service: Service, url: str) -> bool:
    """Return whether a host is not allowed. Every pass asks it of every pool's places, of which
    few differ and none changes.
    """
    return hosts.refuses(service, url) is not None
