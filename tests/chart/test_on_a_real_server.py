"""What the chart renders, and installs, on a real API server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from controller.cli import main
from tests.chart.argo import judge
from tests.chart.conftest import CHART, NAMESPACE, VALUES, Body, Helm, settings
from tests.chart.server import Server, write_schemas
from tools import charttools
from tools.controlplane import ControlPlane, present_assets

# Servers of their own, so these need not wait for the tests that share one.
pytestmark = [pytest.mark.controlplane]

CRD = CHART / "files/crds/hfrunners.dev_runnerpools.yaml"
MATRIX = [(), *(("-f", path) for path in VALUES)]
TYPE = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/runnerpools.hfrunners.dev"
NAMES = ["defaults", *(path.stem for path in VALUES)]
CLUSTER_WIDE = (
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
)
POOLS = Path(__file__).parent / "values" / "namespaced.yaml"


def fresh() -> ControlPlane:
    """An API server of a module's or test's own: what Helm installs has fixed names, and other
    tests bring the same CRD.
    """
    programs = present_assets()
    if programs is None:
        pytest.fail("no kube-apiserver and etcd here yet: run `make controlplane` once")
    return ControlPlane(programs=programs)


@pytest.fixture(scope="module")
def server(programs: Path) -> Iterator[Server]:
    """An API server that knows every type that the chart renders, and the namespaces that the values name."""
    with fresh() as plane, Server(plane.kubeconfig) as server:
        server.install_types(CRD, *(programs / name for name in charttools.CRDS))
        for name in (NAMESPACE, "chart-gpu"):
            server.namespace(name)
        server.namespace(
            "restricted",
            **{
                "pod-security.kubernetes.io__enforce": "restricted",
                "pod-security.kubernetes.io__enforce-version": "latest",
            },
        )
        server.apply(
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": "default", "namespace": "restricted"},
            }
        ).raise_for_status()
        yield server


@pytest.mark.parametrize("values", MATRIX, ids=NAMES)
def test_every_object_is_taken_by_the_api_server_to_the_last_field(
    server: Server, programs: Path, values: tuple[object, ...]
) -> None:
    wrong = {}
    for obj in Helm(programs / "helm4").render(*values):
        obj["metadata"].setdefault(
            "namespace", NAMESPACE
        )  # as Helm does; of cluster-wide kinds it is dropped
        if obj["kind"] in CLUSTER_WIDE:
            del obj["metadata"]["namespace"]
        answer = server.apply(obj, dry=True)
        if answer.status_code not in (200, 201):
            wrong[f"{obj['kind']} {obj['metadata']['name']}"] = answer.text
    assert wrong == {}


def test_a_field_that_does_not_exist_would_be_noticed(server: Server, programs: Path) -> None:
    deployment = next(obj for obj in Helm(programs / "helm4").render() if obj["kind"] == "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    answer = server.apply(deployment, dry=True)
    assert answer.status_code >= 400
    assert "readynessProbe" in answer.text


def pods(objects: list[Body]) -> Iterator[tuple[str, Body]]:
    for obj in objects:
        if obj["kind"] in ("Deployment", "Job"):
            template = obj["spec"]["template"]
            spec = {**template["spec"], "serviceAccountName": "default"}
            metadata = {"name": obj["metadata"]["name"], "namespace": "restricted"}
            yield (
                obj["metadata"]["name"],
                {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec},
            )


@pytest.mark.parametrize("values", MATRIX, ids=NAMES)
def test_every_pod_passes_the_restricted_level_of_pod_security(
    server: Server, programs: Path, values: tuple[object, ...]
) -> None:
    found = list(pods(Helm(programs / "helm4").render(*values)))
    assert found
    answers = {name: server.apply(pod, dry=True) for name, pod in found}
    assert {name: answer.text for name, answer in answers.items() if answer.status_code != 201} == {}


@pytest.mark.parametrize(
    "taken", ["runAsNonRoot", "seccompProfile", "allowPrivilegeEscalation", "capabilities"]
)
def test_a_pod_that_lacks_one_of_its_restrictions_would_be_refused(
    server: Server, programs: Path, taken: str
) -> None:
    (_, pod), *_ = pods(Helm(programs / "helm4").render())
    for restrictions in (pod["spec"]["securityContext"], pod["spec"]["containers"][0]["securityContext"]):
        restrictions.pop(taken, None)
    answer = server.apply(pod, dry=True)
    assert answer.status_code == 403
    assert "violates PodSecurity" in answer.text
    assert taken in answer.text


@pytest.mark.parametrize("values", MATRIX, ids=NAMES)
def test_kubeconform_agrees_with_the_servers_own_schemas(
    server: Server, programs: Path, tmp_path: Path, values: tuple[object, ...]
) -> None:
    assert write_schemas(server.wait("/openapi/v2").json(), tmp_path) > 100
    objects = Helm(programs / "helm3").render(*values)

    def conform(docs: list[Body]) -> subprocess.CompletedProcess[str]:
        location = f"{tmp_path}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
        return subprocess.run(
            [programs / "kubeconform", "-strict", "-summary", "-schema-location", location, "-"],
            input=yaml.safe_dump_all(docs),
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    done = conform(objects)
    assert done.returncode == 0, done.stdout
    assert f"Valid: {len(objects)}, Invalid: 0, Errors: 0, Skipped: 0" in done.stdout
    objects[0]["metadata"]["lables"] = {}
    assert conform(objects).returncode != 0


# ---------------------------------------------------------------------------------------------- installations
@pytest.fixture(scope="module")
def cluster(programs: Path) -> Iterator[ControlPlane]:
    """An API server on which only Helm installs anything."""
    with fresh() as plane:
        yield plane


@pytest.fixture
def empty(cluster: ControlPlane, programs: Path) -> Iterator[Server]:
    """The same, as an administrator, with namespaces and nothing else; what a test installs goes with it."""
    helm = Helm(programs / "helm4")
    with Server(cluster.kubeconfig) as server:
        for name in ("ci", "ml", "chart", "chart-gpu"):
            server.namespace(name)
        yield server
        listed = helm.run("list", "--all-namespaces", "--kubeconfig", cluster.kubeconfig, "--output", "json")
        for release in json.loads(listed.stdout):
            where = ("--namespace", release["namespace"], "--kubeconfig", cluster.kubeconfig)
            assert helm.run("uninstall", release["name"], "--no-hooks", *where).returncode == 0
        server.http.delete(TYPE)
        server.wait(TYPE, status=404)


def install(
    helm: Helm, cluster: ControlPlane, name: str, *words: str, namespace: str = "infra", verb: str = "install"
) -> subprocess.CompletedProcess[str]:
    """Install without the Jobs, which nobody would run here."""
    return helm.run(
        *(verb, name, CHART, "--kubeconfig", cluster.kubeconfig, "--no-hooks"),
        *("--namespace", namespace, "--create-namespace", *words),
    )


SERVES_ALL = ()
SERVES_CI = tuple(settings(["watch.namespaces={ci}", "crds.enabled=false"]))
SERVES_ML = tuple(settings(["watch.namespaces={ml}", "crds.enabled=false"]))


def test_releases_that_would_fight_are_refused_and_others_live_side_by_side(
    helm: Helm, cluster: ControlPlane, empty: Server
) -> None:
    # One for all namespaces, then others beside it.
    done = install(helm, cluster, "first")
    assert done.returncode == 0, done.stderr
    second = install(helm, cluster, "second", *settings(["crds.enabled=false"]))
    assert second.returncode != 0
    assert 'ClusterRole "hf-runner-controller-all-namespaces"' in second.stderr
    assert 'current value is "first"' in second.stderr
    third = install(helm, cluster, "third", *SERVES_CI, namespace="ci")
    assert (
        "release infra/first (NAMESPACE/NAME) serves the RunnerPools of all namespaces already"
        in third.stderr
    )
    again = install(helm, cluster, "first", verb="upgrade")
    assert again.returncode == 0, again.stderr

    # The type belongs to one.
    type_too = install(
        helm,
        cluster,
        "fourth",
        *settings(["watch.namespaces={ci}", "watch.refuseOverlap=false"]),
        namespace="ci",
    )
    assert type_too.returncode != 0
    assert 'CustomResourceDefinition "runnerpools.hfrunners.dev"' in type_too.stderr

    # Without the first, but with the type that it left: several for some namespaces each.
    gone = helm.run(*("uninstall", "first", "--kubeconfig", cluster.kubeconfig, "--no-hooks", "-n", "infra"))
    assert gone.returncode == 0, gone.stderr
    assert "CustomResourceDefinition" in gone.stdout, "Helm says what it keeps"
    empty.wait("/apis/hfrunners.dev/v1alpha1/runnerpools")
    for name, words, namespace in (("ci", SERVES_CI, "ci"), ("ml", SERVES_ML, "ml")):
        done = install(helm, cluster, name, *words, namespace=namespace)
        assert done.returncode == 0, done.stderr
    same = install(helm, cluster, "other", *SERVES_CI)
    assert same.returncode != 0
    assert 'Role "hf-runner-controller" in namespace "ci"' in same.stderr
    everything = install(helm, cluster, "first", *SERVES_ALL)
    assert "release ci/ci (NAMESPACE/NAME) serves the RunnerPools of ci already" in everything.stderr

    # And back: the type that was kept is taken up again by its own release.
    for name in ("ci", "ml"):
        assert (
            helm.run(
                *("uninstall", name, "--kubeconfig", cluster.kubeconfig, "--no-hooks", "-n", name)
            ).returncode
            == 0
        )
    back = install(helm, cluster, "first")
    assert back.returncode == 0, back.stderr


def test_who_administers_one_namespace_installs_there_as_the_readme_says(
    helm: Helm, cluster: ControlPlane, empty: Server, tmp_path: Path
) -> None:
    """ClusterRole admin is the sum of those below; the controller that sums them up does not run here."""
    empty.install_types(CRD)
    granted = [f"system:aggregate-to-{who}" for who in ("admin", "edit", "view")]
    for obj in helm.render(release="type"):
        if obj["kind"] == "ClusterRole" and any(
            "aggregate-to" in label for label in obj["metadata"]["labels"]
        ):
            empty.apply(obj).raise_for_status()
            granted.append(obj["metadata"]["name"])
    assert len(granted) == 6
    alice = cluster.service_account_kubeconfig(namespace="ci", name="alice")
    api = "rbac.authorization.k8s.io"
    for role in granted:
        binding = {
            "apiVersion": f"{api}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": f"alice-{role}".replace(":", "-"), "namespace": "ci"},
            "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": "alice", "namespace": "ci"}],
        }
        empty.apply(binding).raise_for_status()
        rules = empty.wait(f"/apis/{api}/v1/clusterroles/{role}").json()["rules"]
        empty.await_right("system:serviceaccount:ci:alice", "ci", rules[-1])
    readme = (CHART / "README.md").read_text()
    (shown,) = [
        block for block in re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL) if "refuseOverlap" in block
    ]
    values = tmp_path / "values.yaml"
    values.write_text(shown)
    done = helm.run(
        *("install", "own", CHART, "--kubeconfig", alice, "--no-hooks", "--namespace", "ci", "-f", values)
    )
    assert done.returncode == 0, done.stderr
    more = helm.run(
        *("upgrade", "own", CHART, "--kubeconfig", alice, "--no-hooks", "--namespace", "ci"),
        *("-f", values, *settings(["watch.namespaces={ci,ml}"])),
    )
    assert more.returncode != 0
    assert "forbidden" in more.stderr


def run_job(kubeconfig: Path, arguments: list[str]) -> Result:
    """Run what one of the chart's Jobs runs."""
    return CliRunner().invoke(main, [*arguments, "--kubeconfig", str(kubeconfig)])


