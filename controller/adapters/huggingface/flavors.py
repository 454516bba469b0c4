"""Hardware and prices of a Hub endpoint (``GET /api/jobs/hardware``, hf-jobs.md §2)."""

from __future__ import annotations

from controller.adapters.huggingface.refusals import malformed
from controller.adapters.huggingface.session import Session
from controller.adapters.huggingface.values import parse_flavor
from controller.adapters.huggingface.wire import Wire
from controller.core.hosts import DEFAULT_HOSTS, Hosts
from controller.core.model import Failure, Flavor, Observation
from controller.ports import Clock

PATH = "/api/jobs/hardware"

MOST_FLAVORS = 1_000
"""Entries of the list that are read; the Hub has offered 26."""


class HubHardware:
    """What an endpoint has on offer, for everybody: the route is public, so no account's token or limit is
    spent on it.

    Args:
        session: From :func:`controller.adapters.huggingface.session.open_session`; shared, so it is not
            closed here.
        endpoint: Base URL without a trailing slash.
        clock: Time.
        hosts: To which hosts requests may go, also those without a token: whoever writes pools could else let
            the controller ask any host of the network.
    """

    def __init__(
        self, *, session: Session, endpoint: str, clock: Clock, hosts: Hosts = DEFAULT_HOSTS
    ) -> None:
        self._wire = Wire(session=session, endpoint=endpoint, credential=None, clock=clock, hosts=hosts)
        self._clock = clock

    async def flavors(self) -> Observation[Flavor]:
        """List hardware and prices. Entries that cannot be read are left out and make the observation
        incomplete.

        An entry whose price cannot be read is on offer, at an unknown price.

        Raises:
            HubError: There is no list, or nothing in it can be read.
        """
        asked_at = self._clock.mono()
        answer = await self._wire.get(PATH)
        if not isinstance(answer.payload, list):
            raise malformed(call=answer.call, why="it is no list")
        flavors: dict[str, Flavor] = {}
        why = "" if len(answer.payload) <= MOST_FLAVORS else f"it has more than {MOST_FLAVORS} entries"
        for entry in answer.payload[:MOST_FLAVORS]:
            try:
                flavor = parse_flavor(entry)
            except ValueError as error:
                why = why or str(error)
            else:
                flavors[flavor.name] = flavor
        failure: Failure | None = malformed(call=answer.call, why=why).failure if why else None
        if not flavors:
            raise malformed(call=answer.call, why=why or "it lists no hardware")
        return Observation(
            items=tuple(flavors.values()), asked_at=asked_at, server_time=answer.server_time, failure=failure
        )
