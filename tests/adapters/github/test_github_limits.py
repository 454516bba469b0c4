"""Our own pace, and what we do when GitHub has had enough."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from controller.adapters.github.limits import Pacer
from controller.core.model import Disposition
from controller.core.reasons import Reason
from controller.ports import UpstreamError
from hf_runner_simulators.clock import LoopClock
from tests.adapters.github.scene import ACME, LABELS, LIB, Scene, Script, answer, runner_page, virtual

RUNS = "GET /repos/{owner}/{repo}/actions/runs"
FOUND = "GET /orgs/{org}/actions/runners"
JIT = "POST /orgs/{org}/actions/runners/generate-jitconfig"


def clock() -> LoopClock:
    return LoopClock(time=asyncio.get_running_loop().time)


class Requests:
    """Sends pretended requests through a pacer and notes when each was on its way."""

    def __init__(self, pacer: Pacer, *, takes: float = 0.1) -> None:
        self.pacer = pacer
        self.takes = takes
        self.spans: list[tuple[str, int, float, float]] = []

    async def send(self, name: str, *, cost: int = 1, effect: bool = False) -> None:
        time = asyncio.get_running_loop().time
        async with self.pacer.turn(cost=cost, effect=effect):
            began = time()
            await asyncio.sleep(self.takes)
            self.spans.append((name, cost, began, time()))

    async def burst(self, count: int, name: str = "read", **kind: Any) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(self.send(name, **kind))

    def most_points_in_a_minute(self) -> int:
        # A request arrives somewhere between its sending and its answer: count it as present all that time.
        return max(
            sum(cost for _, cost, began, ended in self.spans if began <= start + 60 and ended > start)
            for _, _, _, start in self.spans
        )


@pytest.mark.parametrize("takes", [0.0, 0.1, 20.0])
@virtual
async def test_no_minute_sees_more_points_than_allowed_wherever_it_begins(takes: float) -> None:
    requests = Requests(Pacer(clock=clock(), points_per_minute=90, max_in_flight=16), takes=takes)
    async with asyncio.TaskGroup() as group:
        for wave in range(12):
            group.create_task(requests.burst(30))
            group.create_task(requests.burst(3, "launch", cost=5, effect=True))
            await asyncio.sleep(7 + wave % 3)
    assert len(requests.spans) == 12 * 33
    assert requests.most_points_in_a_minute() <= 90


@virtual
async def test_an_effect_goes_before_every_read_that_waits() -> None:
    requests = Requests(Pacer(clock=clock(), points_per_minute=60, max_in_flight=16))
    async with asyncio.TaskGroup() as group:
        group.create_task(requests.burst(200))
        await asyncio.sleep(30)
        group.create_task(requests.send("launch", cost=5, effect=True))
    name, _, began, _ = next(span for span in requests.spans if span[0] == "launch")
    assert (name, began) == ("launch", 30.0)  # reads leave some points to effects


@virtual
async def test_hanging_reads_leave_places_to_effects() -> None:
    requests = Requests(Pacer(clock=clock(), points_per_minute=None, max_in_flight=8), takes=1_000.0)
    async with asyncio.TaskGroup() as group:
        group.create_task(requests.burst(50))
        await asyncio.sleep(1)
        requests.takes = 0.1
        group.create_task(requests.send("launch", cost=5, effect=True))
        await asyncio.sleep(1)
        assert [name for name, *_ in requests.spans] == ["launch"]


@virtual
async def test_no_more_requests_are_under_way_than_allowed() -> None:
    pacer = Pacer(clock=clock(), points_per_minute=None, max_in_flight=4)
    now = most = 0

    async def request() -> None:
        nonlocal now, most
        async with pacer.turn(cost=1, effect=True):
            now += 1
            most = max(most, now)
            await asyncio.sleep(1)
            now -= 1

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(request())
    assert most == 4


@virtual
async def test_a_cancelled_request_gives_its_place_and_its_points_back() -> None:
    requests = Requests(Pacer(clock=clock(), points_per_minute=6, max_in_flight=2), takes=1.0)
    first = asyncio.create_task(requests.send("first", cost=5, effect=True))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(requests.send(f"w{n}", cost=5, effect=True)) for n in range(3)]
    await asyncio.sleep(0.1)
    waiting[0].cancel()
    await first
    waiting[1].cancel()
    await asyncio.wait(waiting)
    assert [name for name, *_ in requests.spans] == ["first", "w2"]
    assert requests.spans[1][2] == 61.0


@virtual
async def test_a_place_that_becomes_free_while_its_next_holder_is_cancelled_goes_to_another() -> None:
    requests = Requests(Pacer(clock=clock(), points_per_minute=None, max_in_flight=2), takes=100.0)
    holders = [asyncio.create_task(requests.send("holder", effect=True)) for _ in range(2)]
    await asyncio.sleep(0)
    cancelled, waiter = (asyncio.create_task(requests.send(name, effect=True)) for name in ("no", "yes"))
    await asyncio.sleep(1)
    holders[0].cancel()
    cancelled.cancel()
    await asyncio.wait([*holders, cancelled, waiter])
    assert [(name, began) for name, _, began, _ in requests.spans] == [("holder", 0.0), ("yes", 1.0)]


@virtual
async def test_a_limit_met_in_spite_of_the_pace_halves_it_for_a_while() -> None:
    pacer = Pacer(clock=clock(), points_per_minute=600, max_in_flight=600)
    requests = Requests(pacer, takes=0.0)

    async def first_minute() -> int:
        began = asyncio.get_running_loop().time()
        task = asyncio.create_task(requests.burst(600, effect=True))
        await asyncio.sleep(59)
        sent = sum(span[2] >= began for span in requests.spans)
        await task
        return sent

    assert await first_minute() == 600
    await asyncio.sleep(60)
    pacer.slow_down()
    assert 300 <= await first_minute() <= 320
    for _ in range(20):
        pacer.slow_down()
    await asyncio.sleep(60)
    assert 60 <= await first_minute() <= 120
    await asyncio.sleep(3_600)
    assert await first_minute() == 600


@virtual
async def test_a_place_that_is_granted_and_cancelled_at_once_is_not_lost() -> None:
    pacer = Pacer(clock=clock(), points_per_minute=None, max_in_flight=2)
    requests = Requests(pacer, takes=1.0)
    holders = [asyncio.create_task(requests.send("holder", effect=True)) for _ in range(2)]
    await asyncio.sleep(0)
    waiter = asyncio.create_task(requests.send("waiter", effect=True))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_at(1.0, waiter.cancel)  # the instant at which the places become free
    await asyncio.wait([*holders, waiter])
    await requests.burst(2, "next", effect=True)
    assert [name for name, *_ in requests.spans].count("next") == 2


@virtual
async def test_polling_faster_than_allowed_never_meets_the_secondary_limit() -> None:
    scene = Scene(core_limit=100_000, registration_limit=10_000)
    github = scene.connect()
    async with asyncio.TaskGroup() as group:
        for n in range(1_500):
            scene.world.accounts.add_repository(f"acme/lib-{n}")
            group.create_task(github.runs(f"acme/lib-{n}", "queued"))
        for n in range(150):
            group.create_task(github.register(ACME, name=f"r-{n}", labels=LABELS, group=None))
    assert {entry.status for entry in scene.exchange.log} == {200, 201}
    last_launch = max(e.at for e in scene.exchange.log if e.route == JIT)
    last_read = max(e.at for e in scene.exchange.log if e.route == RUNS)
    assert last_launch < last_read


@virtual
async def test_an_exhausted_quota_fails_fast_until_its_reset_and_leaves_registrations_alone() -> None:
    scene = Scene(core_limit=4)
    github = scene.connect()
    while (quota := github.quota()) is None or quota.remaining:
        await github.find(ACME, f"no-{scene.count(FOUND)}")
    asked = len(scene.exchange.log)
    for _ in range(3):
        with pytest.raises(UpstreamError) as caught:
            await github.runs("acme/lib", "in_progress")
    failure = caught.value.failure
    assert failure.reason is Reason.GitHubRateLimited
    assert failure.disposition is Disposition.WAIT
    assert failure.retry_after == pytest.approx(3_600, abs=5)
    assert len(scene.exchange.log) == asked
    await github.register(LIB, name="r", labels=LABELS, group=None)
    assert failure.retry_after is not None
    await asyncio.sleep(failure.retry_after)
    assert (await github.runs("acme/lib", "in_progress")).complete


@pytest.mark.parametrize("reset", ["1e300", "inf", "nan", "-1", "soon", "9" * 400])
@virtual
async def test_an_exhausted_quota_that_does_not_say_until_when_closes_nothing(reset: str) -> None:
    quota = {"x_ratelimit_limit": "60", "x_ratelimit_remaining": "0", "x_ratelimit_reset": reset}
    odd = answer(200, {"total_count": 0, "runners": []}, **quota)
    script = Script(odd)
    github = script.connect()
    for _ in range(3):
        assert (await github.registrations(LIB)).complete
    assert len(script.requests) == 3


@virtual
async def test_exhausted_registrations_leave_polling_alone() -> None:
    scene = Scene(registration_limit=2)
    github = scene.connect()
    for n in range(2):
        await github.register(ACME, name=f"r-{n}", labels=LABELS, group=None)
    with pytest.raises(UpstreamError) as caught:
        await github.register(ACME, name="r-2", labels=LABELS, group=None)
    assert caught.value.failure.reason is Reason.GitHubRateLimited
    assert not caught.value.failure.in_doubt
    assert scene.count(JIT) == 2
    assert (await github.runs("acme/lib", "queued")).complete


@virtual
async def test_registrations_charged_to_core_are_counted_there() -> None:
    scene = Scene(core_limit=6, registration_bucket=False)
    github = scene.connect()
    while (quota := github.quota()) is None or quota.remaining:
        await github.register(ACME, name=f"r-{scene.count(JIT)}", labels=LABELS, group=None)
    with pytest.raises(UpstreamError) as caught:
        await github.register(ACME, name="one-more", labels=LABELS, group=None)
    assert caught.value.failure.reason is Reason.GitHubRateLimited
    assert scene.count(JIT, 403) == 0
    with pytest.raises(UpstreamError):
        await github.runs("acme/lib", "queued")


@virtual
async def test_too_many_registrations_per_five_minutes_leave_polling_alone() -> None:
    scene = Scene(registrations_per_5_minutes=1)
    github = scene.connect()
    await github.register(ACME, name="r-0", labels=LABELS, group=None)
    for _ in range(3):
        with pytest.raises(UpstreamError) as caught:
            await github.register(ACME, name="r-1", labels=LABELS, group=None)
        assert caught.value.failure.reason is Reason.GitHubRateLimited
    assert scene.count(JIT, 429) == 1
    assert (await github.runs("acme/lib", "queued")).complete
    await asyncio.sleep(300)
    await github.register(ACME, name="r-1", labels=LABELS, group=None)


@pytest.mark.parametrize("status", [403, 429])
@virtual
async def test_a_secondary_limit_stops_the_whole_source_as_long_as_told(status: int) -> None:
    scene = Scene(secondary_points_per_minute=6, secondary_limit_status=status, secondary_retry_after=42)
    github = scene.connect()
    for _ in range(6):
        await github.runs("acme/lib", "queued")
    with pytest.raises(UpstreamError) as caught:
        await github.runs("acme/lib", "queued")
    assert caught.value.failure.reason is Reason.GitHubSecondaryLimit
    assert caught.value.failure.retry_after == 42
    assert scene.count(RUNS, status) == 1
    asked = len(scene.exchange.log)
    with pytest.raises(UpstreamError) as caught:
        await github.register(ACME, name="r", labels=LABELS, group=None)
    assert caught.value.failure.reason is Reason.GitHubSecondaryLimit
    assert not caught.value.failure.in_doubt
    assert len(scene.exchange.log) == asked
    await asyncio.sleep(60)
    assert (await github.runs("acme/lib", "queued")).complete


@virtual
async def test_requests_that_wait_for_their_turn_are_not_sent_once_a_limit_was_met() -> None:
    scene = Scene(secondary_points_per_minute=6)
    github = scene.connect(max_in_flight=4)
    met = await asyncio.gather(
        *(github.runs("acme/lib", "queued") for _ in range(50)), return_exceptions=True
    )
    assert sum(isinstance(error, UpstreamError) for error in met) == 44
    assert scene.count(RUNS) <= 9


SECONDARY = answer(403, {"message": "You have exceeded a secondary rate limit. Please wait a few minutes."})
EMPTY = answer(200, {"total_count": 0, "runners": []})


async def waits(script: Script, calls: int) -> list[float]:
    github = script.connect()
    found = []
    for _ in range(calls):
        with pytest.raises(UpstreamError) as caught:
            await github.registrations(ACME)
        assert caught.value.failure.retry_after is not None
        found.append(caught.value.failure.retry_after)
        await asyncio.sleep(caught.value.failure.retry_after)
    return found


@virtual
async def test_a_secondary_limit_without_a_time_waits_a_minute_and_then_longer() -> None:
    assert await waits(Script(SECONDARY), 6) == pytest.approx([60, 120, 240, 480, 900, 900])


@virtual
async def test_refusals_that_were_on_their_way_together_are_one_strike() -> None:
    script = Script(*[SECONDARY] * 8, EMPTY)
    github = script.connect()
    met = await asyncio.gather(*(github.registrations(ACME) for _ in range(8)), return_exceptions=True)
    assert all(isinstance(error, UpstreamError) for error in met)
    await asyncio.sleep(60)
    assert (await github.registrations(ACME)).complete


@virtual
async def test_success_forgets_earlier_strikes() -> None:
    script = Script(SECONDARY, SECONDARY, EMPTY, SECONDARY)
    github = script.connect()
    for wait in (60, 120):
        with pytest.raises(UpstreamError):
            await github.registrations(ACME)
        await asyncio.sleep(wait)
    await github.registrations(ACME)
    with pytest.raises(UpstreamError) as caught:
        await github.registrations(ACME)
    assert caught.value.failure.retry_after == 60


@virtual
async def test_an_empty_quota_beside_a_403_for_another_reason_is_no_rate_limit() -> None:
    headers = {"x_ratelimit_limit": "5000", "x_ratelimit_remaining": "0", "x_ratelimit_reset": "0"}
    refused = answer(403, {"message": "Resource not accessible by integration"}, **headers)
    with pytest.raises(UpstreamError) as caught:
        await Script(refused).connect().registrations(ACME)
    assert caught.value.failure.reason is Reason.PermissionMissing


@virtual
async def test_a_url_refused_for_a_quota_that_is_left_does_not_stop_the_others() -> None:
    headers = {
        "x_ratelimit_limit": "5000",
        "x_ratelimit_remaining": "4000",
        "x_ratelimit_reset": "1790003600",
    }
    odd = answer(403, {"message": "API rate limit exceeded for installation ID 7."}, **headers)
    github = Script(odd, EMPTY).connect()
    with pytest.raises(UpstreamError) as caught:
        await github.registrations(ACME)
    assert caught.value.failure.disposition is Disposition.WAIT
    assert caught.value.failure.retry_after == 60
    assert (await github.registrations(ACME)).complete


@virtual
async def test_an_answer_that_was_overtaken_does_not_fill_the_quota_again() -> None:
    def page(remaining: int) -> Any:
        headers = {
            "x_ratelimit_limit": "5000",
            "x_ratelimit_remaining": str(remaining),
            "x_ratelimit_reset": "1790003600",
        }
        return answer(200, {"total_count": 0, "runners": []}, **headers)

    github = Script(page(10), page(12)).connect()
    await github.registrations(ACME)
    await github.registrations(ACME)
    assert github.quota() is not None
    assert github.quota().remaining == 10  # type: ignore[union-attr]


@virtual
async def test_an_enterprise_server_without_limits_is_not_paced() -> None:
    script = Script(runner_page([1], total=1))
    github = script.connect(points_per_minute=None)
    await asyncio.gather(*(github.registrations(ACME) for _ in range(2_000)))
    assert asyncio.get_running_loop().time() < 60
    assert github.quota() is None
