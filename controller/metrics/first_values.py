"""Series that appear with 0 before anything is counted: a rate misses the increase that
makes a series appear.
"""

from __future__ import annotations

from collections.abc import Iterable

from controller.core.facts import DEADLINES
from controller.core.model import PoolKey
from controller.core.reasons import Reason
from controller.core.report import PoolReport
from controller.metrics import catalog
from controller.metrics.collected import account, credential
from controller.metrics.series import Owner, Series

_LOST_BECAUSE = (
    Reason.PlatformCancelled,
    Reason.Terminated,
    Reason.RunnerFailed,
    Reason.EndedAfterJob,
    Reason.EndedUnseen,
    Reason.TimedOut,
    Reason.RunnerLost,
)
_LAUNCHES_FAIL_BY = (
    Reason.FlavorOutOfCapacity,
    Reason.SchedulingDeadline,
    Reason.RegistrationDeadline,
    Reason.RunnerFailed,
)
_GITHUB_FAILS_BY = (
    Reason.GitHubUnauthorized,
    Reason.AppNotInstalled,
    Reason.AppSuspended,
    Reason.PermissionMissing,
    Reason.GitHubRateLimited,
    Reason.GitHubSecondaryLimit,
    Reason.GitHubUnavailable,
    Reason.SecretMissing,
    Reason.SecretForbidden,
    Reason.SecretMalformed,
)
_HUB_FAILS_BY = (
    Reason.HubUnauthorized,
    Reason.HubForbidden,
    Reason.HubPaymentRequired,
    Reason.HubRateLimited,
    Reason.HubUnavailable,
    Reason.SecretMissing,
    Reason.SecretForbidden,
    Reason.SecretMalformed,
)


class FirstValues:
    """Shows what pools may count, each once for its flavors and again at its first runner."""

    def __init__(self, series: Series) -> None:
        self._series = series
        self._known: dict[PoolKey, tuple[tuple[str, ...], bool]] = {}

    def forget(self, owner: Owner) -> None:
        """Show all of a pool's again, should it come back: its series were dropped."""
        if isinstance(owner, PoolKey):
            self._known.pop(owner, None)

    def welcome(self, report: PoolReport) -> None:
        """Show what a pool counts before it counts anything: little while it is idle, the rest
        from its first runner on.
        """
        pool = report.pool
        key, labels = pool.key, (pool.key.namespace, pool.key.name)
        known = self._known.get(key)
        active = bool(report.runners or report.launching) or (known is not None and known[1])
        if known == (pool.flavors, active):
            return
        self._known[key] = (pool.flavors, active)
        for flavor in pool.flavors:
            for spec in (catalog.LAUNCHES, catalog.FALLBACKS, catalog.BILLED_SECONDS, catalog.COST):
                self._series.show(key, spec, (*labels, flavor))
        github, hub = credential(pool.source), account(pool.hub)
        for reason in _GITHUB_FAILS_BY:
            self._series.show(github, catalog.GITHUB_ERRORS, (github, str(reason)))
        for reason in _HUB_FAILS_BY:
            self._series.show(hub, catalog.HUB_ERRORS, (hub, str(reason)))
        if active:
            self._welcome_runners(key, pool.flavors)

    def _welcome_runners(self, key: PoolKey, flavors: Iterable[str]) -> None:
        labels = (key.namespace, key.name)
        for spec in (
            catalog.QUEUE_TO_ONLINE,
            catalog.QUEUE_TO_START,
            catalog.RETRIES,
            catalog.VERSION_REFUSED,
        ):
            self._series.show(key, spec, labels)
        for deadline in DEADLINES.values():
            self._series.show(key, catalog.STUCK, (*labels, deadline))
        for reason in _LOST_BECAUSE:
            self._series.show(key, catalog.LOST, (*labels, str(reason)))
        for flavor in flavors:
            for reason in _LAUNCHES_FAIL_BY:
                self._series.show(key, catalog.LAUNCH_FAILURES, (*labels, flavor, str(reason)))
