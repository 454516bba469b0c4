"""controller.api.status.stored: what a status keeps beyond a process comes back, whatever
else somebody put into it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.convert import to_pool
from controller.api.status.model import LaunchedPlace, RunnerPoolStatus
from controller.api.status.stored import (
    bounds,
    footprints,
    interruptions,
    last_launch_at,
    read_status,
    write_down,
    written,
)
from controller.api.status.values import iso
from controller.core.intents import MOST_INTENTS, MOST_TERMS, Intent, Term, Written
from controller.core.model import (
    Footprint,
    GitHubSource,
    HubAccount,
    Interruption,
    Pool,
    RegistrationScope,
    RerunState,
    Scope,
    ScopeKind,
    SecretRef,
)
from tests.api.cases import as_stored, github, manifest


def pool(changes: dict[str, Any] | None = None) -> Pool:
    return to_pool(manifest(changes), allow_http=True)


def footprint(scope: Scope, *, enterprise: bool = False) -> Footprint:
    return Footprint(
        RegistrationScope(
            GitHubSource(
                api_url="https://git.example.com/api/v3",
                secret=SecretRef("runners", "app"),
                owner=scope.owner,
                enterprise=enterprise,
            ),
            scope,
        ),
        HubAccount(endpoint="https://huggingface.co", namespace="acme", secret=SecretRef("runners", "hf")),
    )


def kept(*where: Footprint, **more: str) -> dict[str, Any]:
    """A status that tells of places."""
    intents = tuple(
        Intent(name=str(number), flavor="", at=0.0, place=one) for number, one in enumerate(where)
    )
    places = [group["place"] for group in write_down(Written(intents=intents))["intents"]]
    return as_stored(RunnerPoolStatus(places=[LaunchedPlace(**place, **more) for place in places]))


def test_places_survive_the_way_through_status() -> None:
    """Else runners of an edited pool are orphaned by a restart."""
    known = (
        footprint(Scope(kind=ScopeKind.REPOSITORY, owner="acme", repository="lib.js")),
        footprint(Scope(kind=ScopeKind.ORGANIZATION, owner="acme")),
        footprint(Scope(kind=ScopeKind.ENTERPRISE, owner="big"), enterprise=True),
    )
    assert footprints(read_status(kept(*known)), namespace="runners") == known


def test_the_place_of_a_pool_is_its_footprint() -> None:
    made = pool({"github": github()})
    assert footprints(read_status(kept(made.footprint)), namespace="default") == (made.footprint,)


ORGANIZATION = footprint(Scope(kind=ScopeKind.ORGANIZATION, owner="acme"))


@pytest.mark.parametrize(
    ("status", "bound"),
    [
        (kept(ORGANIZATION, ends_by="2026-11-21T10:00:00Z"), 1_795_255_200.0),
        (
            {**kept(ORGANIZATION, ends_by="2026-11-21T10:00:00Z"), "lastLaunchAt": "2026-11-22T10:00:00Z"},
            1_795_255_200.0,
        ),
        ({**kept(ORGANIZATION), "lastLaunchAt": "2026-11-21T10:00:00Z"}, 1_795_255_300.0),
        ({**kept(ORGANIZATION, ends_by="soon"), "lastLaunchAt": "2026-11-21T10:00:00Z"}, 1_795_255_300.0),
        (kept(ORGANIZATION), None),
        ({}, None),
    ],
    ids=["told", "told, and older", "by an older version", "cannot be read", "never launched", "nothing"],
)
def test_by_when_everything_has_ended_at_a_place_is_read_back(
    status: Mapping[str, Any], bound: float | None
) -> None:
    found = dict(bounds(read_status(status), namespace="runners", ends_by=lambda at: at + 100))
    assert found.get(ORGANIZATION.place) == bound


def test_an_intent_moves_the_end_at_its_place_back_but_never_forth() -> None:
    told = kept(ORGANIZATION, ends_by="2026-11-21T10:00:00Z")
    for at, bound in ((1_795_255_000.0, 1_795_255_200.0), (1_795_255_150.0, 1_795_255_250.0)):
        one = Intent(name="t4-hfr-1", flavor="t4-small", at=at, place=ORGANIZATION)
        status = {**told, **write_down(Written(term=Term(number=1, holder="a"), intents=(one,)))}
        found = bounds(read_status(status), namespace="runners", ends_by=lambda at: at + 100)
        assert dict(found) == {ORGANIZATION.place: bound}


def test_a_status_that_says_nothing_brings_nothing_back() -> None:
    assert footprints(read_status({"observedGeneration": -1}), namespace="runners") == ()
    assert last_launch_at(read_status({"observedGeneration": -1})) is None


def test_the_last_launch_survives_the_way_through_status() -> None:
    stored = as_stored(RunnerPoolStatus(last_launch_at=iso(1_795_255_200.9)))
    assert stored["lastLaunchAt"] == "2026-11-21T10:00:00Z"
    assert last_launch_at(read_status(stored)) == 1_795_255_200.0


def test_a_stored_status_tells_of_lost_jobs() -> None:
    told = {
        "repository": "acme/lib",
        "runId": 7,
        "attempt": 2,
        "jobId": 70,
        "jobName": "train",
        "jobUrl": "https://github.com/acme/lib/actions/runs/7/job/70",
        "at": "2026-11-21T08:30:00Z",
        "rerun": "Pending",
    }
    lost = Interruption(
        repository="acme/lib",
        run_id=7,
        attempt=2,
        job_id=70,
        job_name="train",
        job_url="https://github.com/acme/lib/actions/runs/7/job/70",
        at=1_795_249_800.0,
        rerun=RerunState.PENDING,
    )
    assert interruptions(read_status({"interruptions": [told]})) == (lost,)
    assert interruptions(read_status({})) == ()


HERE = pool().footprint
THERE = replace(HERE, account=replace(HERE.account, namespace="other"))
KEYS = st.sampled_from(["intents", "term", "place", "launches", "name", "at", "number", "holder"])
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=64)
INTENTS = st.builds(
    Intent,
    name=NAMES,
    flavor=st.sampled_from(["t4-small", ""]),
    at=st.integers(min_value=0, max_value=4_000_000_000).map(float),
    place=st.sampled_from([HERE, THERE]),
)
TERMS = st.builds(Term, number=st.integers(0, MOST_TERMS), holder=NAMES)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | KEYS, inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.none() | TERMS, st.lists(INTENTS, max_size=30, unique_by=lambda one: one.name))
def test_intents_come_back_as_they_were_written(term: Term | None, intents: list[Intent]) -> None:
    what = Written(term=term, intents=tuple(sorted(intents, key=lambda one: one.name)))
    status = write_down(what)
    assert written(read_status(json.loads(json.dumps(status))), namespace="default") == what
    RunnerPoolStatus.model_validate(status)


@given(JSON)
def test_whatever_somebody_put_into_the_status_is_read_without_an_error(garbage: Any) -> None:
    found = written(read_status(garbage), namespace="default")
    assert len(found.intents) <= MOST_INTENTS
    for fields in (
        {"intents": garbage},
        {"term": garbage},
        {"intents": [{"place": garbage, "launches": garbage}]},
    ):
        assert written(read_status(fields), namespace="default").intents == ()


def test_an_entry_that_cannot_be_read_costs_only_itself() -> None:
    one = Intent(name="t4-hfr-1", flavor="t4-small", at=5.0, place=HERE)
    status = write_down(Written(term=Term(number=1, holder="a"), intents=(one,)))
    (group,) = status["intents"]
    launches = group["launches"]
    launches += [
        {"name": "x" * 65, "flavor": "", "at": "1970-01-01T00:00:05Z"},
        {"name": "y", "at": "soon"},
        7,
        None,
    ]
    status["intents"] += [{"place": {**group["place"], "scope": "nowhere"}, "launches": launches}]
    status["term"]["number"] = 10**30
    assert written(read_status(status), namespace="default") == Written(term=None, intents=(one,))


def test_more_intents_than_a_status_may_hold_are_cut_off() -> None:
    many = [{"name": f"n{n}", "flavor": "", "at": "1970-01-01T00:00:05Z"} for n in range(MOST_INTENTS + 50)]
    place = write_down(Written(intents=(Intent(name="a", flavor="", at=5.0, place=HERE),)))["intents"][0][
        "place"
    ]
    assert (
        len(
            written(
                read_status({"intents": [{"place": place, "launches": many}]}), namespace="default"
            ).intents
        )
        == MOST_INTENTS
    )


def test_a_flavor_of_which_a_stored_status_counts_nothing_has_no_live_hf_jobs() -> None:
    found = read_status({"flavors": [{"name": "t4-small"}]}).flavors
    assert found is not None
    assert [one.live for one in found] == [0]
