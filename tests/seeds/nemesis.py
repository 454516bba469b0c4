"""Turns a plan's rates into faults of single exchanges, each with an id by which it can be
struck again, or left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from controller.simulate.check import Judge
from hf_runner_simulators.faults import Call, Fault, FaultKind
from tests.seeds.plan import READ_FAULTS, WRITE_FAULTS, Plan

WINDOW = 10.0
"""Seconds of which all reads of one address share their fault: so a fault does not depend on how
many reads came before."""

Crash = Callable[[str, float], None]
"""Called with the incarnation that dies and a number in [0, 1) for how long it stays down."""

_SECONDARY = {
    "message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
}


class PlannedNemesis:
    """Strikes as a plan says, and only before it is calm.

    Args:
        plan: Rates, seed and what is allowed.
        start: Wall time of the plan's second 0.
        judge: Called with every request, and with each launch that is in doubt.
        crash: Kills an incarnation.

    Attributes:
        fired: Ids of the faults that struck, in order.
        asked: Every exchange's number, and whether it was a read.
        down: ``github`` and ``hub``: services that nobody reaches at the moment.
    """

    def __init__(self, plan: Plan, *, start: float, judge: Judge, crash: Crash) -> None:
        self.fired: list[str] = []
        self.asked: dict[str, bool] = {}
        self.down: set[str] = set()
        self._plan, self._start, self._judge, self._crash = plan, start, judge, crash
        self._effects: Counter[str] = Counter()

    def strike(self, call: Call) -> Fault | None:
        """Return the fault for this exchange, or None."""
        self._judge.sent(call.caller, call.route)
        hub = call.route.split(" ", 1)[1].startswith("/api/")
        read = call.route.startswith("GET ")
        at = call.at - self._start
        if read:
            number = f"{call.request.path}?{_page(call)}@{int(at // WINDOW)}"
        else:
            self._effects[call.route] += 1
            number = f"{call.route}#{self._effects[call.route]}"
        if ("hub" if hub else "github") in self.down:
            self._note(call, read)
            return _outage(self._plan.u("outage", number))
        self.asked[number] = read
        for name in READ_FAULTS if read else WRITE_FAULTS:
            fault_id = f"{name}:{number}"
            if self._strikes(name, number, fault_id, at, read=read):
                fault = self._make(name, call, self._plan.u("detail", name, number), hub=hub)
                self.fired.append(fault_id)
                self._judge.marks[f"fault {name}"] += 1
                if name in ("lost_request", "lost_answer", "error_after"):
                    self._judge.marks[f"fault {name} on {call.route}"] += 1
                if read and any(word in _page(call) for word in ("cursor=", "page=2")):
                    self._judge.marks["fault on page 2"] += 1
                self._note(call, read)
                return fault
        return None

    def _strikes(self, name: str, number: str, fault_id: str, at: float, *, read: bool) -> bool:
        if fault_id in self._plan.forced:
            return True
        rate = self._plan.rates.get(f"{'read' if read else 'write'}:{name}", 0.0)
        drawn = at < self._plan.calm_at and self._plan.u(name, number) < rate
        return drawn and self._plan.allows(fault_id)

    def _note(self, call: Call, read: bool) -> None:
        """Remember which runner's launch or end is in doubt."""
        if read:
            return
        payload = call.request.json() if call.request.body else None
        if isinstance(payload, dict):
            name = payload.get("name") or (payload.get("labels") or {}).get("runner")
            self._judge.in_doubt.add(str(name))
        if "run_id" in call.params:
            self._judge.reruns_in_doubt.add(int(call.params["run_id"]))

    def _make(self, name: str, call: Call, share: float, *, hub: bool) -> Fault | None:
        if name.startswith("crash_"):
            self._crash(call.caller, share)
            return Fault(kind=FaultKind.LOST_REQUEST) if name == "crash_before" else None
        return make_fault(name, share, hub=hub)


def make_fault(name: str, share: float, *, hub: bool) -> Fault:
    """Return a fault by its name in :mod:`tests.seeds.plan`; ``share`` in [0, 1) chooses its details.

    ``late`` is longer than any client waits: the effect comes when nobody expects it any more.
    """
    error = (500, 502, 503, 504)[int(4 * share)]
    patience = {"Retry-After": str(5 + int(30 * share))}
    refusal = (
        Fault(kind=FaultKind.STATUS, status=429)
        if hub
        else Fault(kind=FaultKind.STATUS, status=403, headers={"Retry-After": "15"}, body=_SECONDARY)
    )
    return {
        "refused": Fault(kind=FaultKind.UNREACHABLE),
        "lost_request": Fault(kind=FaultKind.LOST_REQUEST),
        "lost_answer": Fault(kind=FaultKind.LOST_ANSWER),
        "hang": Fault(kind=FaultKind.HANG),
        "hang_after": Fault(kind=FaultKind.HANG, when="after"),
        "slow": Fault(kind=FaultKind.DELAY, when="after", seconds=5 + 30 * share),
        "late": Fault(kind=FaultKind.DELAY, seconds=5 + 45 * share),
        "error_before": Fault(kind=FaultKind.STATUS, status=error),
        "error_after": Fault(kind=FaultKind.STATUS, when="after", status=error),
        "limited": Fault(kind=FaultKind.STATUS, status=429, headers=patience),
        "secondary": refusal,
        "unauthorized": Fault(kind=FaultKind.STATUS, status=401),
        "truncated": Fault(kind=FaultKind.TRUNCATE),
        "malformed": Fault(kind=FaultKind.MALFORMED),
        "drifted": Fault(kind=FaultKind.MALFORMED, body=({}, {"unexpected": None}, "null")[int(3 * share)]),
        "vanished": Fault(kind=FaultKind.STATUS, status=404),
    }[name]


def _outage(share: float) -> Fault:
    kinds = (FaultKind.UNREACHABLE, FaultKind.BLACKHOLE, FaultKind.LOST_REQUEST, FaultKind.STATUS)
    return Fault(kind=kinds[int(4 * share)], status=502)


def _page(call: Call) -> str:
    return "&".join(
        f"{key}={value}" for key, value in call.request.query if key in ("page", "cursor", "status", "name")
    )
