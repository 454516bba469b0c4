"""Every PromQL expression that ships, tried on a Prometheus that has scraped the controller."""

from __future__ import annotations

import math
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
import yaml

from tools.monitoring.grafana import Panel
from tools.monitoring.overview import OVERVIEW
from tools.monitoring.programs import program
from tools.monitoring.prometheus import RULES, Prometheus, QueryFailed, Series

RATE_INTERVAL: Final = 15
"""Seconds of ``$__rate_interval`` at the scene's scrape interval of a second: Grafana takes at least four."""

STARTS_WITHIN: Final = 120.0
"""Seconds for a process to answer that was started again just now, on a busy machine."""

_SELECTOR = re.compile(r"\b((?:hfrunners_|namespace_pool:)[a-zA-Z0-9_:]+)(\{[^}]*\})?")
_LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The time that a scene took, in epoch seconds."""

    start: float
    end: float

    @property
    def seconds(self) -> int:
        """How long it took."""
        return math.ceil(self.end - self.start)


@dataclass(frozen=True, slots=True)
class Expression:
    """One expression, and where it is written."""

    where: str
    text: str


def filled(text: str, over: Range) -> str:
    """Return an expression with Grafana's variables filled in as for the choice All."""
    values = {"__rate_interval": f"{RATE_INTERVAL}s", "__range": f"{over.seconds}s"}
    found = text
    for name in ("job", "instance", "namespace", "pool"):
        values[name] = ".+"
    for name, value in sorted(values.items(), key=lambda item: -len(item[0])):
        found = found.replace(f"${name}", value)
    if "$" in found:
        raise ValueError(f"a variable is not known here: {found}")
    return found


def of_the_dashboard(over: Range) -> Iterator[Expression]:
    """Yield the expressions of panels, variables and annotations, filled in."""
    for row in OVERVIEW.rows:
        for panel in row.panels:
            for query in panel.queries:
                yield Expression(f"panel {panel.title!r}", filled(query.filled, over))
    for variable in OVERVIEW.variables:
        if variable["type"] == "query":
            selector = _label_values(variable)
            yield Expression(f"variable {variable['name']}", filled(selector, over))
    for annotation in OVERVIEW.annotations:
        yield Expression(f"annotation {annotation['name']!r}", filled(annotation["expr"], over))


def _label_values(variable: Mapping[str, Any]) -> str:
    found = _LABEL_VALUES.fullmatch(variable["query"])
    if found is None:
        raise ValueError(f"variable {variable['name']} asks for no label's values: {variable['query']}")
    return f"count by ({found[2]}) ({found[1]})"


def of_the_rules() -> Iterator[Expression]:
    """Yield every selector that a rule reads.

    An alert's own expression is empty while all is well, so what shows a wrong name or
    label is what it reads.
    """
    for file in sorted(RULES.glob("*.yaml")):
        for group in yaml.safe_load(file.read_text())["groups"]:
            for rule in group["rules"]:
                for name, labels in _SELECTOR.findall(rule["expr"]):
                    yield Expression(f"rule {rule.get('alert') or rule['record']}", name + labels)


def unanswered(prometheus: Prometheus, over: Range) -> list[str]:
    """Return what is wrong: expressions that fail or have no data in the whole range, and
    rules that do not evaluate.
    """
    wrong = []
    for one in dict.fromkeys((*of_the_dashboard(over), *of_the_rules())):
        try:
            found = prometheus.over(one.text, start=over.start, end=over.end, step=1)
        except QueryFailed as error:
            wrong.append(f"{one.where} fails: {error}")
            continue
        if not any(_has_data(series) for series in found):
            wrong.append(f"{one.where} has no data: {one.text}")
    wrong += [
        f"rule {rule['name']} is {rule['health']}: {rule.get('lastError', '')}"
        for rule in prometheus.rules()
        if rule["health"] != "ok"
    ]
    return wrong


def _page(port: int) -> bytes:
    """Return the page of metrics of a process that may be starting just now."""
    ends = time.monotonic() + STARTS_WITHIN
    while True:
        try:
            return (
                httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=STARTS_WITHIN)
                .raise_for_status()
                .content
            )
        except httpx.HTTPError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.2)


def complained_of(port: int) -> list[str]:
    """Return what ``promtool check metrics`` says against the page of a process on this
    port; nothing if all is well.
    """
    page = _page(port)
    done = subprocess.run(
        [str(program("promtool")), "check", "metrics"],
        input=page,
        capture_output=True,
        check=False,
        timeout=60,
    )
    if done.returncode == 0:
        return []
    return [f"promtool check metrics: {line}" for line in (done.stdout + done.stderr).decode().splitlines()]


def _has_data(series: Series) -> bool:
    return any(not math.isnan(value) for _, value in series.values)


def answers(prometheus: Prometheus, panel: Panel, over: Range, *, now: bool) -> list[list[Series]]:
    """Return what a panel's queries give, at the end of the range or all over it."""
    texts = [filled(query.filled, over) for query in panel.queries]
    if now:
        return [prometheus.now(text, at=over.end) for text in texts]
    return [prometheus.over(text, start=over.start, end=over.end, step=1) for text in texts]
