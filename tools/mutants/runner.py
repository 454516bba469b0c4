"""Runs the tests of one rung on one mutant, in a fork of a process that has imported all but the product.

1. A first fork runs the whole rung on the product as it is. It has to pass, and says which test calls which
   function, how long each test takes, and which modules that are not ours are imported.
2. Those modules are imported here, where no module of the product ever is.
3. For each mutant a fork puts a finder before all others that loads the changed text under the module's own
   name, and runs those tests that call the changed function, the quickest first, until one fails.
4. Where all of them pass, a second fork runs the whole rung: what is kept from one test to the next, or made
   at import, may be seen by others. What passes there too has survived.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import json
import os
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import CodeType, FrameType, ModuleType

    from tools.mutants.operators import Mutant

OPTIONS = (
    "-x",
    "-q",
    "--no-header",
    "--tb=no",
    "-m",
    "not controlplane",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:randomly",
    "--hypothesis-seed=0",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",  # modules that are imported before pytest starts are not ours
)
LEAST_SECONDS = 20.0
"""Processor seconds after which a mutant hangs, or ten times what the rung takes if that is more."""

PATIENCE = 20.0
"""How much longer than that it may take by the wall clock: it may wait, and the machine may be busy."""

_PASSED, _FAILED, _NO_TESTS = 0, (1, 2), 5
"""pytest's exit codes; 2 is a test file that cannot even be imported."""


class BaselineError(Exception):
    """The tests do not pass on the product as it is, so they tell nothing about a mutant."""