def test_an_upgrade_is_checked_with_the_rights_of_the_installed_release(
    helm: Helm, cluster: ControlPlane, empty: Server
) -> None:
    for where in ((), tuple(settings(["watch.namespaces={ci,ml}"]))):
        done = install(
            helm, cluster, "hfrc", *where, namespace="chart", verb="upgrade" if where else "install"
        )
        assert done.returncode == 0, done.stderr
        if not where:
            empty.wait("/apis/hfrunners.dev/v1alpha1/runnerpools")
            empty.apply(
                {
                    "apiVersion": "hfrunners.dev/v1alpha1",
                    "kind": "RunnerPool",
                    "metadata": {"namespace": "ci", "name": "own"},
                    "spec": {
                        "github": {
                            "url": "https://ghe.example.com/acme/lib",
                            "credentialsSecret": "github-app",
                        },
                        "huggingface": {"namespace": "acme", "tokenSecret": "hf-token"},
                        "labels": ["hf-t4"],
                        "flavors": ["t4-small"],
                    },
                }
            ).raise_for_status()
        account = cluster.service_account_kubeconfig(namespace="chart", name="hfrc-hf-runner-controller")

        def check(*values: str, account: Path = account, where: tuple[str, ...] = where) -> Result:
            (job,) = [
                one
                for one in helm.render(*where, *values)
                if one["metadata"]["name"].endswith("-upgrade-check")
            ]
            return run_job(account, job["spec"]["template"]["spec"]["containers"][0]["args"])

        stops = check()
        assert stops.exit_code == 1, stops.output
        assert "ci/own: ghe.example.com (spec.github.url)" in stops.stdout
        assert "githubHosts:" in stops.stdout
        goes_on = check(*settings(["controller.githubHosts={github.com,ghe.example.com}"]))
        assert goes_on.exit_code == 0, goes_on.output


