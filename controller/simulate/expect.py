"""What a scenario expects of its report: a path into it, and a comparison."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from controller.api.duration import seconds as parse_seconds
from controller.simulate.report import Checked, Report

COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = MappingProxyType(
    {
        "<=": operator.le,
        ">=": operator.ge,
        "<": operator.lt,
        ">": operator.gt,
        "!=": operator.ne,
        "": operator.eq,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """One expectation.

    Attributes:
        path: Into the report: ``pools.t4.launches``.
        steps: The same, taken apart.
        comparison: Key of :data:`COMPARISONS`.
        value: What to compare with.
        missing: What stands for an entry that is not there: 0 Events, no condition.
    """

    path: str
    steps: tuple[str, ...]
    comparison: str
    value: float | str
    missing: float | str

    def check(self, report: Report) -> Checked:
        """Compare with a report."""
        found: Any = report
        for step in self.steps:
            if isinstance(found, BaseModel):
                found = getattr(found, _python_name(type(found), step) or "")
            elif isinstance(found, Mapping):
                found = found.get(step, self.missing)
        if isinstance(found, Sequence) and not isinstance(found, str):
            found = len(found)
        met = COMPARISONS[self.comparison](found, self.value)
        wanted = f"{self.comparison} {_shown(self.value)}".strip()
        return Checked(path=self.path, wanted=wanted, found=_shown(found), met=met)


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"


def read_expectation(path: str, wanted: object, pools: set[str]) -> Expectation:
    """Read one entry of ``expect``.

    Args:
        path: Its name.
        wanted: A number, a text, or a text such as ``<= 90s``.
        pools: Names of the scenario's pools.

    Raises:
        ValueError: The report has no such entry, or the comparison makes no sense; the
            message says what would.
    """
    steps = tuple(path.split("."))
    kind = _kind(steps, pools)
    text = isinstance(kind, type) and kind is str
    comparison, value = _comparison(wanted, text=text)
    return Expectation(
        path=path, steps=steps, comparison=comparison, value=value, missing="" if text else 0.0
    )


def _comparison(wanted: object, *, text: bool) -> tuple[str, float | str]:
    if isinstance(wanted, bool) or not isinstance(wanted, int | float | str):
        raise ValueError("write a number, a text, or a comparison such as '<= 90s'")  # noqa: TRY004 - of the user
    if not isinstance(wanted, str):
        return "", wanted
    found = re.fullmatch(r"(<=|>=|<|>|!=|)\s*(.*)", wanted.strip())
    assert found is not None
    comparison, value = found[1], found[2]
    if text:
        if comparison not in ("", "!="):
            raise ValueError("is a text: write it, or != and it")
        return comparison, value
    try:
        return comparison, float(value)
    except ValueError:
        pass
    try:
        return comparison, parse_seconds(value)
    except ValueError:
        raise ValueError("write a number or a duration, with <=, >=, <, > or != before it") from None


def _kind(steps: Sequence[str], pools: set[str]) -> Any:  # noqa: ANN401 - an annotation
    """Return the type of what a path leads to."""
    kind: Any = Report
    for number, step in enumerate(steps):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            name = _python_name(kind, step)
            if name is None:
                known = [str(info.alias) for info in kind.model_fields.values()]
                near = get_close_matches(step, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
                raise ValueError(f"the report has no {step!r} here; {hint}")
            kind = kind.model_fields[name].annotation
        elif get_origin(kind) is dict:
            if steps[number - 1] == "pools" and step not in pools:
                raise ValueError(f"there is no pool {step!r}")
            if steps[number - 1] == "requests" and step not in ("github", "hub"):
                raise ValueError("there are github and hub")
            kind = get_args(kind)[1]
        else:
            raise ValueError(f"there is nothing below {'.'.join(steps[:number])}")
    if get_origin(kind) is dict or (isinstance(kind, type) and issubclass(kind, BaseModel)):
        raise ValueError("name a single number or text of the report")
    return float if get_origin(kind) is list else kind


def _python_name(model: type[BaseModel], alias: str) -> str | None:
    return next((name for name, info in model.model_fields.items() if info.alias == alias), None)
