"""The commands that read a cluster, on a real API server: check, runners and logs."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import yaml
from click.testing import CliRunner, Result

from controller.adapters.kube.client import Client, connect, path_of, pools_path
from controller.adapters.kube.errors import KubernetesError
from controller.adapters.kube.rights import IN_EACH_NAMESPACE
from controller.cli import main
from controller.core.naming import digest
from tests.cli.services import HF_TOKEN, Services, serve_services

pytestmark = pytest.mark.controlplane

ROOT = Path(__file__).parents[2]
T = TypeVar("T")
_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A namespace with a pool and its Secrets, and HF Jobs as a controller would have made them."""

    kubeconfig: str
    namespace: str
    services: Services
    uid: str

    def do(self, what: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        return _do(self.kubeconfig, what)

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, self.told(*arguments))

    def told(self, command: str, *arguments: str) -> list[str]:
        """Return a whole command line; only what sends credentials is told where they may go."""
        hosts = self.services.flags if command in ("check", "logs") else ()
        return [command, *arguments, *hosts, "--kubeconfig", self.kubeconfig]

    def runner(self, token: str) -> str:
        return f"t4-hfr-0a1b2c-{digest(self.uid)}-{token}"

    def launch(self, runner: str, script: str) -> str:
        labels = {
            "managed-by": "hf-runner-controller",
            "pool-uid": self.uid,
            "runner": runner,
            "name": runner,
        }
        body = {
            "dockerImage": "ubuntu",
            "command": ["sh", "-c", script],
            "flavor": "t4-small",
            "timeoutSeconds": 600,
            "labels": labels,
        }
        answer = httpx.post(
            f"{self.services.hub}/api/jobs/acme", json=body, headers={"Authorization": f"Bearer {HF_TOKEN}"}
        )
        return str(answer.raise_for_status().json()["id"])


