"""What conditions say of a pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from controller.core.model import Failure, Observation, Pool, Registration, Scope, ScopeKind, Snapshot
from controller.core.status import Instant, build_status
from tests.core.build import NOW, OUTAGE, REFUSED, SERVER, SOURCE, job, pool, run_plan, seen, snapshot

ORGANIZATION = pool(
    scope=Scope(kind=ScopeKind.ORGANIZATION, owner="acme"), include=("acme/lib", "acme/other")
)


def conditions(of: Pool, view: Snapshot) -> dict[str, tuple[str, str]]:
    report = run_plan([of], view).reports[of.uid]
    now = Instant(mono=NOW, wall=SERVER)
    status = build_status(report, previous={}, overlaps=(), usd_per_second={}, start=now, now=now)
    return {known["type"]: (known["status"], known["reason"]) for known in status["conditions"]}


def repositories(lib: Failure | None, other: Failure | None) -> Snapshot:
    queues: dict[Any, Observation[Any]] = {
        (SOURCE, "acme/lib"): seen([job()], failure=lib),
        (SOURCE, "acme/other"): seen(failure=other),
    }
    nothing: Iterable[Registration] = ()
    base = snapshot(jobs=None, registrations=None)
    return replace(base, queues=queues, registrations={ORGANIZATION.footprint.registrations: seen(nothing)})


def test_a_pool_that_can_read_none_of_its_repositories_is_not_ready() -> None:
    # Registrations of a quiet pool are listed every five minutes: their last list may be fine for that long.
    found = conditions(ORGANIZATION, repositories(REFUSED, REFUSED))
    assert found["Ready"] == ("False", "GitHubUnauthorized")
    assert found["Stalled"] == ("True", "GitHubUnauthorized")
    assert found["RepositoriesReadable"] == ("False", "GitHubUnauthorized")


@pytest.mark.parametrize("other", [None, OUTAGE])
def test_one_bad_repository_of_two_leaves_the_pool_ready(other: Failure | None) -> None:
    found = conditions(ORGANIZATION, repositories(REFUSED, other))
    assert found["Ready"] == ("True", "Serving")
    assert found["RepositoriesReadable"] == ("False", "GitHubUnauthorized")


def test_an_outage_of_github_stalls_nobody() -> None:
    found = conditions(ORGANIZATION, repositories(OUTAGE, OUTAGE))
    assert found["Stalled"][0] == "False"


def test_a_pool_that_waits_for_a_person_is_not_being_reconciled() -> None:
    # Helm 4, Flux and kubectl's kstatus judge by the first of Reconciling and Stalled that is true: they would wait for ever.
    found = conditions(ORGANIZATION, replace(repositories(REFUSED, REFUSED), registrations={}))
    assert found["Stalled"] == ("True", "GitHubUnauthorized")
    assert found["Reconciling"] == ("False", "GitHubUnauthorized")


def test_a_pool_that_nothing_is_known_of_is_being_reconciled() -> None:
    found = conditions(ORGANIZATION, replace(repositories(None, None), registrations={}))
    assert found["Stalled"][0] == "False"
    assert found["Reconciling"] == ("True", "Pending")
