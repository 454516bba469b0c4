"""What the chart renders, and that it refuses what cannot be meant."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller import __version__
from controller.api.spec.pool import RunnerPoolSpec
from controller.cli import main
from tests.chart.conftest import CHART, VALUES, Helm, settings
from tools.controlplane.sources import VERSION

MATRIX = [(), *(("-f", path) for path in VALUES)]
NAMES = ["defaults", *(path.stem for path in VALUES)]
TESTED = list(yaml.safe_load_all((CHART.parents[1] / "tests/operator/rbac.yaml").read_text()))


@pytest.mark.parametrize("values", MATRIX, ids=NAMES)
def test_both_helms_render_the_same(programs: Path, values: tuple[object, ...]) -> None:
    three, four = (Helm(programs / name).render(*values) for name in ("helm3", "helm4"))
    assert len(three) > 3
    assert sorted(map(json.dumps, three)) == sorted(map(json.dumps, four))


@pytest.mark.parametrize("values", MATRIX, ids=NAMES)
def test_both_helms_find_nothing_to_lint(helm: Helm, values: tuple[object, ...]) -> None:
    done = helm.run("lint", "--strict", CHART, "--kube-version", VERSION, *values)
    assert done.returncode == 0, done.stdout
    assert "0 chart(s) failed" in done.stdout
    assert not re.findall(r"^\[(WARNING|ERROR)\].*", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("replicaCount=two", "/replicaCount': got string, want integer"),
        ("replicas=2", "additional properties 'replicas' not allowed"),
        ("image.digest=latest", "/image/digest'"),
        ("watch.namespaces=ci", "/watch/namespaces': got string, want array"),
        ("uninstall.drain.timeout=soon", "/uninstall/drain/timeout'"),
        ("monitoring.prometheusRule.alerts.X.severity=bad", "/monitoring/prometheusRule/alerts/X/severity'"),
        ("pools.t4.spec.flavours=t4-small", "/pools/t4/spec': additional properties 'flavours' not allowed"),
        ("pools.t4.spec.maxRunners=-1", "/pools/t4/spec/maxRunners': minimum: got -1, want 0"),
        ("pools.t4.spec.volumes[0].mountPath=/x", "/pools/t4/spec/volumes/0': missing properties"),
        ("pools.T4.spec.paused=true", "/pools': additional properties 'T4' not allowed"),
        (
            "poolDefaults.spec.github.uri=x",
            "/poolDefaults/spec/github': additional properties 'uri' not allowed",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_its_path(helm: Helm, wrong: str, told: str) -> None:
    done = helm.run("template", "hfrc", CHART, *settings([wrong]))
    assert done.returncode != 0
    assert told in done.stderr


def test_the_schema_needs_no_internet() -> None:
    text = (CHART / "values.schema.json").read_text()
    references = re.findall(r'"\$ref": "([^"]*)"', text)
    assert references
    assert all(reference.startswith("#/$defs/") for reference in references)


def test_the_schema_knows_every_value_and_no_other() -> None:
    """Each map of values.yaml that is not a map of the user's keys is closed, and lists
    exactly what is there.
    """
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def differences(node: dict[str, Any], known: Any, path: str) -> Iterator[str]:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
        if not isinstance(known, dict) or "properties" not in node:
            return
        if node.get("additionalProperties") is not False:
            yield f"{path} is open"
        if path not in (
            "/poolDefaults",
            "/controller/runner/sha256",
            "/startupProbe",
            "/livenessProbe",
            "/readinessProbe",
        ):
            yield from (
                f"{path}/{key}"
                for key in set(known)
                ^ (set(node["properties"]) - {"global", "enabled"} | (set(known) & {"enabled"}))
            )
        for key, child in known.items():
            yield from differences(node["properties"].get(key, {}), child, f"{path}/{key}")

    assert list(differences(schema, values, "")) == []


def test_chart_application_and_package_have_one_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def test_artifact_hub_shows_a_pool_that_the_controller_takes() -> None:
    annotations = yaml.safe_load((CHART / "Chart.yaml").read_text())["annotations"]
    crd = yaml.safe_load((CHART / "files/crds/hfrunners.dev_runnerpools.yaml").read_text())
    (shown,) = yaml.safe_load(annotations["artifacthub.io/crds"])
    assert shown["name"] == crd["metadata"]["name"]
    assert shown["version"] in [version["name"] for version in crd["spec"]["versions"]]
    (example,) = yaml.safe_load(annotations["artifacthub.io/crdsExamples"])
    assert RunnerPoolSpec.model_validate(example["spec"]).labels == ["hf-t4"]


def test_the_readme_is_what_the_values_say(programs: Path, tmp_path: Path) -> None:
    copy = tmp_path / "chart"
    copy.mkdir()
    for name in ("Chart.yaml", "values.yaml", "README.md.gotmpl"):
        (copy / name).write_bytes((CHART / name).read_bytes())
    command = [
        str(programs / "helm-docs"),
        "-c",
        str(copy),
        "-t",
        "README.md.gotmpl",
        "--sort-values-order",
        "file",
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=200)
    assert (copy / "README.md").read_text() == (CHART / "README.md").read_text(), "run make chart-docs"


def test_every_value_is_explained() -> None:
    table = (CHART / "README.md").read_text()
    unexplained = [line for line in table.splitlines() if line.startswith("| ") and line.endswith("|  |")]
    assert not unexplained


def test_the_units_of_the_chart_pass(programs: Path) -> None:
    done = subprocess.run(
        [programs / "helm-unittest", "--strict", "--color=false", "-f", "tests/*_test.yaml", CHART],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert int(re.search(r"Tests:\s+(\d+) passed, \1 total", done.stdout)[1]) >= 40  # type: ignore[index]


@pytest.mark.parametrize("values", MATRIX, ids=NAMES)
def test_every_argument_is_one_that_the_command_line_takes(
    programs: Path, values: tuple[object, ...]
) -> None:
    """Parsed by the real commands, which are then not run."""
    seen = 0
    program = main.make_context("hf-runner-controller", [], resilient_parsing=True)
    for obj in Helm(programs / "helm3").render(*values):
        pod = obj.get("spec", {}).get("template", {}).get("spec", {})
        for container in pod.get("containers", ()):
            if container["name"] in ("controller", "pools", "drain", "upgrade-check"):
                name, *arguments = container["args"]
                command = main.commands[name]
                # With the group, as always: a command keeps the first --help that it is asked for, and with
                # it the group's -h.
                command.make_context(name, [str(argument) for argument in arguments], parent=program)
                seen += 1
    assert seen >= 1


def test_the_rights_are_those_that_the_operator_is_tested_with(programs: Path) -> None:
    """tests/operator runs the operator with rbac.yaml and nothing else; the chart must
    grant the same, no more.
    """
    tested = {(obj["kind"], obj["metadata"]["name"]): obj["rules"] for obj in TESTED if "rules" in obj}
    helm = Helm(programs / "helm3")
    everywhere = {obj["metadata"]["name"]: obj for obj in helm.render() if "rules" in obj}
    somewhere = {
        obj["metadata"]["name"]: obj
        for obj in helm.render(*settings(["watch.namespaces={ci}"]))
        if "rules" in obj
    }
    assert (
        everywhere["hf-runner-controller-all-namespaces"]["rules"]
        == tested["ClusterRole", "hf-runner-controller"]
    )
    secrets = everywhere["chart-hfrc-hf-runner-controller-secrets"]
    of_tests = next(obj for obj in TESTED if obj["metadata"]["name"] == "hf-runner-controller-secrets")
    assert secrets["rules"] == of_tests["rules"]
    assert secrets["metadata"]["labels"].items() >= of_tests["metadata"]["labels"].items()
    assert secrets["metadata"]["annotations"].keys() >= of_tests["metadata"]["annotations"].keys()
    assert somewhere["hf-runner-controller"]["rules"] == tested["Role", "hf-runner-controller"]
    lease = {"resourceNames": ["hfrc-hf-runner-controller"]}
    leader = [
        {**rule, **lease} if "resourceNames" in rule else rule
        for rule in tested["Role", "hf-runner-controller-leader"]
    ]
    names = [f"hfrc-hf-runner-controller-pause{part}" for part in ("", "-values")]
    (switch,) = tested["Role", "hf-runner-controller-reads-stop-switch"]
    leader.append({**switch, "resourceNames": names})
    assert everywhere["hfrc-hf-runner-controller-leader"]["rules"] == leader
    of_its_own = {
        "apiGroups": [""],
        "resources": ["namespaces"],
        "resourceNames": ["chart"],
        "verbs": ["get"],
    }
    assert somewhere["hfrc-hf-runner-controller-leader"]["rules"] == [*leader, of_its_own]


def test_the_rules_and_the_dashboard_are_the_files_that_are_tested(programs: Path) -> None:
    """promtool and the dashboard's own tests read the files; the chart must ship the same,
    Prometheus's templates included.
    """
    words = settings(["monitoring.prometheusRule.enabled=true", "monitoring.dashboard.enabled=true"])
    objects = {obj["kind"] + obj["metadata"]["name"]: obj for obj in Helm(programs / "helm3").render(*words)}
    files = [yaml.safe_load(path.read_text()) for path in sorted((CHART / "files/rules").glob("*.yaml"))]
    groups = [group for file in files for group in file["groups"]]
    assert sum(len(group["rules"]) for group in groups) > 10
    assert objects["PrometheusRulehfrc-hf-runner-controller"]["spec"]["groups"] == groups
    name = "hf-runner-controller-overview.json"
    data = objects["ConfigMaphfrc-hf-runner-controller-dashboard"]["data"]
    assert data == {name: (CHART / "files" / name).read_text()}


def test_single_alerts_can_be_changed_and_all_be_labelled(programs: Path) -> None:
    """values/everything.yaml says what."""
    everything = next(path for path in VALUES if path.stem == "everything")
    objects = Helm(programs / "helm3").render("-f", everything)
    (made,) = [obj["spec"]["groups"] for obj in objects if obj["kind"] == "PrometheusRule"]
    rules = [rule for group in made for rule in group["rules"]]
    alerts = {rule["alert"]: rule for rule in rules if "alert" in rule}
    assert "HFRunnersJobsInterrupted" not in alerts
    changed = alerts["HFRunnersPoolNotReady"]
    assert changed["labels"] == {"page": "gpu", "severity": "critical", "team": "ci"}
    assert (changed["for"], changed["keep_firing_for"], changed["annotations"]["note"]) == (
        "1h",
        "5m",
        "mine",
    )
    assert {alert["labels"]["team"] for alert in alerts.values()} == {"ci"}
    pages = {name: alert["annotations"]["runbook_url"] for name, alert in alerts.items()}
    assert pages == {name: f"https://runbooks.example.com/{name}.md" for name in alerts}
    assert alerts["HFRunnersJobWaitsLong"]["labels"]["severity"] == "warning"
    records = [rule for rule in rules if "record" in rule]
    assert records
    assert not any("team" in rule.get("labels", {}) for rule in records)


def test_the_package_has_what_an_installation_needs_and_no_tests(helm: Helm, tmp_path: Path) -> None:
    done = helm.run("package", CHART, "--destination", tmp_path)
    assert done.returncode == 0, done.stderr
    (package,) = tmp_path.glob("*.tgz")
    with tarfile.open(package) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert {"values.schema.json", "README.md", "files/hf-runner-controller-overview.json"} <= names
    assert not [name for name in names if name.startswith(("tests/", "argocd/"))]
    assert package.stat().st_size < 500_000, "a release is kept in a Secret, which may have 1 MiB"
    words = ["--kube-version", VERSION]
    assert (
        helm.run("template", "a", package, *words).stdout == helm.run("template", "a", CHART, *words).stdout
    )


def test_links_of_the_readme_work_where_the_chart_is_shown() -> None:
    """On Artifact Hub there is no repository around it."""
    links = re.findall(r"\]\(([^)]+)\)", (CHART / "README.md").read_text())
    assert links
    assert all(link.startswith(("https://", "#")) for link in links)