def test_pools_of_the_values_are_there_after_the_first_installation(
    helm: Helm, cluster: ControlPlane, empty: Server
) -> None:
    values = ("-f", str(POOLS))
    done = install(helm, cluster, "hfrc", *values, namespace="chart")
    assert done.returncode == 0, done.stderr

    rendered = helm.render(*values)
    (job,) = [obj for obj in rendered if obj["kind"] == "Job" and "-pools-" in obj["metadata"]["name"]]
    arguments = [*job["spec"]["template"]["spec"]["containers"][0]["args"], "--timeout=5s"]
    account = cluster.service_account_kubeconfig(namespace="chart", name="hfrc-hf-runner-controller-pools")
    pool = "/apis/hfrunners.dev/v1alpha1/namespaces/chart-gpu/runnerpools/hf-h200"
    for _ in range(2):  # as after every upgrade
        applied = run_job(account, arguments)
        assert applied.exit_code == 0, applied.stderr
        assert "applied: RunnerPool chart-gpu/hf-h200" in applied.stdout
    made = empty.wait(pool).json()
    assert made["spec"]["github"]["url"] == "https://github.com/acme", "of the defaults"
    assert made["spec"]["github"]["runnerGroup"] == "gpu", "its own"
    assert made["metadata"]["labels"]["team"] == "gpu"
    assert made["metadata"]["annotations"] == {"note": "dear"}
    (owner,) = made["metadata"]["ownerReferences"]
    config_map = empty.wait(
        "/api/v1/namespaces/chart-gpu/configmaps/hfrc-hf-runner-controller-pool-hf-h200"
    ).json()
    assert (owner["kind"], owner["uid"]) == ("ConfigMap", config_map["metadata"]["uid"])

    # What only the API server can judge is said, and the other pool is applied nevertheless.
    changed = install(
        helm,
        cluster,
        "hfrc",
        *values,
        *settings(["pools.hf-t4.spec.labels={a,A}", "pools.hf-h200.spec.maxRunners=2"]),
        namespace="chart",
        verb="upgrade",
    )
    assert changed.returncode == 0, changed.stderr
    refused = run_job(account, arguments)
    assert refused.exit_code == 1
    assert "not applied" in refused.stderr
    assert "write each one once" in refused.stderr
    assert empty.wait(pool).json()["spec"]["maxRunners"] == 2

    # A pool that leaves the values leaves the release; its ConfigMap takes it along (the tests on
    # a cluster see that).
    fewer = install(
        helm, cluster, "hfrc", *values, "--set", "pools.hf-h200=null", namespace="chart", verb="upgrade"
    )
    assert fewer.returncode == 0, fewer.stderr
    empty.wait("/api/v1/namespaces/chart-gpu/configmaps/hfrc-hf-runner-controller-pool-hf-h200", status=404)