@dataclass(slots=True)
class Baseline:
    """What a rung does on the product as it is.

    Attributes:
        callers: File and qualified name of a function to the tests that call it.
        seconds: How long each test takes, in processor seconds.
        modules: What is imported.
    """

    callers: dict[str, list[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    modules: list[str] = field(default_factory=list)

    def tests(self, mutant: Mutant) -> list[str]:
        """Return the tests that call the changed function, the quickest first; none outside functions."""
        found = self.callers.get(f"{mutant.file}:{mutant.within}", []) if mutant.within else []
        return sorted(found, key=lambda test: (self.seconds.get(test, 0.0), test))


# -- in the fork -----------------------------------------------------------------------------------


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a changed text in place of a module's own."""

    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self._source = source

    def get_code(self, fullname: str) -> CodeType:
        """Compile the changed text; nothing is kept for the next process."""
        code: CodeType = compile(self._source, self.get_filename(fullname), "exec", dont_inherit=True)
        return code


class _Finder:
    """Finds one module, before all other finders are asked."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self._name = name
        self._path = str(path)
        self._source = source

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the changed module, and nothing about any other."""
        if name != self._name:
            return None
        loader = _Loader(name, self._path, self._source)
        return importlib.util.spec_from_file_location(name, self._path, loader=loader)


class _Plan:
    """Runs the named tests only, in this order; all of them where none is named. Keeps no examples."""

    def __init__(self, tests: Sequence[str], *, examples: int = 0) -> None:
        self._order = {test: position for position, test in enumerate(tests)}
        self._examples = examples

    def pytest_sessionstart(self) -> None:
        """Let hypothesis remember nothing, and look for no smaller example: one is enough."""
        import hypothesis  # noqa: PLC0415 - pytest's plugin of it must be loaded first

        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        parent = hypothesis.settings()
        examples = self._examples or parent.max_examples
        hypothesis.settings.register_profile(
            "mutants", parent, database=None, phases=phases, max_examples=examples
        )
        hypothesis.settings.load_profile("mutants")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out and sort."""
        if self._order:
            items[:] = [item for item in items if item.nodeid in self._order]
            items.sort(key=lambda item: self._order[item.nodeid])


class _Watch:
    """Writes down which test calls which function of these files, and how long it takes."""

    def __init__(self, root: Path, files: Sequence[str]) -> None:
        self._names = {str(root / file): file for file in files}
        self._test = ""
        self._called: dict[str, set[str]] = {}
        self.seconds: dict[str, float] = {}

    def _profile(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and self._test and (file := self._names.get(frame.f_code.co_filename)):
            name = frame.f_code.co_qualname.partition(".<locals>")[0]
            self._called.setdefault(f"{file}:{name}", set()).add(self._test)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Watch a test with its fixtures."""
        began, self._test = time.process_time(), item.nodeid
        sys.setprofile(self._profile)
        try:
            return (yield)
        finally:
            sys.setprofile(None)
            self.seconds[item.nodeid] = time.process_time() - began
            self._test = ""

    def callers(self) -> dict[str, list[str]]:
        """Return the tests of each function, by its file and qualified name."""
        return {name: sorted(tests) for name, tests in sorted(self._called.items())}


def _test(root: Path, tests: Sequence[str], *plugins: object) -> int:
    paths = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    return int(pytest.main(["--rootdir", str(root), *OPTIONS, *paths], plugins=list(plugins)))


def _baseline(root: Path, files: Sequence[str], rung: str, into: Path) -> int:
    watch = _Watch(root, files)
    code = _test(root, [rung], _Plan((), examples=10), watch)
    modules = [name for name, module in list(sys.modules.items()) if _is_foreign(module, root)]
    into.write_text(json.dumps({"callers": watch.callers(), "seconds": watch.seconds, "modules": modules}))
    return code


def _is_foreign(module: ModuleType, root: Path) -> bool:
    path = getattr(module, "__file__", None)
    return path is not None and ("site-packages" in path or not Path(path).is_relative_to(root))


def _mutated(root: Path, mutant: Mutant, source: str, tests: Sequence[str]) -> int:
    name = mutant.file.removesuffix(".py").replace("/", ".")
    sys.meta_path.insert(0, _Finder(name, root / mutant.file, mutant.applied(source)))
    return _test(root, tests, _Plan([test for test in tests if "::" in test]))


# -- in the parent ---------------------------------------------------------------------------------


def measure(root: Path, files: Sequence[str], rung: str) -> Baseline:
    """Run a rung on the product as it is, and import what it imports that is not ours.

    Raises:
        BaselineError: It does not pass.
    """
    with tempfile.TemporaryDirectory() as folder:
        told, output = Path(folder) / "told", Path(folder) / "output"
        child = _fork(lambda: _baseline(root, files, rung, told), output)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) != _PASSED:
            raise BaselineError(
                f"{rung} does not pass as it is:\n{output.read_text(errors='replace')[-4000:]}"
            )
        found = Baseline(**json.loads(told.read_text()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries that do not expect to be imported without the tests
        for name in found.modules:
            with contextlib.suppress(Exception):  # what needs another order is imported by each fork
                importlib.import_module(name)
    return found


@dataclass(slots=True)
class _Job:
    mutant: Mutant
    tests: Sequence[str]
    ends: float = 0.0


def survivors(
    root: Path,
    chosen: Sequence[Mutant],
    *,
    sources: Mapping[str, str],
    baseline: Baseline,
    rung: str,
    workers: int,
    told: Callable[[Mutant, bool], None],
) -> list[Mutant]:
    """Run the tests on each mutant; return those that no test noticed, in the order of the files.

    Args:
        root: The project.
        chosen: The mutants, all of one rung.
        sources: The text of each file.
        baseline: What :func:`measure` said of the rung.
        rung: The folder of tests.
        workers: How many forks run at a time.
        told: Called with each mutant that is done, and whether it was noticed.

    Raises:
        RuntimeError: pytest itself could not run.
    """
    limit = max(LEAST_SECONDS, 10 * sum(baseline.seconds.values()))
    waiting = deque(_Job(one, baseline.tests(one) or [rung]) for one in chosen)
    running: dict[int, _Job] = {}
    left: list[Mutant] = []
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.popleft()
                job.ends = time.monotonic() + PATIENCE * limit
                running[_start(root, job, sources, limit)] = job
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid not in running:
                for late in [pid for pid, job in running.items() if time.monotonic() > job.ends]:
                    os.killpg(late, signal.SIGKILL)
                time.sleep(0.01)
                continue
            job = running.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            if code in (_PASSED, _NO_TESTS) and job.tests != [rung]:
                waiting.appendleft(_Job(job.mutant, [rung]))
                continue
            if code not in (_PASSED, *_FAILED) and code >= 0:
                raise RuntimeError(f"pytest ended with code {code} on {job.mutant}")
            if code == _PASSED:
                left.append(job.mutant)
            told(job.mutant, code != _PASSED)
    finally:
        for pid in running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
    return sorted(left, key=lambda one: (one.file, one.start))


def _start(root: Path, job: _Job, sources: Mapping[str, str], limit: float) -> int:
    def run() -> int:
        resource.setrlimit(resource.RLIMIT_CPU, (int(limit), int(limit) + 5))
        return _mutated(root, job.mutant, sources[job.mutant.file], job.tests)

    return _fork(run, Path(os.devnull))


def _fork(work: Callable[[], int], output: Path) -> int:
    """Start work in a process and process group of its own, which ends with its result; return the id."""
    sys.stdout.flush()
    sys.stderr.flush()
    if pid := os.fork():
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it does the same: whoever is first
            os.setpgid(pid, pid)
        return pid
    code = 3
    try:
        os.setpgid(0, 0)
        sink = os.open(output, os.O_WRONLY | os.O_CREAT, 0o600)
        for stream in (1, 2):
            os.dup2(sink, stream)
        code = work()
    finally:
        sys.stdout.flush()
        os._exit(code)
