"""Credentials: what a Secret may hold, a GitHub App's key or a personal access token."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from controller.core.model import Disposition, Failure, SecretRef
from controller.core.reasons import Reason
from controller.core.text import text as cleaned
from controller.ports import UpstreamError

SHORTEST_KEY = 2_048
"""Bits; GitHub makes no shorter keys, and PyJWT warns of them."""

LONGEST_KEY = 4_096
"""Bits; GitHub's have 2,048. The time to read a key and to sign with it grows faster than its length, and the
event loop waits."""

LONGEST_PEM = 4_096
"""Characters of a private key; one of :data:`LONGEST_KEY` bits has 3,300."""

LONGEST_TOKEN = 4_096
"""Characters of a token: GitHub's have 40 to about 520, and GitHub says that nobody shall count on a
length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppCredentials:
    """A GitHub App's identity. The key is parsed once: parsing costs a hundred times as much as signing.

    Attributes:
        issuer: App id or client id, as GitHub's settings page shows it.
        key: The App's private key.
        installation_id: The installation, or None to find it by the owner.
    """

    issuer: str
    key: RSAPrivateKey = field(repr=False)
    installation_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCredentials:
    """A personal access token, fine-grained or classic."""

    token: str = field(repr=False)


Credentials = AppCredentials | TokenCredentials


def credentials_from_secret(data: Mapping[str, str], *, ref: SecretRef | None = None) -> Credentials:
    """Read a Secret's keys: ``appId`` with ``privateKey`` and optionally ``installationId``, or ``token``.

    White space around values is ignored; other keys are too. The names that Actions Runner Controller gives
    to these keys do as well, so that one Secret serves both.

    Args:
        data: Decoded keys.
        ref: Which Secret it is, for messages.

    Raises:
        UpstreamError: ``SecretMalformed``, naming the key and never its value.
    """
    where = f"Secret {ref}" if ref else "The Secret"
    given = {k: v.strip() for k, v in data.items() if v.strip()}
    called = {ours: theirs for theirs, ours in ARC_KEYS.items() if theirs in given and ours not in given}
    try:
        return _credentials({**given, **{ours: given[theirs] for ours, theirs in called.items()}})
    except _MalformedError as problem:
        said = str(problem)
    for ours, theirs in called.items():
        said = re.sub(rf"\bkey {ours}\b", f"key {theirs}", said)
    message = f"{where}: {said}."
    raise UpstreamError(
        Failure(reason=Reason.SecretMalformed, message=message, disposition=Disposition.PERSON)
    )


ARC_KEYS = {
    "github_app_id": "appId",
    "github_app_installation_id": "installationId",
    "github_app_private_key": "privateKey",
    "github_token": "token",
}
"""Keys of a Secret by their names in Actions Runner Controller.
https://docs.github.com/actions/tutorials/use-actions-runner-controller/authenticate-to-the-api
"""

MOST_KEYS = 8
"""Keys of a Secret that a message names."""


class _MalformedError(Exception):
    """What is wrong with a Secret, in words."""


def _credentials(given: Mapping[str, str]) -> Credentials:
    app_keys = [k for k in ("appId", "privateKey") if k in given]
    if "token" in given:
        if app_keys:
            raise _MalformedError(
                f"it has the key token beside the key {app_keys[0]}; keep the App's keys or the token"
            )
        return TokenCredentials(token=_token(given["token"]))
    if not app_keys:
        has = f"; it has {_named(given)}" if given else "; it is empty"
        raise _MalformedError(
            f"it has neither appId and privateKey (a GitHub App) nor token: add one or the other{has}"
        )
    for key in ("appId", "privateKey"):
        if key not in given:
            raise _MalformedError(f"key {key} is missing or empty, and {app_keys[0]} is of no use without it")
    return AppCredentials(
        issuer=_issuer(given["appId"]),
        key=_private_key(given["privateKey"]),
        installation_id=_installation_id(given.get("installationId")),
    )


def _named(keys: Collection[str]) -> str:
    """Return the names of keys; whoever wrote the Secret chose them, so they are cleaned and few."""
    shown = ", ".join(cleaned(key, 64) for key in sorted(keys)[:MOST_KEYS])
    return shown + (f" and {len(keys) - MOST_KEYS} more" if len(keys) > MOST_KEYS else "")


def _token(text: str) -> str:
    if not re.fullmatch(rf"[!-~]{{1,{LONGEST_TOKEN}}}", text):
        raise _MalformedError("key token holds white space or characters that no GitHub token has")
    return text


def _issuer(text: str) -> str:
    if not re.fullmatch(r"[0-9]{1,18}|Iv[0-9][0-9A-Za-z.]{1,64}", text):
        raise _MalformedError("key appId is neither the App's numeric id nor its client id (Iv…)")
    return text


def _installation_id(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise _MalformedError("key installationId is not a number; leave it out to have it found")
    return int(text)


def _private_key(text: str) -> RSAPrivateKey:
    if len(text) > LONGEST_PEM:
        raise _MalformedError(
            f"key privateKey is not a PEM private key of GitHub's: it has more than {LONGEST_PEM} characters"
        )
    if "\\n" in text and "\n" not in text:
        text = text.replace("\\n", "\n")  # copied out of JSON or an environment file
    if text.startswith("LS0tLS1CRUdJTi"):
        raise _MalformedError(
            "key privateKey is base64 of a PEM: it was encoded twice; use stringData, or encode once"
        )
    if "PUBLIC KEY" in text or "CERTIFICATE" in text:
        raise _MalformedError("key privateKey holds a public key or certificate, not the App's private key")
    if "ENCRYPTED" in text:
        raise _MalformedError("key privateKey is encrypted with a passphrase; store it without")
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if key is None:
        raise _MalformedError(
            "key privateKey is not a PEM private key as GitHub hands it out (BEGIN … PRIVATE KEY)"
        )
    if not isinstance(key, RSAPrivateKey):
        raise _MalformedError("key privateKey is not an RSA key; GitHub Apps sign with RSA")
    if key.key_size < SHORTEST_KEY:
        raise _MalformedError(f"key privateKey has {key.key_size} bits; GitHub's keys have {SHORTEST_KEY}")
    if key.key_size > LONGEST_KEY:
        raise _MalformedError(f"key privateKey has {key.key_size} bits, and {LONGEST_KEY} are the most")
    return key
