"""GitHub over HTTP: credentials, requests under its limits, its queue, and the registration of runners.

Implements the ports ``Queue``, ``Runners`` and ``GitHub``; imports ``controller.ports`` and ``controller.core`` only, and is
imported by ``controller.app`` and the command line.
"""

from controller.adapters.github.auth import Credentials, credentials_from_secret
from controller.adapters.github.connection import GitHubConnection

__all__ = ["Credentials", "GitHubConnection", "credentials_from_secret"]
