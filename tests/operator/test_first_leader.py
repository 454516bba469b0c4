"""When the first leader of an installation begins: at once where nobody can have led before,
else as if somebody had died.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.adapters.kube.client import Client, path_of
from tests.operator.cluster import Namespace, until
from tests.operator.process import OperatorProcess

pytestmark = [pytest.mark.controlplane, pytest.mark.asyncio(loop_scope="session")]

NOBODY = "the lease is held by (nobody yet)"


@pytest.mark.timeout(120)
async def test_it_waits_for_nobody_unless_a_pool_was_looked_at_and_the_lease_is_gone(
    namespace: Namespace, admin: Client, control_plane: Path, tmp_path: Path
) -> None:
    hosts = namespace.account.cloud.flags
    process = OperatorProcess(kubeconfig=control_plane, log=tmp_path / "operator.log", hosts=hosts)
    arguments = (
        *("--leader-elect", "--lease-namespace", namespace.name, "--lease-name", "first"),
        *("--namespace", namespace.name, "--controller-id", namespace.name),
    )
    try:
        await process.start(*arguments)
        await until(lambda: " serving " in process.log, "it leads")
        assert NOBODY not in process.log
        await namespace.apply()
        await namespace.until_ready()
        await process.kill()
        lease = path_of("apis", "coordination.k8s.io", "v1", "namespaces", namespace.name, "leases", "first")
        await admin.request_json("DELETE", lease)
        await process.start(*arguments)
        await until(lambda: NOBODY in process.log, "it waits for who may have led")
    finally:
        await process.kill()
