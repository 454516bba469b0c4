"""Tokens to call GitHub with, of whatever credentials a Secret holds at the moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from typing import Protocol

from controller.adapters.credential import Content, Credential
from controller.adapters.github.credentials import Credentials, TokenCredentials
from controller.core.reasons import Reason
from controller.ports import UpstreamError

_REFUSED = frozenset({Reason.GitHubUnauthorized, Reason.AppNotInstalled})
"""Why no token can be had that may be mended by other credentials: these may be in the Secret already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token to call with.

    Attributes:
        value: Its text.
        generation: Changes with the token: ETags belong to one generation.
        credential: The number of the credentials that it is of: what was learned with one content of a Secret
            is not believed of the next.
        personal: A personal access token, of whose end GitHub's answers may tell; an App's are renewed long
            before theirs.
        account: Whose quota GitHub charges, the host apart: equal for two tokens of one installation.
    """

    value: str = field(repr=False)
    generation: int = 0
    credential: int = 0
    personal: bool = False
    account: str


class OwnTokens(Protocol):
    """The tokens of one content of a Secret."""

    @property
    def permissions(self) -> Mapping[str, str] | None:
        """What the App's installation was granted, when it was last looked at; None for a personal access
        token.
        """

    async def current(self) -> Token:
        """Return a token that should work.

        Raises:
            UpstreamError: None can be had.
        """

    def refused(self, token: Token) -> bool:
        """Note that GitHub refused a token with 401; return whether :meth:`current` may have a better one."""

    def lacks(self, token: Token) -> bool:
        """Note that GitHub refused a call with 403 for want of a permission; return whether :meth:`current`
        may have a better one.
        """

    async def close(self) -> None:
        """Stop making tokens. Idempotent."""


class PersonalToken:
    """A personal access token: there is nothing to renew."""

    permissions: Mapping[str, str] | None = None

    def __init__(self, credentials: TokenCredentials, *, credential: int, generation: int) -> None:
        # Which user it belongs to is not known without asking; two Secrets with one token are one account in
        # any case.
        digest = sha256(credentials.token.encode()).hexdigest()
        self._token = Token(
            value=credentials.token,
            generation=generation,
            credential=credential,
            personal=True,
            account=f"token {digest}",
        )

    async def current(self) -> Token:
        """Return the token."""
        return self._token

    def refused(self, token: Token) -> bool:  # noqa: ARG002 -- the protocol's name
        """Nothing better can be had."""
        return False

    def lacks(self, token: Token) -> bool:  # noqa: ARG002 -- the protocol's name
        """Nothing better can be had: what such a token may do changes without a new one."""
        return False

    async def close(self) -> None:
        """Do nothing."""


class Tokens:
    """Tokens of a credential, whatever it holds: rotations of its Secret are followed here, and nowhere else.

    Args:
        credential: What the Secret holds.
        own: Makes the tokens of one content: of the credentials, their number, and the generations to take
            numbers from.
    """

    def __init__(
        self,
        *,
        credential: Credential[Credentials],
        own: Callable[[Credentials, int, Iterator[int]], OwnTokens],
    ) -> None:
        self._credential = credential
        self._make = own
        self._generations = count(
            1
        )  # over all contents, so that no ETag of one is sent with a token of another
        self._number = 0
        self._own: OwnTokens | None = None
        self._former: OwnTokens | None = None

    async def current(self) -> Token:
        """Return a token that should work, of what the Secret holds now.

        Credentials that are refused may have been replaced since the Secret was read: then the new ones are
        used at once.

        Raises:
            UpstreamError: None can be had.
        """
        content = await self._credential.current()
        try:
            return await (await self._of(content)).current()
        except UpstreamError as error:
            if error.failure.reason not in _REFUSED:
                raise
            newer = await self._credential.replaced(content.number)
            if newer is None:
                raise
        return await (await self._of(newer)).current()

    async def replaced(self, token: Token) -> Token | None:
        """Return a token of the credentials that replaced those of a token that was refused; None where they
        are the newest.

        Raises:
            UpstreamError: The Secret cannot be read any more, or its new credentials are no good either.
        """
        newer = await self._credential.replaced(token.credential)
        return None if newer is None else await (await self._of(newer)).current()

    def refused(self, token: Token) -> bool:
        """Note that GitHub refused a token with 401; return whether :meth:`current` may have a better one,
        without a new Secret.
        """
        return self._is_of_newest(token) and self._own is not None and self._own.refused(token)

    def lacks(self, token: Token) -> bool:
        """Note that GitHub refused a call with 403 for want of a permission; return whether :meth:`current`
        may have a better one.
        """
        return self._is_of_newest(token) and self._own is not None and self._own.lacks(token)

    async def permissions(self) -> Mapping[str, str] | None:
        """Return what the App's installation was granted, by the API's names; None for a personal access
        token.

        Raises:
            UpstreamError: No token can be had.
        """
        await self.current()
        return self._own.permissions if self._own is not None else None

    async def close(self) -> None:
        """Stop making tokens. Idempotent."""
        for own in (self._former, self._own):
            if own is not None:
                await own.close()

    def _is_of_newest(self, token: Token) -> bool:
        return token.credential == self._number

    async def _of(self, content: Content[Credentials]) -> OwnTokens:
        """Return the tokens of a content, which are made when a newer one is seen for the first time."""
        if self._own is None or content.number > self._number:
            # Calls may still wait for a token of the last content: it is closed one rotation later.
            spent, self._former = self._former, self._own
            self._number = content.number
            self._own = own = self._make(content.value, content.number, self._generations)
            if spent is not None:
                await spent.close()
            return own
        return self._own
