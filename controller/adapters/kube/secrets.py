"""Reads the Secrets that pools name."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterator, Mapping

from controller.adapters.kube.client import Client, KubernetesError, path_of
from controller.core.model import Disposition, Failure, SecretRef
from controller.core.reasons import Reason
from controller.ports import UpstreamError


class SecretData(Mapping[str, str]):
    """A Secret's decoded keys, whose ``repr`` shows the keys alone."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, key: str) -> str:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"SecretData(keys={sorted(self._values)})"


class KubernetesSecrets:
    """Secrets over the API: :class:`controller.ports.Secrets`. Nothing is cached, so a rotation shows at the next read.

    Args:
        client: Needs ``get`` on the Secrets that are read, and no more.
    """

    def __init__(self, *, client: Client) -> None:
        self._client = client

    async def read(self, ref: SecretRef) -> Mapping[str, str]:
        """Return a Secret's decoded keys. A value that is not UTF-8 text is left out: it can be no token, key or variable.

        Raises:
            UpstreamError: ``SecretMissing``, ``KubernetesForbidden`` or ``KubernetesUnavailable``.
        """
        try:
            found = await self._client.request_json(
                "GET", path_of("api", "v1", "namespaces", ref.namespace, "secrets", ref.name)
            )
        except KubernetesError as error:
            if error.status != 404:
                raise
            raise UpstreamError(
                Failure(
                    reason=Reason.SecretMissing,
                    message=f"There is no Secret {ref.name} in namespace {ref.namespace}; create it there.",
                    disposition=Disposition.PERSON,
                    request_id=error.failure.request_id,
                )
            ) from None
        return SecretData(dict(_decoded(found.get("data") or {})))


def _decoded(data: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for key, encoded in data.items():
        try:
            yield key, b64decode(encoded).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
