"""Reads a page as Prometheus would, and plays scenes whose controllers are measured."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from controller.metrics.recorder import Metrics
from controller.ports import Alone
from controller.simulate.engine import Process
from controller.simulate.machine import Boot
from hf_runner_simulators.hub.running import Run
from tests.system.test_whole import Scene, play

GITHUB_EVERY, HUB_EVERY = 12.0, 10.0
"""Seconds between looks, as :class:`controller.simulate.engine.Simulation` has them."""


class Page:
    """Samples of one scrape."""

    def __init__(self, metrics: Metrics) -> None:
        self.text = metrics.text().decode()
        self.samples = [
            sample for family in text_string_to_metric_families(self.text) for sample in family.samples
        ]

    def all(self, name: str, **labels: str) -> list[float]:
        """Return every value of this name whose labels include these."""
        name = f"hfrunners_{name}"
        return [s.value for s in self.samples if s.name == name and labels.items() <= s.labels.items()]

    def sum(self, name: str, **labels: str) -> float:
        return sum(self.all(name, **labels))

    def labels(self, name: str, label: str) -> set[str]:
        """Return the values of a label among series that are not 0."""
        return {s.labels[label] for s in self.samples if s.name == f"hfrunners_{name}" and s.value}


class Measured:
    """A scene whose every controller has metrics of its own."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.sim = scene.sim
        self.all: list[Metrics] = []

    def start(self, **options: Any) -> Process:
        metrics = Metrics(clock=self.sim.clock)
        self.all.append(metrics)
        process = self.sim.start(recorder=metrics, meter=metrics, **options)
        metrics.lead(options.get("leadership") or Alone("alone"), process.controller.observatory)
        return process

    def page(self) -> Page:
        """Scrape the newest controller."""
        return Page(self.all[-1])

    def total(self, name: str, **labels: str) -> float:
        """Return the sum over all processes that there were, which is what ``increase()`` adds up to."""
        return sum(Page(metrics).sum(name, **labels) for metrics in self.all)


def measured(
    act: Callable[[Measured], Awaitable[None]],
    *,
    boot: Callable[[Run], Boot] = lambda _: Boot(),
    **options: Any,
) -> None:
    """Play a scene."""

    async def played(scene: Scene) -> None:
        await act(Measured(scene))

    play(played, boot=boot, **options)
