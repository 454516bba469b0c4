"""Text that nobody had before: names of processes, and what the names of runners are made of."""

from __future__ import annotations

import secrets
import socket
import string

TOKEN_LETTERS = string.ascii_lowercase + string.digits


def fresh_token() -> str:
    """Return ten letters and digits that nobody had before; drawn by the system's own generator."""
    return "".join(secrets.choice(TOKEN_LETTERS) for _ in range(10))


def identity() -> str:
    """Return a name for this process, or for its next term, that no other ever had."""
    return f"{socket.gethostname()}_{fresh_token()}"
