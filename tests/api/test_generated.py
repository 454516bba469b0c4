"""crds/, docs/reference/runnerpool.md and cli.md: current, complete, and checked by
commands that can fail.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pytest
import yaml
from pydantic import BaseModel, Field

from controller.api import crd, docs
from controller.api.schema import structural
from controller.cli import docs as cli_docs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
GENERATED = [
    pytest.param(crd.main, ROOT / "crds", crd.FILE_NAME, id="crd"),
    pytest.param(docs.main, ROOT / "docs" / "reference", docs.FILE_NAME, id="reference"),
    pytest.param(cli_docs.main, ROOT / "docs" / "reference", cli_docs.FILE_NAME, id="command line"),
]


@pytest.mark.parametrize(("main", "folder", "name"), GENERATED)
def test_the_checked_in_file_is_current(main: Callable[[list[str]], int], folder: Path, name: str) -> None:
    assert main(["--check", str(folder)]) == 0


@pytest.mark.parametrize(("main", "folder", "name"), GENERATED)
def test_a_stale_or_missing_file_is_told_with_the_command_that_mends_it(
    main: Callable[[list[str]], int],
    folder: Path,
    name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--check", str(tmp_path)]) == 1
    assert "--write" in capsys.readouterr().err
    assert main(["--write", str(tmp_path)]) == 0
    assert main(["--check", str(tmp_path)]) == 0
    (tmp_path / name).write_text((tmp_path / name).read_text() + "\n")
    assert main(["--check", str(tmp_path)]) == 1


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            yield from nodes(schema[keyword], f"{path}[]")


def properties() -> dict[str, dict[str, Any]]:
    root = yaml.safe_load(crd.render())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    return {path: node for part in ("spec", "status") for path, node in nodes(root[part], part)}


def test_every_list_string_and_map_has_a_bound_so_that_rules_are_cheap() -> None:
    limit = {"array": "maxItems", "string": "maxLength"}
    unbounded = {
        path
        for path, node in properties().items()
        if (
            node["type"] in limit and limit[node["type"]] not in node and not {"enum", "format"} & node.keys()
        )
        or ("additionalProperties" in node and "maxProperties" not in node)
    }
    assert unbounded == set()


def test_every_rule_has_a_message_of_its_own() -> None:
    rules = [rule for node in properties().values() for rule in node.get("x-kubernetes-validations", [])]
    assert len(rules) > 30
    assert all(rule["message"] and "\n" not in rule["message"] for rule in rules)


def test_the_reference_has_every_field() -> None:
    page = docs.render()
    fields = {path.rsplit(".", 1)[-1] for path in properties() if "." in path and not path.endswith("[]")}
    assert {field for field in fields if f"| `{field}` |" not in page} == set()


def test_the_observed_generation_is_an_integer_that_begins_before_every_generation() -> None:
    """Helm 4 hangs on another type, and on a status that is missing."""
    status = properties()["status"]
    assert status["default"] == {"observedGeneration": -1}
    assert status["properties"]["observedGeneration"]["type"] == "integer"


class Union(BaseModel):
    value: int | str


class Multiple(BaseModel):
    value: Annotated[int, Field(multiple_of=2)]


@pytest.mark.parametrize("model", [Union, Multiple])
def test_what_has_no_structural_form_is_refused_when_it_is_generated(model: type[BaseModel]) -> None:
    with pytest.raises(TypeError, match="structural"):
        structural(model)
