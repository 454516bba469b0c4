"""What every HF Job is made of."""

from __future__ import annotations

import pytest

from controller.core.model import Flavor, Registration
from controller.execute.spec import CPU_IMAGE, GPU_IMAGE, RunnerVersion, launch_spec
from controller.ports import JitConfig
from tests.core.build import CONTROLLER, name_of, pool


def image(flavor: str, offer: Flavor | None) -> str:
    p = pool(flavors=(flavor,))
    name = name_of(p)
    made = launch_spec(
        p,
        name=name,
        flavor=flavor,
        offer=offer,
        jit=JitConfig(registration=Registration(id=1, name=name, online=False, busy=False), encoded="x"),
        secret_env={},
        controller_id=CONTROLLER,
        runner=RunnerVersion(),
    )
    return made.image


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
    assert image(flavor, offer) == expected
