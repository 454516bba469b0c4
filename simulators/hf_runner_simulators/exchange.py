"""The one place between a client and a simulated site: faults, latency, the request log and its counts.

The in-process transports and the socket both go through :meth:`Exchange.perform`, so a plan of faults
has the same effect on both.
"""

from __future__ import annotations

import asyncio
import json
import traceback
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import asdict, dataclass, replace
from email.utils import formatdate
from typing import Any, NoReturn, TypeVar

from hf_runner_simulators.clock import Clock
from hf_runner_simulators.faults import Call, Fault, FaultKind, FaultRules, Nemesis
from hf_runner_simulators.http import JSON, Request, Response, Site, json_response

T = TypeVar("T")

LOG_LENGTH = 200_000
"""Entries of the request log that are kept; a virtual day of polling makes about 25,000."""

Latency = Callable[[Call], tuple[float, float]]
"""Seconds on the way to the site and seconds on the way back. Must be deterministic."""


class LineError(Exception):
    """The exchange broke; ``client_error`` names the exception that an HTTP client raises for it."""

    client_error = "ReadError"


class Refused(LineError):  # noqa: N818 -- what happened to the line
    """Nothing was sent: the connection was refused."""

    client_error = "ConnectError"


class Unroutable(LineError):  # noqa: N818 -- what happened to the line
    """Nothing was sent: no connection came about in time."""

    client_error = "ConnectTimeout"


class Dropped(LineError):  # noqa: N818 -- what happened to the line
    """The connection died after the request was written; nobody knows whether it had an effect."""


class SimulatorBug(BaseException):
    """A simulated site raised: a fault of the simulator, never a condition of the service.

    Not an ``Exception``, so that no ``except Exception`` in the code under test takes it
    for an upstream error.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the request log.

    Attributes:
        at: Wall time at which the effect took place, or would have.
        caller: The incarnation that asked.
        route: ``METHOD /template``.
        path: The path, without the query.
        status: HTTP status of the site's answer, or None where the request never reached it.
        fault: The fault that struck, or None.
    """

    at: float
    caller: str
    route: str
    path: str
    status: int | None
    fault: FaultKind | None


class Exchange:
    """A site as clients reach it.

    Args:
        site: The simulated service.
        clock: The site's own clock.
        nemeses: Who may break an exchange, besides the rules set over ``/_sim/faults``. The
            first to strike decides.
        latency: Time on the way; none unless said.

    Attributes:
        rules: The rules behind ``/_sim/faults``.
        log: The newest exchanges, oldest first.
        bugs: Tracebacks of sites that raised; empty in a healthy simulation.
        running: Exchanges under way: they outlive the client that asked, and must not be collected with it.
    """

    def __init__(
        self, site: Site, *, clock: Clock, nemeses: Iterable[Nemesis] = (), latency: Latency | None = None
    ) -> None:
        self.rules = FaultRules()
        self.log: deque[Entry] = deque(maxlen=LOG_LENGTH)
        self.bugs: list[str] = []
        self.running: set[asyncio.Task[Any]] = set()
        self._site = site
        self._clock = clock
        self._nemeses: tuple[Nemesis, ...] = (self.rules, *nemeses)
        self._latency = latency
        self._ordinals: Counter[str] = Counter()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._faults: Counter[FaultKind] = Counter()

    async def handle(self, request: Request, *, caller: str = "") -> Response:
        """Carry one HTTP request to the site and its answer back.

        Raises:
            LineError: The connection broke.
            SimulatorBug: The site raised.
        """
        if request.path.startswith("/_sim/"):
            return self._control(request)
        found = self._site.router.match(request)
        call = self.call(
            route=f"{request.method} {found[0] if found else '(no such route)'}",
            params=found[2] if found else {},
            request=request,
            caller=caller,
        )
        answer = await self.perform(
            call, lambda: self._ask(request), spoil=_spoil, status=lambda response: response.status
        )
        if "Date" not in answer.headers:
            date = formatdate(self._clock.wall(), usegmt=True)
            answer = replace(answer, headers={**answer.headers, "Date": date})
        return answer

    def call(self, *, route: str, params: dict[str, str], request: Request, caller: str) -> Call:
        """Describe an exchange that is about to happen, and number it."""
        self._ordinals[route] += 1
        return Call(
            route=route,
            params=params,
            request=request,
            caller=caller,
            ordinal=self._ordinals[route],
            at=self._clock.wall(),
        )

    async def perform(
        self,
        call: Call,
        effect: Callable[[], T],
        *,
        spoil: Callable[[Fault, T | None], T],
        status: Callable[[T], int],
    ) -> T:
        """Perform one exchange under whatever fault strikes.

        Args:
            call: What is asked.
            effect: The site's synchronous verb; run at most once. A refusal is an answer
                too, not an exception.
            spoil: Makes the false answer of a ``status`` (with the true one, or None before the effect),
                ``truncate`` or ``malformed`` fault.
            status: The HTTP status that an answer stands for; for the log.

        Raises:
            LineError: The connection broke.
        """
        fault = next((fault for nemesis in self._nemeses if (fault := nemesis.strike(call))), None)
        there, back = self._latency(call) if self._latency else (0.0, 0.0)
        try:
            await _before(fault, there)
        except LineError:
            self._record(call, fault, None)
            raise
        early = fault.kind if fault and fault.early else None
        if early is FaultKind.HANG:
            self._record(call, fault, None)
            return await never()
        answer = spoil(fault, None) if fault and early is FaultKind.STATUS else effect()
        self._record(call, fault, status(answer))
        if fault:
            answer = await _after(fault, answer, spoil)
        if back:
            await asyncio.sleep(back)
        return answer

    def requests(self) -> JSON:
        """Return the request counts by route and status, and what struck."""
        routes: dict[str, dict[str, int]] = {}
        for (route, status), count in sorted(self._counts.items()):
            routes.setdefault(route, {})[status] = count
        return {
            "total": self._counts.total(),
            "routes": routes,
            "faults": {kind.value: count for kind, count in sorted(self._faults.items())},
        }

    def _record(self, call: Call, fault: Fault | None, status: int | None) -> None:
        kind = fault.kind if fault else None
        self.log.append(
            Entry(
                at=self._clock.wall(),
                caller=call.caller,
                route=call.route,
                path=call.request.path,
                status=status,
                fault=kind,
            )
        )
        self._counts[call.route, str(status) if status is not None else str(kind)] += 1
        if kind is not None:
            self._faults[kind] += 1

    def _ask(self, request: Request) -> Response:
        try:
            return self._site.handle(request)
        except Exception as error:
            self.bugs.append(traceback.format_exc())
            raise SimulatorBug(f"{request.method} {request.path}: {error!r}") from error

    def _control(self, request: Request) -> Response:
        match request.method, request.path:
            case "POST", "/_sim/faults":
                try:
                    return json_response({"added": self.rules.add(request.json())}, status=201)
                except ValueError as error:
                    return json_response({"error": str(error)}, status=400)
            case "GET", "/_sim/faults":
                return json_response(self.rules.to_json())
            case "DELETE", "/_sim/faults":
                self.rules.clear()
                return Response(status=204)
            case "GET", "/_sim/requests":
                return json_response(self.requests())
            case "GET", "/_sim/log":
                return json_response([asdict(entry) for entry in self.log])
            case "GET", "/_sim/report":
                answer = self._ask(request)
                report = {**json.loads(answer.body), "requests": self.requests(), "bugs": self.bugs}
                return json_response(report) if answer.status == 200 else answer
            case _:
                return self._ask(request)


