"""The alerts and recording rules, by the real promtool, and their runbooks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.core.reasons import Reason
from controller.metrics import catalog
from tests.monitoring.conftest import Promtool
from tools.monitoring.prometheus import RULES

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs"
RUNBOOKS = "https://github.com/hf-runner-controller/hf-runner-controller/blob/main/docs/runbooks"
CASES = sorted(HERE.glob("*.promtool.yaml"))
HEADINGS = ["## Meaning", "## Impact", "## Diagnosis", "## Mitigation"]


def rules() -> list[dict[str, Any]]:
    files = sorted(RULES.glob("*.yaml"))
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}


def test_prometheus_accepts_the_rules(promtool: Promtool) -> None:
    done = promtool("check", "rules", "--lint-fatal", *sorted(RULES.glob("*.yaml")))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_alerts_fire_where_they_must_and_only_there(promtool: Promtool, case: Path) -> None:
    done = promtool("test", "rules", case)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_fails_on_an_alert_that_fires_too_late(promtool: Promtool, tmp_path: Path) -> None:
    case = (HERE / "alerts.promtool.yaml").read_text()
    changed = (RULES / "alerts.yaml").read_text().replace("for: 15m", "for: 25m")
    (tmp_path / "alerts.yaml").write_text(changed)
    (tmp_path / "case.yaml").write_text(
        re.sub(r"rule_files: \[.*\]", f"rule_files: [{tmp_path}/alerts.yaml]", case)
    )
    done = promtool("test", "rules", tmp_path / "case.yaml")
    assert done.returncode != 0
    assert "HFRunnersPoolNotReady" in done.stdout + done.stderr


def test_every_alert_is_made_to_fire_by_a_case() -> None:
    fired: set[str] = set()
    for case in CASES:
        for test in yaml.safe_load(case.read_text())["tests"]:
            for one in test["promql_expr_test"]:
                for sample in one["exp_samples"]:
                    fired |= set(re.findall(r'alertname="(\w+)"', sample["labels"]))
                    if sample["labels"] == "{}":
                        fired |= set(re.findall(r'alertname="(\w+)"', one["expr"]))
    assert fired == set(ALERTS)


def test_names_of_alerts_are_unique_since_the_chart_changes_them_by_name() -> None:
    names = [rule["alert"] for rule in rules() if "alert" in rule]
    assert len(names) == len(set(names))


def test_rules_read_only_metrics_that_exist_with_labels_that_they_have() -> None:
    known = {spec.name: spec for spec in catalog.ALL}
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    for rule in rules():
        for name, _, labels in re.findall(
            r"\b((?:hfrunners|namespace_pool:)[\w:]+)(\{([^}]*)\})?", rule["expr"]
        ):
            if name in recorded:
                continue
            spec = known[re.sub(r"_(bucket|count|sum)$", "", name)]
            asked = set(re.findall(r'(\w+)(?:=|!=|=~|!~)"', labels)) - {"le"}
            assert asked <= set(spec.labels), (name, asked)


@pytest.mark.parametrize("alert", ALERTS.values(), ids=lambda alert: alert["alert"])
def test_an_alert_says_how_bad_it_is_what_to_do_and_where_to_read_on(alert: dict[str, Any]) -> None:
    name, notes = alert["alert"], alert["annotations"]
    assert name.startswith("HFRunners")
    assert set(alert["labels"]) == {"severity"}
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert "{{" not in notes["summary"], "the same for a whole group of alerts"
    assert notes["summary"].endswith(".")
    assert "{{" in notes["description"]
    assert notes["runbook_url"] == f"{RUNBOOKS}/{name}.md"


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert {page.stem for page in (DOCS / "runbooks").glob("HFRunners*.md")} == set(ALERTS)


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_a_runbook_has_its_four_parts_with_something_in_them(name: str) -> None:
    page = (DOCS / "runbooks" / f"{name}.md").read_text()
    assert page.startswith(f"# {name}\n")
    assert [line for line in page.splitlines() if line.startswith("## ")] == HEADINGS
    parts = re.split(r"(?m)^## \w+$", page)[1:]
    assert all(len(part.split()) >= 8 for part in parts)
    assert "```sh" in parts[2], "commands to look with"


def test_the_docs_list_every_alert_with_its_severity() -> None:
    page = (DOCS / "operations" / "monitoring.md").read_text()
    listed = dict(re.findall(r"\| \[(HFRunners\w+)\]\(\.\./runbooks/HFRunners\w+\.md\) \| (\w+) \|", page))
    assert listed == {name: alert["labels"]["severity"] for name, alert in ALERTS.items()}


def _field(schema: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the schema of a field of RunnerPool, such as ``status.queue[*].count``.

    Raises:
        KeyError: There is none.
    """
    for name in path.split("."):
        found: dict[str, Any] = schema["properties"][name.split("[")[0]]
        schema = found["items"] if "[" in name else found
    return schema


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_the_commands_of_a_runbook_ask_for_fields_that_a_pool_has(name: str) -> None:
    crd = yaml.safe_load((DOCS.parent / "crds" / "hfrunners.dev_runnerpools.yaml").read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    page = (DOCS / "runbooks" / f"{name}.md").read_text()
    for command in re.findall(r"(?m)^kubectl.* get rp .*$", page):
        for path, fields in re.findall(r"\{range \.([\w.]+)\[\*\]\}(.*?)\{end\}", command):
            for field in re.findall(r"\{\.([\w.]+)\}", fields):
                _field(schema, f"{path}[*].{field}")
        plain = re.sub(r"\{range .*?\{end\}", "", command)
        for path in re.findall(r"\.((?:spec|status)\.[\w.]+)", plain):
            _field(schema, path)


def test_some_runbooks_ask_for_fields() -> None:
    """Else a pattern that matches nothing any more would let every runbook pass."""
    pages = [(DOCS / "runbooks" / f"{name}.md").read_text() for name in ALERTS]
    asked = [command for page in pages for command in re.findall(r"(?m)^kubectl.* get rp .*$", page)]
    assert any("{range ." in command for command in asked)
    assert any(re.search(r"\.(spec|status)\.", command) for command in asked)


def test_the_reasons_that_rules_and_runbooks_name_are_reasons() -> None:
    known = {str(reason) for reason in Reason}
    for rule in rules():
        for named in re.findall(r'reason(?:=|!=|=~|!~)"([^"]*)"', rule["expr"]):
            assert set(named.split("|")) <= known, named
    for page in (DOCS / "runbooks").glob("HFRunners*.md"):
        named = re.findall(
            r"`((?:GitHub|Hub|App|Secret|Permission|Runner|Image|Download)[A-Z]\w+)`", page.read_text()
        )
        assert set(named) <= known | {"RunnerPool"}, page.name
