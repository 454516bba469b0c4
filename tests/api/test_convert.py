"""controller.api.convert and address: from what people write to what the planner reads."""

from __future__ import annotations

from typing import Any

import pytest

from controller.api.address import github_target
from controller.api.convert import to_pool
from controller.api.runnerpool import InvalidPool
from controller.core.demand import reach
from controller.core.model import (
    Deadlines,
    GitHubSource,
    GroupOnlyJobs,
    HubAccount,
    Pool,
    PoolKey,
    RunnerTemplate,
    Scope,
    ScopeKind,
    SecretEnv,
    SecretRef,
    Snapshot,
    Volume,
)
from tests.api.cases import GOOD, github, manifest


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
