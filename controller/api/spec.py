"""``RunnerPool.spec``: fields, defaults, limits, and the rules between them.

Every description shows up in ``kubectl explain rp.spec``; every list and string has a bound, so that the API server can
tell at install time that the CEL rules are cheap.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from controller.api import address, duration, mounts
from controller.api.rules import (
    KeyedBy,
    Rule,
    SiblingRule,
    Strict,
    matches,
    matches_not,
    not_empty,
    quoted,
    unique_ignoring_case,
)
from controller.core.labels import HOSTED

SECRET_NAME = r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?"  # noqa: S105 - a pattern; names as Kubernetes allows them
SECRET_KEY = r"[-._a-zA-Z0-9]+"  # noqa: S105 - a pattern
# Printable ASCII without a comma: `runs-on: "a,b"` is one label to GitHub, and lower-casing beyond ASCII is nobody's promise.
LABEL = r"[!-+\--~](?:[ -+\--~]*[!-+\--~])?"
# What GitHub's own machines answer to: the planner never takes a job with such a label for demand.
HOSTED_LABEL = rf"(?:{HOSTED.pattern})"
REPOSITORY_GLOB = r"(?:[A-Za-z0-9_*?-]+/)?[A-Za-z0-9._*?-]+"
HF_NAMESPACE = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
FLAVOR = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
IMAGE = (
    r"[A-Za-z0-9][A-Za-z0-9._-]*(?::[0-9]{1,5}/[A-Za-z0-9][A-Za-z0-9._-]*)?(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
ENV_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
# The bootstrap's and the runner's own variables, and those that the Hub sets in every job (hf-jobs.md §3).
RESERVED_ENV = r"HFRUNNER_.*|ACTIONS_RUNNER_INPUT_.*|JOB_ID|ACCELERATOR|CPU_CORES|MEMORY"
RESERVED_WORDS = (
    "HFRUNNER_*, ACTIONS_RUNNER_INPUT_*, JOB_ID, ACCELERATOR, CPU_CORES and MEMORY "
    "are set by the controller or by Hugging Face"
)
HF_REPOSITORY = r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*"
# One path segment is anything but a slash, '.' or '..'.
SEGMENT = r"(?:[^/.][^/]*|[.][^/.][^/]*|[.]{2}[^/]+)"
MOUNT_PATH = rf"(?:/{SEGMENT})+"
RESERVED_MOUNT_PATH = r"/home|/home/runner|/home/runner/_work(?s:/.*)?"
SUBFOLDER = rf"{SEGMENT}(?:/{SEGMENT})*"


Glob = Annotated[
    str,
    Field(max_length=200),
    matches(
        REPOSITORY_GLOB, "write REPOSITORY or OWNER/REPOSITORY; * and ? are wildcards, such as acme/lib-*"
    ),
]


class Repositories(Strict):
    """Which repositories' queues a pool of an organization or enterprise reads."""

    include: Annotated[
        list[Glob], Field(max_length=100), not_empty('name at least one repository, or write include: ["*"]')
    ] = Field(
        description="Names as OWNER/REPOSITORY, or as REPOSITORY below an owner URL; * and ? are wildcards, case is ignored. "
        'Write ["*"] for every repository that the credentials can see: each one costs GitHub requests.'
    )
    exclude: Annotated[list[Glob], Field(max_length=100)] | None = Field(
        default=None, description="The same kind of names: repositories to leave out again."
    )


def _globs_fit(known: Mapping[str, Any]) -> bool:
    url, chosen = known["url"], known["repositories"]
    if chosen is None:
        return True
    globs = [*chosen.include, *(chosen.exclude or [])]
    if re.fullmatch(address.ENTERPRISE_URL, url):
        return all(glob == "*" or "/" in glob for glob in globs)
    prefix = url.split("/")[3].lower() + "/"
    return all("/" not in glob or glob.lower().startswith(prefix) for glob in globs)


_IS_OWNER = f"self.url.matches({quoted(address.OWNER_URL)})"
_IS_ENTERPRISE = f"self.url.matches({quoted(address.ENTERPRISE_URL)})"
_IN_ENTERPRISE = "g == '*' || g.contains('/')"
_OF_OWNER = "!g.contains('/') || g.lowerAscii().startsWith(self.url.lowerAscii().split('/')[3] + '/')"


