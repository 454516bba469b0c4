"""The process: rights, start, stop, and what is said when it cannot run. Each operator here
watches single namespaces.
"""

from __future__ import annotations

import getpass
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from controller.adapters.kube.client import Identity, connect
from controller.core.evidence import LIST_LAG
from controller.core.hosts import DEFAULT_HOSTS
from controller.operator.handlers import Watch
from controller.pools import PoolRegistry
from controller.ports import Alone
from tests.operator.cloud import Cloud
from tests.operator.cluster import PATIENCE, Namespace, apply, path_for, until
from tests.operator.conftest import CRD, NewNamespace, granted_in, install_crd
from tests.operator.process import OperatorProcess
from tools.controlplane import ControlPlane, present_assets

pytestmark = [pytest.mark.controlplane, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def alone(service_account: Path, tmp_path: Path, cloud: Cloud) -> AsyncIterator[OperatorProcess]:
    """An operator that a test starts itself."""
    process = OperatorProcess(kubeconfig=service_account, log=tmp_path / "operator.log", hosts=cloud.flags)
    yield process
    await process.kill()


POOL = {
    "apiVersion": "hfrunners.dev/v1alpha1",
    "kind": "RunnerPool",
    "spec": {
        "github": {"url": "http://127.0.0.1:1/acme/lib", "credentialsSecret": "none"},
        "huggingface": {"namespace": "acme", "tokenSecret": "none", "endpoint": "http://127.0.0.1:1"},
        "labels": ["gpu"],
        "flavors": ["t4-small"],
    },
}


def watching(*namespaces: Namespace) -> list[str]:
    return [
        "--controller-id",
        namespaces[0].name,
        *(part for namespace in namespaces for part in ("--namespace", namespace.name)),
    ]


# ----------------------------------------------------------------------------------------------------- rights
async def test_each_right_that_is_missing_is_told_and_harms_nobody_who_has_them_all(
    alone: OperatorProcess, namespace: Namespace, new_namespace: NewNamespace
) -> None:
    unwatched, no_secrets, no_status, no_get, no_events, no_finalizer = [
        await new_namespace() for _ in range(6)
    ]
    await granted_in(namespace)
    await granted_in(no_secrets, without=("secrets", "get"))
    await granted_in(no_status, without=("runnerpools/status", "patch"))
    await granted_in(no_get, without=("runnerpools", "get"))
    await granted_in(no_events, without=("events", "create"))
    await granted_in(no_finalizer, without=("runnerpools", "patch"))
    for one in (unwatched, no_secrets, no_status, no_get, no_finalizer):
        await one.apply()
    await no_events.apply(flavors=["t4-smal"])
    account = namespace.account
    (job,) = account.queue()
    await namespace.apply()

    await alone.start(*watching(namespace, no_secrets, no_status, no_get, no_events, no_finalizer))

    told = await no_secrets.until_condition("Ready", "False", "SecretForbidden")
    assert 'cannot get resource "secrets"' in told["message"]
    assert f"Secret github in namespace {no_secrets.name}" in told["message"]
    lacking = {
        no_secrets.name: 'cannot get resource "secrets"',
        no_status.name: 'cannot patch resource "runnerpools/status"',
        no_get.name: 'cannot get resource "runnerpools"',
        no_events.name: 'cannot create resource "events"',
        no_finalizer.name: 'cannot patch resource "runnerpools"',
    }

    def refusals() -> set[str]:
        lines = [line for line in alone.log.splitlines() if "is forbidden: User" in line]
        known = {
            words: any(words in line and f'"{name}"' in line for line in lines)
            for name, words in lacking.items()
        }
        return {words for words, found in known.items() if found}

    await until(lambda: len(refusals()) == len(lacking), "each lacking right is told in the log")

    # The Role is enough for who has it whole.
    await namespace.until_ready()
    await until(lambda: account.runs(job), "the job is served")
    account.finish(job)
    await namespace.delete()
    await namespace.until_gone()
    assert account.nothing_left
    own = [line for line in alone.log.splitlines() if f'"{namespace.name}"' in line]
    assert not any("is forbidden" in line for line in own)

    # What is not watched is not touched.
    untouched = await unwatched.pool()
    assert untouched is not None
    assert untouched["status"] == {"observedGeneration": -1}
    assert "finalizers" not in untouched["metadata"]


async def test_a_watch_that_is_forbidden_is_told(alone: OperatorProcess, namespace: Namespace) -> None:
    await granted_in(namespace, without=("runnerpools", "watch"))

    await alone.begin(*watching(namespace))

    await until(lambda: 'cannot watch resource "runnerpools"' in alone.log, "told in the log")
    assert await alone.stop() == 0


# --------------------------------------------------------------------------------------------- start and stop
@pytest.mark.timeout(600)
async def test_what_a_stopped_operator_began_is_whole_and_its_successor_ends_it(
    alone: OperatorProcess, namespace: Namespace
) -> None:
    account = namespace.account
    await granted_in(namespace)
    await namespace.apply()
    await alone.start(*watching(namespace))
    await namespace.until_ready()
    slow = {"route": "POST /api/jobs/{namespace}", "kind": "delay", "seconds": 2.0, "when": "after"}
    account.cloud.hub_exchange.rules.add({**slow, "match": {"path": {"namespace": account.hub_namespace}}})
    await namespace.apply(minIdle=1)
    await until(account.live_hf_jobs, "a launch whose answer is on its way")

    assert await alone.stop() == 0

    # The answer was waited for: a launch without one would have been undone, or left half.
    assert len(account.registrations()) == len(account.live_hf_jobs()) == 1
    assert "Traceback" not in alone.log
    await namespace.delete()
    deleted = await namespace.pool()
    assert deleted is not None
    assert "deletionTimestamp" in deleted["metadata"]

    await alone.start(*watching(namespace))

    # The successor waits until lists must show whatever was launched just before it.
    await namespace.until_gone(patience=LIST_LAG + PATIENCE)
    assert account.nothing_left


@pytest.fixture
def leads_nowhere(service_account: Path, tmp_path: Path) -> Path:
    """A kubeconfig of an API server that is not there."""
    config = yaml.safe_load(service_account.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


async def test_an_api_server_out_of_reach_ends_the_process_with_a_sentence(
    alone: OperatorProcess, leads_nowhere: Path
) -> None:
    alone.kubeconfig = leads_nowhere

    await alone.begin()

    assert await alone.ended() == 1
    last = alone.log.splitlines()[-1]
    assert "Cannot connect to host 127.0.0.1:1" in last
    assert "Check the API server's address in the kubeconfig, and that it runs." in last
    assert "Traceback" not in alone.log


async def test_a_cluster_without_the_crd_names_the_command_that_installs_it(alone: OperatorProcess) -> None:
    programs = present_assets()
    assert programs is not None
    with ControlPlane(programs=programs) as bare:
        alone.kubeconfig = bare.kubeconfig
        await alone.begin()
        assert "kubectl apply --server-side -f crds/" in await why_it_ended(alone)

        # The same cluster, where somebody takes the CRD away while the operator runs.
        async with await connect(kubeconfig=str(bare.kubeconfig)) as client:
            await install_crd(client)
            await alone.begin()
            manifest = {**POOL, "metadata": {"name": "gpu", "namespace": "default"}}
            await apply(client, manifest)

            async def held() -> bool:
                return "finalizers" in (await client.request_json("GET", path_for(manifest)))["metadata"]

            await until(held, "the operator watches")
            await client.request_json("DELETE", path_for(yaml.safe_load(CRD)))
            told = await why_it_ended(alone)
    assert "RunnerPools cannot be watched" in told
    assert "install the CRD" in told


async def test_an_older_crd_is_refused_with_the_fields_that_it_lacks_and_the_command_that_mends_it(
    alone: OperatorProcess,
) -> None:
    programs = present_assets()
    assert programs is not None
    with ControlPlane(programs=programs) as bare:
        async with await connect(kubeconfig=str(bare.kubeconfig)) as client:
            old = yaml.safe_load(CRD)
            schema = old["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
            del schema["spec"]["properties"]["retry"]
            del schema["status"]["properties"]["places"]["items"]["properties"]["scope"]
            schema["status"]["properties"]["places"]["items"]["required"].remove("scope")
            await install_crd(client, old)  # its schema is published a moment later than it is served
        alone.kubeconfig = bare.kubeconfig
        await alone.begin()
        told = await why_it_ended(alone)
    assert "lacks spec.retry, status.places[].scope." in told
    assert "kubectl apply --server-side --force-conflicts -f crds/" in told


async def test_a_list_that_is_forbidden_names_the_verb(alone: OperatorProcess, namespace: Namespace) -> None:
    await granted_in(namespace, without=("runnerpools", "list"))
    await alone.begin(*watching(namespace))
    told = await why_it_ended(alone)
    assert 'cannot list resource "runnerpools"' in told
    assert "docs/reference/rbac.md" in told


async def test_without_a_controller_id_the_clusters_must_be_readable(
    alone: OperatorProcess, namespace: Namespace
) -> None:
    await alone.begin("--namespace", namespace.name)
    told = await why_it_ended(alone)
    assert 'cannot get resource "namespaces"' in told
    assert "Pass --controller-id" in told


async def test_a_user_who_is_a_mere_number_can_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    def getuser() -> str:  # as for `USER 65532` in an image, or the user that OpenShift chooses
        raise KeyError("getpwuid(): uid not found: 65532")

    async def identity() -> Identity:
        raise AssertionError("it is stopped before it asks")

    monkeypatch.setattr(getpass, "getuser", getuser)
    watch = Watch()

    await watch.start(
        PoolRegistry(hosts=DEFAULT_HOSTS, changed=lambda: None),
        identity=identity,
        namespaces=["ci"],
        leadership=Alone("this one"),
    )

    await watch.stop()
    assert watch.tasks


async def why_it_ended(operator: OperatorProcess) -> str:
    """Wait until it has ended with an error, and return what it said last."""
    assert await operator.ended() == 1, operator.log
    return operator.log.splitlines()[-1]
