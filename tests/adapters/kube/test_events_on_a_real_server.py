"""Events as ``kubectl describe`` shows them."""

from __future__ import annotations

from typing import Any

import pytest

from controller.adapters.kube.events import (
    BURST,
    LONGEST_NOTE,
    REFILL,
    RESERVE,
    SERIES_WINDOW,
    KubernetesEvents,
)
from hf_runner_simulators.clock import ManualClock
from tests.adapters.kube.cluster import Cluster

pytestmark = pytest.mark.controlplane


class Rig:
    def __init__(self, cluster: Cluster, uid: str = "6a0e9d5c-0000-4000-8000-000000000001") -> None:
        self.cluster, self.uid, self.clock = cluster, uid, ManualClock()
        self.events = KubernetesEvents(client=cluster.client, clock=self.clock, instance="controller-0")

    async def emit(self, message: str = "no credit", *, flush: bool = True, **changes: Any) -> None:
        about = {
            "namespace": self.cluster.namespace,
            "name": "gpu",
            "uid": self.uid,
            "warning": True,
            "reason": "HubPaymentRequired",
            "action": "Launch",
            **changes,
        }
        await self.events.emit(**about, message=message)
        if flush:
            await self.events.flush()


@pytest.fixture
def rig(cluster: Cluster) -> Rig:
    return Rig(cluster)


async def test_an_event_says_who_what_and_about_which_pool(rig: Rig) -> None:
    await rig.emit("The Hub answered 402.")
    (event,) = await rig.cluster.events()
    assert event["regarding"] == {
        "apiVersion": "hfrunners.dev/v1alpha1",
        "kind": "RunnerPool",
        "namespace": rig.cluster.namespace,
        "name": "gpu",
        "uid": rig.uid,
    }
    assert {k: event[k] for k in ("type", "reason", "action", "note", "reportingController")} == {
        "type": "Warning",
        "reason": "HubPaymentRequired",
        "action": "Launch",
        "note": "The Hub answered 402.",
        "reportingController": "hfrunners.dev/controller",
    }
    assert event["reportingInstance"] == "controller-0"
    assert event["eventTime"].startswith("2026-09-21T14:13:20")
    assert "series" not in event


async def test_repeats_are_counted_in_one_series(rig: Rig) -> None:
    for runner in (
        "gpu-hfr-3f2a1c-a1b2c3d4-x7k2",
        "gpu-hfr-3f2a1c-a1b2c3d4-q9zz",
        "gpu-hfr-3f2a1c-a1b2c3d4-0",
    ):
        await rig.emit(f"{runner} was refused 3 times (request 6920aabbccddeeff)")
        rig.clock.advance(10)
    (event,) = await rig.cluster.events()
    assert event["series"]["count"] == 3
    assert event["series"]["lastObservedTime"].startswith("2026-09-21T14:13:40")


async def test_repeats_before_the_first_is_sent_are_one_request(rig: Rig) -> None:
    for _ in range(50):
        await rig.emit(flush=False)
    assert await rig.cluster.events() == []
    await rig.events.flush()
    (event,) = await rig.cluster.events()
    assert event["series"]["count"] == 50


async def test_different_reasons_kinds_pools_and_words_are_different_events(rig: Rig) -> None:
    await rig.emit("no t4-small")
    await rig.emit("no t4-medium")
    await rig.emit("no t4-small", reason="UnknownFlavor")
    await rig.emit("no t4-small", warning=False)
    await rig.emit("no t4-small", uid="another")
    assert len(await rig.cluster.events()) == 5


async def test_a_quiet_series_ends(rig: Rig) -> None:
    await rig.emit()
    rig.clock.advance(SERIES_WINDOW)
    await rig.emit()
    assert ["series" in event for event in await rig.cluster.events()] == [False, False]


async def test_a_series_whose_event_expired_begins_anew(rig: Rig) -> None:
    await rig.emit()
    (event,) = await rig.cluster.events()
    path = f"/apis/events.k8s.io/v1/namespaces/{rig.cluster.namespace}/events/{event['metadata']['name']}"
    await rig.cluster.client.request_json("DELETE", path)
    await rig.emit()
    (again,) = await rig.cluster.events()
    assert again["series"]["count"] == 2


async def test_a_pool_has_its_share_and_warnings_the_last_of_it(rig: Rig) -> None:
    for number in range(2 * BURST):
        await rig.emit(f"news{number}", warning=False, flush=False)
    await rig.events.flush()
    assert len(await rig.cluster.events()) == BURST - RESERVE
    await rig.emit("trouble")
    assert len(await rig.cluster.events()) == BURST - RESERVE + 1
    await rig.emit("another pool's news", warning=False, uid="another")
    assert len(await rig.cluster.events()) == BURST - RESERVE + 2
    rig.clock.advance(2 * REFILL)
    await rig.emit("later news", warning=False)
    assert len(await rig.cluster.events()) == BURST - RESERVE + 3


@pytest.mark.parametrize("message", ["é" * 2000, "x" * LONGEST_NOTE, "x" * (LONGEST_NOTE + 1), "\ud800"])
async def test_a_long_or_odd_note_fits(rig: Rig, message: str) -> None:
    await rig.emit(message)
    (event,) = await rig.cluster.events()
    assert 1 <= len(event["note"].encode()) <= LONGEST_NOTE


async def test_a_long_pool_name_fits_into_the_events_name(rig: Rig) -> None:
    await rig.emit(name="p" * 253)
    assert len(await rig.cluster.events()) == 1


async def test_a_refused_event_is_logged_and_dropped(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    await rig.emit(namespace="no-such-namespace")
    assert "HubPaymentRequired not sent" in caplog.text


async def test_memory_is_bounded_by_time(rig: Rig) -> None:
    await rig.emit()
    rig.clock.advance(BURST * REFILL)
    await rig.emit(uid="another")
    assert len(rig.events._series) == len(rig.events._buckets) == 1
