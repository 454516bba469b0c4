"""The handlers, three of them, and kopf's settings.

``on.event`` and a dictionary of our own instead of ``kopf.index`` (quadratic at start-up), no peering (it
never fences), no daemons and no timers: the loop is ours (docs/facts.md#kopf-index,
docs/facts.md#kopf-peering, docs/facts.md#kopf-daemons).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

import kopf

from controller.adapters.kube.client import Identity
from controller.core.model import Failure, PoolKey
from controller.core.reasons import Reason
from controller.core.resource import FINALIZER, GROUP, PLURAL, VERSION
from controller.pools import PoolRegistry
from controller.ports import Leadership, UpstreamError

DRAIN_POLL = 3.0
"""Seconds between two looks whether a deleted pool is drained."""

GRACE = 8.0
"""Seconds for kopf to end."""

NAME: Any = "hf-runner-controller"
"""Ours among kopf's peers; of a type that kopf does not export."""


class Watch:
    """kopf at work, from :meth:`start` to :meth:`stop`, each called once."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        """Set once it watches."""
        self.tasks: Collection[asyncio.Task[Any]] = ()
        """Its tasks; none of them ends while all is well."""
        self._enough = asyncio.Event()

    async def start(
        self,
        registry: PoolRegistry,
        *,
        identity: Callable[[], Awaitable[Identity]],
        namespaces: Sequence[str],
        leadership: Leadership,
        heard: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin to watch. kopf takes SIGTERM and SIGINT for itself here: who wants them
        takes them back afterwards.

        Args:
            registry: What it feeds.
            identity: Says how to reach the API server; asked again whenever that refuses us.
            namespaces: To watch; empty for all.
            leadership: Asked before a finalizer is released.
            heard: Called whenever the watch tells something.
        """
        self.tasks = await kopf.spawn_tasks(
            registry=build_handlers(registry, identity, leadership, heard),
            clusterwide=not namespaces,
            namespaces=list(namespaces),
            standalone=True,
            # Who we are among peers, of which there are none. By itself kopf would ask for the user's
            # name, and in a container whose user is a mere number there is none: an exception, and the
            # end of the process.
            identity=NAME,
            stop_flag=self._enough,
            ready_flag=self.ready,
        )

    async def stop(self) -> None:
        """End it, in at most :data:`GRACE` seconds.

        Raises:
            UpstreamError: It had failed.
        """
        self._enough.set()
        try:
            async with asyncio.timeout(GRACE):
                # kopf takes every task that is younger than itself for one that it must wait for, and then
                # cancel. So all that there are now are named as not its own; those that are, it ends first
                # and by other means.
                await kopf.run_tasks(self.tasks, ignored=asyncio.all_tasks())
        except TimeoutError:
            return
        except Exception as error:
            raise UpstreamError(_failure(error)) from error


_REASONS = {403: Reason.KubernetesForbidden, 404: Reason.KubernetesNotFound}


def _failure(error: Exception) -> Failure:
    """Put in words what ended kopf; its errors of the API server have a status and that
    server's own words.
    """
    reason = _REASONS.get(getattr(error, "status", 0), Reason.KubernetesUnavailable)
    words = getattr(error, "message", None) or str(error) or type(error).__name__
    return Failure(reason=reason, message=f"RunnerPools cannot be watched: {words}. {reason.meaning}")


def build_handlers(
    registry: PoolRegistry,
    identity: Callable[[], Awaitable[Identity]],
    leadership: Leadership,
    heard: Callable[[], None],
) -> kopf.OperatorRegistry:
    """Return kopf's registry with handlers that keep ours."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        known = await identity()
        return kopf.ConnectionInfo(
            server=known.server,
            ca_path=known.ca_path,
            insecure=known.insecure,
            scheme=known.scheme or None,
            token=known.token or None,
            certificate_path=known.certificate_path,
            private_key_path=known.private_key_path,
            proxy_url=known.proxy,
        )

    @kopf.on.startup(registry=handlers)
    async def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        apply_settings(settings)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=handlers, id="observe")
    async def observe(event: kopf.RawEvent, body: kopf.Body, **_: Any) -> None:
        heard()
        if event.get("type") == "DELETED":
            metadata = body["metadata"]
            registry.remove(PoolKey(metadata["namespace"], metadata["name"]), metadata["uid"])
        else:
            registry.upsert(body)

    def may_hold_something(**known: Any) -> bool:
        """Return whether the finalizer must stay: kopf removes it from an object that no
        deletion handler wants.
        """
        return not (
            leadership.holds() and registry.may_go(PoolKey(known["namespace"], known["name"]), known["uid"])
        )

    @kopf.on.delete(GROUP, VERSION, PLURAL, registry=handlers, id="drain", when=may_hold_something)
    async def drain(body: kopf.Body, **_: Any) -> None:
        metadata = body["metadata"]
        registry.upsert(body)
        if not leadership.holds():  # what this process knows to be empty may not be so any more
            raise kopf.TemporaryError("waiting until its runners have ended", delay=DRAIN_POLL)
        if not registry.may_go(PoolKey(metadata["namespace"], metadata["name"]), metadata["uid"]):
            raise kopf.TemporaryError("waiting until its runners have ended", delay=DRAIN_POLL)

    return handlers


class _NoDiffBase(kopf.DiffBaseStorage):
    """Stores nothing, instead of a copy of each spec in an annotation (which may hold 256 KiB): only
    handlers of changes need it.
    """

    def fetch(self, **_: Any) -> None:
        """Know no earlier state."""

    def store(self, **_: Any) -> None:
        """Keep none."""


def apply_settings(settings: kopf.OperatorSettings) -> None:
    """Set what kopf's defaults leave open or slow (docs/facts.md#kopf-defaults)."""
    settings.peering.standalone = True
    settings.persistence.finalizer = FINALIZER
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP, v1=False)
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.connect_timeout = 10
    settings.networking.request_timeout = 15
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = (1, 2, 3, 5, 8)
    settings.networking.enforce_retry_after = True
    settings.queueing.worker_limit = 100
    settings.posting.enabled = False  # Events are ours: aggregated, and only for transitions
    settings.scanning.disabled = (
        True  # the CRD is there before we start, and no RBAC for CRDs or namespaces is needed
    )
    settings.execution.max_workers = 1
    settings.process.ultimate_exiting_timeout = 20


def quiet_logging() -> None:
    """Keep kopf's own lines to what tells somebody something: not every event, not every wait of a drain."""
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    logging.getLogger("kopf.objects").addFilter(
        lambda record: "waiting until its runners" not in record.getMessage()
    )