def _all_globs(condition: str) -> str:
    both = ("self.repositories.include", "self.repositories.exclude")
    return f"{both[0]}.all(g, {condition}) && (!has({both[1]}) || {both[1]}.all(g, {condition}))"


class GitHub(Strict):
    """Where the workflow jobs come from, and where runners are registered."""

    url: Annotated[
        str,
        Field(max_length=400),
        Rule(
            cel=(
                f"self.matches({quoted(address.GITHUB_URL)}) && (self.matches({quoted(address.ENTERPRISE_URL)})"
                f" || !self.matches({quoted(address.NOT_A_SCOPE_URL)}))"
            ),
            message=(
                "write the address of an owner, a repository or an enterprise: https://github.com/OWNER, "
                "https://github.com/OWNER/REPOSITORY or https://github.com/enterprises/NAME, or the same on your own "
                "GitHub host; without .git, query or further path"
            ),
            holds=address.is_github_url,
        ),
        address.SafeHttp(),
    ] = Field(
        description="Address of an organization (https://github.com/OWNER), a repository (https://github.com/OWNER/REPOSITORY) "
        "or an enterprise (https://github.com/enterprises/NAME), on github.com or any GitHub Enterprise host. "
        "Its host must be one of the controller's --github-host (github.com and *.ghe.com if none is given). "
        "Plain http is for simulators, where the controller runs with --allow-http."
    )
    credentials_secret: Annotated[
        str,
        Field(max_length=253),
        matches(
            SECRET_NAME,
            "write the name of a Secret in the pool's namespace: lower-case letters, digits, - and .",
        ),
    ] = Field(
        description="Name of a Secret in the pool's namespace: either the keys appId and privateKey of a GitHub App, "
        "with installationId where it must not be looked up, or the key token. Enterprise URLs need a token."
    )
    runner_group: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        default=None,
        description="Runner group that runners join, by name; the owner's default group if absent. "
        "Groups decide which repositories and workflows may use the runners; repository URLs have none.",
    )
    group_only_jobs: Literal["Ignore", "Serve"] = Field(
        default="Ignore",
        description="What to do about queued jobs that name only a runner group (runs-on: {group: NAME}): GitHub's REST API "
        "shows neither labels nor group of such a job. Ignore counts them in status. Serve launches runners for them, "
        "and is your word that this pool alone serves its runnerGroup.",
    )
    repositories: Repositories | None = Field(
        default=None,
        description="Which repositories to serve; required for an owner or enterprise URL, absent for a repository URL.",
    )

    RULES: ClassVar[tuple[SiblingRule, ...]] = (
        SiblingRule(
            at="runner_group",
            needs=("url",),
            cel=f"!has(self.runnerGroup) || {_IS_OWNER} || {_IS_ENTERPRISE}",
            message="only organizations and enterprises have runner groups: leave runnerGroup out, or use the owner's URL "
            "and name the repository in repositories.include",
            holds=lambda known: known["runner_group"] is None or not address.is_repository_url(known["url"]),
            why="FieldValueForbidden",
        ),
        SiblingRule(
            at="group_only_jobs",
            needs=("runner_group",),
            cel="self.groupOnlyJobs != 'Serve' || has(self.runnerGroup)",
            message="Serve needs a runnerGroup: it says that this pool alone serves that group's jobs",
            holds=lambda known: known["group_only_jobs"] != "Serve" or known["runner_group"] is not None,
        ),
        SiblingRule(
            at="repositories",
            needs=("url",),
            cel=f"has(self.repositories) || !({_IS_OWNER} || {_IS_ENTERPRISE})",
            message='name the repositories to serve in repositories.include, or write include: ["*"] for all of them',
            holds=lambda known: known["repositories"] is not None or address.is_repository_url(known["url"]),
            why="FieldValueRequired",
        ),
        SiblingRule(
            at="repositories",
            needs=("url",),
            cel=f"!has(self.repositories) || {_IS_OWNER} || {_IS_ENTERPRISE}",
            message="the URL already names the one repository: leave repositories out",
            holds=lambda known: known["repositories"] is None or not address.is_repository_url(known["url"]),
            why="FieldValueForbidden",
        ),
        SiblingRule(
            at="repositories",
            needs=("url",),
            cel=f"!has(self.repositories) || !{_IS_OWNER} || ({_all_globs(_OF_OWNER)})",
            message="every name must begin with the owner that the URL names (acme/lib-* for https://github.com/acme), or have none",
            holds=lambda known: re.fullmatch(address.OWNER_URL, known["url"]) is None or _globs_fit(known),
        ),
        SiblingRule(
            at="repositories",
            needs=("url",),
            cel=f"!has(self.repositories) || !{_IS_ENTERPRISE} || ({_all_globs(_IN_ENTERPRISE)})",
            message='with an enterprise URL every name needs its owner, such as acme/lib-*; or write "*"',
            holds=lambda known: (
                re.fullmatch(address.ENTERPRISE_URL, known["url"]) is None or _globs_fit(known)
            ),
        ),
    )


