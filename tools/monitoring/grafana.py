"""Dashboards in Grafana's classic JSON, from what they show.

Classic JSON imports into every Grafana from 9 to 13 and is what the sidecar of a chart reads. In
expressions ``@job`` stands for the selectors of the scraped processes and ``@pool`` for those and the
pools, so that no query forgets one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

COLUMNS: Final = 24
SCHEMA: Final = 39
"""``schemaVersion`` of Grafana 10.4; newer ones migrate it."""

DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
SELECTORS: Final = {
    "@job": 'job=~"$job",instance=~"$instance"',
    "@pool": 'job=~"$job",instance=~"$instance",namespace=~"$namespace",pool=~"$pool"',
}

GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"
Steps = tuple[tuple[float | None, str], ...]
"""Thresholds: from which value on (None: from the lowest), which color."""

FINE: Final[Steps] = ((None, BLUE),)


class Kind(StrEnum):
    """Types of panels."""

    STAT = "stat"
    SERIES = "timeseries"
    STACK = "timeseries, stacked"
    BARS = "timeseries, bars"
    STATES = "state-timeline"
    HEATMAP = "heatmap"
    TABLE = "table"


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel.

    Attributes:
        expr: PromQL, with ``@job`` or ``@pool`` in every selector.
        legend: Of its series, with ``{{label}}``; in a table, the column's title.
        unit: Of the table's column, if not the panel's.
    """

    expr: str
    legend: str = ""
    unit: str = ""

    @property
    def filled(self) -> str:
        """The expression with the dashboard's own selectors."""
        text = self.expr
        for token, selectors in SELECTORS.items():
            text = text.replace(token, selectors)
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel.

    Attributes:
        title: Above it.
        about: What it says and how to read it.
        kind: Its type.
        unit: Grafana's name of the unit.
        queries: What it shows.
        width: Of :data:`COLUMNS`.
        height: In grid rows.
        steps: Colors of a value or background by threshold.
        states: Texts and colors for values, instead of numbers.
        alerts: Whose runbooks it links to.
        pages: Titles and paths below ``docs`` of further links.
        name_only: Show a series' name instead of its value.
        most: Top of the y axis, if it is known.
    """

    title: str
    about: str
    kind: Kind
    unit: str
    queries: tuple[Query, ...]
    width: int
    height: int = 8
    steps: Steps = FINE
    states: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    alerts: tuple[str, ...] = ()
    pages: tuple[tuple[str, str], ...] = ()
    name_only: bool = False
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Panels that answer one question."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a panel is on the grid."""

    x: int
    y: int
    w: int
    h: int


def arranged(rows: Sequence[Row]) -> Iterator[tuple[Row | Panel, Place]]:
    """Yield titles of rows and panels with their places: left to right, the next line below
    the highest of this one.
    """
    y = 0
    for row in rows:
        yield row, Place(0, y, COLUMNS, 1)
        x, y, tallest = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            yield panel, Place(x, y, panel.width, panel.height)
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """A whole dashboard.

    Attributes:
        uid: Stable: links and bookmarks hold it.
        title: Its title.
        about: What it is for.
        tags: To find it by.
        docs: Where the docs are, without a slash at the end.
        variables: Raw variables of the model, after the data source.
        annotations: Raw annotations of the model.
        links: Raw links of the model.
        rows: What it shows.
    """

    uid: str
    title: str
    about: str
    tags: tuple[str, ...]
    docs: str
    variables: tuple[Mapping[str, Any], ...]
    annotations: tuple[Mapping[str, Any], ...]
    links: tuple[Mapping[str, Any], ...]
    rows: tuple[Row, ...]

    def model(self) -> dict[str, Any]:
        """Return the classic JSON model."""
        places = enumerate(arranged(self.rows), start=1)
        return {
            "annotations": {"list": list(self.annotations)},
            "description": self.about,
            "editable": False,
            "fiscalYearStartMonth": 0,
            "graphTooltip": 1,
            "id": None,
            "links": list(self.links),
            "panels": [_placed(number, what, place) for number, (what, place) in places],
            "refresh": "1m",
            "schemaVersion": SCHEMA,
            "tags": list(self.tags),
            "templating": {"list": [_datasource(), *self.variables, _constant("docs", self.docs)]},
            "time": {"from": "now-6h", "to": "now"},
            "timepicker": {},
            "timezone": "browser",
            "title": self.title,
            "uid": self.uid,
            "version": 1,
        }


# -------------------------------------------------------------------------------------------------- variables
def _datasource() -> dict[str, Any]:
    return {
        "current": {},
        "hide": 0,
        "includeAll": False,
        "label": "Data source",
        "multi": False,
        "name": "datasource",
        "options": [],
        "query": "prometheus",
        "refresh": 1,
        "regex": "",
        "type": "datasource",
    }


def labels(name: str, label: str, *, of: str) -> dict[str, Any]:
    """Return a variable whose values are those of a label.

    Args:
        name: The variable's, and the label's.
        label: Shown to people.
        of: The selector of the series that have it.
    """
    query = f"label_values({of}, {name})"
    return {
        "allValue": ".+",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "datasource": DATASOURCE,
        "definition": query,
        "hide": 0,
        "includeAll": True,
        "label": label,
        "multi": True,
        "name": name,
        "options": [],
        "query": query,
        "refresh": 2,
        "regex": "",
        "sort": 1,
        "type": "query",
    }


