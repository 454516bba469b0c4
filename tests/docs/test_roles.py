"""What docstrings point to exists: a renamed function must not leave its old name in a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):`[~!]?([\w.]+)(?:\(\))?`")
FOLDERS = (ROOT / "controller", ROOT / "simulators/hf_runner_simulators")


def modules() -> Iterator[tuple[str, Path]]:
    for folder in FOLDERS:
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder.parent).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            # The fake runner's programs run in containers and are no modules; __main__ would run.
            if "assets" not in parts and parts[-1] != "__main__":
                yield name, path


def has(thing: Any, names: list[str]) -> bool:
    for name in names:
        if not hasattr(thing, name):
            slots = {
                name for one in getattr(thing, "__mro__", ()) for name in vars(one).get("__annotations__", ())
            }
            return name in slots and name == names[-1]
        thing = getattr(thing, name)
    return True


def resolves(target: str, module: ModuleType, source: str) -> bool:
    if target.startswith("."):  # from the module's package, or one that it is in
        above = module.__name__.split(".")
        return any(resolves(".".join(above[:n]) + target, module, source) for n in range(1, len(above) + 1))
    names = target.split(".")
    for cut in range(len(names), 0, -1):
        try:
            found = import_module(".".join(names[:cut]))
        except ImportError:
            continue
        return has(found, names[cut:])
    if has(module, names):
        return True
    classes = [one for one in vars(module).values() if isinstance(one, type)]
    return any(has(one, names) for one in classes) or f"self.{target}" in source


MODULES = list(modules())


@pytest.mark.parametrize(("name", "path"), MODULES, ids=[name for name, _ in MODULES])
def test_each_name_that_a_docstring_points_to_exists(name: str, path: Path) -> None:
    source = path.read_text()
    targets = ROLE.findall(source)
    if targets:
        module = import_module(name)
        assert [target for target in targets if not resolves(target, module, source)] == []