async def _before(fault: Fault | None, there: float) -> None:
    """Spend the time until the effect, or fail without one."""
    if fault and fault.kind in {FaultKind.UNREACHABLE, FaultKind.BLACKHOLE}:
        raise (
            Refused("connection refused")
            if fault.kind is FaultKind.UNREACHABLE
            else Unroutable("no connection")
        )
    wait = there + (fault.seconds if fault and fault.early else 0.0)
    if wait:
        await asyncio.sleep(wait)
    if fault and fault.kind is FaultKind.LOST_REQUEST:
        raise Dropped("the connection was lost")


async def _after(fault: Fault, answer: T, spoil: Callable[[Fault, T | None], T]) -> T:
    """Do to an answer what the fault does."""
    if fault.seconds and not fault.early:
        await asyncio.sleep(fault.seconds)
    match fault.kind:
        case FaultKind.LOST_ANSWER:
            raise Dropped("the connection was lost")
        case FaultKind.HANG:
            return await never()
        case FaultKind.TRUNCATE | FaultKind.MALFORMED:
            return spoil(fault, answer)
        case FaultKind.STATUS if not fault.early:
            return spoil(fault, answer)
        case _:
            return answer


async def never() -> NoReturn:
    """Wait until cancelled."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError("nobody sets this future")


_PROXY_PAGE = "<html><head><title>502 Bad Gateway</title></head><body>cloudfront</body></html>"


def _spoil(fault: Fault, answer: Response | None) -> Response:
    if fault.kind is FaultKind.TRUNCATE:
        assert answer is not None
        if answer.stream is not None:
            return replace(answer, stream=_first(answer.stream))
        return replace(answer, body=answer.body[: len(answer.body) // 2])
    body = fault.body
    if fault.kind is FaultKind.MALFORMED:
        assert answer is not None
        raw = _PROXY_PAGE if body is None else body
        kept = {k: v for k, v in answer.headers.items() if k.lower() != "content-length"}
        return replace(answer, headers={**kept, **fault.headers}, body=_encode(raw), stream=None)
    text = f"injected {fault.status}"
    return Response(
        status=fault.status,
        headers={"Content-Type": "application/json; charset=utf-8", **fault.headers},
        body=_encode({"error": text, "message": text} if body is None else body),
    )


def _encode(body: JSON) -> bytes:
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


async def _first(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for chunk in stream:
        yield chunk
        return
