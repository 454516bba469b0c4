"""GitHub over HTTP: credentials, requests under its limits, its queue, and the registration of runners.

Implements the ports ``Queue``, ``Runners`` and ``GitHub``.
"""

from controller.adapters.github.auth import Credentials, credentials_from_secret
from controller.adapters.github.connection import GitHubConnection

__all__ = ["Credentials", "GitHubConnection", "credentials_from_secret"]
