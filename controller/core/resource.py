"""What the RunnerPool is called in the Kubernetes API, and what the controller puts into an
object's metadata.
"""

from __future__ import annotations

from typing import Final, Literal

ApiVersion = Literal["hfrunners.dev/v1alpha1"]
Kind = Literal["RunnerPool"]

API_VERSION: Final[ApiVersion] = "hfrunners.dev/v1alpha1"
GROUP, VERSION = API_VERSION.split("/")
KIND: Final[Kind] = "RunnerPool"
PLURAL: Final = "runnerpools"
DRAIN_ANNOTATION: Final = f"{GROUP}/drain-request"
"""Asks to drain the pool, for as long as its value keeps changing."""
FINALIZER: Final = f"{GROUP}/drain"
"""On every pool that may have launched something, until nothing is left."""
