"""At which pools ``upgrade-check`` looks, and what it says of what it could not look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from controller.adapters.kube.errors import KubernetesError, kind_of
from controller.cli.upgrade_check import look
from controller.cli.upgrades.findings import MOST_NAMED, Finding
from controller.core.hosts import DEFAULT_HOSTS
from controller.core.reasons import Reason
from controller.ports import UpstreamError

REFUSED = [
    Reason.HostNotAllowed,
    Reason.InvalidSpec,
    Reason.SecretForbidden,
    Reason.SecretMalformed,
    Reason.SecretMissing,
    Reason.SecretNotLabelled,
]
COMES_AND_GOES = [
    Reason.GitHubUnavailable,
    Reason.HubUnavailable,
    Reason.KubernetesUnavailable,
    Reason.GitHubRateLimited,
    Reason.Pending,
]


def pool(
    name: str, namespace: str = "team", *, says: Sequence[Mapping[str, Any]] = (), **spec: Any
) -> dict[str, Any]:
    return {
        "apiVersion": "hfrunners.dev/v1alpha1",
        "kind": "RunnerPool",
        "metadata": {"namespace": namespace, "name": name, "uid": f"{namespace}-{name}"},
        "spec": {
            "github": {"url": "https://github.com/acme/lib", "credentialsSecret": "github"},
            "huggingface": {"namespace": "acme", "tokenSecret": "hf"},
            "labels": ["x"],
            "flavors": ["cpu-basic"],
            **spec,
        },
        "status": {"conditions": [*says]},
    }


def stops(name: str, *says: Mapping[str, Any]) -> dict[str, Any]:
    """A pool that has something of every topic."""
    return pool(
        name,
        says=says,
        github={"url": "https://ghe.corp.example/acme/lib", "credentialsSecret": "github"},
        secretEnv=[{"name": "KEY", "secret": "wandb", "key": "key"}],
        volumes=[{"type": "bucket", "source": "acme/b", "mountPath": "/opt/runner", "readOnly": False}],
    )


def condition(type_: str, status: str, reason: Reason) -> dict[str, str]:
    return {"type": type_, "status": status, "reason": reason.name}


class Cluster:
    """Pools by namespace, of which ``closed`` ones may not be listed (nor all at once, where there are
    some); Secrets without labels.
    """

    def __init__(self, *pools: dict[str, Any], closed: Sequence[str] = (), secret: int = 200) -> None:
        self.pools = pools
        self.closed = closed
        self.secret = secret

    async def request_json(self, method: str, path: str, *, query: Any = (), body: Any = None) -> Any:
        if method == "POST":
            return {"status": {"allowed": False}}
        parts = path.strip("/").split("/")
        namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts else None
        if "secrets" in parts:
            if self.secret != 200:
                raise refused(self.secret)
            return {"metadata": {}, "data": {"key": "eA=="}}
        if self.closed and (namespace is None or namespace in self.closed):
            raise refused(403)
        items = [one for one in self.pools if namespace in (None, one["metadata"]["namespace"])]
        return {"metadata": {}, "items": items}


def refused(status: int) -> KubernetesError:
    return kind_of(status)("forbidden: no", status=status, words="forbidden: no")


async def looked(cluster: Cluster, *namespaces: str, **more: Any) -> tuple[Sequence[Finding], Sequence[str]]:
    return await look(cluster, namespaces, hosts=DEFAULT_HOSTS, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("reason", REFUSED)
@pytest.mark.parametrize("type_", ["Ready", "Stalled"])
async def test_a_pool_that_is_refused_already_stops_no_upgrade(reason: Reason, type_: str) -> None:
    says = condition(type_, "True" if type_ == "Stalled" else "False", reason)
    findings, notes = await looked(Cluster(stops("tenant", says)))
    assert findings == []
    assert notes == [
        f"team/tenant is refused already ({reason.name}), so no upgrade stops it",
        "0 RunnerPools were looked at: nothing would stop",
    ]


@pytest.mark.parametrize(
    "says",
    [
        [],
        [condition("Ready", "True", Reason.Serving)],
        [condition("Ready", "True", Reason.Paused), condition("Stalled", "False", Reason.Serving)],
        *([condition("Ready", "False", reason)] for reason in COMES_AND_GOES),
    ],
)
async def test_a_pool_that_works_or_works_again_by_itself_is_looked_at(says: list[dict[str, str]]) -> None:
    findings, notes = await looked(Cluster(stops("mine", *says)))
    assert len(findings) == 3, findings
    assert notes == ["1 RunnerPool was looked at: something would stop"]


async def test_of_very_many_that_are_refused_already_the_first_are_named() -> None:
    says = condition("Ready", "False", Reason.HostNotAllowed)
    _, notes = await looked(Cluster(*(stops(f"t{n}", says) for n in range(MOST_NAMED + 3))))
    assert notes[-2:] == ["and 3 more", "0 RunnerPools were looked at: nothing would stop"]


async def test_pools_of_a_namespace_that_the_upgrade_watches_no_more_are_looked_at_too() -> None:
    cluster = Cluster(pool("a", "kept"), pool("b", "left"), pool("c", "never"))
    (finding,), notes = await looked(cluster, "kept", dropped=["left"])
    assert finding.values == {"watch.namespaces": ["kept", "left"]}
    assert notes == ["2 RunnerPools were looked at: something would stop"]


async def test_a_binding_that_goes_is_found_among_the_pools_of_all_namespaces() -> None:
    cluster = Cluster(pool("a", "ci"), pool("b", "left"), pool("c", "by-hand"))
    (finding,), _ = await looked(cluster, readable=["ci"], dropped=["left"])
    assert finding.values == {"rbac.secrets.namespaces": ["ci", "left"]}


async def test_a_secret_that_could_not_be_looked_at_is_always_named() -> None:
    cluster = Cluster(pool("a", secretEnv=[{"name": "KEY", "secret": "wandb", "key": "key"}]), secret=403)
    findings, notes = await looked(cluster)
    assert findings == []
    assert notes[0] == "a Secret of secretEnv could not be looked at: team/wandb: forbidden: no"


async def test_by_hand_a_secret_that_could_not_be_looked_at_is_no_success() -> None:
    cluster = Cluster(pool("a", secretEnv=[{"name": "KEY", "secret": "wandb", "key": "key"}]), secret=403)
    (finding,), notes = await looked(cluster, account=("ci", "hfrc"))
    assert finding.where == ("team/wandb: forbidden: no",)
    assert "could not be looked at" in finding.what
    assert (finding.values, finding.commands) == ({}, ())
    assert notes == [
        "1 RunnerPool was looked at: nothing that would stop was found, and not all could be looked at"
    ]


async def test_a_secret_that_is_missing_stops_no_upgrade() -> None:
    cluster = Cluster(pool("a", secretEnv=[{"name": "KEY", "secret": "wandb", "key": "key"}]), secret=404)
    findings, notes = await looked(cluster, account=("ci", "hfrc"))
    assert (findings, notes) == ([], ["1 RunnerPool was looked at: nothing would stop"])


@pytest.mark.parametrize("namespaces", [[], ["a"], ["a", "b"]])
async def test_who_may_list_nothing_is_told_what_to_do(namespaces: list[str]) -> None:
    with pytest.raises(UpstreamError) as caught:
        await looked(Cluster(closed=["a", "b"]), *namespaces)
    assert caught.value.failure.reason is Reason.KubernetesForbidden
    for words in (
        ", ".join(namespaces) or "all namespaces",
        "watch.namespaces",
        "--namespace",
        "upgradeCheck.enabled=false",
        "forbidden: no",
    ):
        assert words in caught.value.failure.message


async def test_a_namespace_that_may_not_be_listed_beside_others_is_a_note() -> None:
    findings, notes = await looked(Cluster(closed=["b"]), "a", "b")
    assert findings == []
    assert notes[0] == "namespace b may not be listed, so nothing there is served now"
