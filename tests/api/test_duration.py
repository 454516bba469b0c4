"""controller.api.duration."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.duration import between, seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("2d", 172_800),
        ("1.5h", 5400),
        ("0.5s", 0.5),
        ("1m1m", 120),
    ],
)
def test_a_duration_is_read_as_go_reads_it(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text", ["", "10", "m", "1 h", "-1s", "1d12h", "10d", "1.5d", "1ms", "1e3s", "٣s", "1s\n", "1h" * 11]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        seconds(text)
    assert not between("10s", "5d").holds(text)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59))
def test_parts_add_up(hours: int, minutes: int, secs: int) -> None:
    assert seconds(f"{hours}h{minutes}m{secs}s") == hours * 3600 + minutes * 60 + secs


@given(st.integers(0, 500_000))
def test_bounds_are_inclusive(value: int) -> None:
    assert between("10s", "5d").holds(f"{value // 60}m{value % 60}s") == (10 <= value <= 5 * 86_400)