class HuggingFace(Strict):
    """Where the runners run, and who pays."""

    namespace: Annotated[
        str,
        Field(max_length=96),
        matches(HF_NAMESPACE, "write a user or organization name as in its address on the Hub"),
    ] = Field(description="User or organization on the Hub that owns the HF Jobs and pays for them.")
    token_secret: Annotated[
        str,
        Field(max_length=253),
        matches(
            SECRET_NAME,
            "write the name of a Secret in the pool's namespace: lower-case letters, digits, - and .",
        ),
    ] = Field(
        description="Name of a Secret in the pool's namespace; its key token holds a Hugging Face token that may write "
        "Jobs in the namespace. Runners never get it."
    )
    endpoint: Annotated[
        str,
        Field(max_length=300),
        matches(address.ENDPOINT_URL, "write the Hub's base address, such as https://huggingface.co"),
        address.SafeHttp(),
    ] = Field(
        default="https://huggingface.co",
        description="Base address of the Hub; its host must be one of the controller's --hub-endpoint (huggingface.co if none is given). "
        "Plain http is for simulators, as in github.url.",
    )


class SecretVariable(Strict):
    """One environment variable that comes from a Secret."""

    name: Annotated[
        str,
        Field(max_length=256),
        matches(ENV_NAME, "write letters, digits and _, not beginning with a digit"),
        matches_not(RESERVED_ENV, f"choose another name: {RESERVED_WORDS}"),
    ] = Field(description="Name of the variable in the runner.")
    secret: Annotated[
        str,
        Field(max_length=253),
        matches(
            SECRET_NAME,
            "write the name of a Secret in the pool's namespace: lower-case letters, digits, - and .",
        ),
    ] = Field(
        description="Name of a Secret in the pool's namespace, with the label hfrunners.dev/runner-env=true."
    )
    key: Annotated[
        str,
        Field(max_length=253),
        matches(SECRET_KEY, "write a key of the Secret: letters, digits, '.', '_' and '-'"),
    ] = Field(description="Key in the Secret whose value the variable gets.")


def _writable_nowhere_in(pattern: str, message: str) -> SiblingRule:
    compiled = re.compile(pattern)
    return SiblingRule(
        at="read_only",
        needs=("mount_path",),
        cel=f"self.readOnly || !self.mountPath.matches({quoted(pattern)})",
        message=message,
        holds=lambda known: known["read_only"] or compiled.fullmatch(known["mount_path"]) is None,
        why="FieldValueForbidden",
        names=lambda known: str(known["mount_path"]),
        cel_names="self.mountPath",
    )


