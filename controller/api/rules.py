"""Validation rules that are written once and checked twice: as CEL by the API server, as Python by
:meth:`~controller.api.runnerpool.RunnerPool.parse`.

The API server refuses mistakes at apply time; Python sees manifests that never met an API server
(``simulate``, ``check``) and objects that were stored before a rule existed. Both show the same
sentence at the same path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
    field_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

VALIDATIONS = "x-kubernetes-validations"
RULE_BROKEN = "rule"
"""Type of the pydantic errors that rules raise; their message is the sentence to show."""

Why = Literal["FieldValueInvalid", "FieldValueRequired", "FieldValueForbidden"]
"""The ``reason`` values that the API server accepts in a validation rule."""


def broken(message: str) -> PydanticCustomError:
    """Return the error that makes pydantic report ``message`` as it is written."""
    return PydanticCustomError(RULE_BROKEN, "{sentence}", {"sentence": message})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule on one value, used as ``Annotated[str, Rule(...)]``.

    Attributes:
        cel: The rule in CEL, where ``self`` is the value.
        message: How to write it right.
        holds: The same rule in Python.
        why: The kind of mistake, as the API server words it.
        names: Returns what our own sentence begins with: which parts of the value are meant.
    """

    cel: str
    message: str
    holds: Callable[[Any], bool]
    why: Why = "FieldValueInvalid"
    names: Callable[[Any], str] | None = None

    def as_schema(self) -> dict[str, str]:
        """Return the entry for ``x-kubernetes-validations``."""
        return {"rule": self.cel, "message": self.message, "reason": self.why}

    def _check(self, value: Any) -> Any:  # noqa: ANN401 - rules apply to values of every type
        if not self.holds(value):
            raise broken(self.message if self.names is None else f"{self.names(value)}: {self.message}")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        rendered = handler(schema)
        return {**rendered, VALIDATIONS: [*rendered.get(VALIDATIONS, []), self.as_schema()]}


@dataclass(frozen=True, slots=True, kw_only=True)
class SiblingRule:
    """A rule on one field that depends on fields before it, listed in :attr:`Strict.RULES` of their object.

    Attributes:
        at: The field that the mistake is shown at (Python name). It comes after all of
            ``needs`` in the class.
        needs: Other fields that must be right by themselves before the rule means anything (Python names).
        cel: The rule in CEL, where ``self`` is the object; None for a rule that the API server cannot check
            at a cost that it allows. Then the controller's own answer is the condition.
        message: How to write it right.
        holds: The same rule in Python, over the fields by Python name.
        why: The kind of mistake, as the API server words it.
        names: Returns what the sentence begins with, over the fields by Python name: which
            value of many is meant.
        cel_names: The same in CEL, where ``self`` is the object.
    """

    at: str
    needs: tuple[str, ...] = ()
    cel: str | None
    message: str
    holds: Callable[[Mapping[str, Any]], bool]
    why: Why = "FieldValueInvalid"
    names: Callable[[Mapping[str, Any]], str] | None = None
    cel_names: str | None = None

    def as_schema(self) -> dict[str, str]:
        """Return the entry for ``x-kubernetes-validations`` of the object."""
        assert self.cel is not None
        named = {}
        if self.cel_names is not None:
            if "'" in self.message or "\\" in self.message:
                raise ValueError(f"{self.message!r} has what a CEL literal cannot hold as it is")
            named = {"messageExpression": f"{self.cel_names} + ': {self.message}'"}
        return {
            "rule": self.cel,
            "message": self.message,
            **named,
            "reason": self.why,
            "fieldPath": f".{to_camel(self.at)}",
        }

    def sentence(self, known: Mapping[str, Any]) -> str:
        """Return what is said of an object that breaks it."""
        return self.message if self.names is None else f"{self.names(known)}: {self.message}"


class Strict(BaseModel):
    """Base of all spec models: camelCase outside, immutable, no unknown fields, no silent
    conversion of types.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", frozen=True, strict=True, validate_default=True
    )
    RULES: ClassVar[tuple[SiblingRule, ...]] = ()

    @field_validator("*", mode="after")
    @classmethod
    def _obey_siblings(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - every field
        # Per field rather than per object, so that one mistake does not hide the others: pydantic skips
        # validators of an object as soon as one of its fields is wrong.
        known = {**info.data, str(info.field_name): value}
        for rule in cls.RULES:
            if rule.at == info.field_name and known.keys() >= set(rule.needs) and not rule.holds(known):
                raise broken(rule.sentence(known))
        return value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        rendered = handler(schema)
        if served := [rule.as_schema() for rule in cls.RULES if rule.cel is not None]:
            handler.resolve_ref_schema(rendered)[VALIDATIONS] = served
        return rendered


# -------------------------------------------------------------------------------------------------- factories
def matches(pattern: str, message: str) -> Rule:
    """Return the rule that a whole string matches ``pattern``, which is written in what RE2
    and ``re`` share.
    """
    compiled = re.compile(pattern)
    return Rule(
        cel=f"self.matches({quoted(pattern)})",
        message=message,
        holds=lambda value: compiled.fullmatch(value) is not None,
    )


def matches_not(pattern: str, message: str) -> Rule:
    """Return the rule that a whole string does not match ``pattern``."""
    compiled = re.compile(pattern)
    return Rule(
        cel=f"!self.matches({quoted(pattern)})",
        message=message,
        holds=lambda value: compiled.fullmatch(value) is None,
        why="FieldValueForbidden",
    )


def quoted(pattern: str) -> str:
    """Return an anchored CEL string literal for a pattern.

    Raises:
        ValueError: The pattern has a quote, which a raw CEL literal cannot hold.
    """
    if "'" in pattern:
        raise ValueError(f"a single quote in {pattern!r}")
    return f"r'^(?:{pattern})$'"


def unique_ignoring_case(message: str) -> Rule:
    """Return the rule that no two strings of a list are the same but for case."""
    return Rule(
        cel="self.all(a, self.exists_one(b, b.lowerAscii() == a.lowerAscii()))",
        message=message,
        holds=lambda values: len({value.lower() for value in values}) == len(values),
    )


def not_empty(message: str) -> Rule:
    """Return the rule that a list has at least one item."""
    return Rule(
        cel="size(self) > 0", message=message, holds=lambda values: len(values) > 0, why="FieldValueRequired"
    )


@dataclass(frozen=True, slots=True)
class KeyedBy:
    """The rule that items of a list differ in one field, used as ``Annotated[list[Item], KeyedBy("name")]``.

    The API server then also merges such lists item by item when several managers apply parts of them.
    """

    key: str

    def _check(self, items: list[Any]) -> list[Any]:
        seen: set[str] = set()
        for item in items:
            value = getattr(item, self.key)
            if value in seen:
                raise broken(f"{to_camel(self.key)} {value} is here twice: keep one of the two")
            seen.add(value)
        return items

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        listed_by = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [to_camel(self.key)]}
        return {**handler(schema), **listed_by}
