"""What every HF Job is made of."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from controller.core.model import Deadlines, Flavor, Registration, RunnerTemplate, Volume
from controller.execute.bootstrap import RUNNER_NEWEST_ON, RUNNER_SERVED, RUNNER_VERSION
from controller.execute.spec import CPU_IMAGE, GPU_IMAGE, RunnerVersion, launch_spec, release_of
from controller.ports import JitConfig, LaunchSpec
from tests.core.build import CONTROLLER, name_of, pool

VOLUME = Volume(type="bucket", source="acme/cache", mount_path="/cache")


def made(flavor: str = "t4-small", offer: Flavor | None = None, **spec: Any) -> LaunchSpec:
    p = pool(flavors=(flavor,), **spec)
    name = name_of(p)
    return launch_spec(
        p,
        name=name,
        flavor=flavor,
        offer=offer,
        jit=JitConfig(registration=Registration(id=1, name=name, online=False, busy=False), encoded="x"),
        secret_env={},
        controller_id=CONTROLLER,
        runner=RunnerVersion(),
    )


@pytest.mark.parametrize(
    ("flavor", "offer", "expected"),
    [
        ("t4-small", Flavor(name="t4-small", accelerator="T4"), GPU_IMAGE),
        ("cpu-basic", Flavor(name="cpu-basic"), CPU_IMAGE),
        ("odd", Flavor(name="odd"), CPU_IMAGE),
        ("t4-small", None, GPU_IMAGE),
        ("h200x8", None, GPU_IMAGE),
        ("cpu-basic", None, CPU_IMAGE),
    ],
)
def test_the_image_fits_the_hardware_also_while_the_hubs_list_is_not_known(
    flavor: str, offer: Flavor | None, expected: str
) -> None:
    assert made(flavor, offer).image == expected


def test_what_the_pool_asks_for_reaches_the_hf_job() -> None:
    template = RunnerTemplate(image="mine:1", env=(("A", "1"),), ssh=True, volumes=(VOLUME,))
    spec = made(template=template)
    assert (spec.image, spec.ssh, spec.volumes, spec.environment["A"]) == ("mine:1", True, (VOLUME,), "1")
    assert spec.environment["HFRUNNER_SSH"] == "true"


@pytest.mark.parametrize("flag", [True, False])
def test_nobody_gets_a_debug_shell_unasked(flag: bool) -> None:
    assert made(template=RunnerTemplate(ssh=flag)).ssh is flag


def test_the_bootstraps_idle_watch_is_three_minutes_later_than_the_controllers() -> None:
    assert made().environment["HFRUNNER_IDLE_MARGIN_SECONDS"] == "180"


@pytest.mark.parametrize(("warm", "idle"), [(0, "300"), (1, "3600")])
def test_a_runner_that_is_kept_warm_waits_for_its_whole_lifetime(warm: int, idle: str) -> None:
    deadlines = Deadlines(idle=300.0, lifetime=3600.0)
    assert made(min_idle=warm, deadlines=deadlines).environment["HFRUNNER_IDLE_SECONDS"] == idle


def test_the_price_that_people_read_is_per_hour() -> None:
    offer = Flavor(name="t4-small", accelerator="T4", usd_per_minute=0.01)
    assert made(offer=offer).environment["HFRUNNER_PRICE_PER_HOUR"] == "0.60"
    assert "HFRUNNER_PRICE_PER_HOUR" not in made().environment
    assert "HFRUNNER_PRICE_PER_HOUR" not in made(offer=replace(offer, usd_per_minute=None)).environment


def test_plain_http_is_not_allowed_unasked() -> None:
    assert "HFRUNNER_ALLOW_HTTP" not in made().environment


def test_the_end_of_the_pinned_release_is_known_and_of_no_other() -> None:
    newest_at = datetime.combine(RUNNER_NEWEST_ON, datetime.min.time(), UTC)
    pinned = release_of(RunnerVersion())
    assert (pinned.version, pinned.served_until) == (RUNNER_VERSION, (newest_at + RUNNER_SERVED).timestamp())
    assert release_of(RunnerVersion(version="2.0.0")).served_until is None
