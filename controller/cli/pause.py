"""``hf-runner-controller pause`` and ``resume``: turn the stop switch, and see that the
controller has heard it.
"""

from __future__ import annotations

import asyncio
import getpass
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

from controller.adapters.kube.client import Client, connect
from controller.adapters.kube.errors import ForbiddenError, UnauthorizedError
from controller.adapters.kube.pools import list_pools
from controller.adapters.kube.stop_switch import (
    DEFAULT_SWITCH,
    KubernetesStopSwitch,
    SwitchName,
    find_switches,
)
from controller.api.duration import seconds
from controller.cli.exits import INTERRUPTED
from controller.cli.terminal import say
from controller.core.reasons import Reason
from controller.core.stop_switch import MOST_ACCOUNT, Stop
from controller.core.text import counted, text
from controller.ports import UpstreamError

LOOK = 1.0

MOST_REASON = 160
"""Characters of ``--reason`` that are kept: with who and when they fit into what every
pool's status shows."""

MOST_WHO = 60

_ON = frozenset({str(Reason.StopSwitchOn), str(Reason.StopSwitchUnread)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """What the pools of an account, or all of them, say about the switch.

    Attributes:
        pools: How many there are.
        waiting: Those that do not say yet what was asked for, ``namespace/name``.
        stopped: Those that say that they are stopped.
    """

    pools: int
    waiting: Sequence[str]
    stopped: Sequence[str]


def read_acknowledged(pools: Sequence[Mapping[str, Any]], *, account: str, stopped: bool) -> Acknowledged:
    """Read from the pools' statuses whether the controller has heard.

    Args:
        pools: As the API server shows them.
        account: Hugging Face namespace; empty for all.
        stopped: What they should say.
    """
    mine = [pool for pool in pools if not account or _account(pool) == account.lower()]
    found = {f"{one['metadata']['namespace']}/{one['metadata']['name']}": _stopped(one) for one in mine}
    return Acknowledged(
        pools=len(found),
        waiting=sorted(name for name, state in found.items() if state is not stopped),
        stopped=sorted(name for name, state in found.items() if state),
    )


def _account(pool: Mapping[str, Any]) -> str:
    return str(((pool.get("spec") or {}).get("huggingface") or {}).get("namespace") or "").lower()


def _stopped(pool: Mapping[str, Any]) -> bool | None:
    """Return whether a pool says that the switch stops it; None where it says nothing of it yet."""
    for one in (pool.get("status") or {}).get("conditions") or ():
        if one.get("type") == "LaunchesAllowed":
            return one.get("status") == "False" and one.get("reason") in _ON
    return None


class Turn:
    """One run of either command.

    Args:
        kube: Needs what :class:`KubernetesStopSwitch` needs to write, and ``list`` on runnerpools to
            see whether it was heard.
        namespace: Of the controller; None to look for it.
        switch: Name of the switch; None to look for it.
        patience: Seconds for the controller to say in every pool that it has heard; it looks every two, and
            writes a status within two more.
    """

    def __init__(
        self, *, kube: Client, namespace: str | None, switch: str | None, patience: float = 30.0
    ) -> None:
        self._kube, self._namespace, self._switch, self.patience = kube, namespace, switch, patience

    async def find(self) -> SwitchName:
        """Return the one switch that is meant.

        Raises:
            UpstreamError: It cannot be looked for.
            click.UsageError: There is none, or several.
        """
        if self._namespace and self._switch:
            return SwitchName(namespace=self._namespace, name=self._switch)
        try:
            found = await find_switches(self._kube, self._namespace)
        except (UnauthorizedError, ForbiddenError) as error:
            if self._namespace is None:
                raise click.UsageError(
                    "you may not look for the controller in all namespaces: name its namespace with --namespace NAME"
                ) from error
            return SwitchName(namespace=self._namespace, name=DEFAULT_SWITCH)
        found = [one for one in found if self._switch in (None, one.name)]
        if len(found) == 1:
            return found[0]
        if found:
            named = ", ".join(map(str, found))
            raise click.UsageError(
                f"there are several controllers (NAMESPACE/SWITCH): {named}. Name one with --namespace and --switch"
            )
        where = f"in namespace {self._namespace}" if self._namespace else "in this cluster"
        raise click.UsageError(
            f"no controller {where} has a stop switch that its chart made. If one runs with --stop-switch NAME, name its "
            "namespace and NAME: --namespace NAMESPACE --switch NAME"
        )

    async def who(self) -> str:
        """Return who is at work, by the API server's word, or else by this machine's."""
        try:
            answer = await self._kube.request_json(
                "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body={}
            )
            name = answer["status"]["userInfo"]["username"]
        except (UpstreamError, KeyError, TypeError):
            try:
                name = getpass.getuser()
            except (OSError, KeyError):
                name = "somebody"
        return text(name, MOST_WHO)

    async def wait(self, where: SwitchName, *, account: str, stopped: bool) -> Acknowledged:
        """Wait until every pool of the switch's controller says what was asked for, as long
        as there is patience.

        Raises:
            UpstreamError: The pools cannot be listed.
        """
        until = time.monotonic() + self.patience
        while True:
            pools: list[Mapping[str, Any]] = []
            for namespace in where.watched or (None,):
                pools += await list_pools(self._kube, namespace=namespace)
            acknowledged = read_acknowledged(pools, account=account, stopped=stopped)
            if not acknowledged.waiting or time.monotonic() >= until:
                return acknowledged
            await asyncio.sleep(LOOK)

    def at(self, where: SwitchName) -> KubernetesStopSwitch:
        """Return the switch itself."""
        return KubernetesStopSwitch(client=self._kube, switch=where)


async def pause(turn: Turn, *, account: str, reason: str) -> None:
    """Stop an account, or all, and wait until every pool says so.

    Raises:
        UpstreamError: The switch cannot be written.
        click.ClickException: It was, and no controller has heard it.
    """
    where = await turn.find()
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    why = ", ".join(part for part in (text(reason, MOST_REASON).strip(), await turn.who(), now) if part)
    await turn.at(where).put(account, why)
    whose = f"account {account}" if account else "all accounts"
    say(f"stopped: {whose}, in ConfigMap {where} ({why})")
    try:
        acknowledged = await turn.wait(where, account=account, stopped=True)
    except UpstreamError as error:
        say(f"whether the controller has heard it cannot be seen: {error.failure.message}", err=True)
        say("see it with: kubectl get runnerpools -A", err=True)
        return
    if acknowledged.waiting:
        raise click.ClickException(
            f"the switch is on, but {counted(len(acknowledged.waiting), 'pool has', 'pools have')} not said within {turn.patience:g} s that nothing is launched: "
            f"{_some(acknowledged.waiting)}. See whether the controller runs, leads, and reads this ConfigMap (--stop-switch): "
            "kubectl describe runnerpool has its words, its log too."
        )
    say(
        f"{counted(acknowledged.pools, 'pool launches', 'pools launch')} nothing any more; running workflow jobs go on"
    )


async def resume(turn: Turn, *, account: str) -> None:
    """Take a stop back, and say what still stops.

    Raises:
        UpstreamError: The switch cannot be read or written.
        click.ClickException: Something else still stops these pools, or no controller has heard it.
    """
    where = await turn.find()
    switch = turn.at(where)
    await switch.take_back(account)
    still = [one for one in await _left(switch) if one.account in ("", account.lower()) or not account]
    whose = f"account {account}" if account else "all accounts"
    say(f"taken back: the stop of {whose}, in ConfigMap {where}")
    for one in still:
        say(f"still stopped: {one}. {one.undo}", err=True)
    if any(one.account in ("", account.lower()) for one in still):
        raise click.ClickException("launches do not go on everywhere yet")
    if still:
        return
    try:
        acknowledged = await turn.wait(where, account=account, stopped=False)
    except UpstreamError as error:
        say(f"whether the controller has heard it cannot be seen: {error.failure.message}", err=True)
        return
    if acknowledged.waiting:
        raise click.ClickException(
            f"the switch is off, but {counted(len(acknowledged.waiting), 'pool has', 'pools have')} not said within {turn.patience:g} s that launches go on: "
            f"{_some(acknowledged.waiting)}. See whether the controller runs and leads: kubectl describe runnerpool has its words."
        )
    say(f"{counted(acknowledged.pools, 'pool launches', 'pools launch')} again")


async def _left(switch: KubernetesStopSwitch) -> Sequence[Stop]:
    """Return what still stops; the chart's part may be hidden from whoever may only turn the people's."""
    people = await switch.of_people()
    try:
        return [*people, *await switch.of_values()]
    except (UnauthorizedError, ForbiddenError):
        return people


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _chosen(everything: bool, account: str | None) -> str:
    if everything == bool(account):
        raise click.UsageError("say what: --all, or --account NAME (a Hugging Face namespace)")
    account = (account or "").strip()
    if account and (not all(c.isalnum() or c in "-_." for c in account) or not account.isascii()):
        raise click.BadParameter(
            f"{account!r} is no Hugging Face namespace: letters, digits, '-', '_' and '.'",
            param_hint="--account",
        )
    if len(account) > MOST_ACCOUNT:
        raise click.BadParameter(f"it has more than {MOST_ACCOUNT} characters", param_hint="--account")
    return account


_ALL = click.option("--all", "everything", is_flag=True, help="Every pool that the controller serves.")
_ACCOUNT = click.option(
    "--account", metavar="NAME", help="The pools of this Hugging Face namespace (spec.huggingface.namespace)."
)
_NAMESPACE = click.option(
    "--namespace", "-n", metavar="NAME", help="Where the controller is installed. Default: it is looked for."
)
_SWITCH = click.option("--switch", metavar="NAME", help="Its --stop-switch. Default: it is looked for.")
_TIMEOUT = click.option(
    "--timeout",
    default="30s",
    show_default=True,
    metavar="DURATION",
    help="How long to wait until the controller has heard.",
)
_KUBECONFIG = click.option("--kubeconfig", metavar="FILE", help="Instead of kubectl's default.")
_CONTEXT = click.option("--context", metavar="NAME", help="Context of the kubeconfig.")


@click.command("pause")
@_ALL
@_ACCOUNT
@click.option("--reason", metavar="TEXT", default="", help="Shown in every pool's status, with who and when.")
@_NAMESPACE
@_SWITCH
@_TIMEOUT
@_KUBECONFIG
@_CONTEXT
def pause_command(
    *,
    everything: bool,
    account: str | None,
    reason: str,
    namespace: str | None,
    switch: str | None,
    timeout: str,
    kubeconfig: str | None,
    context: str | None,
) -> None:
    """Stop all launches now, or those of one Hugging Face account, until `resume`.

    Acts within seconds, and outlives restarts, hand-overs and upgrades. Nothing is killed: running workflow
    jobs go on, and idle runners end at their deadlines; queued jobs wait at GitHub. Waits until every pool
    says that nothing is launched. Without this program: kubectl create configmap NAME -n NAMESPACE
    --from-literal=all='why'.

    Exit codes: 0 every pool says so, 1 one does not or Kubernetes cannot be used, 2 wrong
    arguments, 130 Ctrl-C.
    """
    chosen = _chosen(everything, account)
    _run(
        lambda turn: pause(turn, account=chosen, reason=reason),
        namespace=namespace,
        switch=switch,
        timeout=timeout,
        kubeconfig=kubeconfig,
        context=context,
    )


@click.command("resume")
@_ALL
@_ACCOUNT
@_NAMESPACE
@_SWITCH
@_TIMEOUT
@_KUBECONFIG
@_CONTEXT
def resume_command(
    *,
    everything: bool,
    account: str | None,
    namespace: str | None,
    switch: str | None,
    timeout: str,
    kubeconfig: str | None,
    context: str | None,
) -> None:
    """Take back what `pause` stopped: with --all the stop of everything, with --account that of one account.

    Says what still stops launches: another `pause`, or the chart's value `paused`.

    Exit codes: 0 launches go on, 1 something still stops them or Kubernetes cannot be used, 2
    wrong arguments, 130 Ctrl-C.
    """
    chosen = _chosen(everything, account)
    _run(
        lambda turn: resume(turn, account=chosen),
        namespace=namespace,
        switch=switch,
        timeout=timeout,
        kubeconfig=kubeconfig,
        context=context,
    )


def _run(
    work: Callable[[Turn], Awaitable[None]],
    *,
    namespace: str | None,
    switch: str | None,
    timeout: str,
    kubeconfig: str | None,
    context: str | None,
) -> None:
    try:
        patience = seconds(timeout)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--timeout") from error

    async def turn() -> None:
        async with await connect(kubeconfig=kubeconfig, context=context) as kube:
            await work(Turn(kube=kube, namespace=namespace, switch=switch, patience=patience))

    try:
        asyncio.run(turn())
    except UpstreamError as error:
        raise click.ClickException(f"{error.failure.reason}: {error.failure.message}") from error
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
