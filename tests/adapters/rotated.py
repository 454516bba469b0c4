"""A Secret that somebody writes anew, and the credential that follows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from controller.adapters.credential import SecretCredential
from controller.adapters.secret_cache import SecretCache
from controller.core.model import SecretRef
from controller.ports import Clock, Secret

T = TypeVar("T")


class RotatedSecret(Generic[T]):
    """Holds :attr:`data`, which a test writes.

    Args:
        data: At first.
        read: Makes the credential.
        clock: For how long a read is believed.
    """

    def __init__(self, data: Mapping[str, str], read: Callable[[Mapping[str, str]], T], clock: Clock) -> None:
        self.data = data
        ref = SecretRef("ci", "rotated")
        cache = SecretCache(secrets=self, clock=clock)
        self.credential = SecretCredential(ref=ref, cache=cache, read=read, refused=lambda: None)
        self._seen: Callable[[], None] = lambda: cache.expire(ref)

    async def read(self, ref: SecretRef) -> Secret:
        """Return what it holds."""
        del ref
        return Secret(data=self.data, labels={})

    def write(self, **data: str) -> None:
        """Rotate it; the next call sees it."""
        self.data = data
        self._seen()
