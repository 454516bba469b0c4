"""``hf-runner-controller drain``: let pools become empty, while the operator runs, without deleting them.

Each pool gets an annotation whose value changes every few seconds. For as long as it does, the operator
treats the pool as one that is being deleted: nothing is launched, runners are deregistered before their HF
Jobs are cancelled, busy ones finish their job; once nothing is left it lets go of the finalizer.
``helm uninstall`` runs this before it removes the operator, and a pool that stays behind can be deleted then
by anybody. A minute after the last change the pool serves again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import click

from controller.adapters.kube.client import Client, connect, path_of, pools_path
from controller.adapters.kube.errors import ForbiddenError, KubernetesError, NotFoundError, UnauthorizedError
from controller.adapters.kube.pools import list_pools
from controller.api.duration import seconds
from controller.api.status.model import NEVER_SEEN
from controller.cli.terminal import say, say_lines
from controller.core.model import PoolKey
from controller.core.resource import DRAIN_ANNOTATION, FINALIZER
from controller.core.text import text
from controller.ports import UpstreamError

RENEWAL = 5.0
"""Seconds between two changes of the annotation, each of which also makes the operator look
at the finalizer again."""

MOST_WHY = 2_000
"""Characters of the line that says why a pool is not empty yet."""

UNSEEN = 20.0
"""Seconds after which a pool that no operator has ever looked at counts as one that never
launched anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A pool that is not empty yet.

    Attributes:
        key: Namespace and name.
        why: What is known about it.
    """

    key: PoolKey
    why: str


def what_is_left(pools: Sequence[Mapping[str, Any]], *, asked_for: float) -> list[Left]:
    """Return the pools that may still hold something.

    Args:
        pools: As the API server shows them.
        asked_for: Seconds since they were first asked to drain.
    """
    left = []
    for pool in pools:
        metadata, status = pool["metadata"], pool.get("status") or {}
        seen = status.get("observedGeneration", NEVER_SEEN) != NEVER_SEEN
        if FINALIZER in (metadata.get("finalizers") or []):
            why = _why(status)
        elif not seen and asked_for < UNSEEN:
            why = "the operator has not looked at it yet"
        else:
            continue
        left.append(Left(key=PoolKey(metadata["namespace"], metadata["name"]), why=why))
    return left


def _why(status: Mapping[str, Any]) -> str:
    counts = status.get("counts") or {}
    runners = [
        f"{counts[name]} {name}" for name in ("starting", "idle", "busy", "ending") if counts.get(name)
    ]
    ready = next((c for c in status.get("conditions") or [] if c["type"] == "Ready"), None)
    states = [f"{ready['reason']}: {ready['message']}"] if ready else []
    return "; ".join([", ".join(runners)] * bool(runners) + states) or "nothing is known of it"


class UnknownPools(Exception):  # noqa: N818 - a mistake of whoever asks
    """Names were given that no pool of the namespace has."""

    def __init__(self, namespace: str, missing: Sequence[str], there: Sequence[str]) -> None:
        which = f"those of {namespace} are: {', '.join(there)}" if there else f"{namespace} has none"
        super().__init__(f"There is no RunnerPool {' and no '.join(missing)}; {which}.")


class Drain:
    """One run of the command.

    Args:
        kube: Needs ``list`` and ``patch`` on runnerpools.
        namespaces: Where; empty for the whole cluster.
        names: Which; empty for all.
        timeout: Seconds.
    """

    def __init__(
        self, *, kube: Client, namespaces: Sequence[str], names: Sequence[str], timeout: float
    ) -> None:
        self._kube, self._namespaces, self._names, self._timeout = kube, namespaces, names, timeout

    async def run(self) -> list[Left]:
        """Ask until nothing is left or the time is over; return what is left.

        Raises:
            UpstreamError: The pools cannot be listed or annotated; a failure that passes is waited for.
            UnknownPools: There are none of some names.
        """
        began, empty_before, reported, named = time.monotonic(), False, "", False
        while True:
            passed = time.monotonic() - began
            try:
                pools = await self._pools()
                if not named:  # later on, who has gone meanwhile is no mistake
                    pools, named = await self._require_named(pools), True
                await self._ask(pools)
            except NotFoundError:  # the type itself is gone, and every pool with it
                return []
            except KubernetesError as error:
                if isinstance(error, UnauthorizedError | ForbiddenError) or passed > self._timeout:
                    raise
                say(str(error), err=True)
                await asyncio.sleep(RENEWAL)
                continue
            left = what_is_left(pools, asked_for=passed)
            if (
                not left and empty_before
            ):  # twice: a pool that was made a moment ago may get its finalizer yet
                return []
            if passed > self._timeout:
                return left
            empty_before = not left
            reported = _report(left, reported)
            await asyncio.sleep(RENEWAL if left else 1.0)

    async def _pools(self) -> list[Mapping[str, Any]]:
        found = await self._all()
        return [pool for pool in found if not self._names or pool["metadata"]["name"] in self._names]

    async def _all(self) -> list[Mapping[str, Any]]:
        """Return the pools of the namespaces; one that is gone has none.

        A controller of single namespaces has its rights by a RoleBinding in each of them, and those go with
        the namespace: it is refused where nothing is.
        """
        found: list[Mapping[str, Any]] = []
        for namespace in self._namespaces or (None,):
            try:
                found += await list_pools(self._kube, namespace=namespace)
            except ForbiddenError:
                if namespace is None or not await self._is_gone(namespace):
                    raise
        return found

    async def _is_gone(self, namespace: str) -> bool:
        try:
            await self._kube.request_json("GET", path_of("api", "v1", "namespaces", namespace))
        except NotFoundError:
            return True
        except KubernetesError:
            pass
        return False

    async def _require_named(self, pools: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        missing = sorted(set(self._names) - {pool["metadata"]["name"] for pool in pools})
        if missing:
            there = sorted(pool["metadata"]["name"] for pool in await self._all())
            raise UnknownPools(self._namespaces[0], missing, there)
        return pools

    async def _ask(self, pools: Sequence[Mapping[str, Any]]) -> None:
        """Change each pool's annotation; one that is gone meanwhile needs no asking."""
        body = {"metadata": {"annotations": {DRAIN_ANNOTATION: f"{time.time():.3f}"}}}
        for pool in pools:
            metadata = pool["metadata"]
            with suppress(NotFoundError):
                await self._kube.request_json(
                    "PATCH",
                    pools_path(metadata["namespace"], metadata["name"]),
                    body=body,
                    content_type="application/merge-patch+json",
                )