def test_a_pool_of_somebody_else_is_left_alone(programs: Path, cluster: ControlPlane, empty: Server) -> None:
    helm = Helm(programs / "helm4")
    done = install(helm, cluster, "hfrc", "-f", str(POOLS), namespace="chart")
    assert done.returncode == 0, done.stderr
    empty.wait("/apis/hfrunners.dev/v1alpha1/runnerpools")
    config_map = empty.wait("/api/v1/namespaces/chart/configmaps/hfrc-hf-runner-controller-pool-hf-t4").json()
    theirs = json.loads(config_map["data"]["runnerpool.json"])
    theirs["metadata"]["labels"] = {}
    theirs["spec"]["maxRunners"] = 1
    empty.apply(theirs).raise_for_status()
    declared = ["apply", "chart/hfrc-hf-runner-controller-pool-hf-t4", "--timeout=3s"]
    account = cluster.service_account_kubeconfig(namespace="chart", name="hfrc-hf-runner-controller-pools")

    refused = run_job(account, declared)
    assert refused.exit_code == 1
    pool = "/apis/hfrunners.dev/v1alpha1/namespaces/chart/runnerpools/hf-t4"
    assert empty.wait(pool).json()["spec"]["maxRunners"] == 1
    (command,) = re.findall(r"kubectl label runnerpool (.*=hfrc)", refused.stderr)
    key, _, value = command.split()[-1].partition("=")
    theirs["metadata"]["labels"] = {key: value}
    empty.apply(theirs).raise_for_status()  # what the command does
    taken = run_job(account, declared)
    assert taken.exit_code == 0, taken.stderr
    assert empty.wait(pool).json()["spec"]["maxRunners"] == 4

    # One that is on its way out would take the new one along.
    held = {**theirs, "metadata": {**theirs["metadata"], "finalizers": ["hfrunners.dev/drain"]}}
    empty.apply(held).raise_for_status()
    empty.http.delete(pool).raise_for_status()
    waiting = run_job(account, declared)
    assert waiting.exit_code == 1
    assert "is being deleted, and its runners have not all ended yet" in waiting.stderr
    empty.apply({**held, "metadata": {**held["metadata"], "finalizers": []}}).raise_for_status()


