"""The HF Job of one runner: the bootstrap script as its command, everything else in its environment and
secrets.

``bootstrap.sh`` beside this file is what runs in the container; ``docs/bootstrap.md`` describes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from importlib import resources
from types import MappingProxyType

RUNNER_VERSION = "2.338.0"
"""The actions/runner release that images without a runner download. ``make pin-runner`` writes this and the
next two values."""

RUNNER_NEWEST_ON = date(2026, 10, 6)
"""A day on which GitHub had no newer release, the last one that is known: GitHub counts a release's end from
its successor's day."""

RUNNER_SHA256: Mapping[str, str] = MappingProxyType(
    {
        "x64": "af4b794c1bc41d73d40535e3fe092a39f9679cd8d965954c2aca25a05ca41d32",
        "arm64": "628b4a7258487b80c1d3c221095a7ded349f5ae0175fd3dfab708d07428f041b",
    }
)
"""Checksums of that release's Linux archives. No controller is released before GitHub's own ``digest`` of
them was compared."""

RUNNER_SERVED = timedelta(days=63)
"""For how long, at least, GitHub goes on giving jobs to a release after its successor came out.

The least of ten ends that were announced until 2026-09-29 at ``GET
.../actions/runners/deprecations/{version}``, 63 to 71 days after the successor. GitHub's documentation asks
for an update within 30 days.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapJob:
    """What an HF Job needs to become a runner.

    Attributes:
        command: Replaces the image's entrypoint; readable by everybody in the namespace.
        environment: Facts and deadlines; readable by everybody in the namespace.
        secrets: Write-only on the Hub; kept out of ``repr``.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)


@cache
def script() -> str:
    """Return the bootstrap script without its comments.

    The Hub returns the command with every job of every list, so each kilobyte here is one per live runner and
    tick.
    """
    text = (resources.files(__package__) / "bootstrap.sh").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return "\n".join(["# hf-runner-controller: docs/bootstrap.md explains this script", *lines, ""])


def bootstrap_job(
    *,
    jit_config: str,
    runner_name: str,
    pool: str,
    flavor: str,
    usd_per_hour: float | None,
    hub_url: str,
    hf_namespace: str,
    lifetime: float,
    registration: float,
    idle: float,
    idle_margin: float,
    ssh: bool = False,
    runner_version: str = RUNNER_VERSION,
    runner_sha256: Mapping[str, str] = RUNNER_SHA256,
    runner_base_url: str = "https://github.com/actions/runner/releases/download",
    allow_http: bool = False,
) -> BootstrapJob:
    """Return the command, environment and secrets of one runner's HF Job. Pure.

    Args:
        jit_config: The registration's secret, as GitHub encoded it.
        runner_name: Name of the registration, for people.
        pool: ``namespace/name`` of the pool, for people.
        flavor: Hardware name, for people.
        usd_per_hour: Price in US dollars, for people; None while unknown.
        hub_url: Base of the HF Job's page, without a trailing slash.
        hf_namespace: Owner of the HF Job, part of the same.
        lifetime: Seconds from the script's start until the runner is ended, workflow job or not; 0 means
            never. The server-side timeout, which is longer, is there for a script that hangs.
        registration: Seconds from the script's start until the runner must listen.
        idle: Seconds that it may then wait for a workflow job; 0 means for ever.
        idle_margin: Seconds beyond ``idle`` that are left to the controller, which alone can end an idle
            runner safely.
        ssh: Whether the HF Job has a debug shell, for people.
        runner_version: What to download if the image has no runner.
        runner_sha256: Its checksums by the archive's word for the architecture (``x64``, ``arm64``); nothing
            is run without one.
        runner_base_url: Where ``v{version}/actions-runner-linux-{arch}-{version}.tar.gz`` is found.
        allow_http: Let that address be plain http beyond loopback; the checksum is verified in any case.
    """
    environment = {
        "HFRUNNER_RUNNER_NAME": runner_name,
        "HFRUNNER_POOL": pool,
        "HFRUNNER_FLAVOR": flavor,
        "HFRUNNER_HUB_URL": hub_url,
        "HFRUNNER_HF_NAMESPACE": hf_namespace,
        "HFRUNNER_LIFETIME_SECONDS": str(math.ceil(lifetime)),
        "HFRUNNER_REGISTRATION_SECONDS": str(math.ceil(registration)),
        "HFRUNNER_IDLE_SECONDS": str(math.ceil(idle)),
        "HFRUNNER_IDLE_MARGIN_SECONDS": str(math.ceil(idle_margin)),
        "HFRUNNER_RUNNER_VERSION": runner_version,
        "HFRUNNER_RUNNER_BASE_URL": runner_base_url,
    }
    environment |= {
        f"HFRUNNER_RUNNER_SHA256_{arch.upper()}": sha256 for arch, sha256 in runner_sha256.items()
    }
    if usd_per_hour is not None:
        environment["HFRUNNER_PRICE_PER_HOUR"] = f"{usd_per_hour:.2f}"
    if ssh:
        environment["HFRUNNER_SSH"] = "true"
    if allow_http:
        environment["HFRUNNER_ALLOW_HTTP"] = "1"
    return BootstrapJob(
        command=("sh", "-c", script()), environment=environment, secrets={"HFRUNNER_JIT_CONFIG": jit_config}
    )
