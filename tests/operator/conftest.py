"""A real API server, the real operator as a process with least privileges, and both services on sockets."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from controller.adapters.kube.client import Client, connect, pools_path
from controller.adapters.kube.errors import KubernetesError
from controller.adapters.kube.lease import KubernetesLeases, LeaseConflict
from controller.adapters.kube.rights import may, to_read
from controller.ports import UpstreamError
from hf_runner_simulators.clock import LoopClock
from tests.operator.cloud import Cloud, open_cloud
from tests.operator.cluster import Body, Namespace, apply, path_for, until
from tests.operator.process import OperatorProcess
from tools.controlplane import ControlPlane

CRD = (Path(__file__).parents[2] / "crds" / "hfrunners.dev_runnerpools.yaml").read_text()
RBAC: list[Body] = list(yaml.safe_load_all((Path(__file__).parent / "rbac.yaml").read_text()))
HOME = "hf-runner-controller"
IDENTITY = {"namespace": HOME, "name": "hf-runner-controller"}
ACCOUNT = (IDENTITY["namespace"], IDENTITY["name"])
_numbers = itertools.count(1)

session_fixture = pytest_asyncio.fixture(scope="session", loop_scope="session")


@session_fixture
async def cloud() -> AsyncIterator[Cloud]:
    """GitHub and the Hub."""
    async with open_cloud() as opened:
        yield opened


@session_fixture
async def admin(control_plane: Path) -> AsyncIterator[Client]:
    """An administrator of an API server that serves RunnerPools."""
    async with await connect(kubeconfig=str(control_plane)) as client:
        await install_crd(client)
        yield client


NewNamespace = Callable[[], Awaitable[Namespace]]


@pytest_asyncio.fixture(loop_scope="session")
async def new_namespace(admin: Client, cloud: Cloud) -> AsyncIterator[NewNamespace]:
    """Makes namespaces with the Secrets ``github`` and ``hf`` of an account of their own; their pools go with the test.

    An operator of the whole cluster may read the Secrets.
    """
    made: list[Namespace] = []

    async def make() -> Namespace:
        one = Namespace(client=admin, name=f"operator-{next(_numbers)}", account=cloud.account())
        made.append(one)
        await apply(admin, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": one.name}})
        await apply(admin, secrets_binding(one.name))
        await one.secret("github", one.account.github_secret)
        await one.secret("hf", one.account.hub_secret)
        await until(lambda: in_force(admin, one.name), "the RoleBinding is in force")
        return one

    yield make
    for one in made:
        one.account.finish(*one.account.jobs())
        # Whatever the test granted: an operator of a later module lets go of pools that nobody serves now.
        await apply(admin, secrets_binding(one.name))
        await admin.request_json("DELETE", pools_path(one.name))


@pytest_asyncio.fixture(loop_scope="session")
async def namespace(new_namespace: NewNamespace) -> Namespace:
    """A namespace of the test's own."""
    return await new_namespace()


