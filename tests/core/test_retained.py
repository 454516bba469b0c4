"""What must not be let go of after a pass."""

from __future__ import annotations

from dataclasses import replace

from controller.core.model import HFJob, Pool, SecretEnv, SecretRef, Stage
from controller.core.plan import Plan
from controller.core.retained import secrets_of_pools_that_leave, unaccounted
from tests.core.build import ACCOUNT, elsewhere, hf_job, pool, run_plan, snapshot

GITHUB, HUB, OWN = SecretRef("ci", "github-app"), SecretRef("ci", "hf-token"), SecretRef("ci", "own")


def ended(of: Pool) -> HFJob:
    """An HF Job of a pool that has ended."""
    return replace(hf_job(of), stage=Stage.COMPLETED)


def failed(done: Plan, of: Pool) -> Plan:
    """A plan in which one pool was left out for a fault of ours."""
    return replace(done, faults={of.uid: RuntimeError("odd")})


class TestHFJobsThatEnded:
    """Of pools that were left out of a pass."""

    def test_are_kept_by_their_account_and_id(self) -> None:
        of = pool()
        view = snapshot(ended=[ended(of)])
        assert unaccounted(failed(run_plan([of], view), of), view, [of]) == {(ACCOUNT, "hf-aaaa")}

    def test_of_pools_that_were_planned_are_let_go(self) -> None:
        of = pool()
        view = snapshot(ended=[ended(of)])
        assert unaccounted(run_plan([of], view), view, [of]) == set()

    def test_of_another_pool_or_in_another_account_are_none_of_them(self) -> None:
        of, other = pool(), pool("other")
        view = snapshot(ended=[ended(other)])
        view = replace(view, ended={**view.ended, elsewhere(of).account: (ended(of),)})
        assert unaccounted(failed(run_plan([of, other], view), of), view, [of, other]) == set()


class TestSecrets:
    """Of pools that leave."""

    def test_are_needed_at_every_place_and_for_the_runners_variables(self) -> None:
        of = pool(deleting=True, template=with_variable())
        assert held([of]) == {GITHUB, HUB, OWN}

    def test_that_another_pool_names_need_not_be_held(self) -> None:
        leaving = pool(deleting=True, template=with_variable())
        assert held([leaving, pool("stays")]) == {OWN}

    def test_of_pools_that_stay_need_not_be_held(self) -> None:
        assert held([pool(template=with_variable())]) == set()

    def test_of_a_pool_that_drains_are_held_too(self) -> None:
        assert held([pool(drain_request="now")]) == {GITHUB, HUB}

    def test_of_a_deleted_pool_that_was_left_out_of_the_pass_are_held(self) -> None:
        of = pool(deleting=True)
        done = replace(run_plan([of], snapshot()), reports={}, faults={of.uid: RuntimeError("odd")})
        assert secrets_of_pools_that_leave([of], done) == {GITHUB, HUB}


def with_variable() -> object:
    """A template with a variable that comes from a Secret."""
    return replace(pool().template, secret_env=(SecretEnv(name="TOKEN", secret=OWN, key="token"),))


def held(pools: list[Pool]) -> set[SecretRef]:
    """What is held after a pass over these pools."""
    return secrets_of_pools_that_leave(pools, run_plan(pools, snapshot()))
