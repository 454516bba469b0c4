"""Files that ship beside the code: the CRD and the examples."""

from __future__ import annotations

from pathlib import Path


def shipped(folder: str) -> Path:
    """Return a shipped folder (``crds`` or ``examples``), in an installed package or in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / folder
    return installed if installed.is_dir() else package.parent / folder
