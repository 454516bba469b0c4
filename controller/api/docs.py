"""The API reference ``docs/reference/runnerpool.md``, generated from the models.

``python -m controller.api.docs --write docs/reference/`` writes it, ``--check docs/reference/``
fails when it is not current.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from controller.api.crd import COLUMNS, DESCRIPTION, crd
from controller.api.generated import write_or_check
from controller.api.rules import VALIDATIONS
from controller.api.schema import Schema
from controller.core.resource import API_VERSION, KIND

FILE_NAME = "runnerpool.md"
_COMMAND = "python -m controller.api.docs --write docs/reference/"


def render() -> str:
    """Return the text of the page."""
    root: Schema = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    lines = [
        f"<!-- Generated from controller/api by `{_COMMAND}`; do not edit. -->",
        "",
        f"# {KIND}",
        "",
        f"`{API_VERSION}`, namespaced, short name `rp`. {DESCRIPTION}",
        "",
        (
            "`kubectl explain rp.spec` prints the same descriptions. The rules below the tables are checked when a pool is "
            "applied, by the API server itself, with these sentences. What only the controller can see (does the Secret exist, "
            "is the flavor on offer) becomes a condition in `status`. The rules need Kubernetes 1.28 or newer."
        ),
        "",
    ]
    for part in ("spec", "status"):
        lines += _object(part, root["properties"][part])
    lines += [
        "## Columns of `kubectl get rp`",
        "",
        "| Column | Field | Shown by | Meaning |",
        "|---|---|---|---|",
    ]
    for column in COLUMNS:
        wide = "`-o wide`" if column.get("priority") else "always"
        lines.append(f"| {column['name']} | `{column['jsonPath']}` | {wide} | {column['description']} |")
    return "\n".join([*lines, ""])


def _object(path: str, schema: Schema) -> Iterator[str]:
    """Return a section for an object, then sections for the objects below it."""
    yield from (
        f"## {path}",
        "",
        schema["description"],
        "",
        "| Field | Type | Default | Meaning |",
        "|---|---|---|---|",
    )
    required = schema.get("required", ())
    for name, field in schema["properties"].items():
        default = "**required**" if name in required else _default(field)
        yield f"| `{name}` | {_type(field)} | {default} | {_cell(field.get('description', ''))} |"
    yield ""
    if rules := list(_rules(schema)):
        yield from ("Rules:", "", *rules, "")
    for name, field in schema["properties"].items():
        if "properties" in field:
            yield from _object(f"{path}.{name}", field)
        elif "properties" in field.get("items", {}):
            yield from _object(f"{path}.{name}[]", field["items"])


def _rules(schema: Schema) -> Iterator[str]:
    for name, field in schema["properties"].items():
        for place, value in ((name, field), (f"{name}[]", field.get("items", {}))):
            if "properties" not in value:  # an object's own rules are in its own section
                yield from (f"- `{place}`: {_cell(rule['message'])}" for rule in value.get(VALIDATIONS, []))
    for rule in schema.get(VALIDATIONS, []):
        yield f"- `{rule['fieldPath'].removeprefix('.')}`: {_cell(rule['message'])}"


def _type(field: Schema) -> str:
    if "items" in field:
        return f"list of{_range(field, 'minItems', 'maxItems')} {_plural(field['items'])}"
    if "additionalProperties" in field:
        return f"map of{_range(field, 'minProperties', 'maxProperties')} {_plural(field['additionalProperties'])}"
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    if field.get("format") == "date-time":
        return "time"
    if field["type"] == "string":
        length = _range(field, "minLength", "maxLength")
        return f"string of{length} characters" if length else "string"
    return f"{field['type']}{_range(field, 'minimum', 'maximum')}"


def _plural(field: Schema) -> str:
    return _type(field).replace(field["type"], f"{field['type']}s", 1)


def _range(field: Schema, low: str, high: str) -> str:
    least, most = field.get(low), field.get(high)
    if least is not None and most is not None:
        return f" {least} to {most}"
    if most is not None:
        return f" at most {most}"
    return f" at least {least}" if least is not None else ""


def _default(field: Schema) -> str:
    if "default" not in field or field["default"] in ({}, ""):
        return ""
    return f"`{json.dumps(field['default'])}`"


def _cell(text: str) -> str:
    """Escape what Markdown would take for more than text."""
    return re.sub(r"([*|<])", r"\\\1", text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the generated page; return the exit code."""
    return write_or_check(
        arguments, description=__doc__, file_name=FILE_NAME, render=render, command=_COMMAND
    )


if __name__ == "__main__":
    raise SystemExit(main())