@pytest.mark.parametrize("watched", ["", "ci"], ids=["all namespaces", "one namespace"])
def test_what_the_chart_grants_is_enough_and_a_pool_without_secrets_says_what_it_lacks(
    programs: Path, cluster: ControlPlane, empty: Server, tmp_path: Path, watched: str
) -> None:
    """The real operator, with the arguments and the rights that the chart gives it."""
    helm = Helm(programs / "helm4")
    quick = [
        "leaderElection.leaseDuration=3",
        "leaderElection.renewDeadline=2",
        "leaderElection.retryPeriod=1",
    ]
    where = f"watch.namespaces={{{watched}}}" if watched else "rbac.secrets.namespaces={ci}"
    chosen = settings([where, *quick])
    done = install(helm, cluster, "mine", *chosen)
    assert done.returncode == 0, done.stderr
    empty.wait("/apis/hfrunners.dev/v1alpha1/runnerpools")
    spec = {
        "github": {"url": "https://github.com/acme/lib", "credentialsSecret": "nowhere"},
        "huggingface": {"namespace": "acme", "tokenSecret": "nowhere"},
        "labels": ["t4"],
        "flavors": ["t4-small"],
    }
    metadata = {"name": "bare", "namespace": "ci"}
    pool = {"apiVersion": "hfrunners.dev/v1alpha1", "kind": "RunnerPool", "metadata": metadata, "spec": spec}
    empty.apply(pool).raise_for_status()
    (deployment,) = [obj for obj in helm.render(*chosen, release="mine") if obj["kind"] == "Deployment"]
    arguments = [str(word) for word in deployment["spec"]["template"]["spec"]["containers"][0]["args"]]
    account = cluster.service_account_kubeconfig(namespace="infra", name="mine-hf-runner-controller")
    here = ["--lease-namespace=infra", f"--kubeconfig={account}", "--web-host=127.0.0.1", "--web-port=0"]
    log = tmp_path / "log"
    with (
        log.open("wb") as file,
        subprocess.Popen(
            [sys.executable, "-m", "controller", *arguments, *here], stdout=file, stderr=file
        ) as operator,
    ):
        try:
            said: Body = {}
            for _ in range(300):
                status = empty.http.get(empty.path(pool)).json().get("status", {})
                said = {one["type"]: one for one in status.get("conditions", ())}
                if said.get("Stalled", {}).get("status") == "True" or operator.poll() is not None:
                    break
                time.sleep(0.1)
        finally:
            operator.terminate()
            operator.wait(timeout=200)
    text = log.read_text()
    assert said, text
    assert said["Ready"]["reason"] == said["Stalled"]["reason"] == "SecretMissing"
    assert "nowhere" in said["Ready"]["message"]
    health = judge(programs, tmp_path, empty.http.get(empty.path(pool)).json())
    assert health == ("Degraded", f"SecretMissing: {said['Stalled']['message']}")
    home, suffix = ("infra", "-mine-hf-runner-controller") if watched else ("kube-system", "")
    uid = empty.wait(f"/api/v1/namespaces/{home}").json()["metadata"]["uid"]
    assert f"controller_id={uid}{suffix} " in text
    assert "is forbidden" not in text
    empty.apply({**pool, "metadata": {**metadata, "finalizers": []}}).raise_for_status()
    release = [{"op": "remove", "path": "/metadata/finalizers"}]
    empty.http.patch(
        empty.path(pool), content=json.dumps(release), headers={"Content-Type": "application/json-patch+json"}
    )


