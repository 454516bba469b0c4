"""Names of objects on the command line."""

from __future__ import annotations

import os
from pathlib import Path

import click
from kubernetes.aio.config import ConfigException, list_kube_config_contexts

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


def current_namespace(kubeconfig: str | None, context: str | None) -> str:
    """Return the namespace that kubectl would take: the context's, or ``default``."""
    path = kubeconfig or os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    if not any(Path(one).expanduser().is_file() for one in path.split(os.pathsep) if one):
        return "default"  # as below; the library would print that by itself first
    try:
        contexts, active = list_kube_config_contexts(config_file=path)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError, ValueError, TypeError, AttributeError, KeyError):
        return "default"  # connecting will say what is wrong with it
    chosen = next((one for one in contexts if one["name"] == context), active) or {}
    return str((chosen.get("context") or {}).get("namespace") or "default")
