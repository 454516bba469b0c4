"""When an effect need not be remembered any more, and where a runner is of which one half shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.core.actions import Retire
from controller.core.effects import Effect, find_shown
from controller.core.evidence import LIST_LAG
from controller.core.lifecycle import Phase
from controller.core.model import HFJob, RegistrationScope, Scope, ScopeKind, SecretRef, Snapshot, Stage

from .build import (
    ACCOUNT,
    NOW,
    SERVER,
    elsewhere,
    hf_job,
    launching,
    name_of,
    pool,
    registration,
    remembering,
    run_plan,
    seen,
    snapshot,
    started,
)

P = pool()
OURS = hf_job(P)
OTHER_ACCOUNT = elsewhere(P).account


def launched(hf_job: HFJob | None = OURS, **changes: Any) -> dict[str, Any]:
    return launching(P, finished_at=NOW - 5, hf_job=hf_job, **changes)


def after(items: list[HFJob], **more: Any) -> Snapshot:
    """Lists that were asked for after the launch was answered."""
    return replace(snapshot(hf_jobs=items), **more)


OVER = replace(OURS, stage=Stage.ERROR, finished_at=SERVER)


class TestALaunchIsForgotten:
    def test_when_a_later_list_shows_its_hf_job(self) -> None:
        assert find_shown(launched(), after([OURS]), [P]) == [name_of(P)]

    def test_when_its_hf_job_has_ended(self) -> None:
        assert find_shown(launched(), after([], ended={ACCOUNT: (OVER,)}), [P]) == [name_of(P)]

    def test_when_lists_have_had_the_time_to_show_it(self) -> None:
        view = Snapshot(hf_jobs={ACCOUNT: seen([], at=NOW + LIST_LAG)})
        assert find_shown(launched(), view, [P]) == [name_of(P)]

    def test_when_the_pools_new_secret_shows_it(self) -> None:
        """The list of the Secret that launched it is read no more."""
        renamed = replace(P, hub=replace(ACCOUNT, secret=SecretRef("ci", "new-token")))
        view = Snapshot(hf_jobs={renamed.hub: seen([OURS])})
        assert find_shown(launched(), view, [renamed]) == [name_of(P)]


class TestALaunchIsRemembered:
    def test_while_it_is_under_way(self) -> None:
        assert find_shown(launching(P), after([OURS]), [P]) == []

    def test_while_later_lists_may_lag(self) -> None:
        assert find_shown(launched(), after([]), [P]) == []

    def test_when_another_accounts_list_shows_or_ends_an_hf_job_of_its_name(self) -> None:
        lies = {"ended": {OTHER_ACCOUNT: (OVER,)}, "hf_jobs": {ACCOUNT: seen(), OTHER_ACCOUNT: seen([OURS])}}
        assert find_shown(launched(), after([], **lies), [P]) == []

    @pytest.mark.parametrize("ended", [False, True])
    def test_when_only_a_copy_of_its_hf_job_shows(self, ended: bool) -> None:
        copy = replace(OVER if ended else OURS, id="copy")
        view = after([], ended={ACCOUNT: (copy,)}) if ended else after([copy])
        assert find_shown(launched(), view, [P]) == []


def test_a_retirement_is_forgotten_once_lists_show_its_hf_job_no_more() -> None:
    effect = launching(P, effect=Effect.RETIRE, finished_at=NOW - 5)
    assert find_shown(effect, after([OURS]), [P]) == []
    assert find_shown(effect, after([]), [P]) == [name_of(P)]


def test_an_effect_without_an_hf_job_is_forgotten_when_it_has_ended() -> None:
    effect = launching(P, effect=Effect.RETIRE, footprint=None, finished_at=NOW - 5)
    assert find_shown(effect, snapshot(), [P]) == [name_of(P)]


class TestAPoolThatMovedToAnotherRepositoryAndNamespace:
    """One half of a runner shows at the former place: the other half is looked for there, too."""

    former = P.footprint
    moved = pool(
        scope=Scope(kind=ScopeKind.REPOSITORY, owner="acme", repository="new"),
        hub=OTHER_ACCOUNT,
        former=(former,),
    )

    def lists(self, **former: Any) -> Snapshot:
        base = snapshot(jobs=None, **former)
        where = RegistrationScope(self.moved.source, self.moved.scope)
        return replace(
            base,
            registrations={**base.registrations, where: seen()},
            hf_jobs={**base.hf_jobs, OTHER_ACCOUNT: seen()},
        )

    @pytest.mark.parametrize(
        "half",
        [{"hf_jobs": [started(P)]}, {"registrations": [registration(P)]}],
        ids=["HF Job", "registration"],
    )
    def test_a_half_is_at_the_former_place(self, half: dict[str, Any]) -> None:
        (runner,) = run_plan([self.moved], self.lists(**half)).reports[P.uid].runners
        assert runner.footprint == self.former

    def test_an_action_is_about_the_former_place_alone(self) -> None:
        gap: dict[str, Any] = {"alone_since": NOW - 2 * LIST_LAG, "alone_at": NOW - 1, "online_at": NOW - 900}
        memory = remembering(name_of(P), phase=Phase.FINISHED, since=NOW - 900, job_done=True, **gap)
        leaving = replace(self.moved, deleting=True)
        (action,) = run_plan([leaving], self.lists(hf_jobs=[started(P)]), memory=memory).actions
        assert isinstance(action, Retire)
        assert (action.scope, action.account) == (self.former.registrations, self.former.account)
