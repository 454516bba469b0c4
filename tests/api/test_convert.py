"""controller.api.convert and address: from what people write to what the planner reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.address import github_target
from controller.api.convert import (
    bounds,
    footprints,
    interruptions,
    last_launch_at,
    places,
    to_pool,
    write_down,
    written,
)
from controller.api.runnerpool import InvalidPool
from controller.api.status import LaunchedPlace, RunnerPoolStatus
from controller.core.demand import reach
from controller.core.intents import MOST_INTENTS, MOST_TERMS, Intent, Term, Written
from controller.core.model import (
    Deadlines,
    Footprint,
    GitHubSource,
    GroupOnlyJobs,
    HubAccount,
    Interruption,
    Pool,
    PoolKey,
    RegistrationScope,
    RerunState,
    RunnerTemplate,
    Scope,
    ScopeKind,
    SecretEnv,
    SecretRef,
    Snapshot,
    Volume,
)
from controller.core.status import iso
from tests.api.cases import GOOD, as_stored, github, manifest


def pool(changes: dict[str, Any] | None = None) -> Pool:
    return to_pool(manifest(changes), allow_http=True)


def test_the_least_pool_becomes_the_planners_pool() -> None:
    app, token = SecretRef("default", "github-app"), SecretRef("default", "hf-token")
    assert pool() == Pool(
        key=PoolKey("default", "t4"),
        uid="default/t4",
        generation=0,
        created_at=0.0,
        url="https://github.com/acme/lib",
        source=GitHubSource(api_url="https://api.github.com", secret=app, owner="acme"),
        scope=Scope(kind=ScopeKind.REPOSITORY, owner="acme", repository="lib"),
        labels=("hf-t4",),
        hub=HubAccount(endpoint="https://huggingface.co", namespace="acme", secret=token),
        flavors=("t4-small",),
        template=RunnerTemplate(),
        max_runners=10,
        min_idle=0,
        deadlines=Deadlines(),
    )


def test_every_choice_reaches_the_planner() -> None:
    made = pool(
        {
            "github": github(
                runnerGroup="GPU",
                groupOnlyJobs="Serve",
                repositories={"include": ["Acme/Lib-*", "Tools"], "exclude": ["*-Public"]},
            ),
            "labels": ["Zeta", "hf-T4"],
            "flavors": ["t4-small", "l4x1", "a10g-small"],
            "huggingface.endpoint": "https://hub.example.com/",
            "image": "ubuntu:24.04",
            "env": {"B": "2", "A": "1"},
            "secretEnv": [{"name": "KEY", "secret": "wandb", "key": "apiKey"}],
            "volumes": [
                {
                    "type": "bucket",
                    "source": "acme/cache",
                    "mountPath": "/cache",
                    "readOnly": False,
                    "path": "a/b",
                },
                {"type": "model", "source": "acme/tiny", "mountPath": "/m", "revision": "v1"},
            ],
            "ssh": True,
            "maxRunners": 7,
            "minIdle": 2,
            "deadlines": {"scheduling": "20m", "registration": "90s", "idle": "1m", "lifetime": "2d"},
            "retry": {"interrupted": 2},
            "paused": True,
        }
    )
    assert made.scope == Scope(kind=ScopeKind.ORGANIZATION, owner="acme")
    assert (made.runner_group, made.group_only) == ("GPU", GroupOnlyJobs.SERVE)
    assert (made.include, made.exclude) == (("acme/lib-*", "acme/tools"), ("acme/*-public",))
    assert made.labels == ("hf-t4", "zeta")
    assert made.flavors == ("t4-small", "l4x1", "a10g-small")
    assert made.hub.endpoint == "https://hub.example.com"
    assert made.template == RunnerTemplate(
        image="ubuntu:24.04",
        env=(("A", "1"), ("B", "2")),
        secret_env=(SecretEnv(name="KEY", secret=SecretRef("default", "wandb"), key="apiKey"),),
        volumes=(
            Volume(type="bucket", source="acme/cache", mount_path="/cache", read_only=False, path="a/b"),
            Volume(type="model", source="acme/tiny", mount_path="/m", revision="v1"),
        ),
        ssh=True,
    )
    assert (made.max_runners, made.min_idle, made.paused) == (7, 2, True)
    assert made.retry_interrupted == 2
    assert made.deadlines == Deadlines(scheduling=1200, registration=90, idle=60, lifetime=172_800)


def test_all_repositories_of_an_owner_are_that_owners() -> None:
    assert pool({"github": github()}).include == ("acme/*",)


def test_an_enterprises_repositories_are_of_any_owner() -> None:
    made = pool(
        {
            "github": github(
                url="https://github.com/enterprises/Big", repositories={"include": ["*", "Acme/x"]}
            )
        }
    )
    assert made.include == ("*/*", "acme/x")
    assert made.source.enterprise
    assert (made.source.owner, made.scope.kind) == ("big", ScopeKind.ENTERPRISE)


def test_a_repository_pool_reaches_its_repository() -> None:
    assert reach(pool({"github.url": "https://github.com/Acme/Lib/"}), Snapshot()) == ("acme/lib",)


def test_identity_and_age_come_from_the_api_server() -> None:
    obj = manifest()
    obj["metadata"] |= {
        "uid": "u-1",
        "generation": 3,
        "creationTimestamp": "2026-11-21T10:00:00Z",
        "deletionTimestamp": "2026-11-21T11:00:00Z",
    }
    made = to_pool(obj, allow_http=False)
    assert (made.uid, made.generation, made.created_at, made.deleting) == ("u-1", 3, 1_795_255_200.0, True)


@pytest.mark.parametrize("changes", GOOD.values(), ids=GOOD)
def test_equal_objects_give_equal_pools(changes: dict[str, Any]) -> None:
    assert pool(changes) == pool(changes)


def test_a_bad_object_is_refused() -> None:
    with pytest.raises(InvalidPool):
        pool({"labels": []})


@pytest.mark.parametrize(
    ("url", "api_url", "path"),
    [
        ("https://github.com/Acme", "https://api.github.com", "orgs/acme"),
        ("https://www.github.com/acme/Lib.js/", "https://api.github.com", "repos/acme/lib.js"),
        ("https://GitHub.com/enterprises/big", "https://api.github.com", "enterprises/big"),
        ("https://octo.ghe.com/acme", "https://api.octo.ghe.com", "orgs/acme"),
        ("https://git.example.com:8443/acme", "https://git.example.com:8443/api/v3", "orgs/acme"),
        ("http://127.0.0.1:8080/acme/lib", "http://127.0.0.1:8080/api/v3", "repos/acme/lib"),
        ("http://[::1]:8080/acme", "http://[::1]:8080/api/v3", "orgs/acme"),
        ("https://notgithub.com/acme", "https://notgithub.com/api/v3", "orgs/acme"),
        ("https://ghe.com.example.com/acme", "https://ghe.com.example.com/api/v3", "orgs/acme"),
    ],
)
def test_a_url_tells_the_api_and_the_scope(url: str, api_url: str, path: str) -> None:
    target = github_target(url)
    assert (target.api_url, target.scope.path) == (api_url, path)


@pytest.mark.parametrize(
    "url", ["https://github.com", "https://[1:2/acme", "https://[1.2]/acme", "ftp://github.com/acme"]
)
def test_a_url_that_names_nothing_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="names no GitHub owner"):
        github_target(url)


# ------------------------------------------------------------------------------------------- what status brings back
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


def kept(*where: Footprint, **more: str) -> Mapping[str, Any]:
    """A status that tells of places."""
    told = [LaunchedPlace(**one.model_dump(), **more) for one in places(where)]
    return as_stored(RunnerPoolStatus(places=told))


def test_places_survive_the_way_through_status() -> None:
    """Else runners of an edited pool are orphaned by a restart."""
    known = (
        footprint(Scope(kind=ScopeKind.REPOSITORY, owner="acme", repository="lib.js")),
        footprint(Scope(kind=ScopeKind.ORGANIZATION, owner="acme")),
        footprint(Scope(kind=ScopeKind.ENTERPRISE, owner="big"), enterprise=True),
    )
    assert footprints(kept(*known), namespace="runners") == known


def test_the_place_of_a_pool_is_its_footprint() -> None:
    made = pool({"github": github()})
    assert footprints(kept(made.footprint), namespace="default") == (made.footprint,)


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
    found = dict(bounds(status, namespace="runners", ends_by=lambda at: at + 100))
    assert found.get(ORGANIZATION.place) == bound


def test_an_intent_moves_the_end_at_its_place_back_but_never_forth() -> None:
    told = kept(ORGANIZATION, ends_by="2026-11-21T10:00:00Z")
    for at, bound in ((1_795_255_000.0, 1_795_255_200.0), (1_795_255_150.0, 1_795_255_250.0)):
        one = Intent(name="t4-hfr-1", flavor="t4-small", at=at, place=ORGANIZATION)
        status = {**told, **write_down(Written(term=Term(number=1, holder="a"), intents=(one,)))}
        found = bounds(status, namespace="runners", ends_by=lambda at: at + 100)
        assert dict(found) == {ORGANIZATION.place: bound}


def test_a_status_that_says_nothing_brings_nothing_back() -> None:
    assert footprints({"observedGeneration": -1}, namespace="runners") == ()
    assert last_launch_at({"observedGeneration": -1}) is None


def test_the_last_launch_survives_the_way_through_status() -> None:
    stored = as_stored(RunnerPoolStatus(last_launch_at=iso(1_795_255_200.9)))
    assert stored["lastLaunchAt"] == "2026-11-21T10:00:00Z"
    assert last_launch_at(stored) == 1_795_255_200.0


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
    assert interruptions({"interruptions": [told]}) == (lost,)
    assert interruptions({}) == ()


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
    assert written(json.loads(json.dumps(status)), namespace="default") == what
    RunnerPoolStatus.model_validate(status)


@given(JSON)
def test_whatever_somebody_put_into_the_status_is_read_without_an_error(garbage: Any) -> None:
    found = written(garbage, namespace="default")
    assert len(found.intents) <= MOST_INTENTS
    for fields in (
        {"intents": garbage},
        {"term": garbage},
        {"intents": [{"place": garbage, "launches": garbage}]},
    ):
        assert written(fields, namespace="default").intents == ()


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
    assert written(status, namespace="default") == Written(term=None, intents=(one,))


def test_more_intents_than_a_status_may_hold_are_cut_off() -> None:
    many = [{"name": f"n{n}", "flavor": "", "at": "1970-01-01T00:00:05Z"} for n in range(MOST_INTENTS + 50)]
    place = write_down(Written(intents=(Intent(name="a", flavor="", at=5.0, place=HERE),)))["intents"][0][
        "place"
    ]
    assert (
        len(written({"intents": [{"place": place, "launches": many}]}, namespace="default").intents)
        == MOST_INTENTS
    )
