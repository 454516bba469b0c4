"""The mutation check itself: what it changes, what it leaves out, and that it tells a tested
line from an untested one.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools.mutants import equivalent, operators, rungs

ROOT = Path(__file__).parents[2]


def changes(source: str) -> set[str]:
    """All lines that a mutant of this text has and the text has not."""
    return {one.lines(source)[1] for one in operators.mutants("x.py", source)}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a = b == c", {"a = (b != c)"}),
        ("a = b < c", {"a = (b >= c)", "a = (b <= c)"}),
        ("a = b <= c < d", {"a = (b > c < d)", "a = (b < c < d)", "a = (b <= c >= d)", "a = (b <= c <= d)"}),
        ("a = b and c or d", {"a = ((b and c) and d)", "a = (b or c) or d"}),
        ("a = not b", {"a = (b)"}),
        ("a = 3", {"a = 4", "a = 2"}),
        ("a = 300", {"a = 600", "a = 150"}),
        ("a = min(b, c)", {"a = max(b, c)"}),
        ("a = b + c", {"a = (b - c)"}),
        ("a = b if c else d", {"a = b if True else d", "a = b if False else d"}),
        ("f(b)", {"pass"}),
        ("a.b = c", {"pass"}),
        ("a = [b for b in c if d]", {"a = [b for b in c if True]", "a = [b for b in c if False]"}),
        ("def f(): return b", {"def f(): return None"}),
        ("def f(): return True", {"def f(): return False"}),
        ("def f(): return [b]", {"def f(): return []"}),
        ("def f(): raise b", {"def f(): pass"}),
        ("while a: pass", {"while False: pass"}),
        ("é = 'é'; a = 'é' < b", {"é = 'é'; a = ('é' >= b)", "é = 'é'; a = ('é' <= b)"}),
    ],
)
def test_each_operator_makes_its_changes_and_no_others(source: str, expected: set[str]) -> None:
    assert changes(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""Text of 3 < 4."""',
        "assert a < 3",
        "log.info('waited %s', a + 1)",
        "a: Literal[3]",
        "def f(a: Literal[3]) -> Literal[4]: pass",
        "a = f'{b + 1}'",
        "if TYPE_CHECKING: import b",
        "a = b + 'text'",
        "a = b",
        "a = True",
    ],
)
def test_what_tells_nothing_is_not_changed(source: str) -> None:
    assert changes(source) == set()


SOURCE = """class A:
    def f(self):
        def inner():
            return 1 < 2
        return inner

    limit = 3
"""


def test_a_mutant_names_the_outermost_function_and_the_line() -> None:
    found = {(one.within, one.line) for one in operators.mutants("x.py", SOURCE)}
    assert found == {("A.f", 4), ("A.f", 5), ("", 7)}


def test_a_diff_shows_the_change() -> None:
    (one,) = (m for m in operators.mutants("x.py", SOURCE) if m.operator == "boundary")
    assert "-            return 1 < 2\n+            return (1 <= 2)" in one.diff(SOURCE)


def test_the_same_seed_gives_the_same_sample_and_another_one_another() -> None:
    source = "\n".join(f"a{n} = b < {n}" for n in range(40))
    found = operators.mutants("x.py", source)
    first = operators.sample(found, seed=1, count=10)
    assert first == operators.sample(found, seed=1, count=10)
    assert first != operators.sample(found, seed=2, count=10)
    assert len({one.line for one in first}) == len(first) == 10
    assert len(operators.sample(found, seed=1, count=1000)) == 40


ENTRY = """
[[equivalent]]
file = "x.py"
within = "A.f"
line = "return 1 < 2"
becomes = "return (1 <= 2)"
reason = "both are true"
"""


def test_an_equivalent_mutant_is_left_out_wherever_its_line_is() -> None:
    moved = "import os\n\n" + SOURCE
    found = operators.mutants("x.py", moved)
    kept, unused = equivalent.without(found, {"x.py": moved}, equivalent.read(ENTRY))
    assert not unused
    assert [one.operator for one in found if one not in kept] == ["boundary"]


def test_an_entry_that_no_mutant_is_like_is_reported_and_one_of_another_file_is_not() -> None:
    entries = equivalent.read(ENTRY)
    kept, unused = equivalent.without([], {"x.py": "a = 1"}, entries)
    assert (kept, unused) == ([], entries)
    assert equivalent.without([], {"y.py": "a = 1"}, entries) == ([], [])


@pytest.mark.parametrize("text", [ENTRY.replace("both are true", ""), ENTRY + 'more = "x"'])
def test_an_entry_without_a_reason_or_with_another_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"x\.py"):
        equivalent.read(text)


@pytest.mark.parametrize(
    ("file", "tests"),
    [
        ("controller/core/plan.py", "tests/core"),
        ("controller/execute/launch.py", "tests/execute"),
        ("controller/api/status/build.py", "tests/api/status"),
    ],
)
def test_each_file_has_the_rung_of_its_folder(file: str, tests: str) -> None:
    assert rungs.rung(file) == tests
    assert file in rungs.files(ROOT, [])


def test_a_file_without_tests_of_its_own_is_refused() -> None:
    with pytest.raises(ValueError, match="no tests of its own"):
        rungs.rung("controller/web.py")


PRODUCT = """
def larger(a: int, b: int) -> int:
    if a < b:
        return b
    return a


def smaller(a: int, b: int) -> int:
    return min(a, b)
"""
EQUIVALENT = """
[[equivalent]]
file = "controller/core/sizes.py"
within = "larger"
line = "if a < b:"
becomes = "if (a <= b):"
reason = "of two equal ones, either is the larger"
"""
TESTS = """
from controller.core.sizes import larger, smaller


def test_larger() -> None:
    assert [larger(1, 2), larger(2, 1)] == [2, 2]


def test_smaller_takes_two_numbers() -> None:
    smaller(1, 2)
"""


def checked(tmp_path: Path, product: str, *words: str) -> subprocess.CompletedProcess[str]:
    for path, text in {
        "controller/__init__.py": "",
        "controller/core/__init__.py": "",
        "controller/core/sizes.py": product,
        "tests/core/test_sizes.py": TESTS,
        "tools/mutants/equivalent.toml": EQUIVALENT,
        "pytest.ini": "[pytest]\npythonpath = .\naddopts = --import-mode=importlib\nmarkers = controlplane",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    # The tool is this tree's, and the product that one's.
    command = "import sys; sys.path.insert(0, sys.argv.pop(1)); from tools.mutants.__main__ import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", command, str(ROOT), *words, "controller/core"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_it_prints_what_no_test_notices_and_fails(tmp_path: Path) -> None:
    done = checked(tmp_path, PRODUCT, "--sample", "0", "--seed", "1", "--workers", "2")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "survived: controller/core/sizes.py:9 (" in done.stdout
    assert "-    return min(a, b)\n+    return " in done.stdout
    assert "   3 of 4    controller/core/sizes.py" in done.stdout
    assert "3 of 4 were noticed: 75%" in done.stdout


def test_it_says_nothing_of_a_product_whose_tests_fail(tmp_path: Path) -> None:
    done = checked(tmp_path, PRODUCT.replace("    return a\n", "    return b\n"), "--sample", "1")
    assert done.returncode == 2
    assert "tests/core does not pass as it is" in done.stderr
