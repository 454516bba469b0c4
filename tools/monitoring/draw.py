"""The dashboard as a picture: every panel with the data of a real Prometheus, arranged as Grafana would."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from PIL import Image

from tools.monitoring.expressions import Range, answers
from tools.monitoring.grafana import COLUMNS, Kind, Panel, Place, Query, Row, arranged
from tools.monitoring.prometheus import Prometheus, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH: Final = 1500
UNIT: Final = 34
"""Pixels per row of the grid; Grafana takes 30 and 8 between panels."""

DPI: Final = 100
GAP: Final = 10
INK, PALE, PAPER, CARD = "#24292f", "#6e7781", "#f4f5f5", "#ffffff"
COLORS: Final = (
    "#3274d9",
    "#ff780a",
    "#56a64b",
    "#a352cc",
    "#e02f44",
    "#f2cc0c",
    "#37872d",
    "#8ab8ff",
    "#b877d9",
    "#c4162a",
)
NAMED: Final = {"green": "#37872d", "yellow": "#c69b06", "red": "#c4162a", "blue": "#1f60c4"}
MOST_LEGENDS: Final = 7
LETTER: Final = 6.9
"""Pixels that a letter of a legend takes."""


def draw(prometheus: Prometheus, rows: Sequence[Row], over: Range, path: Path, *, title: str) -> None:
    """Draw a dashboard.

    Args:
        prometheus: Has the data.
        rows: What to show.
        over: The time range.
        path: A PNG file.
        title: Above it.
    """
    placed = list(arranged(rows))
    height = (max(place.y + place.h for _, place in placed) + 2) * UNIT
    figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, facecolor=PAPER)
    canvas = FigureCanvasAgg(figure)
    figure.text(GAP / WIDTH, 1 - 0.8 * UNIT / height, title, size=15, weight="bold", color=INK)
    for what, place in placed:
        sheet = _Sheet(figure, height, place)
        if isinstance(what, Row):
            sheet.heading(what.title)
        else:
            _panel(sheet, what, prometheus, over)
    made = io.BytesIO()
    canvas.print_png(made)  # type: ignore[no-untyped-call]
    picture = Image.open(made).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    picture.save(path, optimize=True)


class _Sheet:
    """A panel's place on the figure, in pixels from the top."""

    def __init__(self, figure: Figure, height: int, place: Place) -> None:
        self._figure = figure
        self._height = height
        self._x = place.x / COLUMNS * WIDTH + GAP / 2
        self._y = (place.y + 1.6) * UNIT
        self._w = place.w / COLUMNS * WIDTH - GAP
        self._h = place.h * UNIT - GAP

    def axes(self, left: float, top: float, right: float, bottom: float) -> Axes:
        """Return axes with these margins in pixels."""
        return self._figure.add_axes(
            (
                (self._x + left) / WIDTH,
                1 - (self._y + self._h - bottom) / self._height,
                (self._w - left - right) / WIDTH,
                (self._h - top - bottom) / self._height,
            )
        )

    def card(self, title: str) -> None:
        """Draw the panel's paper and title."""
        axes = self.axes(0, 0, 0, 0)
        axes.set(xticks=[], yticks=[], facecolor=CARD)
        for spine in axes.spines.values():
            spine.set_color("#d8d9da")
        self.text(title, 9, 14, size=9.5, weight="bold")

    def heading(self, title: str) -> None:
        """Draw a row's title."""
        self.text(f"▾ {title}", 4, 18, size=12.5, weight="bold")

    def text(
        self,
        text: str,
        x: float,
        y: float,
        *,
        size: float,
        color: str = INK,
        weight: str = "normal",
        align: str = "left",
    ) -> None:
        """Write at pixels from the panel's left upper corner."""
        where = (self._x + x) / WIDTH, 1 - (self._y + y) / self._height
        self._figure.text(*where, text, size=size, color=color, weight=weight, ha=align, va="center")

    @property
    def width(self) -> float:
        """Pixels."""
        return self._w

    @property
    def height(self) -> float:
        """Pixels."""
        return self._h


