"""The faults and the latencies of a scenario, struck and drawn by its seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from controller.simulate.check import Judge
from controller.simulate.keyed import uniform
from controller.simulate.scenario import Failing, Latency, Spread
from hf_runner_simulators.faults import Call, Fault


class ScenarioFaults:
    """The scenario's faults at one site; a nemesis."""

    def __init__(
        self, faults: Sequence[Failing], site: str, seed: int, time: Callable[[], float], judge: Judge
    ) -> None:
        self._faults = [(index, one) for index, one in enumerate(faults) if one.site == site]
        self._seed = seed
        self._time = time
        self._judge = judge
        self._struck: Counter[int] = Counter()

    def strike(self, call: Call) -> Fault | None:
        """Return the first fault that is for this call."""
        now = self._time()
        for index, one in self._faults:
            if not one.covers(now) or not one.covers_call(call):
                continue
            if one.times is not None and self._struck[index] >= one.times:
                continue
            if uniform(self._seed, "fault", index, call.route, call.ordinal) >= one.rate:
                continue
            self._struck[index] += 1
            self._note_doubt(call)
            return one.fault()
        return None

    def _note_doubt(self, call: Call) -> None:
        """Tell the judge whose launch met a fault: its runner may be given up although it is healthy."""
        if not call.route.startswith("POST ") or not call.request.body:
            return
        body = call.request.json()
        if isinstance(body, dict):
            labels = body.get("labels")
            name = labels.get("runner") if isinstance(labels, dict) else body.get("name")
            self._judge.in_doubt.add(str(name))


class ScenarioLatencies:
    """How long requests take, half on each way."""

    def __init__(self, latency: Latency, seed: int) -> None:
        self._latency = latency
        self._seed = seed

    def __call__(self, call: Call) -> tuple[float, float]:
        """Return seconds there and back."""
        hub = call.route.partition(" ")[2].startswith("/api/")
        spread: Spread = self._latency.hub if hub else self._latency.github
        half = spread.draw(self._seed, "latency", call.route, call.ordinal) / 2
        return half, half
