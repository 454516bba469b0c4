"""Who may name a Secret in a RunnerPool, asked of a real API server with the chart's policy in it."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import httpx
import pytest
import yaml
from click.testing import CliRunner

from controller.cli import main
from tests.chart.conftest import CHART, Body, Helm, settings
from tests.chart.server import Server
from tools.controlplane import ControlPlane, present_assets

pytestmark = [pytest.mark.controlplane]

RELEASE = "infra"
CI, ML = "ci", "ml"
POLICY = "infra-hfrc-hf-runner-controller-secrets"
CONTROLLER = f"system:serviceaccount:{RELEASE}:hfrc-hf-runner-controller"
API = "rbac.authorization.k8s.io"
MERGE = "application/merge-patch+json"
EDITS: Body = {
    "apiGroups": ["hfrunners.dev"],
    "resources": ["runnerpools"],
    "verbs": ["get", "create", "update", "patch", "delete"],
}
WRITES_STATUS: Body = {
    "apiGroups": ["hfrunners.dev"],
    "resources": ["runnerpools/status"],
    "verbs": ["patch"],
}


def reads(*names: str) -> Body:
    """Return the rule that lets somebody get Secrets: those with the names, or all."""
    return {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": list(names)}


PEOPLE: dict[str, list[Body]] = {
    "reads-both": [EDITS, reads("github-app", "hf-token")],
    "reads-no-token": [EDITS, reads("github-app")],
    "reads-no-app": [EDITS, reads("hf-token", "password")],
    "reads-by-name": [EDITS, reads("github-app", "hf-token", "password")],
    "reads-all": [EDITS, reads()],
    "reads-none": [EDITS, WRITES_STATUS],
    CONTROLLER: [EDITS, WRITES_STATUS],
}
"""What each may do in the namespaces with pools. The controller may read Secrets too, but
shall not need it for this."""

NUMBERS = count()


class Person:
    """Somebody whom the administrator impersonates, as ``kubectl --as`` does."""

    def __init__(self, server: Server, name: str) -> None:
        self._server, self._who = server, {"Impersonate-User": name}

    def creates(self, pool: Body, **query: str) -> httpx.Response:
        path, _, _ = self._server.path(pool).rpartition("/")
        return self._server.http.post(path, json=pool, headers=self._who, params=query)

    def patches(self, pool: Body, change: Body, *, part: str = "") -> httpx.Response:
        return self._server.http.patch(
            self._server.path(pool) + part,
            content=json.dumps(change),
            headers={**self._who, "Content-Type": MERGE},
        )

    def deletes(self, pool: Body) -> httpx.Response:
        return self._server.http.delete(self._server.path(pool), headers=self._who)


@contextmanager
def populated() -> Iterator[ControlPlane]:
    """Run an API server with the type, the namespaces and the people."""
    programs = present_assets()
    if programs is None:
        pytest.fail("no kube-apiserver and etcd here yet: run `make controlplane` once")
    with ControlPlane(programs=programs) as plane, Server(plane.kubeconfig) as server:
        server.install_types(CHART / "files/crds/hfrunners.dev_runnerpools.yaml")
        for namespace in (RELEASE, CI, ML):
            server.namespace(namespace)
        for number, (name, rules) in enumerate(PEOPLE.items()):
            for namespace in (CI, ML):
                grant(server, f"person-{number}", namespace, rules, to=name)
        yield plane


def grant(server: Server, name: str, namespace: str, rules: list[Body], *, to: str) -> None:
    metadata = {"name": name, "namespace": namespace}
    role = {"apiVersion": f"{API}/v1", "kind": "Role", "metadata": metadata, "rules": rules}
    binding = {
        "apiVersion": f"{API}/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": API, "kind": "Role", "name": name},
        "subjects": [{"apiGroup": API, "kind": "User", "name": to}],
    }
    for obj in (role, binding):
        server.apply(obj).raise_for_status()
    server.await_right(to, namespace, rules[-1])


@contextmanager
def policy(server: Server, helm: Helm, *words: str, namespace: str = CI) -> Iterator[list[Body]]:
    """Install what the chart renders of its policy and its pools, but the Job; yield once the policy
    is heeded in a namespace.
    """
    values = settings(["admission.enabled=true", "crds.enabled=false", *words])
    rendered = helm.render(*values, "--namespace", RELEASE)
    wanted = ("admission", "pools")
    chosen = [
        obj
        for obj in rendered
        if obj["metadata"]["labels"].get("app.kubernetes.io/component") in wanted and obj["kind"] != "Job"
    ]
    for obj in chosen:
        server.apply(obj).raise_for_status()
    nobody = Person(server, "reads-none")
    for _ in range(600):
        if nobody.creates(a_pool(namespace), dryRun="All").status_code == 403:
            break
        time.sleep(0.1)
    else:
        raise AssertionError("the policy is not heeded")
    yield chosen


@pytest.fixture(scope="module")
def server(programs: Path) -> Iterator[Server]:
    """An API server with the policy of a release that serves all namespaces."""
    with (
        populated() as plane,
        Server(plane.kubeconfig) as server,
        policy(server, Helm(programs / "helm4")),
    ):
        yield server


def a_pool(namespace: str = CI, **spec: object) -> Body:
    """Return a pool with a name of its own."""
    return {
        "apiVersion": "hfrunners.dev/v1alpha1",
        "kind": "RunnerPool",
        "metadata": {"name": f"pool-{next(NUMBERS)}", "namespace": namespace},
        "spec": {
            "github": {"url": "https://github.com/acme/lib", "credentialsSecret": "github-app"},
            "huggingface": {"namespace": "acme", "tokenSecret": "hf-token"},
            "labels": ["t4"],
            "flavors": ["t4-small"],
            **spec,
        },
    }


def variable(secret: str, *, name: str = "PASSWORD", key: str = "value") -> Body:
    return {"name": name, "secret": secret, "key": key}


def there(server: Server, pool: Body) -> Body:
    """Make a pool as the administrator, who may read all."""
    server.apply(pool).raise_for_status()
    return pool


def assert_refused(answer: httpx.Response, *words: str) -> None:
    message = answer.json().get("message", "")
    assert (answer.status_code, answer.json().get("reason")) == (403, "Forbidden"), answer.text
    assert POLICY in message
    assert all(word in message for word in words), message


def assert_taken(answer: httpx.Response) -> None:
    assert answer.status_code in (200, 201), answer.text


# --------------------------------------------------------------------------------------------------- creating
def test_who_may_read_both_credentials_makes_a_pool(server: Server) -> None:
    assert_taken(Person(server, "reads-both").creates(a_pool()))


def test_who_may_not_read_the_hubs_token_is_told_the_field_and_the_right(server: Server) -> None:
    answer = Person(server, "reads-no-token").creates(a_pool())
    assert_refused(
        answer,
        "spec.huggingface.tokenSecret names Secret hf-token, which reads-no-token may not read",
        "missing is: get of secrets hf-token in namespace ci",
    )


def test_who_may_not_read_githubs_credentials_is_told_the_field_and_the_right(server: Server) -> None:
    answer = Person(server, "reads-no-app").creates(a_pool())
    assert_refused(
        answer,
        "spec.github.credentialsSecret names Secret github-app, which reads-no-app may not read",
        "missing is: get of secrets github-app in namespace ci",
    )


def test_secrets_for_variables_take_the_right_to_all_secrets_of_the_namespace(server: Server) -> None:
    pool = a_pool(secretEnv=[variable("password")])
    assert_refused(
        Person(server, "reads-by-name").creates(pool),
        "spec.secretEnv names Secret password",
        "reads-by-name may not; missing is: get of secrets, without a name, in namespace ci",
    )
    assert_taken(Person(server, "reads-all").creates(pool))


def test_a_right_in_another_namespace_is_none_here(server: Server) -> None:
    server.namespace("other")
    grant(server, "edits", "other", [EDITS], to="reads-all")
    answer = Person(server, "reads-all").creates(a_pool(namespace="other"))
    assert_refused(answer, "get of secrets github-app in namespace other")


def test_who_edits_a_namespace_by_kubernetes_own_role_may_read_its_secrets_and_so_name_them(
    server: Server, programs: Path
) -> None:
    """Which is why the chart's rights on RunnerPools are added to that role by default.
    Nobody sums roles up here.
    """
    (added,) = [
        obj
        for obj in Helm(programs / "helm4").render()
        if "rbac.authorization.k8s.io/aggregate-to-edit" in obj["metadata"]["labels"]
    ]
    own = server.wait(f"/apis/{API}/v1/clusterroles/system:aggregate-to-edit").json()
    grant(server, "edit", CI, [*own["rules"], *added["rules"]], to="edits-ci")
    assert_taken(Person(server, "edits-ci").creates(a_pool(secretEnv=[variable("password")])))


# --------------------------------------------------------------------------------------------------- updating
def test_who_may_read_no_secret_changes_whatever_names_none(server: Server) -> None:
    pool = there(server, a_pool(secretEnv=[variable("password")]))
    colleague = Person(server, "reads-none")
    for change in (
        {"spec": {"maxRunners": 2, "labels": ["t4", "other"]}},
        {"metadata": {"annotations": {"a": "b"}, "labels": {"c": "d"}}},
        {"spec": {"secretEnv": [variable("password", name="OTHER")]}},
        {"spec": {"secretEnv": None}},
    ):
        assert_taken(colleague.patches(pool, change))
    assert_taken(colleague.patches(pool, {"status": {"observedGeneration": 1}}, part="/status"))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"github": {"credentialsSecret": "other"}}, "spec.github.credentialsSecret names Secret other"),
        ({"huggingface": {"tokenSecret": "other"}}, "spec.huggingface.tokenSecret names Secret other"),
        (
            {"github": {"credentialsSecret": "hf-token"}, "huggingface": {"tokenSecret": "github-app"}},
            "spec.github.credentialsSecret names Secret hf-token",
        ),
        ({"secretEnv": [variable("other")]}, "spec.secretEnv names Secret other"),
        ({"secretEnv": [variable("password", key="superuser")]}, "spec.secretEnv names Secret password"),
        ({"secretEnv": [variable("hf-token")]}, "spec.secretEnv names Secret hf-token"),
        (
            {"secretEnv": [variable("password"), variable("other", name="OTHER")]},
            "spec.secretEnv names Secret other",
        ),
    ],
    ids=[
        "credentials",
        "token",
        "exchanged",
        "variable",
        "another key of it",
        "a credential as variable",
        "one more variable",
    ],
)
def test_who_may_read_no_secret_names_none_that_the_pool_did_not_have_there(
    server: Server, change: Body, field: str
) -> None:
    pool = there(server, a_pool(secretEnv=[variable("password")]))
    assert_refused(Person(server, "reads-none").patches(pool, {"spec": change}), field)
    assert_taken(Person(server, "reads-all").patches(pool, {"spec": change}))


def test_a_typo_is_mended_by_whoever_may_read_what_was_meant(server: Server) -> None:
    pool = a_pool()
    typo, mended = copy.deepcopy(pool), {"spec": {"github": {"credentialsSecret": "github-app"}}}
    typo["spec"]["github"]["credentialsSecret"] = "github-appp"
    there(server, typo)
    assert_refused(
        Person(server, "reads-none").patches(pool, mended),
        "spec.github.credentialsSecret names Secret github-app",
    )
    assert_taken(Person(server, "reads-both").patches(pool, mended))
    # And back to the wrong one: nobody has a right to what does not exist but who has it to all.
    wrong = {"spec": {"github": {"credentialsSecret": "github-appp"}}}
    assert_refused(Person(server, "reads-both").patches(pool, wrong), "get of secrets github-appp")
    assert_taken(Person(server, "reads-all").patches(pool, wrong))


# --------------------------------------------------------------------------------------------------- deleting
def test_who_may_read_no_secret_deletes_a_pool_and_lets_it_go(server: Server) -> None:
    pool = a_pool()
    pool["metadata"]["finalizers"] = ["hfrunners.dev/drain"]
    there(server, pool)
    colleague = Person(server, "reads-none")
    assert_taken(colleague.deletes(pool))
    assert_taken(colleague.patches(pool, {"metadata": {"annotations": {"a": "b"}}}))
    assert_taken(colleague.patches(pool, {"metadata": {"finalizers": None}}))
    assert server.http.get(server.path(pool)).status_code == 404


def test_a_pool_that_is_being_deleted_is_given_no_other_secret_by_who_may_not_read_it(server: Server) -> None:
    """The controller still uses its Secrets then, to end the runners."""
    pool = a_pool()
    pool["metadata"]["finalizers"] = ["hfrunners.dev/drain"]
    there(server, pool)
    assert_taken(Person(server, "reads-none").deletes(pool))
    other = {"spec": {"huggingface": {"tokenSecret": "other"}}}
    assert_refused(Person(server, "reads-none").patches(pool, other), "names Secret other")
    assert_taken(Person(server, "reads-all").patches(pool, other))
    assert_taken(Person(server, "reads-none").patches(pool, {"metadata": {"finalizers": None}}))


# --------------------------------------------------------------------------------------------- the controller
def test_the_controller_is_asked_nothing(server: Server) -> None:
    pool = there(server, a_pool(secretEnv=[variable("password")]))
    controller = Person(server, CONTROLLER)
    assert_taken(controller.patches(pool, {"metadata": {"finalizers": ["hfrunners.dev/drain"]}}))
    assert_taken(controller.patches(pool, {"metadata": {"annotations": {"hfrunners.dev/x": "y"}}}))
    assert_taken(controller.patches(pool, {"status": {"observedGeneration": 1}}, part="/status"))
    assert_taken(controller.deletes(pool))
    assert_taken(controller.patches(pool, {"metadata": {"finalizers": None}}))
    assert_taken(controller.creates(a_pool()))


# -------------------------------------------------------------------------------------------------- its price
def longest(number: int, *, secret: str) -> Body:
    """Return a variable with all texts as long as the type allows, which differ in their
    last characters alone.
    """
    return {
        "name": f"V{number:02}".ljust(256, "x"),
        "secret": secret.rjust(250, "a") + f"{number:03}",
        "key": "k" * 250 + f"{number:03}",
    }


def test_the_largest_pool_costs_no_more_than_the_api_server_spends(server: Server) -> None:
    crd = yaml.safe_load((CHART / "files/crds/hfrunners.dev_runnerpools.yaml").read_text())
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    variables = spec["secretEnv"]
    texts = variables["items"]["properties"]
    most = variables["maxItems"]
    assert [texts[field]["maxLength"] for field in ("name", "secret", "key")] == [256, 253, 253]

    pool = a_pool(secretEnv=[longest(number, secret="b") for number in range(most)])
    pool["spec"]["github"]["credentialsSecret"] = "g" * 253
    pool["spec"]["huggingface"]["tokenSecret"] = "h" * 253
    author = Person(server, "reads-all")
    assert_taken(author.creates(pool))
    change = {
        "github": {"credentialsSecret": "i" * 253},
        "huggingface": {"tokenSecret": "j" * 253},
        "secretEnv": [longest(number, secret="c") for number in range(most)],
    }
    assert_refused(
        Person(server, "reads-none").patches(pool, {"spec": change}), "spec.github.credentialsSecret"
    )
    just_variables = {"spec": {"secretEnv": change["secretEnv"]}}
    assert_refused(
        Person(server, "reads-none").patches(pool, just_variables), "spec.secretEnv names Secret aaa"
    )
    assert_taken(author.patches(pool, {"spec": change}))


# ------------------------------------------------------------------------------------ the pools of the values
DECLARED = [
    "poolDefaults.namespace=ml",
    "poolDefaults.spec.github.url=https://github.com/acme/lib",
    "poolDefaults.spec.github.credentialsSecret=github-app",
    "poolDefaults.spec.huggingface.namespace=acme",
    "poolDefaults.spec.huggingface.tokenSecret=hf-token",
    "poolDefaults.spec.flavors={t4-small}",
    "poolDefaults.spec.secretEnv[0].name=PASSWORD",
    "poolDefaults.spec.secretEnv[0].secret=password",
    "poolDefaults.spec.secretEnv[0].key=value",
    "pools.declared.spec.labels={t4}",
]


def test_the_job_applies_the_pools_of_the_values_and_no_other_secret(programs: Path) -> None:
    helm = Helm(programs / "helm4")
    with (
        populated() as plane,
        Server(plane.kubeconfig) as server,
        policy(server, helm, "watch.namespaces={ml}", *DECLARED, namespace=ML) as installed,
    ):
        (role,) = [obj for obj in installed if obj["kind"] == "Role"]
        assert reads("github-app", "hf-token", "password") in role["rules"]
        account = plane.service_account_kubeconfig(namespace=RELEASE, name="hfrc-hf-runner-controller-pools")
        name = "hfrc-hf-runner-controller-pool-declared"
        command = ["apply", f"{ML}/{name}", "--timeout=5s", "--kubeconfig", str(account)]
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.stderr

        # Who may write the ConfigMap, and read no Secret, has the Job name another one.
        (held,) = [obj for obj in installed if obj["kind"] == "ConfigMap"]
        for change, told in (
            ({"secretEnv": [variable("other")]}, "spec.secretEnv names Secret other"),
            ({"huggingface": {"namespace": "acme", "tokenSecret": "other"}}, "get of secrets other"),
        ):
            pool = json.loads(held["data"]["runnerpool.json"])
            pool["spec"].update(change)
            server.apply({**held, "data": {"runnerpool.json": json.dumps(pool)}}).raise_for_status()
            refused = CliRunner().invoke(main, command)
            assert refused.exit_code == 1
            assert told in refused.stderr

        # The namespaces that the release does not serve are none of its business.
        assert_taken(Person(server, "reads-none").creates(a_pool(namespace=CI), dryRun="All"))


@pytest.mark.parametrize("readable", [(), ("github-app", "hf-token", "password")], ids=["none", "those"])
def test_who_installs_pools_of_the_values_must_be_allowed_to_read_their_secrets(
    server: Server, programs: Path, readable: tuple[str, ...]
) -> None:
    """Kubernetes lets nobody grant a right that they lack, and the Job's right is granted
    by whoever runs Helm.
    """
    installs: Body = {"apiGroups": [API], "resources": ["roles"], "verbs": ["create"]}
    maps: Body = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}
    secrets = [reads(*readable)] if readable else []
    name = f"installs-{len(readable)}"
    grant(server, name, ML, [EDITS, installs, maps, *secrets], to=name)
    rendered = Helm(programs / "helm4").render(*settings(["admission.enabled=true", *DECLARED]))
    (role,) = [
        obj for obj in rendered if obj["kind"] == "Role" and obj["metadata"]["name"].endswith("-pools")
    ]
    path, _, _ = server.path(role).rpartition("/")
    answer = server.http.post(path, json=role, headers={"Impersonate-User": name}, params={"dryRun": "All"})
    if readable:
        assert_taken(answer)
    else:
        assert answer.status_code == 403
        assert "attempting to grant RBAC permissions not currently held" in answer.text
