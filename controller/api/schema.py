"""From pydantic models to a structural OpenAPI v3 schema, the kind that a CustomResourceDefinition takes."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

# In the order in which they are written.
_KEYWORDS = (
    "description",
    "type",
    "format",
    "default",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "maxProperties",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "required",
    "items",
    "additionalProperties",
    "properties",
    "x-kubernetes-validations",
)
_DROPPED = frozenset({"title", "$defs"})


def structural(model: type[BaseModel]) -> Schema:
    """Return the model's schema without references, unions and the other things that the API server refuses.

    Raises:
        TypeError: The model uses something that has no structural form.
    """
    document = model.model_json_schema(by_alias=True, mode="validation")
    return _convert(document, document.get("$defs", {}))


def _convert(node: Schema, definitions: dict[str, Schema]) -> Schema:
    node = _plain(node, definitions)
    if "const" in node:
        node["enum"] = [node.pop("const")]
    if node.get("additionalProperties") is False:  # the API server prunes or refuses unknown fields by itself
        del node["additionalProperties"]
    if node.get("default", ...) is None:
        del node["default"]
    if node["type"] == "integer":
        node["format"] = "int64"
    for keyword in ("items", "additionalProperties"):
        if keyword in node:
            node[keyword] = _convert(node[keyword], definitions)
    if "properties" in node:
        node["properties"] = {
            name: _convert(child, definitions) for name, child in node["properties"].items()
        }
    if unknown := sorted(node.keys() - set(_KEYWORDS) - _DROPPED):
        raise TypeError(f"no place in a structural schema for {', '.join(unknown)}")
    return {keyword: node[keyword] for keyword in _KEYWORDS if keyword in node}


def _plain(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """Return a copy with a reference or an optional value resolved; what is said beside it wins."""
    if "$ref" in node:
        name = node["$ref"].removeprefix("#/$defs/")
        beside = {keyword: value for keyword, value in node.items() if keyword != "$ref"}
        return _plain({**definitions[name], **beside}, definitions)
    if "anyOf" in node:
        choices = [choice for choice in node["anyOf"] if choice != {"type": "null"}]
        if len(choices) != 1:
            raise TypeError(f"a union has no structural form: {node}")
        beside = {keyword: value for keyword, value in node.items() if keyword != "anyOf"}
        return _plain({**choices[0], **beside}, definitions)
    return dict(node)
