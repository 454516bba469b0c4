"""``spec.volumes``: buckets and repositories of the Hub, mounted into every runner."""

from __future__ import annotations

import re
from itertools import islice
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from controller.api import mounts
from controller.api.rules import KeyedBy, Rule, SiblingRule, Strict, matches, matches_not, quoted

HF_REPOSITORY = r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*"
# One path segment is anything but a slash, '.' or '..'.
SEGMENT = r"(?:[^/.][^/]*|[.][^/.][^/]*|[.]{2}[^/]+)"
MOUNT_PATH = rf"(?:/{SEGMENT})+"
RESERVED_MOUNT_PATH = r"/home|/home/runner|/home/runner/_work(?s:/.*)?"
SUBFOLDER = rf"{SEGMENT}(?:/{SEGMENT})*"


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


Volumes = Annotated[
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
