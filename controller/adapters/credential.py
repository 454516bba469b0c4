"""A credential that is read when it is used: whoever holds one follows the rotations of its Secret and does
nothing for it.

Clients get a :class:`Credential` in place of a token. Before each request they take what it holds now, and
when that was refused they ask for what replaced it. Everything that a client learns from answers (ETags, the
groups that it saw, when a token ends) belongs to one content of the Secret, which its number tells apart from
all others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from controller.adapters.secret_cache import SecretCache
from controller.core.model import Failure, SecretRef
from controller.ports import UpstreamError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Content(Generic[T]):
    """What a credential holds at a moment.

    Attributes:
        number: Counts the contents of this credential, from 1: a content that differs from the one before has
            the next number.
        value: What was read of the Secret.
    """

    number: int
    value: T = field(repr=False)


class Credential(Protocol[T]):
    """Where a client takes its token or key from."""

    async def current(self) -> Content[T]:
        """Return what is to be used now.

        Raises:
            UpstreamError: There is nothing: ``HostNotAllowed``, before any Secret is read; ``SecretMissing``,
                ``SecretForbidden`` or ``SecretMalformed``; Kubernetes does not answer.
        """

    async def replaced(self, number: int) -> Content[T] | None:
        """Return what replaced the content of a number, which was refused; None where it is the newest.

        Raises:
            UpstreamError: As :meth:`current`.
        """


class Fixed(Generic[T]):
    """A credential that is never replaced, for programs that run once, and for public routes."""

    def __init__(self, value: T) -> None:
        self._content = Content(number=1, value=value)

    async def current(self) -> Content[T]:
        """Return the one content."""
        return self._content

    async def replaced(self, number: int) -> Content[T] | None:
        """Return None."""
        del number
        return None


class SecretCredential(Generic[T]):
    """A credential that is whatever its Secret holds.

    Args:
        ref: The Secret.
        cache: Reads it.
        read: Makes the credential of the Secret's data, once for each content; raises ``SecretMalformed``.
        refused: Returns why nothing may be asked with it, before the Secret is even read; None where
            something may.
    """

    def __init__(
        self,
        *,
        ref: SecretRef,
        cache: SecretCache,
        read: Callable[[Mapping[str, str]], T],
        refused: Callable[[], Failure | None],
    ) -> None:
        self._ref = ref
        self._cache = cache
        self._read = read
        self._refused = refused
        self._data: Mapping[str, str] | None = None
        self._content: Content[T] | None = None
        self._number = 0

    async def current(self) -> Content[T]:
        """Return what the Secret holds, as of :data:`.secret_cache.FRESH_FOR` seconds ago at most."""
        if (refused := self._refused()) is not None:
            raise UpstreamError(refused)
        data = (await self._cache.read(self._ref)).data
        if self._content is None or data != self._data:
            value = self._read(data)
            self._number += 1
            self._content, self._data = Content(number=self._number, value=value), data
        return self._content

    async def replaced(self, number: int) -> Content[T] | None:
        """Read the Secret again, since what it held was refused, and return what it holds now where that is
        something else.

        So whoever rotates a Secret before the old token is revoked sees no failure at all.
        """
        self._cache.expire(self._ref)
        newer = await self.current()
        return newer if newer.number != number else None