def _report(left: Sequence[Left], reported: str) -> str:
    now = "\n".join(text(f"{one.key}: {one.why}", MOST_WHY) for one in left)
    if now and now != reported:
        say_lines(f"{now}\n")
    return now


@click.command("drain")
@click.argument("names", metavar="[POOL]...", nargs=-1)
@click.option(
    "--namespace", "-n", "namespaces", metavar="NAME", multiple=True, help="May be repeated. Default: all."
)
@click.option(
    "--timeout",
    default="10m",
    show_default=True,
    metavar="DURATION",
    help="How long to wait for runners that are busy.",
)
@click.option(
    "--kubeconfig", metavar="FILE", help="Instead of kubectl's default, or the pod's ServiceAccount."
)
@click.option("--context", metavar="NAME", help="Context of the kubeconfig.")
def drain_command(
    *,
    names: tuple[str, ...],
    namespaces: tuple[str, ...],
    timeout: str,
    kubeconfig: str | None,
    context: str | None,
) -> None:
    """Empty POOLs, or all of them, without deleting them.

    The operator, which must be running, launches nothing more for them, deregisters idle runners and then
    ends their HF Jobs, and lets busy ones finish their job. When nothing is left it removes its finalizer,
    and this command ends. The pools serve again a minute after it has ended; `helm uninstall` removes the
    operator in that minute. Ctrl-C is safe.

    Exit codes: 0 nothing is left, 1 something is left or Kubernetes cannot be used, 2 wrong
    arguments, 130 Ctrl-C.
    """
    try:
        patience = seconds(timeout)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--timeout") from error
    if names and len(namespaces) != 1:
        raise click.UsageError("to name pools, name their one namespace too: --namespace NAME")
    try:
        left = asyncio.run(_drain(names, namespaces, patience, kubeconfig, context))
    except UnknownPools as error:
        raise click.UsageError(str(error)) from error
    except UpstreamError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        say("stopped waiting; the pools serve again in a minute", err=True)
        raise SystemExit(130) from None
    if left:
        for one in left:
            say(f"left: {one.key}: {one.why}", err=True)
        raise click.ClickException(
            f"{len(left)} pools are not empty after {timeout}. Busy runners end with their job, at the latest at "
            "deadlines.lifetime: run this again with a longer --timeout. If nothing moves, see whether the operator runs "
            "and leads: its log says what it waits for."
        )
    say("nothing is left")


async def _drain(
    names: Sequence[str],
    namespaces: Sequence[str],
    timeout: float,
    kubeconfig: str | None,
    context: str | None,
) -> list[Left]:
    async with await connect(kubeconfig=kubeconfig, context=context) as kube:
        return await Drain(kube=kube, namespaces=namespaces, names=names, timeout=timeout).run()
