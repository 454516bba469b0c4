"""What is logged when a mistake of ours leaves one pool out of a part of a pass."""

from __future__ import annotations

import logging

from controller.core.model import PoolKey

log = logging.getLogger(__name__)


def log_left_out(pool: PoolKey, part: str, fault: Exception) -> None:
    """Write one line; ``part`` is plan, status or measure."""
    about = {"pool": str(pool), "part": part, "reason": "InternalError"}
    log.error("pool left out of a pass", exc_info=fault, extra=about)