def test_an_upgrade_takes_no_right_to_secrets_away_until_somebody_chooses(
    helm: Helm, cluster: ControlPlane, empty: Server
) -> None:
    account = {"namespace": "infra", "name": "hfrc-hf-runner-controller"}

    def readable() -> list[str]:
        found = []
        for namespace in ("infra", "ci", "ml"):
            attributes = {"namespace": namespace, "verb": "get", "resource": "secrets", "name": "github-app"}
            user = f"system:serviceaccount:{account['namespace']}:{account['name']}"
            review = {"spec": {"user": user, "resourceAttributes": attributes}}
            answer = empty.http.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", json=review)
            answer.raise_for_status()
            found += [namespace] * bool(answer.json()["status"].get("allowed"))
        return found

    def changed(verb: str, *values: str, expected: list[str]) -> str:
        reset = ("--reset-values",) if verb == "upgrade" else ()
        done = install(helm, cluster, "hfrc", *settings(values), *reset, verb=verb)
        assert done.returncode == 0, done.stderr
        for _ in range(100):  # the authorizer hears of rules by its watch
            if readable() == expected:
                break
            time.sleep(0.1)
        assert readable() == expected
        return " ".join(done.stdout.partition("NOTES:")[2].split())

    everywhere = ["infra", "ci", "ml"]
    assert "clusterWide" not in changed("install", expected=["infra"])
    changed("upgrade", "rbac.secrets.clusterWide=true", expected=everywhere)
    for _ in range(2):
        asked = changed("upgrade", expected=everywhere)
        assert "keeps the right to read every Secret" in asked
    assert "clusterWide" not in changed("upgrade", "rbac.secrets.clusterWide=true", expected=everywhere)
    chosen = ("rbac.secrets.clusterWide=false", "rbac.secrets.namespaces={ci}")
    assert "clusterWide" not in changed("upgrade", *chosen, expected=["infra", "ci"])
    changed("upgrade", expected=["infra"])
    missing = install(helm, cluster, "hfrc", *settings(["rbac.secrets.namespaces={nowhere}"]), verb="upgrade")
    assert missing.returncode != 0
    assert 'namespaces "nowhere" not found' in missing.stderr