class Volume(Strict):
    """One bucket or repository of the Hub, mounted into every runner."""

    type: Literal["bucket", "model", "dataset", "space"] = Field(description="What source names.")
    source: Annotated[
        str,
        Field(max_length=200),
        matches(HF_REPOSITORY, "write NAMESPACE/NAME as in its address on the Hub, such as acme/ci-cache"),
    ] = Field(
        description="Bucket or repository as NAMESPACE/NAME. It is read with the rights of the pool's Hub token."
    )
    mount_path: Annotated[
        str,
        Field(max_length=256),
        matches(
            MOUNT_PATH, "write an absolute path without '.', '..', '//' and a slash at the end, such as /data"
        ),
        matches_not(RESERVED_MOUNT_PATH, "choose another path: the runner itself lives in /home/runner"),
    ] = Field(description="Absolute path in the runner.")
    revision: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        default=None,
        description="Branch, tag or commit of a repository; its main branch if absent. Buckets have none.",
    )
    read_only: bool = Field(
        default=True,
        description="Only a bucket may be false. Any workflow that reaches the pool can then write to it, "
        "pull requests of forks included: it may be mounted nowhere that programs are taken from, and is best below /mnt or /data.",
    )
    path: (
        Annotated[
            str,
            Field(max_length=512),
            matches(SUBFOLDER, "write a relative path without '.', '..' and '//', such as ccache/main"),
        ]
        | None
    ) = Field(default=None, description="Folder in the bucket or repository to mount; all of it if absent.")

    RULES: ClassVar[tuple[SiblingRule, ...]] = (
        SiblingRule(
            at="revision",
            needs=("type",),
            cel="!has(self.revision) || self.type != 'bucket'",
            message="a bucket has no revisions: leave revision out",
            holds=lambda known: known["revision"] is None or known["type"] != "bucket",
            why="FieldValueForbidden",
        ),
        SiblingRule(
            at="read_only",
            needs=("type",),
            cel="self.readOnly || self.type == 'bucket'",
            message="models, datasets and Spaces can only be mounted read-only: leave readOnly out, or use a bucket",
            holds=lambda known: known["read_only"] or known["type"] == "bucket",
        ),
        _writable_nowhere_in(
            mounts.SYSTEM,
            "the runner, its tools or the system take programs and settings from here, and any job could write them for the jobs "
            f"after it: {mounts.GOOD_PLACE}",
        ),
        _writable_nowhere_in(
            mounts.HOME,
            "the runner lives here, or a shell, git, Python, node or .NET takes programs and settings from here, and any job could write them "
            f"for the jobs after it: {mounts.GOOD_PLACE}",
        ),
    )


_SAME_FILES = (
    "w.type == r.type && w.source.lowerAscii() == r.source.lowerAscii() && (!has(w.path) || !has(r.path)"
    " || (w.path + '/').lowerAscii().startsWith((r.path + '/').lowerAscii())"
    " || (r.path + '/').lowerAscii().startsWith((w.path + '/').lowerAscii()))"
)
_WRITTEN_ELSEWHERE = f"r.readOnly && r.mountPath.matches({quoted(mounts.REFUSED)}) && self.exists(w, !w.readOnly && {_SAME_FILES})"


class Deadlines(Strict):
    """How long a runner may stay in each phase before the controller ends it, so that no machine is paid for nothing."""

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
    env: (
        Annotated[
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
        | None
    ) = Field(
        default=None,
        description="Environment variables of the runners. Everybody who can read the namespace on the Hub can read them: "
        "use secretEnv for secrets.",
    )
    secret_env: (
        Annotated[
            list[SecretVariable],
            Field(max_length=64),
            KeyedBy("name"),
        ]
        | None
    ) = Field(
        default=None,
        description="Environment variables from Secrets, passed as encrypted HF secrets. Every workflow job on the pool can "
        "read them, so leave them out where forks' pull requests may run. A Secret without the label "
        "hfrunners.dev/runner-env=true is given to no runner, and none is launched until it has it.",
    )
    volumes: (
        Annotated[
            list[Volume],
            Field(max_length=16),
            KeyedBy("mount_path"),
            Rule(
                cel=f"!self.exists(r, {_WRITTEN_ELSEWHERE})",
                message="two mounts show the same files of a bucket; jobs can write them at the one that is not readOnly, and programs "
                "or settings are taken from the other, so that any job could write them for the jobs after it: use another bucket, or "
                "another folder of it (path), for one of the two, or leave readOnly out",
                holds=lambda volumes: not any(mounts.written_elsewhere(volumes)),
                why="FieldValueForbidden",
                # The API server names none: to find the two again costs more than it allows.
                names=lambda volumes: "; ".join(
                    f"{one.by} and {one.at}" for one in islice(mounts.written_elsewhere(volumes), 3)
                ),
            ),
        ]
        | None
    ) = Field(
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
