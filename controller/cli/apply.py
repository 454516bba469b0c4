"""``hf-runner-controller apply``: RunnerPools from ConfigMaps, for the chart."""

from __future__ import annotations

import asyncio
import sys

import click

from controller.adapters.kube.client import connect
from controller.adapters.kube.declared import KEY, Declaration, apply_declared
from controller.api.duration import seconds
from controller.app.clock import SystemClock
from controller.cli.terminal import print_line
from controller.ports import UpstreamError


def _declaration(text: str) -> Declaration:
    namespace, slash, name = text.partition("/")
    if not (namespace and slash and name):
        raise click.BadParameter(f"{text!r} is not NAMESPACE/NAME")
    return Declaration(namespace, name)


def _seconds(_: click.Context, __: click.Parameter, text: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command("apply")
@click.argument("configmaps", metavar="NAMESPACE/CONFIGMAP...", nargs=-1, required=True)
@click.option(
    "--timeout",
    metavar="DURATION",
    default="3m",
    show_default=True,
    callback=_seconds,
    help="How long to try while RunnerPools are not served yet, or an older pool of the name still drains.",
)
@click.option("--kubeconfig", metavar="FILE", help="Instead of the pod's ServiceAccount.")
@click.option("--context", metavar="NAME", help="Context of the kubeconfig.")
def apply_command(
    *, configmaps: tuple[str, ...], timeout: float, kubeconfig: str | None, context: str | None
) -> None:
    """Apply RunnerPools that ConfigMaps hold; the chart's Job runs this for its `pools`.

    Each ConfigMap becomes the owner of its pool, which goes when it goes. All are tried, and all that is
    wrong is said. A pool of another release, or of a person, is left alone.

    Exit codes: 0 all are applied, 1 some are not, 2 wrong arguments.
    """
    declarations = [_declaration(text) for text in configmaps]
    try:
        failed = asyncio.run(_apply_all(declarations, timeout, kubeconfig, context))
    except UpstreamError as error:
        print_line(f"cannot apply: {error.failure.message}", err=True)
        sys.exit(1)
    sys.exit(1 if failed else 0)


async def _apply_all(
    declarations: list[Declaration], timeout: float, kubeconfig: str | None, context: str | None
) -> int:
    clock = SystemClock()
    async with await connect(kubeconfig=kubeconfig, context=context) as client:

        async def one(declared: Declaration) -> bool:
            try:
                pool = await apply_declared(client, declared, clock=clock, seconds=timeout)
            except UpstreamError as error:
                print_line(f"not applied: {error.failure.message}", err=True)
                return False
            except (KeyError, ValueError):
                print_line(f"not applied: ConfigMap {declared} has no RunnerPool in {KEY}", err=True)
                return False
            print_line(f"applied: RunnerPool {pool}")
            return True

        return (await asyncio.gather(*map(one, declarations))).count(False)