def test_an_upgrade_that_would_stop_pools_over_their_secrets_is_told_so_before_with_what_keeps_them(
    programs: Path, cluster: ControlPlane, empty: Server
) -> None:
    """The check runs with the rights of the installed release, and what it prints is done to the letter."""
    helm = Helm(programs / "helm4")
    done = install(helm, cluster, "hfrc", *settings(["rbac.secrets.clusterWide=true"]))
    assert done.returncode == 0, done.stderr
    empty.wait("/apis/hfrunners.dev/v1alpha1/runnerpools")
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "wandb", "namespace": "ci"},
        "stringData": {"key": "s3cret"},
    }
    pool = {
        "apiVersion": "hfrunners.dev/v1alpha1",
        "kind": "RunnerPool",
        "metadata": {"name": "t4", "namespace": "ci"},
        "spec": {
            "github": {"url": "https://github.com/acme/lib", "credentialsSecret": "github"},
            "huggingface": {"namespace": "acme", "tokenSecret": "hf"},
            "labels": ["t4"],
            "flavors": ["t4-small"],
            "secretEnv": [{"name": "KEY", "secret": "wandb", "key": "key"}],
        },
    }
    for obj in (secret, pool):
        empty.apply(obj).raise_for_status()
    account = cluster.service_account_kubeconfig(namespace="infra", name="hfrc-hf-runner-controller")

    def check(*values: str) -> Result:
        rendered = helm.render(*settings(values), "--is-upgrade", "--namespace", "infra")
        (job,) = [obj for obj in rendered if obj["metadata"]["name"].endswith("-upgrade-check")]
        return run_job(account, job["spec"]["template"]["spec"]["containers"][0]["args"])

    stays = check("rbac.secrets.clusterWide=true")
    assert (stays.exit_code, "SecretNotLabelled" in stays.stdout) == (1, True), stays.stdout
    assert "SecretForbidden" not in stays.stdout
    goes = check("rbac.secrets.clusterWide=false")
    assert goes.exit_code == 1
    assert "s3cret" not in goes.stdout
    assert "  kubectl label secret wandb --namespace ci hfrunners.dev/runner-env=true" in goes.stdout
    _, _, told = goes.stdout.partition("Set these values, and upgrade again:")
    values = yaml.safe_load(told.rpartition("\n\n")[0])
    assert values == {"rbac": {"secrets": {"namespaces": ["ci", "infra"]}}}

    labelled = {**secret, "metadata": {**secret["metadata"], "labels": {"hfrunners.dev/runner-env": "true"}}}  # type: ignore[dict-item]
    empty.apply(labelled).raise_for_status()
    named = ",".join(values["rbac"]["secrets"]["namespaces"])
    followed = check("rbac.secrets.clusterWide=false", f"rbac.secrets.namespaces={{{named}}}")
    assert (followed.exit_code, followed.stdout) == (0, "1 RunnerPool was looked at: nothing would stop\n")


@pytest.mark.parametrize(
    "change",
    [
        (["rbac.secrets.namespaces={ci}"], ["rbac.secrets.namespaces={ml}"], "rbac.secrets.namespaces"),
        (["watch.namespaces={ci,ml}"], ["watch.namespaces={ml}"], "watch.namespaces"),
        (
            ["watch.namespaces={ci,ml}", "rbac.deletedNamespaces=false"],
            ["rbac.secrets.namespaces={ml}"],
            "rbac.secrets.namespaces",
        ),
    ],
    ids=["bound no more", "watched no more", "bound no more when all are watched"],
)
def test_an_upgrade_that_drops_what_the_chart_bound_is_told_so_before(
    helm: Helm, cluster: ControlPlane, empty: Server, change: tuple[list[str], list[str], str]
) -> None:
    """With what Helm looks up in the cluster, which ``helm template`` does when told to ask it."""
    before, after, value = change
    done = install(helm, cluster, "hfrc", *settings(before))
    assert done.returncode == 0, done.stderr
    empty.wait("/apis/hfrunners.dev/v1alpha1/runnerpools")
    empty.apply(
        {
            "apiVersion": "hfrunners.dev/v1alpha1",
            "kind": "RunnerPool",
            "metadata": {"name": "t4", "namespace": "ci"},
            "spec": {
                "github": {"url": "https://github.com/acme/lib", "credentialsSecret": "github"},
                "huggingface": {"namespace": "acme", "tokenSecret": "hf"},
                "labels": ["t4"],
                "flavors": ["t4-small"],
            },
        }
    ).raise_for_status()
    account = cluster.service_account_kubeconfig(namespace="infra", name="hfrc-hf-runner-controller")

    def check(values: list[str]) -> Result:
        asked = ("--dry-run=server", "--kubeconfig", cluster.kubeconfig, "--namespace", "infra")
        (job,) = [
            obj
            for obj in helm.render(*settings(values), *asked)
            if obj["metadata"]["name"].endswith("-upgrade-check")
        ]
        return run_job(account, job["spec"]["template"]["spec"]["containers"][0]["args"])

    stops = check(after)
    assert stops.exit_code == 1, stops.output
    assert "ci: github, hf (t4: not looked at yet)" in stops.stdout
    _, _, told = stops.stdout.partition("Set these values, and upgrade again:")
    values: object = yaml.safe_load(told.rpartition("\n\n")[0])
    for part in value.split("."):
        assert isinstance(values, dict)
        values = values[part]
    assert isinstance(values, list)
    assert {"ci", "ml"} <= {*values}
    goes_on = check([f"{value}={{{','.join(values)}}}"])
    assert (goes_on.exit_code, goes_on.stdout) == (0, "1 RunnerPool was looked at: nothing would stop\n")


