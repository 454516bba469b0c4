"""GitHub over HTTP: credentials, requests under its limits, its queue, and the registration of runners.

Implements the ports ``Queue``, ``Runners`` and ``GitHub``.
"""

from controller.adapters.github.connection import GitHubConnection
from controller.adapters.github.credentials import Credentials, credentials_from_secret

__all__ = ["Credentials", "GitHubConnection", "credentials_from_secret"]
