"""The App key of the tests and the demo. It is public, and opens nothing but a simulator."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

TEST_PRIVATE_KEY = (
    resources.files("hf_runner_simulators.github") / "assets" / "PUBLIC-TEST-KEY.pem"
).read_text()
"""RSA, 2048 bits, PEM; made once, since making one takes longer than a test."""


@lru_cache(maxsize=8)
def public_key_of(private_key: str) -> str:
    """Return the public half of a PEM private key, as PEM; remembered, since checking a key takes 30 ms.

    Raises:
        ValueError: It is not a private key.
    """
    key = load_pem_private_key(private_key.encode(), password=None)
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