def _panel(sheet: _Sheet, panel: Panel, prometheus: Prometheus, over: Range) -> None:
    sheet.card(panel.title)
    now = panel.kind in (Kind.STAT, Kind.TABLE)
    found = answers(prometheus, panel, over, now=now)
    if not any(found):
        sheet.text("No data", sheet.width / 2, sheet.height / 2 + 8, size=11, color=PALE, align="center")
        return
    match panel.kind:
        case Kind.STAT:
            _stat(sheet, panel, found[0])
        case Kind.TABLE:
            _table(sheet, panel, found)
        case Kind.STATES:
            _states(sheet, panel, found[0], over)
        case Kind.HEATMAP:
            _heatmap(sheet, panel, found[0], over)
        case Kind.SERIES | Kind.STACK | Kind.BARS:
            _lines(sheet, panel, found, over)


# ------------------------------------------------------------------------------------------------------ kinds
def _stat(sheet: _Sheet, panel: Panel, found: Sequence[Series]) -> None:
    value = found[0].values[-1][1]
    color = next((color for least, color in reversed(panel.steps) if least is None or value >= least), "blue")
    text = _legend(panel.queries[0], found[0]) if panel.name_only else shown(value, panel.unit)
    sheet.text(text, sheet.width / 2, sheet.height / 2 + 10, size=25, color=NAMED[color], align="center")


