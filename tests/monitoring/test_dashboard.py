"""The Grafana dashboard: what Grafana, its linter and its sidecar ask of it, and that its
links lead somewhere.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

from controller.metrics import catalog
from tests.monitoring import dashboard_rules
from tests.monitoring.conftest import Promtool
from tests.monitoring.dashboard_rules import SELECTOR, Model, panels
from tests.monitoring.test_rules import ALERTS
from tools.monitoring.__main__ import DASHBOARD, text
from tools.monitoring.expressions import Range, of_the_dashboard
from tools.monitoring.prometheus import RULES

DOCS = Path(__file__).parents[2] / "docs"
QUESTIONS = [
    "Is everybody served?",
    "What waits, and why?",
    "What does it cost?",
    "Are GitHub and the Hub healthy?",
    "Is the controller healthy?",
]


@pytest.fixture
def model() -> Model:
    loaded: Model = json.loads(DASHBOARD.read_text())
    return loaded


def test_the_chart_has_the_dashboard_that_is_described() -> None:
    assert DASHBOARD.read_text() == text(), "run `make docs`"


@pytest.mark.parametrize("rule", dashboard_rules.RULES, ids=lambda rule: rule.__name__)
def test_the_linter_has_nothing_to_say(rule: Callable[[Model], Any], model: Model) -> None:
    assert list(rule(model)) == []


def _stat(model: Model) -> Any:
    return next(panel for panel in model["panels"] if panel["type"] == "stat")


def _launches(model: Model) -> Any:
    return next(panel for panel in model["panels"] if panel["title"] == "Launches")["targets"][0]


def _variable(model: Model, name: str) -> Any:
    return next(variable for variable in model["templating"]["list"] if variable["name"] == name)


SPOILT: dict[str, Callable[[Model], Any]] = {
    "template_datasource": lambda model: _variable(model, "datasource").update(label="Source"),
    "template_job": lambda model: _variable(model, "job").update(allValue=".*"),
    "template_instance": lambda model: _variable(model, "instance").update(multi=False),
    "template_label_promql": lambda model: _variable(model, "pool").update(query="pools(x)"),
    "template_on_time_change_reload": lambda model: _variable(model, "pool").update(refresh=1),
    "panel_datasource": lambda model: _stat(model)["datasource"].update(uid="prometheus"),
    "panel_title_description": lambda model: _stat(model).update(description=""),
    "panel_units": lambda model: _stat(model)["fieldConfig"]["defaults"].pop("unit"),
    "panel_no_targets": lambda model: _stat(model).update(targets=[]),
    "target_rate_interval": lambda model: _launches(model).update(
        expr=_launches(model)["expr"].replace("$__rate_interval", "5m")
    ),
    "target_job": lambda model: _launches(model).update(expr=_launches(model)["expr"].replace("$job", "x")),
    "target_instance": lambda model: _launches(model).update(
        expr=_launches(model)["expr"].replace("$instance", "x")
    ),
    "target_counter_agg": lambda model: _launches(model).update(
        expr='sum(hfrunners_launches_total{job=~"$job",instance=~"$instance"})'
    ),
    "uneditable_dashboard": lambda model: model.update(editable=True),
}


@pytest.mark.parametrize("rule", dashboard_rules.RULES, ids=lambda rule: rule.__name__)
def test_each_rule_finds_its_mistake(rule: Callable[[Model], Any], model: Model) -> None:
    spoilt = copy.deepcopy(model)
    SPOILT[rule.__name__](spoilt)
    assert len(list(rule(spoilt))) == 1


def test_rows_answer_the_questions_in_the_order_in_which_people_ask(model: Model) -> None:
    assert [panel["title"] for panel in model["panels"] if panel["type"] == "row"] == QUESTIONS


def test_it_imports_anywhere_and_keeps_its_address(model: Model) -> None:
    assert "__inputs" not in model
    assert model["id"] is None
    assert model["uid"] == "hf-runner-controller-overview" == DASHBOARD.stem
    assert "graph" not in {panel["type"] for panel in panels(model)}


def test_panels_have_ids_of_their_own_and_do_not_overlap(model: Model) -> None:
    ids = [panel["id"] for panel in panels(model)]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in panels(model):
        grid = panel["gridPos"]
        cells = {(grid["x"] + x, grid["y"] + y) for x in range(grid["w"]) for y in range(grid["h"])}
        assert max(x for x, _ in cells) < 24
        assert not taken & cells, panel["title"]
        taken |= cells


def test_queries_read_only_metrics_that_exist_with_labels_that_they_have(model: Model) -> None:
    known = {spec.name: spec for spec in catalog.ALL}
    for panel in panels(model):
        for target in panel.get("targets", ()):
            for name, selectors, _ in SELECTOR.findall(target["expr"]):
                spec = known[re.sub(r"_(bucket|count|sum)$", "", name)]
                asked = set(re.findall(r'(\w+)(?:=|!=|=~|!~)"', selectors)) - {"job", "instance", "le"}
                assert asked <= set(spec.labels), (panel["title"], name, asked)


def test_every_metric_is_shown_or_alerted_on(model: Model) -> None:
    said = DASHBOARD.read_text() + "".join(file.read_text() for file in RULES.glob("*.yaml"))
    assert [spec.name for spec in catalog.ALL if spec.name not in said] == []


def test_promql_parses(promtool: Promtool, tmp_path: Path) -> None:
    over = Range(start=0.0, end=3600.0)
    rules = [
        {"record": "one", "expr": one.text, "labels": {"n": str(n)}}
        for n, one in enumerate(of_the_dashboard(over))
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = promtool("check", "rules", file)
    assert done.returncode == 0, done.stderr


def test_links_lead_to_pages_that_ship(model: Model) -> None:
    links = [link["url"] for panel in panels(model) for link in panel.get("links", ())]
    links += [link["url"] for link in model["links"]]
    docs = [url.removeprefix("${docs}/") for url in links if url.startswith("${docs}/")]
    assert len(docs) == len(links) - 1
    for path in docs:
        page, _, anchor = path.partition("#")
        assert (DOCS / page).is_file(), page
        if anchor:
            headings = re.findall(r"(?m)^#+ (.+)$", (DOCS / page).read_text())
            assert anchor in [heading.lower().replace(" ", "-") for heading in headings], path


def test_every_alert_is_explained_from_some_panel(model: Model) -> None:
    urls = [link["url"] for panel in panels(model) for link in panel.get("links", ())]
    assert {Path(url).stem for url in urls if "/runbooks/" in url} == set(ALERTS)


def test_the_link_to_the_logs_opens_them_for_the_time_that_is_shown(model: Model) -> None:
    url = next(link["url"] for link in model["links"] if link["title"] == "Logs")
    panes = json.loads(unquote(url.partition("panes=")[2]))
    assert panes["logs"]["datasource"] == "${loki}"
    assert panes["logs"]["range"] == {"from": "${__from}", "to": "${__to}"}
    assert panes["logs"]["queries"][0]["expr"] == '{app="hf-runner-controller"}'
