"""What the account of the Job that empties the pools may do, on a real API server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from controller.cli import main
from controller.core.resource import DRAIN_ANNOTATION
from tests.chart.conftest import CHART, Helm, settings
from tests.chart.server import Server
from tools.controlplane import ControlPlane, present_assets

pytestmark = [pytest.mark.controlplane]

POOLS = ("ci", "ml")
RELEASE = "infra"


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    programs = present_assets()
    if programs is None:
        pytest.fail("no kube-apiserver and etcd here yet: run `make controlplane` once")
    with ControlPlane(programs=programs) as plane:
        yield plane


@pytest.fixture
def server(plane: ControlPlane) -> Iterator[Server]:
    """The type, a pool in two namespaces that an operator has seen and that holds nothing,
    and a Secret in each.
    """
    with Server(plane.kubeconfig) as server:
        server.install_types(CHART / "files/crds/hfrunners.dev_runnerpools.yaml")
        for name in (*POOLS, RELEASE):
            server.namespace(name)
        for name in POOLS:
            metadata = {"name": "secret", "namespace": name}
            server.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata}).raise_for_status()
            pool = {
                "apiVersion": "hfrunners.dev/v1alpha1",
                "kind": "RunnerPool",
                "metadata": {"name": "pool", "namespace": name},
                "spec": {
                    "github": {"url": "https://github.com/acme/lib", "credentialsSecret": "secret"},
                    "huggingface": {"namespace": "acme", "tokenSecret": "secret"},
                    "labels": ["t4"],
                    "flavors": ["t4-small"],
                },
            }
            server.apply(pool).raise_for_status()
            seen = server.http.patch(
                f"{server.path(pool)}/status",
                json={"status": {"observedGeneration": 1}},
                headers={"Content-Type": "application/merge-patch+json"},
            )
            seen.raise_for_status()
        yield server


@pytest.mark.parametrize(
    ("values", "emptied"),
    [
        ([], POOLS),
        (["watch.namespaces={ci,ml}"], POOLS),
        (["watch.namespaces={ci}", "rbac.deletedNamespaces=false"], ("ci",)),
    ],
    ids=["all namespaces", "some namespaces", "nothing at cluster scope"],
)
def test_the_account_that_empties_the_pools_may_do_that_and_read_no_secret(
    programs: Path, plane: ControlPlane, server: Server, values: list[str], emptied: tuple[str, ...]
) -> None:
    helm = Helm(programs / "helm4")
    rendered = helm.render(*settings([*values, "crds.enabled=false"]), "--namespace", RELEASE)
    (job,) = [obj for obj in rendered if obj["kind"] == "Job" and obj["metadata"]["name"].endswith("-drain")]
    pod = job["spec"]["template"]["spec"]
    mine = [
        obj for obj in rendered if obj["metadata"]["labels"].get("app.kubernetes.io/component") == "drain"
    ]
    rights = [obj for obj in mine if obj["kind"] != "Job"]
    for obj in rights:
        server.apply(obj).raise_for_status()
    try:
        account = plane.service_account_kubeconfig(namespace=RELEASE, name=pod["serviceAccountName"])
        arguments = [*pod["containers"][0]["args"], "--timeout=60s", "--kubeconfig", str(account)]
        done = CliRunner().invoke(main, arguments)
        assert (done.exit_code, done.stdout) == (0, "nothing is left\n"), done.stderr
        for name in POOLS:
            pool = server.wait(f"/apis/hfrunners.dev/v1alpha1/namespaces/{name}/runnerpools/pool").json()
            asked = DRAIN_ANNOTATION in pool["metadata"].get("annotations", {})
            assert asked == (name in emptied)
        with Server(account) as limited:
            for name in POOLS:
                assert limited.http.get(f"/api/v1/namespaces/{name}/secrets/secret").status_code == 403
    finally:
        for obj in rights:
            server.http.delete(server.path(obj)).raise_for_status()
        for name in POOLS:
            server.http.delete(f"/apis/hfrunners.dev/v1alpha1/namespaces/{name}/runnerpools/pool")
