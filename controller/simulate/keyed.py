"""Randomness that depends on a seed and on what it is for, never on what was drawn before.

Removing one draw leaves all others alone, and no process differs from another.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from statistics import NormalDist

_NORMAL = NormalDist()
_P95 = _NORMAL.inv_cdf(0.95)


def uniform(seed: int, *key: object) -> float:
    """Return a number above 0 and below 1 that depends on the seed and the key only."""
    text = "\x1f".join(map(str, (seed, *key)))
    number = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 11
    return (number + 0.5) / 2**53


def exponential(rate: float, seed: int, *key: object) -> float:
    """Return a waiting time with the mean ``1 / rate``."""
    return -math.log(uniform(seed, *key)) / rate


def lognormal(median: float, p95: float, seed: int, *key: object) -> float:
    """Return a duration: half of them are below ``median``, one in twenty above ``p95``."""
    sigma = math.log(p95 / median) / _P95
    return median * math.exp(sigma * _NORMAL.inv_cdf(uniform(seed, *key)))
