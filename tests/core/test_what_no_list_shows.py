"""Runners that the lists do not show in full yet."""

from __future__ import annotations

from typing import Any

from controller.core.evidence import LIST_LAG
from controller.core.lifecycle import Phase

from .build import (
    NOW,
    hf_job,
    name_of,
    pool,
    registration,
    remembering,
    run_plan,
    snapshot,
    started,
)


def test_a_runner_whose_registration_is_not_listed_yet_is_not_ended() -> None:
    p = pool(deleting=True)
    view = snapshot(hf_jobs=[started(p)])
    assert not run_plan([p], view).actions


def test_it_is_ended_once_the_lists_prove_that_there_is_none() -> None:
    p = pool(deleting=True)
    gap: dict[str, Any] = {
        "alone_since": NOW - 3 * LIST_LAG,
        "alone_at": NOW - LIST_LAG - 2,
        "gone_at": NOW - LIST_LAG - 2,
    }
    memory = remembering(name_of(p), phase=Phase.ORPHANED, since=NOW - 100, **gap)
    done = run_plan([p], snapshot(hf_jobs=[started(p)]), memory=memory)
    assert len(done.actions) == 1


def test_surplus_is_given_back_only_where_the_registration_shows() -> None:
    p = pool(max_runners=3)
    view = snapshot(
        registrations=[registration(p, "listed")], hf_jobs=[hf_job(p, "listed"), hf_job(p, "unlisted")]
    )
    assert [action.name for action in run_plan([p], view).actions] == [name_of(p, "listed")]
