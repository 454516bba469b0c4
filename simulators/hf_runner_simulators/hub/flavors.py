"""The hardware of Hugging Face Jobs and its prices, as ``hf jobs hardware`` lists them
(hub-docs, jobs-configuration).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from hf_runner_simulators.http import JSON

Prices = Literal["usd", "null", "text", "per-hour"]
"""How the list shows prices: as documented, not at all, as text, or per hour."""

PORT_MICRO_USD_PER_MINUTE = 167
"""What exposed ports cost on top, flat per job: $0.01 an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """The GPUs of a flavor; ``vram`` is their total, in GB."""

    model: str
    quantity: int
    vram: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavor:
    """One kind of machine.

    Attributes:
        name: What a job asks for.
        pretty_name: What people read.
        cpu: vCPUs.
        ram: Memory, GB.
        disk: Ephemeral storage, GB.
        usd_per_hour: List price.
        accelerator: Its GPUs, if any.
    """

    name: str
    pretty_name: str
    cpu: int
    ram: int
    disk: int
    usd_per_hour: float
    accelerator: Accelerator | None = None

    @property
    def micro_usd_per_minute(self) -> int:
        """The unit price: the Hub bills minutes, in whole millionths of a dollar."""
        return round(self.usd_per_hour * 1_000_000 / 60)

    def to_json(self, *, prices: Prices = "usd") -> JSON:
        """Return the entry of ``GET /api/jobs/hardware``; quantities are texts there."""
        gpu = self.accelerator
        return {
            "name": self.name,
            "prettyName": self.pretty_name,
            "cpu": f"{self.cpu} vCPU",
            "ram": f"{self.ram} GB",
            "ephemeralStorage": f"{self.disk} GB",
            "accelerator": gpu
            and {
                "type": "gpu",
                "model": gpu.model,
                "quantity": str(gpu.quantity),
                "vram": f"{gpu.vram} GB",
                "manufacturer": "Nvidia",
            },
            **self._price(prices),
        }

    def _price(self, prices: Prices) -> dict[str, Any]:
        micro, unit = self.micro_usd_per_minute, "minute"
        if prices == "null":
            return {"unitCostMicroUSD": None, "unitCostUSD": None, "unitLabel": unit}
        if prices == "text":
            dollars = f"${micro / 1_000_000:.6f}"
            return {"unitCostMicroUSD": str(micro), "unitCostUSD": dollars, "unitLabel": unit}
        if prices == "per-hour":
            micro, unit = round(self.usd_per_hour * 1_000_000), "hour"
        return {"unitCostMicroUSD": micro, "unitCostUSD": micro / 1_000_000, "unitLabel": unit}


_TABLE: tuple[tuple[str, str, int, int, int, float, tuple[str, int, int] | None], ...] = (
    # name, pretty name, vCPU, RAM GB, disk GB, $/h, (GPU, number, VRAM GB in total)
    ("cpu-basic", "CPU Basic", 2, 16, 50, 0.01, None),
    ("cpu-upgrade", "CPU Upgrade", 8, 32, 50, 0.03, None),
    ("cpu-performance", "CPU Performance", 32, 256, 1024, 1.90, None),
    ("cpu-xl", "CPU XL", 16, 124, 1000, 1.00, None),
    ("t4-small", "Nvidia T4 - small", 4, 15, 50, 0.40, ("T4", 1, 16)),
    ("t4-medium", "Nvidia T4 - medium", 8, 30, 100, 0.60, ("T4", 1, 16)),
    ("a10g-small", "Nvidia A10G - small", 4, 15, 110, 1.00, ("A10G", 1, 24)),
    ("a10g-large", "Nvidia A10G - large", 12, 46, 200, 1.50, ("A10G", 1, 24)),
    ("a10g-largex2", "2x Nvidia A10G - large", 24, 92, 1000, 3.00, ("A10G", 2, 48)),
    ("a10g-largex4", "4x Nvidia A10G - large", 48, 184, 2000, 5.00, ("A10G", 4, 96)),
    ("a100-large", "Nvidia A100 - large", 12, 142, 1000, 2.50, ("A100", 1, 80)),
    ("a100x4", "4x Nvidia A100", 48, 568, 4000, 10.00, ("A100", 4, 320)),
    ("a100x8", "8x Nvidia A100", 96, 1136, 8000, 20.00, ("A100", 8, 640)),
    ("h200", "Nvidia H200", 23, 256, 3000, 5.00, ("H200", 1, 141)),
    ("h200x2", "Nvidia H200", 46, 512, 6000, 10.00, ("H200", 2, 282)),
    ("h200x4", "Nvidia H200", 92, 1024, 12000, 20.00, ("H200", 4, 564)),
    ("h200x8", "Nvidia H200", 184, 2048, 24000, 40.00, ("H200", 8, 1128)),
    ("rtx-pro-6000", "Nvidia RTX PRO 6000", 23, 256, 475, 2.75, ("RTX PRO 6000", 1, 96)),
    ("rtx-pro-6000x2", "Nvidia RTX PRO 6000", 46, 512, 950, 5.50, ("RTX PRO 6000", 2, 192)),
    ("rtx-pro-6000x4", "Nvidia RTX PRO 6000", 92, 1024, 1900, 11.00, ("RTX PRO 6000", 4, 384)),
    ("rtx-pro-6000x8", "Nvidia RTX PRO 6000", 184, 2048, 3800, 22.00, ("RTX PRO 6000", 8, 768)),
    ("l4x1", "1x Nvidia L4", 8, 30, 400, 0.80, ("L4", 1, 24)),
    ("l4x4", "4x Nvidia L4", 48, 186, 3200, 3.80, ("L4", 4, 96)),
    ("l40sx1", "1x Nvidia L40S", 8, 62, 380, 1.80, ("L40S", 1, 48)),
    ("l40sx4", "4x Nvidia L40S", 48, 382, 3200, 8.30, ("L40S", 4, 192)),
    ("l40sx8", "8x Nvidia L40S", 192, 1534, 6500, 23.50, ("L40S", 8, 384)),
)

FLAVORS: Mapping[str, Flavor] = MappingProxyType(
    {
        name: Flavor(
            name=name,
            pretty_name=pretty,
            cpu=cpu,
            ram=ram,
            disk=disk,
            usd_per_hour=price,
            accelerator=gpu and Accelerator(model=gpu[0], quantity=gpu[1], vram=gpu[2]),
        )
        for name, pretty, cpu, ram, disk, price, gpu in _TABLE
    }
)
"""All flavors by name, in the order of the Hub's list."""
