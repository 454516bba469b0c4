"""Names and labels that make a runner ours, and findable after a crash.

A registration shows nothing but its name and labels, so the name carries who made it and for which pool.
An HF Job shows its labels, which carry the same in full.
"""

from __future__ import annotations

import re
from base64 import b32encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2s
from itertools import count

from controller.core.model import Pool

MANAGED_BY = "hf-runner-controller"
LABEL_MANAGED_BY, LABEL_CONTROLLER, LABEL_POOL_UID = "managed-by", "controller", "pool-uid"
LABEL_POOL, LABEL_RUNNER, LABEL_SPEC = "pool", "runner", "spec"

# GitHub takes runner names of up to 64 characters, the Hub labels of up to 100 from [A-Za-z0-9_-]
# (docs/facts.md#runner-name-length, docs/facts.md#hf-job-labels): the name below is at most 24 + 5 + 6 + 1 +
# 8 + 1 + 10 = 55 and serves as both.
_NAME = re.compile(
    r"(?P<pool>[a-z0-9-]{1,24})-hfr-(?P<controller>[0-9a-f]{6})-(?P<uid>[0-9a-f]{8})-(?P<token>[a-z0-9]{1,10})"
)
_UNFIT = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, slots=True)
class Origin:
    """Who made a runner, as its name tells: digests of the controller's id and of the pool's uid."""

    controller: str
    pool: str


@lru_cache(maxsize=16_384)
def digest(text: str, *, size: int = 4) -> str:
    """Return a stable short hexadecimal digest of ``size`` bytes."""
    return blake2s(text.encode(), digest_size=size).hexdigest()


def controller_digest(controller_id: str) -> str:
    """Return the part of a runner's name that tells controllers apart."""
    return digest(controller_id, size=3)


def label_value(text: str) -> str:
    """Return text fit for a label of the Hub: other characters become ``-``, at most 100 of them."""
    return _UNFIT.sub("-", text)[:100]


def runner_name(pool: Pool, controller_id: str, token: str) -> str:
    """Return a runner's name; ``token`` (1 to 10 of ``[a-z0-9]``) makes it new for every attempt.

    A name is never used twice: a dead runner's record lingers at GitHub and answers 409
    (docs/facts.md#runner-names-linger).
    """
    readable = label_value(pool.key.name.replace(".", "-"))[:24].rstrip("-")
    return f"{readable}-hfr-{controller_digest(controller_id)}-{digest(pool.uid)}-{token}"


def fresh_names(pool: Pool, controller_id: str, entropy: str) -> Iterator[str]:
    """Yield names for the runners that one pass launches for one pool, without end; equal
    arguments give equal names.

    They rest on nothing but the pool and its place in the order of its own launches, so that no pool's names
    depend on what others launch. Of two passes or two pools the names differ as long as ``entropy`` does, or
    the pool's uid: a token has 50 bits of a digest of both.

    Args:
        pool: Whose runners.
        controller_id: Who we are.
        entropy: Text that no other pass has or had.
    """
    for number in count():
        made_from = f"{entropy}|{pool.uid}|{number}".encode()
        token = b32encode(blake2s(made_from, digest_size=10).digest()).decode().lower()
        yield runner_name(pool, controller_id, token[:10])


@lru_cache(maxsize=16_384)
def origin(name: str) -> Origin | None:
    """Return who made the runner of this name, or None when no controller of this kind did."""
    found = _NAME.fullmatch(name)
    return Origin(found["controller"], found["uid"]) if found else None


def is_named_for(name: str, uid: str) -> bool:
    """Return whether a name is one that a runner of this pool would have."""
    made_by = origin(name)
    return made_by is not None and made_by.pool == digest(uid)


def ours(controller_id: str) -> Mapping[str, str]:
    """Return the labels that every HF Job of this controller carries."""
    return {LABEL_MANAGED_BY: MANAGED_BY, LABEL_CONTROLLER: controller_id}


def hf_labels(pool: Pool, controller_id: str, name: str) -> Mapping[str, str]:
    """Return the labels of a runner's HF Job; ``name`` is what the Hub's own tools show."""
    return {
        **ours(controller_id),
        LABEL_POOL_UID: label_value(pool.uid),
        LABEL_POOL: label_value(f"{pool.key.namespace}_{pool.key.name}"),
        LABEL_RUNNER: name,
        LABEL_SPEC: spec_digest(pool),
        "name": name,
    }


def spec_digest(pool: Pool) -> str:
    """Return a digest of everything that a runner is made from; runners of another digest
    no longer fit the pool.
    """
    # Not the credentials: who replaces a Secret by another one for the same place changes no runner.
    place = (pool.hub.endpoint, pool.hub.namespace)
    return _spec_digest(pool.scope, pool.runner_group, pool.labels, place, pool.template)


@lru_cache(maxsize=4_096)
def _spec_digest(*made_from: object) -> str:
    return digest(repr(made_from), size=6)
