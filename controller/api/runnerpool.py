"""The RunnerPool object as it is read: metadata that matters, the spec, and all mistakes at once."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from controller.api.rules import RULE_BROKEN
from controller.api.spec.pool import RunnerPoolSpec
from controller.core.reasons import Reason
from controller.core.resource import ApiVersion, Kind


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a manifest.

    Attributes:
        at: Where: names and list indexes from the root, as written in the manifest.
        sentence: How to write it right; it quotes no value but names and mount paths, which are no secrets.
    """

    at: tuple[str | int, ...]
    sentence: str

    @property
    def path(self) -> str:
        """Where, as people write it: ``spec.labels[0]``."""
        path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.at)
        return path.removeprefix(".")

    def __str__(self) -> str:
        """``path: sentence``."""
        return f"{self.path}: {self.sentence}" if self.at else self.sentence


class InvalidPool(Exception):  # noqa: N818 - a finding about the user's input
    """A RunnerPool that cannot be acted on.

    Attributes:
        mistakes: All that were found, in the order of the fields.
    """

    reason: ClassVar[Reason] = Reason.InvalidSpec

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        super().__init__("; ".join(map(str, mistakes)))
        self.mistakes = mistakes


class Metadata(BaseModel):
    """What the controller reads of an object's metadata; the rest is ignored.

    Manifests that never met an API server (``simulate``, ``check``) have neither ``uid`` nor times.
    """

    model_config = ConfigDict(alias_generator=to_camel, frozen=True)

    name: str = Field(min_length=1)
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    creation_timestamp: AwareDatetime | None = None
    deletion_timestamp: AwareDatetime | None = None
    annotations: Mapping[str, str] | None = None


class RunnerPool(BaseModel):
    """One RunnerPool without its status, which is written and, in part, read back elsewhere
    (:mod:`controller.api.status`).
    """

    model_config = ConfigDict(alias_generator=to_camel, frozen=True)

    api_version: ApiVersion = Field(description="API group and version.")
    kind: Kind = Field(description="Always RunnerPool.")
    metadata: Metadata
    spec: RunnerPoolSpec

    @classmethod
    def parse(cls, obj: Mapping[str, Any], *, allow_http: bool) -> Self:
        """Return the pool that a manifest, or an object from the API server, describes.

        Args:
            obj: The object as parsed from JSON or YAML. It is not changed.
            allow_http: Plain http is allowed (``--allow-http``, for simulators).

        Raises:
            InvalidPool: With all mistakes.
        """
        try:
            return cls.model_validate(obj, context={"allow_http": allow_http})
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
            raise InvalidPool(tuple(read_mistake(detail, cls) for detail in details)) from None


# -------------------------------------------------------------------------------------------------- sentences
_SENTENCES: Mapping[str, str] = {
    RULE_BROKEN: "{sentence}",
    "missing": "is required",
    "literal_error": "write {expected}",
    "int_type": "write a whole number without quotes",
    "int_from_float": "write a whole number",
    "bool_type": "write true or false without quotes",
    "string_type": "write a string; numbers, true and false need quotes",
    "list_type": "write a list",
    "dict_type": "write an object (name: value)",
    "model_type": "write an object (name: value)",
    "string_too_long": "write at most {max_length} characters",
    "string_too_short": "write at least {min_length} characters",
    "too_long": "write at most {max_length} items",
    "greater_than_equal": "write {ge} or more",
    "less_than_equal": "write {le} or less",
}
"""What to do about pydantic's kinds of mistakes; its own words for the others."""


def read_mistake(detail: ErrorDetails, root: type[BaseModel]) -> Mistake:
    """Return what pydantic found as people need it.

    Args:
        detail: One of a ValidationError's ``errors()``.
        root: The model of the whole file, for the names of fields that were meant.
    """
    at = tuple(step for step in detail["loc"] if step != "[key]")
    if detail["type"] == "extra_forbidden":
        return Mistake(at, _unknown_field(at, root))
    sentence = _SENTENCES.get(detail["type"])
    if detail["type"] == "string_type" and at[-2:-1] == ("deadlines",):
        sentence = "write a duration with its unit, such as 3600s or 1h: a number alone says none"
    return Mistake(at, sentence.format_map(detail.get("ctx", {})) if sentence else detail["msg"])


def _unknown_field(at: tuple[str | int, ...], root: type[BaseModel]) -> str:
    model: Any = root
    for step in at[:-1]:
        if isinstance(step, str):
            model = _fields(model).get(step)
    known = list(_fields(model))
    near = difflib.get_close_matches(str(at[-1]), known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    return f"there is no such field; {hint}"


def _fields(model: Any) -> dict[str, Any]:  # noqa: ANN401 - annotations of every kind
    """Return the models or other annotations below a model, by the fields' names in manifests."""
    while not (isinstance(model, type) and issubclass(model, BaseModel)):
        nested = [argument for argument in get_args(model) if argument is not type(None)]
        if not nested:
            return {}
        model = nested[0]
    return {str(info.alias): info.annotation for name, info in model.model_fields.items()}
