"""Namespaces that are deleted, on a real API server: what is in them goes at once,
RunnerPools when they are let go.

No namespace controller runs here, so a test deletes what that would.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from controller.adapters.kube.client import path_of, pools_path
from tests.operator.cluster import Namespace, apply, path_for, until
from tests.operator.conftest import RBAC, NewNamespace, allowed, granted_in
from tests.operator.process import OperatorProcess, command

pytestmark = [pytest.mark.controlplane, pytest.mark.asyncio(loop_scope="session")]

ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "deleted-namespaces"},
    "rules": [
        {
            "apiGroups": ["hfrunners.dev"],
            "resources": ["runnerpools"],
            "verbs": ["get", "list", "watch", "patch"],
        }
    ],
}
"""What the chart's ``rbac.deletedNamespaces`` grants."""


@pytest_asyncio.fixture(loop_scope="session")
async def granted_everywhere(namespace: Namespace, service_account: Path) -> AsyncIterator[None]:
    """RunnerPools, and nothing else, in all namespaces."""
    (subjects,) = [obj["subjects"] for obj in RBAC if obj["kind"] == "ClusterRoleBinding"]
    binding = {
        **ROLE,
        "kind": "ClusterRoleBinding",
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "deleted-namespaces",
        },
        "subjects": subjects,
    }
    del binding["rules"]
    for obj in (ROLE, binding):
        await apply(namespace.client, obj)
    await until(lambda: allowed(service_account, pools_path()), "the ClusterRole is in force")
    yield
    for obj in (ROLE, binding):
        await namespace.client.request_json("DELETE", path_for(obj))


async def end(namespace: Namespace) -> None:
    """Delete what the namespace controller deletes, but for the namespace itself."""
    for secret in ("github", "hf"):
        await namespace.delete_secret(secret)
    for kind in ("rolebindings", "roles"):
        await namespace.client.request_json(
            "DELETE", path_of("apis", "rbac.authorization.k8s.io", "v1", "namespaces", namespace.name, kind)
        )
    await namespace.client.request_json("DELETE", pools_path(namespace.name))


@pytest.mark.timeout(180)  # an operator, a runner, a deletion and a command, one after the other
@pytest.mark.usefixtures("granted_everywhere")
async def test_pools_of_a_watched_namespace_go_with_it_and_the_others_are_served_on(
    service_account: Path, tmp_path: Path, new_namespace: NewNamespace
) -> None:
    gone, other = await new_namespace(), await new_namespace()
    for one in (gone, other):
        await granted_in(one)
    operator = OperatorProcess(
        kubeconfig=service_account, log=tmp_path / "operator.log", hosts=gone.account.cloud.flags
    )
    try:
        await operator.start(
            *("--controller-id", gone.name),
            *("--namespace", gone.name, "--namespace", other.name),
        )
        await gone.apply("unserved")
        await gone.apply("served", minIdle=1)
        await gone.until(
            lambda pool: (pool["status"].get("counts") or {}).get("idle"), "a runner is idle", "served"
        )

        await end(gone)

        for name in ("unserved", "served"):
            await gone.until_gone(name, patience=90)
        assert gone.account.nothing_left
        await other.apply()
        await other.until_condition("Ready", "True", "Serving")
        drained = await command(
            service_account, "drain", "--namespace", gone.name, "--namespace", other.name, "--timeout", "60s"
        )
        assert (drained.code, drained.output.splitlines()[-1]) == (0, "nothing is left"), drained.errors
        assert await operator.stop() == 0
    finally:
        await operator.kill()


async def test_a_namespace_that_may_not_be_listed_costs_the_others_nothing(
    service_account: Path, tmp_path: Path, new_namespace: NewNamespace
) -> None:
    """It was deleted while the controller did not run, without the ClusterRole: Role and
    RoleBinding are gone.
    """
    gone, other = await new_namespace(), await new_namespace()
    await granted_in(other)
    operator = OperatorProcess(
        kubeconfig=service_account, log=tmp_path / "operator.log", hosts=gone.account.cloud.flags
    )
    try:
        await operator.start(
            *("--controller-id", gone.name),
            *("--namespace", gone.name, "--namespace", other.name),
        )
        await other.apply()
        await other.until_condition("Ready", "True", "Serving")
        assert f"namespace={gone.name}" in operator.log
        assert await operator.stop() == 0
    finally:
        await operator.kill()


async def test_a_misspelt_pool_is_an_error_that_names_those_there_are(
    namespace: Namespace, control_plane: Path
) -> None:
    await namespace.apply("gpu")
    told = await command(control_plane, "drain", "--namespace", namespace.name, "gqu")
    assert told.code == 2
    assert f"There is no RunnerPool gqu; those of {namespace.name} are: gpu." in told.errors