def text_box(name: str, label: str, *, about: str, value: str) -> dict[str, Any]:
    """Return a variable that people type."""
    one = {"selected": True, "text": value, "value": value}
    return {
        "current": one,
        "description": about,
        "hide": 0,
        "label": label,
        "name": name,
        "options": [one],
        "query": value,
        "type": "textbox",
    }


def _constant(name: str, value: str) -> dict[str, Any]:
    one = {"selected": True, "text": value, "value": value}
    return {"current": one, "hide": 2, "name": name, "options": [one], "query": value, "type": "constant"}


# ----------------------------------------------------------------------------------------------------- panels
def _placed(number: int, what: Row | Panel, place: Place) -> dict[str, Any]:
    grid = {"h": place.h, "w": place.w, "x": place.x, "y": place.y}
    if isinstance(what, Row):
        return {
            "collapsed": False,
            "gridPos": grid,
            "id": number,
            "panels": [],
            "title": what.title,
            "type": "row",
        }
    extra = {"transformations": _table_columns(what)} if what.kind is Kind.TABLE else {}
    return {
        "datasource": DATASOURCE,
        "description": what.about,
        "fieldConfig": {"defaults": _defaults(what), "overrides": _overrides(what)},
        "gridPos": grid,
        "id": number,
        "links": [*map(_runbook, what.alerts), *(_page(*page) for page in what.pages)],
        "options": _options(what),
        "targets": [_target(what, index, query) for index, query in enumerate(what.queries)],
        "title": what.title,
        **extra,
        "type": what.kind.value.split(",", maxsplit=1)[0],
    }


def _runbook(alert: str) -> dict[str, Any]:
    return _page(f"Runbook: {alert}", f"runbooks/{alert}.md")


def _page(title: str, path: str) -> dict[str, Any]:
    return {"targetBlank": True, "title": title, "url": f"${{docs}}/{path}"}


def _target(panel: Panel, index: int, query: Query) -> dict[str, Any]:
    now = panel.kind is Kind.TABLE or (panel.kind is Kind.STAT and "$__range" in query.expr)
    format_ = {Kind.TABLE: "table", Kind.HEATMAP: "heatmap"}.get(panel.kind, "time_series")
    return {
        "datasource": DATASOURCE,
        "expr": query.filled,
        "format": format_,
        "instant": now,
        "range": not now,
        "legendFormat": query.legend or "__auto",
        "refId": chr(ord("A") + index),
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "color": {"mode": "thresholds" if panel.kind in (Kind.STAT, Kind.STATES) else "palette-classic"},
        "thresholds": {
            "mode": "absolute",
            "steps": [{"color": color, "value": value} for value, color in panel.steps],
        },
        "unit": panel.unit,
    }
    if panel.states:
        options = {
            str(value): {"color": color, "index": index, "text": text}
            for index, (value, (text, color)) in enumerate(panel.states.items())
        }
        defaults["mappings"] = [{"options": options, "type": "value"}]
    if panel.kind in (Kind.SERIES, Kind.STACK, Kind.BARS):
        defaults |= {"custom": _strokes(panel.kind), "min": 0}
        if panel.most is not None:
            defaults["max"] = panel.most
    return defaults


def _strokes(kind: Kind) -> dict[str, Any]:
    stacked = kind is not Kind.SERIES
    return {
        "drawStyle": "bars" if kind is Kind.BARS else "line",
        "fillOpacity": {Kind.SERIES: 8, Kind.STACK: 50, Kind.BARS: 80}[kind],
        "lineWidth": 1,
        "showPoints": "never",
        "stacking": {"group": "A", "mode": "normal" if stacked else "none"},
    }


def _options(panel: Panel) -> dict[str, Any]:
    match panel.kind:
        case Kind.STAT:
            return {
                "colorMode": "value",
                "graphMode": "none",
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
                "textMode": "name" if panel.name_only else "auto",
            }
        case Kind.SERIES | Kind.STACK | Kind.BARS:
            return {
                "legend": {
                    "calcs": ["lastNotNull", "max"],
                    "displayMode": "table",
                    "placement": "right",
                    "showLegend": True,
                },
                "tooltip": {"mode": "multi", "sort": "desc"},
            }
        case Kind.STATES:
            return {"mergeValues": True, "rowHeight": 0.8, "showValue": "never"}
        case Kind.HEATMAP:
            return {
                "calculate": False,
                "cellGap": 1,
                "color": {"mode": "scheme", "scheme": "Blues", "steps": 32},
                "yAxis": {"unit": panel.unit},
            }
        case Kind.TABLE:
            return {"cellHeight": "sm", "showHeader": True}


def _column(panel: Panel, index: int) -> str:
    """Return the name that Grafana gives the values of one of a table's queries."""
    return "Value" if len(panel.queries) == 1 else f"Value #{chr(ord('A') + index)}"


def _table_columns(panel: Panel) -> list[dict[str, Any]]:
    names = {_column(panel, index): query.legend for index, query in enumerate(panel.queries)}
    hidden = {"Time": True, **{name: True for name, title in names.items() if not title}}
    shown = {name: title for name, title in names.items() if title}
    return [
        {"id": "merge", "options": {}},
        {
            "id": "organize",
            "options": {"excludeByName": hidden, "indexByName": {}, "renameByName": shown},
        },
    ]


def _overrides(panel: Panel) -> list[dict[str, Any]]:
    return [
        {
            "matcher": {"id": "byName", "options": query.legend},
            "properties": [{"id": "unit", "value": query.unit}],
        }
        for query in panel.queries
        if query.unit
    ]
