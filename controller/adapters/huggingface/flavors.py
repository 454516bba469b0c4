"""Hardware and prices of a Hub endpoint (``GET /api/jobs/hardware``, hf-jobs.md §2)."""

from __future__ import annotations

import httpx2

from controller.adapters.huggingface.errors import malformed
from controller.adapters.huggingface.session import JSON, Wire
from controller.core.model import Failure, Flavor, Observation
from controller.ports import Clock

PATH = "/api/jobs/hardware"
_PER_MINUTE = {"second": 60.0, "minute": 1.0, "hour": 1 / 60}


class HubHardware:
    """What an endpoint has on offer, for everybody: the route is public, so no account's token or limit is spent on it.

    Args:
        session: From :func:`controller.adapters.huggingface.session.open_session`; shared, so it is not closed here.
        endpoint: Base URL without a trailing slash.
        clock: Time.
    """

    def __init__(self, *, session: httpx2.AsyncClient, endpoint: str, clock: Clock) -> None:
        self._wire = Wire(session=session, endpoint=endpoint, token=None, clock=clock)
        self._clock = clock

    async def flavors(self) -> Observation[Flavor]:
        """List hardware and prices. Entries that cannot be read are left out and make the observation incomplete.

        Raises:
            HubError: There is no list, or nothing in it can be read.
        """
        asked_at = self._clock.mono()
        answer = await self._wire.get(PATH)
        if not isinstance(answer.payload, list):
            raise malformed(call=answer.call, why="it is no list")
        flavors: dict[str, Flavor] = {}
        failure: Failure | None = None
        for entry in answer.payload:
            try:
                flavor = parse_flavor(entry)
            except ValueError as error:
                failure = failure or malformed(call=answer.call, why=str(error)).failure
            else:
                flavors[flavor.name] = flavor
        if not flavors:
            raise malformed(call=answer.call, why=failure.message if failure else "it lists no hardware")
        return Observation(
            items=tuple(flavors.values()), asked_at=asked_at, server_time=answer.server_time, failure=failure
        )


def parse_flavor(entry: JSON) -> Flavor:
    """Read one entry of the hardware list.

    Raises:
        ValueError: It has no name or no price per unit of time; a price of nothing would make it the cheapest.
    """
    name = entry.get("name") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not name:
        raise ValueError("an entry has no name")
    per_minute = _PER_MINUTE.get(str(entry.get("unitLabel", "minute")))
    usd = entry.get("unitCostUSD")
    if not isinstance(usd, int | float) or isinstance(usd, bool) or usd < 0 or per_minute is None:
        raise ValueError(f"the price of {name[:100]} is unclear")
    pretty, accelerator = entry.get("prettyName"), entry.get("accelerator")
    model = accelerator.get("model") if isinstance(accelerator, dict) else None
    return Flavor(
        name=name,
        pretty_name=pretty if isinstance(pretty, str) else "",
        usd_per_minute=usd * per_minute,
        accelerator=model if isinstance(model, str) else "",
    )
