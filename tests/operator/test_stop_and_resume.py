"""``pause`` and ``resume`` on a real API server, with the operator that reads the switch and may do nothing else with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from controller.adapters.kube.client import Client, path_of
from controller.adapters.kube.errors import KubernetesError
from controller.adapters.kube.stop_switch import LABEL, WATCHES
from tests.operator.cluster import Namespace, apply, condition, until
from tests.operator.conftest import HOME, RBAC, allowed, granted_in
from tests.operator.process import OperatorProcess, command

pytestmark = [pytest.mark.controlplane, pytest.mark.asyncio(loop_scope="session")]

SWITCH = "hf-runner-controller-pause"
VALUES = f"{SWITCH}-values"


def at(name: str) -> str:
    return path_of("api", "v1", "namespaces", HOME, "configmaps", name)


async def delete(client: Client, name: str) -> None:
    try:
        await client.request_json("DELETE", at(name))
    except KubernetesError as error:
        if error.status != 404:
            raise


async def of_chart(client: Client, namespace: Namespace, **data: str) -> None:
    """Make what the chart makes of its value ``paused``."""
    await delete(client, VALUES)
    await apply(
        client,
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": VALUES,
                "namespace": HOME,
                "labels": {LABEL: SWITCH},
                "annotations": {WATCHES: namespace.name},
            },
            "data": data,
        },
    )


@pytest_asyncio.fixture(loop_scope="session")
async def served(
    service_account: Path, admin: Client, namespace: Namespace, tmp_path: Path
) -> AsyncIterator[OperatorProcess]:
    """The operator of one namespace, with a pool in it that is ready, and a switch that the chart made."""
    for obj in RBAC:
        if obj["metadata"]["name"].endswith("-stop-switch"):
            await apply(admin, obj)
    await granted_in(namespace)
    await of_chart(admin, namespace)
    await until(lambda: allowed(service_account, at(VALUES)), "the switch may be read")
    process = OperatorProcess(
        kubeconfig=service_account, log=tmp_path / "operator.log", hosts=namespace.account.cloud.flags
    )
    try:
        await process.start(
            *("--controller-id", namespace.name, "--namespace", namespace.name),
            *("--stop-switch", SWITCH, "--stop-switch-namespace", HOME),
        )
        await namespace.apply(deadlines={"idle": "10s"})
        await namespace.until_ready()
        yield process
    finally:
        await process.kill()
        await delete(admin, SWITCH)
        await delete(admin, VALUES)


@pytest.mark.usefixtures("served")
async def test_pause_stops_all_launches_and_says_by_whom_and_why_until_resume(
    namespace: Namespace, control_plane: Path
) -> None:
    done = await command(control_plane, "pause", "--all", "--reason", "the budget\nis used up")
    assert done.code == 0, done.errors
    assert "1 pool launches nothing any more" in done.output

    namespace.account.queue()
    waits = await namespace.until(lambda pool: (pool["status"].get("queue") or [None])[0], "the job is seen")
    assert [one["reason"] for one in waits["status"]["queue"]] == ["StopSwitchOn"]
    ready = condition(waits, "Ready")
    assert (ready["status"], ready["reason"]) == ("True", "StopSwitchOn")
    assert "all accounts (the budget is used up, " in ready["message"]
    assert "`hf-runner-controller resume --all` ends it" in ready["message"]
    assert namespace.account.hf_jobs() == 0

    shown = await command(control_plane, "runners", "-n", namespace.name)
    assert f"nothing is launched for {namespace.name}/gpu: StopSwitchOn:" in shown.output

    done = await command(control_plane, "resume", "--all")
    assert done.code == 0, done.errors
    assert "1 pool launches again" in done.output
    await until(lambda: namespace.account.hf_jobs() == 1, "the job gets its runner")


@pytest.mark.usefixtures("served")
async def test_what_the_charts_value_stops_resume_names_and_leaves(
    namespace: Namespace, admin: Client, control_plane: Path
) -> None:
    account = namespace.account.hub_namespace
    assert (await command(control_plane, "pause", "--account", account)).code == 0
    await of_chart(admin, namespace, all="the chart's value `paused`")
    done = await command(control_plane, "resume", "--account", account)
    assert done.code == 1
    assert "still stopped: all accounts (the chart's value `paused`)" in done.errors
    await of_chart(admin, namespace)
    await namespace.until(
        lambda pool: condition(pool, "LaunchesAllowed").get("status") == "True", "launches go on"
    )


@pytest.mark.usefixtures("served")
async def test_kubectl_alone_can_turn_it(namespace: Namespace, admin: Client) -> None:
    # What `kubectl create configmap NAME --from-literal=all=why` sends.
    await apply(
        admin,
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": SWITCH, "namespace": HOME},
            "data": {"all": "why"},
        },
    )
    await namespace.until(lambda pool: condition(pool, "Ready").get("reason") == "StopSwitchOn", "stopped")
    await delete(admin, SWITCH)
    await namespace.until(lambda pool: condition(pool, "Ready").get("reason") == "Serving", "on again")


async def test_pause_says_when_nobody_hears_it(
    namespace: Namespace, admin: Client, control_plane: Path
) -> None:
    await of_chart(admin, namespace)
    await namespace.apply()
    try:
        done = await command(control_plane, "pause", "--all", "--timeout", "1s")
        assert done.code == 1
        assert f"1 pool has not said within 1 s that nothing is launched: {namespace.name}/gpu" in done.errors
    finally:
        await delete(admin, SWITCH)
        await delete(admin, VALUES)


async def test_a_controller_that_may_not_read_it_launches_nothing_and_says_so(
    namespace: Namespace, service_account: Path, tmp_path: Path
) -> None:
    await granted_in(namespace)
    process = OperatorProcess(
        kubeconfig=service_account, log=tmp_path / "operator.log", hosts=namespace.account.cloud.flags
    )
    try:
        await process.start(
            *("--controller-id", namespace.name, "--namespace", namespace.name),
            *("--stop-switch", "not-granted", "--stop-switch-namespace", HOME),
        )
        namespace.account.queue()
        await namespace.apply()
        told = await namespace.until(
            lambda pool: condition(pool, "Ready").get("reason") == "StopSwitchUnread", "not ready"
        )
        ready = condition(told, "Ready")
        assert ready["status"] == "False"
        assert 'cannot get resource "configmaps"' in ready["message"]
        assert namespace.account.hf_jobs() == 0
    finally:
        await process.kill()


async def test_without_a_switch_the_commands_say_how_to_name_one(control_plane: Path) -> None:
    done = await command(control_plane, "pause", "--all")
    assert done.code == 2
    assert "no controller in this cluster has a stop switch that its chart made" in done.errors
    for wrong in ((), ("--all", "--account", "acme")):
        done = await command(control_plane, "pause", *wrong)
        assert done.code == 2
        assert "say what: --all, or --account NAME" in done.errors
