"""``spec.env`` and ``spec.secretEnv``: environment variables of the runners."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

from controller.api.rules import KeyedBy, Rule, Strict, matches, matches_not, quoted
from controller.api.spec.names import SecretName

SECRET_KEY = r"[-._a-zA-Z0-9]+"  # noqa: S105 - a pattern
ENV_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
# The bootstrap's and the runner's own variables, and those that the Hub sets in every job
# (docs/facts.md#hf-job-environment).
RESERVED_ENV = r"HFRUNNER_.*|ACTIONS_RUNNER_INPUT_.*|JOB_ID|ACCELERATOR|CPU_CORES|MEMORY"
RESERVED_WORDS = (
    "HFRUNNER_*, ACTIONS_RUNNER_INPUT_*, JOB_ID, ACCELERATOR, CPU_CORES and MEMORY "
    "are set by the controller or by Hugging Face"
)


class SecretVariable(Strict):
    """One environment variable that comes from a Secret."""

    name: Annotated[
        str,
        Field(max_length=256),
        matches(ENV_NAME, "write letters, digits and _, not beginning with a digit"),
        matches_not(RESERVED_ENV, f"choose another name: {RESERVED_WORDS}"),
    ] = Field(description="Name of the variable in the runner.")
    secret: SecretName = Field(
        description="Name of a Secret in the pool's namespace, with the label hfrunners.dev/runner-env=true."
    )
    key: Annotated[
        str,
        Field(max_length=253),
        matches(SECRET_KEY, "write a key of the Secret: letters, digits, '.', '_' and '-'"),
    ] = Field(description="Key in the Secret whose value the variable gets.")


Variables = Annotated[
    dict[str, Annotated[str, Field(max_length=4096)]],
    Field(max_length=64),
    Rule(
        cel=f"self.all(name, name.matches({quoted(ENV_NAME)}))",
        message="write names of letters, digits and _, not beginning with a digit",
        holds=lambda env: all(re.fullmatch(ENV_NAME, name) for name in env),
    ),
    Rule(
        cel=f"!self.exists(name, name.matches({quoted(RESERVED_ENV)}))",
        message=f"choose other names: {RESERVED_WORDS}",
        holds=lambda env: not any(re.fullmatch(RESERVED_ENV, name) for name in env),
        why="FieldValueForbidden",
    ),
]
SecretVariables = Annotated[list[SecretVariable], Field(max_length=64), KeyedBy("name")]
