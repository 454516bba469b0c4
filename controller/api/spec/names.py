"""Names that several parts of the spec take."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from controller.api.rules import matches

SECRET_NAME = r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?"  # noqa: S105 - a pattern; names as Kubernetes allows them

SecretName = Annotated[
    str,
    Field(max_length=253),
    matches(
        SECRET_NAME,
        "write the name of a Secret in the pool's namespace: lower-case letters, digits, - and .",
    ),
]
