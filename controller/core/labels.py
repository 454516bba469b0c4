"""Which jobs a pool may serve.

GitHub gives a job to any runner that has all of the job's labels, compared without case
(docs/facts.md#label-matching), so a job matches a pool iff its labels are a subset of the pool's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import translate
from functools import lru_cache

# Labels of GitHub's own machines, in the forms of its tables: jobs that ask for nothing else are GitHub's,
# never ours. A label that merely begins like one (ubuntu-22.04-gpu) is whatever somebody made of it
# (docs/facts.md#hosted-labels).
HOSTED = re.compile(
    r"ubuntu-(latest|slim|[0-9]{2}[.][0-9]{2}(-arm)?)"
    r"|windows-(latest|[0-9]{4}(-vs[0-9]{4})?|[0-9]{2}-arm)"
    r"|macos-(latest|[0-9]{2})(-(intel|large|xlarge))?"
)


def normalized(labels: Iterable[str]) -> tuple[str, ...]:
    """Return labels as the controller compares them: lower case, unique, sorted."""
    return tuple(sorted({label.strip().lower() for label in labels}))


@lru_cache(maxsize=65_536)
def label_set(labels: tuple[str, ...]) -> frozenset[str]:
    """Return a set of normalized labels, made once per distinct tuple."""
    return frozenset(labels)


def hosted(labels: Sequence[str]) -> bool:
    """Return whether a job asks for a machine of GitHub's own.

    A runner must have all labels of a job, and GitHub's machines have those of its tables alone:
    with any other one beside it, such as ``self-hosted`` or ``gpu``, the job is not GitHub's,
    whatever its first label is called.
    """
    return bool(labels) and all(HOSTED.fullmatch(label) for label in labels)


def nearest(word: str, known: Iterable[str], *, limit: int = 3) -> list[str]:
    """Return the known words most like ``word``, best first, for error messages."""
    return get_close_matches(word, sorted(known), n=limit, cutoff=0.4)


@lru_cache(maxsize=4_096)
def _matcher(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(translate(pattern.lower()) for pattern in patterns) or r"(?!)")


def is_glob(pattern: str) -> bool:
    """Return whether a repository pattern needs the list of repositories to be resolved."""
    return any(c in pattern for c in "*?[")


def full_pattern(pattern: str, owner: str) -> str:
    """Return a pattern over ``owner/repo``; one without an owner is meant within ``owner``."""
    return pattern.lower() if "/" in pattern else f"{owner}/{pattern}".lower()


@lru_cache(maxsize=1_024)
def covered(
    include: tuple[str, ...], exclude: tuple[str, ...], repositories: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the repositories that the patterns select, sorted.

    Exact names are selected whether or not they are in ``repositories``: a private repository may be hidden
    from a list, and its own answer says more than its absence.
    """
    wanted, unwanted = _matcher(tuple(p for p in include if is_glob(p))), _matcher(exclude)
    names = {p for p in include if not is_glob(p)}
    names.update(r for r in repositories if wanted.match(r))
    return tuple(sorted(r for r in names if not unwanted.match(r)))