def _table(sheet: _Sheet, panel: Panel, found: Sequence[Sequence[Series]]) -> None:
    names = sorted({name for series in found[0] for name in series.labels})
    titled = [(index, query) for index, query in enumerate(panel.queries) if query.legend]
    rows: dict[tuple[str, ...], dict[int, float]] = {}
    for index, answer in enumerate(found):
        for series in answer:
            key = tuple(series.labels.get(name, "") for name in names)
            rows.setdefault(key, {})[index] = series.values[-1][1]
    heads = [*names, *(query.legend for _, query in titled)]
    step = sheet.width / len(heads)
    for column, head in enumerate(heads):
        sheet.text(head, 12 + column * step, 38, size=9, color="#1f60c4", weight="bold")
    fitting = int((sheet.height - 60) // 21)
    for line, (key, values) in enumerate(sorted(rows.items())[:fitting]):
        cells = [*key, *(shown(values.get(i, math.nan), query.unit or panel.unit) for i, query in titled)]
        for column, cell in enumerate(cells):
            sheet.text(cell, 12 + column * step, 60 + line * 21, size=9)


def _states(sheet: _Sheet, panel: Panel, found: Sequence[Series], over: Range) -> None:
    axes = sheet.axes(110, 30, 12, 26)
    for line, series in enumerate(
        sorted(found, key=lambda one: _legend(panel.queries[0], one), reverse=True)
    ):
        for (time, value), (until, _) in zip(
            series.values, [*series.values[1:], (over.end, 0.0)], strict=True
        ):
            color = NAMED[panel.states[int(value)][1]]
            axes.broken_barh([(time - over.start, until - time + 1)], (line - 0.38, 0.76), color=color)
        sheet.text(
            _legend(panel.queries[0], series),
            104,
            30 + (len(found) - line - 0.5) / len(found) * (sheet.height - 56),
            size=8.5,
            align="right",
        )
    axes.set(ylim=(-0.5, len(found) - 0.5), yticks=[], xlim=(0, over.seconds))
    _frame(axes)


def _heatmap(sheet: _Sheet, panel: Panel, found: Sequence[Series], over: Range) -> None:
    bounds = sorted(found, key=lambda one: float(one.labels["le"]))
    axes = sheet.axes(56, 30, 12, 26)
    grids: list[list[float]] = []
    below: dict[float, float] = {}
    for series in bounds:
        values = dict(series.values)
        grids.append(
            [
                max(0.0, values.get(over.start + t, 0.0) - below.get(over.start + t, 0.0))
                for t in range(over.seconds)
            ]
        )
        below = values
    axes.imshow(
        grids,
        aspect="auto",
        origin="lower",
        cmap=colormaps["Blues"],
        extent=(0, over.seconds, -0.5, len(bounds) - 0.5),
        interpolation="nearest",
    )
    some = range(0, len(bounds), 3)
    axes.set_yticks(list(some), [shown(float(bounds[i].labels["le"]), panel.unit) for i in some])
    _frame(axes)


def _lines(sheet: _Sheet, panel: Panel, found: Sequence[Sequence[Series]], over: Range) -> None:
    named = [
        (_legend(query, series), series)
        for query, answer in zip(panel.queries, found, strict=True)
        for series in answer
    ]
    if len(panel.queries) == 1:
        named.sort(key=lambda one: -max((v for _, v in one[1].values if not math.isnan(v)), default=0.0))
    shown_in_legend = named[:MOST_LEGENDS]
    wide = max(len(name) for name, _ in shown_in_legend)
    margin = min(30 + wide * LETTER, sheet.width * 0.42)
    most = int((margin - 28) / LETTER)
    axes = sheet.axes(56, 30, margin, 26)
    base = [0.0] * (over.seconds + 1)
    for index, (_, series) in enumerate(named):
        color = COLORS[index % len(COLORS)]
        values = {round(time - over.start): value for time, value in series.values}
        if panel.kind is Kind.SERIES:
            level = [values.get(t, math.nan) for t in range(over.seconds + 1)]
            axes.plot(level, color=color, linewidth=1.3)
            continue
        top = [b + (0.0 if math.isnan(v := values.get(t, 0.0)) else v) for t, b in enumerate(base)]
        axes.fill_between(
            range(over.seconds + 1), base, top, color=color, alpha=0.65, linewidth=0, step="post"
        )
        base = top
    axes.set_xlim(0, over.seconds)
    axes.set_ylim(0, panel.most and panel.most * 1.05)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value, panel.unit)))
    axes.grid(visible=True, color="#e9edf2", linewidth=0.8)
    _frame(axes)
    right = sheet.width - margin
    for index, (name, _) in enumerate(shown_in_legend):
        sheet.text("■", right + 10, 40 + index * 19, size=9, color=COLORS[index % len(COLORS)])
        sheet.text(
            name if len(name) <= most else f"{name[: most - 1]}…", right + 23, 40 + index * 19, size=8.5
        )
    if len(named) > MOST_LEGENDS:
        sheet.text(
            f"and {len(named) - MOST_LEGENDS} more", right + 23, 40 + MOST_LEGENDS * 19, size=8.5, color=PALE
        )


def _frame(axes: Axes) -> None:
    axes.tick_params(labelsize=8, colors=PALE, length=0)
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{int(value) // 60}:{int(value) % 60:02d}")
    )
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color("#d8d9da")
    axes.set_axisbelow(True)


# ------------------------------------------------------------------------------------------------------ texts
def _legend(query: Query, series: Series) -> str:
    text = query.legend
    for name, value in series.labels.items():
        text = text.replace(f"{{{{{name}}}}}", value)
    return text


def shown(value: float, unit: str) -> str:
    """Return a value as Grafana shows its unit, about."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞"
    match unit:
        case "s" | "dtdurations":
            return _duration(value)
        case "percentunit":
            return f"{value:.0%}"
        case "currencyUSD":
            return f"${value:.2f}" if value < 100 else f"${value:.0f}"
        case "ops" | "reqps":
            return f"{value:.2g}/s"
        case _:
            return f"{value:.2f}".rstrip("0").rstrip(".")


def _duration(seconds: float) -> str:
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f}".removesuffix(".0") + f" {name}"
    return f"{seconds:.1f} s" if seconds >= 1 or seconds == 0 else f"{seconds * 1000:.1f} ms"