def _do(kubeconfig: str, what: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
    async def run() -> T:
        async with await connect(kubeconfig=kubeconfig) as client:
            return await what(client)

    return asyncio.run(run())


async def _post(client: Client, path: str, body: Mapping[str, Any]) -> Any:
    try:
        return await client.request_json("POST", path, body=dict(body))
    except KubernetesError as error:
        if error.status != 409:  # another test of this session made it
            raise


@pytest.fixture(scope="module")
def served() -> Iterator[Services]:
    with serve_services() as services:
        yield services


@pytest.fixture
def scene(control_plane: Path, served: Services) -> Scene:
    namespace = f"cli-{next(_numbers)}"

    async def make(client: Client) -> str:
        crd = yaml.safe_load((ROOT / "crds" / "hfrunners.dev_runnerpools.yaml").read_text())
        await _post(client, path_of("apis", "apiextensions.k8s.io", "v1", "customresourcedefinitions"), crd)
        await _post(client, path_of("api", "v1", "namespaces"), {"metadata": {"name": namespace}})
        for one in served.secrets():
            one["metadata"]["namespace"] = namespace
            await _post(client, path_of("api", "v1", "namespaces", namespace, "secrets"), one)
        pool = served.pool()
        pool["metadata"]["namespace"] = namespace
        for _ in range(100):
            try:
                made = await client.request_json("POST", pools_path(namespace), body=pool)
            except KubernetesError as error:
                if error.status not in (404, 429):  # the CRD is not served yet
                    raise
                await asyncio.sleep(0.1)
            else:
                return str(made["metadata"]["uid"])
        pytest.fail("the API server does not serve RunnerPools")

    uid = _do(str(control_plane), make)
    return Scene(kubeconfig=str(control_plane), namespace=namespace, services=served, uid=uid)


# ------------------------------------------------------------------------------------------------------ check
def test_a_live_pool_is_checked_with_the_secrets_of_the_cluster(scene: Scene) -> None:
    result = scene.run("check", "--pool", f"{scene.namespace}/t4")
    assert result.exit_code == 0, result.output
    assert "1 pool checked: 0 errors, 0 warnings" in result.stdout
    missing = scene.run("check", "--pool", f"{scene.namespace}/t5")
    assert missing.exit_code == 1
    assert "there is no RunnerPool t5" in missing.stderr


def test_a_manifest_is_checked_with_secrets_that_the_cluster_has(scene: Scene, tmp_path: Path) -> None:
    pool = scene.services.pool("new")
    pool["metadata"]["namespace"] = scene.namespace
    file = tmp_path / "pool.yaml"
    file.write_text(yaml.safe_dump(pool))
    assert "0 errors, 0 warnings" in scene.run("check", str(file)).stdout
    pool["spec"]["huggingface"]["tokenSecret"] = "gone"
    file.write_text(yaml.safe_dump(pool))
    result = scene.run("check", str(file))
    assert result.exit_code == 1
    assert "SecretMissing: There is no Secret gone" in result.stdout


def test_the_rights_of_the_controllers_service_account_are_checked(scene: Scene) -> None:
    account = f"{scene.namespace}/controller"

    def lacking() -> tuple[int, set[str]]:
        result = scene.run("check", "--pool", f"{scene.namespace}/t4", "--service-account", account, "--json")
        findings = json.loads(result.stdout)["findings"]
        mine = [one for one in findings if one["reason"] in ("KubernetesForbidden", "SecretForbidden")]
        return result.exit_code, {one["message"].split(",")[0] for one in mine if one["severity"] == "error"}

    code, before = lacking()
    assert code == 1
    secrets = f"It may not read github and hf in namespace {scene.namespace}"
    assert before == {secrets, *(f"It may not {right} in {scene.namespace}" for right in IN_EACH_NAMESPACE)}

    async def grant(client: Client) -> None:
        rules = yaml.safe_load_all((ROOT / "tests" / "operator" / "rbac.yaml").read_text())
        (role,) = [
            one
            for one in rules
            if one["kind"] == "Role" and one["metadata"]["name"] == "hf-runner-controller"
        ]
        role["metadata"]["namespace"] = scene.namespace
        at = ("apis", "rbac.authorization.k8s.io", "v1", "namespaces", scene.namespace)
        await _post(client, path_of(*at, "roles"), role)
        binding = {
            "metadata": {"name": "controller"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "Role",
                "name": role["metadata"]["name"],
            },
            "subjects": [{"kind": "ServiceAccount", "name": "controller", "namespace": scene.namespace}],
        }
        await _post(client, path_of(*at, "rolebindings"), binding)

    scene.do(grant)
    ends = time.monotonic() + 20  # the authorizer hears of a new binding by its watch
    while lacking() != (0, set()):
        assert time.monotonic() < ends, lacking()


# ------------------------------------------------------------------------------------------------------- init
def test_the_api_server_takes_what_init_prints(scene: Scene) -> None:
    made = CliRunner().invoke(
        main,
        [
            *(
                "init",
                "--github-url",
                "https://github.com/acme",
                "--repository",
                "lib-*",
                "--hf-namespace",
                "acme",
            ),
            *(
                "--flavor",
                "t4-small",
                "--flavor",
                "cpu-upgrade",
                "--like",
                "jobs-actions",
                "-n",
                scene.namespace,
            ),
            *("--runner-group", "gpu", "--image", "ubuntu:24.04", "--min-idle", "1", "--lifetime", "45m"),
        ],
    )
    pools = [one for one in yaml.safe_load_all(made.stdout) if one]
    assert len(pools) == 2

    async def apply(client: Client) -> None:
        for pool in pools:
            taken = await client.request_json(
                "POST",
                pools_path(scene.namespace),
                query=[("dryRun", "All"), ("fieldValidation", "Strict")],
                body=pool,
            )
            assert taken["spec"].items() >= {**pool["spec"], **_defaulted(taken, pool)}.items()

    scene.do(apply)


def _defaulted(taken: Mapping[str, Any], pool: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the objects into which the API server put defaults, once what was written is seen in them."""
    nested = {name: value for name, value in pool["spec"].items() if isinstance(value, dict)}
    for name, value in nested.items():
        assert taken["spec"][name].items() >= value.items()
    return {name: taken["spec"][name] for name in nested}


# ---------------------------------------------------------------------------------------------------- runners
def test_runners_are_listed_from_the_status_of_the_pools(scene: Scene) -> None:
    runner = {"name": "t4-hfr-1", "phase": "Busy", "flavor": "t4-small", "since": "2026-11-21T09:00:00Z"}
    status = {
        "observedGeneration": 1,
        "counts": {"live": 1},
        "flavors": [{"name": "t4-small", "usdPerHour": "0.40"}],
        "runners": [runner],
    }

    async def tell(client: Client) -> None:
        await client.request_json(
            "PATCH",
            pools_path(scene.namespace, "t4", "status"),
            body={"status": status},
            content_type="application/merge-patch+json",
        )

    scene.do(tell)
    result = scene.run("runners", "-n", scene.namespace)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1].split()[:3] == [f"{scene.namespace}/t4", "t4-hfr-1", "Busy"]
    assert "1 runner in 1 pool, 0 without any; $0.40 per hour" in result.stdout
    everywhere = json.loads(scene.run("runners", "-A", "--json").stdout)
    assert scene.namespace in {one["namespace"] for one in everywhere["runners"]}
    assert scene.run("runners", "-A", "-n", "x").exit_code == 2


# ------------------------------------------------------------------------------------------------------ hosts
def without_hosts(scene: Scene, *arguments: str) -> Result:
    """Run a command that may send credentials to no host of the scene."""
    return CliRunner().invoke(main, [*arguments, "--allow-http", "--kubeconfig", scene.kubeconfig])


def test_a_strangers_manifest_gets_no_secret_of_the_cluster(scene: Scene, tmp_path: Path) -> None:
    file = tmp_path / "pull-request.yaml"
    pool = scene.services.pool()
    pool["metadata"]["namespace"] = scene.namespace
    file.write_text(yaml.safe_dump(pool))
    before = [len(scene.services.ask("log", hub=hub)) for hub in (False, True)]
    result = without_hosts(scene, "check", str(file))
    assert result.exit_code == 1
    assert result.stdout.count("HostNotAllowed") == 2
    assert [len(scene.services.ask("log", hub=hub)) for hub in (False, True)] == before


def test_logs_sends_no_token_to_a_host_that_is_not_allowed(scene: Scene) -> None:
    result = without_hosts(scene, "logs", "t4", "-n", scene.namespace)
    assert (result.exit_code, "HostNotAllowed" in result.stderr) == (1, True), result.output


def test_an_upgrade_is_told_which_pools_would_stop_and_what_keeps_them(scene: Scene) -> None:
    here = ("--namespace", scene.namespace)
    stops = without_hosts(scene, "upgrade-check", *here)
    assert stops.exit_code == 1, stops.output
    assert f"{scene.namespace}/t4: " in stops.stdout
    assert "1 RunnerPool was looked at: something would stop" in stops.stdout
    values = yaml.safe_load(stops.stdout.partition("upgrade again:")[2].rpartition("1 RunnerPool")[0])
    flags = [
        *(f"--github-host={one}" for one in values["controller"]["githubHosts"]),
        *(f"--hub-endpoint={one}" for one in values["controller"]["hubEndpoints"]),
    ]
    goes_on = without_hosts(scene, "upgrade-check", *here, *flags)
    assert (goes_on.exit_code, goes_on.stdout) == (0, "1 RunnerPool was looked at: nothing would stop\n")


# ------------------------------------------------------------------------------------------------------- logs
def test_a_runners_log_is_printed_after_its_end_too(scene: Scene) -> None:
    job = scene.launch(scene.runner("one"), "echo first; echo second")
    for arguments in (
        ["logs", scene.runner("one"), "-f"],
        ["logs", "t4", "--hf-job", job, "-f", "--tail", "2"],
    ):
        result = scene.run(*arguments, "-n", scene.namespace)
        assert result.exit_code == 0, result.output
        lines = [line for line in result.stdout.splitlines() if not line.startswith("=====")]
        assert lines == (["second"] if "--tail" in arguments else ["first", "second"])


def test_all_live_runners_of_a_pool_are_read_each_under_its_name(scene: Scene) -> None:
    assert "has no live runner" in scene.run("logs", "t4", "-n", scene.namespace).stderr
    for token in ("one", "two"):
        scene.launch(scene.runner(token), f"echo I am {token}; sleep 60")
    ends, wanted = time.monotonic() + 20, {f"{scene.runner(t)} | I am {t}" for t in ("one", "two")}
    while not wanted <= set((result := scene.run("logs", "t4", "-n", scene.namespace)).stdout.splitlines()):
        assert time.monotonic() < ends, result.output
    assert result.exit_code == 0


def test_what_cannot_be_found_is_told(scene: Scene) -> None:
    for name, words in (
        ("t5", "there is no RunnerPool t5"),
        (scene.runner("none"), "the Hub knows no HF Job"),
        (f"t4-hfr-0a1b2c-{'0' * 8}-x", "no RunnerPool in namespace"),
    ):
        result = scene.run("logs", name, "-n", scene.namespace)
        assert (result.exit_code, words in result.stderr) == (1, True), result.output


@pytest.mark.parametrize("command", [["logs", "t4", "-f"], ["runners", "--watch"]])
def test_ctrl_c_ends_what_goes_on_for_ever_with_130(scene: Scene, command: list[str]) -> None:
    scene.launch(scene.runner("one"), "echo working; sleep 60")
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "controller",
            *scene.told(*command, "-n", scene.namespace),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # who runs the tests may ignore it
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() != ""
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=200)
        assert (process.returncode, "Traceback" in errors) == (130, False), errors
    finally:
        process.kill()
        process.communicate()


def test_a_cluster_that_cannot_be_reached_is_one_sentence(tmp_path: Path) -> None:
    for command in (["check", "--all"], ["runners"], ["logs", "t4"]):
        result = CliRunner().invoke(main, [*command, "--kubeconfig", str(tmp_path / "none")])
        assert result.exit_code == 1
        assert "No usable Kubernetes configuration" in result.stderr
