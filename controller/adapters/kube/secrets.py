"""Reads the Secrets that pools name."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterator, Mapping

from controller.adapters.kube.client import Client, path_of
from controller.adapters.kube.errors import ForbiddenError, NotFoundError
from controller.adapters.kube.rights import SecretAccess
from controller.core.model import Disposition, Failure, SecretRef
from controller.core.reasons import Reason
from controller.ports import Secret, UpstreamError


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
    """Secrets over the API: :class:`controller.ports.Secrets`. Nothing is cached, so a rotation shows at the
    next read.

    Args:
        client: Needs ``get`` on the Secrets that are read, and no more.
        access: How somebody grants that to the controller where it is missing; None for anybody else who
            reads.
    """

    def __init__(self, *, client: Client, access: SecretAccess | None = None) -> None:
        self._client = client
        self._access = access

    async def read(self, ref: SecretRef) -> Secret:
        """Return a Secret as it is now. A value that is not UTF-8 text is left out: it can be no token, key
        or variable.

        Raises:
            UpstreamError: ``SecretMissing``, ``SecretForbidden`` (403, to the controller),
                ``KubernetesForbidden`` or ``KubernetesUnavailable``.
        """
        try:
            found = await self._client.request_json(
                "GET", path_of("api", "v1", "namespaces", ref.namespace, "secrets", ref.name)
            )
        except ForbiddenError as error:
            if self._access is None:
                raise
            raise UpstreamError(
                Failure(
                    reason=Reason.SecretForbidden,
                    message=self._access.refused(ref, error.words),
                    disposition=Disposition.PERSON,
                    request_id=error.request_id,
                )
            ) from None
        except NotFoundError as error:
            raise UpstreamError(
                Failure(
                    reason=Reason.SecretMissing,
                    message=f"There is no Secret {ref.name} in namespace {ref.namespace}; create it there.",
                    disposition=Disposition.PERSON,
                    request_id=error.request_id,
                )
            ) from None
        return Secret(
            data=SecretData(dict(_decoded(found.get("data") or {}))),
            labels=dict((found.get("metadata") or {}).get("labels") or {}),
        )


def _decoded(data: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for key, encoded in data.items():
        try:
            yield key, b64decode(encoded).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
