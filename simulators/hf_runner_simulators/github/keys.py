"""The keys of simulated GitHub Apps: made anew in each process, so that none is ever shipped."""

from __future__ import annotations

from functools import cache, lru_cache

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)


@cache
def private_key() -> str:
    """Return this process's key for an App that brings none of its own: RSA, 2048 bits, PEM, in
    GitHub's format (PKCS #1).

    The same at every call, since making one takes a tenth of a second. Not deterministic, and need not be:
    nothing that a world does or records depends on it, only the signatures, which say that they fit or not.
    """
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


@lru_cache(maxsize=8)
def public_key_of(private_key: str) -> str:
    """Return the public half of a PEM private key, as PEM; remembered, since checking a key takes 30 ms.

    Raises:
        ValueError: It is not a private key.
    """
    key = load_pem_private_key(private_key.encode(), password=None)
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
