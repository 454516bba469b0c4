"""The stop switch: two ConfigMaps in the controller's own namespace, read by the controller and written by
people.

``NAME`` is what ``hf-runner-controller pause`` and ``resume`` write, or anybody with kubectl; no chart
touches it, so it outlives upgrades, rollbacks and the release itself. ``NAME-values`` is the chart's, made
from its value ``paused``. What either stops is stopped. One that does not exist stops nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.adapters.kube.client import JSON, Client, path_of
from controller.adapters.kube.errors import ConflictError, NotFoundError
from controller.core.stop_switch import Stop, account_of, key_of, read_stops

DEFAULT_SWITCH = "hf-runner-controller-pause"
"""The switch of a release with the chart's own name."""

LABEL = "hfrunners.dev/stop-switch"
"""On the chart's ConfigMap, with the switch's name as value: by it the commands find the switch."""

WATCHES = "hfrunners.dev/watches"
"""Annotation beside it: the namespaces that the release serves, joined by commas; empty for all."""

OF_VALUES = "-values"


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchName:
    """Where a stop switch is.

    Attributes:
        namespace: The controller's.
        name: Of the ConfigMap that people write.
        watched: Namespaces whose pools its controller serves; empty for all, or where that is not known.
    """

    namespace: str
    name: str
    watched: tuple[str, ...] = ()

    def __str__(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"

    def path(self, name: str = "") -> str:
        """Return the path of one of its ConfigMaps, the people's unless named."""
        return path_of("api", "v1", "namespaces", self.namespace, "configmaps", name or self.name)


class KubernetesStopSwitch:
    """A stop switch over the API: :class:`controller.ports.StopSwitches`.

    Args:
        client: Needs ``get`` on the two ConfigMaps; to write, ``patch`` on the people's, and ``create`` where
            it does not exist.
        switch: Which one.
    """

    def __init__(self, *, client: Client, switch: SwitchName) -> None:
        self._client = client
        self._switch = switch

    async def read(self) -> Sequence[Stop]:
        """Return what is stopped now; two requests.

        Raises:
            KubernetesError: It cannot be read, which says nothing about what it holds.
        """
        return [*await self.of_people(), *await self.of_values()]

    async def of_people(self) -> Sequence[Stop]:
        """Return what people have stopped; raises as :meth:`read`."""
        return await self._read(self._switch.name, undo=_undo_of_people)

    async def of_values(self) -> Sequence[Stop]:
        """Return what the chart's values stop; raises as :meth:`read`."""
        return await self._read(self._switch.name + OF_VALUES, undo=lambda _: UNDO_OF_VALUES)

    async def _read(self, name: str, *, undo: Callable[[str], str]) -> Sequence[Stop]:
        found = await self._get(name)
        data = {**(found.get("binaryData") or {}), **(found.get("data") or {})}
        return read_stops(
            data,
            where=f"ConfigMap {self._switch.namespace}/{name}",
            undo={key: undo(key) for key in ("", *data)},
        )

    async def _get(self, name: str) -> Mapping[str, Any]:
        try:
            found: Mapping[str, Any] = await self._client.request_json("GET", self._switch.path(name))
        except NotFoundError:
            return {}
        return found

    async def put(self, account: str, why: str) -> None:
        """Stop an account, or all where it is empty. Idempotent; the newer reason stays.

        Raises:
            KubernetesError: It could not be written.
        """
        data: JSON = {"data": {key_of(account): why}}
        try:
            await self._merge(data)
        except NotFoundError:
            body = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": self._switch.name},
                **data,
            }
            try:
                await self._client.request_json(
                    "POST",
                    path_of("api", "v1", "namespaces", self._switch.namespace, "configmaps"),
                    body=body,
                )
            except ConflictError:  # somebody made it meanwhile: then it can be patched
                await self._merge(data)

    async def take_back(self, account: str) -> None:
        """End the stop of an account, or that of all where it is empty, and then those by mistyped keys too.
        Idempotent.

        Raises:
            KubernetesError: It could not be written.
        """
        found = await self._get(self._switch.name)
        gone: dict[str, JSON] = {}
        for part in ("data", "binaryData"):
            held = found.get(part) or {}
            keys = [key for key in held if (account_of(key) or "") == account.lower()]
            if keys:
                gone[part] = dict.fromkeys(keys)
        if gone:
            await self._merge(gone)

    async def _merge(self, change: JSON) -> None:
        await self._client.request_json(
            "PATCH", self._switch.path(), body=change, content_type="application/merge-patch+json"
        )


UNDO_OF_VALUES = "Upgrade the release with its value `paused` set to false to go on."


def _undo_of_people(key: str) -> str:
    account = account_of(key)
    which = f"--account {account}" if account else "--all"
    return f"`hf-runner-controller resume {which}` ends it."


async def find_switches(client: Client, namespace: str | None) -> Sequence[SwitchName]:
    """Return the stop switches that charts have installed, of one namespace or of all, by name.

    Raises:
        KubernetesError: ConfigMaps may not be listed there, for instance.
    """
    within = ("namespaces", namespace) if namespace is not None else ()
    found = await client.request_json(
        "GET", path_of("api", "v1", *within, "configmaps"), query=[("labelSelector", LABEL)]
    )
    return sorted(
        (_switch_of(item["metadata"]) for item in found.get("items") or []),
        key=str,
    )


def _switch_of(metadata: Mapping[str, Any]) -> SwitchName:
    watched = str((metadata.get("annotations") or {}).get(WATCHES) or "")
    return SwitchName(
        namespace=metadata["namespace"],
        name=metadata["labels"][LABEL],
        watched=tuple(name.strip() for name in watched.split(",") if name.strip()),
    )
