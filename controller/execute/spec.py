"""What an HF Job of a pool is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from controller.core.model import Flavor, Pool
from controller.core.money import timeout_seconds
from controller.core.naming import hf_labels
from controller.execute.bootstrap import (
    RUNNER_NEWEST_ON,
    RUNNER_SERVED,
    RUNNER_SHA256,
    RUNNER_VERSION,
    bootstrap_job,
)
from controller.ports import JitConfig, LaunchSpec, RunnerRelease

CPU_IMAGE = "ubuntu:24.04"
GPU_IMAGE = "nvidia/cuda:12.9.2-runtime-ubuntu24.04"
"""Images of pools that name none: the same that Hugging Face's own dispatcher uses
(docs/facts.md#dispatcher-images)."""

DOWNLOADS = "https://github.com/actions/runner/releases/download"
"""Where GitHub publishes the runner."""

IDLE_MARGIN = 180
"""Seconds that the bootstrap's own idle watch waits beyond ``deadlines.idle``: the controller deregisters
first, which is the only safe test of idleness, and the bootstrap is there for when the controller is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerVersion:
    """The runner archive that images without a runner download.

    Attributes:
        version: For instance ``2.337.0``.
        sha256: By architecture as the archive's name has it (``x64``, ``arm64``).
        base_url: Where ``v{version}/actions-runner-linux-{arch}-{version}.tar.gz`` is.
    """

    version: str = RUNNER_VERSION
    sha256: Mapping[str, str] = field(default_factory=lambda: RUNNER_SHA256)
    base_url: str = DOWNLOADS


def release_of(runner: RunnerVersion) -> RunnerRelease:
    """Return until when GitHub serves a release, as far as it is known.

    A successor may have come out on the day after it was last known to be the newest.
    """
    if runner.version != RUNNER_VERSION:
        return RunnerRelease(version=runner.version, served_until=None)
    newest_at = datetime.combine(RUNNER_NEWEST_ON, datetime.min.time(), UTC)
    return RunnerRelease(version=runner.version, served_until=(newest_at + RUNNER_SERVED).timestamp())


def launch_spec(
    pool: Pool,
    *,
    name: str,
    flavor: str,
    offer: Flavor | None,
    jit: JitConfig,
    secret_env: Mapping[str, str],
    controller_id: str,
    runner: RunnerVersion,
    allow_http: bool = False,
) -> LaunchSpec:
    """Return the HF Job for one runner.

    Args:
        pool: Whose runner.
        name: The runner's name.
        flavor: Hardware.
        offer: What the Hub says about the flavor, None while unknown.
        jit: The registration's secret.
        secret_env: ``spec.secretEnv``, resolved.
        controller_id: Who we are.
        runner: The archive for images that bring no runner.
        allow_http: It may come over plain http.
    """
    default_image = GPU_IMAGE if _has_accelerator(flavor, offer) else CPU_IMAGE
    job = bootstrap_job(
        runner_name=name,
        pool=str(pool.key),
        flavor=flavor,
        usd_per_hour=None if offer is None or offer.usd_per_minute is None else offer.usd_per_minute * 60,
        jit_config=jit.encoded,
        lifetime=pool.deadlines.lifetime,
        idle=pool.deadlines.idle if not pool.min_idle else pool.deadlines.lifetime,
        idle_margin=IDLE_MARGIN,
        registration=pool.deadlines.registration,
        runner_version=runner.version,
        runner_sha256=runner.sha256,
        runner_base_url=runner.base_url,
        hub_url=pool.hub.endpoint,
        hf_namespace=pool.hub.namespace,
        ssh=pool.template.ssh,
        allow_http=allow_http,
    )
    return LaunchSpec(
        image=pool.template.image or default_image,
        command=job.command,
        flavor=flavor,
        labels=hf_labels(pool, controller_id, name),
        environment={**dict(pool.template.env), **job.environment},
        secrets={**secret_env, **job.secrets},
        timeout=timeout_seconds(pool.deadlines),
        volumes=pool.template.volumes,
        ssh=pool.template.ssh,
    )


def _has_accelerator(flavor: str, offer: Flavor | None) -> bool:
    """Return whether a flavor has one: by the Hub's list, or by its name while the list is not known.

    All CPU flavors are called ``cpu-...`` (docs/facts.md#cpu-flavors). The image with CUDA runs on a CPU too;
    the other one leaves a GPU idle that is paid for.
    """
    return bool(offer.accelerator) if offer is not None else not flavor.startswith("cpu")