def test_a_type_that_is_not_served_yet_is_waited_for_and_what_is_missing_is_named(
    cluster: ControlPlane,
    empty: Server,
) -> None:
    drained = run_job(cluster.kubeconfig, ["drain", "--timeout=2s"])
    assert (drained.exit_code, drained.stdout) == (0, "nothing is left\n"), (
        "no type, no pool: uninstall goes on"
    )
    missing = run_job(cluster.kubeconfig, ["apply", "ci/none", "--timeout=2s"])
    assert missing.exit_code == 1
    assert "configmaps/none" in missing.stderr
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "empty", "namespace": "ci"},
        "data": {},
    }
    empty.apply(body).raise_for_status()
    nothing = run_job(cluster.kubeconfig, ["apply", "ci/empty", "--timeout=2s"])
    assert "ConfigMap ci/empty has no RunnerPool in runnerpool.json" in nothing.stderr

    pool = {
        "apiVersion": "hfrunners.dev/v1alpha1",
        "kind": "RunnerPool",
        "metadata": {"name": "t4", "labels": {"app.kubernetes.io/instance": "x"}},
        "spec": {
            "github": {"url": "https://github.com/acme/lib", "credentialsSecret": "github"},
            "huggingface": {"namespace": "acme", "tokenSecret": "hf"},
            "labels": ["t4"],
            "flavors": ["t4-small"],
        },
    }
    empty.apply(
        {**body, "metadata": {"name": "t4", "namespace": "ci"}, "data": {"runnerpool.json": json.dumps(pool)}}
    ).raise_for_status()
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "controller",
            "apply",
            "ci/t4",
            "--timeout=200s",
            "--kubeconfig",
            str(cluster.kubeconfig),
        ],
        stdout=subprocess.PIPE,
        text=True,
    ) as waiting:
        empty.install_types(CRD)
        told, _ = waiting.communicate(timeout=200)
    assert waiting.returncode == 0
    assert "applied: RunnerPool ci/t4" in told


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            [],
            [
                "serves the RunnerPools of all namespaces",
                "may read the Secrets of ci; a pool elsewhere says how to let it",
                "kubectl create secret generic github-app -n ci",
            ],
        ),
        (["replicaCount=1"], ["nobody serves the pools while the pod is away"]),
        (["crds.keep=false"], ["will delete every RunnerPool"]),
        (["crds.enabled=false"], ["somebody else must install the RunnerPool type"]),
        (["uninstall.drain.enabled=false"], ["runners and finalizers are left"]),
        (["admission.enabled=true", "admission.validationActions={Audit}"], ["nothing is refused"]),
        (["monitoring.podMonitor.enabled=true"], ["cluster has no monitoring.coreos.com/v1/PodMonitor"]),
        (
            ["watch.namespaces={ci,ml}", "watch.refuseOverlap=false"],
            ["serves the RunnerPools of ci, ml", "no other release serves the same"],
        ),
    ],
)
def test_the_notes_say_what_to_do_next(empty: Server, helm: Helm, values: list[str], told: list[str]) -> None:
    done = helm.run(
        *("install", "hfrc", CHART, "--dry-run=server", "--kubeconfig", empty.kubeconfig),
        *("--namespace", "ci", *settings(values)),
    )
    notes = done.stdout.partition("NOTES:")[2]
    assert all(words in " ".join(notes.split()) for words in told), done.stderr + notes
