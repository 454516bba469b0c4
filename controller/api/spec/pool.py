"""The whole ``spec`` of a RunnerPool: what a pool should be."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field

from controller.api import duration, mounts
from controller.api.rules import Rule, SiblingRule, Strict, matches, not_empty, quoted, unique_ignoring_case
from controller.api.spec.github import GitHub
from controller.api.spec.huggingface import HuggingFace
from controller.api.spec.variables import SecretVariables, Variables
from controller.api.spec.volumes import Volumes
from controller.core.labels import HOSTED

# Printable ASCII without a comma: `runs-on: "a,b"` is one label to GitHub, and lower-casing beyond
# ASCII is nobody's promise.
LABEL = r"[!-+\--~](?:[ -+\--~]*[!-+\--~])?"
# What GitHub's own machines answer to: the planner never takes a job with such a label for demand.
HOSTED_LABEL = rf"(?:{HOSTED.pattern})"
FLAVOR = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
IMAGE = (
    r"[A-Za-z0-9][A-Za-z0-9._-]*(?::[0-9]{1,5}/[A-Za-z0-9][A-Za-z0-9._-]*)?(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)


class Deadlines(Strict):
    """How long a runner may stay in each phase before the controller ends it, so that no
    machine is paid for nothing.
    """

    scheduling: Annotated[
        str,
        Field(max_length=duration.MAX_LENGTH),
        duration.between("10s", "1d", ": GitHub gives up on a job that was queued for a day"),
    ] = Field(
        default="10m",
        description="How long an HF Job may wait for hardware; then it is cancelled and the next flavor is tried. Waiting is not billed.",
    )
    registration: Annotated[
        str,
        Field(max_length=duration.MAX_LENGTH),
        duration.between("10s", "1d", ": GitHub forgets an ephemeral runner that did not connect for a day"),
    ] = Field(
        default="5m",
        description="How long a started HF Job may take until its runner is online at GitHub.",
    )
    idle: Annotated[str, Field(max_length=duration.MAX_LENGTH), duration.between("10s", "1d")] = Field(
        default="2m", description="How long a runner may wait for a workflow job beyond what minIdle keeps."
    )
    lifetime: Annotated[
        str,
        Field(max_length=duration.MAX_LENGTH),
        duration.between("10s", "5d", ": GitHub ends jobs on self-hosted runners after five days"),
    ] = Field(
        default="6h",
        description="How long an HF Job may run at most; a workflow job that still runs then is cancelled. Times the flavor's "
        "price, this is what one runner can cost. The runner ends itself, with the controller up or down; one that hangs is "
        "ended by the Hub, a minute after lifetime plus scheduling.",
    )


class Retry(Strict):
    """What is done again by itself."""

    interrupted: Annotated[int, Field(ge=0, le=5)] = Field(
        default=0,
        description="When an HF Job ends under a workflow job, the failed jobs of that run are run again once the run has "
        "ended; no run gets further than attempt interrupted + 1 so, whoever began the attempts before. Needs Actions: "
        "write. Never for runs that somebody cancelled, for jobs that failed by themselves, or after deadlines.lifetime.",
    )


def _code_paths(known: Mapping[str, Any]) -> Sequence[mounts.CodePath]:
    writable = tuple(mounts.written(known["volumes"] or ()))
    return tuple(mounts.code_paths(known["env"] or {}, writable)) if writable else ()


class RunnerPoolSpec(Strict):
    """What a pool should be."""

    github: GitHub = Field(description="Where the workflow jobs come from, and where runners are registered.")
    labels: Annotated[
        list[
            Annotated[
                str,
                Field(max_length=256),
                matches(
                    LABEL,
                    "write printable ASCII without commas and without spaces at the ends, such as hf-t4",
                ),
                Rule(
                    cel=f"!self.lowerAscii().matches({quoted(HOSTED_LABEL)})",
                    message="GitHub's own machines serve this label: choose one of your own, such as hf-t4",
                    holds=lambda label: re.fullmatch(HOSTED_LABEL, label.lower()) is None,
                    why="FieldValueForbidden",
                ),
            ]
        ],
        Field(max_length=100),
        not_empty("name at least one label, such as hf-t4, and write runs-on: hf-t4 in the workflow"),
        unique_ignoring_case("GitHub ignores case in labels: write each one once"),
    ] = Field(
        description="Labels of the runners: exactly these, ignoring case. The pool serves a workflow job when all labels in "
        "its runs-on are among them. Give each pool one label that no other pool has."
    )
    huggingface: HuggingFace = Field(description="Where the runners run, and who pays.")
    flavors: Annotated[
        list[
            Annotated[
                str,
                Field(max_length=63),
                matches(FLAVOR, "write a flavor as `hf jobs hardware` lists it, such as t4-small"),
            ]
        ],
        Field(max_length=16),
        not_empty("name at least one flavor as `hf jobs hardware` lists it, such as t4-small"),
        unique_ignoring_case("write each flavor once, in order of preference"),
    ] = Field(
        description="Hugging Face hardware flavors in order of preference: the next one is tried when one has no capacity. "
        "`hf jobs hardware` lists them with prices."
    )
    image: (
        Annotated[
            str,
            Field(max_length=512),
            matches(
                IMAGE,
                "write an image reference without a scheme, such as ubuntu:24.04 or ghcr.io/acme/ci@sha256:<digest>",
            ),
        ]
        | None
    ) = Field(
        default=None,
        description="Container image that can be pulled without credentials; what the runner needs is installed where missing. "
        "If absent, ubuntu:24.04 for CPU flavors and nvidia/cuda:12.9.2-runtime-ubuntu24.04 for GPU flavors.",
    )
    env: Variables | None = Field(
        default=None,
        description="Environment variables of the runners. Everybody who can read the namespace on the Hub can read them: "
        "use secretEnv for secrets.",
    )
    secret_env: SecretVariables | None = Field(
        default=None,
        description="Environment variables from Secrets, passed as encrypted HF secrets. Every workflow job on the pool can "
        "read them, so leave them out where forks' pull requests may run. A Secret without the label "
        "hfrunners.dev/runner-env=true is given to no runner, and none is launched until it has it.",
    )
    volumes: Volumes | None = Field(
        default=None, description="Buckets and repositories of the Hub to mount, for caches, models and data."
    )
    ssh: bool = Field(
        default=False,
        description="Allow `ssh JOBID@ssh.hf.jobs` into the runners to those who may write in the Hub namespace, for debugging.",
    )
    max_runners: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=10, description="Upper bound of HF Jobs that are alive at the same time."
    )
    min_idle: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=0,
        description="Runners kept idle, and paid for, so that a workflow job starts at once; never more than maxRunners in total.",
    )
    deadlines: Deadlines = Field(
        default_factory=Deadlines,
        json_schema_extra={"default": {}},  # the API server then fills in the defaults below
        description="How long a runner may stay in each phase: 90s, 10m, 1h30m or 2d.",
    )
    retry: Retry = Field(
        default_factory=Retry,
        json_schema_extra={"default": {}},  # the API server then fills in the default below
        description="What is done again by itself. Leave it out where steps must not run twice.",
    )
    paused: bool = Field(
        default=False,
        description="Launch nothing. Runners that are busy finish; idle ones end at their deadline.",
    )

    RULES: ClassVar[tuple[SiblingRule, ...]] = (
        SiblingRule(
            at="secret_env",
            needs=("env",),
            cel="!has(self.env) || !has(self.secretEnv) || !self.secretEnv.exists(v, v.name in self.env)",
            message="a variable is in env and in secretEnv: keep one of the two",
            holds=lambda known: not {v.name for v in known["secret_env"] or []} & set(known["env"] or {}),
        ),
        SiblingRule(
            at="volumes",
            needs=("env",),
            cel=None,  # each part of each variable against each volume: more than the API server's budget for rules
            message="programs, settings or certificates would be taken from a volume that is writable, and any job could write them "
            "for the jobs after it: let the variable name another place, mount the bucket elsewhere, or leave readOnly out",
            holds=lambda known: not _code_paths(known),
            names=lambda known: "; ".join(
                f"{one.variable} in env and {one.mount}" for one in _code_paths(known)[:3]
            ),
        ),
        SiblingRule(
            at="min_idle",
            needs=("max_runners",),
            cel="self.minIdle <= self.maxRunners",
            message="minIdle is more than maxRunners: lower it, or raise maxRunners",
            holds=lambda known: known["min_idle"] <= known["max_runners"],
        ),
    )
