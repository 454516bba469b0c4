"""Draws a played scenario over time; needs matplotlib, which the controller itself does not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from controller.simulate.tally import Happened, Span

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = frozenset({".png", ".svg", ".pdf"})
HOUR = 3_600.0


class PlotUnavailable(Exception):  # noqa: N818 - a finding about the user's installation or input
    """A plot cannot be drawn; the message says what to do."""


def check_plot(path: Path) -> None:
    """Find out whether a plot can be drawn, before the work that it shows.

    Raises:
        PlotUnavailable: matplotlib is missing, the format is unknown, or the folder does not exist.
    """
    try:
        import matplotlib.figure  # noqa: F401, PLC0415 - optional
    except ImportError as error:
        raise PlotUnavailable("--plot needs matplotlib: pip install 'hf-runner-controller[plot]'") from error
    if path.suffix not in SUFFIXES:
        raise PlotUnavailable(f"--plot {path}: write a name that ends in {', '.join(sorted(SUFFIXES))}")
    if not path.parent.is_dir():
        raise PlotUnavailable(f"--plot {path}: there is no folder {path.parent}")


def draw(happened: Happened, path: Path, *, title: str) -> None:
    """Draw the queue, the runners and the dollars over time.

    Args:
        happened: What to draw.
        path: Where to; see :func:`check_plot`.
        title: Above it.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - optional
    from matplotlib.figure import Figure  # noqa: PLC0415 - optional

    figure = Figure(figsize=(10, 8), layout="constrained")
    FigureCanvasAgg(figure)
    jobs, runners, dollars = figure.subplots(3, 1, sharex=True)
    figure.suptitle(title)

    _steps(jobs, happened.queued, happened.until, label="queued")
    _steps(jobs, happened.ran, happened.until, label="running")
    jobs.set_ylabel("workflow jobs")
    for pool, spans in happened.live.items():
        _steps(runners, spans, happened.until, label=pool)
    runners.set_ylabel("live HF Jobs")
    for pool, bills in happened.bills.items():
        times, spent = _spending(bills, happened.until)
        dollars.plot([time / HOUR for time in times], spent, label=pool)
    dollars.set_ylabel("spent, US dollars")
    dollars.set_xlabel("hours")
    for axes in (jobs, runners, dollars):
        axes.set_ylim(bottom=0)
        axes.grid(visible=True, alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="upper right")
    figure.savefig(path)


def _steps(axes: Axes, spans: Iterable[Span], until: float, *, label: str) -> None:
    changes: dict[float, int] = {0.0: 0, until: 0}
    for span in spans:
        changes[span.start] = changes.get(span.start, 0) + 1
        if span.end < until:
            changes[span.end] = changes.get(span.end, 0) - 1
    times = sorted(changes)
    count, counts = 0, []
    for time in times:
        count += changes[time]
        counts.append(count)
    axes.step([time / HOUR for time in times], counts, where="post", label=label)


def _spending(bills: Sequence[tuple[Span, float]], until: float) -> tuple[list[float], list[float]]:
    """Return dollars spent so far at each moment when a rate changes."""
    rates: dict[float, float] = {0.0: 0.0, until: 0.0}
    for span, usd in bills:
        lasted = span.end - span.start
        if lasted > 0:
            rates[span.start] = rates.get(span.start, 0.0) + usd / lasted
            rates[span.end] = rates.get(span.end, 0.0) - usd / lasted
    times = sorted(rates)
    rate = spent = before = 0.0
    sums = []
    for time in times:
        spent += rate * (time - before)
        rate, before = rate + rates[time], time
        sums.append(spent)
    return times, sums
