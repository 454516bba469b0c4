"""A real Kubernetes API for the tests and the demo; standard library only, so it runs
before a virtual environment.

May import nothing but the standard library; the tests, the Makefile and the demo use it,
the product never does.
"""

from tools.controlplane.server import ControlPlane
from tools.controlplane.sources import ControlPlaneError, assets, present_assets

__all__ = ["ControlPlane", "ControlPlaneError", "assets", "present_assets"]
