"""The Hub's token and namespace, and the hardware that pools ask for (docs/facts.md#whose-token,
docs/facts.md#hardware-list).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from controller.adapters.credential import Fixed
from controller.adapters.huggingface.account import token_from_secret
from controller.adapters.huggingface.errors import (
    ForbiddenError,
    HubError,
    NoRouteError,
    NotFoundError,
    UnauthorizedError,
)
from controller.adapters.huggingface.flavors import HubHardware
from controller.adapters.huggingface.inspection import HubInspection, Identity
from controller.adapters.huggingface.session import Session
from controller.cli.checks.findings import Findings, Severity, some
from controller.cli.checks.inputs import SecretReader, Subject
from controller.core.contradictions import duration
from controller.core.hosts import Hosts
from controller.core.labels import nearest
from controller.core.model import Flavor, HubAccount, Pool
from controller.core.reasons import Reason
from controller.core.warm import may_idle, starts_a_day
from controller.ports import Clock, UpstreamError


async def check_account(
    account: HubAccount,
    *,
    secrets: SecretReader,
    session: Session,
    clock: Clock,
    found: Findings,
    hosts: Hosts,
) -> None:
    """Check whose a token is, and whether it may run Jobs in the namespace."""
    subject = f"Secret {account.secret}"
    try:
        token = token_from_secret((await secrets.read(account.secret)).data, ref=account.secret)
        hub = HubInspection(
            account=account, credential=Fixed(token), session=session, clock=clock, hosts=hosts
        )
        identity = await hub.identity()
    except UpstreamError as error:
        missing = error.failure.reason is Reason.SecretMissing and not secrets.complete
        severity = Severity.WARNING if missing else Severity.ERROR
        found.failed(subject, error.failure, severity=severity)
        return
    try:
        await hub.try_writing()
    except HubError as error:
        _refused(account, identity, error, found)
        return
    if identity.namespaces.get(account.namespace) is False:
        reason = Reason.HubPaymentRequired
        found.add(
            Severity.WARNING, reason, subject, f"{account.namespace} cannot pay for Jobs. {reason.meaning}"
        )


def _refused(account: HubAccount, identity: Identity, error: HubError, found: Findings) -> None:
    subject = f"Secret {account.secret}"
    whose = f"The token is {identity.name}'s{f' with role {identity.role}' if identity.role else ''}"
    if account.namespace not in identity.namespaces:
        message = (
            f"{whose}, who is not a member of {account.namespace}, but of "
            f"{some(identity.namespaces, most=8)}: correct huggingface.namespace, or use a token of a member."
        )
        found.add(Severity.ERROR, Reason.HubForbidden, subject, message)
    elif isinstance(error, UnauthorizedError | ForbiddenError):
        message = (
            f"{whose}, and may not start Jobs in {account.namespace}. Give it job.write there (a fine-grained token: "
            f"{account.namespace}, Jobs, start and manage), or the role write."
        )
        found.add(Severity.ERROR, Reason.HubForbidden, subject, message)
    elif isinstance(error, NotFoundError | NoRouteError):
        message = (
            f"{whose}, a member of {account.namespace}; whether it may start Jobs there cannot be asked on this Hub. It needs "
            "job.write."
        )
        found.add(Severity.NOTE, Reason.NotChecked, subject, message)
    else:
        found.failed(subject, error.failure)


async def read_flavors(
    endpoint: str, *, session: Session, clock: Clock, found: Findings, hosts: Hosts
) -> Sequence[Flavor]:
    """Return what a Hub has on offer; nothing where it cannot be read."""
    try:
        seen = await HubHardware(session=session, endpoint=endpoint, clock=clock, hosts=hosts).flavors()
    except UpstreamError as error:
        found.failed(endpoint, error.failure)
        return ()
    return seen.items


def check_flavors(subject: Subject, offered: Iterable[Flavor], found: Findings) -> None:
    """Check that a pool's flavors exist, and say what they cost."""
    pool = subject.pool
    known = {flavor.name: flavor for flavor in offered}
    for index, name in enumerate(pool.flavors):
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(sorted(known))}."
            found.add(
                Severity.ERROR,
                Reason.UnknownFlavor,
                str(subject),
                f"The Hub offers no flavor {name}; {hint}",
                where=subject.written(("spec", "flavors", index)),
            )
    per_hour = {
        name: price * 60
        for name in pool.flavors
        if name in known and (price := known[name].usd_per_minute) is not None
    }
    unpriced = [name for name in pool.flavors if name in known and name not in per_hour]
    if unpriced:
        message = f"The Hub offers {', '.join(unpriced)} and no price that can be read: what runners on it cost is unknown."
        found.add(Severity.WARNING, Reason.Price, str(subject), message)
    if not per_hour:
        return
    highest = max(per_hour.values())
    listed = ", ".join(f"{name} ${usd:.2f}/h" for name, usd in per_hour.items())
    idle = _warm(pool, highest) if pool.min_idle else ""
    message = (
        f"{listed}. {pool.max_runners} runners at once cost up to ${pool.max_runners * highest:.2f} an hour, and one runner "
        f"at most ${highest * pool.deadlines.lifetime / 3_600:.2f} in its lifetime.{idle}"
    )
    found.add(Severity.NOTE, Reason.Price, str(subject), message)


def _warm(pool: Pool, per_hour: float) -> str:
    """Say what runners cost that wait for work, and how often they are replaced."""
    idles = duration(may_idle(pool.deadlines, 0.0))
    room = (
        ""
        if pool.min_idle < pool.max_runners
        else " maxRunners leaves no room for the next one, so each ends before that is launched: raise it by one."
    )
    return (
        f" minIdle {pool.min_idle} costs ${pool.min_idle * per_hour:.2f} an hour day and night; each is replaced after"
        f" {idles} without a job, {pool.min_idle * starts_a_day(pool.deadlines):.0f} starts a day.{room}"
    )
