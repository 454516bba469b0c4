"""Names of objects on the command line."""

from __future__ import annotations

import click

Key = tuple[str, str]
"""Namespace and name."""


def key_option(
    _: click.Context, __: click.Parameter, given: str | tuple[str, ...] | None
) -> Key | tuple[Key, ...] | None:
    """Read ``NAMESPACE/NAME``, once or repeated."""
    if given is None:
        return None
    return _key(given) if isinstance(given, str) else tuple(map(_key, given))


def _key(text: str) -> Key:
    namespace, slash, name = text.partition("/")
    if not (slash and namespace and name) or "/" in name:
        raise click.BadParameter(f"{text!r} is not NAMESPACE/NAME, such as ci/t4")
    return namespace, name
