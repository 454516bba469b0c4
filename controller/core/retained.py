"""What must not be let go of after a pass: HF Jobs that were not accounted, and Secrets that
pools which leave still need.
"""

from __future__ import annotations

from collections.abc import Sequence

from controller.core.model import HubAccount, Pool, SecretRef, Snapshot
from controller.core.ownership import is_of_pool
from controller.core.plan import Plan


def unaccounted(done: Plan, snapshot: Snapshot, pools: Sequence[Pool]) -> set[tuple[HubAccount, str]]:
    """Return ended HF Jobs, by account and id, of pools that could not be planned: they are
    accounted once those are.

    Only of each pool's own accounts: what another team's list calls by the same id, or by the
    pool's name, is another thing.
    """
    return {
        (account, job.id)
        for pool in pools
        if pool.uid in done.faults
        for account in {place.account for place in pool.footprints}
        for job in snapshot.ended.get(account, ())
        if is_of_pool(job, pool.uid)
    }


def secrets_of_pools_that_leave(pools: Sequence[Pool], done: Plan) -> set[SecretRef]:
    """Return the Secrets that pools name which leave, and no others name."""
    leaving = {uid for uid, report in done.reports.items() if report.pool.leaving}
    leaving |= {pool.uid for pool in pools if pool.deleting}
    needed: dict[bool, set[SecretRef]] = {True: set(), False: set()}
    for pool in pools if leaving else ():
        mine = needed[pool.uid in leaving]
        mine.update(variable.secret for variable in pool.template.secret_env)
        for place in pool.footprints:
            mine.update((place.registrations.source.secret, place.account.secret))
    return needed[True] - needed[False]
