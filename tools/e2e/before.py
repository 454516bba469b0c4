"""The version before this one: which commit it is, and its tree, from which chart and image come."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tools.e2e.cluster import StoryError, attempt, call

INTENTS = "controller/core/intents.py"
"""What a version has that writes launches down before they begin
(docs/adr/0010-intents-before-effects.md)."""

SOUNDINGS = "controller/core/takeover.py"
"""What the versions before had instead (docs/adr/0009-soundings-after-a-start.md). The commits between have
neither, and are no version that anybody should run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version of the product.

    Attributes:
        name: A tag or the beginning of a commit.
        commit: In full.
        writes_intents: Whether it writes launches down before they begin.
    """

    name: str
    commit: str
    writes_intents: bool

    @property
    def tag(self) -> str:
        """The tag of its image here."""
        return f"before-{self.commit[:12]}"


def version_before(root: Path, wanted: str = "") -> Version | None:
    """Return the version before the one that is checked out, or None where the history does not reach so far.

    It is the newest tag ``v*`` behind this commit, and while there is none, the last commit before
    launches were written down.

    Args:
        root: A git repository.
        wanted: A revision to take instead.

    Raises:
        StoryError: ``wanted`` is none, or git is missing.
    """
    if wanted:
        if not (commit := _commit(root, wanted)):
            raise StoryError(f"BEFORE={wanted} is no revision of this repository")
        return _version(root, wanted, commit)
    # A pre-release comes before its release; the tag of this commit itself is not before it.
    order = ("-c", "versionsort.suffix=-", "tag", "--sort=-version:refname")
    tags = _git(root, *order, "--merged=HEAD", "--no-contains=HEAD", "--list", "v[0-9]*").split()
    if tags:
        return _version(root, tags[0], _commit(root, tags[0]))
    removed = _git(root, "log", "-1", "--diff-filter=D", "--format=%H", "--", SOUNDINGS).strip()
    commit = _commit(root, f"{removed}^") if removed else ""
    return _version(root, commit[:12], commit) if commit else None


def unpack(root: Path, version: Version, directory: Path) -> None:
    """Write a version's tree into a new directory.

    Raises:
        StoryError: It could not be written.
    """
    directory.mkdir()
    packed = directory.with_suffix(".tar")
    call(["git", "-C", str(root), "archive", "--format=tar", "-o", str(packed), version.commit])
    call(["tar", "-xf", str(packed), "-C", str(directory)])
    packed.unlink()


def _version(root: Path, name: str, commit: str) -> Version:
    found = _git(root, "ls-tree", "--name-only", commit, "--", INTENTS)
    return Version(name=name, commit=commit, writes_intents=bool(found.strip()))


def _commit(root: Path, revision: str) -> str:
    """Return the full name of a commit; empty if there is none of that name."""
    return _git(
        root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
    ).strip()


def _git(root: Path, *arguments: str) -> str:
    """Return what git prints; empty where it fails, as in a tree without a history."""
    code, out, _ = attempt(["git", "-C", str(root), *arguments])
    return "" if code else out
