"""Whose Secrets the operator may read, on a real API server: what a pool says to do is done, word
by word, and it is served.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from controller.adapters.kube.client import Client, path_of
from controller.adapters.kube.rights import may, to_read
from tests.operator.cloud import Cloud
from tests.operator.cluster import Namespace, until
from tests.operator.conftest import ACCOUNT, delete, of_the_whole_cluster, secrets_binding
from tests.operator.process import OperatorProcess, command

pytestmark = [pytest.mark.controlplane, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def refused(
    service_account: Path, admin: Client, cloud: Cloud, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[OperatorProcess]:
    """An operator of the whole cluster that may be refused something."""
    log = tmp_path_factory.mktemp("operator") / "operator.log"
    async with of_the_whole_cluster(service_account, admin, log, hosts=cloud.flags) as process:
        yield process


def kubectl(said: str) -> list[str]:
    """Return the words of the command at the end of a message."""
    words = shlex.split(said.rpartition("run: ")[2])
    assert words[0] == "kubectl", said
    return words[1:]


def option(words: list[str], name: str) -> str:
    """Return an option's value, which must be there once."""
    joined = [word.partition("=")[2] for word in words if word.startswith(f"{name}=")]
    apart = [after for word, after in itertools.pairwise(words) if word == name]
    (found,) = joined + apart
    return found


async def create_rolebinding(client: Client, words: list[str]) -> None:
    """Do what ``kubectl create rolebinding`` does."""
    assert words[:2] == ["create", "rolebinding"]
    namespace, name = option(words, "--serviceaccount").split(":")
    role = {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": option(words, "--clusterrole"),
    }
    body = {
        "metadata": {"name": words[2]},
        "roleRef": role,
        "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": name}],
    }
    at = (
        "apis",
        "rbac.authorization.k8s.io",
        "v1",
        "namespaces",
        option(words, "--namespace"),
        "rolebindings",
    )
    await client.request_json("POST", path_of(*at), body=body)


async def label_secret(client: Client, words: list[str]) -> None:
    """Do what ``kubectl label secret`` does."""
    assert words[:2] == ["label", "secret"]
    name, _, value = words[-1].partition("=")
    await client.request_json(
        "PATCH",
        path_of("api", "v1", "namespaces", option(words, "--namespace"), "secrets", words[2]),
        body={"metadata": {"labels": {name: value}}},
        content_type="application/merge-patch+json",
    )


async def unbound(namespace: Namespace) -> None:
    """Take the right to read the namespace's Secrets away, and wait until it is gone."""
    await delete(namespace.client, secrets_binding(namespace.name))

    async def gone() -> bool:
        return not await may(namespace.client, to_read(), namespace=namespace.name, account=ACCOUNT)

    await until(gone, "the RoleBinding is out of force")


async def test_a_pool_whose_secrets_may_not_be_read_is_served_when_its_command_was_run(
    namespace: Namespace, admin: Client, refused: OperatorProcess
) -> None:
    await unbound(namespace)
    (job,) = namespace.account.queue()
    await namespace.apply()
    told = await namespace.until_condition("Ready", "False", "SecretForbidden")
    stalled = await namespace.until_condition("Stalled", "True", "SecretForbidden")
    assert stalled["message"] == told["message"]
    assert f"in namespace {namespace.name}" in told["message"]
    assert namespace.account.hf_jobs() == 0

    await create_rolebinding(admin, kubectl(told["message"]))

    await namespace.until_ready()
    await until(lambda: namespace.account.runs(job), "the job is served")
    namespace.account.finish(job)


async def test_check_names_the_namespaces_and_the_same_command(
    namespace: Namespace, admin: Client, control_plane: Path, refused: OperatorProcess
) -> None:
    await unbound(namespace)
    await namespace.apply()
    told = await namespace.until_condition("Ready", "False", "SecretForbidden")
    pool = ("--pool", f"{namespace.name}/gpu")
    arguments = (*pool, "--service-account", "/".join(ACCOUNT), *namespace.account.cloud.flags)
    found = await command(control_plane, "check", *arguments)
    assert found.code == 1
    words = " ".join(found.output.split())
    assert f"SecretForbidden: It may not read github and hf in namespace {namespace.name}" in words
    assert told["message"].rpartition("run: ")[2] in words

    await create_rolebinding(admin, kubectl(told["message"]))
    await namespace.until_ready()
    mended = (await command(control_plane, "check", *arguments)).output
    assert "1 pool checked" in mended
    assert "SecretForbidden" not in mended


async def test_a_right_that_is_taken_away_stops_launches_and_no_runner(
    namespace: Namespace, admin: Client, refused: OperatorProcess
) -> None:
    (job,) = namespace.account.queue()
    await namespace.apply()
    await until(lambda: namespace.account.runs(job), "the job is served")
    await unbound(namespace)
    told = await namespace.until_condition("Ready", "False", "SecretForbidden")
    assert namespace.account.runs(job)
    await create_rolebinding(admin, kubectl(told["message"]))
    await namespace.until_ready()
    namespace.account.finish(job)


async def test_a_secret_goes_to_runners_when_the_command_that_labels_it_was_run(
    namespace: Namespace, admin: Client, refused: OperatorProcess
) -> None:
    await namespace.secret("postgres-superuser", {"password": "correct-horse"})
    (job,) = namespace.account.queue()
    await namespace.apply(secretEnv=[{"name": "LOOT", "secret": "postgres-superuser", "key": "password"}])
    told = await namespace.until_condition("Ready", "False", "SecretNotLabelled")
    assert namespace.account.hf_jobs() == 0

    await label_secret(admin, kubectl(told["message"]))

    await namespace.until_ready()
    await until(lambda: namespace.account.runs(job), "the job is served")
    namespace.account.finish(job)
