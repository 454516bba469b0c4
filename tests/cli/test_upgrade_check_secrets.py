"""What ``upgrade-check`` finds about Secrets: those without the label for runners, and those
that would be out of reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from controller.adapters.kube.errors import kind_of
from controller.api.convert import to_pool
from controller.cli.upgrades.findings import report_lines
from controller.cli.upgrades.pools import Found
from controller.cli.upgrades.secrets import (
    find_unlabelled,
    find_unreadable,
    look_at_variables,
    out_of_reach,
    what_is_lost,
)
from controller.core.model import Disposition, Failure, SecretRef, SecretSight
from controller.core.reasons import Reason
from controller.core.variables import LABEL, sight
from controller.ports import UpstreamError

WANDB, POSTGRES = SecretRef("team", "wandb"), SecretRef("team", "postgres")
LABELLED = {LABEL: "true"}


def pool(name: str, namespace: str = "team", ready: str = "", **secrets: str) -> Found:
    obj = {
        "apiVersion": "hfrunners.dev/v1alpha1",
        "kind": "RunnerPool",
        "metadata": {"namespace": namespace, "name": name, "uid": f"{namespace}-{name}"},
        "spec": {
            "github": {"url": "https://github.com/acme/lib", "credentialsSecret": "github"},
            "huggingface": {"namespace": "acme", "tokenSecret": "hf"},
            "labels": ["x"],
            "flavors": ["cpu-basic"],
            "secretEnv": [
                {"name": variable, "secret": secret, "key": "key"} for variable, secret in secrets.items()
            ],
        },
        "status": {"conditions": [{"type": "Ready", "status": ready}] if ready else []},
    }
    return to_pool(obj, allow_http=True), obj


# -------------------------------------------------------------------------------------------------- the label
def test_what_has_no_label_is_named_with_its_command_once() -> None:
    pools = [
        pool("a", ready="True", WANDB_API_KEY="wandb", LOOT="postgres"),
        pool("b", KEY="wandb"),
        pool("c"),
    ]
    (found,) = find_unlabelled(pools, {WANDB: sight({}, ["key"]), POSTGRES: sight(LABELLED, ["key"])})
    assert found.where == (
        "team/a: Secret wandb (WANDB_API_KEY), Ready",
        "team/b: Secret wandb (KEY), not looked at yet",
    )
    assert found.commands == ("kubectl label secret wandb --namespace team hfrunners.dev/runner-env=true",)
    assert Reason.SecretNotLabelled.name in found.what


@pytest.mark.parametrize(
    "seen",
    [
        sight(LABELLED, ["key"]),
        sight(LABELLED, []),  # it says SecretMalformed before and after
        SecretSight(
            failure=Failure(reason=Reason.SecretMissing, message="no", disposition=Disposition.PERSON)
        ),
    ],
    ids=["labelled", "without the key", "missing"],
)
def test_what_does_not_change_by_the_upgrade_is_not_told(seen: SecretSight) -> None:
    assert find_unlabelled([pool("a", KEY="wandb")], {WANDB: seen}) == ()


class Cluster:
    """Secrets by name, or the status that the API server answers with; and who may read
    them in all namespaces.
    """

    def __init__(self, secrets: Mapping[str, Any], *, everywhere: tuple[str, ...] = ()) -> None:
        self.secrets = secrets
        self.everywhere = everywhere
        self.reviews: list[Mapping[str, Any]] = []

    async def request_json(self, method: str, path: str, *, body: Any = None) -> Any:
        if method == "POST":
            self.reviews.append({"path": path.rpartition("/")[2], **body["spec"]})
            asked = body["spec"]["resourceAttributes"]
            assert (asked["resource"], asked["verb"], asked["namespace"]) == ("secrets", "get", "")
            return {"status": {"allowed": asked["name"] in self.everywhere}}
        found = self.secrets[path.rpartition("/")[2]]
        if isinstance(found, int):
            raise kind_of(found)(str(found), status=found)
        return {"metadata": {"labels": found}, "data": {"key": "eA=="}}


async def look(secrets: Mapping[str, Any], *pools: Found) -> Mapping[SecretRef, SecretSight]:
    return await look_at_variables(Cluster(secrets), pools)  # type: ignore[arg-type]


async def test_only_secrets_for_runners_are_read_each_once_and_no_value_is_kept() -> None:
    pools = (pool("a", A="wandb", B="postgres"), pool("b", A="wandb"))
    seen = await look({"wandb": LABELLED, "postgres": None}, *pools)
    assert seen == {WANDB: sight(LABELLED, ["key"]), POSTGRES: sight({}, ["key"])}


async def test_what_the_installed_release_cannot_read_either_stops_no_upgrade() -> None:
    pools = (pool("a", A="wandb", B="postgres"),)
    seen = await look({"wandb": 403, "postgres": 404}, *pools)
    assert find_unlabelled(pools, seen) == ()


async def test_an_api_server_that_does_not_answer_is_not_taken_for_all_is_well() -> None:
    with pytest.raises(UpstreamError):
        await look({"wandb": 500}, pool("a", A="wandb"))


# -------------------------------------------------------------------------------------------------- the right
POOLS = [pool("a", ready="True"), pool("b", "other", KEY="wandb"), pool("c", "home"), pool("d", "third")]


def test_pools_of_namespaces_that_may_be_read_are_in_reach() -> None:
    assert list(out_of_reach(POOLS, ["home", "third"])) == ["other", "team"]
    assert [ref.name for ref in out_of_reach(POOLS, ["home"])["other"]] == ["github", "hf", "wandb"]
    assert out_of_reach(POOLS, ["home", "other", "team", "third"]) == {}


async def lost(cluster: Cluster, *readable: str, account: tuple[str, str] | None = None) -> list[str]:
    found = await what_is_lost(cluster, POOLS, readable=readable, account=account)  # type: ignore[arg-type]
    return [namespace for namespace, refs in found.items() if refs]


async def test_a_right_for_all_namespaces_that_the_upgrade_takes_away_is_told_with_the_value() -> None:
    cluster = Cluster({}, everywhere=("github", "hf", "wandb"))
    found = await what_is_lost(cluster, POOLS, readable=["home", "third"], account=None)  # type: ignore[arg-type]
    (finding,) = find_unreadable(found, ["home", "third"], POOLS)
    assert finding.where == (
        "other: github, hf, wandb (b: not looked at yet)",
        "team: github, hf (a: Ready)",
    )
    assert finding.values == {"rbac.secrets.namespaces": ["home", "other", "team", "third"]}
    assert "rbac.secrets.clusterWide: true" in finding.what
    lines = report_lines([finding])
    assert "  rbac:" in lines
    assert await lost(cluster, *finding.values["rbac.secrets.namespaces"]) == []


async def test_rolebindings_stay_so_the_upgrade_takes_nothing_away() -> None:
    assert await lost(Cluster({}), "home") == []


async def test_a_right_that_stays_is_not_asked_about() -> None:
    cluster = Cluster({}, everywhere=("github", "hf"))
    assert await lost(cluster) == []
    assert cluster.reviews == []


async def test_a_right_by_name_is_seen() -> None:
    assert await lost(Cluster({}, everywhere=("wandb",)), "home") == ["other"]


async def test_each_name_is_asked_about_once_for_who_asks_or_for_an_account() -> None:
    cluster = Cluster({}, everywhere=("github",))
    await lost(cluster, "home")
    assert [one["resourceAttributes"]["name"] for one in cluster.reviews] == ["github", "hf", "wandb"]
    assert {one["path"] for one in cluster.reviews} == {"selfsubjectaccessreviews"}
    await lost(cluster, "home", account=("ci", "hfrc"))
    assert cluster.reviews[-1]["user"] == "system:serviceaccount:ci:hfrc"


async def test_a_binding_of_the_chart_that_the_upgrade_drops_is_told_with_the_value() -> None:
    dropped = await what_is_lost(
        Cluster({}),  # type: ignore[arg-type]
        POOLS,
        readable=["home"],
        account=None,
        dropped=["team", "empty"],
    )
    (finding,) = find_unreadable(dropped, ["home"], POOLS)
    assert [line.partition(":")[0] for line in finding.where] == ["team"]
    assert finding.values == {"rbac.secrets.namespaces": ["home", "team"]}
    assert "SecretForbidden" in finding.what


async def test_a_namespace_that_is_watched_no_more_is_told_with_the_value() -> None:
    dropped = await what_is_lost(Cluster({}), POOLS, readable=[], account=None, dropped=["team"])  # type: ignore[arg-type]
    (finding,) = find_unreadable(dropped, [], POOLS, ["other"])
    assert finding.values == {"watch.namespaces": ["other", "team"]}


async def test_a_right_for_all_and_a_binding_that_go_together_are_one_value() -> None:
    cluster = Cluster({}, everywhere=("wandb",))
    both = await what_is_lost(cluster, POOLS, readable=["home"], account=None, dropped=["team"])  # type: ignore[arg-type]
    (finding,) = find_unreadable(both, ["home"], POOLS)
    assert finding.values == {"rbac.secrets.namespaces": ["home", "other", "team"]}
