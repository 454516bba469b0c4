"""The rules of ``dashboard-linter lint --strict`` (github.com/grafana/dashboard-linter),
which no package registry has.

Their names are the linter's, without ``-rule``. PromQL's syntax is judged by promtool, in
``test_dashboard.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

Model = dict[str, Any]
Mistakes = Iterator[str]

WITH_VALUES = {"stat", "singlestat", "graph", "table", "timeseries", "gauge"}
WITH_QUERIES = {"stat", "singlestat", "gauge", "table", "state-timeline", "timeseries"}
UNITS = {
    "none",
    "short",
    "percent",
    "percentunit",
    "s",
    "ms",
    "ops",
    "reqps",
    "currencyUSD",
    "dtdurations",
    "bytes",
    "bool",
}
"""Of Grafana's units, those that a dashboard here might want."""

SELECTOR = re.compile(r"\b(hfrunners_\w+|up|ALERTS)(\{[^}]*\})?(\[[^\]]*\])?")
CALLED_ON = re.compile(r"(\w+)\(\s*(hfrunners_\w+)(?:\{[^}]*\})?\[([^\]]*)\]")


def panels(model: Model) -> Iterator[Model]:
    """Yield all panels, those inside rows too."""
    for panel in model["panels"]:
        yield panel
        yield from panel.get("panels", ())


def _with(kinds: set[str], model: Model) -> Iterator[Model]:
    return (panel for panel in panels(model) if panel["type"] in kinds)


def _targets(model: Model) -> Iterator[tuple[str, str]]:
    for panel in _with(WITH_QUERIES | {"heatmap"}, model):
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def _variables(model: Model) -> dict[str, Model]:
    return {variable["name"]: variable for variable in model["templating"]["list"]}


def template_datasource(model: Model) -> Mistakes:
    found = [variable for variable in model["templating"]["list"] if variable["type"] == "datasource"]
    if [(one["name"], one["label"], one["query"]) for one in found] != [
        ("datasource", "Data source", "prometheus")
    ]:
        yield "wants one variable 'datasource', labelled 'Data source', for prometheus"


def _template(model: Model, name: str) -> Mistakes:
    variable = _variables(model).get(name)
    wanted = {"type": "query", "label": name.capitalize(), "multi": True, "allValue": ".+"}
    if variable is None:
        yield f"has no variable {name}"
    elif {key: variable.get(key) for key in wanted} != wanted or variable["datasource"][
        "uid"
    ] != "${datasource}":
        yield f"variable {name} is not {wanted} of ${{datasource}}"


def template_job(model: Model) -> Mistakes:
    return _template(model, "job")


def template_instance(model: Model) -> Mistakes:
    return _template(model, "instance")


def template_label_promql(model: Model) -> Mistakes:
    for variable in model["templating"]["list"]:
        if variable["type"] == "query" and not re.fullmatch(
            r"(label_names|label_values|metrics|query_result)\(.+\)", variable["query"]
        ):
            yield f"variable {variable['name']} does not ask for labels: {variable['query']}"


def template_on_time_change_reload(model: Model) -> Mistakes:
    for variable in model["templating"]["list"]:
        if variable["type"] == "query" and variable["refresh"] != 2:
            yield f"variable {variable['name']} is not read again when the time range changes"


def panel_datasource(model: Model) -> Mistakes:
    for panel in panels(model):
        if panel["type"] != "row" and panel["datasource"]["uid"] != "${datasource}":
            yield f"panel {panel['title']!r} has a data source of its own"


def panel_title_description(model: Model) -> Mistakes:
    for panel in _with(WITH_VALUES | {"heatmap", "state-timeline"}, model):
        if not panel["title"] or not panel["description"]:
            yield f"panel {panel['id']} lacks title or description"


def panel_units(model: Model) -> Mistakes:
    for panel in _with(WITH_VALUES, model):
        if panel["fieldConfig"]["defaults"].get("unit") not in UNITS:
            yield f"panel {panel['title']!r} has no unit"


def panel_no_targets(model: Model) -> Mistakes:
    for panel in _with(WITH_QUERIES | {"heatmap"}, model):
        if not panel["targets"]:
            yield f"panel {panel['title']!r} asks nothing"


def target_rate_interval(model: Model) -> Mistakes:
    for title, expr in _targets(model):
        for function, _, window in CALLED_ON.findall(expr):
            if function in ("rate", "irate") and window != "$__rate_interval":
                yield f"panel {title!r} takes a rate over {window}"


def _selects(model: Model, label: str) -> Mistakes:
    for title, expr in _targets(model):
        for name, selectors, _ in SELECTOR.findall(expr):
            if f'{label}=~"${label}"' not in selectors:
                yield f"panel {title!r} reads {name} without {label}"


def target_job(model: Model) -> Mistakes:
    return _selects(model, "job")


def target_instance(model: Model) -> Mistakes:
    return _selects(model, "instance")


def target_counter_agg(model: Model) -> Mistakes:
    for title, expr in _targets(model):
        counted = [name for name, *_ in SELECTOR.findall(expr) if name.endswith("_total")]
        taken = [
            name for function, name, _ in CALLED_ON.findall(expr) if function in ("rate", "irate", "increase")
        ]
        if missing := set(counted) - set(taken):
            yield f"panel {title!r} shows the counter {missing} itself"


def uneditable_dashboard(model: Model) -> Mistakes:
    if model["editable"]:
        yield "can be edited where it is provisioned"


RULES: tuple[Callable[[Model], Mistakes], ...] = (
    template_datasource,
    template_job,
    template_instance,
    template_label_promql,
    template_on_time_change_reload,
    panel_datasource,
    panel_title_description,
    panel_units,
    panel_no_targets,
    target_rate_interval,
    target_job,
    target_instance,
    target_counter_agg,
    uneditable_dashboard,
)