@session_fixture
async def service_account(api_server: ControlPlane, admin: Client) -> Path:
    """The kubeconfig of a ServiceAccount that may do nothing yet."""
    for obj in RBAC:
        if obj["kind"] == "Namespace":
            await apply(admin, obj)
    return api_server.service_account_kubeconfig(**IDENTITY)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def operator(
    service_account: Path, admin: Client, cloud: Cloud, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[OperatorProcess]:
    """The operator of the whole cluster, with the ClusterRoles of rbac.yaml and nothing else; it is refused nothing.

    It ends with the module: tests of other modules have RunnerPools on the same API server that it must not touch.
    """
    log = tmp_path_factory.mktemp("operator") / "operator.log"
    async with of_the_whole_cluster(service_account, admin, log, hosts=cloud.flags) as process:
        yield process
    assert "is forbidden: User" not in process.log, "rbac.yaml lacks a rule"
    shown = [secret for secret in cloud.secrets() if secret in process.log]
    assert not shown, f"the operator's log shows {len(shown)} secrets"


@contextlib.asynccontextmanager
async def of_the_whole_cluster(
    service_account: Path, admin: Client, log: Path, *, hosts: Sequence[str]
) -> AsyncIterator[OperatorProcess]:
    """Run an operator of all namespaces with its rules, which go with it."""
    granted = [obj for obj in RBAC if obj["kind"].startswith("ClusterRole") or leads(obj)]
    (role,) = [obj["metadata"] for obj in granted if obj["metadata"]["name"].endswith("-secrets")]
    for obj in granted:
        await apply(admin, obj)
    await until(lambda: allowed(service_account, pools_path()), "the ClusterRole is in force")
    await make_lease(service_account)
    process = OperatorProcess(kubeconfig=service_account, log=log, hosts=hosts)
    try:
        await process.start(
            *("--leader-elect", "--lease-namespace", HOME, "--debug-plan"),
            *("--secrets-role", role["name"], "--service-account", "/".join(ACCOUNT)),
        )
        yield process
        assert await process.stop() == 0
    finally:
        await process.kill()
        for obj in granted:
            await admin.request_json("DELETE", path_for(obj))


def secrets_binding(namespace: str) -> Body:
    """Return the RoleBinding of rbac.yaml that lets an operator of the whole cluster read the Secrets of a namespace."""
    (found,) = [obj for obj in RBAC if obj["kind"] == "RoleBinding" and reads_secrets(obj)]
    return {**found, "metadata": {**found["metadata"], "namespace": namespace}}


async def in_force(admin: Client, namespace: str) -> bool:
    """Return whether the operator may read Secrets there; it may not while no operator of the whole cluster has its rules."""
    (role,) = [obj for obj in RBAC if obj["kind"] == "ClusterRole" and reads_secrets(obj)]
    try:
        await admin.request_json("GET", path_for(role))
    except KubernetesError:
        return True
    return await may(admin, to_read(), namespace=namespace, account=ACCOUNT)


def reads_secrets(obj: Body) -> bool:
    """Return whether an object of rbac.yaml is for an operator of the whole cluster, and no rule of single namespaces."""
    return bool(obj["metadata"]["name"].endswith("-secrets"))


def leads(obj: Body) -> bool:
    """Return whether an object of rbac.yaml is for the controller's own namespace: the election of a leader, the stop switch."""
    return bool(obj["metadata"]["name"].endswith(("-leader", "-stop-switch")))


async def make_lease(kubeconfig: Path) -> None:
    """Make the Lease as one that was released, as the operator itself would: a first leader waits for 15 s."""
    async with await connect(kubeconfig=str(kubeconfig)) as client:
        clock = LoopClock(time=asyncio.get_running_loop().time)
        leases = KubernetesLeases(client=client, namespace=HOME, name=HOME, clock=clock)
        with contextlib.suppress(LeaseConflict):  # an operator of another module made it
            await leases.write(None, holder="", seconds=15.0)


async def install_crd(client: Client, crd: Body | None = None) -> None:
    """Install the CRD, or another one, and wait until RunnerPools are served."""
    await apply(client, crd or yaml.safe_load(CRD))

    async def served() -> bool:
        try:
            await client.request_json("GET", pools_path())
        except UpstreamError:
            return False
        return True

    await until(served, "RunnerPools are served")


async def granted_in(namespace: Namespace, *, without: tuple[str, str] | None = None) -> None:
    """Grant the Role of rbac.yaml in a namespace, but for one verb on one resource, and nothing else."""
    await delete(namespace.client, secrets_binding(namespace.name))
    rules = [
        obj
        for obj in RBAC
        if obj["kind"] in ("Role", "RoleBinding") and not (leads(obj) or reads_secrets(obj))
    ]
    for obj in copy.deepcopy(rules):
        obj["metadata"]["namespace"] = namespace.name
        for rule in obj.get("rules", ()):
            if without and without[0] in rule["resources"]:
                rule["verbs"].remove(without[1])
                rule["verbs"] = rule["verbs"] or ["none"]  # a rule needs a verb
        await apply(namespace.client, obj)


async def delete(client: Client, obj: Body) -> None:
    """Delete an object; one that is gone is no error."""
    try:
        await client.request_json("DELETE", path_for(obj))
    except KubernetesError as error:
        if error.status != 404:
            raise


async def allowed(kubeconfig: Path, path: str) -> bool:
    """Return whether somebody may get what is at a path: rules take a moment to come into force."""
    async with await connect(kubeconfig=str(kubeconfig)) as client:
        try:
            await client.request_json("GET", path)
        except KubernetesError as error:
            return error.status != 403
        return True
