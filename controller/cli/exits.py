"""Exit codes that the subcommands share."""

from __future__ import annotations

DONE = 0
"""All is as it should be."""

UNMET = 1
"""It was looked at, or tried, and is not as it should be."""

MISTAKEN = 2
"""The input or the arguments are wrong."""

INTERRUPTED = 130
"""Ctrl-C."""
